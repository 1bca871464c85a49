"""Options of cross-validation, and of the rows that no split parts."""

from dataclasses import dataclass
from functools import partial

from halfbert.options import values
from halfbert.options.declaring import Options, option

in_cross_validation = partial(option, "cross-validation")


@dataclass(kw_only=True)
class CrossValidationOptions(Options):
    """How certain the scores of a small table are."""

    cv: int | None = in_cross_validation(
        None,
        "after the predictor, fit also without each of K stratified parts of the training and validation rows, for scores with "
        "an interval, an answer to every row and likely label errors",
        values.folds,
        metavar="K",
    )
    group_column: str | None = in_cross_validation(
        None, "column whose equal values keep rows together, such as a customer; also when test and validation rows are drawn"
    )
