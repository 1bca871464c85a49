"""Pictures of a training run, and of the test of one with one label a text. Each function writes one PNG from plain numbers.

All raise ValueError for numbers that do not fit together, and ResourceError if the picture cannot be written. A loss is in
nats per text.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from halfbert.data.phrases import counted
from halfbert.models.long_texts import CUT, HEAD_TAIL, WINDOWS
from halfbert.output import drawing, labelling
from halfbert.output.drawing import BLUE, DASHED, GREEN, GREY, INK, PURPLE, SKY, VERMILLION, picture, tick_whole_numbers, title
from halfbert.output.words import percent, readable, shortened
from halfbert.scoring.intervals import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CONFUSIONS_NUMBERED = 20  # in a matrix of more classes than MOST_CLASSES_WITH_COUNTS; more if several are equal


def learning_curves(
    epochs: list[dict], best_epoch: int, path: Path, intervals: Mapping[str, Interval] = MappingProxyType({})
) -> None:
    """Draw the losses of each epoch, beside every other validation score.

    Each has `epoch` (from 1), `train_loss`, `val_loss` and any `val_<metric>` (from 0 to 1). A value that is missing, None or
    not finite leaves a gap; a loss is named then. The weights of `best_epoch` were kept; `intervals` are those of its scores,
    and every epoch is drawn with as wide a band.
    """
    numbers = [entry["epoch"] for entry in epochs]
    if best_epoch not in numbers:
        raise ValueError(f"epoch {best_epoch} is not among the {counted(len(numbers), 'epoch')} to draw")
    names = dict.fromkeys(["train_loss", "val_loss", *(name for entry in epochs for name in entry)])
    values = {name: _finite_or_nan([entry.get(name) for entry in epochs]) for name in names}
    metrics = [name for name in names if name.startswith("val_") and name != "val_loss" and not np.isnan(values[name]).all()]
    gaps = np.array(numbers)[np.isnan(values["train_loss"] + values["val_loss"])]
    with picture(path, 9.6, 4.2) as figure:
        losses, scores = figure.subplots(1, 2)
        for name, colour, label in [("train_loss", SKY, "training"), ("val_loss", BLUE, "validation")]:
            losses.plot(numbers, values[name], color=colour, label=label, marker="o")
        for name, colour in zip(metrics, itertools.cycle([GREEN, VERMILLION, PURPLE, BLUE, SKY, GREY])):
            scores.plot(numbers, values[name], color=colour, label=readable(name.removeprefix("val_")), marker="o")
        bands = {name: _band(values[name], intervals.get(name)) for name in ("train_loss", "val_loss", *metrics)}
        top = 1.1 * np.nanmax([*values["train_loss"], *bands["val_loss"][1], *values["val_loss"], 0]) or 1.0
        losses.set(title="Loss", ylabel="mean loss (nats per text)", ylim=(0, top))
        limits = drawing.score_limits(*(end for name in metrics for end in (values[name], *bands[name])))
        scores.set(title="Validation scores", ylabel="score (from 0 to 1)", ylim=limits)
        for axes in (losses, scores):
            axes.axvline(best_epoch, **DASHED)
            axes.set(xlabel="epoch", xlim=(min(numbers) - 0.3, max(numbers) + 0.3))
            tick_whole_numbers(axes.xaxis)
        _shade(losses, numbers, bands["val_loss"], BLUE)
        for line, name in zip(scores.get_lines(), metrics, strict=False):
            _shade(scores, numbers, bands[name], line.get_color())
        notes = [f"a loss is missing or not finite: epoch {', '.join(map(str, gaps))}"] if len(gaps) else []
        notes += ["bands: 95 % intervals over the validation rows, as wide as the kept epoch's"] if intervals else []
        title(figure, f"Learning curves: epoch {best_epoch} of {max(numbers)} was kept (dashed line)", "; ".join(notes))
        for axes in (losses, scores):
            _name_lines(axes)


def learning_rate(rates: list[float], momenta: list[float], path: Path) -> None:
    """Draw the learning rate and the momentum (Adam's beta 1) of every optimizer step."""
    if not len(rates) or len(rates) != len(momenta):
        raise ValueError(f"expected as many rates as momenta, and some; found {len(rates)} and {len(momenta)}")
    steps = np.arange(1, len(rates) + 1)
    with picture(path, 9.6, 3.8) as figure:
        left, right = figure.subplots(1, 2)
        for axes, values, name, colour in [(left, rates, "learning rate", BLUE), (right, momenta, "momentum (beta 1)", GREEN)]:
            # A line through a single point is invisible.
            axes.plot(steps, values, color=colour, marker="o" if len(steps) == 1 else None)
            axes.set(title=name.capitalize(), xlabel="optimizer step", ylabel=name)
            tick_whole_numbers(axes.xaxis)
        left.set_ylim(bottom=0)
        left.yaxis.set_major_formatter(_short)
        title(figure, f"Learning-rate schedule: {counted(len(steps), 'step')}, highest rate {_short(max(rates))}")


def confusion(matrix: list[list[int]], labels: list[str], path: Path) -> None:
    """Draw the confusion matrix, shaded by shares of the true label's rows.

    `matrix` has counts, shape (classes, classes); rows are the true labels, columns the predicted ones. Small matrices show
    every count, large ones only those of the most frequent confusions.
    """
    counts = np.asarray(matrix)
    classes = len(labels)
    if counts.shape != (classes, classes) or not counts.any():
        raise ValueError(f"expected counts above 0 of {classes} by {classes} labels, found shape {counts.shape}")
    support = counts.sum(axis=1)
    shares = np.divide(counts, support[:, None], out=np.full(counts.shape, np.nan), where=support[:, None] > 0)
    names = [shortened(label) for label in labels]
    true_names = [
        name if rows >= drawing.FEW_ROWS else f"{name} ({counted(rows, 'row') if rows else 'no rows'})"
        for name, rows in zip(names, support, strict=True)
    ]
    right, rows = int(counts.trace()), int(counts.sum())
    with drawing.shaded_matrix(path, shares, true_names, names, "share of the true label's rows", support) as (
        figure,
        axes,
        cell,
    ):
        axes.set(xlabel="predicted label", ylabel="true label")
        notes = _number_cells(axes, counts, shares, cell), drawing.few_note(support, "labels")
        numbered = "; ".join(filter(None, notes))
        title(figure, f"Confusion matrix: {right:,} of {counted(rows, 'prediction')} right ({percent(right / rows)})", numbered)


def text_lengths(lengths: np.ndarray, maxlen: int, longer: float, path: Path, way: str = CUT) -> None:
    """Draw a histogram of text lengths, those above `maxlen` in another colour.

    `lengths` are tokens of whole texts, shape (texts,); a share `longer` of them, from 0 to 1, is above `maxlen`, and what
    becomes of these is `way`, one of `long_texts.WAYS`.
    """
    labels, verb = {
        CUT: (("not truncated", f"truncated to {maxlen:,} tokens"), "truncates"),
        HEAD_TAIL: (("whole", f"head and tail, {maxlen:,} tokens"), "leaves head and tail of"),
        WINDOWS: (("one window", f"several windows of {maxlen:,} tokens"), "divides"),
    }[way]
    if not len(lengths):
        raise ValueError("no texts to draw")
    longest = int(np.max(lengths))
    edges = _length_edges(lengths, maxlen)
    # The last bar holds the tail, so that one very long text does not squeeze all others into a corner.
    counts, _ = np.histogram(np.minimum(lengths, math.floor(edges[-1])), edges)
    has_tail = longest > edges[-1]
    room = max(10 - (edges[-1] - edges[0]), 0) / 2  # tokens; without it a single bar fills the picture
    with picture(path, 7.6, 4.2) as figure:
        axes = figure.subplots()
        cut = edges[:-1] > maxlen
        for shown, colour, label in zip((~cut, cut), (BLUE, VERMILLION), labels, strict=True):
            if counts[shown].any():
                bars = axes.bar(edges[:-1][shown], counts[shown], np.diff(edges)[shown], align="edge", label=label)
                for bar in bars:
                    bar.set(facecolor=colour, edgecolor="white", linewidth=0.4)
        axes.set(xlabel="tokens per text", ylabel="texts", xlim=(edges[0] - room, edges[-1] + room))
        tick_whole_numbers(axes.yaxis)
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.grid(axis="x", visible=False)
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0)
        if maxlen < edges[-1]:
            axes.axvline(maxlen + 0.5, **{**DASHED, "color": INK})
        tail = f"; the last bar holds all above {math.floor(edges[-2]):,}" if has_tail else ""
        title(
            figure,
            f"Text lengths: maxlen {maxlen:,} {verb} {percent(longer)} of {counted(len(lengths), 'text')}",
            f"median {np.median(lengths):,.0f} tokens, longest {longest:,}{tail}",
        )


