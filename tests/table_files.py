"""Small tables in every format, and what reading them gives, for the tests of halfbert.data."""

import csv
import json

import pytest
from support import write_workbook

from halfbert.data.multiclass import read_multiclass
from halfbert.data.multilabel import read_multilabel
from halfbert.data.tables import Reading
from halfbert.system.errors import InputError

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet", ".xlsx", ".frame")


def numbered(count, labels=("neg", "pos"), word="text"):
    """`count` records of different texts, the labels in turn."""
    return [[f"{word} number {index}", labels[index % len(labels)]] for index in range(count)]


def write_table(path, records, header=("text", "label"), delimiter=",", encoding="utf-8"):
    """Write a table in the format of the path's ending and return the path; for .frame return a DataFrame."""
    if path.suffix in (".csv", ".tsv"):
        with path.open("w", newline="", encoding=encoding) as stream:
            delimiter = "\t" if path.suffix == ".tsv" else delimiter
            csv.writer(stream, delimiter=delimiter, lineterminator="\n").writerows([header, *records])
    elif path.suffix == ".xlsx":
        write_workbook(path, {"Sheet1": [header, *records]})
    elif path.suffix == ".jsonl":
        lines = (json.dumps(dict(zip(header, record, strict=True)), default=str) for record in records)
        path.write_text("\n".join(lines), encoding=encoding)
    elif path.suffix == ".parquet":
        import pyarrow.parquet

        columns = {name: [record[position] for record in records] for position, name in enumerate(header)}
        pyarrow.parquet.write_table(pyarrow.table(columns), path)
    else:
        import pandas

        return pandas.DataFrame(records, columns=list(header))
    return path


def read(source, label_column="label", **options):
    """Read a table of one label a text."""
    return read_multiclass(Reading(train=source, **{"text_column": "text", **options}), label_column)


def read_labels(source, **options):
    """Read a table of any number of labels a text."""
    form = {name: options.pop(name) for name in list(options) if "label" in name or name == "true_values"}
    return read_multilabel(Reading(train=source, **{"text_column": "text", **options}), **form)


def every_row(data):
    """All rows of all parts as (number, text, label or labels), in the order of the table."""
    return sorted(row for _, part in data.parts() for row in zip(part.numbers, part.texts, part.labels, strict=True))


def texts_of(data):
    """The texts of all parts, in the order of the table."""
    return [text for _, text, _ in every_row(data)]


def labels_of(data):
    """The labels of all rows, in the order of the table."""
    return [label for _, _, label in every_row(data)]


def sizes(data):
    """How many rows train, validate and test."""
    return [len(part) for _, part in data.parts()]


def refused(source, *fragments, reader=read, error=InputError, **options):
    """Reading fails with one line that holds each fragment; returns the line."""
    with pytest.raises(error) as caught:
        reader(source, **options)
    message = str(caught.value)
    assert "\n" not in message
    for fragment in fragments:
        assert fragment in message
    return message
