"""What is made of the probabilities of a text: its confidence, and whether a person answers instead."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Rule:
    """How sure an answer is, and which answers are left to a person.

    `calibration`, if there is one, gives (rows, labels) calibrated probabilities of those of the predictor. Rows whose
    confidence is below `least_confidence` are left to a person; None leaves none. A calibration is picklable, and its `repr`
    tells it apart from others: a run does not go on with answers of another rule.
    """

    calibration: Callable[[np.ndarray], np.ndarray] | None = None
    least_confidence: float | None = None

    def calibrated(self, probabilities: np.ndarray) -> np.ndarray:
        """(rows, labels) probabilities that confidences are read from."""
        return probabilities if self.calibration is None else self.calibration(probabilities)

    def confidences(self, calibrated: np.ndarray, answered: np.ndarray) -> np.ndarray:
        """(rows,) confidences of the answered labels, one a row: (rows,) indices; or any number, (rows, labels) booleans.

        Of one label it is its probability. Of any number it is the probability of the least certain decision among those on
        each label, whether it was answered or not.
        """
        if answered.ndim == 1:
            return calibrated[np.arange(len(answered)), answered]
        return np.where(answered, calibrated, 1 - calibrated).min(axis=1)

    def reviewed(self, confidences: np.ndarray) -> np.ndarray:
        """(rows,) booleans: whether a person answers."""
        if self.least_confidence is None:
            return np.zeros(len(confidences), bool)
        return confidences < self.least_confidence
