"""Engines: equal answers, graphs that follow the weights, and the agreement that is required of them."""

import dataclasses
import importlib.metadata
import json
import os

import numpy as np
import pytest
import tiny_predictors
from tiny_predictors import TASKS, TEXTS, figures, load

import halfbert
from halfbert.models import onnx_graph, weights
from halfbert.predictor import engines, gate, kept, manifest, proving
from halfbert.predictor.engines import onnx, onnx_int8
from halfbert.system import machine
from halfbert.system.errors import ArtefactError, InputError, ResourceError

# Equal answers.


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("kind", ["bert", "distilbert"])
@pytest.mark.parametrize(
    ("engine", "tolerance"),
    [("onnx", 1e-5), ("onnx-int8", 0.15), ("litert", 1e-5), ("litert-int8", 0.15), ("torch", 1e-5), ("ktrain", 1e-5)],
)
def test_every_engine_answers_as_keras(tensorflow_ready, engine, tolerance, kind, task, tmp_path):
    if not engines.installed(engine):
        pytest.skip(f"{engine} is not installed here")
    folder = tiny_predictors.copy(kind, task, tmp_path / "predictor")
    expected = load(folder, "keras").predict_proba(TEXTS)
    np.testing.assert_allclose(load(folder, engine).predict_proba(TEXTS), expected, atol=tolerance)
    assert expected.std(axis=0).max() > 0.05  # texts are told apart


def test_keras_answers_in_float32_at_the_end_of_a_mixed_run(tensorflow_ready, folder):
    import tensorflow as tf

    expected = load(folder, "keras").predict_proba(TEXTS)
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        found = load(folder, "keras").predict_proba(TEXTS)
        assert tf.keras.mixed_precision.global_policy().name == "mixed_bfloat16"
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_activations(tensorflow_ready, engine, folder):
    if not engines.installed(engine):
        pytest.skip(f"{engine} is not installed here")
    config = json.loads((folder / "config.json").read_text())
    for activation in (*onnx_graph.ACTIVATIONS, "mish"):
        (folder / "config.json").write_text(json.dumps({**config, "hidden_act": activation}))
        tiny_predictors.sign(folder)
        if activation != "mish":
            expected = load(folder, "keras").predict_proba(TEXTS)
            np.testing.assert_allclose(load(folder, engine).predict_proba(TEXTS), expected, atol=1e-5)
    with pytest.raises(InputError, match="'mish'.*keras"):
        load(folder, engine)


