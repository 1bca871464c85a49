"""Several text columns, from the table to the answers of every reader of the saved predictor."""

import shutil

import numpy as np
import pandas as pd
import pytest
from support import LABELS, example_rows, plain_ktrain, run_script, tagged_rows, write_csv

import halfbert


def split_rows(task):
    """Rows of title, body and label or labels of 0 and 1; the label's words stand on either side."""
    rows = []
    for text, label in tagged_rows(120) if task == "multilabel" else example_rows(120):
        words = text.split()
        answers = [int(tag in label) for tag in ("animal", "food")] if task == "multilabel" else [label]
        rows.append([" ".join(words[:2]), " ".join(words[2:]), *answers])
    return rows


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_a_predictor_of_several_columns_takes_the_same_columns_everywhere(task, quick, here, tmp_path):
    rows = split_rows(task)
    labels = ("animal", "food") if task == "multilabel" else ("label",)
    table = write_csv(tmp_path / "pairs.csv", rows, ("title", "body", *labels))
    run = quick("--text-column", "title,body", task=task, train=table)
    assert run.manifest["text_columns"] == run.record["data"]["text_columns"] == ["title", "body"]
    assert 'try").predict([("title", "body")])' in run.said
    card = (run.folder / "README.md").read_text()
    assert "the cells of 2 columns, `title`, `body`, joined by `[SEP]`" in card
    assert 'predictor.predict("title [SEP] body")' in card

    new = [(title, body) for title, body, *_ in rows[:8]]
    joined = [f"{title} [SEP] {body}" for title, body in new]
    classifier = halfbert.load(run.folder, "onnx", allow_disagreement=True)
    probabilities = classifier.predict_proba(new)
    shutil.copytree(run.folder, tmp_path / "elsewhere" / "try")
    plain = plain_ktrain(tmp_path / "elsewhere", joined, "try")["try"]
    np.testing.assert_allclose(np.array(plain["probabilities"]), probabilities, atol=1e-4)
    separator = classifier._here.tokenizer.token_to_id("[SEP]")
    assert [list(classifier.encode([text]).ids).count(separator) for text in joined] == [2] * 8

    write_csv(tmp_path / "new.csv", [(body, title, "x") for title, body in new], ("body", "title", "other"))
    done = run_script(
        run.folder, tmp_path / "new.csv", "--engine", "onnx", "--output", tmp_path / "out.csv", script="predict.py", cwd=here
    )
    assert done.returncode == 0, done.stderr
    answers = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    expected = classifier.predict(new)
    assert answers["label" if task == "multiclass" else "labels"].tolist() == [
        answer if task == "multiclass" else ";".join(answer) for answer in expected
    ]
    assert task == "multilabel" or set(expected) <= set(LABELS)
