"""The DistilBERT form of a BERT: DistilBERT is BERT without token-type embeddings and pooler.

So the row of token type 0 is added to every position embedding and the rest is copied: with all layers kept, the hidden states
are those of BERT for a single text. Keeping every second layer is how DistilBERT itself was initialised (Sanh et al. 2019,
section 2).
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from halfbert.models.weights import LAYER_PARTS, checkpoint_tensors, write_checkpoint
from halfbert.system import storage
from halfbert.system.errors import ArtefactError, InputError

# DistilBERT's setting: BERT's name for it, and transformers' default where a BERT's config.json leaves it out.
SETTINGS = {
    "activation": ("hidden_act", "gelu"),
    "attention_dropout": ("attention_probs_dropout_prob", 0.1),
    "dim": ("hidden_size", 768),
    "dropout": ("hidden_dropout_prob", 0.1),
    "hidden_dim": ("intermediate_size", 3072),
    "initializer_range": ("initializer_range", 0.02),
    "max_position_embeddings": ("max_position_embeddings", 512),
    "n_heads": ("num_attention_heads", 12),
    "pad_token_id": ("pad_token_id", 0),
    "vocab_size": ("vocab_size", 30522),
}


def read_config(folder: Path) -> dict[str, Any]:
    """The `config.json` of a checkpoint folder. Raises InputError if it has none."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{folder}: no checkpoint there (config.json is missing)") from None
    except (ValueError, OSError) as error:
        raise InputError(f"{folder / 'config.json'}: cannot be read as JSON ({error})") from error
    if not isinstance(config, dict) or "model_type" not in config:
        raise InputError(f"{folder / 'config.json'}: names no model_type")
    return config


def write(bert: Path, target: Path, layers: Sequence[int]) -> None:
    """Write the DistilBERT form of the BERT checkpoint in folder `bert`, with the given `layers`, as checkpoint `target`.

    Raises InputError if the checkpoint is not a BERT of absolute positions or a layer does not exist, ArtefactError if weights
    are missing.
    """
    config = read_config(bert)
    positions, last = config.get("position_embedding_type", "absolute"), config.get("num_hidden_layers", 12) - 1
    if config["model_type"] != "bert":
        raise InputError(f"{bert}: a DistilBERT form is made from a BERT checkpoint, this one is {config['model_type']}")
    if positions != "absolute":
        raise InputError(f"{bert}: DistilBERT has absolute positions only, this BERT has {positions} ones")
    missing = [layer for layer in layers if not 0 <= layer <= last]
    if missing or not layers:
        raise InputError(f"{bert}: layers {missing or list(layers)} requested; it has 0 to {last}")
    try:
        form = _weights(checkpoint_tensors(bert), layers)
    except KeyError as error:
        raise ArtefactError(f"{bert / 'model.safetensors'}: {error.args[0]} is missing") from error
    settings = {"architectures": ["DistilBertModel"], "model_type": "distilbert", "n_layers": len(layers)}
    settings |= {"sinusoidal_pos_embds": False, "tie_weights_": True}
    settings |= {ours: config.get(theirs, default) for ours, (theirs, default) in SETTINGS.items()}
    try:
        with storage.atomic_folder(target) as folder:
            write_checkpoint(form, settings, bert, folder)
            file = folder / "tokenizer_config.json"
            if file.is_file():
                tokenizer = json.loads(file.read_text(encoding="utf-8"))
                storage.write_json({**tokenizer, "tokenizer_class": "DistilBertTokenizer"}, file)
    except OSError:
        if not (target / "config.json").is_file():  # unless another process made the same one meanwhile
            raise


def _weights(bert: dict[str, np.ndarray], layers: Sequence[int]) -> dict[str, np.ndarray]:
    words, positions = "embeddings.word_embeddings.weight", "embeddings.position_embeddings.weight"
    form = {words: bert[words], positions: bert[positions] + bert["embeddings.token_type_embeddings.weight"][0]}
    for part in ("weight", "bias"):
        form[f"embeddings.LayerNorm.{part}"] = bert[f"embeddings.LayerNorm.{part}"]
        for to_layer, from_layer in enumerate(layers):
            for theirs, ours in LAYER_PARTS.values():
                form[f"transformer.layer.{to_layer}.{ours}.{part}"] = bert[f"encoder.layer.{from_layer}.{theirs}.{part}"]
    return {f"distilbert.{name}": value for name, value in form.items()}
