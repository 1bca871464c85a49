"""Every format passes its rows through unchanged, and every other format holds the same rows."""

import codecs
import csv
import datetime
import decimal
import io
import json
import zipfile

import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from openpyxl.cell.rich_text import CellRichText, TextBlock
from openpyxl.cell.text import InlineFont
from support import LABELS, WORDS, example_rows, write_csv
from table_files import write_table

TEXTS = [text for text, _ in example_rows(12)]
# Cells as files have them: quotes, line breaks, signs of formulas, white space that means something, other scripts.
RECORDS = [
    ("1", "the old cat", "007"),
    ("2", 'a "new"\r\nsaw, and; my\told hammer', " 1.50 "),
    ("3", "=1+1 bread", "+49"),
    ("4", "", "-"),
    ("5", "naïve Käse\n\n", "@x"),
    ("6", "the dog", ""),
]
HEADER = ("id", "text", "kept as is")
ADDED = ["label", "confidence", "note"]


def dialect(delimiter, ending, encoding, mark=b"", quoting=csv.QUOTE_MINIMAL, last=True, between=""):
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=delimiter, lineterminator=ending, quoting=quoting)
    for number, record in enumerate([HEADER, *RECORDS]):
        writer.writerow(record)
        stream.write(between if number == 3 else "")
    text = stream.getvalue()
    return mark + (text if last else text.removesuffix(ending)).encode(encoding)


DIALECTS = {
    "plain": dialect(",", "\n", "utf-8"),
    "excel": dialect(",", "\r\n", "utf-8", codecs.BOM_UTF8),
    "european": dialect(";", "\r\n", "cp1252"),
    "tabs": dialect("\t", "\n", "utf-8"),
    "all quoted": dialect(",", "\n", "utf-8", quoting=csv.QUOTE_ALL),
    "utf-16": dialect(",", "\r\n", "utf-16-le", codecs.BOM_UTF16_LE),
    "no last line end": dialect(",", "\n", "utf-8", last=False),
    "blank lines": dialect(",", "\n", "utf-8", between="\n  \n") + b"\n\n",
    "old mac": dialect(",", "\r", "utf-8", quoting=csv.QUOTE_ALL),
}


@pytest.mark.parametrize("name", DIALECTS)
def test_csv_keeps_its_dialect_and_text_byte_by_byte(predict, things, tmp_path, name, small_groups):
    content = DIALECTS[name]
    (tmp_path / "in.csv").write_bytes(content)
    encoding = ["--encoding", "cp1252"] if name == "european" else []
    predict(tmp_path / "in.csv", "--output", tmp_path / "out.csv", *encoding)
    codec = "cp1252" if encoding else "utf-16" if name == "utf-16" else "utf-8-sig"
    written = (tmp_path / "out.csv").read_bytes()
    # Take the added cells away again, from the end of each record, and the bytes are those that were there.
    delimiter = ";" if encoding else "\t" if name == "tabs" else ","
    texts = written.decode(codec)
    records = [row for row in csv.reader(io.StringIO(texts, newline=""), delimiter=delimiter) if len(row) > 1]
    assert [row[:3] for row in records] == [list(HEADER), *map(list, RECORDS)] and records[0][3:] == ADDED
    quoting = csv.QUOTE_ALL if name in ("all quoted", "old mac") else csv.QUOTE_MINIMAL
    place = 0
    for row in records:
        cells = io.StringIO()
        csv.writer(cells, delimiter=delimiter, quoting=quoting, lineterminator="").writerow(row[3:])
        place = texts.index(delimiter + cells.getvalue(), place)
        texts = texts[:place] + texts[place + 1 + len(cells.getvalue()) :]
    assert texts == content.decode(codec) and written[:3] == content[:3]
    assert [row[3] for row in records[1:]] == [things.classifier.predict(text) if text else "" for _, text, _ in RECORDS]
    assert [row[5] for row in records[1:]] == ["", "", "", "no text", "", ""]


