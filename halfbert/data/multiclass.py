"""Read a table of one label per text."""

from functools import partial

from halfbert.data import checks, exports
from halfbert.data.cells import label_order, name_text, quoted, spelling, written_label
from halfbert.data.lists import LISTS_ARE_FOR, check_no_lists
from halfbert.data.sources import describe_files, read_table, read_tables
from halfbert.data.splits import check_enough_texts, divide, draw_by_label
from halfbert.data.tables import Data, Findings, Layout, Reading, Rows, Source, Table
from halfbert.data.texts import located, text_columns
from halfbert.system.errors import InputError


def read_multiclass(reading: Reading, label_column: str) -> Data:
    """Read a table of one label per text. Raises InputError, naming file, column and row, where it is unfit to train on."""
    text, label_column = text_columns(reading.text_column), name_text(label_column)
    if label_column in text:
        raise InputError(f"the text column and the label column are both {label_column!r}; name two columns")
    findings = Findings()
    group_column = reading.group_column_beside(*text, label_column)
    tables = read_tables(reading, (*text, label_column, *group_column), findings)
    columns = located(text, tables["train"].columns)
    spellings = partial(read_spellings, column=label_column)
    parts = checks.complete_rows(tables, columns, label_column, spellings, reading.drop_missing, findings, *group_column)
    checks.settle_labels(parts, label_column, findings)
    labels: list[str] = sorted(set(parts["train"].labels), key=label_order)
    if len(labels) == 1:
        raise InputError(
            f"{parts['train'].file}: column {label_column!r} holds one label only, {quoted(labels[0])}; two are needed"
        )
    checks.settle_repeats(parts, reading.keep_leaks, findings)
    check_enough_texts(parts, labels)
    divide(parts, len(labels), draw_by_label, reading, findings)
    files = describe_files(tables)
    return Data(**parts, labels=labels, files=files, counts=findings.counts, notes=findings.notes, text_columns=columns)


def read_spellings(table: Table, column: str) -> list[str | None]:
    """The labels of a column as the file spells them; None where there is none."""
    without_value = table.formulas.get(column, set())  # the formula itself is no label
    cells = list(table.cells(column))
    if table.export:
        cells = [(_only(exports.names_of(value, where, table.export), where), where) for value, where in cells]
    else:
        check_no_lists(table, column)
    spelt = (spelling(value, where) for value, where in cells)
    return [None if index in without_value else label for index, label in enumerate(spelt)]


def _only(names: list[str] | None, where: str) -> str | None:
    """The one name in the list of an export."""
    if names and len(names) > 1:
        raise InputError(f"{where}: holds the list {quoted(str(names))} where one label is expected; {LISTS_ARE_FOR}")
    return names[0] if names else None


def read_texts(
    source: Source,
    text_column: str,
    label_column: str | None = None,
    *,
    role: str = "train",
    layout: Layout | None = None,
    drop_missing: bool = False,
) -> tuple[Rows[str], Table]:
    """The texts of one table, with the labels that it spells out if a `label_column` is given (else ""), and the table.

    Raises InputError as every reading of a table does.
    """
    text, label = text_columns(text_column), label_column and name_text(label_column)
    table = read_table(source, [*text, label] if label else text, role, layout or Layout())
    columns = located(text, table.columns)
    findings = Findings(notes=table.notes)

    def labels(table: Table) -> list[str | None]:
        if label is None:
            return [""] * len(table.numbers)
        return [name and written_label(name, False) for name in read_spellings(table, label)]

    parts = checks.complete_rows({role: table}, columns, label, labels, drop_missing, findings)
    return parts[role], table
