"""Calibrated probabilities: fitted on validation rows when a predictor is trained, applied with numpy alone.

One label a text: a temperature (Guo et al. 2017, arXiv:1706.04599). Many: a logistic regression on each label's logits (Platt
1999). A ridge holds both towards what the network says, so that few rows change little. Neither changes `predict_proba`.

Shapes: R rows, L labels. `probabilities` are the network's own, (R, L) from 0 to 1.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from halfbert.scoring.probabilities import probabilities_of, sigmoid

RIDGE = 10.0  # as much as some forty rows of a probability of 0.5 weigh
LEAST_PROBABILITY = 1e-6  # below which, and as near to 1, a logit is not followed
LEAST_FLOAT = 1e-45  # of float32: what has become 0 was smaller
MOST_ROWS = 10_000  # whose scores a manifest keeps
SCORE_DECIMALS, LOSS_DECIMALS = 3, 4
UNDEFINED = "-"


@dataclass(frozen=True)
class HeldOut:
    """Scores of validation rows by which cuts are chosen (`halfbert.scoring.review`), the most confident row first; no texts.

    Numbers in one string each, as a manifest holds them: `scores`, and the `losses` from 0 to 1 of the rows' answers, "-" where
    a row's risk is undefined.
    """

    scores: str
    losses: str

    @classmethod
    def of(cls, scores: np.ndarray, losses: np.ndarray) -> "HeldOut":
        """From (R,) scores and losses, NaN where undefined; of more than MOST_ROWS rows, some evenly spaced ones are kept."""
        kept = np.unique(np.linspace(0, len(scores) - 1, MOST_ROWS).astype(int)) if len(scores) else np.arange(0)
        kept = kept[np.argsort(-scores[kept], kind="stable")]
        words = (UNDEFINED if math.isnan(loss) else f"{loss:.{LOSS_DECIMALS}g}" for loss in losses[kept].tolist())
        return cls(" ".join(f"{score:.{SCORE_DECIMALS}f}" for score in scores[kept].tolist()), " ".join(words))

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """(R,) falling scores and their losses. Raises ValueError if they are not such."""
        scores = np.array([float(word) for word in self.scores.split()])
        losses = np.array([math.nan if word == UNDEFINED else float(word) for word in self.losses.split()])
        if len(scores) != len(losses) or not np.isfinite(scores).all() or (np.diff(scores) > 0).any():
            raise ValueError("expected as many losses as scores, and falling scores")
        if (losses < 0).any() or (losses > 1).any():
            raise ValueError("expected losses from 0 to 1")
        return scores, losses


@dataclass(frozen=True)
class Calibration:
    """What a manifest holds of `rows` validation rows.

    `temperature` where a text has one label; where it has many, `platt`: slope and offset of each label's logit. `held_out`, by
    risk (`halfbert.scoring.review.RISKS`).
    """

    rows: int
    temperature: float | None = None
    platt: list[tuple[float, float]] | None = None
    held_out: dict[str, HeldOut] = field(default_factory=dict)

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        """(R, L) calibrated probabilities, float64."""
        if self.platt is None:
            assert self.temperature is not None
            logits = np.log(np.maximum(probabilities.astype(np.float64), LEAST_FLOAT))  # but for a constant in each row
            return probabilities_of(logits / self.temperature, "multiclass")
        slopes, offsets = np.array(self.platt).T
        return sigmoid(slopes * _logits(probabilities) + offsets)

    def check(self, labels: int, multilabel: bool, risks: tuple[str, ...]) -> None:
        """Raise ValueError unless all of it is there, and fits the labels."""
        numbers = np.array(self.platt if multilabel else [self.temperature], float)
        if numbers.shape != ((labels, 2) if multilabel else (1,)) or not np.isfinite(numbers).all():
            raise ValueError("expected slope and offset of each label" if multilabel else "expected a temperature")
        if not multilabel and numbers[0] <= 0:
            raise ValueError(f"expected a temperature above 0, found {numbers[0]:g}")
        if tuple(self.held_out) != risks:
            raise ValueError(f"expected scores by {' and '.join(risks)}")
        for scores in self.held_out.values():
            scores.read()


def fit_temperature(truth: np.ndarray, logits: np.ndarray) -> float:
    """The temperature of the least log loss; `truth` (R, L) of 0 and 1, one 1 a row."""
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    logits = logits.astype(np.float64)
    of_truth = logits[truth > 0]

    def loss(slope: float) -> float:
        return float(np.sum(logsumexp(slope * logits, axis=1) - slope * of_truth) + RIDGE / 2 * (slope - 1) ** 2)

    return 1 / float(minimize_scalar(loss, bounds=(0.01, 100), method="bounded").x)


def fit_platt(truth: np.ndarray, probabilities: np.ndarray) -> tuple[float, float]:
    """Slope and offset of one label's logit, of the least log loss; both arguments of shape (R,)."""
    from scipy.optimize import minimize
    from scipy.special import expit

    logits = _logits(probabilities)

    def loss(line: np.ndarray) -> tuple[float, np.ndarray]:
        slope, offset = line
        moved = slope * logits + offset
        left = expit(moved) - truth
        from_identity = np.array([slope - 1, offset])
        value = np.sum(np.logaddexp(0, moved) - truth * moved) + RIDGE / 2 * from_identity @ from_identity
        return value, np.array([left @ logits, left.sum()]) + RIDGE * from_identity

    slope, offset = minimize(loss, [1.0, 0.0], jac=True).x.tolist()
    return slope, offset


def _logits(probabilities: np.ndarray) -> np.ndarray:
    clipped = np.clip(probabilities.astype(np.float64), LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    return np.log(clipped) - np.log1p(-clipped)
