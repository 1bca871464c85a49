"""TF-IDF beside a network: its features, its choice on validation, its sample, and what a failure of it costs."""

import os
import signal
from types import SimpleNamespace

import numpy as np
import pytest
from support import LABELS, end_here, example_rows, record_of, tagged_rows, write_csv, write_tags

from halfbert.options import MulticlassOptions, MultilabelOptions
from halfbert.predictor.classifier import load
from halfbert.scoring import intervals
from halfbert.system.errors import ResourceError
from halfbert.training import steps, tasks, tfidf


def prepared(options):
    """What a run's steps have at hand of the table."""
    data = steps.read(options.task, options)
    truth = {part: tasks.truth(options.task, rows, data.labels) for part, rows in data.parts()}
    return SimpleNamespace(task=options.task, options=options, data=data, truth=truth)


def test_pairs_of_words_are_features():
    words = tfidf.vectorizer().fit(["a good film", "not good"])
    assert {"a", "not good", "good film"} <= set(words.vocabulary_)


def test_penalty_and_thresholds_are_chosen_on_validation(tmp_path):
    options = MultilabelOptions(model="bert", train=write_tags(tmp_path / "tags.csv", tagged_rows(200)), threshold="f1")
    run = prepared(options)
    found = tfidf.fit(options.task, options, run.data, run.truth)
    scores = [each["val_mean_average_precision"] for each in found.tried]
    assert scores == sorted(scores, reverse=True) and {each["c"] for each in found.tried} == set(tfidf.INVERSE_PENALTIES)
    again = tasks.validation(options.task, run.truth["val"], found.model.predict_proba(run.data.val.texts))
    assert again["val_loss"] == pytest.approx(found.tried[0]["val_loss"]) and len(found.thresholds) == 3


def test_the_network_is_held_against_it_on_the_same_test_rows(tmp_path):
    """Of a network that is right in every row the gain is what TF-IDF lacks; the figures are those of its own answers."""
    rows = example_rows(150)
    test = [(text, LABELS[0] if number % 4 == 0 else label) for number, (text, label) in enumerate(rows[100:])]
    tables = {"train": write_csv(tmp_path / "a.csv", rows[:100]), "test": write_csv(tmp_path / "b.csv", test)}
    run = prepared(MulticlassOptions(model="bert", **tables))
    truth = run.truth["test"] > 0
    found = tfidf.beside(run, truth)
    assert found.rows == len(run.data.train) and found.c in tfidf.INVERSE_PENALTIES and found.seconds > 0
    assert found.test.keys() >= {"accuracy", "macro_f1", "log_loss"} and 0.5 < found.test["accuracy"] < 1
    for name in intervals.COMPARED["multiclass"]:
        own, gain = found.intervals[name], found.gain[name]
        assert own.score == gain.second == pytest.approx(found.test[name]) and own.low < own.score < own.high
        assert gain.first == 1 and gain.low == pytest.approx(1 - own.high) and gain.high == pytest.approx(1 - own.low)
    assert found.test == tfidf.beside(run, truth).test  # the same again


@pytest.mark.parametrize("multilabel", [False, True])
def test_of_very_many_rows_it_takes_a_stratified_sample_and_says_so(multilabel, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tfidf, "MOST_CELLS", 3 * 40)
    if multilabel:
        rare = [(text, tags and tags[-1:]) for text, tags in tagged_rows(150)]
        options = MultilabelOptions(model="bert", train=write_tags(tmp_path / "tags.csv", rare))
    else:
        options = MulticlassOptions(model="bert", train=write_csv(tmp_path / "things.csv", example_rows(150)))
    run = prepared(options)
    found = tfidf.beside(run, run.truth["test"] > 0)
    assert found.rows == 40 and len(run.data.train) > 100
    assert f"sample of 40 of the {len(run.data.train)} training rows" in capsys.readouterr().out
    data, truth = tfidf._at_most(run.data, run.truth, 0)
    assert np.array_equal(truth["train"], tasks.truth(run.task, data.train, data.labels)) and truth["train"].any(axis=0).all()
    shares = truth["train"].mean(axis=0), run.truth["train"].mean(axis=0)
    assert np.abs(shares[0] - shares[1]).max() < 0.1


def test_out_of_fold_answers_come_from_models_fitted_without_the_text():
    """Every text occurs twice, under a label that no other text shows: a model fitted on it would answer rightly."""
    texts = [word for word in ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten") for _ in range(2)]
    truth = np.eye(2, dtype=int)[np.repeat(np.arange(10) % 2, 2)]
    for task in ("multiclass", "multilabel"):
        probabilities = tfidf.out_of_fold(texts, truth, task, c=100.0)
        assert probabilities.shape == (20, 2) and abs(probabilities[:, 0] - 0.5).max() < 0.2


def test_texts_without_a_word_are_one_line(tmp_path):
    signs = [("?" * number, label) for number, (_, label) in enumerate(example_rows(60), 1)]
    run = prepared(MulticlassOptions(model="bert", train=write_csv(tmp_path / "signs.csv", signs)))
    with pytest.raises(ResourceError, match="^empty vocabulary"):
        tfidf.beside(run, run.truth["test"] > 0)


@pytest.fixture
def arguments(here, tensorflow_ready, tiny_distilbert, table):
    """Of a quick run in this process, to p and r."""
    model = ("--model", "distilbert", "--checkpoint", tiny_distilbert, "--epochs", "1")
    return (*model, "--train", table, "--output", "p", "--results", "r")


def test_a_failure_of_it_loses_no_finished_fit(here, arguments, monkeypatch, capsys):
    def fail(*_):
        raise ValueError("empty\nvocabulary")

    monkeypatch.setattr(tfidf, "fit", fail)
    assert end_here(*arguments) == 0
    out, record = capsys.readouterr().out, record_of(here / "r")
    assert "TF-IDF ended early (empty vocabulary); p is saved without it" in out
    assert record["test"] and record["tfidf"] is None and set(record["intervals"]) == {"accuracy", "macro_f1"}
    assert load(here / "p").predict("the old cat") in LABELS


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_signal_ends_it_alone(here, arguments, monkeypatch, capsys):
    monkeypatch.setattr(tfidf, "fit", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    assert end_here(*arguments) == 143
    record = record_of(here / "r")
    assert record["test"] and record["tfidf"] is None and record["stopped"] is None
    assert "TF-IDF ended early (SIGTERM)" in capsys.readouterr().out and load(here / "p").predict("the old cat") in LABELS


def test_it_can_be_left_out(here, arguments, monkeypatch, capsys):
    monkeypatch.delattr(tfidf, "fit")
    assert end_here(*arguments, "--no-tfidf") == 0
    record = record_of(here / "r")
    assert record["tfidf"] is None and record["intervals"] and "TF-IDF ended" not in capsys.readouterr().out
    assert "TF-IDF" not in (here / "r/report.txt").read_text() + (here / "p/README.md").read_text()