def test_the_ceilings_graph_is_one_product():
    a, b = (np.random.default_rng(0).standard_normal(shape, np.float32) for shape in ((3, 4), (4, 5)))
    (answer,) = onnx.open_session(onnx_graph.single_product(b), 1).run(None, {"x": a})
    np.testing.assert_allclose(answer, a @ b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bits", [8, 7])
def test_kernels_are_rounded_by_column(bits):
    kernel = np.random.default_rng(0).normal(0, 1, (50, 6)).astype(np.float32) * np.array([1, 10, 1e-3, 1, 1, 0], np.float32)
    rounded, steps = onnx_graph.rounded_by_column(kernel, bits)
    assert rounded.dtype == np.int8 and np.abs(rounded).max() == 2 ** (bits - 1) - 1
    assert (np.abs(rounded * steps - kernel) <= steps * 0.501).all()
    assert (rounded[:, 5] == 0).all() and np.isfinite(steps).all()


def run_product(kernel, x, **keywords):
    """What an int8 graph of one product answers."""
    made = onnx_graph._Graph(8, keywords.pop("unit_sizes", None))
    onnx_graph._products(made, "p", "x", [kernel], **keywords)
    made.nodes[-1].output[0] = "y"
    values = [
        onnx_graph.helper.make_tensor_value_info(name, onnx_graph.TensorProto.FLOAT, [None, None, units])
        for name, units in (("x", kernel.shape[0]), ("y", kernel.shape[1]))
    ]
    return onnx.open_session(onnx_graph._model(made, values[:1], values[1:]), 1).run(None, {"x": x[None]})[0][0]


@pytest.mark.parametrize("largest", [0.1, 1, 3, 30])
def test_activations_are_rounded_to_steps_that_reach_from_their_least(largest):
    x = np.linspace(-0.17, largest, 64, dtype=np.float32)[None]
    step = max(largest, onnx_graph.SMALLEST_ACTIVATION) / (255 - onnx_graph.ACTIVATION_ZERO)
    error = run_product(np.eye(64, dtype=np.float32), x, activated=True) - x
    assert np.abs(error).max() <= 0.51 * step


def test_an_outlying_unit_does_not_take_the_others_precision():
    generator = np.random.default_rng(0)
    kernel, x = (generator.normal(0, 1, shape).astype(np.float32) for shape in ((64, 32), (50, 64)))
    x[:, 5] *= 100
    kernel[5] /= 100
    plain, smoothed = (
        np.abs(run_product(kernel, x, unit_sizes=sizes) - x @ kernel).mean() for sizes in (None, {"p": np.abs(x).max(axis=0)})
    )
    assert smoothed < plain / 5


@pytest.mark.parametrize("sizes", [np.array([1, 100, 0, 1e-30]), np.zeros(4)])
def test_smoothing_scales_are_taken_out_again(sizes):
    kernel = np.array([[1, -2], [3e-3, 0], [0, 0], [1, 1]], np.float32)
    scales = onnx_graph.smoothing_scales(sizes.astype(np.float32), kernel)
    x = np.array([[1, 100, 0.5, 1]], np.float32)
    assert np.isfinite(scales).all() and (scales > 0).all()
    np.testing.assert_allclose((x / scales) @ (kernel * scales[:, None]), x @ kernel, rtol=1e-5)


def test_sizes_of_units_are_seen_of_every_smoothed_product(folder):
    read = weights.read(folder)
    sizes = onnx_graph.unit_sizes(read)
    assert set(sizes) == {f"layers.{p}" for p in ("0.query_key_value", "0.intermediate", "1.key_value", "1.intermediate")}
    hidden = read.weights["words"].shape[1]
    assert all(found.shape == (hidden,) and (found > 0).all() for found in sizes.values())


def test_what_is_computed_for_first_tokens_alone_stays_float32(folder):
    import onnx as onnx_format

    made = onnx_format.load_from_string(onnx_graph.write(weights.read(folder), 8))
    rounded = {one.name: one.data_type == onnx_graph.TensorProto.INT8 for one in made.graph.initializer if "kernel" in one.name}
    first = {name.split(".")[2] for name in rounded if name.startswith("layers.0.") and rounded[name]}
    last = {name.split(".")[2] for name in rounded if name.startswith("layers.1.") and rounded[name]}
    assert first == {"query_key_value", "attention_output", "intermediate", "output"}
    assert last == {"key_value"}


@pytest.mark.parametrize(
    ("processor", "extensions", "bits"),
    [("x86_64", ["avx2"], 7), ("AMD64", [], 7), ("x86_64", ["avx512_vnni"], 8), ("aarch64", [], 8), ("arm64", [], 8)],
)
def test_bits_that_the_processor_can_add_up(processor, extensions, bits, monkeypatch):
    monkeypatch.setattr(onnx_int8.platform, "machine", lambda: processor)
    monkeypatch.setattr(machine, "hardware", lambda: {"vector_extensions": extensions})
    assert onnx_int8.kernel_bits() == bits


def test_engines_are_the_modules_of_the_folder():
    variants = ["torch-bfloat16", "torch-compiled", "torch-compiled-float16", "torch-float16"]
    assert engines.names() == ["ktrain", "keras", "onnx", "onnx-int8", "litert", "litert-int8", *variants, "torch"]
    assert not {"torch-compiled"} & {*engines.provable(), *engines.timed()}, "compiled only where it is named"
    assert engines.timed() == ["ktrain", "keras", "onnx", "onnx-int8"]
    assert engines.fastest_first("cpu") == ["onnx-int8", "onnx", "keras", "torch"]
    assert engines.fastest_first("gpu") == ["keras", "torch", "onnx"]


ONE_MORE = """
from halfbert.predictor import engines
from halfbert.predictor.engines import onnx


def load(predictor, device, threads):
    return onnx.load(predictor, "cpu", threads, "one-more")


ENGINE = engines.Engine(("numpy",), "pip install numpy", {"cpu": 9, "gpu": 1}, load, lambda: "one more", least_equal=1.0)
"""


def test_one_module_adds_an_engine(folder, tmp_path, monkeypatch):
    """Listed, offered by the options, timed, refused until it is proven, and then chosen."""
    from halfbert.options.benchmark import known_engines

    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "one_more.py").write_text(ONE_MORE)
    monkeypatch.setattr(engines, "__path__", [*engines.__path__, str(tmp_path / "more")])
    assert "one-more" in engines.names() and "one-more" in engines.timed() and "one-more" in engines.provable()
    assert known_engines("keras,one-more") == ["keras", "one-more"]
    with pytest.raises(ArtefactError, match="engine one-more: never compared"):
        load(folder, "one-more", allow_disagreement=False)
    proving.prove(folder, TEXTS, reference=load(folder, "onnx").predict_proba(TEXTS))
    tiny_predictors.change_manifest(folder, speeds={})
    loaded = load(folder, "auto", allow_disagreement=False)
    assert loaded.engine == "one-more"
    assert halfbert.load(folder, "auto", "gpu").engine == "one-more", "keras, which is faster there, finds no GPU"
    assert loaded.predict(TEXTS) == load(folder, "onnx").predict(TEXTS)


