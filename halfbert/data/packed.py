"""Text files as they are, packed by gzip, or alone in a zip archive: their format, and their bytes as a bounded stream."""

import contextlib
import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from halfbert.data import workbooks
from halfbert.data.phrases import counted, listed
from halfbert.system.errors import InputError

GZIP, ZIP = ".gz", ".zip"
BROKEN = (EOFError, OSError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError)
ENCRYPTED = 1  # bit of a member's flags (APPNOTE.TXT 4.4.4)


def suffix_of(path: Path) -> str:
    """The ending, in small letters, that tells the format of a file; of a packed one that of the file in it.

    Raises InputError for a zip archive that cannot be read, or holds another number of files than one.
    """
    suffix = path.suffix.lower()
    if suffix == GZIP:
        return Path(path.stem).suffix.lower()
    return PurePosixPath(_member(path).filename).suffix.lower() if suffix == ZIP else suffix


def is_packed(path: Path) -> bool:
    """Whether a file is packed, by its ending."""
    return path.suffix.lower() in (GZIP, ZIP)


def bare_name(path: Path) -> str:
    """The name of a file without the ending of its packing, and with that of its format."""
    return path.stem + (suffix_of(path) if path.suffix.lower() == ZIP else "") if is_packed(path) else path.name


def _member(path: Path) -> zipfile.ZipInfo:
    """The one file in a zip archive, apart from what macOS adds."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except BROKEN as error:
        raise InputError(f"{path}: is not a whole zip archive ({workbooks.first_line(error)})") from error
    names = {member.filename for member in members}
    if "[Content_Types].xml" in names:
        raise InputError(f"{path}: is an Excel workbook named .zip; give it the ending .xlsx")
    files = [
        member
        for member in members
        if not member.is_dir()
        if not member.filename.startswith("__MACOSX/") and not PurePosixPath(member.filename).name.startswith(".")
    ]
    if len(files) != 1:
        held = f"{counted(len(files), 'file')} ({listed([file.filename for file in files])})" if files else "no file"
        raise InputError(f"{path}: holds {held}; a zip archive of one file is read, so unpack it")
    if files[0].flag_bits & ENCRYPTED:
        raise InputError(f"{path}: is encrypted; unpack it with its password")
    return files[0]


class _Bounded(io.RawIOBase):
    """A stream of what is unpacked, which ends with an InputError where it is broken, or far larger than what is packed."""

    def __init__(self, path: Path, stream: Any) -> None:
        self._path, self._stream, self._packed, self._passed = path, stream, path.stat().st_size, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            piece = self._stream.read(len(buffer))
        except BROKEN as error:
            kind = self._path.suffix.lower()
            raise InputError(f"{self._path}: is not a whole {kind} file ({workbooks.first_line(error)})") from error
        self._passed += len(piece)
        if self._passed > max(workbooks.RATIO_MATTERS_FROM_BYTES, workbooks.MAX_RATIO * self._packed):
            raise InputError(
                f"{self._path}: unpacks to more than {workbooks.MAX_RATIO} times its size, which no table of texts does; "
                "if it is one, unpack it first"
            )
        buffer[: len(piece)] = piece
        return len(piece)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The bytes of a file, unpacked where it is packed. Raises InputError, also while they are read, if it is broken."""
    suffix = path.suffix.lower()
    with contextlib.ExitStack() as stack:
        if suffix == ZIP:
            member, archive = _member(path), stack.enter_context(zipfile.ZipFile(path))
            try:
                packed: Any = stack.enter_context(archive.open(member))
            except BROKEN as error:
                raise InputError(f"{path}: is not a whole zip archive ({workbooks.first_line(error)})") from error
        elif suffix == GZIP:
            packed = stack.enter_context(gzip.open(path))
        else:
            yield stack.enter_context(path.open("rb"))
            return
        yield stack.enter_context(io.BufferedReader(_Bounded(path, packed), 2**16))


def read(path: Path) -> bytes:
    """All bytes of a file, unpacked. Raises InputError as `opened`, and if there are more than are accepted in memory."""
    if not is_packed(path):
        return path.read_bytes()
    with opened(path) as stream:
        data = stream.read(workbooks.MAX_UNPACKED_BYTES + 1)
    if len(data) > workbooks.MAX_UNPACKED_BYTES:
        raise InputError(
            f"{path}: unpacks to more than the {workbooks.MAX_UNPACKED_BYTES / 2**30:g} GiB accepted; unpack it first"
        )
    return data
