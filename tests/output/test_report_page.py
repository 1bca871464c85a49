"""report.html of a training run: every figure of it is held against the record, and people's ways through it are tried."""

import dataclasses
import json
import re

import browser
import numpy as np
import pytest
from support import LABELS, ROOT

from halfbert.output import record as records
from halfbert.output import report_errors, report_page, sheets
from halfbert.output.advice import LABEL_ERROR_COLUMNS, LABEL_ERRORS, LabelErrors, Suggestion
from halfbert.output.page import MOST_BYTES, Bars, Command, Lines, Matrix, Table
from halfbert.output.record import TextLengths
from halfbert.scoring import multiclass as multiclass_metrics
from halfbert.scoring import multilabel as multilabel_metrics

PUBLISHED = sorted(
    file.parent
    for folder in ("multiclass", "multilabel", "long", "distill", "guarantees")
    for file in (ROOT / "results" / "published" / folder).glob("*/record.json")
)


def sections(page) -> dict:
    return {section.title: section for section in page.sections}


def parts(page, title: str, kind: type) -> list:
    return [part for part in sections(page)[title].parts if isinstance(part, kind)]


def embedded(html: str) -> dict:
    return json.loads(re.search(r'id="record">(.*?)</script>', html)[1])


def read(run):
    return records.read(run.results)


@pytest.fixture(scope="module")
def chromium():
    with browser.browser() as running:
        yield running


def test_a_run_leaves_a_page_that_holds_its_record_and_the_console_names_it(run):
    html = (run.results / "report.html").read_text(encoding="utf-8")
    assert embedded(html) == run.record
    record = read(run)
    assert report_page.headline(record) in html.replace("&#x27;", "'")
    assert f"read about it: {run.results / 'report.html'}" in run.out


def test_the_headline_has_scores_with_intervals_and_says_how_tfidf_compares(run):
    record, line = read(run), report_page.headline(read(run))
    for name in {"multiclass": ("accuracy", "macro_f1"), "multilabel": ("micro_f1", "macro_f1")}[record.task]:
        interval = record.intervals[name]
        assert f"{interval.score:.3f} (95 % interval {interval.low:.3f} to {interval.high:.3f})" in line
    gain = record.tfidf.gain["macro_f1"]
    better, worse = dataclasses.replace(gain, low=0.01, high=0.2), dataclasses.replace(gain, low=-0.2, high=-0.01)
    undecided = dataclasses.replace(gain, low=-0.1, high=0.1)
    for each, expected in [(better, "is better than TF-IDF"), (worse, "TF-IDF is better"), (undecided, "No difference")]:
        tfidf = dataclasses.replace(record.tfidf, gain={"macro_f1": each})
        assert expected in report_page.headline(dataclasses.replace(record, tfidf=tfidf))


def test_the_cards_show_scores_tfidf_and_the_trivial_model(run):
    record = read(run)
    cards = {card.title: card for card in report_page.page(record, run.results).cards}
    assert cards["macro F1"].value == f"{record.intervals['macro_f1'].score:.3f}"
    assert cards["TF-IDF: macro F1"].value == f"{record.tfidf.test['macro_f1']:.3f}"
    assert any(title.startswith(("always", "no label")) for title in cards)
    assert cards["test rows"].state == "warn"  # 42 are few


def test_each_label_has_its_counts_and_intervals_and_few_rows_are_pale(finished):
    record = read(finished)
    table = parts(report_page.page(record, finished.results), "Scores of each label", Table)[0]
    heads = [column.title for column in table.columns]
    rows = [dict(zip(heads, row, strict=True)) for row in table.rows]
    confusion = np.array(record.test["confusion"])
    for number, row in enumerate(rows):
        assert row["test rows"] == confusion[number].sum()
        score, low, high = row["F1"]
        assert low <= score <= high and low < high and score == record.test["per_label"][number]["f1"]
        assert row["training rows"] == record.data.label_rows[number] > 0
    assert sum(record.data.label_rows) == record.data.rows.train
    few = dataclasses.replace(
        record,
        test={**record.test, "per_label": [{**record.test["per_label"][0], "support": 9}, *record.test["per_label"][1:]]},
    )
    table = report_errors.each_label(few).parts[0]
    assert table.marked == [0] and "1 label with fewer than 10 test rows" in table.caption


def test_the_commonest_confusions_are_sentences():
    counts = [[20, 12, 8], [0, 30, 0], [1, 2, 97]]
    assert report_errors.confused_pairs(["billing", "account", "other"], counts, most=3) == [
        "12 of 40 'billing' rows were answered 'account'",
        "8 of 40 'billing' rows were answered 'other'",
        "2 of 100 'other' rows were answered 'account'",
    ]


