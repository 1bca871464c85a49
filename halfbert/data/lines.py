"""Text files line by line, at constant memory, such that what was read can be written again byte by byte."""

import codecs
import io
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from halfbert.data import decoding
from halfbert.system.errors import InputError

PIECE = 2**18  # bytes read at once
OF_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
WITHOUT_MARK = {"utf-8-sig": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}


@dataclass(frozen=True)
class Encoding:
    """The byte-order mark that a text begins with, or none, and the codec of what follows it."""

    codec: str = "utf-8"
    mark: bytes = b""


def encoding_of(path: Path, start: bytes, encoding: str | None) -> Encoding:
    """The encoding of a text file that begins with `start`: its byte-order mark's, else `encoding`, else UTF-8.

    Raises InputError if the file is a workbook, or if `encoding` is unknown or contradicts the mark.
    """
    decoding.check_is_no_workbook(path, start)
    codec = decoding.codec_of(path, start, encoding)
    mark = next((mark for mark in OF_MARKS if start.startswith(mark)), None)
    if mark is not None:
        return Encoding(OF_MARKS[mark], mark)
    return Encoding(WITHOUT_MARK.get(codecs.lookup(codec).name, codec))


def lines_of(path: Path, stream: BinaryIO, encoding: str | None) -> tuple[Encoding, Iterator[str]]:
    """The encoding of a binary stream and its lines with the ends that they have; `path` names it in messages.

    Raises InputError, naming the line, where the bytes are no text of that encoding.
    """
    start = stream.read(PIECE)
    known = encoding_of(path, start, encoding)
    pieces = itertools.chain([start[len(known.mark) :]], iter(lambda: stream.read(PIECE), b""))
    return known, _decoded(path, pieces, known.codec, "" if encoding else "; if it was saved by Excel, try --encoding cp1252")


def _decoded(path: Path, pieces: Iterable[bytes], codec: str, hint: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(codec)()
    rest, passed = "", 0
    for piece, last in itertools.chain(((piece, False) for piece in pieces), [(b"", True)]):
        try:
            text = rest + decoder.decode(piece, final=last)
        except UnicodeDecodeError as error:
            line = passed + decoding.line_number(rest + error.object[: error.start].decode(codec, errors="replace"))
            raise InputError(f"{path}: line {line} is not {codec} text{hint}") from error
        if "\0" in text:
            line = passed + decoding.line_number(text[: text.index("\0")])
            raise InputError(f"{path}: line {line} holds a NUL byte; if the file is UTF-16, give --encoding utf-16-le")
        lines = io.StringIO(text, newline="").readlines()
        # A line that ends with CR may go on with the LF of the next piece.
        rest = lines.pop() if lines and not last and not lines[-1].endswith("\n") else ""
        passed += len(lines)
        yield from lines
