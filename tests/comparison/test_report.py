"""What the report says of made-up results, and what its files hold."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import openpyxl
import pytest

from halfbert.cli import options
from halfbert.comparison import course as comparison
from halfbert.comparison import jobs as comparison_parts
from halfbert.comparison import report as comparison_report
from halfbert.data.tables import Data, Rows
from halfbert.system.console import StopRequest

ROWS = 400
LABELS = ["<b>bold</b>", "=1+1", "plain | bar"]
SECRET = "=HYPERLINK(secret words)"


def speed(engine, rate):
    timed = {"texts_per_second": rate, "single_seconds": 1.5 / rate, "first_answer_seconds": 0.5}
    return {"engine": engine, **timed, "peak_above_import": 2e8, "weight_bytes": 40_000_000}


SPEEDS = {
    "tfidf": [{**speed("scikit-learn", 5000.0), "peak_above_import": None}],
    "student": [speed("onnx", 190.0)],
    "distilbert": [speed("ktrain", 40.0), speed("onnx", 190.0)],
    "bert": [speed("onnx", 100.0), speed("ktrain", 20.0)],
}


def made_up(accuracies, *arguments, seeds=1, suspected=None, curve=False):
    """The record of a comparison in which each contestant is right on the first so many rows (a share of them)."""
    fitted = ",".join(set(accuracies) - {"student"})
    chosen = options.parse_compare(options.compare_parser(), ["--contestants", fitted, *arguments])
    made = comparison.Comparison(chosen, StopRequest())
    made.asked = SimpleNamespace(device="cpu", precision="float32")
    truth = np.arange(ROWS) % 3
    texts = [f"{SECRET} {' word' * (index % 40)}" for index in range(ROWS)]
    test = Rows(texts, [LABELS[number] for number in truth], list(range(2, ROWS + 2)), "held_out.csv")
    made.data = Data(test, test, test, LABELS, [], {}, [])
    made.reading = {"seed": 0}
    made.truth = np.eye(3, dtype=bool)[truth]
    record = {
        "data": {"files": [{"name": "things.csv", "sha256": "0" * 64}], "rows": {"train": 800, "val": 100, "test": ROWS}},
        "checkpoint": {"name": "tiny"},
        "test": {},
        "timing": {"fit_seconds": 12.0},
    }

    def finished(name, share, rows=800):
        wrong = np.arange(ROWS) * 7 % ROWS >= share * ROWS
        size = {"parameters": 1_000_000, "folder_bytes": 38_000_000 if name != "bert" else 50_000_000}
        data = {**record["data"], "rows": {**record["data"]["rows"], "train": rows}}
        return comparison_parts.Finished(
            comparison_parts.Part(f"{name}-seed0", [], {"rows": rows}),
            1.0,
            Path("results"),
            Path("predictor"),
            {**record, "size": size, "data": data},
            np.eye(3)[(truth + wrong) % 3],
            np.array(test.numbers),
        )

    for name, share in accuracies.items():
        made.fitted[name] = [finished(name, share) for _ in range(1 if name == "tfidf" else seeds)]
        made.curve += [(name, finished(name, share - 0.1, 200)), (name, finished(name, share - 0.05, 400))] if curve else []
    return made.record({name: SPEEDS[name] for name in accuracies}, suspected)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report with all that there can be in one: its record, folder and files by name."""
    found = [{"part": "test", "row": n, "text": SECRET, "given": "a", "suggested": "b"} for n in range(20)]
    found += [{"part": "train", "row": 2, "text": SECRET, "given": "a", "suggested": "b"}] * 30
    suspected = {"rows": 1000, "found": found}
    shares = {"tfidf": 0.7, "distilbert": 0.88, "bert": 0.9}
    record = made_up(shares, "--price-per-hour", "1", suspected=suspected, curve=True)
    folder = tmp_path_factory.mktemp("report")
    comparison_report.write(record, folder)
    return SimpleNamespace(record=record, folder=folder, files={file.name: file for file in folder.iterdir()})


