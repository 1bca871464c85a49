"""A server from its start to its end: signals, workers, folders that change, keys, the log and the metrics."""

import asyncio
import json
import os
import shutil
import signal
import socket
import threading

import pytest
import tiny_predictors
from asgi import Client
from http_server import running
from serving_predictors import ENGINES, proven
from support import run_script

from halfbert.options import ServeOptions
from halfbert.serving import course
from halfbert.system.errors import InputError

KEY = "a key of this test".replace(" ", "-")
GOOD = ["the old cat", "bread"]


@pytest.fixture
def folder(things, tmp_path):
    """A predictor to be spoilt while it is served."""
    return shutil.copytree(things, tmp_path / "served")


def ask_on(server, stop: threading.Event, problems: list, answered: list) -> None:
    """Ask for answers until `stop`; each that is lost, or another than it should be, is a problem."""
    expected = None
    while not stop.is_set():
        try:
            reply = server.predict(GOOD)
            labels = [answer["label"] for answer in reply.json["answers"]]
            expected = expected or labels
            answered.append(labels)
            if labels != expected:
                problems.append(reply)
        except Exception as error:
            problems.append(error)


def test_sigterm_answers_what_was_taken_in_and_exits_with_0(folder):
    with running(folder) as server:
        body = json.dumps({"texts": [f"the old cat {number}" for number in range(900)]}).encode()
        head = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        with server.connect() as taken, server.connect() as idle:
            taken.sendall(head % len(body) + body[:-1])
            idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert idle.recv(1000).startswith(b"HTTP/1.1 200")
            server.signal(signal.SIGTERM)
            while idle.recv(1000):
                pass  # until it is closed: nothing is taken in any more
            with pytest.raises(OSError):
                server.connect()
            taken.sendall(body[-1:])
            answer = b"".join(iter(lambda: taken.recv(2**16), b""))
        assert answer.startswith(b"HTTP/1.1 200") and answer.count(b'"label"') == 900
        assert server.process.wait(60) == 0


def test_a_changed_folder_is_loaded_again_without_losing_a_request(folder, tmp_path):
    other = proven(tmp_path / "other", task="multilabel")
    with running(folder, "--workers=1") as server:
        stop, problems, answered = threading.Event(), [], []
        clients = [threading.Thread(target=ask_on, args=(server, stop, problems, answered)) for _ in range(4)]
        for client in clients:
            client.start()
        before = server.request("GET", "/v1/predictors").json["predictors"][0]
        server.signal(signal.SIGHUP)
        server.wait_for("served: loaded again")
        (folder / "tokenizer.json").write_text("{")  # a folder that fails its checks
        server.wait_for("served: refused, what is loaded goes on: .*tokenizer.json: altered or damaged")
        shutil.rmtree(folder)
        server.wait_for("served: the folder .* is gone")
        count = len(answered)
        while len(answered) < count + 20:
            assert not problems
        stop.set()
        for client in clients:
            client.join()
        assert not problems and len(answered) > 20
        assert server.request("GET", "/v1/predictors").json["predictors"][0] == before
        shutil.copytree(other, folder)
        server.wait_for("served: loaded again")
        while server.request("GET", "/v1/predictors").json["predictors"][0]["task"] != "multilabel":
            pass
        assert server.predict(GOOD).json["answers"][0]["labels"] is not None
        assert server.request("GET", "/readyz").status == 200
        assert server.stop() == 0


def test_several_workers(folder, tmp_path):
    with running(folder, "--workers=2", "--threads=1") as server:
        for _ in range(20):
            assert server.predict(GOOD).status == 200
        assert server.metric("halfbert_requests_total", route="/v1/predict", status="200") == 20  # of both
        assert server.metric("halfbert_texts_total", outcome="answered") == 40
        pids = {line.split()[2] for line in server.lines if "/v1/predict" in line}
        os.kill(int(next(iter(pids))), signal.SIGKILL)
        server.wait_for("another takes its place")
        for _ in range(10):
            assert server.predict(GOOD).status == 200
        server.signal(signal.SIGHUP)
        server.wait_for("loaded again")
        assert server.stop() == 0
    with socket.socket() as again:
        again.bind(("127.0.0.1", server.port))  # nobody holds it any more


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_cannot_be_served_is_one_line_and_its_exit_code(folder, tmp_path, workers):
    (folder / "config.json").write_text("{}")
    done = run_script(folder, "--port=0", f"--workers={workers}", cwd=tmp_path, script="serve.py")
    assert done.returncode == 3 and "config.json: altered or damaged" in done.stderr and "Traceback" not in done.stderr


def test_an_engine_that_was_not_proven_is_refused(tmp_path):
    folder = tiny_predictors.copy("bert", "multiclass", tmp_path / "unproven")
    for engine in ("auto", "onnx"):
        done = run_script(folder, "--port=0", f"--engine={engine}", cwd=tmp_path, script="serve.py")
        assert done.returncode == 3 and "--prepare --engines" in done.stderr and done.stderr.count("\n") == 1


