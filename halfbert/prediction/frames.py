"""A pandas.DataFrame, which gets the added columns in memory."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from halfbert.data.cells import as_spelt
from halfbert.data.sources import Frame
from halfbert.data.tables import column_names
from halfbert.data.texts import Parts, positions_of
from halfbert.prediction.blocks import ROWS, Block, Source, Writer
from halfbert.prediction.scorer import Column
from halfbert.system.errors import InputError


class DataFrame(Source):
    """A DataFrame; its rows are numbered from 1, its index is not looked at."""

    def __init__(self, frame: Frame, text_column: str) -> None:
        self.frame, self.name = frame.frame, str(frame)
        if self.frame.columns.nlevels > 1:
            raise InputError(
                f"{self.name}: has {self.frame.columns.nlevels} levels of column names; give one with a single level"
            )
        header = self.frame.columns.tolist()
        self.columns, self.rows = column_names(header, self.name), len(self.frame)
        self.kinds = ["text"] * len(self.columns)
        self._positions = positions_of(self.name, header, text_column)
        self.text_columns = [self.columns[position] for position in self._positions]

    def blocks(self) -> Iterator[Block]:
        for start in range(0, len(self.frame), ROWS):
            columns = [self.frame.iloc[start : start + ROWS, position] for position in self._positions]
            block = Block(self, range(start + 1, start + 1 + len(columns[0])), None)
            cells = [as_spelt(column.tolist(), str(column.dtype)) for column in columns]
            yield block.read(cells[0] if len(cells) == 1 else map(Parts, zip(*cells, strict=True)))

    def values(self, block: Block) -> Iterable[Sequence[Any]]:
        raise NotImplementedError("a DataFrame is written to no file")


class FrameWriter(Writer):
    """Collects the added columns; `frame` is the source's with them at its right."""

    def __init__(self, source: DataFrame, added: Sequence[Column]) -> None:
        self._source, self._names = source, [column.name for column in added]
        self._columns: list[list[Any]] = [[] for _ in added]

    def write(self, block: Block, answers: Sequence[Sequence[Any]]) -> None:
        for column, values in zip(self._columns, answers, strict=True):
            column.extend(values)

    @property
    def frame(self) -> Any:
        return self._source.frame.assign(**dict(zip(self._names, self._columns, strict=True)))
