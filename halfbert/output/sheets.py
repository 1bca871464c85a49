"""Tables for spreadsheet programs and for Markdown: the one place that writes csv, xlsx and Markdown tables."""

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from halfbert.output.words import one_line, printable
from halfbert.system import storage

# The full-width signs are formulas too where Excel speaks Japanese.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
EXCEL_ESCAPE = re.compile(r"_(?=x[0-9A-Fa-f]{4}_)")  # "_x0041_" in a workbook is read as "A"
LONGEST_FIELD = 2**31 - 1  # of a csv cell; the module's own limit is 131,072
LONGEST_CELL = 32_767  # UTF-16 code units: Excel repairs a workbook that has longer ones by dropping them


def spreadsheet_safe(value: str) -> str:
    """Keep a csv cell from being run as a formula: one that begins as a formula does gets an apostrophe first.

    See OWASP, "CSV Injection". White space before the sign is no protection: Excel ignores it.
    """
    return f"'{value}" if value.startswith(FORMULA_STARTS) or value.lstrip().startswith(FORMULA_STARTS) else value


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """The rows as csv (RFC 4180: lines end with CR LF), no cell of which is run as a formula; what a row lacks is empty."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\r\n")
    writer.writerow({name: _csv_cell(name) for name in columns})
    writer.writerows({name: _csv_cell(value) for name, value in row.items()} for row in rows)
    return stream.getvalue()


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write `csv_text` in UTF-8 with a byte order mark, without which Excel takes it for the system's old code page."""
    storage.write_text(f"\ufeff{csv_text(columns, rows)}", path)


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a csv file that `write_csv` wrote, without the apostrophes that it added."""
    csv.field_size_limit(LONGEST_FIELD)
    with open(path, newline="", encoding="utf-8-sig") as stream:
        return [{name: _unquoted(value or "") for name, value in row.items()} for row in csv.DictReader(stream)]


def _unquoted(value: str) -> str:
    return value[1:] if value.startswith("'") and spreadsheet_safe(value[1:]) == value else value


def write_workbook(path: Path, sheets: Mapping[str, Iterable[Mapping[str, Any]]]) -> None:
    """Write an xlsx with a sheet for each list of rows; text is never taken for a formula, a number or an error.

    A nested value has a column for each of its own: {"a": {"b": 1}, "c": [2, 3]} fills "a.b" and "c" ("2, 3"). Text that is
    longer than a cell may be is truncated and ends with "…".
    """
    from openpyxl import Workbook

    book = Workbook()
    book.remove(book.worksheets[0])
    for name, nested in sheets.items():
        sheet, rows = book.create_sheet(name), [_flat(row) for row in nested]
        heads = list(dict.fromkeys(head for row in rows for head in row))
        lines: list[list[Any]] = [heads, *([row.get(head) for head in heads] for row in rows)]
        for number, line in enumerate(lines, start=1):
            for column, value in enumerate(map(workbook_value, line), start=1):
                cell = sheet.cell(number, column, value)
                if isinstance(value, str):
                    cell.data_type = "s"
    with storage.atomic_file(path) as stream:
        book.save(stream)


def markdown_table(columns: Sequence[Any], rows: Iterable[Sequence[Any]], *, right: bool = False) -> str:
    """A Markdown table, one line a row: line breaks become spaces, a | stays in its cell, other marks are kept.

    `right` aligns all columns but the first to the right.
    """
    ruler = "|---" + ("|---:" if right else "|---") * (len(columns) - 1) + "|"
    head, *lines = (
        "| " + " | ".join(one_line(str(cell)).replace("|", "\\|") for cell in row) + " |" for row in (columns, *rows)
    )
    return "\n".join([head, ruler, *lines])


def _csv_cell(value: Any) -> Any:
    return spreadsheet_safe(printable(value)) if isinstance(value, str) else value


def workbook_value(value: Any) -> Any:
    """What openpyxl may be given: None, a number, or text that XML can carry and Excel reads back as it was."""
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    text = EXCEL_ESCAPE.sub("_x005F_", printable(str(value)).replace("\r\n", "\n").replace("\r", "\n"))
    if len(text.encode("utf-16-le")) > 2 * LONGEST_CELL:
        text = text.encode("utf-16-le")[: 2 * (LONGEST_CELL - 1)].decode("utf-16-le", "ignore") + "…"
    return text


def _flat(row: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """A nested row with one name a value."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{before}{name}.")
        else:
            flat[f"{before}{name}"] = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
    return flat
