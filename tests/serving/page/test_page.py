"""The page of a server in a browser: what people type, press, drop and see."""

import csv
import json
import re
import threading

import browser
import pytest
import tiny_predictors
from http_server import running
from serving_predictors import ENGINES
from support import LABELS, example_rows, write_csv
from tiny_predictors import MAXLEN, change_manifest, figures, sign

from halfbert.serving.page.routes import FILES

TEXT = "the old cat is here and my hammer was there"
LONG = "bread " * 30 + "hammer"
MARKUP = "<img src=x onerror=alert(1)>"
NASTY_LABEL = "<b>animal</b>"
KEY = "correct-horse-battery"
DROP = """([content, name]) => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([content], name));
    for (const kind of ["dragenter", "drop"]) {
        const event = new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true });
        document.getElementById("drop").dispatchEvent(event);
    }
}"""
CARD = f"""---
tags: [x]
---
# {MARKUP}

- `{MARKUP}`

| a | b |
|---|---|
| {MARKUP} | 1 |

```
{MARKUP}
```
end {MARKUP}
"""


@pytest.fixture(scope="module")
def chromium():
    with browser.browser() as started:
        yield started


def address(server) -> str:
    return f"http://127.0.0.1:{server.port}/"


def type_text(page, text: str = TEXT) -> None:
    """Type, and wait for the answers of all predictors that are shown."""
    page.locator("textarea").first.fill(text)
    for number in range(page.locator("#answers article").count()):
        page.locator("#answers article").nth(number).locator(".answer:not(:empty)").wait_for()


def explain(page, label: str):
    """Press a label; returns the words, once they are there."""
    page.locator("#answers article").first.get_by_role("button").filter(has_text=re.compile(f"^{re.escape(label)}$")).click()
    page.get_by_role("heading", name=f"Why {label}?").wait_for()
    page.locator("#answers .word").first.wait_for()
    return page.locator("#answers .words[role=group]")


def test_what_is_typed_is_answered_with_bars(server, chromium):
    answer = server.predict([TEXT], top=3).json["answers"][0]
    with browser.visited(chromium, address(server)) as page:
        page.get_by_label("beside it").select_option("")
        type_text(page)
        panel = page.get_by_role("article", name="things", exact=True)
        assert panel.locator(".answer strong").inner_text() == answer["label"]
        rows = [row.split() for row in panel.locator("tbody tr").all_inner_texts()]
        assert [name for name, _ in rows] == [ranked["label"] for ranked in answer["top"]]
        widths = panel.locator("rect.bar").evaluate_all("bars => bars.map((bar) => parseFloat(bar.getAttribute('width')))")
        assert widths == pytest.approx([100 * ranked["confidence"] for ranked in answer["top"]], abs=0.1)
        assert panel.locator("tr.given").count() == 1
        assert re.search(r"onnx.*, [\d.]+ ms", panel.locator(".said").first.inner_text())
        page.locator("textarea").fill("  ")
        panel.locator(".answer:empty").wait_for(state="attached")


@pytest.mark.parametrize("aborting", [True, False])
def test_an_answer_to_an_older_text_never_replaces_a_newer_one(server, chromium, aborting):
    first, second, held = "the old cat", "bread and cheese soup", []
    with chromium.new_context() as context:
        page = context.new_page()
        if not aborting:  # the page has to know by itself which answer is the latest
            page.add_init_script("AbortController.prototype.abort = () => {}")
        page.route("**/v1/predict", lambda route: held.append(route) if first in route.request.post_data else route.continue_())
        page.goto(address(server))
        page.get_by_label("beside it").select_option("")
        with page.expect_request("**/v1/predict"):
            page.locator("textarea").fill(first)
        type_text(page, second)
        answer = server.predict([second]).json["answers"][0]
        shown = page.locator(".answer").inner_text()
        assert shown.startswith(answer["label"])
        fake = {"label": "the older one", "confidence": 1, "review": False, "cut_at": None, "tokens": 1, "top": []}
        body = {"engine": "onnx", "calibrated": True, "rule": None, "answers": [fake]}
        held[0].fulfill(json=body)
        page.wait_for_timeout(200)
        assert page.locator(".answer").inner_text() == shown


