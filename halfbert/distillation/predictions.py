"""What a teacher predicts for texts: logits and first-token states, cached. TensorFlow is imported only if Keras predicts."""

import hashlib
import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from halfbert.models import batching, checkpoints
from halfbert.models import weights as encoder
from halfbert.predictor import classifier, engines
from halfbert.predictor.manifest import Predictor
from halfbert.system import storage

TEXTS_AT_A_TIME = 4096  # predicted and stored together: the most that a killed run loses
LABEL = "teacher's predictions"  # of the progress bar


@dataclass(frozen=True)
class Predictions:
    """(texts, labels) float32 logits and (texts, hidden) float32 first-token states."""

    logits: np.ndarray
    states: np.ndarray

    def split(self, at: int) -> tuple["Predictions", "Predictions"]:
        """Those of the first `at` texts, and the others."""
        return Predictions(self.logits[:at], self.states[:at]), Predictions(self.logits[at:], self.states[at:])


def predict(predictor: Predictor, texts: Sequence[str], engine: str, device: str) -> Predictions:
    """The teacher's predictions.

    They are kept in the user's cache, under hashes of teacher, engine and texts and without the texts, some thousand at a
    time: a killed run continues where it was, and no text is predicted twice. Damaged files are replaced.
    """
    folder = checkpoints.cache_folder() / "teacher-answers"
    folder.mkdir(exist_ok=True)
    identity = [*predictor.manifest.files.items(), predictor.manifest.maxlen, engine, engines.find(engine).recipe()]
    distinct = list(dict.fromkeys(texts))
    parts, model = [], None
    for start in range(0, len(distinct), TEXTS_AT_A_TIME):
        some = distinct[start : start + TEXTS_AT_A_TIME]
        file = folder / f"{hashlib.sha256(json.dumps([identity, some]).encode()).hexdigest()}.npz"
        part = _stored(file)
        if part is None:
            model = model or _model(predictor, engine, device)
            part = model(some)
            _store(part, file)
        parts.append(part)
    position = {text: number for number, text in enumerate(distinct)}
    rows = np.array([position[text] for text in texts], int)
    logits, states = (np.concatenate([part[name] for part in parts]) for name in ("logits", "states"))
    return Predictions(logits[rows], states[rows].astype(np.float32))


def _stored(file: Path) -> dict[str, np.ndarray] | None:
    try:
        with np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in ("logits", "states")}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _store(part: dict[str, np.ndarray], file: Path) -> None:
    with storage.atomic_file(file) as stream:
        np.savez(stream, logits=part["logits"], states=part["states"])


def _model(predictor: Predictor, engine: str, device: str) -> Callable[[list[str]], dict[str, np.ndarray]]:
    """From texts to {"logits": float32, "states": float16}, half of whose bits are enough for a direction."""
    load_states = engines.require(engine).load_states
    assert load_states is not None, f"{engine} has no states to give"
    loaded = load_states(predictor, "gpu" if device == "gpu" else "cpu", None)
    weights, tokenizer = encoder.read(predictor.folder), classifier.read_tokenizer(predictor)
    units = weights.weights["words"].shape[1]

    def predictions(texts: list[str]) -> dict[str, np.ndarray]:
        assert loaded.forward is not None
        encoded, _ = batching.encode(tokenizer, texts, predictor.manifest.maxlen)
        states = batching.predict([encoded], len(texts), units, loaded.forward, loaded.tokens_per_batch, LABEL)
        return {"logits": _head(weights, states), "states": states.astype(np.float16)}

    return predictions


def _head(weights: encoder.Encoder, states: np.ndarray) -> np.ndarray:
    """(texts, labels) float32 logits of (texts, hidden) first-token states."""
    kernel, bias = weights.part("pooler")
    pooled = states @ kernel + bias
    pooled = np.tanh(pooled) if weights.kind == "bert" else np.maximum(pooled, 0)
    kernel, bias = weights.part("classifier")
    return pooled @ kernel + bias
