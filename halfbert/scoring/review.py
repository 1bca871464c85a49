"""When to ask a person: which answers are confident enough to be given, by a rule that the user states. numpy alone.

Answers are ranked by a score that was fixed before any validation row was looked at, the log-odds of the network's own
probability. So the calibration, fitted on the validation rows, cannot spoil a guarantee that is given by the same rows.

A guarantee (`max_error`) is selective risk control (Geifman and El-Yaniv 2017, arXiv:1705.08500) by learn-then-test
(Angelopoulos et al. 2021, arXiv:2110.01052): cuts are tested from the most confident rows on, each at the whole level, until
one fails (fixed-sequence testing). The p-values are binomial tails where a row's loss is 0 or 1, and Hoeffding-Bentkus (Bates
et al. 2021, arXiv:2101.02703) where it is a share. With probability 95 % or more over the validation rows, the mean loss of
answered rows that come from where the validation rows came from is at most `max_error`.

Shapes: R rows, L labels. `probabilities` are the network's own, (R, L).
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from halfbert.data.phrases import counted
from halfbert.scoring.calibration import LEAST_FLOAT, SCORE_DECIMALS, Calibration
from halfbert.system.errors import InputError

LEVEL = 0.95  # the probability that a guarantee holds
MAX_ERRORS = (0.01, 0.02, 0.05, 0.1, 0.2)  # that pages offer, if they can be guaranteed
STEPS = 20  # cuts that are tested: with more, one is sooner rejected by bad luck, and the rest is lost
RISKS = {  # what a guarantee is about, by task; the first is the default
    "multiclass": ("error",),
    "multilabel": ("false-discovery", "false-negative"),
}
MEANING = {  # of rows that are answered, after "at most 5%"
    "error": "of the answers are wrong",
    "false-discovery": "of a row's answered labels are wrong (the mean of the rows that have any)",
    "false-negative": "of a row's true labels are missing (the mean of the rows that have any)",
}


# ---------------------------------------------------------------------------------------------------------------------------
# Rows


def answered_labels(probabilities: np.ndarray, thresholds: Sequence[float] | None) -> np.ndarray:
    """(R, L) bool: the labels that reach their thresholds; without thresholds, of each row the most probable one."""
    if thresholds is not None:
        return probabilities >= np.array(thresholds)
    return np.arange(probabilities.shape[1]) == probabilities.argmax(axis=1)[:, None]


def row_scores(probabilities: np.ndarray, thresholds: Sequence[float] | None, risk: str) -> np.ndarray:
    """(R,) how confident each answer is, the most confident highest, rounded.

    The log-odds that a label of the answer is right, on average over its labels; for false negatives the negative logarithm of
    the number of labels that the answer is to be expected to lack. A row without an answer is as confident as can be: it
    cannot be a false discovery.
    """
    exact = probabilities.astype(np.float64)
    answered = answered_labels(probabilities, thresholds)
    others = np.where(answered, 0, exact).sum(axis=1)
    if risk == "false-negative":
        scores = -np.log(np.maximum(others, LEAST_FLOAT))
    else:
        given = answered.sum(axis=1)
        wrong = others if thresholds is None else np.where(answered, 1 - exact, 0).sum(axis=1)
        right = np.where(answered, exact, 0).sum(axis=1)
        scores = np.log(np.maximum(np.where(given > 0, right, 1), LEAST_FLOAT)) - np.log(np.maximum(wrong, LEAST_FLOAT))
    return np.round(scores, SCORE_DECIMALS)


def row_losses(truth: np.ndarray, answered: np.ndarray, risk: str) -> np.ndarray:
    """(R,) losses from 0 to 1, from (R, L) bool; NaN where the risk is undefined: no label given, or none to miss."""
    wrong, whole = (truth & ~answered, truth) if risk == "false-negative" else (answered & ~truth, answered)
    counts = whole.sum(axis=1)
    return np.divide(wrong.sum(axis=1), counts, out=np.full(len(truth), np.nan), where=counts > 0)


def row_confidence(calibrated: np.ndarray, answered: np.ndarray) -> np.ndarray:
    """(R,) how likely each answer is right, from (R, L) calibrated probabilities.

    The mean over the labels of the answer; of an answer without labels, 1 less the highest probability.
    """
    given = answered.sum(axis=1)
    sums = np.where(answered, calibrated, 0).sum(axis=1)
    return np.where(given > 0, sums / np.maximum(given, 1), 1 - calibrated.max(axis=1))


# ---------------------------------------------------------------------------------------------------------------------------
# Cuts


@dataclass(frozen=True)
class Cut:
    """Rows with a score above `score` are answered: of `rows` held-out ones with a loss so many, of that mean loss."""

    score: float
    rows: int
    answered: int
    loss: float


def guaranteed_cut(scores: np.ndarray, losses: np.ndarray, max_error: float) -> Cut | None:
    """The cut that answers most of those that meet the guarantee; None if no cut does.

    The falling scores of held-out rows with their losses, both (R,); rows of undefined loss count for nothing. The rows above
    the k-th score are, given that score, independent draws of rows above it, so each test is exact.
    """
    defined = ~np.isnan(losses)
    scores, losses = scores[defined], losses[defined]
    totals, binary, rows = np.cumsum(losses), bool(np.isin(losses, (0, 1)).all()), len(scores)
    best = None
    for count in _tested_counts(scores, max_error, binary):
        if p_value(totals[count - 1], count, max_error, binary) > 1 - LEVEL:
            break
        below = float(scores[count]) if count < rows else -math.inf
        best = Cut(below, rows, count, float(totals[count - 1] / count))
    return best


def _tested_counts(scores: np.ndarray, max_error: float, binary: bool) -> list[int]:
    """How many rows each tested cut answers: STEPS numbers up to all; equal scores stay together.

    The first depends on nothing but the number of rows: a tenth of them, and at least as many as a test can do with, or can do
    with in spite of one error if those are half of the rows at most.
    """
    rows, first = len(scores), rows_needed(max_error)
    if first > rows:
        return []
    half = range(first, rows // 2 + 1)
    first = max(next((n for n in half if p_value(1, n, max_error, binary) <= 1 - LEVEL), first), rows // 10)
    steps = np.linspace(first, rows, STEPS).astype(int)
    return np.unique(np.searchsorted(-scores, -scores[steps - 1], side="right")).tolist()


def rows_needed(max_error: float) -> int:
    """How many held-out rows a guarantee needs if not one of them is wrong: fewer never give it."""
    return math.ceil(math.log(1 - LEVEL) / math.log1p(-max_error))


def p_value(total: float, rows: int, max_error: float, binary: bool) -> float:
    """Of so many rows with that total loss, if their mean loss were really `max_error`, or more.

    Binomial where losses are 0 or 1, else Hoeffding-Bentkus.
    """
    if binary:
        return binomial_tail(round(total), rows, max_error)
    mean = min(total / rows, max_error)
    divergence = (mean * math.log(mean / max_error) if mean else 0.0) + (1 - mean) * math.log((1 - mean) / (1 - max_error))
    return min(math.exp(-rows * divergence), math.e * binomial_tail(math.ceil(total - 1e-9), rows, max_error), 1.0)


def binomial_tail(most: int, rows: int, rate: float) -> float:
    """The probability of at most so many successes in so many trials."""
    counts = np.arange(min(most, rows) + 1)
    factorials = log_factorials(1 << rows.bit_length())
    logs = factorials[rows] - factorials[counts] - factorials[rows - counts]
    return float(np.exp(logs + counts * math.log(rate) + (rows - counts) * math.log1p(-rate)).sum())


@functools.cache
def log_factorials(most: int) -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, most + 1)))])


# ---------------------------------------------------------------------------------------------------------------------------
# Rules


@dataclass(frozen=True, kw_only=True)
class ReviewRule:
    """Which rows go to a person: none, unless one of the three is given.

    Attributes
    ----------
    max_error: the guarantee: with 95 % certainty the mean loss of answered rows is at most that.
    max_review: the share of rows for people: that of validation rows, which new rows come near to.
    cost_error, cost_review: a person is asked where that costs less than an answer of such confidence is to be expected to
        (Chow 1970, "On optimum recognition error and reject tradeoff").
    risk: of a multi-label predictor, what `max_error` is about: one of `RISKS`, None for the first.

    Raises InputError for numbers out of range, or more than one rule.
    """

    max_error: float | None = None
    max_review: float | None = None
    cost_error: float | None = None
    cost_review: float | None = None
    risk: str | None = None

    def __post_init__(self) -> None:
        by_cost = self.cost_error is not None or self.cost_review is not None
        if sum([self.max_error is not None, self.max_review is not None, by_cost]) > 1:
            raise InputError("choose one of max-error, max-review and the two costs")
        if self.max_error is not None and not 1e-9 <= self.max_error < 1:
            raise InputError(f"max-error {self.max_error:g}: expected a share between 0 and 1, such as 0.05")
        if self.max_review is not None and not 0 <= self.max_review <= 1:
            raise InputError(f"max-review {self.max_review:g}: expected a share from 0 to 1, such as 0.2")
        if by_cost and not (self.cost_error is not None and self.cost_review is not None):
            raise InputError("cost-error and cost-review go together")
        if by_cost and not all(cost is not None and 0 < cost < math.inf for cost in (self.cost_error, self.cost_review)):
            raise InputError("cost-error, cost-review: expected numbers above 0")
        if self.risk is not None and self.max_error is None and self.max_review is None:
            raise InputError(f"risk {self.risk}: goes with max-error or max-review")

    @property
    def is_none(self) -> bool:
        """Whether every row is answered."""
        return self.max_error is None and self.max_review is None and self.cost_error is None


@dataclass(frozen=True)
class Decided:
    """(R,) of each row: how likely its answer is right, and whether a person is to see it."""

    confidence: np.ndarray
    review: np.ndarray


@dataclass(frozen=True)
class Reviewer:
    """A rule that is ready for the rows of one predictor: `decide` takes any number of rows at a time, in any process.

    Rows are answered if their score is above `cut` and their confidence is at least `least_confidence`. `line` says what the
    rule came to, or that the confidence is not calibrated; empty if there is nothing to say. Its `repr` tells it apart from
    those that decide otherwise.
    """

    rule: ReviewRule
    thresholds: list[float] | None
    calibration: Calibration | None  # without the scores of validation rows, which have done their part
    risk: str
    cut: float = -math.inf
    least_confidence: float = 0.0
    line: str = ""

    @property
    def asks(self) -> bool:
        """Whether rows may be left to a person."""
        return not self.rule.is_none

    def decide(self, probabilities: np.ndarray) -> Decided:
        """Decide on rows by the network's own probabilities, (R, L)."""
        answered = answered_labels(probabilities, self.thresholds)
        confidence = row_confidence(self.calibrated(probabilities), answered)
        scores = row_scores(probabilities, self.thresholds, self.risk)
        return Decided(confidence, (scores <= self.cut) | (confidence < self.least_confidence))

    def calibrated(self, probabilities: np.ndarray) -> np.ndarray:
        """(R, L) calibrated probabilities; those of the network, where the predictor has no calibration."""
        return self.calibration.apply(probabilities) if self.calibration else probabilities.astype(np.float64)


