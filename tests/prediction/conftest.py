"""What the tests of answering tables share: a trained predictor, runs of the command in this process."""

import contextlib
import io
from pathlib import Path
from types import SimpleNamespace

import pytest

import halfbert
from halfbert.cli import command
from halfbert.system.console import StopRequest


@pytest.fixture(scope="session")
def things(finished) -> SimpleNamespace:
    """The predictor of one label a text: `folder`, and its `classifier`."""
    return SimpleNamespace(folder=finished.output, classifier=halfbert.load(finished.output, "onnx"))


@pytest.fixture(scope="session")
def tags(finished_multilabel) -> SimpleNamespace:
    """The predictor of any number of labels a text."""
    return SimpleNamespace(folder=finished_multilabel.output, classifier=halfbert.load(finished_multilabel.output, "onnx"))


@pytest.fixture
def predict(things):
    """Answer tables with the predictor of one label, or another; returns what is said on both streams."""

    def run(*arguments: str | Path, predictor: Path = things.folder) -> str:
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            command.run(["predict", str(predictor), "--engine", "onnx", *map(str, arguments)], StopRequest(), "predict.py")
        return said.getvalue()

    return run


@pytest.fixture
def small_groups(monkeypatch):
    """Blocks of 3 rows and groups of 5 new texts, so that a small table has many of them."""
    from halfbert.prediction import answering, blocks, frames, parquet, standard_input, workbook

    for module in (blocks, frames, parquet, standard_input, workbook):
        monkeypatch.setattr(module, "ROWS", 3)
    monkeypatch.setattr(answering, "NEW_TEXTS", 5)
