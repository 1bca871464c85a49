"""Where pretrained weights come from: a folder, the hub's cache, the hub, or the packaged mini pair.

Every way ends in a local folder with `config.json`, weights and tokenizer files, so that what follows treats all alike.
Nothing here imports TensorFlow.
"""

import atexit
import contextlib
import functools
import os
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from halfbert.data.phrases import counted
from halfbert.models import layers, mini
from halfbert.models.distilbert_form import read_config
from halfbert.models.weights import MODELS, TOKENIZER_FILES
from halfbert.system import temporary
from halfbert.system.errors import ArtefactError, InputError, ResourceError
from halfbert.system.storage import sha256

HUB_NAMES = {"bert": "bert-base-uncased", "distilbert": "distilbert-base-uncased"}

MINI, MINI_UNTAUGHT = "mini", "mini-untaught"

# Learning rates and epochs that suit a checkpoint's width: small encoders want larger steps than the 5e-5 of base models.
SMALL_WIDTH = 512
SMALL_RECIPE = {"learning_rate": 2e-4, "epochs": 5, "head": "probed"}
# Of few rows a small DistilBERT wants more epochs: ten thousand rows in all, and no more than fifteen epochs. A BERT does not
# (on the messages, three folds of the training table: 0.827 with 5 epochs, 0.805 with 15).
SMALL_ROWS, MOST_EPOCHS = 10_000, 15
BASE_RECIPE = {"learning_rate": 5e-5, "epochs": 3, "head": "random"}

HUB_SECONDS = 3.0
WEIGHT_FILES = ("model.safetensors", "tf_model.h5")
VOCABULARIES = ("vocab.txt", "tokenizer.json")


