"""Pictures of how far a predictor's probabilities and guarantees can be trusted. Each function writes one PNG, from
plain numbers.

All raise ValueError for numbers that do not fit together, and ResourceError if the picture cannot be written.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from halfbert.data.phrases import counted
from halfbert.output import drawing, labelling
from halfbert.output.drawing import BLUE, DASHED, GREY, INK, VERMILLION, picture, tick_whole_numbers, title
from halfbert.output.guarantees import RISK_NAMES
from halfbert.output.record import Guarantee
from halfbert.scoring.intervals import standard_error
from halfbert.scoring.reliability import Bin, expected_calibration_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes

AXES = {  # of confidence, and of what is right, by task
    "multiclass": ("confidence (probability of the predicted label)", "share of predictions that are right"),
    "multilabel": ("probability of a label", "share of texts that have the label"),
}


def reliability(kinds: dict[str, list[Bin]], task: str, path: Path) -> None:
    """Draw how often predictions of each confidence are right (Guo et al. 2017, arXiv:1706.04599).

    A column of panels for each of the `kinds` of probabilities, by name, with its bins of the same predictions.
    """
    if not kinds or not all(kinds.values()):
        raise ValueError("no bin has rows")
    errors = [f"{name} {expected_calibration_error(bins):.3f}" for name, bins in kinds.items()]
    with picture(path, 4.6 * len(kinds) + 0.6, 6.4) as figure:
        panels = figure.subplots(2, len(kinds), sharex=True, sharey="row", squeeze=False, height_ratios=[3, 1])
        for (name, bins), (upper, lower) in zip(kinds.items(), panels.T, strict=True):
            _draw_bins(upper, lower, bins)
            upper.set_title(name)
            lower.set_xlabel(AXES[task][0])
        panels[0, 0].set_ylabel(AXES[task][1])
        drawing.legend_below(figure, panels[0, :1])
        panels[1, 0].set_ylabel("predictions")
        tick_whole_numbers(panels[1, 0].yaxis)
        number = sum(each.rows for each in next(iter(kinds.values())))
        notes = counted(number, "prediction"), drawing.few_note((each.rows for bins in kinds.values() for each in bins), "bins")
        title(figure, f"Reliability: expected calibration error {', '.join(errors)}", "; ".join(filter(None, notes)))


def _draw_bins(upper: "Axes", lower: "Axes", bins: list[Bin]) -> None:
    centres = np.array([(each.low + each.high) / 2 for each in bins])
    width = 0.92 * (bins[0].high - bins[0].low)
    accuracy, confidence = np.array([(each.accuracy, each.confidence) for each in bins]).T
    upper.plot([0, 1], [0, 1], **DASHED, label="perfect calibration")
    reach = [1.96 * standard_error(each.accuracy, each.rows) for each in bins]
    drawn = upper.bar(centres, accuracy, width, color=BLUE, label="share that is right")
    ends = np.clip(accuracy - reach, 0, 1), np.clip(accuracy + reach, 0, 1)
    upper.vlines(centres, *ends, color=INK, linewidth=0.8, label="its 95 % interval")
    upper.hlines(confidence, centres - width / 2, centres + width / 2, color=VERMILLION, label="mean confidence")
    upper.set(xlim=(0, 1), ylim=(0, 1.02))
    below = lower.bar(centres, [each.rows for each in bins], width, color=GREY)
    for each, *pair in zip(bins, drawn, below, strict=True):
        if each.rows < drawing.FEW_ROWS:
            for bar in pair:
                bar.set_alpha(drawing.FADED)
    lower.bar_label(below, [f"{each.rows:,}" for each in bins], padding=1, fontsize=6, color=INK, rotation=90)
    lower.margins(y=0.45)
    lower.yaxis.set_major_formatter("{x:,.0f}")
    lower.grid(False)


def risk_coverage(curves: dict[str, tuple[np.ndarray, np.ndarray]], guarantees: list[Guarantee], path: Path) -> None:
    """Draw the error of the most confident test rows against the share that they are, and what each guarantee came to.

    `curves` holds, by risk, rising shares of the rows and the mean loss of each, both (N,); `guarantees` are those of a record.
    """
    if not curves or not all(len(shares) == len(errors) > 0 for shares, errors in curves.values()):
        raise ValueError("expected as many errors as shares of each risk, and some")
    from matplotlib.ticker import PercentFormatter

    made = [guarantee for guarantee in guarantees if guarantee.answered is not None and guarantee.error is not None]
    with picture(path, 5.6 * len(curves) + 0.6, 4.6) as figure:
        panels = figure.subplots(1, len(curves), squeeze=False)[0]
        for axes, (risk, (shares, errors)) in zip(panels, curves.items(), strict=True):
            axes.plot(shares, errors, color=BLUE, alpha=drawing.FADED)
            enough = shares * len(shares) >= drawing.FEW_ROWS
            axes.plot(shares[enough], errors[enough], color=BLUE)
            of_risk = [guarantee for guarantee in made if guarantee.risk == risk]
            top = np.nanmax([*errors[shares >= 0.1], *(guarantee.max_error for guarantee in of_risk), 0.01])
            axes.set(xlim=(0, 1.02), ylim=(0, 1.15 * top), title=RISK_NAMES[risk])
            axes.set(xlabel="share of the test rows that is answered", ylabel="error of those rows")
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_formatter(PercentFormatter(1))
        held = sum((guarantee.error or 0) <= guarantee.max_error for guarantee in made)
        result = f"{held} of {counted(len(made), 'guarantee')} held on the test" if made else "no guarantee could be given"
        notes = ["the most confident test rows first; pale: fewer than 10"]
        notes += ["lines lead from the guaranteed error (cut chosen on validation) to the error found"] if made else []
        title(figure, f"Error against share answered: {result}", "\n".join(notes))
        for axes, risk in zip(panels, curves, strict=True):
            _draw_guarantees(axes, [guarantee for guarantee in made if guarantee.risk == risk])


def _draw_guarantees(axes: "Axes", guarantees: list[Guarantee]) -> None:
    """Draw each guarantee above the error found, with both named."""
    names = []
    for guarantee in guarantees:
        assert guarantee.answered is not None and guarantee.error is not None
        axes.plot([guarantee.answered] * 2, [guarantee.max_error, guarantee.error], color=VERMILLION, linewidth=1)
        axes.plot(guarantee.answered, guarantee.max_error, marker="_", markersize=14, color=VERMILLION)
        axes.plot(guarantee.answered, guarantee.error, marker="o", color=VERMILLION)
        name = f"at most {100 * guarantee.max_error:g}%, found {100 * guarantee.error:.1f}%"
        names.append(labelling.Named(guarantee.answered, guarantee.max_error, name))
    labelling.name_points(axes, names)
