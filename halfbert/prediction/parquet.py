"""parquet: every column passes through with its type, a batch of rows at a time."""

import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from halfbert.data.cells import as_spelt
from halfbert.data.tables import column_names, locate
from halfbert.data.workbooks import first_line
from halfbert.prediction.blocks import ROWS, Block, Source, Writer
from halfbert.prediction.cells import written
from halfbert.prediction.scorer import Column
from halfbert.system.errors import InputError, ResourceError

GROUP_ROWS, GROUP_BYTES = 2**16, 2**26  # of a row group that is written, at most


def require(path: str | Path) -> None:
    """Raise ResourceError if pyarrow, which is no part of the base install, is missing."""
    if importlib.util.find_spec("pyarrow") is None:
        raise ResourceError(f"{path}: parquet needs the package pyarrow, not installed here: pip install pyarrow")


class Parquet(Source):
    """A parquet file."""

    def __init__(self, path: Path, text_column: str) -> None:
        require(path)
        import pyarrow.parquet

        self.path, self.name = path, str(path)
        try:
            with pyarrow.parquet.ParquetFile(path) as stored:
                self.schema, self.rows = stored.schema_arrow, stored.metadata.num_rows
                groups = stored.metadata.num_row_groups
                in_use = stored.metadata.row_group(0).column(0).compression if groups and self.schema.names else "SNAPPY"
        except (pyarrow.ArrowException, OSError) as error:
            raise InputError(f"{path}: is not a whole parquet file ({first_line(error)})") from error
        self.compression = "NONE" if in_use == "UNCOMPRESSED" else in_use
        self.columns = column_names(self.schema.names, self.name)
        self.kinds = ["text"] * len(self.columns)
        self._position = locate(self.name, self.schema.names, [text_column])[text_column]

    def blocks(self) -> Iterator[Block]:
        import pyarrow.parquet

        first = 1
        try:
            with pyarrow.parquet.ParquetFile(self.path) as stored:
                for batch in stored.iter_batches(batch_size=ROWS):
                    column = batch.column(self._position)
                    block = Block(self, range(first, first + batch.num_rows), batch)
                    yield block.read(as_spelt(column.to_pylist(), str(column.type)))
                    first += batch.num_rows
        except (pyarrow.ArrowException, OSError) as error:
            raise InputError(f"{self.path}: is not a whole parquet file ({first_line(error)})") from error

    def values(self, block: Block) -> Iterable[Sequence[Any]]:
        batch = block.kept
        return zip(*(as_spelt(column.to_pylist(), str(column.type)) for column in batch.columns), strict=True)


class ParquetWriter(Writer):
    """Writes parquet with the types of its first source where that is parquet; else of the kinds of the source's columns."""

    def __init__(self, stream: BinaryIO, source: Source, added: Sequence[Column]) -> None:
        import pyarrow as pa
        import pyarrow.parquet

        self._types = {"text": pa.string(), "integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_()}
        self._types |= {"moment": pa.timestamp("us"), "texts": pa.list_(pa.string())}
        self._kinds, compression = source.kinds, "snappy"
        if isinstance(source, Parquet):
            self._before, compression = source.schema, source.compression
        else:
            self._before = pa.schema(
                [(name, self._types[kind]) for name, kind in zip(source.columns, source.kinds, strict=True)]
            )
        self._added = [pa.field(column.name, self._types[column.kind]) for column in added]
        self._schema = pa.schema([*self._before, *self._added], metadata=self._before.metadata)
        self._file = pyarrow.parquet.ParquetWriter(stream, self._schema, compression=compression)
        self._waiting: list[Any] = []

    def write(self, block: Block, answers: Sequence[Sequence[Any]]) -> None:
        import pyarrow as pa

        source, rows = block.source, len(block.numbers)
        if isinstance(source, Parquet):
            if source.schema.types != self._before.types:
                raise InputError(f"{source.name}: its columns are not of the types of those of the files before it")
            before = block.kept.columns
        else:
            before = self._typed(source, list(zip(*source.values(block), strict=True)) or [()] * len(self._kinds))
        new = [pa.array(values, field.type) for field, values in zip(self._added, answers, strict=True)]
        if rows:
            self._waiting.append(pa.RecordBatch.from_arrays([*before, *new], schema=self._schema))
        if sum(one.num_rows for one in self._waiting) >= GROUP_ROWS or sum(one.nbytes for one in self._waiting) >= GROUP_BYTES:
            self._flush()

    def _typed(self, source: Source, columns: Sequence[Sequence[Any]]) -> list[Any]:
        import pyarrow as pa

        arrays = []
        for name, kind, values in zip(source.columns, self._kinds, columns, strict=True):
            if kind == "text":
                values = [None if value is None else written(value) for value in values]
            try:
                arrays.append(pa.array(values, self._types[kind]))
            except (pa.ArrowException, OverflowError) as error:
                raise InputError(f"{source.name}: column {name!r} fits no type of parquet ({first_line(error)})") from error
        return arrays

    def _flush(self) -> None:
        import pyarrow as pa

        if self._waiting:
            self._file.write_table(pa.Table.from_batches(self._waiting), row_group_size=GROUP_ROWS)
            self._waiting = []

    def close(self) -> None:
        self._flush()
        self._file.close()
