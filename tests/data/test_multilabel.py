"""Multi-label tables: answers are read as people mean them, no label is lost to a split, and every fault is named."""

import datetime
import random
import warnings
from collections import Counter

import pytest
from support import write_workbook
from table_files import every_row, labels_of, numbered, read_labels, refused, sizes, write_table
from table_files import read as read_multiclass

from halfbert.data.checks import group_by_text
from halfbert.data.iterative import iterative_sample

LABELS = ["rude", "late", "angry"]
HEADER = ("text", *LABELS)


def answered(count, answers=("100", "010", "001", "110", "000"), word="text"):
    """`count` records of different texts, in turn with these answers to the labels."""
    return [[text, *answer] for text, answer in numbered(count, answers, word)]


@pytest.fixture
def table(tmp_path):
    """Write a table of texts and a column of answers for each label."""
    return lambda records, header=HEADER, name="t.csv", **how: write_table(tmp_path / name, records, header, **how)


def read(source, **options):
    form = {} if "label_column" in options else {"label_columns": LABELS}
    return read_labels(source, **{**form, **options})


def having(part, label):
    return sum(label in labels for labels in part.labels)


# 0/1 columns.


def test_columns_give_a_tuple_of_labels_for_each_row_in_the_order_requested(table):
    path = table(answered(40))
    data = read(path)
    assert data.labels == LABELS
    expected = [("rude",), ("late",), ("angry",), ("rude", "late"), ()] * 8
    assert every_row(data) == [(2 + index, f"text number {index}", labels) for index, labels in enumerate(expected)]
    data = read(path, label_columns=["late", "rude\u200b"])
    assert data.labels == ["late", "rude"] and labels_of(data)[3] == ("late", "rude")


@pytest.mark.parametrize(
    ("columns", "given", "labels"),
    [
        (("late, lost", "access"), ["late", "lost", "access"], ["late, lost", "access"]),
        (("access", "late,lost , gone"), ["access", "late", "lost", "gone"], ["access", "late,lost , gone"]),
        (("late, lost", "access", "a;b"), ["ALL"], ["late, lost", "access", "a;b"]),
        (("late, lost", "access"), ["late, lost", "access"], ["late, lost", "access"]),  # as quoted, or from Python
        (("late, lost", "late", "lost"), ["late", "lost"], ["late", "lost"]),  # the pieces are columns themselves
        (("late, lost", "late"), ["late", "lost", "late"], ["late, lost", "late"]),
        (("a, b", "a, c"), ["a", "b", "a", "c"], ["a, b", "a, c"]),
    ],
)
def test_a_name_may_hold_commas(table, columns, given, labels):
    rows = numbered(40, [[str(int(turn == place)) for place in range(len(columns))] for turn in range(4)])
    path = table([[text, *answers] for text, answers in rows], ("text", *columns))
    assert read(path, label_columns=given).labels == labels


@pytest.mark.parametrize(
    ("cells", "meant"),
    [
        (["1", "1.0", "true", "TRUE", "t", "yes", "Yes", "y", " Y ", "\u200b1", "１"], True),
        (["0", "0.0", "false", "False", "f", "no", "NO", "n", " n", "", "  ", "\ufeff"], False),
    ],
)
def test_each_spelling_of_an_answer(table, cells, meant):
    records = answered(60)
    for record, cell in zip(records[::5], cells, strict=False):
        record[3] = cell  # of the label that the record lacks
    assert set(labels_of(read(table(records)))[: 5 * len(cells) : 5]) == {("rude", "angry") if meant else ("rude",)}


@pytest.mark.parametrize("cell", ["2", "-1", "0.5", "x", "maybe", "nan", "None", "NA", "1 0", "yes.0"])
def test_any_other_cell_is_named(table, cell):
    records = answered(40)
    records[4][0] = "two\nlines"
    records[5][2] = cell
    message = refused(table(records), "t.csv, line 8, column 'late'", f'"{cell}" is no answer', "yes or y", reader=read)
    assert "--label-columns" not in message


MARKS = ["x", "✓", "Ja", "1", "nein", "-", "", "0", "no", "✗"]


def test_words_for_a_yes_are_named(table):
    records = answered(40)
    for record, mark in zip(records, MARKS, strict=False):
        record[2] = mark
    path = table(records)
    data = read(path, label_columns=["late"], true_values=["X", "✓", "ja"])
    assert [bool(labels) for labels in labels_of(data)[: len(MARKS)]] == [True] * 4 + [False] * 6
    refused(path, "column 'late': \"x\" is no answer", "name other words for a yes with --true-values", reader=read)
    records[3][2] = "maybe"
    message = 'line 5, column \'late\': "maybe" is no answer; understood are "x", "✓", "ja" and 1, true'
    refused(table(records), message, reader=read, label_columns=["late"], true_values=["x", "✓", "ja"])
    records[3][2] = "nein"  # a word for a no by default is one for a yes if the user says so
    assert labels_of(read(table(records), label_columns=["late"], true_values=["x", "✓", "ja", "nein"]))[3:5] == [("late",)] * 2


