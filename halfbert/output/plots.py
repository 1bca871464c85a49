"""Pictures of a run. Each function takes plain numbers, draws one picture and writes it as a PNG.

A picture is written beside its final name and then renamed, so that no half of one is ever found. matplotlib is imported
when the first picture is drawn, and without pyplot: there is no display, no global figure and nothing to close.
"""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from halfbert.system.errors import ResourceError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage
    from matplotlib.ticker import MaxNLocator

    from halfbert.scoring.multiclass import Bin

# Okabe and Ito's colours, which colour-blind readers can tell apart.
BLUE, VERMILLION, GREEN, PURPLE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9"
INK, GREY, PALE = "#222222", "#767676", "#E4E4E4"

STYLE = {
    "savefig.dpi": 130,
    "savefig.bbox": "tight",
    "savefig.pad_inches": 0.15,
    "font.size": 10,
    # Labels are the user's text: a "$" in one is a dollar, not the beginning of a formula.
    "text.parse_math": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": PALE,
    "grid.linewidth": 0.8,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
}

BARS = {"edgecolor": "white", "linewidth": 0.4}
LONGEST_LABEL = 50  # characters; longer ones lose their middle
MOST_CLASSES_WITH_COUNTS = 20
CONFUSIONS_NUMBERED = 20  # in a matrix of more classes than that; more where several are equal
SMALLEST_PRINT = 5  # points
WIDEST_MATRIX = 18.0  # inches, beyond which cells shrink instead


def learning_curves(epochs: list[dict], best_epoch: int, path: Path) -> None:
    """Draws the losses of each epoch, and beside them every other validation score.

    Args:
        epochs: the record's epochs: `epoch` (from 1), `train_loss`, `val_loss` (nats per text) and any `val_<metric>`
            (from 0 to 1). A value that is missing, None or not finite leaves a gap and is named.
        best_epoch: the epoch whose weights were kept.
        path: the PNG to write.

    Raises:
        ValueError: there are no epochs, or the best is not among them.
        ResourceError: the picture cannot be written.
    """
    numbers = [entry["epoch"] for entry in epochs]
    if best_epoch not in numbers:
        raise ValueError(f"epoch {best_epoch} is not among the {len(numbers)} epochs to draw")
    names = dict.fromkeys(name for entry in epochs for name in entry)
    metrics = [name for name in names if name.startswith("val_") and name != "val_loss"]
    metrics = [name for name in metrics if not np.isnan(_values(epochs, name)).all()]
    with picture(path, 9.6, 4.2) as figure:
        losses, scores = figure.subplots(1, 2)
        for name, colour, label in [("train_loss", SKY, "training"), ("val_loss", BLUE, "validation")]:
            _curve(losses, epochs, name, colour, label)
        for name, colour in zip(metrics, _colours(len(metrics)), strict=True):
            _curve(scores, epochs, name, colour, readable(name.removeprefix("val_")))
        losses.set(title="Loss", ylabel="mean loss (nats per text)", ylim=(0, _top(losses)))
        scores.set(title="Validation scores", ylabel="score (from 0 to 1)", ylim=_score_limits(scores))
        for axes in (losses, scores):
            axes.axvline(best_epoch, color=GREY, linestyle=(0, (4, 3)), linewidth=1, zorder=1)
            axes.set(xlabel="epoch", xlim=(min(numbers) - 0.3, max(numbers) + 0.3))
            axes.xaxis.set_major_locator(_whole_numbers())
            if axes.get_legend_handles_labels()[0]:
                axes.legend()
        title(figure, f"Learning curves: epoch {best_epoch} of {max(numbers)} was kept (dashed line)", _gaps(epochs))


