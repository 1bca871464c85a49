"""Read one sheet of an Excel workbook as rows of cell values, without trusting what the file says about itself.

Format: ECMA-376 part 1 (SpreadsheetML). Knows openpyxl, and nothing of what the columns mean.
"""

import contextlib
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from halfbert.data.phrases import counted
from halfbert.system.errors import InputError

OLE2_SIGNATURE = b"\xd0\xcf\x11\xe0"
ZIP_SIGNATURE = b"PK\x03\x04"

MAX_MEMBERS = 10_000
MAX_UNPACKED_BYTES = 2 * 2**30
MAX_RATIO = 200
RATIO_MATTERS_FROM_BYTES = 10 * 2**20
LAST_COLUMN = 16_384
LAST_ROW = 1_048_576  # of any sheet; a row that claims a higher number is not waited for
PIECE = 2**20  # bytes of a sheet's XML that are searched at once
TAG = re.compile(rb"<(?:\w+:)?(row|col|mergeCell)\b[^>]*>")
ATTRIBUTE = re.compile(rb"""\s(\w+)\s*=\s*["']([^"']*)["']""")


class Merged(NamedTuple):
    """A merged range of cells, by row numbers from 1 and column indices from 0, the last ones included; `name` is as B2:B5."""

    name: str
    first_row: int
    last_row: int
    first_column: int
    last_column: int


class Sheet(NamedTuple):
    """The cells of one sheet. `formulas` holds (row number from 1, column index from 0) of formulas read as text.

    Of a merged range the first cell alone has a value. `hidden_columns` are indices from 0. `others` are the other sheets of
    cells, quoted for a message; hidden ones are marked as such.
    """

    rows: list[list[Any]]
    formulas: set[tuple[int, int]]
    name: str
    others: list[str]
    hidden: bool
    hidden_rows: set[int]
    hidden_columns: set[int]
    merged: list[Merged]

    def header(self, index: int) -> list[Any]:
        """The cells of the row of that index, with what merged ranges from above put into it."""
        cells = list(self.rows[index])
        for area in self.merged:
            if area.first_row <= index < area.last_row:
                cells += [None] * (area.first_column + 1 - len(cells))
                above = self.rows[area.first_row - 1]
                cells[area.first_column] = above[area.first_column] if area.first_column < len(above) else None
        return cells


def read_sheet(path: Path, sheet: str | None = None) -> Sheet:
    """Read the sheet of that name (default: the first that is not hidden) from row 1 on; empty rows are empty lists.

    A formula gives the value stored for it. Where none is stored, or an error, it gives the formula itself: a text that
    begins with "=" is kept that way by a workbook, and pandas answers NaN for it.

    Raises InputError when the file is not a workbook, is encrypted, broken or unpacks to too much, or lacks the sheet.
    """
    _check_signature(path)
    with reported_as_broken(path):
        _check_unpacked_size(path)
        read = _read_formulas(path, sheet)
        if read.formulas:
            _put_stored_values(path, read.name, read.rows, read.formulas)
    return read


def _check_signature(path: Path) -> None:
    """Raise InputError, naming the format found, unless the file begins as a zip archive does."""
    with path.open("rb") as stream:
        start = stream.read(4096)
    if start.startswith(ZIP_SIGNATURE):
        return
    if start.startswith(OLE2_SIGNATURE):
        raise InputError(f"{path}: {describe_ole2(path)}")
    if b"\0" not in start:
        raise InputError(f"{path}: is plain text and not an Excel workbook; give it the ending .csv or .tsv")
    raise InputError(f"{path}: is not an Excel workbook, whatever its name says")


def describe_ole2(path: Path) -> str:
    """Say which of the two kinds of Excel file an OLE2 container is (MS-OFFCRYPTO 2.3, MS-XLS 2.1)."""
    if "EncryptedPackage".encode("utf-16-le") in path.read_bytes():
        return "is an encrypted Excel workbook; open it with its password and save it without one"
    return "is a legacy Excel workbook (.xls); save it as .xlsx"


@contextlib.contextmanager
def reported_as_broken(path: Path) -> Iterator[None]:
    """Turn whatever zipfile and openpyxl raise for a broken or hostile part into one InputError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openpyxl warns of styles and validation rules, which no table needs
            yield
    except (InputError, MemoryError):
        raise
    except Exception as error:
        causes = (error, error.__cause__, error.__context__)
        if any(type(cause).__module__.startswith("defusedxml") for cause in causes):
            raise InputError(f"{path}: holds XML entities, which no spreadsheet program writes; not opened") from error
        raise InputError(f"{path}: is not a whole Excel workbook ({first_line(error)})") from error


def first_line(error: Exception) -> str:
    """The first line of what an error says, for a message that is one line."""
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__


def _check_unpacked_size(path: Path) -> None:
    """Look at the zip directory alone. zipfile reads no more of a member than the directory says, so it cannot lie."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise InputError(f"{path}: is packed from {counted(len(members), 'file')}, more than the {MAX_MEMBERS:,} accepted")
    unpacked = sum(member.file_size for member in members)
    if unpacked > MAX_UNPACKED_BYTES:
        raise InputError(
            f"{path}: unpacks to {unpacked / 2**30:,.1f} GiB, more than the {MAX_UNPACKED_BYTES / 2**30:g} GiB accepted"
        )
    for member in members:
        packed = max(member.compress_size, 1)
        if member.file_size > RATIO_MATTERS_FROM_BYTES and member.file_size > MAX_RATIO * packed:
            raise InputError(
                f"{path}: {member.filename} unpacks to {member.file_size // packed:,} times its size, more than the "
                f"{MAX_RATIO} accepted"
            )


