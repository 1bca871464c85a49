"""What a script says and how it ends: plain lines, progress, exit codes, signals."""

import contextlib
import errno
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator

from halfbert.system.errors import HalfbertError, InputError, ResourceError


class Stopped(BaseException):
    """A signal asked the run to stop; `signal_number` decides the exit code (130 or 143).

    Like KeyboardInterrupt it is no Exception: a library that catches those must not take it for a failure of its own.
    """

    def __init__(self, signal_number: int):
        super().__init__(signal.Signals(signal_number).name)
        self.signal_number = signal_number


class StopRequest:
    """Remembers the first SIGINT or SIGTERM, so that a run stops where nothing is lost. A second one stops it at once.

    Until `gently` is set, a signal raises `Stopped` straight away: there is nothing to bring to safety yet.
    """

    def __init__(self):
        self.signal_number: int | None = None
        self.gently = False

    def install(self) -> "StopRequest":
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)
        return self

    def _handle(self, number, _frame) -> None:
        if self.gently and self.signal_number is None:
            self.signal_number = number
            with contextlib.suppress(RuntimeError):  # the signal came in the middle of a line of ours: go without this one
                say("stopping where nothing is lost (once more: at once)")
            return
        self.signal_number = number
        raise Stopped(number)

    def raise_if_set(self) -> None:
        if self.signal_number is not None:
            raise Stopped(self.signal_number)


def run(main: Callable[[list[str], StopRequest], None], argv: list[str]) -> int:
    """Call `main(argv, stop)` and return the exit code; a failure is one line on standard error.

    With `--debug` among the arguments the traceback is shown as well.
    """
    stop = StopRequest().install()
    try:
        main(argv, stop)
        return 0
    except Stopped as stopped:
        failure, code, line = stopped, 128 + stopped.signal_number, f"stopped by {stopped}"
    except HalfbertError as error:
        failure, code, line = error, error.exit_code, f"error: {error}"
    except OSError as error:
        failure, code, line = error, *_operating_system_failure(error)
    except Exception as error:
        if stop.signal_number is not None:  # what a library made of the signal that came in the middle of it
            failure, code, line = error, 128 + stop.signal_number, f"stopped by {Stopped(stop.signal_number)}"
        elif _is_out_of_memory(error):
            failure, code = error, ResourceError.exit_code
            line = "error: out of memory; try a smaller --batch-size or --maxlen"
        else:
            raise
    if "--debug" in argv:
        import traceback

        traceback.print_exception(failure)
    print(line.replace("\n", " "), file=sys.stderr)
    return code


def _is_out_of_memory(error: Exception) -> bool:
    """TensorFlow's own error is known by its name, since TensorFlow may not be loaded; it is what a full GPU raises."""
    return isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError"


def _operating_system_failure(error: OSError) -> tuple[int, str]:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return (
            ResourceError.exit_code,
            f"error: the disk is full ({error.filename or error.strerror}); nothing half-written stays",
        )
    return InputError.exit_code, f"error: {error.filename or 'a file'}: {error.strerror or error}"


def say(line: str = "") -> None:
    """One line on standard output, at once, also where output is a pipe; a reader that has gone stops no run."""
    try:
        print(line, flush=True)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (stays open to the end)


def progress(items: Iterable, total: int, label: str, seconds_between_lines: float = 10.0) -> Iterator:
    """Pass `items` on; show a bar on a terminal, and a plain line now and then where output is none.

    Nothing is shown for what takes less than two seconds.
    """
    if sys.stdout.isatty():
        from tqdm import tqdm

        yield from tqdm(items, total=total, desc=label, delay=2, leave=False, file=sys.stdout)
        return
    started = last = time.monotonic()
    for done, item in enumerate(items):
        now = time.monotonic()
        if now - last > seconds_between_lines:
            say(f"{label}: {done:,} of {total:,} ({now - started:.0f} s)")
            last = now
        yield item
