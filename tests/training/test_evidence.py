"""What a run measures for its suggestions: truncated rows, rules for thresholds, the other model's run beside it."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from support import ROOT

from halfbert.options import MulticlassOptions, MultilabelOptions
from halfbert.output import record as records
from halfbert.training import evidence

FINISHED = records.read(ROOT / "results" / "published" / "multiclass" / "messages-bert-seed0")


def test_truncated_rows_are_counted_beside_the_others():
    truth = np.eye(2, dtype=int)[np.zeros(60, int)]
    answers = truth > 0
    answers[:12] = ~answers[:12]  # of the 20 truncated rows 12 are wrong, of the others none
    run = SimpleNamespace(options=SimpleNamespace(long="cut"), truth={"test": truth})
    fitted, tested = (
        SimpleNamespace(transformer=SimpleNamespace(maxlen=10)),
        SimpleNamespace(lengths=np.array([15] * 20 + [10] * 40)),
    )
    found = evidence.truncation(run, fitted, tested, answers)
    assert (found.rows, found.wrong, found.others, found.others_wrong, found.tokens) == (20, 12, 40, 0, 15)
    assert found.p_value < 1e-6
    assert evidence.truncation(run, fitted, SimpleNamespace(lengths=np.array([15] * 60)), answers) is None
    assert evidence.truncation(run, fitted, SimpleNamespace(lengths=np.array([15] * 9 + [10] * 51)), answers) is None
    run.options.long = "windows"
    assert evidence.truncation(run, fitted, tested, answers) is None


def test_a_better_rule_for_thresholds_is_found_on_validation_rows():
    """Of a label that never reaches 0.5 a half as threshold finds nothing."""
    rng = np.random.default_rng(0)
    truth = (rng.random((300, 2)) < 0.3).astype(int)
    logits = np.where(truth > 0, -1.0, -3.0) + rng.normal(0, 0.1, truth.shape)
    run = SimpleNamespace(
        task="multilabel", truth={"val": truth}, options=MultilabelOptions(model="bert", train="a.csv", threshold="0.5")
    )
    found = evidence.other_rule(run, SimpleNamespace(val_logits=logits))
    assert found.gain.first == 1 and found.gain.second == 0 and found.gain.low > 0.9
    run.options = replace(run.options, threshold=found.rule)
    assert evidence.other_rule(run, SimpleNamespace(val_logits=logits)) is None
    run.task = "multiclass"
    assert evidence.other_rule(run, SimpleNamespace(val_logits=logits)) is None


@pytest.fixture
def beside(tmp_path):
    """A DistilBERT run on the rows of a finished BERT run, which is beside it."""
    labels, rows = ["a", "b"], 40
    truth = np.eye(2, dtype=int)[np.arange(rows) % 2]
    other = tmp_path / "r" / "bert-x"
    (tmp_path / "p" / "bert-x").mkdir(parents=True)
    (tmp_path / "p" / "bert-x" / "halfbert.json").write_text("{}")
    other.mkdir(parents=True)
    files = [vars(file) for file in FINISHED.data.files]
    counts = replace(FINISHED.data.rows, test=rows)
    record = replace(FINISHED, data=replace(FINISHED.data, labels=labels, rows=counts), options={"output": "elsewhere/bert-x"})
    records.write(record, other)
    records.write_answers(truth * 0.8 + 0.1, truth, list(range(rows)), other)
    parts = {part: SimpleNamespace(numbers=list(range(size))) for part, size in vars(counts).items()}
    data = SimpleNamespace(
        files=files,
        labels=labels,
        test=parts["test"],
        parts=lambda: [(part, range(len(rows.numbers))) for part, rows in parts.items()],
    )
    options = MulticlassOptions(model="distilbert", train="a.csv", output=tmp_path / "p" / "d", results=tmp_path / "r" / "d")
    checkpoint = SimpleNamespace(model="distilbert")
    run = SimpleNamespace(task="multiclass", options=options, data=data, truth={"test": truth}, checkpoint=checkpoint)
    answers = truth > 0
    answers[:10] = ~answers[:10]
    return SimpleNamespace(run=run, answers=answers, record=record, results=other, predictor=tmp_path / "p" / "bert-x")


def found(beside):
    return list(evidence._other_runs(beside.run, beside.answers))


def test_the_other_model_on_the_same_rows_is_found_with_its_gain(beside):
    [other] = found(beside)
    assert (other.model, other.predictor) == ("bert", beside.predictor.as_posix())
    assert other.gain.first == 1 and other.gain.second == pytest.approx(0.75) and other.gain.low > 0
    beside.run.checkpoint.model = "bert"  # a second BERT is no other model
    assert found(beside) == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda beside: (beside.predictor / "halfbert.json").unlink(),
        lambda beside: (beside.results / "answers.npz").write_bytes(b"PK"),
        lambda beside: (beside.results / "record.json").write_text("{"),
        lambda beside: beside.run.data.labels.append("c"),
        lambda beside: setattr(beside.run.data.test, "numbers", list(range(1, 41))),
        lambda beside: beside.run.data.files[0].update(sha256="other"),
        lambda beside: setattr(beside.run.options, "split_seed", 9),
    ],
)
def test_a_run_of_other_rows_or_without_answers_is_no_evidence(beside, spoil):
    assert len(found(beside)) == 1
    spoil(beside)
    assert found(beside) == []


def test_the_thresholds_of_a_finished_run():
    folder = ROOT / "results" / "published" / "multilabel" / "messages-distilbert-seed0"
    thresholds = evidence.thresholds_of(records.read(Path(folder)))
    assert len(thresholds) == 10 and all(0 < threshold < 1 for threshold in thresholds)
    assert evidence.thresholds_of(FINISHED) is None
