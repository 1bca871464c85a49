"""Where the rows with their answers go: one table, a table for each input in a folder, the standard output, or memory."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from halfbert.data import packed
from halfbert.data.formats import DELIMITED_SUFFIXES, JSON_LINES_SUFFIXES, WORKBOOK_SUFFIXES, WRITTEN_SUFFIXES
from halfbert.data.phrases import truncated
from halfbert.prediction import journal, parts
from halfbert.prediction.blocks import Block, Source, Writer
from halfbert.prediction.delimited import DelimitedWriter
from halfbert.prediction.json_lines import JsonLinesWriter
from halfbert.prediction.parquet import ParquetWriter, require
from halfbert.prediction.scorer import Column
from halfbert.prediction.standard_input import StandardInput
from halfbert.prediction.workbook import NewWorkbookWriter, SameWorkbookWriter, Workbook
from halfbert.system import storage
from halfbert.system.errors import InputError

MACROS = ".xlsm"
PREFIX = "predicted_"
WRITTEN_AS = {".json": ".jsonl", ".txt": ".tsv"}  # formats that are read only


def is_folder(output: Path) -> bool:
    """Whether an output is a folder with a table for each input, and not one table."""
    return output.is_dir() or not output.suffix


def check(output: Path, overwrite: bool) -> None:
    """Raise InputError if an output cannot be written or must not be replaced; call it while its lock is held."""
    if output.is_symlink() and not output.exists():
        raise InputError(f"--output {output}: a broken link; choose another name")
    if is_folder(output):
        if output.is_file():
            raise InputError(f"--output {output}: is a file without an ending; choose another name")
    elif output.suffix.lower() not in WRITTEN_SUFFIXES:
        raise InputError(f"--output {output}: tables are written as {', '.join(WRITTEN_SUFFIXES)}, not as {output.suffix}")
    elif output.suffix.lower() == ".parquet":
        require(output)
    there = any(output.iterdir()) if output.is_dir() else output.exists()
    if there and not overwrite and not journal.wrote(output) and not parts.wrote(output):
        raise InputError(f"--output {output}: already exists; --overwrite replaces it, or choose another name")


def check_fits(output: Path, sources: Sequence[Source]) -> None:
    """Raise InputError if an output cannot hold the rows of these sources, or would replace what is no output of theirs."""
    read = [Path(source.name).resolve() for source in sources]
    if output.resolve() in read or any(file.parent == output.resolve() for file in read):
        raise InputError(f"--output {output}: is read as well; choose another name")
    if is_folder(output):
        _check_folder(output, sources)
        return
    suffix = output.suffix.lower()
    if suffix == MACROS and not (len(sources) == 1 and read[0].suffix.lower() == MACROS):
        raise InputError(f"--output {output}: only a workbook with macros is written as {MACROS}; choose the ending .xlsx")
    if suffix in JSON_LINES_SUFFIXES:
        _check_names(sources)
    else:
        _check_alike(sources)


def _check_folder(output: Path, sources: Sequence[Source]) -> None:
    if isinstance(sources[0], StandardInput):
        raise InputError(f"--output {output}: a file is needed for texts from the standard input, such as answers.tsv")
    names = [name_in_folder(source) for source in sources]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise InputError(f"--output {output}: several inputs are called {twice}; give one output file, or other names")
    others = [file.name for file in output.iterdir() if file.name not in names] if output.is_dir() else []
    if others:
        raise InputError(f"--output {output}: holds other files, such as {others[0]}; choose another folder")


def name_in_folder(source: Source) -> str:
    """The name of the table that is made of a source: its own, unpacked and in a format that is written."""
    path = Path(source.name)
    if path.is_dir():
        return f"{path.name}.csv"
    name = Path(packed.bare_name(path))
    return str(name.with_suffix(WRITTEN_AS.get(name.suffix.lower(), name.suffix)))


def _check_names(sources: Sequence[Source]) -> None:
    """A line of JSON has one value of a name."""
    for source in sources:
        twice = next((name for name in source.columns if source.columns.count(name) > 1), None)
        if twice is not None:
            raise InputError(f"{source.name}: has several columns named {truncated(twice)!r}, which jsonl cannot hold")


def _check_alike(sources: Sequence[Source]) -> None:
    """Rows of several tables go into one if these have the same columns."""
    first = sources[0]
    for source in sources[1:]:
        if source.columns != first.columns:
            differing = [name for name in source.columns if name not in first.columns] or [
                name for name in first.columns if name not in source.columns
            ]
            which = f"{truncated(differing[0])!r} is in one of them only" if differing else "they are in another order"
            raise InputError(
                f"{source.name}: its columns are not those of {first.name} ({which}); give a folder as --output for a file each"
            )


def named(added: Sequence[Column], sources: Sequence[Source]) -> list[Column]:
    """The added columns, with a prefix where a table has a column of that name."""
    taken = {name for source in sources for name in source.columns}
    columns = []
    for column in added:
        name = column.name
        while name in taken:
            name = PREFIX + name
        taken.add(name)
        columns.append(Column(name, column.kind, column.words))
    return columns


class Tables:
    """Writes the blocks of sources into tables: one `stream` for all of them, or a file for each in a `folder`."""

    def __init__(
        self, sources: Sequence[Source], columns: list[Column], separator: str, where: BinaryIO | Path, suffix: str
    ) -> None:
        self._where, self._suffix, self._separator = where, suffix, separator
        self._columns, self._one = columns, len(sources) == 1
        self._waiting = list(sources)
        self._source: Source | None = None
        self._writer: Writer | None = None
        self._stack = contextlib.ExitStack()

    def _begin_next(self) -> None:
        """Have the rows of the next source come next."""
        self._source = self._waiting.pop(0)
        if isinstance(self._where, Path):
            self._end()
            file = self._where / name_in_folder(self._source)
            self._writer = self._new(self._stack.enter_context(file.open("xb")), file.suffix.lower(), True)
        elif self._writer is None:
            self._writer = self._new(self._where, self._suffix, self._one)

    def _new(self, stream: BinaryIO, suffix: str, alone: bool) -> Writer:
        source, columns = self._source, self._columns
        assert source is not None
        if suffix in DELIMITED_SUFFIXES:
            return DelimitedWriter(stream, suffix, source, columns, self._separator)
        if suffix in JSON_LINES_SUFFIXES:
            return JsonLinesWriter(stream, source, columns)
        if suffix not in WORKBOOK_SUFFIXES:
            return ParquetWriter(stream, source, columns)
        if isinstance(source, Workbook) and alone:
            return SameWorkbookWriter(stream, suffix, source, columns, self._separator)
        return NewWorkbookWriter(stream, source, columns, self._separator)

    def write(self, block: Block, answers: Sequence[Sequence[Any]]) -> None:
        """Write the rows of a block, whose source comes at its turn or later: those before it have no rows."""
        while self._source is not block.source:
            self._begin_next()
        assert self._writer is not None
        self._writer.write(block, answers)

    def close(self) -> None:
        """Write what stands at the end, also of sources without rows."""
        while self._waiting:
            self._begin_next()
        self._end()

    def _end(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._stack.close()


@contextlib.contextmanager
def opened(
    output: Path | None, sources: Sequence[Source], columns: list[Column], separator: str, so_far: journal.Journal | None
) -> Iterator[Tables]:
    """The tables of an output, which gets its name when the block succeeds; the standard output if there is none."""
    if output is None or so_far is None:
        tables = Tables(sources, columns, separator, sys.stdout.buffer, ".tsv")
        yield tables
        tables.close()
        sys.stdout.buffer.flush()
    elif is_folder(output):
        with storage.atomic_folder(output) as folder:
            tables = Tables(sources, columns, separator, folder, "")
            yield tables
            tables.close()
            so_far.finish(journal.digest_of(folder))
    else:
        with storage.atomic_file(output) as stream:
            tables = Tables(sources, columns, separator, stream, output.suffix.lower())
            yield tables
            tables.close()
            stream.flush()
            so_far.finish(storage.sha256(Path(stream.name)))