def test_why_and_why_not_another_label(server, chromium):
    answer = server.predict([TEXT], top=3).json["answers"][0]
    with browser.visited(chromium, address(server)) as page:
        type_text(page)
        for label in (answer["label"], answer["top"][2]["label"]):
            words = explain(page, label)
            reply = server.predict([TEXT], explain=True, explain_label=label).json["answers"][0]["explanation"]
            assert reply["label"] == label
            shown = words.locator(".word").evaluate_all(
                "words => words.map((each) => [each.firstChild.data, each.lastChild.innerText, each.classList.contains('for')])"
            )
            assert [word for word, _, _ in shown] == TEXT.split()
            contributions = [word["contribution"] for word in reply["words"]]
            assert [float(number.replace("−", "-")) for _, number, _ in shown] == pytest.approx(contributions, abs=0.03)
            assert [towards for _, _, towards in shown] == [contribution > 0 for contribution in contributions]
        strongest = max(range(len(contributions)), key=lambda number: abs(contributions[number]))
        word = words.locator(".word").nth(strongest)
        word.hover()
        assert page.locator(".chosen").inner_text().startswith(f"{TEXT.split()[strongest]}: ")
        other = words.locator(".word").nth((strongest + 1) % len(contributions))
        backgrounds = [each.evaluate("word => getComputedStyle(word).backgroundColor") for each in (word, other)]
        assert backgrounds[0] != backgrounds[1]
        page.get_by_text("The words as a table").click()
        assert page.locator("#answers details tbody tr").count() == len(contributions)
        assert server.predict([TEXT], explain=True, explain_label="no such").status == 422
        page.locator("textarea").fill(TEXT + " bread")
        page.locator("#answers .word").first.wait_for(state="detached")  # they were of another text


def test_what_is_beyond_the_cut_is_pale(server, chromium):
    with browser.visited(chromium, address(server)) as page:
        type_text(page, LONG)
        panel = page.get_by_role("article", name="things", exact=True)
        assert f"{MAXLEN} of the text's 33 tokens are read" in panel.inner_text()
        assert panel.locator(".unread").inner_text() == LONG[6 * (MAXLEN - 2) :]
        words = explain(page, "food")
        assert words.locator(".unread").count() == 31 - (MAXLEN - 2)
        assert not panel.locator(".words").first.is_visible()  # the text is shown once
        type_text(page, TEXT)
        panel.locator(".unread").first.wait_for(state="detached")


def test_whether_a_person_decides(server, chromium):
    texts = [text for text, _ in example_rows(40)]
    rates = [rate for rate in (0.1, 0.2) if server.predict(["cat"], max_error=rate).status == 200]
    answers = server.predict(texts, max_error=rates[0]).json["answers"]
    reviewed = {answer["review"]: text for text, answer in zip(texts, answers, strict=True)}
    with browser.visited(chromium, address(server)) as page:
        page.get_by_label("beside it").select_option("tags")  # is not calibrated
        assert page.get_by_label("Guarantee").locator("option").all_inner_texts()[1:]
        type_text(page, texts[0])
        assert page.locator(".badge").count() == 0
        page.get_by_label("Guarantee").select_option(str(rates[0]))
        for review, text in reviewed.items():
            page.locator("textarea").fill(text)
            page.locator("#answers article").first.locator(
                ".badge", has_text="a person decides" if review else "answered"
            ).wait_for()
        assert page.locator(".badge").nth(1).inner_text() == "cannot guarantee that rate"
        page.locator("#choices select").first.select_option("tags")
        page.get_by_label("beside it").select_option("")
        assert "No rate of errors can be guaranteed" in page.locator("#choices").inner_text()


def test_two_predictors_side_by_side(server, chromium):
    with browser.visited(chromium, address(server)) as page:
        type_text(page)
        page.locator("#agreement:not(:empty)").wait_for()
        one, other = (server.predict([TEXT], predictor=name).json["answers"][0] for name in ("things", "tags"))
        said = page.locator("#agreement").inner_text()
        both = [one["label"]] == other["labels"]
        named = ", ".join(other["labels"]) or "no label"
        assert said == (f"Both answer {named}." if both else f"They differ: things answers {one['label']}, tags {named}.")
        assert all("ms" in note for note in page.locator("#answers article > .said:first-of-type").all_inner_texts())
        page.get_by_label("beside it").select_option("things")
        assert page.locator("#answers article").count() == 1
        assert page.evaluate("document.activeElement.value") == "things"  # the keyboard stays where it was


