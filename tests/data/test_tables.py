"""Tables: every accepted format is read right, every fault is named, and equal texts never stand on both sides."""

import codecs
import hashlib
import json
import random
import subprocess
import sys
import zipfile
from collections import Counter

import openpyxl
import pytest

from halfbert.data import tables, workbooks
from halfbert.data.cells import cell_text
from halfbert.data.equality import normalise
from halfbert.data.multiclass import read_multiclass
from halfbert.data.splits import stratified_sample
from halfbert.system.errors import InputError, ResourceError

COLUMNS = {"text_column": "text", "label_column": "label"}


def numbered(count, labels=("neg", "pos"), word="text"):
    """`count` records of different texts, the labels in turn."""
    return [[f"{word} number {index}", labels[index % len(labels)]] for index in range(count)]


def write_csv(path, records, header=("text", "label"), delimiter=",", encoding="utf-8"):
    def quoted(cell):
        return f'"{cell.replace(chr(34), chr(34) * 2)}"' if any(sign in cell for sign in f'{delimiter}"\r\n') else cell

    lines = [delimiter.join(map(quoted, record)) for record in [list(header), *records]]
    path.write_bytes(("\n".join(lines) + "\n").encode(encoding))
    return path


def write_workbook(path, records, header=("text", "label"), title="Sheet1"):
    book = openpyxl.Workbook()
    book.active.title = title
    for record in [list(header), *records]:
        book.active.append(record)
    book.save(path)
    return path


def rewrite_member(path, name, change):
    """Replace a member of a zip archive by `change(bytes)`."""
    with zipfile.ZipFile(path) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    members[name] = change(members[name])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members.items():
            archive.writestr(member, content)


def read(path, **options):
    return read_multiclass(path, **{**COLUMNS, **options})


def every_row(data):
    """All rows of all parts as (number, text, label), in the order of the table."""
    return sorted(
        row for part in (data.train, data.val, data.test) for row in zip(part.numbers, part.texts, part.labels, strict=True)
    )


def texts_of(data):
    return [text for _, text, _ in every_row(data)]


