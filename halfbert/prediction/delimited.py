"""csv and tsv: the text of every record passes through as it stands, with the added cells at its end."""

import codecs
import csv
import itertools
import numbers
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from halfbert.data import formats, lines, packed
from halfbert.data.cells import NUMBER
from halfbert.data.lines import Encoding
from halfbert.data.tables import Layout, column_names
from halfbert.data.texts import positions_of, text_cell, text_columns
from halfbert.output.sheets import spreadsheet_safe
from halfbert.prediction.blocks import Block, Source, TextSource, Writer
from halfbert.prediction.cells import written
from halfbert.prediction.scorer import DECIMALS, Column
from halfbert.system.errors import InputError

SNIFFED = 2**16  # characters that the delimiter is recognised by
DELIMITERS = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True)
class Dialect:
    """How a file is written: `ending` of its lines, and whether every cell stands in quotes."""

    delimiter: str
    encoding: Encoding
    ending: str
    quoted: bool


class Delimited(TextSource):
    """A csv or tsv file. Making one reads it once, so that a broken record is named before any work is done."""

    def __init__(self, path: Path, text_column: str, layout: Layout) -> None:
        self.path, self.name, self.suffix = path, str(path), packed.suffix_of(path)
        self._layout, wanted = layout, text_columns(text_column)
        with packed.opened(path) as stream:
            known, text = lines.lines_of(path, stream, layout.encoding)
            above = formats.lines_above(text, layout.header_row)
            head = list(itertools.islice(text, 100))
            begin = "".join(head)[:SNIFFED].lstrip("\ufeff")
            if not begin.strip():
                formats.check_header_line(path, [], [], layout.header_row)
                raise InputError(f"{path}: is empty")
            delimiter = layout.delimiter or formats.delimiter_of(begin, self.suffix, wanted)
            self._above = len(above)
            self.header, self.head = self._read_header(itertools.chain(head, text), delimiter)
            self.dialect = self._dialect(delimiter, known)
            self.head = "".join(above) + self.head
        self.columns = column_names(self.header, self.name)
        self.kinds = ["text"] * len(self.columns)
        hint = formats.delimited_hint(path, begin, self._above, wanted, layout)
        self._positions = positions_of(self.name, self.columns, text_column, hint)
        self.text_columns = [self.columns[position] for position in self._positions]
        self.rows = sum(1 for _ in self.rows_of_text())

    def _read_header(self, text: Iterable[str], delimiter: str) -> tuple[list[str], str]:
        """The cells of the header, and its text with the empty lines before it."""
        before = ""
        for _, raw, cells in formats.records_of(self.name, text, delimiter, self._above):
            before += raw
            if cells:
                return [cells[0].lstrip("\ufeff"), *cells[1:]], before
            formats.check_header_line(self.path, cells, [], self._layout.header_row)
        raise InputError(f"{self.name}: is empty")

    def _dialect(self, delimiter: str, encoding: Encoding) -> Dialect:
        last = self.head.rstrip("\r\n")
        line = last.lstrip("\r\n\ufeff")
        quoted = csv_line(self.header, delimiter, csv.QUOTE_ALL) == line
        return Dialect(delimiter, encoding, self.head[len(last) :] or "\n", quoted)

    def rows_of_text(self) -> Iterator[tuple[int, str, list[str]]]:
        """(line, text with the empty lines before it, cells) of each row; what follows the last has no cells."""
        with packed.opened(self.path) as stream:
            _, text = lines.lines_of(self.path, stream, self._layout.encoding)
            formats.lines_above(text, self._layout.header_row)
            before, header = "", False
            for line, raw, cells in formats.records_of(self.name, text, self.dialect.delimiter, self._above):
                if formats.is_no_row(cells, self.header):
                    before += raw
                elif not header:
                    before, header = "", True
                else:
                    formats.check_cells(self.name, line, cells, self.header)
                    yield line, before + raw, cells
                    before = ""
            self.after = before if header else ""

    def text_cell(self, read: list[str]) -> Any:
        return text_cell(read, self._positions)

    def values(self, block: Block) -> Iterable[Sequence[Any]]:
        return [cells for _, cells in block.kept]


