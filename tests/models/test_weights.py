"""Weights read out of a predictor without TensorFlow, and their export in Hugging Face's layout."""

import json

import h5py
import numpy as np
import pytest
import tiny_predictors
from support import HEADS, LABELS, LAYERS, WIDTH

from halfbert.models import weights as encoder
from halfbert.system.errors import ArtefactError

QUERY = {
    "bert": "bert/{}/bert/encoder/layer_._1/attention/self/query/kernel:0",
    "distilbert": "distilbert/{}/distilbert/transformer/layer_._1/attention/q_lin/kernel:0",
}


@pytest.fixture(params=["bert", "distilbert"])
def kind(request):
    return request.param


@pytest.fixture
def folder(kind, tmp_path):
    return tiny_predictors.copy(kind, "multiclass", tmp_path / "predictor")


def keras_model(folder):
    import transformers

    return transformers.TFAutoModelForSequenceClassification.from_pretrained(folder)


def equal(parameters, variables):
    for value, variable in zip(parameters, variables, strict=True):
        np.testing.assert_array_equal(value, np.asarray(variable))


def test_weights_are_those_of_the_keras_model(tensorflow_ready, folder, kind):
    from halfbert.models import keras_forward as training_graph

    read, network = encoder.read(folder), training_graph.describe(keras_model(folder))
    assert (read.kind, read.layers, read.heads, read.activation) == (kind, LAYERS, HEADS, "gelu")
    assert read.epsilon == network.epsilon
    np.testing.assert_array_equal(read.weights["words"], network.words)
    token_types = 0 if network.token_types is None else network.token_types[0]
    np.testing.assert_array_equal(read.embedded_positions, network.positions + token_types)
    equal(read.part("embedding_norm"), network.embedding_norm)
    equal(read.part("pooler"), network.pooler)
    equal(read.part("classifier"), network.classifier)
    for number, layer in enumerate(network.layers):
        for name, variables in vars(layer).items():
            equal(read.part(f"layers.{number}.{name}"), variables)
    known = 2 + (kind == "bert") + 2 * (3 + 8 * LAYERS)
    assert len(read.weights) == known
    assert all(value.dtype == np.float32 for value in read.weights.values())


def test_any_depth(tensorflow_ready, kind, tmp_path):
    assert encoder.read(tiny_predictors.make(kind, "multiclass", tmp_path / "deep", layers=3)).layers == 3


def test_export_is_what_transformers_reads(tensorflow_ready, folder, kind, tmp_path):
    import safetensors.numpy
    import transformers

    encoder.export_safetensors(encoder.read(folder), tmp_path / "export")
    tensors = safetensors.numpy.load_file(tmp_path / "export" / "model.safetensors")
    first = {"bert": "bert.encoder.layer.0.intermediate.dense", "distilbert": "distilbert.transformer.layer.0.ffn.lin1"}[kind]
    assert tensors[f"{first}.weight"].shape == (2 * WIDTH, WIDTH) and tensors[f"{first}.bias"].shape == (2 * WIDTH,)
    assert tensors["classifier.weight"].shape == (len(LABELS), WIDTH)
    tokens = np.array([[2, 5, 6, 3]])
    exported = keras_model(tmp_path / "export")
    np.testing.assert_array_equal(exported(tokens).logits, keras_model(folder)(tokens).logits)
    assert exported.config.id2label == dict(enumerate(LABELS))
    tokenizer, ours = (transformers.AutoTokenizer.from_pretrained(place) for place in (tmp_path / "export", folder))
    assert tokenizer("the old cat")["input_ids"] == ours("the old cat")["input_ids"]


# Weights that are not to be believed.


def tensor_path(folder, kind):
    with h5py.File(folder / encoder.WEIGHTS) as file:
        return QUERY[kind].format(next(iter(file[kind])))


def refused(folder, *said):
    with pytest.raises(ArtefactError) as caught:
        encoder.read(folder)
    assert all(part in str(caught.value) for part in said), caught.value
    assert "\n" not in str(caught.value)


def replace(folder, kind, make):
    """Put what `make(group, name)` creates in the place of a query kernel."""
    path = tensor_path(folder, kind)
    with h5py.File(folder / encoder.WEIGHTS, "a") as file:
        group, name = file[path].parent, path.rsplit("/", 1)[1]
        values = group[name][()]
        del group[name]
        make(group, name, values)


