"""Read a table of any number of labels per text."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import compress
from typing import Any

from halfbert.data import checks
from halfbert.data.cells import cell_text, label_order, name_text, quoted
from halfbert.data.checks import Parts
from halfbert.data.equality import normalise
from halfbert.data.iterative import iterative_sample
from halfbert.data.lists import check_no_list, read_names
from halfbert.data.phrases import counted, listed, listed_names, place
from halfbert.data.sources import describe_files, read_tables
from halfbert.data.splits import divide
from halfbert.data.tables import EVERY_OTHER, Data, Findings, Piece, Reading, Table
from halfbert.data.texts import located, text_columns
from halfbert.system.errors import InputError

ALL = "ALL"  # given in place of label columns, it means every column that is not the text

ANSWERS = {
    **dict.fromkeys(("1", "1.0", "true", "t", "yes", "y"), True),
    **dict.fromkeys(("0", "0.0", "false", "f", "no", "n"), False),
}
# Further words for a no, where --true-values says what a yes is.
NO_WORDS = ("nein", "non", "nee", "nej", "não", "nie", "ne", "falsch", "faux", "falso", "off", "-", "–", "—", "✗", "✘")
UNDERSTOOD = "1, true, t, yes or y where the label applies, 0, false, f, no, n or a blank cell where it does not"


def read_multilabel(
    reading: Reading,
    *,
    label_columns: Sequence[str] | None = None,
    label_column: str | None = None,
    label_separator: str | None = None,
    drop_constant_labels: bool = False,
    true_values: Sequence[str] | None = None,
) -> Data:
    """Read a table of any number of labels per text, none included.

    The labels stand either in `label_columns` of 0 and 1 (["ALL"]: every column of the training file that has a name and
    is not the text), where `true_values` are further words for 1, or by name in one `label_column`: as a list, which may be
    written out as text ("['a', 'b']"), or as text with `label_separator` between two names. A blank cell means no label in
    both. A label that no training row has, or every one, is an error (`drop_constant_labels`: left out).

    Iterative stratification keeps the share of every label. Of each label the training part keeps a row with and a row
    without it.

    Raises InputError, naming file, column and row, for whatever makes the table unfit to train on.
    """
    text = text_columns(reading.text_column)
    columns = _label_columns(text, label_columns, label_column, label_separator)
    findings = Findings()
    group_column = reading.group_column_beside(*text, *columns)
    tables = read_tables(reading, (*text, *group_column, *columns), findings)
    of_text = located(text, tables["train"].columns)
    labels = [name for name in tables["train"].columns if name not in (*of_text, *group_column)]
    if not labels:
        raise InputError(f"{tables['train'].file}: has no column beside {listed_names(of_text)} to take for a label")
    for table in tables.values():
        _check_formulas(table, labels)
    read_labels: Any
    if label_column is None:
        hint = "; name the label columns with --label-columns" if columns == [EVERY_OTHER] else ""
        read_labels = partial(_answers, labels=labels, meaning=_meaning(true_values), hint=hint)
    else:
        read_labels = partial(read_names, column=columns[0], separator=label_separator, findings=findings)
    # Who exports labels says which rows nobody has annotated; of other tables a blank cell is a row without labels.
    required = columns[0] if label_column is not None and any(table.export for table in tables.values()) else None
    parts = checks.complete_rows(tables, of_text, required, read_labels, reading.drop_missing, findings, *group_column)
    if label_column is not None:
        labels = _settle_names(parts, columns[0], label_separator, findings)
    checks.settle_repeats(parts, reading.keep_leaks, findings)
    labels = _without_constant_labels(parts, labels, drop_constant_labels, findings)
    for part in parts.values():
        if without := sum(not names for names in part.labels):
            findings.notes.append(f"{part.file}: {without:,} of {counted(len(part), 'row')} have no label")
    divide(parts, len(labels), iterative_sample, reading, findings)
    _note_rare_labels(parts, labels, findings)
    files = describe_files(tables)
    return Data(**parts, labels=labels, files=files, counts=findings.counts, notes=findings.notes, text_columns=of_text)


def _label_columns(
    text: Sequence[str], label_columns: Sequence[str] | None, label_column: str | None, label_separator: str | None
) -> list[str]:
    """The columns to read the labels from, EVERY_OTHER for ALL."""
    if bool(label_columns) == bool(label_column) or label_separator == "" or (label_separator and not label_column):
        raise InputError("give the label columns, or a label column and, but for lists, the separator of the names in it")
    columns: list[str] = (
        [Piece(name_text(column)) for column in label_columns] if label_columns else [name_text(label_column or "")]
    )
    if columns == [ALL] and label_columns:
        return [EVERY_OTHER]
    if twice := [column for column in text if column in columns]:
        raise InputError(f"the text column {twice[0]!r} is named as a label column as well")
    return columns


# From cells to labels.


def _check_formulas(table: Table, columns: Sequence[str]) -> None:
    """What a formula without a stored value would answer is not known, and no blank."""
    for column in columns:
        without_value = table.formulas.get(column)
        if without_value:
            raise InputError(
                f"{place(table.file, table.numbers[min(without_value)], column)}: holds a formula without a stored value, or "
                "with an error; open and save the file in a spreadsheet program"
            )


def _meaning(true_values: Sequence[str] | None) -> dict[str, bool]:
    """Whether each word in a label column says that the label applies."""
    if not true_values:
        return ANSWERS
    return ANSWERS | dict.fromkeys(NO_WORDS, False) | {normalise(word): True for word in true_values}


def _answers(table: Table, labels: Sequence[str], meaning: dict[str, bool], hint: str) -> list[tuple[str, ...]]:
    """The labels of each row, out of one 0/1 column a label."""
    answers = [[_answer(cell, where, meaning, hint) for cell, where in table.cells(label)] for label in labels]
    return [tuple(compress(labels, row)) for row in zip(*answers, strict=True)]


def _answer(cell: Any, where: str, meaning: dict[str, bool], hint: str) -> bool:
    if not isinstance(cell, str | int | float | None):
        check_no_list(cell, where)
    text = cell_text(cell, where)
    if text is None:
        return False
    answer = meaning.get(normalise(text))
    if answer is None:
        check_no_list(cell, where)
        own = [word for word, yes in meaning.items() if yes and word not in ANSWERS]
        known = UNDERSTOOD if not own else f"{listed(list(map(quoted, own)))} and {UNDERSTOOD}"
        raise InputError(
            f"{where}: {quoted(text)} is no answer; understood are {known}; name other words for a yes with --true-values{hint}"
        )
    return answer


def _settle_names(parts: Parts, column: str, separator: str | None, findings: Findings) -> list[str]:
    """Make labels of the names and return those of train. They are checked as if each stood in a row of its own."""
    single: Parts = {}
    for role, part in parts.items():
        single[role] = part.take(index for index, names in enumerate(part.labels) for _ in names)
        single[role].labels = [name for names in part.labels for name in names]
    label_of = checks.settle_labels(single, column, findings)
    if all(len(names) < 2 for names in parts["train"].labels):
        between = f" with {separator!r} between them" if separator else ""
        findings.notes.append(f"{parts['train'].file}: column {column!r} nowhere names two labels{between}")
    for part in parts.values():
        part.labels = [tuple(sorted({label_of[name] for name in names}, key=label_order)) for names in part.labels]
    return sorted(set(single["train"].labels), key=label_order)


# Labels that teach nothing, or little.


def _without_constant_labels(parts: Parts, labels: list[str], drop: bool, findings: Findings) -> list[str]:
    """The labels that some training rows have and others do not; the rows keep no others."""
    train = parts["train"]
    having = Counter(label for row in train.labels for label in row)
    varying = [label for label in labels if 0 < having[label] < len(train)]
    constant = [f"{quoted(label)} in {having[label]:,}" for label in labels if label not in varying]
    findings.counts["constant_labels_dropped"] = len(constant)
    described = f"of its {counted(len(train), 'row')} to train on, {', '.join(constant)}"
    if constant and not drop:
        raise InputError(
            f"{train.file}: labels that no row has, or every one, cannot be learnt: {described}; "
            "add rows, or give --drop-constant-labels to leave these labels out"
        )
    if not varying:
        raise InputError(f"{train.file}: has no label that some rows to train on have and others do not")
    if constant:
        left_out = counted(len(constant), "label")
        findings.notes.append(f"{train.file}: left out {left_out} that no row has, or every one: {described}")
        for part in parts.values():
            part.labels = [tuple(label for label in row if label in varying) for row in part.labels]
    return varying


def _note_rare_labels(parts: Parts, labels: Sequence[str], findings: Findings) -> None:
    """Note the labels that do not stand in every part."""
    having = [Counter(label for row in parts[role].labels for label in row) for role in ("train", "val", "test")]
    rare = [
        "{} ({:,} to train, {:,} to validate, {:,} to test)".format(quoted(label), *(counter[label] for counter in having))
        for label in labels
        if not all(counter[label] for counter in having)
    ]
    if rare:
        findings.notes.append(f"too few rows to judge by: {listed(rare)}")
