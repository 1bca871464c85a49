"""Files, data sets and DataFrames: every accepted format is read right, and every fault is named with its place."""

import codecs
import datetime
import decimal
import hashlib
import subprocess
import sys

import numpy as np
import pandas
import pyarrow
import pyarrow.parquet
import pytest
from table_files import SUFFIXES, every_row, labels_of, numbered, read, read_labels, refused, sizes, texts_of, write_table

from halfbert.data import workbooks
from halfbert.system.errors import ResourceError


def test_import_is_quick_and_brings_no_heavy_library():
    heavy = ["pandas", "numpy", "openpyxl", "sklearn", "pyarrow", "datasets", "tensorflow", "ktrain"]
    code = f"import sys, halfbert.data.multiclass; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_gives_the_rows_their_numbers_and_their_texts_as_they_are(tmp_path, suffix):
    records = numbered(30)
    records[0][0], records[3][0] = "a, b; c separator \u2028 inside", 'two\nlines, and a "quote" '
    data = read(write_table(tmp_path / f"t{suffix}", records))
    first = {".jsonl": 1, ".parquet": 1, ".frame": 1}.get(suffix, 2)
    later = int(suffix in (".csv", ".tsv"))  # the line on which a record starts
    assert every_row(data) == [(first + i + later * (i > 3), text, label) for i, (text, label) in enumerate(records)]
    assert data.train.file == ("the DataFrame given as train" if suffix == ".frame" else str(tmp_path / f"t{suffix}"))
    assert data.notes == []


@pytest.mark.parametrize(
    ("suffix", "renamed"), [(".jsonl", ".ndjson"), (".jsonl", ".JSONL"), (".xlsx", ".xlsm"), (".xlsx", ".XLSX")]
)
def test_other_endings_of_a_format(tmp_path, suffix, renamed):
    path = write_table(tmp_path / f"t{suffix}", numbered(30)).rename(tmp_path / f"u{renamed}")
    assert len(every_row(read(path))) == 30


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_of_a_csv_goes_by_its_header(tmp_path, delimiter):
    records = [[*record, "x;y"] for record in numbered(30)]
    records[0][0] = "a, b"
    path = write_table(tmp_path / "t.csv", records, ("text", "label", "a;b"), delimiter)
    assert every_row(read(path))[0] == (2, "a, b", "neg")


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_line_ends_of_every_system(tmp_path, name, ends):
    path = write_table(tmp_path / name, numbered(30))
    path.write_bytes(path.read_bytes().replace(b"\n", ends.encode()))
    assert texts_of(read(path)) == [text for text, _ in numbered(30)]


GOOD = '{"text": "a", "label": "b"}\n'


@pytest.mark.parametrize(
    ("name", "content", "fragments"),
    [
        ("t.csv", b"", ["is empty"]),
        ("t.csv", codecs.BOM_UTF8 + b"\n\n", ["is empty"]),
        ("t.csv", b"text,label\n", ["has no rows"]),
        ("t.csv", b"text,label\na\0b,neg\n", ["line 2", "NUL"]),
        ("t.csv", codecs.encode("text,label\nhello,neg\n", "utf-16-le"), ["line 1", "--encoding utf-16-le"]),
        ("t.csv", "text,label\nhello,neg\ncafé,pos\n".encode("cp1252"), ["line 3", "--encoding cp1252"]),
        ("t.csv", b"text,label\na,b\nc,d,e\n", ["line 3 has 3 cells", "header has 2", "double quotes"]),
        ("t.csv", b"text,label\na,b\nc\n", ["line 3 has 1 cell "]),
        ("t.csv", b'text,label\na,b\n"c,d\ne,f\n', ["line 3 opens a double quote"]),
        ("t.csv", b'text,label\na,b\n"c"d,e\n', ["line 3", "stray double quote", "written twice"]),
        ("t.jsonl", f'{GOOD}{GOOD}{{"text": "a", "label"'.encode(), ["line 3 is not JSON"]),
        ("t.jsonl", f"{GOOD}{GOOD}[1, 2]".encode(), ["line 3 is not a JSON object"]),
        ("t.jsonl", f'{GOOD}{{"text": "a", "text": "b", "label": "c"}}'.encode(), ["line 2", "a name stands twice"]),
        ("t.jsonl", f"{GOOD}{GOOD}{'[' * 200_000}".encode(), ["line 3"]),
        ("t.jsonl", b'{"text": ["a"], "label": "b"}', ["line 1, column 'text': holds a list"]),
        ("t.jsonl", b'{"text": "half \\ud83d", "label": "b"}', ["line 1, column 'text'", "surrogate"]),
        ("t.parquet", b"PAR1 and no more", ["not a whole parquet file"]),
        ("t.doc", b"text,label\n", [".doc", ".csv, .tsv, .jsonl, .ndjson, .json, .txt, .parquet", "or hf:NAME[:CONFIG]"]),
        ("t.txt", b"a text\nanother\n", ["has no column 'label'; its columns are 'text'"]),
        ("t", b"text,label\n", ["without an ending"]),
        ("t.xls", b"anything", ["legacy", "save it as .xlsx"]),
        ("t.csv", workbooks.OLE2_SIGNATURE + b"\0" * 600, ["legacy"]),
        ("t.csv", workbooks.ZIP_SIGNATURE, ["is an Excel workbook named .csv"]),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, content, fragments):
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, name, *fragments)


