"""Lines that are texts: of the standard input, which is `-`, and of a .txt file."""

import abc
import contextlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from halfbert.data import lines, packed
from halfbert.data.phrases import listed_names
from halfbert.data.texts import text_columns
from halfbert.prediction.blocks import CHARACTERS, ROWS, Block, Source
from halfbert.system.errors import InputError


class Lines(Source):
    """Lines, in a column of the name that is requested."""

    def __init__(self, name: str, text_column: str, encoding: str | None) -> None:
        self.name, self._requested = name, encoding
        self.text_columns = self.columns = [str(column) for column in text_columns(text_column)]
        self.kinds = ["text"]
        if len(self.columns) > 1:
            wanted = listed_names(self.columns)
            raise InputError(
                f"{name}: each line is one text, and {len(self.columns)} are needed, {wanted}; give a table with them"
            )

    @abc.abstractmethod
    def opened(self) -> contextlib.AbstractContextManager[BinaryIO]:
        """The bytes of the lines."""

    def texts(self) -> Iterator[str]:
        """The lines without their ends."""
        with self.opened() as stream:
            _, text = lines.lines_of(Path(self.name), stream, self._requested)
            for line in text:
                yield line.rstrip("\r\n")

    def blocks(self) -> Iterator[Block]:
        texts: list[str] = []
        size = number = 0
        for number, text in enumerate(self.texts(), start=1):
            texts.append(text)
            size += len(text)
            if len(texts) == ROWS or size > CHARACTERS:
                yield self._block(number, texts)
                texts, size = [], 0
        if texts:
            yield self._block(number, texts)

    def _block(self, last: int, texts: list[str]) -> Block:
        return Block(self, range(last - len(texts) + 1, last + 1), texts).read(texts)

    def values(self, block: Block) -> Iterable[Sequence[Any]]:
        return [[text] for text in block.kept]


class StandardInput(Lines):
    """The lines of the standard input."""

    def __init__(self, text_column: str, encoding: str | None) -> None:
        super().__init__("standard input", text_column, encoding)

    def opened(self) -> contextlib.AbstractContextManager[BinaryIO]:
        return contextlib.nullcontext(sys.stdin.buffer)


class TextFile(Lines):
    """The lines of a .txt file. Making one reads it once, so that a broken line is named before any work is done."""

    def __init__(self, path: Path, text_column: str, encoding: str | None) -> None:
        super().__init__(str(path), text_column, encoding)
        self._path = path
        self.rows = sum(1 for _ in self.texts())

    def opened(self) -> contextlib.AbstractContextManager[BinaryIO]:
        return packed.opened(self._path)
