"""When to ask a person: guarantees hold in most draws, rules send the rows that they should, impossible ones say why."""

import math
import pickle

import numpy as np
import pytest
from scipy.stats import binom

from halfbert.scoring import review
from halfbert.scoring.calibration import Calibration, HeldOut
from halfbert.scoring.probabilities import softmax
from halfbert.scoring.review import ReviewRule, reviewer
from halfbert.system.errors import InputError

DRAWS = 400
MOST_VIOLATED = binom.ppf(0.99, DRAWS, 1 - review.LEVEL) / DRAWS  # if guarantees were violated as often as they may be


# Tests and cuts.


def test_binomial_tails_are_those_of_scipy():
    for most, rows, rate in [(0, 1, 0.5), (3, 50, 0.05), (120, 3000, 0.05), (800, 10_000, 0.1), (2, 10_000, 0.3), (5, 4, 0.5)]:
        assert review.binomial_tail(most, rows, rate) == pytest.approx(binom.cdf(most, rows, rate), abs=1e-12)


@pytest.mark.parametrize("max_error", [0.01, 0.05, 0.1, 0.5])
def test_as_few_rows_as_can_guarantee_do_and_one_less_does_not(max_error):
    needed = review.rows_needed(max_error)
    for rows, made in [(needed, True), (needed - 1, False)]:
        scores = np.arange(rows, 0, -1.0)
        assert (review.guaranteed_cut(scores, np.zeros(rows), max_error) is not None) == made
    assert review.rows_needed(0.05) == 59


def test_p_values_of_mean_losses_are_rarely_small_where_the_risk_is_too_high():
    """At the limit of what is allowed; among others with losses of 0 and 1 alone, which vary most."""
    rng, found = np.random.default_rng(0), {}
    for name, losses in {
        "binary": rng.random((4000, 200)) < 0.2,
        "shares": rng.choice([0, 0.25, 0.5], (4000, 200), p=[0.4, 0.4, 0.2]),
    }.items():
        found[name] = np.array([review.p_value(total, 200, 0.2, binary=False) for total in losses.sum(axis=1)])
        assert ((found[name] >= 0) & (found[name] <= 1)).all() and (found[name] <= 0.05).mean() <= 0.05
    assert review.p_value(0.0, 200, 0.2, binary=False) <= 0.8**200 * (1 + 1e-9)
    assert review.p_value(9.5, 200, 0.2, binary=False) < 0.01 < 0.9 < review.p_value(60, 200, 0.2, binary=False)


def draw_rows(rng, rows, kind):
    """Scores of rows and their losses; the risk falls with the score, or (hump) is highest in its middle."""
    scores = rng.normal(2, 2, rows)
    risk = 1 / (1 + np.exp(scores)) if kind != "hump" else 0.02 + 0.3 * np.exp(-((scores - 3) ** 2))
    wrong = rng.random((rows, 3)) < risk[:, None]
    return scores, wrong.mean(axis=1) if kind == "shares" else wrong[:, 0].astype(float)


def violated_guarantees(kind, rows, max_error, choose):
    """The share of draws in which the rows above the cut have too high a mean loss, and the mean share above it."""
    everywhere = draw_rows(np.random.default_rng(99), 200_000, kind)
    order = np.argsort(everywhere[0])
    rising, losses = everywhere[0][order], everywhere[1][order]
    above = np.append(losses[::-1].cumsum()[::-1] / np.arange(len(losses), 0, -1), 0.0)
    rng, violated, answered = np.random.default_rng(1), 0, 0.0
    for _ in range(DRAWS):
        scores, of_rows = draw_rows(rng, rows, kind)
        falling = np.argsort(-scores)
        cut = choose(scores[falling], of_rows[falling], max_error)
        first = np.searchsorted(rising, math.inf if cut is None else cut, side="right")
        violated += above[first] > max_error
        answered += 1 - first / len(rising)
    return violated / DRAWS, answered / DRAWS


def guaranteed(scores, losses, max_error):
    cut = review.guaranteed_cut(scores, losses, max_error)
    return None if cut is None else cut.score


def naive(scores, losses, max_error):
    """The lowest cut above which the held-out rows keep to the limit."""
    good = np.flatnonzero(np.cumsum(losses) <= max_error * np.arange(1, len(losses) + 1))
    return scores[good[-1] + 1] if len(good) and good[-1] + 1 < len(scores) else -math.inf if len(good) else None


