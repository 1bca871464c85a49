"""Options of a comparison: contestants, seeds and margin, and all that the contestants' jobs are to be given."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from halfbert.data import messages
from halfbert.options import values
from halfbert.options.crossvalidation import in_cross_validation
from halfbert.options.declaring import changed, option, table_name
from halfbert.options.training import (
    CHECKPOINT,
    CLASS_WEIGHTS,
    DEBUG,
    TASKS,
    LearningOptions,
    MachineOptions,
    MultilabelTrainingOptions,
    TableOptions,
    in_output,
    in_table,
    in_training,
)
from halfbert.system.errors import InputError

ONLY_FOR = {  # options that one task alone has
    "multiclass": ("class_weights",),
    "multilabel": ("label_columns", "label_separator", "true_values", "drop_constant_labels", "balance", "threshold"),
}
PASSED_ON = ("table", "training", "machine")  # groups of options that the contestants' jobs have as well
# Options of training that the teacher settles for the student.
TEACHER_SETTLES = ("class_weights", "label_columns", "drop_constant_labels", "balance", "threshold")

TIMINGS = ("quick", "full", "none")

in_comparison = partial(option, "comparison")


@dataclass(kw_only=True)
class CompareOptions(MultilabelTrainingOptions, TableOptions, LearningOptions, MachineOptions):
    """Options of comparing TF-IDF, static embeddings, DistilBERT, BERT and a distilled student on one table."""

    task: str = in_comparison("multiclass", "one label per text, or any number", choices=TASKS)
    contestants: dict[str, str | None] = in_comparison(
        dict.fromkeys(values.CONTESTANTS),
        "tfidf, static (the mean of the word embeddings), distilbert, bert; distilbert=NAME and bert=NAME take weights of "
        "their own (default: all four)",
        values.contestants,
    )
    distill: bool = in_comparison(False, "also a student: a distilbert taught by that bert")
    cascade: bool = in_comparison(
        False, "also a cascade: distilbert (with --distill the student) first, and bert for the rows that it is not sure of"
    )
    checkpoint: str | None = in_comparison(None, CHECKPOINT, values.source, metavar="NAME")
    seeds: int = in_comparison(1, "fits of each contestant", values.count)
    margin: float = in_comparison(0.02, "how much macro F1, from 0 to 1, the smaller model may lose", values.share)
    time_limit: float | None = in_comparison(
        None,
        "train on as many rows as are likely to be done in this time, judged by short timed runs",
        values.positive,
        metavar="MINUTES",
    )
    price_per_hour: float | None = in_comparison(
        None, "price of an hour of this machine, to report costs", values.positive, metavar="PRICE"
    )
    timing: str = in_comparison(
        "quick",
        "how speeds are measured, after all scores: in a minute, of each contestant by the engine that halfbert.load takes; "
        "by all engines; or not at all",
        choices=TIMINGS,
    )
    learning_curve: bool = in_comparison(
        False, "also fit on a quarter and a half of the rows, to see whether more rows would help"
    )
    label_column: str | None = in_table(
        None,
        "multiclass: column with the label of each text (default: label; queue in the embedded table); multilabel: one column "
        "that names them all",
    )
    class_weights: str | None = in_training(None, "multiclass: as train_multiclass.py has it", choices=CLASS_WEIGHTS)
    cv: int | str = in_cross_validation(
        "auto",
        "fit without each of K parts of the table, so that every row is a test row once; auto: 5 parts of a table of less than "
        "2,000 rows without --val, --test or --test-rows, else one split, as none has it",
        values.folds_or_word,
        metavar="{auto,none,K}",
    )
    group_column: str | None = in_cross_validation(
        None, "column whose equal values keep rows together, such as a customer, in folds and splits alike"
    )
    output: Path = in_output(None, "folder of verdict, report, tables and plots (default: results/compare/TABLE)", values.path)
    work: Path = in_output(
        None,
        "folder of the contestants' predictors and records, which later comparisons reuse (default: predictors/compare/TABLE)",
        values.path,
    )
    overwrite: bool = in_output(False, "replace an earlier report; finished parts are kept")
    debug: bool = in_output(False, DEBUG)

    def complete(self) -> None:
        for task, only in ONLY_FOR.items():
            unfit = [name for name in changed(self) if name in only]
            if task != self.task and unfit:
                raise InputError(f"--{unfit[0].replace('_', '-')} goes with --task {task}")
        if self.distill and "bert" not in self.contestants:
            raise InputError("--distill: the student is taught by bert; add it to --contestants")
        small = "distilbert" in self.contestants or self.distill
        if self.cascade and not (small and "bert" in self.contestants):
            raise InputError("--cascade: is made of distilbert, or the student, and bert; add them to --contestants")
        if len(self.contestants) + self.distill < 2:
            raise InputError("--contestants: give at least two")
        self._check_folds()
        name = table_name(self.train or messages.TRAIN)
        self.output = self.output or Path("results") / "compare" / name
        self.work = self.work or Path("predictors") / "compare" / name

    def _check_folds(self) -> None:
        """Raise InputError where the rows cannot be dealt out to folds as requested."""
        if self.group_column and self.distill:
            raise InputError("--group-column and --distill: give one of them; a student's split knows no groups")
        if not isinstance(self.cv, int):
            return
        if self.train is None:
            raise InputError(f"--cv {self.cv}: the embedded messages have test rows of their own; give a table as --train")
        apart = [name for name in ("val", "test", "test_rows", "distill") if getattr(self, name)]
        if apart:
            raise InputError(f"--cv {self.cv} and --{apart[0].replace('_', '-')}: give one of them")
