"""Which answers of a small predictor a big one is to give instead: a cut through the small one's confidence. numpy alone.

A cascade of two (Viola and Jones 2001; for classifiers of texts Varshney and Baral 2022, arXiv:2210.05528): the small predictor
answers every row, and the big one again those whose confidence is below the cut. The cut is chosen on validation rows, which
trained neither.

Shapes: R rows, L labels. Truth and answers are bool, (R, L).
"""

import math
from dataclasses import dataclass

import numpy as np

from halfbert.scoring.intervals import macro_f1

MARGIN = 0.005  # of macro F1, unless the user says otherwise
STEPS = 100  # shares of rows that are tried
LEAST_ROWS = 200  # docs/cascade.md: by 73 rows, three of six cascades lost more than the margin


@dataclass(frozen=True)
class Paired:
    """Both predictors' answers to the same labelled rows, and the small one's confidence, (R,), in its answers."""

    truth: np.ndarray
    small: np.ndarray
    big: np.ndarray
    confidence: np.ndarray


@dataclass(frozen=True)
class Cut:
    """Rows with a confidence below `confidence` are passed on to the big predictor: 0 passes on none, infinity all.

    Of the `rows` by which it was chosen: the share passed on, and the macro F1 of the cascade and of the predictors alone.
    """

    confidence: float
    rows: int
    passed_on: float
    score: float
    small_score: float
    big_score: float

    def passes(self, confidence: np.ndarray) -> np.ndarray:
        """(R,) bool: the rows that are passed on."""
        return confidence < self.confidence


def answers(cut: Cut, paired: Paired) -> np.ndarray:
    """(R, L) answers of the cascade."""
    return np.where(cut.passes(paired.confidence)[:, None], paired.big, paired.small)


def rate(small: float, big: float, passed_on: float) -> float:
    """Rows a second of a cascade, from those of its predictors and the share that is passed on."""
    return 1 / (1 / small + passed_on / big)


def choose(paired: Paired, margin: float) -> Cut:
    """The cut that passes on the fewest rows, where it and all that pass on more lose at most `margin` to the big predictor.

    A cut that meets the margin among others that do not has met it by luck, so those below it are not looked at.
    """
    rows = len(paired.truth)
    once = np.ones((1, rows))

    def score(given: np.ndarray) -> float:
        return float(macro_f1(paired.truth, given, once)[0])

    small, big = score(paired.small), score(paired.big)
    best = Cut(math.inf, rows, 1.0, big, small, big)
    rising = np.sort(paired.confidence)
    for kept in np.unique(np.linspace(0, rows - 1, STEPS).astype(int))[::-1]:
        limit = float(rising[kept]) if kept else 0.0  # the least confident of the rows that the small one keeps
        cut = Cut(limit, rows, float((paired.confidence < limit).mean()), 0.0, small, big)
        reached = score(answers(cut, paired))
        if reached < big - margin - 1e-12:
            break
        best = Cut(limit, rows, cut.passed_on, reached, small, big)
    return best
