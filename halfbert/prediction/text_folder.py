"""A folder of .txt files, each of which is a text."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from halfbert.data.decoding import decoded
from halfbert.data.phrases import listed_names
from halfbert.data.text_folders import PLAIN
from halfbert.data.texts import text_columns
from halfbert.prediction.blocks import CHARACTERS, ROWS, Block, Source
from halfbert.system.errors import InputError

FILE = "file"  # the column beside the text


class TextFolder(Source):
    """The .txt files in a folder and its subfolders, sorted by their paths; a row has path and text."""

    def __init__(self, folder: Path, text_column: str, encoding: str | None) -> None:
        self.name, self._folder, self._requested = str(folder), folder, encoding
        self.text_columns = [str(column) for column in text_columns(text_column)]
        if len(self.text_columns) > 1:
            wanted = listed_names(self.text_columns)
            raise InputError(f"{folder}: each file is one text, and {len(self.text_columns)} are needed, {wanted}")
        self.columns, self.kinds = [FILE, *self.text_columns], ["text", "text"]
        self._files = sorted(folder.rglob(f"*{PLAIN}"))
        if not self._files:
            raise InputError(f"{folder}: is a folder without {PLAIN} files; give its files, as in '{folder}/*.parquet'")
        for file in self._files:
            self._text(file)
        self.rows = len(self._files)

    def _text(self, file: Path) -> str:
        try:
            return decoded(file, file.read_bytes(), self._requested)
        except OSError as error:
            raise InputError(f"{file}: cannot be read ({error.strerror})") from error

    def blocks(self) -> Iterator[Block]:
        rows: list[tuple[str, str]] = []
        size = 0
        for number, file in enumerate(self._files, start=1):
            rows.append((file.relative_to(self._folder).as_posix(), self._text(file)))
            size += len(rows[-1][1])
            if len(rows) == ROWS or size > CHARACTERS or number == len(self._files):
                block = Block(self, range(number - len(rows) + 1, number + 1), rows)
                yield block.read(text for _, text in rows)
                rows, size = [], 0

    def values(self, block: Block) -> Iterable[Sequence[Any]]:
        return block.kept
