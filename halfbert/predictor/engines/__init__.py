"""Ways to have a predictor answer, one module each: the module `onnx_int8` is the engine `onnx-int8`.

A new engine is one new module in this folder with an `ENGINE`; all else asks the functions here.
"""

import importlib
import importlib.util
import math
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from halfbert.models.batching import Forward
from halfbert.predictor.manifest import Predictor
from halfbert.system.errors import InputError, ResourceError

TOKENS_PER_BATCH = 1024  # of a CPU: more leaves its caches, fewer leave its threads without work
TOKENS_PER_GPU_BATCH = 65536
INSTALL_TRAIN = "pip install 'halfbert[train]'"


@dataclass(frozen=True)
class Loaded:
    """An engine that has a predictor's weights in memory.

    One of the two: `forward` gives (rows, labels) float32 logits of token ids and attention mask; `probabilities` gives
    (rows, labels) float32 of texts. `weights` is the file that the weights were read from. `gradients` gives of (tokens,) ids,
    as many of a baseline, a label's number and a number of steps the (tokens,) integrated gradients.
    """

    device: str  # cpu or gpu
    weights: Path
    forward: Forward | None = None
    probabilities: Callable[[list[str]], np.ndarray] | None = None
    gradients: Callable[[np.ndarray, np.ndarray, int, int], np.ndarray] | None = None

    @property
    def tokens_per_batch(self) -> int:
        """How many tokens, padding included, `forward` is given at a time."""
        return TOKENS_PER_BATCH if self.device == "cpu" else TOKENS_PER_GPU_BATCH


@dataclass(frozen=True)
class Engine:
    """What an engine's module declares.

    Attributes
    ----------
    packages: those that have to be installed, first the one that computes; `install` is the command that does it.
    speed: the devices it runs on, and its rank of speed on each: where speeds were not measured, `halfbert.load` with engine
        auto takes the largest that is proven; it never takes one of rank 0.
    load: from predictor, device (cpu, gpu, auto) and threads (None: all) to the engine with the predictor's weights; the
        packages are installed. Raises ResourceError if the device is missing.
    recipe: what, beside weights and configuration, decides its answers, in words.
    load_states: as `load`, but `forward` gives (rows, hidden) float32 first-token states in place of logits.
    least_equal: the share of decisions that must equal the reference's; None for an engine that is not compared.
    largest_difference: how far a probability may differ from the reference's.
    timed: whether benchmarks time it unless engines are named.
    """

    packages: tuple[str, ...]
    install: str
    speed: Mapping[str, int]
    load: Callable[[Predictor, str, int | None], Loaded]
    recipe: Callable[[], str]
    load_states: Callable[[Predictor, str, int | None], Loaded] | None = None
    least_equal: float | None = None
    largest_difference: float = math.inf
    timed: bool = True


def names() -> list[str]:
    """The names of all engines, the slowest first; those that benchmarks do not time last."""
    return sorted(_modules(), key=lambda name: (not find(name).timed, find(name).speed.get("cpu", 0), name))


def _modules() -> dict[str, str]:
    return {module.name.replace("_", "-"): module.name for module in pkgutil.iter_modules(__path__)}


def find(name: object, *, besides: tuple[str, ...] = ()) -> Engine:
    """The engine of that name; its package is imported when it loads.

    Raises InputError if there is none; `besides` are names that are valid where the caller took this one from.
    """
    known = _modules()
    if isinstance(name, str) and name in known:
        return importlib.import_module(f"{__name__}.{known[name]}").ENGINE
    like = name.strip().lower().replace("_", "-") if isinstance(name, str) else None
    hint = f"; did you mean {like!r}?" if like in (*known, *besides) and like != name else ""
    raise InputError(f"engine {name!r}: not known; the engines are {', '.join((*besides, *names()))}{hint}")


def timed() -> list[str]:
    """The engines that benchmarks time by default."""
    return [name for name in names() if find(name).timed]


def provable(chosen: list[str] | None = None) -> list[str]:
    """Those of the chosen engines that can be compared with the reference here; None: of all that auto may take."""
    chosen = [name for name in names() if any(find(name).speed.values())] if chosen is None else chosen
    return [name for name in chosen if find(name).least_equal is not None and installed(name)]


def fastest_first(device: str) -> list[str]:
    """The engines that can be chosen automatically for a device (cpu, gpu or auto, which is the CPU's order)."""
    place = "gpu" if device == "gpu" else "cpu"
    ranks = {name: find(name).speed.get(place, 0) for name in names()}
    return sorted((name for name, rank in ranks.items() if rank), key=lambda name: -ranks[name])


def missing(name: str) -> list[str]:
    """The packages that an engine needs and that are not installed."""
    return [package for package in find(name).packages if importlib.util.find_spec(package) is None]


def installed(name: str) -> bool:
    """Whether all that an engine needs is installed."""
    return not missing(name)


def require(name: str) -> Engine:
    """The engine, if what it needs is installed. Raises ResourceError, with the command that installs it, if not."""
    engine, absent = find(name), missing(name)
    if absent:
        raise ResourceError(f"engine {name}: needs {' and '.join(absent)}, not installed here ({engine.install})")
    return engine
