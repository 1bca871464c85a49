"""Parquet files answered in parts: what is kept, gone on with, joined and refused. The workers are this process."""

import contextlib
import os
import shutil
from collections import Counter

import pandas
import pyarrow
import pyarrow.parquet as parquet
import pytest
from support import example_rows, write_csv

import halfbert
from halfbert.prediction import cluster, parts
from halfbert.prediction.parquet import Parquet
from halfbert.prediction.scorer import Scorer
from halfbert.prediction.summary import Summary
from halfbert.system import storage
from halfbert.system.errors import ArtefactError, InputError, ResourceError

TEXTS = [text for text, _ in example_rows(60)]


def write(file, texts, **more):
    file.parent.mkdir(exist_ok=True)
    numbers = pyarrow.array(range(len(texts)), pyarrow.int16())
    parquet.write_table(pyarrow.table({"text": pyarrow.array(texts, pyarrow.string()), "n": numbers}), file, **more)
    return file


@pytest.fixture
def tables(tmp_path):
    """Three files: one of several parts and row groups, one without rows, one with rows that cannot be answered."""
    write(tmp_path / "in" / "a.parquet", TEXTS[:40] + TEXTS[:5], row_group_size=7, compression="zstd")
    write(tmp_path / "in" / "b.parquet", [])
    write(tmp_path / "in" / "c.parquet", [TEXTS[50], None, " ", *TEXTS[51:57]])
    return tmp_path / "in" / "*.parquet"


@pytest.fixture
def answered(monkeypatch):
    """The parts that are answered, of 10 rows each at most, by this process in place of workers."""
    seen = []

    def finished(left, worker, _options, _say):
        for part in left:
            worker.check()
            worker.answer(part)
            seen.append((os.path.basename(part.source), part.first))
            yield part

    monkeypatch.setattr(parts, "PART_ROWS", 10)
    monkeypatch.setattr(cluster, "_finished", finished)
    monkeypatch.setattr(cluster, "connected", lambda _address: contextlib.nullcontext())
    monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda name: name)
    return seen


@pytest.fixture
def label(predict, tables, tmp_path):
    """Label the files into a folder; returns what is said."""

    def run(*more, output="out"):
        return predict(tables, "--output", tmp_path / output, *more, "--ray", "auto")

    return run


def rows_of(folder):
    return {file.name: parquet.read_table(file).to_pylist() for file in sorted(folder.iterdir())}


def test_the_answers_are_those_of_one_process(predict, label, tables, tmp_path, answered, things):
    said = label()
    assert answered == [*[("a.parquet", first) for first in range(0, 45, 9)], ("b.parquet", 0), ("c.parquet", 0)]
    alone = predict(tables, "--output", tmp_path / "alone")
    assert said.splitlines()[1:-1] == [line for line in alone.splitlines()[1:-1] if "repeated" not in line]
    for one, other in zip(rows_of(tmp_path / "out").values(), rows_of(tmp_path / "alone").values(), strict=True):
        assert [{**row, "confidence": None} for row in one] == [{**row, "confidence": None} for row in other]
        assert [row["confidence"] for row in one] == pytest.approx([row["confidence"] for row in other], abs=2e-6, nan_ok=True)
    for name in ("a.parquet", "b.parquet", "c.parquet"):
        one, other = (parquet.ParquetFile(tmp_path / folder / name) for folder in ("out", "alone"))
        assert one.schema_arrow.equals(other.schema_arrow, check_metadata=True)
        if one.num_row_groups:
            assert len({file.metadata.row_group(0).column(0).compression for file in (one, other)}) == 1
    assert sorted(os.listdir(tmp_path)) == ["alone", "in", "out"]
    # A file of one part is answered as it would be alone.
    predict(tmp_path / "in" / "c.parquet", "--output", tmp_path / "c.parquet")
    assert (tmp_path / "c.parquet").read_bytes() == (tmp_path / "out" / "c.parquet").read_bytes()


