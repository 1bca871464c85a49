"""The page about an answered table: counts of all rows, a bounded sample of them, and what is refused."""

import json
import re

import browser
import numpy as np
import pandas as pd
import pytest
from support import example_rows, run_python, write_csv

import halfbert
from halfbert.prediction import page
from halfbert.prediction.scorer import Scorer
from halfbert.system.errors import InputError

TEXTS = [text for text, _ in example_rows(30)]


def drawn(file, name="drawn"):
    """What a page holds as data: its tables, or its record."""
    return json.loads(re.search(rf'id="{name}">(.*?)</script>', file.read_text(encoding="utf-8"))[1])


@pytest.fixture
def table(tmp_path):
    texts = [*TEXTS[:10], "", *TEXTS[10:], "<script>alert(1)</script> the old cat", " "]
    return write_csv(tmp_path / "in.csv", [(text,) for text in texts], ("text",))


def test_counts_are_of_all_rows_and_the_sample_is_of_the_least_confident(predict, table, tmp_path, small_groups, monkeypatch):
    monkeypatch.setattr(page, "MOST_ROWS", 7)
    said = predict(table, "--output", tmp_path / "out.csv", "--report", tmp_path / "page.html")
    assert said.endswith(f"page: {tmp_path / 'page.html'}\n")
    frame = pd.read_csv(tmp_path / "out.csv").dropna(subset=["label"])
    labels, least, unanswered = (each["rows"] for each in drawn(tmp_path / "page.html"))
    assert {label: count for label, count, *_ in labels if count} == frame["label"].value_counts().to_dict()
    means = frame.groupby("label")["confidence"].mean()
    assert all(mean == pytest.approx(means[label], abs=1e-4) for label, count, _, mean in labels if count)
    expected = frame.sort_values("confidence", kind="stable").head(7)
    assert [row[3] for row in least] == pytest.approx(expected["confidence"].tolist(), abs=1e-4) and len(frame) == 31
    assert [row[1] for row in least] == expected["text"].tolist() and [row[0] for row in least] == (expected.index + 2).tolist()
    assert [row[1] for row in unanswered] == ["no text", "no text"] and unanswered[0][0] == 12
    record = drawn(tmp_path / "page.html", "record")
    assert (record["rows"], record["output"], record["unanswered"]) == (33, "out.csv", {"no text": 2})
    bins = np.histogram(frame["confidence"], bins=10, range=(0, 1))[0]
    text = (tmp_path / "page.html").read_text()
    assert all(f"<td>{count}</td>" in text for count in bins) and "<script>alert" not in text


def test_with_a_rule_the_sample_is_of_rows_left_to_a_person(predict, table, tmp_path):
    predict(table, "--output", tmp_path / "out.csv", "--report", tmp_path / "page.html", "--max-review", "0.5")
    frame = pd.read_csv(tmp_path / "out.csv")
    left = frame[frame["label"] == "review"]
    labels, shown, _ = (each["rows"] for each in drawn(tmp_path / "page.html"))
    assert 0 < len(left) < 31 and {row[1] for row in shown} == set(left["text"])
    assert sum(count for _, count, *_ in labels) == 31 and "left to a person" in (tmp_path / "page.html").read_text()


def test_a_resumed_run_has_the_page_of_one_that_was_never_interrupted(predict, table, tmp_path, small_groups, monkeypatch):
    predict(table, "--output", tmp_path / "whole.csv", "--report", tmp_path / "whole.html")
    answer, calls = Scorer.answer, []

    def dies(self, texts, advance=None):
        calls.append(len(texts))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return answer(self, texts, advance)

    monkeypatch.setattr(Scorer, "answer", dies)
    how = (table, "--output", tmp_path / "out.csv", "--report", tmp_path / "page.html")
    with pytest.raises(KeyboardInterrupt):
        predict(*how)
    assert not (tmp_path / "page.html").exists() and not (tmp_path / "out.csv").exists()
    assert "had been answered by an earlier run" in predict(*how)
    assert drawn(tmp_path / "page.html") == drawn(tmp_path / "whole.html")


def test_any_number_of_labels_and_a_frame(tags, tmp_path):
    frame = pd.DataFrame({"text": TEXTS})
    answered = halfbert.predict_table(tags.folder, frame, engine="onnx", report=tmp_path / "page.html")
    labels, least = (each["rows"] for each in drawn(tmp_path / "page.html"))
    counts = answered["labels"].explode().value_counts().to_dict()
    assert {label: count for label, count, *_ in labels if count} == counts and len(least) == len(TEXTS)


def test_pages_that_cannot_be_written_are_refused_before_any_text_is_answered(predict, table, tmp_path):
    (tmp_path / "there.html").write_text("mine")
    for report, more, said in (
        ("page.txt", (), "give it the ending .html"),
        ("there.html", (), "already exists"),
        ("page.html", ("--ray", "auto"), "not with --ray"),
    ):
        with pytest.raises(InputError, match=said):
            predict(table, "--output", tmp_path / "out", "--report", tmp_path / report, *more)
    assert (tmp_path / "there.html").read_text() == "mine" and not (tmp_path / "out").exists()


def test_the_base_install_writes_it():
    code = "import sys, halfbert.prediction.page; print([m for m in ('jinja2', 'pandas', 'matplotlib') if m in sys.modules])"
    assert run_python("-c", code).stdout == "[]\n"


def test_the_page_is_sound_in_a_browser(predict, table, tmp_path):
    with browser.browser() as running:
        predict(table, "--output", tmp_path / "out.csv", "--report", tmp_path / "page.html", "--max-review", "0.5")
        browser.check(running, tmp_path / "page.html")
