"""Read the requested columns from a file of any accepted format."""

import codecs
import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from halfbert.data import workbooks
from halfbert.data.cells import as_spelt
from halfbert.data.characters import is_blank
from halfbert.data.phrases import listed, plural
from halfbert.data.tables import Table, column_names, locate
from halfbert.system.errors import InputError
from halfbert.system.storage import sha256

WORKBOOK_SUFFIXES = (".xlsx", ".xlsm")
DELIMITED_SUFFIXES = (".csv", ".tsv")
JSON_LINES_SUFFIXES = (".jsonl", ".ndjson")
TEXT_SUFFIXES = DELIMITED_SUFFIXES + JSON_LINES_SUFFIXES
FILE_SUFFIXES = (*WORKBOOK_SUFFIXES, *TEXT_SUFFIXES, ".parquet")
ACCEPTED_FILES = ", ".join(FILE_SUFFIXES)

# The longer mark first: UTF-32 begins as UTF-16 does.
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
LONGEST_CELL = 2**31 - 1  # characters: as much as the csv module accepts on every platform


def read_file(path: Path, columns: Sequence[str], sheet: str | None, encoding: str | None) -> Table:
    """Read `columns` (`sources.read_table`) of a file in the format of its ending, which is checked against its content."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give one file, or hf:{path} for the folder of a data set")
    if not beginning(path):
        raise InputError(f"{path}: is empty")
    suffix = path.suffix.lower()
    if suffix in WORKBOOK_SUFFIXES:
        table = _read_workbook(path, columns, sheet)
    elif suffix in DELIMITED_SUFFIXES:
        table = _read_delimited(path, columns, encoding)
    elif suffix in JSON_LINES_SUFFIXES:
        table = _read_json_lines(path, columns, encoding)
    elif suffix == ".parquet":
        table = _read_parquet(path, columns)
    else:
        raise unknown_format(path, " or hf:NAME[:CONFIG]")
    table.sha256 = sha256(path)
    return table


def beginning(path: Path) -> bytes:
    """The first byte of a file, none of an empty one. Raises InputError if it cannot be read."""
    try:
        with path.open("rb") as stream:
            return stream.read(1)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def unknown_format(path: Path, or_else: str = "") -> InputError:
    """The error for a file whose ending is that of no format."""
    if path.suffix.lower() == ".xls":
        return InputError(f"{path}: .xls is the legacy Excel format; save it as .xlsx")
    ending = path.suffix.lower() or "a file without an ending"
    return InputError(f"{path}: tables are read from {ACCEPTED_FILES}{or_else}, not from {ending}")


def _table_of_records(file: str, positions: dict[str, int], records: Sequence[Sequence[Any]], numbers: Sequence[int]) -> Table:
    """Take the columns out of records, less the blank ones at the end that spreadsheet programs leave behind."""
    end = len(records)
    while end and all(cell is None or (isinstance(cell, str) and is_blank(cell)) for cell in records[end - 1]):
        end -= 1
    columns = {
        name: [record[position] if position < len(record) else None for record in records[:end]]
        for name, position in positions.items()
    }
    return Table(file, columns, list(numbers[:end]))


def _read_workbook(path: Path, wanted: Sequence[str], sheet: str | None) -> Table:
    cells = workbooks.read_sheet(path, sheet)
    others = f"; other sheets: {', '.join(cells.others)}; choose one with --sheet" if cells.others else ""
    file = f"{path}, sheet {cells.name!r}" if cells.others else str(path)
    first = next((index for index, row in enumerate(cells.rows) if any(cell is not None for cell in row)), None)
    if first is None:
        raise InputError(f"{path}: sheet {cells.name!r} is empty{others}")
    positions = locate(file, cells.rows[first], wanted, others)
    table = _table_of_records(str(path), positions, cells.rows[first + 1 :], range(first + 2, len(cells.rows) + 1))
    for name, position in positions.items():
        below = {number - first - 2 for number, column in cells.formulas if column == position}
        table.formulas[name] = below - {-1}  # which is the header
    if sheet is None and cells.others:
        table.notes = [f"{path}: read sheet {cells.name!r}; there is also {', '.join(cells.others)} (--sheet)"]
    elif cells.hidden:
        table.notes = [f"{path}: read sheet {cells.name!r}, which is hidden"]
    hidden = sorted(cells.hidden_rows.intersection(table.numbers))
    table.hidden_rows = len(hidden)
    if hidden:
        where = listed([str(number) for number in hidden])
        table.notes.append(
            f"{path}: {plural(len(hidden), 'row')} hidden, by a filter or by hand, and read like the others: row {where}"
        )
    return table


def _read_text(path: Path, encoding: str | None) -> str:
    """The text of a file, decoded as its byte-order mark says, else as `encoding`, else as UTF-8."""
    data = path.read_bytes()
    check_is_no_workbook(path, data)
    codec = codec_of(path, data, encoding)
    try:
        text = data.decode(codec)
    except UnicodeDecodeError as error:
        line = line_number(data[: error.start].decode(codec, errors="replace"))
        hint = "" if encoding else "; if it was saved by Excel, try --encoding cp1252"
        raise InputError(f"{path}: line {line} is not {codec.removesuffix('-sig')} text{hint}") from error
    if "\0" in text:
        line = line_number(text[: text.index("\0")])
        raise InputError(f"{path}: line {line} holds a NUL byte; if the file is UTF-16, give --encoding utf-16-le")
    text = text.lstrip("\ufeff")  # a second mark, from a program that added its own
    if is_blank(text):
        raise InputError(f"{path}: is empty")
    return text


def check_is_no_workbook(path: Path, start: bytes) -> None:
    """Raise InputError if a text file begins as an Excel workbook does."""
    if start.startswith(workbooks.ZIP_SIGNATURE):
        raise InputError(f"{path}: is an Excel workbook named {path.suffix}; give it the ending .xlsx")
    if start.startswith(workbooks.OLE2_SIGNATURE):
        raise InputError(f"{path}: {workbooks.describe_ole2(path)}")


def codec_of(path: Path, data: bytes, encoding: str | None) -> str:
    """The codec of a text file that begins with `data`: its byte-order mark's, else `encoding`, else UTF-8."""
    marked = next((codec for mark, codec in BYTE_ORDER_MARKS.items() if data.startswith(mark)), None)
    if encoding is None:
        return marked or "utf-8"
    try:
        requested = codecs.lookup(encoding).name
        b"a".decode(encoding, errors="replace")  # some codecs, such as hex, are not for text
    except (LookupError, ValueError) as error:
        raise InputError(f"--encoding {encoding}: no such encoding; try utf-8, utf-16 or cp1252") from error
    if marked and not requested.startswith(marked.removesuffix("-sig")):
        raise InputError(f"{path}: begins with the mark of {marked.removesuffix('-sig')}; leave out --encoding {encoding}")
    return marked or encoding


