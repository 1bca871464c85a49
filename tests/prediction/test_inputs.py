"""Tables as people have them: several text columns, headers further down, packed files, arrays, lines and folders of texts."""

import gzip
import json
import shutil
import zipfile

import openpyxl
import pandas as pd
import pytest
import tiny_predictors
from support import example_rows, write_workbook
from table_files import write_table

import halfbert
from halfbert.prediction.scorer import Scorer
from halfbert.system.errors import InputError

TEXTS = [text for text, _ in example_rows(12)]
PAIRS = list(zip(TEXTS[:6], TEXTS[6:], strict=True))


@pytest.fixture(scope="session")
def pairs(things, tmp_path_factory):
    """The predictor of one label, as if it had been trained on two columns; its folder."""
    folder = shutil.copytree(things.folder, tmp_path_factory.mktemp("pairs") / "pairs")
    tiny_predictors.change_manifest(folder, text_columns=["title", "body"])
    return folder


def refused(predict, *arguments, says, **options):
    with pytest.raises(InputError) as caught:
        predict(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message and says in message


def answers(file, **how):
    """The rows of an answered table, by what it is written as."""
    readers = {".csv": pd.read_csv, ".tsv": pd.read_table, ".xlsx": pd.read_excel, ".parquet": pd.read_parquet}
    if file.suffix == ".jsonl":
        return pd.DataFrame([json.loads(line) for line in file.read_text().splitlines()])
    return readers[file.suffix](file, **how)


# Several text columns.


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".json", ".parquet", ".xlsx"])
def test_the_columns_of_training_are_found_in_every_format(predict, pairs, things, tmp_path, suffix):
    records = [[number, body, title] for number, (title, body) in enumerate(PAIRS)]
    source = tmp_path / f"in{suffix}"
    if suffix == ".json":
        source.write_text(json.dumps([dict(zip(("id", "body", "title"), record, strict=True)) for record in records]))
    else:
        write_table(source, records, ("id", "body", "title"))
    output = tmp_path / f"out{suffix.replace('.json', '.jsonl').replace('ll', 'l')}"
    predict(source, "--output", output, predictor=pairs)
    found = answers(output)
    assert found["label"].tolist() == things.classifier.predict([f"{title} [SEP] {body}" for title, body in PAIRS])
    assert [*found][:3] == ["id", "body", "title"] and found["title"].tolist() == [title for title, _ in PAIRS]


def test_missing_cells_leave_their_place_empty(predict, pairs, things, tmp_path):
    records = [(TEXTS[0], ""), ("", TEXTS[1]), ("", " "), (TEXTS[2], "[SEP]")]
    write_table(tmp_path / "in.csv", records, ("title", "body"))
    said = predict(tmp_path / "in.csv", "--output", tmp_path / "out.csv", predictor=pairs)
    joined = [f"{TEXTS[0]} [SEP] ", f" [SEP] {TEXTS[1]}", f"{TEXTS[2]} [SEP] [ SEP ]"]
    found = answers(tmp_path / "out.csv", keep_default_na=False)
    assert found["label"].tolist() == [*things.classifier.predict(joined)[:2], "", things.classifier.predict(joined)[2]]
    assert "without an answer: 1 row (no text: 1)" in said and found["note"].tolist() == ["", "", "no text", ""]


def test_other_names_are_given_and_as_many(predict, pairs, things, tmp_path):
    source = write_table(tmp_path / "in.csv", PAIRS, ("headline", "story, long"))
    predict(source, "--output", tmp_path / "out.csv", "--text-column", 'headline,"story, long"', predictor=pairs)
    assert len(answers(tmp_path / "out.csv")) == 6
    refused(predict, source, "--output", tmp_path / "o.csv", predictor=pairs, says="has no column 'title'")
    says = "in.csv: 1 text column, and the predictor was trained on 2, 'title', 'body'; name as many with --text-column"
    refused(predict, source, "--output", tmp_path / "o.csv", "--text-column", "headline", predictor=pairs, says=says)
    named = ("--text-column", "headline,story, long")
    refused(predict, source, "--output", tmp_path / "o.csv", *named, says="2 text columns, and the predictor was trained on 1")
    (tmp_path / "in.txt").write_text("a line\n")
    says = "in.txt: each line is one text, and 2 are needed, 'title', 'body'; give a table with them"
    refused(predict, tmp_path / "in.txt", "--output", tmp_path / "o.csv", predictor=pairs, says=says)


