"""Labels by name in one column: lists, lists written out as text, names with a separator; vectors of 0 and 1 are refused."""

import json

import numpy as np
import pandas
import pytest
from table_files import labels_of, numbered, read_labels, refused, write_table
from table_files import read as read_multiclass

from halfbert.data.cells import label_order

VECTOR = "0 and 1 in place of the names of labels"


def read(source, **options):
    return read_labels(source, **{"label_column": "tags", "label_separator": ",", **options})


@pytest.fixture
def table(tmp_path):
    """Write a table of texts whose tags are these cells in turn."""
    return lambda cells, name="t.csv", count=60: write_table(tmp_path / name, numbered(count, cells), ("text", "tags"))


LISTS = (["b", " c"], [], None, ["a", "b", "a"], ["c"])
LABELS_OF_LISTS = [("b", "c"), (), (), ("a", "b"), ("c",)]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet", ".xlsx", ".frame"])
@pytest.mark.parametrize("separator", [None, ","])
def test_lists_are_read_with_and_without_a_separator(table, suffix, separator):
    as_text = suffix in (".csv", ".xlsx")
    data = read(
        table([str(cell) if as_text and cell is not None else cell for cell in LISTS], f"t{suffix}"), label_separator=separator
    )
    assert data.labels == ["a", "b", "c"] and labels_of(data) == LABELS_OF_LISTS * 12
    assert any("lists written as text in 48 rows" in note and "\"['b', ' c']\"" in note for note in data.notes) == as_text


def test_a_frame_may_hold_any_kind_of_list(table):
    cells = [("a",), {"b"}, np.array(["a", "b"]), frozenset(), pandas.NA, np.array([])]
    assert labels_of(read(table(cells, "t.frame")))[:6] == [("a",), ("b",), ("a", "b"), (), (), ()]


@pytest.mark.parametrize(
    "written",
    [
        "['a', 'b c']",
        '["a", "b c"]',
        "['a' 'b c']",
        "['a'\n 'b c']",
        "('a', 'b c')",
        "{'b c', 'a'}",
        " ['a', 'b c',] ",
        "['a', None, 'b c', nan]",
        '["a", null, "b c"]',
        "[u'a', 'b c']",
        "array(['a', 'b c'], dtype=object)",
        "np.array(['a', 'b c'])",
        "[np.str_('a'), np.str_('b c')]",
        "frozenset({'a', 'b c'})",
        "set(['a', 'b c'])",
        "list(('a', 'b c'))",
        r"['\x61', 'b c']",
        r'["\u0061", "b c"]',
        r'["a", "b\u0020c"]',
    ],
)
def test_each_way_to_write_a_list(table, written):
    data = read(table([written, "['d']", "[]", "set()", "()", "plain,d"]))
    assert labels_of(data)[:6] == [("a", "b c"), ("d",), (), (), (), ("d", "plain")]


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        (
            ['["it\'s", \'say "hi"\']', r"['it\'s', 'x,y [z]']", r'["\"q\"", "back\\slash"]'],
            [("it's", 'say "hi"'), ("it's", "x,y [z]"), ('"q"', "back\\slash")],
        ),
        # Items without quotes are a list if every text is one.
        (["[a, b c]", "[d]", "[]", ""], [("a", "b c"), ("d",), (), ()]),
        (["[a], [b]", "[a]", "[b]"], [("[a]", "[b]"), ("[a]",), ("[b]",)]),
        (["(none)", "(x)", "(x),y"], [("(none)",), ("(x)",), ("(x)", "y")]),
        # Numbers of labels are names.
        ([[0], [1], [0, 1], []], [("0",), ("1",), ("0", "1"), ()]),
        # Names with a separator between them.
        (["b", " c , b ", "", "  ", "a,,b,b,", "c\u200b,\u200b"], [("b",), ("b", "c"), (), (), ("a", "b"), ("c",)]),
        (["a", None, 10, "9,2.0,10.0"], [("a",), (), ("10",), ("2", "9", "10")]),
        (["1,2", "1.0", "2", "1,1.0"], [("1", "2"), ("1",), ("2",), ("1",)]),
        (["1.0,1.10", "1.1", "TRUE", "True"], [("1.0", "1.10"), ("1.1",), ("TRUE",), ("TRUE",)]),
    ],
)
def test_the_labels_of_each_cell(table, cells, labels):
    name = "t.csv" if all(isinstance(cell, str) for cell in cells) else "t.jsonl"
    data = read(table(cells, name))
    assert labels_of(data)[: len(cells)] == labels and data.counts["dropped_missing"] == 0
    assert data.labels == sorted(set().union(*labels), key=label_order)


@pytest.mark.parametrize("broken", ["['a', 'b'", "['it's', 'b']", "['a's', 'b's']", "[['a'], ['b']]", "['a': 1]", "{'a': 1}"])
def test_a_broken_list_is_named(table, broken):
    refused(table([broken, "b"]), "line 2, column 'tags'", "looks like a list of names and cannot be read", reader=read)


