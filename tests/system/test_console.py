"""How a script ends: exit codes, one line on standard error, tracebacks, progress, signals."""

import errno
import io
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import ROOT, script_environment

from halfbert.cli import command
from halfbert.system import console
from halfbert.system.console import Stopped, StopRequest
from halfbert.system.errors import ArtefactError, HalfbertError, InputError, ResourceError

REQUIRED = ["--model", "distilbert"]


@pytest.fixture(autouse=True)
def _signal_handlers():
    """Whatever handlers a test installs, pytest's own are put back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def failing(failure: BaseException):
    def main(argv, stop):
        raise failure

    return main


@pytest.mark.parametrize(
    ("failure", "code", "line"),
    [
        (InputError("row 3"), 2, "error: row 3"),
        (ArtefactError("bad"), 3, "error: bad"),
        (ResourceError("none"), 4, "error: none"),
        (HalfbertError("odd"), 1, "error: odd"),
        (InputError("two\nlines"), 2, "error: two lines"),
        (MemoryError(), 4, "error: out of memory; try a smaller --batch-size or --maxlen"),
        (OSError(errno.ENOSPC, "No space left", "f"), 4, "error: the disk is full (f); no partial output is left"),
        (OSError(errno.EDQUOT, "Quota", "f"), 4, "error: the disk is full (f); no partial output is left"),
        (OSError(errno.EFBIG, "Too large"), 4, "error: the disk is full (Too large); no partial output is left"),
        (PermissionError(errno.EACCES, "Permission denied", "f"), 2, "error: f: Permission denied"),
        (FileNotFoundError(errno.ENOENT, "No such file", "f"), 2, "error: f: No such file"),
        (OSError("something else"), 2, "error: a file: something else"),
        (Stopped(signal.SIGINT), 130, "stopped by SIGINT"),
        (Stopped(signal.SIGTERM), 143, "stopped by SIGTERM"),
    ],
)
def test_each_failure_has_its_exit_code_and_one_line_and_debug_shows_the_traceback_as_well(capsys, failure, code, line):
    assert console.run(failing(failure), ["--rows", "3"]) == code
    assert capsys.readouterr() == ("", line + "\n")
    assert console.run(failing(failure), ["--debug"]) == code
    written = capsys.readouterr().err
    assert written.startswith("Traceback (most recent call last):")
    assert "in main" in written and written.endswith("\n" + line + "\n")


def test_success_is_0_and_silent_and_a_fault_of_the_program_is_not_dressed_up(capsys):
    assert console.run(lambda argv, stop: None, []) == 0
    assert capsys.readouterr() == ("", "")
    with pytest.raises(ZeroDivisionError):
        console.run(failing(ZeroDivisionError()), [])


def test_debug_in_the_script(capsys):
    assert command.main(["train-multiclass", *REQUIRED, "--train", "nowhere.csv", "--debug"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("Traceback") and "nowhere.csv" in error.splitlines()[-1]


# What a console can and cannot show.


LINES = r"""
import os, sys
from halfbert.system import console
from tqdm import tqdm

def main(argv, stop):
    console.say("naïve → 日本 \udce9 end")
    print("also ≥ here")
    for _ in console.progress(range(3), 3, "Fußnote ✓"):
        pass
    list(tqdm([1], desc="日本", file=sys.stdout))
    raise console.InputError("no column 'größe → 日本'")

