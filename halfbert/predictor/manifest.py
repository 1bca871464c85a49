"""The manifest of a predictor folder, `halfbert.json`: read and written, and every claim of it checked before it is used.

Nothing here unpickles, and nothing imports TensorFlow.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Literal

import msgspec

from halfbert.data import equality
from halfbert.models import weights
from halfbert.models.long_texts import CUT, WINDOWS, Pooling
from halfbert.scoring.calibration import Calibration
from halfbert.scoring.drift import Summaries
from halfbert.scoring.review import RISKS, Reviewer, ReviewRule, reviewer
from halfbert.system import storage
from halfbert.system.errors import ArtefactError, InputError

MANIFEST = "halfbert.json"
FORMAT_VERSION = 1
TOKENIZER = "tokenizer.json"
REQUIRED = ("config.json", weights.WEIGHTS, TOKENIZER)
Numbers = dict[str, int | float | None]  # scores by name
PROBLEM_TYPES = {"multiclass": "single_label_classification", "multilabel": "multi_label_classification"}


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """A table that was read: its part of the data (train, val, test), its file without folders, rows before any was dropped."""

    role: str
    name: str = ""
    sha256: str
    rows: int = 0


@dataclass(frozen=True)
class TrainingData:
    """What a predictor was trained on; `train_texts` and so on are digests of the texts (`halfbert.data.equality`)."""

    files: list[DataFile] = field(default_factory=list)
    split_seed: int | None = None
    train_texts: str | None = None
    val_texts: str | None = None
    test_texts: str | None = None

    def learned_from(self, texts: Sequence[str]) -> int | None:
        """How many of the texts trained the predictor or chose its epoch; None where it holds no digests.

        Raises ValueError if the digests are damaged.
        """
        return None if self.train_texts is None else equality.count_shared(self.train_texts + (self.val_texts or ""), texts)


@dataclass(frozen=True)
class CheckpointUsed:
    """The pretrained weights that the fit began with; `note` if they are not the requested ones."""

    name: str
    weights_sha256: str = ""
    note: str | None = None


@dataclass(frozen=True)
class TeacherTested:
    """The teacher of a distilled student, the engine it answered with, and its scores on the student's test rows.

    `own_test` are the scores of its training run, by keras on the test rows of that.
    """

    name: str
    checkpoint: str
    weights_sha256: str
    engine: str
    test: Numbers | None = None
    own_test: Numbers | None = None


@dataclass(frozen=True)
class Agreement:
    """How an engine's answers compare with those of the `reference` engine, on how many of which texts.

    `equal_decisions` is a share of the rows, `largest_difference` of a probability. The figures hold for `made_from`: the
    hashes of weights and configuration, and the engine's recipe.
    """

    rows: int
    equal_decisions: float
    largest_difference: float
    made_from: dict[str, str]
    texts: str = ""
    reference: str = "keras"
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class EngineSpeed:
    """How fast an engine answered: texts a second in batches of like length, and the median seconds of one text alone.

    The figures hold for `made_from`, as those of `Agreement` do, and the `versions` of the package that computes.
    """

    texts_per_second: float
    single_seconds: float
    made_from: dict[str, str]
    versions: dict[str, str]


@dataclass(frozen=True)
class Converted:
    """What a converted predictor was made from, and how its answers compare with those of Keras on the old weights.

    `files` are the old ones with their SHA-256; `options` were given in place of what the pickle states; the figures are as
    in `Agreement`, of the engine keras on the new weights.
    """

    made_by: str
    files: dict[str, str]
    options: list[str]
    texts: str
    rows: int
    equal_decisions: float
    largest_difference: float


@dataclass(frozen=True)
class Manifest:
    """What a predictor folder states about itself.

    `labels` are in the order of the classifier's columns; `text_columns` are those of the training table, joined where there
    are several (`data.texts`); `label_column` is that of the labels' names, with `label_separator` between two, or None where
    each label has a column; `thresholds`, (labels,), only of multi-label predictors; `maxlen` in tokens; `long` says what
    becomes of longer texts, with `pooling` where they are windows; `files` maps each file to its SHA-256; `agreement` is by
    engine; `speeds` are by processor (`machine.processor`) and engine, those of one processor timed in turn; `summaries` are
    what later rows are compared with (`summarising.reference`). What follows `maxlen` may be missing in a file.
    """

    task: str
    labels: list[str]
    thresholds: list[float] | None
    maxlen: int
    model: str | None = None
    threshold_rule: str | None = None
    checkpoint: CheckpointUsed | None = None
    versions: dict[str, str] = field(default_factory=dict)
    data: TrainingData = field(default_factory=TrainingData)
    best_epoch: int | None = None
    test: Numbers | None = None
    stopped: str | None = None
    teacher: TeacherTested | None = None
    files: dict[str, str] = field(default_factory=dict)
    agreement: dict[str, Agreement] = field(default_factory=dict)
    speeds: dict[str, dict[str, EngineSpeed]] = field(default_factory=dict)
    calibration: Calibration | None = None
    text_columns: list[str] = field(default_factory=list)
    label_column: str | None = None
    label_separator: str | None = None
    long: Literal["cut", "head-tail", "windows"] = "cut"
    pooling: Pooling | None = None
    converted: Converted | None = None
    summaries: Summaries | None = None

    @property
    def lengths(self) -> list[Any]:
        """What decides how much of a text is read, for digests of what answers depend on."""
        pooling = asdict(self.pooling) if self.pooling else None
        return [self.maxlen, *([self.long, pooling] if self.long != CUT else [])]  # of "cut" as before there were others

    def reviewer(self, rule: ReviewRule | None = None) -> Reviewer:
        """A rule made ready for this predictor's rows (none: every row is answered).

        Raises InputError if the rule does not fit the predictor, or its guarantee cannot be given.
        """
        return reviewer(self.task, self.thresholds, self.calibration, rule or ReviewRule())


def read(folder: Path) -> Manifest:
    """Read a predictor's manifest; what it claims is not checked yet.

    Raises InputError if there is no such folder, ArtefactError if it holds no readable manifest.
    """
    content = _read_json(folder)
    try:
        return msgspec.convert({"thresholds": None, **content}, Manifest)
    except msgspec.ValidationError as error:
        raise ArtefactError(f"{folder / MANIFEST}: not a valid manifest ({error})") from error


def write(manifest: Manifest, folder: Path) -> None:
    """Write the manifest of a predictor folder."""
    content = asdict(manifest)
    columns = ("text_columns", "label_column", "label_separator")
    for optional in ("teacher", "agreement", "speeds", "calibration", *columns, "pooling", "converted", "summaries"):
        if not content[optional]:
            del content[optional]
    content["data"] = {name: value for name, value in content["data"].items() if value is not None}
    storage.write_json({"format_version": FORMAT_VERSION, **content}, folder / MANIFEST)


def add_agreement(folder: Path, agreement: dict[str, Agreement]) -> None:
    """Add engines' figures to a manifest; the rest of it stays as it is, entries of a later halfbert included."""
    _add(folder, "agreement", {engine: asdict(each) for engine, each in agreement.items()})


