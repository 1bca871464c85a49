"""Rows a second of one process and of the workers of a Ray cluster: `python -m tools.scale predictors/NAME --texts table.csv`.

The texts are repeated, each time with a number behind them so that no two are equal, and lie in parquet files. One process
and Ray's workers answer the same files in turn. The start of the cluster is timed by itself; what it takes to start and end a
run is seen from one on a few rows.
"""

import argparse
import contextlib
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

import halfbert
from halfbert.prediction.cluster import Answerer, connected
from halfbert.system import machine, storage
from tools.streaming import texts_of

RECORD = machine.PROJECT / "results" / "published" / "predict" / "scale.json"
SECONDS_BETWEEN_LOOKS = 0.5
FEW = 16


def main(argv: list[str]) -> None:
    """Measure, and write the record."""
    parser = argparse.ArgumentParser(prog="python -m tools.scale")
    parser.add_argument("predictor", type=Path)
    parser.add_argument("--texts", type=Path, required=True, help="csv file with a column text")
    parser.add_argument("--rows", type=int, default=4_000, help="of each file")
    parser.add_argument("--files", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engine", default="onnx-int8")
    options = parser.parse_args(argv)
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        texts = list(texts_of(options.texts, options.rows * options.files))
        files = write(Path(folder) / "all", texts, options.files)
        few = write(Path(folder) / "few", texts[:FEW], 2)
        began = time.monotonic()
        with connected("local"):
            start = time.monotonic() - began
            measured = measure(options, files, few, Path(folder))
        file_bytes = sum(file.stat().st_size for file in files)
    record = {
        "rows": options.rows * options.files,
        "few_rows": FEW,
        "files": options.files,
        "file_bytes": file_bytes,
        "engine": options.engine,
        "weights_bytes": (options.predictor / "tf_model.h5").stat().st_size,
        "cluster_start_seconds": round(start, 1),
        **measured,
        "load_average": [round(load_before, 2), round(os.getloadavg()[0], 2)],
        "hardware": machine.hardware(),
        "versions": {**machine.versions(), "ray": machine.version_of("ray")},
    }
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    storage.write_json(record, RECORD)
    print(record)


def write(folder: Path, texts: list[str], count: int) -> list[Path]:
    """Write so many files of equally many rows."""
    import pyarrow
    import pyarrow.parquet

    folder.mkdir()
    rows = len(texts) // count
    files = [folder / f"{number}.parquet" for number in range(count)]
    for number, file in enumerate(files):
        pyarrow.parquet.write_table(pyarrow.table({"text": texts[number * rows : (number + 1) * rows]}), file)
    return files


def measure(options: argparse.Namespace, files: list[Path], few: list[Path], folder: Path) -> dict[str, Any]:
    """Seconds, in every round, to answer few rows and all, and the largest memory of a worker, in bytes."""
    turns: dict[str, dict[str, Any]] = {
        "one process, 1 thread": {"threads": 1},
        "Ray, 1 worker": {"ray": "auto", "workers": 1},
        "Ray, 2 workers": {"ray": "auto", "workers": 2},
    }
    seconds: dict[str, dict[str, list[float]]] = {name: {"few": [], "all": []} for name in turns}
    with largest_worker() as seen:
        for _ in range(options.rounds):
            for name, own in turns.items():
                for which, tables in (("few", few), ("all", files)):
                    own |= {"engine": options.engine, "output": folder / f"{which}-answered", "overwrite": True}
                    began = time.monotonic()
                    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
                        halfbert.predict_table(options.predictor, tables, **own)
                    seconds[name][which].append(round(time.monotonic() - began, 2))
                    print(name, which, seconds[name][which][-1], os.getloadavg()[0], flush=True)
    return {"seconds": seconds, "worker_bytes": max(seen)}


@contextlib.contextmanager
def largest_worker() -> Iterator[list[int]]:
    """The memory, in bytes, of workers at all looks during the block."""
    seen, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(SECONDS_BETWEEN_LOOKS):
            for process in psutil.process_iter(["cmdline", "memory_info"]):
                if any(Answerer.__name__ in word for word in process.info["cmdline"] or ()):
                    seen.append(process.info["memory_info"].rss)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield seen
    finally:
        done.set()
        watcher.join()


if __name__ == "__main__":
    main(sys.argv[1:])
