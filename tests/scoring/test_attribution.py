"""Attributions of planted set functions, whose Shapley values are known."""

import numpy as np
import pytest

from halfbert.scoring import attribution

EFFECTS = np.array([[3.0, -1.0], [0.0, 0.5], [-2.0, 0.0], [0.5, 0.0], [0.0, 0.0]])
WORDS = len(EFFECTS)


def additive(kept):
    """Each word adds its own effect, whatever the others."""
    return kept @ EFFECTS + 0.25


def with_pair(kept):
    """Beside, words 0 and 1 together add 4 to the first label: 2 belongs to each."""
    return additive(kept) + 4 * (kept[:, :1] & kept[:, 1:2]) * np.array([1.0, 0.0])


def of(method, worth, words=WORDS):
    return {
        "occlusion": lambda: attribution.occlusion(worth, words),
        "shapley": lambda: attribution.shapley(worth, words, 6, np.random.default_rng(0)),
    }[method]()


@pytest.mark.parametrize("method", ["occlusion", "shapley"])
def test_additive_effects_are_found_exactly_for_every_label(method):
    np.testing.assert_allclose(of(method, additive), EFFECTS, atol=1e-12)


def test_what_two_words_add_together_is_shared_between_them():
    found = of("shapley", with_pair)
    np.testing.assert_allclose(found[:2, 0], EFFECTS[:2, 0] + 2, atol=1e-12)


@pytest.mark.parametrize("words", [1, 2, 7, 33])
def test_contributions_add_up_to_the_whole(words):
    weights = np.random.default_rng(1).normal(size=(words, 2))

    def worth(kept):
        return np.tanh(kept @ weights) + kept.sum(axis=1, keepdims=True) ** 2

    whole = worth(np.ones((1, words), bool)) - worth(np.zeros((1, words), bool))
    np.testing.assert_allclose(of("shapley", worth, words).sum(axis=0), whole[0], atol=1e-9)


def test_deletion_takes_the_strongest_words_first():
    without, only = attribution.deletion(additive, EFFECTS[:, 0], (0.2, 0.4))
    np.testing.assert_allclose(without[:, 0], [0.25 - 1.5, 0.25 - 2.0])
    np.testing.assert_allclose(only[:, 0], [3.25, 3.75])
