"""The answers so far of a run, kept beside its output until that is whole: a killed run resumes with them.

A file of records: what the answers were made by; the answers of one group of texts after another, each with the digest of its
texts; and, once the output is written, its digest. Every record is on disk before the next begins, so that only the last one
can be torn, which its own digest tells.
"""

import contextlib
import hashlib
import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from halfbert.system import storage

SIZE = struct.Struct("<Q")
DIGEST_BYTES = 16
MADE_BY, ANSWERS, OUTPUT = b"M", b"A", b"O"


def digest(content: bytes) -> bytes:
    """What tells contents apart: 128 bits of BLAKE2b."""
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


class Journal:
    """The answers so far to the texts of one output; `notes` are lines for the user."""

    def __init__(self, output: Path, made_by: dict[str, Any], kind: np.dtype) -> None:
        self.file, self._kind, self.notes = file_of(output), kind, list[str]()
        made = json.dumps(made_by, sort_keys=True).encode()
        self._stream: BinaryIO = open(self.file, "r+b" if self.file.exists() else "w+b")  # noqa: SIM115  (until `close`)
        self.replaying = self._next() == MADE_BY + made
        self.texts = 0  # answered before
        if not self.replaying:
            if self.file.stat().st_size:
                self.notes.append(f"{self.file}: answers of another predictor or other options are there; they are removed")
            self._stream.seek(0)
            self._append(MADE_BY + made)

    def before(self, texts: bytes) -> tuple[np.ndarray, int] | None:
        """The answers of the texts with this digest, and how many of them are truncated, if they are the next in the journal.

        From the first that are not, the journal is written anew.
        """
        if not self.replaying:
            return None
        place = self._stream.tell()
        record = self._next() or b""
        head = ANSWERS + texts
        if record.startswith(head):
            (truncated,) = SIZE.unpack_from(record, len(head))
            answers = np.frombuffer(record, self._kind, offset=len(head) + SIZE.size)
            self.texts += len(answers)
            return answers, truncated
        if record.startswith(ANSWERS):
            self.notes.append("the texts have changed since the earlier run; its answers are used up to the first change")
        self._stream.seek(place)
        self.replaying = False
        return None

    def add(self, texts: bytes, answers: np.ndarray, truncated: int) -> None:
        """Keep the answers of the texts with this digest."""
        self._append(ANSWERS + texts + SIZE.pack(truncated) + answers.tobytes())

    def finish(self, output: str) -> None:
        """Note the digest of the whole output, right before it gets its name."""
        self._append(OUTPUT + output.encode())

    def _next(self) -> bytes | None:
        """The next record if it is there and whole."""
        head = self._stream.read(SIZE.size + DIGEST_BYTES)
        if len(head) < SIZE.size + DIGEST_BYTES:
            return None
        (size,) = SIZE.unpack_from(head)
        if size > self.file.stat().st_size:
            return None
        record = self._stream.read(size)
        return record if len(record) == size and digest(record) == head[SIZE.size :] else None

    def _append(self, record: bytes) -> None:
        self._stream.truncate()
        self._stream.write(SIZE.pack(len(record)) + digest(record) + record)
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def close(self) -> None:
        self._stream.close()

    def remove(self) -> None:
        """Remove the journal of an output that has its name."""
        self.close()
        self.file.unlink()


def file_of(output: Path) -> Path:
    """The file of the answers so far of an output."""
    return output.with_name(f".{output.name}.answers")


def wrote(output: Path) -> bool:
    """Whether the output is the one that a run with a journal wrote and was killed before it removed the journal."""
    with contextlib.suppress(OSError), open(file_of(output), "rb") as stream:
        record = OUTPUT + digest_of(output).encode()
        end = SIZE.pack(len(record)) + digest(record) + record
        stream.seek(-len(end), os.SEEK_END)
        return stream.read() == end
    return False


def digest_of(output: Path) -> str:
    """The SHA-256 of a file, or of all files of a folder."""
    if not output.is_dir():
        return storage.sha256(output)
    lines = (f"{file.relative_to(output).as_posix()} {storage.sha256(file)}\n" for file in sorted(output.rglob("*")))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@contextlib.contextmanager
def kept(output: Path, made_by: dict[str, Any], kind: np.dtype) -> Iterator[Journal]:
    """The journal of an output while it is written; removed when the block succeeds, kept when it raises."""
    journal = Journal(output, made_by, kind)
    try:
        yield journal
    except BaseException:
        journal.close()
        raise
    journal.remove()
