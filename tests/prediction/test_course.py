"""Answering tables: what is answered, said, kept apart and refused."""

import errno
import io
import json
import multiprocessing
import pickle
import re
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tiny_predictors
from support import ROOT, example_rows, run_python, run_script, write_csv, write_workbook
from table_files import write_table

import halfbert
from halfbert.data.tables import Layout
from halfbert.prediction import answering, parquet, summary
from halfbert.prediction.answering import Remembered
from halfbert.prediction.scorer import Scorer
from halfbert.system import storage
from halfbert.system.errors import ArtefactError, InputError, ResourceError

TEXTS = [text for text, _ in example_rows(30)]


@pytest.fixture
def source(tmp_path):
    return write_csv(tmp_path / "in.csv", [(text,) for text in TEXTS], ("text",))


@pytest.fixture
def asked(monkeypatch):
    """The texts that the engine is given, group by group."""
    groups, answer = [], Scorer.answer

    def watched(self, texts, advance=None):
        groups.append(list(texts))
        return answer(self, texts, advance)

    monkeypatch.setattr(Scorer, "answer", watched)
    return groups


# What is answered.


def test_equal_texts_are_answered_once_and_groups_span_tables(predict, tmp_path, asked, small_groups, things):
    parts = [TEXTS[:4], [*TEXTS[2:6], "", TEXTS[0]], [], [TEXTS[0]] * 20, TEXTS[6:]]
    files = [
        write_csv(tmp_path / f"{number}.csv", [(text, 1) for text in part], ("text", "n")) for number, part in enumerate(parts)
    ]
    said = predict(*files, "--output", tmp_path / "out.csv")
    assert [text for group in asked for text in group] == TEXTS and {len(group) for group in asked[:-1]} <= {5, 6, 7}
    assert len(asked[0]) >= 5  # of two tables
    frame = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    rows = [text for part in parts for text in part]
    assert frame["text"].tolist() == rows
    expected = dict(zip(TEXTS, things.classifier.predict(TEXTS), strict=True))
    assert frame["label"].tolist() == [expected.get(text, "") for text in rows]
    repeated = len(rows) - 1 - len(TEXTS)
    assert f"equal texts are answered once: {repeated} rows repeated an earlier text" in said
    assert f"without an answer: 1 row (no text: 1), {files[1]} line 6" in said


def test_only_so_many_answers_are_remembered(monkeypatch):
    monkeypatch.setattr(answering, "NEW_TEXTS", 2)
    monkeypatch.setattr(answering, "REMEMBERED_TEXTS", 4)
    remembered = Remembered(np.dtype([("answer", "<i4")]))
    for number in range(7):
        remembered.add([b"%d" % number], np.array([(number,)], [("answer", "<i4")]))
    slots = [remembered.slot(b"%d" % number) for number in range(7)]
    assert slots[:3] == [None] * 3 and remembered.at(slots[3:])["answer"].tolist() == [3, 4, 5, 6]


def test_forgotten_answers_are_given_again(predict, source, tmp_path, monkeypatch, small_groups, asked, things):
    monkeypatch.setattr(answering, "REMEMBERED_TEXTS", 5)
    write_csv(source, [(text,) for text in TEXTS * 2], ("text",))
    predict(source, "--output", tmp_path / "out.csv")
    assert sum(map(len, asked)) == 60
    assert pd.read_csv(tmp_path / "out.csv")["label"].tolist() == things.classifier.predict(TEXTS) * 2


def test_a_name_that_is_taken_gets_a_prefix(predict, tmp_path):
    source = write_csv(tmp_path / "in.csv", [("the cat", "x", "y")], ("text", "label", "predicted_label"))
    said = predict(source, "--output", tmp_path / "out.csv")
    names = ["text", "label", "predicted_label", "predicted_predicted_label", "confidence", "note"]
    assert list(pd.read_csv(tmp_path / "out.csv")) == names
    assert "a column 'label' is there already: the answers stand in 'predicted_predicted_label'" in said


