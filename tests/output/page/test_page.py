"""The page kit: what a page holds, what it escapes, its size, and how a reader uses it in a browser."""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

import browser
import pytest

from halfbert.output.page import (
    MOST_BYTES,
    Bars,
    Card,
    Column,
    Command,
    Items,
    Lines,
    Matrix,
    Page,
    Picture,
    Section,
    Series,
    Table,
    Words,
    write,
)

NASTY = "</script><script>alert(1)</script> & <b>"
COLUMNS = [Column("text"), Column("label", "label"), Column("F1", "bar"), Column("share", "share"), Column("rows", "number")]
ROWS = [
    ["first text", "cat", [0.5, 0.25, 0.75], 0.123, 3],
    ["second text", NASTY, [0.9, 0.8, 1.0], 0.9999, 1200],
    ["third", "cat", None, None, None],
    ["fourth text", "dog", 0.7, 0.0, [40, "forty"]],
]
TABLE = Table(COLUMNS, ROWS, "Some rows.", search=True, filters=[1], marked=[0], page_size=3)
VALIDATION = Series("validation", [1, 2], [0.8, 0.4], [0.7, 0.3], [0.9, 0.5])
LINES = Lines("Loss", "epoch", "loss", [Series("training", [1, 2], [0.9, 0.2]), VALIDATION])
EMPTY = Lines("Empty", "x", "y", [Series("none", [1], [None])])
LENGTHS = Bars("Lengths", ["short", "long"], [3, None], [2, None], [4, None])
MATRIX = Matrix("Confusion", ["cat", "dog", NASTY], [[8, 1, 0], [5, 2, 0], [0, 0, 40]])
DATA = r'<script type="application/json" id="{}">(.*?)</script>'


@dataclass
class Record:
    text: str
    score: float


def data(html: str, name: str):
    """What a page holds as JSON."""
    return json.loads(re.search(DATA.format(name), html, re.DOTALL)[1])


def written(tmp_path: Path, *parts, **page) -> Path:
    file = tmp_path / "page.html"
    write(Page("A page", "The headline.", sections=[Section("Section", parts)], **page), file)
    return file


@pytest.fixture(scope="module")
def chromium():
    with browser.browser() as running:
        yield running


