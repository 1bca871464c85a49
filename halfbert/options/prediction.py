"""Options of answering the rows of tables with a predictor."""

from dataclasses import MISSING, dataclass, fields
from functools import partial
from pathlib import Path

from halfbert.options import values
from halfbert.options.declaring import Options, option
from halfbert.options.training import DEBUG, DELIMITER, ENCODING, HEADER_ROW, in_machine, in_output
from halfbert.predictor import engines
from halfbert.scoring.cascades import MARGIN
from halfbert.scoring.review import RISKS, ReviewRule
from halfbert.system.errors import InputError

DEVICES = ("auto", "cpu", "gpu")
STANDARD_INPUT = "-"

of_rows, of_answers = partial(option, "predictor and rows"), partial(option, "answers")
of_review, of_labelling = partial(option, "rows for a person"), partial(option, "rows to label next")
of_cascade = partial(option, "two predictors")
of_drift = partial(option, "drift")


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
    text_column: str | None = of_rows(
        None,
        "column with the texts, or, with commas between, those of a predictor of several (default: as in training)",
        values.columns,
    )
    sheet: str | None = of_rows(None, "sheet of the workbooks (default: the first)")
    header_row: int | None = of_rows(None, HEADER_ROW, values.count)
    delimiter: str | None = of_rows(None, DELIMITER, values.delimiter)
    encoding: str | None = of_rows(None, ENCODING)
    top: int | None = of_answers(None, "name the N most probable labels, each with its confidence", values.count)
    probabilities: bool = of_answers(False, "add a column with the probability of each label")
    explain: bool = of_answers(
        False, "add a column with the words that add most to the likeliest label, and list those of each label at the end"
    )
    label_column: str | None = of_answers(
        None, "column with the true labels, for --explain to list the words in wrong answers; one label a text"
    )
    max_error: float | None = of_review(
        None,
        "answer as many rows as can be with the guarantee, of 95% certainty, that at most this share of the answers is wrong",
        values.non_negative,
        metavar="SHARE",
    )
    max_review: float | None = of_review(
        None,
        "leave the least confident rows to a person: this share of the validation rows, and of new rows about as many",
        values.non_negative,
        metavar="SHARE",
    )
    cost_error: float | None = of_review(
        None,
        "what a wrong answer costs: a row is left to a person where that is expected to cost less",
        values.positive,
        metavar="COST",
    )
    cost_review: float | None = of_review(
        None, "what a person's answer costs, in the unit of --cost-error", values.positive, metavar="COST"
    )
    risk: str | None = of_review(
        None,
        "with any number of labels, what --max-error limits: the share of a row's predicted labels that are wrong, or of its "
        "true labels that are missing (default: false-discovery)",
        choices=RISKS["multilabel"],
    )
    review: int | None = of_labelling(
        None, "choose the N rows whose labels would teach most: those with uncertain answers, no two alike", values.count
    )
    review_file: Path | None = of_labelling(
        None,
        "table to write them to, in the format of its ending: the columns of training, those of labels empty, and the guess",
        values.path,
        metavar="TABLE",
    )
    then: Path | None = of_cascade(
        None, "a larger predictor of the same labels, for the rows that the first one is not sure of", values.path
    )
    margin: float | None = of_cascade(
        None,
        f"how much macro F1, from 0 to 1, may be lost to the larger one on validation rows (default: {MARGIN:g})",
        values.share,
    )
    drift: bool = of_drift(
        False, "say at the end how these rows differ from the validation rows, as far as it is neither chance nor a trifle"
    )
    fail_on_drift: bool = of_drift(False, "as --drift, and end with exit code 5 if they differ")
    drift_reference: bool = of_drift(
        False, "keep summaries of these rows, without texts, in the predictor's folder: later rows are compared with them"
    )
    engine: str = in_machine("auto", "what computes the answers", choices=("auto", *engines.names()))
    device: str = in_machine("auto", "where to compute", choices=DEVICES)
    threads: int | None = in_machine(None, "processor threads (default: all; with --ray one a worker)", values.count)
    ray: str | None = in_machine(
        None,
        "answer parquet files with the workers of the Ray cluster at this address, such as head:6379; auto: of the one that "
        "runs here, or of one started here",
        metavar="ADDRESS",
    )
    workers: int | None = in_machine(
        None, "worker processes of --ray (default: as many as the cluster has room for)", values.count
    )
    output: Path | None = in_output(
        None,
        "table to write, in the format of its ending, or a folder, for a table for each input (default: tab-separated lines on "
        "the standard output, where the input is -)",
        values.path,
        metavar="TABLE",
    )
    report: Path | None = in_output(
        None,
        "a page (.html) about the rows: counts of labels, confidence, the least confident rows with their texts, rows with "
        "no answer",
        values.path,
        metavar="PAGE",
    )
    overwrite: bool = in_output(False, "replace an earlier output")
    debug: bool = in_output(False, DEBUG)

    def rule(self) -> ReviewRule:
        """Which rows are left to a person. Raises InputError for numbers out of range, or more than one rule."""
        return ReviewRule(**{each.name: getattr(self, each.name) for each in fields(ReviewRule)})

    def complete(self) -> None:
        """Check the rule, and that there is somewhere to write to; a DataFrame is given back."""
        rule = self.rule()
        in_memory = any(type(table) is not str for table in self.table)
        self._check_review()
        self._check_drift(in_memory)
        self._check_cascade(rule)
        looked_at = self.review is not None or self.drift or self.drift_reference
        if self.output is None and not looked_at and self.table != [STANDARD_INPUT] and not in_memory:
            raise InputError("give --output, the table to write, such as labelled.xlsx")
        if self.ray is not None and (in_memory or self.output is None or STANDARD_INPUT in self.table):
            raise InputError(
                f"--ray {self.ray}: reads parquet files and writes a folder of them; give both, as in "
                '"logs/*.parquet" --output labelled'
            )
        if self.explain and self.ray is not None:
            raise InputError("--explain: answers are explained on one machine, without --ray")
        if self.label_column is not None and not self.explain:
            raise InputError(f"--label-column {self.label_column}: goes with --explain")
        if self.report is not None and self.report.suffix.lower() not in (".html", ".htm"):
            raise InputError(f"--report {self.report}: a page is written; give it the ending .html")
        if self.report is not None and self.ray is not None:
            raise InputError(f"--report {self.report}: not with --ray; leave it out")
        if self.workers is not None and self.ray is None:
            raise InputError(f"--workers {self.workers}: goes with --ray")
        if self.ray is not None:
            self.threads, self.device = self.threads or 1, "gpu" if self.device == "gpu" else "cpu"
        if in_memory and (self.output is not None or len(self.table) > 1):
            raise InputError("a DataFrame is answered alone, and given back: leave out --output and other tables")

    def _check_review(self) -> None:
        """Raise InputError where the options of the rows to label next do not go together."""
        if self.review is not None and self.review_file is None:
            raise InputError(f"--review {self.review}: give --review-file, the table to write the rows to, such as next.xlsx")
        if self.review_file is not None and self.review is None:
            raise InputError(f"--review-file {self.review_file}: goes with --review, the number of rows, such as --review 200")
        if self.review is not None and self.ray is not None:
            raise InputError(f"--review {self.review}: rows are chosen on one machine, without --ray")
        if self.review_file is not None and {self.output, self.report} & {self.review_file, *self.review_file.parents}:
            raise InputError(f"--review-file {self.review_file}: is another output as well, or in one; choose another name")

    def _check_cascade(self, rule: ReviewRule) -> None:
        """Raise InputError where what is requested is of one predictor only."""
        if self.then is None:
            if self.margin is not None:
                raise InputError(f"--margin {self.margin:g}: goes with --then")
            return
        if not rule.is_none:
            raise InputError(f"--then {self.then}: not with a rule for rows that go to a person, which is of one predictor")
        others = {
            "--explain": self.explain,
            "--review": self.review is not None,
            "--drift": self.drift,
            "--drift-reference": self.drift_reference,
            "--ray": self.ray is not None,
        }
        if other := next((name for name, given in others.items() if given), None):
            raise InputError(f"--then {self.then}: not with {other}; leave one of them out")

    def _check_drift(self, in_memory: bool) -> None:
        """Raise InputError where rows cannot be compared, or not so."""
        self.drift = self.drift or self.fail_on_drift
        if self.drift and self.drift_reference:
            raise InputError("--drift and --drift-reference: compare rows, or keep theirs to compare others with; choose one")
        if (self.drift or self.drift_reference) and self.ray is not None:
            option = "--drift" if self.drift else "--drift-reference"
            raise InputError(f"{option}: rows are compared on one machine, without --ray")
        if in_memory and self.fail_on_drift:
            raise InputError("--fail-on-drift: for files; a DataFrame is given back, with --drift")
