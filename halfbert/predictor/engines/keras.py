"""The Keras model itself, as transformers builds it: the reference for the other engines. CPU and GPU.

On the CPU its forward pass is that of `halfbert.models.keras_forward`, over the same variables.
"""

import contextlib
import functools
import sys
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from halfbert.models import memory, weights
from halfbert.predictor import engines
from halfbert.predictor.manifest import Predictor
from halfbert.system import forks, tensorflow_setup
from halfbert.system.errors import ResourceError


def _load(forward: Callable, predictor: Predictor, device: str, threads: int | None) -> engines.Loaded:
    device = prepare(device, threads)
    import tensorflow as tf

    place = f"/{device.upper()}:0"
    precision = tf.keras.mixed_precision
    with contextlib.ExitStack() as afterwards, tf.device(place):
        afterwards.callback(precision.set_global_policy, precision.global_policy())
        precision.set_global_policy("float32")  # also in a run in mixed precision
        model = _read_model(predictor)
        # Traced once for all shapes of (B, L) int32 ids and mask.
        shape = tf.TensorSpec([None, None], tf.int32)
        call = tf.autograph.experimental.do_not_convert(forward(model, device))
        step = tf.function(call).get_concrete_function(shape, shape)

    def answer(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        with tf.device(place):
            return step(tf.constant(ids), tf.constant(mask)).numpy()

    weakref.finalize(answer, memory.release, [model]).atexit = False
    return engines.Loaded(device, predictor.folder / weights.WEIGHTS, forward=answer, gradients=_gradients(model))


def _gradients(model: Any) -> Callable[[np.ndarray, np.ndarray, int, int], np.ndarray] | None:
    import tensorflow as tf

    from halfbert.models import keras_forward

    if not keras_forward.supports(model):
        return None
    tokens, number = tf.TensorSpec([None], tf.int32), tf.TensorSpec([], tf.int32)
    of_model = tf.autograph.experimental.do_not_convert(functools.partial(keras_forward.integrated_gradients, model))
    traced = tf.function(of_model, input_signature=[tokens, tokens, number, number])
    return lambda ids, baseline, label, steps: traced(*map(tf.constant, (ids, baseline, label, steps))).numpy()


def _logits(model: Any, device: str) -> Callable:
    from halfbert.models import keras_forward

    if device == "cpu" and keras_forward.supports(model):
        forward = keras_forward.forward(model)
        return lambda ids, mask: forward({"input_ids": ids, "attention_mask": mask}, training=False)
    return lambda ids, mask: model({"input_ids": ids, "attention_mask": mask}, training=False).logits


def _states(model: Any, device: str) -> Callable:
    from halfbert.models import keras_forward

    if device == "cpu" and keras_forward.supports(model):
        return lambda ids, mask: keras_forward.first_token_states(keras_forward.describe(model), ids, mask, False)
    encoder = model.bert if model.config.model_type == "bert" else model.distilbert
    return lambda ids, mask: encoder(ids, attention_mask=mask, training=False)[0][:, 0]


ENGINE = engines.Engine(
    packages=("tensorflow", "tf_keras", "transformers"),
    install=engines.INSTALL_TRAIN,
    speed={"cpu": 2, "gpu": 3},
    load=functools.partial(_load, _logits),
    load_states=functools.partial(_load, _states),
    recipe=lambda: "keras, float32",
)


def _read_model(predictor: Predictor) -> Any:
    """The classifier as transformers builds it for TensorFlow."""
    import transformers

    transformers.utils.logging.set_verbosity_error()
    weights.read(predictor.folder)  # transformers would go on with random weights if some are missing
    config = transformers.AutoConfig.from_pretrained(predictor.folder, local_files_only=True)
    # The file and not the folder, in which transformers would prefer a model.safetensors.
    return transformers.TFAutoModelForSequenceClassification.from_pretrained(
        predictor.folder / weights.WEIGHTS, config=config, local_files_only=True
    )


def prepare(device: str, threads: int | None) -> str:
    """Have TensorFlow in this process, with so many threads; returns cpu or gpu. Raises ResourceError if that is impossible."""
    if "tensorflow" not in sys.modules:
        return tensorflow_setup.prepare(device, threads)
    forks.require_own("TensorFlow")
    import tensorflow as tf

    if threads not in (None, tf.config.threading.get_intra_op_parallelism_threads()):
        raise ResourceError(f"threads {threads}: TensorFlow runs in this process with others already; start a new one")
    has_gpu = bool(tf.config.list_logical_devices("GPU"))
    if device == "gpu" and not has_gpu:
        raise ResourceError("engine keras on a GPU: TensorFlow sees none in this process (else device='cpu')")
    return "gpu" if has_gpu and device != "cpu" else "cpu"
