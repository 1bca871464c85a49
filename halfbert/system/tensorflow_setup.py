"""Everything that must happen before TensorFlow is imported.

`prepare` is called once by a script, before any import of TensorFlow, transformers or ktrain. Importing this module
imports none of them.
"""

import functools
import os
import sys
import tempfile
from contextlib import contextmanager

from halfbert.system.errors import InputError, ResourceError

DEVICES = ("auto", "cpu", "gpu", "tpu")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


def prepare(
    device: str = "auto",
    threads: int | None = None,
    seed: int = 0,
    deterministic: bool = False,
    precision: str = "float32",
) -> str:
    """Import TensorFlow with the settings of a run, quietly, and return the device that is used: cpu, gpu or tpu.

    Raises ResourceError where a device is asked for that is not there, and InputError where a setting needs another.
    """
    os.environ["TF_USE_LEGACY_KERAS"] = "1"  # transformers' TensorFlow classes and ktrain are written for Keras 2
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("MPLBACKEND", "Agg")  # ktrain imports pyplot and switches it to interactive
    if threads is not None:
        os.environ["RAYON_NUM_THREADS"] = str(threads)  # the Rust tokenizer's pool
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    with _standard_error_held_back():
        import tensorflow as tf
    if threads is not None:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    used = _choose_device(tf, device)
    if precision == "mixed_float16" and used == "cpu":
        raise InputError("--precision mixed_float16 needs a GPU; on this machine take float32 or mixed_bfloat16")
    if precision != "float32":
        tf.keras.mixed_precision.set_global_policy(precision)
    tf.keras.utils.set_random_seed(seed)
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    return used


def import_ktrain():
    """Import ktrain as it must be imported here, and return it.

    ktrain 0.41.4 uses `np.Inf`, a name that numpy 2 dropped; it is set before the import, here and nowhere else.
    """
    import numpy as np

    if not hasattr(np, "Inf"):
        np.Inf = np.inf
    with _standard_error_held_back():
        import ktrain
        import ktrain.text
        import transformers
    transformers.utils.logging.set_verbosity_error()
    return ktrain


def strategy(device: str):
    """The `tf.distribute` strategy to build a model under: TPUStrategy for a TPU, else TensorFlow's default."""
    import tensorflow as tf

    return tf.distribute.TPUStrategy(_tpu(tf)) if device == "tpu" else tf.distribute.get_strategy()


@functools.cache
def _tpu(tf):
    """The TPU of this machine, connected once: connecting again would wipe what it holds."""
    return tf.distribute.cluster_resolver.TPUClusterResolver.connect()


def _choose_device(tf, device: str) -> str:
    if device in ("auto", "gpu"):
        gpus = tf.config.list_physical_devices("GPU")
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
        if gpus:
            return "gpu"
        if device == "gpu":
            raise ResourceError(
                "--device gpu: TensorFlow sees no GPU (the GPU libraries: pip install 'tensorflow[and-cuda]'; "
                "without a GPU: --device cpu)"
            )
    if device == "tpu" or (device == "auto" and "TPU_NAME" in os.environ):
        return _connect_tpu(tf)
    return "cpu"


def _connect_tpu(tf) -> str:
    try:
        _tpu(tf)
    except Exception as error:  # whatever the resolver, the driver or the connection raises: the device is not to be had
        cause = str(error).strip().splitlines() or [type(error).__name__]
        raise ResourceError(f"--device tpu: no TPU answers here ({cause[0][:120]}); without one: --device cpu") from error
    return "tpu"


@contextmanager
def _standard_error_held_back():
    """Keep what C++ libraries write to file descriptor 2 while they load; show it only if loading fails."""
    try:
        descriptor = sys.__stderr__.fileno()
    except (AttributeError, OSError, ValueError):  # a notebook or a window program without a real standard error
        yield
        return
    sys.stderr.flush()
    saved = os.dup(descriptor)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), descriptor)
        failed = True
        try:
            yield
            failed = False
        finally:
            sys.stderr.flush()
            os.dup2(saved, descriptor)
            os.close(saved)
            if failed:
                held.seek(0)
                sys.stderr.write(held.read().decode(errors="replace"))
