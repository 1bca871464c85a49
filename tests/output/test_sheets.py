"""What is written for spreadsheets reads back as it was, whatever stands in a cell, and nothing of it is run as a formula."""

import csv
import io
import math
import zipfile
from pathlib import Path

import openpyxl
import pandas as pd
import pytest

from halfbert.data.sources import read_table
from halfbert.data.tables import Layout
from halfbert.output import sheets

PLAIN = ["Größe 日本 – نص 🙂", "two\nlines", "a\ttab", 'say "so", please', " spaced ", "'quoted", "1.10", "00", "#N/A"]
FORMULAS = [f"{start}1+1" for start in ("=", "+", "-", "@", "\t", "\n", "\r", "＝", "＋", "－", "＠", " =", "\u3000@", " \t-")]
ESCAPED = {
    text: text.encode("unicode_escape").decode()
    for text in ("a\x00b", "\x07\x1b[31m", "\ud800 half a pair", "\ufffe\uffff", "\x9bm")
}


def csv_rows(path: Path) -> list[dict]:
    with open(path, encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def written(tmp_path, texts) -> Path:
    sheets.write_csv(tmp_path / "t.csv", ["text", "label"], [{"text": text, "label": "é"} for text in texts])
    return tmp_path / "t.csv"


def workbook_cells(tmp_path, values, name="v") -> list:
    sheets.write_workbook(tmp_path / "t.xlsx", {"first": [{name: value} for value in values], "none": []})
    book = openpyxl.load_workbook(tmp_path / "t.xlsx")
    assert book.sheetnames == ["first", "none"]
    head, *cells = [row[0] for row in book["first"].iter_rows()]
    assert head.value == name
    return cells


def test_csv_opens_in_a_spreadsheet_program_and_reads_back_everywhere(tmp_path):
    path = written(tmp_path, PLAIN)
    content = path.read_bytes()
    assert content.startswith("\ufefftext,label\r\n".encode()) and content.endswith(b"\r\n")
    assert [row["text"] for row in csv_rows(path)] == PLAIN
    assert pd.read_csv(path, keep_default_na=False, dtype=str)["text"].tolist() == PLAIN
    assert list(read_table(path, ("text", "label"), "train", Layout()).columns) == ["text", "label"]
    assert [file.name for file in tmp_path.iterdir()] == ["t.csv"]


def test_no_cell_of_a_csv_is_run_as_a_formula_and_other_text_is_left_as_it_is(tmp_path):
    sheets.write_csv(tmp_path / "t.csv", FORMULAS, [{text: text for text in FORMULAS}])
    assert csv_rows(tmp_path / "t.csv") == [{f"'{text}": f"'{text}" for text in FORMULAS}]
    for text in ("plain", "", " ", "a=b", "'=1", "1-2", "日本="):
        assert sheets.spreadsheet_safe(text) == text


def test_numbers_stay_numbers_what_a_row_lacks_is_empty_and_every_line_break_is_quoted():
    assert sheets.csv_text(["a", "b"], [{"a": -1.5, "b": None}, {"b": 2}]) == "a,b\r\n-1.5,\r\n,2\r\n"
    with pytest.raises(ValueError, match="c"):
        sheets.csv_text(["a"], [{"c": 1}])
    # Pythons before 3.11.9 leave a lone CR bare where lines end with LF.
    assert next(csv.reader(io.StringIO(sheets.csv_text(["a\rb"], []), newline=""))) == ["a\rb"]


def test_what_files_cannot_carry_is_spelt_out(tmp_path):
    assert [row["text"] for row in csv_rows(written(tmp_path, ESCAPED))] == list(ESCAPED.values())
    assert [cell.value for cell in workbook_cells(tmp_path, ESCAPED)] == list(ESCAPED.values())


def test_a_text_longer_than_a_cell(tmp_path):
    long = "x" * 40_000
    assert csv_rows(written(tmp_path, [long]))[0]["text"] == long
    fits, cut, pairs = (cell.value for cell in workbook_cells(tmp_path, [long[:32_767], long, "🙂" * 20_000]))
    assert fits == long[:32_767] and cut == long[:32_766] + "…"
    assert pairs == "🙂" * 16_383 + "…"  # Excel counts UTF-16 code units


def test_text_in_a_workbook_is_text(tmp_path):
    cells = workbook_cells(tmp_path, PLAIN + FORMULAS, name="=1+1")
    assert {cell.data_type for cell in cells} == {"s"}
    assert [cell.value for cell in cells] == [text.replace("\r", "\n") for text in PLAIN + FORMULAS]
    assert pd.read_excel(tmp_path / "t.xlsx", keep_default_na=False, dtype=str)["=1+1"].tolist()[:3] == PLAIN[:3]
    workbook_cells(tmp_path, ["_x0041_"])  # which Excel reads as A unless it is escaped
    assert b">_x005F_x0041_<" in zipfile.ZipFile(tmp_path / "t.xlsx").read("xl/worksheets/sheet1.xml")


def test_values_and_nested_rows_of_a_workbook(tmp_path):
    cells = workbook_cells(tmp_path, [1, -2.5, True, None, math.nan, math.inf, Path("a"), [1, "b"]])
    assert [cell.value for cell in cells] == [1, -2.5, True, None, "nan", "inf", "a", "1, b"]
    sheets.write_workbook(tmp_path / "t.xlsx", {"s": [{"a": {"b": {"c": 1}}}, {"d": 2}]})
    assert list(openpyxl.load_workbook(tmp_path / "t.xlsx")["s"].values) == [("a.b.c", "d"), (1, None), (None, 2)]


def test_markdown_has_one_line_a_row():
    table = sheets.markdown_table(["label", "n"], [["a|b\nc", 1], ["\x1b", "*x*"]])
    assert table == "| label | n |\n|---|---|\n| a\\|b c | 1 |\n| \\x1b | *x* |"
    assert sheets.markdown_table(["a", "b"], [], right=True).splitlines()[1] == "|---|---:|"


def test_a_csv_of_ours_is_read_back_without_the_apostrophes_and_however_long_a_text_is(tmp_path):
    texts = [text for text in [*PLAIN, *FORMULAS] if "\r" not in text] + ["a" * 200_000]
    sheets.write_csv(tmp_path / "a.csv", ("text", "label"), [{"text": text} for text in texts])
    assert sheets.read_csv(tmp_path / "a.csv") == [{"text": text, "label": ""} for text in texts]
