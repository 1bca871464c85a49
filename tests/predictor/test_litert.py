"""The engines litert and litert-int8: kept models, lengths that change, threads, and what is missing in one line."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_predictors
from tiny_predictors import TEXTS, load

from halfbert.predictor import engines, kept, proving
from halfbert.predictor.engines import litert
from halfbert.system.errors import ArtefactError, InputError, ResourceError


def watch(monkeypatch):
    from halfbert.models import litert_graph  # imports TensorFlow

    made, write = [], litert_graph.write
    monkeypatch.setattr(litert_graph, "write", lambda encoder, form, *_: made.append(form) or write(encoder, form))
    return made


def test_a_model_is_made_once_and_again_when_it_is_damaged(tensorflow_ready, folder, monkeypatch):
    made = watch(monkeypatch)
    before = load(folder, "litert").predict_proba(TEXTS)
    np.testing.assert_array_equal(load(folder, "litert").predict_proba(TEXTS), before)
    assert made == ["float32"]
    file = folder / "engines" / "litert" / litert.MODEL
    assert sorted(path.name for path in file.parent.iterdir()) == [kept.NOTE, litert.MODEL]
    file.write_bytes(file.read_bytes()[:-10])
    np.testing.assert_array_equal(load(folder, "litert").predict_proba(TEXTS), before)
    assert made == ["float32", "float32"]


def test_gelu_by_tanh_is_converted_and_others_are_refused(tensorflow_ready, folder):
    config = json.loads((folder / "config.json").read_text())
    for activation in ("gelu_new", "mish"):
        (folder / "config.json").write_text(json.dumps({**config, "hidden_act": activation}))
        tiny_predictors.sign(folder)
        if activation == "gelu_new":
            expected = load(folder, "keras").predict_proba(TEXTS)
            np.testing.assert_allclose(load(folder, "litert").predict_proba(TEXTS), expected, atol=1e-5)
    with pytest.raises(InputError, match="'mish'; LiteRT models support gelu, gelu_new"):
        load(folder, "litert")


def test_too_little_memory_to_convert_is_said_before(folder, monkeypatch):
    monkeypatch.setattr(litert.psutil, "virtual_memory", lambda: SimpleNamespace(available=1000))
    with pytest.raises(ResourceError, match="takes about .* GB of memory to make a LiteRT model of it, and 0.0 GB are free"):
        load(folder, "litert")
    assert not (folder / "engines" / "litert").exists()


def test_without_litert_tensorflow_answers_alike(tensorflow_ready, folder, monkeypatch):
    pytest.importorskip("ai_edge_litert")
    expected = load(folder, "litert").predict_proba(TEXTS)
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    find = litert.importlib.util.find_spec
    monkeypatch.setattr(litert.importlib.util, "find_spec", lambda name: None if name == litert.RUNTIME else find(name))
    monkeypatch.setattr(litert, "ENGINE", replace(litert.ENGINE, packages=(litert.runtime(),)))
    np.testing.assert_allclose(load(folder, "litert").predict_proba(TEXTS), expected, atol=1e-6)


@pytest.mark.parametrize("texts", [0, 1, 2, len(TEXTS)])
def test_threads_share_texts(tensorflow_ready, folder, monkeypatch, texts):
    opened, open_model = [], litert.open_model
    monkeypatch.setattr(litert, "open_model", lambda model, threads: opened.append(threads) or open_model(model, threads))
    monkeypatch.setattr(litert, "MOST_INTERPRETERS", 3)
    expected = load(folder, "litert", threads=1).predict_proba(TEXTS[:texts])
    classifier = load(folder, "litert", threads=7)
    for _ in range(2):
        np.testing.assert_allclose(classifier.predict_proba(TEXTS[:texts]), expected, atol=1e-6)
    assert opened == ([1, 7] if texts < 2 else [1, 7, 2, 2, 2])


def test_several_threads_may_ask(tensorflow_ready, folder):
    classifier = load(folder, "litert", threads=3)
    expected = classifier.predict_proba(TEXTS)
    others = [classifier.with_forward(classifier.loaded.forward) for _ in range(3)]
    with ThreadPoolExecutor(3) as threads:
        for found in threads.map(lambda other: other.predict_proba(TEXTS * 5), others):
            np.testing.assert_array_equal(found, np.tile(expected, (5, 1)))


def test_it_is_trusted_when_it_is_proven_and_never_chosen_unnamed(tensorflow_ready, folder):
    with pytest.raises(ArtefactError, match="engine litert: never compared with keras"):
        load(folder, "litert", allow_disagreement=False)
    found = proving.prove(folder, TEXTS, engine_names=["litert"]).agreement["litert"]
    assert found.equal_decisions == 1 and found.largest_difference < 1e-5
    assert load(folder, "litert", allow_disagreement=False).engine == "litert"
    assert "litert" not in {*engines.provable(), *engines.timed(), *engines.fastest_first("cpu")}


def test_what_is_missing_is_one_line(folder, monkeypatch):
    with pytest.raises(ResourceError, match="engine litert on a GPU: it runs on the CPU only"):
        load(folder, "litert", device="gpu")
    monkeypatch.setattr(litert.importlib.util, "find_spec", lambda name: None)
    line = r"engine litert: needs ai_edge_litert, not installed here \(pip install 'halfbert\[litert\]'\)"
    with pytest.raises(ResourceError, match=line):
        load(folder, "litert")
    monkeypatch.setattr(engines, "missing", lambda name: [])
    with pytest.raises(ResourceError, match=r"model.tflite: not made yet, and making it needs tensorflow \(pip install"):
        load(folder, "litert")
