"""What distill.py needs until it calls the command."""

from typing import Any

from halfbert.cli.command import VERBS
from halfbert.cli.parsing import Parser


def distill_parser() -> Parser:
    return VERBS["distill"].parser("distill.py")


def parse_distillation(parser: Parser, argv: list[str]) -> Any:
    return VERBS["distill"].parse(argv, "distill.py")


def complete_distillation(parser: Parser, options: Any, taught_by: Any) -> None:
    taught = taught_by.predictor.manifest
    options.complete_with_teacher(taught.task, taught.labels, taught.maxlen, taught_by.split_seed, taught_by.threshold_rule)
