"""Scores of texts with one label each, as plain Python numbers that go into a record unchanged.

Everywhere `truth` holds integers, shape (rows,), the index of each row's true label, and `probabilities` floats from 0 to 1,
shape (rows, labels). A row's answer is the label of highest probability. Every function raises ValueError if the shapes do not
fit together, there are no rows, or an index is out of range.
"""

from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support

from halfbert.data.phrases import counted
from halfbert.scoring.probabilities import log_loss
from halfbert.scoring.reliability import BINS, Bin, bins_of, expected_calibration_error


def multiclass(truth: np.ndarray, probabilities: np.ndarray, labels: list[str], commonest: int) -> dict[str, Any]:
    """The scores of the test rows; their names mean what they mean in scikit-learn.

    Args:
        labels: the names of the labels, in column order.
        commonest: the index of the commonest label of the *training* rows; always answering it is the baseline.

    Returns:
        `accuracy`, `balanced_accuracy`, `macro_f1`, `micro_f1`, `weighted_f1` (from 0 to 1), `log_loss` (nats per row),
        `expected_calibration_error` (from 0 to 1), `commonest_label` (the baseline's label, `accuracy`,
        `balanced_accuracy` and `macro_f1`; it has no probabilities, hence no log loss), `per_label` (in label order; the
        scores of a label without rows are None) and `confusion` (counts; rows are the truth, columns the answer). F1 is
        averaged over all `labels`, and is 0 for one that has neither rows nor answers; balanced accuracy is averaged over
        the labels that have rows.
    """
    _check_shapes(truth, probabilities)
    classes = probabilities.shape[1]
    if len(labels) != classes or not 0 <= commonest < classes:
        raise ValueError(
            f"{counted(len(labels), 'label')} and commonest={commonest} do not fit {classes} columns of probabilities"
        )
    answers = probabilities.argmax(axis=1)
    baseline = _scores_of_answers(truth, np.full_like(truth, commonest), classes)
    return {
        **_scores_of_answers(truth, answers, classes),
        "micro_f1": _f1(truth, answers, classes, "micro"),
        "weighted_f1": _f1(truth, answers, classes, "weighted"),
        "log_loss": _cross_entropy(truth, probabilities),
        "expected_calibration_error": expected_calibration_error(reliability_bins(truth, probabilities)),
        "commonest_label": {"label": labels[commonest], **baseline},
        "per_label": _per_label(truth, answers, labels),
        "confusion": confusion_matrix(truth, answers, labels=np.arange(classes)).tolist(),
    }


def validation(truth: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """The scores of the validation rows after an epoch: `val_loss` (nats per row), `val_accuracy`, `val_macro_f1`.

    The loss is NaN if a probability is.
    """
    _check_shapes(truth, probabilities)
    answers = probabilities.argmax(axis=1)
    return {
        "val_loss": _cross_entropy(truth, probabilities),
        "val_accuracy": float((answers == truth).mean()),
        "val_macro_f1": _f1(truth, answers, probabilities.shape[1], "macro"),
    }


def reliability_bins(truth: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> list[Bin]:
    """The rows grouped by the probability of their answer, in bins of equal width (Guo et al. 2017, arXiv:1706.04599).

    Bins without rows are left out.
    """
    _check_shapes(truth, probabilities)
    return bins_of(probabilities.max(axis=1), probabilities.argmax(axis=1) == truth, bins)


def _check_shapes(truth: np.ndarray, probabilities: np.ndarray) -> None:
    if truth.ndim != 1 or probabilities.ndim != 2 or len(truth) != len(probabilities):
        raise ValueError(f"expected shapes (rows,) and (rows, classes), found {truth.shape} and {probabilities.shape}")
    if not len(truth):
        raise ValueError("no rows to score")
    if truth.min() < 0 or truth.max() >= probabilities.shape[1]:
        raise ValueError(f"expected classes 0 to {probabilities.shape[1] - 1}, found {truth.min()} to {truth.max()}")


def _scores_of_answers(truth: np.ndarray, answers: np.ndarray, classes: int) -> dict[str, float]:
    # Recall by hand rather than balanced_accuracy_score, which warns of every answer whose label has no rows.
    right = truth == answers
    support = np.bincount(truth, minlength=classes)
    recall = np.bincount(truth[right], minlength=classes)[support > 0] / support[support > 0]
    return {
        "accuracy": float(right.mean()),
        "balanced_accuracy": float(recall.mean()),
        "macro_f1": _f1(truth, answers, classes, "macro"),
    }


def _f1(truth: np.ndarray, answers: np.ndarray, classes: int, average: str) -> float:
    return float(f1_score(truth, answers, labels=np.arange(classes), average=average, zero_division=0))


def _per_label(truth: np.ndarray, answers: np.ndarray, labels: list[str]) -> list[dict[str, Any]]:
    columns = precision_recall_fscore_support(truth, answers, labels=np.arange(len(labels)), zero_division=0)
    names = ("precision", "recall", "f1")
    return [
        {"label": label, **{name: float(score) if support else None for name, score in zip(names, scores, strict=True)}}
        | {"support": int(support)}
        for label, *scores, support in zip(labels, *columns, strict=True)
    ]


def _cross_entropy(truth: np.ndarray, probabilities: np.ndarray) -> float:
    # scikit-learn's log_loss also wants each row to sum to 1 within the rounding of its type, which float32 softmax
    # over many classes misses.
    return log_loss(probabilities[np.arange(len(truth)), truth])
