"""What differs between the tasks: one label a text (multiclass), or any number of them (multilabel).

Shapes: R rows, L labels. Truth is (R, L) of 0 and 1 for both tasks.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from halfbert.data.iterative import iterative_folds, iterative_sample
from halfbert.data.multiclass import read_multiclass
from halfbert.data.multilabel import read_multilabel
from halfbert.data.splits import Deal, Draw, deal_by_label, draw_by_label
from halfbert.data.tables import Data, Rows
from halfbert.scoring import intervals, selection
from halfbert.scoring.intervals import Interval
from halfbert.scoring.probabilities import probabilities_of

EPSILON = 1e-15  # that a probability is clipped at
RANKED_NUMBERS = 300_000_000  # rows times labels times resamples that average precision is bootstrapped over: seconds
CHOSEN_BY = {"multiclass": "val_macro_f1", "multilabel": "val_mean_average_precision"}
DRAWS: dict[str, Draw] = {"multiclass": draw_by_label, "multilabel": iterative_sample}
DEALS: dict[str, Deal] = {"multiclass": deal_by_label, "multilabel": iterative_folds}
ERROR_COLUMNS = {
    "multiclass": ("file", "row", "text", "truth", "answer", "probability", "loss", "confidence"),
    "multilabel": ("file", "row", "text", "truth", "answer", "missed", "invented", "loss", "confidence"),
}


def reader(task: str, options: Any) -> tuple[Callable[..., Data], dict[str, Any]]:
    """The reader of the task's tables, and its arguments beside a `Reading`."""
    if task == "multiclass":
        return read_multiclass, {"label_column": options.label_column}
    names = (
        "label_columns",
        "label_column",
        "label_separator",
        "true_values",
        "drop_constant_labels",
    )  # distillation lacks one
    return read_multilabel, {name: getattr(options, name) for name in names if hasattr(options, name)}


def truth(task: str, rows: Rows, labels: Sequence[str]) -> np.ndarray:
    """(R, L) of 0 and 1: which of the `labels` each row has."""
    of_rows = [(label,) for label in rows.labels] if task == "multiclass" else rows.labels
    return np.array([[label in having for label in labels] for having in of_rows], int)


def loss(task: str, options: Any, truth: np.ndarray) -> Any:
    """The Keras loss to minimise, None for softmax cross-entropy; `truth` is that of the training rows."""
    from halfbert.training import fit

    if task == "multiclass":
        return None
    return fit.SigmoidCrossentropy(balancing_weights(truth) if getattr(options, "balance", False) else None)


def balancing_weights(truth: np.ndarray) -> np.ndarray:
    """(labels,) weights by which the rows that have a label count as much as those that lack it; truth (rows, labels) 0/1."""
    having = truth.sum(axis=0)
    return (len(truth) - having) / having


def class_weights(task: str, options: Any, truth: np.ndarray) -> dict[int, float] | None:
    """Keras' `class_weight`: None, or with --class-weights the inverse of each class's share of the training rows."""
    if task == "multilabel" or getattr(options, "class_weights", None) is None:
        return None
    counts = truth.sum(axis=0)
    return {number: len(truth) / (len(counts) * count) for number, count in enumerate(counts.tolist())}


def scorer(task: str, truth: np.ndarray) -> Callable[[np.ndarray], dict[str, float | None]]:
    """From the logits of the validation rows to their `validation` scores."""
    return lambda logits: validation(task, truth, probabilities_of(logits, task))


def validation(task: str, truth: np.ndarray, probabilities: np.ndarray) -> dict[str, float | None]:
    """The scores of the validation rows after an epoch; CHOSEN_BY names the one that chooses the epoch."""
    from halfbert.scoring import multiclass as metrics
    from halfbert.scoring import multilabel as multilabel_metrics

    if task == "multiclass":
        return {**metrics.validation(truth.argmax(axis=1), probabilities)}
    return multilabel_metrics.validation(truth, probabilities)


