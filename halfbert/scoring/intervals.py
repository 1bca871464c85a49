"""How certain a score is, and the difference between two models on the same test rows.

Shapes: R rows, L labels, N resamples. Truth and answers are bool, (R, L); where a row has one label, one-hot.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
LEVEL = 0.95
NUMBERS_AT_ONCE = 20_000_000  # of a block of resamples times rows: 160 MB

# From truth and answers, (R, L), and (N, R) weights of the rows to (N,) scores.
Score = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Interval:
    """A score, the mean over the training seeds, with its percentile interval."""

    score: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """The `first` score minus the `second`, each the mean over its training seeds, with its percentile interval."""

    first: float
    second: float
    difference: float
    low: float
    high: float
    level: float  # of the interval
    rows: int
    seeds: int  # the smaller number of the two
    resamples: int


@dataclass(frozen=True)
class Sampled:
    """A model's score on all rows and on each resample of them, (N,), each the mean over its training seeds."""

    score: float
    drawn: np.ndarray
    rows: int
    seeds: int


@dataclass(frozen=True)
class Spread:
    """The mean and the standard deviation of a score, a share, over folds, with the mean's interval, which ends at 0 and 1."""

    mean: float
    deviation: float
    low: float
    high: float


@dataclass(frozen=True)
class McNemar:
    """How many rows only one of two models gets right, and the p-value of their being equally good."""

    only_first: int
    only_second: int
    p_value: float


