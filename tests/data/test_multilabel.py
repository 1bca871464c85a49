"""Multi-label tables: answers are read as people mean them, no label is lost to a split, and every fault is named."""

import datetime
import json
import random
import warnings
from collections import Counter

import pyarrow
import pyarrow.parquet
import pytest
from test_tables import write_csv, write_workbook

from halfbert.data.equality import normalise
from halfbert.data.iterative import iterative_sample
from halfbert.data.multiclass import read_multiclass
from halfbert.data.multilabel import read_multilabel
from halfbert.system.errors import InputError

LABELS = ["rude", "late", "angry"]
HEADER = ("text", *LABELS)


def answered(count, word="text", answers=("100", "010", "001", "110", "000")):
    """`count` records of different texts, in turn with these answers to the labels."""
    return [[f"{word} number {index}", *answers[index % len(answers)]] for index in range(count)]


def write(path, records, header=HEADER):
    return write_csv(path, records, header)


def read(path, **options):
    form = {} if "label_column" in options else {"label_columns": LABELS}
    return read_multilabel(path, **{"text_column": "text", **form, **options})


def read_names(path, **options):
    return read(path, **{"label_column": "tags", "label_separator": ",", **options})


def named(count, cells=("a", "b,c", "", "a,c"), word="text"):
    return [[f"{word} number {index}", cells[index % len(cells)]] for index in range(count)]


def write_names(path, records):
    return write_csv(path, records, ("text", "tags"))


def every_row(data):
    """All rows of all parts as (number, text, labels), in the order of the table."""
    return sorted(row for _, part in data.parts() for row in zip(part.numbers, part.texts, part.labels, strict=True))


def labels_of(data):
    return [labels for _, _, labels in every_row(data)]


def having(part, label):
    return sum(label in labels for labels in part.labels)


