"""The tables that a run answers: patterns become files, and each is opened in the format of its ending."""

import glob
from collections.abc import Sequence
from pathlib import Path

from halfbert.data import json_tables, lines, packed
from halfbert.data.formats import (
    ARRAY_SUFFIX,
    DELIMITED_SUFFIXES,
    JSON_LINES_SUFFIXES,
    WORKBOOK_SUFFIXES,
    beginning,
    check_format,
    format_of,
)
from halfbert.data.phrases import HUB_PREFIX
from halfbert.data.sources import Frame, check_layout
from halfbert.data.tables import Layout
from halfbert.data.text_folders import PLAIN
from halfbert.data.texts import DEFAULT
from halfbert.options.prediction import STANDARD_INPUT, PredictOptions
from halfbert.prediction.blocks import Source
from halfbert.prediction.delimited import Delimited
from halfbert.prediction.frames import DataFrame
from halfbert.prediction.json_array import JsonArray
from halfbert.prediction.json_lines import JsonLines
from halfbert.prediction.parquet import Parquet
from halfbert.prediction.standard_input import StandardInput, TextFile
from halfbert.prediction.text_folder import TextFolder
from halfbert.prediction.workbook import Workbook
from halfbert.system.errors import InputError


def files_of(names: Sequence[str]) -> list[Path]:
    """The files, and folders of texts, that names and patterns stand for, each once; those of a pattern are sorted.

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
                continue
            if not beginning(path) and path.suffix.lower() not in JSON_LINES_SUFFIXES:  # where it is a table without rows
                raise InputError(f"{path}: is empty")
            check_format(path, format_of(path))
        files += found
    return list(dict.fromkeys(files))


def open_all(options: PredictOptions) -> list[Source]:
    """The tables, opened. Raises InputError, naming file, line and column, for what cannot be read with certainty."""
    text_column = options.text_column or DEFAULT
    match options.table:
        case [Frame() as frame]:
            return [DataFrame(frame, text_column)]
        case [name] if name == STANDARD_INPUT:
            return [StandardInput(text_column, options.encoding)]
    files, layout = files_of(options.table), Layout.of(options)
    check_layout(layout, list(map(str, files)))
    return [_open(file, text_column, layout) for file in files]


def _open(file: Path, text_column: str, layout: Layout) -> Source:
    suffix, encoding = format_of(file), layout.encoding
    if file.is_dir():
        return TextFolder(file, text_column, encoding)
    if suffix in WORKBOOK_SUFFIXES:
        return Workbook(file, text_column, layout)
    if suffix in DELIMITED_SUFFIXES:
        return Delimited(file, text_column, layout)
    if suffix == PLAIN:
        return TextFile(file, text_column, encoding)
    if suffix == ARRAY_SUFFIX and _holds_array(file, encoding):
        return JsonArray(file, text_column, encoding)
    if suffix in (*JSON_LINES_SUFFIXES, ARRAY_SUFFIX):
        return JsonLines(file, text_column, encoding)
    return Parquet(file, text_column)


def _holds_array(file: Path, encoding: str | None) -> bool:
    with packed.opened(file) as stream:
        _, text = lines.lines_of(file, stream, encoding)
        first = (line for each in text if (line := each.lstrip("\ufeff")).strip())
        return json_tables.is_array(next(first, ""))
