"""Atomic writes: files and folders are written beside their final name, synced to disk, then renamed.

Whatever the project writes to keep is written here; numpy, openpyxl and matplotlib write into `atomic_file`.
"""

import contextlib
import ctypes
import glob
import hashlib
import json
import math
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from halfbert.system.errors import InputError, ResourceError

RENAME_EXCHANGE = 2  # linux/fs.h
AT_FDCWD = -100
REPLACED = "-replaced"  # name ending of the old folder between two renames


@contextlib.contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield a new folder to fill; it replaces `target` when the block succeeds, and is removed when it raises.

    The old `target` stays until the new folder is complete and on disk. On Linux the two are exchanged in one system call,
    so that `target` exists at every moment, even if the process is killed.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = staging_name(target)
    staging.mkdir()
    try:
        yield staging
        publish_folder(staging, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def publish_folder(folder: Path, target: Path) -> None:
    """Sync a whole folder to disk and rename it to `target`; a folder that was there takes its place."""
    for path in [*folder.rglob("*"), folder]:
        _sync_path(path)
    if target.exists():
        _exchange(folder, target)
    else:
        os.rename(folder, target)
    _sync_path(target.parent)


def staging_name(target: Path) -> Path:
    """A new name beside `target` for what is not whole; `remove_leftovers` removes what a killed run left there."""
    return target.with_name(f".{target.name}.partial-{secrets.token_hex(4)}")


def remove_leftovers(target: Path) -> None:
    """Remove what a killed run left half-written beside `target`, whose lock the caller holds.

    If the run was killed between two renames, the old `target` is restored first.
    """
    for leftover in sorted(target.parent.glob(f".{glob.escape(target.name)}.partial-*"), reverse=True):
        if leftover.name.endswith(REPLACED) and not target.exists():
            os.rename(leftover, target)
        elif leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a binary file to write; it replaces `path` when the block succeeds, and is removed when it raises."""
    temporary = staging_name(path)
    try:
        with open(temporary, "xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_bytes(content: bytes, path: Path) -> None:
    """Write a file that is whole or not there."""
    with atomic_file(path) as stream:
        stream.write(content)


def append_bytes(content: bytes, path: Path) -> None:
    """Append to a file, and have it on disk when this returns."""
    with path.open("ab") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def write_text(content: str, path: Path) -> None:
    r"""Write UTF-8 text, as `write_bytes` does; lone surrogates, which UTF-8 cannot encode, are escaped as in JSON (\ud800)."""
    write_bytes(content.encode("utf-8", "backslashreplace"), path)


def write_json(value: object, path: Path) -> None:
    """Write `value` as JSON, as `write_bytes` does. Raises ValueError for NaN and infinity, which JSON cannot represent."""
    write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", path)


def _sync_path(path: Path) -> None:
    """Flush a file or a folder to disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot sync folders
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _exchange(new: Path, old: Path) -> None:
    """Exchange `new` and `old`: atomically on Linux, elsewhere by renaming in turn."""
    if sys.platform == "linux":
        renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
        if renameat2 and renameat2(AT_FDCWD, os.fsencode(new), AT_FDCWD, os.fsencode(old), RENAME_EXCHANGE) == 0:
            return
    aside = new.with_name(new.name + REPLACED)
    os.rename(old, aside)
    os.rename(new, old)
    os.rename(aside, new)


@contextlib.contextmanager
def output_lock(target: Path) -> Iterator[None]:
    """Hold the lock of an output while the block runs. Raises InputError if another run holds it.

    The operating system releases the lock when the process ends. The lock file is removed afterwards, and so are the folders
    created for it, if they are empty.
    """
    from filelock import FileLock, Timeout

    made = [folder for folder in target.parents if not folder.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    file = target.with_name(f".{target.name}.lock")
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(f"{target}: another run is writing there; wait for it, or choose another output") from None
    try:
        yield
    finally:
        # Removed while held: filelock notices that a file it has just locked was removed, and creates a new one.
        with contextlib.suppress(OSError):  # Windows does not remove open files; an empty one then stays
            file.unlink()
        lock.release()
        with contextlib.suppress(OSError):  # not empty
            for folder in made:
                folder.rmdir()


def check_disjoint(output: Path, results: Path, option: str = "--results") -> None:
    """Raise InputError if --output and `option` are the same folder or one contains the other: one would replace the other."""
    first, second = output.resolve(), results.resolve()
    if first == second or first in second.parents or second in first.parents:
        raise InputError(
            f"--output {output} and {option} {results}: the same folder, or one inside the other; choose two separate ones"
        )


def check_output(path: Path, option: str, overwrite: bool, marker: str) -> None:
    """Raise InputError if an output folder exists, is a file or cannot be written.

    With `overwrite` a folder may be replaced if it contains the file `marker`, by which we know our own; no other data is.
    """
    if path.is_symlink() and not path.exists():
        raise InputError(f"{option} {path}: a broken link; choose another name")
    if path.exists() and not path.is_dir():
        raise InputError(f"{option} {path}: is a file; a folder is needed")
    if path.exists() and any(path.iterdir()):
        if not overwrite:
            raise InputError(f"{option} {path}: already exists; --overwrite replaces it, or choose another name")
        if not (path / marker).is_file():
            raise InputError(f"{option} {path}: contains no {marker}, so it is not replaced; choose another name")
    parent = next(folder for folder in path.absolute().parents if folder.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise InputError(f"{option} {path}: cannot be written ({parent} is not writable)")


def check_free_space(path: Path, needed_bytes: int) -> None:
    """Raise ResourceError if the disk of `path` has less free space than `needed_bytes`."""
    parent = next(folder for folder in [path.absolute(), *path.absolute().parents] if folder.exists())
    free = shutil.disk_usage(parent).free
    if free < needed_bytes:
        raise ResourceError(
            f"{path}: about {math.ceil(needed_bytes / 1e6):,} MB will be written and {free / 1e6:,.0f} MB are free; make room, "
            "or choose an --output on another disk"
        )


def reserve_space(folder: Path, needed_bytes: int) -> None:
    """Reserve a file of that size in `folder` for a moment. Raises OSError (ENOSPC, EDQUOT, EFBIG) if that fails.

    Free space alone says nothing about quotas and limits.
    """
    check_free_space(folder, needed_bytes)
    with tempfile.TemporaryFile(dir=folder) as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, needed_bytes)


def link_folder(source: Path, target: Path) -> None:
    """Have the files of `source` in a new folder `target` too: by hard links, where the disk has them by copies."""

    def link(file: str, name: str) -> None:
        try:
            os.link(file, name)
        except OSError:
            shutil.copyfile(file, name)

    shutil.copytree(source, target, copy_function=link)


def folder_bytes(folder: Path) -> int:
    """Sum of the sizes of all files in the folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def sha256(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(file, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