def fails(path, *fragments, reader=read, **options):
    """Reading fails with one line that holds each fragment."""
    with pytest.raises(InputError) as caught:
        reader(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    for fragment in fragments:
        assert fragment in message
    return message


# 0/1 columns.


def test_columns_give_a_tuple_of_labels_for_each_row(tmp_path):
    data = read(write(tmp_path / "t.csv", answered(40)))
    assert data.labels == LABELS
    expected = [("rude",), ("late",), ("angry",), ("rude", "late"), ()] * 8
    assert every_row(data) == [(2 + index, f"text number {index}", labels) for index, labels in enumerate(expected)]


def test_labels_stand_in_the_order_asked_for(tmp_path):
    data = read(write(tmp_path / "t.csv", answered(40)), label_columns=["late", "rude"])
    assert data.labels == ["late", "rude"]
    assert labels_of(data)[3] == ("late", "rude")


@pytest.mark.parametrize(
    ("cell", "meant"),
    [
        *((cell, True) for cell in ("1", "1.0", "true", "TRUE", "t", "yes", "Yes", "y", " Y ")),
        *((cell, False) for cell in ("0", "0.0", "false", "False", "f", "no", "NO", "n", " n", "", "  ")),
    ],
)
def test_each_spelling_of_an_answer(tmp_path, cell, meant):
    records = answered(40)
    records[0][3] = cell  # of the label that the first record lacks
    assert labels_of(read(write(tmp_path / "t.csv", records)))[0] == (("rude", "angry") if meant else ("rude",))


@pytest.mark.parametrize("cell", ["2", "-1", "0.5", "x", "maybe", "nan", "None", "NA", "1 0", "yes.0"])
def test_any_other_cell_is_named(tmp_path, cell):
    records = answered(40)
    records[4][0] = "two\nlines"
    records[5][2] = cell
    message = fails(write(tmp_path / "t.csv", records), "t.csv, line 8, column 'late'", f'"{cell}" is no answer', "yes or y")
    assert "--label-columns" not in message


CELLS = [True, 1, 1.0, "1", "yes", False, 0, 0.0, "no", None]


def test_values_of_a_workbook(tmp_path):
    records = [[f"text {index}", CELLS[index % 10], int(index % 3 == 0)] for index in range(40)]
    path = write_workbook(tmp_path / "t.xlsx", records, ("text", "rude", "late"))
    data = read(path, label_columns=["rude", "late"])
    assert ["rude" in labels for labels in labels_of(data)] == [index % 10 < 5 for index in range(40)]
    records[7][1] = datetime.date(2024, 1, 1)
    path = write_workbook(tmp_path / "u.xlsx", records, ("text", "rude", "late"))
    fails(path, "u.xlsx, row 9, column 'rude'", "2024-01-01", label_columns=["rude", "late"])


def test_values_of_json_lines(tmp_path):
    cells = [*CELLS, float("nan")]
    rows = [{"text": f"text {index}", "rude": cells[index % 11], "late": index % 2} for index in range(40)]
    del rows[0]["late"], rows[1]["late"]
    path = tmp_path / "t.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    data = read(path, label_columns=["ALL"])
    assert data.labels == ["rude", "late"]
    assert labels_of(data)[:4] == [("rude",), ("rude",), ("rude",), ("rude", "late")]
    assert ["rude" in labels for labels in labels_of(data)] == [index % 11 < 5 for index in range(40)]
    path.write_text(path.read_text(encoding="utf-8") + '\n{"text": "nested", "rude": [1]}', encoding="utf-8")
    fails(path, "line 41, column 'rude'", "0 and 1 in place of the names", label_columns=["rude"])


def test_values_of_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet")
    columns = {
        "flag": [True, False, None, True],
        "small": pyarrow.array([1, 0, None, 0], pyarrow.int8()),
        "real": [1.0, 0.0, float("nan"), None],
        "text": ["one", "two", "three", "four"],
    }
    table = pyarrow.concat_tables([pyarrow.table({**columns, "text": [f"{index}"] * 4}) for index in range(10)])
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    data = read(tmp_path / "t.parquet", label_columns=["ALL"])
    assert data.labels == ["flag", "small", "real"]
    assert labels_of(data) == [("flag", "small", "real"), (), (), ("flag",)] * 10


def test_all_takes_every_named_column_but_the_text(tmp_path):
    records = [["", *row[1:], row[0]] for row in answered(40)]
    path = write(tmp_path / "t.csv", records, header=("", *LABELS, "text"))
    data = read(path, label_columns=["ALL"])
    assert data.labels == LABELS
    assert labels_of(data) == labels_of(read(path))
    european = write_csv(tmp_path / "u.csv", records, ("", *LABELS, "text"), delimiter=";")
    assert labels_of(read(european, label_columns=["ALL"])) == labels_of(data)


def test_all_with_a_column_that_holds_no_answers_hints_at_naming_them(tmp_path):
    records = [[*row, str(index)] for index, row in enumerate(answered(40))]
    path = write(tmp_path / "t.csv", records, header=(*HEADER, "id"))
    fails(path, "line 4, column 'id'", '"2" is no answer', "name the label columns with --label-columns", label_columns=["ALL"])


def test_all_with_no_other_column_or_with_two_of_one_name(tmp_path):
    alone = write(tmp_path / "t.csv", [[row[0]] for row in answered(40)], header=("text",))
    fails(alone, "has no column beside 'text'", label_columns=["ALL"])
    twice = write(tmp_path / "u.csv", answered(40), header=("text", "rude", "late", "rude"))
    fails(twice, "2 columns named 'rude'", label_columns=["ALL"])


@pytest.mark.parametrize("role", ["val", "test"])
@pytest.mark.parametrize("columns", [LABELS, ["ALL"]])
def test_a_label_column_that_another_file_lacks(tmp_path, role, columns):
    train = write(tmp_path / "train.csv", answered(40))
    other = write(tmp_path / "other.csv", answered(6, word="other"), header=("text", "rude", "lately", "angry"))
    options = {role: other, "label_columns": columns}
    fails(train, "other.csv: has no column 'late'", "did you mean 'lately'?", **options)


def test_other_files_need_no_more_than_the_columns_of_train(tmp_path):
    train = write(tmp_path / "train.csv", answered(40))
    records = [["17", *row] for row in answered(10, word="other")]
    test = write(tmp_path / "test.csv", records, header=("id", *HEADER))
    assert read(train, test=test, label_columns=["ALL"]).test.labels == labels_of(read(train))[:10]


@pytest.mark.parametrize(
    ("columns", "given", "labels"),
    [
        (("late, lost", "access"), ["late", "lost", "access"], ["late, lost", "access"]),
        (("access", "late,lost , gone"), ["access", "late", "lost", "gone"], ["access", "late,lost , gone"]),
        (("late, lost", "access"), ["late, lost", "access"], ["late, lost", "access"]),  # as quoted, or from Python
        (("late, lost", "late", "lost"), ["late", "lost"], ["late", "lost"]),  # the pieces are columns themselves
        (("late, lost", "late"), ["late", "lost", "late"], ["late, lost", "late"]),
        (("a, b", "a, c"), ["a", "b", "a", "c"], ["a, b", "a, c"]),
    ],
)
def test_a_name_may_hold_commas(tmp_path, columns, given, labels):
    rows = [(f"word{n} here", *(str(int(n % 3 == k)) for k in range(len(columns)))) for n in range(40)]
    assert read(write(tmp_path / "t.csv", rows, header=("text", *columns)), label_columns=given).labels == labels


def test_columns_named_twice_or_for_text_and_label(tmp_path):
    path = write(tmp_path / "t.csv", answered(40))
    fails(path, "'late' is named 2 times", label_columns=["late", "rude", "late"])
    fails(path, "'text' is named as a label column as well", label_columns=["late", "text"])
    fails(path, "'text' is named as a label column as well", label_column="text", label_separator=",")


@pytest.mark.parametrize(
    "form",
    [
        {"label_columns": None},
        {"label_columns": []},
        {"label_columns": LABELS, "label_column": "tags", "label_separator": ","},
        {"label_column": "tags", "label_separator": ""},
        {"label_columns": LABELS, "label_separator": ","},
    ],
)
def test_one_form_of_labels_is_asked_for(tmp_path, form):
    fails(
        write(tmp_path / "t.csv", answered(40)),
        "give the label columns, or a label column and, but for lists, the separator",
        **form,
    )


@pytest.mark.parametrize("reader", [read, read_names])
def test_a_formula_without_a_stored_value_is_no_blank(tmp_path, reader):
    records = [[*row, "a,b"] for row in answered(40)]
    records[3][1] = records[3][4] = "=B2"
    path = write_workbook(tmp_path / "t.xlsx", records, (*HEADER, "tags"))
    fails(path, "t.xlsx, row 5, column", "formula without a stored value", reader=reader)


# One column of names.


def test_names_give_a_tuple_of_labels_for_each_row(tmp_path):
    cells = ("b", " c , b ", "", "  ", "a,,b,b,", "c")
    data = read_names(write_csv(tmp_path / "t.csv", named(60, cells), ("text", "tags")))
    assert data.labels == ["a", "b", "c"]
    assert labels_of(data) == [("b",), ("b", "c"), (), (), ("a", "b"), ("c",)] * 10
    assert data.counts["dropped_missing"] == 0


LISTS = (["b", " c"], [], None, ["a", "b", "a"], ["c"])
LABELS_OF_LISTS = [("b", "c"), (), (), ("a", "b"), ("c",)]


def write_lists(path, records):
    """A jsonl or parquet file of texts with lists of names."""
    columns = {"text": [text for text, _ in records], "tags": [names for _, names in records]}
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.table(columns), path)
    else:
        path.write_text("".join(json.dumps({"text": text, "tags": names}) + "\n" for text, names in records))
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_lists_of_names_need_no_separator(tmp_path, suffix):
    path = write_lists(tmp_path / f"t{suffix}", named(60, LISTS))
    for separator in (None, ","):
        data = read_names(path, label_separator=separator)
        assert data.labels == ["a", "b", "c"] and labels_of(data) == LABELS_OF_LISTS * 12


