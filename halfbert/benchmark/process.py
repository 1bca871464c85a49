"""The timed processes, seen from the one that directs them; what they do is `halfbert.benchmark.worker`."""

import contextlib
import json
import subprocess
import tempfile
import time
from typing import Any

from halfbert.system import processes

THREAD_POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
SECONDS_TO_END = 10


class Worker:
    """A process that runs `halfbert.benchmark.worker`; `ready` is its first reply. Its cold start is timed from here."""

    def __init__(self, job: dict[str, Any], threads: int):
        variables = dict.fromkeys(THREAD_POOLS, str(threads))
        variables |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (closed in close)
        started = time.perf_counter()
        self._process = processes.start(
            ["-m", "halfbert.benchmark.worker"], subprocess.PIPE, self._errors, variables, new_session=True
        )
        try:
            self.ready = self.ask(job)
        except BaseException:
            self.close()
            raise
        self.first_answer_seconds = time.perf_counter() - started

    def ask(self, command: dict[str, Any]) -> dict[str, Any]:
        """Send a command and wait for its reply; raises what the worker failed with."""
        assert self._process.stdin and self._process.stdout
        line = ""
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(command), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        if not line:
            raise processes.failure(self._process.wait(), "the timed process", processes.error_lines(self._errors))
        reply = json.loads(line)
        if "error" in reply:
            raise processes.FAILURES[reply["exit_code"]](reply["error"])
        return reply

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin and self._process.stdout
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._errors.close()
