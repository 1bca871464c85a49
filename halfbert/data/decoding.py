"""From the bytes of a text file to its text: byte-order marks, encodings, and the number of the line that is at fault."""

import codecs
import re
from pathlib import Path

from halfbert.data import workbooks
from halfbert.system.errors import InputError

# The longer mark first: UTF-32 begins as UTF-16 does.
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def decoded(path: Path, data: bytes, encoding: str | None) -> str:
    """The text of a file, decoded as its byte-order mark says, else as `encoding`, else as UTF-8.

    Raises InputError, naming the line, where the bytes are no text of that encoding.
    """
    check_is_no_workbook(path, data)
    codec = codec_of(path, data, encoding)
    try:
        text = data.decode(codec)
    except UnicodeDecodeError as error:
        line = line_number(data[: error.start].decode(codec, errors="replace"))
        hint = "" if encoding else "; if it was saved by Excel, try --encoding cp1252"
        raise InputError(f"{path}: line {line} is not {codec.removesuffix('-sig')} text{hint}") from error
    if "\0" in text:
        line = line_number(text[: text.index("\0")])
        raise InputError(f"{path}: line {line} holds a NUL byte; if the file is UTF-16, give --encoding utf-16-le")
    return text.lstrip("\ufeff")  # a second mark, from a program that added its own


def check_is_no_workbook(path: Path, start: bytes) -> None:
    """Raise InputError if a text file begins as an Excel workbook does."""
    if start.startswith(workbooks.ZIP_SIGNATURE):
        raise InputError(f"{path}: is an Excel workbook named {path.suffix}; give it the ending .xlsx")
    if start.startswith(workbooks.OLE2_SIGNATURE):
        raise InputError(f"{path}: {workbooks.describe_ole2(path)}")


def codec_of(path: Path, data: bytes, encoding: str | None) -> str:
    """The codec of a text file that begins with `data`: its byte-order mark's, else `encoding`, else UTF-8."""
    marked = next((codec for mark, codec in BYTE_ORDER_MARKS.items() if data.startswith(mark)), None)
    if encoding is None:
        return marked or "utf-8"
    try:
        requested = codecs.lookup(encoding).name
        b"a".decode(encoding, errors="replace")  # some codecs, such as hex, are not for text
    except (LookupError, ValueError) as error:
        raise InputError(f"--encoding {encoding}: no such encoding; try utf-8, utf-16 or cp1252") from error
    if marked and not requested.startswith(marked.removesuffix("-sig")):
        raise InputError(f"{path}: begins with the mark of {marked.removesuffix('-sig')}; leave out --encoding {encoding}")
    return marked or encoding


def line_number(text_before: str) -> int:
    """The number of the line on which `text_before` ends."""
    return len(re.findall(r"\r\n?|\n", text_before)) + 1
