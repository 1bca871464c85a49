"""What each word adds to an answer: attributions of a set function that says what a text with some of its words is worth.

Shapes: W words, V variants of a text, L labels. A `Worth` takes (V, W) bool, the words that each variant keeps, and returns
(V, L), what the variants are worth for each label. Attributions are (W, L). numpy alone.
"""

from collections.abc import Callable

import numpy as np

Worth = Callable[[np.ndarray], np.ndarray]


def occlusion(worth: Worth, words: int) -> np.ndarray:
    """What is lost when a word alone is left out: W + 1 variants."""
    variants = np.ones((words + 1, words), bool)
    variants[np.arange(words), np.arange(words)] = False
    values = worth(variants)
    return values[-1] - values[:-1]


def shapley(worth: Worth, words: int, orders: int, rng: np.random.Generator) -> np.ndarray:
    """Shapley values, estimated from random orders of the words and their reverses (antithetic pairs).

    About `orders` times W variants (Castro et al. 2009; Mitchell et al. 2022, arXiv:2104.12199). They add up to the worth of
    the whole text less that of none of it.
    """
    drawn = [rng.permutation(words) for _ in range((orders + 1) // 2)]
    # place[i] is where a word stands in an order, and one standing before it there is kept beside it.
    places = [place for each in drawn for place in (each, words - 1 - each)][:orders]
    gains = [np.diff(worth(place[None, :] < np.arange(words + 1)[:, None]), axis=0)[place] for place in places]
    return np.mean(gains, axis=0)


def deletion(worth: Worth, contributions: np.ndarray, shares: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """What a text of W words is worth without, and with only, each share of its most contributing words: two (shares, L).

    What comprehensiveness and sufficiency are made of (DeYoung et al. 2020, arXiv:1911.03429).
    """
    order = np.argsort(-contributions, kind="stable")
    rank = np.empty(len(order), int)
    rank[order] = np.arange(len(order))
    cuts = np.array([max(1, round(share * len(order))) for share in shares])[:, None]
    values = worth(np.concatenate([rank[None, :] >= cuts, rank[None, :] < cuts]))
    return values[: len(shares)], values[len(shares) :]
