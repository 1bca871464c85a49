"""Read the tables of a run, by role (train, val, test), from files, Hugging Face data sets or pandas DataFrames."""

import hashlib
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from halfbert.data.cells import as_spelt
from halfbert.data.formats import DELIMITED_SUFFIXES, FOLDER, TEXT_SUFFIXES, WORKBOOK_SUFFIXES, format_of, read_file
from halfbert.data.phrases import HUB_PREFIX, listed
from halfbert.data.tables import Findings, Layout, Reading, Source, Table, locate
from halfbert.data.text_folders import SPLITS
from halfbert.data.workbooks import first_line
from halfbert.system.errors import InputError, ResourceError

# Of each option of the layout: the formats that it is for, and their name.
FOR_FORMATS = {
    "sheet": (WORKBOOK_SUFFIXES, "an Excel workbook"),
    "header_row": ((*WORKBOOK_SUFFIXES, *DELIMITED_SUFFIXES), "an Excel workbook, csv or tsv"),
    "delimiter": (DELIMITED_SUFFIXES, "csv or tsv"),
    "encoding": ((*TEXT_SUFFIXES, FOLDER), "a text file"),
}


class Frame(str):
    """The name by which options, messages and records know a DataFrame, which it carries."""

    frame: Any

    def __new__(cls, frame: Any, role: str) -> "Frame":
        self = super().__new__(cls, f"the DataFrame given as {role}")
        self.frame = frame
        return self

    def __deepcopy__(self, _memo: object) -> str:
        return str(self)  # of a copy, as records make one, the name is enough


def is_frame(source: Any) -> bool:
    """Whether `source` is a pandas.DataFrame or of a class derived from it; imports no pandas."""
    return any(kind.__name__ == "DataFrame" and kind.__module__.split(".")[0] == "pandas" for kind in type(source).__mro__)


def read_tables(reading: Reading, columns: Sequence[str], findings: Findings) -> dict[str, Table]:
    """Read the files that are given for the roles train, val and test; the others need the columns read from train."""
    given = {role: getattr(reading, role) for role in ("train", "val", "test") if getattr(reading, role) is not None}
    names = ["a DataFrame" if is_frame(source) else str(source) for source in given.values()]
    check_layout(reading, names)
    tables: dict[str, Table] = {}
    for role, source in given.items():
        tables[role] = read_table(source, columns, role, reading)
        columns = list(tables["train"].columns)
        findings.notes += tables[role].notes
    return tables


def check_layout(layout: Layout, names: Sequence[str]) -> None:
    """Raise InputError if an option is given that is for none of these files."""
    formats = {format_of(Path(name)) for name in names if not name.startswith(HUB_PREFIX)}
    for option, (suffixes, kind) in FOR_FORMATS.items():
        value = getattr(layout, option)
        if value is not None and formats.isdisjoint(suffixes):
            flag = option.replace("_", "-")
            shown = "tab" if value == "\t" else value
            raise InputError(f"--{flag} {shown}: none of the files is {kind} ({listed(names)})")


def read_table(source: Source, columns: Sequence[str], role: str, layout: Layout) -> Table:
    """Read `columns` of a file, of a DataFrame, or of the split of a hub data set that `role` (train, val or test) names.

    EVERY_OTHER among the columns stands for all that are not requested by name, in the order of the file. A table without
    rows is a valid one.

    Raises InputError, naming file, line or column, for anything that cannot be read with certainty; ResourceError when
    the hub is not reachable.
    """
    source = source.frame if isinstance(source, Frame) else source
    if is_frame(source):
        return _read_frame(source, columns, role)
    if not isinstance(source, str | Path):
        kind = f"{type(source).__module__}.{type(source).__name__}".removeprefix("builtins.")
        raise InputError(f"{role}: give the name of a file or a pandas DataFrame, not a {kind}")
    if str(source).startswith(HUB_PREFIX):
        return _read_hub(str(source), columns, role)
    return read_file(Path(source), columns, layout, role)


def _read_frame(frame: Any, columns: Sequence[str], role: str) -> Table:
    """Read a DataFrame as the file that `to_csv(index=False)` would make of it; rows are numbered from 1."""
    file = str(Frame(frame, role))
    if frame.columns.nlevels > 1:
        raise InputError(f"{file}: has {frame.columns.nlevels} levels of column names; give one with a single level")
    values = {}
    for name, position in locate(file, frame.columns.tolist(), columns).items():
        column = frame.iloc[:, position]
        values[name] = as_spelt(column.tolist(), str(column.dtype))
    digest = hashlib.sha256()
    for name, cells in values.items():
        for text in (name, *map(str, cells)):
            digest.update(f"{text}\n".encode(errors="surrogatepass"))
    return Table(file, values, list(range(1, len(frame) + 1)), digest.hexdigest())


def _read_hub(source: str, columns: Sequence[str], role: str) -> Table:
    """Read a split through `datasets.load_dataset`, of a data set on the hub or in a local folder."""
    try:
        datasets = importlib.import_module("datasets")
    except ImportError as error:
        raise InputError(f"{source}: reading from the hub needs the package datasets: pip install datasets") from error
    name, config = source.removeprefix(HUB_PREFIX), ""
    if not Path(name).is_dir():
        name, _, config = name.partition(":")
    try:
        splits = datasets.load_dataset(name, config or None)
    except ConnectionError as error:
        raise ResourceError(f"{source}: the hub is not reachable ({first_line(error)}); give a local file or folder") from error
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise InputError(f"{source}: cannot be loaded ({first_line(error)})") from error
    split = next((splits[name] for name in SPLITS[role] if name in splits), None)
    if split is None:
        raise InputError(f"{source}: has no {SPLITS[role][0]} split; its splits are {', '.join(splits)}")
    stored = split.column_names
    values = {name: _hub_values(split, stored[position]) for name, position in locate(source, stored, columns).items()}
    return Table(source, values, list(range(1, split.num_rows + 1)), split._fingerprint)


def _hub_values(split: Any, name: str) -> list[Any]:
    """The values of a column; class numbers, also in lists, become class names, and the -1 of unlabelled test splits None."""
    feature = split.features[name]
    class_names = getattr(getattr(feature, "feature", feature), "names", None)
    if class_names is None:
        return as_spelt(list(split[name]), getattr(feature, "dtype", ""))

    def named(value: Any) -> Any:
        if isinstance(value, list):
            return [named(each) for each in value]
        return None if value is None or value < 0 else class_names[value]

    return [named(value) for value in split[name]]


def describe_files(tables: dict[str, Table]) -> list[dict[str, Any]]:
    """What `Data.files` holds."""
    return [
        {
            "role": role,
            "name": table.name or (table.file if table.file.startswith(HUB_PREFIX) else Path(table.file).name),
            "sha256": table.sha256,
            "rows": len(table.numbers),
        }
        for role, table in tables.items()
    ]
