"""The record of a run (record.json) and the answers to its test rows: one writer and one reader each."""

import dataclasses
import json
import math
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from halfbert.data.tables import Data
from halfbert.models.long_texts import Pooling
from halfbert.output.advice import Evidence, LabelErrors, Suggestion
from halfbert.output.folds import CrossValidation, RowCounts
from halfbert.predictor.manifest import CheckpointUsed, DataFile, Numbers, TeacherTested
from halfbert.scoring.intervals import Difference, Interval
from halfbert.scoring.reliability import Bin, Quality
from halfbert.system import storage
from halfbert.system.errors import ArtefactError
from halfbert.system.machine import Environment

RECORD = "record.json"
ANSWERS = "answers.npz"
REPORT = "report.html"


@dataclass(frozen=True)
class Leaks:
    """Training texts that also stand in a held-out file."""

    dropped: int = 0
    kept: int = 0


@dataclass(frozen=True)
class DataSummary:
    """What was read; `text_columns` are those of the texts, `counts` holds whatever else the reader counted.

    `label_rows` are the training rows of each label, in the order of `labels`; `notes` what the checks reported on the console.
    """

    files: list[DataFile]
    rows: RowCounts
    labels: list[str]
    dropped: int
    leaks: Leaks
    formula_texts: int = 0
    duplicates: int = 0
    conflicting_texts: int = 0
    constant_labels_dropped: int = 0
    labels_merged: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    text_columns: list[str] = field(default_factory=list)
    label_rows: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class TextLengths:
    """The lengths of the training texts in tokens: how many texts are above `edges[i]` and up to `edges[i + 1]`.

    `longer` of the `texts` are above `maxlen`. The last bin holds all that are longer than its lower edge.
    """

    texts: int
    longer: int
    maxlen: int
    median: float
    longest: int
    edges: list[int]
    counts: list[int]

    @classmethod
    def of(cls, lengths: np.ndarray, maxlen: int, bins: int = 16) -> "TextLengths":
        """Of (texts,) `lengths`, in bins of equal width up to the 99th percentile or `maxlen`, whichever is more."""
        longest = int(lengths.max())
        width = math.ceil(max(min(float(np.quantile(lengths, 0.99)), 4 * maxlen), min(maxlen, longest)) / bins)
        last = min(bins - 1, (longest - 1) // width)
        counts = np.bincount(np.minimum((lengths - 1) // width, last), minlength=last + 1)
        edges = [width * number for number in range(last + 1)] + [max(longest, width * (last + 1))]
        longer = int((lengths > maxlen).sum())
        return cls(len(lengths), longer, maxlen, float(np.median(lengths)), longest, edges, counts.tolist())


@dataclass(frozen=True)
class Split:
    """Where validation and test rows came from."""

    seed: int
    val: str
    test: str


@dataclass(frozen=True)
class RateFinder:
    """The curve of ktrain's learning-rate finder; a loss that was NaN or infinite is None."""

    rates: list[float]
    losses: list[float | None]
    suggestion: float | None


@dataclass(frozen=True)
class Timing:
    """Seconds and rates. Steady rates leave out tracing, warm-up and validation, and padding tokens."""

    setup_seconds: float | None = None
    preprocess_seconds: float | None = None
    fit_seconds: float | None = None
    evaluate_seconds: float | None = None
    teacher_seconds: float | None = None
    fit_rows_per_second: float | None = None
    steady_rows_per_second: float | None = None
    steady_tokens_per_second: float | None = None


@dataclass(frozen=True)
class Size:
    parameters: int
    folder_bytes: int


@dataclass(frozen=True)
class Control:
    """The same student without a teacher; or the student, where the control was kept."""

    epochs: list[Numbers]
    best_epoch: int
    test: Numbers


@dataclass(frozen=True)
class Unlabelled:
    """The file of texts without labels, and how many of them the teacher labelled."""

    name: str
    sha256: str
    rows: int
    used: int
    leaks_dropped: int


@dataclass(frozen=True)
class Distillation:
    """Teacher, loss and control of a distilled student; `worth`, by score: the student less the control.

    `kept` is what was saved and what the record's own epochs and scores are of: where that is the control, the student's are in
    `student`. `validation`: the score `chosen_by` of the best epoch of student and control.
    """

    teacher: TeacherTested
    weights: dict[str, float]
    temperature: float
    unlabelled: Unlabelled | None = None
    layers: list[int] | None = None
    control: Control | None = None
    worth: dict[str, Difference] | None = None
    kept: Literal["student", "control"] = "student"
    student: Control | None = None
    chosen_by: str = ""
    validation: Numbers = field(default_factory=dict)


@dataclass(frozen=True)
class Baseline:
    """TF-IDF with logistic regression on the rows of the run, of which it saw `rows` for training.

    `c`, scikit-learn's inverse penalty, was the best on validation. `test`: scores of the test rows, with many labels those at
    thresholds; `gain`, by score: the model less TF-IDF; `seconds` are those of the fit, its test and the intervals.
    """

    rows: int
    c: float
    seconds: float
    test: Numbers
    intervals: dict[str, Interval]
    gain: dict[str, Difference]


@dataclass(frozen=True)
class Guarantee:
    """A guarantee, of a cut chosen on validation rows, and what it came to on the test rows.

    `answered` is the share of test rows that were not for review, `error` the mean loss of those by the `risk`
    (`halfbert.scoring.review`); both are None where no cut could give it, for the reason `impossible`.
    """

    risk: str
    max_error: float
    answered: float | None
    error: float | None
    impossible: str | None = None


@dataclass(frozen=True)
class CalibrationReport:
    """Probabilities of the test rows before and after a calibration that was fitted on so many validation `rows`.

    `bins`: how often answers were right by their confidence, of the "network" and "calibrated".
    """

    rows: int
    temperature: float | None
    raw: Quality
    calibrated: Quality
    promises: list[Guarantee]  # the key that published records have
    bins: dict[str, list[Bin]] = field(default_factory=dict)


@dataclass(frozen=True)
class WindowsReport:
    """Training texts in windows: how many texts and windows, the `pooling` that was chosen, the validation scores of each."""

    texts: int
    windows: int
    pooling: Pooling
    validation: dict[str, Numbers]


@dataclass(frozen=True)
class Published:
    """The repository of the hub and the commit that a predictor was uploaded as."""

    repository: str
    commit: str
    private: bool


@dataclass(frozen=True)
class Continued:
    """The predictor that the fit began with (--from), and the labels that its head was kept for, new ones and those gone."""

    predictor: str
    weights_sha256: str
    kept: list[str]
    new: list[str]
    gone: list[str]


@dataclass(frozen=True, kw_only=True)
class Record:
    """One run: record.json of its results folder.

    `test` holds the scores of the test rows as `scoring.multiclass` or `scoring.multilabel` gives them, None where the run
    ended before its test, `engine` what answered these rows, and `intervals` those of the scores that models are compared by,
    with many labels at thresholds; `stopped` what ended it early. `tfidf` is the baseline beside a network, `validation` that
    of a record which is TF-IDF's own, of each penalty that was tried. `resumed_at`: the steps after which the fit was resumed,
    having been killed. `suggestions`: what to do next, based on the `evidence`. `validation_intervals` are those of the kept
    epoch's scores.
    """

    schema_version: Literal[1] = 1
    task: str
    model: str
    checkpoint: CheckpointUsed | None
    options: dict[str, Any]
    data: DataSummary
    split: Split | None = None
    epochs: list[Numbers] = field(default_factory=list)
    best_epoch: int | None = None
    stopped: str | None = None
    learning_rate_finder: RateFinder | None = None
    test: dict[str, Any] | None
    engine: str | None = None
    intervals: dict[str, Interval] | None = None
    tfidf: Baseline | None = None
    timing: Timing
    size: Size
    environment: Environment
    distillation: Distillation | None = None
    validation: list[Numbers] | None = None
    calibration: CalibrationReport | None = None
    cross_validation: CrossValidation | None = None
    windows: WindowsReport | None = None
    published: Published | None = None
    resumed_at: list[int] = field(default_factory=list)
    continued: Continued | None = None
    label_errors: LabelErrors | None = None
    evidence: Evidence | None = None
    suggestions: list[Suggestion] = field(default_factory=list)
    validation_intervals: dict[str, Interval] = field(default_factory=dict)
    text_lengths: TextLengths | None = None


def read(folder: Path) -> Record:
    """The record of a results folder. Raises ArtefactError where there is none, or a field of it is missing or wrong."""
    file = folder / RECORD
    try:
        return msgspec.convert(json.loads(file.read_text(encoding="utf-8")), Record)
    except (OSError, ValueError, RecursionError, msgspec.ValidationError) as error:
        raise ArtefactError(f"{file}: no record of a run ({error})") from error


def write(record: Record, folder: Path) -> None:
    """Write record.json. What is NaN or infinite, and so has no word in JSON, stands there as null."""
    storage.write_json(finite(dataclasses.asdict(record)), folder / RECORD)


def finite(value: Any) -> Any:
    """The same value of dicts and lists, with None in the place of each number that is NaN or infinite."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def describe_data(data: Data) -> DataSummary:
    """The summary of a table that was read."""
    known = {known.name for known in dataclasses.fields(DataSummary)}
    counts = dict(data.counts)
    dropped = counts.pop("dropped_missing", 0)
    leaks = Leaks(counts.pop("leaks_dropped", 0), counts.pop("leaks_kept", 0))
    return DataSummary(
        files=[DataFile(**file) for file in data.files],
        rows=RowCounts(**{part: len(rows) for part, rows in data.parts()}),
        labels=data.labels,
        dropped=dropped,
        leaks=leaks,
        text_columns=data.text_columns,
        label_rows=label_rows(data),
        notes=[_without_folders(note, data) for note in data.notes],
        counts={name: count for name, count in counts.items() if name not in known},
        **{name: count for name, count in counts.items() if name in known},
    )


def label_rows(data: Data) -> list[int]:
    """How many training rows have each label, in the order of the labels."""
    having = Counter(label for of_row in data.train.labels for label in ([of_row] if isinstance(of_row, str) else of_row))
    return [having[label] for label in data.labels]


def _without_folders(note: str, data: Data) -> str:
    for _, rows in data.parts():
        note = note.replace(rows.file, Path(rows.file).name)
    return note


def write_answers(
    probabilities: np.ndarray,
    truth: np.ndarray,
    numbers: Sequence[int],
    folder: Path,
    confidence: np.ndarray | None = None,
) -> None:
    """Write ANSWERS: (rows, labels) `probabilities` and `truth` of the test rows, and their `numbers` in the file; no texts.

    `confidence`, (rows,), is how likely each answer is right, where that is known.
    """
    with storage.atomic_file(folder / ANSWERS) as stream:
        answers = {"probabilities": probabilities.astype(np.float32), "truth": truth > 0, "numbers": np.array(numbers)}
        answers |= {} if confidence is None else {"confidence": confidence.astype(np.float32)}
        np.savez_compressed(stream, **answers)  # type: ignore[arg-type]


def read_answers(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The probabilities and numbers that `write_answers` wrote. Raises ArtefactError where it is damaged or not there."""
    found = _read_arrays(folder)
    return found["probabilities"], found["numbers"]


def read_truth(folder: Path) -> np.ndarray | None:
    """(rows, labels) of bool: the labels of the test rows; None of an earlier version's answers, which lack them."""
    return _read_arrays(folder).get("truth")


def read_confidence(folder: Path) -> np.ndarray | None:
    """(rows,) how likely the answer to each test row is right; None of answers without it."""
    return _read_arrays(folder).get("confidence")


def _read_arrays(folder: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(folder / ANSWERS, allow_pickle=False) as answers:
            names = ("probabilities", "numbers", *({"truth", "confidence"} & set(answers.files)))
            return {name: answers[name] for name in names}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ArtefactError(f"{folder / ANSWERS}: no answers of a run ({error})") from error