@pytest.mark.parametrize(
    "vectors",
    [
        ([0, 1, 0], [1, 0, 1]),
        ([1.0, 0.0], [0.0, 1.0]),
        ([True, False], [False, True]),
        (["0", "1"], ["1", "0"]),
        ([0.2, 0.8], [0.7, 0.3]),
        ([0, 0, 1], [1, 0]),
        ([1], [0]),
        ("[0, 1, 0]", "[1 0 0]"),
        ("[0. 1. 0.]", "[1. 0. 0.]"),
        ("[True, False]", "[False, True]"),
        ("[np.int64(0), np.int64(1)]", "[np.True_, np.False_]"),
        ("(0, 1)", "array([1, 0])"),
        ("0,1,0", "1,0,0"),
        ("0 1 0", "1 0 0"),
        ("0;1;0", "1;0;0"),
        ("010", "100"),
        ("0", "1"),
    ],
)
@pytest.mark.parametrize("separator", [None, ",", " "])
def test_vectors_of_zeros_and_ones_are_refused_without_advice_that_leads_there(table, vectors, separator):
    path = table(vectors, "t.jsonl")
    message = refused(path, "line 1, column 'tags'", VECTOR, "as do 59 other rows", reader=read, label_separator=separator)
    assert "give the names" in message and "one column of 0 and 1 for each label" in message
    assert "--label-separator" not in message and "--label-column " not in message


def test_vectors_are_refused_in_every_reader(table):
    for name, cells in (("t.jsonl", ([0, 1, 0], [1, 0, 1])), ("t.csv", ("[0, 1, 0]", "[1, 0, 1]"))):
        path = table(cells, name)
        refused(path, VECTOR, reader=read_multiclass, label_column="tags")
        for columns in (["tags"], ["ALL"]):
            refused(path, VECTOR, reader=read, label_column=None, label_separator=None, label_columns=columns)


@pytest.mark.parametrize("cells", [["['a']", "['b', 'a']"], [["a"], ["b"]]])
def test_lists_where_one_label_is_expected(table, cells):
    path = table(cells, "t.jsonl")
    refused(path, "line 1, column 'tags'", "holds the list", "train_multilabel.py", reader=read_multiclass, label_column="tags")
    columns = {"label_column": None, "label_separator": None, "label_columns": ["tags"]}
    refused(path, "holds a list", "as --label-column", reader=read, **columns)


def test_brackets_are_part_of_a_single_label(table):
    assert read_multiclass(table(["[SPAM]", "(none)", "[]"]), label_column="tags").labels == ["(none)", "[SPAM]", "[]"]


def test_text_without_a_separator_is_named_with_its_row(table, tmp_path):
    path = table(["a", "b,c"])
    refused(path, "t.csv, line 2", "'tags'", "not a list of names", "--label-separator", reader=read, label_separator=None)
    path = table(LISTS, "t.jsonl")
    path.write_text(path.read_text() + "\n" + json.dumps({"text": "one more", "tags": [["deep"]]}))
    refused(path, "t.jsonl, line 61", "holds a list", reader=read)


@pytest.mark.parametrize("separator", ["|", ";", " / "])
def test_other_separators(table, separator):
    data = read(table((f"a{separator}b, c", "a", f"b, c{separator}d")), label_separator=separator)
    assert labels_of(data)[:3] == [("a", "b, c"), ("a",), ("b, c", "d")]


def test_a_merge_of_names_is_noted(table):
    data = read(table(("1,2", "1.0", "2", "1,1.0")))
    assert data.counts["labels_merged"] == 1
    assert any('"1" (30 rows) and "1.0" (30 rows)' in note for note in data.notes)


def test_names_that_are_doubtful(table):
    path = table(("spam,ham", "ham,Spam", "ham,eggs", ""))
    refused(path, "column 'tags'", '"spam" (15 rows, first ', "line 2)", '"Spam" (15 rows, first ', "line 3)", reader=read)
    refused(table([f"note {index}, seen" for index in range(60)]), "61 different values", "the label column?", reader=read)
    refused(table(("", " , ")), "has no label", reader=read)
    train = table(("a", "b,c", "", "a,c"))
    for role in ("val", "test"):
        other = table(["a", "a,z"], "other.csv", 6)
        refused(train, "other.csv, line 3, column 'tags'", '"z" is in no row of', "t.csv", reader=read, **{role: other})


def test_a_separator_that_divides_nothing_is_noted(table):
    path = table(("a|b", "a", "b", ""))
    data = read(path)
    assert data.labels == ["a", "a|b", "b"]
    assert any("'tags' nowhere names two labels with ','" in note for note in data.notes)
    assert not any("nowhere" in note for note in read(path, label_separator="|").notes)