def learning_rate(rates: list[float], momenta: list[float], path: Path) -> None:
    """Draws the learning rate and the momentum of every optimizer step.

    Args:
        rates: the learning rate at each step.
        momenta: the momentum (Adam's beta 1) at each step.
        path: the PNG to write.

    Raises:
        ValueError: there are no steps, or more of one than of the other.
        ResourceError: the picture cannot be written.
    """
    if not len(rates) or len(rates) != len(momenta):
        raise ValueError(f"expected as many rates as momenta, and some; found {len(rates)} and {len(momenta)}")
    steps = np.arange(1, len(rates) + 1)
    with picture(path, 9.6, 3.8) as figure:
        panels = figure.subplots(1, 2)
        for axes, values, name, colour in zip(
            panels, (rates, momenta), ("learning rate", "momentum (beta 1)"), (BLUE, GREEN), strict=True
        ):
            # A line through a single point is invisible.
            axes.plot(steps, values, color=colour, marker="o" if len(steps) == 1 else None)
            axes.set(title=name.capitalize(), xlabel="optimizer step", ylabel=name)
            axes.xaxis.set_major_locator(_whole_numbers())
        panels[0].set_ylim(bottom=0)
        panels[0].yaxis.set_major_formatter(_short)
        title(figure, f"Learning-rate schedule: {counted(len(steps), 'step')}, highest rate {_short(max(rates))}")


def confusion(matrix: list[list[int]], labels: list[str], path: Path) -> None:
    """Draws how often each label was answered with each, as shares of the rows that truly bear it.

    Counts stand in the cells of small matrices; in large ones only the most frequent confusions are numbered.

    Args:
        matrix: counts, shape (classes, classes); rows are the truth, columns the answer. A row may be all zeros.
        labels: the names of the classes, in the order of the rows.
        path: the PNG to write.

    Raises:
        ValueError: the matrix is not square, does not fit the labels, or counts nothing.
        ResourceError: the picture cannot be written.
    """
    counts = np.asarray(matrix)
    classes = len(labels)
    if counts.shape != (classes, classes) or not counts.any():
        raise ValueError(f"expected counts above 0 of {classes} by {classes} labels, found shape {counts.shape}")
    support = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, support, out=np.full(counts.shape, np.nan), where=support > 0)
    names = [shortened(label) for label in labels]
    true_names = [name if rows else f"{name} (no rows)" for name, rows in zip(names, support[:, 0], strict=True)]
    right, rows = int(counts.trace()), int(counts.sum())
    with shaded_matrix(path, shares, true_names, names, "share of the true label's rows") as (figure, axes, cell):
        axes.set(xlabel="predicted label", ylabel="true label")
        numbered = _number_cells(axes, counts, shares, cell)
        title(figure, f"Confusion matrix: {right:,} of {rows:,} answers right ({percent(right / rows)})", numbered)


def reliability(bins: "list[Bin]", expected_calibration_error: float, path: Path) -> None:
    """Draws how often answers of each confidence are right (Guo et al. 2017, arXiv:1706.04599).

    Args:
        bins: those of `reliability_bins`.
        expected_calibration_error: from 0 to 1.
        path: the PNG to write.

    Raises:
        ValueError: there are no bins.
        ResourceError: the picture cannot be written.
    """
    if not bins:
        raise ValueError("no bin has rows")
    centres = np.array([(each.low + each.high) / 2 for each in bins])
    width = 0.92 * (bins[0].high - bins[0].low)
    accuracy, confidence = np.array([(each.accuracy, each.confidence) for each in bins]).T
    rows = [each.rows for each in bins]
    with picture(path, 6.4, 6.8) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        upper.plot([0, 1], [0, 1], color=GREY, linestyle=(0, (4, 3)), linewidth=1, label="perfect calibration")
        upper.bar(centres, accuracy, width, color=BLUE, label="accuracy")
        upper.hlines(confidence, centres - width / 2, centres + width / 2, color=VERMILLION, label="mean confidence")
        upper.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="share of answers that are right")
        upper.legend(loc="upper left")
        bars = lower.bar(centres, rows, width, color=GREY)
        lower.bar_label(bars, [f"{count:,}" for count in rows], padding=1, fontsize=7, color=INK)
        lower.set(xlabel="confidence (probability of the answer)", ylabel="rows")
        lower.margins(y=0.2)
        lower.yaxis.set_major_formatter("{x:,.0f}")
        lower.yaxis.set_major_locator(_whole_numbers())
        lower.grid(False)
        right, sure = np.average(accuracy, weights=rows), np.average(confidence, weights=rows)
        title(
            figure,
            f"Reliability: {percent(right)} of answers right, mean confidence {percent(sure)}",
            f"expected calibration error {expected_calibration_error:.3f} over {counted(sum(rows), 'row')}",
        )


