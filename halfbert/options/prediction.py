"""Options of answering the rows of tables with a predictor."""

from dataclasses import MISSING, dataclass
from functools import partial
from pathlib import Path

from halfbert.options import values
from halfbert.options.declaring import Options, option
from halfbert.options.training import DEBUG, ENCODING, in_machine, in_output
from halfbert.predictor import engines
from halfbert.system.errors import InputError

DEVICES = ("auto", "cpu", "gpu")
STANDARD_INPUT = "-"

of_rows, of_answers = partial(option, "predictor and rows"), partial(option, "answers")


@dataclass(kw_only=True)
class PredictOptions(Options):
    """Options of answering the rows of tables."""

    predictor: Path = of_rows(MISSING, "a predictor that a training script saved", values.path, positional=True)
    table: list[str] = of_rows(
        MISSING,
        "tables, patterns such as 'logs/*.parquet', or - for lines of the standard input",
        values.sources,
        positional=True,
        many=True,
    )
    text_column: str = of_rows("text", "column with the texts")
    sheet: str | None = of_rows(None, "sheet of the workbooks (default: the first)")
    encoding: str | None = of_rows(None, ENCODING)
    top: int | None = of_answers(None, "name the N most probable labels, each with its confidence", values.count)
    probabilities: bool = of_answers(False, "add a column with the probability of each label")
    engine: str = in_machine("auto", "what computes the answers", choices=("auto", *engines.names()))
    device: str = in_machine("auto", "where to compute", choices=DEVICES)
    threads: int | None = in_machine(None, "processor threads (default: all)", values.count)
    output: Path | None = in_output(
        None,
        "table to write, in the format of its ending, or a folder, for a table for each input (default: tab-separated lines on "
        "the standard output, where the input is -)",
        values.path,
        metavar="TABLE",
    )
    overwrite: bool = in_output(False, "replace an earlier output")
    debug: bool = in_output(False, DEBUG)

    def complete(self) -> None:
        """Check that there is somewhere to write to; a DataFrame is given back."""
        in_memory = any(type(table) is not str for table in self.table)
        if self.output is None and self.table != [STANDARD_INPUT] and not in_memory:
            raise InputError("give --output, the table to write, such as labelled.xlsx")
        if in_memory and (self.output is not None or len(self.table) > 1):
            raise InputError("a DataFrame is answered alone, and given back: leave out --output and other tables")
