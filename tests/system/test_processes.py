"""Children of the project: what is passed on of them, how they fail, and that they end with their parent."""

import signal
import subprocess
import sys
import time

import psutil
import pytest
from support import ROOT

from halfbert.system import processes
from halfbert.system.console import Stopped
from halfbert.system.errors import ArtefactError, InputError, ResourceError

SAID = "print('a warning', file=sys.stderr); print('error: things.csv: no column', file=sys.stderr); "


@pytest.mark.parametrize(
    ("code", "failure", "says"),
    [
        (SAID + "sys.exit(2)", InputError, "bert: things.csv: no column"),
        (SAID + "sys.exit(3)", ArtefactError, "bert: things.csv: no column"),
        (SAID + "sys.exit(4)", ResourceError, "bert: things.csv: no column"),
        (SAID + "sys.exit(1)", ResourceError, "bert: things.csv: no column"),
        ("sys.exit(7)", ResourceError, "bert: its process ended with 7 and no message"),
        (SAID + "os.kill(os.getpid(), 9)", ResourceError, "ended by SIGKILL .out of memory"),
        (SAID + "os.kill(os.getpid(), 40)", ResourceError, "ended by signal 40"),  # one without a name
        (SAID + "sys.exit(143)", Stopped, "SIGTERM"),
    ],
)
def test_a_failing_child_raises_here_what_it_failed_with(code, failure, says):
    with pytest.raises(failure, match=says):
        processes.run(["-c", f"import os, sys; {code}"], "bert")


def test_lines_are_passed_on_up_to_the_tables(capsys, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "cp1252")  # of the console: child and parent talk in UTF-8 all the same
    processes.run(["-c", "print('reading 中')\nprint()\nprint('a table ' * 50_000)"], "bert")
    assert capsys.readouterr().out == "  bert | reading 中\n"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 always looks in the working folder first")
def test_a_child_imports_the_project_and_nothing_of_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "json.py").write_text("raise SystemExit(5)")
    processes.run(["-c", "import json, sys; import halfbert; assert json.load(sys.stdin) == {'a': 1}"], "bert", {"a": 1})


PARENT = """
import sys
from halfbert.system import console, processes
sys.exit(console.run(lambda argv, stop: processes.run(["-c", argv[0]], "child"), sys.argv[1:]))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with a parent that was killed")
def test_no_child_outlives_its_parent_which_passes_lines_on_at_once(tmp_path, number):
    def running():
        return any(child in (process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"]))

    child = f"import time; print('on', flush=True); time.sleep(60)  # of {tmp_path}"
    with subprocess.Popen([sys.executable, "-c", PARENT, child], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "  child | on\n" and running()
        process.send_signal(number)
        assert process.wait(timeout=20) == (143 if number == signal.SIGTERM else -9)
    deadline = time.monotonic() + 60
    while running():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_a_signal_in_the_middle_of_a_fork_is_not_lost():
    """Python forgets what is raised in a callback of a fork, as logging has one."""
    code = (
        "import os, signal, sys; from halfbert.system import console, processes\n"
        "def main(argv, stop):\n"
        "    os.register_at_fork(after_in_parent=lambda: os.kill(os.getpid(), signal.SIGINT))\n"
        "    processes.run(['-c', 'import time; time.sleep(60)'], 'child')\n"
        "sys.exit(console.run(main, []))\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=50)
    assert ended.returncode == 130 and ended.stderr == "stopped by SIGINT\n"