def test_missing_folder_and_unreadable_file(tmp_path, monkeypatch):
    refused(tmp_path / "none.csv", "none.csv: no such file")
    refused(tmp_path, "is a folder")
    path = write_table(tmp_path / "t.csv", numbered(30))

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", refuse)
    refused(path, "t.csv", "Permission denied")


def test_json_null_nan_and_absent_are_missing(tmp_path):
    path = write_table(tmp_path / "t.jsonl", numbered(20))
    missing = ['{"text": null, "label": "pos"}', '{"text": NaN, "label": "pos"}', '{"label": "pos"}']
    path.write_text("\n".join([path.read_text(), *missing]))
    refused(path, "column 'text'", "3 lines: line 21, 22, 23")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_byte_order_marks(tmp_path, encoding):
    path = write_table(tmp_path / "t.csv", [["naïve café 😀 “quotes”", "neg"], *numbered(30)], encoding=encoding)
    assert texts_of(read(path))[0] == "naïve café 😀 “quotes”"
    twice = "\ufeff" + path.read_text(encoding).replace("text", '"text"', 1)  # and a quoted header
    path.write_text(twice, encoding=encoding)
    assert texts_of(read(path))[0] == "naïve café 😀 “quotes”"


def test_encodings(tmp_path):
    path = write_table(tmp_path / "t.csv", [["café", "neg"], *numbered(30)])
    refused(path, "--encoding klingon", encoding="klingon")
    refused(path, "--encoding hex", encoding="hex")
    refused(path, "line 2 is not ascii", encoding="ascii")
    western = write_table(tmp_path / "v.csv", [["café", "neg"], *numbered(30)], encoding="cp1252")
    assert texts_of(read(western, encoding="cp1252"))[0] == "café"
    marked = write_table(tmp_path / "u.csv", numbered(30), encoding="utf-8-sig")
    refused(marked, "mark of utf-8", encoding="cp1252")
    assert len(every_row(read(marked, encoding="utf8"))) == 30


def test_options_that_would_do_nothing_are_refused(tmp_path):
    refused(write_table(tmp_path / "t.csv", numbered(30)), "--sheet", sheet="Sheet1")
    refused(write_table(tmp_path / "t.xlsx", numbered(30)), "--encoding", encoding="cp1252")
    refused(write_table(tmp_path / "t.frame", numbered(30)), "--sheet", "(a DataFrame)", sheet="Sheet1")
    refused(write_table(tmp_path / "t.jsonl", numbered(30)), "--header-row 2", "csv or tsv (", header_row=2)
    refused(write_table(tmp_path / "t.xlsx", numbered(30)), "--delimiter tab", "is csv or tsv", delimiter="\t")


