"""Folders with a file for each text, in a subfolder for each label, as ktrain's `texts_from_folder` has it; files of lines."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from halfbert.data.characters import is_blank
from halfbert.data.decoding import decoded
from halfbert.data.phrases import counted
from halfbert.data.tables import Table, locate
from halfbert.system.errors import InputError

SPLITS = {"train": ("train",), "val": ("validation", "val", "dev", "valid"), "test": ("test",)}  # names of parts, by role
TEXT, LABEL = "text", "label"  # the columns of such a table
PLAIN = ".txt"


def has_parts(folder: Path) -> bool:
    """Whether a folder holds train/ and so on, each with a subfolder for each label."""
    train = folder / SPLITS["train"][0]
    return train.is_dir() and any(True for _ in _visible(train, folders=True)) and not any(train.glob(f"*{PLAIN}"))


def part_of(folder: Path, role: str) -> Path | None:
    """The subfolder with the rows of a role (train, val, test), None if there is none; the folder itself if it has no parts."""
    if not has_parts(folder):
        return folder
    return next((folder / name for name in SPLITS[role] if (folder / name).is_dir()), None)


def folder_with(folder: str, role: str) -> str | None:
    """The folder itself if a subfolder of it has the rows of a role."""
    return folder if part_of(Path(folder), role) is not None else None


def read(folder: Path, wanted: Sequence[str], role: str, encoding: str | None) -> Table:
    """Read the files of each label's subfolder, whatever their endings, sorted by label and name.

    Raises InputError, naming the file, for what is no text.
    """
    part = part_of(folder, role)
    if part is None:
        raise InputError(f"{folder}: has no folder {SPLITS[role][0]}/ beside its train/")
    labels = list(_visible(part, folders=True))
    if not labels:
        raise InputError(
            f"{part}: is a folder without subfolders; a folder of texts has one for each label, as in {part}/LABEL/*{PLAIN} "
            f"(hf:{folder} for the folder of a data set)"
        )
    texts: list[str | None] = []
    names: list[str] = []
    digest = hashlib.sha256()
    for label in labels:
        if inner := next(_visible(label, folders=True), None):
            raise InputError(f"{inner}: is a folder in that of a label; give the folder whose subfolders are the labels")
        for file in _visible(label, folders=False):
            data = file.read_bytes()
            text = decoded(file, data, encoding)
            names.append(f"{label.name}/{file.name}")
            texts.append(None if is_blank(text) else text)
            digest.update(f"{names[-1]}\n{len(data)}\n".encode(errors="surrogateescape") + data)
    if not texts:
        raise InputError(f"{part}: has no file in its subfolders")
    of_file = [name.partition("/")[0] for name in names]
    positions = locate(str(part), [TEXT, LABEL], wanted)
    cells: list[list[Any]] = [texts, of_file]
    columns = {name: cells[position] for name, position in positions.items()}
    note = f"{part}: {counted(len(texts), 'file')}, in {counted(len(labels), 'folder')} whose names are the labels"
    numbers = list(range(1, len(texts) + 1))
    own_name = str(part.relative_to(folder.parent))
    return Table(str(part), columns, numbers, digest.hexdigest(), notes=[note], row_names=names, name=own_name)


def _visible(folder: Path, *, folders: bool) -> Iterator[Path]:
    """The folders or the files in a folder by their names, without the hidden ones that systems and programs leave."""
    return (each for each in sorted(folder.iterdir()) if each.is_dir() == folders and not each.name.startswith("."))


def read_lines(path: Path, text: str, wanted: Sequence[str]) -> Table:
    """Read a file with one text a line; blank lines are no rows."""
    numbered = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if not is_blank(line)]
    locate(str(path), [TEXT], wanted)
    return Table(str(path), {TEXT: [line for _, line in numbered]}, [number for number, _ in numbered])
