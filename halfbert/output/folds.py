"""What a record says of a cross-validation."""

from dataclasses import dataclass

from halfbert.predictor.manifest import Numbers
from halfbert.scoring.intervals import Spread

SCORES = {  # of each fold; all are shares, and the larger is better
    "multiclass": ("accuracy", "balanced_accuracy", "macro_f1"),
    "multilabel": ("micro_f1", "macro_f1", "mean_average_precision"),
}


@dataclass(frozen=True)
class RowCounts:
    train: int
    val: int
    test: int


@dataclass(frozen=True)
class Fold:
    """One fit: its rows, the fold being its test, and the scores of that, with many labels at its `thresholds`."""

    rows: RowCounts
    best_epoch: int
    scores: Numbers
    thresholds: list[float] | None
    seconds: float


@dataclass(frozen=True)
class CrossValidation:
    """So many `folds` of so many `rows`; `finished` has those that came to their end, `stopped` why there are no more.

    `scores`: those that every fold has, with the corrected resampled t interval (`scoring.intervals.cross_validated`).
    `label_errors`: how many labels are likely wrong, None where they were not searched for.
    """

    folds: int
    rows: int
    finished: list[Fold]
    scores: dict[str, Spread]
    stopped: str | None = None
    label_errors: int | None = None
