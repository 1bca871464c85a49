"""Everything that must happen before TensorFlow is imported, and the description of the machine.

`prepare` is called once by a script, before any import of TensorFlow, transformers or ktrain. Importing this module
imports none of them.
"""

import functools
import importlib.metadata
import os
import platform
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

from halfbert.errors import InputError, ResourceError

DEVICES = ("auto", "cpu", "gpu", "tpu")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
VECTOR_EXTENSIONS = ("avx2", "avx_vnni", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8")
PROJECT = Path(__file__).resolve().parent.parent
PACKAGES = ("tensorflow", "tf_keras", "ktrain", "transformers", "onnxruntime", "numpy", "pandas", "scikit-learn")


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


def describe(device: str, threads: int | None, precision: str, seed: int) -> dict:
    """What a record says of the machine and the software: versions, hardware, threads, precision, seed."""
    return {
        "command": [Path(sys.argv[0]).name, *map(shareable, sys.argv[1:])],
        "commit": commit(),
        "versions": versions(),
        "hardware": hardware(),
        "device": device,
        "threads": threads or available_cpus(),
        "precision": precision,
        "seed": seed,
    }


def shareable(value: str) -> str:
    """An absolute path without the folders that are nobody else's business: as seen from the project, or its name alone."""
    path = Path(value)
    if not path.is_absolute():
        return value
    return path.relative_to(PROJECT).as_posix() if path.is_relative_to(PROJECT) else path.name


def versions() -> dict[str, str]:
    """Version of Python and of each package that a run depends on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def available_cpus() -> int:
    """Processors that this process may use (its affinity mask, where the system has one)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def hardware() -> dict:
    """Processor model, the vector extensions that decide matrix speed, processors to be used, memory in bytes, GPUs."""
    info = _cpu_information()
    flags = info.get("flags", "").split()
    described = {
        "cpu": info.get("model name", platform.processor() or platform.machine()),
        "cpus": available_cpus(),
        "vector_extensions": [extension for extension in VECTOR_EXTENSIONS if extension in flags],
        "system": f"{platform.system()} {platform.machine()}",
    }
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        described["memory_bytes"] = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if "tensorflow" in sys.modules:
        tf = sys.modules["tensorflow"]
        described["gpus"] = [
            tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
            for gpu in tf.config.list_physical_devices("GPU")
        ]
    return described


def _cpu_information() -> dict[str, str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:  # not Linux
        return {}
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def commit() -> str | None:
    """The project's git commit, with "+changes" where the working tree differs; None outside a checkout."""
    if not (PROJECT / ".git").exists():
        return None
    try:
        head = _git("rev-parse", "HEAD")
        return head + ("+changes" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=PROJECT, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()
