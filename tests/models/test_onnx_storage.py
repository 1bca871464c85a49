"""Graphs in fewer bits compute what the rounded weights say, whatever the bits, and words that are never used cost nothing."""

import dataclasses

import numpy as np
import pytest
from tiny_predictors import copy

from halfbert.models import onnx_graph, onnx_storage, weights
from halfbert.predictor.engines.onnx import forward_of, open_session

IDS = np.array([[2, 5, 9, 14, 3], [2, 7, 3, 0, 0]], np.int32)
MASK = (IDS > 0).astype(np.int32)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return weights.read(copy("distilbert", "multiclass", tmp_path_factory.mktemp("tiny") / "tiny"))


@pytest.fixture(autouse=True)
def store_small_tensors(monkeypatch):
    monkeypatch.setattr(onnx_storage, "FEWEST_VALUES", 64)


def logits(graph):
    return forward_of(open_session(graph, 1))(IDS, MASK)


def decoded(values, bits):
    codes, steps = onnx_storage.coded(values, bits)
    return (codes - (2**bits - 1) / 2) * steps.astype(np.float16)


def with_rounded_words(encoder, words):
    return dataclasses.replace(encoder, weights={**encoder.weights, "words": words.astype(np.float32)})


@pytest.mark.parametrize("other_bits", [2, 4, 8])
def test_words_are_what_their_bits_say(encoder, other_bits, monkeypatch):
    monkeypatch.setattr(onnx_storage, "_kernel", whole)  # kernels are another test's
    words = encoder.weights["words"]
    bits = np.full(len(words), other_bits, np.uint8)
    bits[[2, 3, 9]], bits[1] = 8, 0  # no text has the word 1
    expected = np.where((bits == 8)[:, None], decoded(words, 8), decoded(words, other_bits))
    found = logits(onnx_storage.in_8_bits(onnx_graph.write(encoder), bits))
    assert np.allclose(found, logits(onnx_graph.write(with_rounded_words(encoder, expected))), atol=1e-5)


def whole(name, values):
    parts = onnx_storage._Parts(name)
    parts.node("Identity", parts.constant("whole", values), output=name)
    return parts


def test_kernels_are_rounded_by_output_unit_and_the_head_not_at_all(encoder):
    def rounded(name, value):
        if name in ("words", "positions") or value.ndim != 2 or name.startswith("classifier"):
            return value
        return np.multiply(*onnx_graph.rounded_by_column(value, 8))

    words = decoded(encoder.weights["words"], 8)
    expected = {name: rounded(name, value) for name, value in encoder.weights.items()}
    expected["positions"] = np.multiply(*onnx_graph.rounded_by_column(encoder.weights["positions"], 8))
    expected = with_rounded_words(dataclasses.replace(encoder, weights=expected), words)
    found = logits(onnx_storage.in_8_bits(onnx_graph.write(encoder)))
    assert np.allclose(found, logits(onnx_graph.write(expected)), atol=1e-5)


def test_fewer_bits_take_fewer_bytes(encoder):
    wide = with_rounded_words(encoder, np.random.default_rng(0).normal(size=(4000, encoder.weights["words"].shape[1])))
    graph = onnx_graph.write(wide)

    def size(bits):
        of_words = np.full(4000, bits, np.uint8)
        of_words[:100], of_words[3000:] = 8, 0
        return len(onnx_storage.in_8_bits(graph, of_words))

    units = encoder.weights["words"].shape[1]
    assert size(4) - size(2) == pytest.approx(2900 * units / 4, rel=0.02)
    assert len(onnx_storage.in_8_bits(graph)) < len(graph) / 3


@pytest.mark.parametrize("bits, error", [(2, 0.1188), (4, 0.01154)])
def test_rounding_loses_little_more_than_the_best_uniform_steps(bits, error):
    """The errors are those of a normal distribution (Max 1960, "Quantizing for Minimum Distortion", table II)."""
    values = np.random.default_rng(0).normal(size=(200, 384)) * np.geomspace(1e-3, 1e3, 200)[:, None]
    codes, steps = onnx_storage.coded(values, bits)
    lost = ((codes - (2**bits - 1) / 2) * steps - values) ** 2
    assert np.mean(lost.sum(axis=1) / (values**2).sum(axis=1)) == pytest.approx(error, rel=0.05)


def test_rows_of_zeros_stay_finite():
    codes, steps = onnx_storage.coded(np.zeros((2, 8)), 2)
    assert np.isfinite(steps).all() and not ((codes - 1.5) * steps).any()
