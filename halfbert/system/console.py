"""What a job prints and how it ends: plain lines, progress, exit codes, signals."""

import contextlib
import errno
import io
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from halfbert.system.errors import HalfbertError, InputError, ResourceError

Item = TypeVar("Item")


class Stopped(BaseException):
    """A signal requested the run to stop; `signal_number` decides the exit code (130 or 143).

    Like KeyboardInterrupt it is no Exception: a library that catches those must not take it for a failure of its own.
    """

    def __init__(self, signal_number: int):
        super().__init__(signal.Signals(signal_number).name)
        self.signal_number = signal_number


class StopRequest:
    """Remembers the first SIGINT or SIGTERM, so that a run stops where nothing is lost. A second one stops it at once.

    Until `gently` is set, a signal raises `Stopped` straight away: there is nothing to save yet.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self.count = 0  # of the signals
        self.gently = False

    def install(self) -> "StopRequest":
        """Handle SIGINT and SIGTERM to the end of the process, as a command does."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)
        return self

    @contextlib.contextmanager
    def on_interrupt(self) -> Iterator[None]:
        """Stop gently at Ctrl-C, or a notebook's interrupt, during the block, which then ends in KeyboardInterrupt as usual.

        A handler that is not Python's own stays in place, and so does any handler outside the main thread.
        """
        default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        ours = default and threading.current_thread() is threading.main_thread()
        if ours:
            signal.signal(signal.SIGINT, self._handle)
        try:
            yield
        except Stopped as stopped:
            raise KeyboardInterrupt(f"stopped by {stopped}") from None
        finally:
            if ours:
                signal.signal(signal.SIGINT, signal.default_int_handler)

    def _handle(self, number: int, _frame: object) -> None:
        self.count += 1
        if self.gently and self.signal_number is None:
            self.signal_number = number
            with contextlib.suppress(RuntimeError):  # the signal interrupted a line being printed: do without this one
                say("stopping where nothing is lost (once more: at once)")
            return
        self.signal_number = number
        raise Stopped(number)

    def raise_if_set(self) -> None:
        if self.signal_number is not None:
            raise Stopped(self.signal_number)


def run(main: Callable[[list[str], StopRequest], object], argv: list[str]) -> int:
    """Call `main(argv, stop)` and return the exit code; a failure is one line on standard error.

    With `--debug` among the arguments the traceback is shown as well.
    """
    _prepare_streams()
    stop = StopRequest().install()
    failure: BaseException
    try:
        main(argv, stop)
        return 0
    except Stopped as stopped:
        failure, code, line = stopped, 128 + stopped.signal_number, f"stopped by {stopped}"
    except HalfbertError as error:
        failure, code, line = error, error.exit_code, f"error: {error}"
    except OSError as error:
        failure, (code, line) = error, _operating_system_failure(error)
    except Exception as error:
        if stop.signal_number is not None:  # what a library made of the signal that interrupted it
            failure, code, line = error, 128 + stop.signal_number, f"stopped by {Stopped(stop.signal_number)}"
        # TensorFlow's error of a full GPU is known by its name, as TensorFlow may not be loaded.
        elif isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
            failure, code = error, ResourceError.exit_code
            line = "error: out of memory; try a smaller --batch-size or --maxlen"
        else:
            raise
    if "--debug" in argv:
        import traceback

        traceback.print_exception(failure)
    print(" ".join(line.splitlines()), file=sys.stderr)
    return code


def _prepare_streams() -> None:
    """Let no console end a run: what its encoding lacks is replaced, and a closed stream swallows what is printed."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:  # closed by the caller; its number is taken, lest a file of ours get it and what C++ code prints
            descriptor = os.open(os.devnull, os.O_RDWR)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            setattr(sys, name, open(number, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: SIM115  (stays open)
        elif isinstance(stream, io.TextIOWrapper) and name != "stdin" and stream.errors == "strict":
            stream.reconfigure(errors="replace")


def _operating_system_failure(error: OSError) -> tuple[int, str]:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        where = error.filename or error.strerror
        return ResourceError.exit_code, f"error: the disk is full ({where}); no partial output is left"
    return InputError.exit_code, f"error: {error.filename or 'a file'}: {error.strerror or error}"


def say(line: str = "") -> None:
    """Print one line at once, also to a pipe; neither a reader that has gone nor the console's encoding ends a run."""
    try:
        print(line, flush=True)
    except UnicodeEncodeError as error:
        print(line.encode(error.encoding, "replace").decode(error.encoding), flush=True)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  (stays open to the end)


def progress(items: Iterable[Item], total: int, label: str, seconds_between_lines: float = 10.0) -> Iterator[Item]:
    """Pass `items` on; show a bar on a terminal, and now and then a plain line elsewhere.

    Nothing is shown for what takes less than two seconds.
    """
    if sys.stdout is not None and sys.stdout.isatty():
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
