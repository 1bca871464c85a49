"""Tiny real predictors of both architectures and tasks, as the training scripts save them, for tests that load them."""

import atexit
import functools
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from support import LABELS, VOCABULARY, WIDTH, write_checkpoint

import halfbert
from halfbert.system.storage import sha256

TASKS = ("multiclass", "multilabel")
MAXLEN = 24
THRESHOLDS = [0.3, 0.5, 0.7]
MANIFEST = "halfbert.json"

# Words, unknown characters, accents, markup of the tokenizer's own, nothing at all, and far more than maxlen tokens.
TEXTS = [
    "the old cat",
    "",
    "bread",
    "A new saw, and my old hammer was here!",
    "🙂 très naïve 中文 \t\n x",
    "[SEP] the [MASK] dog [PAD]",
    "the big horse is here and " * 12,
    "wolf " * (MAXLEN - 2),
    "wolf " * (MAXLEN - 1),
    " .  ! ",
    "apple\u0000cake",
]


def make(kind: str, task: str, folder: Path, layers: int = 2) -> Path:
    """Write the predictor of a checkpoint with random weights and a head that tells TEXTS apart."""
    from halfbert.system import tensorflow_setup

    tensorflow_setup.prepare("cpu")
    from halfbert.models.ktrain_data import Transformer, ktrain
    from halfbert.predictor import writing
    from halfbert.predictor.manifest import Manifest
    from halfbert.training import fit as training

    checkpoint = write_checkpoint(folder.with_name(f"{folder.name}-checkpoint"), kind, layers=layers)
    transformer = Transformer(checkpoint, maxlen=MAXLEN, class_names=list(LABELS), multilabel=task == "multilabel")
    truth = np.eye(len(LABELS), dtype=int) if task == "multilabel" else np.arange(len(LABELS))
    transformer.preprocess_train(TEXTS[: len(LABELS)], truth, verbose=0)
    model = transformer.get_classifier()
    _tell_apart(model, transformer)
    training.compile_model(model, "cpu", loss=training.SigmoidCrossentropy() if task == "multilabel" else None)
    folder.mkdir(parents=True)
    ktrain.get_predictor(model, transformer.for_predictor()).save(str(folder))
    thresholds = THRESHOLDS if task == "multilabel" else None
    writing.finish(folder, Manifest(task, list(LABELS), thresholds, MAXLEN, kind), "# Tiny\n")
    return folder


def _tell_apart(model, transformer) -> None:
    """Set the head such that TEXTS have clearly different answers."""
    generator = np.random.default_rng(0)
    if hasattr(model, "pre_classifier"):
        model.pre_classifier.kernel.assign(generator.normal(0, 0.3, model.pre_classifier.kernel.shape))
    model.classifier.kernel.assign(generator.normal(0, 0.5, model.classifier.kernel.shape))
    tokens = transformer.get_tokenizer()(TEXTS, truncation=True, max_length=MAXLEN, padding=True, return_tensors="tf")
    logits = model(tokens).logits.numpy()
    spread = 2 / logits.std(axis=0)
    model.classifier.kernel.assign(model.classifier.kernel * spread)
    model.classifier.bias.assign(-logits.mean(axis=0) * spread)


@functools.cache
def _made(kind: str, task: str) -> Path:
    room = Path(tempfile.mkdtemp(prefix="halfbert-tests-"))
    atexit.register(shutil.rmtree, room, ignore_errors=True)
    return make(kind, task, room / kind)


def copy(kind: str, task: str, folder: Path) -> Path:
    """A copy, to be spoilt, of the tiny predictor of that kind and task, which is made once a test run."""
    return shutil.copytree(_made(kind, task), folder)


def load(folder: Path, engine: str = "onnx", **changed) -> Any:
    """The predictor on the CPU, whether the engine is proven or not, unless `changed` asks for something else."""
    return halfbert.load(folder, engine, **{"device": "cpu", "allow_disagreement": True, **changed})


def change_manifest(folder: Path, **changes) -> None:
    """Set entries of a predictor's manifest."""
    file = folder / MANIFEST
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def sign(folder: Path) -> None:
    """Have the manifest name the files as they are now, as somebody would who altered them on purpose."""
    files = json.loads((folder / MANIFEST).read_text())["files"]
    change_manifest(folder, files={name: sha256(folder / name) for name in files if (folder / name).is_file()})


def keep_validated(folder: Path, texts: list[str], truth: np.ndarray, engine: str = "onnx") -> None:
    """Have a predictor keep its answers to these texts as those to its validation rows; `truth`, (texts, labels), is bool."""
    from halfbert.predictor import validated
    from halfbert.scoring.review import answered_labels, row_confidence

    classifier = load(folder, engine)
    probabilities, stated = classifier.predict_proba(texts), classifier.predictor.manifest
    answers = answered_labels(probabilities, stated.thresholds)
    calibrated = stated.calibration.apply(probabilities) if stated.calibration else probabilities
    validated.Validated.of(texts, truth, answers, row_confidence(calibrated, answers)).write(folder)
    files = json.loads((folder / MANIFEST).read_text())["files"]
    change_manifest(folder, files={**files, validated.FILE: sha256(folder / validated.FILE)})


def figures(folder: Path, engine: str, **changes) -> Any:
    """Have the manifest claim that an engine agrees, with other figures as in `changes`; returns the checked predictor."""
    from halfbert.predictor import engines, manifest

    predictor = manifest.check(folder)
    made_from = predictor.made_from(engines.find(engine).recipe())
    figures = {"rows": 100, "equal_decisions": 1.0, "largest_difference": 1e-6, "made_from": made_from, **changes}
    others = json.loads((folder / manifest.MANIFEST).read_text()).get("agreement", {})
    change_manifest(folder, agreement={**others, engine: figures})
    return manifest.check(folder)


def hand_made_bert(folder):
    """A BERT that says of a hidden word what the others of its text say most: its last layer is their mean.

    The first layer does nothing, so a student of that layer alone has everything to learn.
    """
    from safetensors.numpy import load_file, save_file

    write_checkpoint(folder, "bert")
    weights = {f"bert.{name}": value for name, value in load_file(folder / "model.safetensors").items()}
    for name, value in weights.items():
        if "LayerNorm.weight" not in name and "word_embeddings" not in name:
            value *= 0
    for part in ("self.value", "output.dense"):
        weights[f"bert.encoder.layer.1.attention.{part}.weight"] += 1.5 * np.eye(WIDTH, dtype="f")
    words = np.random.default_rng(1).normal(0, 1, (len(VOCABULARY), WIDTH)).astype("f")
    words -= words.mean(axis=1, keepdims=True)
    weights["bert.embeddings.word_embeddings.weight"] = words
    bias = np.where(np.arange(len(VOCABULARY)) < 5, -30, 0).astype("f")  # never [CLS], [SEP], [MASK]
    head = {"transform.dense.weight": np.eye(WIDTH), "transform.dense.bias": np.zeros(WIDTH), "bias": bias}
    head |= {"transform.LayerNorm.weight": np.ones(WIDTH), "transform.LayerNorm.bias": np.zeros(WIDTH)}
    weights |= {f"cls.predictions.{name}": np.asarray(value, "f") for name, value in head.items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder
