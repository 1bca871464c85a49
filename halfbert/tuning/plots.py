"""Pictures of a search, made from its record."""

from pathlib import Path

import numpy as np

from halfbert.output.drawing import (
    BLUE,
    DASHED,
    GREY,
    VERMILLION,
    legend_below,
    picture,
    score_limits,
    tick_whole_numbers,
    title,
)
from halfbert.output.words import readable
from halfbert.tuning.record import Record

TRIALS, IMPORTANCE = "trials.png", "importance.png"
WIDTH = 5.4  # inches
COLOURS = {"finished": BLUE, "pruned": GREY, "stopped": GREY}


def draw(record: Record, folder: Path) -> None:
    """Draw every picture for which the record has data into a folder."""
    trials(record, folder / TRIALS)
    if record.importance:
        importance(record.importance, folder / IMPORTANCE)


def trials(record: Record, path: Path) -> None:
    """Draws the validation score of each trial, and the best so far."""
    finished = record.of("finished")
    with picture(path, WIDTH, 3.8) as figure:
        axes = figure.subplots()
        for outcome, colour in COLOURS.items():
            found = [trial for trial in record.of(outcome) if trial.score is not None]
            if found:
                axes.plot([t.number for t in found], [t.score or 0.0 for t in found], "o", color=colour, label=outcome)
        best = np.maximum.accumulate([trial.score or 0.0 for trial in finished])
        axes.step([trial.number for trial in finished], best, where="post", color=BLUE, linewidth=1)
        winner = record.trial(record.winner.trial)
        chosen = "default, kept" if record.default_is_kept else "winner"
        axes.plot(winner.number, winner.score or 0.0, "o", markersize=10, fillstyle="none", color=VERMILLION, label=chosen)
        if record.default is not None:
            default = record.trial(record.default.trial).score or 0.0
            axes.axhline(default, **DASHED)
            if record.lead is not None and record.lead.models > 1:
                axes.axhspan(default, default + record.lead.luck, color=GREY, alpha=0.15, linewidth=0)
        axes.set(xlabel="trial", ylabel=readable(record.score.removeprefix("val_")))
        axes.set(ylim=score_limits([trial.score for trial in record.trials], axes.get_ylim()))
        tick_whole_numbers(axes.xaxis)
        legend_below(figure, [axes])
        title(figure, "What the search found on validation rows", "dashed: the default settings; grey: what luck alone can add")


def importance(shares: dict[str, float], path: Path) -> None:
    """Draws the share of each setting in the differences between scores."""
    with picture(path, WIDTH, 1.4 + 0.3 * len(shares)) as figure:
        axes = figure.subplots()
        axes.barh(range(len(shares)), list(shares.values())[::-1], color=BLUE)
        axes.set_yticks(range(len(shares)), [readable(name) for name in shares][::-1])
        axes.set(xlabel="share of the differences between scores", xlim=(0, 1))
        title(figure, "Which settings mattered", "fANOVA of the trials that finished")
