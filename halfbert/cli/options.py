"""Every command-line option, declared once, and the parsers built from the declarations."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from halfbert.data import messages
from halfbert.data.multilabel import ALL
from halfbert.models.checkpoints import HUB_NAMES, MODELS
from halfbert.predictor import engines
from halfbert.system.console import Parser
from halfbert.system.machine import available_cpus
from halfbert.system.tensorflow_setup import DEVICES, PRECISIONS

THRESHOLD_RULES = ("0.5", "expected-f1", "f1", "gmean", "global-f1")
THRESHOLD_RULE = "expected-f1"
LARGEST_MAXLEN = 512
HEADS = ("probed", "random")
OBJECTIVES = ("task", "mlm")
NOT_WITH_MLM = ("unlabelled", "model", "checkpoint", "no_control", "test", "rows", "test_rows", "keep_leaks", "label_column")
NOT_WITH_MLM += ("label_columns", "label_separator", "find_lr", "head", "early_stopping", "keep_epochs", "results")
LOSS_PARTS = {
    "soft": "the divergence from the teacher's answers",
    "supervised": "the loss on the labels",
    "cosine": "the turn between teacher's and student's last states",
}
# Those DistilBERT was published with: README of its training code (transformers, examples/research_projects/distillation).
DISTILBERT_WEIGHTS = {"soft": 5.0, "supervised": 2.0, "cosine": 1.0}
SCENARIOS = ("single", "offline", "cold", "paper")
LENGTHS = ("natural", "fixed")
TASKS = ("multiclass", "multilabel")
CONTESTANTS = ("tfidf", "distilbert", "bert")  # from the smallest to the largest
ONLY_FOR = {  # options of compare.py that one task alone has
    "multiclass": ("class_weights",),
    "multilabel": ("label_columns", "label_separator", "drop_constant_labels", "balance", "threshold"),
}
TEACHER_SETTLES = ("class_weights", "label_columns", "drop_constant_labels", "balance", "threshold")  # for the student


def multiclass_parser() -> argparse.ArgumentParser:
    """The parser of train_multiclass.py."""
    parser = Parser(
        "train_multiclass.py",
        description="Fine-tune BERT or DistilBERT on a table of texts with one label each; save a ktrain predictor.",
        epilog="Without --train it trains on the embedded customer messages.",
    )
    add_model_options(parser)
    add_table_options(parser)
    parser.tables.add_argument(
        "--label-column",
        metavar="NAME",
        help="column with the label of each text (default: label; queue in the embedded table)",
    )
    add_training_options(parser)
    parser.training.add_argument(
        "--class-weights", choices=("balanced",), help="weigh each class by the inverse of its number of training rows"
    )
    add_machine_options(parser)
    add_output_options(parser)
    return parser


def multilabel_parser() -> argparse.ArgumentParser:
    """The parser of train_multilabel.py."""
    parser = Parser(
        "train_multilabel.py",
        description="Fine-tune BERT or DistilBERT on a table of texts with any number of labels each; save a ktrain predictor.",
        epilog="Without --train it trains on the tags of the embedded customer messages.",
    )
    add_model_options(parser)
    add_table_options(parser)
    parser.tables.add_argument("--label-column", metavar="NAME", help="one column that names the labels of each text instead")
    add_training_options(parser)
    add_multilabel_options(parser)
    add_machine_options(parser)
    add_output_options(parser)
    return parser


def compare_parser() -> argparse.ArgumentParser:
    """The parser of compare.py."""
    parser = Parser(
        "compare.py",
        description="Which one to ship: fit TF-IDF, DistilBERT and BERT on the same rows, test them on the same rows, time "
        "them, and give a verdict.",
        epilog="Without --train it compares on the embedded customer messages. What was finished before, with the same "
        "options, data and code, is not run again.",
    )
    what = parser.add_argument_group("comparison")
    what.add_argument("--task", choices=TASKS, default="multiclass", help="default: %(default)s")
    what.add_argument(
        "--contestants",
        metavar="A,B,C",
        type=contestants,
        default=dict.fromkeys(CONTESTANTS),
        help="tfidf, distilbert, bert; distilbert=NAME and bert=NAME take weights of their own (default: all three)",
    )
    what.add_argument("--distill", action="store_true", help="a student as well: distilbert, taught by that bert")
    add_checkpoint_option(what)
    what.add_argument("--seeds", metavar="N", type=positive_integer, default=1, help="fits of each (default: %(default)s)")
    what.add_argument(
        "--margin",
        metavar="SHARE",
        type=non_negative_number,
        default=0.02,
        help="how much macro F1, from 0 to 1, the smaller one may lose (default: %(default)s)",
    )
    what.add_argument(
        "--time-limit",
        metavar="MINUTES",
        type=positive_number,
        help="train on as many rows as are likely to be done in so many minutes, after short timed runs",
    )
    what.add_argument("--price-per-hour", metavar="PRICE", type=positive_number, help="of this machine, for costs")
    what.add_argument(
        "--learning-curve", action="store_true", help="also fit on a quarter and a half of the rows: would more rows help more?"
    )
    add_table_options(parser)
    parser.tables.add_argument(
        "--label-column",
        metavar="NAME",
        help="multiclass: column with the label of each text (default: label; queue in the embedded table); multilabel: one "
        "column that names them all",
    )
    add_training_options(parser)
    parser.training.add_argument("--class-weights", choices=("balanced",), help="multiclass: as train_multiclass.py has it")
    add_multilabel_options(parser)
    add_machine_options(parser)
    output = parser.add_argument_group("output")
    output.add_argument(
        "--output", metavar="FOLDER", type=Path, help="verdict, report, tables and plots (default: results/compare/TABLE)"
    )
    output.add_argument(
        "--work",
        metavar="FOLDER",
        type=Path,
        help="the contestants' predictors and records, which later comparisons take over (default: predictors/compare/TABLE)",
    )
    output.add_argument("--overwrite", action="store_true", help="replace an earlier report; finished parts are kept")
    output.add_argument("--debug", action="store_true", help="show the traceback of a failure")
    return parser


def benchmark_parser() -> argparse.ArgumentParser:
    """The parser of benchmark.py."""
    parser = Parser(
        "benchmark.py",
        description="Time predictors engine by engine: one text, many texts, cold start, memory, size; and pairs against each "
        "other.",
        epilog="A whole run takes hours, as ten repeats in fresh processes do; it says at once how long about. Fewer engines, "
        "scenarios, lengths or batches are done sooner; --quick takes a look.",
    )
    what = parser.add_argument_group("what to time")
    what.add_argument("predictors", nargs="*", metavar="FOLDER", type=Path, help="predictors that a training script saved")
    what.add_argument(
        "--base",
        action="store_true",
        help="also BERT-base and DistilBERT-base, from their configurations with random weights: speed alone, no scores",
    )
    what.add_argument(
        "--engines",
        metavar="A,B,C",
        type=names,
        default=["ktrain", "keras", "onnx", "onnx-int8"],
        help="ktrain, keras, onnx, onnx-int8, torch (default: all but torch)",
    )
    what.add_argument("--devices", metavar="A,B", type=devices, default=["cpu"], help="cpu, gpu or both (default: cpu)")
    what.add_argument(
        "--threads",
        metavar="N,M",
        type=thread_counts,
        help="processor threads of every engine, all being those of the machine (default: 1,all; all with --quick)",
    )
    what.add_argument(
        "--scenarios",
        metavar="A,B,C",
        type=scenarios,
        default=list(SCENARIOS),
        help="single: one text at a time; offline: batches; cold: from the start of a process; paper: one pass over the texts, "
        "one at a time, on the CPU (default: all four)",
    )
    what.add_argument(
        "--lengths",
        metavar="A,B",
        type=lengths,
        default=list(LENGTHS),
        help="natural: texts as they are; fixed: 128 tokens each (default: both)",
    )
    what.add_argument(
        "--batches",
        metavar="N,M",
        type=batches,
        help="texts a call, where many are answered (default: 8,32,128; 8,32 with --quick)",
    )
    table = parser.add_argument_group("texts", "xlsx, csv, tsv, parquet, jsonl, or hf:NAME[:CONFIG] for a data set of the hub")
    table.add_argument("--texts", metavar="FILE", help="texts to answer (default: the embedded messages)")
    table.add_argument("--text-column", metavar="NAME", default="text", help="column with the texts (default: %(default)s)")
    table.add_argument(
        "--label-column",
        metavar="NAME",
        help="column with one true label each, for every engine's accuracy on these texts (default: none; queue in the "
        "embedded table)",
    )
    table.add_argument("--sheet", metavar="NAME", help="sheet of the workbook (default: the first)")
    table.add_argument("--encoding", metavar="NAME", help="encoding of csv, tsv and jsonl (default: UTF-8, or as its BOM says)")
    table.add_argument("--drop-missing", action="store_true", help="go on without the rows that lack a text or a label")
    table.add_argument(
        "--rows", metavar="N", type=positive_integer, help="texts drawn from the table (default: 256; 32 with --quick)"
    )
    how = parser.add_argument_group("how to time")
    how.add_argument("--repeats", metavar="N", type=positive_integer, help="fresh processes (default: 10; 2 with --quick)")
    how.add_argument(
        "--seconds",
        metavar="S",
        type=positive_number,
        help="least seconds a repeat of each case (default: 5; 0.5 with --quick)",
    )
    how.add_argument("--quick", action="store_true", help="a fast look, marked as one: too little to quote figures from")
    how.add_argument(
        "--prepare", action="store_true", help="make the engines' files, prove on the texts that they answer alike, and stop"
    )
    how.add_argument("--allow-disagreement", action="store_true", help="time also what answers otherwise than keras")
    output = parser.add_argument_group("output")
    output.add_argument(
        "--output",
        metavar="NAME",
        type=Path,
        help="NAME.json for the record, the folder NAME for tables and plots (default: results/benchmark/TABLE)",
    )
    output.add_argument("--overwrite", action="store_true", help="replace an earlier benchmark")
    output.add_argument("--debug", action="store_true", help="show the traceback of a failure")
    return parser


def add_model_options(parser: Parser) -> None:
    """Which architecture, and from which weights."""
    group = parser.add_argument_group("model")
    group.add_argument("--model", required=True, choices=MODELS, help="architecture to fine-tune")
    add_checkpoint_option(group)


def add_checkpoint_option(group) -> None:
    """Where the pretrained weights come from."""
    group.add_argument(
        "--checkpoint",
        metavar="NAME",
        help="pretrained weights: a hub name, a folder, or mini, the packaged small pair (default: "
        + " or ".join(HUB_NAMES[model] for model in MODELS)
        + " from the hub; mini, and said, where the hub is out of reach)",
    )


def add_multilabel_options(parser: Parser) -> None:
    """Which columns of a table are labels, where a text has any number of them, and how they are learnt and answered."""
    parser.tables.add_argument(
        "--label-columns",
        metavar="A,B,C",
        type=names,
        help="columns of 0 and 1, one a label; ALL takes every column that is not the text (default: ALL; the tags in the "
        "embedded table)",
    )
    parser.tables.add_argument(
        "--label-separator",
        metavar="TEXT",
        help="what stands between two names in --label-column, such as ; or | (lists, as jsonl can hold them, need none)",
    )
    parser.tables.add_argument(
        "--drop-constant-labels", action="store_true", help="go on without the labels that no training row has, or every one"
    )
    parser.training.add_argument(
        "--balance", action="store_true", help="weigh in each label's loss the rows that have it as much as those that lack it"
    )
    parser.training.add_argument(
        "--threshold",
        choices=THRESHOLD_RULES,
        default=THRESHOLD_RULE,
        help="how the probability from which a label is answered is chosen on validation: 0.5 for all, each label's best "
        "expected F1 (by probabilities calibrated on validation), its best F1, its best geometric mean of sensitivity and "
        "specificity, or one for all (default: %(default)s)",
    )


def distill_parser() -> argparse.ArgumentParser:
    """The parser of distill.py."""
    parser = Parser(
        "distill.py",
        description="Teach a smaller model what a trained predictor knows, on labelled and unlabelled texts.",
        epilog="Without --train it teaches on the embedded customer messages.",
    )
    group = parser.add_argument_group("teacher and student")
    group.add_argument(
        "--teacher",
        metavar="FOLDER",
        required=True,
        help="a predictor that a training script saved; with --objective mlm a BERT checkpoint, by folder or hub name",
    )
    group.add_argument(
        "--unlabelled", metavar="FILE", help="more texts to learn the teacher's answers from; labels in it are not read"
    )
    group.add_argument(
        "--layers",
        metavar="A,B,C",
        type=layer_numbers,
        help="layers of the teacher, from 0, that its DistilBERT form, the student, is made of (default: as --keep)",
    )
    group.add_argument("--keep", metavar="N", type=positive_integer, help="how many, evenly spread (default: half of them)")
    group.add_argument("--model", choices=MODELS, help="another student, of this architecture (default: distilbert)")
    group.add_argument("--checkpoint", metavar="NAME", help="its pretrained weights: a hub name, a folder, or mini")
    group.add_argument(
        "--objective",
        choices=OBJECTIVES,
        default="task",
        help="task: learn the teacher's task; mlm: masked language modelling on plain texts, for a new general checkpoint "
        "(default: %(default)s)",
    )
    group.add_argument("--no-control", action="store_true", help="leave out the same student's fit without the teacher")
    group = parser.add_argument_group("loss")
    for name, what in LOSS_PARTS.items():
        group.add_argument(
            f"--weight-{name}",
            metavar="W",
            type=non_negative_number,
            default=DISTILBERT_WEIGHTS[name],
            help=f"of {what} (default: %(default)s)",
        )
    group.add_argument(
        "--temperature", metavar="T", type=positive_number, default=2.0, help="of both answers (default: %(default)s)"
    )
    add_table_options(parser)
    parser.tables.add_argument(
        "--label-column",
        metavar="NAME",
        help="column with the label of each text (default: label; queue in the embedded table)",
    )
    parser.tables.add_argument(
        "--label-columns",
        metavar="A,B,C",
        type=names,
        help="with a teacher of any number of labels: columns of 0 and 1, one a label (default: the teacher's labels)",
    )
    parser.tables.add_argument("--label-separator", metavar="TEXT", help="what stands between two names in --label-column")
    add_training_options(parser, maxlen_default="the teacher's")
    add_machine_options(parser)
    add_output_options(parser)
    return parser


def add_table_options(parser: Parser) -> None:
    """Which rows to train, validate and test on."""
    parser.tables = group = parser.add_argument_group(
        "table", "xlsx, csv, tsv, parquet, jsonl, or hf:NAME[:CONFIG] for a data set of the hub"
    )
    group.add_argument("--train", metavar="FILE", help="training rows (default: the embedded messages)")
    group.add_argument("--val", metavar="FILE", help="validation rows, which choose the epoch (default: 10%% of --train)")
    group.add_argument("--test", metavar="FILE", help="test rows, which choose nothing (default: 10%% of --train)")
    group.add_argument("--text-column", metavar="NAME", default="text", help="column with the texts (default: %(default)s)")
    group.add_argument("--sheet", metavar="NAME", help="sheet of the workbooks (default: the first)")
    group.add_argument("--encoding", metavar="NAME", help="encoding of csv, tsv and jsonl (default: UTF-8, or as its BOM says)")
    group.add_argument("--drop-missing", action="store_true", help="go on without the rows that lack a text or a label")
    group.add_argument(
        "--keep-leaks", action="store_true", help="train also on texts that stand in the given test or validation file"
    )
    group.add_argument(
        "--rows",
        metavar="N",
        type=positive_integer,
        help="a quick try: train on a stratified sample of N rows (validation shrinks along, the test rows stay)",
    )
    group.add_argument("--test-rows", metavar="N", type=positive_integer, help="test on a stratified sample of N rows")


def add_training_options(
    parser: Parser, maxlen_default: str = "auto, the 99th percentile of the training texts, at most 512"
) -> None:
    """How to learn."""
    parser.training = group = parser.add_argument_group("training")
    group.add_argument(
        "--maxlen",
        metavar="N",
        type=maxlen,
        help=f"tokens at which a text is cut (default: {maxlen_default})",
    )
    group.add_argument(
        "--epochs",
        metavar="N",
        type=positive_integer,
        help="default: 3; 5 for small checkpoints such as mini",
    )
    group.add_argument("--batch-size", metavar="N", type=positive_integer, default=16, help="default: %(default)s")
    group.add_argument(
        "--lr",
        metavar="RATE",
        type=positive_number,
        help="highest learning rate (default: 5e-5; 2e-4 for small checkpoints)",
    )
    group.add_argument(
        "--find-lr", action="store_true", help="run ktrain's learning-rate finder first and train with what it suggests"
    )
    group.add_argument(
        "--weight-decay", metavar="RATE", type=non_negative_number, default=0.0, help="decoupled (default: %(default)s)"
    )
    group.add_argument(
        "--head",
        choices=HEADS,
        help="begin with a head fitted on the frozen encoder, or with a random one (default: random; probed for small "
        "checkpoints)",
    )
    group.add_argument("--early-stopping", action="store_true", help="stop after an epoch that is no better than the best")


def add_machine_options(parser: Parser) -> None:
    """On what to compute, and how repeatably."""
    group = parser.add_argument_group("machine")
    group.add_argument("--device", choices=DEVICES, default="auto", help="default: %(default)s")
    group.add_argument("--precision", choices=PRECISIONS, default="float32", help="default: %(default)s")
    group.add_argument("--threads", metavar="N", type=positive_integer, help="processor threads (default: all)")
    group.add_argument("--seed", metavar="N", type=non_negative_integer, default=0, help="default: %(default)s")
    group.add_argument(
        "--split-seed",
        metavar="N",
        type=non_negative_integer,
        help="seed of what is held out and sampled, where it is to stay while --seed varies (default: as --seed)",
    )
    group.add_argument("--deterministic", action="store_true", help="repeat to the bit on the same machine; somewhat slower")


def add_output_options(parser: Parser) -> None:
    """Where to put what the run makes."""
    group = parser.add_argument_group("output")
    group.add_argument("--output", metavar="FOLDER", type=Path, help="the predictor (default: predictors/MODEL-TABLE)")
    group.add_argument(
        "--results",
        metavar="FOLDER",
        type=Path,
        help="record, tables and plots (default: results/TASK/ and the predictor's name)",
    )
    group.add_argument("--overwrite", action="store_true", help="replace an earlier predictor and its results")
    group.add_argument("--keep-epochs", action="store_true", help="keep each epoch's predictor, in the folder's epochs/")
    group.add_argument("--debug", action="store_true", help="show the traceback of a failure")


def parse_training(parser: argparse.ArgumentParser, argv: list[str], task: str) -> argparse.Namespace:
    """Parse a training script's arguments and fill in the defaults that depend on others."""
    return _complete_training(parser, parser.parse_args(argv), task)


