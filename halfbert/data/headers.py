"""Find the requested columns among the names of a table."""

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

from halfbert.data.cells import cell_text, label_key, name_text
from halfbert.data.phrases import listed
from halfbert.system.errors import InputError

EVERY_OTHER = "\0"  # stands for every other column that has a name; itself the name of none
LONGEST_NAME = 60


class Piece(str):
    """A part of a list of names with commas between them; several may be one name that holds commas."""


def column_names(header: Iterable[Any], file: str) -> list[str]:
    """The names in a header, "" where a cell is empty."""
    return [name_text(cell_text(cell, f"{file}, header") or "") for cell in header]


def locate(file: str, names: Sequence[str], requested: Sequence[str], elsewhere: str = "") -> dict[str, int]:
    """The position of each requested column among the names of a table, EVERY_OTHER filled in.

    Raises InputError, ending with what to try `elsewhere`, where a column is absent or stands there twice.
    """
    requested = _put_together(requested, names)
    positions = {column: _position(file, names, column, elsewhere) for column in requested if column != EVERY_OTHER}
    if EVERY_OTHER in requested:
        taken = set(positions.values())
        others = dict.fromkeys(name for position, name in enumerate(names) if name and position not in taken)
        positions.update((name, _position(file, names, name, elsewhere)) for name in others)
    return positions


def _put_together(requested: Sequence[str], names: Sequence[str]) -> list[str]:
    """The requested columns, with adjacent pieces put together that are not all columns themselves, but together are one.

    Raises InputError where a column is requested twice.
    """
    with_commas = {tuple(part.strip() for part in name.split(",")): name for name in names if "," in name}
    columns: list[str] = []
    start = 0
    while start < len(requested):
        for end in range(len(requested), start + 1, -1):  # the longest name first
            run = requested[start:end]
            if tuple(run) in with_commas and all(isinstance(one, Piece) for one in run) and set(run) - set(names):
                columns.append(with_commas[tuple(run)])
                break
        else:
            end = start + 1
            columns.append(requested[start])
        start = end
    for column in columns:
        if columns.count(column) > 1:
            raise InputError(f"the label column {column!r} is named {columns.count(column)} times")
    return columns


def _position(file: str, names: Sequence[str], column: str, elsewhere: str) -> int:
    found = [position for position, name in enumerate(names) if name == column]
    if not found:  # another spelling of the same name, such as an Excel TRUE for the TRUE of a csv file
        found = [position for position, name in enumerate(names) if label_key(name) == label_key(column)]
    if len(found) > 1:
        raise InputError(f"{file}: has {len(found)} columns named {_shown(column)}; give each its own name")
    if not found:
        near = difflib.get_close_matches(column, names, n=1)
        hint = f"; did you mean {_shown(near[0])}?" if near else ""
        named = [_shown(name) for name in names if name]
        raise InputError(f"{file}: has no column {_shown(column)}; its columns are {listed(named, 30)}{hint}{elsewhere}")
    return found[0]


def _shown(name: str) -> str:
    return repr(name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 3]}...")