def test_a_clear_win_in_words():
    line = comparison_report.verdict_line(made_up({"tfidf": 0.7, "distilbert": 0.9, "bert": 0.9}, seeds=3))
    assert line == (
        "Ship DistilBERT: macro F1 0.900 against BERT's 0.900 (difference +0.000, 95 % interval +0.000 to +0.000, paired "
        "bootstrap on 400 test rows, 3 seeds), 1.9× the rows a second, 0.76× the disk. The interval lies wholly above −0.020, "
        + line[line.index("so it") :]
    )
    assert "so it is good enough. TF-IDF is too weak (difference −0.200, 95 % interval −0." in line


def test_a_clear_loss_in_words():
    line = comparison_report.verdict_line(made_up({"distilbert": 0.6, "bert": 0.9}))
    assert line.startswith("Ship BERT: DistilBERT loses too much: macro F1 0.600 against BERT's 0.900 (difference −0.300, ")
    assert "1 seed); the interval lies wholly below −0.020. It would give 1.9× the rows a second" in line


def test_what_the_rows_cannot_tell_in_words():
    record = made_up({"distilbert": 0.88, "bert": 0.9})
    line = comparison_report.verdict_line(record)
    assert line.startswith("These test rows cannot tell whether DistilBERT is good enough: macro F1 0.880 against BERT's 0.900")
    record["verdict"]["rows_to_tell"] = 35_793
    assert "About 36,000 test rows would tell, if the difference stays" in comparison_report.verdict_line(record)
    assert "Until then BERT is the safe one to ship." in line


def test_the_margin_decides_and_stands_in_the_rule():
    shares = {"distilbert": 0.85, "bert": 0.9}
    strict, lax = (made_up(shares, "--margin", margin) for margin in ("0", "0.1"))
    assert (strict["verdict"]["ship"], lax["verdict"]["ship"]) == ("bert", "distilbert")
    assert "wholly above 0 (the margin" in comparison_report.rule(strict)
    assert "wholly above −0.100 (the margin" in comparison_report.rule(lax)


def test_better_is_said_and_speed_may_be_missing():
    record = made_up({"distilbert": 0.95, "bert": 0.8})
    for contestant in record["contestants"]:
        contestant.update(speeds=[], best_engine=None)
    line = comparison_report.verdict_line(record)
    assert "3 seeds" not in line and ", 0.76× the disk. " in line and line.endswith("It even scores higher.")


def test_figures_of_the_record():
    record = made_up({"tfidf": 0.7, "distilbert": 0.88, "bert": 0.9}, "--price-per-hour", "3.6")
    comparison_ = record["comparisons"][1]
    assert comparison_["retained"]["accuracy"] == {"ratio": pytest.approx(0.88 / 0.9), "points": pytest.approx(-2)}
    assert comparison_["mcnemar"] == {"only_first": 0, "only_second": 8, "p_value": pytest.approx(2 / 2**8)}
    assert comparison_["agreement"] == pytest.approx(0.98)
    by_name = {contestant["name"]: contestant for contestant in record["contestants"]}
    assert by_name["bert"]["best_engine"] == "onnx" and by_name["bert"]["cost_per_million"] == pytest.approx(10.0)
    score = by_name["bert"]["scores"]["accuracy"]
    assert score["low"] < score["score"] == 0.9 < score["high"] and score["by_seed"] == [0.9]
    assert sum(bucket["rows"] for bucket in record["lengths"]) == ROWS == sum(row["rows"] for row in record["per_label"])
    words = [word for bucket in record["lengths"] for word in bucket["words"]]
    assert words == sorted(words) and len(record["lengths"]) == 4
    of_rows = sum(bucket["rows"] * bucket["right"]["bert"] for bucket in record["lengths"]) / ROWS
    assert of_rows == pytest.approx(0.9)
    assert [row["right"] for row in record["private"]["disagreements"]] == ["bert"] * 8


