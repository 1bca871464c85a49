"""Fits in folds, shared out to a few processes that live on: TensorFlow starts once in each, and one core is each one's own."""

import contextlib
import json
import queue
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Sequence
from typing import Any

import psutil

from halfbert.benchmark.course import gpus
from halfbert.models.checkpoints import Checkpoint
from halfbert.options import TrainOptions
from halfbert.system import machine, processes
from halfbert.system.console import say

COMMAND = ["-m", "halfbert.comparison.fold_worker"]
MOST_WORKERS = 4
# A fit's weights, gradients, two moments and best epoch, and what else it holds; and TensorFlow with the states of a batch.
MEMORY_TIMES_WEIGHTS, MEMORY_BESIDE = 7, 2e9  # bytes
MESSAGE = "halfbert-fold "  # begins a line of a worker that is for its parent

Job = tuple[str, dict[str, Any]]  # what it is called, and what the worker gets


def workers(options: TrainOptions, folds: int, checkpoints: Sequence[Checkpoint]) -> int:
    """How many processes fit side by side: small fits hardly gain by a second core, so each process has as few as can be."""
    if options.device not in ("auto", "cpu") or (options.device == "auto" and gpus()):
        return 1
    largest = max((checkpoint.bytes for checkpoint in checkpoints), default=0)
    fitting = int(psutil.virtual_memory().available / (MEMORY_BESIDE + MEMORY_TIMES_WEIGHTS * largest))
    return max(1, min(options.threads or machine.available_cpus(), folds, MOST_WORKERS, fitting))


class Worker:
    """A process that does one job after the other."""

    def __init__(self) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (closed in close)
        self._process = processes.start(COMMAND, subprocess.PIPE, self._errors, new_session=True)

    def do(self, job: dict[str, Any], heard: Callable[[str], object]) -> None:
        """Have a job done; `heard` gets what the fit prints. Raises what the worker failed with."""
        assert self._process.stdin and self._process.stdout
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(job), file=self._process.stdin, flush=True)
        for line in self._process.stdout:
            if line.startswith(MESSAGE):
                message = json.loads(line.removeprefix(MESSAGE))
                if "done" in message:
                    return
                heard(message["line"])
        raise processes.failure(self._process.wait(), str(job.get("name")), processes.error_lines(self._errors))

    def terminate(self) -> None:
        """Ask it to end now."""
        self._process.terminate()

    def close(self) -> None:
        """End it."""
        processes.stop(self._process)
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream:
                stream.close()


def run(jobs: Sequence[Job], count: int) -> Generator[tuple[str, str | None, float]]:
    """Have the jobs done by so many processes. Yields the job's name, a line that its fit printed, None once it is done, and
    the seconds since it began.

    Raises what the first failing job failed with. When this process is stopped, so are the others.
    """
    waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
    for job in jobs:
        waiting.put(job)
    events: queue.SimpleQueue[tuple[str, str | None, float] | BaseException] = queue.SimpleQueue()
    team = [Worker() for _ in range(min(count, len(jobs)))]
    threads = [threading.Thread(target=_serve, args=(worker, waiting, events), daemon=True) for worker in team]
    done = 0
    try:
        for thread in threads:
            thread.start()
        while done < len(jobs):
            event = events.get()
            if isinstance(event, BaseException):
                raise event
            done += event[1] is None
            yield event
    except BaseException:
        say("the fits that are running are stopped")
        raise
    finally:
        for worker in team:
            worker.terminate()
        for worker in team:
            worker.close()


def _serve(worker: Worker, waiting: "queue.SimpleQueue[Job]", events: "queue.SimpleQueue[Any]") -> None:
    """Have one worker do jobs as long as there are some."""
    while True:
        try:
            name, job = waiting.get_nowait()
        except queue.Empty:
            return
        started = time.perf_counter()

        def heard(line: str, name: str = name, started: float = started) -> None:
            events.put((name, line, time.perf_counter() - started))

        try:
            worker.do({"name": name, **job}, heard)
        except BaseException as error:  # raised again by `run`, in the thread that called it
            events.put(error)
            return
        events.put((name, None, time.perf_counter() - started))
