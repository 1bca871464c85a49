"""Distillations that are killed and resumed. `embedding` is tested with the rest of it."""

import json

import pytest
import tiny_predictors
from dying import Killed, kill_after
from safetensors.numpy import load_file
from support import VOCABULARY, end_here, epochs_of, equal, example_rows, record_of, train_here, weights_of, write_csv

TRAINED_ON = {"files": [{"role": "train", "name": "x.csv", "sha256": "0" * 64, "rows": 9}], "split_seed": 3}
HOW = ("--deterministic", "--epochs", "2", "--batch-size", "8", "--lr", "0.003", "--save-every", "1e-9")


@pytest.fixture(autouse=True)
def _quick(monkeypatch, here):
    from halfbert.training import steps

    monkeypatch.setenv("HALFBERT_CACHE", str(here.parent / "cache"))
    monkeypatch.setattr(steps, "prove_engines", lambda *_: None)  # after the states are gone


@pytest.fixture
def distil(tmp_path, here, tensorflow_ready):
    """Teach a student of a tiny BERT on 60 rows into a folder; returns its record and what was said."""
    teacher = tiny_predictors.copy("bert", "multiclass", tmp_path / "teacher")
    tiny_predictors.change_manifest(teacher, data=TRAINED_ON, checkpoint={"name": "tiny"})
    table = write_csv(tmp_path / "things.csv", example_rows(60))

    def run(name, *more, how=train_here):
        where = ("--train", table, "--output", name, "--results", f"results/{name}")
        return how("--teacher", teacher, *where, *HOW, "--no-tfidf", *more, script="distill")

    return run


def without_seconds(control):
    return {**control, "epochs": epochs_of(control)}


def test_student_and_control_go_on_where_they_were_killed(distil, here, monkeypatch):
    distil("whole")
    for steps, more in ((9, ()), (13, ("--resume",))):  # of 12 steps: the second time it is the control
        kill_after(monkeypatch, steps)
        with pytest.raises(Killed):
            distil("killed", *more)
    assert {file.name.partition("-")[0] for file in (here / ".killed.state").glob("*.npz")} == {"fit", "control"}
    said = distil("killed", "--resume")
    assert "resuming after step 12\n" in said and said.count("resuming after step ") == 2
    assert equal(weights_of(here / "whole"), weights_of(here / "killed"))
    one, other = (record_of(here / "results" / name) for name in ("whole", "killed"))
    assert epochs_of(one) == epochs_of(other) and one["test"] == other["test"]
    assert without_seconds(one["distillation"]["control"]) == without_seconds(other["distillation"]["control"])
    assert one["distillation"]["worth"] == other["distillation"]["worth"] and other["resumed_at"] == [8, 12]
    assert not list(here.glob(".*"))


def test_what_the_teacher_adds_must_be_the_same(distil, here, monkeypatch, capsys):
    kill_after(monkeypatch, 3)
    with pytest.raises(Killed):
        distil("killed")
    more = write_csv(here / "more.csv", [(text,) for text, _ in example_rows(9, seed=3)], ("text",))
    for options, named in (
        (("--weight-soft", "1"), "--weight-soft was 5.0, is 1.0"),
        (("--temperature", "3"), "--temperature was 2.0, is 3.0"),
        (("--unlabelled", more), "unlabelled rows: not the same"),
    ):
        assert distil("killed", "--resume", *options, how=end_here) == 2
        assert named in capsys.readouterr().err


def test_masked_language_modelling_goes_on_where_it_was_killed(here, tmp_path, monkeypatch, tensorflow_ready):
    bert = tiny_predictors.hand_made_bert(tmp_path / "bert")
    texts = write_csv(here / "texts.csv", [(" ".join([word] * n),) for word in VOCABULARY[5:] for n in range(4, 8)], ("text",))
    common = ("--objective", "mlm", "--teacher", bert, "--train", texts, "--keep", "1", *HOW, "--batch-size", "16")
    train_here(*common, "--output", "whole", script="distill")
    kill_after(monkeypatch, 7)
    with pytest.raises(Killed):
        train_here(*common, "--output", "killed", script="distill")
    assert end_here(*common, "--output", "killed", "--resume", "--weight-cosine", "2", script="distill") == 2
    said = train_here(*common, "--output", "killed", "--resume", script="distill")
    assert "resuming after step 6\n" in said and not list(here.glob(".*"))
    one, other = (load_file(here / name / "model.safetensors") for name in ("whole", "killed"))
    assert equal(one, other)
    records = [json.loads((here / name / "distillation.json").read_text()) for name in ("whole", "killed")]
    assert records[0]["perplexity"] == records[1]["perplexity"] and epochs_of(records[0]) == epochs_of(records[1])
