"""Fixtures that the tests share: tiny checkpoints, a small table, finished runs, a blocked network."""

import json
import shutil
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest
from support import (
    LABELS,
    TAGS,
    example_rows,
    record_of,
    tagged_rows,
    train_here,
    watch_runs,
    write_checkpoint,
    write_csv,
    write_tags,
)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    """Fail on any connection that leaves this machine."""
    connect = socket.socket.connect

    def guarded(self, address):
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise OSError(f"the tests reach no network, and this one tried {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory) -> Path:
    """A two-layer BERT checkpoint of width 32."""
    return write_checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny-bert", "bert")


@pytest.fixture(scope="session")
def tiny_distilbert(tmp_path_factory) -> Path:
    """A two-layer DistilBERT checkpoint of width 32."""
    return write_checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny-distilbert", "distilbert")


@pytest.fixture
def own(tmp_path, tiny_bert) -> Path:
    """A copy of the tiny BERT that a test may spoil."""
    return shutil.copytree(tiny_bert, tmp_path / "own")


@pytest.fixture(scope="session")
def tensorflow_ready() -> str:
    """TensorFlow loaded into this process as a script loads it, on the CPU; modules that use it can be imported after it."""
    from halfbert.system import tensorflow_setup

    return tensorflow_setup.prepare(device="cpu")


@pytest.fixture(scope="session", params=["bert", "distilbert"])
def tiny_checkpoint(request) -> Path:
    """Each of the two tiny checkpoints in turn."""
    return request.getfixturevalue(f"tiny_{request.param}")


@pytest.fixture
def table(tmp_path) -> Path:
    """A csv file of 120 texts of three labels."""
    return write_csv(tmp_path / "things.csv", example_rows(120))


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """An empty folder to run in."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory, tiny_distilbert) -> SimpleNamespace:
    """A whole run, not to be changed: its folders, record, files and what it said. Some of its test labels are wrong."""
    folder = tmp_path_factory.mktemp("finished")
    rows = example_rows(150)
    test_rows = [(text, LABELS[0] if number % 3 == 0 else label) for number, (text, label) in enumerate(rows[120:])]
    # Texts that a spreadsheet program would run as formulas, each under every label, so that some answers are wrong.
    test_rows += [(f"{start}cat bread saw", label) for start in "=+-@" for label in LABELS]
    run = SimpleNamespace(folder=folder, output=folder / "predictors" / "things", results=folder / "results" / "things")
    run.train = write_csv(folder / "things.csv", rows[:120])
    run.test = write_csv(folder / "held_out.csv", test_rows)
    run.test_rows = test_rows
    where = ("--train", run.train, "--test", run.test, "--output", run.output, "--results", run.results)
    run.arguments = ("--model", "distilbert", "--checkpoint", tiny_distilbert, *where, "--epochs", "3", "--lr", "0.003")
    run.out = train_here(*run.arguments)
    run.record = record_of(run.results)
    run.manifest = json.loads((run.output / "halfbert.json").read_text(encoding="utf-8"))
    return run


@pytest.fixture(scope="session")
def finished_multilabel(tmp_path_factory, tiny_distilbert) -> SimpleNamespace:
    """The twin of `finished`, its checkpoint gone; beside it what the run saw (`watch_runs`)."""
    folder = tmp_path_factory.mktemp("finished_multilabel")
    rows = tagged_rows(150)
    test_rows = [(text, TAGS[:1] if number % 3 == 0 else tags) for number, (text, tags) in enumerate(rows[120:])]
    # Texts that a spreadsheet program would run as formulas, with a tag, two tags and none, so that some answers are wrong.
    test_rows += [(f"{start}cat bread saw", tags) for start in "=+-@" for tags in (TAGS[1:2], TAGS[1:], ())]
    run = SimpleNamespace(folder=folder, output=folder / "predictors" / "tags", results=folder / "results" / "tags")
    run.test_rows = test_rows
    run.train, run.test = write_tags(folder / "tags.csv", rows[:120]), write_tags(folder / "held_out.csv", test_rows)
    run.checkpoint = shutil.copytree(tiny_distilbert, folder / "checkpoint")
    where = ("--train", run.train, "--test", run.test, "--output", run.output, "--results", run.results)
    run.arguments = ("--model", "distilbert", "--checkpoint", run.checkpoint, *where, "--epochs", "3", "--lr", "0.003")
    run.arguments += ("--threshold", "gmean")  # so that some labels are answered and some are not, little as it has learnt
    with pytest.MonkeyPatch.context() as patch:
        run.seen = watch_runs(patch)
        run.out = train_here(*run.arguments, script="train_multilabel")
    shutil.rmtree(run.checkpoint)
    run.record = record_of(run.results)
    run.manifest = json.loads((run.output / "halfbert.json").read_text(encoding="utf-8"))
    return run
