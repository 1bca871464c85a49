"""The parts of a run on a cluster: consecutive rows of a file, answered by themselves and kept until the output is whole.

Beside the output stands the folder `.NAME.parts`. In it every input has a folder, named by the digest of all that decides its
answers, with a parquet file and a summary for each finished part; parts of the same name are therefore parts of the same
answers, and workers of an earlier run that are still alive write where nobody looks. A file whose parts are all there is joined
in `JOINED`; when all are, they move into one folder, which gets the name of the output.
"""

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from halfbert.prediction.parquet import Parquet, join
from halfbert.prediction.summary import Summary
from halfbert.system import storage
from halfbert.system.errors import ResourceError

# What one worker answers at a time: what is lost with a worker that is killed, at most.
PART_ROWS, PART_BYTES = 2**16, 2**24
ATTEMPTS, ATTEMPTS_SUFFIX = 4, ".attempts"  # to answer a part, each ended by the death of the worker
JOINED = "joined.parquet"
READY, PUBLISHED = "ready", "published.json"


@dataclass(frozen=True)
class Part:
    """Rows `first` to `first + rows` of the parquet file `source`, and the file for them with their answers.

    It travels to other machines as the values of its fields.
    """

    source: str
    first: int
    rows: int
    target: str

    @property
    def _record(self) -> Path:
        return Path(self.target).with_suffix(".json")

    @property
    def _attempts(self) -> Path:
        return Path(self.target).with_suffix(ATTEMPTS_SUFFIX)

    @property
    def range(self) -> range:
        return range(self.first, self.first + self.rows)

    def begin(self) -> None:
        """Count an attempt. Raises ResourceError if so many workers have died of this part that the next one would too."""
        with open(self._attempts, "ab") as stream:
            if stream.tell() >= ATTEMPTS:
                raise ResourceError(
                    f"{self.source}: {ATTEMPTS} workers died while they answered rows {self.first + 1:,} to "
                    f"{self.first + self.rows:,}, which is what happens without enough memory; try fewer --workers"
                )
            stream.write(b".")

    def finish(self, summary: Summary) -> None:
        """Note that the target is written, and what became of its rows."""
        storage.write_bytes(msgspec.json.encode(summary), self._record)
        self._attempts.unlink(missing_ok=True)

    def forget_if_lost(self) -> None:
        """Answer it again if its target is not there."""
        if not Path(self.target).exists():
            self._record.unlink(missing_ok=True)

    def summary(self) -> Summary | None:
        """What became of its rows, if it is finished."""
        with contextlib.suppress(FileNotFoundError):
            stated = msgspec.json.decode(self._record.read_bytes())
            return Summary(**{**stated, "unanswered": Counter(stated["unanswered"])})
        return None


