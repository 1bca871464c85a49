"""The teacher of a distillation, a saved predictor, and the student that is made from it."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from halfbert.data import equality
from halfbert.models import checkpoints, distilbert_form
from halfbert.models import weights as encoder
from halfbert.options import DistillOptions
from halfbert.predictor import manifest
from halfbert.system.errors import ArtefactError, InputError


@dataclass(frozen=True)
class Teacher:
    """A predictor folder that is complete, and the data it was trained on."""

    predictor: manifest.Predictor
    checkpoint: str  # name of the weights that it was fine-tuned from
    split_seed: int
    files: dict[str, manifest.DataFile]  # by role

    @property
    def name(self) -> str:
        return self.predictor.folder.resolve().name

    @property
    def train_texts(self) -> str | None:
        """Digests of the texts that trained it; None of a predictor saved by an earlier version."""
        return self.predictor.manifest.data.train_texts

    @property
    def val_texts(self) -> str:
        """Digests of the texts that chose its epoch."""
        return self.predictor.manifest.data.val_texts or ""


def read(folder: Path) -> Teacher:
    """Check a predictor folder. Raises InputError if there is none, ArtefactError if it is no predictor, or damaged."""
    predictor = manifest.check(folder)
    known = predictor.manifest
    files = {file.role: file for file in known.data.files}
    if "train" not in files or known.data.split_seed is None or known.checkpoint is None:
        raise ArtefactError(f"{folder / manifest.MANIFEST}: does not state what data it was trained on")
    teacher = Teacher(predictor, known.checkpoint.name, known.data.split_seed, files)
    try:
        equality.shared((teacher.train_texts or "") + teacher.val_texts, [])
    except ValueError as error:
        raise ArtefactError(f"{folder / manifest.MANIFEST}: its digests of texts are damaged ({error})") from error
    return teacher


def student(teacher: Teacher, options: DistillOptions, scratch: Path) -> checkpoints.Checkpoint:
    """The checkpoint that the student begins with: the one of --model and --checkpoint, or the teacher's DistilBERT form.

    The form has the teacher's fine-tuned layers, and is written into the folder `scratch`. Raises InputError if the teacher
    is a DistilBERT already or lacks the layers requested.
    """
    if options.model or options.checkpoint:
        options.model = options.model or "distilbert"
        return checkpoints.find(options.model, options.checkpoint)
    options.model = "distilbert"
    predictor = teacher.predictor
    if predictor.config["model_type"] != "bert":
        raise InputError(f"--teacher {predictor.folder}: a DistilBERT already; name its student with --checkpoint")
    weights = encoder.read(predictor.folder)
    options.layers = layers_to_keep(weights.layers, options.layers, options.keep)
    name = f"{teacher.name}-layers-{'-'.join(map(str, options.layers))}"
    encoder.export_safetensors(weights, scratch / teacher.name)
    distilbert_form.write(scratch / teacher.name, scratch / name, options.layers)
    form = checkpoints.find("distilbert", str(scratch / name))
    described = f"{teacher.name} ({teacher.checkpoint}), DistilBERT form of layers {', '.join(map(str, options.layers))}"
    return checkpoints.Checkpoint(described, form.folder, form.model, form.weights_sha256)


def layers_to_keep(available: int, layers: Sequence[int] | None, keep: int | None) -> list[int]:
    """The numbers of the layers requested; if they are not named, `keep` of them (None: half), evenly spread.

    Of 12 layers 6 are 0, 2, 4, 7, 9, 11, as DistilBERT was initialised (Sanh et al. 2019, and its published script).
    Raises InputError if there are not so many.
    """
    if layers is None:
        keep = keep or max(1, available // 2)
        layers = np.linspace(0, available - 1, keep).round().astype(int).tolist()
    if len(set(layers)) < len(layers) or not all(0 <= layer < available for layer in layers):
        requested = f"--keep {keep}" if keep else f"--layers {','.join(map(str, layers))}"
        raise InputError(f"{requested}: the teacher has layers 0 to {available - 1}, each of which can be kept once")
    return list(layers)


def check_tokenizers(student: checkpoints.Checkpoint, teacher: Path, name: str) -> None:
    """Raise InputError if the student's tokenizer is not that of its teacher, a checkpoint's or a predictor's folder."""
    own, of_teacher = (_vocabulary(read_tokenizer(folder)) for folder in (student.folder, teacher))
    if own != of_teacher:
        raise InputError(
            f"{student.name}: its tokenizer is not that of the teacher {name} ({own} against {of_teacher}); "
            f"choose a student with the teacher's vocabulary"
        )


def _vocabulary(tokenizer: Any) -> str:
    words = json.dumps(sorted(tokenizer.get_vocab().items())).encode()
    case = "lower case" if getattr(tokenizer, "do_lower_case", False) else "both cases"
    return f"{len(tokenizer.get_vocab()):,} words, {case}, SHA-256 {hashlib.sha256(words).hexdigest()[:12]}…"


def read_tokenizer(folder: Path) -> Any:
    """The tokenizer of a checkpoint or predictor folder."""
    import transformers

    return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
