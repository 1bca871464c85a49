"""Tables in blocks of rows: what a source gives, and what a writer is given."""

import abc
import datetime
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from halfbert.prediction.scorer import usable

ROWS = 1024  # of a block, at most
CHARACTERS = 2**20  # of a block of text, about


@dataclass
class Block:
    """Consecutive rows of one table.

    `numbers` are what messages call the rows. `texts` are None where `notes`, by index, says why a row has no usable text.
    `kept` holds the rows as the writer of the same format wants them, and `after` the text below the last that is no row.
    """

    source: "Source"
    numbers: Sequence[int]
    kept: Any
    texts: list[str | None] = field(default_factory=list)
    notes: dict[int, str] = field(default_factory=dict)
    after: str = ""

    def read(self, cells: Iterable[Any]) -> "Block":
        """Take the texts out of the cells of the text column, or the `texts.Parts` of several."""
        for row, cell in enumerate(cells):
            text, reason = usable(cell)
            self.texts.append(text)
            if reason:
                self.notes[row] = reason
        return self


class Source(abc.ABC):
    """A table that is read once from its beginning to its end.

    `name` names it in messages; `columns` are all of its columns, `text_columns` those of its texts, `kinds` what the values
    are in a format that has types: text, integer, number, boolean or moment. `rows` is None where it is unknown before the end.
    """

    name: str
    text_columns: Sequence[str]
    columns: list[str]
    kinds: list[str]
    rows: int | None = None
    notes: Sequence[str] = ()

    @abc.abstractmethod
    def blocks(self) -> Iterator[Block]:
        """The rows in their order."""

    @abc.abstractmethod
    def values(self, block: Block) -> Iterable[Sequence[Any]]:
        """The cells of each row of a block, in the order of `columns`, for the writer of another format."""


class TextSource(Source):
    """A source whose rows are pieces of text, which the writer of the same format passes through.

    `after` is the text below the last row, known once all are read.
    """

    after: str

    @abc.abstractmethod
    def rows_of_text(self) -> Iterator[tuple[int, str, Any]]:
        """(number, text with the empty lines before it, what was read of it) of each row."""

    @abc.abstractmethod
    def text_cell(self, read: Any) -> Any:
        """The cell of the text column, or the parts of several, of what was read of a row."""

    def blocks(self) -> Iterator[Block]:
        rows: list[tuple[int, str, Any]] = []
        size = 0
        for row in self.rows_of_text():
            rows.append(row)
            size += len(row[1])
            if len(rows) == ROWS or size > CHARACTERS:
                yield self._block(rows)
                rows, size = [], 0
        last = self._block(rows)
        last.after = self.after
        if rows or last.after:
            yield last

    def _block(self, rows: list[tuple[int, str, Any]]) -> Block:
        block = Block(self, [number for number, _, _ in rows], [(text, read) for _, text, read in rows])
        return block.read(self.text_cell(read) for _, _, read in rows)


class Writer(abc.ABC):
    """Writes blocks, with the values of the added columns beside their rows."""

    @abc.abstractmethod
    def write(self, block: Block, answers: Sequence[Sequence[Any]]) -> None:
        """Write the rows of a block; `answers` has the values of each added column."""

    def close(self) -> None:  # noqa: B027  (most formats have no end)
        """Write what stands at the end."""


class Unwritten(Writer):
    """Writes nothing."""

    def write(self, block: Block, answers: Sequence[Sequence[Any]]) -> None:
        pass


def kind_of(types: set[type]) -> str:
    """The kind of a column whose values, apart from missing ones, are of these types."""
    if types == {bool}:
        return "boolean"
    if types == {int}:
        return "integer"
    if types and types <= {int, float}:
        return "number"
    if types == {datetime.datetime}:
        return "moment"
    return "text"