def test_lists_of_class_numbers_of_the_hub_become_names(monkeypatch):
    datasets = pytest.importorskip("datasets")
    kind = datasets.Sequence(datasets.ClassLabel(names=["x", "y"]))
    features = datasets.Features({"text": datasets.Value("string"), "tags": kind})
    columns = {"text": [f"text number {index}" for index in range(40)], "tags": [[0, 1], [], [1], [0]] * 10}
    split = datasets.Dataset.from_dict(columns, features=features)
    monkeypatch.setattr(datasets, "load_dataset", lambda *_: datasets.DatasetDict(train=split))
    data = read_names("hf:someone/feelings", label_separator=None)
    assert data.labels == ["x", "y"] and labels_of(data)[:4] == [("x", "y"), (), ("y",), ("x",)]


def test_text_without_a_separator_is_named_with_its_row(tmp_path):
    path = write_names(tmp_path / "t.csv", named(40))
    fails(path, "t.csv, line 2", "'tags'", "not a list of names", "--label-separator", reader=read_names, label_separator=None)
    path = write_lists(tmp_path / "t.jsonl", [*named(40, LISTS), ["one more", [["deep"]]]])
    fails(path, "t.jsonl, line 41", "holds a list", reader=read_names, label_separator=None)


@pytest.mark.parametrize("separator", ["|", ";", " / "])
def test_other_separators(tmp_path, separator):
    path = write_names(tmp_path / "t.csv", named(40, (f"a{separator}b, c", "a", f"b, c{separator}d")))
    data = read_names(path, label_separator=separator)
    assert data.labels == ["a", "b, c", "d"]
    assert labels_of(data)[:3] == [("a", "b, c"), ("a",), ("b, c", "d")]


