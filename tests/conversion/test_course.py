"""Old predictors become new ones that answer alike; what cannot is refused, and nothing is written."""

import json
import os
import shutil

import h5py
import numpy as np
import old_predictors
import pytest
from old_predictors import PICKLE, TEXTS
from support import HEADS, LABELS, VOCABULARY, WIDTH, change_config, write_csv

import halfbert
from halfbert.models import weights
from halfbert.predictor import proving
from halfbert.system.storage import sha256

WEIGHTS = "tf_model.h5"


@pytest.fixture
def convert(tmp_path, monkeypatch):
    """Convert a folder into tmp_path/new, proven on TEXTS; engines are compared, not timed."""
    monkeypatch.setattr(proving, "_time_engines", lambda *_: "")
    texts = write_csv(tmp_path / "texts.csv", [(text,) for text in TEXTS], ("text",))
    return lambda folder, **options: halfbert.convert(folder, **{"texts": texts, "output": tmp_path / "new", **options})


@pytest.fixture
def old(tmp_path):
    return old_predictors.copy("distilbert", "multiclass", tmp_path / "old")


def refused(convert, folder, code, line, **options):
    with pytest.raises(halfbert.HalfbertError, match=line) as caught:
        convert(folder, **options)
    assert caught.value.exit_code == code
    assert "\n" not in str(caught.value)
    output = options.get("output", folder.with_name("new"))
    assert not [name for name in os.listdir(output.parent) if output.name in name]  # nothing half-written


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_the_new_predictor_answers_as_ktrain_did(convert, tmp_path, kind, task):
    old = old_predictors.copy(kind, task, tmp_path / "old")
    record = convert(old).record
    expected = old_predictors.ktrain_probabilities(kind, task)
    assert np.ptp(expected, axis=0).min() > 0.01  # not the same answer to everything
    for engine in ("keras", "onnx", "ktrain"):
        new = halfbert.load(tmp_path / "new", engine, "cpu")
        assert new.predict_proba(TEXTS) == pytest.approx(expected, abs=1e-5)
    assert (record.task, record.labels, record.maxlen) == (task, list(LABELS), old_predictors.MAXLEN)
    assert record.thresholds == ([0.5] * 3 if task == "multilabel" else None)
    assert record.converted.files == {name: sha256(old / name) for name in ("config.json", WEIGHTS, PICKLE)}
    assert (record.converted.rows, record.converted.equal_decisions) == (len(TEXTS), 1)
    card = (tmp_path / "new" / "README.md").read_text()
    assert ("each predicted from a probability of 0.5" in card) == (task == "multilabel")
    assert f"on {len(TEXTS)} texts of texts.csv its answers equal those of Keras" in card


def test_options_stand_in_for_the_pickle_which_is_then_not_read(convert, old, tmp_path):
    (old / PICKLE).write_bytes(b"cos\nsystem\n.")
    refused(convert, old, 3, "names os.system")
    refused(convert, old, 3, "names os.system", labels=LABELS, maxlen=20)
    record = convert(old, labels=["a", "b", "c"], maxlen=20, task="multiclass").record
    assert (record.labels, record.maxlen) == (["a", "b", "c"], 20)
    assert record.converted.options == ["labels", "maxlen", "task"]
    assert PICKLE not in record.converted.files
    (old / PICKLE).unlink()
    refused(convert, old, 3, "cannot be read .No such file", labels=LABELS, output=tmp_path / "other")


def test_a_configuration_without_labels_is_that_of_two(convert, tmp_path):
    old = old_predictors.copy("bert", "multiclass", tmp_path / "old")
    change_config(old, "id2label", "label2id")
    assert convert(old).record.labels == list(LABELS)


def test_a_folder_without_tokenizer_takes_another(convert, old, tmp_path, capsys):
    tokenizer = tmp_path / "tokenizer"
    tokenizer.mkdir()
    for name in weights.TOKENIZER_FILES:
        if (old / name).is_file():
            shutil.move(old / name, tokenizer / name)
    change_config(old, _name_or_path="some/where")
    (old / PICKLE).write_bytes((old / PICKLE).read_bytes().replace(b"checkpoint", b"not-therez"))
    line = "has no tokenizer .*, and that of some/where, .*not-therez is unavailable; give --tokenizer FOLDER"
    refused(convert, old, 4, line.replace("--tokenizer", "tokenizer"))
    refused(convert, old, 2, "neither a folder with vocab.txt", tokenizer=tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tokenizer / name).unlink()
    assert convert(old, tokenizer=tokenizer).record.converted.options == ["tokenizer"]
    assert "texts are lower-cased" in capsys.readouterr().out
    assert halfbert.load(tmp_path / "new", "onnx", "cpu").predict_proba(TEXTS) == pytest.approx(
        old_predictors.ktrain_probabilities("distilbert", "multiclass"), abs=1e-5
    )


