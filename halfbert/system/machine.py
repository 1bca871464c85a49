"""Describes the machine and the software for a record."""

import functools
import importlib.metadata
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]  # the checkout; of an installed package its site-packages
VECTOR_EXTENSIONS = ("avx2", "avx_vnni", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8")
PACKAGES = ("halfbert", "tensorflow", "tf_keras", "ktrain", "transformers", "onnxruntime", "numpy", "pandas", "scikit-learn")


@dataclass(frozen=True)
class Environment:
    """Machine and software that a process runs on."""

    command: list[str]
    commit: str | None
    versions: dict[str, str]
    hardware: dict[str, Any]
    device: str
    threads: int
    precision: str
    seed: int


def describe(device: str, threads: int | None, precision: str, seed: int) -> Environment:
    """The environment of a record."""
    command = [Path(sys.argv[0]).name]
    command += [",".join(map(shareable, word.split(","))) for word in sys.argv[1:]]  # an option may name several files
    return Environment(command, commit(), versions(), hardware(), device, threads or available_cpus(), precision, seed)


def command_line(verb: str, arguments: Sequence[str]) -> str:
    """The line that runs another verb as this process was run: as a script beside its own, else as the installed command."""
    called = Path(sys.argv[0])
    script = called.with_name(f"{verb.replace('-', '_')}.py")
    if called.suffix == ".py" and called.resolve().parent == PROJECT and script.is_file():
        words = ["python", str(script)]
    else:
        words = ["halfbert"] if shutil.which("halfbert") else ["python", "-m", "halfbert"]
        words.append(verb)
    words += arguments
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def shareable(value: str) -> str:
    """An absolute path without its private folders: relative to the project, else its name alone; "--option=PATH" too."""
    option, equals, last = value.rpartition("=")
    path = Path(last)
    if not path.is_absolute() or not path.name:  # "/" is a separator of labels rather than a folder
        return value
    return option + equals + (path.relative_to(PROJECT).as_posix() if path.is_relative_to(PROJECT) else path.name)


def versions() -> dict[str, str]:
    """The versions of Python and of each installed package that results depend on."""
    installed = {package: version_of(package) for package in PACKAGES}
    return {"python": platform.python_version(), **{name: version for name, version in installed.items() if version}}


def version_of(package: str) -> str | None:
    """The version of a package, whatever its distribution is called (onnxruntime-gpu has `onnxruntime`); None if absent."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        others = _distributions().get(package)
        return importlib.metadata.version(others[0]) if others else None


_distributions = functools.cache(importlib.metadata.packages_distributions)  # reads every distribution's list of files


def available_cpus() -> int:
    """The number of processors that this process may use (its affinity mask, if the system has one)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def hardware() -> dict[str, Any]:
    """Processor model, the vector extensions that decide matrix speed, usable processors, memory in bytes, GPUs."""
    import psutil

    processor = _processor()
    flags = {flag.replace("_", "") for flag in processor.get("flags", ())}  # "avx512_vnni" on Linux, elsewhere "avx512vnni"
    described: dict[str, Any] = {
        "cpu": processor.get("brand_raw") or platform.processor() or platform.machine(),
        "cpus": available_cpus(),
        "vector_extensions": [extension for extension in VECTOR_EXTENSIONS if extension.replace("_", "") in flags],
        "system": f"{platform.system()} {platform.machine()}",
        "memory_bytes": psutil.virtual_memory().total,
    }
    if "tensorflow" in sys.modules:
        tf = sys.modules["tensorflow"]
        described["gpus"] = [
            tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
            for gpu in tf.config.list_physical_devices("GPU")
        ]
    return described


def processor(threads: int | None = None) -> str:
    """What speeds hold on, threads None being all: "2 threads of Intel(R) Xeon(R) Processor (avx2, avx512_vnni)"."""
    number, described = threads or available_cpus(), hardware()
    extensions = ", ".join(described["vector_extensions"])
    return f"{number} thread{'s' * (number != 1)} of {described['cpu']}" + (f" ({extensions})" if extensions else "")


@functools.cache
def _processor() -> dict[str, Any]:
    """What py-cpuinfo knows of the processor.

    `get_cpu_info` starts a process and measures the clock rate for a second, which every load of an int8 model would wait
    for; on Linux the library's reader of /proc/cpuinfo has all we need within milliseconds.
    """
    from cpuinfo import cpuinfo

    return cpuinfo._get_cpu_info_from_proc_cpuinfo() or cpuinfo.get_cpu_info()


def commit() -> str | None:
    """The git commit of the checkout, with "+changes" if the working tree differs; None for an installed package."""
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
