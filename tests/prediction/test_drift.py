"""`--drift`: what has changed beside the rows that the predictor keeps summaries of, and how they get there."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import tiny_predictors
from support import example_rows, write_csv

import halfbert
from halfbert.prediction import sampling
from halfbert.prediction.sampling import Collector
from halfbert.prediction.scorer import Scorer
from halfbert.predictor import manifest
from halfbert.system.errors import ArtefactError, Drifted, InputError

TEXTS = [text for text, _ in example_rows(300, seed=7)]
OTHERS = [f"中文 {text} {text}" for text in TEXTS[:80]]


def table(file, texts):
    return write_csv(file, [(text,) for text in texts], ("text",))


@pytest.fixture
def usual(things, predict, tmp_path):
    """A predictor that keeps summaries of the usual rows, which were answered."""
    folder = shutil.copytree(things.folder, tmp_path / "things")
    source = table(tmp_path / "usual.csv", [*TEXTS[:200], ""])
    said = predict(source, "--output", tmp_path / "kept.csv", "--drift-reference", predictor=folder)
    assert "kept in things: summaries of 200 rows" in said
    return folder


def test_training_keeps_summaries_of_the_validation_rows(things, finished):
    kept = manifest.read(things.folder).summaries
    assert kept.source == "validation rows" and kept.rows == finished.record["data"]["rows"]["val"] == sum(kept.labels)
    text = json.dumps(json.loads((things.folder / "halfbert.json").read_text())["summaries"])
    assert not any(word in text for word in ("hammer", "horse", "bread"))


def test_fresh_rows_have_not_changed_and_others_have(usual, predict, tmp_path):
    said = predict(table(tmp_path / "in.csv", TEXTS[200:]), "--output", tmp_path / "a.csv", "--drift", predictor=usual)
    assert "drift: no change found (100 rows beside 200 rows of usual.csv; what moves less than 22.8% " in said
    assert "drift: no change found (100 rows" in predict(tmp_path / "in.csv", "--drift", predictor=usual)
    page = tmp_path / "page.html"
    source = table(tmp_path / "other.csv", [*OTHERS, " "])
    with pytest.raises(Drifted, match=r"\d changes beside 200 rows of usual.csv"):
        predict(source, "--output", tmp_path / "b.csv", "--fail-on-drift", "--report", page, predictor=usual)
    frame = pd.read_csv(tmp_path / "b.csv")
    assert len(frame) == 81 and Drifted.exit_code == 5
    found = json.loads(re.search(r'id="record">(.*?)</script>', page.read_text(encoding="utf-8"))[1])["drift"]
    words = next(each for each in found["comparisons"] if each["aspect"] == "words")
    median = np.median([len(text.split()) for text in OTHERS])
    assert words["now"][1] == median and found["rows"] == 80 and "What has changed" in page.read_text()
    said = predict(source, "--output", tmp_path / "c.csv", "--drift", predictor=usual)
    before = np.median([len(text.split()) for text in TEXTS[:200]])
    assert f"  texts are longer: median {median:g} words, {before:g} before\n" in said
    assert re.search(r"does not know: 100%, [\d.]+% before", said)
    predict(source, "--output", tmp_path / "plain.csv", predictor=usual)
    assert (tmp_path / "plain.csv").read_bytes() == (tmp_path / "c.csv").read_bytes()


def test_labels_that_have_changed_are_named(usual, predict, things, tmp_path):
    answers = things.classifier.predict(TEXTS)
    label = answers[0]
    texts = [text for text, answer in zip(TEXTS, answers, strict=True) if answer == label]
    said = predict(table(tmp_path / "in.csv", texts), "--output", tmp_path / "a.csv", "--drift", predictor=usual)
    share = np.mean([answer == label for answer in answers[:200]])
    assert f"label {label!r}: 100% of the answers, {share:.1%} before" in said


def test_too_few_rows_are_answered_and_say_how_many_are_needed(usual, predict, tmp_path):
    source = table(tmp_path / "in.csv", TEXTS[:19])
    for option in ("--drift", "--drift-reference"):
        with pytest.raises(InputError, match="19 rows with a text: too few to compare, which needs 20"):
            predict(source, "--output", tmp_path / "out.csv", "--overwrite", option, predictor=usual)
        assert len(pd.read_csv(tmp_path / "out.csv")) == 19
    assert manifest.read(usual).summaries.rows == 200


def test_without_summaries_or_with_damaged_ones_nothing_is_written(usual, predict, tmp_path):
    source = table(tmp_path / "in.csv", TEXTS)
    content = json.loads((usual / "halfbert.json").read_text())
    kept = content["summaries"]
    for summaries, error, message in (
        ({**kept, "words": "1 2"}, ArtefactError, "its summaries are damaged"),
        ({**kept, "rows": "many"}, ArtefactError, "not a valid manifest"),
        (
            {**kept, "rows": 3, "labels": [1, 1, 1], "unknown": 0, **dict.fromkeys(("words", "tokens", "confidence"), "1 1 1")},
            InputError,
            "of 3 rows",
        ),
        (None, InputError, "holds no summaries to compare rows with, .* --drift-reference"),
    ):
        tiny_predictors.change_manifest(usual, summaries=summaries)
        with pytest.raises(error, match=message):
            predict(source, "--output", tmp_path / "out.csv", "--drift", predictor=usual)
        assert not (tmp_path / "out.csv").exists()
    predict(source, "--output", tmp_path / "out.csv", predictor=usual)


def test_the_sample_is_bounded_random_and_the_same_for_a_resumed_run(things, monkeypatch, tmp_path):
    monkeypatch.setattr(sampling, "MOST_ROWS", 30)
    from halfbert.prediction.blocks import Block

    scorer = Scorer(things.folder, "onnx")
    answers = scorer.answer(TEXTS)[0]

    def sampled(size):
        collector = Collector(scorer, None)
        for start in range(0, len(TEXTS), size):
            rows = slice(start, start + size)
            block = Block(None, range(len(TEXTS[rows])), None, TEXTS[rows], {} if start else {0: "no text"})
            collector(block, answers[rows])
            assert sum(len(numbers) for numbers, *_ in collector._kept) <= 60 + size
        collector._cut()
        numbers, described, kept = collector._kept[0]
        assert len(numbers) == len(described) == len(kept) == 30
        return numbers, described

    once, again = sampled(300), sampled(7)
    assert (once[0] == again[0]).all() and (once[1] == again[1]).all()
    assert not (np.sort(once[1][:, 0]) == np.sort([len(text.split()) for text in TEXTS[1:31]])).all()


def test_any_number_of_labels(tags, predict, tmp_path):
    folder = shutil.copytree(tags.folder, tmp_path / "tags")
    predict(table(tmp_path / "in.csv", TEXTS[:200]), "--output", tmp_path / "a.csv", "--drift-reference", predictor=folder)
    kept = manifest.read(folder).summaries
    answers = halfbert.load(folder, "onnx").predict(TEXTS[:200])
    labels = manifest.read(folder).labels
    assert kept.labels == [sum(label in answer for answer in answers) for label in labels]
    said = predict(table(tmp_path / "b.csv", TEXTS[200:]), "--output", tmp_path / "c.csv", "--drift", predictor=folder)
    assert "drift: no change found" in said


def test_a_dataframe_is_compared_too(usual, capsys):
    answered = halfbert.predict_table(usual, pd.DataFrame({"text": OTHERS}), engine="onnx", drift=True)
    with pytest.raises(InputError, match="for files"):
        halfbert.predict_table(usual, pd.DataFrame({"text": OTHERS}), fail_on_drift=True)
    assert len(answered) == len(OTHERS) and "drift: rows have changed (80 rows" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--drift", "--drift-reference"), "choose one"),
        (("--drift", "--ray", "auto"), "without --ray"),
        (("--fail-on-drift", "--then", "big"), "--then big: not with --drift"),
    ],
)
def test_options_that_do_not_go_together(predict, tmp_path, given, message):
    source = table(tmp_path / "in.csv", TEXTS) if "--ray" not in given else "*.parquet"
    with pytest.raises(InputError, match=message):
        predict(source, "--output", tmp_path / "out", *given)
