"""The Python functions: each job of the command under its own name, with the same options as keywords.

They are made for notebooks: `halfbert.train_multiclass(frame, epochs=2).predictor.predict(texts)` runs any number of times in
one process, on tables in memory as well, and says in one line what is wrong.
"""

import dataclasses
import difflib
import functools
import inspect
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from halfbert.cli.command import VERBS, Verb
from halfbert.data.sources import Frame, is_frame
from halfbert.options import Option, as_arguments, declared
from halfbert.system import temporary, tensorflow_setup
from halfbert.system.console import StopRequest
from halfbert.system.errors import HalfbertError, InputError

TABLES = ("train", "val", "test", "unlabelled", "texts", "table")  # options that take a table in memory as well
SHOWN_SCORES = ("accuracy", "micro_f1", "macro_f1")


@dataclasses.dataclass(frozen=True, repr=False)
class Result:
    """What a job made: its `folder`, of a predictor or a report, its `record`, and the folder of a predictor's `results`."""

    folder: Path
    record: Any
    results: Path | None = None

    @property
    def scores(self) -> dict[str, Any] | None:
        """The scores of a trained predictor on the test rows."""
        return getattr(self.record, "test", None)

    @functools.cached_property
    def predictor(self) -> Any:
        """The predictor in the folder, as `halfbert.load` gives it, loaded at first use."""
        from halfbert.predictor.classifier import load

        return load(self.folder)

    def __repr__(self) -> str:
        scores = self.scores or {}
        scores = scores.get("at_thresholds", scores)
        shown = [f"{name}={scores[name]:.4f}" for name in SHOWN_SCORES if name in scores]
        return f"<halfbert result: {', '.join([f'folder={str(self.folder)!r}', *shown])}>"


def _function(name: str, *first: str, verb_name: str = "") -> Callable[..., Any]:
    """The Python function of a job; the options `first` may be given by position."""
    verb = VERBS[verb_name or name.replace("_", "-")]
    options = {option.name: option for option in declared(verb.options)}

    def function(*position: Any, **given: Any) -> Any:
        for unknown in given.keys() - options.keys():
            near = difflib.get_close_matches(unknown, options, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(options)}"
            raise InputError(f"{name}: has no option {unknown!r}; {hint}")
        try:
            given = signature.bind(*position, **given).arguments
        except TypeError as error:  # an option twice, or a required one not at all
            raise InputError(f"{name}: {error}") from None
        try:
            return _run(name, verb, given)
        except HalfbertError as error:
            error.args = (_translated(str(error), options.values()),)
            raise

    types = {field.name: field.type for field in dataclasses.fields(verb.options)}
    function.__name__ = function.__qualname__ = name
    function.__doc__ = _documentation(verb, options)
    in_order = sorted(options.values(), key=lambda option: option.name not in first)
    signature = inspect.Signature([_parameter(option, types[option.name], option.name in first) for option in in_order])
    function.__signature__ = signature  # type: ignore[attr-defined]
    return function


def _parameter(option: Option, kind: Any, first: bool) -> inspect.Parameter:
    where = inspect.Parameter.POSITIONAL_OR_KEYWORD if first else inspect.Parameter.KEYWORD_ONLY
    default = inspect.Parameter.empty if option.default is dataclasses.MISSING else option.default
    if option.name in TABLES:
        kind = "str | Path | DataFrame" + (" | None" if default is None else "")
    elif default is None:
        kind = kind | None
    return inspect.Parameter(option.name, where, default=default, annotation=kind)


def _documentation(verb: Verb, options: dict[str, Option]) -> str:
    lines = [verb.description, "", verb.epilog.replace("--", ""), "", "Parameters", "----------"]
    for name, option in options.items():
        values = " | ".join(map(repr, option.choices)) or ("a file, or a DataFrame" if name in TABLES else "")
        lines += [f"{name}: {values}".rstrip(": "), f"    {_translated(option.help_text, options.values())}"]
    return "\n".join(lines)


def _run(name: str, verb: Verb, given: dict[str, Any]) -> Any:
    stop = StopRequest()
    with temporary.folder() as scratch:
        for role in TABLES:
            table: Any = given.get(role)
            table = table.to_pandas() if hasattr(table, "to_pandas") else table
            if is_frame(table):
                given[role] = _written(table, role, scratch) if verb.in_children else Frame(table, role)
        options = verb.options(**given)
        before, sys.argv = sys.argv, [f"halfbert.{name}", *as_arguments(options)]  # for records: not a notebook server's script
        try:
            with tensorflow_setup.global_settings_kept(), stop.on_interrupt():
                made: Any = verb.function()(options, stop)
        finally:
            sys.argv = before
    if not hasattr(made, "folder"):  # a table's answers
        return made
    results = getattr(made, "results", None)
    return Result(made.folder and made.folder.resolve(), made.record, results and results.resolve())


def _written(frame: Any, role: str, folder: Path) -> Path:
    """The file of a table that other processes are to read."""
    file = folder / f"{'table' if role in ('train', 'texts') else role}.parquet"
    frame = frame.rename(columns=str)
    try:
        frame.to_parquet(file, index=False)
    except (TypeError, ValueError, NotImplementedError):  # a column of mixed types: as a csv file would hold it
        mixed = frame.select_dtypes("object").columns
        frame.assign(**{name: frame[name].map(str, na_action="ignore") for name in mixed}).to_parquet(file, index=False)
    return file


def _translated(text: str, options: Iterable[Option]) -> str:
    """Name options as Python has them: overwrite=True where the command line has --overwrite."""
    words = {option.flag: f"{option.name}=True" if option.is_switch else option.name for option in options}
    words |= {f"{option.flag}:": f"{option.name}:" for option in options}
    return re.sub(r"(?<![\w-])--[a-z]+(?:-[a-z]+)*:?", lambda match: words.get(match[0], match[0]), text)


train_multiclass = _function("train_multiclass", "train")
train_multilabel = _function("train_multilabel", "train")
distill = _function("distill", "teacher")
compare = _function("compare", "train")
tune = _function("tune", "train")
benchmark = _function("benchmark", "predictors")
convert = _function("convert", "predictor")
export = _function("export", "predictor", "to", "output")
predict_table = _function("predict_table", "predictor", "table", verb_name="predict")
