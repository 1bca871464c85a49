"""What the report says of made-up and of published results, and what its files hold."""

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import openpyxl
import pytest
from browser import SCHEMES, WIDTHS, browser, opened, violations
from support import ROOT

from halfbert.comparison import course, jobs, report, rule, wording
from halfbert.comparison import record as records
from halfbert.comparison.record import Speed
from halfbert.data.tables import Data, Rows
from halfbert.options import CompareOptions
from halfbert.output.record import DataFile, DataSummary, Leaks, RowCounts, Size, Timing
from halfbert.output.words import significant
from halfbert.system.errors import ArtefactError

ROWS = 400
LABELS = ["<b>bold</b>", "=1+1", "plain | bar"]
SECRET = "=HYPERLINK(secret words)"


def speed(engine, rate, peak=2e8):
    return Speed(engine, rate, 1.5 / 190, 0.5, peak, 40_000_000)


FILE = DataFile(role="train", name="things.csv", sha256="0" * 64, rows=1)
SPEEDS = {
    "tfidf": [speed("scikit-learn", 5000.0, peak=None)],
    "student": [speed("onnx", 190.0)],
    "distilbert": [speed("ktrain", 40.0), speed("onnx", 190.0)],
    "bert": [speed("onnx", 100.0), speed("ktrain", 20.0)],
}


