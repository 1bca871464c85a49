"""Iterative stratification: a sample of rows with any number of labels that keeps the share of every label."""

from collections.abc import Sequence

import numpy as np


def iterative_sample(units: Sequence[Sequence[tuple[str, ...]]], size: int, seed: int, both: bool) -> list[int]:
    """The sorted indices of units drawn at random so that each label is drawn in its share, as `tables.Draw` has it.

    Sechidis, Tsoumakas and Vlahavas 2011, "On the Stratification of Multi-Label Data". A unit has a label if one of its
    rows has. The shares come first: with `both` the draw is of about `size` units; else it is brought to `size` exactly.

    Wherever the units allow it, a row with and a row without each label is drawn, and with `both`, before that, left over.
    """
    # Importing it takes a second, for scikit-learn.
    from iterstrat.ml_stratifiers import MultilabelStratifiedShuffleSplit

    has, lacks = _marks(units)
    # Two labels that nobody has, since the library takes a single column for a task of one label.
    padded = np.pad(has, ((0, 0), (0, 2)))
    splitter = MultilabelStratifiedShuffleSplit(n_splits=1, test_size=size, random_state=seed)
    drawn = np.zeros(len(units), dtype=bool)
    drawn[next(splitter.split(padded, padded))[1]] = True

    marks, rng = np.hstack([has, lacks]), np.random.default_rng(seed)
    _cover(drawn, marks, rng)
    if both:
        left = ~drawn
        _cover(left, marks, rng)
        return np.flatnonzero(~left).tolist()
    missing = size - drawn.sum()
    if missing > 0:
        drawn[rng.choice(np.flatnonzero(~drawn), missing, replace=False)] = True
    for _ in range(-missing):
        drawn[_one_to_spare(np.flatnonzero(drawn), drawn, marks, rng)] = False
    return np.flatnonzero(drawn).tolist()


def iterative_folds(units: Sequence[Sequence[tuple[str, ...]]], folds: int, seed: int) -> list[int]:
    """The fold of each unit, dealt so that each fold has its share of every label, as `splits.Deal` has it (source: above)."""
    from iterstrat.ml_stratifiers import MultilabelStratifiedKFold

    has, _ = _marks(units)
    padded = np.pad(has, ((0, 0), (0, 2)))
    fold_of = np.zeros(len(units), int)
    splitter = MultilabelStratifiedKFold(folds, shuffle=True, random_state=seed)
    for fold, (_, held_out) in enumerate(splitter.split(padded, padded)):
        fold_of[held_out] = fold
    return fold_of.tolist()


def _marks(units: Sequence[Sequence[tuple[str, ...]]]) -> tuple[np.ndarray, np.ndarray]:
    """Two (units, labels) arrays of bool: whether a row of the unit has the label, and whether one lacks it."""
    labels = sorted({label for unit in units for row in unit for label in row})
    has, lacks = np.zeros((2, len(units), len(labels)), dtype=bool)
    for number, unit in enumerate(units):
        rows = np.array([[label in row for label in labels] for row in unit], dtype=bool)
        has[number], lacks[number] = rows.any(axis=0), ~rows.all(axis=0)
    return has, lacks


def _cover(side: np.ndarray, marks: np.ndarray, rng: np.random.Generator) -> None:
    """Bring units over to a side, (units,) of bool, until it has each mark, (units, marks) of bool, that a unit has."""
    for mark in np.argsort(marks.sum(axis=0), kind="stable"):  # the rarest first
        bearers = np.flatnonzero(marks[:, mark])
        if bearers.size and not side[bearers].any():
            side[_one_to_spare(bearers, ~side, marks, rng)] = True


def _one_to_spare(candidates: np.ndarray, side: np.ndarray, marks: np.ndarray, rng: np.random.Generator) -> int:
    """One of the candidates at random, but not the last unit on its side to have some mark where there is another."""
    last = marks[side].sum(axis=0) == 1
    missed = (marks[candidates] & last).any(axis=1)
    return rng.choice(candidates[missed == missed.min()])
