"""Why two runs differ: their rows, labels, options and versions, their scores, and the test rows whose answer changed.

Shapes: R test rows, L labels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from halfbert.comparison.record import RECORD as COMPARISON
from halfbert.options.runs import DiffOptions
from halfbert.output import record as records
from halfbert.output import sheets
from halfbert.output.record import Record
from halfbert.output.text import span
from halfbert.output.words import counted, model_name, readable, shortened
from halfbert.runs import texts
from halfbert.runs.leaderboard import score
from halfbert.scoring import intervals
from halfbert.scoring.intervals import Difference
from halfbert.system.console import StopRequest, say
from halfbert.system.errors import ArtefactError, InputError
from halfbert.training import tasks
from halfbert.training.evidence import thresholds_of

# Options that do not decide what is learnt.
PLACES = ("output", "results", "overwrite", "resume", "save_every", "debug", "track", "push_to_hub", "keep_epochs")
COLUMNS = ("row", "text", "truth", "first", "second", "right")
SHOWN, LONGEST_TEXT, NO_LABEL = 10, 80, "no label"
NO_LABELS = "answers.npz of both are of an earlier version, which left the labels out"


@dataclass(frozen=True)
class Paired:
    """Two runs' answers to the same test rows: each score's difference, second less first, and the rows that changed."""

    gains: dict[str, Difference]
    changed: list[dict[str, Any]]


def diff(options: DiffOptions, _stop: StopRequest) -> None:
    """Say why two runs differ. Raises InputError where they cannot be held side by side."""
    first, second = (_read(folder) for folder in (options.first, options.second))
    if first.task != second.task:
        raise InputError(
            f"{options.first}: {first.task}, and {options.second}: {second.task}; their scores do not compare, so give two "
            "runs of one task"
        )
    if options.output is not None and options.output.exists() and not options.overwrite:
        raise InputError(f"--output {options.output}: exists; give another file, or --overwrite")
    say("\n".join([f"A: {options.first}", f"B: {options.second}", "", *_differences(first, second), ""]))
    try:
        found = paired(options, first, second)
    except ArtefactError as unpaired:
        say(f"no paired interval and no changed rows: {unpaired}")
        return
    say("\n".join(_paired_lines(found)))
    if options.output is not None:
        sheets.write_csv(options.output, COLUMNS, found.changed)
        say(f"all of them: {options.output}")


def _read(folder: Path) -> Record:
    if (folder / COMPARISON).is_file() and not (folder / records.RECORD).is_file():
        raise InputError(f"{folder}: a comparison, whose report holds its contestants side by side; give training runs")
    if not (folder / records.RECORD).is_file():
        raise InputError(f"{folder}: no results of a run ({records.RECORD} is missing); halfbert runs lists those there are")
    return records.read(folder)


def _differences(first: Record, second: Record) -> list[str]:
    """What differs between the records, the scores last."""
    lines = [*_rows(first, second), *_labels(first, second)]
    lines += _changes("options", first.options, second.options, PLACES)
    lines += _changes("weights", _weights(first), _weights(second))
    lines += _changes("versions", first.environment.versions, second.environment.versions)
    lines += _changes("machine", _machine(first), _machine(second))
    for name, of in (("A", first), ("B", second)):
        interval = (of.intervals or {}).get("macro_f1")
        certain = f" (95 % interval {interval.low:.4f} to {interval.high:.4f})" if interval else ""
        known = score(of)
        lines.append(f"{name}: {model_name(of.model)}, macro F1 {'not tested' if known is None else f'{known:.4f}'}{certain}")
    return lines


def _weights(record: Record) -> dict[str, Any]:
    return vars(record.checkpoint) if record.checkpoint else {}


def _machine(record: Record) -> dict[str, Any]:
    environment = record.environment
    named = {name: getattr(environment, name) for name in ("commit", "device", "threads", "precision", "seed")}
    return {**environment.hardware, **named}


def _rows(first: Record, second: Record) -> list[str]:
    """The files of each part, and their rows after the checks, where they differ."""
    lines = []
    files = [{file.role: file for file in of.data.files} for of in (first, second)]
    for role in dict.fromkeys([*files[0], *files[1]]):
        one, other = (of.get(role) for of in files)
        if one is None or other is None:
            lines.append(f"{role} file: {one.name if one else 'none'} | {other.name if other else 'none'}")
        elif one.sha256 != other.sha256:
            described = (f"{file.name} ({counted(file.rows, 'row')})" for file in (one, other))
            lines.append(f"{role} file: {' | '.join(described)}, another content")
    return lines + _changes("rows", vars(first.data.rows), vars(second.data.rows)) or ["rows: the same files and numbers"]


def _labels(first: Record, second: Record) -> list[str]:
    one, other = first.data.labels, second.data.labels
    only = {"A": [label for label in one if label not in other], "B": [label for label in other if label not in one]}
    lines = [f"labels only in {name}: {', '.join(map(shortened, labels))}" for name, labels in only.items() if labels]
    return lines or [f"labels: the same {len(one):,}"]


def _changes(what: str, first: Mapping[str, Any], second: Mapping[str, Any], leave_out: tuple[str, ...] = ()) -> list[str]:
    """A line for each name whose value differs, A's first; of one that a version did not have yet, "–"."""
    names = [name for name in dict.fromkeys([*first, *second]) if name not in leave_out]
    return [
        f"{what}, {readable(name)}: {_shown(first.get(name))} | {_shown(second.get(name))}"
        for name in names
        if first.get(name) != second.get(name)
    ]


