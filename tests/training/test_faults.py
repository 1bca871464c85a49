"""Bad input and faults: each is caused for real, and what stands afterwards is looked at."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from support import (
    LABELS,
    ROOT,
    TAGS,
    end_here,
    example_rows,
    run_python,
    script_environment,
    tagged_rows,
    train_here,
    write_csv,
    write_tags,
)

from halfbert.models import checkpoints
from halfbert.models.checkpoints import sha256
from halfbert.scoring.intervals import standard_error

SCRIPT = str(ROOT / "train_multiclass.py")


@pytest.fixture
def whole(here, tiny_distilbert, table):
    """The arguments of a run into p/things and r/things."""
    where = ("--train", table, "--output", "p/things", "--results", "r/things")
    return ("--model", "distilbert", "--checkpoint", tiny_distilbert, *where)


def contents(folder):
    """Every path below a folder, with the content of each file."""
    return {path.relative_to(folder): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def outside_states(folder):
    """Every path below a folder but those of the states of a fit, which come and go."""
    paths = (path.relative_to(folder) for path in folder.rglob("*"))
    return {path for path in paths if not any(part.endswith(".state") for part in path.parts)}


def hidden(folder):
    """What a run leaves beside its outputs."""
    return [path.relative_to(folder).as_posix() for path in folder.rglob(".*")]


def is_whole(predictor):
    """The manifest is there, every file has the hash that it names, and there is no other file but the engines'."""
    files = json.loads((predictor / "halfbert.json").read_text())["files"]
    found = {path.relative_to(predictor).as_posix() for path in predictor.rglob("*") if path.is_file()}
    found = {name for name in found if not name.startswith("engines/")}
    return found == {*files, "halfbert.json"} and all(sha256(predictor / name) == digest for name, digest in files.items())


def answers(predictor):
    """What ktrain's predictor from a folder answers to two texts."""
    from halfbert.system.tensorflow_setup import prepare

    prepare("cpu")
    from halfbert.models.ktrain_data import ktrain

    return ktrain.load_predictor(str(predictor)).predict(["the old cat", "a new saw"])


# Bad input: exit code, one line, nothing written, decided before a checkpoint is looked for. Every unfit table is refused in
# tests/data, and every option in tests/options; here, what becomes of their errors.


def refused(capsys, code, fragments, *arguments, script="train_multiclass"):
    """The script ends with this code and one line on standard error that holds each fragment."""
    assert end_here(*arguments, script=script) == code
    shown = capsys.readouterr().err
    assert shown.startswith("error: ") and shown.count("\n") == 1 and shown.endswith("\n")
    for fragment in fragments:
        assert fragment in shown, shown
    return shown


@pytest.fixture
def no_checkpoint(monkeypatch):
    """Whoever looks for a checkpoint fails the test."""
    monkeypatch.setattr(checkpoints, "find", lambda *_, **__: pytest.fail("a checkpoint was looked for"))


