"""`--then`: rows that the first predictor is not sure of are answered by a second one."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import tiny_predictors
from support import LABELS, example_rows, tagged_rows, write_csv

import halfbert
from halfbert.prediction.scorer import Scorer
from halfbert.scoring.review import answered_labels
from halfbert.system.errors import ArtefactError, InputError

ROWS = 300
TEXTS = list(dict.fromkeys(text for text, _ in example_rows(ROWS, seed=5)))


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Folders of two predictors of one label a text, of which the big one is right on all validation rows."""
    return made(tmp_path_factory.mktemp("pair"), "multiclass", TEXTS)


def made(folder, task, texts):
    small, big = (tiny_predictors.copy(kind, task, folder / name) for kind, name in (("distilbert", "small"), ("bert", "big")))
    of_big = tiny_predictors.load(big)
    truth = answered_labels(of_big.predict_proba(texts), of_big.predictor.manifest.thresholds)
    for each in (small, big):
        tiny_predictors.figures(each, "onnx")
        tiny_predictors.keep_validated(each, texts, truth)
    return small, big


@pytest.fixture
def source(tmp_path):
    return write_csv(tmp_path / "in.csv", [(text,) for text in ["", *TEXTS, TEXTS[0]]], ("text",))


def test_rows_are_answered_by_the_predictor_that_is_named_beside_them(pair, predict, source, tmp_path):
    small, big = pair
    said = predict(source, "--output", tmp_path / "out.csv", "--then", big, "--margin", "0.1", "--top", "2", predictor=small)
    frame = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    added = ["label", "confidence", "label_2", "confidence_2", "answered_by", "note"]
    assert list(frame) == ["text", *added]
    assert frame.loc[0, "label":].tolist() == [""] * 5 + ["no text"]
    frame, texts = frame[1:], [*TEXTS, TEXTS[0]]
    both = halfbert.cascade(small, big, 0.1, engine="onnx")
    assert frame["label"].tolist() == both.predict(texts)
    passed_on = both.answer(texts).passed_on
    assert frame["answered_by"].tolist() == ["big" if each else "small" for each in passed_on]
    assert 0 < passed_on.sum() < len(texts)
    np.testing.assert_allclose(frame["confidence"].astype(float), both.confidence(texts), atol=2e-6)
    assert (frame["label_2"] != frame["label"]).all()
    assert f"{both.line}\n" in said and "(onnx, then onnx)" in said
    assert f"passed on to big: {passed_on.sum()} rows ({passed_on.mean():.1%} of those with a text)\n" in said


def test_the_default_margin_is_that_of_python(pair, predict, source, tmp_path):
    small, big = pair
    said = predict(source, "--output", tmp_path / "out.csv", "--then", big, predictor=small)
    assert halfbert.cascade(small, big, engine="onnx").line in said


def test_many_labels_and_their_probabilities(predict, tmp_path):
    texts = list(dict.fromkeys(text for text, _ in tagged_rows(ROWS, seed=5)))
    small, big = made(tmp_path, "multilabel", texts)
    source = write_csv(tmp_path / "in.csv", [(text,) for text in texts], ("text",))
    predict(source, "--output", tmp_path / "out.jsonl", "--then", big, "--margin", "0.1", "--probabilities", predictor=small)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    both = halfbert.cascade(small, big, 0.1, engine="onnx")
    assert [row["labels"] for row in rows] == both.predict(texts)
    assert {row["answered_by"] for row in rows} == {"small", "big"}
    found = [[row[f"probability_{label}"] for label in LABELS] for row in rows]
    np.testing.assert_allclose(found, both.predict_proba(texts), atol=2e-6)


def test_a_data_frame_and_a_page(pair, source, tmp_path):
    small, big = pair
    frame = pd.DataFrame({"text": TEXTS})
    answered = halfbert.predict_table(small, frame, then=big, margin=0.1, engine="onnx", report=tmp_path / "page.html")
    assert set(answered["answered_by"]) == {"small", "big"}
    page = (tmp_path / "page.html").read_text()
    assert "passed on to big" in page.lower() and "Then big, weights" in page
    alone = halfbert.predict_table(small, frame, engine="onnx")
    assert "answered_by" not in alone  # nothing changes without --then


