"""Folders and files that are whole or not there: real kills, a second process, a disk that is really full."""

import json
import math
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
from support import ROOT, script_environment

from halfbert.system import storage
from halfbert.system.errors import InputError, ResourceError

MARKER = "halfbert.json"
unix = pytest.mark.skipif(sys.platform == "win32", reason="limits and permissions of a process are Unix's")


def fill(folder: Path, word: str) -> None:
    """Four files that all hold the same word, one of them a folder further down."""
    (folder / "deeper").mkdir()
    for name in ("0.txt", "1.txt", "2.txt", "deeper/last.txt"):
        (folder / name).write_text(word)


def words(folder: Path) -> set[str]:
    return {file.read_text() for file in folder.rglob("*.txt")}


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def old_folder(parent: Path) -> Path:
    target = parent / "target"
    target.mkdir()
    fill(target, "old")
    return target


def start(code: str, *arguments: object, stderr: int | None = None) -> subprocess.Popen:
    """Python code in a process of its own, which can import the project."""
    return subprocess.Popen(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}", *map(str, arguments)],
        env=script_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )


def test_a_new_folder_stands_there_when_the_block_ends(tmp_path):
    target = tmp_path / "a" / "b" / "target"
    with storage.atomic_folder(target) as folder:
        fill(folder, "new")
        assert not target.exists()
        assert folder.parent == target.parent  # beside it, so that a rename suffices
    assert words(target) == {"new"} and storage.folder_bytes(target) == 4 * len("new")
    assert names(target.parent) == ["target"]


@pytest.mark.parametrize("failure", [ZeroDivisionError, KeyboardInterrupt])
def test_a_failing_block_changes_nothing(tmp_path, failure):
    for target in (tmp_path / "new", old_folder(tmp_path)):
        with pytest.raises(failure), storage.atomic_folder(target) as folder:
            fill(folder, "new")
            raise failure
    assert names(tmp_path) == ["target"] and words(target) == {"old"}


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [
        (sys, "platform", sys.platform),
        (sys, "platform", "darwin"),  # which does not exchange in one system call
        (storage, "RENAME_EXCHANGE", 1 << 30),  # a flag that no kernel knows: EINVAL, as from NFS
    ],
)
def test_a_whole_folder_replaces_the_old_one(tmp_path, monkeypatch, where, name, value):
    monkeypatch.setattr(where, name, value)
    target = old_folder(tmp_path)
    (target / "only in the old one.txt").write_text("old")
    with storage.atomic_folder(target) as folder:
        fill(folder, "new")
        assert words(target) == {"old"}
    assert names(tmp_path) == ["target"] and words(target) == {"new"}


@pytest.mark.skipif(sys.platform != "linux", reason="exchanging in one system call is Linux's")
def test_on_linux_something_whole_stands_there_at_every_moment(tmp_path):
    target = old_folder(tmp_path)
    watcher = start(
        "import os\nprint('watching', flush=True)\nmissing = 0\n"
        "while not os.path.exists(sys.argv[2]):\n    missing += not os.path.exists(sys.argv[1])\nprint(missing)",
        target / "0.txt",
        tmp_path / "end",
    )
    watcher.stdout.readline()
    for _ in range(100):
        with storage.atomic_folder(target) as folder:
            (folder / "0.txt").write_text("new")
    (tmp_path / "end").touch()
    assert watcher.communicate(timeout=20)[0] == "0\n"


KILLED = """
import os, signal
from pathlib import Path
from halfbert.system import storage
target, moment = Path(sys.argv[1]), sys.argv[2]
rename, sync_path, synced = os.rename, storage._sync_path, []

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def third(path):  # of five files: in the midst of syncing
    synced.append(path)
    die() if len(synced) == 3 else sync_path(path)

def renamed(*names):
    rename(*names)
    die()

if moment == "sync":
    storage._sync_path = third
if moment == "before the exchange":
    storage._exchange = die
with storage.atomic_folder(target) as folder:
    (folder / "0.txt").write_text("new")
    if moment == "block":
        die()
    (folder / "deeper").mkdir()
    for name in ("1.txt", "2.txt", "deeper/last.txt"):
        (folder / name).write_text("new")
    if moment == "between two renames":
        sys.platform, os.rename = "darwin", renamed
    if moment == "after the exchange":
        storage.shutil.rmtree = die
"""


