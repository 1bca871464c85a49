"""xlsx and xlsm: a workbook keeps all that openpyxl can keep of it, with the added columns right of its table."""

import copy
import datetime
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from halfbert.data import formats, workbooks
from halfbert.data.cells import is_missing
from halfbert.data.phrases import counted, listed
from halfbert.data.tables import Layout, column_names
from halfbert.data.texts import positions_of, text_cell, text_columns
from halfbert.output.sheets import workbook_value
from halfbert.prediction.blocks import ROWS, Block, Source, Writer, kind_of
from halfbert.prediction.cells import in_workbook
from halfbert.prediction.scorer import Column
from halfbert.system.errors import InputError

MOMENT = (1980, 1, 1, 0, 0, 0)  # the first that a zip archive can hold: equal answers give equal files


class Workbook(Source):
    """One sheet of a workbook, which is held in memory."""

    def __init__(self, path: Path, text_column: str, layout: Layout) -> None:
        self.path, self.name = path, str(path)
        cells = workbooks.read_sheet(path, layout.sheet)
        self.sheet = cells.name
        self.header_row = formats.workbook_header(path, cells, layout.header_row) + 1
        filled = [number for number, row in enumerate(cells.rows, start=1) if any(cell is not None for cell in row)]
        below = enumerate(cells.rows[self.header_row :], start=self.header_row + 1)
        others = formats.header_hint(below, text_columns(text_column), layout.header_row)
        others += f"; other sheets: {', '.join(cells.others)}; choose one with --sheet" if cells.others else ""
        header = cells.header(self.header_row - 1)
        while header[-1] is None:
            header.pop()
        self.columns = column_names(header, self.name)
        self._positions = positions_of(self.name, header, text_column, others)
        self.text_columns = [self.columns[position] for position in self._positions]
        width = len(header)
        self._rows = [[*row[:width], *[None] * (width - len(row))] for row in cells.rows[self.header_row : filled[-1]]]
        self.rows = len(self._rows)
        self.width = max(len(row) for row in cells.rows)  # of the sheet, with what stands right of the table
        types = [{type(value) for value in column if not is_missing(value)} for column in zip(*self._rows, strict=True)]
        self.kinds = list(map(kind_of, types)) or ["text"] * width
        self.notes = self._notes(cells, layout.sheet, dict(zip(self.text_columns, self._positions, strict=True)))

    def _notes(self, cells: workbooks.Sheet, sheet: str | None, of_text: dict[str, int]) -> list[str]:
        notes = formats.hidden_columns_note(self.path, cells, of_text)
        below = [area for area in cells.merged if area.last_row > max(area.first_row, self.header_row)]
        if merged := [area.name for area in below if area.first_column in of_text.values()]:
            notes.append(f"{self.path}: a text merged over rows is that of the first alone: {listed(merged)}")
        if sheet is None and cells.others:
            notes.append(f"{self.path}: read sheet {cells.name!r}; there is also {', '.join(cells.others)} (--sheet)")
        if hidden := sum(number > self.header_row for number in cells.hidden_rows):
            notes.append(f"{self.path}: {counted(hidden, 'row')} hidden, by a filter or by hand, and answered like the others")
        return notes

    def blocks(self) -> Iterator[Block]:
        for start in range(0, len(self._rows), ROWS):
            rows = self._rows[start : start + ROWS]
            first = self.header_row + 1 + start
            block = Block(self, range(first, first + len(rows)), rows)
            yield block.read(text_cell(row, self._positions) for row in rows)

    def values(self, block: Block) -> Iterable[Sequence[Any]]:
        return block.kept


class SameWorkbookWriter(Writer):
    """Writes the workbook of a source again, with the added columns."""

    def __init__(self, stream: BinaryIO, suffix: str, source: Workbook, added: Sequence[Column], separator: str) -> None:
        from openpyxl import load_workbook

        self._stream, self._separator = stream, separator
        with workbooks.reported_as_broken(source.path):
            self._book = load_workbook(source.path, keep_vba=suffix == ".xlsm", rich_text=True)
        self._sheet = self._book[source.sheet]
        merged = max((area.max_col for area in self._sheet.merged_cells.ranges), default=0)
        self._first = max(source.width, merged) + 1
        beside: Any = self._sheet.cell(source.header_row, len(source.columns))
        for column, each in enumerate(added, start=self._first):
            cell = self._put(source.header_row, column, each.name)
            cell._style = copy.copy(beside._style)

    def write(self, block: Block, answers: Sequence[Sequence[Any]]) -> None:
        for column, values in enumerate(answers, start=self._first):
            for row, value in zip(block.numbers, values, strict=True):
                if value not in (None, "", []):
                    self._put(row, column, value)

    def _put(self, row: int, column: int, value: Any) -> Any:
        value = self._separator.join(value) if isinstance(value, list) else value
        cell = self._sheet.cell(row, column, workbook_value(value))
        if isinstance(value, str):
            cell.data_type = "s"  # also where it begins as a formula does
        return cell

    def close(self) -> None:
        save(self._book, self._stream)


class NewWorkbookWriter(Writer):
    """Writes rows of any source into the one sheet of a new workbook, row by row."""

    def __init__(self, stream: BinaryIO, source: Source, added: Sequence[Column], separator: str) -> None:
        import openpyxl

        self._stream, self._separator = stream, separator
        self._book = openpyxl.Workbook(write_only=True)
        self._sheet = self._book.create_sheet("Sheet1")
        self._rows = 0
        self._append([*source.columns, *(column.name for column in added)])

    def write(self, block: Block, answers: Sequence[Sequence[Any]]) -> None:
        added = zip(*answers, strict=True)
        for row, cells in zip(block.source.values(block), added, strict=True):
            shown = (self._separator.join(cell) if isinstance(cell, list) else cell for cell in cells)
            self._append([*map(in_workbook, row), *shown])

    def _append(self, values: Sequence[Any]) -> None:
        from openpyxl.cell import WriteOnlyCell

        if self._rows == workbooks.LAST_ROW:
            raise InputError(f"a workbook's sheet has {workbooks.LAST_ROW:,} rows at most; write csv or parquet")
        self._rows += 1
        cells: list[Any] = []
        for value in values:
            moment = isinstance(value, (datetime.date, datetime.time, datetime.timedelta))
            cells.append(WriteOnlyCell(self._sheet, value if moment else workbook_value(value)))
            if isinstance(value, str):
                cells[-1].data_type = "s"
        self._sheet.append(cells)

    def close(self) -> None:
        self._book.properties.creator = "halfbert"
        self._book.properties.created = datetime.datetime(*MOMENT)
        self._book.properties.modified = datetime.datetime(*MOMENT)
        save(self._book, self._stream)


def save(book: Any, stream: BinaryIO) -> None:
    """Write a workbook such that equal ones are equal files: openpyxl puts the time into them, and macros in any order."""
    from openpyxl.writer.excel import ExcelWriter

    with tempfile.TemporaryFile() as packed:
        ExcelWriter(book, zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED)).save()
        with zipfile.ZipFile(packed) as source, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as target:
            for name in sorted(source.namelist()):
                member = zipfile.ZipInfo(name, MOMENT)
                member.compress_type = zipfile.ZIP_DEFLATED
                with source.open(name) as before, target.open(member, "w") as after:
                    while piece := before.read(2**20):
                        after.write(piece)
