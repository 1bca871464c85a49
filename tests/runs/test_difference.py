"""Two runs side by side."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import ROOT, end_here, example_rows, tagged_rows, write_csv, write_tags

from halfbert.data.tables import Reading
from halfbert.options import DiffOptions, MulticlassOptions, MultilabelOptions
from halfbert.output import record as records
from halfbert.runs import difference, texts
from halfbert.system.errors import ArtefactError
from halfbert.training import tasks

PUBLISHED = ROOT / "results" / "published"
OF_TASK = {"multiclass": MulticlassOptions, "multilabel": MultilabelOptions}


def finished(folder: Path, table: Path, task: str, wrong: list[int], **changes) -> np.ndarray:
    """Write the results of a run on a table that answers every test row rightly but for those at some indices."""
    options = OF_TASK[task](model="distilbert", train=str(table))
    reader, columns = tasks.reader(task, options)
    data = reader(Reading(train=str(table), text_column="text"), **columns)
    truth = tasks.truth(task, data.test, data.labels)
    probabilities = truth * 0.8 + 0.1
    probabilities[wrong] = np.roll(probabilities[wrong], 1, axis=1)
    published = records.read(PUBLISHED / task / "messages-distilbert-seed0")
    per_label = [{"threshold": 0.5} for _ in data.labels]
    test = {"macro_f1": 0.5, "at_thresholds": {"macro_f1": 0.5}, "per_label": per_label}
    given = {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
    record = replace(
        published, data=records.describe_data(data), options={**given, **changes.pop("options", {})}, test=test, **changes
    )
    folder.mkdir(parents=True, exist_ok=True)
    records.write(record, folder)
    records.write_answers(probabilities, truth, data.test.numbers, folder)
    return truth


@pytest.fixture(params=["multiclass", "multilabel"])
def pair(request, tmp_path):
    """Two runs of either task on one table; the first has rows 0 to 2 wrong, the second row 2 otherwise, and 5."""
    table = tmp_path / "a.csv"
    if request.param == "multiclass":
        write_csv(table, example_rows(200))
    else:
        write_tags(table, [(text, tags[:1] or ("food",)) for text, tags in tagged_rows(200)])
    finished(tmp_path / "A", table, request.param, [0, 1])
    finished(tmp_path / "B", table, request.param, [1, 5], options={"epochs": 9, "output": "elsewhere"})
    return DiffOptions(first=tmp_path / "A", second=tmp_path / "B")


def read(options: DiffOptions) -> tuple[records.Record, records.Record]:
    return records.read(options.first), records.read(options.second)


def test_rows_that_changed_are_named_with_their_texts(pair):
    first, second = read(pair)
    found = difference.paired(pair, first, second)
    _, numbers = records.read_answers(pair.first)
    assert [(row["row"], row["right"]) for row in found.changed] == [(numbers[0], "B"), (numbers[5], "A")]
    lines = (pair.first.parent / "a.csv").read_text(encoding="utf-8").splitlines()
    for row in found.changed:
        assert lines[row["row"] - 1].startswith(row["text"]) and row["text"]
        assert row["truth"] in (row["first"], row["second"]) and row["first"] != row["second"]
    for gain in found.gains.values():
        assert gain.low < 0 < gain.high and abs(gain.difference) < 0.1 and gain.rows == len(numbers)


def test_the_order_of_rows_and_labels_does_not_matter(pair):
    first, second = read(pair)
    probabilities, numbers = records.read_answers(pair.second)
    truth = records.read_truth(pair.second)
    turned = [slice(None, None, -1)] * 2
    records.write_answers(probabilities[tuple(turned)], truth[tuple(turned)], numbers[::-1], pair.second)
    labels = replace(second.data, labels=second.data.labels[::-1])
    found = difference.paired(pair, first, replace(second, data=labels))
    assert [row["right"] for row in found.changed] == ["B", "A"]


def test_the_console_says_what_differs(pair, capsys):
    changed = pair.first.parent / "changed.csv"
    assert end_here(pair.first, pair.second, "--output", changed, script="diff") == 0
    said = capsys.readouterr().out
    assert "rows: the same files and numbers\nlabels: the same 3\n" in said and "options, epochs: – | 9\n" in said
    assert "elsewhere" not in said and "2 test rows answered otherwise: 1 only A has right, 1 only B, 0 neither" in said
    assert "A: DistilBERT, macro F1 0.5000 (95 % interval" in said and str(changed) in said
    assert changed.read_text(encoding="utf-8-sig").splitlines()[0] == "row,text,truth,first,second,right"
    assert end_here(pair.first, pair.second, "--output", changed, script="diff") == 2
    assert "exists; give another file, or --overwrite" in capsys.readouterr().err


def test_texts_are_left_out_where_the_table_has_changed(pair, capsys):
    with open(pair.first.parent / "a.csv", "a", encoding="utf-8") as stream:
        stream.write("\n")
    assert texts.of_test(records.read(pair.first)) == {}
    assert end_here(pair.first, pair.second, script="diff") == 0
    said = capsys.readouterr().out
    assert "without texts: the table is not where it was, or has changed" in said and "only A has right" in said


def test_the_texts_of_the_embedded_table_are_those_of_the_package():
    record = records.read(PUBLISHED / "multiclass" / "messages-distilbert-seed0")
    assert len(texts.of_test(record)) == record.data.rows.test


def without_truth(options):
    probabilities, numbers = records.read_answers(options.first)
    for folder in (options.first, options.second):
        with open(folder / records.ANSWERS, "wb") as stream:
            np.savez_compressed(stream, probabilities=probabilities, numbers=numbers)


def other_rows(options):
    probabilities, numbers = records.read_answers(options.second)
    records.write_answers(probabilities[1:], records.read_truth(options.second)[1:], numbers[1:], options.second)


def rewritten(**changes):
    return lambda options: records.write(replace(records.read(options.second), **changes), options.second)


def relabelled(options):
    record = records.read(options.second)
    records.write(replace(record, data=replace(record.data, labels=["x", "y", "z"])), options.second)


def of_another_file(options):
    record = records.read(options.second)
    files = [replace(file, sha256="other", rows=7) for file in record.data.files]
    records.write(replace(record, data=replace(record.data, files=files)), options.second)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (without_truth, "of an earlier version, which left the labels out"),
        (other_rows, "of the test rows, 20 and 19, only 19 are the same"),
        (rewritten(test=None), "ended before its test"),
        (relabelled, "the runs have different labels"),
        (of_another_file, "the test rows are of different files"),
        (lambda options: (options.second / records.ANSWERS).unlink(), "no answers of a run"),
        (lambda options: (options.second / records.ANSWERS).write_bytes(b"PK"), "no answers of a run"),
    ],
)
def test_what_cannot_be_paired_is_one_line_and_the_rest_is_said(pair, spoil, reason, capsys):
    spoil(pair)
    with pytest.raises(ArtefactError, match=reason):
        difference.paired(pair, *read(pair))
    assert end_here(pair.first, pair.second, script="diff") == 0
    *_, last = capsys.readouterr().out.splitlines()
    assert last.startswith("no paired interval and no changed rows: ") and reason in last


def test_differences_of_rows_and_labels_are_named(pair, capsys):
    relabelled(pair)
    of_another_file(pair)
    end_here(pair.first, pair.second, script="diff")
    said = capsys.readouterr().out
    assert "train file: a.csv (200 rows) | a.csv (7 rows), another content\n" in said
    assert "labels only in B: x, y, z\n" in said and "labels only in A: " in said


@pytest.mark.parametrize(
    ("other", "code", "line"),
    [
        ("multilabel/messages-distilbert-seed0", 2, "their scores do not compare, so give two runs of one task"),
        ("compare/messages", 2, "a comparison, whose report holds its contestants side by side; give training runs"),
        ("nowhere", 2, "no results of a run (record.json is missing); halfbert runs lists those there are"),
        ("damaged", 3, "no record of a run"),
    ],
)
def test_what_is_no_second_run_is_one_line(other, code, line, tmp_path, capsys):
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "record.json").write_text("{")
    second = tmp_path / other if other == "damaged" else PUBLISHED / other
    assert end_here(PUBLISHED / "multiclass" / "messages-distilbert-seed0", second, script="diff") == code
    error = capsys.readouterr().err
    assert error.startswith("error: ") and line in error and error.count("\n") == 1
