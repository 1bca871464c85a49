"""Rows of several text columns, as Python has them."""

import numpy as np
import pandas as pd
import pytest
import tiny_predictors

from halfbert.predictor.rows import read_rows
from halfbert.system.errors import InputError

COLUMNS = ["title", "body"]
ROWS = [("a", "b"), ("c", ""), (None, "d [SEP]"), ("", float("nan"))]
JOINED = ["a [SEP] b", "c [SEP] ", " [SEP] d [ SEP ]", " [SEP] "]


@pytest.mark.parametrize(
    "rows",
    [
        ROWS,
        tuple(ROWS),
        iter(ROWS),
        [list(row) for row in ROWS],
        [dict(zip(["x", "body", "title"], (1, *row[::-1]), strict=True)) for row in ROWS],
        pd.DataFrame(ROWS, columns=COLUMNS, index=[3, 2, 1, 0]),
        pd.DataFrame(ROWS, columns=COLUMNS)[["body", "title"]],
        np.array(ROWS, dtype=object),
        JOINED,
    ],
    ids=["tuples", "tuple", "iterator", "lists", "dicts", "frame", "turned frame", "array", "joined"],
)
def test_every_shape_of_rows_is_joined(rows):
    assert read_rows(rows, COLUMNS) == (JOINED, False)


def test_one_row_is_one():
    for row in (("a", "b"), {"title": "a", "body": "b"}, "a [SEP] b"):
        assert read_rows(row, COLUMNS) == (["a [SEP] b"], True)
    assert read_rows([], COLUMNS) == ([], False)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("a text", "the row is one text; expected rows of 2 texts, 'title', 'body', as tuples, lists or dicts, or a DataFrame"),
        (["a", "b"], "row 1 of 2 is one text"),
        ([("a", "b"), ("a", "b", "c")], "row 2 of 2 has 3 texts"),
        ([("a", "b"), {"title": "a"}], "row 2 of 2 has no 'body'"),
        ([("a", "b"), None], "row 2 of 2 is of type NoneType"),
        ([("a", ["b"])], "row 1 of 1, 'body': holds a list"),
        (3, r"3 \(of type int\)"),
        (pd.DataFrame({"title": ["a"]}), "the DataFrame: has no column 'body'"),
    ],
)
def test_what_is_no_row_is_named(rows, says):
    with pytest.raises(InputError, match=says) as caught:
        read_rows(rows, COLUMNS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("engine", ["onnx", "keras"])
@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_engines_read_the_separator_between_columns_as_the_token(tmp_path, kind, engine):
    folder = tiny_predictors.copy(kind, "multiclass", tmp_path / "predictor")
    plain = tiny_predictors.load(folder, engine)
    tiny_predictors.change_manifest(folder, text_columns=COLUMNS)
    classifier = tiny_predictors.load(folder, engine)
    probabilities = classifier.predict_proba([("the old cat", "my dog"), ("bread", "")])
    np.testing.assert_array_equal(probabilities, plain.predict_proba(["the old cat [SEP] my dog", "bread [SEP] "]))
    assert classifier.predict(("the old cat", "my dog")) == classifier.predict([("the old cat", "my dog")])[0]
    assert np.abs(probabilities[0] - plain.predict_proba("the old cat my dog")).max() > 1e-4
    assert isinstance(classifier.confidence(("bread", "")), float) and len(classifier.review([("bread", "")]).answers) == 1
    with pytest.raises(InputError, match="row 1 of 1 is one text; expected rows of 2 texts"):
        classifier.predict(["bread"])