def test_long_cells_and_blank_lines(tmp_path):
    records = [["x" * 200_000, "neg"], *numbered(30)]
    path = write_table(tmp_path / "t.csv", records)
    path.write_text(path.read_text().replace("\ntext number 3,", "\n\n \ntext number 3,"))
    rows = every_row(read(path))
    assert len(rows) == 31 and len(rows[0][1]) == 200_000
    assert rows[4][0] == 8 and rows[4][1] == "text number 3"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_are_described_by_hash_and_rows(tmp_path, suffix):
    train, test = (write_table(tmp_path / f"{name}{suffix}", numbered(30, word=name)) for name in ("train", "test"))
    described = read(train, test=test).files
    assert [(file["role"], file["rows"]) for file in described] == [("train", 30), ("test", 30)]
    if suffix == ".frame":
        assert described[0]["sha256"] != described[1]["sha256"] == read(test).files[0]["sha256"]
    else:
        assert [file["name"] for file in described] == [train.name, test.name]
        assert [file["sha256"] for file in described] == [hashlib.sha256(p.read_bytes()).hexdigest() for p in (train, test)]


# Columns.


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_missing_column_names_the_nearest_and_all(tmp_path, suffix):
    path = write_table(tmp_path / f"t{suffix}", numbered(30), ("review", "sentiment"))
    columns = {"text_column": "review", "label_column": "sentimnt"}
    refused(path, "'sentimnt'", "'review', 'sentiment'", "did you mean 'sentiment'?", **columns)
    refused(path, "both 'text'", label_column="text")
    path = write_table(tmp_path / f"u{suffix}", numbered(30), ("text", "y" * 3000))
    assert len(refused(path, "no column 'label'", "yyy...'")) < 300 + len(str(tmp_path))


@pytest.mark.parametrize("suffix", [".csv", ".xlsx", ".frame"])
def test_duplicate_columns_matter_only_if_requested(tmp_path, suffix):
    records = [[*record, "x", "y"] for record in numbered(30)]
    refused(write_table(tmp_path / f"t{suffix}", records, ("text", "label", "te\u200bxt", "a")), "2 columns named 'text'")
    assert len(every_row(read(write_table(tmp_path / f"u{suffix}", records, ("text", "label", "Text", "Text"))))) == 30


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("header", "requested"),
    [
        ("\u200btext\ufeff", "text"),
        (" text\u00a0", "text"),
        ("te\nxt", "te xt"),
        ("te xt", "te\nxt"),
        ("text", "text\u200b"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("TRUE", "True"),
        ("2020", "2020"),
        ("text, and more", "text, and more"),
    ],
)
def test_headers_are_compared_as_they_look(tmp_path, suffix, header, requested):
    path = write_table(tmp_path / f"t{suffix}", numbered(30), (header, "label"))
    assert len(every_row(read(path, text_column=requested))) == 30


def test_headers_that_are_no_text(tmp_path):
    records = [[text, text, text, text, label] for text, label in numbered(30)]
    path = write_table(tmp_path / "t.xlsx", records, (2020, 1.0, True, datetime.date(2020, 1, 2), "label"))
    for requested in ("2020", "1", "TRUE", "2020-01-02"):
        assert len(every_row(read(path, text_column=requested))) == 30


# Values that are no text.


VALUES = {
    "integers": ([1, 2], ["1", "2"]),
    "floats": ([1.0, 2.5], ["1", "2.5"]),
    "floats with gaps": ([1.0, 2.0, None], ["1", "2"]),
    "truth": ([True, False], ["False", "True"]),
    "dates": ([datetime.date(2020, 1, 2), datetime.date(2020, 1, 3)], ["2020-01-02", "2020-01-03"]),
    "midnights": ([datetime.datetime(2020, 1, 2), datetime.datetime(2020, 1, 3), None], ["2020-01-02", "2020-01-03"]),
    "moments": ([datetime.datetime(2020, 1, 2, 3, 4), datetime.datetime(2020, 1, 2)], ["2020-01-02", "2020-01-02 03:04:00"]),
    "names that look missing": (["nan", "N/A", "None", "null"], ["N/A", "None", "nan", "null"]),
}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", VALUES)
def test_the_same_values_are_the_same_labels_in_every_format(tmp_path, kind, suffix):
    values, labels = VALUES[kind]
    path = write_table(tmp_path / f"t{suffix}", numbered(36, values))
    data = read(path, drop_missing=True)
    assert data.labels == labels
    assert data.counts["dropped_missing"] == 36 - 36 // len(values) * len(labels)
    for other in SUFFIXES:
        test = write_table(tmp_path / f"test{other}", numbered(12, values, word="other"))
        assert set(read(path, test=test, drop_missing=True).test.labels) == set(labels)


