"""A table that the page labels is, byte for byte, the one that predict.py writes; where one refuses, both do."""

import numpy as np
import pytest

from halfbert.data.characters import is_blank
from halfbert.data.tables import Layout
from halfbert.prediction.blocks import Block
from halfbert.prediction.delimited import Delimited, DelimitedWriter
from halfbert.prediction.scorer import Column
from halfbert.system.errors import InputError

NAMES = ["label", "confidence", "note"]
HERE = """async ({ bytes, name, wanted, names, cells }) => {
    try {
      const table = readTable(Uint8Array.from(bytes), name, wanted);
      const made = new Blob([labelledTable(table, names, table.rows.map(() => cells))]);
      return { written: [...new Uint8Array(await made.arrayBuffer())], texts: table.rows.map(({ parts }) => parts) };
    } catch (error) {
      return { error: error.message };
    }
}"""
TABLES = {
    "plain": b"text,n\ngood bread,1\nbad cat,2\n",
    "no last line end": b"text,n\ngood bread,1\nbad cat,2",
    "mark and CRLF": "\ufefftext,n\r\ngrüße 🙂,1\r\n".encode(),
    "quotes, delimiters and line ends in cells": b'n,text\n1,"a, ""b""\r\nc"\n2,"""x"""\n3,plain " here\n',
    "all cells in quotes": b'"text","n"\r\n"a","1"\r\n',
    "semicolons": "text;größe\ngut, sehr;1\n".encode(),
    "tabs in csv": b"text\tn\na,b\t1\n",
    "bars": b"n|text\n1|a;b\n",
    "empty lines": b"\n\ntext,n\n\na,1\n  \nb,2\n\n\n",
    "one column": b"text\na\n\n  \nb\n",
    "columns of the same name": b"text,label,predicted_label,note\na,x,y,z\n",
    "formulas pass as they are": b'text,n\n=1+1,"=cmd"\n@a,-1\n',
    "utf-16": "text,n\r\ngrüße 🙂,1\r\n".encode("utf-16"),
    "utf-16 with the larger byte first": b"\xfe\xff" + "text,n\ngrüße,1\n".encode("utf-16-be"),
    "header alone": b"text,n\n",
    "carriage returns": b"text,n\ra,1\rb,2\r",
}
REFUSED = {
    "latin-1": ("text\ngrüße\n".encode("latin-1"), "is not UTF-8 text"),
    "a workbook": (b"PK\x03\x04xxxx", "is a workbook"),
    "empty": (b"", "is empty"),
    "a cell too many": (b"text,n\na,1\nb,2,3\n", "Line 3 has 3 cells and the header has 2"),
    "an open quote": (b'text,n\na,1\n"b,2\n', "Line 3 opens a double quote that is never closed"),
    "a stray quote": (b'text,n\n"a"b,1\n', "The record on line 2 has a stray double quote"),
    "another column": (b"body,n\na,1\n", "has no column “text”; its columns are “body”, “n”"),
    "the column twice": (b"text,text\na,b\n", "has 2 columns named “text”"),
    "a NUL byte": (b"text,n\na\x00,1\n", "Line 2 holds a NUL byte"),
}


def here(scripts, data, name, cells):
    return scripts(HERE, {"bytes": list(data), "name": name, "wanted": ["text"], "names": NAMES, "cells": cells})


@pytest.mark.parametrize("case", TABLES)
@pytest.mark.parametrize("label", ["animal", '=a,"b"; c|d\te'])
def test_a_table_is_the_one_of_predict(scripts, tmp_path, case, label):
    data, file = TABLES[case], tmp_path / ("t.tsv" if case == "tabs" else "t.csv")
    file.write_bytes(data)
    source = Delimited(file, "text", Layout())
    taken, columns = set(source.columns), []
    for name, kind in zip(NAMES, ("text", "number", "text"), strict=True):
        while name in taken:
            name = f"predicted_{name}"
        taken.add(name)
        columns.append(Column(name, kind))
    with (tmp_path / "out.csv").open("wb") as stream:
        writer = DelimitedWriter(stream, ".csv", source, columns, ";")
        texts = []
        for block in source.blocks():
            writer.write(block, [[label] * len(block.texts), np.full(len(block.texts), 0.5), [""] * len(block.texts)])
            texts += block.texts
        if not texts:
            writer.write(Block(source, [], []), [[], [], []])
        writer.close()
    found = here(scripts, data, file.name, [label, "0.500000", ""])
    assert bytes(found["written"]) == (tmp_path / "out.csv").read_bytes()
    assert [None if is_blank(text) else text for (text,) in found["texts"]] == texts


@pytest.mark.parametrize("case", REFUSED)
def test_a_broken_table_is_refused_where_predict_refuses_it(scripts, tmp_path, case):
    data, message = REFUSED[case]
    (tmp_path / "t.csv").write_bytes(data)
    with pytest.raises(InputError):
        list(Delimited(tmp_path / "t.csv", "text", Layout()).blocks())
    assert message in here(scripts, data, "t.csv", ["a", "b", "c"])["error"]


def test_what_shows_nothing(scripts):
    many = [*(chr(point) for point in range(0x110000) if not 0xD800 <= point < 0xE000), "", " \u200b\n", "🏴\U000e0067"]
    blank = scripts("(texts) => texts.flatMap((text, number) => (isBlank(text) ? [number] : []))", many)
    assert blank == [number for number, text in enumerate(many) if is_blank(text)]