@contextlib.contextmanager
def _open(path: Path, *, data_only: bool) -> Iterator[Any]:
    from openpyxl import load_workbook

    with contextlib.closing(load_workbook(path, read_only=True, data_only=data_only, keep_links=False)) as book:
        yield book


def _rows_of(worksheet: Any) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Each row with its number."""
    # A made-up dimension (A1:XFD1048576) would make every row 16,384 cells wide.
    worksheet.reset_dimensions()
    return enumerate(worksheet.iter_rows(max_row=LAST_ROW), start=1)


def _read_formulas(path: Path, sheet: str | None) -> Sheet:
    rows: list[list[Any]] = []
    formulas: set[tuple[int, int]] = set()
    with _open(path, data_only=False) as book:
        worksheets = {worksheet.title: worksheet for worksheet in book.worksheets if hasattr(worksheet, "iter_rows")}
        hidden = {name: worksheet.sheet_state != "visible" for name, worksheet in worksheets.items()}
        name = _choose(path, hidden, sheet)
        for number, cells in _rows_of(worksheets[name]):
            rows.append([_value(cell) for cell in cells])
            formulas.update((number, column) for column, cell in enumerate(cells) if cell.data_type == "f")
        marks = _marks(worksheets[name])
        others = _described({other: is_hidden for other, is_hidden in hidden.items() if other != name})
    return Sheet(rows, formulas, name, others, hidden[name], *marks)


def _described(hidden: dict[str, bool]) -> list[str]:
    return [f"{name!r} (hidden)" if is_hidden else repr(name) for name, is_hidden in hidden.items()]


def _choose(path: Path, hidden: dict[str, bool], sheet: str | None) -> str:
    """The sheet to read, of those that map to whether they are hidden."""
    if not hidden:
        raise InputError(f"{path}: has no sheet of cells")
    if sheet is None:
        visible = next((name for name, is_hidden in hidden.items() if not is_hidden), None)
        if visible is None:
            raise InputError(f"{path}: has hidden sheets only, {', '.join(_described(hidden))}; name one with --sheet")
        return visible
    if sheet not in hidden:
        raise InputError(f"{path}: has no sheet {sheet!r}; its sheets are {', '.join(_described(hidden))}")
    return sheet


def _marks(worksheet: Any) -> tuple[set[int], set[int], list[Merged]]:
    """The hidden rows and columns and the merged ranges of a sheet, which openpyxl does not pass on as it reads rows.

    The XML is searched in pieces, not parsed: a "<" that starts no tag is written as an entity.
    """
    number, rest = 0, b""
    rows, columns, merged = set[int](), set[int](), list[Merged]()
    with worksheet._get_source() as source:
        while piece := source.read(PIECE):
            piece = rest + piece
            end = piece.rfind(b">") + 1
            for tag in TAG.finditer(piece, 0, end):
                attributes = dict(ATTRIBUTE.findall(tag.group()))
                is_hidden = attributes.get(b"hidden") in (b"1", b"true")
                if tag[1] == b"row":
                    number = int(attributes.get(b"r", number + 1))
                    rows.update([number] if is_hidden else [])
                elif tag[1] == b"col":
                    columns.update(range(int(attributes[b"min"]) - 1, min(int(attributes[b"max"]), LAST_COLUMN) * is_hidden))
                else:
                    merged.append(_merged(attributes[b"ref"].decode()))
            rest = piece[end:]
    return rows, columns, sorted(merged, key=lambda area: area.first_row)


def _merged(reference: str) -> Merged:
    from openpyxl.utils import range_boundaries

    first_column, first_row, last_column, last_row = (each or 0 for each in range_boundaries(reference))
    return Merged(reference, first_row, last_row, first_column - 1, last_column - 1)


def _value(cell: Any) -> Any:
    """The value of a cell; None for an empty one and for an error such as #N/A."""
    from openpyxl.utils.escape import unescape

    if cell.data_type == "e":
        return None
    if cell.data_type == "f":
        return getattr(cell.value, "text", cell.value)  # an array formula is an object with a text
    if isinstance(cell.value, str) and "_x" in cell.value:
        return unescape(cell.value)  # _x000D_ is how a sheet writes a carriage return (ST_Xstring, 22.9.2.19)
    return cell.value


def _put_stored_values(path: Path, name: str, rows: list[list], formulas: set[tuple[int, int]]) -> None:
    """Replace each formula that has a stored value by it, and strike it off `formulas`."""
    columns_of_row: dict[int, list[int]] = {}
    for number, column in formulas:
        columns_of_row.setdefault(number, []).append(column)
    with _open(path, data_only=True) as book:
        for number, cells in _rows_of(book[name]):
            for column in columns_of_row.get(number, ()):
                cell = cells[column]
                # The type "str" with no value is a formula whose stored value is the empty text.
                if cell.data_type == "e" or (cell.value is None and cell.data_type != "str"):
                    continue
                rows[number - 1][column] = _value(cell)
                formulas.discard((number, column))
