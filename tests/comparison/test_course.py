"""The parts of a comparison and their identity, its time limit, its speeds."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from support import ROOT, TAGS, example_rows, tagged_rows, write_csv, write_tags

from halfbert.cli import command
from halfbert.comparison import course, jobs, speed
from halfbert.comparison.jobs import Part, Work, sha256
from halfbert.options import BenchmarkOptions, CompareOptions
from halfbert.output import record as records
from halfbert.system import machine
from halfbert.system.errors import ArtefactError, InputError


@pytest.fixture
def prepared(tmp_path, tiny_bert, tiny_distilbert):
    """Makes a comparison of tiny checkpoints whose table is read."""

    def make(rows=60, distilbert=tiny_distilbert, **options):
        table = write_csv(tmp_path / "things.csv", example_rows(rows))
        contestants = {"tfidf": None, "distilbert": str(distilbert), "bert": str(tiny_bert)}
        given = {"train": table, "output": tmp_path / "out", "work": tmp_path / "work", "contestants": contestants}
        given["cv"] = "none"
        return jobs.read(CompareOptions(**given | options))

    return make


@pytest.fixture
def identities(tmp_path, prepared):
    """The identities of the contestants' parts and of their speeds, with options."""

    def found(**options) -> dict[str, str]:
        experiment = prepared(**options)
        named = {name: experiment.part(name, 0, None).identity for name in ("tfidf", "distilbert", "bert")}
        timed = BenchmarkOptions(predictors=[tmp_path], engines=["onnx", "onnx-int8"], quick=True, texts="things.csv")
        return {**named, "speed": sha256(speed.networks_identity(timed, [named["bert"]]))}

    return found


def changed(one, other) -> set[str]:
    return {name for name in one if one[name] != other[name]}


def test_a_part_is_what_it_depends_on(prepared, identities, tiny_bert, tiny_distilbert, tmp_path):
    first, everything = identities(), {"tfidf", "distilbert", "bert", "speed"}
    part = prepared().part("bert", 0, None)
    # Nothing else: after an edit of a plot nothing is fitted again.
    assert part.depends_on.keys() == {"recipe", "task", "options", "files", "rows", "versions", "checkpoint"}
    assert part.depends_on["recipe"].keys() == {"training"}
    assert len(set(first.values())) == 4 and identities() == first
    assert identities(price_per_hour=2, margin=0.1, seeds=2) == first  # what changes no fit
    assert changed(first, identities(epochs=7)) == everything - {"tfidf"}
    assert changed(first, identities(class_weights="balanced")) == everything
    assert changed(first, identities(split_seed=1)) == changed(first, identities(rows=63)) == everything
    other = shutil.copytree(tiny_bert, tmp_path / "other")
    (other / "tokenizer_config.json").write_text("{}")
    assert changed(first, identities(contestants=f"tfidf,distilbert={tiny_distilbert},bert={other}")) == {"bert", "speed"}


def another(package, version_of=machine.version_of):
    """`machine.version_of` with another version of a package installed."""
    return lambda name: "99" if name == package else version_of(name)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("halfbert.training.RECIPE_VERSION", 99, {"distilbert", "bert", "speed"}),
        ("halfbert.training.tfidf.RECIPE_VERSION", 99, {"tfidf"}),
        ("halfbert.comparison.speed.RECIPE_VERSION", 99, {"speed"}),
        ("halfbert.predictor.engines.onnx.VERSION", 99, {"speed"}),
        ("halfbert.system.machine.hardware", lambda: {"cpu": "another", "vector_extensions": []}, {"speed"}),
        ("halfbert.system.machine.version_of", another("onnxruntime"), {"speed"}),
        ("halfbert.system.machine.version_of", another("scikit-learn"), {"tfidf"}),
        ("halfbert.system.machine.version_of", another("tensorflow"), {"distilbert", "bert", "speed"}),
        ("halfbert.system.machine.version_of", another("matplotlib"), set()),
    ],
)
def test_what_recipes_versions_and_machine_change(identities, monkeypatch, name, value, expected):
    first = identities()
    monkeypatch.setattr(name, value)
    assert changed(first, identities()) == expected


def parsed(part):
    """What the command understands of a part's arguments."""
    assert part.command[:2] == ["-m", "halfbert"]
    verb = command.VERBS[part.command[2]]
    return verb.parse(part.command[3:])


