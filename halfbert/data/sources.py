"""The tables of a run by role: train, and those of val and test that are given."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from halfbert.data.dataframes import is_frame
from halfbert.data.formats import TEXT_SUFFIXES, WORKBOOK_SUFFIXES, read_table
from halfbert.data.phrases import HUB_PREFIX, listed
from halfbert.data.tables import Findings, Source, Table
from halfbert.system.errors import InputError


def read_tables(
    sources: dict[str, Source | None], columns: Sequence[str], sheet: str | None, encoding: str | None, findings: Findings
) -> dict[str, Table]:
    """Read the files that are given for the roles train, val and test; the others need the columns read from train."""
    given = {role: source for role, source in sources.items() if source is not None}
    _check_options(list(given.values()), sheet, encoding)
    tables: dict[str, Table] = {}
    for role, source in given.items():
        tables[role] = read_table(source, columns, role=role, sheet=sheet, encoding=encoding)
        columns = list(tables["train"].columns)
        findings.notes += tables[role].notes
    return tables


def _check_options(sources: Sequence[Source], sheet: str | None, encoding: str | None) -> None:
    names = ["a DataFrame" if is_frame(source) else str(source) for source in sources]
    suffixes = {Path(name).suffix.lower() for name in names if not name.startswith(HUB_PREFIX)}
    if sheet is not None and suffixes.isdisjoint(WORKBOOK_SUFFIXES):
        raise InputError(f"--sheet {sheet}: none of the files is an Excel workbook ({listed(names)})")
    if encoding is not None and suffixes.isdisjoint(TEXT_SUFFIXES):
        raise InputError(f"--encoding {encoding}: none of the files is a text file ({listed(names)})")


def describe_files(tables: dict[str, Table]) -> list[dict[str, Any]]:
    """What `Data.files` holds."""
    return [
        {
            "role": role,
            "name": table.file if table.file.startswith(HUB_PREFIX) else Path(table.file).name,
            "sha256": table.sha256,
            "rows": len(table.numbers),
        }
        for role, table in tables.items()
    ]
