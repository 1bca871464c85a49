"""What an engine makes of a predictor's weights and keeps in its folder, with a note beside it of what it was made from."""

import json
import warnings
from pathlib import Path

from halfbert.system import storage

NOTE = "made_from.json"


def is_current(file: Path, made_from: dict[str, str]) -> bool:
    """Whether there is such a file, made from this, and unaltered since."""
    try:
        note = json.loads((file.parent / NOTE).read_text(encoding="utf-8"))
        return note == {**made_from, "sha256": storage.sha256(file)}
    except (OSError, ValueError):
        return False


def keep(content: bytes, file: Path, made_from: dict[str, str]) -> str | bytes:
    """Write the file and its note, in a folder of their own; returns its name, or the content where that cannot be written."""
    try:
        with storage.atomic_folder(file.parent) as folder:
            storage.write_bytes(content, folder / file.name)
            storage.write_json({**made_from, "sha256": storage.sha256(folder / file.name)}, folder / NOTE)
    except OSError as error:
        warnings.warn(f"{file} cannot be kept ({error.strerror}); it will be made again each time", stacklevel=2)
        return content
    return str(file)
