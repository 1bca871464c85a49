"""train_multilabel.py through its real arguments: one whole path, plain ktrain, the effect of each option, its twin."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from support import (
    TAGS,
    end_here,
    epochs_of,
    equal,
    plain_ktrain,
    record_of,
    run_script,
    tagged_rows,
    train_here,
    watch_runs,
    weights_of,
    write_csv,
    write_tags,
    write_workbook,
)

from halfbert.data import messages
from halfbert.models.checkpoints import SMALL_RECIPE
from halfbert.options.training import THRESHOLD_RULE
from halfbert.scoring import multilabel as multilabel_metrics
from halfbert.scoring.probabilities import sigmoid
from halfbert.system.errors import InputError
from halfbert.training import tasks


@pytest.fixture
def table(tmp_path):
    """A csv file of 120 texts with a column of 0 and 1 for each of three tags."""
    return write_tags(tmp_path / "tags.csv", tagged_rows(120))


@pytest.fixture
def quick(here, tiny_distilbert, table, tensorflow_ready, monkeypatch):
    """Run one quick epoch of the tiny DistilBERT on a small table; returns record, manifest, what was said, and the run."""
    seen = watch_runs(monkeypatch)

    def run(*arguments, train=table, output="predictors/try"):
        model = ("--model", "distilbert", "--checkpoint", tiny_distilbert, "--train", train, "--output", output)
        said = train_here(*model, "--epochs", "1", *arguments, script="train_multilabel")
        folder = here / output
        manifest = json.loads((folder / "halfbert.json").read_text(encoding="utf-8"))
        record = record_of(here / "results" / "multilabel" / folder.name)
        return SimpleNamespace(record=record, manifest=manifest, said=said, folder=folder, seen=seen)

    return run


@pytest.fixture
def read(here, capsys):
    """What the script says of a table, labels first, before it looks for the checkpoint, which is not there."""

    def run(*arguments):
        assert end_here("--model", "bert", "--checkpoint", "./nowhere", *arguments, script="train_multilabel") == 2
        shown = capsys.readouterr()
        assert "./nowhere: no such folder" in shown.err
        return shown.out

    return run


def chosen_again(run, how):
    """The thresholds by a rule from the validation logits of the epoch that was kept."""
    probabilities = sigmoid(run.seen.fitted.val_logits)
    return multilabel_metrics.choose_thresholds(run.seen.truth["val"], probabilities, how).tolist()


# One whole path.


def test_the_embedded_messages_are_the_table_unless_another_is_given(here, tiny_bert):
    few = ("--rows", "40", "--test-rows", "20", "--epochs", "1", "--maxlen", "16")
    train_here("--model", "bert", "--checkpoint", tiny_bert, *few, script="train_multilabel")
    output, results = here / "predictors" / "bert-messages", here / "results" / "multilabel" / "bert-messages"
    assert {path.name for path in here.iterdir()} == {"predictors", "results"}
    assert [path.name for path in output.parent.iterdir()] == [output.name]
    assert [path.name for path in results.parent.iterdir()] == [results.name]
    record = record_of(results)
    assert record["data"]["rows"]["train"] == 40 and record["data"]["rows"]["test"] == 20
    assert record["data"]["labels"] == messages.TAGS
    assert record["options"]["train"] == "halfbert/data/messages_train.xlsx"
    assert record["options"]["lr"] == SMALL_RECIPE["learning_rate"]
    config = json.loads((output / "config.json").read_text())
    assert (config["model_type"], config["problem_type"]) == ("bert", "multi_label_classification")
    assert record["checkpoint"]["name"] == tiny_bert.name and len(record["test"]["per_label"]) == 10


# The task is stated: sigmoid, whatever the rows look like.


def pairs(probabilities, labels=TAGS):
    """What ktrain's predict answers for one text, as JSON keeps it."""
    return [[label, pytest.approx(probability, abs=1e-6)] for label, probability in zip(labels, probabilities, strict=True)]


