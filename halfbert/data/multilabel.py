"""Read a table of any number of labels per text; what it shares with tables of one label is in `tables`."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import compress
from pathlib import Path

import numpy as np

from halfbert.data.formats import EVERY_OTHER, Table, cell_text, listed
from halfbert.data.tables import (
    Data,
    Rows,
    canonical_label,
    check_no_identifiers,
    check_seen_in_train,
    check_spelt_apart,
    complete_rows,
    count_repeats,
    describe_files,
    divide,
    drop_leaks,
    label_order,
    merge_spellings,
    place,
    plural,
    quoted,
    read_tables,
)
from halfbert.system.errors import InputError

ALL = "ALL"  # given in place of label columns, it means every column that is not the text

ANSWERS = {
    **dict.fromkeys(("1", "true", "t", "yes", "y"), True),
    **dict.fromkeys(("0", "false", "f", "no", "n", ""), False),
}
UNDERSTOOD = "1, true, t, yes or y where the label applies, 0, false, f, no, n or a blank cell where it does not"


def read_multilabel(
    train: str | Path,
    *,
    val: str | Path | None = None,
    test: str | Path | None = None,
    text_column: str,
    label_columns: Sequence[str] | None = None,
    label_column: str | None = None,
    label_separator: str | None = None,
    drop_constant_labels: bool = False,
    sheet: str | None = None,
    encoding: str | None = None,
    drop_missing: bool = False,
    keep_leaks: bool = False,
    rows: int | None = None,
    test_rows: int | None = None,
    seed: int = 0,
) -> Data:
    """Read a table of any number of labels per text, none included.

    The labels stand either in `label_columns` of 0 and 1 (["ALL"]: every column of the training file that has a name and
    is not the text), or by name in one `label_column`: as a list, which jsonl, parquet and hub data sets can hold, or as
    text with `label_separator` between two names. A blank cell means no label in both. A label that no training row has,
    or every one, is an error (`drop_constant_labels`: left out).

    Parts, leaks and samples are those of `tables.read_multiclass`, but for the sampling: iterative stratification keeps
    the share of every label. Of each label the training part keeps a row with and a row without it.

    Raises InputError, naming file, column and row, for whatever makes the table unfit to train on.
    """
    _check_columns(text_column, label_columns, label_column, label_separator)
    by_name = label_column is not None
    every = not by_name and list(label_columns) == [ALL]
    columns = [label_column] if by_name else [EVERY_OTHER] if every else label_columns
    counts, notes = {}, []
    sources = {"train": train, "val": val, "test": test}
    tables = read_tables(sources, (text_column, *columns), sheet, encoding, notes)
    if by_name:
        names = partial(_names, column=label_column, separator=label_separator)
        parts = complete_rows(tables, text_column, None, names, drop_missing, counts, notes)
        labels = _settle_names(parts, label_column, label_separator, counts, notes)
    else:
        _, *labels = tables["train"].columns
        if not labels:
            raise InputError(f"{train}: has no column beside {text_column!r} to take for a label")
        answers = partial(_answers, labels=labels, hint="; name the label columns with --label-columns" if every else "")
        parts = complete_rows(tables, text_column, None, answers, drop_missing, counts, notes)
    count_repeats(parts, counts, notes)
    drop_leaks(parts, keep_leaks, counts, notes)
    labels = _without_constant_labels(parts, labels, drop_constant_labels, counts, notes)
    notes += _unlabelled_rows(parts)
    divide(parts, len(labels), iterative_sample, rows, test_rows, seed, notes)
    notes += _rare_labels(parts, labels)
    return Data(**parts, labels=labels, files=describe_files(tables), counts=counts, notes=notes)


def _check_columns(
    text_column: str, label_columns: Sequence[str] | None, label_column: str | None, label_separator: str | None
) -> None:
    if bool(label_columns) == bool(label_column) or label_separator == "" or (label_separator and not label_column):
        raise InputError("give the label columns, or a label column and, but for lists, the separator of the names in it")
    columns = [label_column] if label_column else label_columns
    repeated = [column for column, count in Counter(columns).items() if count > 1]
    if repeated:
        raise InputError(f"the label column {repeated[0]!r} is named {columns.count(repeated[0])} times")
    if text_column in columns:
        raise InputError(f"the text column {text_column!r} is named as a label column as well")


# From cells to labels.


def _check_formulas(table: Table, columns: Sequence[str]) -> None:
    """What a formula without a stored value would answer is not known, and no blank."""
    for column in columns:
        without_value = table.formulas.get(column)
        if without_value:
            raise InputError(
                f"{place(table, min(without_value), column)}: holds a formula without a stored value, or with an error; "
                "open and save the file in a spreadsheet program"
            )


def _answers(table: Table, labels: Sequence[str], hint: str) -> list[tuple[str, ...]]:
    """The labels of each row, out of one 0/1 column a label."""
    _check_formulas(table, labels)
    answers = [[_answer(table, index, label, hint) for index in range(len(table.numbers))] for label in labels]
    return [tuple(compress(labels, row)) for row in zip(*answers, strict=True)]


def _answer(table: Table, index: int, label: str, hint: str) -> bool:
    cell = table.columns[label][index]
    if cell is None or cell != cell:  # NaN is how parquet and JSON leave a cell blank
        return False
    answer = ANSWERS.get(canonical_label(str(cell)).casefold())
    if answer is None:
        raise InputError(f"{place(table, index, label)}: {quoted(str(cell))} is no answer; understood are {UNDERSTOOD}{hint}")
    return answer


def _names(table: Table, column: str, separator: str | None) -> list[tuple[str, ...]]:
    """The labels of each row as its cell spells them."""
    _check_formulas(table, [column])
    spelt = (_names_of_cell(cell, place(table, i, column), separator) for i, cell in enumerate(table.columns[column]))
    return [tuple(dict.fromkeys(name.strip() for name in names if name and name.strip())) for names in spelt]


def _names_of_cell(cell, where: str, separator: str | None) -> list[str | None]:
    if isinstance(cell, list):
        return [cell_text(name, where) for name in cell]
    content = cell_text(cell, where)
    if content and separator is None:
        raise InputError(
            f"{where}: holds text and no list of names; say with --label-separator what stands between two names in it"
        )
    return content.split(separator) if content else []


def _settle_names(
    parts: dict[str, Rows], column: str, separator: str | None, counts: dict[str, int], notes: list[str]
) -> list[str]:
    """Make labels of the names and return those of train. They are checked as if each stood in a row of its own."""
    single = {role: _one_name_a_row(part) for role, part in parts.items()}
    merge_spellings(single, counts, notes)
    check_no_identifiers(single["train"], column)
    check_spelt_apart(single, column)
    check_seen_in_train(single, column)
    if all(len(names) < 2 for names in parts["train"].labels):
        between = f" with {separator!r} between them" if separator else ""
        notes.append(f"{parts['train'].file}: column {column!r} nowhere names two labels{between}")
    for part in parts.values():
        part.labels = [tuple(sorted(set(map(canonical_label, names)), key=label_order)) for names in part.labels]
    return sorted(set(single["train"].labels), key=label_order)


def _one_name_a_row(part: Rows) -> Rows:
    rows = part.take(index for index, names in enumerate(part.labels) for _ in names)
    rows.labels = [name for names in part.labels for name in names]
    return rows


# Labels that teach nothing, or little.


def _without_constant_labels(
    parts: dict[str, Rows], labels: list[str], drop: bool, counts: dict[str, int], notes: list[str]
) -> list[str]:
    """The labels that some training rows have and others do not; the rows keep no others."""
    train = parts["train"]
    having = Counter(label for row in train.labels for label in row)
    varying = [label for label in labels if 0 < having[label] < len(train)]
    constant = [f"{quoted(label)} in {having[label]:,}" for label in labels if label not in varying]
    counts["constant_labels_dropped"] = len(constant)
    described = f"of its {plural(len(train), 'row')} to train on, {', '.join(constant)}"
    if constant and not drop:
        raise InputError(
            f"{train.file}: labels that no row has, or every one, cannot be learnt: {described}; "
            "add rows, or give --drop-constant-labels to leave these labels out"
        )
    if not varying:
        raise InputError(f"{train.file}: has no label that some rows to train on have and others do not")
    if constant:
        notes.append(f"{train.file}: left out {plural(len(constant), 'label')} that no row has, or every one: {described}")
        for part in parts.values():
            part.labels = [tuple(label for label in row if label in varying) for row in part.labels]
    return varying


def _unlabelled_rows(parts: dict[str, Rows]) -> list[str]:
    """A note for each file that has rows without any label."""
    bare = {role: sum(not row for row in part.labels) for role, part in parts.items()}
    return [
        f"{part.file}: {bare[role]:,} of {plural(len(part), 'row')} have no label" for role, part in parts.items() if bare[role]
    ]


def _rare_labels(parts: dict[str, Rows], labels: Sequence[str]) -> list[str]:
    """A note if there are labels that do not stand in every part."""
    having = {role: Counter(label for row in part.labels for label in row) for role, part in parts.items()}
    rare = [
        f"{quoted(label)} ({having['train'][label]:,} to train, {having['val'][label]:,} to validate, "
        f"{having['test'][label]:,} to test)"
        for label in labels
        if not all(counter[label] for counter in having.values())
    ]
    return [f"too few rows to judge by: {listed(rare)}"] if rare else []


# Splitting and sampling.


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

    marks, chance = np.hstack([has, lacks]), np.random.default_rng(seed)
    _cover(drawn, marks, chance)
    if both:
        left = ~drawn
        _cover(left, marks, chance)
        return np.flatnonzero(~left).tolist()
    missing = size - drawn.sum()
    if missing > 0:
        drawn[chance.choice(np.flatnonzero(~drawn), missing, replace=False)] = True
    for _ in range(-missing):
        drawn[_one_to_spare(np.flatnonzero(drawn), drawn, marks, chance)] = False
    return np.flatnonzero(drawn).tolist()


def _marks(units: Sequence[Sequence[tuple[str, ...]]]) -> tuple[np.ndarray, np.ndarray]:
    """Two (units, labels) arrays of bool: whether a row of the unit has the label, and whether one lacks it."""
    labels = sorted({label for unit in units for row in unit for label in row})
    column = {label: number for number, label in enumerate(labels)}
    has, lacks = np.zeros((2, len(units), len(labels)), dtype=bool)
    for number, unit in enumerate(units):
        for row in unit:
            absent = np.ones(len(labels), dtype=bool)
            absent[[column[label] for label in row]] = False
            has[number] |= ~absent
            lacks[number] |= absent
    return has, lacks


def _cover(side: np.ndarray, marks: np.ndarray, chance: np.random.Generator) -> None:
    """Bring units over to a side, (units,) of bool, until it has each mark, (units, marks) of bool, that a unit has."""
    for mark in np.argsort(marks.sum(axis=0), kind="stable"):  # the rarest first
        bearers = np.flatnonzero(marks[:, mark])
        if bearers.size and not side[bearers].any():
            side[_one_to_spare(bearers, ~side, marks, chance)] = True


def _one_to_spare(candidates: np.ndarray, side: np.ndarray, marks: np.ndarray, chance: np.random.Generator) -> int:
    """One of the candidates at random, but not the last unit on its side to have some mark where there is another."""
    last = marks[side].sum(axis=0) == 1
    missed = (marks[candidates] & last).any(axis=1)
    return chance.choice(candidates[missed == missed.min()])
