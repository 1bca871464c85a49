"""Parts of a comparison: fits in processes of their own, each kept under its identity and run once.

A *part* is one fit of one contestant. Its identity is a hash of all that its result depends on, so a comparison that was killed
resumes where it was.
"""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from halfbert.output import record as records
from halfbert.predictor.manifest import MANIFEST
from halfbert.system import processes, storage
from halfbert.system.console import say
from halfbert.system.errors import ArtefactError


@dataclass(frozen=True)
class Part:
    """One fit of one contestant: what is run, and all that its result depends on.

    `command` follows the Python interpreter. A verb gets the folders of predictor and results as options; a command with a
    `job` on its standard input makes results only, and gets their folder in the job.
    """

    name: str
    command: list[str]
    depends_on: dict[str, Any]  # plain JSON
    job: dict[str, Any] | None = None

    @property
    def identity(self) -> str:
        """SHA-256 of all that the result depends on."""
        return sha256(self.depends_on)

    @property
    def label(self) -> str:
        """The name of its folders."""
        return f"{self.name}-{self.identity[:10]}"


@dataclass(frozen=True)
class Finished:
    """What a part left behind."""

    part: Part
    seconds: float
    results: Path
    predictor: Path
    record: records.Record
    probabilities: np.ndarray  # (test rows, labels)
    numbers: np.ndarray  # (test rows,), in their file


class Work:
    """The folder of finished parts."""

    def __init__(self, folder: Path, debug: bool = False):
        self.folder, self.debug = folder.resolve(), debug

    def finish(self, part: Part) -> Finished:
        """The result of a part: reused if it is finished, else computed now."""
        try:
            finished = self._finished(part)
            say(f"{part.name}: finished earlier, reused")
            return finished
        except ArtefactError:
            pass  # missing or incomplete
        say(f"{part.name}: running")
        started = time.perf_counter()
        predictor, results = self._places(part)
        if part.job is None:
            places = ["--output", str(predictor), "--results", str(results), "--overwrite"]
            processes.run([*part.command, *places], part.name, debug=self.debug)
        else:
            processes.run(part.command, part.name, {**part.job, "results": str(results)}, self.debug)
        state = {"identity": part.identity, "depends_on": part.depends_on, "seconds": time.perf_counter() - started}
        storage.write_json(state, self._state(part))
        return self._finished(part)

    def _places(self, part: Part) -> tuple[Path, Path]:
        return self.folder / "predictor" / part.label, self.folder / "results" / part.label

    def _state(self, part: Part) -> Path:
        return self.folder / f"{part.label}.json"

    def _finished(self, part: Part) -> Finished:
        state, (predictor, results) = read_json(self._state(part)), self._places(part)
        record = records.read(results)
        complete = part.job is not None or (predictor / MANIFEST).is_file()
        if state.get("identity") != part.identity or record.stopped is not None or not complete:
            raise ArtefactError(f"{results}: not finished")
        return Finished(part, state["seconds"], results, predictor, record, *records.read_answers(results))

    def made(self, name: str, depends_on: dict[str, Any], make: Callable[[Path], None]) -> dict[str, Any]:
        """The JSON object that `make` writes into the file it is given; reused if it was written earlier."""
        file = self.folder / f"{name}-{sha256(depends_on)[:10]}.json"
        try:
            return read_json(file)
        except ArtefactError:
            say(f"{name}: running")
            make(file)
        return read_json(file)


def sha256(value: object) -> str:
    """SHA-256 of a value's JSON, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def read_json(file: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises ArtefactError where there is none, or it is damaged."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError) as error:
        raise ArtefactError(f"{file}: cannot be read ({error})") from error