def fails(path, *fragments, error=InputError, **options):
    """Reading fails with one line that holds each fragment."""
    with pytest.raises(error) as caught:
        read(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    for fragment in fragments:
        assert fragment in message
    return message


# Import.


def test_import_is_quick_and_brings_no_heavy_library():
    heavy = ["pandas", "numpy", "openpyxl", "sklearn", "pyarrow", "datasets", "tensorflow", "ktrain"]
    code = f"import sys, halfbert.data.multiclass; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# Formats.


def test_csv_rows_keep_their_text_and_the_line_they_start_on(tmp_path):
    records = numbered(30)
    records[3][0] = 'two\nlines, and a "quote" '
    data = read(write_csv(tmp_path / "t.csv", records))
    expected = [(2 + index + (1 if index > 3 else 0), text, label) for index, (text, label) in enumerate(records)]
    assert every_row(data) == expected
    assert data.train.file == str(tmp_path / "t.csv")


def test_tsv(tmp_path):
    records = numbered(30)
    records[0][0] = "a, b; c"
    assert every_row(read(write_csv(tmp_path / "t.tsv", records, delimiter="\t")))[0] == (2, "a, b; c", "neg")


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_european_csv(tmp_path, delimiter):
    records = numbered(30)
    records[0][0] = "a, b"
    assert every_row(read(write_csv(tmp_path / "t.csv", records, delimiter=delimiter)))[0] == (2, "a, b", "neg")


def test_comma_wins_when_the_header_makes_sense_with_it(tmp_path):
    path = write_csv(tmp_path / "t.csv", [[*record, "x;y"] for record in numbered(30)], header=("text", "label", "a;b"))
    assert len(every_row(read(path))) == 30


@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson", ".JSONL"])
def test_json_lines(tmp_path, suffix):
    records = numbered(30)
    records[1][0] = "separator \u2028 inside"
    path = tmp_path / f"t{suffix}"
    lines = [json.dumps({"text": text, "label": label}, ensure_ascii=False) for text, label in records]
    path.write_text("\n".join([*lines[:2], "", *lines[2:]]), encoding="utf-8")
    rows = every_row(read(path))
    assert rows[1] == (2, "separator \u2028 inside", "pos")
    assert rows[2] == (4, "text number 2", "neg")  # line 3 is blank


@pytest.mark.parametrize(
    ("line", "fragment"),
    [
        ('{"text": "a", "label"', "line 3 is not JSON"),
        ("[1, 2]", "line 3 is not a JSON object"),
        ('{"text": "a", "text": "b", "label": "c"}', "a name stands twice"),
        ("[" * 200_000, "line 3"),
    ],
)
def test_broken_json_line_is_named(tmp_path, line, fragment):
    path = tmp_path / "t.jsonl"
    good = '{"text": "a", "label": "b"}'
    path.write_text(f"{good}\n{good}\n{line}\n", encoding="utf-8")
    fails(path, "t.jsonl", fragment)


def test_json_null_nan_and_absent_are_missing(tmp_path):
    path = tmp_path / "t.jsonl"
    lines = [json.dumps({"text": text, "label": label}) for text, label in numbered(20)]
    missing = ['{"text": null, "label": "pos"}', '{"text": NaN, "label": "pos"}', '{"label": "pos"}']
    path.write_text("\n".join(lines + missing), encoding="utf-8")
    fails(path, "column 'text'", "3 lines: line 21, 22, 23")


def test_nested_value_is_named(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('{"text": ["a"], "label": "b"}\n', encoding="utf-8")
    fails(path, "line 1, column 'text': holds a list")


def test_lone_surrogate_is_named(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('{"text": "half \\ud83d", "label": "b"}\n', encoding="utf-8")
    fails(path, "line 1, column 'text'", "surrogate")


def test_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet")
    texts = [text for text, _ in numbered(30)]
    columns = {"text": texts, "label": [1, 2] * 15, "other": [None] * 30}
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "t.parquet")
    data = read(tmp_path / "t.parquet")
    assert every_row(data) == [(1 + index, text, str(1 + index % 2)) for index, text in enumerate(texts)]
    columns["text"] = [None, *texts[1:]]
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "gap.parquet")
    fails(tmp_path / "gap.parquet", "column 'text'", "1 row: row 1")


def test_broken_parquet(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and no more")
    fails(tmp_path / "t.parquet", "not a whole parquet file")


@pytest.mark.parametrize("suffix", [".xlsx", ".xlsm", ".XLSX"])
def test_workbook_rows_and_numbers(tmp_path, suffix):
    records = numbered(30)
    path = write_workbook(tmp_path / "t.xlsx", records).rename(tmp_path / f"t{suffix}")
    assert every_row(read(path)) == [(2 + index, text, label) for index, (text, label) in enumerate(records)]


def test_numbers_are_texts_as_people_see_them(tmp_path):
    records = numbered(30)
    records[0][0], records[1][0], records[2][0], records[3][0] = 3, 3.0, 2.5, True
    assert texts_of(read(write_workbook(tmp_path / "t.xlsx", records)))[:4] == ["3", "3", "2.5", "True"]
    assert cell_text(3.0, "") == "3"
    assert cell_text(float("nan"), "") is None


@pytest.mark.parametrize(("name", "fragment"), [("t.txt", ".txt"), ("t.docx", ".docx"), ("t", "without an ending")])
def test_other_endings_are_refused_with_those_accepted(tmp_path, name, fragment):
    (tmp_path / name).write_text("text,label\n")
    message = fails(tmp_path / name, fragment)
    for accepted in (".xlsx", ".xlsm", ".csv", ".tsv", ".parquet", ".jsonl", ".ndjson", "hf:NAME[:CONFIG]"):
        assert accepted in message


def test_xls_is_legacy(tmp_path):
    (tmp_path / "t.xls").write_bytes(b"anything")
    fails(tmp_path / "t.xls", "legacy", "save it as .xlsx")


def test_files_are_described_by_hash_and_rows(tmp_path):
    train = write_csv(tmp_path / "train.csv", numbered(30))
    test = write_csv(tmp_path / "test.csv", numbered(6, word="other"))
    assert read(train, test=test).files == [
        {"role": role, "name": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "rows": rows}
        for role, path, rows in (("train", train, 30), ("test", test, 6))
    ]


# Hugging Face data sets.


@pytest.fixture
def hub_folder(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "reviews"
    folder.mkdir()
    for name, word, count in (("train", "a", 40), ("validation", "b", 6), ("test", "c", 8)):
        write_csv(folder / f"{name}.csv", numbered(count, word=word))
    return folder


def test_hub_folder_gives_the_split_of_each_role(hub_folder):
    source = f"hf:{hub_folder}"
    data = read(source, val=source, test=source)
    assert [len(data.train), len(data.val), len(data.test)] == [40, 6, 8]
    assert data.val.texts[0] == "b number 0"
    assert data.test.numbers == list(range(1, 9))
    assert [entry["rows"] for entry in data.files] == [40, 6, 8]
    assert len({entry["sha256"] for entry in data.files}) == 3
    assert data.files[0]["name"] == source
    fails(source, "no column 'txt'", "'text'", text_column="txt")


def test_hub_class_numbers_become_names(monkeypatch):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["bad", "good"])})
    columns = {"text": [text for text, _ in numbered(30)], "label": [0, 1] * 15}
    split = datasets.Dataset.from_dict(columns, features=features)
    asked = []
    monkeypatch.setattr(datasets, "load_dataset", lambda *names: asked.append(names) or datasets.DatasetDict(train=split))
    data = read("hf:someone/reviews:plain")
    assert asked == [("someone/reviews", "plain")]
    assert data.labels == ["bad", "good"]
    fails("hf:someone/reviews", "no test split", "train", test="hf:someone/reviews")


