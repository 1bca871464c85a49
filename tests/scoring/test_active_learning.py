"""Which rows are most worth labelling: uncertain, in different places, and no two alike."""

import numpy as np
import pytest

from halfbert.scoring import active_learning
from halfbert.scoring.active_learning import NearlyEqual, balanced, choose, uncertainty

TEXTS = [f"{number} quite unlike {number * 7919}" for number in range(60)]


def test_one_label_is_uncertain_where_two_are_close_and_many_each_by_itself():
    one = uncertainty(np.array([[1, 0, 0], [0.6, 0.3, 0.1], [0.4, 0.4, 0.2]], np.float32), one_label=True)
    np.testing.assert_allclose(one, [[0], [0.7], [1]], atol=1e-6)
    many = uncertainty(np.array([[1, 0], [0.5, 1], [0.5, 0.5]], np.float32), one_label=False)
    np.testing.assert_allclose(many, [[0, 0], [1, 0], [1, 1]], atol=1e-4)
    np.testing.assert_allclose(balanced(many, np.array([1, 0.1])), [0, 0.5, 5.5], atol=1e-3)


@pytest.fixture
def groups():
    """(60, 3) states in three directions, so many of each: 40, 15, 5."""
    rng = np.random.default_rng(0)
    states = np.repeat(np.eye(3), [40, 15, 5], axis=0)
    return states * rng.uniform(1, 9, (60, 1)) + rng.normal(0, 0.02, (60, 3))


def test_rows_are_taken_from_every_group_and_the_least_certain_comes_first(groups):
    weights = np.linspace(0.9, 0.5, 60)  # the most uncertain ones are all of the first group
    chosen = choose(3, weights, groups, TEXTS)
    assert sorted(groups[chosen].argmax(axis=1)) == [0, 1, 2]
    assert chosen == sorted(chosen) and chosen == choose(3, weights, groups, TEXTS)


def test_a_centre_is_drawn_to_uncertain_rows():
    states = np.array([[np.cos(angle), np.sin(angle)] for angle in np.linspace(0, 1, 21)])
    weights = np.where(np.arange(21) == 18, 0.9, 0.01)
    assert choose(1, weights, states, TEXTS[:21]) == [pytest.approx(17, abs=2)]
    assert choose(1, weights[::-1], states, TEXTS[:21]) == [pytest.approx(3, abs=2)]


def test_nearly_equal_texts_are_taken_once(groups):
    weights, texts = np.ones(60), [*["I should like to cancel my order of today"] * 40, *TEXTS[40:]]
    texts[1] = "i should like to cancel my order of today!"
    chosen = choose(30, weights, groups, texts)
    assert len(chosen) == len(set(chosen)) == 21 and sum(index < 40 for index in chosen) == 1


def test_equal_states_leave_enough_to_choose():
    assert len(set(choose(20, np.ones(60), np.ones((60, 4)), TEXTS))) == 20
    assert choose(5, np.ones(3), np.ones((3, 4)), TEXTS[:3]) == [0, 1, 2]


@pytest.mark.parametrize(
    ("other", "new"),
    [
        ("Where is the  CARD that I ordered last week", False),
        ("Where is the card that I ordered last week??", False),
        ("Where is the card that I lost last week", True),
        ("", True),
        ("where", True),
    ],
)
def test_nearly_equal_is_most_of_the_characters(other, new):
    seen = NearlyEqual()
    assert seen.is_new("Where is the card that I ordered last week")
    assert seen.is_new(other) is new


def test_distances_are_computed_in_parts(groups, monkeypatch):
    whole = choose(9, np.ones(60), groups, TEXTS)
    monkeypatch.setattr(active_learning, "ROWS_AT_A_TIME", 7)
    assert choose(9, np.ones(60), groups, TEXTS) == whole
