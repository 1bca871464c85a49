"""Answers with their words: a column of them, and lists for each label and its wrong answers."""

import pandas as pd
import pytest
from support import LABELS, example_rows, write_csv

from halfbert.system.errors import InputError


@pytest.fixture
def source(tmp_path):
    rows = [("", LABELS[0]), *example_rows(30, seed=5)]
    # The first row of some text is labelled wrongly.
    rows[1] = (rows[1][0], next(label for label in LABELS if label != rows[1][1]))
    return write_csv(tmp_path / "in.csv", rows, ("text", "kind"))


def test_the_words_stand_beside_the_answer(predict, things, source, tmp_path):
    said = predict(source, "--output", tmp_path / "out.csv", "--explain")
    frame = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    assert list(frame) == ["text", "kind", "label", "confidence", "words", "note"]
    assert frame.loc[0, "words"] == ""
    for text, label, words in frame.loc[1:, ["text", "label", "words"]].itertuples(index=False):
        assert words == ", ".join(word.text for word in things.classifier.explain(text, label).top(5))
    assert "\nwords for " in said
    assert "wrong answers" not in said


def test_words_of_wrong_answers_are_listed_apart(predict, source, tmp_path):
    said = predict(source, "--output", tmp_path / "out.csv", "--explain", "--label-column", "kind")
    frame = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)[1:]
    wrong = frame[frame["label"] != frame["kind"]]
    assert len(wrong)
    assert said.count("  in its wrong answers: ") == wrong["label"].nunique()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--label-column", "kind"), "--label-column kind: goes with --explain"),
        (("--explain", "--label-column", "sort"), "has no column 'sort'"),
    ],
)
def test_what_does_not_fit_is_one_line(predict, source, tmp_path, arguments, message):
    with pytest.raises(InputError, match=message):
        predict(source, "--output", tmp_path / "out.csv", *arguments)
    assert not (tmp_path / "out.csv").exists()


def test_true_labels_are_for_one_label_a_text(predict, tags, source, tmp_path):
    with pytest.raises(InputError, match="for predictors of one label a text"):
        predict(source, "--output", tmp_path / "out.csv", "--explain", "--label-column", "kind", predictor=tags.folder)