@pytest.mark.parametrize(("share", "says"), [(0.95, "was worth it"), (0.901, "is not sure here")])
def test_what_the_teacher_was_worth(tmp_path, share, says):
    record = made_up({"student": share, "distilbert": 0.9, "bert": 0.95}, "--distill")
    assert made_up({"distilbert": 0.9, "bert": 0.95})["teaching"] is None
    assert record["teaching"]["difference"]["difference"] == pytest.approx(share - 0.9, abs=0.005)
    comparison_report.write(record, tmp_path)
    text = (tmp_path / "verdict.md").read_text(encoding="utf-8")
    assert "## What the teacher was worth" in text and says in text
    assert f"in macro F1 (95 % interval {comparison_report.signed(record['teaching']['difference']['low'])} to" in text


def test_label_errors_bound_what_can_be_reached(report):
    text = report.files["verdict.md"].read_text(encoding="utf-8")
    assert "50 of 1,000 rows (5.0%)" in text and "20 of them test rows" in text and "more than 95.0% of the test rows" in text
    assert report.files["label_errors.csv"].read_text().count(",'=HYPERLINK") == 50


def test_the_learning_curve_says_what_helped_more(report):
    text = report.files["verdict.md"].read_text(encoding="utf-8")
    assert "From 400 to 800 rows DistilBERT gained +0.05" in text and "So far the rows made more of a difference" in text
    assert re.search(r"\| DistilBERT \| 0\.7\d\d \| 0\.8\d\d \| 0\.880 \|", text) and "learning_curve.png" in report.files


class Page(HTMLParser):
    """What a page loads, runs and shows."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.loads, self.shown = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.loads += [value for name, value in attributes if name in ("src", "href", "srcset", "data", "action")]

    def handle_data(self, data):
        self.shown.append(data)


def test_the_page_stands_alone(report):
    text, record = report.files["report.html"].read_text(encoding="utf-8"), report.record
    page = Page(text)
    assert len(page.loads) == page.tags.count("img") == 5
    assert all(source.startswith("data:image/png;base64,iVBOR") for source in page.loads)
    assert not {"script", "link", "iframe", "b"} & set(page.tags)
    assert "@import" not in text and "url(" not in text and "http" not in text
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text
    assert page.tags.count("table") == text.count('<div class="scroll"><table>') >= 6
    shown = " ".join(page.shown)
    assert comparison_report.verdict_line(record) in shown and comparison_report.rule(record) in shown
    assert "<b>bold</b>" in shown and "cost of a million texts at 1 an hour" in shown
    assert shown.index("cannot tell") < shown.index("Quality")  # the verdict comes first


def test_tables_of_the_markdown_hold_together(report):
    text = report.files["verdict.md"].read_text(encoding="utf-8")
    assert "plain \\| bar" in text and text.splitlines()[2].startswith("**")
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        columns = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(columns) == 1, table
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", text):
        assert (report.folder / picture).read_bytes().startswith(b"\x89PNG")


def test_texts_stand_in_the_csv_alone_and_nothing_is_run_as_a_formula(report):
    files = report.files
    having = {name for name, file in files.items() if b"secret words" in file.read_bytes()}
    assert having == {"disagreements.csv", "label_errors.csv"}
    lines = files["disagreements.csv"].read_text(encoding="utf-8-sig").splitlines()
    assert lines[0] == "file,row,text,truth,distilbert,bert,right" and len(lines) == 9
    assert all(",'=HYPERLINK(" in line for line in lines[1:]) and any(",'=1+1," in line for line in lines)
    book = openpyxl.load_workbook(files["comparison.xlsx"])
    cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row]
    assert any(cell.value == "=1+1" for cell in cells) and {cell.data_type for cell in cells} <= {"s", "n", "b"}
    record = json.loads(files["comparison.json"].read_text(encoding="utf-8"))
    assert record["disagreements"] == 8 and "private" not in record and record["verdict"]["small"] == "distilbert"
