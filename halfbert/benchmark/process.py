"""The processes of a benchmark, seen from the one that directs them; what they do is `halfbert.benchmark.worker`."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time

from halfbert.system.errors import ArtefactError, InputError, ResourceError
from halfbert.system.machine import PROJECT

FAILURES = {failure.exit_code: failure for failure in (InputError, ArtefactError, ResourceError)}
THREAD_POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")


class Worker:
    """A process that runs `halfbert.benchmark.worker`; the clock of its cold start is this process's."""

    def __init__(self, job: dict, threads: int):
        variables = {
            **os.environ,
            **dict.fromkeys(THREAD_POOLS, str(threads)),
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "true",
        }
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, (str(PROJECT), os.environ.get("PYTHONPATH"))))
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (closed in close)
        self.lengths: dict[str, list[int]] = {}  # tokens of each text, once it was given them
        started = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "halfbert.benchmark.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
            env=variables,
            start_new_session=True,  # Ctrl-C is for the one that directs them
        )
        try:
            self.ready = self.ask(job)
        except BaseException:
            self.close()
            raise
        self.first_answer_seconds = time.perf_counter() - started

    def ask(self, command: dict) -> dict:
        """Send a command and wait for its reply; raises what the worker failed with."""
        try:
            print(json.dumps(command), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise ResourceError(self._end())
        reply = json.loads(line)
        if "error" in reply:
            raise FAILURES[reply["exit_code"]](reply["error"])
        return reply

    def _end(self) -> str:
        """Why the process ended without a word."""
        code = self._process.wait()
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip().splitlines() or ["it said nothing"]
        killed = " (killed: out of memory?)" if code == -9 else ""
        return f"the timed process ended with {code}{killed}: {said[-1][:200]}"

    def close(self) -> None:
        """End the process."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._errors.close()
