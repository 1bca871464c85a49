"""Everything that must happen before TensorFlow is imported, and what can still be done where it was imported before.

A job calls `prepare` once, before it imports TensorFlow, transformers or ktrain. In a notebook a job is not the first to use
TensorFlow: what can no longer change is an error that says so. Importing this module imports none of them.
"""

import functools
import os
import random
import re
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any

from halfbert.system import cluster, forks
from halfbert.system.console import say
from halfbert.system.errors import InputError, ResourceError

DEVICES = ("auto", "cpu", "gpu", "tpu")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
RESTART = "restart Python (in a notebook: the kernel)"


def prepare(
    device: str = "auto",
    threads: int | None = None,
    seed: int = 0,
    deterministic: bool = False,
    precision: str = "float32",
) -> str:
    """Import TensorFlow with the settings of a run, quietly, and return the device in use: cpu, gpu or tpu.

    Raises ResourceError where the requested device is absent or this process was forked from one that uses TensorFlow, and
    InputError where a setting needs another device, or can no longer change in this process.
    """
    forks.require_own("TensorFlow")
    first = "tensorflow" not in sys.modules
    os.environ["TF_USE_LEGACY_KERAS"] = "1"  # transformers' TensorFlow classes and ktrain are written for Keras 2
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("MPLBACKEND", "Agg")  # ktrain imports pyplot and switches it to interactive
    if threads is not None:
        os.environ["RAYON_NUM_THREADS"] = str(threads)  # the Rust tokenizer's pool
    if device == "cpu" and first:
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    with _standard_error_held_back():
        import tensorflow as tf
    if not tf.keras.Model.__module__.startswith("tf_keras"):  # the name of tf.keras itself changes when it is imported
        raise InputError(
            f"Keras 3 is loaded in this process, and ktrain needs Keras 2: {RESTART}, and call halfbert before anything else "
            "uses TensorFlow, or set os.environ['TF_USE_LEGACY_KERAS'] = '1' before"
        )
    _set_threads(tf, threads)
    used = _choose_device(tf, device)
    if precision == "mixed_float16" and used == "cpu":
        raise InputError("--precision mixed_float16 needs a GPU; on this machine use float32 or mixed_bfloat16")
    tf.keras.mixed_precision.set_global_policy(precision)
    tf.keras.utils.set_random_seed(seed)
    _set_determinism(deterministic)
    return used


@contextmanager
def global_settings_kept() -> Iterator[None]:
    """Put random states and TensorFlow's precision and determinism back after the block, for what else a process does."""
    import numpy as np

    states = random.getstate(), np.random.get_state()
    before = sys.modules["tf_keras"].mixed_precision.global_policy() if "tf_keras" in sys.modules else "float32"
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        if "tf_keras" in sys.modules:
            sys.modules["tf_keras"].mixed_precision.set_global_policy(before)
            _set_determinism(False)


def _set_threads(tf: ModuleType, threads: int | None) -> None:
    """Let TensorFlow compute with so many threads, None: with all. Once it has computed something it keeps those it has."""
    running = tf.config.threading.get_intra_op_parallelism_threads()
    if threads is None:
        if running:
            say(f"TensorFlow keeps the number of threads that it started with in this process: {running}")
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:
        raise InputError(
            f"--threads {threads}: TensorFlow already computes with {running or 'all'} threads in this process; {RESTART}, or "
            "leave --threads out"
        ) from None


def _set_determinism(deterministic: bool) -> None:
    from tensorflow.python.framework import config  # TensorFlow exports how to enable it only

    if deterministic != config.is_op_determinism_enabled():
        (config.enable_op_determinism if deterministic else config.disable_op_determinism)()