def validation_intervals(task: str, truth: np.ndarray, logits: np.ndarray) -> dict[str, Interval]:
    """How certain the scores of `validation` are: bootstraps over the validation rows, for the loss its standard error.

    Only of those that are measurable; of many rows and labels the bootstrap has fewer resamples.
    """
    true, probabilities = truth > 0, probabilities_of(logits, task)
    if not true.any() or not np.isfinite(probabilities).all():
        return {}
    if task == "multiclass":
        drawn = answers(task, probabilities, None)
        losses = -np.log(np.clip(probabilities[true], EPSILON, 1.0))
        found = {f"val_{name}": intervals.bootstrap(score, true, [drawn]) for name, score in intervals.COMPARED[task].items()}
    else:
        losses = -np.log(np.clip(np.where(true, probabilities, 1 - probabilities), EPSILON, 1.0)).mean(axis=1)
        found = {"val_micro_f1": intervals.bootstrap(intervals.micro_f1, true, [probabilities >= 0.5])}
        if (true.any(axis=0) & ~true.all(axis=0)).any():
            found["val_mean_average_precision"] = _certain_precision(true, probabilities)
    loss, reach = float(losses.mean()), 1.96 * float(losses.std()) / math.sqrt(len(losses))
    return {"val_loss": Interval(loss, max(loss - reach, 0.0), loss + reach), **found}


def _certain_precision(true: np.ndarray, probabilities: np.ndarray) -> Interval:
    """Mean average precision with its interval."""
    resamples = int(np.clip(RANKED_NUMBERS // true.size, 200, selection.RESAMPLES))

    def score(weights: np.ndarray) -> np.ndarray:
        return selection.mean_average_precision(true, probabilities, weights)

    return Interval(float(score(np.ones((1, len(true))))[0]), *intervals.percentile_interval(score, len(true), resamples))


def thresholds(task: str, truth: np.ndarray, logits: np.ndarray, rule: str) -> list[float] | None:
    """The probability from which on each label is answered, chosen by `rule` on validation rows; None for multiclass."""
    from halfbert.scoring import multilabel as multilabel_metrics

    if task == "multiclass":
        return None
    return multilabel_metrics.choose_thresholds(truth, probabilities_of(logits, task), rule).tolist()


def answers(task: str, probabilities: np.ndarray, thresholds: Sequence[float] | None) -> np.ndarray:
    """(R, L) bool: what is answered, as `statistics` takes it."""
    if task == "multilabel":
        return probabilities >= np.array(thresholds)
    return np.eye(probabilities.shape[1], dtype=bool)[probabilities.argmax(axis=1)]


def scores(
    task: str,
    truth: dict[str, np.ndarray],
    probabilities: np.ndarray,
    thresholds: Sequence[float] | None,
    labels: list[str],
) -> dict:
    """The scores of the test rows; `truth` is that of each part."""
    from halfbert.scoring import multiclass as metrics
    from halfbert.scoring import multilabel as multilabel_metrics

    if task == "multiclass":
        commonest = int(truth["train"].sum(axis=0).argmax())
        return metrics.multiclass(truth["test"].argmax(axis=1), probabilities, labels, commonest)
    return multilabel_metrics.multilabel(truth["test"], probabilities, np.array(thresholds), labels)


def named(chosen: np.ndarray, labels: Sequence[str]) -> str:
    """The labels that are `chosen`, (L,) of bool, in words."""
    return "; ".join(labels[number] for number in np.flatnonzero(chosen).tolist())


def wrong_rows(
    task: str,
    rows: Rows,
    truth: np.ndarray,
    probabilities: np.ndarray,
    thresholds: Sequence[float] | None,
    labels: list[str],
    confidence: np.ndarray,
) -> list[dict[str, Any]]:
    """The rows with a wrong answer, worst first, with ERROR_COLUMNS; the loss is in nats, with many labels their mean.

    `confidence`, (R,), is how likely each row's answer was said to be right (`review.row_confidence`).
    """
    true, answered = truth > 0, answers(task, probabilities, thresholds)
    of_truth = np.where(true, probabilities, 1 - probabilities) if task == "multilabel" else probabilities[true][:, None]
    losses = -np.log(np.clip(of_truth, EPSILON, 1.0)).mean(axis=1)
    wrong = np.flatnonzero((answered != true).any(axis=1))

    return [
        {
            "file": Path(rows.file).name,
            "row": rows.numbers[index],
            "text": rows.texts[index],
            "truth": named(true[index], labels),
            "answer": named(answered[index], labels),
            **(
                {
                    "missed": named(true[index] & ~answered[index], labels),
                    "invented": named(answered[index] & ~true[index], labels),
                }
                if task == "multilabel"
                else {"probability": f"{probabilities[index].max():.4f}"}
            ),
            "loss": f"{losses[index]:.4f}",
            "confidence": f"{confidence[index]:.4f}",
        }
        for index in wrong[np.argsort(-losses[wrong], kind="stable")]
    ]
