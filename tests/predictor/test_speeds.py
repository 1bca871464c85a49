"""Speeds: how engines are timed, where the figures hold, and that `auto` goes by them there and nowhere else."""

import dataclasses
import itertools
import json

import pytest
import tiny_predictors
from tiny_predictors import TEXTS, figures, load

from halfbert.predictor import engines, gate, manifest, proving, speeds
from halfbert.system import machine
from halfbert.system.errors import ArtefactError


class Pretender:
    """A classifier that takes so many seconds a call and a text, of a clock that only such calls move."""

    now = 0.0
    calls: list[tuple] = []

    def __init__(self, name, predictor, call, text):
        self.name, self.predictor, self.call, self.text = name, predictor, call, text

    def predict_proba(self, texts):
        many = 1 if isinstance(texts, str) else len(texts)
        Pretender.calls.append((self.name, many))
        Pretender.now += self.call + self.text * many


@pytest.fixture
def pretenders(folder, monkeypatch):
    """Makes them, by the engines' names, from the seconds of a call and of a text."""
    monkeypatch.setattr(speeds.time, "perf_counter", lambda: Pretender.now)
    monkeypatch.setattr(Pretender, "calls", [])
    predictor = manifest.check(folder)
    return lambda **seconds: {name: Pretender(name, predictor, *each) for name, each in seconds.items()}


def test_engines_are_timed_in_turn_in_batches_and_one_text_at_a_time(pretenders):
    found = speeds.measure(pretenders(keras=(0.01, 0.001), onnx=(0.0, 0.0005)), [str(number) for number in range(1000)])
    # 128 texts are what the slower one answers in half of CALL_SECONDS to all of it.
    assert found["keras"].texts_per_second == pytest.approx(128 / 0.138, rel=1e-3)
    assert (found["onnx"].texts_per_second, found["onnx"].single_seconds) == (2000, 0.0005)
    assert found["keras"].single_seconds == 0.011
    assert found["onnx"].versions == {"onnxruntime": machine.version_of("onnxruntime")}
    assert [name for name, _ in Pretender.calls] == ["keras", "onnx"] * (len(Pretender.calls) // 2)
    sizes = [size for size, _ in itertools.groupby(many for _, many in Pretender.calls)]
    assert sizes == [4, 8, 16, 32, 64, 128, 1] and Pretender.calls[-1] == ("onnx", 1)


@pytest.mark.parametrize(("texts", "most"), [(1000, 4), (1, 1)])
def test_slow_engines_are_not_timed_for_long(pretenders, texts, most):
    began = Pretender.now
    speeds.measure(pretenders(keras=(0.0, 0.5), onnx=(0.0, 0.2)), ["a text"] * texts)
    assert max(many for _, many in Pretender.calls) == most
    assert Pretender.now - began < 2 * 2 * (speeds.MOST_SECONDS + most * 0.5)


def measured(folder, processor, **changes):
    """Put speeds into a manifest: of each engine texts a second and milliseconds of one text."""
    predictor = manifest.check(folder)
    made = {
        name: manifest.EngineSpeed(rate, alone / 1000, gate.made_from(predictor, name), gate.versions(name))
        for name, (rate, alone) in changes.items()
    }
    manifest.add_speeds(folder, processor, made)
    return manifest.check(folder)


KERAS_FIRST = {"onnx": (100, 10), "keras": (200, 6)}


def test_auto_takes_the_fastest_where_that_was_measured(folder):
    figures(folder, "onnx")
    here, elsewhere = machine.processor(), machine.processor(machine.available_cpus() + 1)
    predictor = measured(folder, elsewhere, **KERAS_FIRST)
    assert gate.automatic(predictor, "cpu") == ["onnx", "keras"]
    assert gate.choice(predictor) == f"halfbert.load takes onnx, by rank: speeds were not measured with {here}"
    predictor = measured(folder, here, **KERAS_FIRST)
    assert gate.automatic(predictor, "cpu") == gate.automatic(predictor, "auto") == ["keras", "onnx"]
    assert gate.automatic(predictor, "cpu", machine.available_cpus() + 2) == ["onnx", "keras"], "with as many threads only"
    assert load(folder, "auto", threads=None, allow_disagreement=False).engine == "keras"
    assert gate.automatic(predictor, "gpu")[0] == "keras" and len(predictor.manifest.speeds) == 2
    rates, alone = "keras 200, onnx 100", "keras 6.0, onnx 10.0"
    said = f"halfbert.load takes keras, the fastest here: texts/s in batches: {rates}; ms for one text: {alone}"
    assert gate.choice(predictor) == said


def test_batches_and_single_texts_count_alike(folder):
    figures(folder, "onnx")
    assert gate.automatic(measured(folder, machine.processor(), onnx=(100, 10), keras=(200, 19)), "cpu")[0] == "keras"
    assert gate.automatic(measured(folder, machine.processor(), onnx=(100, 10), keras=(200, 21)), "cpu")[0] == "onnx"


def test_the_fastest_is_not_taken_if_it_decides_otherwise(folder):
    figures(folder, "onnx")
    figures(folder, "onnx-int8", equal_decisions=0.9)
    predictor = measured(folder, machine.processor(), **KERAS_FIRST, **{"onnx-int8": (900, 1)})
    assert gate.automatic(predictor, "cpu") == ["keras", "onnx"]


@pytest.mark.parametrize("change", ["another version", "another recipe", "one is missing", "none"])
def test_speeds_of_other_software_do_not_count(folder, change, monkeypatch):
    figures(folder, "onnx")
    figures(folder, "onnx-int8")
    of_all = {**KERAS_FIRST, "onnx-int8": (50, 20)}
    if change == "one is missing":
        del of_all["onnx-int8"]
    predictor = measured(folder, machine.processor(), **of_all)
    if change == "another version":
        monkeypatch.setattr(machine, "version_of", lambda package: "0.0")
    if change == "another recipe":
        changed = dataclasses.replace(engines.find("keras"), recipe=lambda: "keras 2, float32")
        monkeypatch.setattr(engines, "find", lambda name, find=engines.find: changed if name == "keras" else find(name))
    by_rank = ["onnx-int8", "onnx", "keras"]
    assert gate.automatic(predictor, "cpu") == (["keras", "onnx", "onnx-int8"] if change == "none" else by_rank)


def test_proving_times_what_may_answer_beside_the_figures_of_other_machines(tensorflow_ready, folder, monkeypatch):
    measured(folder, "8 threads of another one", **KERAS_FIRST)
    before = json.loads((folder / manifest.MANIFEST).read_text())["speeds"]
    timed = []
    measure = speeds.measure
    monkeypatch.setattr(speeds, "measure", lambda them, texts: timed.append((list(them), len(texts))) or measure(them, texts))
    found = proving.prove(folder, TEXTS, engine_names=["onnx"])
    assert timed == [(["onnx", "keras"], len(TEXTS))]
    after = json.loads((folder / manifest.MANIFEST).read_text())["speeds"]
    assert after == {**before, machine.processor(): after[machine.processor()]}
    assert found.choice == gate.choice(manifest.check(folder)) and "the fastest here" in found.choice
    proving.prove(folder, TEXTS, engine_names=["onnx-int8"], reference=load(folder, "onnx-int8").predict_proba(TEXTS))
    assert sorted(timed[1][0]) == ["keras", "onnx", "onnx-int8"]


def test_a_manifest_whose_speeds_are_none(folder):
    tiny_predictors.change_manifest(folder, speeds={machine.processor(): {"onnx": {"texts_per_second": "many"}}})
    with pytest.raises(ArtefactError, match="not a valid manifest"):
        manifest.check(folder)