def _complete_training(parser: argparse.ArgumentParser, options: argparse.Namespace, task: str) -> argparse.Namespace:
    embedded = options.train is None
    if embedded and (options.test or options.val):
        parser.error("--val and --test go with --train")
    if options.lr is not None and options.find_lr:
        parser.error("--lr and --find-lr: give one of them")
    if embedded:
        options.train, options.test = str(messages.TRAIN), str(messages.TEST)
    if options.output is None:
        options.output = Path("predictors") / f"{options.model}-{table_name(options.train)}"
    if options.results is None:
        options.results = Path("results") / task / options.output.name
    if options.split_seed is None:
        options.split_seed = options.seed
    if task == "multilabel":
        _complete_label_columns(parser, options, embedded)
    elif options.label_column is None:
        options.label_column = messages.LABEL if embedded else "label"
    return options


def parse_distillation(parser: argparse.ArgumentParser, argv: list[str]) -> argparse.Namespace:
    """Parse distill.py's arguments; what hangs on the teacher is filled in by `complete_distillation`."""
    options = parser.parse_args(argv)
    if sum(value is not None for value in (options.layers, options.keep, options.model or options.checkpoint)) > 1:
        parser.error("--layers, --keep and --model with --checkpoint: give one of them")
    if not options.weight_soft and not options.weight_cosine:
        parser.error("--weight-soft 0 and --weight-cosine 0: then the teacher teaches nothing")
    if options.objective == "mlm":
        for name in NOT_WITH_MLM:
            if getattr(options, name) != parser.get_default(name):
                parser.error(f"--{name.replace('_', '-')}: is of no use with --objective mlm")
        if options.train is None or options.output is None:
            parser.error("--objective mlm: give the texts with --train, and the new checkpoint's folder with --output")
        options.split_seed = options.seed if options.split_seed is None else options.split_seed
    return options


