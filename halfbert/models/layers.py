"""A checkpoint with some of its layers only, of the same architecture; what DistilBERT itself began as (Sanh et al. 2019)."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from halfbert.models.weights import checkpoint_tensors, write_checkpoint
from halfbert.system import storage

COUNTS = {"bert": "num_hidden_layers", "distilbert": "n_layers"}  # what config.json calls the number of layers
USUAL = {"bert": 12, "distilbert": 6}  # transformers' defaults, where config.json leaves it out
OF_LAYER = re.compile(r"((?:encoder|transformer)\.layer\.)(\d+)(\..+)")
ENCODER = ("embeddings.", "encoder.", "transformer.", "pooler.")  # without the heads of pretraining


def number_of(config: dict[str, Any]) -> int:
    """How many layers a checkpoint has, by its `config.json`."""
    model = config["model_type"]
    return int(config.get(COUNTS[model], USUAL[model]))


def evenly_spread(available: int, keep: int) -> list[int]:
    """The numbers of `keep` layers out of so many, the first and the last among them where there are two.

    Of 12 layers 6 are 0, 2, 4, 7, 9, 11, as DistilBERT was initialised (Sanh et al. 2019, and its published script).
    """
    return np.linspace(0, available - 1, keep).round().astype(int).tolist()


def write(config: dict[str, Any], source: Path, target: Path, layers: Sequence[int]) -> None:
    """Write the checkpoint in the folder `source` with these layers, in this order, as checkpoint `target`."""
    model, renumbered = config["model_type"], {old: new for new, old in enumerate(layers)}
    tensors = {}
    for name, value in checkpoint_tensors(source).items():
        layer = OF_LAYER.fullmatch(name)
        if (layer and int(layer[2]) not in renumbered) or not name.startswith(ENCODER):
            continue
        tensors[f"{model}." + (f"{layer[1]}{renumbered[int(layer[2])]}{layer[3]}" if layer else name)] = value
    try:
        with storage.atomic_folder(target) as folder:
            write_checkpoint(tensors, {**config, COUNTS[model]: len(layers)}, source, folder)
    except OSError:
        if not (target / "config.json").is_file():  # unless another process made the same one meanwhile
            raise
