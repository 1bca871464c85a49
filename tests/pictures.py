"""A small example of every picture of a run, and what tests read of figures."""

import itertools
from pathlib import Path

import numpy as np
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.text import Text
from PIL import Image

from halfbert.output import calibration_plots, multilabel_plots, plots
from halfbert.output.record import Guarantee
from halfbert.scoring import multiclass

EPOCHS = [
    {"epoch": 1, "train_loss": 0.6, "val_loss": 0.4, "val_accuracy": 0.80, "val_macro_f1": 0.78, "seconds": 9.0},
    {"epoch": 2, "train_loss": 0.3, "val_loss": 0.3, "val_accuracy": 0.90, "val_macro_f1": 0.88, "seconds": 8.0},
    {"epoch": 3, "train_loss": 0.1, "val_loss": 0.5, "val_accuracy": 0.88, "val_macro_f1": 0.86, "seconds": 8.0},
]
BINS = multiclass.reliability_bins(np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]]))
CURVES = {
    "false-discovery": (np.linspace(0.25, 1, 4), np.array([0.0, 0.04, 0.08, 0.2])),
    "false-negative": (np.linspace(0.25, 1, 4), np.array([0.1, 0.2, 0.3, 0.4])),
}
GUARANTEES = [
    Guarantee("false-discovery", 0.05, 0.4, 0.03),
    Guarantee("false-discovery", 0.1, 0.7, 0.12),
    Guarantee("false-negative", 0.05, None, None, "cannot be guaranteed by 9 validation rows"),
]
LENGTHS = np.array([4, 5, 5, 6, 8, 9, 12])
RATES = list(np.geomspace(1e-6, 1e-1, 50))
LOSSES = list(np.linspace(0.7, 0.3, 50))

LABELS = ["cat", "dog", "fox"]
# Rows: {cat, dog}, {cat}, {}, {dog}; no fox. At the thresholds one cat is invented, all else right.
TRUTH = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [0, 1, 0]])
PROBABILITIES = np.array([[0.9, 0.6, 0.1], [0.3, 0.2, 0.1], [0.4, 0.1, 0.2], [0.1, 0.7, 0.8]])
THRESHOLDS = np.array([0.3, 0.6, 0.9])
CONFUSIONS = [[[1, 1], [0, 2]], [[2, 0], [0, 2]], [[4, 0], [0, 0]]]

DRAW = {
    "learning_curves": lambda path: plots.learning_curves(EPOCHS, 2, path),
    "learning_rate": lambda path: plots.learning_rate([1e-5, 5e-5, 1e-5], [0.95, 0.85, 0.95], path),
    "confusion": lambda path: plots.confusion([[5, 1], [2, 8]], ["no", "yes"], path),
    "reliability": lambda path: calibration_plots.reliability({"network": BINS, "calibrated": BINS[:1]}, "multiclass", path),
    "risk_coverage": lambda path: calibration_plots.risk_coverage(CURVES, GUARANTEES, path),
    "text_lengths": lambda path: plots.text_lengths(LENGTHS, 8, 2 / 7, path),
    "learning_rate_finder": lambda path: plots.learning_rate_finder(RATES, LOSSES, 3e-5, path),
    "ranking": lambda path: multilabel_plots.roc_and_precision_recall(TRUTH, PROBABILITIES, THRESHOLDS, LABELS, path),
    "f1": lambda path: multilabel_plots.f1_against_threshold(TRUTH, PROBABILITIES, THRESHOLDS, LABELS, path),
    "confusion_grid": lambda path: multilabel_plots.confusion_grid(CONFUSIONS, LABELS, path),
    "cooccurrence": lambda path: multilabel_plots.cooccurrence(TRUTH, LABELS, path),
}


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        assert image.format == "PNG"
        image.load()  # raises for a file that was cut off
        assert len(image.convert("L").getcolors()) > 2  # something is drawn
        return image.size


def tick_labels(axis) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels()]


def numbers_in(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def overlaps(figure) -> list[str]:
    """Which names and legends of a figure cover what is drawn or each other, or leave the picture, by matplotlib's geometry."""
    figure.draw_without_rendering()
    written = [(text.get_text(), Text.get_window_extent(text)) for axes in figure.axes for text in axes.texts]
    legends = [*figure.legends, *(legend for axes in figure.axes if (legend := axes.get_legend()))]
    written += [("legend", legend.get_window_extent()) for legend in legends]
    headings = [title for axes in figure.axes for title in (axes.title, axes._left_title, axes._right_title)]
    headings += [axis.label for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]
    headings += [label for axes in figure.axes for label in (*axes.get_xticklabels(), *axes.get_yticklabels())]
    fixed = [(text.get_text(), text.get_window_extent()) for text in headings if text.get_text()]
    drawn = np.concatenate([np.empty((0, 2)), *(_points(axes) for axes in figure.axes)])
    found = [
        f"{name!r} covers what is drawn"
        for name, box in written
        if (((box.x0, box.y0) < drawn) & (drawn < (box.x1, box.y1))).all(axis=1).any()
    ]
    others = [*written, *fixed]
    return found + [
        f"{name!r} covers {other!r}"
        for number, (name, box) in enumerate(written)
        for other, its in others[number + 1 :]
        if box.overlaps(its)
    ]


def _points(axes) -> np.ndarray:
    """Points in pixels all along the lines of axes, in their dots and in their bars."""
    paths = [(line.get_transform().transform(line.get_xydata()), line.get_linestyle() == "None") for line in axes.get_lines()]
    for collection in axes.collections:
        if isinstance(collection, LineCollection):
            paths += [(collection.get_transform().transform(segment), False) for segment in collection.get_segments()]
        elif isinstance(collection, PathCollection):
            paths.append((collection.get_offset_transform().transform(collection.get_offsets()), True))
    points = []
    for corners, dots in paths:
        corners = corners[np.isfinite(corners).all(axis=1)]
        points.append(corners)
        if not dots:
            steps = np.linspace(0, 1, 200)[:, None]
            points += [begin + steps * (end - begin) for begin, end in itertools.pairwise(corners)]
    for bar in axes.patches:
        box = bar.get_window_extent()
        points.append(np.array([(x, y) for x in np.linspace(box.x0, box.x1, 9) for y in np.linspace(box.y0, box.y1, 9)]))
    return np.concatenate([np.empty((0, 2)), *points])
