"""Options of converting a predictor that ktrain saved."""

from dataclasses import MISSING, dataclass
from functools import partial
from pathlib import Path

from halfbert.data import messages
from halfbert.options import values
from halfbert.options.declaring import Options, option
from halfbert.options.training import DEBUG, TEXT_COLUMN, in_machine, in_output
from halfbert.predictor.manifest import PROBLEM_TYPES

of_old, of_texts = partial(option, "old predictor"), partial(option, "texts")


@dataclass(kw_only=True)
class ConvertOptions(Options):
    """What to convert, what its files do not say, and the texts to prove it on."""

    predictor: Path = of_old(
        MISSING,
        "folder that ktrain saved: tf_model.h5, tf_model.preproc, config.json",
        values.path,
        positional=True,
        metavar="OLD_FOLDER",
    )
    labels: list[str] | None = of_old(
        None, "labels in the order of the model's outputs (default: the pickle's class names)", values.names
    )
    maxlen: int | None = of_old(None, "tokens at which texts are truncated (default: the pickle's)", values.tokens)
    task: str | None = of_old(
        None, "one label of a text, or any number of them (default: as the pickle says)", choices=tuple(PROBLEM_TYPES)
    )
    tokenizer: str | None = of_old(
        None,
        "folder with the tokenizer, or the checkpoint's name on the hub (default: the old folder's, else that of the "
        "checkpoint that config.json or the pickle names)",
        values.source,
    )
    texts: str = of_texts(
        None,
        "texts to compare the new predictor's answers with the old weights' on (default: the embedded messages)",
        values.source,
    )
    text_column: str = of_texts("text", TEXT_COLUMN)
    threads: int | None = in_machine(None, "processor threads (default: all)", values.count)
    output: Path = in_output(None, "folder of the new predictor (default: predictors/OLD_FOLDER)", values.path)
    overwrite: bool = in_output(False, "replace an earlier predictor")
    debug: bool = in_output(False, DEBUG)

    def complete(self) -> None:
        self.texts = self.texts if self.texts is not None else str(messages.TEST)
        self.output = self.output or Path("predictors") / self.predictor.resolve().name
