"""The page of a benchmark: every contestant, pair and figure."""

import json
import re

import browser
import pytest
from benchmark_records import of_cases, without_scores

from halfbert.benchmark import page as benchmark_page
from halfbert.benchmark import plots as benchmark_plots
from halfbert.output.page import write


def page_data(record, folder):
    """Tables and record of the page that is written of a benchmark."""
    pictures = benchmark_plots.draw(record, folder)
    write(benchmark_page.page_of(record, pictures, folder, "things"), folder / "report.html")
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert text.count("data:image/png") == len(pictures)
    found = re.findall(r'<script type="application/json" id="\w+">(.*?)</script>', text)
    return text, *map(json.loads, found)


def test_the_page_has_every_contestant_pair_and_figure(record, tmp_path):
    record.predictors[0].learned_from = record.texts.used
    text, (contestants, missing, *_, pairs, published, every), data = page_data(record, tmp_path)
    assert "The fastest in batches is small, onnx: 955 texts a second, 5 times as fast as large, keras." in text
    assert (
        "trained large or chose its epoch, so its accuracy on these texts means nothing" in text and "trained small" not in text
    )
    found = {tuple(row[:2]): row[3:] for row in contestants["rows"]}
    assert set(found) == {("large", "keras"), ("large", "onnx"), ("small", "keras"), ("small", "onnx")}
    score, rate, one, start, memory, weights, equal = found["small", "onnx"]
    assert (score, start, memory, weights, equal) == (0.75, pytest.approx(1.55), 123, 45, 1.0)
    assert (rate, one) == (pytest.approx(954.5, abs=0.1), pytest.approx(2.1, abs=0.01))
    assert [row[6] for row in pairs["rows"]] == [[2.0, "2.00"], [1.01, "1.01"]] and missing["rows"][0][:2] == ["small", "torch"]
    assert published["rows"][-1][0] == "score (accuracy on the runs' test rows)" and "How to read this" in text
    assert len(every["rows"]) == len(record.figures) and data["texts"]["used"] == record.texts.used
    assert "cases" not in data["contestants"][0] and "blocks" not in data["pairs"][0]
    record.quick, record.stopped = True, "SIGINT"
    assert "A quick look, too short to quote figures from. Stopped by SIGINT" in page_data(record, tmp_path)[0]


def test_the_page_of_a_benchmark_that_measured_nothing(record, tmp_path):
    for each in of_cases(without_scores(record), lambda _: False).contestants:
        each.cold, each.not_run = [], "stopped"
    record.pairs = []
    text, tables, _ = page_data(record, tmp_path)
    assert "0 contestants measured." in text and len(tables) == 2  # what was not measured, and what others published


def test_the_page_is_sound_in_a_browser(record, tmp_path):
    with browser.browser() as running:
        page_data(record, tmp_path)
        browser.check(running, tmp_path / "report.html")
