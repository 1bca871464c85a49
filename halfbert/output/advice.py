"""What a run says of its rows and of what to do next, as its record has it."""

from dataclasses import dataclass

LABEL_ERRORS = "label_errors.csv"
LABEL_ERROR_COLUMNS = ("file", "row", "text", "given", "suggested", "confidence")
MOST_SUGGESTIONS = 3


@dataclass(frozen=True)
class Suggestion:
    """What to do next, why (the evidence from the run), and the command that does it, if one does."""

    what: str
    why: str
    command: str | None = None


@dataclass(frozen=True)
class LabelErrors:
    """So many (`count`) of `rows` likely have a wrong label, by out-of-fold answers of `source`; LABEL_ERRORS lists them."""

    count: int
    rows: int
    source: str  # of the answers: "tfidf", or "network" with cross-validation
