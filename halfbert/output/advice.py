"""What a run says of its rows and of what to do next, as its record has it."""

from dataclasses import dataclass, field

from halfbert.scoring.intervals import Difference

LABEL_ERRORS, LABEL_CONFLICTS = "label_errors.csv", "label_conflicts.csv"
LABEL_ERROR_COLUMNS = ("file", "row", "text", "given", "suggested", "confidence")
LABEL_CONFLICT_COLUMNS = ("file", "row", "text", "label")


@dataclass(frozen=True)
class Suggestion:
    """What to do next, why (the evidence from the run), and the command that does it, if one does."""

    what: str
    why: str
    command: str | None = None


@dataclass(frozen=True)
class LabelErrors:
    """So many (`count`) of `rows` likely have a wrong label, as LABEL_ERRORS lists them.

    `source` answered each row without having learnt from it: tfidf, or with cross-validation the run's model.
    """

    count: int
    rows: int
    source: str


@dataclass(frozen=True)
class CurvePoint:
    """A score on the test rows after training on so many rows."""

    rows: int
    score: float


@dataclass(frozen=True)
class Growth:
    """TF-IDF's learning curve in macro F1, and `rise`: its score with all training rows less that with half of them."""

    curve: list[CurvePoint]
    rise: Difference


@dataclass(frozen=True)
class Truncation:
    """Test rows that were truncated, and how many of these and of the others are wrong.

    `p_value`: of Fisher's exact test that truncated ones are no more often wrong; `tokens`: what 99 % of the test rows have
    at most.
    """

    rows: int
    wrong: int
    others: int
    others_wrong: int
    p_value: float
    tokens: int


@dataclass(frozen=True)
class OtherRule:
    """The rule for thresholds with the best macro F1 on validation rows, by thresholds of other rows, less the run's own."""

    rule: str
    gain: Difference


@dataclass(frozen=True)
class OtherRun:
    """A finished run of the other model on the same rows: its predictor, and BERT's macro F1 less DistilBERT's."""

    predictor: str
    model: str
    gain: Difference


@dataclass(frozen=True)
class Evidence:
    """What suggestions are based on, as far as it was measured; the intervals are those of a paired bootstrap."""

    growth: Growth | None = None
    truncation: Truncation | None = None
    threshold: OtherRule | None = None
    others: list[OtherRun] = field(default_factory=list)