def test_hub_out_of_reach_or_unknown(monkeypatch):
    datasets = pytest.importorskip("datasets")

    def raising(error):
        def load_dataset(*_):
            raise error

        monkeypatch.setattr(datasets, "load_dataset", load_dataset)

    raising(ConnectionError("no network"))
    fails("hf:someone/reviews", "not reachable", error=ResourceError)
    raising(FileNotFoundError("no such data set"))
    fails("hf:someone/reviews", "cannot be loaded", "no such data set")


def test_hub_without_the_package_names_the_way_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)  # an import of it now fails
    fails("hf:someone/reviews", "pip install datasets")


# Workbooks: content, safety and formulas.


def test_encrypted_workbook(tmp_path):
    stream_name = "EncryptedPackage".encode("utf-16-le")
    (tmp_path / "t.xlsx").write_bytes(workbooks.OLE2_SIGNATURE + b"\0" * 600 + stream_name)
    fails(tmp_path / "t.xlsx", "encrypted")


def test_legacy_workbook_under_a_new_name(tmp_path):
    (tmp_path / "t.xlsx").write_bytes(workbooks.OLE2_SIGNATURE + b"\0" * 600)
    fails(tmp_path / "t.xlsx", "legacy", ".xlsx")
    (tmp_path / "t.csv").write_bytes(workbooks.OLE2_SIGNATURE + b"\0" * 600)
    fails(tmp_path / "t.csv", "legacy")


def test_workbook_named_csv(tmp_path):
    write_workbook(tmp_path / "t.xlsx", numbered(30)).rename(tmp_path / "t.csv")
    fails(tmp_path / "t.csv", "is an Excel workbook named .csv")


def test_text_named_xlsx(tmp_path):
    write_csv(tmp_path / "t.xlsx", numbered(30))
    fails(tmp_path / "t.xlsx", "is plain text")
    (tmp_path / "u.xlsx").write_bytes(b"\x89\0\1\2")
    fails(tmp_path / "u.xlsx", "is not an Excel workbook")


def test_zip_without_a_workbook_and_cut_workbook(tmp_path):
    with zipfile.ZipFile(tmp_path / "t.xlsx", "w") as archive:
        archive.writestr("notes.txt", "hello")
    fails(tmp_path / "t.xlsx", "not a whole Excel workbook")
    whole = write_workbook(tmp_path / "u.xlsx", numbered(30))
    whole.write_bytes(whole.read_bytes()[:-200])
    fails(whole, "not a whole Excel workbook")


def test_broken_xml_in_a_workbook(tmp_path):
    path = write_workbook(tmp_path / "t.xlsx", numbered(30))
    rewrite_member(path, "xl/worksheets/sheet1.xml", lambda xml: xml[: len(xml) // 2])
    fails(path, "not a whole Excel workbook")


@pytest.mark.parametrize("member", ["xl/worksheets/sheet1.xml", "xl/workbook.xml", "xl/styles.xml"])
def test_xml_entities_are_refused(tmp_path, member):
    pytest.importorskip("defusedxml")
    path = write_workbook(tmp_path / "t.xlsx", numbered(30))
    doctype = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'

    def add_doctype(xml):
        end = xml.index(b"?>") + 2 if xml.startswith(b"<?xml") else 0
        return xml[:end] + doctype + xml[end:]

    rewrite_member(path, member, add_doctype)
    fails(path, "XML entities")


def test_too_many_members(tmp_path, monkeypatch):
    path = write_workbook(tmp_path / "t.xlsx", numbered(30))
    monkeypatch.setattr(workbooks, "MAX_MEMBERS", 3)
    fails(path, "files, more than the 3 accepted")


def test_unpacked_size_is_capped_before_unpacking(tmp_path, monkeypatch):
    path = write_workbook(tmp_path / "t.xlsx", numbered(30))
    monkeypatch.setattr(workbooks, "MAX_UNPACKED_BYTES", 1000)
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_, **__: pytest.fail("something was unpacked"))
    fails(path, "unpacks to", "GiB")


def test_ratio_is_capped_before_unpacking(tmp_path, monkeypatch):
    path = write_workbook(tmp_path / "t.xlsx", numbered(30))
    rewrite_member(path, "xl/worksheets/sheet1.xml", lambda xml: xml + b" " * 20_000_000)
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_, **__: pytest.fail("something was unpacked"))
    fails(path, "xl/worksheets/sheet1.xml unpacks to", "times its size")


def test_small_members_may_pack_well(tmp_path):
    path = write_workbook(tmp_path / "t.xlsx", numbered(30))
    rewrite_member(path, "xl/worksheets/sheet1.xml", lambda xml: xml + b" " * 5_000_000)
    assert len(every_row(read(path))) == 30


def test_made_up_dimension_is_ignored(tmp_path):
    path = write_workbook(tmp_path / "t.xlsx", numbered(300))
    rewrite_member(path, "xl/worksheets/sheet1.xml", lambda xml: xml.replace(b"A1:B301", b"A1:XFD1048576"))
    with zipfile.ZipFile(path) as archive:
        assert b"A1:XFD1048576" in archive.read("xl/worksheets/sheet1.xml")
    assert len(every_row(read(path))) == 300
    assert {len(row) for row in workbooks.read_sheet(path).rows} == {2}  # and not 16,384