@dataclass(frozen=True)
class Checkpoint:
    """A pretrained encoder in a local folder.

    `name` is what the user knows it by, `note` a line for the user, if there is one.
    """

    name: str
    folder: Path
    model: str
    weights_sha256: str
    note: str | None = None

    @property
    def config(self) -> dict[str, Any]:
        """The checkpoint's `config.json`."""
        return read_config(self.folder)

    @property
    def bytes(self) -> int:
        """Size of its weights on disk."""
        return _weights(self.folder).stat().st_size

    @property
    def recipe(self) -> dict[str, Any]:
        """Default learning rate, number of epochs and initial head for a checkpoint of this width."""
        return dict(SMALL_RECIPE if self._is_small else BASE_RECIPE)

    def epochs(self, rows: int) -> int:
        """Default number of epochs over so many training rows."""
        epochs: int = self.recipe["epochs"]
        longer = self._is_small and self.model == "distilbert"
        return max(epochs, min(MOST_EPOCHS, SMALL_ROWS // max(rows, 1))) if longer else epochs

    @property
    def _is_small(self) -> bool:
        width = _width(self.config)
        return bool(width and width < SMALL_WIDTH)


def find(model: str, checkpoint: str | None = None, keep: int | None = None) -> Checkpoint:
    """As `pretrained`, with `keep` of its layers; None keeps all."""
    found = pretrained(model, checkpoint)
    return found if keep is None else with_layers(found, keep)


def pretrained(model: str, checkpoint: str | None = None) -> Checkpoint:
    """Find the weights for `model` (bert or distilbert), fetching them from the hub if they are not cached.

    `checkpoint` is None, "mini", "mini-untaught", a folder, or a hub name. If it is None and the hub's checkpoint is
    neither cached nor reachable, the result is the packaged mini one, with a `note`. Raises InputError if the checkpoint is
    not of `model`'s architecture, ResourceError if it is unavailable, ArtefactError if its weights are damaged or not as
    published.
    """
    if checkpoint in (MINI, MINI_UNTAUGHT):
        return packaged(model, taught=checkpoint == MINI)
    if checkpoint is not None and (Path(checkpoint).is_dir() or _looks_like_path(checkpoint)):
        return _from_folder(model, Path(checkpoint), checkpoint)
    name = checkpoint or HUB_NAMES[model]
    folder = _cached(name)
    if folder is None and _hub_answers():
        try:
            folder = _fetch(model, name)
        except ResourceError:
            if checkpoint is not None:
                raise  # a hub that refuses its own default counts as unreachable
    if folder is not None:
        return _from_folder(model, folder, name)
    if checkpoint is not None:
        raise ResourceError(
            f"--checkpoint {name}: not cached, and the hub does not answer; give --checkpoint mini, a folder with the "
            f"checkpoint, or run once where the hub is reachable"
        )
    small = packaged(model)
    note = (
        f"{name} is neither cached nor reachable: training the packaged {small.name} instead "
        f"(a small model; choose it yourself with --checkpoint mini)"
    )
    return replace(small, note=note)


def tokenizer_folder(name: str) -> Path | None:
    """The folder with the tokenizer of a checkpoint: a folder, or fetched from the hub; None if it is unavailable."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    if Path(name).is_dir() or _looks_like_path(name):
        folder = Path(name).expanduser()
        return folder if any((folder / file).is_file() for file in VOCABULARIES) else None
    try:
        cached = [try_to_load_from_cache(name, file) for file in ("tokenizer_config.json", *VOCABULARIES)]
    except HFValidationError:  # a name that the hub cannot have
        return None
    if isinstance(cached[0], str) and any(isinstance(path, str) for path in cached[1:]):
        return Path(cached[0]).parent
    found: set[Path] = set()
    if _hub_answers():
        for file in TOKENIZER_FILES:
            with contextlib.suppress(OSError, ValueError):  # not there, or no answer
                found.add(Path(hf_hub_download(name, file, etag_timeout=HUB_SECONDS)).parent)
    return next((folder for folder in found if any((folder / file).is_file() for file in VOCABULARIES)), None)


def with_layers(checkpoint: Checkpoint, keep: int) -> Checkpoint:
    """The checkpoint with `keep` of its layers, evenly spread, made in the user's cache. Raises InputError if it has fewer."""
    config = checkpoint.config
    available = layers.number_of(config)
    if keep > available:
        raise InputError(f"--keep {keep}: {checkpoint.name} has {counted(available, 'layer')}")
    if keep == available:
        return checkpoint
    kept = layers.evenly_spread(available, keep)
    numbers = "-".join(map(str, kept))
    made_from = f"{checkpoint.weights_sha256[:16]}-{sha256(checkpoint.folder / 'config.json')[:8]}"
    folder = cache_folder() / f"kept-{made_from}-layers-{numbers}"
    if not (folder / "config.json").is_file():
        layers.write(config, checkpoint.folder, folder, kept)
    name = f"{checkpoint.name}, layers {numbers}"
    return replace(_from_folder(checkpoint.model, folder, name), note=checkpoint.note)


def packaged(model: str, taught: bool = True) -> Checkpoint:
    """The packaged BERT of 6 layers and 384 units, or its DistilBERT form of 3, as taught here or as it was before.

    Raises ResourceError if the package is not installed, ArtefactError if its weights are not the published ones.
    """
    name, folder, digest = mini.find(model, taught, cache_folder())
    return Checkpoint(name, folder, model, digest)


def cache_folder() -> Path:
    """Where derived checkpoints are kept: $HALFBERT_CACHE, or halfbert/ in the user's cache; else a temporary folder."""
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
    kept = contextlib.ExitStack()
    atexit.register(kept.close)
    return kept.enter_context(temporary.folder("cache-"))


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
    if not any((folder / file).is_file() for file in VOCABULARIES):
        raise InputError(f"--checkpoint {name}: no tokenizer (vocab.txt or tokenizer.json) in {folder}")
    weights = _weights(folder)
    _check_weights(weights, config)
    return Checkpoint(name, folder.resolve(), model, sha256(weights))


def _config_of(model: str, folder: Path, name: str) -> dict[str, Any]:
    config = read_config(folder)
    model_type = config["model_type"]
    if model_type not in MODELS:
        raise InputError(f"--checkpoint {name}: its architecture is {model_type}; this project trains BERT and DistilBERT")
    if model_type != model:
        raise InputError(f"--checkpoint {name} is of architecture {model_type}: give --model {model_type}, not --model {model}")
    return config


def _check_weights(file: Path, config: dict[str, Any]) -> None:
    """Refuse a safetensors file that is truncated or of another encoder: transformers would go on with random weights."""
    from safetensors import SafetensorError, safe_open

    if file.suffix != ".safetensors":
        return
    try:
        with safe_open(file, "numpy") as tensors:
            words = [name for name in tensors.keys() if name.endswith("embeddings.word_embeddings.weight")]  # noqa: SIM118
            shape = tensors.get_slice(words[0]).get_shape() if words else None
    except SafetensorError as error:
        raise ArtefactError(f"{file}: cannot be read ({error}); download or copy it again") from error
    expected = [config.get("vocab_size", shape and shape[0]), _width(config) or (shape and shape[1])]
    if shape is None or list(shape) != expected:
        actual = "no word embeddings" if shape is None else f"word embeddings of shape {shape}, the config says {expected}"
        raise ArtefactError(f"{file}: not the weights of its config.json ({actual})")


def _width(config: dict[str, Any]) -> int | None:
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
    return config.parent if config and any(map(cached, WEIGHT_FILES)) and any(map(cached, VOCABULARIES)) else None


def _hub_answers() -> bool:
    """Whether the hub can be reached: one request, in a thread, since a dead name server can hold a request for long."""
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return False
    ended, answers = threading.Event(), []

    def request() -> None:
        with contextlib.suppress(Exception):  # no route, no name, no certificate, a proxy's refusal: all mean unreachable
            answers.append(get_session().head(constants.ENDPOINT, timeout=HUB_SECONDS))
        ended.set()

    threading.Thread(target=request, daemon=True).start()
    return ended.wait(HUB_SECONDS + 1) and bool(answers)


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
        available = {file.rfilename for file in HfApi().model_info(name, timeout=HUB_SECONDS).siblings or ()}
        weights = next((file for file in WEIGHT_FILES if file in available), None)
        if weights is None or "config.json" not in available:
            raise InputError(f"--checkpoint {name}: the hub has no config.json and weights that TensorFlow can load")
        folder = fetch("config.json").parent
        _config_of(model, folder, name)
        for file in (*TOKENIZER_FILES, weights):
            if file in available:
                fetch(file)
        return folder
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", "no answer")
        line = f"--checkpoint {name}: the hub refuses it ({status}); check the name, or --checkpoint mini"
        raise ResourceError(line) from error
    except OSError as error:
        line = f"--checkpoint {name}: fetching it from the hub failed ({error}); try again, or --checkpoint mini"
        raise ResourceError(line) from error
    finally:
        configure_http_backend()  # the default again


def _impatient_session() -> Any:
    """A session that does not repeat a request without an answer, as huggingface_hub does for most of a minute."""
    import requests

    class Session(requests.Session):
        def request(self, method: Any, url: Any, *arguments: Any, **keywords: Any) -> Any:
            try:
                return super().request(method, url, *arguments, **keywords)
            except (requests.ConnectionError, requests.Timeout) as error:
                raise OSError(f"no answer from {url.split('/')[2]}") from error  # a kind that is not retried

    return Session()
