"""The DistilBERT form of a BERT: equal states, whatever layers are kept and however the BERT was written."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from support import LAYERS, WIDTH, change_config, write_checkpoint

from halfbert.models import checkpoints, distilbert_form
from halfbert.system.errors import ArtefactError, InputError

TEXTS = ["the old cat", "a dog is here and my mouse was there very big !", "bread", "wrench file axe " * 12]


def hidden_states(folder: Path) -> tuple[str, np.ndarray]:
    """The model's class, and its (layers + 1, texts, tokens, width) states of TEXTS, with zeros where there is padding."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    encoded = tokenizer(TEXTS, padding=True, return_tensors="np")
    model = transformers.TFAutoModel.from_pretrained(folder)
    features = {"input_ids": encoded["input_ids"], "attention_mask": encoded["attention_mask"]}
    states = np.stack(model(**features, output_hidden_states=True, training=False).hidden_states)
    return type(model).__name__, states * encoded["attention_mask"][None, :, :, None]


@pytest.mark.slow
def test_the_hidden_states_are_those_of_a_bert_of_just_these_layers(tensorflow_ready, tmp_path):
    whole = write_checkpoint(tmp_path / "whole", "bert", seed=3, layers=4)
    weights = load_file(whole / "model.safetensors")
    for layers in [(0, 1, 2, 3), (3,), (0, 2), (2, 0, 3)]:
        name = "-".join(map(str, layers))
        chosen = Path(shutil.copytree(whole, tmp_path / f"bert-{name}"))
        kept = {key: value for key, value in weights.items() if not key.startswith("encoder.layer.")}
        for to_layer, from_layer in enumerate(layers):
            for key, value in weights.items():
                if key.startswith(f"encoder.layer.{from_layer}."):
                    kept[key.replace(f"layer.{from_layer}.", f"layer.{to_layer}.", 1)] = value
        save_file(kept, chosen / "model.safetensors", metadata={"format": "pt"})
        change_config(chosen, num_hidden_layers=len(layers))
        distilbert_form.write(whole, tmp_path / name, layers)
        (kind, states), (_, expected) = hidden_states(tmp_path / name), hidden_states(chosen)
        assert kind == "TFDistilBertModel" and np.abs(expected).max() > 1
        assert states.shape == expected.shape == (len(layers) + 1, len(TEXTS), states.shape[2], WIDTH)
        np.testing.assert_allclose(states, expected, atol=2e-5)


def form_of(folder: Path, target: Path, layers=(0, 1)) -> dict[str, np.ndarray]:
    distilbert_form.write(folder, target, layers)
    return load_file(target / "model.safetensors")


def test_the_form_is_a_checkpoint(tiny_bert, tmp_path):
    form_of(tiny_bert, tmp_path / "form", (1,))
    form = checkpoints.find("distilbert", str(tmp_path / "form"))
    assert form.config["n_layers"] == 1 and form.config["dim"] == WIDTH
    assert (tmp_path / "form" / "vocab.txt").read_bytes() == (tiny_bert / "vocab.txt").read_bytes()
    tokenizer = json.loads((tmp_path / "form" / "tokenizer_config.json").read_text())
    assert tokenizer == {"tokenizer_class": "DistilBertTokenizer", "do_lower_case": True}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["form"]


def test_other_ways_to_write_a_bert(tiny_bert, own, tmp_path):
    expected, weights = form_of(tiny_bert, tmp_path / "expected"), load_file(own / "model.safetensors")
    prefixed = {f"bert.{name}": value for name, value in weights.items()} | {"cls.bias": np.zeros(3, np.float32)}
    renamed = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in weights.items()
    }
    half_precision = {name: value.astype(np.float16) for name, value in weights.items()}
    for number, (written, tolerance) in enumerate([(prefixed, 0), (renamed, 0), (half_precision, 2e-3)]):
        save_file(written, own / "model.safetensors", metadata={"format": "pt"})
        form = form_of(own, tmp_path / f"form-{number}")
        assert form.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_allclose(form[name], value, atol=tolerance)
    left_out = {"hidden_act": "gelu", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
    change_config(own, max_position_embeddings=512, **left_out)
    form_of(own, tmp_path / "written-out")
    assert (tmp_path / "written-out" / "config.json").read_bytes() == (tmp_path / "expected" / "config.json").read_bytes()


def test_what_no_form_is_made_of(tiny_bert, tiny_distilbert, own, tmp_path):
    def refused(bert: Path, layers: list[int], match: str, error: type[Exception] = InputError) -> None:
        with pytest.raises(error, match=match):
            distilbert_form.write(bert, tmp_path / "form", layers)

    refused(tiny_distilbert, [0], "this one is distilbert")
    for layers in ([], [LAYERS], [0, -1], [0, 7]):
        refused(tiny_bert, layers, "requested; it has 0 to 1")
    change_config(own, position_embedding_type="relative_key")
    refused(own, [0], "relative_key")
    change_config(own, position_embedding_type="absolute")
    weights = load_file(own / "model.safetensors")
    for missing in ("embeddings.token_type_embeddings.weight", "encoder.layer.1.output.dense.bias"):
        save_file({name: value for name, value in weights.items() if name != missing}, own / "model.safetensors")
        refused(own, [0, 1], rf"model\.safetensors: {missing} is missing", ArtefactError)
    (own / "model.safetensors").write_bytes(b"cut short")
    refused(own, [0, 1], r"model\.safetensors: cannot be read", ArtefactError)
    (own / "model.safetensors").unlink()
    refused(own, [0], "model.safetensors, which is not there")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own"]


def test_a_form_that_another_process_made_meanwhile(tiny_bert, tmp_path, monkeypatch):
    rename = os.rename

    def late(source, target):
        if not Path(target).exists():
            shutil.copytree(source, target)
            (Path(target) / "made by the other").touch()
        rename(source, target)

    monkeypatch.setattr(os, "rename", late)
    distilbert_form.write(tiny_bert, tmp_path / "form", (0,))
    assert (tmp_path / "form" / "made by the other").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["form"]
