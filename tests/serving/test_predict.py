"""POST /v1/predict: what is answered, for good texts and bad ones."""

import json

import numpy as np
import pytest
from http_server import running
from serving_predictors import proven
from support import LABELS, ROOT, run_python
from tiny_predictors import MAXLEN, TEXTS, change_manifest

import halfbert

PARTS = ["label", "confidence", "review", "tokens", "cut_at"]


def test_answers_are_those_of_python(server, things):
    reply = server.predict(TEXTS, top=2, probabilities=True)
    assert reply.status == 200 and reply.headers["content-type"] == "application/json"
    engine = reply.json["engine"]
    classifier = halfbert.load(things, engine)
    answers = reply.json["answers"]
    assert [answer.get("label") for answer in answers] == classifier.predict(TEXTS)
    texts = [text for text in TEXTS if text]
    answers = [answer for answer in answers if "error" not in answer]
    probabilities = classifier.predict_proba(texts)
    found = [[answer["probabilities"][label] for label in LABELS] for answer in answers]
    np.testing.assert_allclose(found, probabilities, atol=2e-6 if engine == "onnx" else 0.02)
    np.testing.assert_allclose([answer["confidence"] for answer in answers], classifier.confidence(texts), atol=0.02)
    encoded = classifier.encode(texts)
    assert [answer["tokens"] for answer in answers] == encoded.full_lengths.tolist()
    assert [answer["cut_at"] for answer in answers] == [MAXLEN if cut else None for cut in encoded.truncated]
    for answer in answers:
        assert list(answer) == [*PARTS, "top", "probabilities"]
        assert answer["top"][0] == {"label": answer["label"], "confidence": answer["confidence"]} and len(answer["top"]) == 2
        assert not answer["review"]


def test_any_number_of_labels(server, tags):
    reply = server.predict(TEXTS, predictor="tags").json
    classifier = halfbert.load(tags, reply["engine"])
    assert [answer.get("labels") for answer in reply["answers"]] == classifier.predict(TEXTS)
    assert reply["predictor"] == "tags" and reply["calibrated"] is False and "label" not in reply["answers"][0]


def test_what_is_too_uncertain_goes_to_a_person(server, things):
    texts = [text for text in TEXTS if text]
    reply = server.predict(texts, max_error=0.1).json
    expected = halfbert.load(things, reply["engine"]).review(texts, max_error=0.1)
    assert [answer["review"] for answer in reply["answers"]] == expected.review.tolist()
    assert expected.review.any() and reply["rule"] == expected.line
    for max_error, predictor, says in ((1e-4, "things", "cannot be guaranteed"), (0.1, "tags", "without calibration")):
        refused = server.predict(["a"], max_error=max_error, predictor=predictor)
        assert (refused.status, refused.code) == (422, "rule") and says in refused.json["error"]["message"]


def test_a_bad_text_is_an_error_for_itself_alone(server):
    bad = {1: 3, 2: None, 4: ["a"], 5: {"text": "a"}, 6: True, 7: "x\ud800y", 8: "a" * 20_001, 9: 1e400}
    texts = [bad.get(number, "the old cat") for number in range(11)]
    body = json.dumps({"texts": texts}).replace("Infinity", "1e400").encode()
    answers = server.request("POST", "/v1/predict", body).json["answers"]
    expected = server.predict(["the old cat"]).json["answers"][0]
    assert [number for number, answer in enumerate(answers) if "error" in answer] == list(bad)
    assert all(answer == expected for number, answer in enumerate(answers) if number not in bad)
    assert all(list(answers[number]) == ["error"] for number in bad)
    codes = [answers[number]["error"]["code"] for number in (1, 7, 8)]
    assert codes == ["not_text", "surrogate", "too_long"]
    assert answers[8]["error"]["message"] == "has 20,001 characters; at most 20,000 are read"
    before = server.metric("halfbert_texts_total", predictor="things", outcome="refused")
    assert before >= len(bad) and server.metric("halfbert_texts_total", outcome="answered") > 0


def test_no_texts_and_blank_ones_have_no_answer_as_in_python(server, things):
    assert server.predict([]).json["answers"] == []
    blank = ["", " \n", "\u200b", "\u2800"]
    reply = server.predict([*blank, "the old cat"]).json
    assert [answer["error"]["code"] for answer in reply["answers"][:-1]] == ["blank"] * len(blank)
    assert halfbert.load(things, reply["engine"]).predict(blank) == [None] * len(blank) and reply["answers"][-1]["label"]