@pytest.mark.parametrize("kind", ["errors", "shares", "hump"])
@pytest.mark.parametrize(("rows", "max_error"), [(80, 0.1), (300, 0.05), (1000, 0.05), (1000, 0.1)])
def test_a_guarantee_is_violated_in_at_most_five_of_a_hundred_draws(kind, rows, max_error):
    violated, answered = violated_guarantees(kind, rows, max_error, guaranteed)
    assert violated <= MOST_VIOLATED
    if rows == 1000 and kind != "hump":
        assert answered > 0.25  # it is no empty guarantee


def test_the_cut_that_looks_right_on_the_same_rows_would_break_it_often():
    assert violated_guarantees("errors", 300, 0.05, naive)[0] > 0.3


def test_equal_scores_stay_on_one_side_of_a_cut():
    scores, losses = np.repeat([9.0, 8.0, 1.0], [100, 100, 100]), np.zeros(300)
    losses[200:] = 1
    cut = review.guaranteed_cut(scores, losses, 0.05)
    assert cut == review.Cut(1.0, 300, 200, 0.0)
    assert review.guaranteed_cut(scores[:200], losses[:200], 0.05).score == -math.inf


def test_rows_of_undefined_loss_count_for_nothing():
    scores, losses = np.arange(300, 0, -1.0), np.zeros(300)
    losses[::2] = math.nan
    cut = review.guaranteed_cut(scores, losses, 0.05)
    assert (cut.rows, cut.answered) == (150, 150)
    assert review.guaranteed_cut(scores[:100], losses[:100], 0.05) is None  # 50 that count


# Rows.


def test_the_score_of_a_row_with_one_label_is_the_log_odds_of_its_answer():
    logits = np.array([[5.0, 0, 0], [0, 1, 0], [0, 0, 200]])
    scores = review.row_scores(softmax(logits).astype(np.float32), None, "error")
    assert scores[:2] == pytest.approx([5 - math.log(2), 1 - math.log(2)], abs=1e-3) and 100 < scores[2] < math.inf


def test_scores_losses_and_confidence_of_rows_with_many_labels():
    thresholds = [0.5, 0.5, 0.5]
    probabilities = np.array([[0.9, 0.7, 0.2], [0.1, 0.2, 0.3], [0.9, 0.9, 0.9]])
    truth = np.array([[1, 0, 1], [0, 0, 1], [0, 0, 0]], bool)
    answered = review.answered_labels(probabilities, thresholds)
    discovery = review.row_scores(probabilities, thresholds, "false-discovery")
    assert discovery[[0, 2]] == pytest.approx([math.log(1.6 / 0.4), math.log(2.7 / 0.3)], abs=1e-3)
    assert discovery[1] > 100  # no label given
    negative = review.row_scores(probabilities, thresholds, "false-negative")
    assert negative[:2] == pytest.approx([-math.log(0.2), -math.log(0.6)], abs=1e-3) and negative[2] > 100
    np.testing.assert_array_equal(review.row_losses(truth, answered, "false-discovery"), [0.5, math.nan, 1])
    np.testing.assert_array_equal(review.row_losses(truth, answered, "false-negative"), [0.5, 1, math.nan])
    assert review.row_confidence(probabilities, answered) == pytest.approx([0.8, 0.7, 0.9])


# Rules.

SCORES = np.arange(200, 0, -1) / 20
CALIBRATION = Calibration(200, temperature=2.0, held_out={"error": HeldOut.of(SCORES, (SCORES < 1).astype(float))})
LOGITS = np.stack([np.linspace(-9, 9, 73), np.zeros(73)], axis=1)
PROBABILITIES = softmax(LOGITS).astype(np.float32)


def decide(**rule):
    return reviewer("multiclass", None, CALIBRATION, ReviewRule(**rule)).decide(PROBABILITIES)


def test_without_a_rule_every_row_is_answered_with_its_calibrated_confidence():
    decided = decide()
    assert not decided.review.any()
    np.testing.assert_allclose(decided.confidence, softmax(LOGITS / 2).max(axis=1), atol=1e-6)


