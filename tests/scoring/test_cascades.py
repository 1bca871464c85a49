"""The cut of a cascade: chosen on rows where it is known what each predictor gets right, and tried on others."""

import math

import numpy as np
import pytest
from sklearn.metrics import f1_score

from halfbert.scoring import cascades
from halfbert.scoring.cascades import Paired


def drawn(rows, seed=0, hard=0.3, small_on_hard=0.5, big_on_hard=0.95):
    """Rows of four labels: both get the easy ones right, the small one half of the hard ones, of which it is less sure."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 4, rows)
    is_hard = rng.random(rows) < hard

    def answered(share):
        wrong = is_hard & (rng.random(rows) >= share)
        return np.where(wrong, (truth + 1) % 4, truth)

    confidence = np.where(is_hard, rng.uniform(0.3, 0.7, rows), rng.uniform(0.6, 1.0, rows))
    one_hot = np.eye(4, dtype=bool)
    return Paired(one_hot[truth], one_hot[answered(small_on_hard)], one_hot[answered(big_on_hard)], confidence)


def macro_f1(truth, answers):
    return f1_score(truth, answers, average="macro", zero_division=0)


def test_the_cheapest_cut_within_the_margin_is_chosen():
    paired = drawn(4000)
    cut = cascades.choose(paired, 0.01)
    answers = cascades.answers(cut, paired)
    big = macro_f1(paired.truth, paired.big)
    assert (cut.score, cut.big_score) == pytest.approx((macro_f1(paired.truth, answers), big))
    assert cut.small_score == pytest.approx(macro_f1(paired.truth, paired.small))
    passed_on = paired.confidence < cut.confidence
    assert cut.rows == 4000 and cut.passed_on == pytest.approx(passed_on.mean())
    np.testing.assert_array_equal(answers, np.where(passed_on[:, None], paired.big, paired.small))
    assert cut.score >= big - 0.01
    fewer = np.quantile(paired.confidence, cut.passed_on - 0.02)  # two steps cheaper
    cheaper = np.where((paired.confidence < fewer)[:, None], paired.big, paired.small)
    assert macro_f1(paired.truth, cheaper) < big - 0.01


def test_a_larger_margin_passes_on_fewer_rows_and_other_rows_keep_it():
    paired, others = drawn(4000), drawn(20_000, seed=1)
    shares = []
    for margin in (0.0, 0.01, 0.05):
        cut = cascades.choose(paired, margin)
        shares.append(cut.passed_on)
        lost = macro_f1(others.truth, others.big) - macro_f1(others.truth, cascades.answers(cut, others))
        assert lost <= margin + 0.01
    assert shares[0] > shares[1] > shares[2] > 0 and shares[0] < 0.6


def test_a_small_predictor_as_good_answers_every_row():
    paired = drawn(1000, small_on_hard=0.95)
    cut = cascades.choose(paired, 0.02)
    assert cut.confidence == 0 and cut.passed_on == 0 and not cut.passes(np.array([0.0, 0.5])).any()
    assert cut.score == cut.small_score


def test_where_no_cascade_is_good_enough_the_big_predictor_answers_every_row():
    """The small one is as sure of its errors as of what it gets right."""
    paired = drawn(1000, hard=1.0)
    paired = Paired(paired.truth, paired.small, paired.big, np.full(1000, 0.9))
    cut = cascades.choose(paired, 0.01)
    assert cut.confidence == math.inf and cut.passed_on == 1 and cut.passes(np.array([1.0])).all()
    assert cut.score == cut.big_score


def test_a_cheap_cut_that_is_good_by_luck_among_bad_ones_is_not_taken():
    """The small one alone scores as the big one does, but passing on more loses: its least sure answers are its best."""
    truth = np.tile(np.eye(2, dtype=bool), (100, 1))
    small, big = truth.copy(), truth.copy()
    small[:40], big[160:] = ~truth[:40], ~truth[160:]  # 40 errors each
    cut = cascades.choose(Paired(truth, small, big, np.linspace(1, 0, 200)), 0.005)
    assert cut.confidence == math.inf  # of the least sure 160 the big one has 40 wrong, and the small one none
    ranked_well = cascades.choose(Paired(truth, small, big, np.linspace(0, 1, 200)), 0.005)
    assert ranked_well.confidence == 0  # every cascade is as good, and this is the cheapest


def test_equal_confidences_stay_together():
    paired = drawn(600)
    rounded = Paired(paired.truth, paired.small, paired.big, np.round(paired.confidence, 1))
    cut = cascades.choose(rounded, 0.02)
    assert cut.confidence in np.unique(rounded.confidence)
    assert cut.passed_on == (rounded.confidence < cut.confidence).mean()


def test_the_rate_is_that_of_the_small_one_on_all_rows_and_the_big_one_on_some():
    assert cascades.rate(400, 100, 0) == 400
    assert cascades.rate(400, 100, 0.25) == pytest.approx(200)
    assert cascades.rate(400, 100, 1) == pytest.approx(80)  # slower than the big one alone
