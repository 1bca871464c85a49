"""The record of a benchmark: what was timed, how, and every sample. `read` and `write` are its only reader and writer.

A *contestant* is a predictor behind an engine on a device with so many threads; a *case* is what was timed of it; a *block* is
one repeat of a case. A *setting* names device and threads. All seconds are of the clock unless they say otherwise.
"""

import json
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import msgspec

from halfbert.benchmark.statistics import Attempt, Latency, Ratio, Spread
from halfbert.output import record as training
from halfbert.predictor.manifest import Agreement
from halfbert.system import machine, storage
from halfbert.system.errors import ArtefactError

SCHEMA_VERSION = 1
NUMBERS = re.compile(r"\[\s+([-+.\deE,\s]+?)\s+\]")  # a list of numbers, one a line


def part(kind: type, whole: object) -> dict[str, Any]:
    """The fields of a dataclass `kind`, by name, of a value that has them and others."""
    return {each.name: getattr(whole, each.name) for each in fields(kind)}


@dataclass(kw_only=True, unsafe_hash=True)
class Who:
    """Which contestant."""

    predictor: str
    engine: str
    device: str  # cpu or gpu
    threads: int
    setting: str

    @property
    def who(self) -> "Who":
        """What identifies a contestant, without the rest."""
        return Who(**part(Who, self))

    def __str__(self) -> str:
        return f"{self.predictor}, {self.engine}, {self.setting}"


@dataclass(kw_only=True)
class Work:
    """What is timed: `batch` texts a call, `texts` a pass, taken over and over where there are fewer."""

    lengths: str  # natural or fixed
    part: str  # "end to end" or "model"
    batch: int
    texts: int


@dataclass(kw_only=True)
class Case(Work):
    """Work in a scenario."""

    scenario: str  # single, offline or paper

    @property
    def kind(self) -> tuple[str, str, str, int]:
        """What identifies a case of a contestant."""
        return self.scenario, self.lengths, self.part, self.batch


@dataclass(kw_only=True)
class Timed(Attempt):
    """Seconds of each call of a block."""

    seconds: list[float]


@dataclass(kw_only=True)
class Block(Timed):
    """The attempt that counts, and the others."""

    repeat: int
    warm_up_seconds: list[float]
    set_aside: list[Timed]


@dataclass(kw_only=True)
class TimedPair(Attempt):
    """Seconds of each call of the two stretches of A and of B in a block A B B A."""

    a: list[list[float]]
    b: list[list[float]]


@dataclass(kw_only=True)
class PairBlock(TimedPair):
    """The attempt that counts, and the others."""

    repeat: int
    set_aside: list[TimedPair]


@dataclass(kw_only=True)
class MeasuredCase(Case):
    """A case of a contestant with its blocks; `gflop` of a pass."""

    gflop: float
    blocks: list[Block] = field(default_factory=list)


@dataclass(kw_only=True)
class Start:
    """A cold start: from the start of a process to its first answer; memory in bytes, None where it is unknown."""

    repeat: int
    first_answer_seconds: float
    import_seconds: float
    load_seconds: float
    resident_after_import: int | None
    peak_above_import: int | None
    gpu_peak: int | None


@dataclass(kw_only=True)
class Contestant(Who):
    """What was measured of a contestant; `not_run` says why it was not, or not to the end.

    `equal_answers` is the share of answers that are those of keras, `largest_difference` that of a probability: of the engine
    keras in the same run, or else those that came with the predictor's folder.
    """

    not_run: str | None = None
    model_alone: bool | None = None
    weight_bytes: int | None = None
    accuracy: float | None = None
    equal_answers: float | None = None
    largest_difference: float | None = None
    cold: list[Start] = field(default_factory=list)
    cases: list[MeasuredCase] = field(default_factory=list)


@dataclass(kw_only=True)
class Comparison(Ratio):
    """What a pair's blocks say."""

    a_seconds_per_text: float
    b_seconds_per_text: float


@dataclass(kw_only=True)
class Pair:
    """Two contestants timed against each other; A against itself has no comparison."""

    a: Who
    b: Who
    case: Work
    blocks: list[PairBlock] = field(default_factory=list)
    comparison: Comparison | None = None


