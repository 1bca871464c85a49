"""Options of distillation: a teacher, a student, the loss between them, and all of training."""

from collections.abc import Sequence
from dataclasses import MISSING, dataclass
from functools import partial
from pathlib import Path

from halfbert.data import messages
from halfbert.models.long_texts import WAYS
from halfbert.models.weights import MODELS
from halfbert.options import values
from halfbert.options.declaring import changed, option, table_name
from halfbert.options.training import (
    LABEL_COLUMN,
    THRESHOLD_RULE,
    LabelColumnsOptions,
    TrainOptions,
    in_machine,
    in_output,
    in_table,
    in_training,
)
from halfbert.system.errors import InputError

OBJECTIVES = ("task", "mlm", "embedding")
# Options that an objective does not read.
OF_TASK = (
    *(
        "unlabelled",
        "no_control",
        "save",
        "test",
        "rows",
        "test_rows",
        "keep_leaks",
        "label_columns",
        "label_separator",
        "true_values",
    ),
    *("save", "find_lr", "head", "early_stopping", "no_tfidf", "keep_epochs", "results", "xla", "long"),
)
OF_ANSWERS = ("weight_soft", "weight_supervised", "weight_cosine", "temperature")
OF_EMBEDDING = (
    *("texts", "probe", "trained_layers", "tokens", "batch_tokens", "weight_first", "weight_mean", "weight_similarity"),
)
UNREAD = {
    "task": OF_EMBEDDING,
    "mlm": (*OF_TASK, *OF_EMBEDDING, "model", "checkpoint", "label_column"),
    "embedding": (*OF_TASK, *OF_ANSWERS, "train", "val", "batch_size", "epochs", "split_seed"),
}
SENTENCE_RATE = 8e-4

in_teaching, in_loss = partial(option, "teacher and student"), partial(option, "loss", metavar="W")