class Parts:
    """The parts of a run, `files` by the name of each input; `notes` are lines for the user."""

    def __init__(self, output: Path, sources: Sequence[Parquet], made_by: dict[str, Any]) -> None:
        self.output, self.folder, self.notes = output, folder_of(output), list[str]()
        plans = {Path(source.name).name: _plan(source, made_by) for source in sources}
        self._digests = {name: _digest(plan) for name, plan in plans.items()}
        self.digest = _digest(self._digests)
        self.is_published = wrote(output) and _read(self.folder)["digest"] == self.digest
        if not self.is_published and _given_away(self.folder):
            shutil.rmtree(self.folder)  # what it held became an output, which this run replaces
        self.folder.mkdir(exist_ok=True)
        self.files = {name: _parts(self.folder / self._digests[name], plan) for name, plan in plans.items()}
        if not self.is_published:
            self._prepare()

    def _prepare(self) -> None:
        """Make the folders, and remove those of other answers."""
        (self.folder / PUBLISHED).unlink(missing_ok=True)  # of a run that was killed just before it did so
        digests = set(self._digests.values())
        others = [each for each in self.folder.iterdir() if each.is_dir() and each.name not in digests | {self._ready.name}]
        if others:
            self.notes.append(f"{self.folder}: answers of other files, another predictor or other options; they are removed")
        for folder in others:
            shutil.rmtree(folder)
        for name in digests:
            (self.folder / name).mkdir(exist_ok=True)
            for leftover in (*(self.folder / name).glob(".*.partial-*"), *(self.folder / name).glob(f"*{ATTEMPTS_SUFFIX}")):
                leftover.unlink(missing_ok=True)
        for name, parts in self.files.items():
            if not self._is_joined(name):
                for part in parts:
                    part.forget_if_lost()

    def _is_joined(self, name: str) -> bool:
        return (self.folder / self._digests[name] / JOINED).exists() or (self._ready / name).exists()

    @property
    def _ready(self) -> Path:
        return self.folder / f"{READY}-{self.digest}"

    def all(self) -> list[Part]:
        """All parts, in the order of the rows."""
        return [part for parts in self.files.values() for part in parts]

    def join(self, name: str) -> None:
        """Make one file of the finished parts of a file, and remove them."""
        parts = [Path(part.target) for part in self.files[name]]
        if self._is_joined(name):  # by an earlier run, or there is one part
            return
        with storage.atomic_file(parts[0].with_name(JOINED)) as stream:
            join(parts, stream)
        for part in parts:
            part.unlink()

    def publish(self) -> None:
        """Give the folder of all joined files the name of the output, and remove the rest."""
        self._ready.mkdir(exist_ok=True)
        for name, digest in self._digests.items():
            if not (self._ready / name).exists():
                os.replace(self.folder / digest / JOINED, self._ready / name)
        storage.write_json(
            {"digest": self.digest, "inode": self._ready.stat().st_ino, "ready": self._ready.name}, self.folder / PUBLISHED
        )
        storage.publish_folder(self._ready, self.output)
        self.remove()

    def remove(self) -> None:
        """Remove the parts of an output that has its name."""
        leftover = storage.staging_name(self.output)
        os.rename(self.folder, leftover)
        shutil.rmtree(leftover, ignore_errors=True)


def folder_of(output: Path) -> Path:
    """The folder of the parts so far of an output."""
    return output.with_name(f".{output.name}.parts")


def wrote(output: Path) -> bool:
    """Whether the output is the one that a run on a cluster published, killed before it removed the parts."""
    return output.is_dir() and _read(folder_of(output)).get("inode") == output.stat().st_ino


def _given_away(folder: Path) -> bool:
    """Whether the folder of the joined files has become an output, and another may stand in its place."""
    if not (record := _read(folder)):
        return False
    ready = folder / record["ready"]
    return not ready.exists() or ready.stat().st_ino != record["inode"]


def _read(folder: Path) -> dict[str, Any]:
    with contextlib.suppress(FileNotFoundError):
        return json.loads((folder / PUBLISHED).read_bytes())
    return {}


def _plan(source: Parquet, made_by: dict[str, Any]) -> dict[str, Any]:
    """All that decides the answers to a file, and the parts that it is answered in."""
    stated = source.path.stat()
    count = max(math.ceil(source.rows / PART_ROWS), math.ceil(source.text_bytes / PART_BYTES), 1)
    file = {"path": str(source.path.absolute()), "bytes": stated.st_size, "changed": stated.st_mtime_ns}
    return {**file, "rows": source.rows, "step": max(math.ceil(source.rows / count), 1), "made by": made_by}


def _parts(folder: Path, plan: dict[str, Any]) -> list[Part]:
    starts = range(0, max(plan["rows"], 1), plan["step"])
    names = [f"{number:06}.parquet" for number in range(len(starts))] if len(starts) > 1 else [JOINED]
    return [
        Part(plan["path"], first, min(plan["step"], plan["rows"] - first), str((folder / name).absolute()))
        for first, name in zip(starts, names, strict=True)
    ]


def _digest(value: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]


def merged(parts: Sequence[Summary]) -> Summary:
    """What became of the rows of all parts."""
    total = dataclasses.replace(parts[0])
    for part in parts[1:]:
        total.include(part)
    return total