def test_a_tokenizer_of_another_model_is_refused(convert, old):
    for name in weights.TOKENIZER_FILES:
        (old / name).unlink(missing_ok=True)
    (old / "vocab.txt").write_text("\n".join([*VOCABULARY, "Extra"]) + "\n")
    refused(convert, old, 2, f"the tokenizer knows {len(VOCABULARY) + 1} tokens, the model {len(VOCABULARY)}; give tokenizer")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"labels": ["a", "b"]}, r"classifier.kernel is \(32, 3\) float32"),
        ({"labels": ["a", "b", "a"]}, None),
        ({"labels": ["a", "b", "c", "d"]}, r"require \(32, 4\) float32"),
    ],
)
def test_labels_that_do_not_fit_are_refused(convert, old, options, line):
    refused(convert, old, 3 if line else 2, line or "expected different labels", **options)


def test_what_is_no_old_predictor_is_refused(convert, old, tmp_path):
    refused(convert, tmp_path / "nothing", 2, "no such folder")
    (tmp_path / "empty").mkdir()
    refused(convert, tmp_path / "empty", 2, "has no config.json")
    change_config(old, model_type="roberta")
    refused(convert, old, 2, "its architecture is roberta; BERT and DistilBERT are converted")


def test_a_length_beyond_the_model_is_refused(convert, old):
    change_config(old, max_position_embeddings=16)
    refused(convert, old, 2, "truncated at 24 tokens, the model has 16; give maxlen")


def spoilt(old, change):
    with h5py.File(old / WEIGHTS, "r+") as file:
        layers = next(iter(file["distilbert"].values()))["distilbert"]["transformer"]
        change(file, layers)


def linked(file, layers):
    del layers["layer_._0"]
    layers["layer_._0"] = h5py.ExternalLink("elsewhere.h5", "/")


def without_a_layer(file, layers):
    del layers["layer_._1"]


def with_another_head(file, layers):
    file.create_dataset("vocab_projector/bias:0", data=np.zeros(3, "f"))


def with_itself(file, layers):
    layers["again"] = layers


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (linked, "is a link, which weights do not need"),
        (without_a_layer, r"layer_\._1/.* is missing; not the weights of config.json"),
        (with_another_head, "has /vocab_projector/bias:0, which the classifier of config.json does not"),
        (with_itself, "more than 10,000 entries"),
    ],
)
def test_weights_of_another_model_and_hostile_ones_are_refused(convert, old, change, line):
    spoilt(old, change)
    refused(convert, old, 3, line)


def test_damaged_weights_are_refused(convert, old):
    content = (old / WEIGHTS).read_bytes()
    (old / WEIGHTS).write_bytes(content[: len(content) // 2])
    refused(convert, old, 3, "tf_model.h5: cannot be read")


def test_another_prefix_of_the_names_is_read(old, tmp_path):
    expected = weights.read(old).weights
    renamed = tmp_path / "renamed"
    renamed.mkdir()
    with h5py.File(old / WEIGHTS) as file, h5py.File(renamed / WEIGHTS, "w") as other:

        def copied(name, entry):
            if isinstance(entry, h5py.Dataset):
                inner = name.split("/", 2)[2].removesuffix(":0")  # without layer and model
                other.create_dataset(f"layers/{inner}", data=entry[()])

        file.visititems(copied)
    found = weights.read_other_layout(renamed, json.loads((old / "config.json").read_text()))
    assert found.keys() == expected.keys()
    assert all(np.array_equal(values, expected[name]) for name, values in found.items())


def test_attention_with_its_heads_apart_is_read(convert, tmp_path):
    """transformers 4.0 to 4.3, which ktrain 0.26 was used with, saved BERT's kernels as (hidden, heads, units) and so on."""
    old = old_predictors.copy("bert", "multiclass", tmp_path / "old")
    apart = {"self/query": (WIDTH, HEADS, -1), "self/key": (WIDTH, HEADS, -1), "self/value": (WIDTH, HEADS, -1)}
    apart["output/dense"] = (HEADS, -1, WIDTH)
    with h5py.File(old / WEIGHTS, "r+") as file:
        model = next(iter(file["bert"].values()))["bert"]
        for layer in model["encoder"].values():
            for part, shape in apart.items():
                group = layer["attention"][part]
                for leaf in ("kernel:0", "bias:0")[: 1 if part == "output/dense" else 2]:
                    values = group[leaf][()].reshape(shape if leaf == "kernel:0" else (HEADS, -1))
                    del group[leaf]
                    group.create_dataset(leaf, data=values)
    convert(old)
    expected = old_predictors.ktrain_probabilities("bert", "multiclass")
    assert halfbert.load(tmp_path / "new", "keras", "cpu").predict_proba(TEXTS) == pytest.approx(expected, abs=1e-5)


def test_answers_that_differ_are_refused(convert, old, monkeypatch):
    from halfbert.conversion import course

    monkeypatch.setattr(course, "_answers", lambda model, tokenizer, texts, old: np.full((len(texts), 3), 1 / 3))
    refused(convert, old, 3, "not converted, as .* answers equal those of the old weights")


def test_an_earlier_predictor_stays_unless_it_is_to_be_replaced(convert, old, tmp_path):
    convert(old)
    before = sha256(tmp_path / "new" / "halfbert.json")
    with pytest.raises(halfbert.InputError, match="already exists; overwrite=True replaces it"):
        convert(old)
    with pytest.raises(halfbert.InputError, match="the same folder, or one inside the other"):
        halfbert.convert(old, output=old / "new")
    assert sha256(tmp_path / "new" / "halfbert.json") == before