def test_a_killed_run_resumes_unless_the_second_predictor_is_another(
    pair, predict, source, small_groups, monkeypatch, tmp_path
):
    small, big = pair
    out, answer = tmp_path / "out.csv", Scorer.answer
    arguments = (source, "--output", out, "--then", big, "--margin", "0.1")
    predict(*arguments, predictor=small)
    whole, calls = out.read_bytes(), []
    out.unlink()

    def dying(self, texts, advance=None):
        calls.append(len(texts))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return answer(self, texts, advance)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Scorer, "answer", dying)
        predict(*arguments, predictor=small)
    assert not out.exists()
    said = predict(*arguments, predictor=small)
    assert re.search("resumed: [1-9][0-9] texts had been answered", said)
    assert out.read_bytes() == whole
    out.unlink()
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Scorer, "answer", dying)
        calls.clear()
        predict(*arguments, predictor=small)
    assert "resumed" not in predict(source, "--output", out, predictor=small)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--margin", "0.01"), "--margin 0.01: goes with --then"),
        (("--then", "BIG", "--margin", "2"), "--margin: '2' is not a number from 0 to 1"),
        (("--then", "BIG", "--max-error", "0.1"), "not with a rule for rows that go to a person"),
        (("--then", "BIG", "--explain"), "not with --explain; leave one of them out"),
        (("--then", "BIG", "--review", "5", "--review-file", "next.csv"), "not with --review; leave one of them out"),
        (("--then", "BIG", "--fail-on-drift"), "not with --drift; leave one of them out"),
        (("--then", "SMALL"), "is the same predictor as"),
        (("--then", "nothing"), "nothing: no such folder; give the folder of a predictor"),
    ],
)
def test_mistakes_are_said_in_one_line(pair, predict, source, tmp_path, given, said):
    small, big = pair
    given = [{"BIG": str(big), "SMALL": str(small)}.get(word, word) for word in given]
    with pytest.raises(InputError) as caught:
        predict(source, "--output", tmp_path / "out.csv", *given, predictor=small)
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "out.csv").exists()


def test_ray_is_for_one_predictor(pair, predict, tmp_path):
    small, big = pair
    with pytest.raises(InputError, match="not with --ray; leave one of them out"):
        predict("in.parquet", "--output", tmp_path / "out", "--then", big, "--ray", "auto", predictor=small)


def test_trained_predictors_keep_answers_but_too_few_rows_choose_no_cut(things, tags, predict, source, tmp_path):
    """These were validated on 12 rows, and on rows of their own."""
    with pytest.raises(InputError, match="a cascade needs two of the same task"):
        predict(source, "--output", tmp_path / "out.csv", "--then", tags.folder)
    big = tiny_predictors.copy("bert", "multiclass", tmp_path / "big")
    tiny_predictors.figures(big, "onnx")
    with pytest.raises(InputError, match="keeps no answers to validation rows, having been saved by an earlier halfbert"):
        predict(source, "--output", tmp_path / "out.csv", "--then", big)
    tiny_predictors.keep_validated(big, TEXTS, np.eye(len(LABELS), dtype=bool)[[0] * len(TEXTS)])
    with pytest.raises(InputError, match="share no validation rows, of which a cut needs 200"):
        predict(source, "--output", tmp_path / "out.csv", "--then", big)


def test_a_damaged_second_predictor_is_refused(pair, predict, source, tmp_path):
    small, _ = pair
    big = tiny_predictors.copy("bert", "multiclass", tmp_path / "big")
    (big / "config.json").write_text("{}")
    with pytest.raises(ArtefactError, match=r"config\.json: altered or damaged"):
        predict(source, "--output", tmp_path / "out.csv", "--then", big, predictor=small)
