"""Options of writing a predictor as other runtimes read it."""

from dataclasses import MISSING, dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from halfbert.options import values
from halfbert.options.declaring import Options, declared, option
from halfbert.options.training import DEBUG, TEXT_COLUMN, in_machine, in_output
from halfbert.system.errors import InputError

TARGETS = ("huggingface", "litert", "web")
FORMS = ("float32", "float16", "int8")

of_target, of_texts = partial(option, "target"), partial(option, "texts")


@dataclass(kw_only=True)
class ExportOptions(Options):
    """Which predictor to write, and for which runtime."""

    # By option, the targets that have it.
    ONLY_WITH: ClassVar = {
        **{"form": ("litert",), "single_file": ("web",), "check": ("web",)},
        **{"smaller": ("huggingface", "web"), "allow_disagreement": ("huggingface", "web")},
    }

    predictor: Path = of_target(
        MISSING, "predictor that a training script saved", values.path, positional=True, metavar="FOLDER"
    )
    to: str = of_target(
        MISSING,
        "huggingface: a folder that transformers loads, with safetensors, tokenizer and ONNX; litert: a file for LiteRT "
        "(TensorFlow Lite), as phones run it; web: a page that answers in a browser, from disk and without a network",
        choices=TARGETS,
    )
    form: str | None = of_target(
        None,
        "numbers of a LiteRT model: float32; float16, half the size; int8, a quarter (default: int8)",
        choices=FORMS,
    )
    single_file: bool = of_target(False, "of web: one HTML file instead of a folder")
    check: bool = of_target(
        False, "of web: open the page in Chromium before it is kept, and compare its answers to 1,000 texts (needs playwright)"
    )
    smaller: bool = of_target(
        False,
        "of web and huggingface (beside the whole graph): fewer bits, least for words that --texts seldom have; refused if "
        "answers to some of them differ from keras' (docs/device.md)",
    )
    allow_disagreement: bool = of_target(False, "of --smaller: take the fewest bits, however many answers differ")
    texts: str | None = of_texts(
        None,
        "texts of the kind to answer, without labels: of --smaller; of litert, to compare the answers with Keras' on (default: "
        "none, and nothing is compared)",
        values.source,
    )
    text_column: str = of_texts("text", TEXT_COLUMN, values.columns)
    threads: int | None = in_machine(None, "processor threads (default: all)", values.count)
    output: Path = in_output(MISSING, "folder to write; of litert and --single-file a file, such as queues.tflite", values.path)
    overwrite: bool = in_output(False, "replace an earlier export")
    debug: bool = in_output(False, DEBUG)

    def complete(self) -> None:
        """Refuse options of other targets, and fill in those of this one."""
        for each in declared(type(self)):
            targets = self.ONLY_WITH.get(each.name, TARGETS)
            if self.to not in targets and getattr(self, each.name) not in (None, False):
                raise InputError(f"{each.flag}: only with --to {' or '.join(targets)}")
        if self.to == "litert":
            self.form = self.form or "int8"
        elif self.smaller and self.texts is None:
            raise InputError("--smaller: needs --texts, a table of texts of the kind to answer; labels are not needed")
        elif self.texts and not self.smaller:
            raise InputError("--texts: only with --to litert or --smaller")
        elif self.allow_disagreement and not self.smaller:
            raise InputError("--allow-disagreement: only with --smaller")