def test_parts_have_so_many_rows_or_bytes_of_text(things, tmp_path, monkeypatch):
    source = Parquet(write(tmp_path / "a.parquet", TEXTS, row_group_size=8), "text")
    assert [(part.first, part.rows) for part in parts.Parts(tmp_path / "out", [source], {}).all()] == [(0, 60)]
    monkeypatch.setattr(parts, "PART_BYTES", source.text_bytes / 2.5)
    assert [(part.first, part.rows) for part in parts.Parts(tmp_path / "out", [source], {}).all()] == [
        (0, 20),
        (20, 20),
        (40, 20),
    ]
    for first, rows in ((0, 60), (3, 4), (8, 8), (5, 40), (59, 1)):
        part = Parquet(source.path, "text", range(first, first + rows))
        blocks = list(part.blocks())
        assert [text for block in blocks for text in block.texts] == TEXTS[first : first + rows]
        assert [number for block in blocks for number in block.numbers] == list(range(first + 1, first + rows + 1))


class Killed(BaseException):
    """In place of SIGKILL: nothing of the project catches it."""


@pytest.mark.parametrize("moment", ["part", "record", "join", "joined", "publish", "published", "removed"])
def test_a_killed_run_goes_on(label, tables, tmp_path, answered, monkeypatch, moment):
    label(output="whole")
    first = list(answered)
    answered.clear()

    def kill(where, name, after=0, before=True):
        original, calls = getattr(where, name), []

        def killed(*arguments, **more):
            calls.append(arguments)
            if len(calls) > after and before:
                raise Killed
            result = original(*arguments, **more)
            if len(calls) > after:
                raise Killed
            return result

        monkeypatch.setattr(where, name, killed)

    with monkeypatch.context() as monkeypatch:
        match moment:
            case "part":
                kill(cluster.Worker, "answer", after=2)
            case "record":
                kill(parts.Part, "finish", after=2)
            case "join":
                kill(parts, "join")
            case "joined":
                kill(parts, "join", before=False)
            case "published":
                kill(os, "rename")
            case "publish":
                kill(storage, "publish_folder")
            case "removed":
                kill(storage, "publish_folder", before=False)
        with pytest.raises(Killed):
            label()
    assert (tmp_path / "out").exists() == (moment == "removed")
    said = label()
    assert "resumed: " in said or moment == "removed"
    assert Counter(answered) == Counter(first)  # each part once, over both runs
    for file in sorted((tmp_path / "whole").iterdir()):
        assert (tmp_path / "out" / file.name).read_bytes() == file.read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["in", "out", "whole"]
    # Nothing says that the output may be replaced, now that the run is over.
    with pytest.raises(InputError, match="already exists; --overwrite replaces it"):
        label()


