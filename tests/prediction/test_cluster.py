"""Answering with the workers of a Ray cluster; skipped where Ray is not installed (`pip install 'halfbert[ray]'`)."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from dying import DyingScorer
from support import ROOT, example_rows, script_environment
from table_files import write_table

from halfbert.prediction import course, parts
from halfbert.system.errors import InputError, ResourceError

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow

TEXTS = [text for text, _ in example_rows(100)]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The address of a cluster of two processors on this machine."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    program = [Path(sys.executable).with_name("ray"), "start", "--head", "--block", f"--port={port}", "--num-cpus=2"]
    program += ["--node-ip-address=127.0.0.1", "--include-dashboard=false"]
    settings = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
    environment = script_environment(PYTHONPATH=f"{ROOT}{os.pathsep}{ROOT / 'tests'}", **settings)
    with (tmp_path_factory.mktemp("ray") / "log").open("w+") as log:
        started = subprocess.Popen(program, env=environment, stdout=log, stderr=log)
        while "Ray runtime started" not in Path(log.name).read_text():
            assert started.poll() is None, Path(log.name).read_text()
            time.sleep(0.2)
        yield f"127.0.0.1:{port}"
        started.terminate()
        started.wait(60)


@pytest.fixture
def small_parts(monkeypatch):
    """Parts of 10 rows: the driver decides, the workers follow."""
    monkeypatch.setattr(parts, "PART_ROWS", 10)


@pytest.fixture
def tables(tmp_path):
    """A file of ten parts, and one of one."""
    (tmp_path / "in").mkdir()
    write_table(tmp_path / "in" / "a.parquet", [[text, number] for number, text in enumerate(TEXTS[:90])], ["text", "n"])
    write_table(tmp_path / "in" / "b.parquet", [[text, 0] for text in ["", *TEXTS[90:98]]], ["text", "n"])
    return tmp_path / "in" / "*.parquet"


@pytest.fixture
def dying(monkeypatch, tmp_path, things):
    """The scorer of a run, which kills workers at the calls that are planned."""
    scorer = DyingScorer(things.folder, "onnx", "cpu", 1, log=str(tmp_path / "calls"))
    monkeypatch.setattr(course, "scorer_of", lambda _options: scorer)
    return scorer


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_cluster_answers_as_one_process(predict, tables, tmp_path, address, small_parts):
    import pyarrow.parquet

    handler = signal.getsignal(signal.SIGTERM)
    said = predict(tables, "--output", tmp_path / "out", "--ray", address)
    assert "10 parts for 2 workers (1 thread each)" in said and "without an answer: 1 row (no text: 1)" in said
    assert signal.getsignal(signal.SIGTERM) is handler and os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    predict(tables, "--output", tmp_path / "alone", "--threads", "1")
    for name in ("a.parquet", "b.parquet"):
        one, other = (pyarrow.parquet.read_table(tmp_path / folder / name).to_pylist() for folder in ("out", "alone"))
        assert [{**row, "confidence": None} for row in one] == [{**row, "confidence": None} for row in other]
        assert [row["confidence"] for row in one] == pytest.approx([row["confidence"] for row in other], abs=2e-6)
    # One worker gives the same bytes.
    assert "for 1 worker " in predict(tables, "--output", tmp_path / "again", "--ray", address, "--workers", "1")
    assert contents(tmp_path / "again") == contents(tmp_path / "out")


def test_a_worker_killed_in_the_middle_loses_nothing(predict, tables, tmp_path, address, small_parts, dying):
    dying.plan_deaths(0, 0)
    predict(tables, "--output", tmp_path / "whole", "--ray", address)
    assert len(dying.calls) == 10
    dying.plan_deaths(4, 4)
    predict(tables, "--output", tmp_path / "out", "--ray", address)
    assert len(dying.calls) == 11 and len(set(dying.calls)) == 3  # one part twice, by another process; nothing else again
    assert not Path(f"/proc/{dying.calls[3]}").exists()
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_part_that_kills_every_worker_ends_the_run_which_can_go_on(predict, tables, tmp_path, address, small_parts, dying):
    dying.plan_deaths(4, 100)
    with pytest.raises(ResourceError, match=r"in/a\.parquet: 4 workers died while they answered rows 31 to 40"):
        predict(tables, "--output", tmp_path / "out", "--ray", address, "--workers", "1")
    assert len(dying.calls) >= 3 + parts.ATTEMPTS and not (tmp_path / "out").exists()
    dying.plan_deaths(0, 0)
    said = predict(tables, "--output", tmp_path / "out", "--ray", address)
    assert "resumed: 30 rows had been answered by an earlier run" in said and len(dying.calls) == 7


def test_what_a_worker_cannot_read_ends_the_run_in_one_line(predict, tables, tmp_path, address, small_parts):
    file = tmp_path / "in" / "b.parquet"
    content = bytearray(file.read_bytes())
    content[4:40] = b"\xff" * 36  # its pages; what is stated at its end is whole
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"in/b\.parquet: is not a whole parquet file"):
        predict(tables, "--output", tmp_path / "out", "--ray", address)
    assert not (tmp_path / "out").exists()


def test_a_killed_run_goes_on(predict, tables, tmp_path, address, small_parts, things):
    predict(tables, "--output", tmp_path / "whole", "--ray", address)
    code = """
import os, signal, sys
from halfbert.cli import command
from halfbert.prediction import parts, summary
parts.PART_ROWS, seen = 10, []
def advance(self, rows):
    seen.append(rows)
    if len(seen) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
summary.Progress.advance = advance
command.main(["predict", *sys.argv[1:]])
"""
    arguments = [things.folder, tables, "--engine", "onnx", "--output", tmp_path / "out", "--ray", address]
    environment = script_environment(PYTHONPATH=str(ROOT))
    done = subprocess.run([sys.executable, "-c", code, *arguments], env=environment, capture_output=True, timeout=300)
    assert done.returncode == -signal.SIGKILL and not (tmp_path / "out").exists()
    said = predict(tables, "--output", tmp_path / "out", "--ray", address)
    assert "resumed: " in said and contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_no_cluster_at_the_address(predict, tables, tmp_path):
    with pytest.raises(ResourceError, match=r"--ray 127\.0\.0\.1:1: no Ray cluster can be reached there"):
        predict(tables, "--output", tmp_path / "out", "--ray", "127.0.0.1:1")
