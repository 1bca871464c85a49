"""Read a table of one label per text."""

from functools import partial

from halfbert.data import checks
from halfbert.data.cells import label_order, name_text, quoted, spelling, written_label
from halfbert.data.lists import check_no_lists
from halfbert.data.sources import describe_files, read_table, read_tables
from halfbert.data.splits import check_enough_texts, divide, draw_by_label
from halfbert.data.tables import Data, Findings, Reading, Rows, Source, Table
from halfbert.system.errors import InputError


def read_multiclass(reading: Reading, label_column: str) -> Data:
    """Read a table of one label per text. Raises InputError, naming file, column and row, where it is unfit to train on."""
    text_column, label_column = name_text(reading.text_column), name_text(label_column)
    if text_column == label_column:
        raise InputError(f"the text column and the label column are both {text_column!r}; name two columns")
    findings = Findings()
    group_column = reading.group_column_beside(text_column, label_column)
    tables = read_tables(reading, (text_column, label_column, *group_column), findings)
    spellings = partial(read_spellings, column=label_column)
    parts = checks.complete_rows(tables, text_column, label_column, spellings, reading.drop_missing, findings, *group_column)
    checks.settle_labels(parts, label_column, findings)
    labels: list[str] = sorted(set(parts["train"].labels), key=label_order)
    if len(labels) == 1:
        raise InputError(
            f"{parts['train'].file}: column {label_column!r} holds one label only, {quoted(labels[0])}; two are needed"
        )
    checks.settle_repeats(parts, reading.keep_leaks, findings)
    check_enough_texts(parts, labels)
    divide(parts, len(labels), draw_by_label, reading, findings)
    return Data(**parts, labels=labels, files=describe_files(tables), counts=findings.counts, notes=findings.notes)


def read_spellings(table: Table, column: str) -> list[str | None]:
    """The labels of a column as the file spells them; None where there is none."""
    without_value = table.formulas.get(column, set())  # the formula itself is no label
    check_no_lists(table, column)
    spelt = (spelling(value, where) for value, where in table.cells(column))
    return [None if index in without_value else label for index, label in enumerate(spelt)]


def read_texts(
    source: Source,
    text_column: str,
    label_column: str | None = None,
    *,
    role: str = "train",
    sheet: str | None = None,
    encoding: str | None = None,
    drop_missing: bool = False,
) -> tuple[Rows[str], Table]:
    """The texts of one table, with the labels that it spells out if a `label_column` is given (else ""), and the table.

    Raises InputError as every reading of a table does.
    """
    columns = [name_text(column) for column in (text_column, label_column) if column]
    table = read_table(source, columns, role=role, sheet=sheet, encoding=encoding)
    findings = Findings(notes=table.notes)

    def labels(table: Table) -> list[str | None]:
        if label_column is None:
            return [""] * len(table.numbers)
        return [label and written_label(label, False) for label in read_spellings(table, columns[1])]

    required = columns[1] if label_column else None
    parts = checks.complete_rows({role: table}, columns[0], required, labels, drop_missing, findings)
    return parts[role], table
