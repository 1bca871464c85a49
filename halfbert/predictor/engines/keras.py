"""The Keras model itself, as transformers builds it: what the other engines are held against. CPU and GPU.

On the CPU its forward pass is that of `halfbert.models.keras_forward`, over the same variables.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator

import numpy as np

from halfbert.models import weights as encoder
from halfbert.predictor import engines
from halfbert.predictor.manifest import Predictor
from halfbert.system import tensorflow_setup
from halfbert.system.errors import ResourceError

PACKAGE = "tensorflow"
INSTALL = "pip install -r requirements.txt"
LEAST_EQUAL = LARGEST_DIFFERENCE = None


def recipe(predictor: Predictor) -> str:
    """What decides the answers beside weights and configuration."""
    return "keras, float32"


def load(predictor: Predictor, device: str, threads: int | None) -> engines.Loaded:
    """Load the model. Raises ResourceError where a GPU is asked for and TensorFlow has none."""
    engines.require("keras")
    device = prepare(device, threads)
    import tensorflow as tf

    place = f"/{device.upper()}:0"
    with in_float32(), tf.device(place):
        step = _step(read_model(predictor), device)

    def logits(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        with tf.device(place):
            return step(tf.constant(ids), tf.constant(mask)).numpy()

    return engines.Loaded(device, predictor.folder / encoder.WEIGHTS, logits=logits)


def read_model(predictor: Predictor):
    """The classifier as transformers builds it for TensorFlow."""
    import transformers

    transformers.utils.logging.set_verbosity_error()
    encoder.read(predictor.folder)  # transformers would go on with random weights where some are missing
    config = transformers.AutoConfig.from_pretrained(predictor.folder, local_files_only=True)
    # The file and not the folder, where transformers would prefer a model.safetensors.
    return transformers.TFAutoModelForSequenceClassification.from_pretrained(
        predictor.folder / encoder.WEIGHTS, config=config, local_files_only=True
    )


@contextlib.contextmanager
def in_float32() -> Iterator[None]:
    """Compute in float32 meanwhile, also in a run in mixed precision."""
    import tensorflow as tf

    policy = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy("float32")
    try:
        yield
    finally:
        tf.keras.mixed_precision.set_global_policy(policy)


def prepare(device: str, threads: int | None) -> str:
    """Have TensorFlow in this process, with so many threads; returns cpu or gpu. Raises ResourceError where it cannot be."""
    if "tensorflow" not in sys.modules:
        return tensorflow_setup.prepare(device, threads)
    import tensorflow as tf

    if threads not in (None, tf.config.threading.get_intra_op_parallelism_threads()):
        raise ResourceError(f"threads {threads}: TensorFlow runs in this process with others already; start a new one")
    has_gpu = bool(tf.config.list_logical_devices("GPU"))
    if device == "gpu" and not has_gpu:
        raise ResourceError("engine keras on a GPU: TensorFlow sees none in this process (else device='cpu')")
    return "gpu" if has_gpu and device != "cpu" else "cpu"


def _step(model, device: str) -> Callable:
    """The forward pass, (B, L) int32 ids and mask to (B, labels) float32 logits, traced once for all shapes."""
    import tensorflow as tf

    from halfbert.models import keras_forward as training_graph

    forward = training_graph.forward(model) if device == "cpu" and training_graph.supports(model) else None

    @tf.autograph.experimental.do_not_convert
    def step(ids, mask):
        features = {"input_ids": ids, "attention_mask": mask}
        return model(features, training=False).logits if forward is None else forward(features, training=False)

    shape = tf.TensorSpec([None, None], tf.int32)
    return tf.function(step).get_concrete_function(shape, shape)