def test_confusion_is_the_records(finished):
    record = read(finished)
    matrix = parts(report_page.page(record, finished.results), "What is mistaken for what", Matrix)[0]
    assert matrix.counts == record.test["confusion"] and matrix.labels == list(LABELS)


def test_of_many_labels_those_missed_and_invented_are_counted(finished_multilabel):
    record = read(finished_multilabel)
    wrong = [
        {"missed": "food; animal", "invented": "+tool"},
        {"missed": "food", "invented": "+tool"},
        {"missed": "", "invented": "animal"},
    ]
    confusion = [[[5, 1], [2, 3]], [[4, 2], [0, 3]], [[4, 2], [1, 3]]]
    planted = dataclasses.replace(record, test={**record.test, "confusion": confusion})
    sentences, table = report_errors.confusions(planted, wrong).parts
    assert "2 of 5 rows with 'food' did not get it" in sentences.items
    assert "2 of 5 rows that got '+tool' lack it" in sentences.items
    assert table.rows[0] == ["food", "+tool", 2, 1.0]
    assert ["animal", "+tool", 1, 1.0] in table.rows


def test_labels_that_hold_the_separator_are_told_apart():
    assert report_errors.split("a; b; c", {"a; b", "c", "a"}) == ["a; b", "c"]
    assert report_errors.split("", {"a"}) == []


def test_wrong_rows_are_those_of_the_csv_without_its_apostrophes(run):
    record = read(run)
    table = parts(report_page.page(record, run.results), "Wrong answers", Table)[0]
    texts = [row[0] for row in table.rows]
    with open(run.results / "errors.csv", encoding="utf-8-sig") as stream:
        assert "'=cat bread saw" in stream.read()
    assert "=cat bread saw" in texts and not any(text.startswith("'") for text in texts)
    confidence = [column.title for column in table.columns].index("confidence")
    assert all(0 <= row[confidence] <= 1 for row in table.rows)
    assert f"{len(table.rows):,} of {record.data.rows.test} test rows" in table.caption


def test_confidence_in_the_csv_is_the_calibrated_one(finished):
    rows = sheets.read_csv(finished.results / "errors.csv")
    probability, confidence = (np.array([float(row[name]) for row in rows]) for name in ("probability", "confidence"))
    assert read(finished).calibration.temperature != 1
    assert np.corrcoef(probability, confidence)[0, 1] > 0 and not np.allclose(probability, confidence, atol=1e-3)


def test_likely_wrong_labels_are_listed(finished, tmp_path):
    row = dict(zip(LABEL_ERROR_COLUMNS, ("things.csv", 7, "a cat", "food", "animal", "0.91"), strict=True))
    sheets.write_csv(tmp_path / LABEL_ERRORS, LABEL_ERROR_COLUMNS, [row])
    record = dataclasses.replace(read(finished), label_errors=LabelErrors(1, 108, "tfidf"))
    words, table = sections(report_page.page(record, tmp_path))["Labels that are likely wrong"].parts
    assert words.text.startswith("1 of 108 rows likely have a wrong label, by out-of-fold answers of TF-IDF")
    assert list(table.rows[0]) == ["a cat", "food", "animal", 0.91, 7, "things.csv"]


def test_suggestions_stand_first_each_with_its_evidence_and_command(finished):
    found = [Suggestion("try BERT", "it was 3 points better", "train --model bert"), Suggestion("Add rows.", "Few.")]
    page = report_page.page(dataclasses.replace(read(finished), suggestions=found), finished.results)
    assert page.sections[0].title == "What to do next"
    command, words = page.sections[0].parts
    assert command == Command("train --model bert", "Try BERT. It was 3 points better.") and words.text == "Add rows. Few."


def test_learning_curves_show_how_certain_the_kept_epoch_is(run):
    record = read(run)
    losses, scores = parts(report_page.page(record, run.results), "Learning curves", Lines)
    for series in (*losses.series[1:], *scores.series):
        known = [number for number, low in enumerate(series.low, start=1) if low is not None]
        if series.name == "mean ROC AUC":
            assert known == []
            continue
        assert known == [record.best_epoch]
        at = known[0] - 1
        assert series.low[at] <= series.y[at] <= series.high[at] and (series.low[at] < series.high[at] or not series.y[at])
    assert scores.y_range[1] - scores.y_range[0] >= 0.299


def test_calibration_is_drawn_before_and_after(run):
    record = read(run)
    chart = parts(report_page.page(record, run.results), "Calibration", Lines)[0]
    assert [series.name for series in chart.series] == ["network", "calibrated"] and chart.diagonal
    entries = 1 if record.task == "multiclass" else len(record.data.labels)
    for bins in record.calibration.bins.values():
        assert sum(each.rows for each in bins) == record.data.rows.test * entries
    shown = [each for each in record.calibration.bins["network"] if each.rows >= 10]
    assert list(chart.series[0].y) == [each.accuracy for each in shown]


