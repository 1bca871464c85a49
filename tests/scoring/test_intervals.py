"""Scores by weighted rows against scikit-learn, the bootstrap against a case whose answer is known."""

import numpy as np
import pytest

from halfbert.scoring import intervals as statistics


def answers_of(right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Truth of two labels, one a row, and answers that are right where `right` says so."""
    truth = np.eye(2, dtype=bool)[np.arange(len(right)) % 2]
    return truth, np.where(right[:, None], truth, ~truth)


def test_scores_are_those_of_scikit_learn_on_the_drawn_rows():
    from sklearn.metrics import accuracy_score, f1_score

    rng = np.random.default_rng(0)
    truth, answers = rng.random((2, 60, 5)) < 0.3
    truth[:, 4] = answers[:, 4] = False  # a label that nobody has and nobody is given
    weights = rng.multinomial(60, np.full(60, 1 / 60), size=7).astype(float)
    for number, counts in enumerate(weights.astype(int)):
        drawn = np.repeat(np.arange(60), counts)
        for average, score in (("micro", statistics.micro_f1), ("macro", statistics.macro_f1)):
            expected = f1_score(truth[drawn], answers[drawn], average=average, zero_division=0)
            assert score(truth, answers, weights)[number] == pytest.approx(expected)
        expected = accuracy_score(truth[drawn], answers[drawn])
        assert statistics.accuracy(truth, answers, weights)[number] == pytest.approx(expected)


def test_intervals_are_those_of_the_known_standard_error():
    """Rows on which the two differ in accuracy are +1, -1 or 0: the mean's interval is normal, its width is known."""
    rows = 2000
    first, second = np.ones(rows, bool), np.ones(rows, bool)
    second[:200], first[200:300] = False, False  # 200 rows for the first, 100 for the second
    truth, of_first = answers_of(first)
    result = statistics.paired_bootstrap(statistics.accuracy, truth, [of_first], [answers_of(second)[1]], resamples=4000)
    half_width = 1.96 * np.sqrt((300 / rows - 0.05**2) / rows)
    assert result.difference == pytest.approx(0.05) and (result.first, result.second) == (0.95, 0.9)
    assert [result.low, result.high] == pytest.approx([0.05 - half_width, 0.05 + half_width], abs=0.002)
    assert (result.rows, result.seeds, result.resamples, result.level) == (rows, 1, 4000, 0.95)
    one, half_width = statistics.bootstrap(statistics.accuracy, truth, [of_first]), 1.96 * np.sqrt(0.95 * 0.05 / rows)
    assert one.score == 0.95 and [one.low, one.high] == pytest.approx([0.95 - half_width, 0.95 + half_width], abs=0.002)


def test_what_is_hard_for_both_cancels_out_seeds_are_averaged_and_blocks_change_nothing(monkeypatch):
    right = np.random.default_rng(0).random((4, 100)) < 0.8
    truth = answers_of(right[0])[0]
    runs = [answers_of(row)[1] for row in right]
    same = statistics.paired_bootstrap(statistics.macro_f1, truth, runs[:1], runs[:1])
    assert same.low == same.difference == same.high == 0
    result = statistics.paired_bootstrap(statistics.accuracy, truth, runs[:2], runs[2:], resamples=300)
    assert result.difference == pytest.approx(right[:2].mean() - right[2:].mean()) and result.seeds == 2
    monkeypatch.setattr(statistics, "NUMBERS_AT_ONCE", 100 * 64)
    assert statistics.paired_bootstrap(statistics.accuracy, truth, runs[:2], runs[2:], resamples=300) == result
    for wrong in ([], [runs[0][:3]]):
        with pytest.raises(ValueError, match="shape"):
            statistics.paired_bootstrap(statistics.accuracy, truth, runs[:1], wrong)


def test_mcnemar_by_hand():
    """6 rows that only the first gets right, 1 that only the second does: 2 · (C(7,0) + C(7,1)) / 2⁷ = 0.125."""
    first = np.array([1] * 6 + [0] + [1] * 5 + [0] * 3, bool)
    second = np.array([0] * 6 + [1] + [1] * 5 + [0] * 3, bool)
    assert statistics.mcnemar(first, second) == statistics.McNemar(6, 1, 0.125)
    assert statistics.mcnemar(first, first) == statistics.McNemar(0, 0, 1.0)
    assert statistics.mcnemar(np.ones(3000, bool), np.zeros(3000, bool)).p_value == 0.0  # 2⁻²⁹⁹⁹ in floats


def test_every_compared_score_has_its_interval_unless_no_row_has_a_label():
    right = np.random.default_rng(0).random((2, 100)) < 0.8
    truth, first = answers_of(right[0])
    second = answers_of(right[1])[1]
    found = statistics.bootstraps("multilabel", truth, first)
    assert found == {name: statistics.bootstrap(getattr(statistics, name), truth, [first]) for name in ("micro_f1", "macro_f1")}
    gain = statistics.paired_bootstraps("multiclass", truth, first, second)
    assert gain["accuracy"] == statistics.paired_bootstrap(statistics.accuracy, truth, [first], [second])
    nobody = np.zeros_like(truth)
    assert (
        statistics.bootstraps("multilabel", nobody, first)
        == statistics.paired_bootstraps("multilabel", nobody, first, second)
        == {}
    )


def test_the_standard_error_is_that_of_a_share_and_not_zero_where_all_rows_are_right():
    assert statistics.standard_error(0.5, 100) == pytest.approx(0.05, rel=0.02)
    assert statistics.standard_error(0.9, 10_000) == pytest.approx(0.003, rel=0.01)
    assert 0.01 < statistics.standard_error(1.0, 48) < 0.03


def test_cross_validation_has_the_interval_of_nadeau_and_bengio():
    """By hand: of 0.8, 0.9 and 0.7 the variance is 0.01, and the 97.5th percentile of t with two degrees is 4.3027."""
    found = statistics.cross_validated([0.8, 0.9, 0.7], held_out=100, learnt_from=200)
    reach = 4.302653 * (0.01 * (1 / 3 + 1 / 2)) ** 0.5
    assert (found.mean, found.deviation) == (pytest.approx(0.8), pytest.approx(0.1))
    assert found.low == pytest.approx(0.8 - reach, abs=1e-6) and found.high == 1.0  # a share is at most 1
    same = statistics.cross_validated([0.5, 0.5], held_out=1, learnt_from=1)
    assert (same.low, same.mean, same.high) == (0.5, 0.5, 0.5)


def test_wilsons_interval_is_that_of_the_literature_and_honest_where_all_are_hits():
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3.
    assert statistics.wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert statistics.wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=1e-4)
    assert statistics.wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert statistics.wilson(3, 3)[1] == 1.0 and statistics.wilson(3, 3)[0] < 0.5
    assert statistics.wilson(0, 0) == (0.0, 1.0)


def test_the_interval_of_a_labels_f1_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    shares = np.array([0.3, 0.1, 0.1, 0.5])  # right, missed, invented, neither
    true = 2 * 0.3 / (2 * 0.3 + 0.2)
    drawn = rng.multinomial(60, shares, size=2000)
    ends = np.array([statistics.f1_interval(*counts[:3].tolist()) for counts in drawn])
    assert 0.93 < ((ends[:, 0] <= true) & (true <= ends[:, 1])).mean() < 0.97
