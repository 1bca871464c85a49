"""Child processes that run the project's Python code: started alike, ended with their parent, their failures raised here."""

import ctypes
import functools
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

from halfbert.system.console import Stopped, say
from halfbert.system.errors import ArtefactError, HalfbertError, InputError, ResourceError
from halfbert.system.machine import PROJECT

FAILURES: dict[int, type[HalfbertError]] = {each.exit_code: each for each in (InputError, ArtefactError, ResourceError)}
SECONDS_TO_STOP = 60  # between asking a child to stop and killing it
PR_SET_PDEATHSIG = 1  # linux/prctl.h
# Loaded here: between fork and exec a child of a program with threads must not load libraries.
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
STOPPING = {signal.SIGINT, signal.SIGTERM}


def environment() -> dict[str, str]:
    """This process's environment for a child that imports the project and talks to its parent in UTF-8."""
    variables = {**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONSAFEPATH": "1"}  # no module of the working folder
    if PROJECT.name not in ("site-packages", "dist-packages"):  # a checkout is not on every Python's path
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, (str(PROJECT), os.environ.get("PYTHONPATH"))))
    return variables


def start(
    arguments: Sequence[str],
    stdin: int | IO[bytes],
    stderr: int | IO[bytes],
    variables: Mapping[str, str] | None = None,
    new_session: bool = False,
) -> "subprocess.Popen[str]":
    """Start Python with these arguments, its standard output a pipe; on Linux the child is killed when its parent dies.

    `variables` are added to the environment. In a `new_session` the child does not get the terminal's Ctrl-C. A signal that
    comes meanwhile takes effect afterwards: what a handler raises in the middle of a fork, Python prints and forgets.
    """
    held_back = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING) if os.name == "posix" else set()
    try:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            encoding="utf-8",
            errors="replace",
            env={**environment(), **(variables or {})},
            start_new_session=new_session,
            preexec_fn=functools.partial(_in_child, held_back) if os.name == "posix" else None,
        )
    except BaseException:
        _let_through(held_back)
        raise
    try:
        _let_through(held_back)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return process


def _let_through(held_back: set[Any]) -> None:
    """Put the signals that this thread holds back to what they were; a signal that waited is handled here."""
    if os.name == "posix":
        signal.pthread_sigmask(signal.SIG_SETMASK, held_back)


def _in_child(held_back: set[Any]) -> None:
    if LIBC:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    _let_through(held_back)


def run(
    arguments: Sequence[str],
    label: str,
    job: object = None,
    debug: bool = False,
    heard: Callable[[str], object] | None = None,
) -> None:
    """Run Python with these arguments to its end; `job` is its standard input, as JSON.

    Its lines are passed on under the label, up to the first blank one, which precedes the tables of a verb; `heard` gets them
    as well. Raises what the child failed with, by its exit code and the last line of its standard error. When this process is
    stopped, so is the child, by one signal: it does not get the terminal's Ctrl-C beside, which would be its second.
    """
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as errors:
        given.write(json.dumps(job).encode())
        given.seek(0)
        with start(arguments, given, errors, new_session=True) as process:
            assert process.stdout is not None
            try:
                for line in itertools.takewhile(str.strip, process.stdout):
                    say(f"  {label} | {line.rstrip()}")
                    if heard:
                        heard(line)
                for _ in process.stdout:  # read to the end, lest the child wait for a reader
                    pass
                code = process.wait()
            except BaseException:
                say(f"{label}: stopping where nothing is lost (once more: at once)")
                stop(process)
                raise
        reported = error_lines(errors)
    if code:
        if debug:
            print("\n".join(reported), file=sys.stderr)
        raise failure(code, label, reported)


def stop(process: "subprocess.Popen[str]") -> None:
    """End a child: by SIGTERM, or by SIGKILL where it does not end in time, or this process is in a hurry."""
    process.terminate()
    try:
        process.wait(SECONDS_TO_STOP)
    except subprocess.TimeoutExpired:
        pass
    finally:  # a second Ctrl-C leaves no child behind
        process.kill()
        process.wait()


def error_lines(errors: IO[bytes]) -> list[str]:
    """What a child has written to the file that is its standard error."""
    errors.seek(0)
    return errors.read().decode(errors="replace").strip().splitlines()


def failure(code: int, label: str, reported: Sequence[str]) -> HalfbertError | Stopped:
    """The exception for a child's exit code, with the last line that it reported; a negative code is that of a signal."""
    if code in (130, 143):
        return Stopped(code - 128)
    if code < 0:
        name = next((each.name for each in signal.Signals if each == -code), f"signal {-code}")
        killed = " (out of memory?)" if name == "SIGKILL" else ""
        return ResourceError(f"{label}: its process was ended by {name}{killed}")
    line = reported[-1].removeprefix("error: ")[:400] if reported else f"its process ended with {code} and no message"
    return FAILURES.get(code, ResourceError)(f"{label}: {line}")