@pytest.mark.slow
def test_plain_ktrain_answers_label_by_label_elsewhere(finished_multilabel, here, tmp_path, tiny_bert, monkeypatch):
    """Moved, their checkpoints gone, nothing of the project importable: pairs of label and probability, those of the run.

    In the second predictor's table no row has two labels and some have none, from which ktrain would guess a softmax.
    """
    seen = watch_runs(monkeypatch)
    texts = [text for text, _ in finished_multilabel.test_rows]
    rows = tagged_rows(120, seed=1, apart=True)
    assert {len(tags) for _, tags in rows} == {0, 1}
    checkpoint = shutil.copytree(tiny_bert, tmp_path / "checkpoint")
    tables = ("--train", write_tags(tmp_path / "apart.csv", rows), "--test", finished_multilabel.test, "--keep-leaks")
    where = ("--output", "p/apart", "--results", "r/apart")
    model = ("--model", "bert", "--checkpoint", checkpoint, "--epochs", "1", "--lr", "0.003")
    train_here(*model, *tables, *where, script="train_multilabel")
    assert max(seen.truth["train"].sum(axis=1)) == 1
    shutil.rmtree(checkpoint)
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(finished_multilabel.output, elsewhere / "many")
    shutil.move(here / "p" / "apart", elsewhere / "apart")

    found = plain_ktrain(elsewhere, texts, "many", "apart")
    for name, expected in (("many", finished_multilabel.seen.probabilities), ("apart", seen.probabilities)):
        answers = found[name]
        assert answers["labels"] == list(TAGS)
        np.testing.assert_allclose(answers["probabilities"], expected, atol=1e-5)
        assert np.abs(expected.sum(axis=1) - 1).min() > 1e-3  # no softmax
        assert answers["answers"] == [pairs(probabilities) for probabilities in answers["probabilities"]]
        assert answers["one"] == pairs(answers["probabilities"][0])


def test_a_table_of_one_label(quick, tmp_path):
    from halfbert.models.ktrain_data import ktrain

    rows = [(text, int("food" in tags)) for text, tags in tagged_rows(120)]
    run = quick(train=write_csv(tmp_path / "one.csv", rows, ("text", "food")))
    assert run.record["data"]["labels"] == run.manifest["labels"] == ["food"] and len(run.manifest["thresholds"]) == 1
    text = run.seen.prepared.data.test.texts[0]
    expected = run.seen.probabilities[0]
    assert ktrain.load_predictor(str(run.folder)).predict([text]) == [[("food", pytest.approx(expected[0], abs=1e-5))]]


# Options: each has its effect.


def test_label_columns(read, table):
    assert "3 labels (food, +tool, animal)" in read("--train", table)
    assert "3 labels (food, +tool, animal)" in read("--train", table, "--label-columns", "ALL")
    assert "2 labels (animal, food)" in read("--train", table, "--label-columns", "animal, food")


def test_label_column_and_separator(read, tmp_path):
    cells = [(text, " | ".join(tags)) for text, tags in tagged_rows(120)]
    by_name = ("--train", write_csv(tmp_path / "named.csv", cells, ("text", "tags")), "--label-column", "tags")
    assert "3 labels (+tool, animal, food)" in read(*by_name, "--label-separator", "|")
    assert "nowhere names two labels with ';'" in read(*by_name, "--label-separator", ";")


def test_columns_sheet_and_encoding_reach_the_reader(read, tmp_path):
    """What both scripts read alike is tried in test_train_multiclass.py; here, that all of it is passed on."""
    rows = [(text, *(["no", "yes"][tag in tags] for tag in TAGS)) for text, tags in tagged_rows(60)]
    book = write_workbook(tmp_path / "mail.xlsx", {"first": [("text", "label")], "second": [("Mail", *TAGS), *rows]})
    said = read("--train", book, "--text-column", "Mail", "--sheet", "second", "--rows", "30", "--test-rows", "4")
    assert "30 train" in said and "4 test rows, 3 labels (food, +tool, animal)" in said