def test_jsonl_keeps_each_line(predict, tmp_path, things):
    lines = [
        '{"id":1,"text":"the cat","n":1.50,"more":{"b":[1,2],"a":null}}',
        '{ "text" : "br\\u00e9ad" , "z" : 1e3 }',
        "",
        '{"n": 2}',
        '{"text": ["a", "list"], "id": 12345678901234567890}',
        '{"text": 7}',
        "{}",
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(lines), encoding="utf-8")
    predict(tmp_path / "in.jsonl", "--output", tmp_path / "out.jsonl")
    written = (tmp_path / "out.jsonl").read_text(encoding="utf-8").split("\n")
    assert len(written) == len(lines) and written[2] == ""
    for before, after in zip(lines, written, strict=True):
        assert after.startswith(before.rstrip("} ").rstrip()) or before == ""
        if before:
            fields = json.loads(after)
            assert list(fields) == [*json.loads(before), *ADDED] and fields.items() >= json.loads(before).items()
    notes = [json.loads(line)["note"] for line in written if line]
    assert notes == ["", "", "no text", "holds a list where a text or a number is expected", "", "no text"]
    first, number = json.loads(written[0]), json.loads(written[5])
    assert first["label"] == things.classifier.predict("the cat") and number["label"] == things.classifier.predict("7")
    assert first["confidence"] == pytest.approx(things.classifier.confidence("the cat"), abs=1e-5)


def test_parquet_keeps_types_and_metadata(predict, tmp_path, things, small_groups):
    moments = pa.array([datetime.datetime(2024, 5, 1, 12, tzinfo=datetime.timezone.utc)] * 12, pa.timestamp("ns", "UTC"))
    table = pa.table(
        {
            "text": pa.array([*TEXTS[:11], None], pa.large_string()),
            "when": moments,
            "price": pa.array([decimal.Decimal("1.50")] * 12, pa.decimal128(9, 2)),
            "kind": pa.array(["a", None, "b"] * 4).dictionary_encode(),
            "tokens": pa.array([[1, None], None, []] * 4, pa.list_(pa.int16())),
            "nested": pa.array([{"x": 1.5, "y": [True]}] * 12),
            "raw": pa.array([b"\xff"] * 12),
        }
    ).replace_schema_metadata({"written by": "a test"})
    pyarrow.parquet.write_table(table, tmp_path / "in.parquet", row_group_size=5, compression="zstd")
    predict(tmp_path / "in.parquet", "--output", tmp_path / "out.parquet", "--probabilities")
    written = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    assert written.select(table.column_names).equals(table) and written.schema.metadata[b"written by"] == b"a test"
    names = [f"probability_{label}" for label in LABELS]
    assert written.column_names[7:] == ["label", "confidence", *names, "note"]
    assert written["label"].to_pylist() == [*things.classifier.predict(TEXTS[:11]), None]
    assert written["confidence"].type == pa.float64() and written["note"].to_pylist() == [""] * 11 + ["no text"]
    assert pyarrow.parquet.ParquetFile(tmp_path / "out.parquet").metadata.row_group(0).column(0).compression == "ZSTD"
    probabilities = [written[name].to_pylist()[0] for name in names]
    assert probabilities == pytest.approx(things.classifier.predict_proba(TEXTS[0]).tolist(), abs=1e-5)


def test_parquet_of_pandas_stays_one(predict, tmp_path):
    frame = pd.DataFrame({"text": TEXTS, "kind": pd.Categorical(["a", "b"] * 6)}, index=pd.Index(range(5, 17), name="row"))
    frame.to_parquet(tmp_path / "in.parquet")
    predict(tmp_path / "in.parquet", "--output", tmp_path / "out.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out.parquet")[["text", "kind"]], frame)


@pytest.fixture
def book(tmp_path):
    """A workbook such as people make."""
    book = openpyxl.Workbook()
    book.active.title = "Notes"
    book.active["A1"] = "not this one"
    sheet = book.create_sheet("Reviews")
    book.active = 1
    sheet.merge_cells("G5:H5")
    for column, name in enumerate(["when", "Reviews", "price", "sum", "formula"], start=1):
        sheet.cell(3, column, name).font = openpyxl.styles.Font(bold=True)
    for row, text in enumerate(["the cat", "=1+1 bread", None, "+saw", "-dog", "@axe", 42], start=4):
        sheet.cell(row, 1, datetime.datetime(2024, 5, row, 12)).number_format = "dd.mm.yyyy"
        sheet.cell(row, 2, text).data_type = "s" if isinstance(text, str) else "n"
        sheet.cell(row, 3, 1.5).number_format = '#,##0.00 "€"'
        sheet.cell(row, 4, f"=C{row}*2")
    sheet["E4"] = CellRichText("plain ", TextBlock(InlineFont(b=True), "bold"))
    sheet.column_dimensions["B"].width = 60
    sheet.freeze_panes = "A4"
    sheet.row_dimensions[5].hidden = True
    sheet["C4"].comment = openpyxl.comments.Comment("cheap", "somebody")
    book.save(tmp_path / "in.xlsx")
    return tmp_path / "in.xlsx"