def test_empty_cells_of_names_in_a_workbook_mean_no_label(tmp_path):
    data = read_names(write_workbook(tmp_path / "t.xlsx", named(40, ("a", None, 10, "9,2.0,10.0")), ("text", "tags")))
    assert data.labels == ["2", "9", "10", "a"]
    assert labels_of(data)[:4] == [("a",), (), ("10",), ("2", "9", "10")]


def test_spellings_of_one_name_are_one_label(tmp_path):
    data = read_names(write_names(tmp_path / "t.csv", named(40, ("1,2", "1.0", "2", "1,1.0"))))
    assert data.labels == ["1", "2"]
    assert labels_of(data)[:4] == [("1", "2"), ("1",), ("2",), ("1",)]
    assert data.counts["labels_merged"] == 1
    assert any('"1" (20 rows) and "1.0" (20 rows)' in note for note in data.notes)


def test_names_that_look_alike(tmp_path):
    path = write_names(tmp_path / "t.csv", named(40, ("spam,ham", "ham,Spam", "ham,eggs", "")))
    message = fails(path, '"spam" (10 rows, first ', "line 2)", '"Spam" (10 rows, first ', "line 3)", reader=read_names)
    assert "column 'tags'" in message


@pytest.mark.parametrize("role", ["val", "test"])
def test_a_name_that_train_lacks(tmp_path, role):
    train = write_names(tmp_path / "train.csv", named(40))
    other = write_names(tmp_path / "other.csv", [*named(6, word="other"), ["new", "a,z"]])
    fails(train, "other.csv, line 8, column 'tags'", '"z" is in no row of', "train.csv", reader=read_names, **{role: other})


def test_a_column_of_mostly_distinct_names(tmp_path):
    records = [[f"text {index}", f"note {index}, seen"] for index in range(60)]
    fails(write_names(tmp_path / "t.csv", records), "61 different values", "is it the label column?", reader=read_names)


def test_a_separator_that_divides_nothing_is_said(tmp_path):
    path = write_names(tmp_path / "t.csv", named(40, ("a|b", "a", "b", "")))
    data = read_names(path)
    assert data.labels == ["a", "a|b", "b"]
    assert any("'tags' nowhere names two labels with ','" in note for note in data.notes)
    assert not any("nowhere" in note for note in read_names(path, label_separator="|").notes)