def text_lengths(lengths: np.ndarray, maxlen: int, cut_share: float, path: Path) -> None:
    """Draws how long the texts are, and which of them `maxlen` cuts.

    Args:
        lengths: tokens of each text, uncut, shape (texts,).
        maxlen: the most tokens that the model is given.
        cut_share: the share of texts that are longer than that, from 0 to 1.
        path: the PNG to write.

    Raises:
        ValueError: there are no texts.
        ResourceError: the picture cannot be written.
    """
    if not len(lengths):
        raise ValueError("no texts to draw")
    longest = int(np.max(lengths))
    edges = _length_edges(lengths, maxlen)
    # The last bar gathers the tail: one very long text must not squeeze all others into a corner.
    gathered = np.minimum(lengths, math.floor(edges[-1]))
    counts, _ = np.histogram(gathered, edges)
    has_tail = longest > edges[-1]
    room = max(10 - (edges[-1] - edges[0]), 0) / 2  # tokens; without it a single bar fills the picture
    with picture(path, 7.6, 4.2) as figure:
        axes = figure.subplots()
        cut = edges[:-1] > maxlen
        for shown, colour, label in [(~cut, BLUE, "read whole"), (cut, VERMILLION, f"cut to {maxlen:,} tokens")]:
            if counts[shown].any():
                widths = np.diff(edges)[shown]
                axes.bar(edges[:-1][shown], counts[shown], widths, align="edge", color=colour, label=label, **BARS)
        axes.set(xlabel="tokens per text", ylabel="texts", xlim=(edges[0] - room, edges[-1] + room))
        axes.yaxis.set_major_locator(_whole_numbers())
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.grid(axis="x", visible=False)
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0)
        if maxlen < edges[-1]:
            axes.axvline(maxlen + 0.5, color=INK, linestyle=(0, (4, 3)), linewidth=1)
        tail = f"; the last bar gathers all above {math.floor(edges[-2]):,}" if has_tail else ""
        title(
            figure,
            f"Text lengths: maxlen {maxlen:,} cuts {percent(cut_share)} of {counted(len(lengths), 'text')}",
            f"median {np.median(lengths):,.0f} tokens, longest {longest:,}{tail}",
        )


def learning_rate_finder(rates: list[float], losses: list[float], suggestion: float | None, path: Path) -> None:
    """Draws the loss while the learning rate rises, and the rate that was read off it (Smith 2017, arXiv:1506.01186).

    Args:
        rates: the learning rate at each step, rising.
        losses: the loss at each step, nats per text; what is not finite is left out.
        suggestion: the rate suggested, None where none was found.
        path: the PNG to write.

    Raises:
        ValueError: no loss is finite, or there are more rates than losses or the reverse.
        ResourceError: the picture cannot be written.
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
        found = "no suggestion was found"
        if suggestion is not None:
            found = f"{_short(suggestion)} is suggested (dashed line)"
            axes.axvline(suggestion, color=VERMILLION, linestyle=(0, (4, 3)), linewidth=1.4)
        title(figure, f"Learning-rate finder: {found}")


@contextmanager
def picture(path: Path, width: float, height: float) -> Iterator["Figure"]:
    """A figure of the given size in inches, in the style of all pictures, written to `path` when the block ends well."""
    import matplotlib.style
    from matplotlib.figure import Figure

    if not path.parent.is_dir():
        raise ResourceError(f"cannot write the picture {path}: there is no folder {path.parent}; make it first")
    # "default" first, lest the user's own matplotlibrc change the pictures.
    with matplotlib.style.context(["default", STYLE]):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        _write(figure, path)


@contextmanager
def shaded_matrix(
    path: Path, shares: np.ndarray, row_names: list[str], column_names: list[str], meaning: str
) -> Iterator[tuple["Figure", "Axes", float]]:
    """A picture of a square matrix of shares from 0 to 1, NaN being blank: figure, axes and the inches of a cell's side."""
    classes = len(shares)
    cell = min(_cell_inches(classes), WIDEST_MATRIX / classes)
    size = 9 if classes <= MOST_CLASSES_WITH_COUNTS else 7
    longest_name = max(text_inches(name, size) for name in column_names)
    upright = longest_name > 0.95 * cell
    width = max(longest_name + cell * classes + 2, 5.4)
    height = (longest_name if upright else 0.2) + cell * classes + 1.1
    with picture(path, width, height) as figure:
        axes = figure.subplots()
        image = shaded_cells(axes, shares, cell)
        # Where cells are thinner than a line of text, only every so many are named.
        step = math.ceil(size / 72 / cell)
        axes.set_xticks(range(0, classes, step), column_names[::step], rotation=90 if upright else 0, fontsize=size)
        axes.set_yticks(range(0, classes, step), row_names[::step], fontsize=size)
        bar = figure.colorbar(image, ax=axes, shrink=min(1, 4 / (cell * classes)), aspect=18, pad=0.02)
        bar.set_label(meaning)
        bar.set_ticks([0, 0.05, 0.2, 0.5, 1], labels=["0%", "5%", "20%", "50%", "100%"])
        bar.outline.set_visible(False)
        yield figure, axes, cell


