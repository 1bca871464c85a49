"""--review: the rows to label next, from a table to the training table and through another training."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import tiny_predictors
from support import TAGS, end_here, example_rows, tagged_rows, train_here, write_csv, write_tags

import halfbert
from halfbert.scoring import active_learning

POOL = [text for text, _ in example_rows(80, seed=9)]


@pytest.fixture
def source(tmp_path):
    return write_csv(tmp_path / "new.csv", [(text,) for text in ["", *POOL]], ("text",))


def read(file):
    readers = {".csv": pd.read_csv, ".xlsx": pd.read_excel, ".parquet": pd.read_parquet}
    if file.suffix == ".jsonl":
        return pd.read_json(file, lines=True)
    return pd.read_csv(file, sep="\t") if file.suffix == ".tsv" else readers[file.suffix](file)


def trained(here, checkpoint, table, *arguments, task="multiclass", name="try"):
    model = ("--model", "distilbert", "--checkpoint", checkpoint, "--epochs", "1", "--overwrite", "--no-tfidf")
    output = here / "predictors" / name
    said = train_here(*model, "--train", table, "--output", output, *arguments, script=f"train_{task}")
    return output, said


@pytest.mark.parametrize("ending", ["xlsx", "csv", "tsv", "jsonl", "parquet"])
def test_the_rows_are_written_in_every_format_with_an_empty_label(predict, source, tmp_path, ending, things):
    file = tmp_path / f"next.{ending}"
    said = predict(source, "--review", "12", "--review-file", file)
    frame = read(file)
    assert list(frame) == ["text", "label", "review_guess", "review_confidence", "review_row"]
    assert len(frame) == frame["text"].nunique() == 12 and frame["label"].isna().all() and set(frame["text"]) <= set(POOL)
    assert frame["review_guess"].tolist() == things.classifier.predict(frame["text"].tolist())
    assert frame["review_row"].tolist() == [f"new.csv line {POOL.index(text) + 3}" for text in frame["text"]]
    assert f"to label next: 12 rows in {file}; fill in 'label'" in said and "written:" not in said
    uncertain = active_learning.uncertainty(things.classifier.predict_proba(POOL), one_label=True)[:, 0]
    order = [uncertain[POOL.index(text)] for text in frame["text"]]
    assert (np.diff(order) <= 1e-6).all()


def test_answers_are_written_as_well_if_an_output_is_given(predict, source, tmp_path):
    predict(source, "--output", tmp_path / "plain.csv")
    predict(source, "--output", tmp_path / "out.csv", "--review", "5", "--review-file", tmp_path / "next.csv")
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "plain.csv").read_bytes()
    assert len(read(tmp_path / "next.csv")) == 5


def test_rows_labelled_and_appended_train_the_next_predictor(here, predict, tiny_distilbert, tensorflow_ready, source):
    table = write_csv(here / "things.csv", [(*row, 7) for row in example_rows(120)], ("body", "kind", "n"))
    columns = ("--text-column", "body", "--label-column", "kind")
    first, _ = trained(here, tiny_distilbert, table, *columns)
    texts = pd.read_csv(table)["body"].tolist()
    again = write_csv(here / "again.csv", [(text,) for text in [*texts, *POOL]], ("text",))
    said = predict(again, "--text-column", "text", "--review", "30", "--review-file", here / "next.xlsx", predictor=first)
    frame = pd.read_excel(here / "next.xlsx")
    assert list(frame)[:2] == ["body", "kind"] and not set(frame["body"]) & set(texts)
    assert "in the training table already: " in said and "fill in 'kind'" in said
    frame["kind"] = frame["body"].map(dict(example_rows(80, seed=9)))
    pd.concat([pd.read_csv(table), frame]).to_csv(here / "more.csv", index=False)
    _, said = trained(here, tiny_distilbert, here / "more.csv", *columns)
    assert "120 train, 15 validation, 15 test rows" in said


@pytest.mark.parametrize("form", ["columns", "names"])
def test_rows_with_any_number_of_labels_are_appended_too(here, predict, tiny_distilbert, tensorflow_ready, form, tmp_path):
    rows, new = tagged_rows(120), dict(tagged_rows(60, seed=3))
    if form == "columns":
        table, options = write_tags(here / "tags.csv", rows), ()
    else:
        table = write_csv(here / "tags.csv", [(text, " | ".join(tags)) for text, tags in rows], ("text", "tags"))
        options = ("--label-column", "tags", "--label-separator", " | ")
    first, _ = trained(here, tiny_distilbert, table, *options, task="multilabel")
    source = write_csv(tmp_path / "in.csv", [(text,) for text in new], ("text",))
    predict(source, "--review", "30", "--review-file", here / "next.xlsx", predictor=first)
    frame = pd.read_excel(here / "next.xlsx").convert_dtypes()
    guesses = halfbert.load(first, "onnx").predict(frame["text"].tolist())
    between = ";" if form == "columns" else " | "
    assert frame["review_guess"].fillna("").tolist() == [between.join(each) for each in guesses]
    if form == "columns":
        for tag in TAGS:
            frame[tag] = [int(tag in new[text]) for text in frame["text"]]
    else:
        frame["tags"] = [" | ".join(new[text]) for text in frame["text"]]
    pd.concat([pd.read_csv(table), frame]).to_csv(here / "more.csv", index=False)
    second, said = trained(here, tiny_distilbert, here / "more.csv", *options, task="multilabel")
    assert "120 train, 15 validation, 15 test rows" in said
    assert (
        json.loads((second / "halfbert.json").read_text())["labels"]
        == json.loads((first / "halfbert.json").read_text())["labels"]
    )


def test_fewer_rows_than_wanted_are_explained(predict, tmp_path, things):
    close = [f"the old cat was here and there with my big dog and your small horse{sign}" for sign in (".", "!", "?", "")]
    source = write_csv(tmp_path / "in.csv", [(text,) for text in [*close, "bread", "bread", ""]], ("text",))
    said = predict(source, "--review", "5", "--review-file", tmp_path / "next.csv")
    assert len(read(tmp_path / "next.csv")) == 2
    assert "to label next: 2 of 5; the others repeat these, or are labelled or blank" in said
    labelled = write_csv(tmp_path / "labelled.csv", [("",), ("",)], ("text",))
    with pytest.raises(halfbert.InputError, match="no row is left to label"):
        predict(labelled, "--review", "1", "--review-file", tmp_path / "none.csv")
    assert not (tmp_path / "none.csv").exists()


def test_a_predictor_of_an_earlier_version_says_what_it_does_not_know(predict, source, tmp_path, things):
    folder = shutil.copytree(things.folder, tmp_path / "old")
    tiny_predictors.change_manifest(folder, data={}, label_column=None, text_columns=[])
    said = predict(source, "--review", "5", "--review-file", tmp_path / "next.csv", predictor=folder)
    assert "does not say which texts it was trained on" in said and "does not say what its label column is called" in said


def test_a_data_frame_and_a_guarantee(things, tmp_path):
    frame = pd.DataFrame({"text": POOL})
    answered = halfbert.predict_table(
        things.folder, frame, review=9, review_file=tmp_path / "next.csv", max_review=0.5, engine="onnx"
    )
    found = read(tmp_path / "next.csv")
    assert len(answered) == len(POOL) and len(found) == 9 and "review" not in set(found["review_guess"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--review", "5"), "give --review-file"),
        (("--review-file", "n.csv"), "goes with --review"),
        (("--review", "0", "--review-file", "n.csv"), "--review: '0' is not an integer of at least 1"),
        (("--review", "five", "--review-file", "n.csv"), "--review: 'five' is not an integer"),
        (("--review", "90", "--review-file", "n.csv"), "90 rows to label next: there are 81 only"),
        (("--review", "5", "--review-file", "n.doc"), "give it one of these endings"),
        (("--review", "5", "--review-file", "n"), "give it one of these endings"),
        (("--review", "5", "--review-file", "there.csv"), "already exists; --overwrite replaces it"),
        (("--review", "5", "--review-file", "new.csv", "--overwrite"), "is read as well"),
        (("--review", "5", "--review-file", "n.csv", "--output", "n.csv"), "is another output as well"),
        (("--review", "5", "--review-file", "o/n.csv", "--output", "o"), "or in one"),
        (("--review", "5", "--review-file", "n.csv", "--ray", "auto", "--output", "o"), "without --ray"),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_written(things, source, arguments, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.csv").write_text("mine")
    assert end_here(things.folder, source, *arguments, "--engine", "onnx", script="predict") == 2
    said = capsys.readouterr().err.strip()
    assert message in said and "\n" not in said
    assert {path.name for path in tmp_path.iterdir()} == {"new.csv", "there.csv"}
    assert (tmp_path / "there.csv").read_text() == "mine"


def test_too_few_lines_of_the_standard_input_are_seen_at_the_end(predict, monkeypatch, tmp_path):
    import io
    import sys
    from types import SimpleNamespace

    given = io.BytesIO("\n".join(POOL[:3]).encode())
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=given))
    with pytest.raises(halfbert.InputError, match="5 rows to label next: there are 3 only"):
        predict("-", "--review", "5", "--review-file", tmp_path / "next.csv", "--output", tmp_path / "out.csv")
    assert not (tmp_path / "next.csv").exists()
