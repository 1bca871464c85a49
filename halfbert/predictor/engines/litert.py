"""LiteRT (TensorFlow Lite), float32: a model converted from the weights (`halfbert.models.litert_graph`), on the CPU.

The model is made on first use, by TensorFlow, and kept in the predictor's folder; then `ai-edge-litert` alone answers with it,
or TensorFlow's copy of the same interpreter where that is not installed. An interpreter answers texts one by one, as
on a phone: a lone text has all threads, and of several each thread answers some, which is faster than sharing each.
"""

import functools
import importlib.util
import os
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import psutil

from halfbert.models import weights
from halfbert.models.batching import Forward
from halfbert.predictor import engines, kept
from halfbert.predictor.manifest import Predictor
from halfbert.system import machine, tensorflow_setup
from halfbert.system.errors import ArtefactError, ResourceError

RUNTIME, COPY = "ai_edge_litert", "tensorflow"
INSTALL = "pip install 'halfbert[litert]'"
MODEL = "model.tflite"
VERSION = 1  # of what litert_graph writes
MOST_INTERPRETERS = 8  # each has the kernels once more, arranged for the processor
TENSORFLOW_BYTES, MEMORY_TIMES = 10**9, 8  # what converting takes, and so many times the weights: 4.4 GB for 438 MB


def load(predictor: Predictor, device: str, threads: int | None, name: str = "litert", form: str = "float32") -> engines.Loaded:
    """Load the model of the engine `name`, made in that form if there is none yet.

    Raises ResourceError if a GPU is requested, or if the model has to be made and TensorFlow is not installed.
    """
    if device == "gpu":
        raise ResourceError(f"engine {name} on a GPU: it runs on the CPU only; choose engine onnx, or device='cpu'")
    file = predictor.folder / "engines" / name / MODEL
    made_from = predictor.made_from(engines.find(name).recipe())
    model: str | bytes = str(file)
    if not kept.is_current(file, made_from):
        if importlib.util.find_spec("tensorflow") is None:
            raise ResourceError(f"{file}: not made yet, and making it needs tensorflow ({engines.INSTALL_TRAIN})")
        model = kept.keep(convert(predictor, form), file, made_from)
    try:
        return engines.Loaded("cpu", file, forward=forward_of(model, threads))
    except (RuntimeError, ValueError) as error:
        raise ArtefactError(f"{file}: LiteRT cannot load it ({error})") from error


def convert(predictor: Predictor, form: str) -> bytes:
    """The predictor's LiteRT model, as `litert_graph.write` makes it; TensorFlow is installed.

    Raises ResourceError if there is less memory than its converter takes, which the system would end in the middle.
    """
    encoder = weights.read(predictor.folder)
    needed = TENSORFLOW_BYTES + MEMORY_TIMES * sum(each.nbytes for each in encoder.weights.values())
    if needed > (free := psutil.virtual_memory().available):
        raise ResourceError(
            f"{predictor.folder}: TensorFlow takes about {needed / 1e9:.1f} GB of memory to make a LiteRT model of it, and "
            f"{free / 1e9:.1f} GB are free"
        )
    tensorflow_setup.prepare("cpu", None)
    from halfbert.models import litert_graph

    return litert_graph.write(encoder, form)


def open_model(model: str | bytes, threads: int) -> Any:
    """LiteRT's interpreter of a model, which is the name of a file or its content."""
    given: dict[str, Any] = {"model_path": model} if isinstance(model, str) else {"model_content": model}
    given["num_threads"] = threads
    if runtime() == RUNTIME:
        from ai_edge_litert.interpreter import Interpreter

        return Interpreter(**given)
    tensorflow_setup.prepare("cpu", None)
    import tensorflow as tf

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it moves to ai-edge-litert
        return tf.lite.Interpreter(**given)


def runtime() -> str:
    """The package whose interpreter answers: LiteRT's own, but where only TensorFlow is installed its copy."""
    return COPY if importlib.util.find_spec(RUNTIME) is None and importlib.util.find_spec(COPY) else RUNTIME


def forward_of(model: str | bytes, threads: int | None) -> Forward:
    """What a model answers, given as the name of a file or as its content; any number of threads may ask.

    Raises RuntimeError or ValueError if LiteRT cannot load it.
    """
    threads = threads or machine.available_cpus()
    at_once = min(threads, MOST_INTERPRETERS)
    alone = _one_by_one(open_model(model, threads))

    @functools.cache
    def side_by_side() -> list[Forward]:
        return [_one_by_one(open_model(model, threads // at_once)) for _ in range(at_once)]

    @functools.cache
    def pool(_process: int) -> ThreadPoolExecutor:  # a forked process has none of the threads
        return ThreadPoolExecutor(at_once, "litert")

    def forward(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        if min(at_once, len(ids)) < 2:
            return alone(ids, mask)
        rows = np.argsort(mask.sum(axis=1), kind="stable")
        parts = [rows[number::at_once] for number in range(at_once)]
        answers = list(pool(os.getpid()).map(lambda answer, part: answer(ids[part], mask[part]), side_by_side(), parts))
        logits = np.empty((len(ids), answers[0].shape[1]), np.float32)
        for part, answer in zip(parts, answers, strict=True):
            logits[part] = answer
        return logits

    return forward


def _one_by_one(interpreter: Any) -> Forward:
    """What an interpreter of a model of `litert_graph` answers, for one thread after the other."""
    (given,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    turn, length = threading.Lock(), 0

    def forward(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        nonlocal length
        lengths = mask.sum(axis=1)
        logits = np.empty((len(ids), answer["shape"][-1]), np.float32)
        with turn:
            for row in np.argsort(lengths, kind="stable"):
                if lengths[row] != length:  # takes a tenth of an answer's time
                    length = lengths[row]
                    interpreter.resize_tensor_input(given["index"], [1, length])
                    interpreter.allocate_tensors()
                interpreter.set_tensor(given["index"], ids[row : row + 1, :length])
                interpreter.invoke()
                logits[row] = interpreter.get_tensor(answer["index"])[0]
        return logits

    return forward


ENGINE = engines.Engine(
    packages=(runtime(),),
    install=INSTALL,
    speed={"cpu": 0},  # to be named: its model takes TensorFlow to make
    load=load,
    recipe=lambda: f"litert {VERSION}, float32",
    least_equal=1.0,
    largest_difference=1e-4,
    timed=False,
)
