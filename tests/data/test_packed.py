"""Files packed by gzip or zip: the same rows, and one line for what is broken, several files, or a bomb."""

import gzip
import zipfile

import pytest
from table_files import every_row, numbered, read, refused, write_table

from halfbert.data import workbooks

SUFFIXES = (".csv", ".tsv", ".jsonl")


def zipped(path, files, **options):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def content(tmp_path):
    return write_table(tmp_path / "t.csv", numbered(30)).read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_packed_files_give_the_rows_that_they_hold(tmp_path, suffix):
    plain = write_table(tmp_path / f"t{suffix}", numbered(30))
    packed = tmp_path / f"t{suffix}.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    mac = {"__MACOSX/._t": "x", "data/": "", "data/.DS_Store": "y", f"data/t{suffix.upper()}": plain.read_bytes()}
    for other in (packed, zipped(tmp_path / "t.zip", mac)):
        data = read(other)
        assert every_row(data) == every_row(read(plain)) and data.files[0]["name"] == other.name


def test_lines_are_lines_in_gz_too_and_encodings_are_read(tmp_path):
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress("text,label\ncafé,neg\n,pos\n".encode("cp1252")))
    refused(tmp_path / "t.csv.gz", "t.csv.gz: line 2 is not utf-8 text", "--encoding cp1252")
    refused(tmp_path / "t.csv.gz", "in 1 line: line 3", encoding="cp1252")


def test_what_is_no_one_file_is_named(tmp_path, content):
    two = zipped(tmp_path / "two.zip", {"a.csv": content, "b.csv": content})
    refused(two, "two.zip: holds 2 files (a.csv, b.csv)", "unpack it")
    refused(zipped(tmp_path / "none.zip", {}), "none.zip: holds no file")
    refused(zipped(tmp_path / "book.zip", {"[Content_Types].xml": "", "xl/workbook.xml": ""}), "an Excel workbook named .zip")
    refused(zipped(tmp_path / "odd.zip", {"t.xlsx": b"x"}), "holds a .xlsx file; packed files are read where they are .csv")
    (tmp_path / "t.gz").write_bytes(gzip.compress(content))
    refused(tmp_path / "t.gz", "does not say by its name which format it holds")
    refused(tmp_path / "away.zip", "away.zip: no such file")
    refused(tmp_path / "away.csv.gz", "away.csv.gz: no such file")


def test_broken_packing_is_one_line(tmp_path, content):
    whole = gzip.compress(content)
    for name, broken in {"cut": whole[:-9], "no": content, "bad": whole[:40] + b"\x00\x01\x02" + whole[43:]}.items():
        (tmp_path / f"{name}.csv.gz").write_bytes(broken)
        refused(tmp_path / f"{name}.csv.gz", f"{name}.csv.gz: is not a whole .gz file")
    archive = zipped(tmp_path / "t.zip", {"t.csv": content})
    (tmp_path / "cut.zip").write_bytes(archive.read_bytes()[:-30])
    refused(tmp_path / "cut.zip", "is not a whole zip archive")
    damaged = bytearray(archive.read_bytes())
    damaged[60] ^= 0xFF
    (tmp_path / "damaged.zip").write_bytes(damaged)
    refused(tmp_path / "damaged.zip", "is not a whole")
    locked = bytearray(archive.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        locked[locked.index(signature) + flags] |= 1
    (tmp_path / "locked.zip").write_bytes(locked)
    refused(tmp_path / "locked.zip", "is encrypted")


def test_bombs_end_before_they_fill_the_memory(tmp_path, content, monkeypatch):
    monkeypatch.setattr(workbooks, "RATIO_MATTERS_FROM_BYTES", 2**16)
    bomb = content + b"\n" * 2**21
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(bomb))
    for path in (tmp_path / "t.csv.gz", zipped(tmp_path / "t.zip", {"t.csv": bomb})):
        refused(path, "unpacks to more than 200 times its size")
    monkeypatch.setattr(workbooks, "RATIO_MATTERS_FROM_BYTES", 2**31)
    monkeypatch.setattr(workbooks, "MAX_UNPACKED_BYTES", 2**20)
    refused(tmp_path / "t.csv.gz", "unpacks to more than the 0.000976562 GiB accepted")