# Graphs.


@pytest.mark.parametrize("bits", [None, 8])
def test_onnx_runtime_does_not_put_its_slow_operators_in(folder, bits, tmp_path, monkeypatch):
    import onnx as onnx_format
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "as_it_runs.onnx")
    monkeypatch.setattr(onnxruntime, "SessionOptions", lambda: options)
    onnx.open_session(onnx_graph.write(weights.read(folder), bits), 1)
    kinds = {node.op_type for node in onnx_format.load(tmp_path / "as_it_runs.onnx").graph.node}
    assert "LayerNormalization" in kinds and not {"SkipLayerNormalization", "MultiHeadAttention", "Attention"} & kinds


def add_to_bias(folder, value):
    import h5py

    with h5py.File(folder / weights.WEIGHTS, "a") as file:
        bias = file[f"classifier/{next(iter(file['classifier']))}/classifier/bias:0"]
        bias[0] += value
    tiny_predictors.sign(folder)


def watch(monkeypatch):
    made, write = [], onnx_graph.write
    monkeypatch.setattr(onnx_graph, "write", lambda *arguments: made.append(arguments[1]) or write(*arguments))
    return made


@pytest.mark.parametrize(("engine", "bits"), [("onnx", None), ("onnx-int8", onnx_int8.kernel_bits())])
def test_a_graph_is_made_once_and_again_when_the_weights_change(folder, engine, bits, monkeypatch):
    made = watch(monkeypatch)
    before = load(folder, engine).predict_proba(TEXTS)
    np.testing.assert_array_equal(load(folder, engine).predict_proba(TEXTS), before)
    assert made == [bits]
    assert {path.name for path in (folder / "engines").rglob("*") if path.is_file()} == {onnx.GRAPH, kept.NOTE}
    add_to_bias(folder, 5)
    after = load(folder, engine).predict_proba(TEXTS)
    assert made == [bits, bits]
    assert (after[:, 0] > before[:, 0]).all()
    monkeypatch.setattr(onnx_int8, "kernel_bits", lambda: 15 - (bits or 0))  # another processor
    load(folder, engine)
    assert made == ([None, None] if engine == "onnx" else [bits, bits, 15 - bits])


def test_a_graph_that_is_not_what_was_made_is_made_anew(folder, monkeypatch):
    before = load(folder).predict_proba(TEXTS)
    file, note = (folder / "engines" / "onnx" / name for name in (onnx.GRAPH, kept.NOTE))
    graph, of_another = file.read_bytes(), note.read_text().replace("float32", "float16")
    made = watch(monkeypatch)
    harms = [
        lambda: file.write_bytes(graph[:-10] + bytes(10)),
        lambda: os.truncate(file, 100),
        file.unlink,
        note.unlink,
        lambda: note.write_text("{"),
        lambda: note.write_text(of_another),
    ]
    for number, harm in enumerate(harms, start=1):
        harm()
        np.testing.assert_array_equal(load(folder).predict_proba(TEXTS), before)
        assert len(made) == number and file.read_bytes() == graph


