"""What a difference between two models on the same test rows is worth: numpy only.

Shapes: R rows, L labels, N resamples. Truth and answers are bool, (R, L); where a row has one label, one-hot.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np

RESAMPLES = 2000
LEVEL = 0.95
NUMBERS_AT_ONCE = 20_000_000  # of a block of resamples times rows: 160 MB

# From truth and answers, (R, L), and (N, R) weights of the rows to (N,) scores.
Score = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def accuracy(truth: np.ndarray, answers: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(N,) shares of rows with every label right."""
    return weights @ (truth == answers).all(axis=1) / weights.sum(axis=1)


def micro_f1(truth: np.ndarray, answers: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(N,) micro F1, as in scikit-learn; 0 where there is neither a label nor an answer."""
    found, given = (counts.sum(axis=1) for counts in _counts(truth, answers, weights))
    return _share(2 * found, given)


def macro_f1(truth: np.ndarray, answers: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(N,) macro F1, as in scikit-learn; a label with neither rows nor answers counts as 0."""
    found, given = _counts(truth, answers, weights)
    return _share(2 * found, given).mean(axis=1)


def _counts(truth: np.ndarray, answers: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, L) weights of the rows that have a label and are answered it, and of having plus being answered it."""
    together = np.hstack([truth & answers, truth.astype(np.int8) + answers]).astype(weights.dtype)
    found, given = np.split(weights @ together, 2, axis=1)
    return found, given


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


# What two models are compared by, of each task; by the names that the scores have in a record.
COMPARED: dict[str, dict[str, Score]] = {
    "multiclass": {"accuracy": accuracy, "macro_f1": macro_f1},
    "multilabel": {"micro_f1": micro_f1, "macro_f1": macro_f1},
}


def paired_bootstrap(
    score: Score,
    truth: np.ndarray,
    first: Sequence[np.ndarray],
    second: Sequence[np.ndarray],
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> dict:
    """The score of `first` minus that of `second`, with the bootstrap's percentile interval over the test rows.

    Both are scored on the same drawn rows, so what makes some rows hard for both cancels out (Efron and Tibshirani 1993,
    chapter 13; for classifiers Koehn 2004, "Statistical Significance Tests for Machine Translation Evaluation").

    Args:
        score: `accuracy`, `micro_f1`, `macro_f1`, or any function of the same form.
        truth: bool, shape (R, L).
        first, second: for each training seed the answers, bool, shape (R, L); the scores of the seeds are averaged. The
            interval tells what other test rows could change, not what other seeds could.
        level: of the interval.
        seed: of the draw; the same gives the same interval.

    Returns:
        `first`, `second` (mean scores on all rows), `difference`, `low` and `high` (of the interval), `level`, `rows`,
        `seeds` (the smaller number of the two) and `resamples`.

    Raises:
        ValueError: there are no rows or no answers, or shapes do not fit.
    """
    if not len(truth) or not first or not second or any(answers.shape != truth.shape for answers in [*first, *second]):
        raise ValueError(f"expected rows, and answers of the truth's shape {truth.shape} for both")

    def difference(weights: np.ndarray) -> np.ndarray:
        scores = (np.mean([score(truth, answers, weights) for answers in each], axis=0) for each in (first, second))
        return np.subtract(*scores)

    low, high = _interval(difference, len(truth), resamples, level, seed)
    once = np.ones((1, len(truth)))
    means = [float(np.mean([score(truth, answers, once)[0] for answers in each])) for each in (first, second)]
    return {
        "first": means[0],
        "second": means[1],
        "difference": means[0] - means[1],
        "low": low,
        "high": high,
        "level": level,
        "rows": len(truth),
        "seeds": min(len(first), len(second)),
        "resamples": resamples,
    }


def bootstrap(
    score: Score,
    truth: np.ndarray,
    answers: Sequence[np.ndarray],
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[str, float]:
    """The score of `answers`, as in `paired_bootstrap` those of each seed, alone: {"score", "low", "high"}."""

    def mean(weights: np.ndarray) -> np.ndarray:
        return np.mean([score(truth, each, weights) for each in answers], axis=0)

    low, high = _interval(mean, len(truth), resamples, level, seed)
    return {"score": float(mean(np.ones((1, len(truth))))[0]), "low": low, "high": high}


def _interval(
    statistic: Callable[[np.ndarray], np.ndarray], rows: int, resamples: int, level: float, seed: int
) -> tuple[float, float]:
    """The percentile interval of a statistic, from (N, R) weights to (N,), over the rows drawn with replacement."""
    chance = np.random.default_rng(seed)
    block = max(1, NUMBERS_AT_ONCE // rows)
    sizes = [min(block, resamples - start) for start in range(0, resamples, block)]
    drawn = (chance.multinomial(rows, np.full(rows, 1 / rows), size=size).astype(float) for size in sizes)
    low, high = np.quantile(np.concatenate([statistic(weights) for weights in drawn]), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def mcnemar(first_right: np.ndarray, second_right: np.ndarray) -> dict:
    """Exact McNemar test of two models on the same rows, from (R,) bool: which rows each gets right.

    Where both are equally good, a row that only one gets right is as likely the one's as the other's (McNemar 1947;
    Dietterich 1998, "Approximate Statistical Tests for Comparing Supervised Classification Learning Algorithms").

    Returns `only_first`, `only_second` (rows) and `p_value`, two-sided and exact.
    """
    only_first, only_second = int((first_right & ~second_right).sum()), int((second_right & ~first_right).sum())
    trials, fewer = only_first + only_second, min(only_first, only_second)
    # Whole numbers to the end: 2**trials is beyond any float for a few thousand rows.
    tail = ways = 1
    for chosen in range(fewer):
        ways = ways * (trials - chosen) // (chosen + 1)
        tail += ways
    p_value = min(1.0, float(Fraction(2 * tail, 2**trials)))
    return {"only_first": only_first, "only_second": only_second, "p_value": p_value}
