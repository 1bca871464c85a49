"""Report of a search, made from its record: report.txt, trials.csv and pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from halfbert.comparison.wording import signed, span
from halfbert.data.phrases import counted
from halfbert.output.sheets import write_csv
from halfbert.output.words import columns, padded, readable
from halfbert.scoring.intervals import Interval
from halfbert.scoring.selection import Lead
from halfbert.system import storage
from halfbert.tuning import plots
from halfbert.tuning.record import Record, TrialRow
from halfbert.tuning.space import Setting, described

REPORT, TRIALS = "report.txt", "trials.csv"
OUTCOMES = ("finished", "pruned", "stopped", "failed")
SHOWN = 10  # trials in the report; the table has all


def write(record: Record, folder: Path) -> None:
    """Write the report, the table of trials and the pictures into a results folder."""
    storage.write_text(f"{text(record)}\n", folder / REPORT)
    names = ["trial", "outcome", record.score, "seconds", "epochs_run", *record.winner.setting, "reason"]
    write_csv(folder / TRIALS, names, [_cells(record, trial) for trial in record.trials])
    plots.draw(record, folder)


def _cells(record: Record, trial: TrialRow) -> dict[str, Any]:
    own = {"trial": trial.number, "outcome": trial.outcome, record.score: trial.score, "reason": trial.reason}
    return {**trial.setting, **own, "seconds": f"{trial.seconds:.1f}", "epochs_run": trial.epochs}


def choice(lead: Lead | None, winner: Setting, score: str) -> str:
    """Which settings were chosen on validation rows, and why, in one paragraph."""
    if lead is None:
        return f"chosen: {described(winner)}. The default settings came to no end, so there is nothing to compare with."
    rows = counted(lead.rows, "validation row")
    if lead.models == 1:
        return f"the default is kept: no other trial finished ({described(winner)})"
    if not lead.lead:
        return f"the default is kept: none of {lead.models} trials was better on {rows}"
    luck = (
        f"the best of {lead.models} trials leads the default by {lead.lead:.4f} in {score} on {rows}; of {lead.models} equally "
        f"good ones the best leads by up to {lead.luck:.4f} in 19 of 20 draws of such rows (p {lead.p_value:.2g})"
    )
    if lead.is_beyond_luck:
        return f"chosen: {described(winner)}. This is beyond luck: {luck}."
    return f"the default is kept: no setting was better beyond noise. {luck[0].upper()}{luck[1:]}."


def text(record: Record) -> str:
    """report.txt: what was chosen, its test beside that of the default settings, the best trials."""
    counts = ", ".join(f"{len(found)} {outcome}" for outcome in OUTCOMES if (found := record.of(outcome)))
    score = readable(record.score.removeprefix("val_"))
    lines = [
        f"{counted(len(record.trials), 'trial')} in {record.seconds / 60:.1f} minutes ({counts}), searched over "
        f"{', '.join(readable(name) for name in record.space)}",
        "",
        choice(record.lead, record.winner.setting, score),
        "",
        *_tests(record),
        "",
        *_trials(record, score),
    ]
    if record.importance:
        shares = ", ".join(f"{readable(name)} {share:.0%}" for name, share in record.importance.items())
        lines += ["", f"share of each setting in the differences between finished trials (fANOVA): {shares}"]
    return "\n".join(lines)


def _tests(record: Record) -> list[str]:
    fits = {"default": record.default} if record.default_is_kept else {"winner": record.winner, "default": record.default}
    shown = {name: fit.test for name, fit in fits.items() if fit is not None}
    scores = list(record.winner.test)
    rows = [[counted(record.data.rows.test, "test row"), *shown]]
    rows += [[readable(score), *(_interval(test[score]) for test in shown.values())] for score in scores]
    lines = _table(rows)
    if record.differences:
        found = "; ".join(f"{readable(name)} {span(difference)}" for name, difference in record.differences.items())
        lines.append(f"winner less default on the test rows: {found}")
    return lines


def _interval(interval: Interval) -> str:
    return f"{interval.score:.4f} ({interval.low:.3f} to {interval.high:.3f})"


def _trials(record: Record, score: str) -> list[str]:
    best = sorted(record.of("finished"), key=lambda trial: -(trial.score or 0.0))[:SHOWN]
    default = None if record.default is None else record.trial(record.default.trial).score
    rows = [["trial", score, "less default", "s", "settings"]]
    for trial in best:
        is_compared = default is not None and not (record.default and trial.number == record.default.trial)
        less = signed((trial.score or 0.0) - (default or 0.0), 4) if is_compared else ""
        rows.append([str(trial.number), f"{trial.score:.4f}", less, f"{trial.seconds:.0f}", described(trial.setting)])
    return ["the best trials, on validation rows:", *_table(rows)]


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(columns(row[number]) for row in rows) for number in range(len(rows[0]))]
    return ["  ".join(padded(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
