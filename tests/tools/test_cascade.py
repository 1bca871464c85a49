"""The study of cascades: cuts of validation rows, scores of test rows, and the committed record."""

import numpy as np
import pytest

from halfbert.scoring import cascades, intervals
from halfbert.scoring.cascades import Paired
from tools import cascade


def drawn(seed, rows=600):
    """Rows of which the big predictor gets all right, and the small one those that it is sure of."""
    rng = np.random.default_rng(seed)
    truth, confidence = rng.integers(0, 3, rows), rng.random(rows)
    wrong = confidence < rng.random(rows) * 0.4
    one_hot = np.eye(3, dtype=bool)
    return Paired(one_hot[truth], one_hot[(truth + wrong) % 3], one_hot[truth], confidence)


def test_a_pairs_cuts_are_of_validation_rows_and_its_scores_of_test_rows():
    validation, test = drawn(0), drawn(1)
    found = cascade.pair(7, validation, test)
    assert found.seed == 7 and [each.margin for each in found.chosen] == list(cascade.MARGINS)
    for each in found.chosen:
        cut = cascades.choose(validation, each.margin)
        assert (each.cut, each.validation_share) == (cut.confidence, cut.passed_on)
        assert each.test_share == pytest.approx((test.confidence < cut.confidence).mean())
        answers = np.where((test.confidence < cut.confidence)[:, None], test.big, test.small)
        assert each.score == pytest.approx(float(intervals.macro_f1(test.truth, answers, np.ones((1, 600)))[0]))
        assert found.test["small"] < each.at_random < each.score  # confidence tells more than chance
    assert found.validation["big"] == found.test["big"] == 1


def test_pairs_together_are_compared_on_the_same_test_rows():
    pairs = [(drawn(seed), drawn(10)) for seed in (0, 1)]
    found = cascade.together(pairs)
    scores = [cascade.pair(0, *each).chosen[cascade.MARGINS.index(0.005)].score for each in pairs]
    assert found.score.score == pytest.approx(np.mean(scores))
    assert found.less_big.difference == pytest.approx(np.mean(scores) - 1) and found.less_big.seeds == 2
    assert found.less_small.low > 0


def test_logits_give_the_probabilities_back():
    from halfbert.scoring.probabilities import probabilities_of

    given = np.array([[0.7, 0.2, 0.1], [0.01, 0.98, 0.01]])
    for task in ("multiclass", "multilabel"):
        np.testing.assert_allclose(probabilities_of(cascade.to_logits(given, task), task), given, rtol=1e-6)


def test_the_committed_record_is_read_and_names_no_folder_of_the_machine():
    record = cascade.published()
    assert len(record.tables) >= 4 and all(len(table.pairs) == len(cascade.SEEDS) for table in record.tables)
    text = (cascade.PUBLISHED / cascade.RECORD).read_text(encoding="utf-8")
    assert "/work" not in text and "/tmp" not in text and "/home" not in text
    for table in record.tables:
        assert table.name in cascade.cascade_table()
