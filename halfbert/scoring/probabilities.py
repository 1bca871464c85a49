"""Probabilities of a classifier's logits: numpy alone, as the base install answers with it; computed in float64.

scipy.special has the same functions, but is no part of that install.
"""

import numpy as np


def softmax(logits: np.ndarray) -> np.ndarray:
    """(rows, labels) probabilities that sum to 1 in each row; no logit is too large."""
    logits = logits.astype(np.float64)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Probabilities of the logits' shape, each on its own; no logit is too large."""
    return np.exp(-np.logaddexp(0, -logits.astype(np.float64)))


def probabilities_of(logits: np.ndarray, task: str) -> np.ndarray:
    """(rows, labels) probabilities: `softmax` for the task multiclass, `sigmoid` for multilabel."""
    return sigmoid(logits) if task == "multilabel" else softmax(logits)


def log_loss(of_truth: np.ndarray) -> float:
    """Mean cross-entropy in nats, from the probabilities of what is true, clipped as scikit-learn clips them."""
    epsilon = np.finfo(np.float64).eps
    return float(-np.log(np.clip(of_truth.astype(np.float64), epsilon, 1 - epsilon)).mean())
