"""Training through its real arguments: whole paths, plain ktrain, engines, and what is read; both tasks."""

import errno
import json
import shutil

import numpy as np
import pytest
from support import (
    TAGS,
    end_here,
    example_rows,
    plain_ktrain,
    record_of,
    run_script,
    tagged_rows,
    train_here,
    write_checkpoint,
    write_csv,
    write_tags,
)

import halfbert
from halfbert.data import messages
from halfbert.models.checkpoints import SMALL_RECIPE
from halfbert.output.words import model_name
from halfbert.predictor import proving
from halfbert.system.errors import InputError
from halfbert.training import tasks

TASKS = pytest.mark.parametrize("task", ["multiclass", "multilabel"])


# Whole paths.


@pytest.mark.slow
@pytest.mark.parametrize("model", ["distilbert", "bert"])
def test_the_packaged_checkpoint_on_the_embedded_table(tmp_path, model):
    """The command of the README, on fewer rows, in a process of its own: everything lands where it is promised."""
    few = ("--rows", "64", "--test-rows", "64", "--epochs", "1")
    done = run_script("--model", model, "--checkpoint", "mini", *few, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for chatter in ("tensorflow/", "oneDNN", "Warning", "WARNING", "Some layers"):
        assert chatter not in done.stdout
    assert (
        f"training {model_name(model)}" in done.stdout
        and ", 1 epoch," in done.stdout
        and "all-MiniLM-L6-v2 (mini)" in done.stdout
    )
    output, results = tmp_path / "predictors" / f"{model}-messages", tmp_path / "results" / "multiclass" / f"{model}-messages"
    assert {path.name for path in tmp_path.iterdir()} == {"predictors", "results"}
    assert [path.name for path in output.parent.iterdir()] == [output.name]
    assert [path.name for path in results.parent.iterdir()] == [results.name]
    record = record_of(results)
    assert record["data"]["rows"]["train"] == 64 and record["data"]["rows"]["test"] == 64 and len(record["data"]["labels"]) == 8
    assert record["options"]["train"] == "halfbert/data/messages_train.xlsx" and record["options"]["label_column"] == "queue"
    assert record["size"]["parameters"] == pytest.approx({"bert": 22.7e6, "distilbert": 17.2e6}[model], rel=0.02)
    in_force = record["options"]["lr"], record["options"]["head"]
    assert in_force == (SMALL_RECIPE["learning_rate"], SMALL_RECIPE["head"])  # what suits the small pair
    assert json.loads((output / "halfbert.json").read_text())["labels"] == record["data"]["labels"]


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


# Plain ktrain.


@pytest.mark.slow
def test_plain_ktrain_answers_as_the_run_did_elsewhere(quick, finished_multilabel, tmp_path, tiny_bert):
    """Moved, their checkpoints gone, nothing of the project importable, no network: the answers are those of the run.

    The labels' order is not that of their appearance. In the last table no row has two labels and some have none, from which
    ktrain would guess a softmax.
    """
    names = {"animal": "zoo", "food": "meal", "tool": "axe"}
    things = write_csv(tmp_path / "named.csv", [(text, names[label]) for text, label in example_rows(120)])
    rows = tagged_rows(120, seed=1, apart=True)
    assert {len(tags) for _, tags in rows} == {0, 1}
    apart = write_tags(tmp_path / "apart.csv", rows)
    texts = [text for text, _ in finished_multilabel.test_rows]
    test = {"multiclass": write_csv(tmp_path / "held_out.csv", [(text, "zoo") for text in texts])}
    test["multilabel"] = finished_multilabel.test
    runs, elsewhere = {}, tmp_path / "elsewhere"
    for task, train, model in (
        ("multiclass", things, "distilbert"),
        ("multiclass", things, "bert"),
        ("multilabel", apart, "bert"),
    ):
        checkpoint = write_checkpoint(tmp_path / "checkpoint", model)
        arguments = ("--model", model, "--checkpoint", checkpoint, "--test", test[task], "--keep-leaks", "--lr", "0.003")
        run = runs[f"{task}-{model}"] = quick(*arguments, task=task, train=train, output=f"predictors/{task}-{model}")
        shutil.move(run.folder, elsewhere / f"{task}-{model}")
        shutil.rmtree(checkpoint)
    shutil.copytree(finished_multilabel.output, elsewhere / "many")
    found = plain_ktrain(elsewhere, texts, *runs, "many")
    expected = {name: (run.tested.probabilities, run.record["data"]["labels"]) for name, run in runs.items()}
    expected["many"] = finished_multilabel.seen.probabilities, list(TAGS)
    for name, (probabilities, labels) in expected.items():
        answers = found[name]
        assert answers["labels"] == labels == (["axe", "meal", "zoo"] if "class" in name else list(TAGS))
        np.testing.assert_allclose(answers["probabilities"], probabilities, atol=1e-5)
        ours = halfbert.load(elsewhere / name, "keras", "cpu").predict_proba(texts)
        np.testing.assert_allclose(ours, answers["probabilities"], atol=1e-5)
        if "class" in name:
            expected_answers = [labels[number] for number in probabilities.argmax(axis=1)]
        else:
            assert np.abs(probabilities.sum(axis=1) - 1).min() > 1e-3  # no softmax
            expected_answers = [
                [[label, pytest.approx(p, abs=1e-5)] for label, p in zip(TAGS, row, strict=True)] for row in probabilities
            ]
        assert answers["answers"] == expected_answers and answers["one"] == expected_answers[0]


def test_a_table_of_one_label(quick, tmp_path):
    from halfbert.models.ktrain_data import ktrain

    rows = [(text, int("food" in tags)) for text, tags in tagged_rows(120)]
    run = quick(task="multilabel", train=write_csv(tmp_path / "one.csv", rows, ("text", "food")))
    assert run.record["data"]["labels"] == run.manifest["labels"] == ["food"] and len(run.manifest["thresholds"]) == 1
    text = run.prepared.data.test.texts[0]
    expected = run.tested.probabilities[0]
    assert ktrain.load_predictor(str(run.folder)).predict([text]) == [[("food", pytest.approx(expected[0], abs=1e-5))]]


# Engines.


def test_engines_are_held_against_keras_on_the_held_out_texts(quick, monkeypatch):
    """The answers at hand are compared, so that Keras need not answer again; then all are timed."""
    monkeypatch.setattr(proving, "reference_for", None)
    run = quick("--lr", "0.003")
    found = run.manifest["agreement"]
    assert set(found) == {"onnx", "onnx-int8"}
    rows = run.record["data"]["rows"]
    for figures in found.values():
        assert (figures["rows"], figures["texts"]) == (rows["val"] + rows["test"], "validation and test texts")
    assert found["onnx"]["equal_decisions"] == 1 and found["onnx"]["largest_difference"] < 1e-5
    assert f"of {found['onnx']['rows']} validation and test texts: onnx 100.00%, onnx-int8 " in run.said
    (speeds,) = run.manifest["speeds"].values()
    assert {"keras", "onnx"} <= set(speeds) and "halfbert.load takes " in run.said and "the fastest here" in run.said
    assert halfbert.load(run.folder, "onnx").engine == "onnx"


def test_a_comparison_of_engines_that_fails_costs_only_itself(quick, monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(proving, "prove", fail)
    run = quick()
    assert "engines were not all compared with Keras and timed ([Errno 28] No space left on device)" in run.said
    assert "agreement" not in run.manifest
    assert halfbert.load(run.folder).engine == "keras"


# What is read.


@TASKS
def test_every_option_of_the_table_is_passed_on(task, here, monkeypatch):
    given = {"train": "a.csv", "val": "b.csv", "test": "c.csv", "text_column": "t", "sheet": "s", "encoding": "cp1252"}
    given["group_column"] = "g"
    given |= {"label_column": "l", "rows": 7, "test_rows": 5, "seed": 3, "drop_missing": True, "keep_leaks": True}
    given |= {"header_row": 2, "delimiter": "#"}
    unsaid = {}
    if task == "multilabel":
        given, unsaid = (
            given | {"label_separator": ";", "drop_constant_labels": True},
            {"label_columns": None, "true_values": None},
        )
    taken = {}

    def reader(reading, **named):
        taken.update(vars(reading), **named)
        raise InputError("enough")

    monkeypatch.setattr(tasks, f"read_{task}", reader)
    words = [[f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])] for name, value in given.items()]
    assert end_here("--model", "bert", *(word for pair in words for word in pair), script=f"train_{task}") == 2
    assert taken == {**given, **unsaid}