def test_only_what_is_new_is_answered_again(label, tables, tmp_path, answered, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(parts.Parts, "publish", lambda _parts: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            label()
        answered.clear()
        write(tmp_path / "in" / "c.parquet", TEXTS[:12])
        write(tmp_path / "in" / "d.parquet", TEXTS[:3])
        with pytest.raises(ZeroDivisionError):
            label()
        assert answered == [("c.parquet", 0), ("c.parquet", 6), ("d.parquet", 0)]
    (tmp_path / "in" / "d.parquet").unlink()
    answered.clear()
    with monkeypatch.context() as patch:
        patch.setattr(storage, "publish_folder", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            label()
    assert not answered
    said = label("--probabilities")
    assert "answers of other files, another predictor or other options; they are removed" in said and "resumed: " not in said
    assert {name for name, _ in answered} == {"a.parquet", "b.parquet", "c.parquet"}
    assert "probability_animal" in rows_of(tmp_path / "out")["c.parquet"][0]


def test_what_was_lost_between_two_moves_is_answered_again(label, tables, tmp_path, answered, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(storage, "publish_folder", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            label()
    write(tmp_path / "in" / "d.parquet", TEXTS[:3])
    with monkeypatch.context() as patch:
        patch.setattr(parts.Parts, "publish", lambda _parts: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            label()
    answered.clear()
    label()
    assert not answered  # what the second run answered is kept
    assert [len(rows) for rows in rows_of(tmp_path / "out").values()] == [45, 0, 9, 3]


def test_an_output_of_somebody_else_is_not_replaced(label, tables, tmp_path, answered, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(parts.Parts, "remove", lambda _parts: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            label()
    shutil.move(tmp_path / "out", tmp_path / "moved")
    write(tmp_path / "out" / "a.parquet", ["somebody's own"])
    with pytest.raises(InputError, match="already exists; --overwrite replaces it"):
        label()
    answered.clear()
    label("--overwrite")  # of the run before there is nothing left
    assert answered and rows_of(tmp_path / "out") == rows_of(tmp_path / "moved")


def test_an_earlier_output_is_replaced_when_the_new_one_is_whole(label, tables, tmp_path, answered, monkeypatch):
    write(tmp_path / "out" / "a.parquet", ["an earlier output"])
    before = rows_of(tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr(parts.Part, "finish", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            label("--overwrite")
    assert rows_of(tmp_path / "out") == before
    label("--overwrite")
    assert len(rows_of(tmp_path / "out")["a.parquet"]) == 45 and sorted(os.listdir(tmp_path)) == ["in", "out"]


def test_a_part_that_kills_its_workers_ends_the_run(tmp_path):
    source = Parquet(write(tmp_path / "a.parquet", TEXTS), "text")
    (part,) = parts.Parts(tmp_path / "out", [source], {}).all()
    for _ in range(parts.ATTEMPTS):
        part.begin()
    with pytest.raises(ResourceError, match=r"a\.parquet: 4 workers died while they answered rows 1 to 60, .* fewer --workers"):
        part.begin()
    (part,) = parts.Parts(tmp_path / "out", [source], {}).all()  # when the command is started again
    part.begin()
    part.finish(Summary(None, "onnx", 60, unanswered=Counter(blank=2)))
    assert part.summary() == Summary(None, "onnx", 60, unanswered=Counter(blank=2))


def test_a_worker_that_would_answer_otherwise_is_refused(label, answered, monkeypatch, tmp_path):
    made_by, calls = Scorer.made_by, []

    def differing(scorer):
        calls.append(scorer)
        made = made_by(scorer)
        return made if len(calls) == 1 else {**made, "versions": {**made["versions"], "numpy": "1.0"}}

    monkeypatch.setattr(Scorer, "made_by", differing)
    with pytest.raises(ArtefactError, match=r"a worker on .* answers otherwise .*'numpy': '1\.0'.* install the same on both"):
        label()
    assert not answered and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("table", "options", "expected"),
    [
        ("in/a.csv", ("--ray", "auto", "--output", "out"), r"--ray auto: reads parquet, .*a\.csv is not"),
        (
            "in/a.parquet",
            ("--ray", "auto", "--output", "out.parquet"),
            r"--ray auto: writes a folder .*out\.parquet is one file",
        ),
        ("-", ("--ray", "auto", "--output", "out"), "--ray auto: reads parquet files and writes a folder of them"),
        ("in/a.parquet", ("--workers", "2", "--output", "out"), "--workers 2: goes with --ray"),
    ],
)
def test_what_no_cluster_answers_is_refused(predict, tmp_path, monkeypatch, table, options, expected):
    write(tmp_path / "in" / "a.parquet", TEXTS)
    write_csv(tmp_path / "in" / "a.csv", [(text,) for text in TEXTS], ("text",))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=expected):
        predict(table, *options)
    assert os.listdir(tmp_path) == ["in"]


def test_ray_is_named_where_it_is_missing(predict, tables, tmp_path, monkeypatch, things):
    monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ResourceError, match=r"--ray auto: the package ray is not installed: pip install 'halfbert\[ray\]'"):
        predict(tables, "--output", tmp_path / "out", "--ray", "auto")
    with pytest.raises(InputError, match="ray auto: reads parquet files and writes a folder of them"):
        halfbert.predict_table(things.folder, pandas.DataFrame({"text": TEXTS}), ray="auto")
