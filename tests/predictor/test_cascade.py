"""`halfbert.cascade`: two predictors that answer as one, and pairs that are none."""

import dataclasses
import json
import math
import pickle

import numpy as np
import pytest
import tiny_predictors
from support import LABELS, example_rows

import halfbert
from halfbert.predictor import validated
from halfbert.scoring.review import answered_labels
from halfbert.system.errors import ArtefactError, InputError

ROWS = 400
TEXTS = list(dict.fromkeys(text for text, _ in example_rows(ROWS, seed=7)))
TASKS = tiny_predictors.TASKS


def load(folder):
    return tiny_predictors.load(folder)


def made(folder, task, order=None):
    """A pair whose big predictor is right on all validation rows, and the small one on those that it answers alike."""
    pair = [tiny_predictors.copy(kind, task, folder / name) for kind, name in (("distilbert", "small"), ("bert", "big"))]
    if order is not None:
        reordered(pair[1], order)
    of_big = load(pair[1])
    probabilities = of_big.predict_proba(TEXTS)
    truth = answered_labels(probabilities, of_big.predictor.manifest.thresholds)
    back = [of_big.get_classes().index(label) for label in LABELS]
    for each, columns in zip(pair, (back, range(len(LABELS))), strict=True):
        tiny_predictors.keep_validated(each, TEXTS, truth[:, columns])
    return pair


def reordered(folder, order):
    """Have a predictor call its columns by other labels, as one trained elsewhere has them in another order."""
    labels = [LABELS[number] for number in order]
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {str(number): label for number, label in enumerate(labels)}
    config["label2id"] = {label: number for number, label in enumerate(labels)}
    (folder / "config.json").write_text(json.dumps(config))
    tiny_predictors.change_manifest(folder, labels=labels)
    tiny_predictors.sign(folder)


@pytest.fixture(scope="module", params=TASKS)
def pair(request, tmp_path_factory):
    """Folders of a small and a big predictor that keep answers to the same validation rows, and each behind an engine."""
    folders = made(tmp_path_factory.mktemp("pair"), request.param)
    return folders, [load(folder) for folder in folders]


def test_each_text_is_answered_by_the_predictor_that_the_cut_says(pair):
    _, (small, big) = pair
    both = halfbert.cascade(small, big, margin=0.1)
    expected = np.array(small.confidence(TEXTS)) < both.cut.confidence
    assert 0 < expected.sum() < len(TEXTS)
    found = both.answer(TEXTS)
    np.testing.assert_array_equal(found.passed_on, expected)
    assert both.passed_on == pytest.approx(expected.mean())
    assert both.names == ("small", "big") and both.get_classes() == list(LABELS)
    texts = ["", *TEXTS]
    alone = small.predict(texts), big.predict(texts)
    passed_on = [False, *expected]
    assert both.predict(texts) == [alone[int(number)][row] for row, number in enumerate(passed_on)]
    assert both.predict(texts)[0] is None and both.predict(TEXTS[3]) == both.predict(TEXTS)[3]
    for method in ("predict_proba", "confidence"):
        one, other = (getattr(each, method)(TEXTS) for each in (small, big))
        wanted = np.where(expected if one.ndim == 1 else expected[:, None], other, one)
        np.testing.assert_allclose(getattr(both, method)(TEXTS), wanted, atol=2e-6)
    assert both.confidence(TEXTS[0]) == pytest.approx(both.confidence(TEXTS)[0], abs=2e-6)
    assert np.isnan(both.confidence(""))


def test_the_cut_is_that_of_the_validation_rows_that_both_keep(pair):
    folders, (small, big) = pair
    both = halfbert.cascade(*folders, margin=0.1, engine="onnx", allow_disagreement=True)
    truth = [[label] if isinstance(label, str) else label for label in big.predict(TEXTS)]
    again = halfbert.cascade(small, big, 0.1, validation=(TEXTS, truth))
    assert both.cut.passed_on == pytest.approx(again.cut.passed_on) and both.cut.rows == len(TEXTS)
    assert both.cut.big_score == 1 > both.cut.score >= 0.9
    assert f"passed on to big: {both.cut.passed_on:.1%} of {len(TEXTS)} validation rows" in both.line
    tight = halfbert.cascade(small, big, 0.0)
    assert tight.cut.passed_on > both.cut.passed_on


@pytest.mark.parametrize(("limit", "runs", "said"), [(0.0, "small", "small answers"), (math.inf, "big", "big answers")])
def test_a_predictor_that_answers_nothing_does_not_run(pair, monkeypatch, limit, runs, said):
    _, (small, big) = pair
    both = halfbert.cascade(small, big)
    both.cut = dataclasses.replace(both.cut, confidence=limit)
    ran, one = [], {"small": small, "big": big}[runs]
    probabilities = type(one).probabilities
    monkeypatch.setattr(
        type(one), "probabilities", lambda self, *given, **named: (ran.append(self), probabilities(self, *given, **named))[1]
    )
    answers = both.predict(TEXTS[:9])
    assert ran == [one] and both.passed_on == (runs == "big") and f"{said} every row" in both.line
    assert answers == one.predict(TEXTS[:9])