def test_names_without_any_name(tmp_path):
    fails(write_names(tmp_path / "t.csv", named(40, ("", " , "))), "has no label", reader=read_names)


# Missing texts, equal texts, leaks.


def test_missing_texts_are_named_or_dropped(tmp_path):
    records = answered(41)
    records[1][0], records[40][0] = "", "  "
    path = write(tmp_path / "t.csv", records)
    fails(path, "column 'text' is empty or blank in 2 lines: line 3, 42", "--drop-missing")
    data = read(path, drop_missing=True)
    assert data.counts["dropped_missing"] == 2 and len(every_row(data)) == 39
    assert any("dropped 2 rows with a missing text" in note and "label" not in note for note in data.notes)
    fails(write(tmp_path / "u.csv", [["", *"100"], ["", *"010"]]), "no row with a text", drop_missing=True)


def test_one_text_with_two_sets_of_labels_is_counted_and_kept_together(tmp_path):
    records = [*answered(60), *([f"TEXT  number {index}", *"111"] for index in range(0, 60, 2))]
    random.Random(1).shuffle(records)
    for seed in range(5):
        data = read(write(tmp_path / "t.csv", records), seed=seed)
        train, val, test = ({normalise(text) for text in part.texts} for _, part in data.parts())
        assert not train & val and not train & test and not val & test
        assert len(every_row(data)) == 90
    assert data.counts["duplicates"] == data.counts["conflicting_texts"] == 30
    assert any("30 texts under more than one labelling" in note for note in data.notes)


def test_leaks_are_dropped(tmp_path):
    train = write(tmp_path / "train.csv", [*answered(40), ["Test  NUMBER 3", *"111"]])
    test = write(tmp_path / "test.csv", answered(10, word="test"))
    data = read(train, test=test)
    assert data.counts["leaks_dropped"] == 1 and len(data.test) == 10
    assert "Test  NUMBER 3" not in [*data.train.texts, *data.val.texts]
    assert read(train, test=test, keep_leaks=True).counts["leaks_kept"] == 1


def test_counts_are_those_of_a_table_of_one_label(tmp_path):
    path = write_csv(tmp_path / "one.csv", [[f"text {index}", "ab"[index % 2]] for index in range(40)])
    common = read_multiclass(path, text_column="text", label_column="label").counts.keys()
    names = write_names(tmp_path / "t.csv", named(40))
    assert read_names(names).counts.keys() == common | {"constant_labels_dropped"}
    columns = read(write(tmp_path / "u.csv", answered(40))).counts
    assert columns.keys() == (common | {"constant_labels_dropped"}) - {"labels_merged"}
    assert set(columns.values()) == {0}


def test_rows_without_any_label_are_said_for_each_file(tmp_path):
    train = write(tmp_path / "train.csv", answered(1500))
    test = write(tmp_path / "test.csv", answered(12, word="test", answers=("000", "111")))
    notes = read(train, test=test).notes
    assert f"{train}: 300 of 1,500 rows have no label" in notes
    assert f"{test}: 6 of 12 rows have no label" in notes
    assert len(notes) == 2
    assert read(write(tmp_path / "full.csv", answered(40, answers=("100", "010", "001")))).notes == []


# Labels that never or always occur.


CONSTANT = {"answers": ("1001", "0101", "0001", "1101")}  # of rude, late, angry, sent


def test_constant_labels_are_named_with_their_counts(tmp_path):
    path = write(tmp_path / "t.csv", answered(40, **CONSTANT), header=(*HEADER, "sent"))
    fails(path, "t.csv", "40 rows", '"angry" in 0, "sent" in 40', "--drop-constant-labels", label_columns=["ALL"])


