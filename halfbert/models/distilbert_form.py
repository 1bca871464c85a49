"""The DistilBERT form of a BERT: DistilBERT is BERT without token-type embeddings and pooler.

So the row of token type 0 is added to every position embedding and the rest is copied: with all layers kept, the hidden states
are those of BERT for a single text. Keeping every second layer is how DistilBERT itself was initialised (Sanh et al. 2019,
section 2).
"""

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from halfbert.models.config import TOKENIZER_FILES, read_config
from halfbert.system import storage
from halfbert.system.errors import ArtefactError, InputError

# DistilBERT's names for the parts of a BERT layer (transformers' PyTorch names, which safetensors files have).
LAYER_NAMES = {
    "attention.self.query": "attention.q_lin",
    "attention.self.key": "attention.k_lin",
    "attention.self.value": "attention.v_lin",
    "attention.output.dense": "attention.out_lin",
    "attention.output.LayerNorm": "sa_layer_norm",
    "intermediate.dense": "ffn.lin1",
    "output.dense": "ffn.lin2",
    "output.LayerNorm": "output_layer_norm",
}

# What a BERT's config.json may leave out: transformers' defaults.
BERT_DEFAULTS = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 512,
    "position_embedding_type": "absolute",
    "initializer_range": 0.02,
    "pad_token_id": 0,
}
# DistilBERT's setting, and BERT's name for it.
SETTINGS = {
    "activation": "hidden_act",
    "attention_dropout": "attention_probs_dropout_prob",
    "dim": "hidden_size",
    "dropout": "hidden_dropout_prob",
    "hidden_dim": "intermediate_size",
    "initializer_range": "initializer_range",
    "max_position_embeddings": "max_position_embeddings",
    "n_heads": "num_attention_heads",
    "pad_token_id": "pad_token_id",
    "vocab_size": "vocab_size",
}


def write(bert: Path, target: Path, layers: Sequence[int]) -> None:
    """Write the DistilBERT form of the BERT checkpoint in folder `bert`, with the given `layers`, as checkpoint `target`.

    Raises InputError if the checkpoint is not a BERT of absolute positions or a layer does not exist, ArtefactError if weights
    are missing.
    """
    from safetensors.numpy import save_file

    config = {**BERT_DEFAULTS, **read_config(bert)}
    positions, last = config["position_embedding_type"], config["num_hidden_layers"] - 1
    if config["model_type"] != "bert":
        raise InputError(f"{bert}: a DistilBERT form is made from a BERT checkpoint, this one is {config['model_type']}")
    if positions != "absolute":
        raise InputError(f"{bert}: DistilBERT has absolute positions only, this BERT has {positions} ones")
    missing = [layer for layer in layers if not 0 <= layer <= last]
    if missing or not layers:
        raise InputError(f"{bert}: layers {missing or list(layers)} requested; it has 0 to {last}")
    try:
        form = _weights(bert_weights(bert), layers)
    except KeyError as error:
        raise ArtefactError(f"{bert / 'model.safetensors'}: {error.args[0]} is missing") from error
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".making-") as making:
        folder = Path(making) / "form"
        folder.mkdir()
        save_file(form, folder / "model.safetensors", metadata={"format": "pt"})
        storage.write_json(_config(config, len(layers)), folder / "config.json")
        for name in TOKENIZER_FILES:
            if (bert / name).is_file():
                shutil.copyfile(bert / name, folder / name)
        _correct_tokenizer_class(folder / "tokenizer_config.json")
        try:
            os.rename(folder, target)
        except OSError:
            if not (target / "config.json").is_file():  # unless another process made the same one meanwhile
                raise


def bert_weights(folder: Path) -> dict[str, np.ndarray]:
    """The encoder's weights under transformers' PyTorch names, without the `bert.` that task models put before them."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    file = folder / "model.safetensors"
    if not file.is_file():
        raise InputError(f"{folder}: a DistilBERT form is read from model.safetensors, which is not there")
    try:
        weights = {name.removeprefix("bert."): value for name, value in load_file(file).items()}
    except SafetensorError as error:
        raise ArtefactError(f"{file}: cannot be read ({error})") from error
    # Old checkpoints name LayerNorm's weights as TensorFlow does.
    return {name.replace(".gamma", ".weight").replace(".beta", ".bias"): value for name, value in weights.items()}


def _weights(bert: dict[str, np.ndarray], layers: Sequence[int]) -> dict[str, np.ndarray]:
    words, positions = "embeddings.word_embeddings.weight", "embeddings.position_embeddings.weight"
    form = {words: bert[words], positions: bert[positions] + bert["embeddings.token_type_embeddings.weight"][0]}
    for part in ("weight", "bias"):
        form[f"embeddings.LayerNorm.{part}"] = bert[f"embeddings.LayerNorm.{part}"]
        for to_layer, from_layer in enumerate(layers):
            for theirs, ours in LAYER_NAMES.items():
                form[f"transformer.layer.{to_layer}.{ours}.{part}"] = bert[f"encoder.layer.{from_layer}.{theirs}.{part}"]
    return {f"distilbert.{name}": np.ascontiguousarray(value) for name, value in form.items()}


def _config(bert: dict[str, Any], layers: int) -> dict[str, Any]:
    fixed = {"architectures": ["DistilBertModel"], "model_type": "distilbert", "n_layers": layers}
    fixed |= {"sinusoidal_pos_embds": False, "tie_weights_": True}
    return fixed | {ours: bert[theirs] for ours, theirs in SETTINGS.items()}


def _correct_tokenizer_class(file: Path) -> None:
    if file.is_file():
        storage.write_json({**json.loads(file.read_text(encoding="utf-8")), "tokenizer_class": "DistilBertTokenizer"}, file)
