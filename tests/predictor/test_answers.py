"""Keras' kept answers as the reference where TensorFlow is absent, and the variants of the engine torch held against Keras."""

import numpy as np
import pytest
import tiny_predictors
from tiny_predictors import TEXTS, load

from halfbert.predictor import answers, engines, manifest, proving
from halfbert.system.errors import ResourceError

pytestmark = pytest.mark.usefixtures("tensorflow_ready")


@pytest.fixture
def folder(tmp_path):
    return tiny_predictors.copy("distilbert", "multilabel", tmp_path / "predictor")


def without_keras(monkeypatch):
    installed = engines.installed
    monkeypatch.setattr(engines, "installed", lambda name: name != "keras" and installed(name))


def test_engines_are_proven_by_kept_answers(folder, monkeypatch):
    by_keras = proving.prove(folder, TEXTS, engine_names=["onnx"]).agreement["onnx"]
    assert b"cat" not in (folder / answers.FILE).read_bytes(), "no text is kept"
    without_keras(monkeypatch)
    tiny_predictors.change_manifest(folder, agreement={})
    kept = proving.prove(folder, TEXTS, engine_names=["onnx"]).agreement["onnx"]
    assert (kept.reference, kept.rows, kept.largest_difference) == ("keras", len(TEXTS), by_keras.largest_difference)
    tiny_predictors.change_manifest(folder, agreement={})
    with pytest.raises(ResourceError, match="no engine to compare with"):  # other texts than were answered
        proving.prove(folder, TEXTS[1:], engine_names=["onnx"])


@pytest.mark.parametrize("spoilt", ["weights", "maxlen", "damaged", "missing"])
def test_answers_of_something_else_are_no_reference(folder, spoilt):
    predictor = manifest.check(folder)
    answers.write(predictor, TEXTS, np.ones((len(TEXTS), 3)))
    assert answers.read(predictor, TEXTS).shape == (len(TEXTS), 3)
    if spoilt == "weights":
        with open(folder / "tf_model.h5", "ab") as stream:
            stream.write(b"x")
        tiny_predictors.sign(folder)
    elif spoilt == "maxlen":
        tiny_predictors.change_manifest(folder, maxlen=7)
    elif spoilt == "damaged":
        (folder / answers.FILE).write_bytes(b"PK")
    else:
        (folder / answers.FILE).unlink()
    assert answers.read(manifest.check(folder), TEXTS) is None


@pytest.mark.parametrize(("engine", "tolerance"), [("torch-float16", 0.03), ("torch-bfloat16", 0.1), ("torch-compiled", 1e-5)])
def test_variants_of_torch_answer_as_keras(folder, engine, tolerance):
    if not engines.installed(engine):
        pytest.skip("PyTorch is not installed here")
    expected = load(folder, "keras").predict_proba(TEXTS)
    found = load(folder, engine).predict_proba(TEXTS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=tolerance)


def test_a_compiler_that_fails_is_one_line(folder, monkeypatch):
    torch = pytest.importorskip("torch")

    def compiler(*_, **__):
        def fail(*_):
            raise RuntimeError("no g++\nand more")

        return fail

    monkeypatch.setattr(torch, "compile", compiler)
    with pytest.raises(ResourceError, match=r"torch.compile fails here \(no g\+\+\); it needs a C\+\+ compiler"):
        load(folder, "torch-compiled")
