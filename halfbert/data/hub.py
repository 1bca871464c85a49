"""Read a split of a Hugging Face data set, from the hub or a local folder."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from halfbert.data import workbooks
from halfbert.data.headers import column_names, locate
from halfbert.data.phrases import HUB_PREFIX
from halfbert.data.tables import Table
from halfbert.system.errors import InputError, ResourceError

SPLITS = {"train": ("train",), "val": ("validation", "val", "dev", "valid"), "test": ("test",)}


def read_hub(source: str, columns: Sequence[str], role: str) -> Table:
    """Read a split through `datasets.load_dataset`; a local folder is a name as well."""
    try:
        datasets = importlib.import_module("datasets")
    except ImportError as error:
        raise InputError(f"{source}: reading from the hub needs the package datasets: pip install datasets") from error
    name = source.removeprefix(HUB_PREFIX)
    config = None
    if not Path(name).is_dir():
        name, _, config = name.partition(":")
    try:
        splits = datasets.load_dataset(name, config or None)
    except ConnectionError as error:
        reason = workbooks.first_line(error)
        raise ResourceError(f"{source}: the hub is not reachable ({reason}); give a local file or folder") from error
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise InputError(f"{source}: cannot be loaded ({workbooks.first_line(error)})") from error
    split = next((splits[name] for name in SPLITS[role] if name in splits), None)
    if split is None:
        raise InputError(f"{source}: has no {SPLITS[role][0]} split; its splits are {', '.join(splits)}")
    stored = split.column_names
    positions = locate(source, column_names(stored, source), columns)
    values = {name: _values(split, stored[position]) for name, position in positions.items()}
    return Table(source, values, list(range(1, split.num_rows + 1)), split._fingerprint)


def _values(split: Any, name: str) -> list[Any]:
    """The values of a column; class numbers, also in lists, become class names, and the -1 of unlabelled test splits None."""
    feature = split.features[name]
    class_names = getattr(getattr(feature, "feature", feature), "names", None)
    if class_names is None:
        return list(split[name])

    def named(value: Any) -> Any:
        if isinstance(value, list):
            return [named(each) for each in value]
        return None if value is None or value < 0 else class_names[value]

    return [named(value) for value in split[name]]
