"""Lists of label names in a cell: real ones, those written out as text by Python, JSON or numpy, and names with a separator."""

import ast
import contextlib
import json
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from halfbert.data import exports
from halfbert.data.cells import cell_text, is_missing, quoted
from halfbert.data.characters import is_blank
from halfbert.data.phrases import counted
from halfbert.data.tables import Findings, Table
from halfbert.system.errors import InputError

# ['a', "it's"], ["a", null], ('a',), {'a'}, ['a' 'b'], array(['a', 'b'], dtype=object), [np.str_('a')], [0 1 0], [a, b]
WRAPPED = re.compile(r"(?:\w+\.)?(?:array|list|set|tuple|frozenset)\((.*?)(?:,\s*dtype=[^)]*)?\)", re.DOTALL)
LIST_START = re.compile(r"\s*(?:\w+\.)?(?:[\[({]|array\(|list\(|set\(|tuple\(|frozenset\()")
BROKEN = re.compile(r"""\s*(?:[\[({]\s*['"]|\[\s*\[)""")
ITEM = re.compile(
    r"""\s*(?:\w+\.\w+\()?(?:[uUbB]?(?P<quoted>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(?P<bare>[^\s,'"\[\](){}][^,'"\[\](){}]*))\)?\s*,?\s*""",
    re.DOTALL,
)
CLOSING = {"[": "]", "(": ")", "{": "}"}
ABSENT = ("None", "null", "nan", "NaN", "NaT", "<NA>", "NA")
DIGITS = re.compile(r"[01]{2,}|[01]\.?0*(?:[\s,;|/]+[01]\.?0*)+")  # 010, 0 1 0, 0,1,0
NAMES_WANTED = (
    "give the names of the labels that apply, or one column of 0 and 1 for each label (train_multilabel.py --label-columns)"
)


LISTS_ARE_FOR = "texts with any number of labels are for train_multilabel.py, with --label-column"


@dataclass
class Cell:
    """The names in one cell. `written` says that its text is a list, `bare` that it is one whose items are not in quotes."""

    names: list[str]
    place: str
    text: str | None = None  # of a cell of text
    written: bool = False
    bare: bool = False


def read_names(table: Table, column: str, separator: str | None, findings: Findings) -> list[tuple[str, ...] | None]:
    """The labels of each row as its cell spells them; None where a labelling tool says that nobody has annotated it.

    A text such as "['a', 'b']" is a list wherever it stands; one without quotes, [a, b], if every text of the column is.
    Raises InputError for text with neither a list nor a `separator`, and for vectors of 0 and 1, which are no names.
    """
    if table.export:
        named = [exports.names_of(value, where, table.export) for value, where in table.cells(column)]
        return [names if names is None else tuple(names) for names in named]
    cells = [_read(value, where) for value, where in table.cells(column)]
    texts = [cell for cell in cells if cell.text is not None]
    if not all(cell.written for cell in texts):
        for cell in texts:
            cell.written = cell.written and not cell.bare
    lists = [cell for cell in texts if cell.written]
    for cell in texts:
        if not cell.written:
            text = cell.text or ""
            if BROKEN.match(text):
                raise InputError(f"{cell.place}: {quoted(text)} looks like a list of names and cannot be read as one")
            cell.names = text.split(separator) if separator else [text]
    _check_no_vectors([cell for cell in cells if cell.names])
    if separator is None and len(lists) < len(texts):
        where = next(cell.place for cell in texts if not cell.written)
        raise InputError(
            f"{where}: holds text and not a list of names; say with --label-separator what stands between two names in it"
        )
    if lists:
        findings.notes.append(
            f"{table.file}: column {column!r} has lists written as text in {counted(len(lists), 'row')}, such as "
            f"{quoted(lists[0].text or '')}; read as lists of names"
        )
    return [tuple(dict.fromkeys(name.strip() for name in cell.names if not is_blank(name))) for cell in cells]


