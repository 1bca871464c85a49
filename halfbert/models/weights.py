"""The weights of a saved predictor under canonical names, read without TensorFlow.

Every engine that is not Keras is fed from `read`, and so is the export in Hugging Face's own layout.

Canonical names, with h hidden units, f feed-forward units (kernels are (in, out), as in TensorFlow):

- `words` (vocabulary, h), `positions` (longest text, h), `token_types` (types, h; BERT only), `embedding_norm`;
- of each layer n, `layers.n.` and: `query`, `key`, `value`, `attention_output` (h, h); `attention_norm`;
  `intermediate` (h, f); `output` (f, h); `output_norm`;
- `pooler` (h, h): BERT's pooler, DistilBERT's pre-classifier; `classifier` (h, labels).

A dense part is `.kernel` and `.bias`, a normalisation `.scale` and `.shift`.
"""

import json
import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from halfbert.data.phrases import counted
from halfbert.system import storage
from halfbert.system.errors import ArtefactError, InputError

MODELS = ("bert", "distilbert")
TOKENIZER_FILES = ("vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
WEIGHTS = "tf_model.h5"
MOST_GROUPS = 10_000  # and data sets of a file; BERT-large has about 1,100
RANDOM_SPREAD = 0.02  # of BERT's own initial weights
DISTILBERT_EPSILON = 1e-12  # fixed in transformers' DistilBERT, and BERT's default

# Canonical name of a layer's part: transformers' PyTorch names of it in BERT and in DistilBERT.
LAYER_PARTS = {
    "query": ("attention.self.query", "attention.q_lin"),
    "key": ("attention.self.key", "attention.k_lin"),
    "value": ("attention.self.value", "attention.v_lin"),
    "attention_output": ("attention.output.dense", "attention.out_lin"),
    "attention_norm": ("attention.output.LayerNorm", "sa_layer_norm"),
    "intermediate": ("intermediate.dense", "ffn.lin1"),
    "output": ("output.dense", "ffn.lin2"),
    "output_norm": ("output.LayerNorm", "output_layer_norm"),
}
_EMBEDDINGS = {
    "words": "embeddings.word_embeddings",
    "positions": "embeddings.position_embeddings",
    "token_types": "embeddings.token_type_embeddings",
    "embedding_norm": "embeddings.LayerNorm",
}
# Last part of a name: canonical, in tf_model.h5, in PyTorch (whose kernels are (out, in)).
_LEAVES = {"kernel": ("kernel", "weight"), "bias": ("bias", "bias"), "scale": ("gamma", "weight"), "shift": ("beta", "bias")}
_TABLES = {"words": "weight", "positions": "embeddings", "token_types": "embeddings"}

# What config.json calls the sizes.
_SIZES = {
    "bert": {
        "hidden": "hidden_size",
        "layers": "num_hidden_layers",
        "heads": "num_attention_heads",
        "feed_forward": "intermediate_size",
        "token_types": "type_vocab_size",
    },
    "distilbert": {"hidden": "dim", "layers": "n_layers", "heads": "n_heads", "feed_forward": "hidden_dim"},
}


@dataclass(frozen=True)
class Encoder:
    """A sequence classifier's weights, (canonical name: float32 array), and what its `config.json` says of them."""

    kind: str  # bert or distilbert
    weights: dict[str, np.ndarray]
    layers: int
    heads: int
    epsilon: float  # of the layer normalisations
    activation: str  # of the feed-forward part, by transformers' name
    folder: Path
    config: dict

    def part(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """(kernel, bias) of a dense part, (scale, shift) of a normalisation."""
        ends = ("scale", "shift") if name.endswith("norm") else ("kernel", "bias")
        return self.weights[f"{name}.{ends[0]}"], self.weights[f"{name}.{ends[1]}"]

    @property
    def embedded_positions(self) -> np.ndarray:
        """(longest text, h): what stands beside the words; a single text's token type (0) is the same everywhere."""
        positions = self.weights["positions"]
        return positions + self.weights["token_types"][0] if "token_types" in self.weights else positions


def read(folder: Path) -> Encoder:
    """Read a predictor's `tf_model.h5`, as transformers' TensorFlow classes save BERT and DistilBERT classifiers.

    Raises ArtefactError if config or weights are missing, damaged, of other shapes than the config's, not finite, or lead
    outside the file.
    """
    config = read_config(folder)
    kind, sizes = config["model_type"], _sizes(folder, config)
    weights = _read_weights(folder / WEIGHTS, kind, _shapes(config, sizes), sizes["layers"])
    return Encoder(
        kind=kind,
        weights=weights,
        layers=sizes["layers"],
        heads=sizes["heads"],
        epsilon=config.get("layer_norm_eps", DISTILBERT_EPSILON) if kind == "bert" else DISTILBERT_EPSILON,
        activation=str(config.get("hidden_act" if kind == "bert" else "activation")),
        folder=folder,
        config=config,
    )


def read_checkpoint(folder: Path) -> Encoder:
    """Read the encoder of a BERT or DistilBERT checkpoint, which has no head, from its `model.safetensors`.

    Raises InputError if there is no such file, ArtefactError as `read` does.
    """
    import transformers

    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True).to_dict()  # with what it leaves out
    kind, sizes = config["model_type"], _sizes(folder, config)
    tensors = checkpoint_tensors(folder)
    values = {}
    for name, shape in _shapes({**config, "id2label": {}}, sizes).items():
        if name.startswith(("pooler", "classifier")):
            continue
        module, leaf = _module(kind, name)
        stored = f"{module.removeprefix(kind + '.')}.{_LEAVES.get(leaf, (leaf, 'weight'))[1]}"
        value = tensors.get(stored)
        if value is not None:
            value = np.ascontiguousarray(value.T if leaf == "kernel" else value, np.float32)
        if value is None or value.shape != shape or not np.isfinite(value).all():
            raise ArtefactError(
                f"{folder / 'model.safetensors'}: {stored} is missing, of another shape than config.json's, or NaN"
            )
        values[name] = value
    epsilon = config.get("layer_norm_eps", DISTILBERT_EPSILON) if kind == "bert" else DISTILBERT_EPSILON
    activation = str(config.get("hidden_act" if kind == "bert" else "activation", "gelu"))
    return Encoder(kind, values, sizes["layers"], sizes["heads"], epsilon, activation, folder, config)


def checkpoint_tensors(folder: Path) -> dict[str, np.ndarray]:
    """A checkpoint's weights under transformers' PyTorch names, without the `bert.` that task models put before them."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    file = folder / "model.safetensors"
    if not file.is_file():
        raise InputError(f"{folder}: its weights are read from model.safetensors, which is not there")
    try:
        tensors = load_file(file)
    except SafetensorError as error:
        raise ArtefactError(f"{file}: cannot be read ({error})") from error
    short = {name.removeprefix("bert.").removeprefix("distilbert."): value for name, value in tensors.items()}
    # Old checkpoints name LayerNorm's weights as TensorFlow does.
    return {name.replace(".gamma", ".weight").replace(".beta", ".bias"): value for name, value in short.items()}


def read_config(folder: Path) -> dict[str, Any]:
    """A predictor's `config.json`. Raises ArtefactError if it is not that of a BERT or DistilBERT with labels."""
    config = read_json(folder / "config.json")
    check_config(config, folder / "config.json")
    return config


def read_json(file: Path) -> Any:
    """What a JSON file holds. Raises ArtefactError if it cannot be read."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ArtefactError(f"{file}: cannot be read ({error})") from error


def check_config(config: Any, file: Path) -> None:
    """Raise ArtefactError if the content of a `config.json` is not that of a BERT or DistilBERT with labels."""
    if not isinstance(config, dict) or config.get("model_type") not in MODELS:
        raise ArtefactError(f"{file}: not the configuration of a BERT or DistilBERT")
    if not isinstance(config.get("id2label"), dict):
        raise ArtefactError(f"{file}: names no labels (id2label)")
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise ArtefactError(f"{file}: positions are {config['position_embedding_type']}; only absolute ones are supported")


def write_random(folder: Path, config: dict[str, Any], seed: int = 0) -> None:
    """Write `config.json` and a `tf_model.h5` of random weights that `read` can read, though Keras cannot: for timing only."""
    import h5py

    rng, kind = np.random.default_rng(seed), config["model_type"]
    storage.write_json(config, folder / "config.json")
    with h5py.File(folder / WEIGHTS, "w") as file:
        for name, shape in _shapes(config, _sizes(folder, config)).items():
            values = rng.normal(float(name.endswith("scale")), RANDOM_SPREAD, shape).astype(np.float32)
            file.create_dataset("/".join(step or "model" for step in _steps(kind, name)), data=values)


def export_safetensors(encoder: Encoder, folder: Path) -> None:
    """Write the classifier as PyTorch's transformers reads it: `model.safetensors`, `config.json` and tokenizer files."""
    with storage.atomic_folder(folder) as staging:
        write_classifier(encoder, staging)


def write_classifier(encoder: Encoder, folder: Path) -> None:
    """As `export_safetensors`, into a folder that is there."""
    tensors = {}
    for name, value in encoder.weights.items():
        module, leaf = _module(encoder.kind, name)
        tensors[f"{module}.{_LEAVES.get(leaf, (leaf, 'weight'))[1]}"] = value.T if leaf == "kernel" else value
    write_checkpoint(tensors, encoder.config, encoder.folder, folder)


def write_checkpoint(tensors: dict[str, np.ndarray], config: dict[str, Any], tokenizer: Path, folder: Path) -> None:
    """Write weights, `config.json` and the tokenizer files of the folder `tokenizer` into `folder`."""
    from safetensors.numpy import save

    contiguous = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    storage.write_bytes(save(contiguous, metadata={"format": "pt"}), folder / "model.safetensors")
    storage.write_json(config, folder / "config.json")
    for name in TOKENIZER_FILES:
        if (tokenizer / name).is_file():
            shutil.copyfile(tokenizer / name, folder / name)


def _sizes(folder: Path, config: dict) -> dict[str, int]:
    names = {**_SIZES[config["model_type"]], "vocabulary": "vocab_size", "positions": "max_position_embeddings"}
    sizes: dict[str, int] = {size: config.get(name, 0) for size, name in names.items()}
    for size, name in names.items():
        if type(sizes[size]) is not int or sizes[size] < 1:
            raise ArtefactError(f"{folder / 'config.json'}: {name} is {config.get(name)!r}; expected a whole number from 1")
    if sizes["hidden"] % sizes["heads"]:
        raise ArtefactError(f"{folder / 'config.json'}: {sizes['hidden']} units cannot be divided among {sizes['heads']} heads")
    return sizes


def _shapes(config: dict, sizes: dict[str, int]) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor by canonical name."""
    hidden, inner = sizes["hidden"], sizes["feed_forward"]
    shapes: dict[str, tuple[int, ...]] = {"words": (sizes["vocabulary"], hidden), "positions": (sizes["positions"], hidden)}
    if "token_types" in sizes:
        shapes["token_types"] = (sizes["token_types"], hidden)
    kernels = {part: (hidden, hidden) for part in ("query", "key", "value", "attention_output")}
    kernels |= {"intermediate": (hidden, inner), "output": (inner, hidden)}
    kernels = {f"layers.{number}.{part}": shape for number in range(sizes["layers"]) for part, shape in kernels.items()}
    kernels |= {"pooler": (hidden, hidden), "classifier": (hidden, len(config["id2label"]))}
    norms = [f"layers.{number}.{part}" for number in range(sizes["layers"]) for part in ("attention_norm", "output_norm")]
    for name, shape in kernels.items():
        shapes |= {f"{name}.kernel": shape, f"{name}.bias": shape[1:]}
    for name in ("embedding_norm", *norms):
        shapes |= {f"{name}.scale": (hidden,), f"{name}.shift": (hidden,)}
    return shapes


def _module(kind: str, name: str) -> tuple[str, str]:
    """A tensor's module by transformers' PyTorch name, and the last part of its canonical name."""
    if name in _TABLES:
        return f"{kind}.{_EMBEDDINGS[name]}", name
    part, leaf = name.rsplit(".", 1)
    if part == "classifier":
        return part, leaf
    if part == "pooler":
        return ("bert.pooler.dense" if kind == "bert" else "pre_classifier"), leaf
    if part in _EMBEDDINGS:
        return f"{kind}.{_EMBEDDINGS[part]}", leaf
    _, number, part = part.split(".")
    in_bert, in_distilbert = LAYER_PARTS[part]
    if kind == "bert":
        return f"bert.encoder.layer.{number}.{in_bert}", leaf
    return f"distilbert.transformer.layer.{number}.{in_distilbert}", leaf


def _read_weights(file: Path, kind: str, shapes: dict[str, tuple[int, ...]], layers: int) -> dict[str, np.ndarray]:
    import h5py

    try:
        if sum(4 * math.prod(shape) for shape in shapes.values()) > file.stat().st_size:
            raise ArtefactError(f"{file}: smaller than the weights of its config.json")
        with h5py.File(file) as tensors:
            stored = len(_follow(tensors, [kind, None, kind, "encoder" if kind == "bert" else "transformer"], file))
            if stored != layers:
                raise ArtefactError(f"{file}: {counted(stored, 'layer')}; config.json has {layers}")
            return {name: _tensor(_follow(tensors, _steps(kind, name), file), name, shape) for name, shape in shapes.items()}
    except (OSError, RuntimeError, ValueError, KeyError) as error:  # whatever HDF5 makes of a damaged file
        raise ArtefactError(f"{file}: cannot be read ({error})") from error


def read_other_layout(folder: Path, config: dict[str, Any]) -> dict[str, np.ndarray]:
    """The weights of a `tf_model.h5`, by canonical name, whatever its versions of transformers and Keras put before the names.

    `config` is its checked configuration, with the labels. Raises ArtefactError as `read` does, and for weights that such a
    classifier does not have.
    """
    import h5py

    file, kind = folder / WEIGHTS, config["model_type"]
    try:
        with h5py.File(file) as tensors:
            stored, sizes = dict(_datasets(tensors, file)), _sizes(folder, config)
            found = {}
            for name, shape in _shapes(config, sizes).items():
                end = "/" + "/".join(map(str, _steps(kind, name)[2:]))
                paths = [path for path in stored if f"{path.removesuffix(':0')}:0".endswith(end)]
                if len(paths) != 1:
                    times = "missing" if not paths else f"there {len(paths)} times"
                    raise ArtefactError(f"{file}: {end[1:]} is {times}; not the weights of config.json")
                dataset, by_heads = stored.pop(paths[0]), _by_heads(name, sizes)
                apart = by_heads is not None and getattr(dataset, "shape", None) == by_heads
                found[name] = _tensor(dataset, name, by_heads if apart and by_heads else shape).reshape(shape)
            if stored:
                raise ArtefactError(f"{file}: has {next(iter(stored))}, which the classifier of config.json does not")
            return found
    except (OSError, RuntimeError, ValueError, KeyError) as error:  # whatever HDF5 makes of a damaged file
        raise ArtefactError(f"{file}: cannot be read ({error})") from error


def _by_heads(name: str, sizes: dict[str, int]) -> tuple[int, ...] | None:
    """Shape of an attention tensor whose heads stand apart, as transformers 4.0 to 4.3 saved BERT's; of others None."""
    part, _, leaf = name.rpartition(".")
    hidden, heads = sizes["hidden"], (sizes["heads"], sizes["hidden"] // sizes["heads"])
    if part.endswith((".query", ".key", ".value")):
        return (hidden, *heads) if leaf == "kernel" else heads
    return (*heads, hidden) if part.endswith(".attention_output") and leaf == "kernel" else None


def _datasets(tensors: Any, file: Path) -> Iterator[tuple[str, Any]]:
    """Path and data set of everything in a file, which is to have neither links nor more groups than such a model."""
    import h5py

    groups, seen = [tensors], 0
    while groups:
        group = groups.pop()
        for name in group:
            seen += 1
            if seen > MOST_GROUPS:
                raise ArtefactError(f"{file}: more than {MOST_GROUPS:,} entries; not the weights of config.json")
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ArtefactError(f"{file}: {group.name}/{name} is a link, which weights do not need; not read")
            entry = group[name]
            if isinstance(entry, h5py.Group):
                groups.append(entry)
            else:
                yield entry.name, entry


def _steps(kind: str, name: str) -> list[str | None]:
    """The path of a tensor in Keras' file: layer, model (None: Keras numbers its name), and the variable's own name."""
    module, leaf = _module(kind, name)
    parts = module.replace(".", "/").replace("/layer/", "/layer_._").split("/")
    return [parts[0], None, *parts, f"{_TABLES.get(leaf) or _LEAVES[leaf][0]}:0"]


def _follow(group: Any, steps: Sequence[str | None], file: Path) -> Any:
    """The object at the end of a path of hard links only: other links can lead to other files."""
    import h5py

    path = ""
    for step in steps:
        names = list(group) if isinstance(group, h5py.Group) else []
        name = names[0] if step is None and len(names) == 1 else step
        path = f"{path}/{name or '*'}"
        if name not in names:
            raise ArtefactError(f"{file}: {path} is missing; not the weights of config.json")
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ArtefactError(f"{file}: {path} is a link, which weights do not need; not read")
        group = group[name]
    return group


def _tensor(dataset: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    file = dataset.file.filename
    if getattr(dataset, "shape", None) != shape or dataset.dtype != np.float32:
        stored = f"{getattr(dataset, 'shape', 'a group')} {getattr(dataset, 'dtype', '')}".strip()
        raise ArtefactError(f"{file}: {name} is {stored}; config.json and labels require {shape} float32")
    # Other storage can stand for more than the file holds, or lie in another file.
    if dataset.is_virtual or dataset.external or dataset.id.get_storage_size() != dataset.nbytes:
        raise ArtefactError(f"{file}: {name} is not stored as plain values of this file; not read")
    values = dataset[()]
    if not np.isfinite(values).all():
        raise ArtefactError(f"{file}: {name} holds NaN or infinite values")
    return values