def test_frames_and_rows_in_python(pairs, things):
    frame = pd.DataFrame(PAIRS, columns=["title", "body"])
    expected = things.classifier.predict([f"{title} [SEP] {body}" for title, body in PAIRS])
    assert halfbert.predict_table(pairs, frame, engine="onnx")["label"].tolist() == expected
    turned = frame.rename(columns={"title": "a", "body": "b"})
    assert halfbert.predict_table(pairs, turned, engine="onnx", text_column=["a", "b"])["label"].tolist() == expected
    scorer = Scorer(pairs, engine="onnx")
    assert scorer.score([*PAIRS[:2], {"title": PAIRS[2][0], "body": PAIRS[2][1]}, (None, "")])["label"] == [*expected[:3], None]
    with pytest.raises(InputError, match="expected a tuple, list or dict of 2 cells, 'title', 'body'"):
        scorer.score(["a text"])


# Headers, delimiters.


def test_what_stands_above_the_header_passes_through(predict, tmp_path, things, small_groups):
    above = 'Report "2026\n\nof;all shops;\n'
    body = "".join(f'"{number}"|{text}\n' for number, text in enumerate(TEXTS))
    (tmp_path / "in.csv").write_text(f"{above}id|text\n{body}")
    predict(tmp_path / "in.csv", "--output", tmp_path / "out.csv", "--header-row", "4", "--delimiter", "|")
    written = (tmp_path / "out.csv").read_text()
    assert written.startswith(f"{above}id|text|label|confidence|note\n")
    lines = written.splitlines()[4:]
    assert [line.split("|")[:2] for line in lines] == [line.split("|") for line in body.splitlines()]
    assert [line.split("|")[2] for line in lines] == things.classifier.predict(TEXTS)
    predict(tmp_path / "in.csv", "--output", tmp_path / "out.jsonl", "--header-row", "4")  # the bar is recognised
    assert [*answers(tmp_path / "out.jsonl")] == ["id", "text", "label", "confidence", "note"]
    bars = ("--delimiter", "|")
    refused(predict, tmp_path / "in.csv", "--output", tmp_path / "o.csv", *bars, says="row 4 names them: is it the header")
    refused(predict, tmp_path / "in.csv", "--output", tmp_path / "o.csv", "--header-row", "2", says="--header-row 2: is empty")
    refused(predict, tmp_path / "in.csv", "--output", tmp_path / "o.csv", "--header-row", "99", says="--header-row 99")


def test_a_workbook_with_titles_merged_headers_and_hidden_columns(predict, tmp_path, things):
    rows = [["Report", None, None], ["id", "what people write", None], [None, "text", "other"]]
    path = write_workbook(tmp_path / "in.xlsx", {"Sheet1": [*rows, *([n, text, "x"] for n, text in enumerate(TEXTS))]})
    book = openpyxl.load_workbook(path)
    book["Sheet1"].merge_cells("A2:A3")
    book["Sheet1"].merge_cells("B6:B7")
    book["Sheet1"].column_dimensions["B"].hidden = True
    book.save(path)
    said = predict(path, "--output", tmp_path / "out.xlsx", "--header-row", "3")
    assert "in.xlsx: 1 column hidden, and read like the others: 'text'" in said
    assert "in.xlsx: a text merged over rows is that of the first alone: B6:B7" in said
    sheet = openpyxl.load_workbook(tmp_path / "out.xlsx")["Sheet1"]
    assert [cell.value for cell in sheet[3]][3:] == ["label", "confidence", "note"] and sheet["A1"].value == "Report"
    assert sheet["D4"].value == things.classifier.predict(TEXTS[0]) and sheet["F7"].value == "no text"
    predict(path, "--output", tmp_path / "out.csv", "--header-row", "3")
    assert [*answers(tmp_path / "out.csv")][:3] == ["id", "text", "other"]