def complete_distillation(parser: argparse.ArgumentParser, options: argparse.Namespace, taught_by) -> None:
    """Fill in the defaults that depend on others and on the `teacher.Teacher`: labels, maxlen, rule of thresholds, split."""
    taught = taught_by.predictor.manifest
    if options.output is None:
        options.output = Path("predictors") / f"student-{table_name(options.train or str(messages.TRAIN))}"
    if options.split_seed is None:
        options.split_seed = taught_by.split_seed
    if taught.task == "multiclass" and (options.label_columns or options.label_separator):
        parser.error("--label-columns and --label-separator: the teacher answers one label a text; give --label-column")
    if taught.task == "multilabel" and options.train and not options.label_columns and not options.label_column:
        options.label_columns = list(taught.labels)
    _complete_training(parser, options, taught.task)
    options.maxlen = options.maxlen or taught.maxlen
    options.threshold = taught_by.threshold_rule or THRESHOLD_RULE


def _complete_label_columns(parser: argparse.ArgumentParser, options: argparse.Namespace, embedded: bool) -> None:
    if options.label_columns and options.label_column:
        parser.error("--label-columns and --label-column: give one of them")
    if options.label_separator == "" or (options.label_separator and options.label_column is None):
        parser.error("--label-separator: goes with --label-column, and is at least one character")
    if options.label_columns is None and options.label_column is None:
        options.label_columns = messages.TAGS if embedded else [ALL]


