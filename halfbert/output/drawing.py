"""How all pictures are drawn: style, size, fonts, and one way to write them.

matplotlib is imported when the first picture is drawn, and without pyplot: no display, no global figure, nothing to close.
"""

import math
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from halfbert.output.fonts import families_for
from halfbert.output.words import columns
from halfbert.system import storage
from halfbert.system.errors import ResourceError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

# Okabe and Ito's colours, which colour-blind readers can tell apart.
BLUE, VERMILLION, GREEN, PURPLE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9"
INK, GREY, PALE = "#222222", "#767676", "#E4E4E4"
DASHED: dict[str, Any] = {"color": GREY, "linestyle": (0, (4, 3)), "linewidth": 1, "zorder": 1}

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

MOST_CLASSES_WITH_COUNTS = 20
SMALLEST_PRINT = 5  # points
FEW_ROWS = 10  # below which a share says little: what it is shown by is pale
FADED = 0.35  # opacity of what is pale
LEAST_RANGE = 0.1  # of an axis of scores, so that noise does not look like progress
WIDEST_MATRIX = 18.0  # inches, beyond which cells shrink instead


@contextmanager
def picture(path: Path, width: float, height: float) -> Iterator["Figure"]:
    """Yield a figure of the given size in inches, in the style of all pictures; it is written when the block succeeds."""
    import matplotlib.style
    from matplotlib.figure import Figure

    if not path.parent.is_dir():
        raise ResourceError(f"cannot write the picture {path}: there is no folder {path.parent}; create it first")
    # "default" first, so that the user's own matplotlibrc does not change the pictures.
    with matplotlib.style.context(["default", STYLE]):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        _write(figure, path)


@contextmanager
def shaded_matrix(
    path: Path, shares: np.ndarray, row_names: list[str], column_names: list[str], meaning: str, rows: np.ndarray
) -> Iterator[tuple["Figure", "Axes", float]]:
    """Yield figure, axes and a cell's side in inches of a picture of a square matrix of shares (0 to 1, NaN blank).

    `rows` are those that each line's shares are of, (labels,); lines of fewer than FEW_ROWS are pale.
    """
    classes = len(shares)
    cell = min(_cell_inches(classes), WIDEST_MATRIX / classes)
    size = 9 if classes <= MOST_CLASSES_WITH_COUNTS else 7
    longest_name = max(text_inches(name, size) for name in column_names)
    upright = longest_name > 0.95 * cell
    width = max(longest_name + cell * classes + 2, 5.4)
    height = (longest_name if upright else 0.2) + cell * classes + 1.1
    with picture(path, width, height) as figure:
        axes = figure.subplots()
        image = shaded_cells(axes, shares, cell, rows)
        # Where cells are thinner than a line of text, only every so many are named.
        step = math.ceil(size / 72 / cell)
        axes.set_xticks(range(0, classes, step), column_names[::step], rotation=90 if upright else 0, fontsize=size)
        axes.set_yticks(range(0, classes, step), row_names[::step], fontsize=size)
        for label, few in zip(axes.get_yticklabels(), rows[::step] < FEW_ROWS, strict=True):
            label.set_color(GREY if few else INK)
        bar = figure.colorbar(image, ax=axes, shrink=min(1, 4 / (cell * classes)), aspect=18, pad=0.02)
        bar.set_label(meaning)
        bar.set_ticks([0, 0.05, 0.2, 0.5, 1], labels=["0%", "5%", "20%", "50%", "100%"])
        bar.outline.set_visible(False)
        yield figure, axes, cell


def _write(figure: "Figure", path: Path) -> None:
    set_fonts(figure)
    try:
        with warnings.catch_warnings(), storage.atomic_file(path) as stream:
            warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)  # reported by `families_for`
            figure.savefig(stream, format="png")
    except OSError as error:
        raise ResourceError(f"cannot write the picture {path}: {error.strerror or error}") from error


def set_fonts(figure: "Figure") -> None:
    """Give every text of the figure the fonts that its letters need."""
    from matplotlib.text import Text

    texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    # Ticks get their texts when they are read, or drawn.
    texts += [label for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) for label in axis.get_ticklabels()]
    families = families_for({text.get_text() for text in texts})
    if len(families) > 1:
        for text in texts:
            text.set_fontfamily(families)


