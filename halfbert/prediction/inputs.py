"""The tables that a run answers: patterns become files, and each is opened in the format of its ending."""

import glob
from collections.abc import Sequence
from pathlib import Path

from halfbert.data.formats import (
    DELIMITED_SUFFIXES,
    FILE_SUFFIXES,
    JSON_LINES_SUFFIXES,
    TEXT_SUFFIXES,
    WORKBOOK_SUFFIXES,
    beginning,
    unknown_format,
)
from halfbert.data.phrases import HUB_PREFIX, listed
from halfbert.data.sources import Frame
from halfbert.options.prediction import STANDARD_INPUT, PredictOptions
from halfbert.prediction.blocks import Source
from halfbert.prediction.delimited import Delimited
from halfbert.prediction.frames import DataFrame
from halfbert.prediction.json_lines import JsonLines
from halfbert.prediction.parquet import Parquet
from halfbert.prediction.standard_input import StandardInput
from halfbert.prediction.workbook import Workbook
from halfbert.system.errors import InputError


def files_of(names: Sequence[str]) -> list[Path]:
    """The files that names and patterns stand for, each once; those of a pattern are sorted.

    Raises InputError where there is no such file, or it is none that can be read.
    """
    files: list[Path] = []
    for name in names:
        if name == STANDARD_INPUT or isinstance(name, Frame):
            raise InputError(f"{name}: is given beside other tables; give it alone")
        if name.startswith(HUB_PREFIX):
            raise InputError(f"{name}: data sets of the hub are not answered; give a file")
        found = [Path(name)]
        if glob.has_magic(name) and not found[0].exists():
            found = [Path(each) for each in sorted(glob.glob(name, recursive=True))]
            if not found:
                raise InputError(f"{name}: no file matches this pattern")
        for path in found:
            if path.is_dir():
                raise InputError(f"{path}: is a folder; give its files, as in '{path}/*.parquet'")
            if not beginning(path) and path.suffix.lower() not in JSON_LINES_SUFFIXES:  # where it is a table without rows
                raise InputError(f"{path}: is empty")
            if path.suffix.lower() not in FILE_SUFFIXES:
                raise unknown_format(path)
        files += found
    return list(dict.fromkeys(files))


def open_all(options: PredictOptions) -> list[Source]:
    """The tables, opened. Raises InputError, naming file, line and column, for what cannot be read with certainty."""
    match options.table:
        case [Frame() as frame]:
            return [DataFrame(frame, options.text_column)]
        case [name] if name == STANDARD_INPUT:
            return [StandardInput(options.text_column, options.encoding)]
    files = files_of(options.table)
    for option, value, suffixes in (
        ("--sheet", options.sheet, WORKBOOK_SUFFIXES),
        ("--encoding", options.encoding, TEXT_SUFFIXES),
    ):
        if value is not None and not any(file.suffix.lower() in suffixes for file in files):
            raise InputError(f"{option} {value}: goes with {listed(suffixes)} ({listed([str(file) for file in files])})")
    return [_open(file, options) for file in files]


def _open(file: Path, options: PredictOptions) -> Source:
    suffix = file.suffix.lower()
    if suffix in WORKBOOK_SUFFIXES:
        return Workbook(file, options.text_column, options.sheet)
    if suffix in DELIMITED_SUFFIXES:
        return Delimited(file, options.text_column, options.encoding)
    if suffix in JSON_LINES_SUFFIXES:
        return JsonLines(file, options.text_column, options.encoding)
    return Parquet(file, options.text_column)
