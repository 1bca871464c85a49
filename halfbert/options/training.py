"""Options of the jobs that train: table, learning, machine and output, shared by training and distillation."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from halfbert.data import messages
from halfbert.data.multilabel import ALL
from halfbert.data.text_folders import folder_with, has_parts
from halfbert.models.checkpoints import HUB_NAMES
from halfbert.models.long_texts import CUT, WAYS
from halfbert.models.weights import MODELS
from halfbert.options import values
from halfbert.options.crossvalidation import CrossValidationOptions
from halfbert.options.declaring import Options, option, table_name
from halfbert.options.resuming import FromOptions, ResumeOptions
from halfbert.options.sharing import SharingOptions
from halfbert.scoring import THRESHOLD_RULES
from halfbert.system.errors import InputError
from halfbert.system.tensorflow_setup import DEVICES, PRECISIONS

THRESHOLD_RULE = "expected-f1"
TASKS = ("multiclass", "multilabel")
HEADS = ("probed", "random")
CLASS_WEIGHTS = ("balanced",)
CHECKPOINT = (
    "pretrained weights: a hub name, a folder, mini, the packaged small pair, or mini-untaught, the pair before it was taught "
    "(default: "
    f"{' or '.join(HUB_NAMES[model] for model in MODELS)} from the hub; falls back to mini, with a notice, if the hub is "
    "unreachable)"
)
KEEP = "keep N of the checkpoint's layers, evenly spread (default: all)"
TEXT_COLUMN = "column with the texts; of several, with commas between, the cells are joined by the separator token"
HEADER_ROW = "row or line with the names of the columns, from 1, in workbooks, csv and tsv (default: the first not empty)"
DELIMITER = "what separates cells in csv: one character, or tab (default: comma, semicolon, tab or |, by the header)"
ENCODING = "encoding of text files (default: UTF-8, or as the BOM says)"
LABEL_COLUMN = "column with the label of each text (default: label; queue in the embedded table)"
DROP_MISSING = "leave out rows that lack a text or a label"
DEBUG = "show the traceback of a failure"

in_model, in_table, in_training = (partial(option, group) for group in ("model", "table", "training"))
in_machine, in_output = partial(option, "machine"), partial(option, "output")


@dataclass(kw_only=True)
class TableOptions(Options):
    """Which rows to train, validate and test on."""

    train: str | None = in_table(None, "training rows (default: the embedded customer messages)", values.source)
    val: str | None = in_table(None, "validation rows, which choose the epoch (default: 10% of --train)", values.source)
    test: str | None = in_table(None, "test rows, held out and never used for tuning (default: 10% of --train)", values.source)
    text_column: str = in_table("text", TEXT_COLUMN, values.columns)
    sheet: str | None = in_table(None, "sheet of the workbooks (default: the first)")
    header_row: int | None = in_table(None, HEADER_ROW, values.count)
    delimiter: str | None = in_table(None, DELIMITER, values.delimiter)
    encoding: str | None = in_table(None, ENCODING)
    drop_missing: bool = in_table(False, DROP_MISSING)
    keep_leaks: bool = in_table(False, "train also on texts that occur in the given test or validation file")
    rows: int | None = in_table(
        None, "for a quick try, train on a stratified sample of N rows (validation shrinks accordingly)", values.count
    )
    test_rows: int | None = in_table(None, "test on a stratified sample of N rows", values.count)


@dataclass(kw_only=True)
class LearningOptions(Options):
    """How to learn."""

    maxlen: int | None = in_training(
        None,
        "tokens after which a text is truncated (default: auto, the 99th percentile of the training texts, at most 512, with "
        "--long windows 256)",
        values.maxlen,
    )
    long: str | None = in_training(
        CUT,
        "longer texts: cut their end, keep head and tail (a quarter and three quarters of maxlen), or read all in windows of "
        "maxlen tokens, a quarter of them shared, whose answers are pooled",
        choices=WAYS,
    )
    epochs: int | None = in_training(
        None,
        "passes over the training rows (default: 3; for small checkpoints such as mini 5, of DistilBERT up to 15 for few rows)",
        values.count,
    )
    batch_size: int = in_training(16, "texts per training step", values.count)
    lr: float | None = in_training(
        None, "highest learning rate (default: 5e-5; 2e-4 for small checkpoints)", values.positive, metavar="RATE"
    )
    find_lr: bool = in_training(False, "run ktrain's learning-rate finder first and train with the rate that it suggests")
    weight_decay: float = in_training(0.0, "decoupled weight decay", values.non_negative, metavar="RATE")
    head: str | None = in_training(
        None,
        "begin with a head fitted on the frozen encoder, or with a random one (default: random; probed for small checkpoints)",
        choices=HEADS,
    )
    early_stopping: bool = in_training(False, "stop after an epoch that is no better than the best")


@dataclass(kw_only=True)
class MachineOptions(Options):
    """Where to compute, and how repeatably."""

    device: str = in_machine("auto", "where to compute", choices=DEVICES)
    precision: str = in_machine("float32", "number format of the computation", choices=PRECISIONS)
    xla: bool = in_machine(
        False, "compile training steps with XLA, anew for each length of a batch, of which there are then few"
    )
    threads: int | None = in_machine(None, "processor threads (default: all)", values.count)
    seed: int = in_machine(0, "seed of the weights and of the order of rows", values.seed)
    split_seed: int | None = in_machine(
        None, "seed of held-out and sampled rows, to keep these while --seed varies (default: the same as --seed)", values.seed
    )
    deterministic: bool = in_machine(False, "make runs on the same machine repeat bit by bit; somewhat slower")


@dataclass(kw_only=True)
class TrainOptions(ResumeOptions, TableOptions, LearningOptions, MachineOptions):
    """What every job that trains a predictor has; multiclass, multilabel and distillation add their own."""

    task: ClassVar[str]
    if TYPE_CHECKING:  # declared by each job, with a help of its own
        model: str | None
        checkpoint: str | None
        keep: int | None
        label_column: str | None
    # Jobs see paths: the defaults are filled in.
    no_tfidf: bool = in_training(False, "leave out TF-IDF with logistic regression, fitted on the same rows to compare with")
    output: Path = in_output(None, "folder of the predictor (default: predictors/MODEL-TABLE)", values.path)
    results: Path = in_output(
        None, "folder of the record, tables and plots (default: results/TASK/ and the predictor's name)", values.path
    )
    overwrite: bool = in_output(False, "replace an earlier predictor and its results")
    keep_epochs: bool = in_output(False, "keep each epoch's predictor, in the folder's epochs/")
    debug: bool = in_output(False, DEBUG)

    def complete_training(self, task: str) -> None:
        """Fill in the defaults that depend on others. Raises InputError where options contradict each other."""
        embedded = self.train is None
        if embedded and (self.test or self.val):
            raise InputError("--val and --test go with --train")
        if self.lr is not None and self.find_lr:
            raise InputError("--lr and --find-lr: give one of them")
        if self.train is None:
            self.train, self.test = str(messages.TRAIN), str(messages.TEST)
        if has_parts(Path(self.train)):
            self.val, self.test = (getattr(self, role) or folder_with(self.train, role) for role in ("val", "test"))
        self.output = self.output or Path("predictors") / f"{self.model}-{table_name(self.train)}"
        self.results = self.results or Path("results") / task / self.output.name
        self.split_seed = self.seed if self.split_seed is None else self.split_seed
        if task == "multilabel":
            self.complete_label_columns(embedded)
        else:
            self.label_column = self.label_column or (messages.LABEL if embedded else "label")

    def complete_label_columns(self, embedded: bool) -> None:
        """Fill in where the labels of a multi-label table are."""


@dataclass(kw_only=True)
class ModelOptions(FromOptions, CrossValidationOptions, SharingOptions, TrainOptions):
    """Which architecture to train, starting from which weights."""

    model: str | None = in_model(
        None, "architecture to fine-tune (default: that of --from)", choices=MODELS, required=True, unless="from_"
    )
    checkpoint: str | None = in_model(None, CHECKPOINT, values.source, metavar="NAME")
    keep: int | None = in_model(None, KEEP, values.count)

    def complete(self) -> None:
        if self.from_ is not None:
            if self.cv is not None:
                raise InputError("--cv and --from: give one of them; the predictor may have seen the rows of every fold")
            self.complete_from()
        self.model = self.model or "distilbert"
        self.complete_training(self.task)


@dataclass(kw_only=True)
class LabelColumnsOptions(Options):
    """Where the labels of a multi-label table are."""

    label_column: str | None = in_table(None, "one column that names the labels of each text instead")
    label_columns: list[str] | None = in_table(
        None,
        "columns of 0 and 1, one per label, a name with a comma in double quotes; ALL takes every column but the text "
        "and those of rows that predict.py chose to be labelled (default: ALL; the tags in the embedded table)",
        values.names,
    )
    label_separator: str | None = in_table(
        None,
        "what separates two names in --label-column, such as ; or | (lists, as jsonl can hold them, need none)",
        values.separator,
    )
    true_values: list[str] | None = in_table(
        None,
        "words that mean yes in columns of 0 and 1, beside 1, true and yes, such as x,✓,ja; blank and nein, -, … mean no",
        values.names,
    )

    def complete_label_columns(self, embedded: bool) -> None:
        """Fill in the default. Raises InputError where the labels are given in two forms."""
        if self.label_columns and self.label_column:
            raise InputError("--label-columns and --label-column: give one of them")
        if self.label_separator and self.label_column is None:
            raise InputError("--label-separator goes with --label-column")
        if self.true_values and self.label_column:
            raise InputError("--true-values goes with --label-columns")
        if self.label_columns is None and self.label_column is None:
            self.label_columns = list(messages.TAGS) if embedded else [ALL]


@dataclass(kw_only=True)
class MultilabelTrainingOptions(LabelColumnsOptions):
    """How the labels of a multi-label table are learnt and answered."""

    drop_constant_labels: bool = in_table(False, "leave out labels that no training row has, or every one")
    balance: bool = in_training(False, "weigh rows with and without a label equally in that label's loss")
    threshold: str = in_training(
        THRESHOLD_RULE,
        "how the probability above which a label is answered is chosen on validation: 0.5 for all, each label's best expected "
        "F1 (by probabilities calibrated on validation), its best F1, its best geometric mean of sensitivity and specificity, "
        "or one for all",
        choices=THRESHOLD_RULES,
    )


@dataclass(kw_only=True)
class MulticlassOptions(ModelOptions):
    """Options of training on a table of one label per text."""

    task: ClassVar[str] = "multiclass"
    label_column: str = in_table(None, LABEL_COLUMN)
    class_weights: str | None = in_training(
        None, "weigh each class by the inverse of its number of training rows", choices=CLASS_WEIGHTS
    )


@dataclass(kw_only=True)
class MultilabelOptions(MultilabelTrainingOptions, ModelOptions):
    """Options of training on a table of any number of labels per text."""

    task: ClassVar[str] = "multilabel"
