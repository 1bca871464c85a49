"""tuning.json, what a search found: one writer and one reader."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from halfbert.output.record import DataSummary, finite
from halfbert.scoring.intervals import Difference, Interval
from halfbert.scoring.selection import Lead
from halfbert.system import storage
from halfbert.system.errors import ArtefactError
from halfbert.system.machine import Environment

RECORD = "tuning.json"


@dataclass(frozen=True)
class TrialRow:
    """One trial: `score` is that of the kept epoch on validation rows, of an ended trial that of its last one."""

    number: int
    outcome: str  # finished, pruned, failed, or stopped at the end of the time
    setting: dict[str, Any]
    seconds: float
    epochs: int
    score: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Fit:
    """A last fit: its settings, and its scores on the test rows with intervals."""

    trial: int
    setting: dict[str, Any]
    test: dict[str, Interval]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Record:
    """One search. `space` is what was searched, by name: choices, or the two ends; `seconds` are those of all its runs.

    `lead` and `default` are None where the default settings did not come to an end; `winner` then is the best of the others. It
    is the `default` where no setting was better beyond luck. `differences`: the winner's scores on the test rows less those of
    the default settings.
    """

    schema_version: Literal[1] = 1
    task: str
    options: dict[str, Any]
    data: DataSummary
    split_seed: int
    score: str  # of validation rows, which the search raised
    space: dict[str, list[Any]]
    minutes: float
    seconds: float
    trials: list[TrialRow]
    lead: Lead | None
    default: Fit | None
    winner: Fit
    differences: dict[str, Difference] | None = None
    importance: dict[str, float] | None = None
    environment: Environment

    @property
    def default_is_kept(self) -> bool:
        return self.default is not None and self.winner.trial == self.default.trial

    @property
    def test(self) -> dict[str, float]:
        """The winner's scores on the test rows."""
        return {name: interval.score for name, interval in self.winner.test.items()}

    def of(self, outcome: str) -> list[TrialRow]:
        """The trials that came to this."""
        return [trial for trial in self.trials if trial.outcome == outcome]

    def trial(self, number: int) -> TrialRow:
        """The trial of a number."""
        return next(trial for trial in self.trials if trial.number == number)


def read(folder: Path) -> Record:
    """The record of a search's results folder. Raises ArtefactError where there is none, or it is damaged."""
    file = folder / RECORD
    try:
        return msgspec.json.decode(file.read_bytes(), type=Record)
    except (OSError, msgspec.MsgspecError) as error:
        raise ArtefactError(f"{file}: no record of a search ({error})") from error


def write(record: Record, folder: Path) -> None:
    """Write tuning.json."""
    storage.write_json(finite(dataclasses.asdict(record)), folder / RECORD)