@pytest.mark.parametrize(
    ("column", "labels"),
    [
        (pyarrow.array(["b", "a"] * 15).dictionary_encode(), ["a", "b"]),
        (pyarrow.array([0.1, 2.5, None] * 10, pyarrow.float32()), ["0.1", "2.5"]),
        ([decimal.Decimal("1.10"), decimal.Decimal("2.00")] * 15, ["1.10", "2.00"]),
        (
            pyarrow.array([0, 1] * 15, pyarrow.timestamp("s", tz="UTC")),
            ["1970-01-01 00:00:00+00:00", "1970-01-01 00:00:01+00:00"],
        ),
        ([b"bytes", b"more"] * 15, "row 1, column 'label': holds a bytes"),
        ([None] * 30, "column 'label' is empty or blank in 30 rows"),
        ([{"a": 1}] * 30, "holds a dict"),
    ],
)
def test_columns_of_parquet(tmp_path, column, labels):
    pyarrow.parquet.write_table(
        pyarrow.table({"text": [text for text, _ in numbered(30)], "label": column}), tmp_path / "t.parquet"
    )
    if isinstance(labels, str):
        refused(tmp_path / "t.parquet", labels)
    else:
        assert read(tmp_path / "t.parquet", drop_missing=labels[0] == "0.1").labels == labels