class DelimitedWriter(Writer):
    """Writes csv or tsv, in the dialect of its first source where that is of the same format."""

    def __init__(self, stream: BinaryIO, suffix: str, source: Source, added: Sequence[Column], separator: str) -> None:
        self._stream, self._suffix, self._separator = stream, suffix, separator
        self._kinds = [column.kind for column in added]
        names = [column.name for column in added]
        head: str | None = None
        if isinstance(source, Delimited) and (source.suffix == suffix or source.dialect.delimiter == DELIMITERS[suffix]):
            self.dialect, head = source.dialect, source.head
        else:  # a new csv file is one that Excel opens as what it is
            mark = codecs.BOM_UTF8 if suffix == ".csv" else b""
            self.dialect = Dialect(DELIMITERS[suffix], Encoding("utf-8", mark), "\r\n" if mark else "\n", False)
        self._check_encoding(source, [*names, *(word for column in added for word in column.words)])
        self._stream.write(self.dialect.encoding.mark)
        self._open = False  # whether the last line lacks its end
        self._write_lines([self._joined(head, names)] if head is not None else [self._line([*source.columns, *names])])

    def _check_encoding(self, source: Source, words: Sequence[str]) -> None:
        codec = self.dialect.encoding.codec
        for word in words:
            try:
                word.encode(codec)
            except UnicodeEncodeError:
                raise InputError(
                    f"{source.name}: is {codec} text, which has no {word!r}; save it as UTF-8, or write another format"
                ) from None

    def _line(self, cells: Sequence[str]) -> str:
        return csv_line(cells, self.dialect.delimiter, self._quoting) + self.dialect.ending

    @property
    def _quoting(self) -> int:
        return csv.QUOTE_ALL if self.dialect.quoted else csv.QUOTE_MINIMAL

    def _joined(self, text: str, cells: Sequence[str]) -> str:
        """The text of a record with cells put before the end of its line."""
        body = text.rstrip("\r\n")
        return f"{body}{self.dialect.delimiter}{csv_line(cells, self.dialect.delimiter, self._quoting)}{text[len(body) :]}"

    def write(self, block: Block, answers: Sequence[Sequence[Any]]) -> None:
        columns = [self._texts(kind, values) for kind, values in zip(self._kinds, answers, strict=True)]
        added = zip(*columns, strict=True)
        source = block.source
        if isinstance(source, Delimited) and source.dialect.delimiter == self.dialect.delimiter:
            rows = [self._joined(text, cells) for (text, _), cells in zip(block.kept, added, strict=True)]
            self._write_lines([*rows, block.after] if block.after else rows)
        else:
            cell = safely_written if self._suffix == ".csv" and not isinstance(source, Delimited) else written
            before = [[cell(value) for value in row] for row in source.values(block)]
            self._write_lines([self._line([*row, *cells]) for row, cells in zip(before, added, strict=True)])

    def _texts(self, kind: str, values: Sequence[Any]) -> list[str]:
        if kind == "number":
            return ["" if value is None else f"{value:.{DECIMALS}f}" for value in values]
        if kind == "texts":
            return ["" if value is None else self._separator.join(value) for value in values]
        return ["" if value is None else value for value in values]

    def _write_lines(self, texts: Sequence[str]) -> None:
        text = "".join(texts)
        if text:
            before = self.dialect.ending if self._open else ""
            self._stream.write((before + text).encode(self.dialect.encoding.codec))
            self._open = not text.endswith(("\n", "\r"))


def safely_written(value: Any) -> str:
    """A value as `written`, text such that no spreadsheet program runs it as a formula; numbers stay numbers."""
    text = written(value)
    return text if isinstance(value, numbers.Number) or NUMBER.fullmatch(text) else spreadsheet_safe(text)


class _Echo:
    write = staticmethod(str)


def csv_line(cells: Sequence[str], delimiter: str, quoting: int) -> str:
    """The cells as a line of csv without its end."""
    # Which cells need quotes also depends on the end of the line.
    writer = csv.writer(_Echo(), delimiter=delimiter, quoting=quoting, lineterminator="\r\n")  # type: ignore[arg-type]
    return writer.writerow(cells)[:-2]
