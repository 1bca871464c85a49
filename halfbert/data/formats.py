"""Read the columns that are asked for from a file of any accepted format, or from a Hugging Face data set."""

import codecs
import contextlib
import csv
import datetime
import decimal
import difflib
import importlib
import io
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from halfbert.data import workbooks
from halfbert.system.errors import InputError, ResourceError
from halfbert.system.storage import sha256

WORKBOOK_SUFFIXES = (".xlsx", ".xlsm")
DELIMITED_SUFFIXES = (".csv", ".tsv")
JSON_LINES_SUFFIXES = (".jsonl", ".ndjson")
TEXT_SUFFIXES = DELIMITED_SUFFIXES + JSON_LINES_SUFFIXES
ACCEPTED = ", ".join((*WORKBOOK_SUFFIXES, *TEXT_SUFFIXES, ".parquet")) + " or hf:NAME[:CONFIG]"

EVERY_OTHER = "\0"  # stands for every other column that has a name; itself the name of none

HUB_PREFIX = "hf:"
HUB_SPLITS = {"train": ("train",), "val": ("validation", "val", "dev", "valid"), "test": ("test",)}

# The longer mark first: UTF-32 begins as UTF-16 does.
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
SURROGATE = re.compile("[\ud800-\udfff]")
LONGEST_CELL = 2**31 - 1  # characters: as much as the csv module can be told on every platform


