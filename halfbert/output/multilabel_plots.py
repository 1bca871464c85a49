"""Pictures of the test of a run with any number of labels a text. Each function writes one PNG from plain numbers.

Most have a small panel for each label, all with the same axes, rather than one panel with a line for each: 28 lines cannot
be distinguished. All raise ValueError for numbers that do not fit together, and ResourceError if the picture cannot be
written. `truth` is 0 and 1, `probabilities` from 0 to 1, both of shape (rows, labels), `thresholds` of shape (labels,).
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from halfbert.data.phrases import counted
from halfbert.output import drawing
from halfbert.output.drawing import BLUE, DASHED, GREY, INK, VERMILLION, number_cells, number_size, picture, title
from halfbert.output.words import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

MOST_PANELS = 48  # of more labels, only the most frequent are drawn
WIDTH = 12.0  # inches, of a picture of many panels
NARROWEST = 6.4  # inches, for the title
WIDEST_PANEL = 3.8  # inches
PANEL_PRINT = 8  # points
HEADING_PRINT = 10.5  # points
LINE: dict[str, Any] = {"color": BLUE, "linewidth": 1.4}
DOT: dict[str, Any] = {"color": VERMILLION, "marker": "o", "zorder": 3, "clip_on": False}
MOST_LABELS_FULLY_NUMBERED = 20  # in a co-occurrence matrix
SHARES_NUMBERED = 60  # in a matrix of more labels than that; more where several are equal


def roc_and_precision_recall(
    truth: np.ndarray, probabilities: np.ndarray, thresholds: np.ndarray, labels: list[str], path: Path
) -> None:
    """Draw each label's ROC curve and precision-recall curve, with its chosen threshold on both."""
    from halfbert.scoring.multilabel import ranking_scores

    _check(truth, labels, probabilities.shape[1], len(thresholds))
    rows = truth.sum(axis=0)
    shown = _most_frequent(rows)
    columns = math.ceil(math.sqrt(len(shown) / 2))  # twice as high as wide: two blocks stand side by side
    side = min((WIDTH / 2 - 0.8) / columns, WIDEST_PANEL)
    height = math.ceil(len(shown) / columns) * (side + 0.3) + 1.4
    areas, precisions = ranking_scores(truth > 0, probabilities)
    with picture(path, 2 * (columns * side + 0.8), height) as figure:
        left, right = figure.subfigures(1, 2, squeeze=False)[0]
        panels = zip(_panels(left, len(shown), columns), _panels(right, len(shown), columns), strict=True)
        for label, (roc, precision_recall) in zip(shown, panels, strict=True):
            _draw_ranking(roc, precision_recall, truth[:, label] > 0, probabilities[:, label], thresholds[label])
            _name(roc, labels[label], side, rows[label], areas[label])
            _name(precision_recall, labels[label], side, rows[label], precisions[label])
        _head(left, "false positive rate", "true positive rate", "ROC (number: area under the curve)")
        _head(right, "recall", "precision", "Precision and recall (number: average precision)")
        title(
            figure,
            f"Ranking: mean ROC AUC {_mean(areas)}, mean average precision {_mean(precisions)}",
            f"dot: the chosen threshold; dashed: random guessing; {_of_what(len(truth), rows)}",
        )


def f1_against_threshold(
    truth: np.ndarray, probabilities: np.ndarray, thresholds: np.ndarray, labels: list[str], path: Path
) -> None:
    """Draw each label's F1 at every threshold, with the chosen one."""
    from halfbert.scoring.multilabel import f1_curve, scores_per_label

    _check(truth, labels, probabilities.shape[1], len(thresholds))
    rows = truth.sum(axis=0)
    shown = _most_frequent(rows)
    columns, side = _landscape(len(shown))
    height = math.ceil(len(shown) / columns) * (0.8 * side + 0.3) + 1.2
    chosen, at_half = (
        scores_per_label(truth > 0, predicted)["f1"] for predicted in (probabilities >= thresholds, probabilities >= 0.5)
    )
    having = np.asarray(truth.any(axis=0))
    means = [f"{f1.mean():.3f}" if having.any() else "unknown" for f1 in (chosen, at_half)]
    with picture(path, max(columns * side + 0.8, NARROWEST), height) as figure:
        for label, axes in zip(shown, _panels(figure, len(shown), columns), strict=True):
            if having[label]:
                cuts, f1 = f1_curve(truth[:, label], probabilities[:, label])
                # A threshold between two probabilities predicts as the upper one does, above the highest nothing.
                axes.plot([0, *cuts, 1], [f1[0], *f1, 0], drawstyle="steps-pre", **LINE)
                axes.plot(thresholds[label], chosen[label], **DOT)
            axes.axvline(0.5, **DASHED)
            _name(axes, labels[label], side, rows[label], chosen[label] if having[label] else None)
        _head(figure, "threshold", "F1")
        title(
            figure,
            f"F1 against threshold: macro F1 {means[0]} at the chosen thresholds, {means[1]} at 0.5",
            f"dot and number: F1 at the chosen threshold; dashed: 0.5; {_of_what(len(truth), rows)}",
        )


