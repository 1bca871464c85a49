"""The manifest of a predictor folder, `halfbert.json`: read, and every claim of it checked before anything is believed.

Nothing here unpickles, and nothing imports TensorFlow.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

from halfbert.models import weights as encoder
from halfbert.system import storage
from halfbert.system.errors import ArtefactError, InputError

MANIFEST = "halfbert.json"
FORMAT_VERSION = 1
TOKENIZER = "tokenizer.json"
NEEDED = ("config.json", encoder.WEIGHTS, TOKENIZER)
PROBLEM_TYPES = {"multiclass": "single_label_classification", "multilabel": "multi_label_classification"}


@dataclass(frozen=True)
class Predictor:
    """A predictor folder that was found whole, and what its manifest says.

    `labels` stand in the order of the classifier's columns; `thresholds`, (labels,), only where a text may have any number
    of them; `maxlen` in tokens; `files` holds the SHA-256 of each file; `agreement` what `halfbert.predictor.agreement` wrote.
    """

    folder: Path
    task: str
    labels: list[str]
    thresholds: list[float] | None
    maxlen: int
    config: dict
    files: dict[str, str]
    agreement: dict = field(default_factory=dict)

    @property
    def weights_sha256(self) -> str:
        """What ties engines' files and figures to the weights."""
        return self.files[encoder.WEIGHTS]


def read(folder: Path) -> dict:
    """The manifest as it stands. Raises InputError where there is no such folder, ArtefactError where it is not readable."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give the folder of a predictor")
    file = folder / MANIFEST
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtefactError(f"{folder}: no predictor of this project ({MANIFEST} is missing)") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ArtefactError(f"{file}: cannot be read ({error})") from error
    version = manifest.get("format_version") if isinstance(manifest, dict) else None
    if version != FORMAT_VERSION:
        raise ArtefactError(f"{file}: format version {version!r}; this halfbert reads version {FORMAT_VERSION}")
    return manifest


def check(folder: Path) -> Predictor:
    """Read a predictor folder's manifest and hold the folder against it.

    Every file that it names is there, inside the folder, with its SHA-256; task, labels, thresholds and maxlen fit the
    classifier's configuration. Raises InputError where there is no such folder, ArtefactError for all else.
    """
    found = read(folder)
    file = folder / MANIFEST
    files = found.get("files")
    if not isinstance(files, dict) or not all(isinstance(digest, str) for digest in files.values()):
        raise ArtefactError(f"{file}: names no files with their SHA-256")
    for name in NEEDED:
        if name not in files:
            raise ArtefactError(f"{file}: does not name {name}, which every predictor has")
    for name, digest in files.items():
        _check_file(folder, name, digest)
    config = encoder.read_config(folder)
    predictor = Predictor(
        folder=folder,
        task=_checked_task(file, found, config),
        labels=_checked_labels(file, found, config),
        thresholds=_checked_thresholds(file, found),
        maxlen=_checked_maxlen(file, found, config),
        config=config,
        files=files,
        agreement=found["agreement"] if isinstance(found.get("agreement"), dict) else {},
    )
    return predictor


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


def _checked_task(file: Path, found: dict, config: dict) -> str:
    task = found.get("task")
    if not isinstance(task, str) or task not in PROBLEM_TYPES:
        raise ArtefactError(f"{file}: the task is {task!r}; expected {' or '.join(PROBLEM_TYPES)}")
    if config.get("problem_type") != PROBLEM_TYPES[task]:
        raise ArtefactError(f"{file}: the task is {task}, but config.json says {config.get('problem_type')!r}")
    return task


def _checked_labels(file: Path, found: dict, config: dict) -> list[str]:
    labels, named = found.get("labels"), config["id2label"]
    if not isinstance(labels, list) or not labels or not all(isinstance(label, str) for label in labels):
        raise ArtefactError(f"{file}: names no labels")
    if named != {str(number): label for number, label in enumerate(labels)}:
        raise ArtefactError(f"{file}: its labels are not those of config.json (id2label)")
    return labels


def _checked_thresholds(file: Path, found: dict) -> list[float] | None:
    thresholds = found.get("thresholds")
    if found["task"] == "multiclass":
        return None
    numbers = isinstance(thresholds, list) and all(type(value) in (int, float) and 0 <= value <= 1 for value in thresholds)
    if not numbers or len(thresholds) != len(found["labels"]):
        raise ArtefactError(f"{file}: expected a threshold from 0 to 1 for each of the {len(found['labels'])} labels")
    return thresholds


def _checked_maxlen(file: Path, found: dict, config: dict) -> int:
    maxlen, positions = found.get("maxlen"), config.get("max_position_embeddings")
    if type(maxlen) is not int or type(positions) is not int or not 3 <= maxlen <= positions:
        raise ArtefactError(f"{file}: maxlen is {maxlen!r}; expected a whole number from 3 to the model's {positions} tokens")
    return maxlen