@pytest.fixture(scope="module")
def example(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    size = 30
    counts = [[50 if i == j else (i * j) % 7 // 6 for j in range(size)] for i in range(size)]
    sections = [
        Section("Next", [Items(["one", NASTY]), Command("train --model bert", "Try it:"), Words(NASTY)]),
        Section("Curves", [LINES, LENGTHS, EMPTY]),
        Section("Confusion", [MATRIX, Matrix("Many", [f"label {number}" for number in range(size)], counts, "A caption.")]),
        Section("Rows", [TABLE]),
        Section("Options", [Table([Column("option", "label"), Column("value")], [["epochs", 3]], "Options")], folded=True),
    ]
    cards = [Card(NASTY, "0.9", "note", state) for state in ("", "good", "bad", "warn")]
    file = folder / "example.html"
    write(Page(NASTY, "Take it.", cards, sections, Record(NASTY, math.nan), "a note"), file)
    return file


def test_nothing_of_the_values_becomes_html(example):
    html = example.read_text()
    assert NASTY not in html and "<b>" not in html
    assert data(html, "record") == {"text": NASTY, "score": None}
    assert data(html, "drawn")[0]["title"] == "Loss"


def test_a_page_names_no_address_and_allows_no_network(example):
    html = example.read_text()
    assert not re.search(r"(src|href)=\"(?!data:|#)", html)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1]
    assert "default-src 'none'" in policy and "unsafe" not in policy


def test_a_picture_is_in_the_page(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    html = written(tmp_path, Picture(tmp_path / "a.png", "A cat")).read_text()
    assert '<img alt="A cat" src="data:image/png;base64,iVBORw=="' in html


def test_what_is_too_long_is_cut_and_the_page_says_where_all_of_it_is(tmp_path):
    long = Table([Column("text")], [["ä" * 5_000] for _ in range(50_000)], "Wrong rows", source="errors.csv")
    short = Table([Column("number")], [[number] for number in range(200)], "All of these")
    file = written(tmp_path, long, short)
    assert file.stat().st_size <= MOST_BYTES
    first, second = data(file.read_text(), "drawn")
    kept = len(first["rows"])
    assert 500 < kept < 50_000
    assert first["caption"] == f"Wrong rows. The page holds the first {kept:,} of 50,000 rows; errors.csv has all."
    assert first["rows"][0][0] == "ä" * 1_000 + "…"
    assert len(second["rows"]) == 200 and second["caption"] == "All of these"


def test_a_record_that_is_too_long_is_left_to_its_file(tmp_path):
    html = written(tmp_path, record={"text": "a" * 2_000_000}).read_text()
    assert data(html, "record") is None and "record.json has it" in html


def test_letters_that_utf8_has_no_bytes_for_are_written(tmp_path):
    html = written(tmp_path, Words("\ud800\0"), TABLE, record={"text": "\ud800"}).read_text()
    assert r"\ud800\x00" in html and data(html, "record") == {"text": "\ud800"}


def test_the_page_is_accessible_and_sound(chromium, example):
    browser.check(chromium, example)


def test_rows_are_sorted_searched_and_filtered_by_keyboard(chromium, example):
    with browser.opened(chromium, example) as page:
        table = page.locator("#s3")

        def texts():
            return table.locator("tbody tr td:first-child").all_inner_texts()

        assert texts() == ["first text", "second text", "third"]
        table.get_by_role("button", name="Next").press("Enter")
        assert texts() == ["fourth text"]
        heading = table.get_by_role("button", name="F1")
        heading.press("Enter")
        assert texts() == ["second text", "fourth text", "first text"]  # the highest first, what is missing last
        heading.press("Enter")
        assert texts() == ["first text", "fourth text", "second text"]
        assert table.locator("th[aria-sort]").get_attribute("aria-sort") == "ascending"
        table.get_by_label("Search").press_sequentially("TEXT")
        table.get_by_role("button", name="rows").press("Enter")
        assert texts() == ["second text", "fourth text", "first text"]
        assert table.get_by_role("status").inner_text() == "Rows 1 to 3 of 3 (of 4)"
        table.get_by_label("Search").fill("")
        table.get_by_label("label").press("c")
        assert texts() == ["first text", "third"]
        assert table.get_by_role("status").inner_text() == "Rows 1 to 2 of 2 (of 4)"
        assert table.locator("tr.pale").all_inner_texts()[0].startswith("first text")
        assert "12.3%" in table.inner_text() and "0.500 (0.25 to 0.75)" in table.inner_text()


def test_the_matrix_is_sorted_and_zoomed_by_keyboard(chromium, example):
    with browser.opened(chromium, example) as page:
        small, many = page.locator("figure.matrix").all()

        def names():
            return small.locator("tbody th").all_inner_texts()

        def width():
            return many.locator("tbody td").first.bounding_box()["width"]

        assert names()[:2] == ["cat", "dog"]
        wrong = small.locator("tbody tr").nth(1).locator("td").first
        assert wrong.get_attribute("title") == "5 of 7 'dog' rows were answered 'cat'"
        small.get_by_label("Order").select_option("rows")
        assert names()[1:] == ["cat", "dog"]
        before = width()
        many.get_by_role("region").press("+")
        assert width() > before
        for _ in range(4):
            many.get_by_role("region").press("-")
        assert width() < before and many.get_by_role("button", name="Zoom out").is_disabled()
        assert many.locator("tbody tr").count() == 25
        many.get_by_label("Labels").select_option("30")
        assert many.locator("tbody tr").count() == 30


def test_curves_fit_their_width_and_are_named_at_their_ends(chromium, example):
    for width in browser.WIDTHS.values():
        with browser.opened(chromium, example, width) as page:
            chart = page.locator("figure.lines svg").first
            assert set(chart.locator("text").all_text_contents()[-2:]) == {"training", "validation"}
            assert "validation: 0.400 at the end" in chart.get_attribute("aria-label")
            assert chart.locator(".band").count() == 1


def test_a_link_opens_a_folded_section_and_paper_shows_it(chromium, example):
    with browser.opened(chromium, example) as page:
        details = page.locator("details")
        assert details.get_attribute("open") is None
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert details.get_attribute("open") is not None
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert details.get_attribute("open") is None
        page.get_by_role("link", name="Options").press("Enter")
        page.wait_for_timeout(50)
        assert page.get_by_text("epochs").is_visible()


def test_without_a_script_the_page_says_so(chromium, example):
    with browser.opened(chromium, example, java_script_enabled=False) as page:
        assert "switched off" in page.content() and page.get_by_text("Take it.").is_visible()
