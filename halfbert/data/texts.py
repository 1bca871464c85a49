"""Texts in one column, or in several whose cells are joined, with a separator token between them, to one text."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from halfbert.data.cells import cell_text, name_text
from halfbert.data.phrases import counted, listed_names
from halfbert.data.tables import Table, TextPiece, locate, put_together
from halfbert.system.errors import InputError

# Tokenizers of BERT and DistilBERT read this text as the token between two sentences: every engine, and plain ktrain, gives the
# joined text the same answer. A sentence pair differs by its token types, which BERT alone has.
SEPARATOR = "[SEP]"
SPELT_OUT = "[ SEP ]"  # in a cell, which must not end where the next one begins
DEFAULT = "text"  # the text column of a predictor that states none


class Parts(tuple[Any, ...]):
    """The cells of the text columns of one row, where there are several."""


def text_columns(named: str) -> list[TextPiece]:
    """The columns that --text-column names, with commas between them; a name with a comma may stand in double quotes.

    Pieces that together are the name of one column are put together once the header is known. Raises InputError where a
    column is named twice.
    """
    try:
        rows = list(csv.reader([named.replace("\n", " ")], skipinitialspace=True, strict=True))
    except csv.Error:  # a name that holds quotes
        rows = [[named]]
    columns = [TextPiece(name_text(name)) for name in (rows[0] if rows else [])]
    if not all(columns):
        columns = [TextPiece(name_text(named))]
    for column in columns:
        if columns.count(column) > 1:
            raise InputError(f"the text column {column!r} is named {columns.count(column)} times")
    return columns


def located(columns: Sequence[TextPiece], names: Iterable[str]) -> list[str]:
    """The names of the text columns among the columns of a table."""
    return put_together(columns, list(names))


def positions_of(file: str, header: Iterable[Any], named: str, elsewhere: str = "") -> list[int]:
    """Where the columns that --text-column names stand in the header of a table. Raises InputError as `tables.locate`."""
    return list(locate(file, header, text_columns(named), elsewhere).values())


def named(columns: Sequence[str]) -> str:
    """The --text-column that names these columns."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(columns)
    return line.getvalue()


def text_cell(cells: Sequence[Any], positions: Sequence[int]) -> Any:
    """The cell of a row's text column, or the `Parts` of several."""
    return cells[positions[0]] if len(positions) == 1 else Parts(cells[position] for position in positions)


def check_as_trained(file: str, columns: Sequence[str], stated: Sequence[str], whose: str) -> None:
    """Raise InputError if a table has another number of text columns than a predictor states, which learnt from so many."""
    trained_on = stated or [DEFAULT]
    if len(columns) != len(trained_on):
        raise InputError(
            f"{file}: {counted(len(columns), 'text column')}, and the {whose} was trained on {len(trained_on)}, "
            f"{listed_names(trained_on)}; name as many with --text-column"
        )


def texts_of(table: Table, columns: Sequence[str]) -> list[str | None]:
    """The text of each row, None where no column has one. Raises InputError, naming the cell, for what is no text."""
    read = [[cell_text(value, where) for value, where in table.cells(column)] for column in columns]
    return read[0] if len(columns) == 1 else [joined(parts) for parts in zip(*read, strict=True)]


def text_of(cell: Any) -> str | None:
    """The text of a cell, or of the `Parts` of a row. Raises InputError for what is no text."""
    return joined([cell_text(part, "") for part in cell]) if isinstance(cell, Parts) else cell_text(cell, "")


def joined(parts: Iterable[str | None]) -> str | None:
    """One text of several, in which one that is missing leaves its place empty; None where all are missing."""
    parts = list(parts)
    if all(part is None for part in parts):
        return None
    return f" {SEPARATOR} ".join((part or "").replace(SEPARATOR, SPELT_OUT) for part in parts)
