"""parquet: every column passes through with its type, a batch of rows at a time."""

import importlib.util
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from halfbert.data.cells import as_spelt
from halfbert.data.tables import column_names
from halfbert.data.texts import Parts, positions_of
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
    """A parquet file, or the rows `part` of it, counted from 0."""

    rows: int

    def __init__(self, path: Path, text_column: str, part: range | None = None) -> None:
        require(path)
        import pyarrow.parquet

        self.path, self.name = path, str(path)
        try:
            with pyarrow.parquet.ParquetFile(path) as stored:
                self.schema, self.rows = stored.schema_arrow, stored.metadata.num_rows
                self.compression, metadata = _compression_of(stored), stored.metadata
        except (pyarrow.ArrowException, OSError) as error:
            raise InputError(f"{path}: is not a whole parquet file ({first_line(error)})") from error
        self.columns = column_names(self.schema.names, self.name)
        self.kinds = ["text"] * len(self.columns)
        self._part = range(self.rows) if part is None else part
        self._positions = positions_of(self.name, self.schema.names, text_column)
        self.text_columns = [self.columns[position] for position in self._positions]
        self.text_bytes = sum(_bytes_of(metadata, self.schema.names[position]) for position in self._positions)

    def blocks(self) -> Iterator[Block]:
        import pyarrow.parquet

        try:
            with pyarrow.parquet.ParquetFile(self.path) as stored:
                groups, first = _groups_of(stored.metadata, self._part)
                for whole in stored.iter_batches(batch_size=ROWS, row_groups=groups):
                    start, first = first, first + whole.num_rows
                    if first <= self._part.start or start >= self._part.stop:
                        continue
                    skipped = max(self._part.start - start, 0)
                    batch = whole.slice(skipped, min(first, self._part.stop) - start - skipped)
                    columns = [batch.column(position) for position in self._positions]
                    cells = [as_spelt(column.to_pylist(), str(column.type)) for column in columns]
                    block = Block(self, range(start + skipped + 1, start + skipped + 1 + batch.num_rows), batch)
                    yield block.read(cells[0] if len(cells) == 1 else map(Parts, zip(*cells, strict=True)))
        except (pyarrow.ArrowException, OSError) as error:
            raise InputError(f"{self.path}: is not a whole parquet file ({first_line(error)})") from error

    def values(self, block: Block) -> Iterable[Sequence[Any]]:
        batch = block.kept
        return zip(*(as_spelt(column.to_pylist(), str(column.type)) for column in batch.columns), strict=True)


def _compression_of(stored: Any) -> str:
    in_use = stored.metadata.row_group(0).column(0).compression if stored.num_row_groups and stored.schema.names else "SNAPPY"
    return "NONE" if in_use == "UNCOMPRESSED" else in_use


def _bytes_of(metadata: Any, column: str) -> int:
    """Size of a column before compression, in bytes."""
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    chunks = (group.column(number) for group in groups for number in range(group.num_columns))
    return sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema == column)


def _groups_of(metadata: Any, rows: range) -> tuple[list[int], int]:
    """The row groups that hold these rows, and the number of the first row in them, from 0."""
    ends = list(itertools.accumulate(metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)))
    groups = [
        number for number, end in enumerate(ends) if end > rows.start and end - metadata.row_group(number).num_rows < rows.stop
    ]
    return groups, ends[groups[0]] - metadata.row_group(groups[0]).num_rows if groups else 0


def join(files: Sequence[Path], stream: BinaryIO) -> None:
    """Write the rows of parquet files of one schema into one, a row group at a time."""
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(files[0]) as first:
        schema, compression = first.schema_arrow, _compression_of(first)
    with pyarrow.parquet.ParquetWriter(stream, schema, compression=compression) as joined:
        for file in files:
            with pyarrow.parquet.ParquetFile(file) as part:
                for group in range(part.num_row_groups):
                    joined.write_table(part.read_row_group(group), row_group_size=GROUP_ROWS)


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
