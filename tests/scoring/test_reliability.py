"""Reliability of probabilities against scikit-learn and cases that can be counted by hand."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss

from halfbert.scoring import multiclass
from halfbert.scoring.probabilities import softmax
from halfbert.scoring.reliability import Quality, expected_calibration_error, reliability

TRUTH = np.eye(3, dtype=int)[np.random.default_rng(0).integers(0, 3, 200)]
PROBABILITIES = softmax(np.random.default_rng(1).normal(0, 2, (200, 3)))


def test_one_label_a_text():
    quality = Quality.of(TRUTH, PROBABILITIES, "multiclass")
    columns = [brier_score_loss(truth, column) for truth, column in zip(TRUTH.T, PROBABILITIES.T, strict=True)]
    assert quality.brier == pytest.approx(sum(columns))
    assert quality.log_loss == pytest.approx(log_loss(TRUTH.argmax(axis=1), PROBABILITIES))
    bins = multiclass.reliability_bins(TRUTH.argmax(axis=1), PROBABILITIES)
    assert reliability(TRUTH, PROBABILITIES, "multiclass") == bins
    assert quality.expected_calibration_error == expected_calibration_error(bins)


def test_many_labels_count_each_probability():
    truth = np.array([[1, 1], [0, 1]])
    probabilities = np.array([[0.99, 0.5], [0.01, 0.5]])
    bins = reliability(truth, probabilities, "multilabel")
    assert [(each.rows, each.confidence, each.accuracy) for each in bins] == [(1, 0.01, 0), (2, 0.5, 1), (1, 0.99, 1)]
    quality = Quality.of(truth, probabilities, "multilabel")
    assert quality.expected_calibration_error == pytest.approx((0.01 + 2 * 0.5 + 0.01) / 4)
    assert quality.brier == pytest.approx((2 * 0.0001 + 2 * 0.25) / 4)
    assert quality.log_loss == pytest.approx(-(2 * np.log(0.99) + 2 * np.log(0.5)) / 4)
