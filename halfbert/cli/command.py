"""The command: `halfbert VERB …`, which is `python -m halfbert VERB …` and what the scripts at the root call."""

import argparse
import importlib.metadata
import importlib.util
import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from halfbert.data.phrases import listed
from halfbert.options import (
    BenchmarkOptions,
    CompareOptions,
    ConvertOptions,
    DiffOptions,
    DistillOptions,
    ExportOptions,
    MulticlassOptions,
    MultilabelOptions,
    Options,
    PredictOptions,
    RunsOptions,
    ServeOptions,
    TuneOptions,
)
from halfbert.options.declaring import GROUPS, declared
from halfbert.system import console
from halfbert.system.errors import InputError, ResourceError
from halfbert.system.machine import PROJECT


class Parser(argparse.ArgumentParser):
    """argparse, but a mistake is one line and exit code 2, like every other mistake of the user's."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (all options: {self.prog} --help)")


@dataclass(frozen=True)
class Verb:
    """A subcommand: its options, and the function that does the job, imported when the options are read."""

    options: type[Options]
    job: str  # module:function
    description: str
    epilog: str
    in_children: bool = False  # other processes read its tables
    extra: str = "train"  # of the package, which brings what it needs
    needs: tuple[str, ...] = (
        "tensorflow",
        "tf_keras",
        "ktrain",
        "transformers",
        "sklearn",
        "cleanlab",
    )  # beside the base install

    def parser(self, prog: str) -> Parser:
        """The parser of the options. It takes words apart and no more: the dataclass reads and checks the values.

        Options are written out: an abbreviation would become ambiguous, or mean another option, once there are more of them.
        """
        parser = Parser(prog, None, self.description, self.epilog, allow_abbrev=False, argument_default=argparse.SUPPRESS)
        for title, options in itertools.groupby(declared(self.options), lambda option: option.group):
            group = parser.add_argument_group(title, GROUPS[title])
            for option in options:
                required = option.required and not option.unless
                kind: dict[str, Any] = {"metavar": option.value_name, "required": required, "dest": option.name}
                if option.positional:
                    one, many = (None, "+") if option.required else ("?", "*")
                    kind = {"metavar": option.metavar, "nargs": many if option.many else one}
                elif option.is_switch:
                    kind = {"action": "store_true", "default": argparse.SUPPRESS, "dest": option.name}
                name = option.name if option.positional else option.flag
                group.add_argument(name, help=option.help_text.replace("%", "%%"), **kind)
        return parser

    def parse(self, argv: list[str], prog: str = "halfbert") -> Any:
        """The options that the words of a command line give. Raises InputError, in one line, for a mistake."""
        parser = self.parser(prog)
        given = vars(parser.parse_args(argv))
        for option in declared(self.options):
            if option.unless and option.name not in given and option.unless not in given:
                parser.error(f"the following arguments are required: {option.flag}")
        try:
            return self.options(**given)
        except InputError as error:
            parser.error(str(error))

    def function(self) -> Callable[[Any, console.StopRequest], Any]:
        """What does the job. Raises ResourceError where a package that it needs is not installed."""
        missing = [package for package in self.needs if importlib.util.find_spec(package) is None]
        if missing:
            raise ResourceError(f"{listed(missing)} not installed: pip install 'halfbert[{self.extra}]'")
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
        "Which model to deploy: fit TF-IDF, static embeddings, DistilBERT and BERT on the same rows, test them on the "
        "same rows, time them, and give a verdict.",
        "Without --train it compares on the embedded customer messages. Re-running resumes: finished parts are reused where "
        "options and data are the same.",
        in_children=True,
        needs=(*Verb.needs, "joblib", "scipy", "matplotlib"),
    ),
    "tune": Verb(
        TuneOptions,
        "halfbert.tuning.course:tune",
        "Search for the settings of a training run with Optuna, on validation rows only; test the winner once beside the "
        "default settings, and save its predictor.",
        "Without --train it searches on the embedded customer messages. An option of training that is given is not searched "
        "over. A killed search resumes when the same command is given again.",
        in_children=True,
        extra="train,tune",
        needs=(*Verb.needs, "optuna", "scipy", "matplotlib"),
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
    "predict": Verb(
        PredictOptions,
        "halfbert.prediction.course:predict",
        "Answer the texts of tables with a predictor: the same rows, with the answers beside them.",
        "TABLE is xlsx, csv, tsv, parquet, jsonl, json or txt, text also as .gz or .zip, a folder of txt files, a pattern in "
        "quotes, or - for lines of the standard input. A run that was "
        "killed resumes where it was when it is started again.",
        needs=(),
    ),
    "convert": Verb(
        ConvertOptions,
        "halfbert.conversion.course:convert",
        "Convert a predictor that ktrain saved, of BERT or DistilBERT, without unpickling it.",
        "What its files do not say is an option. With --labels, --maxlen and --task tf_model.preproc is not even read.",
        needs=("tensorflow", "tf_keras", "ktrain", "transformers"),
    ),
    "export": Verb(
        ExportOptions,
        "halfbert.export.course:export",
        "Write a predictor as other runtimes read it.",
        "docs/device.md says what each export holds and how a program answers with it.",
        needs=(),
    ),
    "runs": Verb(
        RunsOptions,
        "halfbert.runs.leaderboard:leaderboard",
        "List all finished runs below a folder, the best of each table first.",
        "The engine is the one that halfbert.load takes on this machine; of a comparison, its fastest.",
        needs=(),
    ),
    "diff": Verb(
        DiffOptions,
        "halfbert.runs.difference:diff",
        "Say why two runs differ: rows, labels, options, versions, scores, and the test rows that are answered otherwise.",
        "A and B are results folders, as halfbert runs lists them.",
        needs=("sklearn", "scipy"),
    ),
    "serve": Verb(
        ServeOptions,
        "halfbert.serving.course:serve",
        "Answer texts over HTTP with predictors.",
        "SIGTERM ends it when what was taken in is answered; SIGHUP, or a change of a folder, loads a predictor again.",
        extra="serve",
        needs=("fastapi", "uvicorn", "httptools", "prometheus_client"),
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