def test_constant_labels_may_be_left_out(tmp_path):
    path = write(tmp_path / "t.csv", answered(40, **CONSTANT), header=(*HEADER, "sent"))
    test = write(tmp_path / "test.csv", answered(8, word="test", answers=("1011", "0000")), header=(*HEADER, "sent"))
    data = read(path, test=test, label_columns=["ALL"], drop_constant_labels=True)
    assert data.labels == ["rude", "late"]
    assert data.counts["constant_labels_dropped"] == 2
    assert data.test.labels == [("rude",), ()] * 4
    assert {label for _, part in data.parts() for labels in part.labels for label in labels} == {"rude", "late"}
    assert any("left out 2 labels" in note and '"angry" in 0, "sent" in 40' in note for note in data.notes)
    assert any("10 of 40 rows have no label" in note for note in data.notes)  # without the one that all had


def test_one_label_at_least_remains(tmp_path):
    path = write(tmp_path / "t.csv", answered(40, **CONSTANT), header=(*HEADER, "sent"))
    fails(path, "has no label that some rows", label_columns=["angry", "sent"], drop_constant_labels=True)


def test_a_label_is_judged_by_the_rows_that_are_trained_on(tmp_path):
    train = write(tmp_path / "train.csv", [*answered(40, answers=("100", "110")), ["test number 0", *"001"], ["", *"001"]])
    test = write(tmp_path / "test.csv", answered(10, word="test"))
    # "rude" is lacking in rows alone that go out, as "angry" stands in none but those.
    fails(train, '"rude" in 40, "angry" in 0', test=test, drop_missing=True)
    assert read(train, test=test, drop_missing=True, drop_constant_labels=True).labels == ["late"]


def test_one_label_is_a_task(tmp_path):
    data = read(write(tmp_path / "t.csv", answered(100)), label_columns=["rude"])
    assert data.labels == ["rude"]
    assert [(len(part), having(part, "rude")) for _, part in data.parts()] == [(80, 32), (10, 4), (10, 4)]


# Splitting and sampling.


def imbalanced(count, seed=0, shares=(0.4, 0.15, 0.03), word="text"):
    """Records whose labels stand in these shares, one more often where its neighbour does."""
    chance = random.Random(seed)
    records = []
    for index in range(count):
        answers = []
        for share in shares:
            answers.append(str(int(chance.random() < (share * 1.5 if "1" in answers else share))))
        records.append([f"{word} number {index}", *answers])
    return records


def test_each_part_keeps_each_share(tmp_path):
    records = imbalanced(1000)
    path = write(tmp_path / "t.csv", records)
    for seed in range(3):
        data = read(path, seed=seed)
        assert [len(part) for _, part in data.parts()] == pytest.approx([800, 100, 100], abs=2)
        for column, label in enumerate(LABELS, start=1):
            share = sum(row[column] == "1" for row in records) / 1000
            for _, part in data.parts():
                assert having(part, label) == pytest.approx(share * len(part), abs=2)


def test_a_given_file_is_used_whole_and_the_other_is_split_off(tmp_path):
    train = write(tmp_path / "train.csv", answered(1000))
    other = write(tmp_path / "other.csv", answered(50, word="other"))
    with_test, with_val = read(train, test=other), read(train, val=other)
    assert [len(part) for _, part in with_test.parts()] == [900, 100, 50]
    assert [len(part) for _, part in with_val.parts()] == [900, 50, 100]
    assert with_val.val.texts == [row[0] for row in answered(50, word="other")]
    assert [entry["role"] for entry in with_val.files] == ["train", "val"]


def test_the_split_goes_by_the_seed(tmp_path):
    path = write(tmp_path / "t.csv", imbalanced(300))
    assert read(path, seed=3) == read(path, seed=3)
    assert read(path, seed=3).test.numbers != read(path, seed=4).test.numbers
    assert read(path, seed=3).val.numbers != read(path, seed=4).val.numbers


