"""Predictors as plain ktrain saves them, of tiny models, and pickles of the layouts that ktrain had over the years."""

import atexit
import functools
import pickle
import shutil
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from support import LABELS, write_checkpoint

MAXLEN = 24
TEXTS = [
    "the old cat",
    "bread",
    "A new saw, and my old hammer was here!",
    "the big horse is here and " * 12,
    "very new soup",
    "??",
]
PICKLE = "tf_model.preproc"


@functools.cache
def _made(kind: str, task: str) -> Path:
    from halfbert.system import tensorflow_setup

    tensorflow_setup.prepare("cpu")
    ktrain = tensorflow_setup.import_ktrain()
    room = Path(tempfile.mkdtemp(prefix="halfbert-tests-"))
    atexit.register(shutil.rmtree, room, ignore_errors=True)
    checkpoint = write_checkpoint(room / "checkpoint", kind)
    transformer = ktrain.text.Transformer(str(checkpoint), maxlen=MAXLEN, class_names=list(LABELS))
    # ktrain takes the architecture from the beginning of the checkpoint's name, here a folder.
    transformer.name, transformer.use_token_type_ids = kind, kind == "bert"
    multilabel = task == "multilabel"
    truth = np.array([[1, 1, 0], [0, 1, 1], [1, 0, 1]]) if multilabel else list(LABELS)
    transformer.preprocess_train(TEXTS[:3], truth, verbose=0)
    model = transformer.get_classifier()
    model.classifier.kernel.assign(np.random.default_rng(0).normal(0, 0.5, model.classifier.kernel.shape))
    ktrain.get_predictor(model, transformer).save(str(room / "old"))
    return room / "old"


def copy(kind: str, task: str, folder: Path) -> Path:
    """A copy, to be spoilt, of the old predictor of that kind and task, which is made once a test run."""
    return shutil.copytree(_made(kind, task), folder)


@functools.cache
def ktrain_probabilities(kind: str, task: str) -> np.ndarray:
    """ktrain's own answers to TEXTS, for which it unpickles what was made here."""
    from halfbert.system import tensorflow_setup

    return tensorflow_setup.import_ktrain().load_predictor(str(_made(kind, task))).predict_proba(TEXTS)


def pickled(monkeypatch: Any, state: dict[str, Any], protocol: int = 4, name: str = "Transformer") -> bytes:
    """The pickle of a preprocessor with these attributes, without ktrain."""
    made = type(name, (), {"__module__": "ktrain.text.preprocessor"})()
    made.__dict__.update(state)
    module = ModuleType("ktrain.text.preprocessor")
    setattr(module, name, type(made))
    with monkeypatch.context() as patch:
        for parent in ("ktrain", "ktrain.text"):
            patch.setitem(sys.modules, parent, ModuleType(parent))
        patch.setitem(sys.modules, "ktrain.text.preprocessor", module)
        return pickle.dumps(made, protocol)
