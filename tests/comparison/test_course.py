"""The verdict on made-up results, the parts of a comparison and their identity, its time limit, its speeds."""

import json
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
from support import ROOT, TAGS, example_rows, tagged_rows, write_csv, write_tags

from halfbert.cli import command
from halfbert.comparison import course, judging, parts, speed, time_limit
from halfbert.comparison.jobs import Part, Work, sha256
from halfbert.comparison.record import Pairing
from halfbert.options import BenchmarkOptions, CompareOptions
from halfbert.output import record as records
from halfbert.scoring.intervals import Difference, McNemar
from halfbert.system import machine
from halfbert.system.errors import InputError, ResourceError

# ---------------------------------------------------------------------------------------------------------------------------
# Verdict


def difference(value, low, high, rows=1000, first=0.9):
    return Difference(first, first - value, value, low, high, 0.95, rows, 1, 2000)


WEAK = difference(-0.1, -0.12, -0.08, first=0.7)
GOOD = difference(-0.003, -0.01, 0.004)


@pytest.mark.parametrize(
    ("low", "high", "margin", "word"),
    [
        (-0.010, 0.004, 0.02, "good enough"),
        (0.010, 0.030, 0.0, "good enough"),
        (-0.050, -0.021, 0.02, "too weak"),
        (-0.030, -0.010, 0.02, "open"),
        (-0.020, 0.010, 0.02, "open"),  # the interval must lie entirely above, its end included
        (-0.050, -0.020, 0.02, "open"),
    ],
)
def test_judging_an_interval(low, high, margin, word):
    assert judging.judge(difference((low + high) / 2, low, high), margin) == word


@pytest.mark.parametrize(
    ("tfidf", "distilbert", "ship", "small", "judged", "rows"),
    [
        (WEAK, GOOD, "distilbert", "distilbert", ["too weak", "good enough"], None),
        (difference(0, -0.01, 0.01, first=0.8), GOOD, "tfidf", "tfidf", ["good enough", "good enough"], None),
        (WEAK, difference(-0.06, -0.08, -0.04, first=0.8), "bert", "distilbert", ["too weak", "too weak"], None),
        # The lower half of the interval, 0.02, must shrink to 0.01: four times the rows.
        (WEAK, difference(-0.01, -0.03, 0.01, rows=500), "bert", "distilbert", ["too weak", "open"], 2000),
    ],
)
def test_the_smallest_that_is_good_enough_ships_else_the_largest(tfidf, distilbert, ship, small, judged, rows):
    pairs = {"tfidf": tfidf, "distilbert": distilbert}
    found = judging.verdict([Pairing(n, "bert", d, {}, {}, McNemar(0, 0, 1.0), 1.0) for n, d in pairs.items()], "bert", 0.02)
    assert (found.ship, found.small, found.found, found.rows_to_tell) == (ship, small, found.judged[small], rows)
    assert list(found.judged.values()) == judged


@pytest.mark.parametrize(
    ("found", "margin", "rows"),
    [
        (difference(-0.03, -0.06, -0.015, rows=400), 0.02, 900),  # from below: 0.015 must shrink to 0.01
        (difference(-0.02, -0.03, 0.0), 0.02, None),
        (difference(-0.0201, -0.03, 0.0), 0.02, None),  # 40,000 times the rows
        (difference(0.0, 0.0, 0.0), 0.0, None),  # equal answers and no margin
    ],
)
def test_the_test_rows_that_would_decide(found, margin, rows):
    assert judging.rows_to_tell(found, margin) == rows


# ---------------------------------------------------------------------------------------------------------------------------
# Parts


def prepared(tmp_path, tiny_bert, tiny_distilbert, rows=60, **options):
    """A comparison of tiny checkpoints whose table is read."""
    table = write_csv(tmp_path / "things.csv", example_rows(rows))
    contestants = {"tfidf": None, "distilbert": str(tiny_distilbert), "bert": str(tiny_bert)}
    given = {"train": table, "output": tmp_path / "out", "work": tmp_path / "work", "contestants": contestants}
    return parts.read(CompareOptions(**given | options), parts.Notes())


