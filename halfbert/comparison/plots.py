"""Pictures of a comparison, made from its record; narrow, so that their print is large enough on a phone."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from halfbert.comparison import rule
from halfbert.comparison.record import Record
from halfbert.data.phrases import counted
from halfbert.output.drawing import (
    BLUE,
    FADED,
    FEW_ROWS,
    GREEN,
    GREY,
    INK,
    LEAST_RANGE,
    PURPLE,
    SKY,
    VERMILLION,
    few_note,
    picture,
    score_limits,
    title,
)
from halfbert.output.labelling import Named, name_lines, name_points
from halfbert.output.words import model_name, shortened, significant
from halfbert.scoring.intervals import standard_error

QUALITY, SPEED, LABELS, LENGTHS, CURVE = (f"{n}.png" for n in ("quality", "speed", "labels", "lengths", "learning_curve"))
COLOURS = {"tfidf": GREY, "static": SKY, "student": PURPLE, "distilbert": BLUE, "cascade": GREEN, "bert": VERMILLION}
WIDTH = 5.4  # inches
MOST_LABELS = 15
DASHED: dict[str, Any] = {"color": INK, "linestyle": (0, (4, 3)), "linewidth": 1, "zorder": 1}


def draw(record: Record, folder: Path) -> None:
    """Draw every picture for which the record has data into a folder."""
    if record.comparisons:
        quality(record, folder / QUALITY)
    if any(contestant.speeds for contestant in record.contestants):
        speed(record, folder / SPEED)
    if record.comparisons:
        labels(record, folder / LABELS)
    if record.lengths:
        lengths(record, folder / LENGTHS)
    if record.learning_curve:
        learning_curve(record, folder / CURVE)


def quality(record: Record, path: Path) -> None:
    """Draws each contestant's difference to the slowest with its interval, and the margin that decides."""
    slowest = record.contestants[-1].name
    rows = [pair for pair in record.comparisons if pair.large == slowest]
    ends = [end for row in rows for end in (row.difference.low, row.difference.high)]
    with picture(path, WIDTH, 1.6 + 0.5 * len(rows)) as figure:
        axes = figure.subplots()
        for height, row in enumerate(rows[::-1]):
            difference, colour = row.difference, _colour(row.small)
            axes.plot([difference.low, difference.high], [height, height], color=colour, linewidth=3)
            axes.plot(difference.difference, height, marker="o", markersize=9, color=colour)
        axes.axvline(-record.margin, **DASHED)
        axes.axvline(0, color=GREY, linewidth=1, zorder=1)
        axes.set_yticks(range(len(rows)), [model_name(row.small, short=True) for row in rows[::-1]])
        axes.set(ylim=(-0.6, len(rows) - 0.4), xlim=_wide_enough([*ends, 0, -record.margin]))
        axes.set(xlabel=f"{record.score_name} minus that of {model_name(slowest)}")
        title(figure, "Entirely right of the dashed line: good enough", "difference and its 95 % interval; dashed: the margin")


