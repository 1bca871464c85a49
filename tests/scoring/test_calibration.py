"""Calibration against truths that were drawn from known probabilities, and what a manifest keeps of validation rows."""

import math

import numpy as np
import pytest

from halfbert.scoring import calibration as module
from halfbert.scoring.calibration import Calibration, HeldOut, fit_platt, fit_temperature
from halfbert.scoring.probabilities import sigmoid, softmax

LOGITS = np.random.default_rng(0).normal(0, 2, (4000, 3))


def drawn(probabilities, seed=1):
    """Truth of one label a row, drawn by its probabilities."""
    below = np.random.default_rng(seed).random((len(probabilities), 1)) > probabilities.cumsum(axis=1)
    return np.eye(probabilities.shape[1], dtype=int)[np.minimum(below.sum(axis=1), probabilities.shape[1] - 1)]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_is_the_one_that_the_truth_was_drawn_with(temperature):
    """Only one that is far from 1 is held back a little by the ridge."""
    truth = drawn(softmax(LOGITS / temperature))
    found = fit_temperature(truth, LOGITS)
    assert found == pytest.approx(temperature, rel=0.1)
    calibrated = Calibration(4000, temperature=found).apply(softmax(LOGITS).astype(np.float32))
    np.testing.assert_allclose(calibrated, softmax(LOGITS / found), atol=1e-6)
    assert (calibrated.argmax(axis=1) == LOGITS.argmax(axis=1)).all()


def test_few_rows_change_little_and_rows_that_are_all_right_do_not_make_it_certain():
    logits = np.array([[3.0, 0, 0], [0, 3.0, 0]])
    assert fit_temperature(np.array([[0, 1, 0], [0, 0, 1]]), logits) < 2
    assert fit_temperature(np.eye(3, dtype=int)[:2], logits) > 0.9


def test_slopes_and_offsets_are_those_that_the_truth_was_drawn_with():
    lines = [(0.5, -1.0), (1.0, 0.0), (2.0, 0.5)]
    slopes, offsets = np.array(lines).T
    expected = sigmoid(slopes * LOGITS + offsets)
    truth = (np.random.default_rng(2).random(LOGITS.shape) < expected).astype(int)
    raw = sigmoid(LOGITS)
    found = [fit_platt(*label) for label in zip(truth.T, raw.T, strict=True)]
    np.testing.assert_allclose(found, lines, atol=0.2)
    np.testing.assert_allclose(Calibration(4000, platt=lines).apply(raw), expected, atol=1e-6)


def test_probabilities_of_0_and_1_have_finite_calibrated_ones():
    extreme = np.array([[1.0, 0.0, 0.0]], np.float32)
    for calibration in (Calibration(1, temperature=2.0), Calibration(1, platt=[(2.0, 0.1)] * 3)):
        assert np.isfinite(calibration.apply(extreme)).all()


def test_held_out_scores_are_kept_falling_with_their_losses_and_without_more_rows_than_wanted(monkeypatch):
    scores, losses = HeldOut.of(np.array([0.5, -1.25, 7.0]), np.array([1 / 3, math.nan, 0.0])).read()
    assert scores.tolist() == [7.0, 0.5, -1.25]
    assert losses[:2].tolist() == [0.0, 0.3333] and math.isnan(losses[2])
    assert [len(part) for part in HeldOut.of(np.array([]), np.array([])).read()] == [0, 0]
    monkeypatch.setattr(module, "MOST_ROWS", 10)
    scores, losses = HeldOut.of(np.arange(101.0), np.zeros(101)).read()
    assert scores.tolist() == [100, 88, 77, 66, 55, 44, 33, 22, 11, 0] and len(losses) == 10


@pytest.mark.parametrize(
    ("scores", "losses", "message"),
    [
        ("1 2", "0 0", "falling"),
        ("2 1", "0", "as many"),
        ("nan", "0", "falling"),
        ("1", "1.5", "0 to 1"),
        ("x", "0", "convert"),
    ],
)
def test_damaged_scores_are_refused(scores, losses, message):
    with pytest.raises(ValueError, match=message):
        HeldOut(scores, losses).read()


@pytest.mark.parametrize(
    ("calibration", "multilabel", "message"),
    [
        (Calibration(9), False, "expected a temperature"),
        (Calibration(9, temperature=0.0), False, "above 0"),
        (Calibration(9, temperature=math.nan), False, "expected a temperature"),
        (Calibration(9, platt=[(1.0, 0.0)]), True, "slope and offset of each label"),
        (Calibration(9, temperature=1.0), False, "expected scores by error"),
        (Calibration(9, temperature=1.0, held_out={"error": HeldOut("1", "")}), False, "as many"),
    ],
)
def test_a_calibration_that_does_not_fit_the_labels_is_refused(calibration, multilabel, message):
    with pytest.raises(ValueError, match=message):
        calibration.check(2, multilabel, ("error",))
