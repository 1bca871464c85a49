"""How far probabilities can be taken at their word: reliability, calibration error, Brier score.

Shapes: R rows, L labels. `probabilities` are (R, L) from 0 to 1, `truth` (R, L) of 0 and 1.
"""

from dataclasses import dataclass

import numpy as np

from halfbert.scoring.probabilities import log_loss

BINS = 15


@dataclass(frozen=True)
class Bin:
    """The predictions whose confidence is above `low` and up to `high`: how many, their mean confidence, the share right."""

    low: float
    high: float
    rows: int
    confidence: float
    accuracy: float


def bins_of(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> list[Bin]:
    """Predictions, (N,), in bins of equal width (Guo et al. 2017); bins without any are left out."""
    edges = np.linspace(0, 1, bins + 1)
    # Only the inner edges, so that a confidence of exactly 0, or above 1 by rounding, still falls into a bin.
    bin_of_row = np.digitize(confidence, edges[1:-1], right=True)
    filled = []
    for number in np.unique(bin_of_row):
        rows = bin_of_row == number
        means = float(confidence[rows].mean(dtype=np.float64)), float(right[rows].mean())
        filled.append(Bin(float(edges[number]), float(edges[number + 1]), int(rows.sum()), *means))
    return filled


def expected_calibration_error(bins: list[Bin]) -> float:
    """The mean gap between accuracy and confidence over the bins, weighted by rows; from 0 to 1."""
    gaps = sum(each.rows * abs(each.accuracy - each.confidence) for each in bins)
    return gaps / sum(each.rows for each in bins)


def reliability(truth: np.ndarray, probabilities: np.ndarray, task: str) -> list[Bin]:
    """Bins of the answers' confidence where a text has one label; of every label's probability where it has many.

    `truth` is (R, L) of 0 and 1.
    """
    if task == "multilabel":
        return bins_of(probabilities.ravel(), truth.ravel() > 0)
    answers = probabilities.argmax(axis=1)
    return bins_of(probabilities.max(axis=1), truth[np.arange(len(truth)), answers] > 0)


@dataclass(frozen=True)
class Quality:
    """How good probabilities are: 0 is perfect in all three.

    `log_loss` in nats and `brier` are means over rows; with many labels over rows and labels. The Brier score of a row with one
    label is the sum of the squared differences over its labels, from 0 to 2 (Brier 1950).
    """

    expected_calibration_error: float
    log_loss: float
    brier: float

    @classmethod
    def of(cls, truth: np.ndarray, probabilities: np.ndarray, task: str) -> "Quality":
        """Of the probabilities of rows with a truth, (R, L) of 0 and 1."""
        squares = (probabilities.astype(np.float64) - truth) ** 2
        if task == "multilabel":
            of_truth, brier = np.where(truth > 0, probabilities, 1 - probabilities.astype(np.float64)), squares.mean()
        else:
            of_truth, brier = probabilities[truth > 0], squares.sum(axis=1).mean()
        return cls(expected_calibration_error(reliability(truth, probabilities, task)), log_loss(of_truth), float(brier))
