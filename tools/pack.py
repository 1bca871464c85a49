"""Pack what a mini model was taught into the package: `python -m tools.pack distilbert FOLDER`, the folder of distill.py.

Only the tensors that differ from the untaught checkpoint are kept, in float16. Prints the digests that `halfbert.models.mini`
names.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from halfbert.distillation.pretraining import RECORD
from halfbert.models import checkpoints, mini
from halfbert.system import storage


def pack(model: str, taught: Path) -> None:
    """Write `halfbert/models/taught/MODEL.safetensors` and the record of the lesson beside it."""
    untaught = checkpoints.find(model, checkpoints.MINI_UNTAUGHT).folder
    before, after = load_file(untaught / "model.safetensors"), load_file(taught / "model.safetensors")
    differing = {name: value.astype(np.float16) for name, value in after.items() if not np.array_equal(value, before[name])}
    lesson = mini.TAUGHT / f"{model}.safetensors"
    save_file(differing, lesson)
    storage.write_bytes((taught / RECORD).read_bytes(), mini.TAUGHT / f"{model}.json")
    digest = storage.sha256(lesson)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / model
        mini.teach(lesson, digest, untaught, made)
        made_digest = storage.sha256(made / "model.safetensors")
    print(f"{lesson.name}: {len(differing)} tensors, {lesson.stat().st_size / 1e6:.1f} MB")
    print(f"LESSON_SHA256[{model!r}] = {digest!r}\nTAUGHT_SHA256[{model!r}] = {made_digest!r}")


if __name__ == "__main__":
    pack(sys.argv[1], Path(sys.argv[2]))
