"""One trial in a process of its own: `python -m halfbert.tuning.worker`.

Standard input is a `Job` in JSON, with the training and validation rows in it: a trial has no test rows. Each line of standard
output is an event in JSON: {"epoch": 2, "score": 0.81, "seconds": 7.5} after each epoch, and at the end {"score": that of the
kept epoch, "best_epoch": its number, "answers": base64 of the (validation rows, labels) float32 probabilities}. What the
training says goes to standard error, whose last line is the reason of a failure; the exit code is that of the commands.
"""

import base64
import json
import os
import sys
import time
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from halfbert.comparison import baseline
from halfbert.data.tables import Data, Rows
from halfbert.predictor.manifest import Numbers
from halfbert.scoring.probabilities import probabilities_of
from halfbert.system import console
from halfbert.system.errors import InputError
from halfbert.training import course, steps, tasks

COMMAND = ["-m", "halfbert.tuning.worker"]


@dataclass(frozen=True)
class Job:
    """What a trial is to fit: the `options` of a training run by name, and the rows, without those of the test."""

    task: str
    options: dict[str, Any]
    labels: list[str]
    train_texts: list[str]
    train_labels: list[Any]
    val_texts: list[str]
    val_labels: list[Any]

    @property
    def data(self) -> Data:
        """The rows as training has them; the test part is empty."""
        train, val = _rows(self.train_texts, self.train_labels), _rows(self.val_texts, self.val_labels)
        return Data(train, val, _rows([], []), self.labels, [], {}, [])


def _rows(texts: list[str], labels: list[Any]) -> Rows:
    of_rows = [label if isinstance(label, str) else tuple(label) for label in labels]
    return Rows(texts, of_rows, list(range(1, len(texts) + 1)), "rows of the search")


def encoded(task: str, options: dict[str, Any], data: Data) -> bytes:
    """A `Job` on the training and validation rows of the data, as a trial reads it."""
    rows = data.train.texts, data.train.labels, data.val.texts, data.val.labels
    return json.dumps(vars(Job(task, options, data.labels, *rows))).encode()  # escapes lone surrogates, unlike msgspec


def main(_arguments: list[str], stop: console.StopRequest) -> None:
    """Do the job on standard input."""
    job = msgspec.convert(json.load(sys.stdin.buffer), Job)
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not come between the events
    score = tasks.CHOSEN_BY[job.task]

    def tell(**event: Any) -> None:
        print(json.dumps(event), file=events, flush=True)

    def watch(row: Numbers) -> None:
        if row[score] is None:
            raise InputError(f"{score.removeprefix('val_')} is not measurable on these validation rows; give others with --val")
        tell(epoch=row["epoch"], score=row[score], seconds=row["seconds"])

    options = baseline.OPTIONS[job.task](**job.options)
    prepared = steps.prepare(job.task, options, job.data, stop, time.perf_counter())
    fitted = course.fit(prepared, watch=watch)
    if fitted.failure is not None:
        raise fitted.failure
    probabilities = probabilities_of(fitted.val_logits, job.task).astype(np.float32)
    answers = base64.b64encode(probabilities.tobytes()).decode()
    scores = tasks.validation(job.task, prepared.truth["val"], probabilities)
    tell(score=scores[score], best_epoch=fitted.history.best_epoch, answers=answers)


if __name__ == "__main__":
    sys.exit(console.run(main, sys.argv[1:]))
