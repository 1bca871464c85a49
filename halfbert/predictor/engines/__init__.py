"""Ways to have a predictor answer, one module each: the module `onnx_int8` is the engine `onnx-int8`.

A new engine is one new module in this folder, with

- `PACKAGE`, what it needs to be installed, and `INSTALL`, how;
- `LEAST_EQUAL` and `LARGEST_DIFFERENCE`: share of decisions that must be those of keras, and how far a probability may
  stand from it; both None for an engine that is not held against keras;
- `recipe(predictor)`: what, beside weights and configuration, decides its answers, in words;
- `load(predictor, device, threads)`: a `Loaded`.
"""

import importlib.util
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np

from halfbert.system.errors import InputError, ResourceError

TOKENS_PER_BATCH = 1024  # of a CPU: more leaves its caches, fewer leave its threads without work
TOKENS_PER_GPU_BATCH = 65536


@dataclass(frozen=True)
class Loaded:
    """An engine that has a predictor's weights in memory.

    One of the two: `logits` takes token ids and attention mask, each (rows, tokens) int32, and gives (rows, labels) float32;
    `probabilities` takes texts and gives (rows, labels) float32. `weights` is the file that the weights were read from.
    """

    device: str  # cpu or gpu
    weights: Path
    logits: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    probabilities: Callable[[list[str]], np.ndarray] | None = None

    @property
    def tokens_per_batch(self) -> int:
        """How many tokens, padding included, `logits` is given at a time."""
        return TOKENS_PER_BATCH if self.device == "cpu" else TOKENS_PER_GPU_BATCH


def names() -> list[str]:
    """The engines there are."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__))


def find(engine: str) -> ModuleType:
    """The module of an engine; what it needs is imported when it loads. Raises InputError where there is no such engine."""
    if engine not in names():
        raise InputError(f"engine {engine!r}: not known; there are auto, {', '.join(names())}")
    return importlib.import_module(f"{__name__}.{engine.replace('-', '_')}")


def installed(engine: str) -> bool:
    """Whether what an engine needs is there."""
    return importlib.util.find_spec(find(engine).PACKAGE) is not None


def require(engine: str) -> None:
    """Raise ResourceError, with the line that installs it, where what an engine needs is missing."""
    if not installed(engine):
        module = find(engine)
        raise ResourceError(f"engine {engine}: {module.PACKAGE} is not installed ({module.INSTALL})")
