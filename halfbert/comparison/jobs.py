"""Parts of a comparison: fits in processes of their own, each kept under its identity and run once.

A *part* is one fit of one contestant. Its identity is a hash of its options, its data, its weights and the code that it runs,
so that a comparison that was killed goes on where it was.
"""

import ast
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from halfbert.output import record as records
from halfbert.system import processes, storage
from halfbert.system.console import say
from halfbert.system.errors import ArtefactError
from halfbert.system.machine import PROJECT


@dataclass(frozen=True)
class Part:
    """One fit of one contestant: what is run, and all that its result depends on.

    `command` follows the Python interpreter. A script is told where to put predictor and results by its options; what takes
    a `job` on its standard input makes results only, and is told where by the job.
    """

    name: str
    command: list[str]
    depends_on: dict  # plain JSON
    job: dict | None = None

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
        """What the part gives: taken over where it was finished before, run now where it was not."""
        try:
            found = self._finished(part)
            say(f"{part.name}: taken over, finished before")
            return found
        except ArtefactError:
            pass  # not there, or not whole
        say(f"{part.name}: running")
        started = time.perf_counter()
        places = self._places(part)
        predictor, results = map(str, places.values())
        if part.job is None:
            command = [*part.command, "--output", predictor, "--results", results, "--overwrite"]
            processes.run(command, part.name, debug=self.debug)
        else:
            processes.run(part.command, part.name, {**part.job, "results": results}, self.debug)
        state = {"identity": part.identity, "depends_on": part.depends_on, "seconds": time.perf_counter() - started}
        storage.write_json(state, self._state(part))
        return self._finished(part)

    def _places(self, part: Part) -> dict[str, Path]:
        return {name: self.folder / name / part.label for name in ("predictor", "results")}

    def _state(self, part: Part) -> Path:
        return self.folder / f"{part.label}.json"

    def _finished(self, part: Part) -> Finished:
        state, places = read_json(self._state(part)), self._places(part)
        record = records.read(places["results"])
        whole = part.job is not None or (places["predictor"] / "halfbert.json").is_file()
        if state.get("identity") != part.identity or record.stopped is not None or not whole:
            raise ArtefactError(f"{places['results']}: not finished")
        probabilities, numbers = records.read_answers(places["results"])
        return Finished(part, state["seconds"], record=record, probabilities=probabilities, numbers=numbers, **places)

    def made(self, name: str, depends_on: dict, make: Callable[[Path], None]) -> dict:
        """The JSON file that `make` writes at the path it is given, taken over where it was written before."""
        file = self.folder / f"{name}-{sha256(depends_on)[:10]}.json"
        if not file.is_file():
            say(f"{name}: running")
            make(file)
        return read_json(file)


def sha256(value: dict) -> str:
    """SHA-256 of what JSON makes of a value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def read_json(file: Path) -> dict:
    """A JSON file. Raises ArtefactError where there is none, or it is damaged."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtefactError(f"{file}: cannot be read ({error})") from error


def code_sha256(script: Path) -> str:
    """SHA-256 over a script of the project and the modules of the project that it imports, directly or not."""
    found, waiting = {}, [script]
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        source = found[file] = file.read_bytes()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "halfbert":
                inside = PROJECT.joinpath(*node.module.split("."))
                names = [inside.with_suffix(".py"), *(inside / f"{alias.name}.py" for alias in node.names)]
                waiting += [name for name in names if name.is_file()]
    return hashlib.sha256(b"\0".join(found[file] for file in sorted(found))).hexdigest()
