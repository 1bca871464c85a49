"""The command that usually follows a training run, with the options of the same table."""

from pathlib import Path
from typing import Any

from halfbert.data import messages
from halfbert.data.sources import Frame
from halfbert.data.tables import LAYOUT
from halfbert.models.checkpoints import MINI
from halfbert.options import values
from halfbert.options.benchmark import BenchmarkOptions
from halfbert.options.comparison import PASSED_ON, CompareOptions
from halfbert.options.declaring import as_arguments, changed, declared
from halfbert.options.distillation import DistillOptions
from halfbert.options.training import TrainOptions

OF_TEXTS = ("text_column", *LAYOUT, "drop_missing")


def following(options: TrainOptions) -> tuple[str, list[str]] | None:
    """Verb and arguments of the next command; None where there is none for the table.

    Nothing can read one in memory, and a comparison would part the rows of a group.

    After a training run that is the comparison with the other model, after a distillation a timing of student and teacher.
    """
    if any(isinstance(given, Frame) for given in vars(options).values()) or getattr(options, "group_column", None):
        return None
    embedded = options.train == str(messages.TRAIN)
    if isinstance(options, DistillOptions):
        return "benchmark", _arguments(BenchmarkOptions, _timing(options, embedded))
    return "compare", _arguments(CompareOptions, _comparison(options, embedded))


def _arguments(kind: Any, given: dict[str, Any]) -> list[str]:
    """The words of what is given, without the defaults that are filled in."""
    return as_arguments(kind(**given), leave_out=[each.name for each in declared(kind) if each.name not in given])


def _timing(options: DistillOptions, embedded: bool) -> dict[str, Any]:
    texts = None if embedded else options.test or options.train
    of_texts = {name: getattr(options, name) for name in OF_TEXTS}
    return {"predictors": [Path(options.teacher), options.output], "quick": True, "texts": texts, **of_texts}


def _comparison(options: TrainOptions, embedded: bool) -> dict[str, Any]:
    """What was given for the run, leaving out what it would have chosen itself."""
    table = None if embedded else options.train
    kind: Any = type(options)
    plain = kind(model=options.model, train=table)
    passed_on = changed(options, PASSED_ON, leave_out=("no_tfidf",))
    given = {name: value for name, value in passed_on.items() if value != getattr(plain, name)}
    given |= {"train": table, "task": options.task}
    if options.checkpoint in (None, MINI):  # which is a pair; others are of one architecture
        return {**given, "checkpoint": options.checkpoint}
    return {**given, "contestants": {**dict.fromkeys(values.CONTESTANTS), str(options.model): options.checkpoint}}
