"""comparison.json, what a comparison found: one writer and one reader."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from halfbert.output.advice import CurvePoint
from halfbert.output.record import DataSummary
from halfbert.scoring.intervals import Difference, Interval, McNemar
from halfbert.system import storage
from halfbert.system.errors import ArtefactError
from halfbert.system.machine import Environment

RECORD = "comparison.json"
SCORES = {  # the first one decides the verdict
    "multiclass": {"macro_f1": "macro F1", "accuracy": "accuracy"},
    "multilabel": {"macro_f1": "macro F1", "micro_f1": "micro F1", "accuracy": "exact match"},
}


def ratio(part: float | None, whole: float | None) -> float | None:
    """`part` / `whole`; None where either is unknown or the whole is 0."""
    return part / whole if part is not None and whole else None


@dataclass(frozen=True)
class Change:
    """A difference between two contestants, with its interval over the test rows."""

    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class Retained:
    """What the small one keeps of the large one's score; None where that is 0."""

    ratio: float | None
    points: float  # of 100


@dataclass(frozen=True)
class Pairing:
    """A small contestant against a large one, by name of the score; McNemar's test and agreement are of the first seed."""

    small: str
    large: str
    difference: Difference  # in the score that decides
    differences: dict[str, Change]
    retained: dict[str, Retained]
    mcnemar: McNemar
    agreement: float  # share of rows with equal answers


@dataclass(frozen=True)
class Score(Interval):
    """A contestant's mean over its seeds, with the interval over the test rows, and what it is made of."""

    by_seed: list[float]


@dataclass(frozen=True)
class Speed:
    """A contestant behind one engine, end to end on texts."""

    engine: str
    texts_per_second: float
    single_seconds: float
    first_answer_seconds: float
    peak_above_import: float | None  # bytes
    weight_bytes: int
    setting: str | None = None

    def cost_per_million(self, price_per_hour: float | None) -> float | None:
        """What a million texts cost at a price of an hour of the machine."""
        return price_per_hour and ratio(price_per_hour / 3600 * 1e6, self.texts_per_second)


@dataclass(frozen=True)
class Contestant:
    """What was fitted under a name, with every seed; `parts` are its folders in the work folder.

    `passed_on`: of a cascade, which is made of two others' fits, the share of the test rows that the larger one answers.
    """

    name: str
    checkpoint: str | None
    rows: int
    scores: dict[str, Score]
    parameters: int
    folder_bytes: int
    fit_seconds: list[float]
    speeds: list[Speed]
    best_engine: str | None
    cost_per_million: float | None
    parts: list[str]
    passed_on: float | None = None

    @property
    def mean_fit_seconds(self) -> float:
        """Seconds of a fit, the mean over the seeds."""
        return sum(self.fit_seconds) / max(len(self.fit_seconds), 1)

    @property
    def disk_bytes(self) -> int:
        """Of the weights of the fastest engine; where none was measured, of the folder."""
        return self.best_speed.weight_bytes if self.best_speed else self.folder_bytes

    @property
    def best_speed(self) -> Speed | None:
        """That of the fastest engine; None where none was measured."""
        return next((speed for speed in self.speeds if speed.engine == self.best_engine), None)


@dataclass(frozen=True)
class LabelRow:
    """A label with its test rows and each contestant's F1, the mean over its seeds."""

    label: str
    rows: int
    f1: dict[str, float]


@dataclass(frozen=True)
class LengthRow:
    """Test rows of so many words (fewest and most), and each contestant's share of right ones among them."""

    words: list[int]
    rows: int
    right: dict[str, float]


@dataclass(frozen=True)
class NamedPoint(CurvePoint):
    """A point of the learning curve of the contestant of this name, fitted with the first seed."""

    name: str


@dataclass(frozen=True)
class LabelErrors:
    """How many rows likely have a wrong label, in all and among the test rows."""

    rows: int
    suspected: int
    test_rows: int
    suspected_test: int


@dataclass(frozen=True)
class Data(DataSummary):
    """What was read, and the seed that split it."""

    split_seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Record:
    """One comparison; contestants are listed from the fastest on, and `comparisons` are those of each with each slower one.

    Records of earlier versions have the comparisons with the slowest only, and a verdict by another rule, which is not read.

    `folds`: the parts that the table was dealt out to, each of which was the test rows of fits on the others; None for one
    split. `timing` is that of the options. `stopped` is the signal or error that ended it early, `unfinished` the contestants
    that are missing then.
    """

    schema_version: Literal[1] = 1
    task: str
    options: dict[str, Any]
    data: Data
    notes: list[str]
    contestants: list[Contestant]
    comparisons: list[Pairing]
    teaching: Pairing | None
    per_label: list[LabelRow]
    lengths: list[LengthRow]
    learning_curve: list[NamedPoint] = field(default_factory=list)
    label_errors: LabelErrors | None = None
    environment: Environment
    disagreements: int = 0
    folds: int | None = None
    timing: str = "full"
    stopped: str | None = None
    unfinished: list[str] = field(default_factory=list)

    def contestant(self, name: str) -> Contestant:
        """The contestant of a name."""
        return next(contestant for contestant in self.contestants if contestant.name == name)

    def pairing(self, one: str, other: str) -> Pairing | None:
        """The comparison of two contestants, whichever is the smaller; None where there is none."""
        pairs = [*self.comparisons, *([self.teaching] if self.teaching else [])]
        return next((pair for pair in pairs if {pair.small, pair.large} == {one, other}), None)

    def losses(self, small: str, large: str) -> list[tuple[LabelRow, float]]:
        """The labels with the small one's F1 less the large one's, the greatest loss first."""
        return sorted(((row, row.f1[small] - row.f1[large]) for row in self.per_label), key=lambda pair: pair[1])

    @property
    def margin(self) -> float:
        """How much of the score that decides a cheaper contestant may lose."""
        return float(self.options["margin"])

    def score(self, contestant: Contestant) -> float:
        """A contestant's score that decides."""
        return contestant.scores[next(iter(self.score_names))].score

    @property
    def scored(self) -> dict[str, float]:
        """Each contestant's score that decides."""
        return {each.name: self.score(each) for each in self.contestants}

    @property
    def score_names(self) -> dict[str, str]:
        """The scores of the task, in words."""
        return SCORES[self.task]

    @property
    def score_name(self) -> str:
        """The score that decides, in words."""
        return next(iter(self.score_names.values()))


def read(folder: Path) -> Record:
    """The record of a comparison's results folder. Raises ArtefactError where there is none, or it is damaged."""
    file = folder / RECORD
    try:
        return msgspec.json.decode(file.read_bytes(), type=Record)
    except (OSError, msgspec.MsgspecError) as error:
        raise ArtefactError(f"{file}: no record of a comparison ({error})") from error


def is_unfinished(folder: Path) -> bool:
    """Whether the folder holds the report of a comparison that ended early."""
    try:
        return read(folder).stopped is not None
    except ArtefactError:
        return False


def write(record: Record, folder: Path, verdict: Any = None) -> None:
    """Write comparison.json; the verdict, a dataclass, is for other readers: `read` needs none, as it follows from the rest."""
    storage.write_json({**dataclasses.asdict(record), "verdict": verdict and dataclasses.asdict(verdict)}, folder / RECORD)
