"""Memory and speed of answering a long table: `python -m tools.streaming predictors/NAME --texts headlines.csv`.

The texts are repeated, each time with a number behind them so that no two are equal, up to the requested rows. Peak memory is
that of a process of its own. Speed is that of the command relative to `halfbert.load(...).predict` on a list of the same texts,
in turns in one process, in seconds of the clock and of the processor: the latter says more on a busy machine.
"""

import argparse
import contextlib
import csv
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import halfbert
from halfbert.system import machine, processes, storage

RECORD = machine.PROJECT / "results" / "published" / "predict" / "streaming.json"
CHILD = """
import resource, sys, time
from halfbert.cli import command
began = time.monotonic()
code = command.main(["predict", *sys.argv[1:]])
print("measured", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, time.monotonic() - began, time.process_time())
sys.exit(code)
"""


def main(argv: list[str]) -> None:
    """Measure, and write the record."""
    parser = argparse.ArgumentParser(prog="python -m tools.streaming")
    parser.add_argument("predictor", type=Path)
    parser.add_argument("--texts", type=Path, required=True, help="csv file with a column text")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the table whose memory is measured; 0: not now")
    parser.add_argument("--raced", type=int, default=100_000, help="of the table whose speed is measured; 0: not now")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engine", default="onnx")
    parser.add_argument("--threads", type=int, default=machine.available_cpus())
    options = parser.parse_args(argv)
    measured: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        if options.rows:
            measured["memory"] = memory(options, Path(folder))
        if options.raced:
            measured["speed"] = speed(options, Path(folder))
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    record = (json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}) | measured
    storage.write_json({**record, "hardware": machine.hardware(), "versions": machine.versions()}, RECORD)
    print(record)


def texts_of(file: Path, rows: int) -> Iterator[str]:
    """So many texts, no two of them equal."""
    with open(file, newline="", encoding="utf-8") as stream:
        texts = [row["text"] for row in csv.DictReader(stream)]
    return (f"{texts[number % len(texts)]} {number}" for number in range(rows))


def write(file: Path, texts: Iterator[str]) -> Path:
    """Write a table with a column of texts."""
    with open(file, "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(itertools.chain([("text",)], ((text,) for text in texts)))
    return file


def memory(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Peak memory of answering a csv file, in bytes, and what it took."""
    table = write(folder / "long.csv", texts_of(options.texts, options.rows))
    arguments = [options.predictor, table, "--output", folder / "answered.csv", "--engine", options.engine]
    command = [sys.executable, "-c", CHILD, *map(str, arguments), f"--threads={options.threads}"]
    done = subprocess.run(command, env=processes.environment(), capture_output=True, text=True, check=True)
    peak, wall, processor = map(float, done.stdout.split("measured")[1].split())
    return {
        "rows": options.rows,
        "predictor_bytes": storage.folder_bytes(options.predictor),
        "input_bytes": table.stat().st_size,
        "peak_bytes": int(peak),
        "seconds": round(wall, 1),
        "processor_seconds": round(processor, 1),
    }


def speed(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Seconds of predict on a list and of the command on a file of the same texts, by the clock and by the processor."""
    texts = list(texts_of(options.texts, options.raced))
    table = write(folder / "raced.csv", iter(texts))
    classifier = halfbert.load(options.predictor, options.engine, threads=options.threads)
    own = {"engine": options.engine, "threads": options.threads, "output": folder / "raced_answered.csv", "overwrite": True}
    turns: dict[str, Callable[[], Any]] = {
        "list": lambda: classifier.predict(texts),
        "table": lambda: halfbert.predict_table(options.predictor, table, **own),
    }
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in turns}
    for _ in range(options.rounds):
        for name, turn in turns.items():
            before = time.monotonic(), time.process_time()
            with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
                turn()
            measured[name].append((time.monotonic() - before[0], time.process_time() - before[1]))
    ratios = [[one / other for one, other in zip(*pair, strict=True)] for pair in zip(*measured.values(), strict=True)]
    by_clock, by_processor = (round(statistics.median(ratio), 3) for ratio in zip(*ratios, strict=True))
    return {
        "rows": options.raced,
        "threads": options.threads,
        "engine": classifier.engine,
        "rounds": measured,
        "table_against_list": {"clock": by_clock, "processor": by_processor},
    }


if __name__ == "__main__":
    main(sys.argv[1:])