def made_up(accuracies, seeds=1, suspects=None, curve=False, speeds=SPEEDS, finished_only=False, **options):
    """Record and private rows of a comparison in which each contestant is right on the first so many rows (a share)."""
    contestants = ["tfidf", "distilbert", "bert"] if finished_only else sorted({*accuracies} - {"student"} | {"bert"})
    options = CompareOptions(contestants=contestants, distill="student" in accuracies, **options)
    truth = np.arange(ROWS) % 3
    texts = [f"{SECRET} {' word' * (index % 40)}" for index in range(ROWS)]
    test = Rows(texts, [LABELS[number] for number in truth], list(range(2, ROWS + 2)), "held_out.csv")
    experiment = jobs.Experiment(
        options=options,
        training=jobs.training_options(options, "bert"),
        data=Data(test, test, test, LABELS, [], {}, []),
        truth=np.eye(3, dtype=bool)[truth],
        checkpoints={},
        work=jobs.Work(Path("work")),
        notes=["a note"],
        rows=None,
    )

    def finished(name, share, rows=800):
        wrong = np.arange(ROWS) * 7 % ROWS >= share * ROWS
        record = SimpleNamespace(
            data=DataSummary([FILE], RowCounts(rows, 100, ROWS), LABELS, 0, Leaks()),
            checkpoint=SimpleNamespace(name="tiny"),
            test={},
            timing=Timing(fit_seconds=12.0),
            size=Size(1_000_000, 38_000_000 if name != "bert" else 50_000_000),
        )
        part, answers = jobs.Part(f"{name}-seed0", [], {"rows": rows}), np.eye(3, dtype=bool)[(truth + wrong) % 3]
        folders = Path("results"), Path("predictor")
        return jobs.Finished(part, 1.0, *folders, record, answers, np.array(test.numbers), (part.label,))

    fits = course.Fits({}, [])
    for name, share in accuracies.items():
        fits.full[name] = [finished(name, share)] * (1 if name == "tfidf" else seeds)
        fits.curve += [(name, finished(name, share - 0.1, 200)), (name, finished(name, share - 0.05, 400))] if curve else []
    return course.judge(experiment, course.Done(fits, {name: speeds[name] for name in accuracies}, suspects))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A report with all that there can be in one: its record, folder and files by name."""
    suspect = {"row": 2, "text": SECRET, "given": "a", "suggested": "b"}
    found = [{"part": part, **suspect} for part in ["test"] * 20 + ["train"] * 30]
    shares = {"tfidf": 0.7, "distilbert": 0.88, "bert": 0.9}
    record, private = made_up(shares, price_per_hour=1, suspects=course.Suspects(1000, found), curve=True)
    folder = tmp_path_factory.mktemp("report")
    report.write(record, private, folder)
    return SimpleNamespace(record=record, folder=folder, files={file.name: file for file in folder.iterdir()})


@pytest.mark.parametrize(
    ("shares", "line", "holds"),
    [
        (
            {"tfidf": 0.7, "distilbert": 0.9, "bert": 0.9},
            "Ship DistilBERT. DistilBERT scores 0.900 in macro F1, BERT 0.900 (difference +0.000, 95 % interval +0.000 to "
            "+0.000; paired bootstrap on 400 test rows, 3 seeds). It answers 1.9× as many texts per second and takes 1× the "
            "disk space. The whole interval lies above −0.020, so it is good enough.",
            "TF-IDF is too weak (difference to DistilBERT −0.2",
        ),
        (
            {"distilbert": 0.6, "bert": 0.9},
            "BERT is worth its cost. DistilBERT scores 0.600 in macro F1, BERT 0.900 (difference −0.300, ",
            "It answers 1.9× as many texts per second and takes 1× the disk space. The whole interval lies below −0.020, so it "
            "loses too much.",
        ),
        (
            {"tfidf": 0.7, "distilbert": 0.9, "bert": 0.885},
            "Ship DistilBERT. DistilBERT scores 0.900 in macro F1, BERT 0.885 (difference +0.015, ",
            "It even scores higher.",
        ),
        (
            {"distilbert": 0.89, "bert": 0.905},
            "Take DistilBERT, which probably loses less than 0.02, or test about ",
            "It scores lower, and the interval contains −0.020: these rows cannot tell whether by more. About ",
        ),
        (
            {"tfidf": 0.8, "student": 0.9, "distilbert": 0.89},
            "Ship the distilled student. ",
            "TF-IDF is too weak (difference to the distilled student −0.1",
        ),
    ],
)
def test_the_verdict_in_words(shares, line, holds):
    found = wording.verdict_line(made_up(shares, seeds=3)[0])
    assert found.startswith(line) and holds in found


def test_why_each_of_the_others_was_not_picked():
    line = wording.verdict_line(made_up({"tfidf": 0.7, "student": 0.9, "distilbert": 0.89, "bert": 0.85})[0])
    assert line.endswith("DistilBERT (0.890) scores lower than the distilled student (0.900) and is no faster.")
    line = wording.verdict_line(made_up({"tfidf": 0.9, "distilbert": 0.9, "bert": 0.91})[0])
    assert "DistilBERT scores as TF-IDF does (0.900) and is slower." in line
    line = wording.verdict_line(made_up({"tfidf": 0.9, "student": 0.905, "distilbert": 0.85, "bert": 0.91}, margin=0.03)[0])
    assert line.startswith("Ship TF-IDF.") and "The distilled student (0.905) scores higher and is slower." in line


def test_the_margin_decides_and_speed_may_be_missing():
    shares = {"distilbert": 0.85, "bert": 0.9}
    for margin, headline, limit in ((0, "BERT is worth its cost", "0"), (0.1, "Ship DistilBERT", "−0.100")):
        record, _ = made_up(shares, margin=margin)
        assert wording.headline(record) == headline and f"wholly above {limit} it is good enough" in wording.rule(record)
    line = wording.verdict_line(made_up({"distilbert": 0.95, "bert": 0.8}, speeds=dict.fromkeys(SPEEDS, ()))[0])
    assert "1 seed). It takes 0.76× the disk space." in line and line.endswith("It even scores higher.")


def test_one_finished_contestant_is_reported_without_a_verdict(tmp_path):
    record, private = made_up({"distilbert": 0.8}, finished_only=True, speeds={name: [] for name in SPEEDS})
    report.write(record, private, tmp_path)
    text = (tmp_path / "verdict.md").read_text(encoding="utf-8")
    assert text.splitlines()[2].startswith("**No verdict: only DistilBERT has a score. Macro F1: 0.800 (")
    assert "## Differences" not in text and "Rule:" not in text and records.read(tmp_path) == record
    assert not (tmp_path / "quality.png").exists() and not (tmp_path / "disagreements.csv").exists()
    assert json.loads((tmp_path / "comparison.json").read_text())["verdict"] is None


def test_whatever_data_make_zero_is_reported(tmp_path):
    """Equal answers and no margin, nothing right, no texts per second, no bytes, no price to speak of."""
    nothing = [replace(speed("onnx", 0.0), single_seconds=0.0, first_answer_seconds=0.0, weight_bytes=0)]
    speeds = {"distilbert": nothing, "bert": nothing}
    record, private = made_up({"distilbert": 0.0, "bert": 0.0}, margin=0, price_per_hour=1e-9, speeds=speeds)
    unlucky = [replace(contestant, folder_bytes=0, fit_seconds=[]) for contestant in record.contestants]
    record = replace(record, contestants=unlucky, label_errors=records.LabelErrors(0, 0, 0, 0))
    report.write(record, private, tmp_path)
    text = (tmp_path / "verdict.md").read_text(encoding="utf-8")
    verdict = rule.verdict(record)
    assert (verdict.found, verdict.more_rows, record.comparisons[0].mcnemar.p_value) == (rule.NO_DIFFERENCE, None, 1.0)
    assert "No realistic number of test rows would tell" in text and "cost of a million texts at 0.000000001 per hour" in text
    assert record.comparisons[0].retained["macro_f1"].ratio is None and "| – (+0.0) |" in text


def test_numbers_as_people_write_them():
    values = {8.15e-05: "0.0000815", 1e-9: "0.000000001", 1234567.8: "1,234,568", 99.96: "100", 12.345: "12.3", 0.5: "0.5"}
    values |= {0: "0", None: "–", float("inf"): "–"}
    assert {value: significant(value) for value in values} == values


def test_figures_of_the_record():
    record, private = made_up({"tfidf": 0.7, "distilbert": 0.88, "bert": 0.9}, price_per_hour=3.6)
    pairing, bert = record.pairing("bert", "distilbert"), record.contestant("bert")
    assert pairing.retained["accuracy"] == records.Retained(pytest.approx(0.88 / 0.9), pytest.approx(-2))
    assert pairing.mcnemar == records.McNemar(0, 8, pytest.approx(2 / 2**8)) and pairing.agreement == pytest.approx(0.98)
    assert bert.best_engine == "onnx" and bert.cost_per_million == pytest.approx(10.0)
    score = bert.scores["accuracy"]
    assert score.low < score.score == 0.9 < score.high and score.by_seed == [0.9]
    assert sum(bucket.rows for bucket in record.lengths) == ROWS == sum(row.rows for row in record.per_label)
    words = [word for bucket in record.lengths for word in bucket.words]
    assert words == sorted(words) and len(record.lengths) == 4
    assert sum(bucket.rows * bucket.right["bert"] for bucket in record.lengths) / ROWS == pytest.approx(0.9)
    assert [row["right"] for row in private["disagreements"]] == ["BERT"] * 8


@pytest.mark.parametrize(("share", "words"), [(0.95, "Distillation helped."), (0.901, "do not show that distillation helped")])
def test_what_distillation_gained(share, words):
    record, _ = made_up({"student": share, "distilbert": 0.9, "bert": 0.95})
    assert made_up({"distilbert": 0.9, "bert": 0.95})[0].teaching is None
    assert record.teaching.difference.difference == pytest.approx(share - 0.9, abs=0.005)
    text = report.markdown(record)
    assert "## What distillation gained" in text and words in text
    assert f"in macro F1 (95 % interval {wording.signed(record.teaching.difference.low)} to" in text


def test_label_errors_bound_what_can_be_reached_and_the_learning_curve_says_what_helped_more(made):
    text = made.files["verdict.md"].read_text(encoding="utf-8")
    assert "50 of 1,000 rows (5.0%)" in text and "20 of them test rows" in text and "more than 95.0% of the test rows" in text
    assert "From 400 to 800 training rows DistilBERT gained +0.05" in text and "the rows made more of a difference" in text
    assert re.search(r"\| DistilBERT \| 0\.7\d\d \| 0\.8\d\d \| 0\.880 \|", text) and "learning_curve.png" in made.files
    # A student may lack rows that its teacher's held-out texts repeat.
    points = [p if p.name != "bert" else replace(p, rows=p.rows - 1) for p in made.record.learning_curve]
    assert "| – |" in report.markdown(replace(made.record, learning_curve=points))


@pytest.mark.parametrize("name", ["banking77", "goemotions", "news", "toxic"])
def test_published_records_are_read_and_reported(name, tmp_path):
    folder = ROOT / "results/published/compare" / name
    record = records.read(folder)
    assert report.markdown(record) == (folder / "verdict.md").read_text(encoding="utf-8")
    records.write(record, tmp_path)
    assert records.read(tmp_path) == record
    (tmp_path / records.RECORD).write_text('{"schema_version": 1}')
    with pytest.raises(ArtefactError, match="no record of a comparison"):
        records.read(tmp_path)


def test_three_cards_of_the_shipped_model_beside_its_rival(made):
    score, rate, size = report.cards(made.record)
    assert (score.title, score.value) == ("macro F1, BERT", "0.900") and score.note.endswith("; DistilBERT: 0.880")
    assert (rate.value, rate.note) == ("100", "onnx; DistilBERT: 190")
    assert (size.value, size.note) == ("40", "of onnx; DistilBERT: 40")
    untimed = report.cards(made_up({"tfidf": 0.9, "bert": 0.9}, speeds={name: [] for name in SPEEDS})[0])
    assert (untimed[1].value, untimed[1].note) == ("–", "not timed")
    assert (untimed[2].value, untimed[2].note) == ("38", "of the folder; BERT: 50")


def test_the_page_in_a_browser(made):
    """Headline and cards, the reasons folded below, rows to search; nothing for axe-core to object to."""
    file, record = made.files["report.html"], made.record
    with browser() as running:
        for scheme in SCHEMES:
            for width in WIDTHS.values():
                with opened(running, file, width, scheme) as page:
                    assert violations(page) == [] and page.evaluate("document.documentElement.scrollWidth") <= width
        with opened(running, file) as page:
            assert page.inner_text(".headline") == wording.headline(record) and page.locator(".card").count() == 3
            why = page.locator("details").first
            assert not why.locator("p").first.is_visible()
            why.locator("summary").click()
            assert wording.rule(record) in why.inner_text() and wording.reasons(record) in why.inner_text()
            rows = page.locator("section", has=page.locator("h2", has_text="Disagreements")).locator("tbody tr")
            assert rows.count() == 8 and rows.first.inner_text().startswith("=HYPERLINK(secret words)")
            page.locator("input[type=search]").first.fill("no such words")
            assert rows.count() == 0


def test_tables_of_the_markdown_hold_together(made):
    text = made.files["verdict.md"].read_text(encoding="utf-8")
    assert "plain \\| bar" in text and text.splitlines()[2].startswith("**")
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        columns = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(columns) == 1, table
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", text):
        assert (made.folder / picture).read_bytes().startswith(b"\x89PNG")


def test_texts_stand_in_the_page_and_the_csv_alone_and_nothing_is_run_as_a_formula(made):
    files = made.files
    having = {name for name, file in files.items() if b"secret words" in file.read_bytes()}
    assert having == {"report.html", "disagreements.csv", "label_errors.csv"}
    lines = files["disagreements.csv"].read_text(encoding="utf-8-sig").splitlines()
    assert lines[0] == "file,row,text,truth,DistilBERT,BERT,right" and len(lines) == 9
    assert all(",'=HYPERLINK(" in line for line in lines[1:]) and any(",'=1+1," in line for line in lines)
    book = openpyxl.load_workbook(files["comparison.xlsx"])
    cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row]
    assert {"BERT", "DistilBERT"} <= {cell.value for cell in cells} and "distilbert" not in {cell.value for cell in cells}
    assert any(cell.value == "=1+1" for cell in cells) and {cell.data_type for cell in cells} <= {"s", "n", "b"}
    record = json.loads(files["comparison.json"].read_text(encoding="utf-8"))
    assert record["disagreements"] == 8 and "private" not in record and record["verdict"]["ship"] == "bert"