def parse_benchmark(parser: argparse.ArgumentParser, argv: list[str]) -> argparse.Namespace:
    """Parse benchmark.py's arguments and fill in the defaults that depend on others."""
    options = parser.parse_args(argv)
    embedded = options.texts is None
    if not options.predictors and not options.base:
        parser.error("give at least one predictor's folder, or --base")
    if options.base and options.prepare:
        parser.error("--prepare and --base: what --base makes is gone after the run; give one of them")
    if options.label_column is not None and embedded:
        parser.error("--label-column goes with --texts")
    for engine in options.engines:
        engines.find(engine)
    quick = options.quick
    options.repeats = options.repeats or (2 if quick else 10)
    options.seconds = options.seconds or (0.5 if quick else 5.0)
    options.rows = options.rows or (32 if quick else 256)
    options.batches = options.batches or ([8, 32] if quick else [8, 32, 128])
    options.threads = options.threads or list(dict.fromkeys([available_cpus()] if quick else [1, available_cpus()]))
    if embedded:
        options.texts, options.label_column = str(messages.TEST), messages.LABEL
    if options.output is None:
        name = table_name(options.texts).removesuffix("_test").removesuffix("-test") + ("-quick" if quick else "")
        options.output = Path("results") / "benchmark" / name
    return options


