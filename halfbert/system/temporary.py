"""Temporary folders: removed when a block ends, and those of killed runs when the next one begins."""

import contextlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PREFIX = "halfbert-"
FILES, LOCK = "files", "lock"
SECONDS_TO_LOCK = 60  # for which a folder may have no lock, although a run has just made it


@contextlib.contextmanager
def folder(name: str = "") -> Iterator[Path]:
    """A new folder among the temporary files, removed when the block ends; `name` is part of its name.

    A lock beside it tells other runs that it is in use; the operating system releases it however this process ends.
    """
    from filelock import FileLock

    _remove_left()
    # On Windows what is still open stays, and is left to the system: ktrain does not close its files.
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{name}", ignore_cleanup_errors=True) as made:
        files, lock = Path(made) / FILES, FileLock(Path(made) / LOCK)
        files.mkdir()
        with contextlib.suppress(NotImplementedError):  # a file system without locks; nobody else gets it there either
            lock.acquire()
        try:
            yield files
        finally:
            lock.release()


def _remove_left() -> None:
    """Remove the folders that killed runs of this user left, which may hold texts, weights and gigabytes."""
    from filelock import FileLock, Timeout

    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError, NotImplementedError, Timeout):
            if _is_ours(left) and time.time() - left.stat().st_mtime > SECONDS_TO_LOCK:
                with FileLock(left / LOCK, timeout=0):
                    shutil.rmtree(left, ignore_errors=True)


def _is_ours(path: Path) -> bool:
    """Whether it is a folder of `folder`, made by this user; others may put anything among the temporary files."""
    found = path.lstat()
    own = not hasattr(os, "getuid") or found.st_uid == os.getuid()
    return own and stat.S_ISDIR(found.st_mode) and (path / LOCK).is_file()
