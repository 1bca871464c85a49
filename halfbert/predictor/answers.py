"""The reference's probabilities of real texts, kept beside a predictor: what other engines are held against without TensorFlow.

Figures and a digest of the texts, no text.
"""

import hashlib
import json
import zipfile
from collections.abc import Sequence

import numpy as np

from halfbert.predictor.manifest import Predictor
from halfbert.system import storage

FILE = "engines/keras/answers.npz"


def write(predictor: Predictor, texts: Sequence[str], probabilities: np.ndarray) -> None:
    """Keep (texts, labels) probabilities in place of earlier ones; a folder that cannot be written keeps none."""
    file = predictor.folder / FILE
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with storage.atomic_file(file) as stream:
            np.savez(stream, of=_of(predictor, texts), probabilities=probabilities)
    except OSError:
        return


def read(predictor: Predictor, texts: Sequence[str]) -> np.ndarray | None:
    """(texts, labels) probabilities of these very texts by these weights; None if none are kept."""
    try:
        with np.load(predictor.folder / FILE, allow_pickle=False) as stored:
            return stored["probabilities"] if stored["of"] == _of(predictor, texts) else None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _of(predictor: Predictor, texts: Sequence[str]) -> str:
    identity = [predictor.made_from("keras"), *predictor.manifest.lengths, list(texts)]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()