def test_lines_of_the_standard_input(predict, tmp_path, monkeypatch, things):
    lines = ["the cat", "", 'a "new"\tsaw', "naïve bread"]
    for ending in ("\n", "\r\n"):
        done = run_script(things.folder, "-", "--engine", "onnx", cwd=tmp_path, script="predict.py", given=ending.join(lines))
        assert done.returncode == 0, done.stderr
        frame = pd.read_csv(io.StringIO(done.stdout), sep="\t", keep_default_na=False)
        assert list(frame) == ["text", "label", "confidence", "note"] and frame["text"].tolist() == lines
        assert frame["label"].tolist() == [text and things.classifier.predict(text) for text in lines]
        assert done.stderr.startswith("4 rows in ") and "standard input row 2" in done.stderr
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"the cat\nmy dog")))
    predict("-", "--output", tmp_path / "out.jsonl", "--text-column", "words")
    assert [json.loads(line)["words"] for line in (tmp_path / "out.jsonl").read_text().splitlines()] == ["the cat", "my dog"]


def test_several_tables_of_other_formats_become_one(predict, tmp_path, things):
    files = [tmp_path / name for name in ("0.xlsx", "1.csv", "2.parquet")]
    for number, file in enumerate(files):
        write_table(file, [[text, "x"] for text in TEXTS[number * 10 :][:10]], ["text", "other"])
    for suffix in (".xlsx", ".csv", ".parquet", ".jsonl"):
        predict(*files, "--output", tmp_path / f"out{suffix}")
    output = tmp_path / "out"
    frames = [pd.read_excel(f"{output}.xlsx"), pd.read_csv(f"{output}.csv"), pd.read_parquet(f"{output}.parquet")]
    for frame in frames:
        assert frame["text"].tolist() == TEXTS and frame["label"].tolist() == things.classifier.predict(TEXTS)


def test_a_data_frame_is_given_back_with_its_answers(things):
    frame = pd.DataFrame({7: range(4), "Reviews": ["the cat", None, 3.0, "my saw"]}, index=[4, 3, 2, 1])
    answered = halfbert.predict_table(things.folder, frame, text_column="Reviews", engine="onnx", top=2)
    pd.testing.assert_frame_equal(answered[[7, "Reviews"]], frame)
    assert list(answered)[2:] == ["label", "confidence", "label_2", "confidence_2", "note"] and list(frame) == [7, "Reviews"]
    assert answered["label"].tolist()[::2] == things.classifier.predict(["the cat", "3"]) and pd.isna(answered["label"][3])
    assert answered["note"].tolist() == ["", "no text", "", ""]
    with pytest.raises(InputError, match="a DataFrame is answered alone, and given back: leave out output"):
        halfbert.predict_table(things.folder, frame, output="out.csv")
    assert len(halfbert.predict_table(things.folder, frame[:0], text_column="Reviews", engine="onnx")) == 0


def test_python_gets_a_summary_of_files(things, source, tmp_path):
    result = halfbert.predict_table(things.folder, source, output=tmp_path / "out.csv", engine="onnx")
    expected = pd.Series(things.classifier.predict(TEXTS)).value_counts()
    assert (result.rows, result.output) == (30, tmp_path / "out.csv") and result.seconds > 0
    assert result.labels == {label: expected.get(label, 0) for label in result.labels} and sum(result.labels.values()) == 30


def test_truncated_texts_are_counted(predict, source, tmp_path, things):
    write_csv(source, [("wolf " * 600,), ("wolf",)], ("text",))
    maxlen = things.classifier.predictor.manifest.maxlen
    said = predict(source, "--output", tmp_path / "out.csv")
    assert f"longer than {maxlen} tokens, and truncated: 1 text\n" in said


def test_a_terminal_shows_rows_speed_and_time_left(predict, source, tmp_path, monkeypatch, small_groups):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(summary, "SECONDS_BEFORE_BAR", 0)
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = summary.Progress(40)
    progress.advance(10)
    monkeypatch.setattr(progress._bar, "mininterval", 0)
    progress.advance(10)
    progress.close()
    assert re.search(r" 20/40 \[00:0\d<.*rows/s\]", terminal.getvalue())
    assert "rows/s]" not in predict(source, "--output", tmp_path / "out.csv")  # which is no terminal


# The scorer elsewhere.


