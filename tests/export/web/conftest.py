"""A browser, and the page's scripts in it without a page."""

import importlib.resources
import json

import browser
import pytest

SCRIPTS = ("tokenizer.js", "classifier.js", "csv.js")


@pytest.fixture(scope="module")
def chromium():
    with browser.browser() as started:
        yield started


@pytest.fixture(scope="module")
def scripts(chromium):
    """Calls a function of JavaScript with one value, and returns what it returns; lone surrogates pass, too."""
    page = chromium.new_page()
    folder = importlib.resources.files("halfbert") / "export/web/page"
    for name in SCRIPTS:
        page.add_script_tag(content=(folder / name).read_text(encoding="utf-8"))
    call = "async (value) => JSON.stringify(await (FUNCTION)(JSON.parse(value))) ?? null"  # Playwright reads objects slowly
    yield lambda function, value: json.loads(page.evaluate(call.replace("FUNCTION", function), json.dumps(value)) or "null")
    page.close()
