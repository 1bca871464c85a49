"""Plots of a benchmark, drawn from its record in the style of `halfbert.output.plots`; each may raise ResourceError."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from halfbert.benchmark.figures import cell_figures, plane_points, samples
from halfbert.benchmark.record import Figure, Record, Who
from halfbert.output import drawing
from halfbert.output.labelling import Named, name_lines, name_points
from halfbert.output.words import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ENGINE_COLOURS = (drawing.BLUE, drawing.VERMILLION, drawing.GREEN, drawing.PURPLE, drawing.SKY, drawing.GREY)
PREDICTOR_MARKERS = "osD^vP*X"
WHISKERS = (5, 95)  # percentiles
LEAST_AREA, MOST_AREA = 40.0, 400.0  # of a point, in square points


def draw(record: Record, folder: Path) -> list[str]:
    """Draw whatever the record has the samples for, and return the names of the files."""
    single, offline, points = cell_figures(record, "single"), cell_figures(record, "offline"), plane_points(record)[0]
    several = len({figure.batch for figure in offline}) > 1  # one batch is no curve, and in the plane already
    plots = (("latency", latencies, single), ("throughput", throughput, several), ("speed_size_accuracy", plane, points))
    drawn = {f"{name}.png": draw_into for name, draw_into, enough in plots if enough}
    for name, draw_into in drawn.items():
        draw_into(record, folder / name)
    return list(drawn)


def latencies(record: Record, path: Path) -> None:
    """Draws how long one text takes: box from the quarter to the three quarters, median, whiskers, and all samples' ends."""
    figures = cell_figures(record, "single")
    settings = _settings(figures)
    names = list(dict.fromkeys(_name(figure) for figure in figures))
    with drawing.picture(path, 9.6, 1.4 + 0.34 * len(names) * len(settings)) as canvas:
        for axes, setting in zip(canvas.subplots(len(settings), 1, sharex=True, squeeze=False)[:, 0], settings, strict=True):
            here = {_name(figure): figure for figure in figures if figure.setting == setting}
            boxes = [_box(samples(record, figure)) for figure in here.values()]
            places = [len(names) - names.index(name) for name in here]
            artists = axes.bxp(boxes, places, orientation="horizontal", patch_artist=True, widths=0.6, showfliers=True)
            for box, figure in zip(artists["boxes"], here.values(), strict=True):
                box.set(facecolor=_colour(record, figure), edgecolor=drawing.INK, linewidth=0.8)
            for line in artists["medians"]:
                line.set(color=drawing.INK)
            for points in artists["fliers"]:
                points.set(marker="|", markeredgecolor=drawing.GREY)
            logarithmic(axes, "x")
            axes.set_yticks(places, list(here))
            axes.set(title=setting, xlabel="milliseconds for one text, end to end (log scale)", ylim=(0.4, len(names) + 0.6))
            axes.grid(axis="y", visible=False)
        low, high = WHISKERS
        drawing.title(
            canvas,
            "One text at a time, natural lengths",
            f"box: middle half; whiskers: {low}th to {high}th percentile; ticks: shortest and longest",
        )


def _box(seconds: np.ndarray) -> dict:
    """What matplotlib draws a box of, in milliseconds."""
    low, first, median, third, high = np.percentile(1000 * seconds, (WHISKERS[0], 25, 50, 75, WHISKERS[1]))
    ends = 1000 * np.array([seconds.min(), seconds.max()])
    return {"q1": first, "med": median, "q3": third, "whislo": low, "whishi": high, "fliers": ends}