CELLS = [True, 1, 1.0, "1", "yes", False, 0, 0.0, "no", None]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".xlsx", ".frame"])
def test_values_that_are_no_text(table, suffix):
    records = [[f"text {index}", CELLS[index % 10], int(index % 3 == 0)] for index in range(40)]
    data = read(table(records, ("text", "rude", "late"), f"t{suffix}"), label_columns=["ALL"])
    assert data.labels == ["rude", "late"]
    assert ["rude" in labels for labels in labels_of(data)] == [index % 10 < 5 for index in range(40)]
    records[7][1] = datetime.date(2024, 1, 1)
    path = table(records, ("text", "rude", "late"), f"u{suffix}")
    refused(path, "column 'rude'", '"2024-01-01" is no answer', reader=read, label_columns=["rude", "late"])


def test_columns_of_parquet(tmp_path):
    import pyarrow.parquet

    columns = {
        "flag": [True, False, None, True] * 10,
        "small": pyarrow.array([1, 0, None, 0] * 10, pyarrow.int8()),
        "re.al": [1.0, 0.0, float("nan"), None] * 10,
        "text": [str(index) for index in range(40)],
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "t.parquet")
    data = read(tmp_path / "t.parquet", label_columns=["ALL"])
    assert data.labels == ["flag", "small", "re.al"]
    assert labels_of(data) == [("flag", "small", "re.al"), (), (), ("flag",)] * 10


def test_all_takes_every_named_column_but_the_text(table):
    header = ("", *LABELS, "text")
    records = [["", *row[1:], row[0]] for row in answered(40)]
    data = read(table(records, header), label_columns=["ALL"])
    assert data.labels == LABELS and labels_of(data) == labels_of(read(table(answered(40), name="u.csv")))
    european = table(records, header, "v.csv", delimiter=";")
    assert labels_of(read(european, label_columns=["ALL"])) == labels_of(data)


def test_all_where_some_columns_cannot_be_labels(table):
    every = {"reader": read, "label_columns": ["ALL"]}
    path = table([[*row, str(index)] for index, row in enumerate(answered(40))], (*HEADER, "id"))
    refused(path, "line 4, column 'id'", '"2" is no answer', "name the label columns with --label-columns", **every)
    refused(table([[row[0]] for row in answered(40)], ("text",)), "has no column beside 'text'", **every)
    refused(table(answered(40), ("text", "rude", "late", "ru\u200bde")), "2 columns named 'rude'", **every)


@pytest.mark.parametrize("role", ["val", "test"])
@pytest.mark.parametrize("columns", [LABELS, ["ALL"]])
def test_other_files_need_the_columns_of_train_and_no_more(table, role, columns):
    train = table(answered(40))
    other = table([["17", *row] for row in answered(10, word="other")], ("id", *HEADER), "other.csv")
    data = read(train, label_columns=columns, **{role: other})
    assert getattr(data, role).labels == labels_of(read(train))[:10]
    other = table(answered(6, word="other"), ("text", "rude", "lately", "angry"), "other.csv")
    options = {role: other, "label_columns": columns}
    refused(train, "other.csv: has no column 'late'", "did you mean 'lately'?", reader=read, **options)


@pytest.mark.parametrize(
    ("form", "fragment"),
    [
        *(
            (form, "give the label columns, or a label column and, but for lists, the separator")
            for form in (
                {"label_columns": None},
                {"label_columns": []},
                {"label_columns": LABELS, "label_column": "tags", "label_separator": ","},
                {"label_column": "tags", "label_separator": ""},
                {"label_columns": LABELS, "label_separator": ","},
            )
        ),
        ({"label_columns": ["late", "rude", "late "]}, "'late' is named 2 times"),
        ({"label_columns": ["late", "text"]}, "'text' is named as a label column as well"),
        ({"label_column": "text", "label_separator": ","}, "'text' is named as a label column as well"),
    ],
)
def test_one_form_of_labels_is_requested(table, form, fragment):
    refused(table(answered(40)), fragment, reader=read, **form)


