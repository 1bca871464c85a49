"""Headers below the first row, delimiters, and several text columns."""

import pytest
from support import write_workbook
from table_files import every_row, labels_of, numbered, read, read_labels, refused, texts_of, write_table

HEADER = ["text", "label"]


def above(path, rows, records, header=HEADER):
    """A table whose header stands below other rows."""
    if path.suffix == ".xlsx":
        return write_workbook(path, {"Sheet1": [*rows, header, *records]})
    lines = [",".join(row) for row in [*rows, header, *records]]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("suffix", [".xlsx", ".csv"])
def test_a_header_below_titles(tmp_path, suffix):
    titles = [['Report "2026'], ["of", "all", "shops"]]  # a csv reader would not survive the quote
    path = above(tmp_path / f"t{suffix}", titles, numbered(30))
    data = read(path, header_row=3)
    assert [number for number, *_ in every_row(data)] == list(range(4, 34))
    assert texts_of(data) == [text for text, _ in numbered(30)]
    refused(path, "--header-row 90", header_row=90)


@pytest.mark.parametrize("suffix", [".xlsx", ".csv"])
def test_a_header_that_was_not_found_is_pointed_at(tmp_path, suffix):
    path = above(tmp_path / f"t{suffix}", [["Report"], ["of", "shops"]], numbered(30))
    refused(path, "has no column 'text'; its columns are 'Report'", "row 3 names them", "(--header-row 3)?")
    bars = tmp_path / "bars.csv"
    bars.write_text("Report, of all\nshops\ntext|label\n" + "".join(f"{text}|{label}\n" for text, label in numbered(30)))
    refused(bars, "its columns are 'Report', 'of all'", "row 3 names them", "(--header-row 3)?")
    assert "--header-row" not in refused(path, "has no column 'Text'", text_column="Text", label_column="L")
    empty = above(tmp_path / f"e{suffix}", [["Report"], []], numbered(30))
    refused(empty, "--header-row 2: is empty in", header_row=2)


def test_rows_are_numbered_as_in_the_file_whatever_stands_above(tmp_path):
    path = above(tmp_path / "t.csv", [["Report"], []], [*numbered(30), ["one"], ["a", "b", "c"]])
    refused(path, "line 34 has 1 cell ", header_row=3)


@pytest.mark.parametrize("delimiter", ["|", ":", "\t", ";"])
def test_a_delimiter_is_given(tmp_path, delimiter):
    path = write_table(tmp_path / "t.csv", numbered(30), delimiter=delimiter)
    assert texts_of(read(path, delimiter=delimiter)) == [text for text, _ in numbered(30)]
    refused(path, "has no column 'text'", delimiter="#")


def test_a_bar_is_recognised_only_where_the_header_makes_sense_with_it(tmp_path):
    path = write_table(tmp_path / "t.csv", numbered(30), delimiter="|")
    assert labels_of(read(path)) == [label for _, label in numbered(30)]
    whole = write_table(tmp_path / "w.csv", numbered(30), header=("text|title", "label"))
    assert labels_of(read(whole, text_column="text|title")) == [label for _, label in numbered(30)]


# Several text columns.

RECORDS = [[f"title {index}", f"body {index}", "neg" if index % 2 else "pos"] for index in range(40)]
NAMES = ("title", "body", "label")
SUFFIXES = [".csv", ".tsv", ".jsonl", ".parquet", ".xlsx", ".frame"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_several_text_columns_are_joined_in_every_format(tmp_path, suffix):
    data = read(write_table(tmp_path / f"t{suffix}", RECORDS, NAMES), text_column="title,body")
    assert texts_of(data) == [f"title {index} [SEP] body {index}" for index in range(40)]
    assert data.text_columns == ["title", "body"]
    turned = read(write_table(tmp_path / f"u{suffix}", RECORDS, NAMES), text_column="body, title")
    assert texts_of(turned)[3] == "body 3 [SEP] title 3" and turned.text_columns == ["body", "title"]


def test_a_missing_cell_leaves_its_place_empty_and_a_row_without_any_is_missing(tmp_path):
    records = [list(record) for record in RECORDS]
    records[0][0], records[1][1] = "", " "
    path = write_table(tmp_path / "t.csv", records, NAMES)
    assert texts_of(read(path, text_column="title,body"))[:2] == [" [SEP] body 0", "title 1 [SEP] "]
    records[5][:2] = ["", "\u200b"]
    path = write_table(tmp_path / "t.csv", records, NAMES)
    refused(path, "columns 'title', 'body' are all empty or blank in 1 line: line 7", text_column="title,body")
    assert len(texts_of(read(path, text_column="title,body", drop_missing=True))) == 39


def test_a_cell_cannot_pretend_to_end(tmp_path):
    records = [["one [SEP] two", "three", "neg"], *RECORDS]
    texts = texts_of(read(write_table(tmp_path / "t.csv", records, NAMES), text_column="title,body"))
    assert texts[0] == "one [ SEP ] two [SEP] three"
    alone = texts_of(read(write_table(tmp_path / "t.csv", records, NAMES), text_column="title"))
    assert alone[0] == "one [SEP] two"  # a single column is read as it is


def test_repeats_and_leaks_are_those_of_the_joined_texts(tmp_path):
    train = write_table(tmp_path / "t.csv", [*RECORDS, RECORDS[0], ["title 0", "another body", "pos"]], NAMES)
    test = write_table(tmp_path / "e.csv", [["Title 1", "BODY  1", "neg"], ["title 2", "body 1", "pos"]], NAMES)
    data = read(train, test=test, text_column="title,body")
    assert data.counts["leaks_dropped"] == 1 and data.counts["duplicates"] == 1


def test_names_with_commas_and_all_as_labels(tmp_path):
    records = [[f"t {index}", f"b {index}", index % 2, index % 3 == 0] for index in range(60)]
    path = write_table(tmp_path / "t.csv", records, ("title", "text, body", "late", "lost"))
    for named in ('title,"text, body"', "title, text, body"):
        data = read_labels(path, text_column=named, label_columns=["ALL"])
        assert data.text_columns == ["title", "text, body"] and data.labels == ["late", "lost"]
        assert texts_of(data)[2] == "t 2 [SEP] b 2"
    whole = read_labels(path, text_column="text, body", label_columns=["late"])
    assert whole.text_columns == ["text, body"] and texts_of(whole)[2] == "b 2"


def test_columns_that_contradict_each_other(tmp_path):
    path = write_table(tmp_path / "t.csv", RECORDS, NAMES)
    refused(path, "text column 'title' is named 2 times", text_column="title,title")
    refused(path, "'label'; name two columns", text_column="title,label")
    refused(path, "has no column 'bode'", "did you mean 'body'?", text_column="title,bode")
    refused(path, "'body' is named as a label column", reader=read_labels, text_column="title,body", label_columns=["body"])
