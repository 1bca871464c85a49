"""Fixtures that the tests share: tiny checkpoints, a small table, finished runs, a blocked network."""

import json
import shutil
import signal
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


HANDLERS = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}


@pytest.fixture(autouse=True)
def _signal_handlers():
    """Whatever handlers a test installs, pytest's own are put back."""
    yield
    for number, handler in HANDLERS.items():
        signal.signal(number, handler)


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


def whole_run(script, folder, name, checkpoint, write, rows, test_rows, *more) -> SimpleNamespace:
    """A whole run: its folders, record, files, what it said and what it saw (`watch_runs`)."""
    run = SimpleNamespace(folder=folder, output=folder / "predictors" / name, results=folder / "results" / name)
    run.test_rows = test_rows
    run.train, run.test = write(folder / f"{name}.csv", rows), write(folder / "held_out.csv", test_rows)
    where = ("--train", run.train, "--test", run.test, "--output", run.output, "--results", run.results)
    run.arguments = ("--model", "distilbert", "--checkpoint", checkpoint, *where, "--epochs", "3", "--lr", "0.003", *more)
    with pytest.MonkeyPatch.context() as patch:
        run.seen = watch_runs(patch)
        run.out = train_here(*run.arguments, script=script)
    run.record = record_of(run.results)
    run.manifest = json.loads((run.output / "halfbert.json").read_text(encoding="utf-8"))
    return run


@pytest.fixture(scope="session")
def finished(tmp_path_factory, tiny_distilbert) -> SimpleNamespace:
    """A `whole_run`, not to be changed. Some of its test labels are wrong."""
    rows = example_rows(150)
    test_rows = [(text, LABELS[0] if number % 3 == 0 else label) for number, (text, label) in enumerate(rows[120:])]
    # Texts that a spreadsheet program would run as formulas, each under every label, so that some answers are wrong.
    test_rows += [(f"{start}cat bread saw", label) for start in "=+-@" for label in LABELS]
    folder = tmp_path_factory.mktemp("finished")
    return whole_run("train_multiclass", folder, "things", tiny_distilbert, write_csv, rows[:120], test_rows)


@pytest.fixture(scope="session")
def finished_multilabel(tmp_path_factory, tiny_distilbert) -> SimpleNamespace:
    """The twin of `finished`, its checkpoint gone."""
    rows = tagged_rows(150)
    test_rows = [(text, TAGS[:1] if number % 3 == 0 else tags) for number, (text, tags) in enumerate(rows[120:])]
    # Texts that a spreadsheet program would run as formulas, with a tag, two tags and none, so that some answers are wrong.
    test_rows += [(f"{start}cat bread saw", tags) for start in "=+-@" for tags in (TAGS[1:2], TAGS[1:], ())]
    folder = tmp_path_factory.mktemp("finished_multilabel")
    checkpoint = shutil.copytree(tiny_distilbert, folder / "checkpoint")
    threshold = ("--threshold", "gmean")  # which answers some labels and some not, little as the model has learnt
    run = whole_run("train_multilabel", folder, "tags", checkpoint, write_tags, rows[:120], test_rows, *threshold)
    shutil.rmtree(checkpoint)
    return run


@pytest.fixture
def figures(monkeypatch):
    """The figures that were written."""
    from halfbert.output import drawing

    seen = []
    write = drawing._write
    monkeypatch.setattr(drawing, "_write", lambda figure, path: (seen.append(figure), write(figure, path)))
    return seen
