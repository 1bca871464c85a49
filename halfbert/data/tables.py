"""Read a labelled table, check it, name every bad row, and split it into training, validation and test rows."""

import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from halfbert.data.equality import normalise
from halfbert.data.formats import HUB_PREFIX, TEXT_SUFFIXES, WORKBOOK_SUFFIXES, Table, cell_text, listed, read_table, row_word
from halfbert.system.errors import InputError

HELD_OUT = 10  # one row in so many is held out for validation, and one for testing
FEWEST_VALIDATION_ROWS = 100  # below that, a sampled validation part says too little
IDENTIFIER_ROWS = 50  # from so many rows on, a label column of mostly distinct values is taken for a mistake

INTEGRAL = re.compile(r"(-?\d+)\.0+")
NUMBER = re.compile(r"-?\d+(\.\d+)?")

# What a task stratifies by: (units, size, seed, both) -> sorted indices of the drawn units. A unit is the labels of one row
# or of several that must stay together; `both` says that what is not drawn is used as well, so that it needs labels too.
Draw = Callable[[Sequence[Sequence], int, int, bool], list[int]]


@dataclass
class Rows:
    """A part of the data: row i of `file` is number `numbers[i]` there (from 1, the header included).

    `labels` holds one label a row; in a multi-label table a tuple of those that apply, in the order of `Data.labels`.
    """

    texts: list[str]
    labels: list[str] | list[tuple[str, ...]]
    numbers: list[int]
    file: str

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, indices: Iterable[int]) -> "Rows":
        """The rows at these indices, in this order."""
        indices = list(indices)
        return Rows(
            [self.texts[index] for index in indices],
            [self.labels[index] for index in indices],
            [self.numbers[index] for index in indices],
            self.file,
        )


@dataclass
class Data:
    """A table that is ready to train on.

    `labels` are those of the training rows, sorted (numbers as numbers), or in the order of their 0/1 columns. `files`
    holds for each file its role, name, SHA-256 (of a hub data set: the fingerprint) and number of rows; `counts` what was
    dropped, merged and found; `notes` the same in plain lines for the console.
    """

    train: Rows
    val: Rows
    test: Rows
    labels: list[str]
    files: list[dict]
    counts: dict[str, int]
    notes: list[str]

    def parts(self) -> Iterator[tuple[str, Rows]]:
        """("train", rows), ("val", rows), ("test", rows)."""
        return ((part, getattr(self, part)) for part in ("train", "val", "test"))


def read_multiclass(
    train: str | Path,
    *,
    val: str | Path | None = None,
    test: str | Path | None = None,
    text_column: str,
    label_column: str,
    sheet: str | None = None,
    encoding: str | None = None,
    drop_missing: bool = False,
    keep_leaks: bool = False,
    rows: int | None = None,
    test_rows: int | None = None,
    seed: int = 0,
) -> Data:
    """Read a table of one label per text.

    A part that is not given as a file is split off the training rows, one row in ten, stratified by label; texts that
    are equal but for case, white space and Unicode form stay on one side. Training texts that also stand in a given
    validation or test file are dropped (`keep_leaks`: kept). `rows` and `test_rows` then take a stratified sample of
    the training and test rows; validation shrinks along with training. What is held out depends on `seed` alone.

    Raises InputError, naming file, column and row, for whatever makes the table unfit to train on.
    """
    if text_column == label_column:
        raise InputError(f"the text column and the label column are both {text_column!r}; name two columns")
    counts, notes = {}, []
    sources = {"train": train, "val": val, "test": test}
    tables = read_tables(sources, (text_column, label_column), sheet, encoding, notes)
    spellings = partial(_spellings, column=label_column)
    parts = complete_rows(tables, text_column, label_column, spellings, drop_missing, counts, notes)
    merge_spellings(parts, counts, notes)
    _check_several_labels(parts["train"], label_column)
    check_spelt_apart(parts, label_column)
    check_seen_in_train(parts, label_column)
    labels = sorted(set(parts["train"].labels), key=label_order)
    count_repeats(parts, counts, notes)
    drop_leaks(parts, keep_leaks, counts, notes)
    _check_enough_texts(parts, labels)
    divide(parts, len(labels), _draw_by_label, rows, test_rows, seed, notes)
    return Data(**parts, labels=labels, files=describe_files(tables), counts=counts, notes=notes)