def test_a_row_number_beyond_every_sheet_is_not_waited_for(tmp_path):
    path = write_workbook(tmp_path / "t.xlsx", numbered(30))
    far = b'<row r="3000000"><c r="A3000000" t="n"><v>1</v></c></row></sheetData>'
    rewrite_member(path, "xl/worksheets/sheet1.xml", lambda xml: xml.replace(b"</sheetData>", far))
    assert len(every_row(read(path))) == 30


def test_trailing_empty_rows_are_dropped_and_gaps_are_named(tmp_path):
    records = numbered(30)
    assert len(every_row(read(write_workbook(tmp_path / "t.xlsx", [*records, [None, ""], [None, " "]])))) == 30
    assert len(every_row(read(write_csv(tmp_path / "t.csv", [*records, ["", ""], ["", " "]])))) == 30
    gap = write_workbook(tmp_path / "gap.xlsx", [*records[:5], [None, None], *records[5:]])
    fails(gap, "column 'text'", "row 7")


def test_sheets(tmp_path):
    book = openpyxl.Workbook()
    for title, word in (("First", "one"), ("Second", "two")):
        sheet = book.create_sheet(title)
        for record in [["text", "label"], *numbered(30, word=word)]:
            sheet.append(record)
    del book["Sheet"]
    book.save(tmp_path / "t.xlsx")
    by_default = read(tmp_path / "t.xlsx")
    assert texts_of(by_default)[0] == "one number 0"
    assert "'First'" in by_default.notes[0] and "'Second'" in by_default.notes[0]
    named = read(tmp_path / "t.xlsx", sheet="Second")
    assert texts_of(named)[0] == "two number 0"
    assert named.notes == []
    fails(tmp_path / "t.xlsx", "'Third'", "'First', 'Second'", sheet="Third")


def test_header_below_an_empty_row(tmp_path):
    path = write_workbook(tmp_path / "t.xlsx", [["text", "label"], *numbered(30)], header=(None, None))
    assert every_row(read(path))[0] == (3, "text number 0", "neg")


def test_empty_sheet(tmp_path):
    openpyxl.Workbook().save(tmp_path / "t.xlsx")
    fails(tmp_path / "t.xlsx", "is empty")


def test_text_stored_as_a_formula_is_read_back(tmp_path):
    records = numbered(30)
    records[4][0] = "=== spoilers === he dies"
    data = read(write_workbook(tmp_path / "t.xlsx", records))
    assert every_row(data)[4] == (6, "=== spoilers === he dies", "neg")
    assert data.counts["formula_texts"] == 1
    assert [note for note in data.notes if "formula" in note and "row 6" in note]


def test_stored_value_of_a_formula_wins_unless_it_is_an_error(tmp_path):
    records = numbered(30)
    records[0][0], records[1][0], records[2][0] = "=first", "=second", "=third"
    path = write_workbook(tmp_path / "t.xlsx", records)

    def store_values(xml):
        for old, new in (
            (b'<c r="A2"><f>first</f><v /></c>', b'<c r="A2" t="str"><f>first</f><v>computed</v></c>'),
            (b'<c r="A3"><f>second</f><v /></c>', b'<c r="A3" t="e"><f>second</f><v>#NAME?</v></c>'),
            (b'<c r="A4"><f>third</f><v /></c>', b'<c r="A4"><f>third</f><v>7</v></c>'),
        ):
            assert old in xml
            xml = xml.replace(old, new)
        return xml

    rewrite_member(path, "xl/worksheets/sheet1.xml", store_values)
    data = read(path)
    assert texts_of(data)[:3] == ["computed", "=second", "7"]
    assert data.counts["formula_texts"] == 1


def test_formula_with_an_empty_stored_value_is_a_missing_text(tmp_path):
    records = numbered(30)
    records[0][0] = "=first"
    path = write_workbook(tmp_path / "t.xlsx", records)
    empty = b'<c r="A2" t="str"><f>first</f><v></v></c>'
    rewrite_member(path, "xl/worksheets/sheet1.xml", lambda xml: xml.replace(b'<c r="A2"><f>first</f><v /></c>', empty))
    fails(path, "column 'text'", "row 2")


def test_label_formula_without_a_value_is_a_missing_label(tmp_path):
    records = numbered(30)
    records[2][1] = '=IF(C4>3,"pos","neg")'
    path = write_workbook(tmp_path / "t.xlsx", records)
    fails(path, "column 'label'", "row 4", "formulas without a stored value")


def test_error_cell_is_missing_and_escapes_are_undone(tmp_path):
    records = numbered(30)
    records[0][0] = "line_x000D_\nbreak"
    path = write_workbook(tmp_path / "t.xlsx", records)
    assert texts_of(read(path))[0] == "line\r\nbreak"
    records[1][0] = "#N/A"
    fails(write_workbook(tmp_path / "u.xlsx", records), "column 'text'", "row 3")