def test_a_missing_tensor(folder, kind):
    replace(folder, kind, lambda group, name, values: None)
    refused(folder, "kernel:0 is missing", encoder.WEIGHTS)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_tensor_that_is_not_finite(folder, kind, bad):
    def spoil(group, name, values):
        values[3, 4] = bad
        group[name] = values

    replace(folder, kind, spoil)
    refused(folder, "layers.1.query.kernel", "NaN or infinite")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda values: values[:-1], "(31, 32) float32"),
        (lambda values: values.astype(np.float64), "(32, 32) float64"),
        (lambda values: np.float32(1), "() float32"),
    ],
)
def test_a_tensor_of_another_shape_or_type(folder, kind, change, said):
    replace(folder, kind, lambda group, name, values: group.create_dataset(name, data=change(values)))
    refused(folder, "layers.1.query.kernel", said)


def test_a_group_in_the_place_of_a_tensor(folder, kind):
    replace(folder, kind, lambda group, name, values: group.create_group(name))
    refused(folder, "layers.1.query.kernel", "a group")


@pytest.mark.parametrize("link", [h5py.ExternalLink("other.h5", "/x"), h5py.SoftLink("/elsewhere")])
def test_links_are_not_followed(folder, kind, link):
    with h5py.File(folder / "other.h5", "w") as file:
        file["x"] = np.zeros((WIDTH, WIDTH), np.float32)

    def put(group, name, values):
        group.file["elsewhere"] = values
        group[name] = link

    replace(folder, kind, put)
    refused(folder, "kernel:0 is a link")


def test_values_that_lie_outside_the_file(folder, kind, tmp_path):
    (tmp_path / "secret").write_bytes(bytes(4 * WIDTH * WIDTH))
    outside = [(str(tmp_path / "secret"), 0, 4 * WIDTH * WIDTH)]
    replace(folder, kind, lambda group, name, _: group.create_dataset(name, (WIDTH, WIDTH), np.float32, external=outside))
    refused(folder, "layers.1.query.kernel", "not stored as plain values")


def test_a_virtual_tensor(folder, kind):
    layout = h5py.VirtualLayout((WIDTH, WIDTH), np.float32)
    layout[:] = h5py.VirtualSource("other.h5", "x", (WIDTH, WIDTH))
    replace(folder, kind, lambda group, name, _: group.create_virtual_dataset(name, layout))
    refused(folder, "layers.1.query.kernel", "not stored as plain values")


def test_a_tensor_that_unpacks_to_more_than_the_file_holds(folder, kind):
    packed = {"chunks": (WIDTH, WIDTH), "compression": "gzip"}
    replace(folder, kind, lambda group, name, _: group.create_dataset(name, data=np.zeros((WIDTH, WIDTH), "f4"), **packed))
    refused(folder, "layers.1.query.kernel", "not stored as plain values")


def change_config(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def test_a_config_of_absurd_size_reads_nothing(folder, monkeypatch):
    change_config(folder, vocab_size=10**12)
    monkeypatch.setattr(h5py, "File", lambda *_: pytest.fail("opened"))
    refused(folder, "smaller than the weights")


def test_layers_that_the_config_does_not_know(folder, kind):
    change_config(folder, **{"num_hidden_layers" if kind == "bert" else "n_layers": 1})
    refused(folder, "2 layers; config.json has 1")


def test_a_head_for_other_labels(folder):
    change_config(folder, id2label={"0": "animal", "1": "food"})
    refused(folder, "classifier.kernel is (32, 3)", "(32, 2)")


@pytest.mark.parametrize("value", [0, -4, 2.5, "4", None, True])
def test_sizes_that_are_none(folder, kind, value):
    change_config(folder, **{"num_attention_heads" if kind == "bert" else "n_heads": value})
    refused(folder, "config.json", repr(value))


def test_heads_that_do_not_divide_the_units(folder, kind):
    change_config(folder, **{"num_attention_heads" if kind == "bert" else "n_heads": 5})
    refused(folder, "cannot be divided among 5 heads")


def test_another_architecture(folder):
    change_config(folder, model_type="roberta")
    refused(folder, "not the configuration of a BERT or DistilBERT")


def test_positions_that_are_not_absolute(folder):
    change_config(folder, position_embedding_type="relative_key")
    refused(folder, "relative_key")


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe"])
def test_a_config_that_is_none(folder, content):
    (folder / "config.json").write_bytes(content)
    refused(folder, "config.json")


@pytest.mark.parametrize("bytes_kept", [0, 100, 5000, -4000])
def test_a_truncated_file(folder, bytes_kept):
    file = folder / encoder.WEIGHTS
    file.write_bytes(file.read_bytes()[:bytes_kept])
    refused(folder, encoder.WEIGHTS)


def test_no_file(folder):
    (folder / encoder.WEIGHTS).unlink()
    refused(folder, encoder.WEIGHTS)
