"""The command and the scripts: help at once, nothing heavy loaded to help or to refuse, one line for a mistake."""

import importlib.metadata
import re

import pytest
from support import ROOT, run_python

import halfbert
from halfbert.cli import command

SCRIPTS = {verb: f"{verb.replace('-', '_')}.py" for verb in command.VERBS}
# How each is called, and what its usage line calls it.
CALLS = {
    **{script: ([str(ROOT / script)], script) for script in SCRIPTS.values()},
    **{verb: (["-m", "halfbert", verb], f"halfbert {verb}") for verb in SCRIPTS},
    "halfbert": (["-m", "halfbert"], "halfbert VERB"),
}
HEAVY = {"tensorflow", "torch", "transformers", "ktrain", "tf_keras", "keras", "huggingface_hub", "matplotlib", "sklearn"}
HEAVY |= {"pandas", "scipy", "pyarrow", "onnx", "onnxruntime", "jinja2"}


@pytest.mark.parametrize("name", CALLS)
def test_help_loads_nothing_heavy(tmp_path, name):
    words, usage = CALLS[name]
    done = run_python("-X", "importtime", *words, "--help", cwd=tmp_path, PYTHONPATH=str(ROOT))
    assert done.returncode == 0 and done.stdout.startswith(f"usage: {usage} [")
    assert not HEAVY & imported(done.stderr)
    assert list(tmp_path.iterdir()) == []


def imported(stderr: str) -> set[str]:
    """The modules that -X importtime names."""
    modules = set(re.findall(r"^import time: +\d+ \| +\d+ \| +(\S+)$", stderr, re.MULTILINE))
    assert "halfbert.options" in modules
    return modules


ABSENT = ["--model", "bert", "--train", "nowhere.csv"]


@pytest.mark.parametrize(
    ("script", "arguments", "says"),
    [
        *((script, ["--colour", "red"], rf"error: .*\(all options: {script} --help\)") for script in SCRIPTS.values()),
        *((f"train_{task}.py", ABSENT, r"error: nowhere.csv: .*") for task in ("multiclass", "multilabel")),
    ],
)
def test_a_mistake_is_one_line_and_loads_nothing_heavy(tmp_path, script, arguments, says):
    done = run_python("-X", "importtime", ROOT / script, *arguments, cwd=tmp_path)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert (done.returncode, done.stdout, len(lines)) == (2, "", 1) and re.fullmatch(says, lines[0])
    assert not HEAVY & imported(done.stderr) and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["train"], "error: halfbert: no verb 'train'; there are train-multiclass, train-multilabel, distill, compare, tune"),
        (["--model", "bert"], "error: halfbert: no verb '--model'"),
        (["distill", "--teacher=a", "--keep=x"], "error: --keep: 'x' is not an integer of at least 1 (and below 2^31) (all"),
    ],
)
def test_mistakes_in_the_command(capsys, arguments, line):
    assert command.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(line) and err.count("\n") == 1


def test_debug_shows_the_traceback_of_a_mistake(capsys):
    assert command.main(["train-multiclass", *ABSENT, "--debug"]) == 2
    first, *_, last = capsys.readouterr().err.splitlines()
    assert first.startswith("Traceback") and "nowhere.csv" in last


def test_the_version_is_that_of_the_package(capsys, tmp_path, monkeypatch):
    assert command.main(["--version"]) == 0
    assert capsys.readouterr().out == f"halfbert {halfbert.__version__}\n"
    assert f'\nversion = "{halfbert.__version__}"\n' in (ROOT / "pyproject.toml").read_text()
    monkeypatch.setattr(command, "PROJECT", tmp_path)  # installed, without a checkout
    monkeypatch.setattr(importlib.metadata, "version", {"halfbert": "7.8"}.__getitem__)
    assert halfbert.__version__ == "7.8"
