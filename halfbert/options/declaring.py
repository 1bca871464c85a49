"""How an option is declared: a dataclass field with its default, its help, its group and the reader of its value.

Parsers, signatures of the Python functions and the option tables of the documentation are made from these fields.
"""

import csv
import dataclasses
import functools
import io
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halfbert.data.sources import Frame
from halfbert.options import values
from halfbert.system.errors import InputError

FORMATS = (
    "xlsx, csv, tsv, parquet, jsonl, json, text also as .gz or .zip, a folder with LABEL/*.txt, or hf:NAME[:CONFIG] for a data "
    "set of the hub"
)
# Titles of the groups in the order of the help, each with the sentence below its title.
GROUPS = {
    "old predictor": None,
    "target": None,
    "server": None,
    "limits": "what is beyond them is refused, and the answer says so",
    "predictor and rows": None,
    "answers": None,
    "rows for a person": "they get the word review, and the best guess beside it; choose one rule, or every row is answered",
    "rows to label next": "those that would teach the predictor most, to be labelled and appended to the training table",
    "two predictors": "the first answers what it is sure of, which costs less than to have the second answer every row",
    "drift": "whether the rows are still of the kind that the predictor was validated on",
    "comparison": None,
    "runs": None,
    "search": None,
    "what to time": None,
    "model": None,
    "teacher and student": None,
    "loss": None,
    "table": FORMATS,
    "texts": FORMATS,
    "training": None,
    "cross-validation": None,
    "how to time": None,
    "machine": None,
    "output": None,
}
METAVARS: dict[Callable[[Any], Any], str] = {
    **{
        values.text: "NAME",
        values.columns: "NAME",
        values.delimiter: "SIGN",
        values.separator: "TEXT",
        values.source: "FILE",
        values.sources: "TABLE",
    },
    **dict.fromkeys((values.path, values.paths), "FOLDER"),
    **{values.count: "N", values.tokens: "N", values.seed: "N", values.maxlen: "N", values.share: "SHARE"},
    **dict.fromkeys((values.batches, values.thread_counts), "N,M"),
}


@dataclass(frozen=True)
class Option:
    """One option, as its field declares it."""

    group: str
    help: str
    default: Any
    parse: Callable[[Any], Any]
    metavar: str | None = None
    choices: Sequence[str] = ()
    required: bool = False  # on the command line; a Python function may have a default
    unless: str = ""  # another option, beside which it is not required
    positional: bool = False
    many: bool = False  # of a positional one: whether it takes several words
    name: str = ""

    @property
    def flag(self) -> str:
        return "--" + self.name.rstrip("_").replace("_", "-")  # Python has reserved some names, such as from

    @property
    def is_switch(self) -> bool:
        return self.default is False

    @property
    def value_name(self) -> str:
        """What stands for the value in a usage line."""
        return self.metavar or "{" + ",".join(self.choices) + "}"

    @property
    def help_text(self) -> str:
        """The help, with the default where there is one and the help does not say it in words."""
        unsaid = self.required or self.is_switch or self.default is None or self.default == [] or "(default: " in self.help
        return self.help if unsaid else f"{self.help} (default: {as_text(self.default)})"

    def read(self, value: Any) -> Any:
        """The value as jobs use it, from a word of the command line or from Python. Raises InputError if it does not fit."""
        if value is None and self.default is None:
            return None
        try:
            return self.parse(value)
        except ValueError as error:
            raise InputError(f"{self.metavar if self.positional else self.flag}: {error}") from None


def option(
    group: str,
    default: Any,
    help: str,
    parse: Callable[[Any], Any] = values.text,
    *,
    choices: Sequence[str] = (),
    **more: Any,
) -> Any:
    """A dataclass field that is an option. A default of False makes a switch; one of MISSING makes the option required."""
    assert group in GROUPS
    if default is False:
        parse = values.switch
    elif choices:
        parse = functools.partial(values.one_of, known=choices)
    more = {"required": default is dataclasses.MISSING, "metavar": None if choices else METAVARS.get(parse, "A,B,C"), **more}
    declared = Option(group, help, default, parse, choices=choices, **more)
    if isinstance(default, (list, dict)):
        return dataclasses.field(default_factory=default.copy, metadata={"option": declared})
    return dataclasses.field(default=default, metadata={"option": declared})


@dataclass(kw_only=True)
class Options:
    """Base of the options of each job: values are read and checked when they are made, then the rest is filled in."""

    def __post_init__(self) -> None:
        for each in declared(type(self)):
            setattr(self, each.name, each.read(getattr(self, each.name)))
        self.complete()

    def complete(self) -> None:
        """Fill in the defaults that depend on others. Raises InputError where options contradict each other."""


def declared(kind: type[Options]) -> tuple[Option, ...]:
    """The options of a job in the order of its help: by group, then as declared."""
    fields = [field for field in dataclasses.fields(kind) if "option" in field.metadata]
    options = [dataclasses.replace(field.metadata["option"], name=field.name) for field in fields]
    return tuple(sorted(options, key=lambda one: list(GROUPS).index(one.group)))


def changed(options: Options, groups: Collection[str] = tuple(GROUPS), leave_out: Collection[str] = ()) -> dict[str, Any]:
    """The options of these groups that differ from their defaults, by name: keywords for another job's options."""
    return {
        each.name: getattr(options, each.name)
        for each in declared(type(options))
        if each.group in groups and each.name not in leave_out
        if each.required or getattr(options, each.name) != each.default
    }


def as_arguments(options: Options, leave_out: Collection[str] = ()) -> list[str]:
    """The words of a command line that give the options that differ from their defaults."""
    by_name = {each.name: each for each in declared(type(options))}
    words: list[str] = []
    for name, value in changed(options, leave_out=leave_out).items():
        if by_name[name].positional:
            words += map(str, value if by_name[name].many else [value])
        else:
            words.append(by_name[name].flag if value is True else f"{by_name[name].flag}={as_text(value)}")
    return words


def as_text(value: Any) -> str:
    """A value as it is written on the command line."""
    if isinstance(value, dict):
        value = [name if to is None else f"{name}={to}" for name, to in value.items()]
    if isinstance(value, list):
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(value)
        return line.getvalue()
    return str(value)


def table_name(source: str | Path) -> str:
    """A short name for a table: its file's or data set's name without suffix and without `_train`."""
    if isinstance(source, Frame):
        return "table"
    name = Path(str(source).removeprefix("hf:").split(":")[0]).name.split(".")[0]
    return name.removesuffix("_train").removesuffix("-train") or "table"