def check_no_lists(table: Table, column: str) -> None:
    """Refuse lists where one label is expected."""
    values = [(value, where) for value, where in table.cells(column) if not is_missing(value)]
    cells = [_read(value, where) for value, where in values if not isinstance(value, str) or LIST_START.match(value)]
    if len(cells) == len(values):
        _check_no_vectors([cell for cell in cells if len(cell.names) > 1])
    for cell in cells:
        if cell.names and not cell.bare:
            shown = quoted(cell.text or str(cell.names))
            raise InputError(f"{cell.place}: holds the list {shown} where one label is expected; {LISTS_ARE_FOR}")


def check_no_list(value: Any, where: str) -> None:
    """Refuse a list in a column that answers for one label."""
    cell = _read(value, where)
    if cell.names and (cell.text is None or cell.written):
        _check_no_vectors([cell])
        raise InputError(
            f"{where}: holds a list where 0 or 1 is expected; if it is a list of names, give the column as --label-column"
        )


def _read(value: Any, where: str) -> Cell:
    if getattr(value, "ndim", 0):
        value = list(value)
    if isinstance(value, list | tuple | set | frozenset):
        return Cell([name for name in (cell_text(item, where) for item in value) if name], where)
    text = cell_text(value, where)
    if text is None:
        return Cell([], where)
    found = _written_list(text.strip())
    return Cell([], where, text) if found is None else Cell(found[0], where, text, True, found[1])


def _written_list(text: str) -> tuple[list[str], bool] | None:
    """The items of a list that is written as text, and whether they stand there without quotes; None for any other text."""
    wrapped = WRAPPED.fullmatch(text)
    text = (wrapped[1].strip() or "[]") if wrapped else text
    if CLOSING.get(text[:1]) != text[-1:]:
        return None
    items, inner, position, in_quotes = [], text[1:-1].strip(), 0, False
    while position < len(inner):
        item = ITEM.match(inner, position)
        if item is None or (item.end() < len(inner) and not (item.group()[-1].isspace() or item.group()[-1] == ",")):
            return None
        position = item.end()
        if item["quoted"]:
            in_quotes = True
            items.append(_unquoted(item["quoted"]))
        elif item["bare"].strip() not in ABSENT:
            words = item["bare"].split()
            items += words if all(map(_is_number, words)) else [item["bare"].strip()]
    bare = bool(items) and not in_quotes
    if bare and text[0] == "(" and not all(map(_is_number, items)):
        return None  # a remark in parentheses
    return items, bare


def _unquoted(literal: str) -> str:
    for read in (json.loads, ast.literal_eval) if "\\" in literal else ():
        with contextlib.suppress(ValueError, SyntaxError), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that Python does not know
            return str(read(literal))
    return literal[1:-1]


def _is_number(text: str) -> bool:
    """Whether it is a number from 0 to 1, as one that answers for a label is, or a truth value."""
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return text.removeprefix("np.").rstrip("_").casefold() in ("true", "false")


def _check_no_vectors(cells: Sequence[Cell]) -> None:
    """Refuse numbers from 0 to 1 that answer for each label in turn: lists of one length, or with a number twice."""
    names = [[name.strip() for name in cell.names] for cell in cells]
    if not names or not all(_is_number(name) for each in names for name in each):
        bits = [each[0] for each in names if len(each) == 1 and DIGITS.fullmatch(each[0])]
        if not bits or len(bits) < len(names) or len({len(each) for each in bits}) > 1:
            return
    elif len({len(each) for each in names}) > 1 and all(len(set(each)) == len(each) for each in names):
        return  # the numbers of the labels that apply
    first = cells[0]
    shown = first.text if first.text is not None else f"[{', '.join(first.names)}]"
    others = f", as do {counted(len(cells) - 1, 'other row')}" if len(cells) > 1 else ""
    raise InputError(f"{first.place}: holds {shown[:60]}, 0 and 1 in place of the names of labels{others}; {NAMES_WANTED}")