@pytest.mark.parametrize("form", [{}, {"label_column": "tags", "label_separator": ","}])
def test_a_formula_without_a_stored_value_is_no_blank(tmp_path, form):
    records = [[*row, "a,b"] for row in answered(40)]
    records[3][1] = records[3][4] = "=B2"
    path = write_workbook(tmp_path / "t.xlsx", {"Sheet1": [(*HEADER, "tags"), *records]})
    refused(path, "t.xlsx, row 5, column", "formula without a stored value", reader=read, **form)


# Texts, which are checked as in a table of one label.


def test_missing_repeated_and_leaking_texts(table):
    repeated = ["TEXT  number 1", *"111"]
    records = [*answered(40), ["\u200b", *"100"], repeated, ["Test  NUMBER 3\u200b", *"111"]]
    train, test = table(records), table(answered(10, word="test"), name="test.csv")
    refused(train, "column 'text' is empty or blank in 1 line: line 42;", "--drop-missing", reader=read, test=test)
    data = read(train, test=test, drop_missing=True)
    found = {"dropped_missing": 1, "duplicates": 1, "conflicting_texts": 1, "leaks_dropped": 1}
    assert data.counts == {**found, "formula_texts": 0, "constant_labels_dropped": 0} and sum(sizes(data)) == 41 + 10
    assert f"{train}: dropped 1 row with a missing text" in data.notes
    assert read(train, test=test, drop_missing=True, keep_leaks=True).counts["leaks_kept"] == 1
    no_text = table([["", *"100"], ["", *"010"]], name="no_text.csv")
    refused(no_text, "no row with a text", reader=read, drop_missing=True)
    for seed in range(5):
        groups = [group_by_text(part).values() for _, part in read(train, drop_missing=True, seed=seed).parts()]
        assert [len(group) for part in groups for group in part].count(2) == 1  # on one side


def test_counts_of_names_are_those_of_a_table_of_one_label(table):
    common = read_multiclass(table(numbered(40), ("text", "label"))).counts
    names = table(numbered(40, ("a", "b,c", "", "a,c")), ("text", "tags"), "names.csv")
    assert read(names, label_column="tags", label_separator=",").counts == {**common, "constant_labels_dropped": 0}


def test_rows_without_any_label_are_noted_for_each_file(table):
    train = table(answered(1500))
    test = table(answered(12, ("000", "111"), "test"), name="test.csv")
    expected = [f"{train}: 300 of 1,500 rows have no label", f"{test}: 6 of 12 rows have no label"]
    assert read(train, test=test).notes == expected
    assert read(table(answered(40, ("100", "010", "001")))).notes == []


# Labels that never or always occur.


def test_constant_labels_are_named_with_their_counts_or_left_out(table):
    header = (*HEADER, "sent")
    path = table(answered(40, ("1001", "0101", "0001", "1101")), header)
    refused(path, "40 rows", '"angry" in 0, "sent" in 40', "--drop-constant-labels", reader=read, label_columns=["ALL"])
    none_left = {"label_columns": ["angry", "sent"], "drop_constant_labels": True}
    refused(path, "has no label that some rows", reader=read, **none_left)
    test = table(answered(8, ("1011", "0000"), "test"), header, "test.csv")
    data = read(path, test=test, label_columns=["ALL"], drop_constant_labels=True)
    assert data.labels == ["rude", "late"] and data.counts["constant_labels_dropped"] == 2
    assert data.test.labels == [("rude",), ()] * 4
    assert {label for labels in labels_of(data) for label in labels} == {"rude", "late"}
    assert any("left out 2 labels" in note and '"angry" in 0, "sent" in 40' in note for note in data.notes)
    assert any("10 of 40 rows have no label" in note for note in data.notes)  # without the one that all had


def test_a_label_is_judged_by_the_rows_that_are_trained_on(table):
    train = table([*answered(40, ("100", "110")), ["test number 0", *"001"], ["", *"001"]])
    test = table(answered(10, word="test"), name="test.csv")
    # "rude" is lacking in rows alone that go out, as "angry" stands in none but those.
    refused(train, '"rude" in 40, "angry" in 0', reader=read, test=test, drop_missing=True)
    assert read(train, test=test, drop_missing=True, drop_constant_labels=True).labels == ["late"]


# Splitting and sampling.


def imbalanced(count, shares=(0.4, 0.15, 0.03)):
    """Records whose labels stand in these shares, one more often where its neighbour does."""
    rng = random.Random(0)
    records = []
    for text, _ in numbered(count):
        answers = ""
        for share in shares:
            answers += str(int(rng.random() < (share * 1.5 if "1" in answers else share)))
        records.append([text, *answers])
    return records