# From files to rows.


def read_tables(
    sources: dict[str, str | Path | None],
    columns: Sequence[str],
    sheet: str | None,
    encoding: str | None,
    notes: list[str],
) -> dict[str, Table]:
    """Read the files that are given for the roles train, val and test; the others need the columns read from train."""
    sources = {role: source for role, source in sources.items() if source is not None}
    _check_options(sources.values(), sheet, encoding)
    tables = {}
    for role, source in sources.items():
        tables[role] = read_table(source, columns, role=role, sheet=sheet, encoding=encoding)
        columns = list(tables["train"].columns)
        notes += tables[role].notes
    return tables


def _check_options(sources: Iterable[str | Path], sheet: str | None, encoding: str | None) -> None:
    names = [str(source) for source in sources]
    suffixes = {Path(name).suffix.lower() for name in names if not name.startswith(HUB_PREFIX)}
    if sheet is not None and suffixes.isdisjoint(WORKBOOK_SUFFIXES):
        raise InputError(f"--sheet {sheet}: none of the files is an Excel workbook ({listed(names)})")
    if encoding is not None and suffixes.isdisjoint(TEXT_SUFFIXES):
        raise InputError(f"--encoding {encoding}: none of the files is a text file ({listed(names)})")


def describe_files(tables: dict[str, Table]) -> list[dict]:
    """What `Data.files` holds."""
    return [
        {
            "role": role,
            "name": table.file if table.file.startswith(HUB_PREFIX) else Path(table.file).name,
            "sha256": table.sha256,
            "rows": len(table.numbers),
        }
        for role, table in tables.items()
    ]