def test_a_dropped_table_comes_back_labelled(server, chromium, tmp_path):
    rows = [(text, number) for number, (text, _) in enumerate(example_rows(60))]
    file = write_csv(tmp_path / "new rows.csv", rows, ("Review", "number"))
    with browser.visited(chromium, address(server)) as page:
        page.locator("textarea").wait_for()
        page.evaluate(DROP, [file.read_text(), file.name])
        page.locator("#job .problem", has_text="no column 'text'").wait_for()
        page.get_by_label("Text column").fill("Review")
        page.get_by_role("button", name="Label it").click()
        with page.expect_download() as downloading:
            page.get_by_role("button", name="Download the labelled table").click()
        assert downloading.value.suggested_filename == "new rows_labelled.csv"
        downloading.value.save_as(tmp_path / "labelled.csv")
        counts = dict(row.split() for row in page.locator("#job .bars tbody tr").all_inner_texts())
        cards = page.locator("#job .card").all_inner_texts()
    with open(tmp_path / "labelled.csv", encoding="utf-8-sig", newline="") as stream:
        found = list(csv.DictReader(stream))
    assert [(row["Review"], int(row["number"])) for row in found] == rows
    labels = [row["label"] for row in found]
    assert {label.strip(): int(count) for label, count in counts.items()} == {
        label: labels.count(label) for label in set(labels)
    }
    assert cards[:2] == ["rows\n60", "for a person\n0"]
    texts = [text for text, _ in rows]
    assert labels == [answer["label"] for answer in server.predict(texts).json["answers"]]


def test_a_table_can_be_stopped(server, chromium, tmp_path):
    file = write_csv(tmp_path / "t.csv", [(text,) for text, _ in example_rows(5)], ("text",))
    removed = threading.Event()
    with browser.visited(chromium, address(server)) as page:

        def still_running(route) -> None:
            if route.request.method == "DELETE":
                removed.set()
            state = {"id": "a", "name": "t.csv", "status": "running", "rows": 3, "total": 5, "predictor": "things"}
            route.fulfill(json=state)

        page.route("**/v1/label**", still_running)
        page.route("**/v1/label/**", still_running)
        page.set_input_files("#file", file)
        page.get_by_role("button", name="Label it").click()
        page.get_by_text("3 of 5 rows").wait_for()
        assert page.locator("progress").evaluate("bar => bar.value / bar.max") == 0.6
        page.get_by_role("button", name="Stop").click()
        page.get_by_text("Stopped.").wait_for()
        page.wait_for_timeout(100)
    assert removed.is_set()


def test_a_key_is_wanted_and_kept_nowhere(things, chromium, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text(KEY)
    file = write_csv(tmp_path / "t.csv", [("the cat",)], ("text",))
    with (
        running(things, f"--api-key-file={keys}") as server,
        browser.visited(chromium, address(server), expected="401") as page,
    ):
        field = page.get_by_label("API key")
        field.wait_for()
        field.fill("wrong key 🙂")
        page.get_by_role("button", name="Use this key").click()
        page.get_by_text("This key is not accepted.").wait_for()
        field.fill(KEY)
        field.press("Enter")
        field.wait_for(state="hidden")
        type_text(page)
        explain(page, page.locator(".answer strong").inner_text())
        page.set_input_files("#file", file)
        page.get_by_role("button", name="Label it").click()
        with page.expect_download():
            page.get_by_role("button", name="Download the labelled table").click()
        kept = (
            "JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, document.documentElement.outerHTML])"
        )
        assert KEY not in page.evaluate(kept) and KEY not in page.url and field.input_value() == ""
        page.reload()
        field.wait_for()


def nasty(folder):
    """A predictor whose labels, columns and card hold markup."""
    tiny_predictors.copy("distilbert", "multiclass", folder)
    labels = [NASTY_LABEL, *LABELS[1:]]
    config = json.loads((folder / "config.json").read_text())
    config.update(
        id2label={str(n): label for n, label in enumerate(labels)}, label2id={label: n for n, label in enumerate(labels)}
    )
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "README.md").write_text(CARD)
    change_manifest(folder, labels=labels, text_columns=["<i>title</i>", "body"])
    sign(folder)
    for engine in ENGINES:
        figures(folder, engine)
    return folder


