"""Figures of a comparison, from the answers of its contestants to the same test rows, and the verdict that they give.

Shapes: R test rows, L labels. Truth and answers are bool, (R, L); `answers` holds those of each contestant by name, one array a
seed.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from halfbert.benchmark.figures import cell_figures
from halfbert.benchmark.record import Record
from halfbert.data.tables import Rows
from halfbert.scoring import intervals as statistics

SCORES = {  # the verdict's first
    "multiclass": {"macro_f1": "macro F1", "accuracy": "accuracy"},
    "multilabel": {"macro_f1": "macro F1", "micro_f1": "micro F1", "accuracy": "exact match"},
}
LENGTH_BUCKETS = 4
SPEED_BATCH = 32
MOST_TIMES = 1000  # as many test rows are not to be had

Answers = dict[str, list[np.ndarray]]


# ---------------------------------------------------------------------------------------------------------------------------
# Verdict


def judge(difference: dict, margin: float) -> str:
    """Of a small contestant's difference to the largest: "good enough", "too weak", or "open" where the rows cannot tell."""
    if difference["low"] > -margin:
        return "good enough"
    return "too weak" if difference["high"] < -margin else "open"


def rows_to_tell(difference: dict, margin: float) -> int | None:
    """About how many test rows would tell, if the difference stays as it is: widths shrink as 1 / sqrt(rows).

    None where it would take more than MOST_TIMES the rows: the difference is as good as the margin.
    """
    distance = difference["difference"] + margin
    reach = difference["difference"] - difference["low"] if distance > 0 else difference["high"] - difference["difference"]
    if reach > abs(distance) * MOST_TIMES**0.5:
        return None
    return round(difference["rows"] * (reach / distance) ** 2)


def verdict(comparisons: Sequence[dict], reference: str, margin: float) -> dict:
    """Which contestant to ship: the smallest that is surely good enough, else the largest.

    `comparisons` are those of the smaller contestants to the largest, `reference`, from the smallest on. The `small` one of
    the result is the one that the verdict is about: what is shipped, else the one that scores best of those that are open,
    else of all.
    """
    judged = [(judge(comparison["difference"], margin), comparison) for comparison in comparisons]
    for found in ("good enough", "open", "too weak"):
        candidates = [comparison for word, comparison in judged if word == found]
        if candidates:
            best = max(candidates, key=lambda comparison: comparison["difference"]["first"])
            small = candidates[0] if found == "good enough" else best
            return {
                "ship": small["small"] if found == "good enough" else reference,
                "small": small["small"],
                "reference": reference,
                "found": found,
                "margin": margin,
                "rows_to_tell": rows_to_tell(small["difference"], margin) if found == "open" else None,
                "judged": {comparison["small"]: word for word, comparison in judged},
            }
    raise ValueError("there is nothing to compare")


# ---------------------------------------------------------------------------------------------------------------------------
# Quality


def score(key: str, truth: np.ndarray, answers: np.ndarray) -> float:
    """One of SCORES on all rows."""
    return float(getattr(statistics, key)(truth, answers, np.ones((1, len(truth))))[0])


def scores(task: str, truth: np.ndarray, answers: list[np.ndarray]) -> dict[str, dict]:
    """The task's SCORES of a contestant, means of its seeds, each with its 95 % interval and the score of every seed."""
    return {
        key: {
            **asdict(statistics.bootstrap(getattr(statistics, key), truth, answers)),
            "by_seed": [score(key, truth, each) for each in answers],
        }
        for key in SCORES[task]
    }


def compare(task: str, truth: np.ndarray, answers: Answers, small: str, large: str) -> dict:
    """A contestant against the largest: differences with intervals, what is retained, McNemar's test, agreement.

    `difference` is that of the verdict's score, as `statistics.paired_bootstrap` gives it. `retained` is a ratio and points
    (of 100). McNemar's test and agreement are those of the first seeds.
    """
    one, other = answers[small], answers[large]
    found = {key: statistics.paired_bootstrap(getattr(statistics, key), truth, one, other) for key in SCORES[task]}
    right = [(given[0] == truth).all(axis=1) for given in (one, other)]
    return {
        "small": small,
        "large": large,
        "difference": {**asdict(next(iter(found.values()))), "seeds": max(len(one), len(other))},
        "differences": {
            key: {"difference": each.difference, "low": each.low, "high": each.high} for key, each in found.items()
        },
        "retained": {
            key: {"ratio": each.first / each.second if each.second else None, "points": 100 * each.difference}
            for key, each in found.items()
        },
        "mcnemar": asdict(statistics.mcnemar(*right)),
        "agreement": float((one[0] == other[0]).all(axis=1).mean()),
    }


