"""Excel workbooks: sheets and rows are found, formulas give their values, and hostile or broken files are named."""

import zipfile

import openpyxl
import pytest
from support import write_workbook
from table_files import every_row, labels_of, numbered, read, read_labels, refused, texts_of, write_table

from halfbert.data import workbooks

SHEET = "xl/worksheets/sheet1.xml"
TABLE = [["text", "label"], *numbered(30)]


@pytest.fixture
def book(tmp_path):
    """Write a workbook of 30 texts, the cells of some of them replaced."""

    def write(texts=(), labels=(), name="t.xlsx"):
        records = numbered(30)
        for column, cells in enumerate((texts, labels)):
            for index, cell in enumerate(cells):
                records[index][column] = cell
        return write_table(tmp_path / name, records)

    return write


def rewrite(path, change, member=SHEET):
    """Replace a member of a zip archive by `change(bytes)`, which must differ; returns the path."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    changed = change(members[member])
    assert changed != members[member]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**members, member: changed}.items():
            archive.writestr(name, content)
    return path


# What is no table, or is unsafe to open.


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        (workbooks.OLE2_SIGNATURE + b"\0" * 600 + "EncryptedPackage".encode("utf-16-le"), "encrypted"),
        (workbooks.OLE2_SIGNATURE + b"\0" * 600, "legacy Excel workbook (.xls); save it as .xlsx"),
        (b"text,label\na,b\n", "is plain text"),
        (b"\x89\0\1\2", "is not an Excel workbook"),
    ],
)
def test_what_is_no_workbook_is_named(tmp_path, content, fragment):
    (tmp_path / "t.xlsx").write_bytes(content)
    refused(tmp_path / "t.xlsx", fragment)


def test_broken_workbooks(tmp_path, book):
    with zipfile.ZipFile(tmp_path / "t.xlsx", "w") as archive:
        archive.writestr("notes.txt", "hello")
    refused(tmp_path / "t.xlsx", "not a whole Excel workbook")
    whole = book(name="u.xlsx")
    whole.write_bytes(whole.read_bytes()[:-200])
    refused(whole, "not a whole Excel workbook")
    refused(rewrite(book(), lambda xml: xml[: len(xml) // 2]), "not a whole Excel workbook")


@pytest.mark.parametrize("member", [SHEET, "xl/workbook.xml", "xl/styles.xml"])
def test_xml_entities_are_refused(book, member):
    doctype = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'

    def add_doctype(xml):
        end = xml.index(b"?>") + 2 if xml.startswith(b"<?xml") else 0
        return xml[:end] + doctype + xml[end:]

    refused(rewrite(book(), add_doctype, member), "XML entities")


def test_sizes_are_capped_before_unpacking(book, monkeypatch):
    small = rewrite(book(), lambda xml: xml + b" " * 5_000_000)
    assert len(every_row(read(small))) == 30  # small members may pack well
    large = rewrite(book(name="u.xlsx"), lambda xml: xml + b" " * 20_000_000)
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_, **__: pytest.fail("something was unpacked"))
    refused(large, f"{SHEET} unpacks to", "times its size")
    monkeypatch.setattr(workbooks, "MAX_UNPACKED_BYTES", 1000)
    refused(small, "unpacks to", "GiB")
    monkeypatch.setattr(workbooks, "MAX_MEMBERS", 3)
    refused(small, "files, more than the 3 accepted")


def test_made_up_dimensions_and_row_numbers_are_ignored(book):
    path = rewrite(book(), lambda xml: xml.replace(b"A1:B31", b"A1:XFD1048576"))
    assert len(every_row(read(path))) == 30
    assert {len(row) for row in workbooks.read_sheet(path).rows} == {2}  # and not 16,384
    far = b'<row r="3000000"><c r="A3000000" t="n"><v>1</v></c></row></sheetData>'
    assert len(every_row(read(rewrite(path, lambda xml: xml.replace(b"</sheetData>", far))))) == 30


# Sheets and rows.


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_empty_rows_are_dropped_at_the_ends_and_named_between(tmp_path, suffix):
    empty = [[None, ""], ["\u200b", " "]]
    assert len(every_row(read(write_table(tmp_path / f"t{suffix}", [*numbered(30), *empty])))) == 30
    gap = write_table(tmp_path / f"gap{suffix}", [*numbered(5), ["\ufeff", " "], *numbered(5)])
    refused(gap, "column 'text'", "1 row: row 7" if suffix == ".xlsx" else "1 line: line 7")
    below = write_table(tmp_path / "below.xlsx", TABLE, (None, None))  # whose header stands below an empty row
    assert every_row(read(below))[0] == (3, "text number 0", "neg")


def sheets(path, states, **tables):
    """Write a workbook of these sheets, each with its state."""
    write_workbook(path, tables)
    book = openpyxl.load_workbook(path)
    for name, state in states.items():
        book[name].sheet_state = state
    book.save(path)
    return path


def test_the_first_visible_sheet_is_read_and_the_others_are_named(tmp_path):
    second = [["text", "label"], *numbered(30, word="two")]
    path = sheets(tmp_path / "t.xlsx", {"Third": "hidden"}, First=TABLE, Second=second, Third=TABLE)
    data = read(path)
    assert texts_of(data)[0] == "text number 0"
    assert data.notes == [f"{path}: read sheet 'First'; there is also 'Second', 'Third' (hidden) (--sheet)"]
    named = read(path, sheet="Second")
    assert texts_of(named)[0] == "two number 0" and named.notes == []
    assert read(path, sheet="Third").notes == [f"{path}: read sheet 'Third', which is hidden"]
    refused(path, "'Fourth'", "'First', 'Second', 'Third' (hidden)", sheet="Fourth")


@pytest.mark.parametrize("state", ["hidden", "veryHidden"])
def test_a_hidden_sheet_is_never_taken_silently(tmp_path, state):
    path = sheets(tmp_path / "t.xlsx", {"Old": state}, Old=[["text", "label"], *numbered(30, word="old")], New=TABLE)
    data = read(path)
    assert texts_of(data)[0] == "text number 0" and "'Old' (hidden)" in data.notes[0]
    only = sheets(tmp_path / "u.xlsx", {}, Only=TABLE)
    rewrite(only, lambda xml: xml.replace(b'state="visible"', f'state="{state}"'.encode()), "xl/workbook.xml")
    refused(only, "hidden sheets only, 'Only' (hidden)", "--sheet")
    assert read(only, sheet="Only").notes == [f"{only}: read sheet 'Only', which is hidden"]


def test_a_column_or_table_in_another_sheet(tmp_path):
    path = sheets(tmp_path / "t.xlsx", {"Lists": "hidden"}, Notes=[["How to label"], ["..."]], Data=TABLE, Lists=TABLE)
    refused(path, "t.xlsx, sheet 'Notes': has no column 'text'", "other sheets: 'Data', 'Lists' (hidden)", "--sheet")
    refused(sheets(tmp_path / "u.xlsx", {}, Blank=[], Data=TABLE), "sheet 'Blank' is empty", "other sheets: 'Data'", "--sheet")
    refused(sheets(tmp_path / "v.xlsx", {}, Blank=[]), "sheet 'Blank' is empty")


def test_hidden_rows_are_counted_and_read(tmp_path, book, monkeypatch):
    path = book()
    filled = openpyxl.load_workbook(path)
    for number in (1, 3, 4, 20, 40):  # the header, three rows, and one below the table
        filled.active.row_dimensions[number].hidden = True
    filled.save(path)
    for piece in (workbooks.PIECE, 50):  # also where tags stand across the borders of pieces
        monkeypatch.setattr(workbooks, "PIECE", piece)
        data = read(path)
        assert data.notes == [f"{path}: 3 rows hidden, by a filter or by hand, and read like the others: row 3, 4, 20"]
        assert data.counts["hidden_rows"] == 3 and len(every_row(data)) == 30
    assert "hidden_rows" not in read(book(name="u.xlsx")).counts
    rewrite(path, lambda xml: xml.replace(b"<row r=", b"<row x=").replace(b'hidden="1"', b"hidden = 'true'"))
    assert read(path).counts["hidden_rows"] == 3  # rows without numbers follow each other


# Values and formulas.


def test_values_are_texts_as_people_see_them_and_a_text_stored_as_a_formula_is_read_back(book):
    data = read(book([3, 3.0, 2.5, True, "line_x000D_\nbreak", "=== spoilers === he dies"]))
    assert texts_of(data)[:6] == ["3", "3", "2.5", "True", "line\r\nbreak", "=== spoilers === he dies"]
    assert data.counts["formula_texts"] == 1
    assert [note for note in data.notes if "formula" in note and "row 7" in note]


def test_stored_value_of_a_formula_wins_unless_it_is_an_error(book):
    path = book(["=first", "=second", "=third"])
    for old, new in (
        (b'<c r="A2"><f>first</f><v /></c>', b'<c r="A2" t="str"><f>first</f><v>computed</v></c>'),
        (b'<c r="A3"><f>second</f><v /></c>', b'<c r="A3" t="e"><f>second</f><v>#NAME?</v></c>'),
        (b'<c r="A4"><f>third</f><v /></c>', b'<c r="A4"><f>third</f><v>7</v></c>'),
    ):
        rewrite(path, lambda xml, old=old, new=new: xml.replace(old, new))
    data = read(path)
    assert texts_of(data)[:3] == ["computed", "=second", "7"]
    assert data.counts["formula_texts"] == 1


def test_cells_without_a_value_are_missing(book):
    empty = b'<c r="A2" t="str"><f>first</f><v></v></c>'
    path = rewrite(book(["=first"]), lambda xml: xml.replace(b'<c r="A2"><f>first</f><v /></c>', empty))
    refused(path, "column 'text'", "row 2")
    refused(book(["fine", "#N/A", None, "  "]), "column 'text'", "3 rows: row 3, 4, 5")
    refused(book([], ["pos", '=IF(C4>3,"pos","neg")']), "column 'label'", "row 3", "formulas without a stored value")


def test_a_second_pass_only_where_there_are_formulas(book, monkeypatch):
    opened = []
    load = openpyxl.load_workbook
    monkeypatch.setattr(openpyxl, "load_workbook", lambda *names, **options: opened.append(1) or load(*names, **options))
    paths = book(), book(["=a"], name="u.xlsx")
    for path, times in zip(paths, (1, 3), strict=True):
        read(path)
        assert len(opened) == times


def test_truth_values_and_numbers_are_the_labels_that_a_csv_spells_out(tmp_path, book):
    train = book(labels=[1, 2.0, True, 2.5] * 7 + [1, 2.0])
    assert labels_of(read(train))[:4] == ["1", "2", "True", "2.5"]
    for spelt in (("1.0", "2", "True", "2.5"), ("1.00", "2.0", "TRUE", "2.5"), ("1", "2.50")):
        test = write_table(tmp_path / "test.csv", numbered(8, spelt, word="other"))
        if "2.50" in spelt:  # no number is written so
            refused(train, '"2.50" is in no row', test=test)
        else:
            assert set(read(train, test=test).test.labels) == {"1", "2", "2.5", "True"}


# Merged cells, hidden columns.


@pytest.fixture
def merged(tmp_path):
    """Write texts with labels, cells of the sheet merged or columns hidden; returns the file."""

    def write(*areas, hidden=(), header=("text", "label", "other"), above=(), labels=("neg", "pos")):
        rows = [[text, label, "x"] for text, label in numbered(30, labels)]
        path = write_workbook(tmp_path / "m.xlsx", {"Sheet1": [*above, header, *rows]})
        book = openpyxl.load_workbook(path)
        for area in areas:
            book["Sheet1"].merge_cells(area)
        for column in hidden:
            book["Sheet1"].column_dimensions[column].hidden = True
        book.save(path)
        return path

    return write


def test_labels_merged_over_rows_are_filled_down_and_said(merged):
    path = merged("B2:B4", "B6:B7", "C9:C20", "E3:F5")
    data = read(path)
    assert [label for *_, label in every_row(data)][:7] == ["neg", "neg", "neg", "pos", "neg", "neg", "neg"]
    assert f"{path}: column 'label' has 2 cells merged over rows, filled down: 2 to 4, 6 to 7" in data.notes
    answers = read_labels(merged("B2:B4", labels=(1, 0)), label_columns=["label"])
    assert [labels for *_, labels in every_row(answers)][:4] == [("label",)] * 3 + [()]


def test_cells_that_are_empty_without_being_merged_are_missing(tmp_path):
    records = [*numbered(30), ["a text", None]]
    refused(write_table(tmp_path / "t.xlsx", records), "in 1 row: row 32")


@pytest.mark.parametrize(
    ("areas", "fragment"),
    [
        (["A3:A4"], "column 'text': a text is merged over the rows 3 to 4; each row needs its own"),
        (["A3:B3"], "the cells A3:B3 are merged over several columns; unmerge them"),
        (["B3:B4", "A9:B10"], "the cells A9:B10 are merged over several columns"),
        (["B1:B3"], "the cells B1:B3 are merged over the header and rows below it"),
    ],
)
def test_merged_cells_that_leave_a_doubt_are_refused(merged, areas, fragment):
    refused(merged(*areas), fragment)


def test_a_merge_beside_the_columns_or_within_one_row_does_not_matter(merged):
    data = read(merged("C3:D9", "B5:C5"))
    assert [label for *_, label in every_row(data)] == [label for _, label in numbered(30)]


def test_a_header_merged_over_two_rows_names_its_column(merged):
    path = merged("A1:A2", "B1:C1", above=[["text", "answers", None]], header=(None, "label", "other"))
    data = read(path, header_row=2)
    assert len(every_row(data)) == 30 and every_row(data)[0] == (3, "text number 0", "neg")


def test_hidden_columns_are_said(merged):
    path = merged(hidden=("B", "C"))
    assert read(path).notes == [f"{path}: 1 column hidden, and read like the others: 'label'"]
    assert read(merged(hidden=("C",))).notes == []