def test_text_lengths_add_up_and_name_those_too_long():
    lengths = TextLengths.of(np.array([3, 4, 4, 10, 11, 12, 40, 500]), 40)
    assert (lengths.texts, lengths.longer, lengths.longest) == (8, 1, 500)
    assert sum(lengths.counts) == 8 and len(lengths.edges) == len(lengths.counts) + 1 <= 17
    assert lengths.edges[-1] == 500 and lengths.counts[0] == 7 - sum(lengths.counts[1:-1])
    one = TextLengths.of(np.array([5]), 512)
    assert sum(one.counts) == 1


def test_text_lengths_of_a_run_are_on_its_page(run):
    record = read(run)
    bars = parts(report_page.page(record, run.results), "Text lengths", Bars)[0]
    assert sum(bars.values) == record.data.rows.train


def test_what_the_checks_found_is_told_without_folders(finished):
    record = read(finished)
    assert record.data.notes and not any(str(finished.train.parent) in note for note in record.data.notes)
    data = sections(report_page.page(record, finished.results))["Data"]
    assert not data.folded and any("repeating the text" in item for part in data.parts for item in getattr(part, "items", []))


def test_a_run_that_ended_early_has_a_page_too(finished, tmp_path, chromium):
    record = dataclasses.replace(read(finished), test=None, intervals=None, tfidf=None, calibration=None, stopped="SIGINT")
    file = report_page.write(record, tmp_path)
    assert "was not tested: the run ended early (SIGINT)" in file.read_text()
    browser.check(chromium, file)


@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda folder: folder.name)
def test_a_page_of_an_older_record_can_be_made(folder, tmp_path):
    file = report_page.write(records.read(folder), tmp_path)
    assert file.stat().st_size < MOST_BYTES


def test_the_page_is_accessible_and_sound(run, chromium):
    browser.check(chromium, run.results / "report.html")


def test_wrong_rows_are_filtered_by_a_label(finished_multilabel, chromium):
    with browser.opened(chromium, finished_multilabel.results / "report.html") as page:
        table = page.locator("section", has=page.get_by_role("heading", name="Wrong answers"))
        missed = table.get_by_label("missed")
        label, count = re.fullmatch(r"(.*) \((\d+)\)", missed.locator("option").last.inner_text()).groups()
        missed.select_option(label)
        rows = sheets.read_csv(finished_multilabel.results / "errors.csv")
        expected = [row for row in rows if label in row["missed"].split("; ") or (label == "–" and not row["missed"])]
        assert int(count) == len(expected)
        shown = table.locator("tbody tr").count()
        assert shown == min(10, len(expected))


@pytest.mark.slow
@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_a_page_of_200_labels_and_50000_rows_stays_small(task, finished, finished_multilabel, tmp_path, chromium):
    rng, labels, rows = np.random.default_rng(0), [f"label number {number}" for number in range(200)], 50_000
    truth = rng.integers(200, size=rows)
    probabilities = rng.random((rows, 200), np.float32) ** 8
    if task == "multiclass":
        probabilities[np.arange(rows), truth] += 0.6
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        test = multiclass_metrics.multiclass(truth, probabilities, labels, 0)
        record = read(finished)
        wrong = {"truth": labels[3], "answer": labels[4], "probability": "0.5"}
    else:
        few = np.eye(200, dtype=int)[truth[:2_000]]
        test = multilabel_metrics.multilabel(few, probabilities[:2_000], np.full(200, 0.5), labels)
        record = read(finished_multilabel)
        wrong = {"truth": "; ".join(labels[:4]), "answer": labels[5], "missed": "; ".join(labels[:4]), "invented": labels[5]}
    data = dataclasses.replace(
        record.data, labels=labels, label_rows=[250] * 200, rows=dataclasses.replace(record.data.rows, test=rows)
    )
    record = dataclasses.replace(record, data=data, test=records.finite(test))
    columns = ("file", "row", "text", *wrong, "loss", "confidence")
    text = "a text of some length, as people write them " * 6
    sheets.write_csv(
        tmp_path / "errors.csv",
        columns,
        (
            {"file": "test.csv", "row": number, "text": f"{number} {text}", **wrong, "loss": "1", "confidence": "0.4"}
            for number in range(rows)
        ),
    )
    file = report_page.write(record, tmp_path)
    assert file.stat().st_size <= MOST_BYTES
    assert "of 50,000 rows; errors.csv has all." in file.read_text()
    browser.check(chromium, file)
