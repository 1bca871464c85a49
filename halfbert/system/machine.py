"""What a record says of the machine and the software."""

import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
VECTOR_EXTENSIONS = ("avx2", "avx_vnni", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8")
PACKAGES = ("tensorflow", "tf_keras", "ktrain", "transformers", "onnxruntime", "numpy", "pandas", "scikit-learn")


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
