"""Fine-tune BERT and DistilBERT with ktrain, and answer fast: `halfbert.load(folder, engine="onnx").predict(texts)`.

`train_multiclass`, `train_multilabel`, `distill`, `compare` and `benchmark` are the jobs of the command `halfbert`.
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from halfbert.api import benchmark, compare, distill, train_multiclass, train_multilabel
    from halfbert.predictor.classifier import load
    from halfbert.system.errors import ArtefactError, HalfbertError, InputError, ResourceError

# Imported at first use: importing the package costs nothing.
_MODULES = {
    **dict.fromkeys(("train_multiclass", "train_multilabel", "distill", "compare", "benchmark"), "halfbert.api"),
    "load": "halfbert.predictor.classifier",
    **dict.fromkeys(("HalfbertError", "InputError", "ArtefactError", "ResourceError"), "halfbert.system.errors"),
}
__all__ = [
    "ArtefactError",
    "HalfbertError",
    "InputError",
    "ResourceError",
    "benchmark",
    "compare",
    "distill",
    "load",
    "train_multiclass",
    "train_multilabel",
]


class _Package(ModuleType):
    """This module, in which the function `benchmark` keeps its name when the folder benchmark/ is imported."""

    @property
    def benchmark(self) -> Any:
        return __getattr__("benchmark")

    @benchmark.setter
    def benchmark(self, folder: ModuleType) -> None:
        """Python names an imported folder in its package; `from halfbert.benchmark import …` does not need that."""


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from halfbert.cli.command import version

        return version()
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
