"""What the page makes of token ids and logits is what Python makes of them."""

import numpy as np
import pytest

from halfbert.models import long_texts
from halfbert.models.long_texts import Pooling
from halfbert.scoring.calibration import Calibration, HeldOut
from halfbert.scoring.probabilities import probabilities_of
from halfbert.scoring.review import ReviewRule, reviewer

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("long", long_texts.WAYS)
@pytest.mark.parametrize("maxlen", [3, 8, 24, 128])
def test_tokens_that_are_kept(scripts, long, maxlen):
    stated = {"maxlen": maxlen, "long": long, "head_tokens": long_texts.head_tokens(maxlen)}
    lengths = [2, 3, maxlen - 1, maxlen, maxlen + 1, 2 * maxlen, 7 * maxlen + 3]
    kept = scripts(
        "({ lengths, stated }) => lengths.map((n) => keptTokens([...Array(n).keys()], stated))",
        {"lengths": lengths, "stated": stated},
    )
    assert kept == [long_texts.kept(list(range(n)), maxlen, long) for n in lengths]


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
@pytest.mark.parametrize("pooling", [Pooling("mean"), Pooling("max"), Pooling("attention", 0.7)], ids=lambda p: p.name)
def test_pooled_windows(scripts, task, pooling):
    logits = RNG.normal(0, 3, (5, 4)).astype(np.float32)
    value = {"rows": logits.tolist(), "stated": {"pooling": vars(pooling), "task": task}}
    found = scripts("({ rows, stated }) => [...pooledLogits(rows.map((row) => Float32Array.from(row)), stated)]", value)
    assert found == pytest.approx(pooling.pool(logits, np.array([0, 5]), task == "multilabel")[0].tolist(), abs=1e-6)


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_probabilities_confidence_and_review(scripts, task):
    many = task == "multilabel"
    thresholds = [0.2, 0.5, 0.7, 0.9] if many else None
    scores = np.sort(RNG.normal(3, 2, 400))[::-1]
    held_out = {
        name: HeldOut.of(scores, (scores < 0).astype(float))
        for name in (("false-discovery", "false-negative") if many else ("error",))
    }
    calibration = Calibration(
        400, None if many else 1.7, [(0.8, 0.1), (1.3, -0.2), (1, 0), (0.5, 1)] if many else None, held_out
    )
    decides = reviewer(task, thresholds, calibration, ReviewRule(max_error=0.05))
    logits = np.concatenate([RNG.normal(0, 4, (300, 4)), [[900, 0, 0, -900], [0, 0, 0, 0], [-40, -40, -40, -40]]]).astype(
        np.float32
    )
    stated = {"task": task, "thresholds": thresholds, "temperature": calibration.temperature, "platt": calibration.platt}
    rows = scripts(
        """({ stated, logits, rule }) => {
            const here = Object.assign(Object.create(Classifier.prototype), { stated });
            return logits.map((each) => {
              const probabilities = here.probabilities(Float32Array.from(each));
              return { probabilities, ...here.decide(probabilities, rule) };
            });
        }""",
        {"stated": stated, "logits": logits.tolist(), "rule": {"cut": decides.cut}},
    )
    probabilities = probabilities_of(logits, task).astype(np.float32)
    decided = decides.decide(probabilities)
    assert np.abs(np.array([row["probabilities"] for row in rows]) - probabilities).max() < 1e-7
    assert np.abs(np.array([row["calibrated"] for row in rows]) - decides.calibrated(probabilities)).max() < 1e-9
    assert np.abs(np.array([row["confidence"] for row in rows]) - decided.confidence).max() < 1e-9
    assert [row["review"] for row in rows] == decided.review.tolist() and 0 < decided.review.sum() < len(rows)
