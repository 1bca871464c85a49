"""Likely label errors and label conflicts of a run's rows, and the learning curve of TF-IDF."""

from types import SimpleNamespace

import numpy as np
import pytest
from support import LABELS, TAGS, example_rows, tagged_rows, write_csv, write_tags

from halfbert.options import MulticlassOptions, MultilabelOptions
from halfbert.scoring import label_errors
from halfbert.system.errors import ResourceError
from halfbert.training import mislabelled, steps, tasks, tfidf


def prepared(options):
    data = steps.read(options.task, options)
    truth = {part: tasks.truth(options.task, rows, data.labels) for part, rows in data.parts()}
    return SimpleNamespace(task=options.task, options=options, data=data, truth=truth)


def test_planted_wrong_labels_are_found_among_the_rows_of_all_parts(tmp_path, capsys):
    rows = example_rows(200)
    planted = {number for number in range(len(rows)) if number % 20 == 7}
    wrong = [
        (text, LABELS[(LABELS.index(label) + 1) % 3] if number in planted else label)
        for number, (text, label) in enumerate(rows)
    ]
    run = prepared(MulticlassOptions(model="bert", train=write_csv(tmp_path / "a.csv", wrong), threads=1))
    found, lines = mislabelled.search(run, 10.0)
    numbers = {line["row"] - 2 for line in lines}
    assert (found.count, found.rows, found.source) == (len(lines), 200, "tfidf")
    assert len(numbers & planted) >= 6 and len(numbers - planted) <= 1
    for line in lines[:5]:
        assert line["suggested"] == rows[line["row"] - 2][1] and line["given"] == wrong[line["row"] - 2][1]
        assert line["file"] == "a.csv" and 0.3 < float(line["confidence"]) <= 1
    assert f"likely label errors: {found.count} of 200 rows, by the answers of TF-IDF" in capsys.readouterr().out


def test_a_planted_label_of_many_is_suggested_away(tmp_path):
    rows = tagged_rows(200)
    text, tags = rows[11]
    rows[11] = text, tuple(tag for tag in TAGS if tag not in tags)  # each label turned round
    run = prepared(MultilabelOptions(model="bert", train=write_tags(tmp_path / "tags.csv", rows), threads=1))
    _, lines = mislabelled.search(run, 10.0)
    line = next(line for line in lines if line["row"] == 13)
    assert line["given"] == "; ".join(rows[11][1]) and line["suggested"] != line["given"]


def test_the_suggested_label_is_another_one():
    truth = np.array([[1, 0, 0], [0, 1, 0]])
    probabilities = np.array([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1]])
    instead, confidence = label_errors.suggested("multiclass", truth, probabilities)
    assert instead.argmax(axis=1).tolist() == [1, 0] and confidence.tolist() == [0.2, 0.6]
    instead, confidence = label_errors.suggested("multilabel", truth, probabilities)
    assert instead.tolist() == [[False, False, False], [True, False, False]]
    assert confidence == pytest.approx([0.3, 0.7])


def test_very_many_rows_are_sampled(tmp_path, monkeypatch):
    monkeypatch.setattr(tfidf, "MOST_ROWS", 60)
    run = prepared(MulticlassOptions(model="bert", train=write_csv(tmp_path / "a.csv", example_rows(150)), threads=1))
    found, lines = mislabelled.search(run, 10.0)
    assert found.rows == 60 and all(line["text"] == example_rows(150)[line["row"] - 2][0] for line in lines)


def test_texts_without_a_word_are_one_line(tmp_path):
    signs = [("?" * number, label) for number, (_, label) in enumerate(example_rows(60), 1)]
    run = prepared(MulticlassOptions(model="bert", train=write_csv(tmp_path / "signs.csv", signs)))
    with pytest.raises(ResourceError, match="^empty vocabulary"):
        mislabelled.search(run, 1.0)


def test_the_rows_of_a_text_with_two_labels_are_listed_together(tmp_path):
    rows = [*example_rows(60), (example_rows(60)[4][0].upper(), "tool"), (example_rows(60)[4][0], "animal")]
    run = prepared(MulticlassOptions(model="bert", train=write_csv(tmp_path / "a.csv", rows)))
    lines = mislabelled.conflicts(run.data, run.task)
    assert [(line["row"], line["label"]) for line in lines] == [(6, rows[4][1]), (62, "tool"), (63, "animal")]
    assert mislabelled.conflicts(prepared(MulticlassOptions(model="bert")).data, "multiclass") == []


def test_the_learning_curve_rises_where_more_rows_help_and_only_there(tmp_path):
    easy = prepared(MulticlassOptions(model="bert", train=write_csv(tmp_path / "easy.csv", example_rows(300)), threads=1))
    flat = tfidf.growth(easy, SimpleNamespace(c=10.0))
    assert [point.rows for point in flat.curve] == [60, 120, 240] and flat.rise.low <= 0
    # Each text has a word of its own, which is seen in training the more likely the more rows there are.
    rng = np.random.default_rng(0)
    rows = [(f"w{number} is here {row}", LABELS[number % 3]) for row, number in enumerate(rng.integers(0, 200, 900).tolist())]
    hard = prepared(MulticlassOptions(model="bert", train=write_csv(tmp_path / "hard.csv", rows), threads=1))
    steep = tfidf.growth(hard, SimpleNamespace(c=10.0))
    scores = [point.score for point in steep.curve]
    assert scores == sorted(scores) and steep.rise.low > 0
    assert steep.rise.difference == pytest.approx(scores[2] - scores[1])
    few = prepared(MulticlassOptions(model="bert", train=write_csv(tmp_path / "few.csv", example_rows(24)), threads=1))
    assert tfidf.growth(few, SimpleNamespace(c=10.0)) is None