@pytest.mark.parametrize("moment", ["block", "sync", "before the exchange", "between two renames", "after the exchange"])
def test_kill_9_leaves_a_whole_folder_and_the_next_run_clears_up(tmp_path, moment):
    target = old_folder(tmp_path)
    assert start(KILLED, target, moment).wait(20) == -signal.SIGKILL
    assert len(names(tmp_path)) == 2  # the half-written one as well
    if moment == "between two renames":
        assert not target.exists()
        storage.remove_leftovers(target)
    assert words(target) == {"new" if moment == "after the exchange" else "old"}
    assert len(list(target.rglob("*.txt"))) == 4
    storage.remove_leftovers(target)
    assert names(tmp_path) == ["target"]


def test_leftovers_of_other_outputs_stay(tmp_path):
    for name in (".a.partial-1", ".ab.partial-1", ".[a].partial-1", "a.partial-1"):
        (tmp_path / name).mkdir()
    storage.remove_leftovers(tmp_path / "a")
    assert names(tmp_path) == [".[a].partial-1", ".ab.partial-1", "a.partial-1"]
    storage.remove_leftovers(tmp_path / "[a]")
    assert names(tmp_path) == [".ab.partial-1", "a.partial-1"]


def test_files_are_replaced_whole(tmp_path):
    path = tmp_path / "a.txt"
    for content in ("before", "é\n\u2028\r\n"):
        storage.write_text(content, path)
        with pytest.raises(ZeroDivisionError), storage.atomic_file(path) as stream:
            stream.write(b"half")
            raise ZeroDivisionError
        assert path.read_bytes() == content.encode()
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize(("umask", "file", "folder"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700)])
def test_the_umask_is_honoured(tmp_path, umask, file, folder):
    before = os.umask(umask)
    try:
        storage.write_text("private", tmp_path / "a.txt")
        with storage.atomic_folder(tmp_path / "folder"):
            pass
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in sorted(tmp_path.iterdir())] == [file, folder]


def test_json(tmp_path):
    value = {"é": [1, None], "half a pair": "\ud800"}
    storage.write_json(value, tmp_path / "a.json")
    assert (tmp_path / "a.json").read_text(encoding="utf-8").endswith("}\n")
    for number in (math.nan, math.inf):
        with pytest.raises(ValueError):
            storage.write_json({"loss": number}, tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_bytes()) == value and names(tmp_path) == ["a.json"]


LIMITED = """
import resource
from pathlib import Path
from halfbert.system import console, storage
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # no file may grow beyond: EFBIG, as from a full disk

def main(argv, stop):
    target = Path(argv[0])
    if argv[1] == "file":
        storage.write_text("x" * 2000, target)
    else:
        with storage.atomic_folder(target) as folder:
            (folder / "small").write_text("x")
            storage.write_text("x" * 2000, folder / "large")

sys.exit(console.run(main, sys.argv[1:]))
"""


@unix
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_full_disk_is_exit_4_and_nothing_half_written(tmp_path, kind):
    process = start(LIMITED, tmp_path / "target", kind, stderr=subprocess.PIPE)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 4
    assert errors.count("\n") == 1 and errors.startswith("error: the disk is full")
    assert names(tmp_path) == []


HOLDER = (
    "from pathlib import Path\nfrom halfbert.system import storage\n"
    "with storage.output_lock(Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.readline()\n"
)


@pytest.mark.parametrize("end", [subprocess.Popen.communicate, subprocess.Popen.kill])
def test_a_second_process_is_refused_until_the_first_ends_or_is_killed(tmp_path, end, monkeypatch):
    target = tmp_path / "predictors" / "a"
    holder = start(HOLDER, target)
    assert holder.stdout.readline() == "held\n"
    with monkeypatch.context() as patch:
        patch.setattr(time, "sleep", lambda seconds: pytest.fail("waited"))
        with pytest.raises(InputError, match="another run is writing there"), storage.output_lock(target):
            pass
    with storage.output_lock(target.with_name("b")):  # another output
        pass
    end(holder)
    holder.wait(20)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), storage.output_lock(target):
            raise ZeroDivisionError
    assert names(target.parent if end is subprocess.Popen.kill else tmp_path) == []  # the folder made for it goes with the lock