def _shown(value: Any) -> str:
    return "–" if value is None else shortened(str(value))


def paired(options: DiffOptions, first: Record, second: Record) -> Paired:
    """Both runs on the same test rows. Raises ArtefactError, with the reason, where they have not answered the same."""
    for record, folder in ((first, options.first), (second, options.second)):
        if record.test is None:
            raise ArtefactError(f"{folder} ended before its test")
    if set(first.data.labels) != set(second.data.labels):
        raise ArtefactError("the runs have different labels")
    if _test_file(first) != _test_file(second):
        raise ArtefactError("the test rows are of different files")
    numbers, of_first, truth = _answers(first, options.first)
    others, of_second, other_truth = _answers(second, options.second)
    if sorted(numbers) != sorted(others):
        same = len(set(numbers) & set(others))
        raise ArtefactError(f"of the test rows, {len(numbers):,} and {len(others):,}, only {same:,} are the same")
    order = np.array([others.index(number) for number in numbers])
    labels = [second.data.labels.index(label) for label in first.data.labels]
    of_second = of_second[order][:, labels]
    if truth is None and other_truth is not None:
        truth = other_truth[order][:, labels]
    if truth is None:
        raise ArtefactError(NO_LABELS)
    gains = intervals.paired_bootstraps(first.task, truth, of_second, of_first)
    known = texts.of_test(first) or texts.of_test(second)
    rows = np.flatnonzero((of_first != of_second).any(axis=1)).tolist()
    named = [[tasks.named(of[row], first.data.labels) for of in (truth, of_first, of_second)] for row in rows]
    changed = [
        dict(zip(COLUMNS, (numbers[row], known.get(numbers[row], ""), *names, _right(*names)), strict=True))
        for row, names in zip(rows, named, strict=True)
    ]
    return Paired(gains, changed)


def _answers(record: Record, folder: Path) -> tuple[list[int], np.ndarray, np.ndarray | None]:
    """The numbers of the test rows, the (R, L) answers to them, and their labels as far as known."""
    probabilities, numbers = records.read_answers(folder)
    if probabilities.shape != (len(numbers), len(record.data.labels)):
        raise ArtefactError(f"{folder / records.ANSWERS}: of other labels or rows than {records.RECORD}")
    return numbers.tolist(), tasks.answers(record.task, probabilities, thresholds_of(record)), records.read_truth(folder)


def _test_file(record: Record) -> str:
    """The hash of the file that the test rows are of."""
    files = {file.role: file.sha256 for file in record.data.files}
    return files.get("test", files.get("train", ""))


def _right(truth: str, first: str, second: str) -> str:
    return "A" if first == truth else "B" if second == truth else "neither"


def _paired_lines(found: Paired) -> list[str]:
    changed = found.changed
    lines = ["B less A, paired bootstrap over the same test rows:"]
    lines += [f"  {readable(name)} {span(gain)}" for name, gain in found.gains.items()]
    right = [sum(row["right"] == who for row in changed) for who in ("A", "B", "neither")]
    lines.append(
        f"{counted(len(changed), 'test row')} answered otherwise: {right[0]:,} only A has right, {right[1]:,} only B, "
        f"{right[2]:,} neither"
    )
    for row in changed[:SHOWN]:
        truth, first, second = (shortened(row[name]) or NO_LABEL for name in ("truth", "first", "second"))
        text = shortened(row["text"], LONGEST_TEXT)
        lines.append(f"  row {row['row']} ({truth}): {first} | {second}   {text}".rstrip())
    if len(changed) > SHOWN:
        lines.append(f"  … and {len(changed) - SHOWN:,} more (--output FILE writes all)")
    if changed and not any(row["text"] for row in changed):
        lines.append("(without texts: the table is not where it was, or has changed)")
    return lines