def learning_rate_finder(rates: list[float], losses: Sequence[float | None], suggestion: float | None, path: Path) -> None:
    """Draw the loss at each step against its rising learning rate, and the suggested rate (Smith 2017, arXiv:1506.01186).

    A loss that is None or not finite is left out.
    """
    values = _finite_or_nan(losses)
    if len(rates) != len(values) or np.isnan(values).all():
        raise ValueError(f"expected as many rates as losses, some finite; found {len(rates)} and {len(values)}")
    with picture(path, 7.6, 4.2) as figure:
        axes = figure.subplots()
        axes.plot(rates, values, color=BLUE, marker="o" if len(values) == 1 else None)
        axes.set(xscale="log", xlabel="learning rate (log scale)", ylabel="loss (nats per text)")
        axes.xaxis.set_major_formatter(_short)
        axes.set_ylim(*_limits_before_divergence(values))
        result = "no rate is suggested"
        if suggestion is not None:
            result = f"{_short(suggestion)} is suggested (dashed line)"
            axes.axvline(suggestion, **{**DASHED, "color": VERMILLION})
        title(figure, f"Learning-rate finder: {result}")


def _short(value: float, position: float | None = None) -> str:
    """A number as people write it (5e-5, not 5e-05); matplotlib calls formatters with a position, too."""
    if value == 0 or abs(value) >= 1e-2:
        return f"{value:.3g}"
    digits, exponent = f"{value:.2e}".split("e")
    return f"{float(digits):g}e{int(exponent)}"