def test_a_second_pass_only_where_there_are_formulas(tmp_path, monkeypatch):
    opened = []
    load = openpyxl.load_workbook
    monkeypatch.setattr(openpyxl, "load_workbook", lambda *names, **options: opened.append(1) or load(*names, **options))
    read(write_workbook(tmp_path / "t.xlsx", numbered(30)))
    assert len(opened) == 1
    read(write_workbook(tmp_path / "u.xlsx", [["=a", "neg"], *numbered(30)]))
    assert len(opened) == 3


# Text files: encodings and broken lines.


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_byte_order_marks(tmp_path, encoding):
    records = numbered(30)
    records[0][0] = "naïve café 😀 “quotes”"
    data = read(write_csv(tmp_path / "t.csv", records, encoding=encoding))
    assert texts_of(data)[0] == "naïve café 😀 “quotes”"


def test_byte_that_is_not_utf8_is_named(tmp_path):
    records = numbered(30)
    records[6][0] = "café"
    path = write_csv(tmp_path / "t.csv", records, encoding="cp1252")
    fails(path, "line 8", "--encoding cp1252")
    assert "café" in texts_of(read(path, encoding="cp1252"))


def test_unknown_or_wrong_encoding(tmp_path):
    path = write_csv(tmp_path / "t.csv", [["café", "neg"], *numbered(30)])
    fails(path, "--encoding klingon", encoding="klingon")
    fails(path, "--encoding hex", encoding="hex")
    fails(path, "line 2 is not ascii", encoding="ascii")
    marked = write_csv(tmp_path / "u.csv", numbered(30), encoding="utf-8-sig")
    fails(marked, "mark of utf-8", encoding="cp1252")
    assert len(every_row(read(marked, encoding="utf8"))) == 30


def test_options_that_would_do_nothing_are_refused(tmp_path):
    fails(write_csv(tmp_path / "t.csv", numbered(30)), "--sheet", sheet="Sheet1")
    fails(write_workbook(tmp_path / "t.xlsx", numbered(30)), "--encoding", encoding="cp1252")


def test_nul_byte_is_named(tmp_path):
    path = write_csv(tmp_path / "t.csv", [["a\0b", "neg"], *numbered(30)])
    fails(path, "line 2", "NUL")
    path.write_bytes(codecs.encode("text,label\nhello,neg\n", "utf-16-le"))
    fails(path, "line 1", "--encoding utf-16-le")


@pytest.mark.parametrize(("row", "found"), [("only text", 1), ("text,neg,more", 3)])
def test_ragged_row_is_named(tmp_path, row, found):
    path = tmp_path / "t.csv"
    path.write_text(f'text,label\n"two\nlines",neg\n{row}\n', encoding="utf-8")
    fails(path, f"line 4 has {found} cells and the header has 2")


