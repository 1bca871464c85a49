"""json: an array of objects, such as the exports of labelling tools, which is held in memory."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from halfbert.data import formats, json_tables
from halfbert.data.exports import flattened
from halfbert.data.texts import positions_of
from halfbert.prediction.blocks import ROWS, Block, Source, kind_of
from halfbert.prediction.json_lines import cell_of, types_of


class JsonArray(Source):
    """The objects of an array, numbered from 1; of an export of Label Studio the data, and the choices so far."""

    def __init__(self, path: Path, text_column: str, encoding: str | None) -> None:
        self.name = str(path)
        rows = json_tables.rows_of_array(path, formats.read_text(path, encoding))
        self._rows, _, self.notes = flattened(self.name, rows)
        self.rows, types = types_of(fields for _, fields in self._rows)
        self.columns, self.kinds = list(types), [kind_of(types[name]) for name in types]
        self.text_columns = [self.columns[position] for position in positions_of(self.name, self.columns, text_column)]

    def blocks(self) -> Iterator[Block]:
        for start in range(0, len(self._rows), ROWS):
            rows = self._rows[start : start + ROWS]
            block = Block(self, [number for number, _ in rows], [fields for _, fields in rows])
            yield block.read(cell_of(fields, self.text_columns) for _, fields in rows)

    def values(self, block: Block) -> Iterable[Sequence[Any]]:
        return [[fields.get(name) for name in self.columns] for fields in block.kept]
