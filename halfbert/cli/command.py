"""The command: `halfbert VERB …`, which is `python -m halfbert VERB …` and what the scripts at the root call."""

import importlib.metadata
import importlib.util
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from halfbert.cli.parsing import Parser, parse, parser_of
from halfbert.data.phrases import listed
from halfbert.options import BenchmarkOptions, CompareOptions, DistillOptions, MulticlassOptions, MultilabelOptions, Options
from halfbert.system import console
from halfbert.system.errors import InputError, ResourceError
from halfbert.system.machine import PROJECT


@dataclass(frozen=True)
class Verb:
    """A subcommand: its options, and the function that does the job, imported when the options are read."""

    options: type[Options]
    job: str  # module:function
    description: str
    epilog: str
    in_children: bool = False  # other processes read its tables
    needs: tuple[str, ...] = ("tensorflow", "tf_keras", "ktrain", "transformers", "sklearn")  # beside the base install

    def parser(self, prog: str) -> Parser:
        return parser_of(self.options, prog, self.description, self.epilog)

    def parse(self, argv: list[str], prog: str = "halfbert") -> Any:
        """The options that the words of a command line give. Raises InputError for a mistake."""
        return parse(self.parser(prog), self.options, argv)

    def function(self) -> Callable[[Any, console.StopRequest], Any]:
        """What does the job. Raises ResourceError where a package that it needs is not installed."""
        missing = [package for package in self.needs if importlib.util.find_spec(package) is None]
        if missing:
            raise ResourceError(f"{listed(missing)} not installed: pip install 'halfbert[train]'")
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
        in_children=True,
    ),
    "benchmark": Verb(
        BenchmarkOptions,
        "halfbert.benchmark.course:benchmark",
        "Time predictors engine by engine: one text, many texts, cold start, memory, size; and pairs against each other.",
        "A whole run takes hours, as it repeats everything in ten fresh processes; it estimates the time first. Fewer engines, "
        "scenarios, lengths or batches take less; --quick gives a first look.",
        in_children=True,
        needs=(),
    ),
}


def main(argv: list[str], prog: str | None = None) -> int:
    """Run the subcommand that `argv` begins with and return the exit code; `prog` is what its usage line shows."""
    return console.run(lambda argv, stop: run(argv, stop, prog), argv)


def run(argv: list[str], stop: console.StopRequest, prog: str | None = None) -> None:
    """Run the subcommand that `argv` begins with."""
    match argv:
        case [] | ["-h" | "--help", *_]:
            console.say(overview())
        case ["--version", *_]:
            console.say(f"halfbert {version()}")
        case [name, *rest] if name in VERBS:
            options = VERBS[name].parse(rest, prog or f"halfbert {name}")
            VERBS[name].function()(options, stop)
        case [name, *_]:
            raise InputError(f"halfbert: no verb {name!r}; there are {', '.join(VERBS)} (help: halfbert --help)")


def overview() -> str:
    """The help of the command without a subcommand."""
    lines = [f"  {name:18}{verb.description}" for name, verb in VERBS.items()]
    return "\n".join(["usage: halfbert VERB [options]   (options of a verb: halfbert VERB --help)", "", *lines])


def version() -> str:
    """The version of the checkout, as pyproject.toml has it, or of the installed package."""
    source = PROJECT / "pyproject.toml"
    stated = re.search(r'^version = "(.+)"$', source.read_text(encoding="utf-8"), re.MULTILINE) if source.is_file() else None
    return stated[1] if stated else importlib.metadata.version("halfbert")
