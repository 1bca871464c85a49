"""Read the requested columns from a file of any accepted format."""

import contextlib
import csv
import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from halfbert.data import json_tables, packed, text_folders, workbooks
from halfbert.data.cells import as_spelt
from halfbert.data.characters import is_blank
from halfbert.data.decoding import decoded
from halfbert.data.phrases import counted, listed
from halfbert.data.tables import EVERY_OTHER, Layout, Table, column_names, locate
from halfbert.system.errors import InputError
from halfbert.system.storage import sha256

WORKBOOK_SUFFIXES = (".xlsx", ".xlsm")
DELIMITED_SUFFIXES = (".csv", ".tsv")
JSON_LINES_SUFFIXES = (".jsonl", ".ndjson")
ARRAY_SUFFIX = ".json"
TEXT_SUFFIXES = (*DELIMITED_SUFFIXES, *JSON_LINES_SUFFIXES, ARRAY_SUFFIX, text_folders.PLAIN)
WRITTEN_SUFFIXES = (*WORKBOOK_SUFFIXES, *DELIMITED_SUFFIXES, *JSON_LINES_SUFFIXES, ".parquet")
READ_SUFFIXES = (*WORKBOOK_SUFFIXES, *TEXT_SUFFIXES, ".parquet")
ACCEPTED_FILES = f"{', '.join(READ_SUFFIXES)}, text also as {packed.GZIP} or {packed.ZIP}"
FOLDER = "folder"

LONGEST_CELL = 2**31 - 1  # characters: as much as the csv module accepts on every platform
DELIMITERS = ",;\t|"
SEARCHED_FOR_HEADER, SEARCHED_CHARACTERS = 20, 2**16  # below the header, for the row that the user may have meant


def format_of(path: Path) -> str:
    """FOLDER, or the ending that tells the format of a file (`packed.suffix_of`)."""
    return FOLDER if path.is_dir() else packed.suffix_of(path)


def read_file(path: Path, columns: Sequence[str], layout: Layout, role: str) -> Table:
    """Read `columns` (`sources.read_table`) of a file in the format of its ending, which is checked against its content.

    A folder has a file for each text, and perhaps a folder for each `role`.
    """
    if path.is_dir():
        return text_folders.read(path, columns, role, layout.encoding)
    if not beginning(path):
        raise InputError(f"{path}: is empty")
    suffix = packed.suffix_of(path)
    check_format(path, suffix, " or hf:NAME[:CONFIG]")
    if suffix in WORKBOOK_SUFFIXES:
        table = _read_workbook(path, columns, layout)
    elif suffix == ".parquet":
        table = _read_parquet(path, columns)
    else:
        text = read_text(path, layout.encoding)
        if suffix in DELIMITED_SUFFIXES:
            table = _read_delimited(path, text, suffix, columns, layout)
        elif suffix == text_folders.PLAIN:
            table = text_folders.read_lines(path, text, columns)
        else:
            array = suffix == ARRAY_SUFFIX and json_tables.is_array(text)
            table = json_tables.read(path, text, columns, array)
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


def check_format(path: Path, suffix: str, or_else: str = "") -> None:
    """Raise InputError for a file that `suffix` says is of no format that is read, or not of one that is read packed."""
    if packed.is_packed(path) and suffix not in TEXT_SUFFIXES:
        holds = f"holds a {suffix} file" if suffix else "does not say by its name which format it holds"
        raise InputError(f"{path}: {holds}; packed files are read where they are {', '.join(TEXT_SUFFIXES)}")
    if suffix == ".xls":
        raise InputError(f"{path}: .xls is the legacy Excel format; save it as .xlsx")
    if suffix not in READ_SUFFIXES:
        ending = suffix or "a file without an ending"
        raise InputError(f"{path}: tables are read from {ACCEPTED_FILES}{or_else}, not from {ending}")


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


