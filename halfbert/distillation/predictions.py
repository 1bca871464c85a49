"""What a teacher predicts for texts: logits and first-token states, cached. TensorFlow is imported only if Keras predicts."""

import hashlib
import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from halfbert.distillation.teacher import read_tokenizer
from halfbert.models import batching, checkpoints
from halfbert.models import weights as encoder
from halfbert.predictor import engines
from halfbert.predictor.manifest import Predictor
from halfbert.system import storage
from halfbert.system.console import progress

TEXTS_AT_A_TIME = 4096  # predicted and stored together: the most that a killed run loses
LABEL = "teacher's predictions"  # of the progress bar

# From encoded texts to their (texts, hidden) float32 first-token states.
States = Callable[[batching.EncodedTexts], np.ndarray]


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
    identity = [*predictor.manifest.files.items(), predictor.manifest.maxlen, engine, engines.find(engine).recipe(predictor)]
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
    weights, tokenizer = encoder.read(predictor.folder), read_tokenizer(predictor.folder)
    states_of = _keras_states(predictor, device) if engine == "keras" else _onnx_states(weights, engine)

    def predictions(texts: list[str]) -> dict[str, np.ndarray]:
        encoded, _ = batching.encode(tokenizer, texts, predictor.manifest.maxlen)
        states = states_of(encoded)
        return {"logits": _head(weights, states), "states": states.astype(np.float16)}

    return predictions


def _keras_states(predictor: Predictor, device: str) -> States:
    from halfbert.models.ktrain_data import TransformerDataset
    from halfbert.predictor.engines import keras
    from halfbert.training import fit as training

    with keras.in_float32():
        model = keras.read_model(predictor)

    def states(encoded: batching.EncodedTexts) -> np.ndarray:
        rows = np.arange(len(encoded.lengths))
        data = TransformerDataset(encoded, rows, use_token_type_ids=False)
        with keras.in_float32():
            return training.first_token_states(model, data, rows, device, LABEL)

    return states


def _onnx_states(weights: encoder.Encoder, engine: str) -> States:
    from halfbert.models import onnx_graph
    from halfbert.predictor.engines import onnx, onnx_int8

    bits = onnx_int8.kernel_bits() if engine == "onnx-int8" else None
    session = onnx.open_session(onnx_graph.write(weights, bits, head=False), threads=None)

    def states(encoded: batching.EncodedTexts) -> np.ndarray:
        states = np.empty((len(encoded.lengths), len(weights.part("pooler")[1])), np.float32)
        batches = batching.batches_in_order_of_length(encoded.lengths, engines.TOKENS_PER_BATCH)
        for rows in progress(batches, len(batches), LABEL):
            ids, mask = encoded.padded(rows)
            states[rows] = session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
        return states

    return states


def _head(weights: encoder.Encoder, states: np.ndarray) -> np.ndarray:
    """(texts, labels) float32 logits of (texts, hidden) first-token states."""
    kernel, bias = weights.part("pooler")
    pooled = states @ kernel + bias
    pooled = np.tanh(pooled) if weights.kind == "bert" else np.maximum(pooled, 0)
    kernel, bias = weights.part("classifier")
    return pooled @ kernel + bias
