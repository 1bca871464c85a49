"""What the readers pass on: a table as its file holds it, its checked rows, and the data that are ready to train on."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

from halfbert.data.phrases import row_word

Source: TypeAlias = str | Path | Any  # a file, hf:NAME[:CONFIG] or a pandas.DataFrame
Label = TypeVar("Label", str, tuple[str, ...])


@dataclass
class Table:
    """The columns that are requested, one value a row, as the file holds them.

    `numbers` are what the spreadsheet program or the editor shows beside a row (the line on which a csv record starts);
    parquet files, hub data sets and DataFrames have no such thing, and their rows are counted from 1. `formulas` names for
    each column the indices of rows whose text was read back from a formula. `sha256` is the fingerprint for a hub data set.
    """

    file: str
    columns: dict[str, list[Any]]
    numbers: list[int]
    sha256: str = ""
    formulas: dict[str, set[int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    hidden_rows: int = 0

    def cells(self, column: str) -> Iterator[tuple[Any, str]]:
        """(value, its place for a message) of each cell of a column."""
        word = row_word(self.file)
        for value, number in zip(self.columns[column], self.numbers, strict=True):
            yield value, f"{self.file}, {word} {number}, column {column!r}"


@dataclass
class Rows(Generic[Label]):
    """A part of the data: row i of `file` is number `numbers[i]` there (from 1, the header included).

    `labels` holds one label a row; in a multi-label table a tuple of those that apply, in the order of `Data.labels`.
    """

    texts: list[str]
    labels: list[Label]
    numbers: list[int]
    file: str

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
        )


@dataclass
class Findings:
    """What the checks counted (dropped, merged, repeated …), and the same in plain lines for the console."""

    counts: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass
class Data:
    """A table that is ready to train on.

    `labels` are those of the training rows, sorted (numbers as numbers), or in the order of their 0/1 columns. `files`
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

    def parts(self) -> Iterator[tuple[str, Rows]]:
        """("train", rows), ("val", rows), ("test", rows)."""
        return ((part, getattr(self, part)) for part in ("train", "val", "test"))
