"""Split and sample rows by label: which text goes where depends on the seed alone, and equal texts stay together."""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from halfbert.data.cells import quoted
from halfbert.data.checks import Parts, rows_together
from halfbert.data.phrases import counted, listed
from halfbert.data.tables import Findings, Reading, Rows
from halfbert.system.errors import InputError

HELD_OUT = 10  # one row in so many is held out for validation, and one for testing
FEWEST_VALIDATION_ROWS = 100  # below that, a sampled validation part says too little
TRAINING_ROWS_EACH = 2  # but it then has no more rows than one for so many of training

# How a task draws a stratified sample: (units, size, seed, both) -> sorted indices of the drawn units. A unit is the labels of
# one row or of several that must stay together; `both` says that what is not drawn is used as well, so it needs labels too.
Draw = Callable[[Sequence[Sequence[Any]], int, int, bool], list[int]]
# How it deals units out to stratified folds: (units, folds, seed) -> the fold of each unit.
Deal = Callable[[Sequence[Sequence[Any]], int, int], list[int]]


def divide(parts: Parts, label_count: int, draw: Draw, reading: Reading, findings: Findings) -> None:
    """Split what was not given as a file, test or val, off the training rows; then sample what is to be sampled."""
    share = 1 / HELD_OUT
    if parts["train"].groups is not None:
        findings.counts["groups"] = len(rows_together(parts["train"]))
        findings.notes.append(
            f"{parts['train'].file}: {counted(findings.counts['groups'], 'group')} of rows that stay together"
        )
    for role in _absent(parts):
        parts["train"], parts[role] = split_off(parts["train"], share, draw, reading.seed)
        share = 1 / (HELD_OUT - 1)  # of what is left, for the second part to be as large as the first
    sample(parts, label_count, draw, reading, findings)


def _absent(parts: Parts) -> list[str]:
    return [role for role in ("test", "val") if role not in parts]


def check_enough_texts(parts: Parts, labels: Sequence[str]) -> None:
    """Each label needs a text of its own in every part that is split off."""
    train, part_count = parts["train"], len(_absent(parts)) + 1
    texts = Counter(commonest(unit) for unit in units_of(train, rows_together(train)))
    rare = [f"{quoted(label)} has {texts[label]}" for label in labels if texts[label] < part_count]
    if rare:
        units = "texts" if train.groups is None else "groups"
        raise InputError(
            f"{train.file}: too few different {units} to have each label in {counted(part_count, 'part')}: "
            f"{listed(rare)}, and {part_count} are needed; add rows, leave these labels out or merge them"
            + ("" if part_count == 1 else ", or give files for --val and --test")
        )


def units_of(rows: Rows, groups: Iterable[Sequence[int]]) -> list[list[Any]]:
    """The labels of the rows in each group."""
    return [[rows.labels[index] for index in group] for group in groups]


def commonest(labels: Sequence[str]) -> str:
    return Counter(labels).most_common(1)[0][0]


def split_off(rows: Rows, share: float, draw: Draw, seed: int) -> tuple[Rows, Rows]:
    """Rows without, and rows of, a stratified share of the texts, or of the groups where there is a group column."""
    groups = rows_together(rows)
    size = max(round(share * len(groups)), 1)
    drawn = draw(units_of(rows, groups), size, seed, True) if len(groups) > 1 else []
    if not drawn:
        units = "texts" if rows.groups is None else "groups"
        raise InputError(f"{rows.file}: has too few different {units} to hold some out; add rows, or give --val and --test")
    held_out = {index for group in drawn for index in groups[group]}
    return rows.take(index for index in range(len(rows)) if index not in held_out), rows.take(sorted(held_out))


def draw_by_label(units: Sequence[Sequence[str]], size: int, seed: int, both: bool) -> list[int]:
    """A stratified sample of units by their commonest labels; where `both` sides count, with every label in it."""
    labels = [commonest(unit) for unit in units]
    return stratified_sample(labels, max(size, len(set(labels))) if both else size, seed)


def deal_by_label(units: Sequence[Sequence[str]], folds: int, seed: int) -> list[int]:
    """The fold of each unit, stratified by their commonest labels: every label's rows are shared out evenly.

    A label of at least as many units as there are folds is in each of them. Large units are dealt first, each to the fold with
    the fewest rows of its label, and of those to the one with the fewest rows.
    """
    labels = [commonest(unit) for unit in units]
    order = random.Random(seed).sample(range(len(units)), len(units))
    of_label, of_all, fold_of = Counter[tuple[str, int]](), Counter[int](), [0] * len(units)
    for index in sorted(order, key=lambda index: -len(units[index])):
        label = labels[index]
        fold = min(range(folds), key=lambda fold: (of_label[label, fold], of_all[fold]))
        fold_of[index] = fold
        of_label[label, fold] += len(units[index])
        of_all[fold] += len(units[index])
    return fold_of


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
    rng = random.Random(seed)
    return sorted(index for label, indices in members.items() for index in rng.sample(indices, drawn[label]))


def sample(parts: Parts, label_count: int, draw: Draw, reading: Reading, findings: Findings) -> None:
    """Shrink training to `rows`, validation in proportion but not to too few, and the test part to `test_rows`.

    Too few is FEWEST_VALIDATION_ROWS, or where half the training rows are fewer, that; and two rows for each label.
    """
    rows, test_rows, seed = reading.rows, reading.test_rows, reading.seed
    if test_rows is not None and test_rows < 1:
        raise InputError(f"--test-rows {test_rows}: at least one row is needed to test on")
    for role, size in (("train", rows), ("test", test_rows)):
        if size is not None and size > len(parts[role]):
            findings.notes.append(f"{size:,} {role} rows were requested; all {len(parts[role]):,} that exist are used")
    if rows is not None:
        if rows < 2 * label_count:
            raise InputError(f"--rows {rows}: at least {2 * label_count} are needed, two for each label")
        proportional = round(len(parts["val"]) * rows / len(parts["train"]))
        fewest = max(min(FEWEST_VALIDATION_ROWS, rows // TRAINING_ROWS_EACH), 2 * label_count)
        parts["val"] = _shrink(parts["val"], max(proportional, fewest), draw, seed)
        parts["train"] = _shrink(parts["train"], rows, draw, seed)
    if test_rows is not None:
        parts["test"] = _shrink(parts["test"], test_rows, draw, seed)


def _shrink(rows: Rows, size: int, draw: Draw, seed: int) -> Rows:
    return rows if size >= len(rows) else rows.take(draw([[label] for label in rows.labels], size, seed, False))