def test_a_workbook_keeps_what_it_has(predict, book, tmp_path, things):
    said = predict(book, "--output", tmp_path / "out.xlsx", "--text-column", "Reviews", "--sheet", "Reviews")
    before = openpyxl.load_workbook(book, rich_text=True)
    after = openpyxl.load_workbook(tmp_path / "out.xlsx", rich_text=True)
    assert after.sheetnames == ["Notes", "Reviews"] and after["Notes"]["A1"].value == "not this one"
    one, other = before["Reviews"], after["Reviews"]
    for row in one.iter_rows():
        for cell in row:
            twin = other[cell.coordinate]
            assert (twin.value, twin.data_type, twin.number_format) == (cell.value, cell.data_type, cell.number_format)
            assert twin.font.b == cell.font.b
    assert other.column_dimensions["B"].width == 60 and other.freeze_panes == "A4" and other.row_dimensions[5].hidden
    assert other["C4"].comment.text == "cheap"
    # Right of all that is there, also of merged cells.
    heads = {other.cell(3, column).value: column for column in range(9, 12)}
    assert list(heads) == ADDED and other.cell(3, 9).font.b and other.max_column == 11
    texts = ["the cat", "=1+1 bread", None, "+saw", "-dog", "@axe", "42"]
    answers = [other.cell(row, heads["label"]).value for row in range(4, 11)]
    assert answers == [text and things.classifier.predict(text) for text in texts]
    assert other.cell(6, heads["note"]).value == "no text" and other.cell(4, heads["note"]).value is None
    assert f"{book}: 1 row hidden" in said


def test_labels_and_cells_that_begin_as_formulas_are_text_in_workbooks(predict, tags, tmp_path):
    write_table(tmp_path / "in.csv", [["=cmd|' /C calc'!A1"], ["the saw and the hammer"], ["@x"]], ["text"])
    predict(tmp_path / "in.csv", "--output", tmp_path / "new.xlsx", "--top", "3", predictor=tags.folder)
    predict(tmp_path / "new.xlsx", "--output", tmp_path / "again.xlsx", "--top", "3", predictor=tags.folder)
    for name in ("new.xlsx", "again.xlsx"):
        sheet = openpyxl.load_workbook(tmp_path / name).active
        cells = [cell for row in sheet.iter_rows() for cell in row]
        assert {cell.data_type for cell in cells} <= {"s", "n", "inlineStr"}
        assert "=cmd|' /C calc'!A1" in [cell.value for cell in cells] and "+tool" in [cell.value for cell in cells]


@pytest.mark.parametrize("of", [".jsonl", ".parquet", ".xlsx", ".tsv"])
def test_cells_that_begin_as_formulas_are_not_run_from_a_new_csv_file(predict, tmp_path, of):
    """csv and tsv keep their text exactly; in a csv file made of another format such a cell gets an apostrophe."""
    cells = ["=cmd|' /C calc'!A1", "@x", "-5", "+saw"]
    source = write_table(tmp_path / f"in{of}", [[cell, -1e-9] for cell in cells], ["text", "number"])
    predict(source, "--output", tmp_path / "out.csv")
    frame = pd.read_csv(tmp_path / "out.csv", dtype=str)
    expected = cells if of == ".tsv" else ["'=cmd|' /C calc'!A1", "'@x", "-5", "'+saw"]
    assert frame["text"].tolist() == expected and frame["number"].astype(float).tolist() == [-1e-9] * 4