@pytest.fixture
def identities(tmp_path, tiny_bert, tiny_distilbert):
    """The identities of the contestants' parts and of their speeds, with options."""

    def found(**options) -> dict[str, str]:
        experiment = prepared(tmp_path, tiny_bert, tiny_distilbert, **options)
        named = {name: experiment.part(name, 0, None).identity for name in ("tfidf", "distilbert", "bert")}
        timed = BenchmarkOptions(predictors=[tmp_path], engines=["onnx", "onnx-int8"], quick=True, texts="things.csv")
        return {**named, "speed": sha256(speed.networks_identity(timed, [named["bert"]]))}

    return found


def changed(one, other) -> set[str]:
    return {name for name in one if one[name] != other[name]}


def test_a_part_is_what_it_depends_on(identities, tiny_bert, tiny_distilbert, tmp_path):
    first, everything = identities(), {"tfidf", "distilbert", "bert", "speed"}
    assert len(set(first.values())) == 4 and identities() == first
    assert identities(price_per_hour=2, margin=0.1, seeds=2) == first  # what changes no fit
    assert changed(first, identities(epochs=7)) == everything - {"tfidf"}
    assert changed(first, identities(class_weights="balanced")) == everything
    assert changed(first, identities(split_seed=1)) == changed(first, identities(rows=63)) == everything
    other = shutil.copytree(tiny_bert, tmp_path / "other")
    (other / "tokenizer_config.json").write_text("{}")
    assert changed(first, identities(contestants=f"tfidf,distilbert={tiny_distilbert},bert={other}")) == {"bert", "speed"}


VERSION_OF = machine.version_of


def another(package):
    """`machine.version_of` with another version of a package installed."""
    return lambda name: "99" if name == package else VERSION_OF(name)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("halfbert.training.RECIPE_VERSION", 99, {"distilbert", "bert", "speed"}),
        ("halfbert.comparison.baseline.RECIPE_VERSION", 99, {"tfidf"}),
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


IDENTITY = """
import sys
from halfbert.comparison import parts
from halfbert.options import CompareOptions
experiment = parts.read(CompareOptions(train=sys.argv[1], contestants=f"tfidf,bert={sys.argv[2]}"), parts.Notes())
print(*(experiment.part(name, 0, None).identity for name in ("tfidf", "bert")))
"""