def confusion_grid(confusions: list[list[list[int]]], labels: list[str], path: Path) -> None:
    """Draw each label's confusion matrix, shaded by shares of the rows with the label and of those without it.

    Counts, shape (labels, 2, 2), are [[true negatives, false positives], [false negatives, true positives]] of each.
    """
    counts = np.asarray(confusions)
    if counts.shape != (len(labels), 2, 2) or not counts.any(axis=(1, 2)).all():
        raise ValueError(f"expected 2 by 2 counts above 0 of {len(labels)} labels, found shape {counts.shape}")
    support = counts.sum(axis=2)
    shares = np.divide(counts, support[:, :, None], out=np.full(counts.shape, np.nan), where=support[:, :, None] > 0)
    shown = _most_frequent(support[:, 1])
    columns, side = _landscape(len(shown), widest=2.6)
    height = math.ceil(len(shown) / columns) * (side + 0.2) + 1.2
    hits, misses, false_alarms = counts[:, 1, 1].sum(), counts[:, 1, 0].sum(), counts[:, 0, 1].sum()
    with picture(path, max(columns * side + 0.8, NARROWEST), height) as figure:
        for label, axes in zip(shown, _panels(figure, len(shown), columns), strict=True):
            drawing.shaded_cells(axes, shares[label], side / 2, support[label])
            axes.set(xlim=(-0.5, 1.5), ylim=(1.5, -0.5))
            axes.set_xticks([0, 1], ["no", "yes"])
            axes.set_yticks([0, 1], ["no", "yes"])
            _name(axes, labels[label], side, support[label, 1], fade=False)
            numbers = ((row, column, f"{counts[label, row, column]:,}") for row, column in np.ndindex(2, 2))
            size = min(10, number_size(f"{counts[label].max():,}", side / 2))
            number_cells(axes, shares[label], numbers, size, support[label], none=INK)
        _head(figure, "predicted", "true")
        title(
            figure,
            f"Confusion by label: {hits:,} of {counted(int(hits + misses), 'label')} found, {false_alarms:,} false",
            f"shade: share of the row's two counts; {_of_what(int(counts[0].sum()), support[:, 1])}",
        )


def cooccurrence(truth: np.ndarray, labels: list[str], path: Path) -> None:
    """Draw, of the rows with each label, the share that has each other label too."""
    _check(truth, labels)
    true = (truth > 0).astype(int)
    both = true.T @ true
    support = both.diagonal()
    shares = np.divide(both, support[:, None], out=np.full(both.shape, np.nan), where=support[:, None] > 0)
    np.fill_diagonal(shares, np.nan)  # 1 by definition
    names = [shortened(label) for label in labels]
    row_names = [f"{name} ({rows:,})" for name, rows in zip(names, support, strict=True)]
    several = int((true.sum(axis=1) > 1).sum())
    with drawing.shaded_matrix(path, shares, row_names, names, "share of the label's rows", support) as (figure, axes, cell):
        axes.set(xlabel="other label on the same rows", ylabel="label (its rows)")
        notes = _write_shares(axes, shares, cell, support), drawing.few_note(support, "labels")
        numbered = "; ".join(filter(None, notes))
        title(figure, f"Co-occurrence: {several:,} of {counted(len(true), 'row')} with several labels", numbered)


def _check(truth: np.ndarray, labels: list[str], *columns: int) -> None:
    if truth.ndim != 2 or not len(truth) or {truth.shape[1], *columns} != {len(labels)}:
        raise ValueError(f"expected rows of {len(labels)} labels, found shape {truth.shape} and {columns}")


def _most_frequent(support: np.ndarray) -> np.ndarray:
    """The indices of the labels that get a panel, in order."""
    return np.sort(np.argsort(-support, kind="stable")[:MOST_PANELS])


