"""What the contestants of a race share: the job on their standard input, and the JSON line that they print at the end.

Standard library only, since a contestant may run in an environment without this project.
"""

import json
import operator
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

ASKED_ALONE = 50  # texts that are answered one by one
WARM_UP = 40


@dataclass(frozen=True, kw_only=True)
class Job:
    """Fit a checkpoint on some rows, then answer the texts of others; with an `engine` only answer, by a saved predictor."""

    checkpoint: str
    texts: list[str]  # of the training rows
    labels: list[str]
    test_texts: list[str]
    test_labels: list[str]
    maxlen: int
    batch_size: int
    threads: int
    precision: str = "float32"
    engine: str | None = None
    epochs: int = 1
    lr: float = 3e-4


def read() -> Job:
    """The job on standard input."""
    return Job(**json.load(sys.stdin))


def report(job: Job, predict: Callable[[list[str]], list[str]], fit_seconds: float, **more: object) -> None:
    """Time `predict` on all test texts at once and on some one by one; print a line of figures."""
    texts = job.test_texts
    predict(texts[:WARM_UP])
    start = time.perf_counter()
    answers = predict(texts)
    seconds = time.perf_counter() - start
    single = []
    for text in texts[:ASKED_ALONE]:
        start = time.perf_counter()
        predict([text])
        single.append(time.perf_counter() - start)
    figures = {
        "fit_seconds": fit_seconds,
        "fit_rows_per_second": len(job.texts) * job.epochs / fit_seconds if fit_seconds else None,
        "predict_rows_per_second": len(answers) / seconds,
        "single_p50_ms": 1000 * statistics.median(single),
        "single_p95_ms": 1000 * statistics.quantiles(single, n=20, method="inclusive")[-1],
        "accuracy": statistics.mean(map(operator.eq, answers, job.test_labels)),
    }
    print(json.dumps({**figures, **more}), flush=True)
