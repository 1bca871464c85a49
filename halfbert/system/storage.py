"""Files and folders that are either whole or not there: write beside the final name, sync, rename."""

import contextlib
import ctypes
import glob
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from halfbert.system.errors import InputError, ResourceError

RENAME_EXCHANGE = 2  # linux/fs.h
AT_FDCWD = -100
REPLACED = "-replaced"  # end of the name of a folder that is out of the way between two renames


@contextlib.contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Give a new folder to fill; when the block ends well it takes the place of `target`, else nothing has changed.

    What stood at `target` stays until the new folder is complete and on the disk. On Linux the two change places in one
    system call, so that at every moment one of them stands there, whatever kills the process.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.partial-"))
    try:
        yield staging
        staging.chmod(0o755)  # mkdtemp made it private
        sync(staging)
        if target.exists():
            _exchange(staging, target)
        else:
            os.rename(staging, target)
        _sync_path(target.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def remove_leftovers(target: Path) -> None:
    """Remove what a killed run left half-written beside `target`. Call with the lock of `target` held.

    Where the kill came between two renames, what stood at `target` is put back first.
    """
    for leftover in sorted(target.parent.glob(f".{glob.escape(target.name)}.partial-*"), reverse=True):
        if leftover.name.endswith(REPLACED) and not target.exists():
            os.rename(leftover, target)
        else:
            shutil.rmtree(leftover, ignore_errors=True)


def write_json(value, path: Path) -> None:
    """Write `value` as JSON; the file is whole or not there. NaN, which JSON has no word for, is refused."""
    write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", path)


def write_text(content: str, path: Path) -> None:
    """Write UTF-8 text; the file is whole or not there."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "w", encoding="utf-8", newline="") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def sync(folder: Path) -> None:
    """Have the disk hold every file of the folder, and the folder."""
    for path in [*folder.rglob("*"), folder]:
        _sync_path(path)


def _sync_path(path: Path) -> None:
    if path.is_dir() and os.name == "nt":
        return  # Windows has no handle to a folder that could be synced
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _exchange(new: Path, old: Path) -> None:
    """Let `new` and `old` change places; where the system cannot do that at once, by two renames."""
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
    """Hold the lock of an output while the block runs; raises InputError where another run holds it.

    The lock is the operating system's, so it goes when its process does. Its file goes with it, and so do the folders that
    were made for it, unless something stands in them by then.
    """
    from filelock import FileLock, Timeout

    made = [folder for folder in target.parents if not folder.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    file = target.with_name(f".{target.name}.lock")
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(f"{target}: another run is writing there; wait for it, or give another folder") from None
    try:
        yield
    finally:
        # Removed while it is held: whoever opened it meanwhile sees that it is gone, and makes a new one.
        with contextlib.suppress(OSError):  # Windows removes no open file; an empty one then stays
            file.unlink()
        lock.release()
        with contextlib.suppress(OSError):  # not empty
            for folder in made:
                folder.rmdir()


def check_disjoint(output: Path, results: Path, option: str = "--results") -> None:
    """Refuse an --output and `option` that are one folder or lie in each other: the later would wipe out the earlier."""
    first, second = output.resolve(), results.resolve()
    if first == second or first in second.parents or second in first.parents:
        raise InputError(f"--output {output} and {option} {results}: one is the other or lies in it; give two folders apart")


def check_output(path: Path, option: str, overwrite: bool, marker: str) -> None:
    """Refuse an output that exists, is a file or cannot be written; `marker` is the file by which we know our own folders.

    `overwrite` allows the place of a folder that holds `marker`, or of an empty one, never that of somebody's other data.
    """
    if path.is_symlink() and not path.exists():
        raise InputError(f"{option} {path}: a link to nowhere; give another name")
    if path.exists() and not path.is_dir():
        raise InputError(f"{option} {path}: is a file; give the name of a folder")
    if path.exists() and any(path.iterdir()):
        if not overwrite:
            raise InputError(f"{option} {path}: already there; --overwrite replaces it, or give another name")
        if not (path / marker).is_file():
            raise InputError(f"{option} {path}: holds no {marker}, so it is not ours to replace; give another name")
    parent = next(folder for folder in path.absolute().parents if folder.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise InputError(f"{option} {path}: cannot be written ({parent} is not writable)")


def check_free_space(path: Path, needed_bytes: int) -> None:
    """Raise ResourceError where the disk that would hold `path` has less room than `needed_bytes`."""
    parent = next(folder for folder in [path.absolute(), *path.absolute().parents] if folder.exists())
    free = shutil.disk_usage(parent).free
    if free < needed_bytes:
        raise ResourceError(
            f"{path}: about {needed_bytes / 1e6:,.0f} MB will be written and {free / 1e6:,.0f} MB are free; make room, or "
            f"give an --output on another disk"
        )


def reserve_space(folder: Path, needed_bytes: int) -> None:
    """Reserve a file of that size in `folder` for a moment; raises OSError (ENOSPC, EDQUOT, EFBIG) where it cannot be had.

    Free space alone does not tell what quotas and limits allow.
    """
    check_free_space(folder, needed_bytes)
    with tempfile.TemporaryFile(dir=folder) as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, needed_bytes)


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
