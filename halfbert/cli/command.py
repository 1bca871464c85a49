"""The command: `halfbert VERB …`, which is `python -m halfbert VERB …` and what the scripts at the root call."""

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass

from halfbert.cli.parsing import Parser, parse, parser_of
from halfbert.options import BenchmarkOptions, CompareOptions, DistillOptions, MulticlassOptions, MultilabelOptions, Options
from halfbert.system import console
from halfbert.system.errors import InputError
from halfbert.system.machine import PROJECT


@dataclass(frozen=True)
class Verb:
    """A subcommand: its options, and the function that does the job, imported when the options are read."""

    options: type[Options]
    job: str  # module:function
    description: str
    epilog: str

    def parser(self, prog: str) -> Parser:
        return parser_of(self.options, prog, self.description, self.epilog)

    def function(self) -> Callable[[Options, console.StopRequest], object]:
        module, _, name = self.job.partition(":")
        return getattr(importlib.import_module(module), name)


VERBS = {
    "train-multiclass": Verb(
        MulticlassOptions,
        "halfbert.training.course:train",
        "Fine-tune BERT or DistilBERT on a table of texts with one label each; save a ktrain predictor.",
        "Without --train it trains on the embedded customer messages.",
    ),
    "train-multilabel": Verb(
        MultilabelOptions,
        "halfbert.training.course:train",
        "Fine-tune BERT or DistilBERT on a table of texts with any number of labels each; save a ktrain predictor.",
        "Without --train it trains on the tags of the embedded customer messages.",
    ),
    "distill": Verb(
        DistillOptions,
        "halfbert.distillation.course:distill",
        "Teach a smaller model what a trained predictor knows, on labelled and unlabelled texts.",
        "Without --train it teaches on the embedded customer messages.",
    ),
    "compare": Verb(
        CompareOptions,
        "halfbert.comparison.course:compare",
        "Which model to deploy: fit TF-IDF, DistilBERT and BERT on the same rows, test them on the same rows, time them, and "
        "give a verdict.",
        "Without --train it compares on the embedded customer messages. Re-running resumes: finished parts are reused where "
        "options and data are the same.",
    ),
    "benchmark": Verb(
        BenchmarkOptions,
        "halfbert.benchmark.course:benchmark",
        "Time predictors engine by engine: one text, many texts, cold start, memory, size; and pairs against each other.",
        "A whole run takes hours, as it repeats everything in ten fresh processes; it estimates the time first. Fewer engines, "
        "scenarios, lengths or batches take less; --quick gives a first look.",
    ),
}


def main(argv: list[str], prog: str | None = None) -> int:
    """Run the subcommand that `argv` begins with and return the exit code; `prog` is what its usage line shows."""
    return console.run(lambda argv, stop: run(argv, stop, prog), argv)


def run(argv: list[str], stop: console.StopRequest, prog: str | None = None) -> None:
    """Run the subcommand that `argv` begins with."""
    if not argv or argv[0] in ("-h", "--help"):
        console.say(overview())
        return
    if argv[0] not in VERBS:
        raise InputError(f"halfbert: {argv[0]!r} is not one of {', '.join(VERBS)} (help: halfbert --help)")
    verb = VERBS[argv[0]]
    options = parse(verb.parser(prog or f"halfbert {argv[0]}"), verb.options, argv[1:])
    try:
        job = verb.function()
    except (ImportError, AttributeError):
        sys.path.insert(0, str(PROJECT))
        importlib.import_module(argv[0].replace("-", "_")).main(argv[1:], stop)
    else:
        job(options, stop)


def overview() -> str:
    """The help of the command without a subcommand."""
    lines = [f"  {name:18}{verb.description}" for name, verb in VERBS.items()]
    return "\n".join(["usage: halfbert VERB [options]   (options of a verb: halfbert VERB --help)", "", *lines])