def throughput(record: Record, path: Path) -> None:
    """Draws texts a second by batch: the median of the repeats, with the slowest and the fastest."""
    figures = cell_figures(record, "offline")
    batches = sorted({figure.batch for figure in figures})
    title = ("Throughput by batch, end to end, natural lengths", "bars: slowest and fastest repeat")
    names: dict[Axes, list[Named]] = defaultdict(list)
    with _panels(path, figures, "texts a second (log scale)", *title) as panels:
        for axes, setting in panels:
            for name in dict.fromkeys(_name(figure) for figure in figures if figure.setting == setting):
                line = [figure for figure in figures if (_name(figure), figure.setting) == (name, setting)]
                medians = np.array([figure.texts_per_second.median for figure in line])
                ends = np.array([[getattr(figure.texts_per_second, end) for figure in line] for end in ("min", "max")])
                axes.errorbar(
                    [figure.batch for figure in line],
                    medians,
                    np.abs(ends - medians),
                    color=_colour(record, line[0]),
                    marker=_marker(record, line[0]),
                    linestyle="-" if _marker(record, line[0]) == PREDICTOR_MARKERS[0] else "--",
                    capsize=2,
                )
                names[axes].append(Named(line[-1].batch, float(medians[-1]), name, _colour(record, line[0])))
            axes.set_xscale("log", base=2)
            axes.set_xticks(batches, [f"{batch}" for batch in batches])
            axes.minorticks_off()
            logarithmic(axes, "y")
            axes.set_xlabel("texts a call")
        for axes, of_panel in names.items():
            name_lines(axes, of_panel)


def plane(record: Record, path: Path) -> None:
    """Draws every predictor with every engine by its speed, its score and the bytes of its weights.

    Where no predictor has a score (`--base`), the number of parameters takes its place."""
    points, score = plane_points(record)
    figures = [figure for figure, _ in points]
    weights = {figure.who: record.contestant(figure).weight_bytes or 0 for figure in figures}
    better = "Speed, size and score: up and right is better" if score else "Speed and size: right is faster"
    title = (score or "parameters (M); there is no score", better, "area: bytes of the weights as the engine holds them")
    names: dict[Axes, list[Named]] = defaultdict(list)
    with _panels(path, figures, *title) as panels:
        for axes, setting in panels:
            for figure, height in points:
                if figure.setting == setting:
                    size, colour, rate = weights[figure.who], _colour(record, figure), figure.texts_per_second.median
                    area = LEAST_AREA + (MOST_AREA - LEAST_AREA) * size / max(*weights.values(), 1)
                    axes.scatter(rate, height, area, color=colour, marker=_marker(record, figure), edgecolors="white")
                    name = f"{_name(figure)}, {size / 1e6:.1f} MB"
                    names[axes].append(Named(rate, height, name, colour, np.sqrt(area) / 2))
            logarithmic(axes, "x")
            axes.margins(0.15)
            axes.set_xlabel(f"texts a second, batches of {figures[0].batch} (log scale)")
        heights = [height for _, height in points]
        axes.set_ylim(*(drawing.score_limits(heights) if score else (0, 1.15 * max(heights))))
        for axes, of_panel in names.items():
            name_points(axes, of_panel)


@contextmanager
def _panels(
    path: Path, figures: Sequence[Figure], ylabel: str, statement: str, detail: str
) -> "Iterator[Iterator[tuple[Axes, str]]]":
    """Panels side by side, each with its setting."""
    settings = _settings(figures)
    with drawing.picture(path, 1 + 6.4 * len(settings), 4.8) as canvas:
        panels = canvas.subplots(1, len(settings), sharey=True, squeeze=False)[0]
        for axes, setting in zip(panels, settings, strict=True):
            axes.set_title(setting)
        panels[0].set_ylabel(ylabel)
        drawing.title(canvas, statement, detail)
        yield zip(panels, settings, strict=True)


def _settings(figures: Sequence[Who]) -> list[str]:
    return list(dict.fromkeys(figure.setting for figure in figures))


def _name(figure: Who) -> str:
    return f"{shortened(figure.predictor, 30)}, {figure.engine}"


def _colour(record: Record, figure: Who) -> str:
    engines = list(dict.fromkeys(contestant.engine for contestant in record.contestants))
    return ENGINE_COLOURS[engines.index(figure.engine) % len(ENGINE_COLOURS)]


def _marker(record: Record, figure: Who) -> str:
    names = [predictor.name for predictor in record.predictors]
    return PREDICTOR_MARKERS[names.index(figure.predictor) % len(PREDICTOR_MARKERS)]


def logarithmic(axes: "Axes", which: str) -> None:
    """A logarithmic axis with 1, 2 and 5 of each power of ten written at it."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set(**{f"{which}scale": "log"})
    axis = getattr(axes, f"{which}axis")
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())