def _read_workbook(path: Path, wanted: Sequence[str], layout: Layout) -> Table:
    cells = workbooks.read_sheet(path, layout.sheet)
    others = f"; other sheets: {', '.join(cells.others)}; choose one with --sheet" if cells.others else ""
    file = f"{path}, sheet {cells.name!r}" if cells.others else str(path)
    first = workbook_header(path, cells, layout.header_row)
    hint = header_hint(enumerate(cells.rows[first + 1 :], start=first + 2), wanted, layout.header_row)
    positions = locate(file, cells.header(first), wanted, hint + others)
    table = _table_of_records(str(path), positions, cells.rows[first + 1 :], range(first + 2, len(cells.rows) + 1))
    for name, position in positions.items():
        below = {number - first - 2 for number, column in cells.formulas if column == position}
        table.formulas[name] = {index for index in below if index >= 0}  # above stand the header and titles
    if layout.sheet is None and cells.others:
        table.notes = [f"{path}: read sheet {cells.name!r}; there is also {', '.join(cells.others)} (--sheet)"]
    elif cells.hidden:
        table.notes = [f"{path}: read sheet {cells.name!r}, which is hidden"]
    table.merged = merged_cells(path, cells.merged, positions, first + 2, len(table.numbers))
    table.notes += hidden_columns_note(path, cells, positions)
    hidden = sorted(cells.hidden_rows.intersection(table.numbers))
    table.hidden_rows = len(hidden)
    if hidden:
        where = listed([str(number) for number in hidden])
        table.notes.append(
            f"{path}: {counted(len(hidden), 'row')} hidden, by a filter or by hand, and read like the others: row {where}"
        )
    return table


def workbook_header(path: Path, cells: workbooks.Sheet, header_row: int | None) -> int:
    """The index of the row of the names of the columns. Raises InputError if it is empty."""
    filled = (index for index, row in enumerate(cells.rows) if any(cell is not None for cell in row))
    first = next(filled, None)
    if first is None:
        others = f"; other sheets: {', '.join(cells.others)}; choose one with --sheet" if cells.others else ""
        raise InputError(f"{path}: sheet {cells.name!r} is empty{others}")
    if header_row is None or header_row == first + 1:
        return first
    if header_row - 1 not in filled:
        raise InputError(f"--header-row {header_row}: is empty in {path}, sheet {cells.name!r}; name the row of the columns")
    return header_row - 1


def hidden_columns_note(path: Path, cells: workbooks.Sheet, positions: dict[str, int]) -> list[str]:
    """A line that names the columns read that are hidden, if there are any."""
    hidden = [repr(name) for name, position in positions.items() if position in cells.hidden_columns]
    count = f"{counted(len(hidden), 'column')} hidden, and read like the others"
    return [f"{path}: {count}: {listed(hidden)}"] if hidden else []


def merged_cells(
    path: Path, areas: Iterable[workbooks.Merged], positions: dict[str, int], first: int, count: int
) -> dict[str, list[range]]:
    """The rows, by index, over which cells of the columns read are merged; row `first` is the first of `count`.

    Raises InputError for a merged range of which it is not certain what each row has.
    """
    merged: dict[str, list[range]] = {}
    for area in areas:
        rows = range(area.first_row - first, min(area.last_row - first + 1, count))
        covered = [name for name, position in positions.items() if area.first_column <= position <= area.last_column]
        if rows.stop <= 0 or rows.start >= count or not covered:
            continue
        if rows.start < 0 or len(covered) > 1 or positions[covered[0]] != area.first_column:
            over = "the header and rows below it" if rows.start < 0 else "several columns"
            raise InputError(f"{path}: the cells {area.name} are merged over {over}; unmerge them in a spreadsheet program")
        if len(rows) > 1:
            merged.setdefault(covered[0], []).append(rows)
    return merged


def header_hint(rows: Iterable[tuple[int, Sequence[Any]]], wanted: Sequence[str], header_row: int | None) -> str:
    """What a message about a missing column is to add, if one of these numbered rows names all that are wanted."""
    names, found = set(wanted) - {EVERY_OTHER}, False
    for number, row in itertools.islice(rows, SEARCHED_FOR_HEADER if header_row is None else 0):
        with contextlib.suppress(InputError):  # a cell that is no name
            found = names <= set(column_names(row, ""))
        if found:
            return f"; row {number} names them: is it the header (--header-row {number})?"
    return ""


def read_text(path: Path, encoding: str | None) -> str:
    """The text of a file, unpacked and decoded. Raises InputError if it is broken, or blank."""
    text = decoded(path, packed.read(path), encoding)
    if is_blank(text):
        raise InputError(f"{path}: is empty")
    return text