def _write(figure: "Figure", path: Path) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        figure.savefig(beside, format="png")
        os.replace(beside, path)
    except OSError as error:
        raise ResourceError(f"cannot write the picture {path}: {error.strerror or error}") from error
    finally:
        beside.unlink(missing_ok=True)


def title(figure: "Figure", statement: str, detail: str = "") -> None:
    size = max(12, figure.get_figwidth())  # large pictures are looked at from further away
    figure.suptitle(f"{statement}\n{detail}" if detail else statement, x=0.01, ha="left", fontsize=size)


def _whole_numbers() -> "MaxNLocator":
    from matplotlib.ticker import MaxNLocator

    # A single whole number will do: otherwise an axis around one epoch is ticked at 0.9 and 1.1.
    return MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True, min_n_ticks=1)


def counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def percent(share: float) -> str:
    """A percentage that says 0 and 100 of none and all only."""
    if 0 < share < 0.0005:
        return "<0.1%"
    if 0.9995 <= share < 1:
        return ">99.9%"
    return f"{share:.1%}" if 0 < share < 1 else f"{share:.0%}"


def _short(value: float, position: int | None = None) -> str:
    """A number as people write it (5e-5, not 5e-05); the second argument is what matplotlib hands to a formatter."""
    if value == 0 or abs(value) >= 1e-2:
        return f"{value:.3g}"
    digits, exponent = f"{value:.2e}".split("e")
    return f"{float(digits):g}e{int(exponent)}"


def readable(metric: str) -> str:
    """The name of a record's score as people write it: "macro F1" for "macro_f1"."""
    words = {"f1": "F1", "roc": "ROC", "auc": "AUC"}
    return " ".join(words.get(word, word) for word in metric.split("_"))


def shortened(label: str, longest: int = LONGEST_LABEL) -> str:
    """The label on one line, its middle left out where it is too long: beginnings and ends tell labels apart."""
    label = " ".join(label.split())
    half = (longest - 1) // 2
    return label if len(label) <= longest else f"{label[:half]}…{label[-half:]}"


def _colours(number: int) -> list[str]:
    palette = [GREEN, VERMILLION, PURPLE, BLUE, SKY, GREY]
    return [palette[index % len(palette)] for index in range(number)]


def _finite_or_nan(numbers: list[float | None]) -> np.ndarray:
    values = np.asarray(numbers, dtype=float)
    return np.where(np.isfinite(values), values, np.nan)


def _values(epochs: list[dict], name: str) -> np.ndarray:
    return _finite_or_nan([entry.get(name) for entry in epochs])


def _curve(axes: "Axes", epochs: list[dict], name: str, colour: str, label: str) -> None:
    axes.plot([entry["epoch"] for entry in epochs], _values(epochs, name), color=colour, label=label, marker="o")


def _gaps(epochs: list[dict]) -> str:
    """Names the epochs of which a loss cannot be drawn."""
    lacking = np.isnan(_values(epochs, "train_loss")) | np.isnan(_values(epochs, "val_loss"))
    numbers = [str(entry["epoch"]) for entry, missing in zip(epochs, lacking, strict=True) if missing]
    return f"a loss is missing or not finite: epoch {', '.join(numbers)}" if numbers else ""


