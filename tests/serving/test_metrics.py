"""Drift, and figures."""

import math

import numpy as np
from support import LABELS

from halfbert.predictor.manifest import Manifest
from halfbert.scoring.calibration import Calibration, HeldOut
from halfbert.scoring.review import row_scores
from halfbert.serving.metrics import DRIFT, Drift


def of(gauge_of: str) -> float:
    return DRIFT.labels(gauge_of)._value.get()


def test_drift_is_small_for_texts_like_those_of_validation_and_large_for_others():
    rng = np.random.default_rng(0)

    def probabilities(sharpness: float, rows: int) -> np.ndarray:
        logits = rng.normal(0, sharpness, (rows, len(LABELS)))
        return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)

    scores = row_scores(probabilities(2.0, 2000), None, "error")
    held_out = {"error": HeldOut.of(scores, np.zeros(2000))}
    stated = Manifest("multiclass", list(LABELS), None, 24, calibration=Calibration(2000, 1.0, None, held_out))
    drift = Drift("drifting", stated)
    drift.add(probabilities(2.0, 999))
    assert math.isnan(of("drifting"))
    drift.add(probabilities(2.0, 500))
    assert 0 <= of("drifting") < 0.1
    for _ in range(20):
        drift.add(probabilities(0.5, 100))
    assert of("drifting") > 0.25
    plain = Drift("plain", Manifest("multiclass", list(LABELS), None, 24))
    plain.add(probabilities(2.0, 3000))
    assert math.isnan(of("plain"))
