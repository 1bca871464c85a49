"""The texts of a finished run's test rows, read again from its table, which results do not hold."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from halfbert.data.tables import Reading
from halfbert.output.record import Record
from halfbert.system import storage
from halfbert.system.errors import HalfbertError
from halfbert.system.machine import PROJECT
from halfbert.training import tasks

OPTIONS = ("text_column", "sheet", "header_row", "delimiter", "encoding", "drop_missing", "keep_leaks", "rows", "test_rows")


def of_test(record: Record) -> dict[int, str]:
    """The text of each test row by its number; none where a file is not where it was, or not what it was."""
    files = {file.role: _unchanged(record.options.get(file.role), file.sha256) for file in record.data.files}
    if "train" not in files or not all(files.values()):
        return {}
    given = {name: record.options[name] for name in OPTIONS if name in record.options}
    seed, group_column = record.split.seed if record.split else 0, record.options.get("group_column")
    try:
        reader, columns = tasks.reader(record.task, SimpleNamespace(**record.options))
        parts: dict[str, Any] = {role: str(file) for role, file in files.items()}
        data = reader(Reading(**parts, **given, seed=seed, group_column=group_column), **columns)
    except (HalfbertError, AttributeError, TypeError):  # a record of an earlier version, whose options were others
        return {}
    return dict(zip(data.test.numbers, data.test.texts, strict=True))


def _unchanged(name: object, sha256: str) -> Path | None:
    """The file of a record's option: as given, or in the project, if its content is the same."""
    for file in (Path(str(name)), PROJECT / str(name)):
        if file.is_file() and storage.sha256(file) == sha256:
            return file
    return None
