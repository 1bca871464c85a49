"""What a target's module declares."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from halfbert.options import ExportOptions
from halfbert.predictor.manifest import Predictor


@dataclass(frozen=True)
class Target:
    """A way of writing predictors.

    Attributes
    ----------
    write: from predictor, options and output to the written export: whole, or nothing where it raises. The packages are
        installed, and the caller holds the output's lock.
    packages: those that have to be installed to write it; `install` is the command that does it.
    marker: the file of an exported folder by which we know our own; None where the export is a single file.
    """

    write: Callable[[Predictor, ExportOptions, Path], None]
    packages: tuple[str, ...]
    install: str
    marker: str | None
