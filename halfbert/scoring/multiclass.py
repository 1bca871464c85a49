"""Scores of a classifier's answers, as plain Python numbers that go into a record unchanged."""

import numpy as np
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support


def multiclass(truth: np.ndarray, probabilities: np.ndarray, labels: list[str], commonest: int) -> dict:
    """Scores one answer per row: the label of highest probability.

    Args:
        truth: integers, shape (rows,): the index in `labels` of each row's true label.
        probabilities: floats from 0 to 1, shape (rows, classes), each row summing to 1.
        labels: the names of the classes, in column order.
        commonest: the index of the commonest class of the *training* rows; always answering it is the baseline.

    Returns:
        `accuracy`, `balanced_accuracy`, `macro_f1`, `micro_f1`, `weighted_f1` (from 0 to 1), `log_loss` (nats per row),
        `expected_calibration_error` (from 0 to 1), `commonest_label` (the baseline's label, `accuracy`,
        `balanced_accuracy` and `macro_f1`; it has no probabilities, hence no log loss), `per_label` (in label order; the
        scores of a label without rows are None) and `confusion` (counts; rows are the truth, columns the answer). The
        names mean what they mean in scikit-learn. F1 is averaged over all `labels`, and is 0 for one that has neither
        rows nor answers; balanced accuracy is averaged over the labels that have rows.

    Raises:
        ValueError: the shapes do not fit together, there are no rows, or an index is out of range.
    """
    _check_shapes(truth, probabilities)
    classes = probabilities.shape[1]
    if len(labels) != classes or not 0 <= commonest < classes:
        raise ValueError(f"{len(labels)} labels and commonest={commonest} do not fit {classes} columns of probabilities")
    answers = probabilities.argmax(axis=1)
    every_class = np.arange(classes)
    return {
        **_scores_of_answers(truth, answers, classes),
        "micro_f1": _f1(truth, answers, classes, "micro"),
        "weighted_f1": _f1(truth, answers, classes, "weighted"),
        "log_loss": _cross_entropy(truth, probabilities),
        "expected_calibration_error": expected_calibration_error(reliability_bins(truth, probabilities)),
        "commonest_label": {
            "label": labels[commonest],
            **_scores_of_answers(truth, np.full_like(truth, commonest), classes),
        },
        "per_label": _per_label(truth, answers, labels),
        "confusion": confusion_matrix(truth, answers, labels=every_class).tolist(),
    }


def validation(truth: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Scores the validation rows after an epoch; cheap enough for every epoch.

    Args:
        truth: integers, shape (rows,): each row's true class.
        probabilities: floats, shape (rows, classes).

    Returns:
        `val_loss` (mean cross-entropy, nats per row; NaN where a probability is), `val_accuracy`, `val_macro_f1`.

    Raises:
        ValueError: the shapes do not fit together, there are no rows, or a class is out of range.
    """
    _check_shapes(truth, probabilities)
    answers = probabilities.argmax(axis=1)
    return {
        "val_loss": _cross_entropy(truth, probabilities),
        "val_accuracy": float((answers == truth).mean()),
        "val_macro_f1": _f1(truth, answers, probabilities.shape[1], "macro"),
    }


def reliability_bins(truth: np.ndarray, probabilities: np.ndarray, bins: int = 15) -> list[dict]:
    """Groups the rows by the probability of their answer, in bins of equal width (Guo et al. 2017, arXiv:1706.04599).

    Args:
        truth: integers, shape (rows,): each row's true class.
        probabilities: floats, shape (rows, classes).
        bins: how many bins divide the range from 0 to 1.

    Returns:
        One entry a bin, in rising order: `low` and `high` (the bin holds what is above `low` and up to `high`), `rows`,
        and the means `confidence` and `accuracy`, which are None in a bin without rows.

    Raises:
        ValueError: the shapes do not fit together, there are no rows, or a class is out of range.
    """
    _check_shapes(truth, probabilities)
    return _bins_by_confidence(probabilities.max(axis=1), probabilities.argmax(axis=1) == truth, bins)


def expected_calibration_error(bins: list[dict]) -> float:
    """The mean gap between accuracy and confidence over `reliability_bins`, weighted by rows; from 0 to 1."""
    rows = sum(entry["rows"] for entry in bins)
    gaps = (entry["rows"] * abs(entry["accuracy"] - entry["confidence"]) for entry in bins if entry["rows"])
    return float(sum(gaps) / rows)


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


def _per_label(truth: np.ndarray, answers: np.ndarray, labels: list[str]) -> list[dict]:
    columns = precision_recall_fscore_support(truth, answers, labels=np.arange(len(labels)), zero_division=0)
    return [
        {
            "label": label,
            "precision": float(precision) if support else None,
            "recall": float(recall) if support else None,
            "f1": float(f1) if support else None,
            "support": int(support),
        }
        for label, precision, recall, f1, support in zip(labels, *columns, strict=True)
    ]


def _cross_entropy(truth: np.ndarray, probabilities: np.ndarray) -> float:
    # scikit-learn's log_loss also wants each row to sum to 1 within the rounding of its type, which float32 softmax
    # over many classes misses; the clipping is the same as there.
    of_truth = probabilities[np.arange(len(truth)), truth].astype(np.float64)
    epsilon = np.finfo(np.float64).eps
    return float(-np.log(np.clip(of_truth, epsilon, 1 - epsilon)).mean())


def _bins_by_confidence(confidence: np.ndarray, right: np.ndarray, bins: int) -> list[dict]:
    edges = np.linspace(0, 1, bins + 1)
    # Only the inner edges, so that a confidence of exactly 0, or above 1 by rounding, still falls into a bin.
    bin_of_row = np.digitize(confidence, edges[1:-1], right=True)
    return [
        {
            "low": float(low),
            "high": float(high),
            "rows": int(inside.sum()),
            "confidence": float(confidence[inside].mean(dtype=np.float64)) if inside.any() else None,
            "accuracy": float(right[inside].mean()) if inside.any() else None,
        }
        for low, high, inside in zip(edges[:-1], edges[1:], (bin_of_row == number for number in range(bins)), strict=True)
    ]