def per_label(truth: np.ndarray, answers: Answers, labels: Sequence[str]) -> list[dict]:
    """Each label with its rows and each contestant's F1, the mean of its seeds."""
    f1 = {name: np.mean([_f1_per_label(truth, each) for each in given], axis=0) for name, given in answers.items()}
    return [
        {
            "label": label,
            "rows": int(truth[:, number].sum()),
            "f1": {name: float(values[number]) for name, values in f1.items()},
        }
        for number, label in enumerate(labels)
    ]


def _f1_per_label(truth: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """(L,) F1; 0 for a label with neither rows nor answers."""
    found, given = (truth & answers).sum(axis=0), truth.sum(axis=0) + answers.sum(axis=0)
    return np.divide(2 * found, given, out=np.zeros(len(found)), where=given > 0)


def by_length(truth: np.ndarray, answers: Answers, texts: Sequence[str]) -> list[dict]:
    """Buckets of about as many rows, by words a text, with each contestant's share of wholly right rows in them."""
    words = np.array([len(text.split()) for text in texts])
    edges = np.unique(np.quantile(words, np.arange(1, LENGTH_BUCKETS) / LENGTH_BUCKETS, method="lower"))
    bucket = np.searchsorted(edges, words)
    right = {name: np.mean([(each == truth).all(axis=1) for each in given], axis=0) for name, given in answers.items()}
    return [
        {
            "words": [int(words[bucket == number].min()), int(words[bucket == number].max())],
            "rows": int((bucket == number).sum()),
            "right": {name: float(values[bucket == number].mean()) for name, values in right.items()},
        }
        for number in np.unique(bucket)
    ]


def disagreements(truth: np.ndarray, answers: Answers, small: str, large: str, test: Rows, labels: Sequence[str]) -> list[dict]:
    """The rows that two answer differently with their first seeds; those that only the large one gets right come first."""
    one, other = answers[small][0], answers[large][0]

    def named(chosen: np.ndarray) -> str:
        return "; ".join(labels[number] for number in np.flatnonzero(chosen))

    rows = []
    for index in np.flatnonzero((one != other).any(axis=1)):
        right = [name for name, given in ((small, one), (large, other)) if (given[index] == truth[index]).all()]
        rows.append(
            {
                "file": Path(test.file).name,
                "row": test.numbers[index],
                "text": test.texts[index],
                "truth": named(truth[index]),
                small: named(one[index]),
                large: named(other[index]),
                "right": right[0] if right else "neither",
            }
        )
    return sorted(rows, key=lambda row: [large, "neither", small].index(row["right"]))


# ---------------------------------------------------------------------------------------------------------------------------
# Speed


def engine_speeds(record: Record, predictor: str) -> list[dict]:
    """Out of a benchmark's record: a row for each engine that ran of a predictor, end to end on texts as they are."""
    rows = []
    for contestant in (contestant for contestant in record.ran if contestant.predictor == predictor):
        figures = {
            figure.batch: figure
            for scenario in ("single", "offline")
            for figure in cell_figures(record, scenario)
            if figure.who == contestant.who
        }
        peaks = [start.peak_above_import for start in contestant.cold if start.peak_above_import is not None]
        rows.append(
            {
                "engine": contestant.engine,
                "setting": contestant.setting,
                "texts_per_second": figures[SPEED_BATCH].texts_per_second.median,
                "single_seconds": figures[1].seconds_per_call.median,
                "first_answer_seconds": float(np.median([start.first_answer_seconds for start in contestant.cold])),
                "peak_above_import": float(np.median(peaks)) if peaks else None,
                "weight_bytes": contestant.weight_bytes,
            }
        )
    return rows