def test_a_guarantee_sends_the_least_confident_rows_to_a_person():
    decided, asked = decide(max_error=0.05), np.abs(LOGITS[:, 0])
    cut = review.guaranteed_cut(SCORES, (SCORES < 1).astype(float), 0.05).score
    assert 0.3 < cut < 1.2
    np.testing.assert_array_equal(decided.review, asked <= cut)
    line = reviewer("multiclass", None, CALIBRATION, ReviewRule(max_error=0.05)).line
    assert "of the 200 validation rows" in line and "with 95% certainty at most 5% of the answers are wrong" in line


@pytest.mark.parametrize(("share", "least"), [(0, None), (0.2, 2.05), (0.201, 2.05), (1, math.inf)])
def test_a_fixed_share_of_the_validation_rows_goes_to_people(share, least):
    ready = reviewer("multiclass", None, CALIBRATION, ReviewRule(max_review=share))
    reviewed = (ready.cut >= SCORES).mean()
    assert share - 1 / 200 < reviewed <= share
    np.testing.assert_array_equal(ready.decide(PROBABILITIES).review, np.abs(LOGITS[:, 0]) < (least or 0))


def test_costs_ask_a_person_where_an_error_is_expected_to_cost_more():
    decided = decide(cost_error=10, cost_review=1)
    np.testing.assert_array_equal(decided.review, decided.confidence < 0.9)
    assert decided.review.any() and not decide(cost_error=1, cost_review=2).review.any()


def test_rows_are_decided_alike_alone_and_together():
    ready = reviewer("multiclass", None, CALIBRATION, ReviewRule(max_error=0.05))
    parts = [ready.decide(PROBABILITIES[start : start + 10]) for start in range(0, 73, 10)]
    np.testing.assert_array_equal(np.concatenate([part.review for part in parts]), ready.decide(PROBABILITIES).review)
    assert len(ready.decide(PROBABILITIES[:0]).review) == 0
    travelled = pickle.loads(pickle.dumps(ready))
    assert repr(travelled) == repr(ready) != repr(reviewer("multiclass", None, CALIBRATION, ReviewRule(max_error=0.1)))
    np.testing.assert_array_equal(travelled.decide(PROBABILITIES).review, ready.decide(PROBABILITIES).review)
    assert len(repr(ready)) < 500


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"max_error": 0.05, "max_review": 0.1}, "choose one of"),
        ({"max_error": 0.0}, "max-error 0: expected a share between 0 and 1"),
        ({"max_error": 5}, "max-error 5: expected"),
        ({"max_error": math.nan}, "max-error nan: expected"),
        ({"max_review": 1.1}, "max-review 1.1: expected a share from 0 to 1"),
        ({"cost_error": 5}, "go together"),
        ({"cost_error": 5, "cost_review": 0}, "above 0"),
        ({"max_error": 0.05, "risk": "false-negative"}, "not one of this predictor; expected error"),
        ({"max_error": 0.01}, "cannot be guaranteed by 200 validation rows; the fewest that can are 299, if all are right"),
    ],
)
def test_rules_that_make_no_sense_or_cannot_be_kept_are_refused(rule, message):
    with pytest.raises(InputError, match=message):
        reviewer("multiclass", None, CALIBRATION, ReviewRule(**rule))


def test_a_guarantee_that_the_most_confident_rows_violate_says_so():
    bad = Calibration(200, temperature=1.0, held_out={"error": HeldOut.of(SCORES, np.tile([0.0, 1.0], 100))})
    with pytest.raises(
        InputError, match="the error of the 93 most confident validation rows is 49.5%; allow more errors, or train"
    ):
        reviewer("multiclass", None, bad, ReviewRule(max_error=0.05))


def test_a_guarantee_that_a_few_rows_leave_in_doubt_says_so():
    few = Calibration(10, temperature=1.0, held_out={"error": HeldOut.of(SCORES[:10], np.tile([0.0, 0.0, 1.0], 4)[:10])})
    with pytest.raises(
        InputError, match="of the 6 most confident validation rows is 33.3%, which so few rows do not make certain enough"
    ):
        reviewer("multiclass", None, few, ReviewRule(max_error=0.45))


def test_a_predictor_without_calibration_answers_with_raw_confidence_and_knows_no_rule():
    ready = reviewer("multiclass", None, None, ReviewRule())
    assert "not calibrated" in ready.line
    np.testing.assert_allclose(ready.decide(PROBABILITIES).confidence, PROBABILITIES.max(axis=1))
    with pytest.raises(InputError, match="without calibration"):
        reviewer("multiclass", None, None, ReviewRule(max_review=0.1))