@dataclass
class Table:
    """The columns that were asked for, one value a row, as the file holds them.

    `numbers` are what the spreadsheet program or the editor shows beside a row (the line on which a csv record starts);
    a parquet file or hub data set has no such thing, and its rows are counted from 1. `formulas` names for each column
    the indices of rows whose text was read back from a formula. `sha256` is the fingerprint for a hub data set.
    """

    file: str
    sha256: str
    columns: dict[str, list]
    numbers: list[int]
    formulas: dict[str, set[int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_table(
    source: str | Path, columns: Sequence[str], *, role: str, sheet: str | None = None, encoding: str | None = None
) -> Table:
    """Read `columns` of a file, or of the split of a hub data set that `role` (train, val or test) names.

    EVERY_OTHER among the columns stands for all that are not asked for by name, in the order of the file. The format goes by
    the ending of the name, and is checked against the content. A table without rows is a valid one.

    Raises InputError, naming file, line or column, for anything that cannot be read with certainty; ResourceError when
    the hub is out of reach.
    """
    if str(source).startswith(HUB_PREFIX):
        return _read_hub(str(source), columns, role)
    path = Path(source)
    _check_readable(path)
    suffix = path.suffix.lower()
    if suffix in WORKBOOK_SUFFIXES:
        table = _read_workbook(path, columns, sheet)
    elif suffix in DELIMITED_SUFFIXES:
        table = _read_delimited(path, columns, encoding)
    elif suffix in JSON_LINES_SUFFIXES:
        table = _read_json_lines(path, columns, encoding)
    elif suffix == ".parquet":
        table = _read_parquet(path, columns)
    elif suffix == ".xls":
        raise InputError(f"{path}: .xls is the legacy Excel format; save it as .xlsx")
    else:
        raise InputError(f"{path}: tables are read from {ACCEPTED}, not from {suffix or 'a file without an ending'}")
    table.sha256 = sha256(path)
    return table


def row_word(file: str) -> str:
    """What the number of a row counts in this file: "line" in a text file, else "row"."""
    return "line" if Path(file).suffix.lower() in TEXT_SUFFIXES and not file.startswith(HUB_PREFIX) else "row"


def listed(items: Sequence[str], most: int = 5) -> str:
    """The first few items in one line, and how many more there are."""
    more = f" and {len(items) - most:,} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more


def cell_text(value, place: str) -> str | None:
    """The text of one cell as people see it (3 and not 3.0), or None when it is empty or blank.

    Raises InputError, beginning with `place`, for a value that is no text, number or date.
    """
    if value is None or (isinstance(value, float | decimal.Decimal) and math.isnan(value)):
        return None
    if isinstance(value, str):
        if not value.isascii() and SURROGATE.search(value):
            raise InputError(f"{place}: holds half of a character (a lone surrogate); the text was cut or mis-encoded")
        return value if value.strip() else None
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return str(value.date())
    if isinstance(value, bool | int | float | decimal.Decimal | datetime.date | datetime.time | datetime.timedelta):
        return str(value)
    raise InputError(f"{place}: holds a {type(value).__name__} where a text or a number is expected")


def _check_readable(path: Path) -> None:
    try:
        if path.is_dir():
            raise InputError(f"{path}: is a folder; give one file, or hf:{path} for the folder of a data set")
        with path.open("rb") as stream:
            if not stream.read(1):
                raise InputError(f"{path}: is empty")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def _locate(file: str, names: Sequence[str], wanted: Sequence[str]) -> dict[str, int]:
    """The position of each wanted column among the names of a table, EVERY_OTHER filled in."""
    asked = [column for column in wanted if column != EVERY_OTHER]
    if EVERY_OTHER in wanted:
        asked += [name for name in dict.fromkeys(names) if name and name not in wanted]
    positions = {}
    for column in asked:
        found = [position for position, name in enumerate(names) if name == column]
        if len(found) > 1:
            raise InputError(f"{file}: has {len(found)} columns named {column!r}; give each its own name")
        if not found:
            near = difflib.get_close_matches(column, names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            named = [repr(name) for name in names if name]
            raise InputError(f"{file}: has no column {column!r}; its columns are {listed(named, 30)}{hint}")
        positions[column] = found[0]
    return positions


def _table_of_records(
    file: str, header: Sequence, records: Sequence[Sequence], numbers: Sequence[int], wanted: Sequence[str]
) -> tuple[Table, dict[str, int]]:
    """Take the wanted columns out of records, less the blank ones at the end that spreadsheet programs leave behind."""
    names = [(cell_text(cell, f"{file}, header") or "").strip() for cell in header]
    positions = _locate(file, names, wanted)
    end = len(records)
    while end and all(cell is None or (isinstance(cell, str) and not cell.strip()) for cell in records[end - 1]):
        end -= 1
    columns = {
        name: [record[position] if position < len(record) else None for record in records[:end]]
        for name, position in positions.items()
    }
    return Table(file, "", columns, list(numbers[:end])), positions


def _read_workbook(path: Path, wanted: Sequence[str], sheet: str | None) -> Table:
    cells = workbooks.read_sheet(path, sheet)
    first = next((index for index, row in enumerate(cells.rows) if any(cell is not None for cell in row)), None)
    if first is None:
        raise InputError(f"{path}: sheet {cells.name!r} is empty")
    numbers = range(first + 2, len(cells.rows) + 1)
    table, positions = _table_of_records(str(path), cells.rows[first], cells.rows[first + 1 :], numbers, wanted)
    name_at = {position: name for name, position in positions.items()}
    for number, position in cells.formulas:
        if position in name_at and number >= first + 2:
            table.formulas.setdefault(name_at[position], set()).add(number - first - 2)
    if sheet is None and cells.others:
        table.notes.append(f"{path}: read sheet {cells.name!r}; there is also {', '.join(map(repr, cells.others))} (--sheet)")
    return table


def _read_text(path: Path, encoding: str | None) -> str:
    """The text of a file, decoded as its byte-order mark says, else as `encoding`, else as UTF-8."""
    data = path.read_bytes()
    if data.startswith(workbooks.ZIP_SIGNATURE):
        raise InputError(f"{path}: is an Excel workbook named {path.suffix}; give it the ending .xlsx")
    if data.startswith(workbooks.OLE2_SIGNATURE):
        raise InputError(f"{path}: {workbooks.describe_ole2(path)}")
    codec = _codec(path, data, encoding)
    try:
        text = data.decode(codec)
    except UnicodeDecodeError as error:
        line = _line(data[: error.start].decode(codec, errors="replace"))
        hint = "" if encoding else "; if it was saved by Excel, try --encoding cp1252"
        raise InputError(f"{path}: line {line} is not {codec.removesuffix('-sig')} text{hint}") from error
    if "\0" in text:
        line = _line(text[: text.index("\0")])
        raise InputError(f"{path}: line {line} holds a NUL byte; if the file is UTF-16, give --encoding utf-16-le")
    if not text.strip():
        raise InputError(f"{path}: is empty")
    return text


def _codec(path: Path, data: bytes, encoding: str | None) -> str:
    marked = next((codec for mark, codec in BYTE_ORDER_MARKS.items() if data.startswith(mark)), None)
    if encoding is None:
        return marked or "utf-8"
    try:
        asked = codecs.lookup(encoding).name
        b"a".decode(encoding, errors="replace")  # some codecs, such as hex, are not for text
    except (LookupError, ValueError) as error:
        raise InputError(f"--encoding {encoding}: no such encoding; try utf-8, utf-16 or cp1252") from error
    if marked and not asked.startswith(marked.removesuffix("-sig")):
        raise InputError(f"{path}: begins with the mark of {marked.removesuffix('-sig')}; leave out --encoding {encoding}")
    return marked or encoding


def _line(text_before: str) -> int:
    """The number of the line on which `text_before` ends."""
    return len(re.findall(r"\r\n?|\n", text_before)) + 1


def _read_delimited(path: Path, wanted: Sequence[str], encoding: str | None) -> Table:
    text = _read_text(path, encoding)
    with _long_cells():
        delimiter = "\t" if path.suffix.lower() == ".tsv" else _delimiter(text, wanted)
        numbered = _records(path, text, delimiter)
        _, header = next(numbered)
        records, numbers = [], []
        for line, cells in numbered:
            if len(header) > 1 and len(cells) == 1 and not cells[0].strip():
                continue
            if len(cells) != len(header):
                raise InputError(
                    f"{path}: line {line} has {len(cells)} cells and the header has {len(header)}; "
                    "a cell that holds the delimiter or a line break goes in double quotes"
                )
            records.append(cells)
            numbers.append(line)
    return _table_of_records(str(path), header, records, numbers, wanted)[0]


@contextlib.contextmanager
def _long_cells() -> Iterator[None]:
    """Let a cell be longer than the csv module's 131,072 characters: a long text is not a fault."""
    before = csv.field_size_limit(LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _delimiter(text: str, wanted: Sequence[str]) -> str:
    """A comma, unless the header makes more sense with the semicolon or tab of a European Excel."""

    def sense(delimiter: str) -> tuple[int, int]:
        header = next(filter(None, csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)))
        names = {name.strip() for name in header}
        return sum(column in names for column in wanted), min(len(header), 2)

    return max(",;\t", key=sense)  # the first of equals


def _records(path: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line on which the record starts, its cells) for each record that is not an empty line."""
    # `strict`, since the lenient reader silently eats quotes and, after one that is never closed, rows.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
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
        if cells:
            yield line, cells


def _read_json_lines(path: Path, wanted: Sequence[str], encoding: str | None) -> Table:
    # Not splitlines(): U+2028 and its like may stand inside a JSON string.
    lines = _read_text(path, encoding).split("\n")
    numbered = [(number, _json_object(path, number, line)) for number, line in enumerate(lines, start=1) if line.strip()]
    names = list(dict.fromkeys(name for _, row in numbered for name in row))
    columns = {name: [row.get(name) for _, row in numbered] for name in _locate(str(path), names, wanted)}
    return Table(str(path), "", columns, [number for number, _ in numbered])


def _json_object(path: Path, number: int, line: str) -> dict:
    def without_repeats(pairs: list[tuple]) -> dict:
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
            positions = _locate(str(path), stored.schema_arrow.names, wanted)
            cells = stored.read(columns=list(positions))
            columns = {name: cells.column(name).to_pylist() for name in positions}
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{path}: is not a whole parquet file ({workbooks.first_line(error)})") from error
    return Table(str(path), "", columns, list(range(1, cells.num_rows + 1)))


def _read_hub(source: str, wanted: Sequence[str], role: str) -> Table:
    """Read a split through `datasets.load_dataset`; a local folder is a name as well."""
    try:
        datasets = importlib.import_module("datasets")
    except ImportError as error:
        raise InputError(f"{source}: reading from the hub needs the package datasets: pip install datasets") from error
    name = source.removeprefix(HUB_PREFIX)
    config = None
    if not Path(name).is_dir():
        name, _, config = name.partition(":")
    try:
        splits = datasets.load_dataset(name, config or None)
    except ConnectionError as error:
        raise ResourceError(
            f"{source}: the hub is out of reach ({workbooks.first_line(error)}); give a local file or folder"
        ) from error
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise InputError(f"{source}: cannot be loaded ({workbooks.first_line(error)})") from error
    split = next((splits[name] for name in HUB_SPLITS[role] if name in splits), None)
    if split is None:
        raise InputError(f"{source}: has no {HUB_SPLITS[role][0]} split; its splits are {', '.join(splits)}")
    columns = {name: _hub_column(split, name) for name in _locate(source, split.column_names, wanted)}
    return Table(source, split._fingerprint, columns, list(range(1, split.num_rows + 1)))


def _hub_column(split, name: str) -> list:
    """The values of a column; class numbers, also in lists, become class names, and the -1 of unlabelled test splits None."""
    feature = split.features[name]
    class_names = getattr(getattr(feature, "feature", feature), "names", None)
    if class_names is None:
        return list(split[name])

    def named(value):
        if isinstance(value, list):
            return [named(each) for each in value]
        return None if value is None or value < 0 else class_names[value]

    return [named(value) for value in split[name]]
