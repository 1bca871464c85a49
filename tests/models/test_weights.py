"""Weights read out of a predictor without TensorFlow, and their export in Hugging Face's layout."""

import h5py
import numpy as np
import pytest
import tiny_predictors
from support import HEADS, LABELS, LAYERS, WIDTH, change_config

from halfbert.models import weights
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
    from halfbert.models import keras_forward

    read, network = weights.read(folder), keras_forward.describe(keras_model(folder))
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
    assert weights.read(tiny_predictors.make(kind, "multiclass", tmp_path / "deep", layers=3)).layers == 3


def test_export_is_what_transformers_reads(tensorflow_ready, folder, kind, tmp_path):
    import safetensors.numpy
    import transformers

    weights.export_safetensors(weights.read(folder), tmp_path / "export")
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


def refused(folder, *fragments):
    with pytest.raises(ArtefactError) as caught:
        weights.read(folder)
    assert all(part in str(caught.value) for part in fragments), caught.value
    assert "\n" not in str(caught.value)


def replace(folder, kind, make):
    """Put what `make(group, name, values)` creates in the place of a query kernel."""
    with h5py.File(folder / weights.WEIGHTS, "a") as file:
        group, _, name = QUERY[kind].format(next(iter(file[kind]))).rpartition("/")
        values = file[group][name][()]
        del file[group][name]
        make(file[group], name, values)


SECRET = [("secret", 0, 4 * WIDTH * WIDTH)]
VIRTUAL = h5py.VirtualLayout((WIDTH, WIDTH), np.float32)
VIRTUAL[:] = h5py.VirtualSource("other.h5", "x", (WIDTH, WIDTH))


def instead(change, **options):
    return lambda group, name, values: group.create_dataset(name, data=change(values), **options)


@pytest.mark.parametrize(
    ("put", "message"),
    [
        (lambda group, name, values: None, "kernel:0 is missing"),
        (instead(lambda values: np.where(values == values[3, 4], np.nan, values).astype(np.float32)), "NaN or"),
        (instead(lambda values: values * np.float32("inf")), "NaN or infinite"),
        (instead(lambda values: values[:-1]), "(31, 32) float32"),
        (instead(lambda values: values.astype(np.float64)), "(32, 32) float64"),
        (instead(lambda values: np.float32(1)), "() float32"),
        (lambda group, name, values: group.create_group(name), "a group"),
        (lambda group, name, values: group.create_virtual_dataset(name, VIRTUAL), "not stored as plain values"),
        (instead(lambda values: 0 * values, chunks=(WIDTH, WIDTH), compression="gzip"), "not stored as plain values"),
        (
            lambda group, name, values: group.create_dataset(name, data=None, shape=values.shape, dtype="f4", external=SECRET),
            "not stored as plain values",
        ),
    ],
)
def test_a_tensor_that_is_not_plain_float32_of_its_shape(folder, kind, put, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_bytes(bytes(4 * WIDTH * WIDTH))
    replace(folder, kind, put)
    refused(folder, weights.WEIGHTS, "kernel", message)


@pytest.mark.parametrize("link", [h5py.ExternalLink("other.h5", "/x"), h5py.SoftLink("/elsewhere")])
def test_links_are_not_followed(folder, kind, link):
    with h5py.File(folder / "other.h5", "w") as file:
        file["x"] = np.zeros((WIDTH, WIDTH), np.float32)

    def put(group, name, values):
        group.file["elsewhere"] = values
        group[name] = link

    replace(folder, kind, put)
    refused(folder, "kernel:0 is a link")


def test_a_config_of_absurd_size_reads_nothing(folder, monkeypatch):
    change_config(folder, vocab_size=10**12)
    monkeypatch.setattr(h5py, "File", lambda *_: pytest.fail("opened"))
    refused(folder, "smaller than the weights")


@pytest.mark.parametrize(
    ("bert", "distilbert", "message"),
    [
        ({"num_hidden_layers": 1}, {"n_layers": 1}, "2 layers; config.json has 1"),
        ({"num_attention_heads": 5}, {"n_heads": 5}, "cannot be divided among 5 heads"),
        ({"id2label": {"0": "animal", "1": "food"}}, None, "classifier.kernel is (32, 3)"),
        ({"id2label": None}, None, "names no labels"),
        ({"model_type": "roberta"}, None, "not the configuration of a BERT or DistilBERT"),
        ({"position_embedding_type": "relative_key"}, None, "relative_key"),
        *(({"num_attention_heads": value}, {"n_heads": value}, repr(value)) for value in (0, -4, 2.5, "4", None, True)),
    ],
)
def test_a_config_that_does_not_fit_the_weights(folder, kind, bert, distilbert, message):
    change_config(folder, **(bert if kind == "bert" or distilbert is None else distilbert))
    refused(folder, message)


def test_files_that_are_missing_or_damaged(folder):
    file = folder / weights.WEIGHTS
    content = file.read_bytes()
    for kept in (0, 100, 5000, -4000):
        file.write_bytes(content[:kept])
        refused(folder, weights.WEIGHTS)
    file.unlink()
    refused(folder, weights.WEIGHTS)
    for config in (b"", b"{", b"[1]", b"\xff\xfe"):
        (folder / "config.json").write_bytes(config)
        refused(folder, "config.json")