def test_quotes_never_closed(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('text,label\nfine,neg\n"never closed,neg\nmore,pos\n', encoding="utf-8")
    fails(path, "line 3", "never closed")


def test_stray_quotes_are_not_eaten(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('text,label\n"Great" he said,neg\n', encoding="utf-8")
    fails(path, "line 2", "stray double quote")


def test_blank_lines_and_crlf(tmp_path):
    path = tmp_path / "t.csv"
    lines = ["text,label", "", *(",".join(record) for record in numbered(30)), "   "]
    path.write_bytes("\r\n".join(lines).encode())
    rows = every_row(read(path))
    assert rows[0] == (3, "text number 0", "neg")
    assert len(rows) == 30


def test_cell_longer_than_the_csv_module_takes(tmp_path):
    text = "long " * 40_000 + "end"
    assert text in texts_of(read(write_csv(tmp_path / "t.csv", [[text, "neg"], *numbered(30)])))


@pytest.mark.parametrize("word", ["NA", "null", "None", "nan", "N/A", "NaN"])
def test_words_for_nothing_are_texts_and_labels_in_csv(tmp_path, word):
    records = [*numbered(30, labels=("yes", word)), [word, "yes"]]
    data = read(write_csv(tmp_path / "t.csv", records))
    assert data.labels == sorted([word, "yes"])
    assert texts_of(data)[-1] == word


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@me", "'quoted"])
def test_texts_that_look_like_formulas_are_read_as_they_are(tmp_path, text):
    assert texts_of(read(write_csv(tmp_path / "t.csv", [[text, "neg"], *numbered(30)])))[0] == text


# Files and columns.


def test_missing_file_folder_and_empty_file(tmp_path):
    fails(tmp_path / "none.csv", "none.csv: no such file")
    fails(tmp_path, "is a folder")
    (tmp_path / "empty.csv").write_bytes(b"")
    fails(tmp_path / "empty.csv", "is empty")
    (tmp_path / "blank.csv").write_bytes(codecs.BOM_UTF8 + b"\n\n")
    fails(tmp_path / "blank.csv", "is empty")


def test_unreadable_file(tmp_path, monkeypatch):
    path = write_csv(tmp_path / "t.csv", numbered(30))

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", refuse)
    fails(path, "t.csv", "Permission denied")


def test_header_only(tmp_path):
    fails(write_csv(tmp_path / "t.csv", []), "has no rows")
    fails(write_workbook(tmp_path / "t.xlsx", []), "has no rows")


def test_missing_column_names_the_nearest_and_all(tmp_path):
    path = write_csv(tmp_path / "t.csv", numbered(30), header=("review", "sentiment"))
    asked = {"text_column": "review", "label_column": "sentimnt"}
    fails(path, "'sentimnt'", "'review', 'sentiment'", "did you mean 'sentiment'?", **asked)
    semicolons = write_csv(tmp_path / "u.csv", numbered(30), delimiter=";")
    fails(semicolons, "'text', 'label'", "did you mean 'label'?", label_column="lable")


def test_duplicate_columns(tmp_path):
    path = write_csv(tmp_path / "t.csv", [[*record, "x"] for record in numbered(30)], header=("text", "label", "text"))
    fails(path, "2 columns named 'text'")
    unasked = write_csv(tmp_path / "u.csv", [[*r, "x", "y"] for r in numbered(30)], header=("text", "label", "a", "a"))
    assert len(every_row(read(unasked))) == 30


def test_one_column_for_both(tmp_path):
    fails(tmp_path / "t.csv", "both 'text'", label_column="text")


# Missing cells.


def test_missing_cells_are_named_or_dropped(tmp_path):
    records = numbered(40)
    for index in range(7):
        records[index][1] = ""
    records[10][0] = "  "
    path = write_csv(tmp_path / "t.csv", records)
    fails(path, "column 'text'", "1 line: line 12", "--drop-missing")
    records[10][0] = "back"
    fails(write_csv(tmp_path / "u.csv", records), "column 'label'", "7 lines: line 2, 3, 4, 5, 6 and 2 more")
    data = read(path, drop_missing=True)
    assert data.counts["dropped_missing"] == 8
    assert len(every_row(data)) == 32
    assert [note for note in data.notes if "dropped 8 rows" in note]


def test_missing_cells_in_a_workbook(tmp_path):
    records = numbered(30)
    records[0][0], records[1][0] = None, "  "
    fails(write_workbook(tmp_path / "t.xlsx", records), "column 'text'", "2 rows: row 2, 3")


def test_nothing_left_after_dropping(tmp_path):
    path = write_csv(tmp_path / "t.csv", [["a", ""], ["", "b"]])
    fails(path, "no row with both", drop_missing=True)


# Labels.


def test_spellings_of_a_number_are_one_label(tmp_path):
    records = numbered(40, labels=("0", "1", "1.0", "1 "))
    data = read(write_csv(tmp_path / "t.csv", records))
    assert data.labels == ["0", "1"]
    assert data.counts["labels_merged"] == 1
    assert '"1" (10 rows) and "1.0" (10 rows) and "1 " (10 rows)' in data.notes[0]


def test_cells_of_a_workbook_give_the_same_labels_as_a_csv(tmp_path):
    train = write_workbook(tmp_path / "train.xlsx", numbered(40, labels=(1, 2.0, True, 2.5)))
    test = write_csv(tmp_path / "test.csv", numbered(8, labels=("1.0", "2", "True", "2.5"), word="other"))
    data = read(train, test=test)
    assert data.labels == ["1", "2", "2.5", "True"]
    assert set(data.test.labels) == set(data.labels)


def test_numbers_sort_as_numbers(tmp_path):
    data = read(write_csv(tmp_path / "t.csv", numbered(60, labels=("10", "9", "-1", "other", "007"))))
    assert data.labels == ["-1", "007", "9", "10", "other"]


@pytest.mark.parametrize(("one", "two"), [("Spam", "spam"), ("not  spam", "not spam"), ("not spam", "notspam")])
def test_labels_that_look_alike(tmp_path, one, two):
    path = write_csv(tmp_path / "t.csv", numbered(30, labels=("ham", one, two)))
    fails(path, f'"{one}" (10 rows, first ', "line 3", f'"{two}" (10 rows, first ', "line 4")


def test_labels_that_look_alike_across_files(tmp_path):
    train = write_csv(tmp_path / "train.csv", numbered(30))
    test = write_csv(tmp_path / "test.csv", numbered(6, labels=("neg", "Pos"), word="other"))
    fails(train, '"pos" (15 rows', "train.csv line 3", '"Pos" (3 rows', "test.csv line 3", test=test)


@pytest.mark.parametrize("role", ["val", "test"])
def test_unseen_label(tmp_path, role):
    train = write_csv(tmp_path / "train.csv", numbered(30))
    other = write_csv(tmp_path / "other.csv", [*numbered(6, word="other"), ["new", "neutral"]])
    fails(train, "other.csv, line 8", '"neutral"', "train.csv", **{role: other})


def test_a_label_column_of_mostly_distinct_values(tmp_path):
    records = [[f"text {index}", f"{index / 7:.3f}"] for index in range(50)]
    fails(write_csv(tmp_path / "t.csv", records), "50 different values in 50 rows", "is it the label column?")
    fails(write_csv(tmp_path / "u.csv", records[:49]), "too few different texts")


def test_one_label_only(tmp_path):
    fails(write_csv(tmp_path / "t.csv", numbered(30, labels=("neg",))), "one label only")


def test_a_long_label_with_a_line_break_keeps_the_message_short(tmp_path):
    train = write_csv(tmp_path / "train.csv", numbered(30))
    test = write_csv(tmp_path / "test.csv", [*numbered(6, word="other"), ["new", "long\n" * 100]])
    assert len(fails(train, "long long", "...", test=test)) < 400 + len(str(tmp_path)) * 2


# Equal texts.


def test_equal_texts_stay_on_one_side(tmp_path):
    records = []
    for text, label in numbered(60):
        records += [[text, label], [f" {text.upper()} ", label], [text.replace(" ", "  "), label]]
    random.Random(1).shuffle(records)
    for seed in range(5):
        data = read(write_csv(tmp_path / "t.csv", records), seed=seed)
        train, val, test = ({normalise(text) for text in part.texts} for part in (data.train, data.val, data.test))
        assert not train & val and not train & test and not val & test
        assert len(every_row(data)) == 180
    assert data.counts["duplicates"] == 120
    assert any("120 rows repeating" in note for note in data.notes)


def test_one_text_under_two_labels_is_counted_and_kept(tmp_path):
    records = [*numbered(30), ["TEXT number 0", "pos"]]
    data = read(write_csv(tmp_path / "t.csv", records))
    assert data.counts["conflicting_texts"] == 1
    assert len(every_row(data)) == 31
    assert any("more than one label" in note and "2, 32" in note for note in data.notes)


def test_a_clean_table_has_no_notes(tmp_path):
    data = read(write_csv(tmp_path / "t.csv", numbered(30)))
    assert data.notes == []
    assert set(data.counts.values()) == {0}
    names = ["conflicting_texts", "dropped_missing", "duplicates", "formula_texts", "labels_merged", "leaks_dropped"]
    assert sorted(data.counts) == names


def leaking(tmp_path):
    train = write_csv(tmp_path / "train.csv", [*numbered(40), ["Shared  ONE", "neg"], ["shared two", "pos"]])
    val = write_csv(tmp_path / "val.csv", [*numbered(6, word="val"), ["shared two", "pos"], ["shared three", "neg"]])
    test = write_csv(tmp_path / "test.csv", [*numbered(6, word="test"), ["shared one", "neg"], ["Shared three", "neg"]])
    return train, val, test


def test_leaks_are_dropped_from_train_and_val_and_never_from_test(tmp_path):
    train, val, test = leaking(tmp_path)
    data = read(train, val=val, test=test)
    assert [len(data.train), len(data.val), len(data.test)] == [40, 7, 8]
    assert data.train.numbers == list(range(2, 42))
    assert "shared two" in data.val.texts and "shared three" not in data.val.texts
    assert data.counts["leaks_dropped"] == 3 and "leaks_kept" not in data.counts
    assert any("val.csv: dropped 1 row " in note for note in data.notes)
    assert any("train.csv: dropped 2 rows " in note for note in data.notes)


def test_leaks_may_be_kept(tmp_path):
    train, val, test = leaking(tmp_path)
    data = read(train, val=val, test=test, keep_leaks=True)
    assert [len(data.train), len(data.val), len(data.test)] == [42, 8, 8]
    assert data.counts["leaks_kept"] == 3 and "leaks_dropped" not in data.counts
    assert any("train.csv: kept 2 rows " in note for note in data.notes)


def test_a_file_as_its_own_test(tmp_path):
    path = write_csv(tmp_path / "t.csv", numbered(30))
    fails(path, "every text also stands in", test=path)


def test_a_label_lost_to_leaks_is_named(tmp_path):
    train = write_csv(tmp_path / "train.csv", [*numbered(30), ["leaked", "rare"]])
    test = write_csv(tmp_path / "test.csv", [*numbered(6, word="test"), ["leaked", "neg"]])
    val = write_csv(tmp_path / "val.csv", numbered(6, word="val"))
    fails(train, '"rare" has 0', val=val, test=test)


# Splitting.


def label_shares(rows):
    return {label: count / len(rows) for label, count in Counter(rows.labels).items()}


def test_three_parts_are_stratified(tmp_path):
    path = write_csv(tmp_path / "t.csv", numbered(1000, labels=("a", "a", "a", "b", "c")))
    data = read(path)
    assert [len(data.train), len(data.val), len(data.test)] == [800, 100, 100]
    for part in (data.train, data.val, data.test):
        assert label_shares(part) == pytest.approx({"a": 0.6, "b": 0.2, "c": 0.2}, abs=0.01)
    assert len({row[0] for row in every_row(data)}) == 1000


def test_a_given_file_is_used_whole_and_the_other_is_split_off(tmp_path):
    train = write_csv(tmp_path / "train.csv", numbered(1000))
    other = write_csv(tmp_path / "other.csv", numbered(50, word="other"))
    with_test = read(train, test=other)
    assert [len(with_test.train), len(with_test.val), len(with_test.test)] == [900, 100, 50]
    assert with_test.test.file == str(other) and with_test.val.file == str(train)
    with_val = read(train, val=other)
    assert [len(with_val.train), len(with_val.val), len(with_val.test)] == [900, 50, 100]
    assert with_val.val.texts == [text for text, _ in numbered(50, word="other")]


def test_the_split_goes_by_the_seed(tmp_path):
    path = write_csv(tmp_path / "t.csv", numbered(200))
    assert read(path, seed=3) == read(path, seed=3)
    assert read(path, seed=3).test.numbers != read(path, seed=4).test.numbers
    assert read(path, seed=3).val.numbers != read(path, seed=4).val.numbers


def test_each_part_has_each_label(tmp_path):
    labels = [f"label{index:02}" for index in range(20)]
    data = read(write_csv(tmp_path / "t.csv", numbered(60, labels=labels)))  # three texts for each label
    for part in (data.train, data.val, data.test):
        assert sorted(part.labels) == labels


@pytest.mark.parametrize(("given", "needed"), [((), 3), (("test",), 2), (("val",), 2), (("val", "test"), 1)])
def test_label_with_too_few_texts(tmp_path, given, needed):
    files = {role: write_csv(tmp_path / f"{role}.csv", numbered(6, word=role)) for role in given}
    enough = [[f"rare {index}", "rare"] for index in range(needed)]
    data = read(write_csv(tmp_path / "t.csv", numbered(30) + enough), **files)
    assert "rare" in data.train.labels
    if needed > 1:
        # A text written in two ways is one text.
        too_few = [*enough[:-1], [enough[0][0].upper(), "rare"]]
        path = write_csv(tmp_path / "u.csv", numbered(30) + too_few)
        fails(path, f'"rare" has {needed - 1}', f"{needed} are needed", "merge", **files)


# Sampling.


def test_rows_samples_train_shrinks_val_and_leaves_test(tmp_path):
    path = write_csv(tmp_path / "t.csv", numbered(3000, labels=("a", "a", "b")))
    whole, sampled = read(path), read(path, rows=1200)
    assert [len(sampled.train), len(sampled.val)] == [1200, 150]
    assert label_shares(sampled.train) == pytest.approx({"a": 2 / 3, "b": 1 / 3}, abs=0.01)
    assert sampled.test == whole.test
    assert set(sampled.train.numbers) < set(whole.train.numbers)
    assert set(sampled.val.numbers) < set(whole.val.numbers)
    assert len(read(path, rows=30).val) == 100  # never fewer, where there are as many


def test_validation_keeps_two_rows_for_each_label(tmp_path):
    labels = [f"label{index}" for index in range(60)]
    path = write_csv(tmp_path / "t.csv", numbered(1800, labels=labels))
    assert len(read(path, rows=120).val) == 120
    small = write_csv(tmp_path / "u.csv", numbered(200, labels=labels[:4]))
    assert len(read(small, rows=8).val) == 20  # all there are


def test_every_label_stays_in_a_small_sample(tmp_path):
    path = write_csv(tmp_path / "t.csv", [*numbered(500), *numbered(3, labels=("rare",), word="rare")])
    data = read(path, rows=6)
    assert set(data.train.labels) == {"neg", "pos", "rare"}
    assert len(data.train) == 6


def test_test_rows(tmp_path):
    path = write_csv(tmp_path / "t.csv", numbered(1000))
    data = read(path, test_rows=40)
    assert [len(data.train), len(data.val), len(data.test)] == [800, 100, 40]
    assert Counter(data.test.labels) == {"neg": 20, "pos": 20}
    fails(path, "--test-rows 0", test_rows=0)


def test_more_rows_than_there_are(tmp_path):
    path = write_csv(tmp_path / "t.csv", numbered(100))
    data = read(path, rows=5000, test_rows=400)
    assert [len(data.train), len(data.val), len(data.test)] == [80, 10, 10]
    assert [note for note in data.notes if "5,000 train rows" in note and "all 80" in note]
    assert [note for note in data.notes if "400 test rows" in note and "all 10" in note]


def test_too_few_rows_asked_for(tmp_path):
    path = write_csv(tmp_path / "t.csv", numbered(100))
    fails(path, "--rows 3", "at least 4", rows=3)
    assert len(read(path, rows=4).train) == 4


def test_stratified_sample_keeps_shares_and_size():
    labels = ["a"] * 90 + ["b"] * 9 + ["c"]
    for size in range(1, 101):
        drawn = stratified_sample(labels, size, seed=size)
        assert len(set(drawn)) == len(drawn) == size
        assert drawn == sorted(drawn)
        if size >= 3:
            assert {labels[index] for index in drawn} == {"a", "b", "c"}
    assert Counter(labels[index] for index in stratified_sample(labels, 50, 0)) == {"a": 45, "b": 4, "c": 1}


def test_take_keeps_rows_together():
    rows = tables.Rows(["a", "b", "c"], ["x", "y", "z"], [2, 3, 4], "t.csv")
    assert rows.take([2, 0]) == tables.Rows(["c", "a"], ["z", "x"], [4, 2], "t.csv")
    assert len(rows) == 3