@dataclass(kw_only=True)
class DistillOptions(LabelColumnsOptions, TrainOptions):
    """Options of teaching a student what a trained predictor knows."""

    teacher: str = in_teaching(
        MISSING,
        "a predictor that a training script saved; with --objective mlm or embedding a BERT checkpoint, as folder or hub name",
        values.source,
        metavar="FOLDER",
    )
    unlabelled: str | None = in_teaching(
        None, "more texts to learn the teacher's answers from; labels in it are not read", values.source
    )
    layers: list[int] | None = in_teaching(
        None,
        "layers of the teacher, from 0, from which its DistilBERT form, the student, is made (default: as --keep)",
        values.layers,
    )
    keep: int | None = in_teaching(None, "how many layers, evenly spread (default: half of them)", values.count)
    model: str | None = in_teaching(None, "another student, of this architecture (default: distilbert)", choices=MODELS)
    checkpoint: str | None = in_teaching(
        None, "its pretrained weights: a hub name, a folder, or mini", values.source, metavar="NAME"
    )
    objective: str = in_teaching(
        "task",
        "task: learn the teacher's task; for a new general checkpoint, mlm: masked language modelling on plain texts, or "
        "embedding: learn a sentence encoder's embeddings of plain texts",
        choices=OBJECTIVES,
    )
    texts: list[str] | None = in_teaching(
        None,
        "with embedding: plain texts, as files (txt with one text a line, or tables) or folders of them, with commas between",
        values.named_sources,
        metavar="FILE",
    )
    probe: str | None = in_teaching(
        None,
        "with embedding: a labelled table, on which a linear probe of the student is cross-validated as it learns (default: "
        "the embedded messages)",
        values.source,
    )
    trained_layers: int | None = in_teaching(
        None, "with embedding: train the student's last N layers only (default: all; 2 with --model bert)", values.count
    )
    tokens: int | None = in_teaching(
        None,
        "with embedding: tokens to learn from, in as many passes over the texts as that takes (default: one pass)",
        values.count,
    )
    batch_tokens: int = in_teaching(2048, "with embedding: tokens of a training step", values.count)
    no_control: bool = in_teaching(False, "leave out fitting the same student without the teacher")
    save: str = in_teaching(
        "student",
        "the predictor to save: the student; the control, which is the same student fitted without the teacher; or the better "
        "of them on validation",
        choices=("student", "control", "better"),
    )
    # The weights are those DistilBERT was published with: README of its training code (transformers,
    # examples/research_projects/distillation).
    weight_soft: float = in_loss(5.0, "weight of the divergence from the teacher's answers", values.non_negative)
    weight_supervised: float = in_loss(2.0, "weight of the loss on the labels", values.non_negative)
    weight_cosine: float = in_loss(
        1.0, "weight of the cosine loss between teacher's and student's final hidden states", values.non_negative
    )
    weight_first: float = in_loss(
        1.0,
        "with embedding: weight of the distance of the student's first token from the teacher's embedding",
        values.non_negative,
    )
    weight_mean: float = in_loss(
        0.0,
        "with embedding: weight of the distance of the student's own mean from the teacher's embedding",
        values.non_negative,
    )
    weight_similarity: float = in_loss(
        3.0, "with embedding: weight of the difference of the similarities of every two texts of a batch", values.non_negative
    )
    temperature: float = in_loss(2.0, "softmax temperature of both answers", values.positive, metavar="T")
    label_column: str | None = in_table(None, LABEL_COLUMN)
    label_columns: list[str] | None = in_table(
        None,
        "with a multi-label teacher: columns of 0 and 1, one per label, a name with a comma in double quotes (default: the "
        "teacher's labels)",
        values.names,
    )
    maxlen: int | None = in_training(None, "tokens after which a text is truncated (default: the teacher's)", values.maxlen)
    long: str | None = in_training(None, "what becomes of longer texts (default: as with the teacher)", choices=WAYS)
    split_seed: int | None = in_machine(None, "seed of held-out and sampled rows (default: the teacher's)", values.seed)
    output: Path = in_output(None, "folder of the student (default: predictors/student-TABLE)", values.path)
    threshold: str | None = None  # no option: the teacher's rule

    def complete(self) -> None:
        """Check what can be checked without the teacher; `complete_with_teacher` fills in the rest."""
        other = (
            self.checkpoint or self.model if self.objective != "embedding" else self.checkpoint or self.model == "bert" or None
        )
        if sum(value is not None for value in (self.layers, self.keep, other)) > 1:
            raise InputError("--layers, --keep and --model with --checkpoint: give one of them")
        if self.no_control and self.save != "student":
            raise InputError(f"--no-control and --save {self.save}: there is no control to save; leave one of them out")
        if not self.weight_soft and not self.weight_cosine:
            raise InputError("--weight-soft 0 and --weight-cosine 0: then the teacher teaches nothing")
        unread = [name for name in changed(self) if name in UNREAD[self.objective]]
        if unread:
            raise InputError(f"--{unread[0].replace('_', '-')} has no effect with --objective {self.objective}")
        if self.objective == "mlm":
            if self.train is None or self.output is None:
                raise InputError("--objective mlm: give the texts with --train, and the new checkpoint's folder with --output")
            self.split_seed = self.seed if self.split_seed is None else self.split_seed
        elif self.objective == "embedding":
            if self.texts is None or self.output is None:
                raise InputError(
                    "--objective embedding: give the texts with --texts, and the new checkpoint's folder with --output"
                )
            if not self.weight_first and not self.weight_mean and not self.weight_similarity:
                raise InputError("--weight-first 0 and --weight-similarity 0, without --weight-mean: then nothing is learnt")
            self.lr = self.lr or SENTENCE_RATE

    def complete_with_teacher(
        self, task: str, labels: Sequence[str], maxlen: int, long: str, split_seed: int, threshold_rule: str | None
    ) -> None:
        """Fill in the defaults that depend on the teacher. Raises InputError where options do not fit it."""
        self.output = self.output or Path("predictors") / f"student-{table_name(self.train or messages.TRAIN)}"
        self.split_seed = split_seed if self.split_seed is None else self.split_seed
        if task == "multiclass" and (self.label_columns or self.label_separator or self.true_values):
            raise InputError(
                "--label-columns, --label-separator and --true-values: the teacher answers one label per text; "
                "give --label-column"
            )
        if task == "multilabel" and self.train and not self.label_columns and not self.label_column:
            self.label_columns = list(labels)
        self.complete_training(task)
        self.maxlen, self.long = self.maxlen or maxlen, self.long or long
        self.threshold = threshold_rule or THRESHOLD_RULE
