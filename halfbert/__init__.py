"""Fine-tune BERT and DistilBERT with ktrain, and answer fast: `halfbert.load(folder, engine="onnx").predict(texts)`.

The jobs of the command `halfbert` are `train_multiclass`, `train_multilabel`, `distill`, `compare`, `tune`, `benchmark`,
`convert`, `export` and `predict_table`.
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from halfbert.system.errors import ArtefactError, Drifted, HalfbertError, InputError, ResourceError

if TYPE_CHECKING:  # the rest is imported at first use: importing the package costs nothing
    from halfbert.api import (
        benchmark,
        compare,
        convert,
        distill,
        export,
        predict_table,
        train_multiclass,
        train_multilabel,
        tune,
    )
    from halfbert.predictor.cascade import cascade
    from halfbert.predictor.classifier import load
    from halfbert.predictor.next_labels import label_next

__all__ = [
    "ArtefactError",
    "Drifted",
    "HalfbertError",
    "InputError",
    "ResourceError",
    "benchmark",
    "cascade",
    "compare",
    "convert",
    "distill",
    "export",
    "label_next",
    "load",
    "predict_table",
    "train_multiclass",
    "train_multilabel",
    "tune",
]

ELSEWHERE = {
    "cascade": "halfbert.predictor.cascade",
    "load": "halfbert.predictor.classifier",
    "label_next": "halfbert.predictor.next_labels",
}


class _Package(ModuleType):
    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute, but not benchmark/ or export/ when Python imports it: it would hide the function of that name."""
        if name not in ("benchmark", "export") or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from halfbert.cli.command import version

        return version()
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(ELSEWHERE.get(name, "halfbert.api")), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