def test_a_folder_that_cannot_be_written(folder):
    (folder / "engines").write_text("a file in the way")
    before = sorted(folder.rglob("*"))
    with pytest.warns(UserWarning, match="cannot be kept"):
        loaded = load(folder)
    np.testing.assert_allclose(loaded.predict_proba(TEXTS), load(folder, "keras").predict_proba(TEXTS), atol=1e-5)
    assert sorted(folder.rglob("*")) == before


# Agreement.


ROUNDING = np.array([[0.50001, 0.49999]]), np.array([[0.501, 0.499]])  # what depends on it, and what does not


@pytest.mark.parametrize(
    ("reference", "answers", "thresholds", "expected"),
    [
        ([[0.7, 0.2, 0.1], [0.1, 0.5, 0.4]], [[0.6, 0.3, 0.1], [0.1, 0.4, 0.5]], None, (0.5, 0.1)),
        ([[0.7, 0.3]], [[0.7, 0.3]], None, (1, 0)),
        # The second row loses its label, the third gets another one.
        ([[0.7, 0.2], [0.1, 0.55], [0.45, 0.3]], [[0.6, 0.3], [0.1, 0.45], [0.35, 0.45]], [0.4, 0.5], (1 / 3, 0.15)),
        *((ROUNDING[0], ROUNDING[0][:, ::-1], thresholds, (1, 2e-5)) for thresholds in (None, [0.5, 0.5])),
        *((ROUNDING[1], ROUNDING[1][:, ::-1], thresholds, (0, 2e-3)) for thresholds in (None, [0.5, 0.5])),
    ],
)
def test_compared_by_label_or_by_the_whole_set_of_labels(reference, answers, thresholds, expected):
    assert proving.compare(np.array(reference), np.array(answers), thresholds) == pytest.approx(expected)


@pytest.mark.parametrize("task", TASKS)
def test_figures_stand_in_the_manifest_and_are_believed(tensorflow_ready, task, tmp_path):
    folder = tiny_predictors.copy("distilbert", task, tmp_path / "predictor")
    tiny_predictors.change_manifest(folder, later={"of": "a later halfbert"})
    before = json.loads((folder / manifest.MANIFEST).read_text())
    found = proving.prove(folder, TEXTS, "a few texts", ("onnx",)).agreement
    after = json.loads((folder / manifest.MANIFEST).read_text())
    assert after.pop("speeds").keys() == {machine.processor()}
    assert after == {**before, "agreement": {"onnx": dataclasses.asdict(found["onnx"])}}
    assert manifest.read(folder).agreement == found
    assert found["onnx"].rows == len(TEXTS) and found["onnx"].texts == "a few texts"
    assert found["onnx"].equal_decisions == 1.0 and found["onnx"].largest_difference < 1e-5
    assert found["onnx"].versions.keys() == {"tensorflow", "tf_keras", "transformers", "onnxruntime"}
    assert not any(text in json.dumps(after) for text in TEXTS if len(text) > 5)
    assert load(folder, "onnx", allow_disagreement=False).predict(TEXTS) == load(folder, "keras").predict(TEXTS)
    answers = load(folder, "onnx-int8").predict_proba(TEXTS)
    more = proving.prove(folder, TEXTS, engine_names=("onnx-int8",), reference=answers, most_texts=4).agreement["onnx-int8"]
    assert manifest.read(folder).agreement == {**found, "onnx-int8": more}
    assert (more.rows, more.equal_decisions, more.largest_difference) == (4, 1.0, pytest.approx(0, abs=1e-6))
    with pytest.raises(InputError, match="no text"):
        proving.prove(folder, [])


