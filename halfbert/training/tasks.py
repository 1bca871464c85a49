"""What a script that serves both tasks asks of each: one label a text (multiclass), or any number of them (multilabel).

Shapes: R rows, L labels. Truth is (R, L) of 0 and 1 for both tasks.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from halfbert.data.multiclass import read_multiclass
from halfbert.data.multilabel import read_multilabel
from halfbert.data.tables import Rows
from halfbert.scoring.probabilities import probabilities_of
from halfbert.training import results as records

CHOSEN_BY = {"multiclass": "val_macro_f1", "multilabel": "val_mean_average_precision"}


def reader(task: str, options) -> tuple[Callable, dict]:
    """What reads the task's tables, and the columns it is to be told."""
    if task == "multiclass":
        return read_multiclass, {"label_column": options.label_column}
    names = ("label_columns", "label_column", "label_separator")
    return read_multilabel, {name: getattr(options, name) for name in names}


def truth(task: str, rows: Rows, labels: Sequence[str]) -> np.ndarray:
    """(R, L) of 0 and 1: which of the `labels` each row has."""
    of_rows = [(label,) for label in rows.labels] if task == "multiclass" else rows.labels
    return np.array([[label in having for label in labels] for having in of_rows], int)


def validation(task: str, truth: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """The scores of the validation rows after an epoch; CHOSEN_BY names the one that chooses the epoch."""
    from halfbert.scoring import multiclass as metrics
    from halfbert.scoring import multilabel as multilabel_metrics

    if task == "multiclass":
        return metrics.validation(truth.argmax(axis=1), probabilities)
    return multilabel_metrics.validation(truth, probabilities)


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


def wrong_rows(
    task: str,
    rows: Rows,
    truth: np.ndarray,
    probabilities: np.ndarray,
    thresholds: Sequence[float] | None,
    labels: list[str],
) -> list[dict]:
    """The rows of errors.csv."""
    if task == "multiclass":
        return records.wrong_rows(rows, truth.argmax(axis=1), probabilities, labels)
    return records.wrong_multilabel_rows(rows, truth, probabilities, np.array(thresholds), labels)


def draw(run, truth: dict[str, np.ndarray], folder: Path) -> None:
    """Draw the run's pictures into its results folder."""
    if run.task == "multiclass":
        records.draw_multiclass(run, truth["test"].argmax(axis=1), run.probabilities, folder)
    else:
        records.draw_multilabel(run, truth, run.probabilities, folder)