def parse_compare(parser: argparse.ArgumentParser, argv: list[str]) -> argparse.Namespace:
    """Parse compare.py's arguments and fill in the defaults that depend on others.

    `training` is then what a training script of the task is told of rows, learning and machine, as arguments, and `teaching`
    what distill.py is told.
    """
    options = parser.parse_args(argv)
    for task, only in ONLY_FOR.items():
        for name in only:
            if task != options.task and getattr(options, name) != parser.get_default(name):
                parser.error(f"--{name.replace('_', '-')} goes with --task {task}")
    if options.distill and "bert" not in options.contestants:
        parser.error("--distill: the student is taught by bert; take it into --contestants")
    if len(options.contestants) + options.distill < 2:
        parser.error("--contestants: give two at least")
    name = table_name(options.train or str(messages.TRAIN))
    options.output = options.output or Path("results") / "compare" / name
    options.work = options.work or Path("predictors") / "compare" / name
    options.training = _given(parser, options, ("table", "training", "machine"))
    options.teaching = _given(parser, options, ("table", "training", "machine"), but=TEACHER_SETTLES)
    return options


def _given(
    parser: argparse.ArgumentParser, options: argparse.Namespace, groups: Sequence[str], but: Sequence[str] = ()
) -> list[str]:
    """The options of these groups that differ from their defaults, but for those named, as arguments again."""
    arguments = []
    for action in (action for group in parser._action_groups if group.title in groups for action in group._group_actions):
        value = getattr(options, action.dest)
        if value != action.default and action.dest not in but:
            value = ",".join(value) if isinstance(value, list) else value
            arguments.append(action.option_strings[0] if value is True else f"{action.option_strings[0]}={value}")
    return arguments


