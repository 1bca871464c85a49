"""A predictor's answers to its validation rows (validation.npz), by which a cascade's cut is chosen: no text, digests of them.

With many labels each fifth of the rows is answered with thresholds that the others chose, as for the calibration's guarantees.

Shapes: R rows, L labels.
"""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from halfbert.data import equality
from halfbert.data.phrases import counted
from halfbert.predictor.manifest import Predictor
from halfbert.scoring.calibration import MOST_ROWS
from halfbert.scoring.cascades import LEAST_ROWS, Paired
from halfbert.system import storage
from halfbert.system.errors import ArtefactError, InputError

FILE = "validation.npz"
REMEDY = "; train both on one table with the same --split-seed (or --val), or give labelled rows to halfbert.cascade in Python"


@dataclass(frozen=True)
class Validated:
    """Digests of the texts, (R,) of bytes; labels and answers, (R, L) bool; and how likely each answer is right, (R,)."""

    texts: np.ndarray
    truth: np.ndarray
    answers: np.ndarray
    confidence: np.ndarray

    @classmethod
    def of(cls, texts: Sequence[str], truth: np.ndarray, answers: np.ndarray, confidence: np.ndarray) -> "Validated":
        """From the texts themselves; of more than MOST_ROWS rows, some evenly spaced ones are kept."""
        kept = np.unique(np.linspace(0, len(texts) - 1, MOST_ROWS).astype(int))
        digests = equality.digests(texts[number] for number in kept).encode()
        return cls(np.frombuffer(digests, "S8"), truth[kept], answers[kept], confidence[kept].astype(np.float32))

    def write(self, folder: Path) -> None:
        """Write FILE into a folder of a predictor or of results."""
        with storage.atomic_file(folder / FILE) as stream:
            np.savez_compressed(stream, **vars(self))


def read(folder: Path) -> Validated:
    """What `write` wrote. Raises ArtefactError where it is damaged or not there."""
    try:
        with np.load(folder / FILE, allow_pickle=False) as stored:
            found = Validated(**{name: stored[name] for name in Validated.__dataclass_fields__})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ArtefactError(f"{folder / FILE}: no answers to validation rows ({error})") from error
    rows = len(found.texts)
    if found.truth.shape != found.answers.shape or {len(found.truth), len(found.confidence)} != {rows}:
        raise ArtefactError(f"{folder / FILE}: damaged: its arrays are not of the same rows")
    return found


def of(predictor: Predictor) -> Validated:
    """Those of a checked predictor. Raises InputError where it keeps none, ArtefactError where they do not fit it."""
    if FILE not in predictor.manifest.files:
        raise InputError(
            f"{predictor.folder}: keeps no answers to validation rows, having been saved by an earlier halfbert or converted; "
            "train it again, or give labelled rows to halfbert.cascade in Python"
        )
    found = read(predictor.folder)
    if found.truth.shape[1] != len(predictor.manifest.labels):
        raise ArtefactError(f"{predictor.folder / FILE}: damaged: it has {found.truth.shape[1]} labels")
    return found


def paired(small: Validated, big: Validated, order: Sequence[int], names: tuple[str, str], remedy: str = "") -> Paired:
    """Both predictors' answers to the validation rows that they share; the big one's labels are brought into `order`.

    Raises InputError, with the predictors' `names` and a `remedy`, where these are too few.
    """
    shared, of_small, of_big = np.intersect1d(small.texts, big.texts, return_indices=True)
    if len(shared) < LEAST_ROWS:
        found = counted(len(shared), "validation row") if len(shared) else "no validation rows"
        raise InputError(f"{names[0]} and {names[1]} share {found}, of which a cut needs {LEAST_ROWS}{remedy}")
    return Paired(small.truth[of_small], small.answers[of_small], big.answers[of_big][:, order], small.confidence[of_small])
