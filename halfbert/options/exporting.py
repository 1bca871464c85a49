"""Options of writing a predictor as other runtimes read it."""

from dataclasses import MISSING, dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from halfbert.options import values
from halfbert.options.declaring import Options, declared, option
from halfbert.options.training import DEBUG, in_output
from halfbert.system.errors import InputError

TARGETS = ("huggingface",)

of_target = partial(option, "target")


@dataclass(kw_only=True)
class ExportOptions(Options):
    """Which predictor to write, and for which runtime."""

    ONLY_WITH: ClassVar[dict[str, tuple[str, ...]]] = {}  # by option, the targets that have it

    predictor: Path = of_target(
        MISSING, "predictor that a training script saved", values.path, positional=True, metavar="FOLDER"
    )
    to: str = of_target(
        MISSING, "huggingface: a folder that transformers loads, with safetensors, tokenizer and ONNX", choices=TARGETS
    )
    output: Path = in_output(MISSING, "folder to write", values.path)
    overwrite: bool = in_output(False, "replace an earlier export")
    debug: bool = in_output(False, DEBUG)

    def complete(self) -> None:
        """Refuse options of other targets."""
        for each in declared(type(self)):
            targets = self.ONLY_WITH.get(each.name, TARGETS)
            if self.to not in targets and getattr(self, each.name) not in (None, False):
                raise InputError(f"{each.flag}: only with --to {' or '.join(targets)}")
