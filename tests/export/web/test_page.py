"""The exported page in Chromium, from disk and without a network: it answers, explains and labels tables as the predictor."""

import csv
import http.server
import io
import json
import threading
from functools import partial
from pathlib import Path

import browser
import numpy as np
import pytest
import serving_predictors
import tiny_predictors
from support import LABELS
from tiny_predictors import MAXLEN, TEXTS, change_manifest

import halfbert
from halfbert.export import web
from halfbert.export.web import pages, texts
from halfbert.predictor.classifier import Classifier
from halfbert.predictor.engines import onnx

ALIKE = 0.03  # a sum whose last digit differs may round to the next of 256 steps
TEXT = "the old cat is here and my hammer was there"
ANSWERS = "async (texts) => (await (await loading).answers(JSON.parse(texts))).map((answer) => answer.probabilities)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A calibrated predictor of one label a text."""
    return serving_predictors.proven(tmp_path_factory.mktemp("predictor") / "things")


@pytest.fixture(scope="module")
def exported(folder) -> Path:
    return halfbert.export(folder, "web", folder.with_name("shop")) / pages.INDEX


def answers(page, many: list[str]) -> np.ndarray:
    return np.array(page.evaluate(ANSWERS, json.dumps(many)))


def expected(folder: Path) -> Classifier:
    """The predictor, answered by the page's graph in ONNX Runtime outside the browser."""
    classifier = tiny_predictors.load(folder, "onnx-int8")
    return classifier.with_forward(onnx.forward_of(onnx.open_session(web.graph_of(classifier.predictor), 1)))


def type_text(page, text: str):
    page.get_by_label("Type or paste a text").fill(text)
    page.locator(".answer strong").wait_for()


def test_answers_are_those_of_the_engine(chromium, folder, exported):
    many = [*TEXTS, *texts.texts_in_any_script(["the", "cat", "bread", "hammer"], 300)]
    with browser.opened(chromium, exported) as page:
        found = answers(page, many)
    reference = expected(folder).predict_proba(many)
    assert np.abs(found - reference).max() < ALIKE and (found.argmax(axis=1) == reference.argmax(axis=1)).mean() > 0.99


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_many_labels_have_thresholds(chromium, tmp_path, kind, single):
    folder = tiny_predictors.copy(kind, "multilabel", tmp_path / "tags")
    output = halfbert.export(folder, "web", tmp_path / "page.html" if single else tmp_path / "page", single_file=single)
    with browser.opened(chromium, output if single else output / pages.INDEX) as page:
        for text in TEXTS[2:4]:
            type_text(page, text)
            shown = page.locator(".answer strong").inner_text()
            assert shown == (", ".join(expected(folder).predict(text)) or "no label")
            page.get_by_label("Type or paste a text").fill("")
            page.locator(".answer:empty").wait_for()
        assert page.get_by_text("not calibrated", exact=True).is_visible()
        assert np.abs(answers(page, TEXTS) - expected(folder).predict_proba(TEXTS)).max() < ALIKE


@pytest.mark.parametrize("pooling", [None, {"name": "mean"}, {"name": "max"}, {"name": "attention", "sharpness": 2.0}])
def test_long_texts_are_read_as_the_predictor_reads_them(chromium, tmp_path, pooling):
    folder = tiny_predictors.copy("distilbert", "multiclass", tmp_path / "long")
    change_manifest(folder, **({"long": "windows", "pooling": pooling} if pooling else {"long": "head-tail"}))
    many = ["bread " * 21 + "the cat and the dog was here " * 30 + "hammer " * 9, "wolf " * MAXLEN, *TEXTS]
    exported = halfbert.export(folder, "web", tmp_path / "page") / pages.INDEX
    with browser.opened(chromium, exported) as page:
        assert np.abs(answers(page, many) - expected(folder).predict_proba(many)).max() < ALIKE


def test_what_is_typed_is_answered_explained_and_left_to_a_person(chromium, folder, exported):
    classifier = expected(folder)
    with browser.opened(chromium, exported) as page:
        type_text(page, TEXT)
        answer = classifier.predict(TEXT)
        assert page.locator(".answer strong").inner_text() == answer
        shown = float(page.locator(".answer").inner_text().split("confidence ")[1].split("%")[0].strip("<>"))
        assert shown == pytest.approx(100 * classifier.confidence(TEXT), abs=1)
        page.get_by_label("Guarantee").select_option(label="at most 5% wrong answers")
        page.locator(".badge").wait_for()
        review = classifier.review([TEXT], max_error=0.05)
        assert page.locator(".badge").inner_text() == ("a person decides" if review.review[0] else "answered")
        assert page.locator(".rule").inner_text().lower() == review.line.lower()
        page.locator("#answers button.plain").filter(has_text=answer).press("Enter")
        page.get_by_text("The words as a table").click()
        rows = page.locator("#answers details tbody tr")
        found = {row.locator("th").inner_text(): float(row.locator("td").inner_text()) for row in rows.all()}
        words = {word.text: word.contribution for word in classifier.explain(TEXT, answer).words}
        assert found == pytest.approx(words, abs=0.1) and len(found) > 5
        type_text(page, "bread " * 40)
        page.get_by_text(f"{MAXLEN} of the text's 42 tokens are read; the pale part is not.").wait_for()
        assert page.locator(".unread").inner_text().split() == ["bread"] * (42 - MAXLEN)


