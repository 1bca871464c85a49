"""The judgement of a comparison, from its contestants' answers to the same test rows.

Shapes: R test rows, L labels. Truth and answers are bool, (R, L); `answers` holds each contestant's by name, one array a seed.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from halfbert.comparison.record import SCORES, Change, LabelRow, LengthRow, Pairing, Retained, Score
from halfbert.data.tables import Rows
from halfbert.output.words import model_name
from halfbert.scoring import intervals
from halfbert.scoring.intervals import Sampled
from halfbert.training import tasks

LENGTH_BUCKETS = 4

Answers = dict[str, list[np.ndarray]]


def score(key: str, truth: np.ndarray, answers: np.ndarray) -> float:
    """One of SCORES on all rows."""
    return float(getattr(intervals, key)(truth, answers, np.ones((1, len(truth))))[0])


def scores(task: str, truth: np.ndarray, answers: Sequence[np.ndarray]) -> dict[str, Score]:
    """The task's SCORES of a contestant."""
    return {
        key: Score(
            **asdict(intervals.bootstrap(getattr(intervals, key), truth, answers)),
            by_seed=[score(key, truth, each) for each in answers],
        )
        for key in SCORES[task]
    }


def comparisons(task: str, truth: np.ndarray, answers: Answers) -> list[Pairing]:
    """Each contestant against each later one, in the order of `answers`."""
    names, given = list(answers), list(answers.values())
    found = {key: intervals.samples(getattr(intervals, key), truth, given) for key in SCORES[task]}
    sampled = {name: {key: each[number] for key, each in found.items()} for number, name in enumerate(names)}
    return [
        _pairing(truth, answers, sampled, small, large) for number, small in enumerate(names) for large in names[number + 1 :]
    ]


def _pairing(truth: np.ndarray, answers: Answers, sampled: dict[str, dict[str, Sampled]], small: str, large: str) -> Pairing:
    """A contestant against a larger one; `sampled` has by name their scores on the same resamples."""
    one, other = answers[small], answers[large]
    found = {key: intervals.contrast(each, sampled[large][key]) for key, each in sampled[small].items()}
    return Pairing(
        small=small,
        large=large,
        difference=replace(next(iter(found.values())), seeds=max(len(one), len(other))),
        differences={key: Change(each.difference, each.low, each.high) for key, each in found.items()},
        retained={
            key: Retained(each.first / each.second if each.second else None, 100 * each.difference)
            for key, each in found.items()
        },
        mcnemar=intervals.mcnemar(_same(one[0], truth), _same(other[0], truth)),
        agreement=float(_same(one[0], other[0]).mean()),
    )


def _same(answers: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(R,) bool: the rows with every label equal."""
    return (answers == others).all(axis=1)


def per_label(truth: np.ndarray, answers: Answers, labels: Sequence[str]) -> list[LabelRow]:
    """Each label with its test rows and F1, 0 for a label with neither rows nor answers."""
    from sklearn.metrics import f1_score

    of_each = partial(f1_score, truth, average=None, zero_division=0)
    f1 = {name: np.mean([of_each(each) for each in given], axis=0) for name, given in answers.items()}
    return [
        LabelRow(label, int(truth[:, number].sum()), {name: float(values[number]) for name, values in f1.items()})
        for number, label in enumerate(labels)
    ]


def by_length(truth: np.ndarray, answers: Answers, texts: Sequence[str]) -> list[LengthRow]:
    """Test rows in buckets of about equal size, by words per text."""
    words = np.array([len(text.split()) for text in texts])
    edges = np.unique(np.quantile(words, np.arange(1, LENGTH_BUCKETS) / LENGTH_BUCKETS, method="lower"))
    bucket = np.searchsorted(edges, words)
    right = {name: np.mean([_same(each, truth) for each in given], axis=0) for name, given in answers.items()}
    return [
        LengthRow(
            [int(words[inside].min()), int(words[inside].max())],
            int(inside.sum()),
            {name: float(values[inside].mean()) for name, values in right.items()},
        )
        for inside in (bucket == number for number in np.unique(bucket))
    ]


def disagreements(
    truth: np.ndarray, answers: Answers, small: str, large: str, test: Rows, labels: Sequence[str]
) -> list[dict[str, Any]]:
    """The rows of disagreements.csv, of the first seeds; those that only the large one gets right come first."""
    one, other = answers[small][0], answers[large][0]
    small_name, large_name = (model_name(name, short=True) for name in (small, large))
    rows = []
    for index in np.flatnonzero(~_same(one, other)):
        right = [name for name, given in ((small_name, one), (large_name, other)) if (given[index] == truth[index]).all()]
        rows.append(
            {
                "file": Path(test.file).name,
                "row": test.numbers[index],
                "text": test.texts[index],
                "truth": tasks.named(truth[index], labels),
                small_name: tasks.named(one[index], labels),
                large_name: tasks.named(other[index], labels),
                "right": right[0] if right else "neither",
            }
        )
    return sorted(rows, key=lambda row: [large_name, "neither", small_name].index(row["right"]))
