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
from support import ROOT, run_python, script_environment

from halfbert.system import console
from halfbert.system.console import Stopped, StopRequest
from halfbert.system.errors import ArtefactError, HalfbertError, InputError, ResourceError

FAILURES = [
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
]


@pytest.mark.parametrize(("failure", "code", "line"), FAILURES)
def test_each_failure_has_its_exit_code_and_one_line_and_with_debug_its_traceback(capsys, failure, code, line):
    def main(argv, stop):
        raise failure

    assert console.run(main, ["--rows", "3"]) == code and capsys.readouterr() == ("", line + "\n")
    assert console.run(main, ["--debug"]) == code
    written = capsys.readouterr().err
    assert written.startswith("Traceback (most recent call last):")
    assert "in main" in written and written.endswith("\n" + line + "\n")


def test_success_is_0_and_silent_and_a_fault_of_the_program_is_not_dressed_up(capsys):
    assert console.run(lambda argv, stop: None, []) == 0 and capsys.readouterr() == ("", "")
    with pytest.raises(ZeroDivisionError):
        console.run(lambda argv, stop: 1 / 0, [])


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
    done = run_python("-c", LINES, encoding=encoding.split(":")[0], PYTHONIOENCODING=encoding)
    out, err = done.stdout, done.stderr
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


def test_progress_where_output_is_no_terminal_is_a_plain_line_now_and_then_and_nothing_when_quick(capsys):
    assert list(console.progress(iter("abc"), 3, "reading")) == ["a", "b", "c"]
    assert list(console.progress([], 0, "reading")) == []
    assert capsys.readouterr() == ("", "")
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


def at_once(number, stop):
    signal.raise_signal(number)


def where_nothing_is_lost(number, stop):
    stop.gently = True
    signal.raise_signal(number)
    assert stop.signal_number == number
    stop.raise_if_set()


def at_the_second_signal(number, stop):
    stop.gently = True
    signal.raise_signal(signal.SIGINT)
    assert stop.signal_number == signal.SIGINT
    signal.raise_signal(number)


def whatever_a_library_makes_of_it(number, stop):
    try:
        signal.raise_signal(number)
    except BaseException as error:
        raise ImportError("a module that could not be loaded") from error


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("stops", [at_once, where_nothing_is_lost, at_the_second_signal, whatever_a_library_makes_of_it])
def test_a_signal_stops(capsys, stops, number):
    def main(argv, stop):
        stops(number, stop)
        pytest.fail("it went on")

    assert console.run(main, []) == 128 + number
    out, err = capsys.readouterr()
    assert err == f"stopped by {number.name}\n" and ("once more" in out) == (
        stops in (where_nothing_is_lost, at_the_second_signal)
    )


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
    command = [sys.executable, ROOT / "train_multiclass.py", "--model=distilbert", "--checkpoint", tiny_distilbert]
    process = subprocess.Popen(
        [*command, "--train", table], env=script_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert "120" not in (first := process.stdout.readline()) and "things.csv" in first  # the table is read
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143 and errors.splitlines()[-1] == "stopped by SIGTERM"
    assert list(here.iterdir()) == []
