"""An export is whole or not there; what cannot be exported is one line."""

import errno
import os
import signal
import subprocess
import sys

import pytest
import tiny_predictors
from support import script_environment

import halfbert
from halfbert.cli import command
from halfbert.export import course, huggingface
from halfbert.options import exporting


@pytest.fixture
def folder(tmp_path):
    return tiny_predictors.copy("distilbert", "multiclass", tmp_path / "predictor")


def refused(capsys, code, line, *words):
    assert command.main(["export", *map(str, words)]) == code
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"error: {line}") and err.count("\n") == 1


@pytest.mark.parametrize("name", exporting.TARGETS)
def test_every_target_of_the_options_has_a_module(name):
    assert course.find(name).install.startswith("pip install ")


def test_mistakes_are_one_line(folder, tmp_path, capsys, monkeypatch):
    to = ("--to", "huggingface")
    there = tmp_path / "there"
    there.mkdir()
    (there / "thesis.doc").write_text("mine")
    refused(capsys, 2, "--to: 'phone' is not one of huggingface, litert", folder, "--to", "phone", "--output", tmp_path / "new")
    refused(capsys, 2, f"{tmp_path / 'no'}: no such folder", tmp_path / "no", *to, "--output", tmp_path / "new")
    refused(capsys, 3, f"{there}: no predictor of this project", there, *to, "--output", tmp_path / "new")
    refused(capsys, 2, f"--output {there}: already exists; --overwrite", folder, *to, "--output", there)
    refused(capsys, 2, f"--output {there}: contains no answers.json", folder, *to, "--output", there, "--overwrite")
    refused(capsys, 2, f"--output {folder / 'x'} and FOLDER {folder}: the same folder", folder, *to, "--output", folder / "x")
    monkeypatch.setattr(course.importlib.util, "find_spec", lambda name: None)
    line = "--to huggingface: needs safetensors, not installed here (pip install 'halfbert[train]')"
    refused(capsys, 4, line, folder, *to, "--output", tmp_path / "new")
    assert sorted(os.listdir(tmp_path)) == ["predictor", "there"] and os.listdir(there) == ["thesis.doc"]


def test_a_full_disk_leaves_what_was_there(folder, tmp_path, capsys, monkeypatch):
    output = tmp_path / "hf"
    assert halfbert.export(folder, "huggingface", output) == output
    assert capsys.readouterr().out == f"written: {output}, 0.3 MB\n"
    before = {file.name: file.read_bytes() for file in output.iterdir() if file.is_file()}

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "answers.json")

    monkeypatch.setattr(huggingface.answers, "described", full)
    words = ("--to", "huggingface", "--output", output, "--overwrite")
    refused(capsys, 4, "the disk is full (answers.json)", folder, *words)
    assert {file.name: file.read_bytes() for file in output.iterdir() if file.is_file()} == before
    assert sorted(os.listdir(tmp_path)) == ["hf", "predictor"]


DYING = """
import os, signal, sys
from halfbert.cli import command
os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)  # the first file is written
command.main(sys.argv[1:])
"""


@pytest.mark.parametrize("target", exporting.TARGETS)
def test_what_a_killed_run_left_is_removed(folder, tmp_path, target):
    output = tmp_path / "new"
    words = ("export", folder, "--to", target, "--output", output)
    killed = subprocess.run([sys.executable, "-c", DYING, *words], check=False, env=script_environment(), capture_output=True)
    assert killed.returncode == -signal.SIGKILL and not output.exists()
    assert [name for name in os.listdir(tmp_path) if name.startswith(".new.partial-")]
    halfbert.export(folder, target, output)
    assert sorted(os.listdir(tmp_path)) == ["new", "predictor"]
