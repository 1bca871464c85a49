"""The study of rows chosen for labelling: what is drawn, chosen and compared; the fits themselves are tested with training."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tools import labelling_study
from tools.labelling_study import DIVERSE, RANDOM, UNCERTAIN, Study, Table

TABLE = Table("train.csv", "test.csv", {"label_column": "label"}, first=2, then=3, by_label=True)


def test_as_many_rows_of_each_label_are_drawn():
    pool = pd.DataFrame({"text": map(str, range(30)), "label": list("abc") * 10})
    first = labelling_study.drawn(TABLE, pool, np.random.default_rng(0))
    assert sorted(pool.loc[first, "label"]) == list("aabbcc") and len(set(first)) == 6


def test_each_method_chooses_its_own_rows(monkeypatch):
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [1, 0], [0.5, 0.5], [0.7, 0.3]])
    classifier = SimpleNamespace(predict_proba=lambda texts: probabilities[: len(texts)])
    monkeypatch.setattr(labelling_study, "label_next", lambda _classifier, texts, rows: [4, 1, 0][:rows])
    chosen = {method: labelling_study.choice(method, classifier, list("abcde"), TABLE) for method in labelling_study.METHODS}
    assert chosen == {RANDOM: [0, 1, 2], UNCERTAIN: [3, 1, 4], DIVERSE: [4, 1, 0]}


def test_differences_are_of_the_same_seeds():
    scores = {RANDOM: {"0": 0.5, "1": 0.6, "2": 0.7}, DIVERSE: {"1": 0.64, "2": 0.72}}
    found = labelling_study.difference(Study("things", {}, None, scores), DIVERSE)
    assert found["mean"] == pytest.approx(0.03)
    assert (
        found["high"] - found["mean"] == pytest.approx(found["mean"] - found["low"]) == pytest.approx(12.706 * 0.01, rel=1e-3)
    )
    one = Study("things", {}, None, {RANDOM: {"0": 0.5}, DIVERSE: {"0": 0.6}})
    assert labelling_study.difference(one, DIVERSE) == {"mean": pytest.approx(0.1)}


def test_a_label_that_the_predictor_does_not_know_scores_nothing():
    table = Table("train.csv", "test.csv", {"label_columns": ["ALL"]}, first=2, then=3)
    test = pd.DataFrame({"text": ["x", "y"], "a": [1, 0], "b": [0, 1]})
    classifier = SimpleNamespace(
        predict_proba=lambda texts: np.array([[0.9], [0.2]]),
        get_classes=lambda: ["a"],
        predictor=SimpleNamespace(manifest=SimpleNamespace(thresholds=[0.5])),
    )
    assert labelling_study.macro_f1(table, classifier, test) == pytest.approx(0.5)