def test_seeds_vary_and_the_split_stays(prepared, tiny_bert):
    experiment = prepared(seed=5, drop_missing=True, class_weights="balanced")
    found = [parsed(experiment.part("bert", seed, None)) for seed in (5, 6)]
    assert [(one.seed, one.split_seed, one.checkpoint) for one in found] == [(5, 5, str(tiny_bert)), (6, 5, str(tiny_bert))]
    assert found[0].drop_missing and found[0].class_weights == "balanced"
    assert experiment.part("tfidf", 6, None).job["options"]["split_seed"] == 5


def test_the_student_begins_as_distilbert_does(prepared, tmp_path, tiny_distilbert, monkeypatch):
    options = {"distill": True, "epochs": 4, "threads": 1, "class_weights": "balanced"}
    experiment = prepared(**options)
    assert experiment.contestants == ["tfidf", "student", "distilbert", "bert"]

    def taught_by(identity):
        bert = SimpleNamespace(predictor=tmp_path / "bert", part=SimpleNamespace(identity=identity))
        monkeypatch.setattr(experiment.work, "finish", lambda part, heard=None: bert if part.name == "bert-seed3" else None)
        return experiment.part("student", 3, None)

    found = parsed(taught_by("a"))
    assert (found.teacher, found.model, found.checkpoint) == (str(tmp_path / "bert"), "distilbert", str(tiny_distilbert))
    assert (found.epochs, found.seed, found.split_seed, found.threads, found.no_control) == (4, 3, 0, 1, True)
    first = taught_by("a").identity
    assert first == taught_by("a").identity != taught_by("b").identity
    monkeypatch.setattr("halfbert.distillation.RECIPE_VERSION", 99)
    assert taught_by("a").identity != first


def test_test_rows_without_labels_are_refused_before_anything_is_fitted(here, tiny_bert, capsys):
    train, test = write_tags(here / "a.csv", tagged_rows(60)), write_tags(here / "b.csv", [("a cat", ()), ("my saw", ())])
    files = ["--train", str(train), "--test", str(test), "--checkpoint", str(tiny_bert)]
    assert command.main(["compare", "--task", "multilabel", "--contestants", "tfidf,bert", *files]) == 2
    assert "b.csv: no test row has a label" in capsys.readouterr().err and not (here / "results").exists()


def test_a_student_of_another_vocabulary_is_refused_before_anything_is_fitted(prepared, tmp_path, tiny_distilbert):
    other = shutil.copytree(tiny_distilbert, tmp_path / "other")
    words = (other / "vocab.txt").read_text().split("\n")
    (other / "vocab.txt").write_text("\n".join([*words[:-2], words[-2] + "x", ""]))
    prepared(distilbert=other)  # DistilBERT may have it
    with pytest.raises(InputError, match="its tokenizer is not that of the teacher bert"):
        prepared(distilbert=other, distill=True)


def test_a_multilabel_part_is_understood_by_its_verb(prepared, tmp_path):
    table = write_tags(tmp_path / "tags.csv", tagged_rows(60))
    options = {"task": "multilabel", "train": table, "threshold": "gmean", "balance": True}
    experiment = prepared(**options)
    part = experiment.part("distilbert", 0, 40)
    found = parsed(part)
    assert part.command[2] == "train-multilabel" and part.name == "distilbert-seed0-rows40"
    assert (found.threshold, found.balance, found.label_columns, found.rows) == ("gmean", True, ["ALL"], 40)
    assert {"threshold": "gmean", "balance": True}.items() <= experiment.part("tfidf", 0, None).job["options"].items()
    assert experiment.truth.shape == (len(experiment.data.test), len(TAGS))


def test_a_part_is_run_once_and_again_if_it_is_damaged_or_differs(tmp_path, monkeypatch):
    runs, published = [], (ROOT / "results/published/multiclass/messages-bert-seed0/record.json").read_text(encoding="utf-8")

    def run(command, label, job, debug, heard):
        folder = Path(job["results"])
        folder.mkdir(parents=True, exist_ok=True)
        records.write_answers(np.eye(2), np.eye(2), [2, 3], folder)
        (folder / "record.json").write_text(published, encoding="utf-8")
        runs.append(label)

    monkeypatch.setattr(jobs.processes, "run", run)
    work, part = Work(tmp_path / "work"), Part("fake-seed0", [], {"x": 1}, {})
    finished = work.finish(part)
    assert finished.numbers.tolist() == [2, 3] and finished.answers.tolist() == [[True, False], [False, True]]
    assert work.finish(part).record == finished.record and len(runs) == 1
    (finished.results / records.ANSWERS).write_bytes(b"half of a file")
    work.finish(part)
    assert len(runs) == 2
    assert work.finish(Part("fake-seed0", [], {"x": 2}, {})).results != finished.results and len(runs) == 3
    (finished.results / "record.json").write_text(json.dumps({**json.loads(published), "stopped": "SIGTERM"}))
    work.finish(part)  # one that was stopped is no result
    assert len(runs) == 4


