"""Scores and thresholds where a text has any number of labels, as plain Python numbers that go into a record unchanged.

Everywhere `truth` holds 0 and 1, shape (rows, labels), and `probabilities` floats from 0 to 1 of the same shape. A label is
answered where its probability is at least its threshold. The public functions raise ValueError if the shapes do not fit
together, there are no rows, or a value is out of range.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, label_ranking_average_precision_score, roc_auc_score

from halfbert.data.phrases import counted
from halfbert.scoring import THRESHOLD_RULES
from halfbert.scoring.calibration import Calibration, fit_platt
from halfbert.scoring.intervals import share
from halfbert.scoring.probabilities import log_loss


def choose_thresholds(truth: np.ndarray, probabilities: np.ndarray, how: str) -> np.ndarray:
    """The thresholds, (labels,), between 0 and 1 exclusive; choose them on validation rows, never on test rows.

    A threshold lies in the middle between the two neighbouring probabilities that it separates, so that neither rounding nor
    slightly other texts change the answers. Of several that score the same, the one nearest to 0.5 is taken. A label whose
    rows let no threshold score above 0 keeps 0.5: one without positive rows and, for "gmean", one without negative rows or
    with a single probability for all.

    The rules:

    - "expected-f1": per label, the best F1 to be expected if the label were drawn by its probability, calibrated on these
      rows (Platt 1999; Lipton et al. 2014, section 3). It depends less than "f1" on which few rows have a rare label.
    - "f1": per label, the best F1 (Yang 2001 calls this SCut). A label that cannot be recognised at all is then answered
      always, as Lipton et al. 2014 (arXiv:1402.1892) warn.
    - "gmean": per label, the best geometric mean of sensitivity and specificity over the ROC curve (Kubat and Matwin 1997).
    - "global-f1": one threshold for all labels, of the best micro F1, which pools all answers as the one threshold does: rare
      labels, whose own F1 would be mostly noise, cannot move it ("f1" already gives the best macro F1).
    """
    if how not in THRESHOLD_RULES:
        raise ValueError(f"expected one of {', '.join(THRESHOLD_RULES)}, found {how!r}")
    _check(truth, probabilities)
    if how == "0.5":
        return np.full(truth.shape[1], 0.5)
    if how == "global-f1":
        return np.full(truth.shape[1], _best_threshold(truth.ravel(), probabilities.ravel(), _f1_of_cuts))
    if how == "expected-f1":
        truth = np.stack([_calibrated(*label) for label in zip(truth.T, probabilities.T, strict=True)], axis=1)
    score = _order_of_gmeans if how == "gmean" else _f1_of_cuts
    return np.array([_best_threshold(*label, score) for label in zip(truth.T, probabilities.T, strict=True)])


def _calibrated(truth: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """(rows,) calibrated probabilities of one label; 0 where no row has the label."""
    if not truth.any():
        return np.zeros(len(truth))
    line = fit_platt(truth, probabilities)
    return Calibration(len(truth), platt=[line]).apply(probabilities[:, None])[:, 0]


def multilabel(truth: np.ndarray, probabilities: np.ndarray, thresholds: np.ndarray, labels: list[str]) -> dict[str, Any]:
    """The scores of the test rows: of the answers at 0.5 and at the thresholds, and of the ranking that both come from.

    Returns:
        `mean_roc_auc` and `mean_average_precision`, the means over the `labels_scored` labels that have rows with and rows
        without them (None if there is no such label); `label_ranking_average_precision` (1 for a row with no label or all;
        None if there are only such rows);
        `log_loss` (binary cross-entropy, mean over rows and labels, nats); `thresholds`; `per_label` (in label order; the
        scores of a label without rows are None); `confusion` (of each label at its threshold: [[true negatives, false
        positives], [false negatives, true positives]]); and under `at_half`, `at_thresholds` and `no_label`, which is what
        answering no label at all scores:

        - `micro_f1`, `macro_f1`, `weighted_f1`: as in scikit-learn, which counts a label without rows as 0; None if no row has
          any label, as F1 can then be nothing but 0.
        - `samples_f1`: the mean of each row's F1; 1 for a row with neither labels nor answers, as in the hamming score, for
          0 (scikit-learn's default) would punish the right answer of all rows without labels. It is scikit-learn's with
          `zero_division=1`.
        - `hamming_loss`: the share of all rows' labels that are answered wrongly.
        - `hamming_score`: the mean over rows of the labels both true and answered, by those true or answered; 1 for a row
          with neither (the "accuracy" of Godbole and Sarawagi 2004).
        - `exact_match`: the share of rows with all labels right.
    """
    _check(truth, probabilities)
    if not truth.shape[1] == len(labels) == len(thresholds):
        raise ValueError(
            f"{counted(len(labels), 'label')} and {counted(len(thresholds), 'threshold')} do not fit {truth.shape[1]} columns"
        )
    true, at_thresholds, at_half = truth > 0, probabilities >= thresholds, probabilities >= 0.5
    areas, precisions = ranking_scores(true, probabilities)
    ranked = true.any(axis=1) & ~true.all(axis=1)
    answered = {**scores_per_label(true, at_thresholds), "f1_at_half": scores_per_label(true, at_half)["f1"]}
    per_label = [
        {"label": label, "threshold": float(thresholds[number])}
        | {name: float(scores[number]) if support else None for name, scores in answered.items()}
        | {"support": int(support), "roc_auc": areas[number], "average_precision": precisions[number]}
        for number, (label, support) in enumerate(zip(labels, true.sum(axis=0), strict=True))
    ]
    return {
        "mean_roc_auc": _mean(areas),
        "mean_average_precision": _mean(precisions),
        "labels_scored": sum(area is not None for area in areas),
        "label_ranking_average_precision": (
            float(label_ranking_average_precision_score(true, probabilities)) if ranked.any() else None
        ),
        "log_loss": _cross_entropy(true, probabilities),
        "at_half": _scores_of_answers(true, at_half),
        "at_thresholds": _scores_of_answers(true, at_thresholds),
        "no_label": _scores_of_answers(true, np.zeros_like(true)),
        "thresholds": [float(threshold) for threshold in thresholds],
        "per_label": per_label,
        "confusion": _confusion(true, at_thresholds),
    }


def validation(truth: np.ndarray, probabilities: np.ndarray) -> dict[str, float | None]:
    """The scores of the validation rows after an epoch; cheap enough for every epoch.

    The epoch is best chosen by the mean average precision: it needs no threshold, which is chosen only later; every label
    weighs the same, so the rare ones count; and, unlike ROC AUC, it falls when a rare label's few rows are buried among
    false ones (Davis and Goadrich 2006).

    Returns:
        `val_loss` (binary cross-entropy, mean over rows and labels, nats), `val_mean_average_precision`,
        `val_mean_roc_auc` (over the labels that have rows with and rows without them; None where no label has),
        `val_micro_f1` (at 0.5; None where no row has a label). All are NaN where a probability is.
    """
    _check(truth, probabilities, may_be_nan=True)
    loss = _cross_entropy(truth > 0, probabilities)
    if math.isnan(loss):
        return dict.fromkeys(("val_loss", "val_mean_average_precision", "val_mean_roc_auc", "val_micro_f1"), math.nan)
    areas, precisions = ranking_scores(truth > 0, probabilities)
    return {
        "val_loss": loss,
        "val_mean_average_precision": _mean(precisions),
        "val_mean_roc_auc": _mean(areas),
        "val_micro_f1": _scores_of_answers(truth > 0, probabilities >= 0.5)["micro_f1"],
    }


def ranking_scores(true: np.ndarray, probabilities: np.ndarray) -> tuple[list[float | None], list[float | None]]:
    """ROC AUC and average precision of each label, from booleans and floats of shape (rows, labels).

    Both are None for a label without rows of both kinds, those that bear it and those that do not.
    """
    areas, precisions = [], []
    for column, ranked_by in zip(true.T, probabilities.T, strict=True):
        defined = column.min() < column.max()
        areas.append(float(roc_auc_score(column, ranked_by)) if defined else None)
        precisions.append(float(average_precision_score(column, ranked_by)) if defined else None)
    return areas, precisions


def scores_per_label(true: np.ndarray, answers: np.ndarray) -> dict[str, np.ndarray]:
    """`precision`, `recall` and `f1` of each label, from booleans of shape (rows, labels); 0 where nothing is to be shared."""
    right, support, given = (true & answers).sum(axis=0), true.sum(axis=0), answers.sum(axis=0)
    return {"precision": share(right, given), "recall": share(right, support), "f1": share(2 * right, support + given)}


def f1_curve(truth: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One label's distinct probabilities, rising, and the F1 with each as the threshold (0 if no row has the label).

    Both arguments are of shape (rows,). A threshold between two of them scores as the upper one.
    """
    cuts, right, answered = _cuts(truth, probabilities)
    return cuts[::-1], _f1_of_cuts(right, answered)[::-1]


def _check(truth: np.ndarray, probabilities: np.ndarray, may_be_nan: bool = False) -> None:
    if truth.ndim != 2 or truth.shape != probabilities.shape:
        raise ValueError(f"expected two arrays of shape (rows, labels), found {truth.shape} and {probabilities.shape}")
    if not truth.size:
        raise ValueError(f"no rows or no labels to score: shape {truth.shape}")
    if not np.isin(truth, (0, 1)).all():
        raise ValueError(f"expected a truth of 0 and 1, found {truth.min()} to {truth.max()}")
    if not (may_be_nan or ((probabilities >= 0) & (probabilities <= 1)).all()):
        raise ValueError(f"expected probabilities from 0 to 1, found {probabilities.min()} to {probabilities.max()}")


def _best_threshold(truth: np.ndarray, probabilities: np.ndarray, score: Callable) -> float:
    cuts, right, answered = _cuts(truth, probabilities)
    below = np.append(cuts[1:], 0.0)
    middles = (cuts + below) / 2
    # Two probabilities may be so near that no number lies between them.
    thresholds = np.where(middles > below, middles, cuts)
    scores = np.where((thresholds > 0) & (thresholds < 1), score(right, answered), 0)
    if not scores.any():
        return 0.5
    best = thresholds[scores == scores.max()]
    return float(best[np.abs(best - 0.5).argmin()])


def _cuts(truth: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The different probabilities, falling, and with each as the threshold: how many answers are right, and how many given.

    Where `truth` holds probabilities, so many are right on average.
    """
    falling = np.argsort(-probabilities)
    ranked = probabilities[falling].astype(np.float64)
    last_of_equals = np.flatnonzero(np.append(ranked[1:] < ranked[:-1], True))
    return ranked[last_of_equals], np.cumsum(truth[falling])[last_of_equals], last_of_equals + 1


def _f1_of_cuts(right: np.ndarray, answered: np.ndarray) -> np.ndarray:
    positives = right[-1]  # the last cut answers every row
    return 2 * right / (answered + positives)


def _order_of_gmeans(right: np.ndarray, answered: np.ndarray) -> np.ndarray:
    """True positives times true negatives: whole numbers that rank the cuts, and tie them, as their geometric means do."""
    negatives = answered[-1] - right[-1]
    return right * (negatives - (answered - right))


def _mean(scores: list[float | None]) -> float | None:
    known = [score for score in scores if score is not None]
    return sum(known) / len(known) if known else None


def _cross_entropy(true: np.ndarray, probabilities: np.ndarray) -> float:
    return log_loss(np.where(true, probabilities, 1 - probabilities.astype(np.float64)))


def _scores_of_answers(true: np.ndarray, answers: np.ndarray) -> dict[str, float | None]:
    both, either = true & answers, true | answers
    support, given = true.sum(axis=0), answers.sum(axis=0)
    f1 = scores_per_label(true, answers)["f1"]
    scores = {
        "micro_f1": share(2 * both.sum(), support.sum() + given.sum()),
        "macro_f1": f1.mean(),
        "weighted_f1": share((f1 * support).sum(), support.sum()),
        "samples_f1": share(2 * both.sum(axis=1), true.sum(axis=1) + answers.sum(axis=1), empty=1).mean(),
        "hamming_loss": (true != answers).mean(),
        "hamming_score": share(both.sum(axis=1), either.sum(axis=1), empty=1).mean(),
        "exact_match": (true == answers).all(axis=1).mean(),
    }
    unknown = () if true.any() else ("micro_f1", "macro_f1", "weighted_f1")
    return {name: None if name in unknown else float(score) for name, score in scores.items()}


def _confusion(true: np.ndarray, answers: np.ndarray) -> list[list[list[int]]]:
    cells = np.array([[~true & ~answers, ~true & answers], [true & ~answers, true & answers]])
    return np.moveaxis(cells.sum(axis=2), 2, 0).tolist()
