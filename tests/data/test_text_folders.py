"""Folders of texts in a subfolder for each label, and files with a text a line."""

import pytest
from table_files import every_row, labels_of, numbered, read, read_labels, refused, texts_of

from halfbert.data.multiclass import read_texts
from halfbert.options import MulticlassOptions


def folder(path, records, suffix=".txt"):
    """Write each text into a file of its own, in the folder of its label."""
    for number, (text, label) in enumerate(records):
        (path / label).mkdir(parents=True, exist_ok=True)
        (path / label / f"{number:03}{suffix}").write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("suffix", [".txt", ""])  # as ktrain reads them: whatever the ending
def test_a_folder_gives_a_row_for_each_file(tmp_path, suffix):
    path = folder(tmp_path / "t", numbered(30), suffix)
    (path / "neg" / ".DS_Store").write_bytes(b"\0\xff")
    (path / "readme.txt").write_text("beside the folders of the labels")
    data = read(path)
    by_label = sorted(numbered(30), key=lambda record: record[1])
    assert [[text, label] for _, text, label in every_row(data)] == by_label and data.labels == ["neg", "pos"]
    assert data.notes[0] == f"{path}: 30 files, in 2 folders whose names are the labels"
    (path / "neg" / "000.txt" if suffix else path / "neg" / "000").write_text("another")
    assert read(path).files[0]["sha256"] != data.files[0]["sha256"]


def test_parts_are_taken_by_role(tmp_path):
    folder(tmp_path / "t" / "train", numbered(30))
    folder(tmp_path / "t" / "test", numbered(10, word="other"))
    data = read(tmp_path / "t", test=tmp_path / "t")
    assert len(data.test) == 10 and len(data.train) + len(data.val) == 30
    assert [file["name"] for file in data.files] == ["t/train", "t/test"]
    refused(tmp_path / "t", "has no folder validation/ beside its train/", val=tmp_path / "t")
    options = MulticlassOptions(train=tmp_path / "t", model="bert")
    assert (options.test, options.val) == (str(tmp_path / "t"), None)
    folder(tmp_path / "t" / "dev", numbered(10, word="new"))
    assert MulticlassOptions(train=tmp_path / "t", model="bert").val == str(tmp_path / "t")


def test_labels_may_be_called_train_and_test(tmp_path):
    path = folder(tmp_path / "t", numbered(30, ("train", "test")))
    assert sorted(set(labels_of(read(path)))) == ["test", "train"]
    assert MulticlassOptions(train=path, model="bert").test is None


def test_faults_name_the_file(tmp_path):
    path = folder(tmp_path / "t", numbered(30))
    (path / "pos" / "001.txt").write_bytes("naïve\ncafé".encode("cp1252"))
    refused(path, "pos/001.txt: line 1 is not utf-8 text", "--encoding cp1252")
    assert "naïve\ncafé" in texts_of(read(path, encoding="cp1252"))
    (path / "pos" / "001.txt").write_text(" \n")
    refused(path, "column 'text' is empty or blank in 1 row: pos/001.txt; fill them in")
    assert len(every_row(read(path, drop_missing=True))) == 29
    (path / "pos" / "inner").mkdir()
    refused(path, "pos/inner: is a folder in that of a label")
    refused(path / "neg", "is a folder without subfolders", "LABEL/*.txt")
    (tmp_path / "empty" / "neg").mkdir(parents=True)
    refused(tmp_path / "empty", "has no file in its subfolders")
    (path / "pos" / "inner").rmdir()
    refused(path, "is no answer", reader=read_labels, label_columns=["ALL"], drop_missing=True)


def test_the_columns_are_text_and_label(tmp_path):
    path = folder(tmp_path / "t", numbered(30))
    refused(path, "has no column 'Review'; its columns are 'text', 'label'", text_column="Review")


def test_lines_of_a_txt_file_are_texts(tmp_path):
    (tmp_path / "t.txt").write_text('one\n\n two, "three"\n')
    rows, _ = read_texts(tmp_path / "t.txt", "text")
    assert rows.texts == ["one", ' two, "three"'] and rows.numbers == [1, 3]
    refused(tmp_path / "t.txt", "has no column 'label'")
