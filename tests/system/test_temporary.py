"""Temporary folders: removed when a block ends, and those of killed runs when the next one begins, but none that is in use."""

import os
import signal
import subprocess
import sys
import tempfile
import time

import pytest

from halfbert.system import temporary

HELD = """
import sys, tempfile, time
from halfbert.system import temporary
tempfile.tempdir = sys.argv[1]
with temporary.folder("held-") as folder:
    (folder / "texts").write_text("a client's")
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def among(tmp_path, monkeypatch):
    """The folder of temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def held(among):
    """Another process that has a folder."""
    with subprocess.Popen([sys.executable, "-c", HELD, str(among)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().strip().endswith(temporary.FILES)
        yield process
        process.kill()


def make_old(among):
    for folder in among.iterdir():
        os.utime(folder, (time.time() - 3600,) * 2, follow_symlinks=False)


def test_it_is_removed_when_the_block_ends(among):
    with pytest.raises(ValueError), temporary.folder("page-") as folder:
        (folder / "file").write_text("content")
        (made,) = among.iterdir()
        assert made.name.startswith("halfbert-page-")
        raise ValueError
    assert list(among.iterdir()) == []


def test_what_a_killed_run_left_is_removed_by_the_next(among, held):
    held.send_signal(signal.SIGKILL)
    held.wait()
    with temporary.folder():
        assert len(list(among.iterdir())) == 2  # it might have been made a moment ago, and not yet be locked
    make_old(among)
    with temporary.folder():
        assert len(list(among.iterdir())) == 1


def test_what_is_in_use_stays(among, held):
    make_old(among)
    with temporary.folder():
        make_old(among)
        with temporary.folder():
            assert len(list(among.iterdir())) == 3
    (other,) = among.iterdir()
    assert (other / temporary.FILES / "texts").read_text() == "a client's"


def test_what_others_put_there_is_left_alone(among, tmp_path_factory, monkeypatch):
    mine = tmp_path_factory.mktemp("mine")
    (mine / temporary.LOCK).write_text("kept")
    (among / "halfbert-link").symlink_to(mine)
    (among / "halfbert-file").write_text("kept")
    (among / "halfbert-without-lock").mkdir()
    make_old(among)
    with temporary.folder():
        assert len(list(among.iterdir())) == 4
    theirs = among / "halfbert-theirs"
    theirs.mkdir()
    (theirs / temporary.LOCK).write_text("kept")
    make_old(among)
    monkeypatch.setattr(temporary.os, "getuid", lambda: os.stat(among).st_uid + 1)
    with temporary.folder():
        pass
    assert (mine / temporary.LOCK).read_text() == (theirs / temporary.LOCK).read_text() == "kept"