def add_speeds(folder: Path, processor: str, speeds: dict[str, EngineSpeed]) -> None:
    """Put the speeds measured on a processor in place of its earlier ones; the rest stays as with `add_agreement`."""
    _add(folder, "speeds", {processor: {engine: asdict(each) for engine, each in speeds.items()}})


def set_summaries(folder: Path, summaries: Summaries) -> None:
    """Put summaries in place of those that are there; the rest stays as with `add_agreement`."""
    _add(folder, "summaries", asdict(summaries))


def _add(folder: Path, name: str, entries: dict[str, Any]) -> None:
    content = _read_json(folder)
    content[name] = {**content.get(name, {}), **entries}
    storage.write_json(content, folder / MANIFEST)


def _read_json(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give the folder of a predictor")
    file = folder / MANIFEST
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtefactError(f"{folder}: no predictor of this project ({MANIFEST} is missing)") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ArtefactError(f"{file}: cannot be read ({error})") from error
    version = content.get("format_version") if isinstance(content, dict) else None
    if version != FORMAT_VERSION:
        raise ArtefactError(f"{file}: format version {version!r}; this halfbert reads version {FORMAT_VERSION}")
    return content


@dataclass(frozen=True)
class Predictor:
    """A predictor folder whose files are complete and unaltered, and whose manifest fits its configuration."""

    folder: Path
    manifest: Manifest
    config: dict[str, Any]

    @property
    def weights_sha256(self) -> str:
        """What ties engines' files and figures to the weights."""
        return self.manifest.files[weights.WEIGHTS]

    def made_from(self, recipe: str) -> dict[str, str]:
        """What decides the answers of an engine of that recipe: figures and files made from the same are still valid."""
        return {"weights": self.weights_sha256, "config": self.manifest.files["config.json"], "recipe": recipe}


def check(folder: Path) -> Predictor:
    """Read a predictor folder's manifest and compare the folder with it.

    Every file that it names is there, inside the folder, with its SHA-256; task, labels, thresholds and maxlen fit the
    classifier's configuration. Raises InputError if there is no such folder, ArtefactError for all else.
    """
    manifest = read(folder)
    file = folder / MANIFEST
    for name in REQUIRED:
        if name not in manifest.files:
            raise ArtefactError(f"{file}: does not name {name}, which every predictor has")
    for name, digest in manifest.files.items():
        _check_file(folder, name, digest)
    config = weights.read_config(folder)
    if manifest.task not in PROBLEM_TYPES:
        raise ArtefactError(f"{file}: the task is {manifest.task!r}; expected {' or '.join(PROBLEM_TYPES)}")
    if config.get("problem_type") != PROBLEM_TYPES[manifest.task]:
        raise ArtefactError(f"{file}: the task is {manifest.task}, but config.json says {config.get('problem_type')!r}")
    if not manifest.labels:
        raise ArtefactError(f"{file}: names no labels")
    if config["id2label"] != {str(number): label for number, label in enumerate(manifest.labels)}:
        raise ArtefactError(f"{file}: its labels are not those of config.json (id2label)")
    if manifest.task == "multiclass":
        manifest = replace(manifest, thresholds=None)
    else:
        thresholds = manifest.thresholds or []
        if len(thresholds) != len(manifest.labels) or not all(0 <= threshold <= 1 for threshold in thresholds):
            raise ArtefactError(f"{file}: expected a threshold from 0 to 1 for each of the {len(manifest.labels)} labels")
    if manifest.calibration is not None:
        try:
            manifest.calibration.check(len(manifest.labels), manifest.task == "multilabel", RISKS[manifest.task])
        except ValueError as error:
            raise ArtefactError(f"{file}: its calibration is damaged ({error})") from error
    positions = config.get("max_position_embeddings")
    if type(positions) is not int or not 3 <= manifest.maxlen <= positions:
        raise ArtefactError(
            f"{file}: maxlen is {manifest.maxlen}; expected a whole number from 3 to the model's {positions} tokens"
        )
    if manifest.long == WINDOWS and not (manifest.pooling and manifest.pooling.is_complete):
        raise ArtefactError(f"{file}: expected how windows are pooled, for attention with a sharpness from 0")
    return Predictor(folder, manifest, config)


def _check_file(folder: Path, name: str, digest: str) -> None:
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive or "\\" in name:
        raise ArtefactError(f"{folder / MANIFEST}: names {name!r}, which leads outside the folder")
    file = folder / name
    try:
        if not file.resolve().is_relative_to(folder.resolve()):
            raise ArtefactError(f"{file}: a link that leads outside the folder")
        if not file.is_file():
            raise ArtefactError(f"{file}: is missing; {MANIFEST} names it")
        found = storage.sha256(file)
    except (OSError, RuntimeError) as error:  # a loop of links, no permission
        raise ArtefactError(f"{file}: cannot be read ({error})") from error
    if found != digest:
        raise ArtefactError(f"{file}: altered or damaged (SHA-256 {found[:12]}…, {MANIFEST} says {digest[:12]}…)")
