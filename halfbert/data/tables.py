"""A table as its file holds it, its checked rows, and the data that are ready to train on; columns found by their names."""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

from halfbert.data.cells import cell_text, label_key, name_text
from halfbert.data.phrases import listed, place, row_word, truncated
from halfbert.system.errors import InputError

EVERY_OTHER = "\0"  # stands for every other column that has a name; itself the name of none
# What predict.py --review adds to rows that people are to label; EVERY_OTHER does not stand for these.
REVIEW_COLUMNS = ("review_guess", "review_confidence", "review_row")

Source: TypeAlias = str | Path | Any  # a file, hf:NAME[:CONFIG] or a pandas.DataFrame
Label = TypeVar("Label", str, tuple[str, ...])


@dataclass(kw_only=True)
class Layout:
    """Where and how a table stands in its file, as far as the file does not say it itself.

    `header_row` is the number of the row or line of the names of the columns, from 1; None: the first that is not empty.
    """

    sheet: str | None = None
    header_row: int | None = None
    delimiter: str | None = None
    encoding: str | None = None

    @classmethod
    def of(cls, options: Any) -> "Layout":
        """The layout that the options of a job describe."""
        return Layout(**{each.name: getattr(options, each.name) for each in fields(Layout)})


LAYOUT = tuple(each.name for each in fields(Layout))  # the names of its options


@dataclass(kw_only=True)
class Reading(Layout):
    """What to read of the tables of a run, and how to check, split and sample it.

    `text_column` may name several columns, with commas between them (`texts.text_columns`).
    A part that is not given as a file is split off the training rows, one row in ten, stratified by label; texts that
    are equal (`equality.normalise`) stay on one side. Training texts that also stand in a given validation or test file
    are dropped (`keep_leaks`: kept). `rows` and `test_rows` then take a stratified sample of the training and test rows;
    validation shrinks along with training. What is held out depends on `seed` alone. Rows with the same value in
    `group_column` stay on one side as well.
    """

    train: Source
    val: Source | None = None
    test: Source | None = None
    text_column: str
    drop_missing: bool = False
    keep_leaks: bool = False
    rows: int | None = None
    test_rows: int | None = None
    seed: int = 0
    group_column: str | None = None

    def group_column_beside(self, *columns: str) -> list[str]:
        """The group column, if there is one. Raises InputError where it is one of the other columns as well."""
        group = [] if self.group_column is None else [name_text(self.group_column)]
        if set(group) & set(columns):
            raise InputError(f"--group-column {group[0]}: holds the texts or the labels; name another column")
        return group


