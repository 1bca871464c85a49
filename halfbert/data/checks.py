"""From tables to rows: every row that cannot be used, every label that is doubtful and every repeated text is named."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from halfbert.data.cells import NUMBERED, cell_text, difference, label_key, name_text, quoted, written_label
from halfbert.data.equality import normalise
from halfbert.data.phrases import counted, listed, listed_names, place, row_word
from halfbert.data.tables import Findings, Rows, Table
from halfbert.data.texts import texts_of
from halfbert.system.errors import InputError

IDENTIFIER_ROWS = 50  # from so many rows on, a label column of mostly distinct values is taken for a mistake
DATE = re.compile(r"\d{1,4}([-./])\d{1,2}\1\d{1,4}")  # in any order of day, month and year

Parts = dict[str, Rows]  # by role: train, val, test


# Rows with a text and a label.


def complete_rows(
    tables: dict[str, Table],
    text_columns: Sequence[str],
    label_column: str | None,
    read_labels: Callable[[Table], Sequence[Any]],
    drop_missing: bool,
    findings: Findings,
    group_column: str | None = None,
) -> Parts:
    """The rows of each table that have a text, in one column or several, and, with a `label_column`, a label (not None)."""
    parts, counts = {}, findings.counts
    counts["dropped_missing"] = counts["formula_texts"] = 0
    for role, table in tables.items():
        if not table.numbers:
            raise InputError(f"{table.file}: has no rows below its header")
        _fill_merged(table, text_columns, findings)
        texts = texts_of(table, text_columns)
        labels = list(read_labels(table))
        needed = {tuple(text_columns): texts} | ({} if label_column is None else {(label_column,): labels})
        kept = _without_missing(table, needed, drop_missing, findings)
        formulas = set().union(*(table.formulas.get(column, set()) for column in text_columns))
        if read_back := sorted(formulas.intersection(kept)):
            counts["formula_texts"] += len(read_back)
            count = counted(len(read_back), "text")
            findings.notes.append(f"{table.file}: {count} stored as a formula, read back as text: {table.rows(read_back)}")
        if table.hidden_rows:
            counts["hidden_rows"] = counts.get("hidden_rows", 0) + table.hidden_rows
        groups = [cell_text(value, where) for value, where in table.cells(group_column)] if group_column else None
        parts[role] = Rows([text or "" for text in texts], labels, table.numbers, table.file, groups).take(kept)
    return parts


def _fill_merged(table: Table, text_columns: Sequence[str], findings: Findings) -> None:
    """Give each row of a merged cell of labels its value. Raises InputError for a merged text, which is of no row alone."""
    for column, merged in table.merged.items():
        numbers = [f"{table.numbers[rows.start]} to {table.numbers[rows[-1]]}" for rows in merged]
        if column in text_columns:
            raise InputError(
                f"{table.file}, column {column!r}: a text is merged over the rows {numbers[0]}; each row needs its own, so "
                "unmerge it in a spreadsheet program"
            )
        for rows in merged:
            table.columns[column][rows.start : rows.stop] = [table.columns[column][rows.start]] * len(rows)
            if rows.start in table.formulas.get(column, set()):
                table.formulas[column].update(rows)
        cells = counted(len(merged), "cell")
        findings.notes.append(f"{table.file}: column {column!r} has {cells} merged over rows, filled down: {listed(numbers)}")


def _without_missing(
    table: Table, columns: dict[tuple[str, ...], list[Any]], drop_missing: bool, findings: Findings
) -> list[int]:
    """The indices of the rows in which no value is missing; any other is an error unless it may be dropped.

    `columns` has the values of the rows, None where all columns that the value is of are blank.
    """
    incomplete: set[int] = set()
    text_only = len(columns) == 1
    for names, values in columns.items():
        missing = [index for index, value in enumerate(values) if value is None]
        if missing and not drop_missing:
            formulas = set().union(*(table.formulas.get(column, set()) for column in names)).intersection(missing)
            hint = " (formulas without a stored value: open and save it in a spreadsheet program)" if formulas else ""
            quoted_names = listed_names(names)
            what = f"column {quoted_names} is" if len(names) == 1 else f"columns {quoted_names} are all"
            raise InputError(
                f"{table.file}: {what} empty or blank in {counted(len(missing), row_word(table.file))}: {table.rows(missing)}"
                f"{hint}; fill them in, or give --drop-missing to leave them out"
            )
        incomplete.update(missing)
    if len(incomplete) == len(table.numbers):
        raise InputError(f"{table.file}: has no row with {'a text' if text_only else 'both a text and a label'}")
    if incomplete:
        findings.counts["dropped_missing"] += len(incomplete)
        what = "text" if text_only else "text or label"
        findings.notes.append(f"{table.file}: dropped {counted(len(incomplete), 'row')} with a missing {what}")
    return [index for index in range(len(table.numbers)) if index not in incomplete]


# Labels.


def settle_labels(parts: Parts, column: str, findings: Findings) -> dict[str, str]:
    """Make labels of the spellings in the rows; returns {spelling: label}. Raises InputError for labels that are doubtful."""
    label_of = _merge_spellings(parts, findings)
    train = parts["train"]
    distinct = set(train.labels)
    if len(train) >= IDENTIFIER_ROWS and 2 * len(distinct) > len(train):
        raise InputError(
            f"{train.file}: column {column!r} has {len(distinct):,} different values in {counted(len(train), 'row')}; "
            "is it the label column?"
        )
    _check_spelt_apart(parts, column)
    _check_seen_in_train(parts, column)
    return label_of


def _merge_spellings(parts: Parts, findings: Findings) -> dict[str, str]:
    """Replace each spelling by its label, one for "1", "1.0" and "1 " wherever they stand; returns {spelling: label}.

    Where people would accept several (TRUE and true), it is the one that most training rows have. `labels_merged` counts the
    labels that are spelt in several ways; each change of more than surrounding white space is noted.
    """
    in_train = Counter(parts["train"].labels)
    ways: dict[str, Counter[str]] = defaultdict(Counter)
    for part in parts.values():
        for spelling, count in Counter(part.labels).items():
            ways[label_key(spelling)][spelling] += count
    numbered = any(NUMBERED.fullmatch(name_text(spelling)) for spellings in ways.values() for spelling in spellings)
    label_of, merged, changed = {}, [], []
    for key, spellings in ways.items():
        commonest = max(spellings, key=lambda spelling: (in_train[spelling], spellings[spelling]))
        label = written_label(commonest, numbered and key not in map(name_text, spellings))
        label_of.update(dict.fromkeys(spellings, label))
        if len(spellings) > 1:
            merged.append(" and ".join(f"{quoted(way)} ({counted(count, 'row')})" for way, count in spellings.items()))
        elif label != commonest.strip():
            changed.append(f"{quoted(commonest)} as {quoted(label)}")
    for part in parts.values():
        part.labels = [label_of[spelling] for spelling in part.labels]
    findings.counts["labels_merged"] = len(merged)
    if merged:
        findings.notes.append(f"read as one label each: {listed(merged)}")
    if changed:
        findings.notes.append(f"read the label {listed(changed)}")
    return label_of


def _check_seen_in_train(parts: Parts, column: str) -> None:
    """A label that only validation or test rows have cannot be learnt."""
    train = parts["train"]
    known = set(train.labels)
    for part in parts.values():
        unseen = [index for index, label in enumerate(part.labels) if label not in known]
        if unseen:
            first, label = unseen[0], part.labels[unseen[0]]
            dates = DATE.fullmatch(label) and any(DATE.fullmatch(name) for name in known)
            hint = "; day and month are not guessed: write dates as YYYY-MM-DD in every file" if dates else ""
            raise InputError(
                f"{place(part.file, part.numbers[first], column)}: label {quoted(label)} is in no row of "
                f"{train.file} ({counted(len(unseen), 'row')} with unseen labels){hint}"
            )


def _check_spelt_apart(parts: Parts, column: str) -> None:
    """Labels that look alike are most likely one label mistyped, and only the user knows."""
    counts: Counter[str] = Counter()
    places: dict[str, str] = {}
    for part in parts.values():
        for label, number in zip(part.labels, part.numbers, strict=True):
            counts[label] += 1
            places.setdefault(label, f"{part.file} {row_word(part.file)} {number}")
    lookalikes: dict[str, str] = {}
    for label in counts:
        other = lookalikes.setdefault(normalise(label).replace(" ", ""), label)
        if other != label:
            described = [f"{quoted(name)} ({counted(counts[name], 'row')}, first {places[name]})" for name in (other, label)]
            raise InputError(
                f"column {column!r}: the labels {' and '.join(described)} differ in {difference(other, label)}; "
                "write them alike, or apart"
            )


# Equal texts.


def group_by_text(rows: Rows) -> dict[str, list[int]]:
    """The indices of the rows that hold each normalised text, in the order of the table."""
    groups = defaultdict(list)
    for index, text in enumerate(rows.texts):
        groups[normalise(text)].append(index)
    return groups


def rows_together(rows: Rows) -> list[list[int]]:
    """The indices of rows that must not be parted, in the order of the table: those of equal texts, and those of one group.

    Groups that share a text are one.
    """
    units = list(group_by_text(rows).values())
    if rows.groups is None:
        return units
    leader = list(range(len(units)))  # of each unit, one nearer to the first of its set

    def first(unit: int) -> int:
        while leader[unit] != unit:
            leader[unit] = unit = leader[leader[unit]]
        return unit

    of_group: dict[str, int] = {}
    for number, unit in enumerate(units):
        for index in unit:
            group = rows.groups[index]
            if group is not None:
                one, other = sorted((first(number), first(of_group.setdefault(group, number))))
                leader[other] = one
    together: dict[int, list[int]] = defaultdict(list)
    for number, unit in enumerate(units):
        together[first(number)] += unit
    return [sorted(indices) for indices in together.values()]


def settle_repeats(parts: Parts, keep_leaks: bool, findings: Findings) -> None:
    """Count texts that stand in several rows of a file, and drop those that stand in several files (`keep_leaks`: not).

    Counted are the rows that repeat a text, and the texts that stand under more than one labelling.
    """
    counts, notes = findings.counts, findings.notes
    counts["duplicates"] = counts["conflicting_texts"] = 0
    for part in parts.values():
        groups = group_by_text(part)
        duplicates = len(part) - len(groups)
        conflicting = [group for group in groups.values() if len({part.labels[index] for index in group}) > 1]
        counts["duplicates"] += duplicates
        counts["conflicting_texts"] += len(conflicting)
        if duplicates:
            notes.append(f"{part.file}: {counted(duplicates, 'row')} repeating the text of an earlier row; kept")
        if conflicting:
            where = ", ".join(str(part.numbers[index]) for index in conflicting[0])
            notes.append(
                f"{part.file}: {counted(len(conflicting), 'text')} under more than one labelling, kept; "
                f"the first in {row_word(part.file)}s {where}"
            )
    _drop_leaks(parts, keep_leaks, findings)


def _drop_leaks(parts: Parts, keep_leaks: bool, findings: Findings) -> None:
    """Drop the validation rows whose text is in the test file, and the training rows whose text is in either."""
    key = "leaks_kept" if keep_leaks else "leaks_dropped"
    findings.counts[key] = 0
    held_out: set[str] = set()
    files: list[str] = []
    for role in [role for role in ("test", "val", "train") if role in parts]:
        part = parts[role]
        groups = group_by_text(part)
        leaks = {index for text, group in groups.items() if text in held_out for index in group}
        if leaks:
            where = " or ".join(files)
            if len(leaks) == len(part) and not keep_leaks:
                raise InputError(f"{part.file}: every text also stands in {where}; give other rows, or --keep-leaks")
            findings.counts[key] += len(leaks)
            verb = "kept" if keep_leaks else "dropped"
            findings.notes.append(f"{part.file}: {verb} {counted(len(leaks), 'row')} whose text also stands in {where}")
        if not keep_leaks:
            parts[role] = part.take(index for index in range(len(part)) if index not in leaks)
        held_out.update(groups)
        files.append(part.file)