def test_rows_samples_train_shrinks_val_and_leaves_test(tmp_path):
    path = write(tmp_path / "t.csv", imbalanced(3000))
    whole, sampled = read(path), read(path, rows=1200)
    assert len(sampled.train) == 1200 and len(sampled.val) == round(len(whole.val) * 1200 / len(whole.train))
    assert sampled.test == whole.test
    assert set(sampled.train.numbers) < set(whole.train.numbers)
    assert set(sampled.val.numbers) < set(whole.val.numbers)
    for label in LABELS:
        share = having(whole.train, label) / len(whole.train)
        assert having(sampled.train, label) == pytest.approx(share * 1200, abs=2)
    tested = read(path, test_rows=50)
    assert len(tested.test) == 50 and tested.train == whole.train
    assert having(tested.test, "rude") == pytest.approx(having(whole.test, "rude") * 50 / len(whole.test), abs=2)


def test_too_few_rows_asked_for(tmp_path):
    path = write(tmp_path / "t.csv", answered(100))
    fails(path, "--rows 5", "at least 6", rows=5)
    fails(path, "--test-rows 0", test_rows=0)


# rude is rare, angry is rarely absent; most rows have one label or another.
LOPSIDED = [*answered(196, answers=("011", "001")), ["r", *"101"], ["s", *"111"], ["t", *"000"], ["u", *"010"]]


def test_training_rows_have_and_lack_each_label(tmp_path):
    for given in (LOPSIDED, [row for row in LOPSIDED if row[0] not in ("s", "u")]):
        path = write(tmp_path / "t.csv", given)
        for seed in range(5):
            for rows in (None, 6, 20):
                train = read(path, seed=seed, rows=rows).train
                assert len(train) == rows or rows is None
                for label in LABELS:
                    assert 0 < having(train, label) < len(train)


def test_a_text_with_two_sets_of_labels_does_not_hide_the_rows_that_lack_one(tmp_path):
    # Every text has "rude" in one row or another, and one of them lacks it in one.
    records = [*answered(100, answers=("100", "110", "101")), ["text number 0", *"011"]]
    path = write(tmp_path / "t.csv", records)
    for seed in range(10):
        train = read(path, seed=seed).train
        assert having(train, "rude") < len(train)


def test_each_part_has_each_label_that_has_three_texts(tmp_path):
    records = [*answered(200, answers=("000",)), *(["r" * count, *"100"] for count in (1, 2, 3))]
    records += [["l" * count, *"011"] for count in range(1, 10)]
    path = write(tmp_path / "t.csv", records)
    for seed in range(5):
        data = read(path, seed=seed)
        assert [having(part, "rude") for _, part in data.parts()] == [1, 1, 1]
        assert all(having(part, label) for _, part in data.parts() for label in LABELS)


def test_a_label_that_is_not_in_every_part_is_said(tmp_path):
    records = [*answered(200, answers=("010", "001", "000")), ["only", *"100"]]
    data = read(write(tmp_path / "t.csv", records))
    assert [having(part, "rude") for _, part in data.parts()] == [1, 0, 0]
    assert data.notes[-1] == 'too few rows to judge by: "rude" (1 to train, 0 to validate, 0 to test)'


def test_too_few_texts_to_hold_out(tmp_path):
    records = [["one text", *"100"], ["One  text", *"010"], ["one text ", *"001"]]
    fails(write(tmp_path / "t.csv", records), "too few different texts", "--val and --test")
    fails(write(tmp_path / "u.csv", [["one", *"100"], ["two", *"011"]]), "too few different texts")


def test_iterative_sample_has_the_size_asked_for():
    units = [[tuple(label for label, answer in zip(LABELS, row[1:], strict=True) if answer == "1")] for row in imbalanced(300)]
    labelled = [unit for unit in units if unit[0]]  # no row without a label, by which the library would fill up
    for given in (units, labelled):
        for size in (1, 2, 6, 17, 100, len(given) - 1):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                drawn = iterative_sample(given, size, size, False)
            assert len(drawn) == len(set(drawn)) == size
            assert drawn == sorted(drawn)
            if size >= 6:
                counts = Counter(label for index in drawn for label in given[index][0])
                assert all(0 < counts[label] < size for label in LABELS)


def test_iterative_sample_of_rows_without_labels():
    assert len(iterative_sample([[()]] * 20, 5, 0, False)) == 5