sys.exit(console.run(main, []))
"""


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1", "cp437", "utf-8", "cp1252:strict", "utf-16"])
def test_no_encoding_of_the_console_ends_a_run(encoding):
    command = [sys.executable, "-c", LINES]
    done = subprocess.run(command, cwd=ROOT, env=script_environment(PYTHONIOENCODING=encoding), capture_output=True, timeout=60)
    out, err = (text.decode(encoding.split(":")[0]) for text in (done.stdout, done.stderr))
    assert done.returncode == 2 and "Traceback" not in err, err
    assert err.splitlines()[-1].startswith("error: no column 'gr") and "?" in out and out.count("also") == 1
    assert ("日本" in out) == encoding.startswith("utf")


@pytest.mark.skipif(sys.platform == "win32", reason="descriptors are closed by Unix's shell")
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_closed_console_ends_no_run_and_gets_no_file(tmp_path, closed):
    code = LINES.replace(
        "def main(argv, stop):",
        "def main(argv, stop):\n    file = open(sys.argv[1], 'w')\n    os.write(1, b'C++')\n    os.write(2, b'C++')",
    )
    arguments = [sys.executable, "-c", code, tmp_path / "file"]
    done = subprocess.run(["sh", "-c", f'"$@" {closed}', "sh", *arguments], cwd=ROOT, env=script_environment(), timeout=60)
    assert done.returncode == 2 and (tmp_path / "file").read_text() == ""


def test_a_line_is_printed_in_an_encoding_that_lacks_its_letters_outside_a_command(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), "cp1252")
    monkeypatch.setattr(sys, "stdout", stream)
    console.say("größe → 日本")
    assert stream.buffer.getvalue().decode("cp1252").strip() == "größe ? ??"


# Lines and progress.


def test_progress_passes_everything_on_and_is_silent_when_quick(capsys):
    assert list(console.progress(iter("abc"), 3, "reading")) == ["a", "b", "c"]
    assert list(console.progress([], 0, "reading")) == []
    assert capsys.readouterr() == ("", "")


def test_progress_where_output_is_no_terminal_is_a_plain_line_now_and_then(capsys):
    for _ in console.progress(range(2000), 2000, "epoch 1/3", seconds_between_lines=0.04):
        time.sleep(0.0001)
    written = capsys.readouterr()
    lines = written.out.splitlines()
    assert 2 <= len(lines) <= 50 and written.err == ""
    counts = [int(re.fullmatch(r"epoch 1/3: ([\d,]+) of 2,000 \(\d+ s\)", line).group(1).replace(",", "")) for line in lines]
    assert counts == sorted(set(counts)) and counts[0] > 0


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are Unix's")
def test_progress_on_a_terminal_is_a_bar_after_two_seconds_and_goes_away():
    import fcntl
    import pty
    import struct
    import termios

    code = (
        "import time\nfrom halfbert.system.console import progress\n"
        "for _ in progress(range(5), 5, 'quick'): pass\n"
        "for _ in progress(range(26), 26, 'slow one'): time.sleep(0.1)\n"
    )
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))  # a new one has no columns
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=theirs, stderr=theirs, close_fds=True)
    os.close(theirs)
    written = b""
    try:
        while block := os.read(ours, 4096):
            written += block
    except OSError:  # Linux ends a pseudo-terminal so
        pass
    os.close(ours)
    assert process.wait(20) == 0
    assert b"quick" not in written
    assert b"slow one" in written and b"%" in written
    assert written.decode().split("\r")[-2].strip(" \x1b[A") == ""  # wiped out at the end


# Signals.


def stopped_by(*numbers, gently):
    """A job that signals arrive in, and whatever it remembers of them."""
    reached = []

    def main(argv, stop):
        stop.gently = gently
        for number in numbers:
            os.kill(os.getpid(), number)
            time.sleep(0.01)
            reached.append(stop.signal_number)
        stop.raise_if_set()
        reached.append("too far")

    return main, reached


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_at_once_where_there_is_nothing_to_save_and_else_after_the_batch(capsys, number, code):
    main, reached = stopped_by(number, gently=False)
    assert (console.run(main, []), reached) == (code, [])
    assert capsys.readouterr() == ("", f"stopped by {number.name}\n")
    main, reached = stopped_by(number, gently=True)
    assert (console.run(main, []), reached) == (code, [number])
    written = capsys.readouterr()
    assert "once more" in written.out and written.err == f"stopped by {number.name}\n"


def test_the_second_signal_stops_at_once(capsys):
    main, reached = stopped_by(signal.SIGINT, signal.SIGTERM, gently=True)
    assert (console.run(main, []), reached) == (143, [signal.SIGINT])
    assert capsys.readouterr().err == "stopped by SIGTERM\n"


def test_ctrl_c_in_a_function_stops_gently_and_is_a_keyboard_interrupt(capsys):
    before, stop, reached = signal.getsignal(signal.SIGINT), StopRequest(), []
    with pytest.raises(KeyboardInterrupt), stop.on_interrupt():
        stop.gently = True
        signal.raise_signal(signal.SIGINT)
        reached.append(stop.signal_number)
        stop.raise_if_set()
        reached.append("too far")
    assert reached == [signal.SIGINT] and signal.getsignal(signal.SIGINT) is before
    assert "once more" in capsys.readouterr().out


def test_a_handler_of_someone_else_stays_in_a_function():
    reached = []
    signal.signal(signal.SIGINT, lambda number, frame: reached.append(number))
    with StopRequest().on_interrupt():
        signal.raise_signal(signal.SIGINT)
    assert reached == [signal.SIGINT]
    with ThreadPoolExecutor() as pool:  # only the main thread may set a handler
        assert pool.submit(lambda: StopRequest().on_interrupt().__enter__()).result() is None


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals between processes are Unix's")
def test_a_signal_while_tensorflow_loads_leaves_nothing(here, table, tiny_distilbert):
    command = [ROOT / "train_multiclass.py", *REQUIRED, "--checkpoint", tiny_distilbert, "--train", table]
    process = subprocess.Popen(
        [sys.executable, *command], env=script_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert "120" not in (first := process.stdout.readline()) and "things.csv" in first  # the table is read
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert errors.splitlines()[-1] == "stopped by SIGTERM"
    assert list(here.iterdir()) == []


def test_what_a_library_makes_of_a_signal_is_still_that_signal(capfd):
    def main(argv, stop):
        try:
            signal.raise_signal(signal.SIGTERM)
        except BaseException as error:
            raise ImportError("a module that could not be loaded") from error

    assert console.run(main, []) == 143
    assert capfd.readouterr().err == "stopped by SIGTERM\n"