def test_a_scorer_travels_as_its_options(things):
    scorer = Scorer(things.folder, "onnx", threads=1, top=2)
    texts = ["the cat", None, "my saw", "the cat"]
    columns = scorer.score(texts)
    assert columns["label"] == [text and things.classifier.predict(text) for text in texts]
    assert columns["note"] == ["", "no text", "", ""] and list(columns) == [column.name for column in scorer.added()]
    packed = pickle.dumps(scorer)
    assert len(packed) < 2000 and pickle.loads(packed) == scorer
    assert pickle.loads(packed) is pickle.loads(pickle.dumps(scorer))  # so that a worker loads its engine once
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(scorer.score, (texts,)) == columns


# What is refused.


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("text,n\nthe cat,1\nthe dog\n", "line 3 has 1 cell and the header has 2"),
        ('text,n\n"the cat,1\n', "line 2 opens a double quote that is never closed"),
        ("text,n\nthe cat,1\nthe\0dog,2\n", "line 3 holds a NUL byte"),
        (b"text,n\nthe cat,1\nna\xefve,2\n", "line 3 is not utf-8 text; if it was saved by Excel, try --encoding cp1252"),
        ("Text;n\nthe cat;1\n", "has no column 'text'; its columns are 'Text', 'n'; did you mean 'Text'?"),
        ("", "is empty"),
        ('{"text": "the cat"}\n{"text": \n', "line 2 is not JSON"),
        ('{"text": "the cat"}\n[1]\n', "line 2 is not a JSON object"),
    ],
)
def test_an_unreadable_row_is_named_before_any_is_answered(predict, tmp_path, asked, content, says):
    file = tmp_path / ("in.jsonl" if "{" in str(content) else "in.csv")
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as caught:
        predict(file, "--output", tmp_path / "out.csv")
    assert str(caught.value).startswith(f"{file}: {says}") and not asked
    assert [each.name for each in tmp_path.iterdir()] == [file.name]


def test_what_cannot_be_done_is_refused_in_one_line(predict, source, tmp_path, things):
    other, folder = tmp_path / "other.csv", tmp_path / "sub"
    write_csv(other, [("the cat", 1)], ("text", "n"))
    twice = write_csv(tmp_path / "twice.csv", [("the cat", 1, 2)], ("text", "n", "n"))
    folder.mkdir()
    write_csv(folder / "in.csv", [("the cat",)], ("text",))
    out = ("--output", tmp_path / "out.csv")
    cases = {
        "give --output, the table to write": [source],
        "no file matches this pattern": [tmp_path / "*.nothing", *out],
        "no such file": [tmp_path / "nothing.csv", *out],
        "give its files, as in": [folder, *out],
        "data sets of the hub are not answered": ["hf:imdb", *out],
        "-: is given beside other tables": ["-", source, *out],
        "its columns are not those of": [source, other, *out],
        "('n' is in one of them only); give a folder": [source, other, *out],
        "several inputs are called in.csv": [source, folder / "in.csv", "--output", tmp_path / "new"],
        "is read as well; choose another name": [source, "--output", source, "--overwrite"],
        "has several columns named 'n', which jsonl cannot hold": [twice, "--output", tmp_path / "out.jsonl"],
        "already exists; --overwrite replaces it": [source, "--output", other],
        "tables are written as": [source, "--output", tmp_path / "out.doc"],
        "only a workbook with macros is written as .xlsm": [source, "--output", tmp_path / "out.xlsm"],
        "holds other files, such as in.csv": [other, "--output", folder, "--overwrite"],
        "--sheet x: none of the files is an Excel workbook": [source, "--sheet", "x", *out],
        "a file is needed for texts from the standard input": ["-", "--output", tmp_path / "new"],
    }
    before = sorted(tmp_path.rglob("*"))
    for says, arguments in cases.items():
        with pytest.raises(InputError) as caught:
            predict(*arguments)
        assert says in str(caught.value) and "\n" not in str(caught.value)
        assert sorted(tmp_path.rglob("*")) == before, says


def test_an_output_is_replaced_on_request_only(predict, source, tmp_path):
    output = tmp_path / "out.csv"
    predict(source, "--output", output)
    first = output.read_bytes()
    with pytest.raises(InputError, match="already exists; --overwrite replaces it, or choose another name"):
        predict(source, "--output", output)
    write_csv(source, [("the cat",)], ("text",))
    predict(source, "--output", output, "--overwrite")
    assert output.read_bytes() != first and sorted(file.name for file in tmp_path.iterdir()) == ["in.csv", "out.csv"]