FORMATS = (".csv", ".tsv", ".jsonl", ".parquet", ".xlsx")


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("of", FORMATS)
def test_from_any_format_into_any_other(predict, tmp_path, things, of, to, small_groups):
    records = [[text, number, number / 2, number % 2 == 0] for number, text in enumerate(TEXTS)]
    records[4][0] = ""
    source = write_table(tmp_path / f"in{of}", records, ["text", "number", "half", "even"])
    predict(source, "--output", tmp_path / f"out{to}")
    frame = read(tmp_path / f"out{to}")
    assert list(frame) == ["text", "number", "half", "even", *ADDED] and len(frame) == len(TEXTS)
    assert frame["text"].fillna("").tolist() == [row[0] for row in records]
    expected = things.classifier.predict(TEXTS)
    assert frame["label"].fillna("").tolist() == ["" if row == 4 else label for row, label in enumerate(expected)]
    assert frame["number"].astype(float).tolist() == list(range(12)) and frame["half"].astype(float).tolist()[3] == 1.5
    assert frame["even"].astype(str).tolist()[:2] == ["True", "False"]
    assert frame["confidence"].astype(float).isna().sum() == 1 and frame["note"].fillna("").tolist()[4] == "no text"


def read(path):
    """A table as pandas reads it."""
    kinds = {".parquet": pd.read_parquet, ".xlsx": pd.read_excel}
    if path.suffix == ".jsonl":
        return pd.read_json(path, lines=True)
    return kinds[path.suffix](path) if path.suffix in kinds else pd.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",")


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_table_without_rows_is_answered_by_one(predict, tmp_path, suffix):
    source = write_table(tmp_path / f"in{suffix}", [], ["text", "other"])
    if suffix == ".jsonl":
        source.write_text("")
    predict(source, "--output", tmp_path / f"out{suffix}")
    if suffix == ".jsonl":
        assert (tmp_path / "out.jsonl").read_bytes() == b""
    else:
        frame = read(tmp_path / f"out{suffix}")
        assert list(frame) == ["text", "other", *ADDED] and len(frame) == 0


def test_any_number_of_labels(predict, tags, tmp_path):
    texts = [" ".join(WORDS["animal"] + WORDS["food"]), "the", " ".join(WORDS["tool"]), ""]
    source = write_csv(tmp_path / "in.csv", [(text,) for text in texts], ("text",))
    expected = [*tags.classifier.predict(texts[:3]), None]
    for name in ("out.csv", "out.jsonl", "out.parquet"):
        said = predict(source, "--output", tmp_path / name, "--top", "2", predictor=tags.folder)
        assert "\nwith no label: 1 row\n" in said and expected.count([]) == 1
    frame = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    names = ["labels", "confidence", "label_1", "confidence_1", "label_2", "confidence_2", "note"]
    assert list(frame) == ["text", *names] and frame["labels"].tolist() == [";".join(labels or []) for labels in expected]
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["labels"] for line in lines] == expected
    assert pyarrow.parquet.read_table(tmp_path / "out.parquet")["labels"].to_pylist() == expected
    calibrated = tags.classifier.predictor.manifest.calibration.apply(tags.classifier.predict_proba(texts[:3]))
    assert lines[0]["label_1"] == tags.classifier.get_classes()[calibrated[0].argmax()]
    for line, found, labels in zip(lines, calibrated, expected[:3], strict=False):
        sure = [found[tags.classifier.get_classes().index(label)] for label in labels] or [1 - found.max()]
        assert line["confidence"] == pytest.approx(np.mean(sure), abs=1e-5)


def test_a_workbook_is_the_same_file_whenever_it_is_written(predict, book, tmp_path):
    for name in ("one.xlsx", "other.xlsx", "new.xlsx"):
        source = tmp_path / "plain.csv" if name == "new.xlsx" else book
        if name == "new.xlsx":
            write_csv(source, [("the cat",)], ("Reviews",))
        predict(
            source, "--output", tmp_path / name, "--text-column", "Reviews", *(["--sheet", "Reviews"] if source is book else [])
        )
        with zipfile.ZipFile(tmp_path / name) as archive:
            assert {member.date_time[0] for member in archive.infolist()} == {1980}
    assert (tmp_path / "one.xlsx").read_bytes() == (tmp_path / "other.xlsx").read_bytes()
