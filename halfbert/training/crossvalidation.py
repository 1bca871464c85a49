"""Cross-validation beside a run: its fit once more without each of K parts, and what the left-out rows say.

The predictor is saved before the first fold begins, so that nothing which happens to a fold costs more than the folds.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from halfbert.data import splits
from halfbert.data.cells import quoted
from halfbert.data.checks import rows_together
from halfbert.data.phrases import counted, listed
from halfbert.data.tables import Data, Rows
from halfbert.models import memory
from halfbert.options import MulticlassOptions, MultilabelOptions
from halfbert.output import sheets, text
from halfbert.output.advice import LABEL_ERROR_COLUMNS, LABEL_ERRORS, LabelErrors
from halfbert.output.folds import SCORES, CrossValidation, Fold, RowCounts
from halfbert.output.record import Record
from halfbert.predictor.manifest import Numbers
from halfbert.scoring import intervals
from halfbert.scoring.intervals import Spread
from halfbert.system import cluster, storage
from halfbert.system.console import Stopped, say
from halfbert.system.errors import HalfbertError, InputError
from halfbert.training import advice, mislabelled, saving, steps, tasks
from halfbert.training.values import Fitted, Prepared

ANSWERS = "out_of_fold.csv"


@dataclass(frozen=True)
class Plan:
    """The rows that are dealt out, the file and the fold of each, and for each fold the data of its fit, it being the test."""

    rows: Rows
    files: list[str]
    fold_of: np.ndarray
    folds: list[Data]


class Answers:
    """What the folds have left so far: their scores, and (rows, labels) probabilities and answers (bool) to the plan's rows."""

    def __init__(self, plan: Plan, labels: int):
        self.folds: list[Fold] = []
        self.probabilities, self.answers = np.zeros((len(plan.rows), labels)), np.zeros((len(plan.rows), labels), bool)


def check_machine(options: MulticlassOptions | MultilabelOptions) -> None:
    """Raise InputError where several machines were to fit the folds together."""
    if options.cv is not None and cluster.here().count > 1:
        raise InputError(f"--cv {options.cv}: fits on one machine; unset {cluster.VARIABLE}")


def plan(options: MulticlassOptions | MultilabelOptions, data: Data) -> Plan | None:
    """Deal the training and validation rows out to folds; None without --cv.

    Stratified by label; equal texts and groups stay together. Each fold's fit gets a validation part of its own from the
    other folds. Raises InputError where some fold would have no row to learn a label from.
    """
    if options.cv is None:
        return None
    task, seed, rows = options.task, options.split_seed or 0, data.train.followed_by(data.val)
    together = rows_together(rows)
    units = splits.units_of(rows, together)
    _check_enough(options, rows, units, data.labels)
    fold_of = np.zeros(len(rows), int)
    for unit, fold in zip(together, tasks.DEALS[task](units, options.cv, seed), strict=True):
        fold_of[unit] = fold
    folds = []
    for fold in range(options.cv):
        held_out, others = (rows.take(np.flatnonzero(chosen).tolist()) for chosen in (fold_of == fold, fold_of != fold))
        train, val = splits.split_off(others, 1 / splits.HELD_OUT, tasks.DRAWS[task], seed)
        untaught = np.flatnonzero(~tasks.truth(task, train, data.labels).any(axis=0))
        if len(untaught):
            raise InputError(
                f"--cv {options.cv}: without fold {fold + 1} no row is left to learn "
                f"{listed([quoted(data.labels[number]) for number in untaught])} from; add rows, or leave these labels out"
            )
        folds.append(replace(data, train=train, val=val, test=held_out))
    return Plan(rows, [part.file for part in (data.train, data.val) for _ in part.texts], fold_of, folds)


def _check_enough(
    options: MulticlassOptions | MultilabelOptions, rows: Rows, units: list[list[Any]], labels: list[str]
) -> None:
    """Raise InputError where there are more folds than texts (groups), for multiclass of some label; note it for multilabel."""
    folds, what = getattr(options, "cv", 0), "texts" if rows.groups is None else "groups"
    if len(units) < folds:
        raise InputError(f"--cv {folds}: there are only {len(units):,} different {what}; give a smaller number")
    if options.task == "multilabel":
        having = Counter(label for unit in units for label in {label for row in unit for label in row})
        rare = [f"{quoted(label)} ({having[label]:,})" for label in labels if having[label] < folds]
        if rare:
            say(f"  --cv {folds}: labels with fewer {what} than folds, absent from some, where their F1 is 0: {listed(rare)}")
        return
    having = Counter(splits.commonest(unit) for unit in units)
    rare = [f"{quoted(label)} has {having[label]:,}" for label in labels if having[label] < folds]
    if rare:
        raise InputError(
            f"--cv {folds}: each label needs as many different {what} as there are folds, and {listed(rare)}; "
            "give a smaller number, add rows or leave these labels out"
        )