def plural(count: int, noun: str) -> str:
    """The count and the noun, with an s where it takes one."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def complete_rows(
    tables: dict[str, Table],
    text_column: str,
    label_column: str | None,
    read_labels: Callable[[Table], list],
    drop_missing: bool,
    counts: dict[str, int],
    notes: list[str],
) -> dict[str, Rows]:
    """The rows of each file that have a text and, where a `label_column` is given, a label (not None)."""
    parts = {}
    counts["dropped_missing"] = counts["formula_texts"] = 0
    for role, table in tables.items():
        if not table.numbers:
            raise InputError(f"{table.file}: has no rows below its header")
        texts, labels = _texts(table, text_column), read_labels(table)
        needed = {text_column: texts} if label_column is None else {text_column: texts, label_column: labels}
        kept = _without_missing(table, needed, drop_missing, counts, notes)
        _count_formula_texts(table, text_column, kept, counts, notes)
        rows = Rows(texts, labels, table.numbers, table.file)
        parts[role] = rows.take(kept)
    return parts


def place(table: Table, index: int, column: str) -> str:
    """File, row and column of a cell, for a message."""
    return f"{table.file}, {row_word(table.file)} {table.numbers[index]}, column {column!r}"


def _texts(table: Table, column: str) -> list[str | None]:
    """The texts of a column, exactly as they are; None where the cell is empty or blank."""
    return [cell_text(value, place(table, index, column)) for index, value in enumerate(table.columns[column])]


def _spellings(table: Table, column: str) -> list[str | None]:
    """The labels of a column as the file spells them (1.0 is not yet 1); None where there is none."""
    without_value = table.formulas.get(column, set())  # the formula itself is no label
    return [
        None if index in without_value or cell_text(value, place(table, index, column)) is None else str(value)
        for index, value in enumerate(table.columns[column])
    ]


def _without_missing(
    table: Table,
    columns: dict[str, list[str | None]],
    drop_missing: bool,
    counts: dict[str, int],
    notes: list[str],
) -> list[int]:
    """The indices of the rows in which no column is missing; any other is an error unless it may be dropped."""
    incomplete, text_only = set(), len(columns) == 1
    for column, values in columns.items():
        missing = [index for index, value in enumerate(values) if value is None]
        if missing and not drop_missing:
            word = row_word(table.file)
            where = listed([str(table.numbers[index]) for index in missing])
            formulas = table.formulas.get(column, set()).intersection(missing)
            hint = " (formulas without a stored value: open and save it in a spreadsheet program)" if formulas else ""
            raise InputError(
                f"{table.file}: column {column!r} is empty or blank in {plural(len(missing), word)}: {word} {where}"
                f"{hint}; fill them in, or give --drop-missing to leave them out"
            )
        incomplete.update(missing)
    if len(incomplete) == len(table.numbers):
        raise InputError(f"{table.file}: has no row with {'a text' if text_only else 'both a text and a label'}")
    if incomplete:
        counts["dropped_missing"] += len(incomplete)
        what = "text" if text_only else "text or label"
        notes.append(f"{table.file}: dropped {plural(len(incomplete), 'row')} with a missing {what}")
    return [index for index in range(len(table.numbers)) if index not in incomplete]


def _count_formula_texts(table: Table, column: str, kept: Sequence[int], counts: dict[str, int], notes: list[str]) -> None:
    read_back = sorted(table.formulas.get(column, set()).intersection(kept))
    if read_back:
        counts["formula_texts"] += len(read_back)
        where = listed([str(table.numbers[index]) for index in read_back])
        notes.append(f"{table.file}: {plural(len(read_back), 'text')} stored as a formula, read back as text: row {where}")


# Labels.


def canonical_label(spelling: str) -> str:
    """The label that a spelling stands for: without white space around it, and 1 for 1.0."""
    label = spelling.strip()
    integral = INTEGRAL.fullmatch(label)
    return integral.group(1) if integral else label


def label_order(label: str) -> tuple[int, float, str]:
    """Sort key of labels: numbers as numbers, before the others."""
    return (0, float(label), label) if NUMBER.fullmatch(label) else (1, 0.0, label)


def quoted(label: str) -> str:
    """A label for a message: on one line, and cut where a text was taken for a label."""
    return json.dumps(label if len(label) <= 60 else f"{label[:57]}...", ensure_ascii=False)


def merge_spellings(parts: dict[str, Rows], counts: dict[str, int], notes: list[str]) -> None:
    """Make one label of "1", "1.0" and "1 " wherever they stand; `labels_merged` counts the labels spelt in many ways."""
    spellings = defaultdict(Counter)
    for part in parts.values():
        for spelling, count in Counter(part.labels).items():
            spellings[canonical_label(spelling)][spelling] += count
        part.labels = [canonical_label(spelling) for spelling in part.labels]
    merged = [
        " and ".join(f"{quoted(spelling)} ({plural(count, 'row')})" for spelling, count in ways.items())
        for ways in spellings.values()
        if len(ways) > 1
    ]
    counts["labels_merged"] = len(merged)
    if merged:
        notes.append(f"read as one label each: {listed(merged)}")


def _check_several_labels(train: Rows, column: str) -> None:
    distinct = set(train.labels)
    check_no_identifiers(train, column)
    if len(distinct) == 1:
        raise InputError(f"{train.file}: column {column!r} holds one label only, {quoted(distinct.pop())}; two are needed")


def check_no_identifiers(train: Rows, column: str) -> None:
    """A column of mostly distinct values holds texts or numbers of some kind, and no labels."""
    distinct = set(train.labels)
    if len(train) >= IDENTIFIER_ROWS and 2 * len(distinct) > len(train):
        raise InputError(
            f"{train.file}: column {column!r} has {len(distinct):,} different values in {len(train):,} rows; "
            "is it the label column?"
        )


def check_seen_in_train(parts: dict[str, Rows], column: str) -> None:
    """A label that only validation or test rows have cannot be learnt."""
    train = parts["train"]
    known = set(train.labels)
    for part in parts.values():
        unseen = [index for index, label in enumerate(part.labels) if label not in known]
        if unseen:
            first = unseen[0]
            raise InputError(
                f"{part.file}, {row_word(part.file)} {part.numbers[first]}, column {column!r}: label "
                f"{quoted(part.labels[first])} is in no row of {train.file} ({plural(len(unseen), 'row')} with unseen labels)"
            )


def check_spelt_apart(parts: dict[str, Rows], column: str) -> None:
    """Labels that look alike are most likely one label mistyped, and only the user knows."""
    counts, places, alike = Counter(), {}, {}
    for part in parts.values():
        for label, number in zip(part.labels, part.numbers, strict=True):
            counts[label] += 1
            places.setdefault(label, f"{part.file} {row_word(part.file)} {number}")
    for label in counts:
        other = alike.setdefault(normalise(label).replace(" ", ""), label)
        if other != label:
            described = [f"{quoted(name)} ({plural(counts[name], 'row')}, first {places[name]})" for name in (other, label)]
            raise InputError(
                f"column {column!r}: the labels {' and '.join(described)} differ in letter case or white space only; "
                "write them alike, or apart"
            )


# Equal texts.


def group_by_text(rows: Rows) -> dict[str, list[int]]:
    """The indices of the rows that hold each normalised text, in the order of the table."""
    groups = defaultdict(list)
    for index, text in enumerate(rows.texts):
        groups[normalise(text)].append(index)
    return groups


def count_repeats(parts: dict[str, Rows], counts: dict[str, int], notes: list[str]) -> None:
    """Count rows that repeat a text of the same file, and texts that stand there under more than one labelling."""
    counts["duplicates"] = counts["conflicting_texts"] = 0
    for part in parts.values():
        groups = group_by_text(part)
        duplicates = len(part) - len(groups)
        conflicting = [group for group in groups.values() if len({part.labels[index] for index in group}) > 1]
        counts["duplicates"] += duplicates
        counts["conflicting_texts"] += len(conflicting)
        if duplicates:
            notes.append(f"{part.file}: {plural(duplicates, 'row')} repeating the text of an earlier row; kept")
        if conflicting:
            where = ", ".join(str(part.numbers[index]) for index in conflicting[0])
            notes.append(
                f"{part.file}: {plural(len(conflicting), 'text')} under more than one labelling, kept; "
                f"the first in {row_word(part.file)}s {where}"
            )


def drop_leaks(parts: dict[str, Rows], keep_leaks: bool, counts: dict[str, int], notes: list[str]) -> None:
    """Drop the validation rows whose text is in the test file, and the training rows whose text is in either."""
    key = "leaks_kept" if keep_leaks else "leaks_dropped"
    counts[key] = 0
    held_out, files = set(), []
    for role in [role for role in ("test", "val", "train") if role in parts]:
        part = parts[role]
        groups = group_by_text(part)
        leaks = {index for text, group in groups.items() if text in held_out for index in group}
        if leaks:
            where = " or ".join(files)
            if len(leaks) == len(part) and not keep_leaks:
                raise InputError(f"{part.file}: every text also stands in {where}; give other rows, or --keep-leaks")
            counts[key] += len(leaks)
            verb = "kept" if keep_leaks else "dropped"
            notes.append(f"{part.file}: {verb} {plural(len(leaks), 'row')} whose text also stands in {where}")
        if not keep_leaks:
            parts[role] = part.take(index for index in range(len(part)) if index not in leaks)
        held_out.update(groups)
        files.append(part.file)


# Splitting and sampling.


def divide(
    parts: dict[str, Rows],
    label_count: int,
    draw: Draw,
    rows: int | None,
    test_rows: int | None,
    seed: int,
    notes: list[str],
) -> None:
    """Split what was not given as a file, test or val, off the training rows; then sample what is to be sampled."""
    share = 1 / HELD_OUT
    for role in _absent(parts):
        parts["train"], parts[role] = _split_off(parts["train"], share, draw, seed)
        share = 1 / (HELD_OUT - 1)  # of what is left, for the second part to be as large as the first
    _sample(parts, label_count, draw, rows, test_rows, seed, notes)


def _absent(parts: dict[str, Rows]) -> list[str]:
    return [role for role in ("test", "val") if role not in parts]


def _check_enough_texts(parts: dict[str, Rows], labels: Sequence[str]) -> None:
    train, part_count = parts["train"], len(_absent(parts)) + 1
    texts = Counter(_commonest(unit) for unit in _units(train, group_by_text(train).values()))
    rare = [f"{quoted(label)} has {texts[label]}" for label in labels if texts[label] < part_count]
    if rare:
        raise InputError(
            f"{train.file}: too few different texts to have each label in {plural(part_count, 'part')}: "
            f"{listed(rare)}, and {part_count} are needed; add rows, leave these labels out or merge them"
            + ("" if part_count == 1 else ", or give files for --val and --test")
        )


def _units(rows: Rows, groups: Iterable[Sequence[int]]) -> list[list]:
    """The labels of the rows in each group."""
    return [[rows.labels[index] for index in group] for group in groups]


def _commonest(labels: Sequence[str]) -> str:
    return Counter(labels).most_common(1)[0][0]


def _split_off(rows: Rows, share: float, draw: Draw, seed: int) -> tuple[Rows, Rows]:
    """Rows without, and rows of, a stratified share of the texts."""
    groups = list(group_by_text(rows).values())
    size = max(round(share * len(groups)), 1)
    drawn = draw(_units(rows, groups), size, seed, True) if len(groups) > 1 else []
    if not drawn:
        raise InputError(f"{rows.file}: has too few different texts to hold some out; add rows, or give --val and --test")
    held_out = {index for group in drawn for index in groups[group]}
    return rows.take(index for index in range(len(rows)) if index not in held_out), rows.take(sorted(held_out))


def _draw_by_label(units: Sequence[Sequence[str]], size: int, seed: int, both: bool) -> list[int]:
    """A stratified sample of units by their commonest labels; where `both` sides count, with every label in it."""
    labels = [_commonest(unit) for unit in units]
    return stratified_sample(labels, max(size, len(set(labels))) if both else size, seed)


def stratified_sample(labels: Sequence[str], size: int, seed: int) -> list[int]:
    """The sorted indices of `size` of the labels, drawn at random with each label in its share (largest remainders).

    Every label is drawn once at least where `size` allows it, which scikit-learn's `train_test_split` does not promise;
    nor does that draw from a label that stands in one row only, or leave fewer rows over than there are labels.
    """
    members = defaultdict(list)
    for index, label in enumerate(labels):
        members[label].append(index)
    quotas = {label: len(indices) * size / len(labels) for label, indices in members.items()}
    least = 1 if size >= len(members) else 0
    drawn = {label: max(least, int(quota)) for label, quota in quotas.items()}
    while short := size - sum(drawn.values()):
        if short > 0:
            drawn[max(quotas, key=lambda label: quotas[label] - drawn[label])] += 1
        else:
            several = [label for label in drawn if drawn[label] > least]
            drawn[min(several, key=lambda label: quotas[label] - drawn[label])] -= 1
    chance = random.Random(seed)
    return sorted(index for label, indices in members.items() for index in chance.sample(indices, drawn[label]))


def _sample(
    parts: dict[str, Rows],
    label_count: int,
    draw: Draw,
    rows: int | None,
    test_rows: int | None,
    seed: int,
    notes: list[str],
) -> None:
    """Shrink training to `rows`, validation in proportion but not to too few, and the test part to `test_rows`."""
    if test_rows is not None and test_rows < 1:
        raise InputError(f"--test-rows {test_rows}: at least one row is needed to test on")
    for role, size in (("train", rows), ("test", test_rows)):
        if size is not None and size > len(parts[role]):
            notes.append(f"{size:,} {role} rows were asked for; all {len(parts[role]):,} there are are used")
    if rows is not None:
        if rows < 2 * label_count:
            raise InputError(f"--rows {rows}: at least {2 * label_count} are needed, two for each label")
        proportional = round(len(parts["val"]) * rows / len(parts["train"]))
        parts["val"] = _shrink(parts["val"], max(proportional, FEWEST_VALIDATION_ROWS, 2 * label_count), draw, seed)
        parts["train"] = _shrink(parts["train"], rows, draw, seed)
    if test_rows is not None:
        parts["test"] = _shrink(parts["test"], test_rows, draw, seed)


def _shrink(rows: Rows, size: int, draw: Draw, seed: int) -> Rows:
    if size >= len(rows):
        return rows
    return rows.take(draw(_units(rows, ([index] for index in range(len(rows)))), size, seed, False))