def test_explanations_are_those_of_python(server, things):
    texts = ["the old cat", "", "bread and the old cat", "the old cat"]
    reply = server.predict(texts, explain=True).json
    classifier = halfbert.load(things, reply["engine"])
    for text, answer in zip(texts, reply["answers"], strict=True):
        if text:
            explained = classifier.explain(text)
            found = answer["explanation"]
            assert (found["label"], found["method"]) == (explained.label, explained.method) == (answer["label"], "occlusion")
            words = [(word["text"], word["start"], word["end"]) for word in found["words"]]
            assert words == [(word.text, word.start, word.end) for word in explained.words]
            added = [word["contribution"] for word in found["words"]]
            np.testing.assert_allclose(added, [word.contribution for word in explained.words], atol=0.05)
    refused = server.predict([f"cat {number}" for number in range(11)], explain=True)
    assert (refused.status, refused.code) == (413, "too_many_texts")
    assert "explanation" not in server.predict(["the old cat"]).json["answers"][0]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "not_json"),
        (b"{", 400, "not_json"),
        (b'{"texts": ["\xff"]}', 400, "not_utf8"),
        ('{"texts": ["a"]}'.encode("utf-16"), 400, "not_utf8"),
        (b'{"texts": [NaN]}', 400, "not_json"),
        (b"[" * 100_000, 400, "not_json"),
        (b'{"texts": ["a"], "top": ' + b"9" * 5000 + b"}", 400, "not_json"),
        (b"[]", 422, "invalid"),
        (b"{}", 422, "invalid"),
        (b'{"texts": "a"}', 422, "invalid"),
        (b'{"texts": null}', 422, "invalid"),
        *(
            (f'{{"texts": ["a"], {more}}}'.encode(), 422, "invalid")
            for more in ('"top": "3"', '"top": -1', '"top": 1.5', '"tops": 3')
        ),
        *((f'{{"texts": ["a"], "max_error": {value}}}'.encode(), 422, "invalid") for value in (0, 1, '"x"', "true", -0.1)),
        (b'{"texts": ["a"], "predictor": "none"}', 404, "no_predictor"),
    ],
)
def test_requests_that_are_none(server, body, status, code):
    reply = server.request("POST", "/v1/predict", body)
    assert (reply.status, reply.code) == (status, code)
    assert "\n" not in reply.json["error"]["message"]


def test_a_whole_number_may_be_written_with_a_point_and_a_mark_may_stand_before_the_body(server):
    reply = server.request("POST", "/v1/predict", b'\xef\xbb\xbf{"texts": ["a"], "top": 1.0}')
    assert reply.status == 200 and len(reply.json["answers"][0]["top"]) == 1


def test_rows_of_several_text_columns(tmp_path):
    folder = proven(tmp_path / "two")
    change_manifest(folder, text_columns=["title", "body"])
    rows = [
        {"title": "the old cat", "body": "bread"},
        ["a", None],
        {"title": "x"},
        "a",
        {"title": 3, "body": "b"},
    ]
    with running(folder) as server:
        reply = server.predict(rows).json
        assert server.request("GET", "/v1/predictors").json["predictors"][0]["text_columns"] == ["title", "body"]
    good = [answer.get("label") for answer in reply["answers"][:2]]
    assert good == halfbert.load(folder, reply["engine"]).predict([("the old cat", "bread"), ("a", None)])
    messages = [answer["error"]["message"] for answer in (reply["answers"][number] for number in (2, 3))]
    assert messages[0].startswith("the row has no 'body'") and messages[1].startswith("the row is one text")


SERVES_WITHOUT = """
import sys, threading, json, http.client, pickle
from halfbert.serving import course, server
def no_pickle(*_, **__): raise AssertionError("a pickle was read")
ready = server.run
def run(options, listening, folder, ready, **more):
    pickle.load = pickle.loads = pickle.Unpickler = no_pickle
    def client():
        connection = http.client.HTTPConnection(*listening.getsockname())
        connection.request("POST", "/v1/predict", json.dumps({"texts": ["the old cat"]}), {"Content-Type": "application/json"})
        print(connection.getresponse().status)
        import os, signal
        os.kill(os.getpid(), signal.SIGTERM)
    return was(options, listening, folder, lambda: threading.Thread(target=client).start(), **more)
was, server.run = server.run, run
from halfbert.cli import command
code = command.main(["serve", sys.argv[1], "--port=0"])
unwanted = {"tensorflow", "keras", "tf_keras", "ktrain", "transformers", "torch", "sklearn"}
print(sorted(unwanted & {name.split(".")[0] for name in sys.modules}), code)
"""


def test_neither_tensorflow_nor_a_pickle_is_loaded(things, tmp_path):
    done = run_python("-c", SERVES_WITHOUT, things, cwd=tmp_path, PYTHONPATH=str(ROOT))
    assert done.stdout.splitlines() == ["200", "[] 0"], done.stderr