def test_a_dropped_table_comes_back_labelled(chromium, folder, exported, tmp_path):
    rows = ["text,n", '"the old cat",1', ",2", '"my bread, ""new""",3', "a saw,4", " ,5"]
    table = tmp_path / "in.csv"
    table.write_text("\ufeff" + "\r\n".join(rows) + "\r\n", encoding="utf-8", newline="")
    halfbert.predict_table(folder, table, output=tmp_path / "expected.csv", engine="onnx-int8", max_error=0.05)
    with browser.opened(chromium, exported, accept_downloads=True) as page:
        page.get_by_label("Guarantee").select_option(label="at most 5% wrong answers")
        page.get_by_label("Drop a file here").set_input_files(table)
        page.get_by_role("button", name="Label it").press("Enter")
        with page.expect_download() as download:
            page.get_by_role("button", name="Download the labelled table").click()
        made = Path(download.value.path()).read_bytes()
        assert download.value.suggested_filename == "in.csv"
        assert page.locator(".card strong").first.inner_text() == "5"
    wanted = (tmp_path / "expected.csv").read_bytes()
    both = [list(csv.DictReader(io.StringIO(each.decode("utf-8-sig"), newline=""))) for each in (made, wanted)]
    for here, there in zip(*both, strict=True):
        assert float(here.pop("confidence") or 0) == pytest.approx(float(there.pop("confidence") or 0), abs=0.2)
        assert here == there
    assert made.startswith(b"\xef\xbb\xbftext,n,label,best_guess,confidence,note\r\n")


def test_a_table_that_cannot_be_read_is_refused_in_a_line(chromium, exported, tmp_path):
    (tmp_path / "in.csv").write_text("body\na\n")
    with browser.opened(chromium, exported) as page:
        page.get_by_label("Drop a file here").set_input_files(tmp_path / "in.csv")
        page.get_by_role("button", name="Label it").click()
        alert = page.get_by_role("alert").filter(has_text="no column")
        assert alert.inner_text() == "It has no column “text”; its columns are “body”."


def test_several_text_columns_are_fields_of_their_own(chromium, tmp_path):
    folder = tiny_predictors.copy("distilbert", "multiclass", tmp_path / "two")
    change_manifest(folder, text_columns=["title", "body"])
    exported = halfbert.export(folder, "web", tmp_path / "page") / pages.INDEX
    with browser.opened(chromium, exported) as page:
        page.get_by_label("title").fill("the cat [SEP] x")
        page.get_by_label("body").fill("my bread")
        page.locator(".answer strong").wait_for()
        assert page.locator(".answer strong").inner_text() == expected(folder).predict([("the cat [SEP] x", "my bread")])[0]


@pytest.mark.parametrize("width", browser.WIDTHS.values())
@pytest.mark.parametrize("scheme", browser.SCHEMES)
def test_the_page_is_accessible(chromium, exported, width, scheme):
    with browser.opened(chromium, exported, width, scheme) as page:
        type_text(page, "bread " * 40)
        page.locator("#answers button.plain").first.click()
        page.locator("#answers .word").first.wait_for()
        assert browser.violations(page) == [] and browser.overflow(page) <= 0
        page.locator("#licences pre:not(:empty)").wait_for()
        assert "Permission is hereby granted" in page.locator("#licences pre").inner_text()


def test_threads_where_the_server_isolates_the_page(chromium, folder, exported):
    class Isolating(http.server.SimpleHTTPRequestHandler):
        def end_headers(self):
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
            super().end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Isolating, directory=exported.parent)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with browser.visited(chromium, f"http://127.0.0.1:{server.server_port}/") as page:
            type_text(page, TEXT)
            assert page.evaluate("crossOriginIsolated && ort.env.wasm.numThreads") >= 2
            assert page.locator(".answer strong").inner_text() in LABELS
            assert np.abs(answers(page, TEXTS) - expected(folder).predict_proba(TEXTS)).max() < ALIKE
        server.shutdown()
