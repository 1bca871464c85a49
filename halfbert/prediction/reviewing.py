"""How sure an answer is, and whether a person answers instead: the one place between a predictor's probabilities and both."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


class Decided(Protocol):
    """(rows,) of each row: how likely its answer is right, and whether a person answers."""

    @property
    def confidence(self) -> np.ndarray: ...

    @property
    def review(self) -> np.ndarray: ...


class Reviewer(Protocol):
    """Decides on any number of rows at a time, in any process.

    A reviewer is picklable, and its `repr` tells it apart from those that decide otherwise: a run does not go on with answers
    that another one decided on. `asks` says whether any row is left to a person.
    """

    @property
    def asks(self) -> bool: ...

    def decide(self, probabilities: np.ndarray) -> Decided:
        """Decide on rows by the predictor's own probabilities, (rows, labels)."""
        ...

    def calibrated(self, probabilities: np.ndarray) -> np.ndarray:
        """(rows, labels) probabilities that confidences are read from."""
        ...


@dataclass(frozen=True)
class AllAnswered:
    """What `Confidence.decide` gives: `Decided`."""

    confidence: np.ndarray
    review: np.ndarray


@dataclass(frozen=True)
class Confidence:
    """Takes the predictor's probabilities as they are, and leaves no row to a person; `thresholds` are the predictor's."""

    thresholds: Sequence[float] | None
    asks: bool = False

    def decide(self, probabilities: np.ndarray) -> AllAnswered:
        """The probability of the answer; of several labels their mean, of none 1 less the highest probability."""
        review = np.zeros(len(probabilities), bool)
        if self.thresholds is None:
            return AllAnswered(probabilities.max(axis=1), review)
        answered = probabilities >= np.array(self.thresholds)
        count = answered.sum(axis=1)
        mean = np.where(answered, probabilities, 0).sum(axis=1) / np.maximum(count, 1)
        return AllAnswered(np.where(count > 0, mean, 1 - probabilities.max(axis=1)), review)

    def calibrated(self, probabilities: np.ndarray) -> np.ndarray:
        return probabilities
