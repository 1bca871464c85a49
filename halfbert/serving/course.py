"""The job: listen, and answer in this process or in several of its own, until a signal ends it."""

import contextlib
import functools
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from multiprocessing import connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

from halfbert.data.phrases import listed
from halfbert.options.serving import ServeOptions
from halfbert.serving.served import names_of
from halfbert.system import console, temporary
from halfbert.system.console import StopRequest
from halfbert.system.errors import InputError, ResourceError
from halfbert.system.processes import FAILURES

BACKLOG = 512
SECONDS_BETWEEN_STARTS = 1.0  # of a worker that died
SECONDS_TO_END = 5.0  # beyond a request's, before a worker is killed
TABLES = "tables"


def serve(options: ServeOptions, _stop: StopRequest) -> None:
    """Answer texts over HTTP until SIGTERM or SIGINT.

    Raises InputError for an address that cannot be had or keys that cannot be read, and what `halfbert.load` raises.
    """
    names = names_of(options.predictors)
    listening = listen(options.host, options.port)
    where = address(listening)
    if options.api_key_file is None and options.host not in ("127.0.0.1", "::1", "localhost"):
        console.say(f"{options.host}: whoever reaches this machine can send texts; --api-key-file asks for a key")
    ready = functools.partial(_say_ready, listed(list(names)), where)
    with temporary.folder("serving-") as folder:
        (folder / TABLES).mkdir()
        if options.workers == 1:
            from halfbert.serving import server

            server.run(options, listening, folder / TABLES, ready)
        else:
            _Workers(options, listening, folder).run(ready)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises InputError if the address cannot be had."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=BACKLOG)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"--host {host} --port {port}: cannot listen there ({reason})") from None


def address(listening: socket.socket) -> str:
    """Where a socket is reached, as the beginning of an URL."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _say_ready(names: str, where: str) -> None:
    console.say(f"serving {names} at {where}")


class _Workers:
    """Processes that accept from one socket; one that dies is replaced."""

    def __init__(self, options: ServeOptions, listening: socket.socket, folder: Path) -> None:
        self._options, self._listening, self._folder = options, listening, folder
        self._context = multiprocessing.get_context("spawn")
        self._processes: dict[SpawnProcess, connection.Connection] = {}
        self._ending = False

    def run(self, ready: "functools.partial[None]") -> None:
        """Start the workers, and wait until they have ended. Raises what a worker failed with before it was ready."""
        from prometheus_client import multiprocess

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, lambda number, _: self._send(number))
        figures = self._folder / "metrics"
        figures.mkdir()
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(figures)
        try:
            for _ in range(self._options.workers):
                self._start()
            self._wait_until_ready()
            if not self._ending:
                ready()
            while self._processes:
                for pid, code in self._ended():
                    multiprocess.mark_process_dead(pid)
                    if not self._ending:
                        print(f"worker {pid} ended with {code}; another takes its place", file=sys.stderr)
                        time.sleep(SECONDS_BETWEEN_STARTS)
                        self._start()
        finally:
            self._stop_all()

    def _start(self) -> None:
        ours, theirs = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_work, args=(self._options, self._listening, self._folder / TABLES, theirs))
        process.start()
        theirs.close()
        self._processes[process] = ours
        if self._ending:  # the signal came while it was started
            process.terminate()

    def _wait_until_ready(self) -> None:
        waiting = dict(self._processes)
        while waiting and not self._ending:
            for process, pipe in list(waiting.items()):
                if pipe.poll(0.05):
                    with contextlib.suppress(EOFError):
                        pipe.recv()
                        del waiting[process]
                        continue
                if not process.is_alive() and not self._ending:
                    del self._processes[process]
                    raise _failure(process.exitcode)

    def _ended(self) -> list[tuple[int | None, int | None]]:
        """Number and exit code of each process that has ended; waits a while for one."""
        connection.wait([process.sentinel for process in self._processes], timeout=1.0)
        ended = [process for process in self._processes if not process.is_alive()]
        for process in ended:
            self._processes.pop(process).close()
        return [(process.pid, process.exitcode) for process in ended]

    def _end(self, number: int, _frame: object) -> None:
        self._ending = True
        self._send(signal.SIGTERM)

    def _send(self, number: int) -> None:
        for process in list(self._processes):
            if process.is_alive() and process.pid is not None:
                os.kill(process.pid, number)

    def _stop_all(self) -> None:
        self._end(signal.SIGTERM, None)
        end = time.monotonic() + self._options.timeout + SECONDS_TO_END
        for process in self._processes:
            process.join(max(0.0, end - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()


def _failure(code: int | None) -> BaseException:
    """What a worker failed with before it was ready; it has said why itself."""
    if code is not None and code > 128:
        return console.Stopped(code - 128)
    return FAILURES.get(code or 0, ResourceError)("a worker could not start, for the reason above")


def _work(options: ServeOptions, listening: socket.socket, folder: Path, ready: connection.Connection) -> None:
    """What a worker does; it ends with its parent."""
    from halfbert.serving import server

    def watch_parent() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch_parent, daemon=True).start()

    def job(_argv: list[str], _stop: StopRequest) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent passes it on
        server.run(options, listening, folder, lambda: ready.send(True), signals=(signal.SIGTERM,))

    sys.exit(console.run(job, ["--debug"] if options.debug else []))