def test_every_option_of_the_table_is_passed_on(here, monkeypatch):
    given = {"train": "a.csv", "val": "b.csv", "test": "c.csv", "text_column": "t", "sheet": "s", "encoding": "cp1252"}
    given |= {"label_column": "l", "label_separator": ";", "rows": 7, "test_rows": 5, "seed": 3}
    given |= dict.fromkeys(("drop_missing", "keep_leaks", "drop_constant_labels"), True)
    taken = {}

    def reader(train, **named):
        taken.update(named, train=train)
        raise InputError("enough")

    monkeypatch.setattr(tasks, "read_multilabel", reader)
    words = [[f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])] for name, value in given.items()]
    assert end_here("--model", "bert", *(word for pair in words for word in pair), script="train_multilabel") == 2
    assert taken == {**given, "label_columns": None}


def test_options_whose_effect_shows_in_different_places(quick, tmp_path):
    """Those that the script's own lines pass on and two of its own, in one run."""
    rows = [(text, *(int(tag in tags) for tag in TAGS), 0) for text, tags in tagged_rows(120)]
    never = write_csv(tmp_path / "never.csv", rows, ("text", *TAGS, "never"))
    shared = ("--rows", "40", "--maxlen", "7", "--batch-size", "5", "--weight-decay", "0.5", "--lr", "1e-12", "--seed", "3")
    shared += ("--epochs", "4", "--early-stopping", "--keep-epochs")
    run = quick(*shared, "--balance", "--drop-constant-labels", train=never)
    fitted, record = run.seen.fitted, run.record
    assert record["data"]["rows"]["train"] == 40 and record["split"]["seed"] == 3
    assert fitted.train.encoded.lengths.max() == 7 == run.manifest["maxlen"]
    assert fitted.train.layout(train=True).shape == (4 * 8, 5)
    assert fitted.model.optimizer.weight_decay == 0.5 and record["options"]["weight_decay"] == 0.5
    # Steps too small for float32 change nothing, so the second epoch is no better than the first.
    assert len(record["epochs"]) == 2 and record["best_epoch"] == 1 and record["options"]["epochs"] == 4
    assert equal(weights_of(run.folder), weights_of(run.folder / "epochs" / "01")) and (run.folder / "epochs" / "02").exists()
    having = run.seen.truth["train"].sum(axis=0)
    np.testing.assert_allclose(fitted.model.loss.positive_weights, (40 - having) / having, rtol=1e-6)
    assert record["options"]["balance"] is True and record["stopped"] is None
    assert "left out 1 label" in run.said and '"never" in 0' in run.said
    assert record["data"]["constant_labels_dropped"] == 1 and record["data"]["labels"] == list(TAGS)
    assert json.loads((run.folder / "config.json").read_text())["id2label"] == dict(zip("012", TAGS, strict=True))


@pytest.mark.slow
def test_find_lr_leaves_the_loss_weighed(quick, recwarn):
    run = quick("--find-lr", "--balance")
    finder = run.record["learning_rate_finder"]
    assert len(finder["rates"]) == len(finder["losses"]) > 20
    assert not [warning for warning in recwarn if "lrfinder" in warning.filename]
    assert run.record["options"]["lr"] == (finder["suggestion"] or SMALL_RECIPE["learning_rate"])
    weights = run.seen.fitted.model.loss.positive_weights
    having = run.seen.truth["train"].sum(axis=0)
    np.testing.assert_allclose(weights, (96 - having) / having, rtol=1e-6)


def test_without_balance_both_sides_weigh_the_same(finished_multilabel):
    assert finished_multilabel.seen.fitted.model.loss.positive_weights == 1.0
    assert finished_multilabel.record["options"]["balance"] is False


@pytest.mark.parametrize(("head", "how"), [("random", "0.5"), ("probed", "gmean"), ("probed", "global-f1")])
def test_head_and_threshold(quick, head, how):
    run = quick("--head", head, "--threshold", how, "--lr", "1e-12")
    assert f", {head} head, " in run.said and run.record["options"]["head"] == head
    (bias,) = [value for name, value in weights_of(run.folder).items() if name.endswith("/classifier/bias:0")]
    assert (np.abs(bias).max() < 1e-6) == (head == "random")  # a random head begins without any
    found = run.manifest["thresholds"]
    assert found == run.record["test"]["thresholds"] == chosen_again(run, how)
    assert run.record["options"]["threshold"] == how and len(found) == 3
    assert (found == [0.5] * 3) == (how == "0.5") and (len(set(found)) == 1) == (how != "gmean")


