"""The parsers of the scripts at the root, until these call the command."""

from halfbert.cli.command import VERBS
from halfbert.cli.parsing import Parser, parse
from halfbert.options import BenchmarkOptions, CompareOptions, DistillOptions, MulticlassOptions, MultilabelOptions
from halfbert.options.benchmark import LENGTHS, SCENARIOS  # noqa: F401
from halfbert.options.declaring import table_name  # noqa: F401
from halfbert.options.training import (  # noqa: F401
    TASKS,
    THRESHOLD_RULE,
    THRESHOLD_RULES,
)


def multiclass_parser():
    return VERBS["train-multiclass"].parser("train_multiclass.py")


def multilabel_parser():
    return VERBS["train-multilabel"].parser("train_multilabel.py")


def compare_parser():
    return VERBS["compare"].parser("compare.py")


def benchmark_parser():
    return VERBS["benchmark"].parser("benchmark.py")


def distill_parser():
    return VERBS["distill"].parser("distill.py")


def parse_training(parser: Parser, argv, task: str):
    return parse(parser, {"multiclass": MulticlassOptions, "multilabel": MultilabelOptions}[task], argv)


def parse_distillation(parser: Parser, argv):
    return parse(parser, DistillOptions, argv)


def complete_distillation(parser: Parser, options, taught_by) -> None:
    predictor = taught_by.predictor.manifest
    options.complete_with_teacher(
        predictor.task, predictor.labels, predictor.maxlen, taught_by.split_seed, predictor.threshold_rule
    )


def parse_benchmark(parser: Parser, argv):
    return parse(parser, BenchmarkOptions, argv)


def parse_compare(parser: Parser, argv):
    return parse(parser, CompareOptions, argv)