def test_folders_that_are_used_by_then_stay(tmp_path):
    with storage.output_lock(tmp_path / "new" / "folder" / "a"):
        (tmp_path / "new" / "b").touch()
    assert names(tmp_path) == ["new"] and names(tmp_path / "new") == ["b"]


def test_never_two_at_once(tmp_path):
    """Three processes take and release one lock as fast as they can; the lock file comes and goes all the while."""
    code = (
        "from pathlib import Path\nfrom halfbert.system import storage\n"
        "from halfbert.system.errors import InputError\n"
        "target, inside, held = Path(sys.argv[1]) / 'a', Path(sys.argv[1]) / 'inside', 0\n"
        "while held < 50:\n"
        "    try:\n"
        "        with storage.output_lock(target):\n"
        "            inside.mkdir()\n            held += 1\n            inside.rmdir()\n"
        "    except InputError:\n        pass\n"
    )
    running = [start(code, tmp_path) for _ in range(3)]
    assert [process.wait(timeout=120) for process in running] == [0, 0, 0]


@pytest.mark.parametrize(
    ("name", "without", "with_overwrite"),
    [
        *((name, None, None) for name in ("new", "new/in/new", "empty")),
        ("ours", "--overwrite", None),
        ("thesis", "--overwrite", MARKER),  # somebody's other data is never replaced
        ("file", "is a file", "is a file"),
        ("file/below", "cannot be written", "cannot be written"),
        ("link", "broken link", "broken link"),
    ],
)
def test_outputs_that_may_be_written_and_that_are_refused(tmp_path, name, without, with_overwrite):
    for folder in ("ours", "thesis", "empty"):
        (tmp_path / folder).mkdir()
    (tmp_path / "ours" / MARKER).touch()
    (tmp_path / "thesis" / "thesis.txt").write_text("years")
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for overwrite, complaint in ((False, without), (True, with_overwrite)):
        expected = pytest.raises(InputError, match=f"--output {tmp_path / name}: .*{complaint}") if complaint else nullcontext()
        with expected:
            storage.check_output(tmp_path / name, "--output", overwrite, MARKER)
    assert names(tmp_path) == ["empty", "file", "link", "ours", "thesis"]  # nothing was made


@unix
def test_a_parent_that_cannot_be_written():
    code = (
        "import os\nfrom pathlib import Path\nfrom halfbert.system import console, storage\n"
        "if os.geteuid() == 0:\n    os.setuid(65534)\n"  # nobody, since root writes anywhere
        "main = lambda argv, stop: storage.check_output(Path(argv[0]), '--output', False, 'halfbert.json')\n"
        "sys.exit(console.run(main, sys.argv[1:]))\n"
    )
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to other users
        Path(folder).chmod(0o755)
        (Path(folder) / "parent").mkdir(mode=0o555)
        for path in (f"{folder}/parent/a", f"{folder}/parent/a/b"):
            process = start(code, path, stderr=subprocess.PIPE)
            _, errors = process.communicate(timeout=20)
            assert process.returncode == 2
            assert errors == f"error: --output {path}: cannot be written ({folder}/parent is not writable)\n"


def test_output_and_results_in_each_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    for output, results in [("a", "a"), ("a", "a/b"), ("a/b", "a"), ("a", "./c/../a"), ("a", "link")]:
        with pytest.raises(InputError, match="separate"):
            storage.check_disjoint(Path(output), Path(results))
    storage.check_disjoint(Path("a/b"), Path("a/c"))
    storage.check_disjoint(Path("ab"), Path("a"))


def test_free_space(tmp_path):
    target = tmp_path / "not" / "there" / "yet"
    storage.check_free_space(target, 1)
    with pytest.raises(ResourceError, match=f"{target}.*MB are free"):
        storage.check_free_space(target, 1 << 62)
    assert names(tmp_path) == []
