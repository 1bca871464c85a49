"""The command of a run, given again with some options changed, and that of a lesson by its predictor."""

from pathlib import Path
from typing import Any

from halfbert.data import messages
from halfbert.data.sources import Frame
from halfbert.options.declaring import Options, as_arguments, changed, declared
from halfbert.options.distillation import DistillOptions
from halfbert.options.training import TrainOptions

TABLES = ("train", "val", "test")


def again(options: TrainOptions, **changes: Any) -> tuple[str, list[str]] | None:
    """Verb and arguments of the same run with some options changed; None where nothing can read its table, one in memory.

    Unless it is to overwrite the run, it gets an output of its own, whose name ends with what is changed.
    """
    if _in_memory(options):
        return None
    table = _table(options)
    given = _given(options, changed(options, leave_out=("overwrite", "resume", *TABLES[: 0 if table else None])))
    given |= {"train": table} if table else {}
    if options.results == Path("results", options.results.parent.name, options.output.name):
        given.pop("results", None)
    if "overwrite" not in changes and ("model" not in changes or "output" in given):
        ending = "-".join(map(str, changes.values()))
        places = {name: getattr(options, name) for name in ("output", "results") if name == "output" or name in given}
        given |= {name: folder.with_name(f"{folder.name}-{ending}") for name, folder in places.items()}
    if getattr(options, "from_", None):
        given.pop("model", None)
    if isinstance(options, DistillOptions) and options.layers:  # which the teacher settled, and the model and --keep with them
        given = {name: value for name, value in given.items() if name not in ("model", "keep")}
    verb = "distill" if isinstance(options, DistillOptions) else f"train-{options.task}"
    return verb, _arguments(type(options), given | changes)


def taught_by(options: TrainOptions, teacher: Path) -> tuple[str, list[str]] | None:
    """Verb and arguments of a distillation from a teacher that was trained on a run's rows; None where none can read these."""
    if _in_memory(options) or getattr(options, "group_column", None):
        return None
    known = {each.name for each in declared(DistillOptions)}
    table = _table(options)
    given = _given(options, changed(options, ("table", "machine"), ("split_seed", *TABLES[: 0 if table else None])))
    shared = {name: value for name, value in given.items() if name in known} | ({"train": table} if table else {})
    return "distill", _arguments(DistillOptions, {"teacher": teacher, **shared})


def _in_memory(options: TrainOptions) -> bool:
    return any(isinstance(given, Frame) for given in vars(options).values())


def _table(options: TrainOptions) -> str | None:
    """The table, None for the embedded one."""
    return None if options.train == str(messages.TRAIN) else options.train


def _given(options: TrainOptions, values: dict[str, Any]) -> dict[str, Any]:
    """What of the values the options would not have filled in themselves."""
    kind: Any = type(options)
    if isinstance(options, DistillOptions):  # what the teacher settled does no harm, but for the embedded table
        known: dict[str, Any] = {} if _table(options) else {"label_column": messages.LABEL, "label_columns": messages.TAGS}
    else:
        known = vars(kind(model=options.model, train=_table(options)))
    return {name: value for name, value in values.items() if name == "model" or name not in known or value != known[name]}


def _arguments(kind: type[Options], given: dict[str, Any]) -> list[str]:
    """The words of what is given, without the defaults that are filled in."""
    options: Any = kind
    return as_arguments(options(**given), leave_out=[each.name for each in declared(kind) if each.name not in given])