def line_number(text_before: str) -> int:
    """The number of the line on which `text_before` ends."""
    return len(re.findall(r"\r\n?|\n", text_before)) + 1


def _read_delimited(path: Path, wanted: Sequence[str], encoding: str | None) -> Table:
    text = _read_text(path, encoding)
    delimiter = "\t" if path.suffix.lower() == ".tsv" else delimiter_of(text, wanted)
    numbered = records_of(path, io.StringIO(text, newline=""), delimiter)
    header: list[str] = []
    records, numbers = [], []
    for line, _, cells in numbered:
        if is_no_row(cells, header):
            continue
        if not header:
            header = cells
            continue
        check_cells(path, line, cells, header)
        records.append(cells)
        numbers.append(line)
    return _table_of_records(str(path), locate(str(path), header, wanted), records, numbers)


def delimiter_of(text: str, wanted: Sequence[str]) -> str:
    """A comma, unless the header makes more sense with the semicolon or tab of a European Excel; `text` begins with it."""
    csv.field_size_limit(LONGEST_CELL)

    def sense(delimiter: str) -> tuple[int, int]:
        header = next(filter(None, csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)))
        names = column_names(header, "")
        return sum(column in names for column in wanted), min(len(header), 2)

    return max(",;\t", key=sense)  # the first of equals


def is_no_row(cells: Sequence[str], header: Sequence[str]) -> bool:
    """Whether a record is an empty line, or a blank one in a table of several columns."""
    return not cells or (len(header) > 1 and len(cells) == 1 and is_blank(cells[0]))


def check_cells(path: str | Path, line: int, cells: Sequence[str], header: Sequence[str]) -> None:
    """Raise InputError, naming the line, if a record has another number of cells than the header."""
    if len(cells) != len(header):
        raise InputError(
            f"{path}: line {line} has {len(cells)} cells and the header has {len(header)}; "
            "a cell that holds the delimiter or a line break goes in double quotes"
        )


def records_of(path: str | Path, lines: Iterable[str], delimiter: str) -> Iterator[tuple[int, str, list[str]]]:
    """Yield (line on which the record starts, its text as it stands there, its cells); an empty line has no cells."""
    raw: list[str] = []

    def noted() -> Iterator[str]:
        for text in lines:
            raw.append(text)
            yield text

    csv.field_size_limit(LONGEST_CELL)  # the module's default is 131,072 characters; a long text is no fault
    # `strict`, since the lenient reader silently eats quotes and, after one that is never closed, rows.
    reader = csv.reader(noted(), delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "end of data" in str(error):
                raise InputError(f"{path}: line {line} opens a double quote that is never closed") from error
            raise InputError(
                f"{path}: the record on line {line} has a stray double quote ({error}); "
                "a quote inside a quoted cell is written twice"
            ) from error
        yield line, "".join(raw), cells
        raw.clear()


def _read_json_lines(path: Path, wanted: Sequence[str], encoding: str | None) -> Table:
    # Not splitlines(): U+2028 and its like may stand inside a JSON string.
    lines = re.split(r"\r\n?|\n", _read_text(path, encoding))
    numbered = [(number, json_object(path, number, line)) for number, line in enumerate(lines, start=1) if line.strip()]
    keys = list(dict.fromkeys(key for _, row in numbered for key in row))
    positions = locate(str(path), keys, wanted)
    columns = {name: [row.get(keys[position]) for _, row in numbered] for name, position in positions.items()}
    return Table(str(path), columns, [number for number, _ in numbered])


def json_object(path: str | Path, number: int, line: str) -> dict[str, Any]:
    """The object on a line of JSON. Raises InputError, naming the line, for anything else."""

    def without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise ValueError("a name stands twice in one object")
        return dict(pairs)

    try:
        row = json.loads(line, object_pairs_hook=without_repeats)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: line {number} is not JSON ({error})") from error
    if not isinstance(row, dict):
        raise InputError(f"{path}: line {number} is not a JSON object; each line holds one row, as an object")
    return row


def _read_parquet(path: Path, wanted: Sequence[str]) -> Table:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as stored:
            stored_names = stored.schema_arrow.names
            positions = locate(str(path), stored_names, wanted)
            cells = stored.read(columns=[stored_names[position] for position in positions.values()])
            columns = {}
            for name, position in positions.items():
                column = cells.column(stored_names[position])
                columns[name] = as_spelt(column.to_pylist(), str(column.type))
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{path}: is not a whole parquet file ({workbooks.first_line(error)})") from error
    return Table(str(path), columns, list(range(1, cells.num_rows + 1)))
