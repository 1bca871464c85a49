"""Whether rows come from where reference rows came from, by summaries of both that hold no text; numpy alone.

Numbers are compared by the two-sample Kolmogorov-Smirnov test, shares by Fisher's exact test. All p-values are adjusted for the
number of tests: by Bonferroni's method within an aspect of several tests, by Holm's (1979) over the aspects. What is
significant counts as a change only if it is also large enough to matter (`LEAST_EFFECT`): among enough rows any difference is
significant.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from halfbert.scoring.review import log_factorials

LEVEL = 0.01  # how likely an alarm is where nothing has changed, over all tests
FEWEST_ROWS = 20
VALIDATION = "validation rows"  # the source of the summaries that training keeps
MOST_QUANTILES = 500  # of a number that are kept; of fewer rows every value
DIGITS = 4
NUMBERS = ("words", "tokens", "confidence")
# Of numbers the largest difference of two cumulative shares: so large a part of the rows has moved. Of shares the odds ratio.
LEAST_EFFECT = {"words": 0.1, "tokens": 0.1, "confidence": 0.1, "unknown": 1.5, "labels": 1.5}
TERMS = 100  # of Kolmogorov's series


@dataclass(frozen=True)
class Summaries:
    """What is kept of `rows` rows; no text, and no row, as each number is sorted by itself.

    Rising quantiles, in one string each as a manifest holds them: `words` of a row, `tokens` a word, `confidence` in the
    answer. `labels` counts the rows with each label as their answer, `unknown` those with a token that the tokenizer does not
    know, None where it was not counted.
    """

    source: str
    rows: int
    labels: list[int]
    words: str
    tokens: str
    confidence: str
    unknown: int | None = None

    @classmethod
    def of(
        cls,
        source: str,
        words: np.ndarray,
        tokens: np.ndarray,
        confidence: np.ndarray,
        labels: np.ndarray,
        unknown: int | None = None,
    ) -> "Summaries":
        """Of (rows,) words, tokens without the special ones, confidence, and counts."""
        a_word = _quantiles(tokens / np.maximum(words, 1))
        return cls(source, len(words), labels.tolist(), _quantiles(words), a_word, _quantiles(confidence), unknown)

    def check(self, labels: int) -> None:
        """Raise ValueError unless all of it is there, and fits the labels."""
        if len(self.labels) != labels or not all(0 <= count <= self.rows for count in (*self.labels, self.unknown or 0)):
            raise ValueError(f"expected a count for each of the {labels} labels, of at most all rows")
        for number in NUMBERS:
            values = self.quantiles(number)
            if (
                len(values) != min(self.rows, MOST_QUANTILES)
                or not (np.diff(values) >= 0).all()
                or not np.isfinite(values).all()
            ):
                raise ValueError(f"expected rising quantiles of {number}")

    def quantiles(self, number: str) -> np.ndarray:
        """Those of a number, rising."""
        return np.array([float(word) for word in getattr(self, number).split()])


def _quantiles(values: np.ndarray) -> str:
    kept = np.linspace(0, len(values) - 1, min(len(values), MOST_QUANTILES)).round().astype(int)
    return " ".join(f"{value:.{DIGITS}g}" for value in np.sort(values)[kept].tolist())


@dataclass(frozen=True)
class Comparison:
    """How one aspect of rows, or the share of one label, differs.

    `before` and `now`: the quartiles of a number, or a share. `p_value` is adjusted for all tests; `effect` is as LEAST_EFFECT
    has it.
    """

    aspect: str
    p_value: float
    effect: float
    before: tuple[float, ...] = ()
    now: tuple[float, ...] = ()
    label: int | None = None

    @property
    def changed(self) -> bool:
        """Whether the difference is neither chance nor a trifle."""
        return self.p_value <= LEVEL and self.effect >= LEAST_EFFECT[self.aspect]


def compare(reference: Summaries, rows: Summaries) -> list[Comparison]:
    """Compare new rows with reference rows, at least FEWEST_ROWS of each, in every aspect and label."""
    tests = aspects(reference, rows)
    factors = adjusting({aspect: [each.p_value for each in found] for aspect, found in tests.items()})
    return [replace(each, p_value=min(1.0, each.p_value * factors[each.aspect])) for found in tests.values() for each in found]


def aspects(reference: Summaries, rows: Summaries) -> dict[str, list[Comparison]]:
    """The comparisons of each aspect, their p-values not adjusted yet."""
    found = {number: [_compare_number(number, reference, rows)] for number in NUMBERS}
    if reference.unknown is not None and rows.unknown is not None:
        found["unknown"] = [_compare_share("unknown", reference, rows, reference.unknown, rows.unknown)]
    counts = zip(reference.labels, rows.labels, strict=True)
    found["labels"] = [_compare_share("labels", reference, rows, *both, label) for label, both in enumerate(counts)]
    return found


def adjusting(p_values: dict[str, list[float]]) -> dict[str, float]:
    """By what the p-values of each aspect are to be multiplied, to be compared with the level for all of them."""
    least = {aspect: len(several) * min(several) for aspect, several in p_values.items()}
    factors, largest = {}, 0.0
    for number, aspect in enumerate(sorted(least, key=least.__getitem__)):
        largest = max(largest, (len(least) - number) * least[aspect])
        factors[aspect] = len(p_values[aspect]) * largest / least[aspect] if least[aspect] else 1.0
    return factors


def least_visible(before: int, now: int) -> float:
    """The part of so many rows that has to move in one number to be significant by itself, about."""
    scaled = math.sqrt(-math.log(LEVEL / len(LEAST_EFFECT) / 2) / 2)
    return max(scaled * math.sqrt(1 / before + 1 / now), LEAST_EFFECT["words"])


def _compare_number(number: str, reference: Summaries, rows: Summaries) -> Comparison:
    before, now = reference.quantiles(number), rows.quantiles(number)
    p_value, distance = kolmogorov_smirnov(before, now, reference.rows, rows.rows)
    return Comparison(number, p_value, distance, _quartiles(before), _quartiles(now))


def _quartiles(values: np.ndarray) -> tuple[float, ...]:
    return tuple(np.quantile(values, [0.25, 0.5, 0.75]).tolist())


def kolmogorov_smirnov(before: np.ndarray, now: np.ndarray, rows_before: int, rows_now: int) -> tuple[float, float]:
    """The p-value and the distance of two samples of so many rows, by their rising quantiles.

    The p-value is Stephens' approximation (1970), too large where values are equal.
    """
    values = np.concatenate([before, now])
    of_both = [np.searchsorted(each, values, side="right") / len(each) for each in (before, now)]
    distance = float(np.abs(of_both[0] - of_both[1]).max())
    root = math.sqrt(rows_before * rows_now / (rows_before + rows_now))
    scaled = (root + 0.12 + 0.11 / root) * distance
    if scaled < 0.2:  # where the series converges slowly, and the p-value is 1
        return 1.0, distance
    terms = np.arange(1, TERMS + 1)
    series = np.where(terms % 2, 2, -2) * np.exp(-2 * (terms * scaled) ** 2)
    return float(np.clip(series.sum(), 0, 1)), distance


def _compare_share(
    aspect: str, reference: Summaries, rows: Summaries, before: int, now: int, label: int | None = None
) -> Comparison:
    """Compare how many of the rows have something; the effect is the ratio of the odds, at least 1."""
    odds = [(count + 0.5) / (of.rows - count + 0.5) for count, of in ((before, reference), (now, rows))]
    p_value = fisher(before, now, reference.rows, rows.rows)
    effect = max(odds[0] / odds[1], odds[1] / odds[0])
    return Comparison(aspect, p_value, effect, (before / reference.rows,), (now / rows.rows,), label)


def fisher(before: int, now: int, rows_before: int, rows_now: int) -> float:
    """The two-sided p-value of Fisher's exact test of two shares."""
    whole, rows = before + now, rows_before + rows_now
    logs = log_factorials(1 << rows.bit_length())
    counts = np.arange(max(0, whole - rows_now), min(whole, rows_before) + 1)

    def ways(of: int, chosen: np.ndarray | int) -> np.ndarray:
        return logs[of] - logs[chosen] - logs[of - chosen]

    likely = ways(rows_before, counts) + ways(rows_now, whole - counts) - ways(rows, whole)
    return min(1.0, float(np.exp(likely[likely <= likely[before - counts[0]] + 1e-7]).sum()))
