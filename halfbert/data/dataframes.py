"""Read a pandas DataFrame as the file that `to_csv(index=False)` or `to_parquet` would make of it. Imports no pandas itself."""

import hashlib
from collections.abc import Sequence
from typing import Any

from halfbert.data.headers import column_names, locate
from halfbert.data.tables import Table
from halfbert.system.errors import InputError


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
    """Whether `source` is a pandas.DataFrame or of a class derived from it."""
    return any(kind.__name__ == "DataFrame" and kind.__module__.split(".")[0] == "pandas" for kind in type(source).__mro__)


def read_frame(frame: Any, columns: Sequence[str], role: str) -> Table:
    """Read `columns` of a DataFrame, its index ignored; rows are numbered from 1."""
    file = f"the DataFrame given as {role}"
    if frame.columns.nlevels > 1:
        raise InputError(f"{file}: has {frame.columns.nlevels} levels of column names; give one with a single level")
    names = column_names(frame.columns.tolist(), file)
    values = {name: frame.iloc[:, position].tolist() for name, position in locate(file, names, columns).items()}
    digest = hashlib.sha256()
    for name, cells in values.items():
        for text in (name, *map(str, cells)):
            digest.update(f"{text}\n".encode(errors="surrogatepass"))
    return Table(file, values, list(range(1, len(frame) + 1)), digest.hexdigest())