def test_two_runs_do_not_write_one_output(predict, source, tmp_path):
    with storage.output_lock(tmp_path / "out.csv"), pytest.raises(InputError, match="another run is writing there"):
        predict(source, "--output", tmp_path / "out.csv")


def test_a_full_disk_leaves_nothing_half_written(predict, source, tmp_path, monkeypatch, capsys):
    from halfbert.cli import command
    from halfbert.prediction.delimited import DelimitedWriter

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(DelimitedWriter, "write", full)
    with pytest.raises(OSError):
        predict(source, "--output", tmp_path / "out.csv")
    assert sorted(file.name for file in tmp_path.iterdir()) == [".out.csv.answers", "in.csv"]
    monkeypatch.setattr(storage.shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    with pytest.raises(ResourceError, match="are free; make room"):
        predict(source, "--output", tmp_path / "out2.csv")
    assert command.main(["predict"]) == 2  # the exit codes are those of every command
    assert "the following arguments are required: FOLDER, TABLE" in capsys.readouterr().err


def test_a_damaged_predictor_answers_nothing(predict, source, tmp_path, things):
    folder = shutil.copytree(things.folder, tmp_path / "damaged")
    with open(folder / "tf_model.h5", "ab") as stream:
        stream.write(b"x")
    with pytest.raises(ArtefactError, match="tf_model.h5: altered or damaged"):
        predict(source, "--output", tmp_path / "out.csv", predictor=folder)
    assert not (tmp_path / "out.csv").exists()


def test_an_engine_that_is_not_proven_is_refused(predict, source, tmp_path, things):
    folder = shutil.copytree(things.folder, tmp_path / "unproven")
    tiny_predictors.change_manifest(folder, agreement={})
    with pytest.raises(ArtefactError, match="engine onnx: never compared with keras for these weights"):
        predict(source, "--output", tmp_path / "out.csv", predictor=folder)


def test_parquet_needs_a_package_of_its_own(predict, source, tmp_path, monkeypatch):
    monkeypatch.setattr(parquet.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ResourceError, match="out.parquet: parquet needs the package pyarrow, not installed here: pip install"):
        predict(source, "--output", tmp_path / "out.parquet")


def test_a_label_that_an_encoding_lacks_is_refused_at_once(things, tmp_path):
    from halfbert.prediction.delimited import Delimited, DelimitedWriter
    from halfbert.prediction.scorer import Column

    (tmp_path / "in.csv").write_bytes("text\nnaïve\n".encode("cp1252"))
    source = Delimited(tmp_path / "in.csv", "text", Layout(encoding="cp1252"))
    with pytest.raises(InputError, match="is cp1252 text, which has no '中'; save it as UTF-8"):
        DelimitedWriter(io.BytesIO(), ".csv", source, [Column("label", "text", ["a", "中"])], ";")


def test_another_sheet_is_named_and_chosen(predict, tmp_path):
    book = write_workbook(tmp_path / "in.xlsx", {"One": [("text",), ("the cat",)], "Two": [("text",), ("my saw",)]})
    assert "read sheet 'One'; there is also 'Two' (--sheet)" in predict(book, "--output", tmp_path / "out.csv")
    predict(book, "--output", tmp_path / "two.csv", "--sheet", "Two")
    assert pd.read_csv(tmp_path / "two.csv")["text"].tolist() == ["my saw"]


def test_no_tensorflow_is_loaded(things, source, tmp_path):
    code = (
        "import sys; from halfbert.cli import command; code = command.main(sys.argv[1:]); "
        "print([m for m in ('tensorflow', 'torch', 'transformers', 'ktrain', 'pandas', 'pyarrow') if m in sys.modules], code)"
    )
    arguments = ["predict", things.folder, source, "--output", tmp_path / "out.csv", "--engine", "onnx"]
    done = run_python("-c", code, *arguments, cwd=tmp_path, PYTHONPATH=str(ROOT))
    assert done.stdout.splitlines()[-1] == "[] 0" and "it/s" not in done.stderr + done.stdout