def _of_what(rows: int, of_labels: np.ndarray) -> str:
    """What a picture of panels is of: its rows, and which labels are left out or pale, by the rows of each."""
    labels = len(of_labels)
    left_out = f"the {MOST_PANELS} most frequent of {counted(labels, 'label')}" if labels > MOST_PANELS else ""
    return "; ".join(filter(None, (counted(rows, "row"), left_out, drawing.few_note(of_labels, "labels"))))


def _landscape(panels: int, widest: float = WIDEST_PANEL) -> tuple[int, float]:
    """The columns of a grid that is wider than high, and a panel's width in inches."""
    columns = math.ceil(panels / max(1, round(math.sqrt(panels / 1.75))))
    return columns, min((WIDTH - 0.8) / columns, widest)


def _panels(figure: "FigureBase", number: int, columns: int) -> Iterator["Axes"]:
    """Yield axes from 0 to 1 in a grid; only the outer ones have tick labels."""
    rows = math.ceil(number / columns)
    for index in range(number):
        axes = figure.add_subplot(rows, columns, index + 1)
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
        axes.xaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.tick_params(labelsize=PANEL_PRINT, labelleft=index % columns == 0, labelbottom=index + columns >= number)
        yield axes


def _name(axes: "Axes", label: str, width: float, rows: int, score: float | None = None, fade: bool = True) -> None:
    """Write label and score above a panel, as much as fits; of few rows their number, and the panel is pale."""
    few = rows < drawing.FEW_ROWS
    number = "" if score is None else f"{score:.2f}"
    size = f" ({rows})" if few else ""
    room = int(width / drawing.text_inches("x", PANEL_PRINT)) - len(number) - len(size) - 1
    axes.set_title(shortened(label, max(room, 3)) + size, fontsize=PANEL_PRINT, color=GREY if few else INK)
    if few and fade:
        drawing.fade(axes)
    axes.set_title(number, loc="right", fontsize=PANEL_PRINT, color=GREY)


def _head(figure: "FigureBase", x: str, y: str, heading: str = "") -> None:
    figure.supxlabel(x, fontsize=HEADING_PRINT)
    figure.supylabel(y, fontsize=HEADING_PRINT)
    if heading:
        figure.suptitle(heading, fontsize=HEADING_PRINT)


def _mean(scores: list[float | None]) -> str:
    known = [score for score in scores if score is not None]
    return f"{np.mean(known):.3f}" if known else "unknown"


def _draw_ranking(roc: "Axes", precision_recall: "Axes", true: np.ndarray, probabilities: np.ndarray, threshold: float) -> None:
    """Draw a label's two curves, unless all rows have it or none, and what guessing at random gives."""
    from sklearn.metrics import precision_recall_curve, roc_curve

    roc.plot([0, 1], [0, 1], **DASHED)
    precision_recall.axhline(true.mean(), **DASHED)
    if true.all() or not true.any():
        return
    false_positive_rate, true_positive_rate, _ = roc_curve(true, probabilities)
    roc.plot(false_positive_rate, true_positive_rate, **LINE)
    precision, recall, _ = precision_recall_curve(true, probabilities)
    precision_recall.plot(recall, precision, drawstyle="steps-post", **LINE)
    predicted = probabilities >= threshold
    roc.plot(predicted[~true].mean(), predicted[true].mean(), **DOT)
    if predicted.any():  # else there is no precision
        precision_recall.plot(predicted[true].mean(), true[predicted].mean(), **DOT)


def _write_shares(axes: "Axes", shares: np.ndarray, cell: float, rows: np.ndarray) -> str:
    """Write percentages into cells; returns a note on which, unless into all."""
    size = min(9, number_size("100", cell))
    known = np.sort(shares[~np.isnan(shares)])
    if size < drawing.SMALLEST_PRINT or not len(known):
        return ""
    # Shares below 5 % are hardly visible.
    few = len(shares) <= MOST_LABELS_FULLY_NUMBERED
    least = 0 if few else max(math.ceil(100 * known[-SHARES_NUMBERED:][0]), 5) / 100
    percentages = (
        (row, column, "<1" if 0 < shares[row, column] < 0.005 else f"{100 * shares[row, column]:.0f}")
        for row, column in np.argwhere(shares >= least)
    )
    number_cells(axes, shares, percentages, size, rows)
    return f"numbers: percent, of {least:.0%} and more" if least else "numbers: percent"