def import_ktrain() -> ModuleType:
    """Import ktrain as it must be imported here, and return it.

    ktrain 0.41.4 uses `np.Inf`, a name that numpy 2 dropped; it is set before the import, here and nowhere else.
    """
    import numpy as np

    if not hasattr(np, "Inf"):
        np.Inf = np.inf  # type: ignore[attr-defined]
    with _standard_error_held_back(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what ktrain's own imports use; a notebook would show them
        import ktrain
        import ktrain.text
        import transformers
    transformers.utils.logging.set_verbosity_error()
    return ktrain


@functools.cache
def strategy(device: str) -> Any:
    """The `tf.distribute` strategy to build a model under: over all workers, a TPU's cores, or all devices of this machine.

    With one device it is TensorFlow's default. With several workers it starts a server, which TensorFlow wants before it
    computes anything: ask for it first.
    """
    import tensorflow as tf

    if cluster.here().count > 1:
        return _over_workers(tf, device)
    if device == "tpu":
        return tf.distribute.TPUStrategy(_tpu(tf))
    devices = [each.name for each in tf.config.list_logical_devices(device.upper())]
    return tf.distribute.MirroredStrategy(devices) if len(devices) > 1 else tf.distribute.get_strategy()


def _over_workers(tf: ModuleType, device: str) -> Any:
    """The strategy over the workers that TF_CONFIG names, once all of them are there."""
    if device == "tpu":
        raise InputError(f"--device tpu: not with several machines; unset {cluster.VARIABLE}")
    worker = cluster.here()
    say(f"{worker}: waiting for the others")
    try:
        with _signals_end_the_process():
            return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError:
        raise InputError(f"{cluster.VARIABLE}: TensorFlow already computes in this process; {RESTART}") from None
    except tf.errors.OpError as error:
        raise ResourceError(f"{worker}: not all workers are there ({first_line(error)}); start all of them again") from error


@contextmanager
def _signals_end_the_process() -> Iterator[None]:
    """While TensorFlow waits in C++, Python would not see a signal before the wait is over."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def first_line(error: BaseException) -> str:
    """What an error of TensorFlow's says, shortened to a line and without the name of the graph's node."""
    said = re.sub(r"^\{\{.*?\}\} ", "", str(error).strip())
    return (said.splitlines() or [type(error).__name__])[0][:160]


@functools.cache
def _tpu(tf: ModuleType) -> Any:
    """The TPU of this machine, connected once: connecting again would wipe what it holds."""
    return tf.distribute.cluster_resolver.TPUClusterResolver.connect(os.environ.get("TPU_NAME") or "local")


def _choose_device(tf: ModuleType, device: str) -> str:
    gpus = tf.config.list_physical_devices("GPU") if device in ("auto", "gpu") else []
    try:
        tf.config.set_visible_devices(gpus, "GPU")
    except RuntimeError:
        if device == "auto":  # an earlier run chose the CPU
            return "cpu"
        raise InputError(f"--device {device}: TensorFlow already uses other devices in this process; {RESTART}") from None
    if device in ("auto", "gpu"):
        for gpu in gpus:
            with suppress(RuntimeError):  # the process uses it already, as it has been set up
                tf.config.experimental.set_memory_growth(gpu, True)
        if gpus:
            return "gpu"
        if device == "gpu":
            raise ResourceError(
                "--device gpu: TensorFlow sees no GPU (the GPU libraries: pip install 'tensorflow[and-cuda]'; "
                "without a GPU: --device cpu)"
            )
    if device == "tpu" or (device == "auto" and "TPU_NAME" in os.environ):
        try:
            _tpu(tf)
        except Exception as error:  # whatever the resolver, the driver or the connection raises: there is no such device
            raise ResourceError(
                f"--device tpu: no TPU answers here ({first_line(error)}); without one: --device cpu"
            ) from error
        return "tpu"
    return "cpu"


@contextmanager
def _standard_error_held_back() -> Iterator[None]:
    """Keep what C++ libraries write to file descriptor 2 while they load; show it only if loading fails."""
    try:
        descriptor = sys.__stderr__.fileno()  # type: ignore[union-attr]
        sys.stderr.flush()
        saved = os.dup(descriptor)
    except (AttributeError, OSError, ValueError):  # a notebook or a window program without a real standard error
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), descriptor)
        failed = False
        try:
            yield
        except Exception:  # not a signal
            failed = True
            raise
        finally:
            sys.stderr.flush()
            os.dup2(saved, descriptor)
            os.close(saved)
            if failed:
                held.seek(0)
                sys.stderr.write(held.read().decode(errors="replace"))