def test_an_address_that_is_taken_and_names_that_are_equal(tmp_path):
    with course.listen("127.0.0.1", 0) as taken:
        assert course.address(taken).startswith("http://127.0.0.1:")
        with pytest.raises(InputError, match="cannot listen there"):
            course.listen("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(InputError, match="another predictor is called 'a'"):
        course.serve(ServeOptions(predictors=[tmp_path / "a", tmp_path / "b" / "a"]), None)


def test_another_hosts_name_is_refused_where_no_key_is_wanted(server, held):
    for name in ("localhost:1", "127.0.0.1", "[::1]:8000", "LOCALHOST"):
        assert server.request("GET", "/healthz", headers={"Host": name}).status == 200
    for name in ("evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example"):
        refused = server.request("GET", "/v1/predictors", headers={"Host": name})
        assert (refused.status, refused.code) == (421, "misdirected")
    for host, status in (("localhost", 421), ("127.0.0.2", 421), ("::1", 421), ("0.0.0.0", 200)):
        made = held.make(host=host)
        assert asyncio.run(Client(made.application, "GET", "/healthz", host="evil.example").run()).status == status


def test_keys_headers_and_what_the_log_holds(things, tmp_path):
    file = tmp_path / "keys.txt"
    file.write_text(f"# of the tests\n\n{KEY}\n")
    with running(things, f"--api-key-file={file}", "--log-texts") as server:
        for headers in ({}, {"X-API-Key": KEY[:-1]}, {"Authorization": f"Basic {KEY}"}, {"X-API-Key": "\xe9" * 20}):
            for path in ("/v1/predictors", "/metrics", "/openapi.json", "/none"):
                refused = server.request("GET", path, headers=headers)
                assert (refused.status, refused.code) == (401, "unauthorized")
                assert refused.headers["www-authenticate"] == "Bearer"
        for headers in ({"X-API-Key": KEY}, {"Authorization": f"Bearer {KEY}"}, {"authorization": f"bearer  {KEY}"}):
            good = server.request("POST", "/v1/predict", {"texts": GOOD}, headers)
            assert good.status == 200
        for path in ("/healthz", "/readyz"):
            assert server.request("GET", path, headers={"Host": "labels.example"}).status == 200
        assert "access-control-allow-origin" not in good.headers and "server" not in good.headers
        for name in ("x-content-type-options", "x-frame-options", "content-security-policy", "referrer-policy"):
            assert good.headers[name] and refused.headers[name]
        assert server.wait_for('things text "the old cat"')
        new = KEY[::-1]
        file.write_text("short\n")
        server.signal(signal.SIGHUP)
        server.wait_for("line 1: expected .* the earlier keys go on")
        assert server.request("GET", "/v1/predictors", headers={"X-API-Key": KEY}).status == 200
        file.write_text(new)
        server.signal(signal.SIGHUP)
        server.wait_for("loaded again")
        while server.request("GET", "/v1/predictors", headers={"X-API-Key": new}).status != 200:
            pass
        assert server.request("GET", "/v1/predictors", headers={"X-API-Key": KEY}).status == 401


def test_no_text_is_logged_and_no_page_needs_a_network(server):
    texts = ["a secret of a client", "\ud800 secret"]
    server.request("POST", "/v1/predict", json.dumps({"texts": texts, "secret": 1}).encode())
    server.predict(texts)
    server.request("GET", "/secret?secret")
    server.wait_for(" GET other 404")
    assert not [line for line in server.lines if "secret" in line]
    assert [server.request("GET", path).status for path in ("/docs", "/redoc")] == [404, 404]
    assert (
        server.request("OPTIONS", "/v1/predict", headers={"Origin": "http://x", "Access-Control-Request-Method": "POST"}).status
        == 405
    )


def test_metrics(server):
    server.predict(["the old cat", 3], predictor="things")
    text = server.request("GET", "/metrics")
    assert text.headers["content-type"].startswith("text/plain; version=")
    for name in ("request_seconds", "queue_seconds", "batch_texts"):
        assert server.metric(f"halfbert_{name}_count") > 0 and f"# HELP halfbert_{name} " in text.body.decode()
    assert server.metric("halfbert_tokens_total", predictor="things") > 0
    answered = server.metric("halfbert_texts_total", predictor="things", outcome="answered")
    assert answered > 0 and server.metric("halfbert_answers_total", predictor="things") == answered


def test_the_shadow_agrees_and_is_refused_where_there_is_nothing_to_compare(things, tmp_path):
    with running(things, "--shadow=1", "--engine=onnx-int8") as server:
        count = 0
        while not count:
            server.predict(GOOD)
            count = server.metric("halfbert_shadow_texts_total", outcome="equal")
        assert server.metric("halfbert_shadow_texts_total", outcome="different") == 0
    done = run_script(things, "--port=0", "--shadow=0.5", "--engine=onnx", cwd=tmp_path, script="serve.py")
    assert done.returncode == 2 and "--shadow" in done.stderr and ENGINES[0] in done.stderr