@pytest.mark.parametrize(
    ("column", "labels"),
    [
        (pandas.Categorical(["a", "b"] * 20), ["a", "b"]),
        (pandas.array(["a", "b"] * 20, dtype="string"), ["a", "b"]),
        (pandas.array([1, 2, None, 1] * 10, dtype="Int64"), ["1", "2"]),
        (np.array([0.1, 2.5, np.nan, 7] * 10, dtype="float32"), ["0.1", "2.5", "7"]),
        (np.array([0.1, 2.5] * 20, dtype="float16"), ["0.1", "2.5"]),
        (pandas.array([0.1, 2.5, None, 7] * 10, dtype="Float32"), ["0.1", "2.5", "7"]),
        (np.array([np.float32(0.1), np.float64(0.25), np.datetime64("NaT")] * 14, dtype=object)[:40], ["0.1", "0.25"]),
        (np.array([np.int64(1), np.str_("b"), pandas.NA, np.bool_(True)] * 10, dtype=object), ["1", "True", "b"]),
        (pandas.to_datetime(["2020-01-02", "2020-01-03", None, "2020-01-03"] * 10), ["2020-01-02", "2020-01-03"]),
        (pandas.cut(range(40), 2), ["(-0.039, 19.5]", "(19.5, 39.0]"]),
    ],
)
def test_columns_of_a_frame_give_what_its_csv_gives(tmp_path, column, labels):
    frame = pandas.DataFrame({"text": [text for text, _ in numbered(40)], "label": column}).set_index(
        pandas.Index(range(7, 47))
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    data, of_csv = read(frame, drop_missing=True), read(tmp_path / "t.csv", drop_missing=True)
    assert data.labels == of_csv.labels == labels
    assert data.train.texts == of_csv.train.texts and data.counts == of_csv.counts
    assert [number + 1 for number in data.test.numbers] == of_csv.test.numbers  # which has a header


def test_frames_for_every_part_and_faults_of_a_frame():
    train, val, test = (pandas.DataFrame(numbered(30, word=word), columns=["text", "label"]) for word in "abc")
    assert sizes(read(train, val=val, test=test)) == [30, 30, 30]
    train.loc[4, "text"] = None
    refused(train, "the DataFrame given as train: column 'text' is empty", "1 row: row 5")
    refused(train[["text"]], "the DataFrame given as train: has no column 'label'")
    refused(pandas.concat({"a": train}, axis=1), "2 levels of column names")
    refused([["text", "label"]], "give the name of a file or a pandas DataFrame, not a list")
    refused(decimal.Decimal(1), "not a decimal.Decimal")
    assert read(val.set_axis([0, 1], axis=1), text_column="0", label_column="1").labels == ["neg", "pos"]


def test_texts_that_look_like_nothing_or_like_formulas_are_read_as_they_are(tmp_path):
    words = ["NA", "null", "None", "nan", "N/A", "NaN", "=1+1", "+1", "-1", "@me", "'quoted"]
    path = write_table(tmp_path / "t.csv", [*([word, "neg"] for word in words), *numbered(30)])
    assert texts_of(read(path))[: len(words)] == words


# Hugging Face data sets.


@pytest.fixture
def hub(monkeypatch):
    datasets = pytest.importorskip("datasets")

    def serve(columns, features):
        split = datasets.Dataset.from_dict(columns, features=datasets.Features({"text": datasets.Value("string"), **features}))
        monkeypatch.setattr(datasets, "load_dataset", lambda *names: served.append(names) or datasets.DatasetDict(train=split))
        return served

    served: list = []
    serve.datasets = datasets
    return serve


def test_hub_folder_gives_the_split_of_each_role(tmp_path, hub, monkeypatch):
    monkeypatch.setattr(hub.datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "reviews").mkdir()
    for name, word, count in (("train", "a", 40), ("validation", "b", 6), ("test", "c", 8)):
        write_table(tmp_path / "reviews" / f"{name}.csv", numbered(count, word=word))
    source = f"hf:{tmp_path / 'reviews'}"
    data = read(source, val=source, test=source)
    assert sizes(data) == [40, 6, 8] and data.val.texts[0] == "b number 0"
    assert data.test.numbers == list(range(1, 9))
    assert [entry["rows"] for entry in data.files] == [40, 6, 8] and data.files[0]["name"] == source
    assert len({entry["sha256"] for entry in data.files}) == 3
    refused(source, "no column 'txt'", "'text'", text_column="txt")


def test_hub_class_numbers_become_names_also_in_lists(hub):
    kind = hub.datasets.ClassLabel(names=["bad", "good"])
    texts = [text for text, _ in numbered(40)]
    served = hub({"text": texts, "label": [0, 1] * 20}, {"label": kind})
    assert read("hf:someone/reviews:plain").labels == ["bad", "good"]
    assert served == [("someone/reviews", "plain")]
    hub({"text": texts, "label": [0.1, 2.5] * 20}, {"label": hub.datasets.Value("float32")})
    assert read("hf:someone/reviews").labels == ["0.1", "2.5"]
    refused("hf:someone/reviews", "no test split", "train", test="hf:someone/reviews")
    hub({"text": texts, "tags": [[0, 1], [], [1], [0]] * 10}, {"tags": hub.datasets.Sequence(kind)})
    data = read_labels("hf:someone/feelings", label_column="tags")
    assert data.labels == ["bad", "good"] and labels_of(data)[:4] == [("bad", "good"), (), ("good",), ("bad",)]


@pytest.mark.parametrize(
    ("failure", "error", "fragment"),
    [
        (ConnectionError("no network"), ResourceError, "not reachable"),
        (FileNotFoundError("no such data set"), None, "cannot be loaded (no such data set)"),
    ],
)
def test_hub_not_reachable_or_data_set_unknown(hub, monkeypatch, failure, error, fragment):
    def load_dataset(*_):
        raise failure

    monkeypatch.setattr(hub.datasets, "load_dataset", load_dataset)
    refused("hf:someone/reviews", fragment, **({"error": error} if error else {}))


def test_hub_without_the_package_names_the_way_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)  # an import of it now fails
    refused("hf:someone/reviews", "pip install datasets")
