"""Saving a ktrain predictor with its manifest and its card (README.md).

The folder loads with plain `ktrain.load_predictor`: nothing of this project has to be importable, the folder may be moved, the
checkpoint it came from may be gone.
"""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from halfbert.predictor.manifest import MANIFEST, Manifest, write
from halfbert.system import storage

EPOCHS = "epochs"  # folder of the predictors of --keep-epochs
BYTES_PER_PARAMETER = 4
OTHER_BYTES = 4_000_000  # tokenizer, pickle, what HDF5 adds


def reserve_space(model: Any, folder: Path) -> None:
    """Raise OSError or ResourceError if the disk cannot hold the model's predictor; call it right before saving one.

    HDF5, which Keras writes weights with, takes the whole process down when the disk fills up under it.
    """
    storage.reserve_space(folder, model.count_params() * BYTES_PER_PARAMETER + OTHER_BYTES)


def finish(folder: Path, manifest: Manifest, card: str) -> None:
    """Add card and manifest to a written predictor; the manifest, last of all, names the SHA-256 of every other file."""
    storage.write_text(card, folder / "README.md")
    files = {
        file.relative_to(folder).as_posix(): storage.sha256(file)
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != MANIFEST
    }
    write(replace(manifest, files=files), folder)


def keep_epoch(model: Any, transformer: Any, folder: Path, epoch: int) -> None:
    """Write the predictor of one epoch as `epochs/<number>` of a folder; what a killed run left of it is replaced."""
    from halfbert.models.ktrain_data import ktrain

    target = folder / EPOCHS / f"{epoch:02d}"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    reserve_space(model, target)
    ktrain.get_predictor(model, transformer.for_predictor()).save(str(target))