@dataclass(kw_only=True)
class Figure(Who, Case):
    """The statistics of a case of a contestant."""

    seconds_per_call: Latency
    seconds_per_pass: Spread
    texts_per_second: Spread
    gflop_per_second: float
    share_of_ceiling: float | None
    processors_used: float
    warm_up_seconds: float
    blocks_run_again: int
    blocks_disturbed: int


@dataclass(kw_only=True)
class Sizes:
    """Of an encoder: units, layers, and labels of its classifier."""

    hidden: int
    feed_forward: int
    layers: int
    labels: int


@dataclass(kw_only=True)
class Score:
    """A score and what it is called."""

    name: str
    value: float


@dataclass(kw_only=True)
class Predictor:
    """A predictor that was timed; `score` is the one that its training run measured.

    `choice` says which engine `halfbert.load` takes for it, with the most threads, and why. `learned_from` counts the texts
    used that trained it or chose its epoch, None where its manifest does not tell.
    """

    name: str
    model: str  # bert or distilbert
    task: str
    labels: list[str]
    maxlen: int
    positions: int
    weights_sha256: str
    agreement: dict[str, Agreement]
    parameters: int
    folder_bytes: int
    sizes: Sizes
    score: Score | None
    random_weights: bool
    choice: str | None = None
    learned_from: int | None = None


@dataclass(kw_only=True)
class Tokens(Spread):
    """Tokens a text, and how many texts have each number of them."""

    histogram: dict[str, int]


@dataclass(kw_only=True)
class TextsUsed:
    """Which texts were answered: `used` of the `rows` of a table; tokens by predictor."""

    name: str
    sha256: str
    rows: int
    used: int
    tokens: dict[str, Tokens] = field(default_factory=dict)


@dataclass(kw_only=True)
class Protocol:
    """How it was timed; see `halfbert.benchmark.statistics`."""

    repeats: int
    seconds: float
    fixed_tokens: int
    foreign_limit: float
    most_attempts: int
    samples_beyond_percentile: int


@dataclass(frozen=True, kw_only=True)
class Environment(machine.Environment):
    """Also how the system chooses clock rates, and the load average "before" and "after"; None if it reports none."""

    governor: str | None
    load_average: dict[str, float | None]


@dataclass
class Published:
    """A published figure of BERT and of DistilBERT."""

    what: str
    bert: float
    distilbert: float
    unit: str
    source: str


@dataclass(kw_only=True)
class Record:
    """Everything that was measured, and under what circumstances; `ceilings` in GFLOP/s by number of threads."""

    schema_version: int = SCHEMA_VERSION
    quick: bool
    stopped: str | None
    protocol: Protocol
    environment: Environment
    texts: TextsUsed
    predictors: list[Predictor]
    ceilings: dict[str, float]
    contestants: list[Contestant]
    pairs: list[Pair]
    published: list[Published]
    figures: list[Figure] = field(default_factory=list)

    @property
    def ran(self) -> list[Contestant]:
        """The contestants that were measured to the end."""
        return [contestant for contestant in self.contestants if not contestant.not_run]

    def contestant(self, who: Who) -> Contestant:
        """A contestant, by itself or by a figure of it."""
        return next(contestant for contestant in self.contestants if contestant.who == who.who)

    def predictor(self, name: str) -> Predictor:
        """A predictor by its name."""
        return next(predictor for predictor in self.predictors if predictor.name == name)


def read(file: Path) -> Record:
    """The record in a file. Raises ArtefactError where it is none."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Record)
    except msgspec.MsgspecError as error:
        raise ArtefactError(f"{file}: not the record of a benchmark ({error})") from error


def write(record: Record, file: Path) -> None:
    """Write the record as JSON, in which a number that is not finite is null; the samples of a block are on one line."""
    text = json.dumps(training.finite(msgspec.to_builtins(record)), indent=1, ensure_ascii=False)
    text = NUMBERS.sub(lambda match: f"[{' '.join(match[1].split())}]", text) + "\n"
    storage.write_text(text.encode("utf-8", "replace").decode(), file)  # a path of the command may be no UTF-8