# Packed files, arrays, lines, folders.


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_packed_tables_are_answered_byte_by_byte_and_unpacked(predict, tmp_path, suffix):
    plain = write_table(tmp_path / f"in{suffix}", [[text, "x"] for text in TEXTS], ("text", "other"))
    content = plain.read_bytes()
    (tmp_path / f"packed{suffix}.gz").write_bytes(gzip.compress(content))
    with zipfile.ZipFile(tmp_path / "other.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"in{suffix}", content)
    predict(plain, "--output", tmp_path / f"plain{suffix}")
    for name in (f"packed{suffix}.gz", "other.zip"):
        predict(tmp_path / name, "--output", tmp_path / f"out{suffix}", "--overwrite")
        assert (tmp_path / f"out{suffix}").read_bytes() == (tmp_path / f"plain{suffix}").read_bytes()
    predict(tmp_path / f"packed{suffix}.gz", tmp_path / "other.zip", "--output", tmp_path / "folder")
    assert {file.name for file in (tmp_path / "folder").iterdir()} == {f"packed{suffix}", f"other{suffix}"}
    says = "tables are written as .xlsx, .xlsm, .csv, .tsv, .jsonl, .ndjson, .parquet, not as .gz"
    refused(predict, plain, "--output", tmp_path / f"out{suffix}.gz", says=says)


def test_a_torn_file_ends_the_run_before_any_text_is_answered(predict, tmp_path):
    content = gzip.compress(b"text\n" + "\n".join(TEXTS * 2000).encode())
    (tmp_path / "in.csv.gz").write_bytes(content[:-20])
    refused(predict, tmp_path / "in.csv.gz", "--output", tmp_path / "out.csv", says="is not a whole .gz file")
    assert not (tmp_path / "out.csv").exists()


def test_an_array_and_an_export_are_answered(predict, tmp_path, things):
    tasks = [{"id": 5, "data": {"text": text, "shop": 3}, "annotations": []} for text in TEXTS]
    tasks[0]["annotations"] = [{"result": [{"from_name": "mood", "type": "choices", "value": {"choices": ["good"]}}]}]
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    said = predict(tmp_path / "tasks.json", "--output", tmp_path / "out.jsonl")
    assert "an export of Label Studio, 12 tasks, with the choices 'mood'" in said
    found = answers(tmp_path / "out.jsonl")
    assert found["label"].tolist() == things.classifier.predict(TEXTS) and found["mood"][0] == ["good"]
    (tmp_path / "lines.json").write_text("\n".join(json.dumps({"text": text}) for text in TEXTS))
    (tmp_path / "none.json").write_text("[1]")
    predict(tmp_path / "lines.json", tmp_path / "tasks.json", "--output", tmp_path / "folder")
    assert {file.name for file in (tmp_path / "folder").iterdir()} == {"lines.jsonl", "tasks.jsonl"}
    refused(predict, tmp_path / "none.json", "--output", tmp_path / "o.csv", says="row 1 is not a JSON object")


def test_lines_of_a_file_and_files_of_a_folder_are_texts(predict, tmp_path, things):
    folder = tmp_path / "texts"
    (folder / "b").mkdir(parents=True)
    for number, text in enumerate(TEXTS[:4]):
        (folder / ("b" if number % 2 else "") / f"{number}.txt").write_text(f"{text}\nmore")
    (folder / "readme.md").write_text("no text")
    predict(folder, "--output", tmp_path / "out.csv")
    found = answers(tmp_path / "out.csv")
    assert found["file"].tolist() == ["0.txt", "2.txt", "b/1.txt", "b/3.txt"]
    assert found["label"].tolist() == things.classifier.predict([f"{TEXTS[number]}\nmore" for number in (0, 2, 1, 3)])
    (tmp_path / "in.txt.gz").write_bytes(gzip.compress("\r\n".join([*TEXTS[:3], "", TEXTS[3]]).encode()))
    said = predict(tmp_path / "in.txt.gz", "--output", tmp_path / "out.tsv")
    lines = answers(tmp_path / "out.tsv", keep_default_na=False)
    assert lines["text"].tolist() == [*TEXTS[:3], "", TEXTS[3]] and "in.txt.gz line 4" in said
    predict(tmp_path / "in.txt.gz", folder, "--output", tmp_path / "folder")
    assert {file.name for file in (tmp_path / "folder").iterdir()} == {"in.tsv", "texts.csv"}
    (folder / "bad.txt").write_bytes(b"caf\xe9")
    refused(predict, folder, "--output", tmp_path / "o.csv", says="bad.txt: line 1 is not utf-8 text")
    refused(predict, tmp_path / "folder", "--output", tmp_path / "o.csv", says="is a folder without .txt files")


def test_an_export_or_a_packed_file_is_resumed_as_any_other(predict, tmp_path, small_groups, monkeypatch):
    (tmp_path / "in.csv.gz").write_bytes(gzip.compress(b"text\n" + "\n".join(TEXTS).encode()))
    predict(tmp_path / "in.csv.gz", "--output", tmp_path / "whole.csv")
    answer, calls = Scorer.answer, []

    def dying(self, texts, advance=None):
        if calls:
            raise KeyboardInterrupt
        calls.append(texts)
        return answer(self, texts, advance)

    with monkeypatch.context() as patch:
        patch.setattr(Scorer, "answer", dying)
        with pytest.raises(KeyboardInterrupt):
            predict(tmp_path / "in.csv.gz", "--output", tmp_path / "out.csv")
    assert "resumed: " in predict(tmp_path / "in.csv.gz", "--output", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