def _read_delimited(path: Path, text: str, suffix: str, wanted: Sequence[str], layout: Layout) -> Table:
    lines: Iterable[str] = io.StringIO(text, newline="")
    above = lines_above(lines, layout.header_row)
    below = text[sum(map(len, above)) :]
    if is_blank(below):
        raise InputError(f"--header-row {layout.header_row}: {path} has no more than {counted(len(above), 'line')}")
    delimiter = layout.delimiter or delimiter_of(below, suffix, wanted)
    numbered = records_of(path, lines, delimiter, len(above))
    header: list[str] = []
    records, numbers = [], []
    for line, _, cells in numbered:
        if is_no_row(cells, header):
            check_header_line(path, cells, header, layout.header_row)
            continue
        if not header:
            header = cells
            hint = delimited_hint(path, below[:SEARCHED_CHARACTERS], len(above), wanted, layout)
            positions = locate(str(path), header, wanted, hint)
            continue
        check_cells(path, line, cells, header)
        records.append(cells)
        numbers.append(line)
    return _table_of_records(str(path), positions, records, numbers)


def lines_above(lines: Iterable[str], header_row: int | None) -> list[str]:
    """Take the lines above the header off the lines of a text."""
    return list(itertools.islice(lines, (header_row or 1) - 1))


def check_header_line(path: Path, cells: Sequence[str], header: Sequence[str], header_row: int | None) -> None:
    """Raise InputError if the line that is to be the header is empty."""
    if header_row is not None and not header:
        raise InputError(f"--header-row {header_row}: is empty in {path}; name the line of the columns")


def delimited_hint(path: Path, text: str, above: int, wanted: Sequence[str], layout: Layout) -> str:
    """`header_hint` of a csv file, whose titles may have hidden what separates its cells; `text` begins with the header."""
    signs = layout.delimiter or DELIMITERS
    hints = (header_hint(_next_records(path, text, sign, above), wanted, layout.header_row) for sign in signs)
    return next(filter(None, hints), "")


def _next_records(path: Path, text: str, delimiter: str, above: int) -> Iterator[tuple[int, list[str]]]:
    """The records below the header with their lines, for a hint: what is broken is not reported here."""
    try:
        for line, _, cells in itertools.islice(records_of(path, io.StringIO(text, newline=""), delimiter, above), 1, None):
            yield line, cells
    except InputError:
        return


def delimiter_of(text: str, suffix: str, wanted: Sequence[str]) -> str:
    """The delimiter of a file that begins with `text`: a tab in tsv; in csv a comma, unless its header makes sense otherwise.

    That is with the semicolon or tab of a European Excel, or with a bar.
    """
    csv.field_size_limit(LONGEST_CELL)
    if suffix == ".tsv":
        return "\t"

    def sense(delimiter: str) -> tuple[int, int]:
        header = next(filter(None, csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)))
        names = column_names(header, "")
        return sum(column in names for column in wanted), min(len(header), 2)

    return max(DELIMITERS, key=sense)  # the first of equals


def is_no_row(cells: Sequence[str], header: Sequence[str]) -> bool:
    """Whether a record is an empty line, or a blank one in a table of several columns."""
    return not cells or (len(header) > 1 and len(cells) == 1 and is_blank(cells[0]))


def check_cells(path: str | Path, line: int, cells: Sequence[str], header: Sequence[str]) -> None:
    """Raise InputError, naming the line, if a record has another number of cells than the header."""
    if len(cells) != len(header):
        raise InputError(
            f"{path}: line {line} has {counted(len(cells), 'cell')} and the header has {len(header)}; "
            "a cell that holds the delimiter or a line break goes in double quotes"
        )


def records_of(path: str | Path, lines: Iterable[str], delimiter: str, above: int = 0) -> Iterator[tuple[int, str, list[str]]]:
    """Yield (line on which the record starts, its text as it stands there, its cells); an empty line has no cells.

    `above` is how many lines of the file stand above these.
    """
    raw: list[str] = []

    def noted() -> Iterator[str]:
        for text in lines:
            raw.append(text)
            yield text

    csv.field_size_limit(LONGEST_CELL)  # the module's default is 131,072 characters; a long text is no fault
    # `strict`, since the lenient reader silently eats quotes and, after one that is never closed, rows.
    reader = csv.reader(noted(), delimiter=delimiter, strict=True)
    while True:
        line = above + reader.line_num + 1
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