def test_labels_in_another_order_are_brought_into_that_of_the_small_one(tmp_path):
    for task in TASKS:
        folders = made(tmp_path / task, task, order=[2, 0, 1])
        small, big = (load(folder) for folder in folders)
        assert big.get_classes() != small.get_classes() == list(LABELS)
        both = halfbert.cascade(small, big, margin=0.1)
        passed_on = both.answer(TEXTS).passed_on
        answers, of_big = both.predict(TEXTS), big.predict(TEXTS)
        assert passed_on.any()
        assert [sorted(answers[row]) for row in np.flatnonzero(passed_on)] == [
            sorted(of_big[row]) for row in np.flatnonzero(passed_on)
        ]
        columns = [big.get_classes().index(label) for label in LABELS]
        np.testing.assert_allclose(
            both.predict_proba(TEXTS)[passed_on], big.predict_proba(TEXTS)[passed_on][:, columns], atol=2e-6
        )
        assert both.cut.big_score == 1  # on the validation rows, too


def test_only_rows_that_both_keep_count(tmp_path):
    small, big = made(tmp_path, "multiclass")
    of_big = load(big)
    truth = answered_labels(of_big.predict_proba(TEXTS), None)
    tiny_predictors.keep_validated(big, [*TEXTS[::-1][:210], "a text of its own"], np.vstack([truth[::-1][:210], truth[:1]]))
    both = halfbert.cascade(load(small), load(big), 0.1)
    assert both.cut.rows == 210 and both.cut.big_score == 1
    tiny_predictors.keep_validated(big, TEXTS[:199], truth[:199])
    with pytest.raises(
        InputError, match="small and big share 199 validation rows, of which a cut needs 200; train both on one"
    ):
        halfbert.cascade(load(small), load(big))
    tiny_predictors.keep_validated(big, ["another"], truth[:1])
    with pytest.raises(InputError, match="share no validation rows"):
        halfbert.cascade(load(small), load(big))


def test_pairs_that_are_none_are_refused_in_one_line(tmp_path, pair):
    folders, (small, big) = pair
    task = small.predictor.manifest.task
    with pytest.raises(InputError, match="is the same predictor as"):
        halfbert.cascade(small, folders[0], engine="onnx", allow_disagreement=True)
    other_task = next(each for each in TASKS if each != task)
    with pytest.raises(InputError, match="a cascade needs two of the same task"):
        halfbert.cascade(small, load(tiny_predictors.copy("bert", other_task, tmp_path / "other")))
    renamed = tiny_predictors.copy("bert", task, tmp_path / "renamed")
    config = json.loads((renamed / "config.json").read_text())
    config["id2label"]["1"] = "machine"
    (renamed / "config.json").write_text(json.dumps(config))
    tiny_predictors.change_manifest(renamed, labels=[LABELS[0], "machine", LABELS[2]])
    tiny_predictors.sign(renamed)
    with pytest.raises(InputError, match=f"have different labels \\('{LABELS[1]}' of .*small only\\)"):
        halfbert.cascade(small, load(renamed))
    columns = tiny_predictors.copy("bert", task, tmp_path / "columns")
    tiny_predictors.change_manifest(columns, text_columns=["title", "body"])
    with pytest.raises(InputError, match="join different text columns"):
        halfbert.cascade(small, load(columns))
    without = load(tiny_predictors.copy("bert", task, tmp_path / "without"))
    with pytest.raises(InputError, match="keeps no answers to validation rows"):
        halfbert.cascade(small, without)
    for margin in (-0.1, 1.5, "much"):
        with pytest.raises(InputError, match="margin .*: expected a number from 0 to 1"):
            halfbert.cascade(small, big, margin)


def test_validation_rows_from_python_are_checked(pair):
    _, (small, big) = pair
    with pytest.raises(InputError, match="expected as many labels as texts"):
        halfbert.cascade(small, big, validation=(TEXTS, LABELS))
    with pytest.raises(InputError, match="at least 200; found 3 texts"):
        halfbert.cascade(small, big, validation=(TEXTS[:3], LABELS))
    with pytest.raises(InputError, match="'vehicle' is no label of the predictors"):
        halfbert.cascade(small, big, validation=(TEXTS, ["vehicle"] * len(TEXTS)))


def test_damaged_answers_are_refused(tmp_path):
    small, big = made(tmp_path, "multiclass")
    (big / validated.FILE).write_bytes(b"PK")
    with pytest.raises(ArtefactError, match="altered or damaged"):
        load(big)
    tiny_predictors.sign(big)
    with pytest.raises(ArtefactError, match="no answers to validation rows"):
        halfbert.cascade(load(small), load(big))


def test_it_travels_to_other_processes(pair):
    _, (small, big) = pair
    both = halfbert.cascade(small, big, margin=0.1)
    assert pickle.loads(pickle.dumps(both)).predict(TEXTS[:20]) == both.predict(TEXTS[:20])
