"""Parts of a comparison: fits in processes of their own, each kept under its identity and run once.

A *part* is one fit of one contestant. Its identity is a hash of its options, its data, its weights and the code that it runs,
so that a comparison that was killed goes on where it was.
"""

import ast
import contextlib
import ctypes
import hashlib
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from halfbert.output import record as records
from halfbert.system import storage
from halfbert.system.console import Stopped, say
from halfbert.system.errors import ArtefactError, InputError, ResourceError
from halfbert.system.machine import PROJECT

PR_SET_PDEATHSIG = 1  # linux/prctl.h
FAILURES = {failure.exit_code: failure for failure in (InputError, ArtefactError, ResourceError)}


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
    record: dict
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
            run_child(command, None, part.name, self.debug)
        else:
            run_child(part.command, {**part.job, "results": results}, part.name, self.debug)
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
        if state.get("identity") != part.identity or record["stopped"] is not None or not whole:
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


# ---------------------------------------------------------------------------------------------------------------------------
# Processes


def run_child(command: Sequence[str], job: dict | None, label: str, debug: bool = False) -> None:
    """Run the project's own code in a process; its lines are passed on under the label, up to the blank one before its tables.

    Raises what the process failed with, by its exit code and its last line; when this process is stopped, so is that one.
    """
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(PROJECT), os.environ.get("PYTHONPATH"))))}
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as errors:
        given.write(json.dumps(job).encode())
        given.seek(0)
        process = subprocess.Popen(
            [sys.executable, *command],
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            encoding="utf-8",
            env=variables,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )
        try:
            for line in itertools.takewhile(str.strip, process.stdout):
                say(f"  {label} | {line.rstrip()}")
            for _ in process.stdout:  # read to the end, lest the process wait for a reader
                pass
            code = process.wait()
        except BaseException:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=60)
            process.kill()
            process.wait()
            raise
        finally:
            process.stdout.close()
        errors.seek(0)
        said = errors.read().decode(errors="replace").strip()
    if code:
        if debug:
            print(said, file=sys.stderr)
        raise _failure(code, label, said.splitlines()[-1] if said else "it said nothing")


def _failure(code: int, label: str, line: str) -> BaseException:
    if code in (130, 143):
        return Stopped(code - 128)
    if code < 0:
        killed = " (out of memory?)" if code == -signal.SIGKILL else ""
        return ResourceError(f"{label}: its process was ended by {signal.Signals(-code).name}{killed}")
    return FAILURES.get(code, ResourceError)(f"{label}: {line.removeprefix('error: ')[:400]}")


def _die_with_parent() -> None:
    """In the child, before it becomes another program: be killed when the parent is, so that nobody trains on unseen."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