def test_the_threshold_rule_unless_one_is_given(quick):
    run = quick()
    assert run.record["options"]["threshold"] == THRESHOLD_RULE
    assert run.manifest["thresholds"] == chosen_again(run, THRESHOLD_RULE)


def test_what_cannot_be_measured_is_never_shown_as_a_score_of_nothing(quick, tmp_path):
    """No validation and no test row has a label: the loss chooses the epoch, and all other figures of it are unknown."""
    rows = [(f"the old {text}", ()) for text, _ in tagged_rows(60, seed=2)]
    val, test = (write_tags(tmp_path / f"{name}.csv", part) for name, part in (("val", rows[:30]), ("test", rows[30:])))
    run = quick("--val", val, "--test", test, "--epochs", "3", "--lr", "0.003", "--threshold", "f1")
    unknown = dict.fromkeys(("val_mean_average_precision", "val_mean_roc_auc", "val_micro_f1"))
    losses = [row["val_loss"] for row in run.record["epochs"]]
    assert [{name: row[name] for name in unknown} for row in run.record["epochs"]] == [unknown] * 3
    assert run.record["best_epoch"] == 1 + int(np.argmin(losses)) and "lowest validation loss is kept" in run.said
    assert run.record["test"]["mean_roc_auc"] is run.record["test"]["at_half"]["macro_f1"] is None
    assert run.record["test"]["per_label"][0]["recall"] is None and run.manifest["thresholds"] == [0.5] * 3
    assert "warning" not in run.said and run.record["test"]["at_half"]["exact_match"] is not None
    card = (run.folder / "README.md").read_text()
    report = (tmp_path / "here/results/multilabel/try/report.txt").read_text()
    for shown in (run.said, report):
        for line in shown.splitlines():
            if "F1" in line or line.startswith(("epoch", "mean", "label-ranking")):
                assert "0.000" not in line
    assert "macro F1  " in report and "| exact match |" in card and "ro F1" not in card and "ROC" not in card


# Test rows choose nothing, and a run repeats.


@pytest.mark.slow
def test_deterministic_repeats_to_the_bit_and_test_labels_choose_nothing(tmp_path, tiny_distilbert):
    """Two processes agree to the bit; other labels of the test rows change scores, and no weight and no threshold."""
    rows = tagged_rows(150)
    train, test = write_tags(tmp_path / "train.csv", rows[:120]), write_tags(tmp_path / "test.csv", rows[120:])
    moved = [(text, tags) for (text, _), (_, tags) in zip(rows[120:], rows[119:149], strict=True)]
    common = ["--model", "distilbert", "--checkpoint", str(tiny_distilbert), "--train", str(train), "--epochs", "2"]
    common += ["--lr", "0.003", "--batch-size", "8", "--deterministic"]

    tables = {"once": test, "moved": write_tags(tmp_path / "moved.csv", moved)}
    weights, found, thresholds = {}, {}, {}
    for name, table in tables.items():
        where = ("--test", table, "--output", f"p/{name}", "--results", f"r/{name}")
        done = run_script(*common, *where, cwd=tmp_path, script="train_multilabel.py")
        assert (done.returncode, done.stderr) == (0, "")
        for chatter in ("tensorflow/", "oneDNN", "Warning", "WARNING", "Some layers"):
            assert chatter not in done.stdout
        weights[name], found[name] = weights_of(tmp_path / "p" / name), record_of(tmp_path / "r" / name)
        thresholds[name] = json.loads((tmp_path / "p" / name / "halfbert.json").read_text())["thresholds"]
    assert equal(*weights.values()) and thresholds["once"] == thresholds["moved"]
    assert epochs_of(found["once"]) == epochs_of(found["moved"])
    assert found["once"]["best_epoch"] == found["moved"]["best_epoch"]
    assert found["once"]["test"] != found["moved"]["test"]
