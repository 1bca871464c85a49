"""Drift, and figures."""

import json
import math

import numpy as np
import tiny_predictors
from support import LABELS

from halfbert.predictor import manifest
from halfbert.scoring.drift import Summaries
from halfbert.serving.metrics import DRIFT, DRIFTED, Drift


def of(gauge_of: str) -> dict[str, tuple[float, float]]:
    """Distance and verdict by aspect."""
    return {each: tuple(gauge.labels(gauge_of, each)._value.get() for gauge in (DRIFT, DRIFTED)) for each in Drift.ASPECTS}


def test_drift_is_small_for_texts_like_those_of_validation_and_large_for_others(tmp_path):
    rng = np.random.default_rng(0)

    def answered(rows: int, sharpness: float = 2.0, words: int = 8):
        logits = rng.normal(0, sharpness, (rows, len(LABELS)))
        probabilities = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)
        texts = [" ".join(["word"] * count) for count in 1 + rng.poisson(words, rows)]
        return texts, np.array([2 + round(1.3 * len(text.split())) for text in texts]), probabilities

    folder = tiny_predictors.copy("distilbert", "multiclass", tmp_path / "p")
    texts, tokens, probabilities = answered(2000)
    words = np.array([len(text.split()) for text in texts])
    confidence, labels = probabilities.max(axis=1), np.bincount(probabilities.argmax(axis=1), minlength=len(LABELS))
    kept = Summaries.of("validation rows", words, tokens - 2, confidence, labels, 0)
    manifest.set_summaries(folder, kept)
    drift = Drift("drifting", manifest.check(folder))
    drift.add(*answered(999))
    assert all(math.isnan(value) for both in of("drifting").values() for value in both)
    drift.add(*answered(1))
    found = of("drifting")
    assert found["words"][0] < 0.06 and found["confidence"][0] < 0.06 and all(drifted == 0 for _, drifted in found.values())
    for _ in range(10):
        drift.add(*answered(100, sharpness=0.5))
    found = of("drifting")
    assert found["confidence"][0] > 0.4 and found["confidence"][1] == 1 and found["words"][1] == 0
    drift.add(*answered(1000, words=12))
    assert of("drifting")["words"][1] == 1 and of("drifting")["confidence"][1] == 0


def test_a_predictor_without_usable_summaries_shows_none(tmp_path):
    folder = tiny_predictors.copy("distilbert", "multiclass", tmp_path / "p")
    content = json.loads((folder / "halfbert.json").read_text())
    assert "summaries" not in content
    for number, summaries in enumerate(
        (None, {"source": "x", "rows": 1, "labels": [], "words": "1", "tokens": "1", "confidence": "1"})
    ):
        tiny_predictors.change_manifest(folder, summaries=summaries)
        plain = Drift(f"plain{number}", manifest.check(folder))
        plain.add(["word"] * 3000, np.full(3000, 3), np.ones((3000, len(LABELS)), np.float32) / len(LABELS))
        assert all(math.isnan(value) for both in of(f"plain{number}").values() for value in both)
