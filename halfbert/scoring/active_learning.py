"""Which rows are most worth labelling: those whose answers are least certain, and no two alike. numpy alone.

The least certain rows are the candidates. k-means of the encoder's states, each weighted by its uncertainty, makes as many
clusters of them as rows are wanted, and of each cluster the row nearest to its centre is taken (Zhdanov 2019, "Diverse
mini-batch active learning", arXiv:1901.05954). Rows that are nearly the same as one that is taken already are passed over.

Shapes: R rows, L labels, h units of a state.
"""

import zlib
from collections.abc import Sequence

import numpy as np

from halfbert.data.equality import normalise

CANDIDATES_PER_ROW, MOST_CANDIDATES = 10, 20_000  # among which rows are chosen
LEAST = 1e-6  # of a probability, and of what is divided by
ITERATIONS = 20  # of k-means, at most
ROWS_AT_A_TIME = 2048  # whose distances to all centres are in memory
# Two texts are nearly equal that have this share of their pieces, of so many characters each, in common. It is estimated with
# hashes (Broder 1997, doi:10.1109/SEQUEN.1997.666900), by the beginning of each text.
NEARLY_EQUAL, PIECE, HASHES, COMPARED_CHARACTERS = 0.8, 5, 128, 4096


def uncertainty(probabilities: np.ndarray, one_label: bool) -> np.ndarray:
    """(R, 1) or (R, L) from 0 to 1, how uncertain each answer is, from (R, L) probabilities.

    Of one label a row: 1 less the difference of the two highest probabilities (margin sampling, Scheffer et al. 2001,
    doi:10.1007/3-540-44816-0_31). Of any number of labels: the entropy of each label, in bits.
    """
    exact = probabilities.astype(np.float64)
    if one_label:
        two = np.partition(exact, -2, axis=1)[:, -2:]
        return 1 - (two[:, 1:] - two[:, :1])
    exact = np.clip(exact, LEAST, 1 - LEAST)
    return -(exact * np.log2(exact) + (1 - exact) * np.log2(1 - exact))


def balanced(uncertain: np.ndarray, means: np.ndarray) -> np.ndarray:
    """(R,) the mean of (R, L) uncertainties, divided by each label's mean over all rows, (L,): rare labels count too."""
    if uncertain.shape[1] == 1:  # the same order, whatever the mean is so far
        return uncertain[:, 0]
    return (uncertain / np.maximum(means, LEAST)).mean(axis=1)


def candidates(rows: int) -> int:
    """How many of the least certain rows are looked at where so many are wanted."""
    return max(rows, min(CANDIDATES_PER_ROW * rows, MOST_CANDIDATES))


def choose(rows: int, weights: np.ndarray, states: np.ndarray, texts: Sequence[str], seed: int = 0) -> list[int]:
    """The indices of the candidates to label, the least certain first: `rows` of them, or fewer where the others repeat these.

    Parameters
    ----------
    weights: (R,) the uncertainty of each candidate.
    states: (R, h) of the encoder.
    texts: those of the candidates; one that is nearly the same as another is taken once.
    seed: of the first centres.
    """
    directions = states.astype(np.float32) / np.maximum(np.linalg.norm(states, axis=1, keepdims=True), 1e-12)
    weights = np.maximum(weights, LEAST)
    centres = _centres(rows, weights, directions, np.random.default_rng(seed))
    alike = NearlyEqual()
    left, chosen = np.ones(len(texts), bool), list[int]()
    for centre in centres:
        nearness = directions @ centre
        while left.any():
            index = int(np.where(left, nearness, -np.inf).argmax())
            left[index] = False
            if alike.is_new(texts[index]):
                chosen.append(index)
                break
    return sorted(chosen, key=lambda index: -weights[index])


def _centres(count: int, weights: np.ndarray, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(count, h) centres of the clusters of (R, h) weighted points of length 1, the heaviest cluster first."""
    if count >= len(points):
        return points
    centres = points[_spread(count, weights, points, rng)]
    nearest = np.full(len(points), -1)
    for _ in range(ITERATIONS):
        before, nearest = nearest, _nearest(points, centres)
        if (before == nearest).all():
            break
        mass = np.bincount(nearest, weights, count)
        order = np.argsort(nearest, kind="stable")
        starts = np.searchsorted(nearest[order], np.flatnonzero(mass))
        centres[mass > 0] = np.add.reduceat((weights[:, None] * points)[order], starts) / mass[mass > 0, None]
    return centres[np.argsort(-np.bincount(nearest, weights, count), kind="stable")]


def _spread(count: int, weights: np.ndarray, points: np.ndarray, rng: np.random.Generator) -> list[int]:
    """The indices of points to begin with: k-means++ (Arthur and Vassilvitskii 2007)."""
    found = [int(np.argmax(weights))]
    distances = np.full(len(points), np.inf)
    while len(found) < count:
        distances = np.minimum(distances, np.maximum(2 - 2 * points @ points[found[-1]], 0))
        distances[found[-1]] = 0
        shares = np.cumsum(distances * weights)
        if not shares[-1]:  # the others are equal to these
            shares = np.cumsum(np.isin(np.arange(len(points)), found, invert=True))
        found.append(int(np.searchsorted(shares, rng.random() * shares[-1], side="right")))
    return found


def _nearest(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """(R,) the number of the centre that is nearest to each point."""
    lengths = (centres**2).sum(axis=1)
    parts = [points[start : start + ROWS_AT_A_TIME] for start in range(0, len(points), ROWS_AT_A_TIME)]
    return np.concatenate([(lengths - 2 * part @ centres.T).argmin(axis=1) for part in parts])


class NearlyEqual:
    """Tells whether a text is nearly equal to one that was seen before."""

    def __init__(self) -> None:
        self._seen = np.empty((0, HASHES), np.uint32)
        odd = np.random.default_rng(0).integers(2**63, size=(2, HASHES), dtype=np.uint64)
        self._factors, self._terms = odd[0] | 1, odd[1]

    def is_new(self, text: str) -> bool:
        """Whether it is nearly equal to none; it counts as seen from then on."""
        text = normalise(text[:COMPARED_CHARACTERS])
        pieces = {text[start : start + PIECE] for start in range(max(1, len(text) - PIECE + 1))}
        hashes = np.array([zlib.crc32(piece.encode("utf-8", "surrogatepass")) for piece in pieces], np.uint64)
        mixed = (hashes[:, None] * self._factors + self._terms) >> np.uint64(32)
        first = mixed.min(axis=0).astype(np.uint32)
        if len(self._seen) and (self._seen == first).mean(axis=1).max() >= NEARLY_EQUAL:
            return False
        self._seen = np.concatenate([self._seen, first[None]])
        return True