def table_name(source: str) -> str:
    """A short name for a table: its file's or data set's name without suffix and without `_train`."""
    name = Path(source.removeprefix("hf:").split(":")[0]).name.split(".")[0]
    return name.removesuffix("_train").removesuffix("-train") or "table"


def names(value: str) -> list[str]:
    """Names with commas between them."""
    found = [name.strip() for name in value.split(",")]
    if not all(found):
        raise argparse.ArgumentTypeError(f"{value!r} is not a list of names with commas between them")
    return found


def contestants(value: str) -> dict[str, str | None]:
    """Names of contestants with commas between them, from the smallest on; each with the checkpoint after "=" or None."""
    given = dict(word.partition("=")[::2] for word in names(value))
    unfit = set(given) - set(CONTESTANTS) or given.get("tfidf") or len(given) < len(names(value))
    if unfit:
        raise argparse.ArgumentTypeError(f"{value!r} is not a list of {', '.join(CONTESTANTS)}, each at most once")
    return {name: given[name] or None for name in CONTESTANTS if name in given}


def layer_numbers(value: str) -> list[int]:
    """Numbers of layers, from 0, with commas between them."""
    return [non_negative_integer(number) for number in names(value)]


def devices(value: str) -> list[str]:
    """Names of devices to time on, with commas between them."""
    return _names_of(value, ("cpu", "gpu"))