def beside(prepared: Prepared, plan: Plan, fitted: Fitted, fit: Callable[..., Fitted], record: Record, results: Path) -> Record:
    """Fit the folds, add what they say to a run's `results` folder, and return its record with their scores.

    `fit` is `course.fit`, `fitted` the run's own fit. A fold that fails, or a signal, ends the folds: the finished ones stay.
    """
    _estimate(prepared, plan, fitted)
    found, stopped, errors = Answers(plan, len(prepared.data.labels)), None, None
    prepared.stop.gently = False
    try:
        for number, data in enumerate(plan.folds):
            prepared.stop.raise_if_set()
            fold = _answer(prepared, plan, number, data, fit, found)
            scores = ", ".join(f"{text.FOLD_NAMES[name]} {score or 0:.3f}" for name, score in fold.scores.items())
            say(f"fold {number + 1} of {len(plan.folds)}: {scores}; {fold.seconds:.0f} s")
        errors = _find_errors(prepared, plan, found, results)
    except (Stopped, HalfbertError) as ended:
        stopped = f"fold {len(found.folds) + 1}: {ended}"
        say(f"cross-validation ended early, in {stopped}; {prepared.options.output} and the finished folds are saved")
    finally:
        prepared.stop.gently = True
    if found.folds:
        _write_answers(prepared, plan, found, results)
    spreads = _spreads(prepared, plan, found.folds)
    count = errors.count if errors else None
    of_folds = CrossValidation(len(plan.folds), len(plan.rows), found.folds, spreads, stopped, count)
    record = replace(record, cross_validation=of_folds, label_errors=errors or record.label_errors)
    record = replace(record, suggestions=advice.suggestions(record, prepared.options))
    storage.write_text(text.scores_table(record), results / "report.txt")
    saving.write_record(record, results)
    return record


def _estimate(prepared: Prepared, plan: Plan, fitted: Fitted) -> None:
    rows = sum(len(data.train) for data in plan.folds)
    seconds = fitted.fit_seconds * rows / len(prepared.data.train)
    time = f"{seconds / 60:.0f} min" if seconds > 100 else f"{seconds:.0f} s"
    size = counted(len(plan.rows) // len(plan.folds), "row")
    folds = f"{len(plan.folds)} folds of about {size}, about {time}"
    say(f"cross-validation: {folds}; the predictor is saved as {prepared.options.output}")


@memory.releasing()
def _answer(prepared: Prepared, plan: Plan, number: int, data: Data, fit: Callable[..., Fitted], found: Answers) -> Fold:
    """Fit on the other folds and answer the rows of this one, into `found`."""
    truth = {part: tasks.truth(prepared.task, rows, data.labels) for part, rows in data.parts()}
    of_fold = replace(prepared, data=data, truth=truth)
    fitted = fit(of_fold, fold=True)
    tested = steps.score_test(of_fold, fitted)
    rows = RowCounts(len(data.train), len(data.val), len(data.test))
    known, seconds = text.card_scores(tested.scores or {}), fitted.fit_seconds + (tested.seconds or 0.0)
    scores: Numbers = {name: known.get(name) for name in SCORES[prepared.task]}
    fold = Fold(rows, fitted.history.best_epoch, scores, fitted.thresholds, seconds)
    held_out = plan.fold_of == number
    found.probabilities[held_out] = tested.probabilities
    found.answers[held_out] = tasks.answers(prepared.task, tested.probabilities, fitted.thresholds)
    found.folds.append(fold)
    return fold


def _spreads(prepared: Prepared, plan: Plan, folds: list[Fold]) -> dict[str, Spread]:
    """Mean and interval of the scores that every fold has; none where not all were finished."""
    held_out = len(plan.rows) / len(plan.folds)
    scores = {name: [score for fold in folds if (score := fold.scores[name]) is not None] for name in SCORES[prepared.task]}
    return {
        name: intervals.cross_validated(of_folds, held_out, len(plan.rows) - held_out)
        for name, of_folds in scores.items()
        if len(of_folds) == len(plan.folds)
    }


def _write_answers(prepared: Prepared, plan: Plan, found: Answers, results: Path) -> None:
    """Write ANSWERS: fold, labels, answer and probabilities of each row of a finished fold, without its text."""
    labels = prepared.data.labels
    columns = [f"probability of {label}" for label in labels]
    rows = [
        {
            **_place(plan, index),
            "fold": int(plan.fold_of[index]) + 1,
            "label": _labels(prepared, plan, index),
            "answer": tasks.named(found.answers[index], labels),
            **{name: f"{value:.6f}" for name, value in zip(columns, found.probabilities[index].tolist(), strict=True)},
        }
        for index in np.flatnonzero(plan.fold_of < len(found.folds)).tolist()
    ]
    sheets.write_csv(results / ANSWERS, ["file", "row", "fold", "label", "answer", *columns], rows)


def _find_errors(prepared: Prepared, plan: Plan, found: Answers, results: Path) -> LabelErrors | None:
    """Write LABEL_ERRORS, the rows whose label is likely wrong, worst first; None if they cannot be found."""
    truth = tasks.truth(prepared.task, plan.rows, prepared.data.labels)
    rows = [{**_place(plan, index), "text": words} for index, words in enumerate(plan.rows.texts)]
    try:
        lines = mislabelled.listed(prepared.task, rows, truth, found.probabilities, prepared.data.labels)
    except ValueError as error:  # of a table that gives confident learning nothing to go by
        say(f"likely label errors: not searched for ({' '.join(str(error).split())})")
        return None
    sheets.write_csv(results / LABEL_ERRORS, LABEL_ERROR_COLUMNS, lines)
    errors = LabelErrors(len(lines), len(plan.rows), prepared.checkpoint.model)
    mislabelled.announce(errors, prepared.options.results)
    return errors


def _place(plan: Plan, index: int) -> dict[str, Any]:
    return {"file": Path(plan.files[index]).name, "row": plan.rows.numbers[index]}


def _labels(prepared: Prepared, plan: Plan, index: int) -> str:
    label = plan.rows.labels[index]
    return "; ".join(label) if prepared.task == "multilabel" else label