def _drawn(axes: "Axes") -> np.ndarray:
    values = np.concatenate([np.empty(0), *(line.get_ydata() for line in axes.get_lines())])
    return values[~np.isnan(values)]


def _top(axes: "Axes") -> float:
    return 1.1 * max(_drawn(axes), default=0) or 1.0


def _score_limits(axes: "Axes") -> tuple[float, float]:
    """The range of the scores and a little more, at least 0.1 wide, so that noise does not look like progress."""
    values = _drawn(axes)
    if not len(values):
        return 0.0, 1.0
    middle, reach = (values.min() + values.max()) / 2, max(0.6 * np.ptp(values), 0.05)
    return max(middle - reach, 0.0), min(middle + reach, 1.02)


def text_inches(text: str, size: float) -> float:
    """About how wide a text of `size` points is drawn: a letter is some 0.6 of its height wide."""
    return 0.6 * len(text) * size / 72


def _cell_inches(classes: int) -> float:
    if classes > MOST_CLASSES_WITH_COUNTS:
        return 0.26 if classes <= 40 else 0.17
    return 1.3 if classes <= 3 else 0.75 if classes <= 8 else 0.45


def shaded_cells(axes: "Axes", shares: np.ndarray, cell: float) -> "AxesImage":
    from matplotlib import colormaps
    from matplotlib.colors import PowerNorm

    # The colours follow the square root: on a linear scale an error of a few percent looks like none.
    norm = PowerNorm(0.5, vmin=0, vmax=1)
    image = axes.imshow(shares, cmap=colormaps["Blues"].with_extremes(bad=PALE), norm=norm)
    edges = np.arange(len(shares) + 1) - 0.5
    axes.set_xticks(edges, minor=True)
    axes.set_yticks(edges, minor=True)
    axes.grid(False)
    axes.grid(which="minor", color=PALE, linewidth=min(1, 3 * cell))
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    return image


def _number_cells(axes: "Axes", counts: np.ndarray, shares: np.ndarray, cell: float) -> str:
    """Writes counts into cells, and says which where not into all."""
    size = min(10, 72 * cell * 0.85 / (0.62 * max(len(f"{counts.max():,}"), 2)))
    if len(counts) <= MOST_CLASSES_WITH_COUNTS:
        cells, note = np.argwhere(~np.isnan(shares)), ""
    elif size < SMALLEST_PRINT:
        cells, note = [], ""
    else:
        errors = counts - np.diag(np.diag(counts))
        # Equal confusions are numbered all or none; those of a single row are too many to help.
        least = max(np.sort(errors, axis=None)[-CONFUSIONS_NUMBERED], 2)
        cells = np.argwhere(errors >= least)
        note = f"numbers: confusions of {least:,} rows or more" if len(cells) else ""
    for row, column in cells:
        colour = "white" if shares[row, column] > 0.3 else INK if counts[row, column] else GREY
        axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", fontsize=size, color=colour)
    return note


def _length_edges(lengths: np.ndarray, maxlen: int) -> np.ndarray:
    """Edges of about 50 equal bars in tokens, one edge right above `maxlen`, up to where the long tail begins."""
    shortest, longest = int(np.min(lengths)), int(np.max(lengths))
    end = np.percentile(lengths, 99)
    # The cut is worth empty space only where it is not far beyond the texts.
    if maxlen < 2 * longest:
        end = max(end, 1.15 * maxlen)
    end = longest if longest < 1.3 * end else end
    width = max(1, math.ceil((end - min(shortest, maxlen)) / 50))
    below = math.ceil((maxlen + 1 - min(shortest, maxlen)) / width)
    above = max(math.ceil((end - maxlen) / width), 1 - below)
    return maxlen + 0.5 + width * np.arange(-below, above + 1)


def _limits_before_divergence(losses: np.ndarray) -> tuple[float, float]:
    """Limits of the y axis that leave out the explosion at the end, beside which the rest would look flat."""
    known = losses[~np.isnan(losses)]
    start = known[: max(len(known) // 5, 1)].max()
    low, high = known.min(), min(known.max(), 2 * start)
    margin = 0.06 * (high - low) or 0.1
    return low - margin, high + margin