def test_train_alone_is_split_and_given_files_are_taken(quick, tmp_path):
    run = quick()
    assert run.record["data"]["rows"] == {"train": 96, "val": 12, "test": 12}
    rows = [(text, {"animal": "Tür", "food": "Öl", "tool": "Süß"}[label]) for text, label in example_rows(240)]
    parts = {"train": [*rows[:118], ("", "Öl"), ("cat", " ")], "val": rows[120:170]}
    parts["test"] = [*rows[170:240], *((text.upper(), label) for text, label in rows[:12])]
    files = {name: write_csv(tmp_path / f"{name}.csv", part) for name, part in parts.items()}
    for file in files.values():
        file.write_bytes(file.read_text(encoding="utf-8").encode("cp1252"))
    given = ("--val", files["val"], "--test", files["test"], "--encoding", "cp1252", "--drop-missing")
    for kept in (False, True):
        run = quick(*given, *(["--keep-leaks"] if kept else []), train=files["train"], output=f"predictors/files{kept}")
        data = run.record["data"]
        assert data["leaks"] == {"dropped": 0 if kept else 12, "kept": 12 if kept else 0} and data["dropped"] == 2
        assert data["rows"] == {"train": 118 if kept else 106, "val": 50, "test": 82}
        assert ("kept" if kept else "dropped") + " 12 rows" in run.said and "dropped 2 rows" in run.said
    assert [file["name"] for file in data["files"]] == ["train.csv", "val.csv", "test.csv"]
    assert run.record["split"] == {"seed": 0, "val": "file", "test": "file"} and data["labels"] == ["Süß", "Tür", "Öl"]
    assert json.loads((run.folder / "config.json").read_text())["id2label"]["2"] == "Öl"
    assert "`Öl`" in (run.folder / "README.md").read_text(encoding="utf-8")
