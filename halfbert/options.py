"""Every command-line option, declared once, and the parsers built from the declarations."""

import argparse
from pathlib import Path

from halfbert.checkpoints import HUB_NAMES, MODELS
from halfbert.console import Parser
from halfbert.environment import DEVICES, PRECISIONS

EMBEDDED_TRAIN = Path(__file__).resolve().parent.parent / "data" / "messages_train.xlsx"
EMBEDDED_TEST = EMBEDDED_TRAIN.with_name("messages_test.xlsx")
EMBEDDED_LABEL = "queue"
LARGEST_MAXLEN = 512


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


def add_model_options(parser: Parser) -> None:
    """Which architecture, and from which weights."""
    group = parser.add_argument_group("model")
    group.add_argument("--model", required=True, choices=MODELS, help="architecture to fine-tune")
    group.add_argument(
        "--checkpoint",
        metavar="NAME",
        help="pretrained weights: a hub name, a folder, or mini, the packaged small pair (default: "
        + " or ".join(HUB_NAMES[model] for model in MODELS)
        + " from the hub; mini, and said, where the hub is out of reach)",
    )


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


def add_training_options(parser: Parser) -> None:
    """How to learn."""
    parser.training = group = parser.add_argument_group("training")
    group.add_argument(
        "--maxlen",
        metavar="N",
        type=maxlen,
        help="tokens at which a text is cut (default: auto, the 99th percentile of the training texts, at most 512)",
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
        help="highest learning rate (default: 5e-5; 3e-4 for small checkpoints)",
    )
    group.add_argument(
        "--find-lr", action="store_true", help="run ktrain's learning-rate finder first and train with what it suggests"
    )
    group.add_argument(
        "--weight-decay", metavar="RATE", type=non_negative_number, default=0.0, help="decoupled (default: %(default)s)"
    )
    group.add_argument("--early-stopping", action="store_true", help="stop after an epoch that is no better than the best")


def add_machine_options(parser: Parser) -> None:
    """On what to compute, and how repeatably."""
    group = parser.add_argument_group("machine")
    group.add_argument("--device", choices=DEVICES, default="auto", help="default: %(default)s")
    group.add_argument("--precision", choices=PRECISIONS, default="float32", help="default: %(default)s")
    group.add_argument("--threads", metavar="N", type=positive_integer, help="processor threads (default: all)")
    group.add_argument("--seed", metavar="N", type=non_negative_integer, default=0, help="default: %(default)s")
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
    options = parser.parse_args(argv)
    embedded = options.train is None
    if embedded and (options.test or options.val):
        parser.error("--val and --test go with --train")
    if options.lr is not None and options.find_lr:
        parser.error("--lr and --find-lr: give one of them")
    if embedded:
        options.train, options.test = str(EMBEDDED_TRAIN), str(EMBEDDED_TEST)
    if options.output is None:
        options.output = Path("predictors") / f"{options.model}-{table_name(options.train)}"
    if options.results is None:
        options.results = Path("results") / task / options.output.name
    if options.label_column is None:
        options.label_column = EMBEDDED_LABEL if embedded else "label"
    return options


def table_name(source: str) -> str:
    """A short name for a table: its file's or data set's name without suffix and without `_train`."""
    name = Path(source.removeprefix("hf:").split(":")[0]).name.split(".")[0]
    return name.removesuffix("_train").removesuffix("-train") or "table"


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
