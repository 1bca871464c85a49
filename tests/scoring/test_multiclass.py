"""Scores against numbers worked out by hand, and against scikit-learn."""

import dataclasses
import json
import math
import warnings
from functools import partial

import numpy as np
import pytest
import sklearn.metrics

from halfbert.scoring import multiclass as metrics
from halfbert.scoring.probabilities import softmax

LABELS = ["cat", "dog", "fox", "owl"]

# Six rows, answered cat, cat, dog, dog, fox, cat: all right but row 1 (a dog) and row 5 (a fox), both taken for cats.
# "owl" has neither rows nor answers.
TRUTH = np.array([0, 1, 1, 1, 2, 2])
PROBABILITIES = np.array(
    [
        [0.7, 0.1, 0.1, 0.1],
        [0.5, 0.3, 0.1, 0.1],
        [0.1, 0.8, 0.1, 0.0],
        [0.2, 0.6, 0.1, 0.1],
        [0.0, 0.1, 0.9, 0.0],
        [0.5, 0.0, 0.4, 0.1],
    ]
)


def random_example(rows: int = 400, classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    truth = rng.integers(classes, size=rows)
    return truth, softmax(rng.normal(size=(rows, classes)) + 1.5 * np.eye(classes)[truth])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_by_hand_go_into_json(dtype):
    scores = metrics.multiclass(TRUTH, PROBABILITIES.astype(dtype), LABELS, commonest=1)
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores
    assert [entry["label"] for entry in scores["per_label"]] == LABELS
    dog, owl = scores["per_label"][1], scores["per_label"][3]
    assert dog == {"label": "dog", "precision": 1.0, "recall": 2 / 3, "f1": pytest.approx(0.8), "support": 3}
    assert owl == {"label": "owl", "precision": None, "recall": None, "f1": None, "support": 0}
    # Always "dog": 3 of 6 right; recall 1 for dog, 0 for cat and fox; precision 3/6, so F1 = 2 * 0.5 / 1.5 = 2/3.
    expected = {"accuracy": 0.5, "balanced_accuracy": pytest.approx(1 / 3), "macro_f1": pytest.approx(2 / 3 / 4)}
    assert scores["commonest_label"] == {"label": "dog", **expected}
    # "owl" was commonest in training and is absent here: everything is wrong.
    absent = metrics.multiclass(TRUTH, PROBABILITIES, LABELS, commonest=3)["commonest_label"]
    assert absent == {"label": "owl", "accuracy": 0.0, "balanced_accuracy": 0.0, "macro_f1": 0.0}


@pytest.mark.parametrize(("truth", "probabilities"), [(TRUTH, PROBABILITIES), random_example()])
def test_equal_to_scikit_learn(truth, probabilities):
    answers, classes = probabilities.argmax(axis=1), range(probabilities.shape[1])
    scores = metrics.multiclass(truth, probabilities, list("abcdef")[: len(classes)], commonest=0)
    f1 = partial(sklearn.metrics.f1_score, truth, answers, labels=classes, zero_division=0)
    expected = {f"{average}_f1": f1(average=average) for average in ("micro", "macro", "weighted")}
    expected["accuracy"] = sklearn.metrics.accuracy_score(truth, answers)
    expected["balanced_accuracy"] = sklearn.metrics.balanced_accuracy_score(truth, answers)
    expected["log_loss"] = sklearn.metrics.log_loss(truth, probabilities, labels=classes)
    assert {name: scores[name] for name in expected} == pytest.approx(expected)
    assert scores["confusion"] == sklearn.metrics.confusion_matrix(truth, answers, labels=classes).tolist()
    assert metrics.validation(truth, probabilities) == {
        "val_loss": scores["log_loss"],
        "val_accuracy": scores["accuracy"],
        "val_macro_f1": scores["macro_f1"],
    }
    bins = metrics.reliability_bins(truth, probabilities, bins=15)
    assert scores["expected_calibration_error"] == metrics.expected_calibration_error(bins)


def test_balanced_accuracy_leaves_out_an_absent_label_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = metrics.multiclass(np.array([0, 1, 1]), np.eye(3)[[0, 2, 1]], list("abc"), commonest=0)
    assert scores["balanced_accuracy"] == (1 + 1 / 2) / 2


def test_the_loss_of_a_certain_and_wrong_answer_is_finite_and_nan_passes_on():
    scores = metrics.validation(np.array([0]), np.array([[0.0, 1.0]]))
    assert scores["val_loss"] == pytest.approx(-math.log(np.finfo(np.float64).eps))
    assert math.isnan(metrics.validation(np.array([0, 1]), np.full((2, 2), np.nan))["val_loss"])


def test_reliability_bins_by_hand():
    # Top probabilities .7 right, .5 wrong, .8 right, .6 right, .9 right, .5 wrong, in five bins of 0.2:
    # (0.4, 0.6]: .5, .6, .5, one right of three; (0.6, 0.8]: .7, .8, both right; (0.8, 1]: .9, right.
    bins = metrics.reliability_bins(TRUTH, PROBABILITIES, bins=5)
    expected = [(0.4, 0.6, 3, 1.6 / 3, 1 / 3), (0.6, 0.8, 2, 0.75, 1), (0.8, 1, 1, 0.9, 1)]
    assert [dataclasses.astuple(each) for each in bins] == [pytest.approx(each) for each in expected]
    # Gaps: |1/3 - 1.6/3| = 0.2 over three rows, 0.25 over two, 0.1 over one: (0.6 + 0.5 + 0.1) / 6 = 0.2.
    assert metrics.expected_calibration_error(bins) == pytest.approx(0.2)


@pytest.mark.parametrize(("confidence", "low", "high"), [(0.5, 0, 0.5), (1.0000001, 0.5, 1), (1, 0.5, 1)])
def test_a_confidence_on_an_edge_falls_into_the_lower_bin_and_rounding_into_the_last(confidence, low, high):
    (only,) = metrics.reliability_bins(np.array([0]), np.array([[confidence, 0.0]]), bins=2)
    assert (only.low, only.high, only.rows) == (low, high, 1)


@pytest.mark.parametrize(
    ("truth", "probabilities", "message"),
    [
        (np.array([0, 1, 0]), np.eye(2), r"found \(3,\) and \(2, 2\)"),
        (np.array([[0], [1]]), np.eye(2), r"found \(2, 1\) and \(2, 2\)"),
        (np.array([], dtype=int), np.empty((0, 2)), "no rows"),
        (np.array([0, 2]), np.eye(2), "expected classes 0 to 1, found 0 to 2"),
        (np.array([-1, 0]), np.eye(2), "expected classes 0 to 1, found -1 to 0"),
    ],
)
def test_what_does_not_fit_is_refused(truth, probabilities, message):
    with pytest.raises(ValueError, match=message):
        metrics.validation(truth, probabilities)
    with pytest.raises(ValueError, match=message):
        metrics.multiclass(truth, probabilities, ["a", "b"], commonest=0)


@pytest.mark.parametrize(("labels", "commonest"), [(["a"], 0), (["a", "b"], 2), (["a", "b"], -1)])
def test_labels_that_do_not_fit_are_refused(labels, commonest):
    with pytest.raises(ValueError, match="do not fit 2 columns"):
        metrics.multiclass(np.array([0, 1]), np.eye(2), labels, commonest)
