"""Rows of several text columns as people have them in Python, joined as training joined them."""

import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

from halfbert.data.cells import cell_text
from halfbert.data.phrases import counted, listed_names
from halfbert.data.sources import is_frame
from halfbert.data.tables import locate
from halfbert.data.texts import SEPARATOR, Parts, joined
from halfbert.system.errors import InputError


def read_rows(rows: Any, columns: Sequence[str]) -> tuple[list[str], bool]:
    """The joined texts of rows, and whether it is a single row. Raises InputError, with what to do, if they are none.

    A row is a tuple or list of a text for each of the `columns`, in their order, or a dict of them; many are a list or any
    other iterable of rows, or a DataFrame with these columns. A text that holds the separators is taken as joined.
    """
    expected = (
        f"expected rows of {len(columns)} texts, {listed_names(columns)}, as tuples, lists or dicts, or a DataFrame "
        "with these columns"
    )
    rows = rows.to_pandas() if hasattr(rows, "to_pandas") else rows
    if is_frame(rows):
        positions = locate("the DataFrame", rows.columns.tolist(), columns).values()
        rows = list(zip(*(rows.iloc[:, position].tolist() for position in positions), strict=True))
    elif isinstance(rows, str | Mapping) or _is_row(rows, columns):
        return [_text(rows, "the row", columns, expected)], True
    try:
        many = list(rows)
    except TypeError:
        raise InputError(f"{reprlib.repr(rows)} (of type {type(rows).__name__}): {expected}") from None
    return [_text(row, f"row {number:,} of {len(many):,}", columns, expected) for number, row in enumerate(many, 1)], False


def as_parts(row: Any, columns: Sequence[str]) -> Parts:
    """The cells of a row that is a tuple, list or dict of them. Raises InputError for anything else."""
    if isinstance(row, Mapping):
        return Parts(row.get(column) for column in columns)
    row = row.tolist() if hasattr(row, "tolist") else row
    if not isinstance(row, list | tuple) or len(row) != len(columns):
        shown = reprlib.repr(row)
        raise InputError(f"{shown}: expected a tuple, list or dict of {len(columns)} cells, {listed_names(columns)}")
    return Parts(row)


def _is_row(row: Any, columns: Sequence[str]) -> bool:
    """Whether a tuple is one row, and not several rows that are joined already."""
    return isinstance(row, tuple) and len(row) == len(columns) and not any(_is_joined(cell, columns) for cell in row)


def _is_joined(text: Any, columns: Sequence[str]) -> bool:
    return not isinstance(text, str | None) or (isinstance(text, str) and text.count(SEPARATOR) >= len(columns) - 1)


def _text(row: Any, place: str, columns: Sequence[str], expected: str) -> str:
    if isinstance(row, str):
        if _is_joined(row, columns):
            return row
        raise InputError(f"{place} is one text; {expected}")
    if isinstance(row, Mapping):
        if missing := [column for column in columns if column not in row]:
            raise InputError(f"{place} has no {missing[0]!r}; {expected}")
        row = [row[column] for column in columns]
    row = row.tolist() if hasattr(row, "tolist") else row
    if not isinstance(row, list | tuple):
        raise InputError(f"{place} is of type {type(row).__name__}; {expected}")
    if len(row) != len(columns):
        raise InputError(f"{place} has {counted(len(row), 'text')}; {expected}")
    parts = [cell_text(part, f"{place}, {column!r}") for part, column in zip(row, columns, strict=True)]
    return joined([*parts[:-1], parts[-1] or ""]) or ""  # a row without any text is one of empty texts
