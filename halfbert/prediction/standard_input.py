"""`-`: each line of the standard input is a text."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from halfbert.data import lines
from halfbert.prediction.blocks import CHARACTERS, ROWS, Block, Source


class StandardInput(Source):
    """The lines of the standard input, in a column of the name that is requested."""

    name = "standard input"

    def __init__(self, text_column: str, encoding: str | None) -> None:
        self.columns, self.kinds, self._requested = [text_column], ["text"], encoding

    def blocks(self) -> Iterator[Block]:
        _, text = lines.lines_of(Path(self.name), sys.stdin.buffer, self._requested)
        texts: list[str] = []
        size = number = 0
        for number, line in enumerate(text, start=1):
            texts.append(line.rstrip("\r\n"))
            size += len(line)
            if len(texts) == ROWS or size > CHARACTERS:
                yield self._block(number, texts)
                texts, size = [], 0
        if texts:
            yield self._block(number, texts)

    def _block(self, last: int, texts: list[str]) -> Block:
        return Block(self, range(last - len(texts) + 1, last + 1), texts).read(texts)

    def values(self, block: Block) -> Iterable[Sequence[Any]]:
        return [[text] for text in block.kept]
