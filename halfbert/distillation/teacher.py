"""The teacher of a distillation, a saved predictor: what it was trained on, what it predicts, the student made from it.

TensorFlow is imported only if Keras predicts.
"""

import hashlib
import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from halfbert.data import equality
from halfbert.models import batching, checkpoints, distilbert_form
from halfbert.models import weights as encoder
from halfbert.models.layers import evenly_spread
from halfbert.models.long_texts import Pooling
from halfbert.options import DistillOptions
from halfbert.predictor import classifier, engines, manifest
from halfbert.predictor.manifest import Predictor
from halfbert.system import storage
from halfbert.system.errors import ArtefactError, InputError

TEXTS_AT_A_TIME = 4096  # predicted and stored together: the most that a killed run loses
LABEL = "teacher's predictions"  # of the progress bar


@dataclass(frozen=True)
class Teacher:
    """A predictor folder that is complete, and the data it was trained on."""

    predictor: Predictor
    checkpoint: str  # name of the weights that it was fine-tuned from
    split_seed: int
    files: dict[str, manifest.DataFile]  # by role

    @property
    def name(self) -> str:
        return self.predictor.folder.resolve().name

    @property
    def train_texts(self) -> str | None:
        """Digests of the texts that trained it; None of a predictor saved by an earlier version."""
        return self.predictor.manifest.data.train_texts

    @property
    def val_texts(self) -> str:
        """Digests of the texts that chose its epoch."""
        return self.predictor.manifest.data.val_texts or ""


def read(folder: Path) -> Teacher:
    """Check a predictor folder. Raises InputError if there is none, ArtefactError if it is no predictor, or damaged."""
    predictor = manifest.check(folder)
    known = predictor.manifest
    files = {file.role: file for file in known.data.files}
    if "train" not in files or known.data.split_seed is None or known.checkpoint is None:
        raise ArtefactError(f"{folder / manifest.MANIFEST}: does not state what data it was trained on")
    teacher = Teacher(predictor, known.checkpoint.name, known.data.split_seed, files)
    try:
        equality.shared((teacher.train_texts or "") + teacher.val_texts, [])
    except ValueError as error:
        raise ArtefactError(f"{folder / manifest.MANIFEST}: its digests of texts are damaged ({error})") from error
    return teacher


@dataclass(frozen=True)
class Predictions:
    """(texts, labels) float32 logits and (texts, hidden) float32 first-token states, of texts in windows their mean."""

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
    identity = [*predictor.manifest.files.items(), *predictor.manifest.lengths, engine, engines.find(engine).recipe()]
    distinct = list(dict.fromkeys(texts))
    parts, model = [], None
    for start in range(0, len(distinct), TEXTS_AT_A_TIME):
        some = distinct[start : start + TEXTS_AT_A_TIME]
        file = folder / f"{hashlib.sha256(json.dumps([identity, some]).encode()).hexdigest()}.npz"
        part = _stored(file)
        if part is None:
            model = model or _model(predictor, engine, device)
            part = model(some)
            with storage.atomic_file(file) as stream:
                np.savez(stream, logits=part["logits"], states=part["states"])
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


def _model(predictor: Predictor, engine: str, device: str) -> Callable[[list[str]], dict[str, np.ndarray]]:
    """From texts to {"logits": float32, "states": float16}, half of whose bits are enough for a direction."""
    load_states = engines.require(engine).load_states
    assert load_states is not None, f"{engine} has no states to give"
    loaded = load_states(predictor, "gpu" if device == "gpu" else "cpu", None)
    weights, tokenizer = encoder.read(predictor.folder), classifier.read_tokenizer(predictor)
    units, known = weights.weights["words"].shape[1], predictor.manifest

    def predictions(texts: list[str]) -> dict[str, np.ndarray]:
        assert loaded.forward is not None
        encoded, _ = batching.encode(tokenizer, texts, known.maxlen, known.long)
        rows = len(encoded.lengths)
        states = batching.predict([encoded], rows, units, loaded.forward, loaded.tokens_per_batch, LABEL)
        logits = encoded.pooled(_head(weights, states), known.pooling, known.task == "multilabel")
        of_texts = encoded.pooled(states, Pooling("mean"), multilabel=False)
        return {"logits": logits, "states": of_texts.astype(np.float16)}

    return predictions


def _head(weights: encoder.Encoder, states: np.ndarray) -> np.ndarray:
    """(texts, labels) float32 logits of (texts, hidden) first-token states."""
    kernel, bias = weights.part("pooler")
    pooled = states @ kernel + bias
    pooled = np.tanh(pooled) if weights.kind == "bert" else np.maximum(pooled, 0)
    kernel, bias = weights.part("classifier")
    return pooled @ kernel + bias


def student(teacher: Teacher, options: DistillOptions, scratch: Path) -> checkpoints.Checkpoint:
    """The checkpoint that the student begins with: the one of --model and --checkpoint, or the teacher's DistilBERT form.

    The form has the teacher's fine-tuned layers, and is written into the folder `scratch`. Raises InputError if the teacher
    is a DistilBERT already or lacks the layers requested.
    """
    if options.model or options.checkpoint:
        options.model = options.model or "distilbert"
        return checkpoints.find(options.model, options.checkpoint)
    options.model = "distilbert"
    predictor = teacher.predictor
    if predictor.config["model_type"] != "bert":
        raise InputError(f"--teacher {predictor.folder}: a DistilBERT already; name its student with --checkpoint")
    weights = encoder.read(predictor.folder)
    options.layers = layers_to_keep(weights.layers, options.layers, options.keep)
    encoder.export_safetensors(weights, scratch / "bert")
    distilbert_form.write(scratch / "bert", scratch / "form", options.layers)
    form = checkpoints.find("distilbert", str(scratch / "form"))
    described = f"{teacher.name} ({teacher.checkpoint}), DistilBERT form of layers {', '.join(map(str, options.layers))}"
    return replace(form, name=described)


def layers_to_keep(available: int, layers: Sequence[int] | None, keep: int | None) -> list[int]:
    """The numbers of the layers requested; if they are not named, `keep` of them (None: half), evenly spread.

    Raises InputError if there are not so many.
    """
    if layers is None:
        keep = keep or max(1, available // 2)
        layers = evenly_spread(available, keep)
    if len(set(layers)) < len(layers) or not all(0 <= layer < available for layer in layers):
        requested = f"--keep {keep}" if keep else f"--layers {','.join(map(str, layers))}"
        raise InputError(f"{requested}: the teacher has layers 0 to {available - 1}, each of which can be kept once")
    return list(layers)


def check_tokenizers(student: checkpoints.Checkpoint, teacher: Path, name: str) -> None:
    """Raise InputError if the student's tokenizer is not that of its teacher, a checkpoint's or a predictor's folder."""
    own, of_teacher = (_vocabulary(folder) for folder in (student.folder, teacher))
    if own != of_teacher:
        raise InputError(
            f"{student.name}: its tokenizer is not that of the teacher {name} ({own} against {of_teacher}); "
            f"choose a student with the teacher's vocabulary"
        )


def _vocabulary(folder: Path) -> str:
    """What tells the tokenizer of a checkpoint or predictor folder from others."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    words = json.dumps(sorted(tokenizer.get_vocab().items())).encode()
    case = "lower case" if getattr(tokenizer, "do_lower_case", False) else "both cases"
    return f"{len(tokenizer.get_vocab()):,} words, {case}, SHA-256 {hashlib.sha256(words).hexdigest()[:12]}…"