def test_versions_are_of_whichever_distribution_has_the_module(tensorflow_ready, folder, monkeypatch):
    """As with only onnxruntime-gpu installed, which has the module onnxruntime."""
    version = importlib.metadata.version

    def only_gpu(name):
        if name == "onnxruntime":
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.99" if name == "onnxruntime-gpu" else version(name)

    monkeypatch.setattr(importlib.metadata, "version", only_gpu)
    monkeypatch.setattr(machine, "_distributions", lambda: {"onnxruntime": ["onnxruntime-gpu"]})
    found = proving.prove(folder, TEXTS, engine_names=("onnx", "onnx-int8")).agreement
    assert {figures.versions["onnxruntime"] for figures in found.values()} == {machine.versions()["onnxruntime"]} == {"1.99"}


def test_figures_hold_for_the_weights_and_the_recipe_they_were_measured_with(folder, monkeypatch):
    figures(folder, "onnx")
    load(folder, "onnx", allow_disagreement=False)
    with monkeypatch.context() as other:
        other.setattr(onnx, "VERSION", 0)
        with pytest.raises(ArtefactError, match="never compared"):
            load(folder, "onnx", allow_disagreement=False)
    add_to_bias(folder, 1)
    with pytest.raises(ArtefactError, match=f"never compared.*halfbert benchmark {folder} --prepare --engines onnx"):
        load(folder, "onnx", allow_disagreement=False)


def test_a_sabotaged_int8_graph_is_refused_with_the_figure(tensorflow_ready, folder, monkeypatch):
    rounded = onnx_graph.rounded_by_column
    monkeypatch.setattr(onnx_graph, "rounded_by_column", lambda kernel, bits: rounded(-kernel, bits))
    found = proving.prove(folder, TEXTS, engine_names=("onnx-int8",)).agreement["onnx-int8"]
    assert found.equal_decisions < 0.99
    with pytest.raises(ArtefactError) as caught:
        load(folder, "onnx-int8", allow_disagreement=False)
    said = str(caught.value)
    assert f"{found.equal_decisions:.2%} of {len(TEXTS)} decisions" in said and "99%" in said and "\n" not in said
    assert caught.value.exit_code == 3
    assert load(folder, "onnx-int8").predict("the old cat") in tiny_predictors.LABELS


@pytest.mark.parametrize(
    ("engine", "changes", "believed"),
    [
        ("onnx", {}, True),
        ("onnx", {"equal_decisions": 0.999}, False),
        ("onnx", {"largest_difference": 2e-4}, False),
        ("onnx-int8", {"equal_decisions": 0.99, "largest_difference": 0.3}, True),
        ("onnx-int8", {"equal_decisions": 0.989}, False),
        ("onnx-int8", {"equal_decisions": float("nan")}, False),
    ],
)
def test_how_much_agreement_is_required(folder, engine, changes, believed):
    predictor = figures(folder, engine, **changes)
    assert (gate.objection(predictor, engine) is None) == believed


def test_auto_takes_the_fastest_that_is_proven_and_there(folder, monkeypatch):
    assert gate.automatic(manifest.check(folder), "cpu")[0] == "keras"
    assert gate.automatic(figures(folder, "onnx"), "cpu")[0] == load(folder, "auto").engine == "onnx"
    both = figures(folder, "onnx-int8")
    assert gate.automatic(both, "auto")[0] == gate.automatic(both, "cpu")[0] == "onnx-int8"
    assert gate.automatic(both, "gpu")[0] == "keras"
    assert gate.automatic(figures(folder, "onnx-int8", equal_decisions=0.5), "cpu")[0] == "onnx"
    monkeypatch.setattr(engines, "installed", lambda engine: not engine.startswith("onnx"))
    assert gate.automatic(both, "cpu")[0] == "keras"


def test_without_tensorflow_the_reference_is_a_proven_float32_engine(folder, monkeypatch):
    missing = engines.missing
    monkeypatch.setattr(engines, "missing", lambda name: ["tensorflow"] if name == "keras" else missing(name))
    with pytest.raises(ResourceError, match="no engine to compare with: keras needs tensorflow"):
        proving.prove(folder, TEXTS, engine_names=["onnx-int8"])
    figures(folder, "onnx")
    found = proving.prove(folder, TEXTS, engine_names=["onnx-int8"]).agreement["onnx-int8"]
    assert (found.reference, found.rows) == ("onnx", len(TEXTS))
    assert "keras" not in gate.automatic(manifest.check(folder), "cpu")
