"""jsonl: the text of every line passes through as it stands, with the added fields before its last brace."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from halfbert.data import lines, packed
from halfbert.data.cells import is_missing
from halfbert.data.json_tables import json_object
from halfbert.data.lines import Encoding
from halfbert.data.texts import Parts, positions_of, text_columns
from halfbert.prediction.blocks import Block, Source, TextSource, Writer, kind_of
from halfbert.prediction.cells import as_json
from halfbert.prediction.scorer import Column


class JsonLines(TextSource):
    """A file of JSON objects, one a line. Making one reads it once: every line is checked, every field of any line is known."""

    def __init__(self, path: Path, text_column: str, encoding: str | None) -> None:
        self.path, self.name, self._requested = path, str(path), encoding
        self.rows, types = types_of(fields for _, _, fields in self.rows_of_text())
        self.columns, self.kinds = list(types), [kind_of(types[name]) for name in types]
        # A file without rows has no fields, and is a valid table all the same.
        positions = positions_of(self.name, self.columns, text_column) if self.rows else []
        self.text_columns = [self.columns[position] for position in positions] or text_columns(text_column)

    def rows_of_text(self) -> Iterator[tuple[int, str, dict[str, Any]]]:
        """(line, text with the blank lines before it, fields) of each row."""
        with packed.opened(self.path) as stream:
            self.encoding, text = lines.lines_of(self.path, stream, self._requested)
            before = ""
            for number, line in enumerate(text, start=1):
                bare = line.lstrip("\ufeff") if number == 1 else line
                if not bare.strip():
                    before += line
                    continue
                yield number, before + line, json_object(self.name, number, bare)
                before = ""
            self.after = before

    def text_cell(self, read: dict[str, Any]) -> Any:
        return cell_of(read, self.text_columns)

    def values(self, block: Block) -> Iterable[Sequence[Any]]:
        return [[fields.get(name) for name in self.columns] for _, fields in block.kept]


def types_of(rows: Iterable[dict[str, Any]]) -> tuple[int, dict[str, set[type]]]:
    """How many rows there are, and of each field of any row the types of its values that are not missing."""
    count, types = 0, dict[str, set[type]]()
    for fields in rows:
        count += 1
        for name, value in fields.items():
            known = types.setdefault(name, set())
            if not is_missing(value):
                known.add(type(value))
    return count, types


def cell_of(fields: dict[str, Any], columns: Sequence[str]) -> Any:
    """The text field of a row, or the parts of several."""
    return fields.get(columns[0]) if len(columns) == 1 else Parts(fields.get(column) for column in columns)


class JsonLinesWriter(Writer):
    """Writes jsonl, in the encoding of its first source where that is jsonl."""

    def __init__(self, stream: BinaryIO, source: Source, added: Sequence[Column]) -> None:
        self._stream, self._names = stream, [column.name for column in added]
        self._encoding = source.encoding if isinstance(source, JsonLines) else Encoding()
        self._ascii = not self._encoding.codec.startswith("utf")
        self._stream.write(self._encoding.mark)
        self._open = False  # whether the last line lacks its end

    def write(self, block: Block, answers: Sequence[Sequence[Any]]) -> None:
        added = [dict(zip(self._names, row, strict=True)) for row in zip(*answers, strict=True)]
        if isinstance(block.source, JsonLines):
            rows = [self._joined(text, fields) for (text, _), fields in zip(block.kept, added, strict=True)]
        else:
            names = block.source.columns
            before = [dict(zip(names, map(as_json, row), strict=True)) for row in block.source.values(block)]
            rows = [f"{self._json({**row, **fields})}\n" for row, fields in zip(before, added, strict=True)]
        text = "".join([*rows, block.after])
        if text:
            self._stream.write((("\n" if self._open else "") + text).encode(self._encoding.codec))
            self._open = not text.endswith(("\n", "\r"))

    def _joined(self, text: str, fields: dict[str, Any]) -> str:
        """The text of a line with fields put before its last brace."""
        body = text.rstrip()
        before = body[:-1].rstrip()
        comma = "" if before.endswith("{") and not before.strip("{ \t\r\n\ufeff") else ", "
        return f"{before}{comma}{self._json(fields)[1:]}{text[len(body) :]}"

    def _json(self, fields: dict[str, Any]) -> str:
        return json.dumps(fields, ensure_ascii=self._ascii)
