"""The leaderboard of finished runs."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from support import ROOT, end_here

from halfbert.comparison import record as comparisons
from halfbert.output import record as records
from halfbert.runs import leaderboard

PUBLISHED = ROOT / "results" / "published"


def copied(run: str, folder: Path) -> records.Record:
    """A published run's record, alone in a folder of its own."""
    folder.mkdir(parents=True)
    shutil.copy(PUBLISHED / run / records.RECORD, folder)
    return records.read(folder)


@pytest.fixture
def results(tmp_path):
    """Runs of two tasks and tables, a comparison, one without a test and one that cannot be read."""
    copied("multiclass/messages-distilbert-seed0", tmp_path / "multiclass" / "d")
    bert = copied("multiclass/messages-bert-seed1", tmp_path / "multiclass" / "b")
    copied("multiclass/bbcnews-10-bert-seed0", tmp_path / "multiclass" / "news")
    copied("multilabel/toxic-bert-seed0", tmp_path / "multilabel" / "t")
    records.write(replace(bert, test=None, intervals=None, stopped="Ctrl-C"), tmp_path / "multiclass" / "b")
    copied("multiclass/messages-bert-seed1", tmp_path / "multiclass" / "b1")
    (tmp_path / "compare" / "m").mkdir(parents=True)
    shutil.copy(PUBLISHED / "compare" / "messages" / comparisons.RECORD, tmp_path / "compare" / "m")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / records.RECORD).write_text('{"task":\n')
    copied("multiclass/messages-bert-seed1", tmp_path / ".unfinished.tmp")
    return tmp_path


def test_runs_are_listed_by_task_and_table_the_best_first(results, capsys):
    assert end_here(results, script="runs") == 0
    said = capsys.readouterr().out
    first, second, unreadable = said.split("\n\n")
    assert first.startswith("multiclass\ntable") and second.startswith("multilabel\ntable")
    damaged = results / "bad" / "record.json"
    assert unreadable.startswith(f"unreadable: {damaged}: no record of a run") and unreadable.count("\n") == 1
    assert ".unfinished" not in said
    lines = [line.split("  ") for line in first.splitlines()[2:]]
    messages = [line for line in lines if line[0].startswith("messages")]
    assert lines[0][0].startswith("bbcnews") and len(messages) == len(lines) - 1 == 6
    found, _ = leaderboard.read(results)
    scores = [run.score for run in sorted(found, key=lambda run: run.rank) if run.table.startswith("messages")]
    assert scores[:-1] == sorted(scores[:-1], reverse=True) and scores[-1] is None


def test_a_line_has_what_the_record_has(results):
    found = {run.folder: run for run in leaderboard.read(results)[0] if run.folder.parent.name != "compare"}
    record, run = records.read(results / "multiclass" / "d"), found[results / "multiclass" / "d"]
    assert (run.task, run.table, run.model, run.engine) == ("multiclass", "messages_train.xlsx", "DistilBERT", None)
    assert (run.score, run.interval) == (record.test["macro_f1"], record.intervals["macro_f1"])
    assert (run.minutes, run.folder_bytes) == (record.timing.fit_seconds / 60, record.size.folder_bytes)
    tagged = found[results / "multilabel" / "t"]
    assert tagged.score == records.read(tagged.folder).test["at_thresholds"]["macro_f1"]
    [line] = leaderboard.lines([run])[1:]
    assert f"{run.score:.4f}  {run.interval.low:.3f} to {run.interval.high:.3f}" in line and line.endswith("multiclass/d")
    assert leaderboard.lines([replace(run, score=None, interval=None)])[1].split()[2:4] == ["–", "–"]


def test_a_comparison_has_a_line_for_each_contestant(results):
    found = [run for run in leaderboard.read(results)[0] if run.folder.parent.name == "compare"]
    record = comparisons.read(results / "compare" / "m")
    assert [run.score for run in found] == [each.scores["macro_f1"].score for each in record.contestants]
    assert found[0].model == "TF-IDF" and found[0].engine == "scikit-learn"


def test_the_engine_is_the_one_that_load_takes(results, here, monkeypatch, tmp_path):
    from halfbert.predictor import gate, manifest

    record = records.read(results / "multiclass" / "d")
    predictor = Path("predictors") / "d"
    predictor.mkdir(parents=True)
    (predictor / "halfbert.json").write_text("{}")
    run = replace(record, options={"output": "predictors/d"})
    assert leaderboard._engine(run) is None  # its manifest cannot be read
    monkeypatch.setattr(manifest, "read", lambda folder: None)
    monkeypatch.setattr(gate, "automatic", lambda predictor, device: ["onnx", "keras"])
    assert leaderboard._engine(run) == "onnx"


@pytest.mark.parametrize(("folder", "line"), [("nowhere", "no such folder"), (".", "holds no run")])
def test_a_folder_without_runs_is_one_line(folder, line, here, capsys):
    assert end_here(folder, script="runs") == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {folder}: {line}") and error.count("\n") == 1


def test_results_are_looked_through_where_no_folder_is_given(here, capsys):
    copied("multiclass/messages-bert-seed1", Path("results") / "multiclass" / "b")
    assert end_here(script="runs") == 0
    assert "results/multiclass/b\n" in capsys.readouterr().out