def scenarios(value: str) -> list[str]:
    """Names of scenarios, with commas between them."""
    return _names_of(value, SCENARIOS)


def lengths(value: str) -> list[str]:
    """Names of lengths, with commas between them."""
    return _names_of(value, LENGTHS)


def batches(value: str) -> list[int]:
    """Numbers of texts a call, with commas between them, from the smallest on."""
    return sorted({positive_integer(name) for name in names(value)})


def _names_of(value: str, known: Sequence[str]) -> list[str]:
    found = names(value)
    unknown = [name for name in found if name not in known]
    if unknown or len(set(found)) < len(found):
        raise argparse.ArgumentTypeError(f"{value!r} is not a list of {', '.join(known)}, each at most once")
    return found


def thread_counts(value: str) -> list[int]:
    """Numbers of threads with commas between them; "all" is the number of processors."""
    counts = [available_cpus() if name == "all" else positive_integer(name) for name in names(value)]
    return list(dict.fromkeys(counts))


def positive_integer(value: str) -> int:
    """An integer of at least 1."""
    return _number(value, int, lambda number: number >= 1, "an integer of at least 1")


def non_negative_integer(value: str) -> int:
    """An integer of at least 0 that fits in 32 bits, as seeds must."""
    return _number(value, int, lambda number: 0 <= number < 2**32, "an integer from 0 to 4294967295")


def positive_number(value: str) -> float:
    """A number above 0."""
    return _number(value, float, lambda number: 0 < number < float("inf"), "a number above 0")


def non_negative_number(value: str) -> float:
    """A number of at least 0."""
    return _number(value, float, lambda number: 0 <= number < float("inf"), "a number of at least 0")


def maxlen(value: str) -> int | None:
    """A number of tokens from 3 (special tokens and a word) to 512, or None for "auto"."""
    if value == "auto":
        return None
    return _number(value, int, lambda number: 3 <= number <= LARGEST_MAXLEN, f"auto, or an integer from 3 to {LARGEST_MAXLEN}")


def _number(value: str, kind: type, fits, expected: str):
    try:
        number = kind(value)
    except ValueError:
        number = None
    if number is None or not fits(number):
        raise argparse.ArgumentTypeError(f"{value!r} is not {expected}")
    return number