def test_editing_a_plot_changes_no_identity(tmp_path, tiny_bert, tiny_distilbert):
    here = prepared(tmp_path, tiny_bert, tiny_distilbert)
    copy = shutil.copytree(ROOT / "halfbert", tmp_path / "copy/halfbert", ignore=shutil.ignore_patterns("__pycache__"))
    for plots in copy.glob("*/*plots.py"):
        plots.write_text(plots.read_text() + "\nEDITED = True\n")
    arguments = [sys.executable, "-c", IDENTITY, str(tmp_path / "things.csv"), str(tiny_bert)]
    environment = {**os.environ, "PYTHONPATH": str(copy.parent)}
    done = subprocess.run(arguments, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split()[-2:] == [here.part(name, 0, None).identity for name in ("tfidf", "bert")]


def parsed(part):
    """What the command understands of a part's arguments."""
    assert part.command[:2] == ["-m", "halfbert"]
    verb = command.VERBS[part.command[2]]
    return verb.parse(part.command[3:])


def test_seeds_vary_and_the_split_stays(tmp_path, tiny_bert, tiny_distilbert):
    experiment = prepared(tmp_path, tiny_bert, tiny_distilbert, seed=5, drop_missing=True, class_weights="balanced")
    found = [parsed(experiment.part("bert", seed, None)) for seed in (5, 6)]
    assert [(one.seed, one.split_seed, one.checkpoint) for one in found] == [(5, 5, str(tiny_bert)), (6, 5, str(tiny_bert))]
    assert found[0].drop_missing and found[0].class_weights == "balanced"
    assert experiment.part("tfidf", 6, None).job["options"]["split_seed"] == 5


def test_the_student_begins_as_distilbert_does(tmp_path, tiny_bert, tiny_distilbert, monkeypatch):
    options = {"distill": True, "epochs": 4, "threads": 1, "class_weights": "balanced"}
    experiment = prepared(tmp_path, tiny_bert, tiny_distilbert, **options)
    assert experiment.contestants == ["tfidf", "student", "distilbert", "bert"]

    def taught_by(identity):
        bert = SimpleNamespace(predictor=tmp_path / "bert", part=SimpleNamespace(identity=identity))
        monkeypatch.setattr(experiment.work, "finish", lambda part: bert if part.name == "bert-seed3" else None)
        return experiment.part("student", 3, None)

    found = parsed(taught_by("a"))
    assert (found.teacher, found.model, found.checkpoint) == (str(tmp_path / "bert"), "distilbert", str(tiny_distilbert))
    assert (found.epochs, found.seed, found.split_seed, found.threads, found.no_control) == (4, 3, 0, 1, True)
    first = taught_by("a").identity
    assert first == taught_by("a").identity != taught_by("b").identity
    monkeypatch.setattr("halfbert.distillation.RECIPE_VERSION", 99)
    assert taught_by("a").identity != first


def test_a_student_of_another_vocabulary_is_refused_before_anything_is_fitted(tmp_path, tiny_bert, tiny_distilbert):
    other = shutil.copytree(tiny_distilbert, tmp_path / "other")
    words = (other / "vocab.txt").read_text().split("\n")
    (other / "vocab.txt").write_text("\n".join([*words[:-2], words[-2] + "x", ""]))
    prepared(tmp_path, tiny_bert, other)  # DistilBERT may have it
    with pytest.raises(InputError, match="its tokenizer is not that of the teacher bert"):
        prepared(tmp_path, tiny_bert, other, distill=True)


def test_a_multilabel_part_is_understood_by_its_verb(tmp_path, tiny_bert, tiny_distilbert):
    table = write_tags(tmp_path / "tags.csv", tagged_rows(60))
    options = {"task": "multilabel", "train": table, "threshold": "gmean", "balance": True}
    experiment = prepared(tmp_path, tiny_bert, tiny_distilbert, **options)
    part = experiment.part("distilbert", 0, 40)
    found = parsed(part)
    assert part.command[2] == "train-multilabel" and part.name == "distilbert-seed0-rows40"
    assert (found.threshold, found.balance, found.label_columns, found.rows) == ("gmean", True, ["ALL"], 40)
    assert {"threshold": "gmean", "balance": True}.items() <= experiment.part("tfidf", 0, None).job["options"].items()
    assert experiment.truth.shape == (len(experiment.data.test), len(TAGS))


# A part that leaves the answers of two rows, and a line in a file each time that it is run.
FAKE = """
import json, sys
from pathlib import Path
import numpy as np
from halfbert.output import record as records; from halfbert.system import storage
job = json.load(sys.stdin)
folder = Path(job["results"]); folder.mkdir(parents=True, exist_ok=True)
records.write_answers(np.eye(2), [2, 3], folder)
storage.write_json(job["record"], folder / "record.json")
open(job["log"], "a").write("run\\n")
"""


def test_a_part_is_run_once_and_again_if_it_is_damaged_or_differs(tmp_path):
    log, published = tmp_path / "log", ROOT / "results/published/multiclass/messages-bert/record.json"
    record_of_a_run = json.loads(published.read_text(encoding="utf-8"))

    def runs() -> int:
        return len(log.read_text().splitlines())

    work, job = Work(tmp_path / "work"), {"log": str(log), "record": record_of_a_run}
    part = Part("fake-seed0", ["-c", FAKE], {"x": 1}, job)
    finished = work.finish(part)
    assert finished.numbers.tolist() == [2, 3] and finished.probabilities.tolist() == [[1, 0], [0, 1]] and runs() == 1
    assert work.finish(part).record == finished.record and runs() == 1
    (finished.results / records.ANSWERS).write_bytes(b"half of a file")
    work.finish(part)
    assert runs() == 2
    assert work.finish(Part("fake-seed0", ["-c", FAKE], {"x": 2}, job)).results != finished.results and runs() == 3
    (finished.results / "record.json").write_text(json.dumps({**record_of_a_run, "stopped": "SIGTERM"}))
    work.finish(part)  # one that was stopped is no result
    assert runs() == 4


# ---------------------------------------------------------------------------------------------------------------------------
# Before and after the fits


def test_what_would_fail_after_every_fit_is_refused_before(monkeypatch):
    options = CompareOptions()
    options.margin = 5
    with pytest.raises(InputError, match="--margin 5: is not a share"):
        course.check(options)
    monkeypatch.setitem(course.NEEDED, "no_such_module", "a-package")
    with pytest.raises(ResourceError, match="a comparison needs a-package: pip install"):
        course.check(CompareOptions())


def test_a_failing_measurement_leaves_a_note(tmp_path, tiny_bert, tiny_distilbert, monkeypatch):
    experiment = prepared(tmp_path, tiny_bert, tiny_distilbert)
    part = SimpleNamespace(identity="x", label="bert-seed0-x", job=None)
    fit = SimpleNamespace(part=part, predictor=tmp_path / "missing", results=tmp_path)
    tfidf = SimpleNamespace(part=SimpleNamespace(identity="y", label="tfidf-y", job={}), results=tmp_path / "missing")
    assert speed.measure(experiment, {"tfidf": tfidf, "bert": fit}, None) == {"tfidf": [], "bert": []}
    assert len(experiment.notes) == 2 and all("not measured (" in note for note in experiment.notes)


def pilot(seconds, fit_seconds, steady=None):
    timing = SimpleNamespace(steady_rows_per_second=steady, fit_seconds=fit_seconds, evaluate_seconds=2.0)
    data = SimpleNamespace(rows=SimpleNamespace(train=100, test=50))
    return SimpleNamespace(record=SimpleNamespace(timing=timing, data=data, epochs=[{}, {}]), seconds=seconds)


def test_the_cost_of_a_row():
    record = pilot(30.0, 20.0).record
    assert time_limit.cost(record, 30.0, 50) == (10.0, 0.2)  # no steady rate: all of the fit grows with the rows
    assert time_limit.cost(record, 30.0, 100) == (12.0, 0.2)  # 50 more test rows at 0.04 s
    assert time_limit.cost(pilot(30.0, 20.0, steady=40.0).record, 30.0, 50) == (25.0, 0.05)  # two epochs at 40 rows a second


@pytest.fixture
def limited(tmp_path, tiny_bert, tiny_distilbert, monkeypatch):
    """A comparison with a time limit whose short runs each took so many seconds, 10 of 12 unless given."""

    def apply(minutes, seconds=12.0, fit_seconds=10.0, **options):
        monkeypatch.setattr(time_limit, "PILOT_ROWS", 12)
        monkeypatch.setattr(time_limit, "SPEED_SECONDS", 0)
        experiment = prepared(tmp_path, tiny_bert, tiny_distilbert, rows=120, time_limit=minutes, **options)
        names = []
        monkeypatch.setattr(experiment.work, "finish", lambda part: names.append(part.name) or pilot(seconds, fit_seconds))
        time_limit.apply(experiment)
        assert names == [f"{name}-seed0-rows12" for name in ("tfidf", "distilbert", "bert")]
        return experiment

    return apply


def test_a_time_limit_takes_the_rows_that_fit(limited, capsys):
    """3 pilots of 12 s; then 0.1 s a row and 2 s (less for few test rows) each. One minute, of it 90 % to be used."""
    experiment = limited(1)
    fixed = 36 + 3 * (2 + (12 - 50) * 0.04)
    assert experiment.rows == int((54 - fixed) / 0.3) < len(experiment.data.train) == 96
    assert f"training on {experiment.rows} of 96 training rows" in capsys.readouterr().out and len(experiment.notes) == 1
    assert parsed(experiment.part("bert", 0, experiment.rows)).rows == experiment.rows


@pytest.mark.parametrize("times", [{}, {"seconds": 0.0, "fit_seconds": 0.0}])  # what took no time costs nothing a row
def test_a_time_limit_that_all_rows_fit_into(limited, times):
    experiment = limited(10, **times)
    assert experiment.rows is None and "all 96" in experiment.notes[0]


def test_a_time_limit_that_nothing_fits_into(limited):
    with pytest.raises(InputError, match=r"--time-limit 0.5: the fits would take about \d+ minutes even on 12 rows"):
        limited(0.5, seeds=3, learning_curve=True)