def test_a_part_that_was_killed_goes_on(prepared, monkeypatch):
    """Its verb is given --resume where its fit left a state, and only there."""
    given = []
    monkeypatch.setattr(jobs.processes, "run", lambda command, *_, **__: given.append(command))
    experiment = prepared()
    part, work = experiment.part("bert", 0, None), experiment.work
    work.folder.mkdir()
    for state in (False, True):
        if state:
            folder = work.folder / "predictor" / f".{part.label}.state"
            folder.mkdir(parents=True)
            (folder / "fit-000000001.npz").touch()
        with pytest.raises(ArtefactError):  # nothing was made
            work.finish(part)
    assert ["--resume" in words for words in given] == [False, True]
    options = command.VERBS["train-multiclass"].parse(given[1][3:])
    assert options.resume and options.overwrite


def test_a_failing_measurement_leaves_a_note(prepared, tmp_path):
    experiment = prepared()
    part = SimpleNamespace(identity="x", label="bert-seed0-x", makes_predictor=True)
    fit = SimpleNamespace(part=part, predictor=tmp_path / "missing", results=tmp_path)
    part = SimpleNamespace(identity="y", label="tfidf-y", makes_predictor=False)
    tfidf = SimpleNamespace(part=part, results=tmp_path / "missing")
    assert speed.measure(experiment, {"tfidf": tfidf, "bert": fit}, None) == {"tfidf": [], "bert": []}
    assert len(experiment.notes) == 2 and all("not measured (" in note for note in experiment.notes)


def pilot(seconds, fit_seconds, steady=None):
    timing = SimpleNamespace(steady_rows_per_second=steady, fit_seconds=fit_seconds, evaluate_seconds=2.0)
    data = SimpleNamespace(rows=SimpleNamespace(train=100, test=50))
    return SimpleNamespace(record=SimpleNamespace(timing=timing, data=data, epochs=[{}, {}]), seconds=seconds)


def test_the_cost_of_a_row():
    assert course.cost(pilot(30.0, 20.0), 50) == (10.0, 0.2)  # no steady rate: all of the fit grows with the rows
    assert course.cost(pilot(30.0, 20.0), 100) == (12.0, 0.2)  # 50 more test rows at 0.04 s
    assert course.cost(pilot(30.0, 20.0, steady=40.0), 50) == (25.0, 0.05)  # two epochs at 40 rows a second


# 3 pilots of 12 s; then 0.1 s a row and 2 s (less for few test rows) each. One minute, of it 90 % to be used.
SOME = int((54 - 36 - 3 * (2 + (12 - 50) * 0.04)) / 0.3)


@pytest.mark.parametrize(
    ("minutes", "seconds", "rows", "reported"),
    [
        (1, (12.0, 10.0), SOME, f"training on {SOME} of 96 training rows (a stratified sample)"),
        (10, (12.0, 10.0), None, "training on all 96 training rows"),
        (10, (0.0, 0.0), None, "training on all 96"),  # what took no time costs nothing a row
        (0.5, (12.0, 10.0), None, r"--time-limit 0.5: the fits would take about \d+ minutes? even on 12 rows"),
    ],
)
def test_a_time_limit_takes_the_rows_that_fit(prepared, monkeypatch, capsys, minutes, seconds, rows, reported):
    monkeypatch.setattr(course, "PILOT_ROWS", 12)
    monkeypatch.setattr(speed, "budget", lambda timing, networks: 0)
    more = {"seeds": 3, "learning_curve": True} if minutes < 1 else {}
    experiment = prepared(rows=120, time_limit=minutes, **more)
    names = []
    monkeypatch.setattr(experiment.work, "finish", lambda part, heard=None: names.append(part.name) or pilot(*seconds))
    if minutes < 1:
        with pytest.raises(InputError, match=reported):
            course.apply_time_limit(experiment)
    else:
        course.apply_time_limit(experiment)
        assert reported in experiment.notes[0] and experiment.notes[0] in capsys.readouterr().out
    assert names == [f"{name}-seed0-rows12" for name in ("tfidf", "distilbert", "bert")]
    assert experiment.rows == rows and parsed(experiment.part("bert", 0, experiment.rows)).rows == rows
