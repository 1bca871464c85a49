"""Tables of JSON objects: one a line, or all in one array."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from halfbert.data.exports import NumberedRow, flattened
from halfbert.data.tables import Table, locate
from halfbert.system.errors import InputError


def read(path: Path, text: str, wanted: Sequence[str], array: bool) -> Table:
    """Read the requested columns of the objects in a text, an `array` or lines."""
    rows, tool, notes = flattened(str(path), rows_of_array(path, text) if array else _rows_of_lines(path, text))
    keys = list(dict.fromkeys(key for _, row in rows for key in row))
    positions = locate(str(path), keys, wanted)
    columns = {name: [row.get(keys[position]) for _, row in rows] for name, position in positions.items()}
    return Table(str(path), columns, [number for number, _ in rows], notes=notes, export=tool)


def is_array(text: str) -> bool:
    """Whether a .json file holds an array; else it may hold an object a line, as many data sets do."""
    return not text.lstrip().startswith("{")


def rows_of_array(path: str | Path, text: str) -> list[NumberedRow]:
    """The objects in an array, numbered from 1. Raises InputError, naming line or row, for anything else."""
    rows = _parsed(path, text, "the file is")
    if not isinstance(rows, list):
        raise InputError(f"{path}: holds no JSON array; each row is an object in an array, or on a line of its own")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise InputError(f"{path}: row {number} is not a JSON object; each item of the array is one row, as an object")
    return list(enumerate(rows, start=1))


def _rows_of_lines(path: Path, text: str) -> list[NumberedRow]:
    # Not splitlines(): U+2028 and its like may stand inside a JSON string.
    lines = re.split(r"\r\n?|\n", text)
    return [(number, json_object(path, number, line)) for number, line in enumerate(lines, start=1) if line.strip()]


def json_object(path: str | Path, number: int, line: str) -> dict[str, Any]:
    """The object on a line of JSON. Raises InputError, naming the line, for anything else."""
    row = _parsed(path, line, f"line {number} is")
    if not isinstance(row, dict):
        raise InputError(f"{path}: line {number} is not a JSON object; each line holds one row, as an object")
    return row


def _parsed(path: str | Path, text: str, what: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: {what} not JSON ({error})") from error


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return dict(pairs)