@dataclass
class Table:
    """The columns that are requested, one value a row, as the file holds them.

    `numbers` are what the spreadsheet program or the editor shows beside a row (the line on which a csv record starts);
    parquet files, hub data sets and DataFrames have no such thing, and their rows are counted from 1. `formulas` names for
    each column the indices of rows whose text was read back from a formula, `merged` the rows, by index, over which a cell of
    it extends. `export` names the labelling tool that wrote the file, whose labels are lists; `row_names` are the files of a
    folder, and `name` is what records call it, where that is not the last part of `file`. `sha256` is the fingerprint for a
    hub data set.
    """

    file: str
    columns: dict[str, list[Any]]
    numbers: list[int]
    sha256: str = ""
    formulas: dict[str, set[int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    hidden_rows: int = 0
    merged: dict[str, list[range]] = field(default_factory=dict)
    export: str = ""
    row_names: list[str] = field(default_factory=list)
    name: str = ""

    def cells(self, column: str) -> Iterator[tuple[Any, str]]:
        """(value, its place for a message) of each cell of a column."""
        for value, number in zip(self.columns[column], self.numbers, strict=True):
            yield value, place(self.file, number, column)

    def rows(self, indices: Sequence[int]) -> str:
        """Some rows for a message, the first by their numbers or files."""
        if self.row_names:
            return f"{listed([self.row_names[index] for index in indices])}"
        return f"{row_word(self.file)} {listed([str(self.numbers[index]) for index in indices])}"


@dataclass
class Rows(Generic[Label]):
    """A part of the data: row i of `file` is number `numbers[i]` there (from 1, the header included).

    `labels` holds one label a row; in a multi-label table a tuple of those that apply, in the order of `Data.labels`.
    `groups` holds the value of the group column, if there is one; a row without a value is a group by itself.
    """

    texts: list[str]
    labels: list[Label]
    numbers: list[int]
    file: str
    groups: list[str | None] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, indices: Iterable[int]) -> "Rows[Label]":
        """The rows at these indices, in this order."""
        indices = list(indices)
        return Rows(
            [self.texts[index] for index in indices],
            [self.labels[index] for index in indices],
            [self.numbers[index] for index in indices],
            self.file,
            self.groups and [self.groups[index] for index in indices],
        )

    def followed_by(self, others: "Rows[Label]") -> "Rows[Label]":
        """Both, as rows of this one's file."""
        groups = None if self.groups is None else self.groups + (others.groups or [])
        return Rows(self.texts + others.texts, self.labels + others.labels, self.numbers + others.numbers, self.file, groups)


@dataclass
class Findings:
    """What the checks counted (dropped, merged, repeated …), and the same in plain lines for the console."""

    counts: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass
class Data:
    """A table that is ready to train on.

    `labels` are those of the training rows, sorted (numbers as numbers), or in the order of their 0/1 columns. `text_columns`
    are the columns of the texts in the training file, of which there may be several. `files`
    holds for each file its role, name, SHA-256 (of a hub data set: the fingerprint) and number of rows; `counts` and
    `notes` are those of `Findings`.
    """

    train: Rows
    val: Rows
    test: Rows
    labels: list[str]
    files: list[dict[str, Any]]
    counts: dict[str, int]
    notes: list[str]
    text_columns: list[str] = field(default_factory=list)

    def parts(self) -> Iterator[tuple[str, Rows]]:
        """("train", rows), ("val", rows), ("test", rows)."""
        return ((part, getattr(self, part)) for part in ("train", "val", "test"))


# Columns by name.


class Piece(str):
    """A part of a list of names with commas between them; several may be one name that holds commas."""


class TextPiece(Piece):
    """A part of the names of the text columns."""


def column_names(header: Iterable[Any], file: str) -> list[str]:
    """The names in a header, "" where a cell is empty."""
    return [name_text(cell_text(cell, f"{file}, header") or "") for cell in header]


def locate(file: str, header: Iterable[Any], requested: Sequence[str], elsewhere: str = "") -> dict[str, int]:
    """The position of each requested column in the header of a table, EVERY_OTHER filled in.

    Raises InputError, ending with what to try `elsewhere`, where a column is absent or stands there twice.
    """
    names = column_names(header, file)
    requested = put_together(requested, names)
    positions = {column: _position(file, names, column, elsewhere) for column in requested if column != EVERY_OTHER}
    if EVERY_OTHER in requested:
        taken = set(positions.values())
        left_out = ("", *REVIEW_COLUMNS)
        others = dict.fromkeys(n for position, n in enumerate(names) if n not in left_out and position not in taken)
        positions.update((name, _position(file, names, name, elsewhere)) for name in others)
    return positions


def put_together(requested: Sequence[str], names: Sequence[str]) -> list[str]:
    """The requested columns, with adjacent pieces put together that are not all columns themselves, but together are one.

    Raises InputError where a column is requested twice.
    """
    with_commas = {tuple(part.strip() for part in name.split(",")): name for name in names if "," in name}
    columns: list[str] = []
    start = 0
    while start < len(requested):
        for end in range(len(requested), start + 1, -1):  # the longest name first
            run = requested[start:end]
            one_list = isinstance(run[0], Piece) and len({type(piece) for piece in run}) == 1
            if one_list and tuple(run) in with_commas and set(run) - set(names):
                columns.append(with_commas[tuple(run)])
                break
        else:
            end = start + 1
            columns.append(requested[start])
        start = end
    for column in columns:
        if columns.count(column) > 1:
            raise InputError(f"the column {column!r} is named {columns.count(column)} times")
    return columns


def _position(file: str, names: Sequence[str], column: str, elsewhere: str) -> int:
    found = [position for position, name in enumerate(names) if name == column]
    if not found:  # another spelling of the same name, such as an Excel TRUE for the TRUE of a csv file
        found = [position for position, name in enumerate(names) if label_key(name) == label_key(column)]
    if len(found) > 1:
        raise InputError(f"{file}: has {len(found)} columns named {truncated(column)!r}; give each its own name")
    if not found:
        near = difflib.get_close_matches(column, names, n=1)
        hint = f"; did you mean {truncated(near[0])!r}?" if near else ""
        named = [repr(truncated(name)) for name in names if name]
        raise InputError(f"{file}: has no column {truncated(column)!r}; its columns are {listed(named, 30)}{hint}{elsewhere}")
    return found[0]