def reviewer(task: str, thresholds: list[float] | None, calibration: Calibration | None, rule: ReviewRule) -> Reviewer:
    """Make a rule ready for a predictor.

    Raises InputError, with what would do, if the predictor has no calibration or no such risk, or cannot give the guarantee.
    """
    risk = rule.risk or RISKS[task][0]
    if risk not in RISKS[task]:
        raise InputError(f"risk {risk!r}: not one of this predictor; expected {' or '.join(RISKS[task])}, or none")
    if calibration is None:
        if not rule.is_none:
            raise InputError("the predictor was saved without calibration, which the rule needs: train it again")
        line = "the confidence is not calibrated: the predictor was saved without calibration"
        return Reviewer(rule, thresholds, None, risk, line=line)
    made = functools.partial(Reviewer, rule, thresholds, replace(calibration, held_out={}), risk)
    scores, losses = calibration.held_out[risk].read()
    if rule.max_error is not None:
        cut = guaranteed_cut(scores, losses, rule.max_error)
        if cut is None:
            why = why_no_guarantee(scores, losses, rule.max_error)
            raise InputError(f"max-error {rule.max_error:g}: {why}; allow more errors, or train with more validation rows")
        above = (scores > cut.score).mean()
        line = f"the most confident rows are answered, {above:.1%} of the {counted(len(scores), 'validation row')}"
        certain = f"with {LEVEL:.0%} certainty at most {100 * rule.max_error:g}% {MEANING[risk]}"
        return made(cut=cut.score, line=f"{line}; {certain}")
    if rule.max_review is not None:
        most = math.floor(rule.max_review * len(scores) + 1e-9)
        score = math.inf if most >= len(scores) else _highest_below(scores, most)
        below = (scores <= score).mean() if len(scores) else 0
        return made(
            cut=score,
            line=f"the least confident rows are left to a person, {below:.1%} of the {counted(len(scores), 'validation row')}",
        )
    if rule.cost_error is not None and rule.cost_review is not None:
        least = 1 - rule.cost_review / rule.cost_error
        return made(least_confidence=least, line=f"rows with a confidence below {max(least, 0):.1%} are left to a person")
    return made()


def _highest_below(scores: np.ndarray, most: int) -> float:
    """The highest cut that leaves at most so many of the falling scores at or below it."""
    last_answered = scores[len(scores) - most - 1]
    below = scores[scores < last_answered]
    return float(below[0]) if len(below) else -math.inf


def why_no_guarantee(scores: np.ndarray, losses: np.ndarray, max_error: float) -> str:
    """In words, why `guaranteed_cut` found none, and how many rows would do if that is why."""
    defined = ~np.isnan(losses)
    scores, losses, needed = scores[defined], losses[defined], rows_needed(max_error)
    if len(losses) < needed:
        rows = counted(len(losses), "validation row")
        return f"cannot be guaranteed by {rows}; the fewest that can are {needed:,}, if all are right"
    first = _tested_counts(scores, max_error, bool(np.isin(losses, (0, 1)).all()))[0]
    error = losses[:first].mean()
    doubt = ", which so few rows do not make certain enough" if error <= max_error else ""
    return f"cannot be guaranteed: the error of the {counted(first, 'most confident validation row')} is {error:.1%}{doubt}"