def test_markup_is_text_everywhere_and_each_column_has_a_field(chromium, tmp_path):
    with running(nasty(tmp_path / "nasty")) as server, browser.visited(chromium, address(server)) as page:
        title, body = page.get_by_label("<i>title</i>"), page.get_by_label("body")
        title.fill(f"the old cat {MARKUP}")
        body.fill(f"[SEP] 🙂 my hammer {NASTY_LABEL}")
        page.locator(".answer:not(:empty)").wait_for()
        words = explain(page, NASTY_LABEL)
        names = words.locator(".column").all_inner_texts()
        assert names == ["<i>title</i>", "body"]
        seen = words.evaluate("words => [...words.childNodes].map((node) => node.firstChild?.data ?? node.data).join('')")
        assert seen == f"<i>title</i>the old cat {MARKUP} body [ SEP ] 🙂 my hammer {NASTY_LABEL}"
        page.get_by_text("Model card").click()
        card = page.locator(".markdown")
        assert card.inner_text().count(MARKUP) == 5 and "tags" not in card.inner_text()
        assert card.locator("code").first.inner_text() == MARKUP
        assert page.locator("main b, main i, main img").count() == 0
        joined = server.predict([[title.input_value(), body.input_value()]]).json["answers"][0]
        assert page.locator(".answer strong").inner_text() == joined["label"]


def test_by_keyboard_alone(server, chromium):
    with browser.visited(chromium, address(server)) as page:
        page.locator("textarea").wait_for()

        def tab_to(selector: str) -> None:
            for _ in range(30):
                page.keyboard.press("Tab")
                if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                    return
            raise AssertionError(f"{selector} is not reached")

        tab_to("textarea")
        page.keyboard.type(TEXT)
        page.locator("#agreement:not(:empty)").wait_for()
        tab_to("#answers button")
        page.keyboard.press("Enter")
        page.locator(".word").first.wait_for()
        tab_to(".word")
        said = []
        for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "End", "Home"):
            page.keyboard.press(key)
            said.append(page.locator(".chosen").inner_text().partition(":")[0])
        assert said == ["old", "cat", "old", "there", "the"]
        page.keyboard.press("Tab")
        assert not page.evaluate("document.activeElement.matches('.word')")  # one stop for all words
        tab_to("#file")
        tab_to("#send")
        tab_to("#about summary")


def test_the_page_is_sound_in_both_schemes_and_widths(server, chromium, tmp_path):
    file = write_csv(tmp_path / "t.csv", [(text,) for text, _ in example_rows(9)], ("text",))
    for width in browser.WIDTHS.values():
        for scheme in browser.SCHEMES:
            with browser.visited(chromium, address(server), width, scheme) as page:
                page.get_by_label("Guarantee").select_option(index=1)
                type_text(page, LONG)
                explain(page, "food")
                page.set_input_files("#file", file)
                page.get_by_role("button", name="Label it").click()
                page.get_by_role("button", name="Download the labelled table").wait_for()
                found = browser.violations(page)
                assert not found, f"{scheme}, {width} pixels: " + "\n".join(found)
                assert browser.overflow(page) <= 0


def test_the_policy_allows_the_pages_own_files_alone(server):
    page = server.request("GET", "/")
    policy = page.headers["content-security-policy"]
    assert page.status == 200 and "default-src 'none'" in policy and "unsafe" not in policy
    html = page.body.decode()
    assert not re.search(r"<script(?! src=)|<style|\son\w+=|style=", html)
    assert set(re.findall(r'(?:src|href)="(?!data:)([^"]*)"', html)) == set(FILES)
    for name, kind in (("page.js", "text/javascript"), ("page.css", "text/css")):
        found = server.request("GET", f"/{name}")
        assert found.status == 200 and found.headers["content-type"].startswith(kind)
        assert not re.search(rb"innerHTML|insertAdjacentHTML|document\.write|https?://(?!www\.w3\.org)", found.body)