def accuracy(truth: np.ndarray, answers: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(N,) shares of rows with every label right."""
    return weights @ (truth == answers).all(axis=1) / weights.sum(axis=1)


def micro_f1(truth: np.ndarray, answers: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(N,) micro F1, as in scikit-learn; 0 where there is neither a label nor an answer."""
    both, either = (counts.sum(axis=1) for counts in _counts(truth, answers, weights))
    return share(2 * both, either)


def macro_f1(truth: np.ndarray, answers: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(N,) macro F1, as in scikit-learn; a label with neither rows nor answers counts as 0."""
    both, either = _counts(truth, answers, weights)
    return share(2 * both, either).mean(axis=1)


def _counts(truth: np.ndarray, answers: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, L) weights of the rows with a label both true and predicted, and the sum of those true and those predicted."""
    together = np.hstack([truth & answers, truth.astype(np.int8) + answers]).astype(weights.dtype)
    both, either = np.split(weights @ together, 2, axis=1)
    return both, either


def share(part: np.ndarray, whole: np.ndarray, empty: float = 0.0) -> np.ndarray:
    """`part` divided by `whole`, element by element; `empty` where the whole is 0."""
    return np.divide(part, whole, out=np.full(np.shape(whole), float(empty)), where=np.asarray(whole) > 0)


# The scores that two models are compared by, for each task; the names are those of a record.
COMPARED: dict[str, dict[str, Score]] = {
    "multiclass": {"accuracy": accuracy, "macro_f1": macro_f1},
    "multilabel": {"micro_f1": micro_f1, "macro_f1": macro_f1},
}


def paired_bootstrap(
    score: Score, truth: np.ndarray, first: Sequence[np.ndarray], second: Sequence[np.ndarray], resamples: int = RESAMPLES
) -> Difference:
    """The score of `first` minus that of `second`, with the bootstrap's percentile interval over the test rows.

    Both are scored on the same drawn rows, so what makes some rows hard for both cancels out (Efron and Tibshirani 1993,
    chapter 13; for classifiers Koehn 2004, "Statistical Significance Tests for Machine Translation Evaluation").

    `first` and `second` hold the answers of each training seed, whose scores are averaged: the interval shows what other test
    rows could change, not what other seeds could. Raises ValueError if there are no rows or no answers, or shapes do not fit.
    """
    return contrast(*samples(score, truth, [first, second], resamples))


def contrast(first: Sampled, second: Sampled) -> Difference:
    """As `paired_bootstrap`, from two models' scores on the same resamples."""
    low, high = _ends(first.drawn - second.drawn)
    seeds, resamples = min(first.seeds, second.seeds), len(first.drawn)
    return Difference(first.score, second.score, first.score - second.score, low, high, LEVEL, first.rows, seeds, resamples)


def samples(
    score: Score, truth: np.ndarray, models: Sequence[Sequence[np.ndarray]], resamples: int = RESAMPLES
) -> list[Sampled]:
    """Each model's score on the same resamples of the rows; a model is given by its answers, one array per training seed.

    Raises ValueError if there are no rows or no answers, or shapes do not fit.
    """
    if not len(truth) or not all(models) or any(answers.shape != truth.shape for model in models for answers in model):
        raise ValueError(f"expected rows, and answers of the truth's shape {truth.shape} of each model")
    drawn = [[_mean_score(score, truth, model, weights) for model in models] for weights in resampled(len(truth), resamples)]
    once = np.ones((1, len(truth)))
    return [
        Sampled(float(_mean_score(score, truth, model, once)[0]), np.concatenate(of_model), len(truth), len(model))
        for model, of_model in zip(models, zip(*drawn, strict=True), strict=True)
    ]


def bootstrap(score: Score, truth: np.ndarray, answers: Sequence[np.ndarray]) -> Interval:
    """The score of one model's `answers`, one array per seed as in `paired_bootstrap`."""
    (one,) = samples(score, truth, [answers])
    return Interval(one.score, *_ends(one.drawn))


def bootstraps(task: str, truth: np.ndarray, answers: np.ndarray) -> dict[str, Interval]:
    """The task's COMPARED scores of one model's (R, L) `answers`; none where no row has a label, as F1 can be nothing but 0."""
    return {name: bootstrap(score, truth, [answers]) for name, score in COMPARED[task].items() if truth.any()}


def paired_bootstraps(task: str, truth: np.ndarray, first: np.ndarray, second: np.ndarray) -> dict[str, Difference]:
    """As `bootstraps`: the scores of one model's answers less those of another's."""
    scores = COMPARED[task].items()
    return {name: paired_bootstrap(score, truth, [first], [second]) for name, score in scores if truth.any()}


def _mean_score(score: Score, truth: np.ndarray, seeds: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
    return np.mean([score(truth, answers, weights) for answers in seeds], axis=0)


def percentile_interval(
    statistic: Callable[[np.ndarray], np.ndarray], rows: int, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """The percentile interval of a statistic, from (N, R) weights to (N,), over the rows drawn with replacement."""
    return _ends(np.concatenate([statistic(weights) for weights in resampled(rows, resamples)]))


def _ends(drawn: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def resampled(rows: int, resamples: int = RESAMPLES) -> Iterator[np.ndarray]:
    """(N, R) weights of the rows, drawn with replacement, in blocks of so many `resamples` in all; always the same."""
    rng = np.random.default_rng(0)
    block = max(1, NUMBERS_AT_ONCE // rows)
    for start in range(0, resamples, block):
        yield _drawn(rng, rows, min(block, resamples - start))


def _drawn(rng: np.random.Generator, rows: int, size: int) -> np.ndarray:
    """(N, R) how often each row is drawn; counting drawn numbers takes a tenth of the time of drawing the counts."""
    return np.stack([np.bincount(rng.integers(rows, size=rows), minlength=rows) for _ in range(size)]).astype(float)


def cross_validated(scores: Sequence[float], held_out: float, learnt_from: float) -> Spread:
    """Mean and spread of the scores of K folds, with the corrected resampled t interval.

    Each fold's model learnt from about `learnt_from` rows and was scored on about `held_out` others. Models that share most of
    their rows err alike, so that the variance of their mean is more than a K-th of theirs: (1 / K + held_out / learnt_from)
    of it (Nadeau and Bengio 2003, "Inference for the Generalization Error"; for K folds, Bouckaert and Frank 2004).
    """
    from scipy.stats import t  # takes most of a second to import

    count, deviation = len(scores), float(np.std(scores, ddof=1))
    reach = float(t.ppf((1 + LEVEL) / 2, count - 1)) * deviation * math.sqrt(1 / count + held_out / learnt_from)
    mean = float(np.mean(scores))
    return Spread(mean, deviation, max(0.0, mean - reach), min(1.0, mean + reach))


def mcnemar(first_right: np.ndarray, second_right: np.ndarray) -> McNemar:
    """Exact two-sided McNemar test of two models on the same rows, from (R,) bool: which rows each gets right.

    If both are equally good, a row that only one gets right is as likely the one's as the other's (McNemar 1947;
    Dietterich 1998, "Approximate Statistical Tests for Comparing Supervised Classification Learning Algorithms").
    """
    from scipy.stats import binomtest  # takes most of a second to import

    only_first, only_second = int((first_right & ~second_right).sum()), int((second_right & ~first_right).sum())
    decided = only_first + only_second
    return McNemar(only_first, only_second, float(binomtest(only_first, decided).pvalue) if decided else 1.0)


def wilson(hits: int, rows: int) -> tuple[float, float]:
    """The interval of a share of `hits` among `rows` (Wilson 1927): honest with few rows, and where all or none are hits."""
    if not rows:
        return 0.0, 1.0
    z, share = 1.959964, hits / rows
    middle, reach = share + z * z / (2 * rows), z * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    whole = 1 + z * z / rows
    return max((middle - reach) / whole, 0.0), min((middle + reach) / whole, 1.0)


def f1_interval(right: int, missed: int, invented: int) -> tuple[float, float]:
    """The interval of one label's F1 by its rows that were answered right, missed, and answered though they lack it.

    F1 is 2 J / (1 + J) of the share J that is right among all of these rows (Jaccard's), whose interval is Wilson's.
    """
    low, high = (2 * end / (1 + end) for end in wilson(right, right + missed + invented))
    return low, high


def standard_error(score: float, rows: int) -> float:
    """Of a share measured on so many rows, one hit and one miss added, so that a few rows all right are no certainty."""
    share = (score * rows + 1) / (rows + 2)
    return math.sqrt(share * (1 - share) / (rows + 2))
