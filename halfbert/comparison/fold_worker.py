"""A process that fits folds of a table, one job after the other: `python -m halfbert.comparison.fold_worker`.

Jobs are lines of JSON on standard input: {"contestant", "task", "options": of a training run with cv, "fold": its number
from 0, "threads", "results": folder, "embeddings": as `baseline.fit_and_test` has them, "predictor": folder or null}. What it
prints are lines for `halfbert.comparison.pool`.
"""

import contextlib
import functools
import io
import json
import sys
import time
from pathlib import Path
from typing import IO, Any

from halfbert.comparison import baseline, dealing
from halfbert.comparison.pool import MESSAGE
from halfbert.data.tables import Data
from halfbert.models import memory
from halfbert.options import TrainOptions
from halfbert.output import record as records
from halfbert.system import console, storage


class Lines(io.TextIOBase):
    """A standard output whose lines become messages."""

    def __init__(self, stream: IO[str]):
        self.stream, self.rest = stream, ""

    def write(self, text: str) -> int:
        *whole, self.rest = (self.rest + text).split("\n")
        for line in filter(str.strip, whole):
            send(self.stream, {"line": line})
        return len(text)


def send(stream: IO[str], message: dict[str, Any]) -> None:
    """Write a message to the parent."""
    print(MESSAGE + json.dumps(message), file=stream, flush=True)


def main(_arguments: list[str], stop: console.StopRequest) -> None:
    """Do the jobs on standard input."""
    for line in sys.stdin:
        with contextlib.redirect_stdout(Lines(sys.stdout)):
            do(json.loads(line), stop)
        send(sys.stdout, {"done": True})


def do(job: dict[str, Any], stop: console.StopRequest) -> None:
    """Fit a fold and answer the rows of it; leaves record and answers in the results folder, and a predictor if requested."""
    given = {**job["options"], "threads": job["threads"]}
    options = baseline.OPTIONS[job["task"]](**given)
    data = rows(job["task"], json.dumps(dealing.of_table(options), default=str))[job["fold"]]
    if job["contestant"] in baseline.NAMES:
        baseline.fit_and_test(options, job["results"], job["embeddings"], data)
    else:
        fit(options, data, Path(job["results"]), job["predictor"] and Path(job["predictor"]), stop)


@functools.lru_cache(maxsize=1)
def rows(task: str, table: str) -> list[Data]:
    """The data of each fold, read once for all contestants."""
    return dealing.deal(baseline.OPTIONS[task](**json.loads(table))).folds


@memory.releasing()
def fit(options: TrainOptions, data: Data, results: Path, predictor: Path | None, stop: console.StopRequest) -> None:
    """A network's fit, as a fold of cross-validation."""
    from halfbert.training import course, saving, steps

    options.output = predictor or options.output
    prepared = steps.prepare(options.task, options, data, stop, time.perf_counter())
    fitted = course.fit(prepared, fold=True)
    tested = steps.score_test(prepared, fitted)
    record = saving.record(prepared, fitted, tested, None)
    if predictor:
        with storage.atomic_folder(predictor) as folder:
            record = course.save_predictor(prepared, fitted, record, folder)
        steps.prove_engines(prepared, fitted, tested)
        stop.gently = False
        stop.raise_if_set()
    with storage.atomic_folder(results) as folder:
        records.write(record, folder)
        answers = tested.probabilities, prepared.truth["test"], data.test.numbers, folder, tested.confidence
        records.write_answers(*answers)
        saving.write_validated(prepared, fitted, folder)


if __name__ == "__main__":
    sys.exit(console.run(main, sys.argv[1:]))
