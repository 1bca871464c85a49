"""Pictures of a comparison, made from its record; narrow, so that their print is large enough on a phone."""

from pathlib import Path
from typing import Any

from halfbert.comparison import rule
from halfbert.comparison.record import Record
from halfbert.output.drawing import BLUE, GREEN, GREY, INK, PURPLE, SKY, VERMILLION, picture, title
from halfbert.output.words import shortened, significant

QUALITY, SPEED, LABELS, LENGTHS, CURVE = (f"{n}.png" for n in ("quality", "speed", "labels", "lengths", "learning_curve"))
COLOURS = {"tfidf": GREY, "static": SKY, "student": PURPLE, "distilbert": BLUE, "bert": VERMILLION}
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
    lengths(record, folder / LENGTHS)
    if record.learning_curve:
        learning_curve(record, folder / CURVE)


def quality(record: Record, path: Path) -> None:
    """Draws each contestant's difference to the largest with its interval, and the margin that decides."""
    largest = record.contestants[-1].name
    rows = [pair for pair in record.comparisons if pair.large == largest]
    with picture(path, WIDTH, 1.6 + 0.5 * len(rows)) as figure:
        axes = figure.subplots()
        for height, row in enumerate(rows[::-1]):
            difference, colour = row.difference, COLOURS[row.small]
            axes.plot([difference.low, difference.high], [height, height], color=colour, linewidth=3)
            axes.plot(difference.difference, height, marker="o", markersize=9, color=colour)
        axes.axvline(-record.margin, **DASHED)
        axes.axvline(0, color=GREY, linewidth=1, zorder=1)
        axes.set_yticks(range(len(rows)), [row.small for row in rows[::-1]])
        axes.set(ylim=(-0.6, len(rows) - 0.4), xlabel=f"macro F1 minus that of {largest}")
        title(figure, "Entirely right of the dashed line: good enough", "difference and its 95 % interval; dashed: the margin")


def speed(record: Record, path: Path) -> None:
    """Draws score against texts per second of each contestant's engines; a dot's area is the disk space of the weights."""
    from matplotlib.ticker import LogLocator, NullFormatter

    points = [(c, one) for c in record.contestants for one in c.speeds]
    largest = max(1, *(one.weight_bytes for _, one in points))
    with picture(path, WIDTH, 4.2) as figure:
        axes = figure.subplots()
        for contestant, one in points:
            score = contestant.scores["macro_f1"].score
            area, alpha = 20 + 400 * one.weight_bytes / largest, 0.9 if one.engine == contestant.best_engine else 0.25
            axes.scatter(one.texts_per_second, score, s=area, color=COLOURS[contestant.name], alpha=alpha, linewidth=0)
        for name in dict.fromkeys(contestant.name for contestant, _ in points):
            axes.plot([], [], "o", color=COLOURS[name], label=name)
        axes.legend()
        rates = [one.texts_per_second for _, one in points]
        axes.set(xlabel="texts per second", ylabel="macro F1")
        if max(rates):
            axes.set(xscale="log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if max(rates) < 50 * min(rates) else (1,)))
        axes.xaxis.set_major_formatter(lambda rate, _: significant(rate))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.margins(0.2)
        title(figure, "Quality against speed", "area: disk space of the weights; pale: slower engines")


def labels(record: Record, path: Path) -> None:
    """Draws the labels on which the small contestant loses most, and how much."""
    small, large = rule.chief_pair(record) or ("", "")
    rows, differences = zip(*record.losses(small, large)[:MOST_LABELS][::-1], strict=True)
    with picture(path, WIDTH, 1.4 + 0.28 * len(rows)) as figure:
        axes = figure.subplots()
        axes.barh(range(len(rows)), differences, color=[VERMILLION if value < 0 else GREEN for value in differences])
        axes.axvline(0, color=GREY, linewidth=1)
        axes.set_yticks(range(len(rows)), [f"{shortened(row.label, 24)} ({row.rows:,})" for row in rows])
        axes.set(xlabel=f"F1 of {small} minus {large}")
        title(figure, f"Labels on which {small} loses most", "in brackets: test rows of the label")


def lengths(record: Record, path: Path) -> None:
    """Draws each contestant's share of right rows by text length."""
    rows = record.lengths
    with picture(path, WIDTH, 3.6) as figure:
        axes = figure.subplots()
        for name in (contestant.name for contestant in record.contestants):
            axes.plot([row.right[name] for row in rows], marker="o", color=COLOURS[name], label=name)
        axes.set_xticks(range(len(rows)), ["–".join(map(str, dict.fromkeys(row.words))) for row in rows])
        axes.set(xlabel="words per text", ylabel="share of right rows", xlim=(-0.3, len(rows) - 0.7))
        axes.legend()
        title(figure, "Right answers by text length")


def learning_curve(record: Record, path: Path) -> None:
    """Draws each contestant's score against its number of training rows."""
    with picture(path, WIDTH, 3.6) as figure:
        axes = figure.subplots()
        for name in dict.fromkeys(point.name for point in record.learning_curve):
            points = sorted((p.rows, p.score) for p in record.learning_curve if p.name == name)
            axes.plot(*zip(*points, strict=True), marker="o", color=COLOURS[name], label=name)
        ticks = sorted({point.rows for point in record.learning_curve})
        axes.set(xscale="log", xlabel="training rows", ylabel="macro F1")
        axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        axes.set_xticks([], minor=True)
        axes.legend()
        title(figure, "Score by number of training rows")