def _finite_or_nan(numbers: Sequence[float | None]) -> np.ndarray:
    values = np.asarray(numbers, dtype=float)
    return np.where(np.isfinite(values), values, np.nan)


def _band(values: np.ndarray, interval: Interval | None) -> tuple[np.ndarray, np.ndarray]:
    """The ends of intervals around values, each as wide as a known one; NaN where none is."""
    if interval is None:
        return np.full(len(values), np.nan), np.full(len(values), np.nan)
    return np.maximum(values - (interval.score - interval.low), 0), values + (interval.high - interval.score)


def _shade(axes: "Axes", numbers: list[int], band: tuple[np.ndarray, np.ndarray], colour: Any) -> None:
    if np.isnan(band[0]).all():
        return
    if len(numbers) > 1:
        axes.fill_between(numbers, *band, color=colour, alpha=0.13, linewidth=0, zorder=0)
    else:  # a band over a single epoch has no width
        axes.vlines(numbers, *band, color=colour, alpha=0.4, linewidth=4, zorder=0)


def _name_lines(axes: "Axes") -> None:
    """Write the name of each line that has one at its last point."""
    handles = [line for line in axes.get_lines() if not str(line.get_label()).startswith("_")]
    ends = []
    for line in handles:
        known = np.isfinite(np.asarray(line.get_ydata(), dtype=float))
        if known.any():
            x, y = (np.asarray(side, dtype=float)[known][-1] for side in line.get_data())
            ends.append(labelling.Named(x, y, str(line.get_label()), str(line.get_color())))
    labelling.name_lines(axes, ends)


def _number_cells(axes: "Axes", counts: np.ndarray, shares: np.ndarray, cell: float) -> str:
    """Write counts into cells; returns a note on which, unless into all."""
    size = min(10, drawing.number_size(f"{counts.max():>2,}", cell))
    chosen, note = ~np.isnan(shares), ""
    if len(counts) > drawing.MOST_CLASSES_WITH_COUNTS:
        errors = counts - np.diag(np.diag(counts))
        # Of equal confusions all or none are numbered, and none of a single row.
        least = max(np.sort(errors, axis=None)[-CONFUSIONS_NUMBERED], 2)
        chosen = (errors >= least) & (size >= drawing.SMALLEST_PRINT)
        note = f"numbers: confusions of {least:,} or more rows" if chosen.any() else ""
    drawing.number_cells(
        axes, shares, [(*at, f"{counts[tuple(at)]:,}") for at in np.argwhere(chosen)], size, counts.sum(axis=1)
    )
    return note


def _length_edges(lengths: np.ndarray, maxlen: int) -> np.ndarray:
    """The edges of about 50 equal bars, one right above `maxlen`, up to the beginning of the long tail."""
    shortest, longest = int(np.min(lengths)), int(np.max(lengths))
    end = np.percentile(lengths, 99)
    # A maxlen far beyond all texts is not worth the empty space.
    if maxlen < 2 * longest:
        end = max(end, 1.15 * maxlen)
    end = longest if longest < 1.3 * end else end
    width = max(1, math.ceil((end - min(shortest, maxlen)) / 50))
    below = math.ceil((maxlen + 1 - min(shortest, maxlen)) / width)
    above = max(math.ceil((end - maxlen) / width), 1 - below)
    return maxlen + 0.5 + width * np.arange(-below, above + 1)


def _limits_before_divergence(losses: np.ndarray) -> tuple[float, float]:
    """Limits of the y axis without the divergence at the end, which would flatten the rest."""
    known = losses[~np.isnan(losses)]
    start = known[: max(len(known) // 5, 1)].max()
    low, high = known.min(), min(known.max(), 2 * start)
    margin = 0.06 * (high - low) or 0.1
    return low - margin, high + margin