def speed(record: Record, path: Path) -> None:
    """Draws score against texts per second of each contestant's engines; a dot's area is the disk space of the weights."""
    from matplotlib.ticker import LogLocator, NullFormatter

    points = [(c, one) for c in record.contestants for one in c.speeds]
    largest = max(1, *(one.weight_bytes for _, one in points))
    key = next(iter(record.score_names))
    names = []
    with picture(path, WIDTH, 4.2) as figure:
        axes = figure.subplots()
        for contestant, one in points:
            score, best = contestant.scores[key], one.engine == contestant.best_engine
            area, colour = 20 + 400 * one.weight_bytes / largest, _colour(contestant.name)
            axes.scatter(one.texts_per_second, score.score, s=area, color=colour, alpha=0.9 if best else 0.25, linewidth=0)
            if best:
                axes.vlines(one.texts_per_second, score.low, score.high, color=colour, linewidth=1)
                name = model_name(contestant.name, short=True)
                names.append(Named(one.texts_per_second, score.score, name, colour, np.sqrt(area) / 2))
        rates = [one.texts_per_second for _, one in points]
        scores = [end for c, _ in points for end in (c.scores[key].low, c.scores[key].score, c.scores[key].high)]
        axes.set(xlabel="texts per second", ylabel=record.score_name)
        if max(rates) > 2 * min(rates):
            axes.set(xscale="log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if max(rates) < 50 * min(rates) else (1,)))
        axes.xaxis.set_major_formatter(lambda rate, _: significant(rate))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.margins(0.2)
        axes.set(ylim=score_limits(scores))
        title(figure, "Quality against speed", "lines: 95 % intervals; area: disk space of the weights\npale: slower engines")
        name_points(axes, names)


def labels(record: Record, path: Path) -> None:
    """Draws the labels on which the small contestant loses most, and how much; those of few test rows pale."""
    pair = rule.chief_pair(record) or ("", "")
    small, large = map(model_name, pair)
    rows, differences = zip(*record.losses(*pair)[:MOST_LABELS][::-1], strict=True)
    with picture(path, WIDTH, 1.4 + 0.28 * len(rows)) as figure:
        axes = figure.subplots()
        bars = axes.barh(range(len(rows)), differences, color=[VERMILLION if value < 0 else GREEN for value in differences])
        axes.axvline(0, color=GREY, linewidth=1)
        axes.set_yticks(range(len(rows)), [f"{shortened(row.label, 24)} ({row.rows:,})" for row in rows])
        for bar, row in zip(bars, rows, strict=True):
            bar.set_alpha(FADED if row.rows < FEW_ROWS else 1)
        axes.set(xlabel=f"F1 of {small} minus that of {large}", xlim=_wide_enough([*differences, 0]))
        notes = "in brackets: test rows of the label", few_note((row.rows for row in rows), "labels")
        title(figure, f"Labels on which {small} loses most", "\n".join(filter(None, notes)))


def lengths(record: Record, path: Path) -> None:
    """Draws each contestant's share of right rows by text length, with intervals."""
    rows = record.lengths
    names = [contestant.name for contestant in record.contestants]
    with picture(path, WIDTH, 3.6) as figure:
        axes = figure.subplots()
        ends, drawn = [], []
        for number, name in enumerate(names):
            right = np.array([row.right[name] for row in rows])
            reach = np.array([1.96 * standard_error(share, row.rows) for share, row in zip(right, rows, strict=True)])
            beside = np.arange(len(rows)) + 0.06 * (number - (len(names) - 1) / 2)
            axes.plot(beside, right, marker="o", color=_colour(name))
            axes.vlines(beside, np.clip(right - reach, 0, 1), np.clip(right + reach, 0, 1), color=_colour(name), linewidth=1)
            drawn += [right - reach, right + reach]
            ends.append(Named(float(beside[-1]), float(right[-1]), model_name(name, short=True), _colour(name)))
        ticks = ["–".join(map(str, dict.fromkeys(row.words))) + "\n" + counted(row.rows, "row") for row in rows]
        axes.set_xticks(range(len(rows)), ticks)
        axes.set(xlabel="words per text", ylabel="share of right rows", xlim=(-0.3, len(rows) - 0.7))
        axes.set(ylim=score_limits(*drawn))
        title(figure, "Right answers by text length", "lines: 95 % intervals, each model's alone")
        name_lines(axes, ends)


def learning_curve(record: Record, path: Path) -> None:
    """Draws each contestant's score against its number of training rows."""
    with picture(path, WIDTH, 3.6) as figure:
        axes = figure.subplots()
        ends = []
        for name in dict.fromkeys(point.name for point in record.learning_curve):
            points = sorted((p.rows, p.score) for p in record.learning_curve if p.name == name)
            axes.plot(*zip(*points, strict=True), marker="o", color=_colour(name))
            ends.append(Named(*points[-1], model_name(name, short=True), _colour(name)))
        ticks = sorted({point.rows for point in record.learning_curve})
        axes.set(xscale="log", xlabel="training rows", ylabel=record.score_name)
        axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        axes.set_xticks([], minor=True)
        axes.set(ylim=score_limits(point.score for point in record.learning_curve))
        title(figure, "Score by number of training rows")
        name_lines(axes, ends)


def _colour(name: str) -> str:
    return COLOURS.get(name, INK)


def _wide_enough(differences: Iterable[float]) -> tuple[float, float]:
    """Ends of an axis around differences of scores, at least LEAST_RANGE apart."""
    values: Sequence[float] = sorted(differences)
    middle, reach = (values[0] + values[-1]) / 2, max(0.55 * (values[-1] - values[0]), LEAST_RANGE / 2)
    return middle - reach, middle + reach
