"""Which rows test a comparison: those of one split, or, where they would be few, every row in its turn, in folds."""

from dataclasses import dataclass, replace
from typing import Any

from halfbert.comparison.baseline import READ
from halfbert.data import splits
from halfbert.data.phrases import counted
from halfbert.data.tables import Data, Findings, Reading, Rows
from halfbert.options import CompareOptions, TrainOptions
from halfbert.system.console import say
from halfbert.system.errors import InputError
from halfbert.training import crossvalidation, steps, tasks

FOLDS = 5  # four fifths to learn from, and five fits take about as long as one of full size
FEWEST_ROWS = 2000  # of a table whose tenth tells contestants apart well enough


@dataclass(frozen=True)
class Dealt:
    """The rows of the table, in its order, the fold of each, and for each fold the data of its fit, it being the test."""

    rows: Rows
    fold_of: Any  # (rows,) int
    folds: list[Data]


def of_table(options: TrainOptions) -> dict[str, Any]:
    """The options that decide which rows are in which fold."""
    return {name: getattr(options, name) for name in (*READ, "cv") if hasattr(options, name)}


def read(options: CompareOptions, requested: TrainOptions) -> tuple[Data, Dealt | None, str | None]:
    """The rows, said in a line; their folds, if there are some; and a note where a small table is split all the same.

    In folds the data is that of the first one, but for the test rows, which are all of them.
    """
    folds, note = options.cv, None
    if folds == "auto":
        folds = "none" if requested.val or requested.test or options.test_rows or options.distill else FOLDS
    if not isinstance(folds, int):
        return steps.read(options.task, requested), None, None
    data = steps.read_rows(options.task, replace(requested, rows=None))
    if options.cv == "auto" and len(data.train) + len(data.val) + len(data.test) >= FEWEST_ROWS:
        return steps.read(options.task, requested), None, None
    try:
        dealt = deal(replace(requested, cv=folds), data)  # type: ignore[call-arg]
    except InputError as error:
        if options.cv != "auto":
            raise
        note = f"one split, as the rows cannot be dealt out to folds: {error}"
        return steps.read(options.task, requested), None, note
    rows, labels = counted(len(dealt.rows), "row"), counted(len(data.labels), "label")
    say(f"{data.files[0]['name']}: {rows}, {labels}; {folds} folds, so that every row is a test row once")
    for line in data.notes:
        say(f"  {line}")
    return replace(dealt.folds[0], test=dealt.rows), dealt, None


def deal(options: TrainOptions, data: Data | None = None) -> Dealt:
    """Deal all rows of the one table out to folds; `data` are they, split anyhow, if they were read before.

    Of the rows that a fit may learn from, `options.rows` are drawn; every row is tested all the same. Raises InputError where
    some fold would have no row to learn a label from.
    """
    data = data or steps.read_rows(options.task, replace(options, rows=None))
    pooled = data.train.followed_by(data.val).followed_by(data.test)
    every = pooled.take(sorted(range(len(pooled)), key=pooled.numbers.__getitem__))
    plan = crossvalidation.plan(options, replace(data, train=every, val=every.take([])))  # type: ignore[arg-type]
    assert plan is not None
    sampling = Reading(train="", text_column="", rows=options.rows, seed=options.split_seed or 0)
    folds = []
    for fold in plan.folds:
        parts = dict(fold.parts())
        splits.sample(parts, len(data.labels), tasks.DRAWS[options.task], sampling, Findings())
        folds.append(replace(fold, train=parts["train"], val=parts["val"]))
    return Dealt(plan.rows, plan.fold_of, folds)