def test_each_part_keeps_each_share_and_the_split_goes_by_the_seed(table):
    records = imbalanced(1000)
    path = table(records)
    splits = [read(path, seed=seed) for seed in range(3)]
    one_label = read(path, label_columns=["rude"])
    assert one_label.labels == ["rude"] and having(one_label.test, "rude") == pytest.approx(40, abs=4)
    for data in splits:
        assert sizes(data) == pytest.approx([800, 100, 100], abs=2)
        for column, label in enumerate(LABELS, start=1):
            share = sum(row[column] == "1" for row in records) / 1000
            assert all(having(part, label) == pytest.approx(share * len(part), abs=2) for _, part in data.parts())
    assert splits[2] == read(path, seed=2)
    assert len({tuple(data.test.numbers) for data in splits}) == len({tuple(data.val.numbers) for data in splits}) == 3


def test_the_split_of_a_seed_never_changes(table):
    """Published records name a seed, not rows."""
    data = read(table(answered(40)), seed=7)
    assert (data.val.numbers, data.test.numbers) == ([5, 29, 31, 40], [9, 25, 27, 28])


def test_rows_samples_train_shrinks_val_and_leaves_test(table):
    path = table(imbalanced(3000))
    whole, sampled, tested = read(path), read(path, rows=1200), read(path, test_rows=50)
    assert sizes(sampled) == [1200, round(len(whole.val) * 1200 / len(whole.train)), len(whole.test)]
    assert sampled.test == whole.test and tested.train == whole.train and len(tested.test) == 50
    assert set(sampled.train.numbers) < set(whole.train.numbers) and set(sampled.val.numbers) < set(whole.val.numbers)
    for part, given in ((sampled.train, whole.train), (tested.test, whole.test)):
        for label in LABELS:
            assert having(part, label) == pytest.approx(having(given, label) / len(given) * len(part), abs=2)
    refused(path, "--rows 5", "at least 6", reader=read, rows=5)
    refused(path, "--test-rows 0", reader=read, test_rows=0)


# rude is rare, angry is rarely absent; most rows have one label or another.
LOPSIDED = [*answered(196, ("011", "001")), ["r", *"101"], ["s", *"111"], ["t", *"000"], ["u", *"010"]]


def test_training_rows_have_and_lack_each_label(table):
    # In the last one, every text has "rude" in one row or another, and one of them lacks it in one.
    hidden = [*answered(100, ("100", "110", "101")), ["text number 0", *"011"], ["u", *"100"]]
    for given in (LOPSIDED, [row for row in LOPSIDED if row[0] not in ("s", "u")], hidden):
        path = table(given)
        for seed in range(5):
            for rows in (None, 6, 20):
                train = read(path, seed=seed, rows=rows).train
                assert len(train) == rows or rows is None
                assert all(0 < having(train, label) < len(train) for label in LABELS)


def test_each_part_has_each_label_that_has_three_texts_and_a_rarer_one_is_noted(table):
    records = [*answered(200, ("000",)), *(["r" * count, *"100"] for count in (1, 2, 3))]
    path = table([*records, *(["l" * count, *"011"] for count in range(1, 10))])
    for seed in range(5):
        data = read(path, seed=seed)
        assert [having(part, "rude") for _, part in data.parts()] == [1, 1, 1]
        assert all(having(part, label) for _, part in data.parts() for label in LABELS)
    data = read(table([*answered(200, ("010", "001", "000")), ["only", *"100"]]))
    assert [having(part, "rude") for _, part in data.parts()] == [1, 0, 0]
    assert data.notes[-1] == 'too few rows to judge by: "rude" (1 to train, 0 to validate, 0 to test)'


def test_too_few_texts_to_hold_out(table):
    one_text = [["one text", *"100"], ["One  text", *"010"], ["one\u200b text ", *"001"]]
    for records in (one_text, [["one", *"100"], ["two", *"011"]]):
        refused(table(records), "too few different texts", "--val and --test", reader=read)


def test_iterative_sample_has_the_size_requested():
    units = [[tuple(label for label, answer in zip(LABELS, row[1:], strict=True) if answer == "1")] for row in imbalanced(300)]
    labelled = [unit for unit in units if unit[0]]  # no row without a label, by which the library would fill up
    for given in (units, labelled):
        for size in (1, 2, 6, 17, 100, len(given) - 1):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                drawn = iterative_sample(given, size, size, False)
            assert len(drawn) == len(set(drawn)) == size and drawn == sorted(drawn)
            if size >= 6:
                counts = Counter(label for index in drawn for label in given[index][0])
                assert all(0 < counts[label] < size for label in LABELS)
    assert len(iterative_sample([[()]] * 20, 5, 0, False)) == 5
