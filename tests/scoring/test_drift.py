"""Comparing rows: exact tests, few false alarms, power, and summaries that hold no row."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from halfbert.scoring import drift
from halfbert.scoring.drift import Summaries, compare

LABELS = 6


def rows(rng, size, words=12.0, share=1 / LABELS, confidence=5.0, pieces=1.3, unknown=0.05):
    """Summaries of random rows; `share` is that of the first label."""
    shares = [share, *[(1 - share) / (LABELS - 1)] * (LABELS - 1)]
    length = 1 + rng.poisson(words, size)
    return Summaries.of(
        "validation rows",
        length,
        np.maximum(length, rng.normal(pieces, 0.2, size) * length).round(),
        rng.beta(confidence, 1, size),
        rng.multinomial(size, shares),
        int(rng.binomial(size, unknown)),
    )


def changed(reference, new):
    return {(each.aspect, each.label) for each in compare(reference, new) if each.changed}


@pytest.mark.parametrize(("before", "now"), [(30, 20), (75, 200), (750, 1000)])
def test_where_nothing_has_changed_few_draws_alarm(before, now):
    rng = np.random.default_rng(0)
    alarms = sum(bool(changed(rows(rng, before), rows(rng, now))) for _ in range(500))
    assert alarms <= 12  # 5 are expected at most, and 13 or more come once in three hundred tries


def test_each_aspect_is_seen_alone():
    rng = np.random.default_rng(1)
    reference = rows(rng, 750)
    for change, found in (
        ({"words": 15}, ("words", None)),
        ({"pieces": 1.6}, ("tokens", None)),
        ({"confidence": 3}, ("confidence", None)),
        ({"unknown": 0.15}, ("unknown", None)),
        ({"share": 0.33}, ("labels", 0)),
    ):
        assert found in changed(reference, rows(rng, 400, **change)), change
    assert ("labels", 0) not in changed(reference, rows(rng, 400, words=15))


def test_a_significant_trifle_is_no_change():
    rng = np.random.default_rng(2)
    comparisons = compare(rows(rng, 300_000), rows(rng, 300_000, words=12.1, share=0.18, confidence=5.2))
    certain = {each.aspect for each in comparisons if each.p_value <= drift.LEVEL}
    assert certain >= {"words", "labels", "confidence"} and not any(each.changed for each in comparisons)


def test_p_values_are_those_of_scipy():
    rng = np.random.default_rng(3)
    for before, now in ((73, 200), (40, 40), (500, 300)):
        values = [np.sort(rng.normal(mean, 1, size)) for mean, size in ((0, before), (0.3, now))]
        p_value, distance = drift.kolmogorov_smirnov(*values, before, now)
        expected = stats.ks_2samp(*values)
        assert distance == pytest.approx(expected.statistic)
        assert p_value == pytest.approx(expected.pvalue, rel=0.25)
        for counts in [*rng.binomial([before, now], [0.1, 0.2], (5, 2)).tolist(), [0, 0], [before, now], [0, now]]:
            exact = stats.fisher_exact([[counts[0], before - counts[0]], [counts[1], now - counts[1]]]).pvalue
            assert drift.fisher(*counts, before, now) == pytest.approx(exact, rel=1e-6)


def test_p_values_are_multiplied_for_their_number_and_by_holm():
    factors = drift.adjusting({"words": [0.001], "labels": [0.5, 0.001, 0.9], "confidence": [0.4]})
    assert factors == pytest.approx({"words": 3, "labels": 2 * 3, "confidence": 1})
    assert drift.adjusting({"words": [0.02], "confidence": [0.021]})["confidence"] == pytest.approx(0.04 / 0.021)


def test_a_number_is_kept_as_few_sorted_quantiles():
    rng = np.random.default_rng(4)
    many = rows(rng, 20_000)
    assert len(many.quantiles("words")) == drift.MOST_QUANTILES and (np.diff(many.quantiles("confidence")) >= 0).all()
    few = rows(rng, 30)
    few.check(LABELS)
    assert len(few.quantiles("tokens")) == 30


@pytest.mark.parametrize(
    "damage",
    [
        {"labels": [1] * (LABELS - 1)},
        {"labels": [10**6, *[0] * (LABELS - 1)]},
        {"unknown": -1},
        {"words": "1 2"},
        {"tokens": " ".join(["nan"] * 40)},
        {"confidence": "0.5 0.4 " + " ".join(["0.6"] * 38)},
        {"confidence": "high " * 40},
    ],
)
def test_damage_is_noticed(damage):
    good = rows(np.random.default_rng(5), 40)
    good.check(LABELS)
    with pytest.raises(ValueError):
        replace(good, **damage).check(LABELS)