def title(figure: "Figure", statement: str, detail: str = "") -> None:
    """Write a title at the top left, and a detail below it."""
    size = max(12, figure.get_figwidth())  # large pictures are looked at from further away
    figure.suptitle(f"{statement}\n{detail}" if detail else statement, x=0.01, ha="left", fontsize=size)


def legend_below(figure: "Figure", panels: Iterable["Axes"]) -> None:
    """One legend of all panels, below them, where it covers nothing."""
    handles = {name: handle for axes in panels for handle, name in zip(*axes.get_legend_handles_labels(), strict=True)}
    if handles:
        widest = max(text_inches(name, 9) for name in handles) + 0.5
        legend = figure.legend(
            handles.values(),
            handles.keys(),
            loc="outside lower left",
            ncols=max(1, min(len(handles), int(figure.get_figwidth() / widest))),
            fontsize=9,
        )
        for handle in legend.legend_handles:
            if handle is not None:
                handle.set_alpha(1)  # be the first of its kind pale


def score_limits(*scores: Iterable[float | None]) -> tuple[float, float]:
    """The range of scores from 0 to 1 and a little more, at least LEAST_RANGE wide."""
    values = np.array([score for some in scores for score in some if score is not None and math.isfinite(score)])
    if not len(values):
        return 0.0, 1.0
    middle, reach = (values.min() + values.max()) / 2, max(0.6 * np.ptp(values), LEAST_RANGE / 2)
    return max(float(middle - reach), 0.0), min(float(middle + reach), 1.02)


def fade(axes: "Axes") -> None:
    """Make what a panel shows pale."""
    for artist in (*axes.lines, *axes.collections, *axes.images):
        artist.set_alpha(FADED)


def few_note(rows: Iterable[int], things: str) -> str:
    """What pale means, for a title; empty where nothing is pale."""
    few = sum(0 < each < FEW_ROWS for each in rows)
    return f"pale: {things} with fewer than {FEW_ROWS} rows ({few})" if few else ""


def tick_whole_numbers(axis: "Axis") -> None:
    """Ticks at whole numbers only, be it a single one: else an axis around one epoch is ticked at 0.9 and 1.1."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))


def text_inches(text: str, size: float) -> float:
    """About how wide a text of `size` points is drawn: a letter is some 0.6 of its height wide, a Chinese one twice that."""
    return 0.6 * columns(text) * size / 72


def number_size(longest: str, cell: float) -> float:
    """The points at which a number fits into a cell of so many inches."""
    return 72 * cell * 0.85 / (0.62 * len(longest))


def number_cells(
    axes: "Axes",
    shares: np.ndarray,
    numbers: Iterable[tuple[int, int, str]],
    size: float,
    rows: np.ndarray,
    none: str = GREY,
) -> None:
    """Write a number into each of some cells, by row and column; that of a share of 0 in the colour `none`.

    `rows`: as of `shaded_cells`.
    """
    for row, column, number in numbers:
        colour = "white" if shares[row, column] > 0.3 and rows[row] >= FEW_ROWS else INK if shares[row, column] else none
        axes.text(column, row, number, ha="center", va="center", fontsize=size, color=colour)


def _cell_inches(classes: int) -> float:
    if classes > MOST_CLASSES_WITH_COUNTS:
        return 0.26 if classes <= 40 else 0.17
    return 1.3 if classes <= 3 else 0.75 if classes <= 8 else 0.45


def shaded_cells(axes: "Axes", shares: np.ndarray, cell: float, rows: np.ndarray) -> "AxesImage":
    """Draw shares as a grid of shaded cells, each `cell` inches wide; lines with shares of fewer than FEW_ROWS `rows` pale."""
    from matplotlib import colormaps
    from matplotlib.colors import PowerNorm

    # The colours follow the square root: on a linear scale an error of a few percent looks like none.
    norm = PowerNorm(0.5, vmin=0, vmax=1)
    opacity = np.broadcast_to(np.where(rows < FEW_ROWS, FADED, 1.0)[:, None], shares.shape)
    image = axes.imshow(shares, cmap=colormaps["Blues"].with_extremes(bad=PALE), norm=norm, alpha=opacity)
    edges = np.arange(len(shares) + 1) - 0.5
    axes.set_xticks(edges, minor=True)
    axes.set_yticks(edges, minor=True)
    axes.grid(False)
    axes.grid(which="minor", color=PALE, linewidth=min(1, 3 * cell))
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    return image