ROWS = example_rows(60)
TAGGED = [(text, *(int(tag in tags) for tag in TAGS)) for text, tags in tagged_rows(60)]
REFUSED = {
    "no such file": ("multiclass", None, ("--train", "nowhere.csv"), ["nowhere.csv"]),
    "no such column": ("multiclass", (ROWS, ("Text", "label")), (), ["table.csv", "'text'", "Text"]),
    "missing text": ("multiclass", ([*ROWS, ("", "food")], ("text", "label")), (), ["'text'", "62", "--drop-missing"]),
    "rare label": ("multiclass", ([*ROWS, ("a thing", "rare")], ("text", "label")), (), ['"rare" has 1', "merge"]),
    "unseen label": ("multiclass", (ROWS, ("text", "label")), ("--val", "other.csv"), ["other.csv", "3", '"plant"']),
    "too few rows": ("multiclass", (ROWS, ("text", "label")), ("--rows", "3"), ["--rows 3", "at least"]),
    "no answer": (
        "multilabel",
        ([*TAGGED, ("a cat", "maybe", 0, 1)], ("text", *TAGS)),
        (),
        ["line 62, column 'food'", '"maybe"'],
    ),
    "constant label": ("multilabel", ([(text, 0, *more) for text, _, *more in TAGGED], ("text", *TAGS)), (), ['"food" in 0']),
    "no such label": ("multilabel", (TAGGED, ("text", *TAGS)), ("--label-columns", "food,animals"), ["'animals'", "animal"]),
    "a label's column lacks": ("multilabel", (TAGGED, ("text", *TAGS)), ("--test", "other.csv"), ["other.csv", f"'{TAGS[0]}'"]),
    "no model": ("multiclass", None, None, ["--model", "--help"]),
    "options at odds": ("multiclass", None, ("--lr", "1e-4", "--find-lr"), ["--lr and --find-lr"]),
    "another task's option": ("multilabel", None, ("--class-weights", "balanced"), ["--class-weights"]),
    "folders in each other": ("multiclass", None, ("--output", "a", "--results", "a/b"), ["--results a/b", "separate"]),
    "no such option": ("multiclass", None, ("--batchsize", "8"), ["--batchsize"]),
    "no such value": ("multilabel", None, ("--threshold", "0.3"), ["--threshold", "'0.3'", "gmean"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_named_in_one_line_and_nothing_written(name, here, tmp_path, capsys, no_checkpoint, monkeypatch):
    task, table, arguments, fragments = REFUSED[name]
    write_csv(tmp_path / "other.csv", [("the old cat", "animal"), ("a thing", "plant")])
    arguments = [str(tmp_path / word) if word == "other.csv" else word for word in arguments or ()]
    if table:
        arguments += ["--train", write_csv(tmp_path / "table.csv", *table)]
    model = () if name == "no model" else ("--model", "distilbert")
    refused(capsys, 2, fragments, *model, *arguments, script=f"train_{task}")
    assert not list(here.iterdir())


@pytest.mark.parametrize("option", ["--output", "--results"])
def test_an_output_that_is_taken_is_left_as_it_is(option, here, tmp_path, capsys, table, no_checkpoint):
    common = ("--model", "bert", "--train", table)
    (here / "notes").mkdir()
    (here / "notes" / "thesis.txt").write_text("years of work")
    (here / "file").write_text("a file")
    (here / "dangling").symlink_to(here / "nowhere")
    before = contents(here)
    refused(capsys, 2, [option, "notes", "--overwrite"], *common, option, "notes")
    refused(capsys, 2, [option, "notes", "not replaced"], *common, option, "notes", "--overwrite")
    refused(capsys, 2, [option, "file", "is a file"], *common, option, "file", "--overwrite")
    refused(capsys, 2, [option, "file"], *common, option, "file/inside")
    refused(capsys, 2, [option, "dangling"], *common, option, "dangling", "--overwrite")
    assert contents(here) == before


def test_a_device_that_is_not_there(here, capsys, table, no_checkpoint):
    from halfbert.system.tensorflow_setup import prepare

    if prepare("auto") == "gpu":
        pytest.skip("there is a GPU here")
    refused(capsys, 4, ["--device gpu", "--device cpu"], "--model", "bert", "--train", table, "--device", "gpu")
    refused(capsys, 2, ["mixed_float16", "mixed_bfloat16"], "--model", "bert", "--train", table, "--precision", "mixed_float16")
    assert not list(here.iterdir())


def test_a_named_checkpoint_out_of_reach(here, capsys, table, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    common = ("--model", "bert", "--train", table)
    refused(capsys, 4, ["someone/their-bert", "--checkpoint mini"], *common, "--checkpoint", "someone/their-bert")
    assert not list(here.iterdir())


# Faults in a run.


@contextlib.contextmanager
def running(*arguments, cwd):
    """The script in a process of its own, which is not left running."""
    process = subprocess.Popen(
        [sys.executable, SCRIPT, *map(str, arguments)],
        cwd=cwd,
        env=script_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(process, start):
    """Read what the process says until a line begins with `start`."""
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith(start):
            return
    pytest.fail(f"it never said {start!r} but {''.join(said)!r} and {process.stderr.read()!r}")


@pytest.mark.slow
def test_sigint_keeps_the_best_epoch_and_a_second_run_waits_for_no_one(here, whole, capsys):
    """In the middle of an epoch after the first: 130, the best epoch so far is a whole predictor, and the record says so."""
    with running(*whole, "--epochs", "5000", cwd=here) as process:
        wait_for(process, "epoch 2/5000")
        during = outside_states(here)
        refused(capsys, 2, ["p/things", "another run"], *whole)
        elsewhere = [*whole[:-3], "p/else", *whole[-2:]]
        refused(capsys, 2, ["r/things", "another run"], *elsewhere)  # the same results folder
        assert during == outside_states(here)
        process.send_signal(signal.SIGINT)
        said, failed = process.communicate(timeout=60)
    assert process.returncode == 130
    assert failed == "stopped by SIGINT\n" and "stopping" in said and "is kept as p/things" in said
    record = json.loads((here / "r/things/record.json").read_text())
    assert record["stopped"] == "SIGINT" and record["test"] is None and record["timing"]["evaluate_seconds"] is None
    scores = {row["epoch"]: row["val_macro_f1"] for row in record["epochs"]}
    least = max(scores.values()) - standard_error(max(scores.values()), record["data"]["rows"]["val"])
    near_the_highest = [epoch for epoch, score in scores.items() if score >= least]
    assert 2 <= len(scores) < 5000 and record["best_epoch"] == near_the_highest[-1]
    assert is_whole(here / "p/things") and set(answers(here / "p/things")) <= set(LABELS)
    assert "ended early (SIGINT)" in (here / "p/things/README.md").read_text()
    assert "ended early (SIGINT)" in (here / "r/things/report.txt").read_text()
    assert hidden(here) == ["p/.things.state"], "what --resume would continue from"


@pytest.fixture
def signals_at(tensorflow_ready, monkeypatch):
    """Have this process get the given signals in the middle of an epoch (from 1), after its third batch."""
    from halfbert.training.fit import BestEpoch

    batch_end = BestEpoch.on_train_batch_end

    def arrange(epoch, *numbers):
        def interrupted(self, batch, logs=None):
            if len(self.step_ends) == epoch and batch == 2:
                for number in numbers:
                    os.kill(os.getpid(), number)
            batch_end(self, batch, logs)

        monkeypatch.setattr(BestEpoch, "on_train_batch_end", interrupted)

    return arrange


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_sigterm_before_an_epoch_is_complete_leaves_the_state_of_the_fit_alone(here, whole, capsys, signals_at):
    signals_at(1, signal.SIGTERM)
    assert end_here(*whole, "--epochs", "3") == 143
    shown = capsys.readouterr()
    assert shown.err == "stopped by SIGTERM\n" and "epoch 1/" not in shown.out and "--resume continues from it" in shown.out
    assert [path.name for path in here.rglob("*") if path.is_file()] == ["fit-000000003.npz"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_signal_keeps_the_best_epoch_and_its_thresholds(here, tmp_path, tiny_distilbert, capsys, signals_at, monkeypatch):
    """The second epoch is ruined, and the third cut short: the first is saved, and its answers chose the thresholds."""
    from halfbert.models.ktrain_data import ktrain
    from halfbert.scoring import multilabel as multilabel_metrics
    from halfbert.training.fit import BestEpoch

    begin = BestEpoch.on_epoch_begin

    def ruin(self, epoch, logs=None):
        if epoch == 1:
            self.model.set_weights([value * 0 for value in self.model.get_weights()])
        begin(self, epoch, logs)

    monkeypatch.setattr(BestEpoch, "on_epoch_begin", ruin)
    signals_at(3, signal.SIGTERM)
    rows = tagged_rows(144)
    tables = ("--train", write_tags(tmp_path / "tags.csv", rows[:96]), "--val", write_tags(tmp_path / "val.csv", rows[96:]))
    where = ("--output", "p/tags", "--results", "r/tags")
    model = ("--model", "distilbert", "--checkpoint", tiny_distilbert, "--epochs", "9", "--lr", "0.003")
    assert end_here(*model, *tables, *where, script="train_multilabel") == 143
    shown = capsys.readouterr()
    assert shown.err == "stopped by SIGTERM\n" and "epoch 1 is kept as p/tags" in shown.out
    record = json.loads((here / "r/tags/record.json").read_text())
    assert len(record["epochs"]) == 2 and record["best_epoch"] == 1 and record["test"] is None
    assert record["stopped"] == "SIGTERM" and is_whole(here / "p/tags") and hidden(here) == ["p/.tags.state"]
    probabilities = ktrain.load_predictor(str(here / "p/tags")).predict_proba([text for text, _ in rows[96:]])
    truth = np.array([[tag in tags for tag in TAGS] for _, tags in rows[96:]], int)
    expected = multilabel_metrics.choose_thresholds(truth, probabilities, record["options"]["threshold"])
    manifest = json.loads((here / "p/tags/halfbert.json").read_text())
    np.testing.assert_allclose(manifest["thresholds"], expected, atol=1e-5)
    card = (here / "p/tags/README.md").read_text()
    assert "ended early (SIGTERM)" in card and f"`{TAGS[0]}` from {manifest['thresholds'][0]:.3f}" in card
    pictures = {"learning_curves", "text_lengths", "cooccurrence"}
    assert {file.stem for file in (here / "r/tags").glob("*.png")} == pictures
    assert not (here / "r/tags/errors.csv").exists()


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_second_signal_stops_at_once(here, whole, capsys, signals_at):
    signals_at(3, signal.SIGTERM, signal.SIGINT)
    assert end_here(*whole, "--epochs", "9") == 130
    shown = capsys.readouterr()
    assert shown.err == "stopped by SIGINT\n" and "epoch 2/9" in shown.out
    assert list(here.iterdir()) == [here / "p"] and hidden(here) == ["p/.things.state"]


@pytest.mark.parametrize("moment", ["test", "save"])
def test_a_signal_after_the_fit_loses_nothing(moment, here, whole, capsys, monkeypatch):
    """Sent to this very process while it tests (the test is cut short) or saves (the save is finished)."""
    from halfbert.predictor import writing as predictors
    from halfbert.training import fit as training

    place, name = {"test": (training, "predict_logits"), "save": (predictors, "finish")}[moment]
    original = getattr(place, name)

    def interrupted(*arguments, **named):
        if moment == "save" or arguments[-1] == "testing":
            os.kill(os.getpid(), signal.SIGTERM)
        return original(*arguments, **named)

    monkeypatch.setattr(place, name, interrupted)
    assert end_here(*whole, "--epochs", "1") == 143
    assert capsys.readouterr().err == "stopped by SIGTERM\n"
    assert is_whole(here / "p/things") and set(answers(here / "p/things")) <= set(LABELS)
    record = json.loads((here / "r/things/record.json").read_text())
    assert (record["test"] is None) == (moment == "test") and (here / "r/things/learning_curves.png").exists()
    assert hidden(here) == (["p/.things.state"] if moment == "test" else [])


def test_a_loss_that_is_no_number_stops_the_run(here, whole, capsys):
    """Whether the loss shows it first or the weights do, which DistilBERT's ReLU can hide from the loss."""
    refused(capsys, 4, ["became", "--lr", "nothing is kept"], *whole, "--lr", "1e38", "--epochs", "2")
    assert not list(here.iterdir())


def test_a_loss_that_is_no_number_leaves_the_good_epoch(here, whole, capsys, monkeypatch):
    """The weights are spoilt after the second epoch, as an overflow would."""
    from halfbert.training.fit import BestEpoch

    begin = BestEpoch.on_epoch_begin

    def spoil(self, epoch, logs=None):
        if epoch == 2:
            self.model.set_weights([np.full_like(value, np.nan) for value in self.model.get_weights()])
        begin(self, epoch, logs)

    monkeypatch.setattr(BestEpoch, "on_epoch_begin", spoil)
    line = refused(capsys, 4, ["training loss became nan at batch 1", "--lr"], *whole, "--epochs", "4", "--lr", "0.003")
    record = json.loads((here / "r/things/record.json").read_text())
    assert len(record["epochs"]) == 2 and record["best_epoch"] in (1, 2) and record["test"] is None
    assert line.count(f"epoch {record['best_epoch']} is kept as p/things") == 1
    assert "loss became nan" in record["stopped"]
    assert is_whole(here / "p/things") and set(answers(here / "p/things")) <= set(LABELS)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no kill -9")
def test_kill_while_saving_leaves_the_earlier_predictor_whole(here, whole):
    train_here(*whole, "--epochs", "1")
    before, answered = contents(here / "p/things"), answers(here / "p/things")
    with running(*whole, "--epochs", "2", "--seed", "5", "--overwrite", cwd=here) as process:
        limit = time.monotonic() + 100
        while not list((here / "p").glob(".things.partial-*/tf_model.h5")):
            assert process.poll() is None and time.monotonic() < limit
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=10)
    assert list((here / "p").glob(".things.partial-*"))  # killed in the midst of it
    assert contents(here / "p/things") == before and is_whole(here / "p/things")
    assert answers(here / "p/things") == answered
    train_here(*whole, "--epochs", "1", "--seed", "5", "--overwrite")
    assert is_whole(here / "p/things") and contents(here / "p/things") != before
    assert not list(here.rglob(".*"))


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="POSIX limits")
def test_a_disk_that_fills_up_leaves_the_earlier_predictor_whole(here, whole):
    """A limit to the size of a file stands for the full disk: the write of the weights fails half-way."""
    bytes_ = 60_000
    train_here(*whole, "--epochs", "1")
    before = contents(here)
    assert (here / "p/things/tf_model.h5").stat().st_size > 2 * bytes_
    limited = "import resource, sys, runpy; resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2); "
    limited += "sys.argv = sys.argv[2:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    arguments = ("-c", limited, str(bytes_), SCRIPT, *whole, "--epochs", "1", "--overwrite")
    done = run_python(*arguments, cwd=here, PYTHONPATH=str(ROOT), PYTHONDONTWRITEBYTECODE="1")
    assert done.returncode == 4, done.stderr
    # Before it, ktrain warns that its copy in the temporary folder failed, for the limit holds there as well.
    assert "Traceback" not in done.stderr and done.stderr.splitlines()[-1].startswith("error: the disk is full")
    assert contents(here) == before


def test_a_disk_without_room_is_noticed_before_the_fit(here, whole, capsys, monkeypatch):
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 1000))
    refused(capsys, 4, ["p/things", "free", "make room"], *whole, "--epochs", "1")
    assert not list(here.iterdir())
