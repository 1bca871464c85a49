"""Whether the best of many models is better than a given one, or only lucky on the rows that chose it.

The highest of many scores on the same rows is too high, the more so the fewer the rows. White 2000, "A Reality Check for Data
Snooping" (Econometrica 68:5), asks how large the lead of the best would be if none of them were better: the rows are resampled,
all models are scored on the same drawn rows, and of each resample the largest departure from the models' own leads is kept.

Shapes: R rows, L labels, N resamples. Truth is bool, (R, L); probabilities are (R, L).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from halfbert.scoring import intervals

RESAMPLES = 1000
LEVEL = 0.95

# From truth, probabilities and (N, R) weights of the rows to (N,) scores.
Score = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Lead:
    """The lead of the `best` of so many models over a given one, in the score.

    `luck` is the lead that the best of as many models, none of them better, exceeds in one of twenty draws of rows; `p_value`
    is the share of draws in which it would be as large as it is.
    """

    best: int
    lead: float
    luck: float
    p_value: float
    models: int
    rows: int

    @property
    def is_beyond_luck(self) -> bool:
        return self.lead > self.luck


def macro_f1(truth: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(N,) macro F1 of the most probable labels."""
    return intervals.macro_f1(truth, np.eye(truth.shape[1], dtype=bool)[probabilities.argmax(axis=1)], weights)


def mean_average_precision(truth: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(N,) means over the labels of scikit-learn's average precision; those without drawn rows of both kinds are not in."""
    precisions = [_average_precision(*label, weights) for label in zip(truth.T, probabilities.T, strict=True)]
    known = ~np.isnan(precisions)
    return intervals.share(np.where(known, precisions, 0.0).sum(axis=0), known.sum(axis=0))


def _average_precision(having: np.ndarray, ranked_by: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(N,) of one label, (R,) and (R,); NaN where no drawn row has it, or every one."""
    order = np.argsort(-ranked_by, kind="stable")
    drawn, falling = weights[:, order], -ranked_by[order]
    above = np.cumsum(drawn, axis=1)
    hits = drawn * having[order]
    hits_above = np.cumsum(hits, axis=1)
    ends = np.searchsorted(falling, falling, side="right") - 1  # equal probabilities are answered together
    all_hits = hits_above[:, -1]
    found = (hits * intervals.share(hits_above[:, ends], above[:, ends])).sum(axis=1)
    defined = (all_hits > 0) & (all_hits < above[:, -1])
    return np.where(defined, intervals.share(found, all_hits), np.nan)


SCORES: dict[str, Score] = {"multiclass": macro_f1, "multilabel": mean_average_precision}  # those that choose an epoch


def lead_of_best(task: str, truth: np.ndarray, probabilities: Mapping[int, np.ndarray], given: int) -> Lead:
    """The best of the models by their numbers against the `given` one, which is among them; all on the same rows."""
    score, once, numbers = SCORES[task], np.ones((1, len(truth))), list(probabilities)
    others = [number for number in numbers if number != given]
    own = {number: float(score(truth, probabilities[number], once)[0]) for number in numbers}
    best = max(numbers, key=lambda number: (own[number], number == given))
    lead = own[best] - own[given]
    if not others:
        return Lead(best, lead, 0.0, 1.0, 1, len(truth))
    departures = []
    for weights in intervals.resampled(len(truth), RESAMPLES):
        of_given = score(truth, probabilities[given], weights)
        drawn = [score(truth, probabilities[one], weights) - of_given - (own[one] - own[given]) for one in others]
        departures.append(np.max(drawn, axis=0))
    lucky = np.concatenate(departures)
    p_value = float((lucky >= lead).sum() + 1) / (RESAMPLES + 1)
    return Lead(best, lead, float(np.quantile(lucky, LEVEL)), p_value, len(numbers), len(truth))
