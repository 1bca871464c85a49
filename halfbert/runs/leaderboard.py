"""The leaderboard of finished runs: training runs, distillations, and the contestants of comparisons."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from halfbert.comparison import record as comparisons
from halfbert.options.runs import RunsOptions
from halfbert.output import record as records
from halfbert.output.record import Record
from halfbert.output.words import columns, model_name, one_line, padded, shortened
from halfbert.predictor import gate, manifest
from halfbert.predictor.manifest import MANIFEST, DataFile, Predictor
from halfbert.scoring.intervals import Interval
from halfbert.system.console import StopRequest, say
from halfbert.system.errors import ArtefactError, HalfbertError, InputError

SCORE = "macro_f1"  # which also decides a comparison
HEADS = ("table", "model", "macro F1", "95 % interval", "minutes", "engine", "MB", "folder")
RIGHT = (2, 4, 6)  # the columns that are aligned to the right
UNKNOWN = "–"


@dataclass(frozen=True)
class Run:
    """A line: the score is None where the run ended before its test, the engine where none can answer here."""

    task: str
    table: str
    model: str
    score: float | None
    interval: Interval | None
    minutes: float | None
    engine: str | None
    folder_bytes: int
    folder: Path

    @property
    def rank(self) -> tuple[str, str, float, str]:
        """By task and table, the best score first."""
        return self.task, self.table, 1.0 if self.score is None else -self.score, str(self.folder)


def leaderboard(options: RunsOptions, _stop: StopRequest) -> None:
    """Say all runs below a folder; what cannot be read is a line. Raises InputError where there is none."""
    if not options.folder.is_dir():
        raise InputError(f"{options.folder}: no such folder; give one with results of runs, such as results")
    found, unreadable = read(options.folder)
    if not found and not unreadable:
        raise InputError(f"{options.folder}: holds no run ({records.RECORD} or {comparisons.RECORD}) at any depth")
    for task, of_task in groupby(sorted(found, key=lambda run: run.rank), key=lambda run: run.task):
        say("\n".join([task, *lines(list(of_task)), ""]))
    for line in unreadable:
        say(f"unreadable: {line}")


def read(folder: Path) -> tuple[list[Run], list[str]]:
    """The runs below a folder, and a line for each record that cannot be read."""
    found: list[Run] = []
    unreadable: list[str] = []
    for name, of_folder in ((records.RECORD, _trained), (comparisons.RECORD, _compared)):
        for file in sorted(folder.rglob(name)):
            if any(part.startswith(".") for part in file.relative_to(folder).parts):  # of a run that is being made
                continue
            try:
                found += of_folder(file.parent)
            except ArtefactError as error:
                unreadable.append(one_line(str(error)))
    return found, unreadable


def _trained(folder: Path) -> Iterator[Run]:
    record = records.read(folder)
    seconds = record.timing.fit_seconds
    yield Run(
        task=record.task,
        table=_table(record.data.files),
        model=model_name("student" if record.distillation else record.model, short=True),
        score=score(record),
        interval=(record.intervals or {}).get(SCORE),
        minutes=None if seconds is None else seconds / 60,
        engine=_engine(record),
        folder_bytes=record.size.folder_bytes,
        folder=folder,
    )


def _compared(folder: Path) -> Iterator[Run]:
    record = comparisons.read(folder)
    for each in record.contestants:
        known = each.scores.get(SCORE)
        yield Run(
            task=record.task,
            table=_table(record.data.files),
            model=model_name(each.name, short=True),
            score=known.score if known else None,
            interval=known,
            minutes=each.mean_fit_seconds / 60,
            engine=each.best_engine,
            folder_bytes=each.folder_bytes,
            folder=folder,
        )


def score(record: Record) -> float | None:
    """The macro F1 of a record's test, with many labels at their thresholds."""
    test = record.test or {}
    return test.get("at_thresholds", test).get(SCORE)


def _table(files: list[DataFile]) -> str:
    return next((file.name for file in files if file.role == "train"), UNKNOWN)


def _engine(record: Record) -> str | None:
    """The engine that `halfbert.load` takes here, by the manifest of the run's predictor, if that is where it was saved."""
    folder = Path(str(record.options.get("output", "")))
    if not (folder / MANIFEST).is_file():
        return None
    try:
        return gate.automatic(Predictor(folder, manifest.read(folder), {}), "cpu")[0]
    except (HalfbertError, KeyError):
        return None


def lines(runs: list[Run]) -> list[str]:
    """A table of runs."""
    cells = [HEADS, *(_cells(run) for run in runs)]
    widths = [max(columns(row[column]) for row in cells) for column in range(len(HEADS))]
    return [
        "  ".join(
            " " * (width - columns(cell)) + cell if column in RIGHT else padded(cell, width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def _cells(run: Run) -> tuple[str, ...]:
    return (
        shortened(run.table),
        run.model,
        UNKNOWN if run.score is None else f"{run.score:.4f}",
        f"{run.interval.low:.3f} to {run.interval.high:.3f}" if run.interval else UNKNOWN,
        UNKNOWN if run.minutes is None else f"{run.minutes:.1f}",
        run.engine or UNKNOWN,
        f"{run.folder_bytes / 1e6:,.1f}",
        one_line(run.folder.as_posix()),
    )
