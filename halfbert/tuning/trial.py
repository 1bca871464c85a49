"""A trial's process, seen from the search: started, looked at, ended."""

import json
import queue
import tempfile
import threading
from typing import Any, Protocol

from halfbert.system import processes
from halfbert.tuning import worker

LAST_LINES = 30  # of what a trial said, for --debug


class Trial(Protocol):
    """A trial that runs somewhere."""

    def poll(self) -> list[dict[str, Any]]:
        """The events since the last call, without waiting; the last of all is {"code": exit code, "reported": last lines}."""

    def stop(self) -> None:
        """End it at once: nothing of it is to be kept."""


class Process:
    """A trial in a process of this machine, which is killed when this process dies (on Linux)."""

    def __init__(self, job: bytes, command: list[str] = worker.COMMAND):
        # In files without a name: the rows of a job stay nowhere, however this process ends.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (closed when it has ended)
        with tempfile.TemporaryFile() as given:
            given.write(job)
            given.seek(0)
            # A session of its own: the terminal's Ctrl-C is for the search, which ends its trials.
            self._process = processes.start(command, given, self._errors, new_session=True)
        self._events: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                if line.endswith("\n"):  # else the process was killed while it wrote
                    self._events.put(json.loads(line))
        code = self._process.wait()
        with self._errors as errors:
            self._events.put({"code": code, "reported": processes.error_lines(errors)[-LAST_LINES:]})

    def poll(self) -> list[dict[str, Any]]:
        """The events since the last call."""
        found = []
        while not self._events.empty():
            found.append(self._events.get())
        return found

    def stop(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.wait()


class Here:
    """This machine, on which trials run one after the other: each takes all its threads."""

    slots = 1

    def start(self, job: bytes) -> Trial:
        """Start a trial."""
        return Process(job)
