"""What clients do wrong, or to each other: each with its status, and the server goes on."""

import asyncio
import gzip
import json
import socket

import pytest
import uvicorn
from asgi import Client, post, soon
from http_server import running
from uvicorn.server import ServerState

from halfbert.serving import bodies, connections, course
from halfbert.serving.errors import GONE
from halfbert.serving.lane import Lane

GOOD = {"texts": ["the old cat"]}


@pytest.fixture(scope="module")
def small(things):
    """A server with small limits."""
    limits = ("--max-body=5000", "--max-texts=20", "--max-characters=50", "--timeout=2")
    with running(things, *limits) as server:
        yield server


def test_10_000_empty_texts(server, things):
    reply = server.predict([""] * 10_000)
    assert (reply.status, reply.code) == (413, "too_many_texts")
    with running(things, "--max-texts=10000") as other:
        before = other.metric("halfbert_batch_texts_sum")
        for text, outcome in (("", "refused"), ("cat", "answered")):
            answers = other.predict([text] * 10_000).json["answers"]
            assert len(answers) == 10_000 and all(answer == answers[0] for answer in answers)
            assert other.metric("halfbert_texts_total", outcome=outcome) == 10_000
        assert other.metric("halfbert_batch_texts_sum") == before + 1  # equal texts are answered once


def test_a_text_of_10_megabytes(server, things):
    reply = server.predict(["x" * 10_000_000])
    assert (reply.status, reply.code) == (413, "too_large") and reply.headers["connection"] == "close"
    with running(things, "--max-body=20000000") as other:
        answers = other.predict(["x" * 10_000_000, "the old cat"]).json["answers"]
        assert answers[0]["error"]["code"] == "too_long" and answers[1]["label"]
    assert server.predict(["the old cat"]).status == 200


def test_bodies_that_are_too_large_however_they_come(small):
    large = json.dumps({"texts": ["x" * 6000]}).encode()
    pieces = (large[place : place + 1000] for place in range(0, len(large), 1000))
    for body, headers in ((large, {}), (pieces, {"Transfer-Encoding": "chunked"})):
        reply = small.request("POST", "/v1/predict", body, headers)
        assert (reply.status, reply.code) == (413, "too_large")
    chunked = small.request("POST", "/v1/predict", iter([json.dumps(GOOD).encode()]), {"Transfer-Encoding": "chunked"})
    assert chunked.status == 200
    assert small.predict(["a"] * 21).code == "too_many_texts" and small.predict(["x" * 51]).json["answers"][0]["error"]


def test_compressed_bodies_and_other_kinds(server):
    packed = gzip.compress(json.dumps(GOOD).encode())
    for encoding in ("gzip", "deflate", "br", "identity, gzip"):
        reply = server.request("POST", "/v1/predict", packed, {"Content-Encoding": encoding})
        assert (reply.status, reply.code) == (415, "encoded")
    body = json.dumps(GOOD).encode()
    assert server.request("POST", "/v1/predict", body, {"Content-Encoding": "identity"}).status == 200
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        assert server.request("POST", "/v1/predict", body, {"Content-Type": kind}).code == "media_type"


def test_a_body_that_dawdles_is_given_up(small):
    with small.connect() as connection:
        connection.sendall(
            b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 408 ")
        while connection.recv(1000):
            pass  # and closed
    assert small.predict(["the old cat"]).status == 200


def test_headers_that_dawdle_or_never_end_are_cut_off(monkeypatch):
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.3)

    async def answer(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async def received(port: int, *pieces: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.05)
            return await asyncio.wait_for(reader.read(), 30)
        except ConnectionError:
            return b""
        finally:
            writer.close()

    async def run() -> list[bytes]:
        config = uvicorn.Config(answer, http=connections.Connection, ws="none", lifespan="off", log_config=None)
        state, loop = ServerState(), asyncio.get_running_loop()
        made = await loop.create_server(lambda: connections.Connection(config, state, {}), sock=course.listen("127.0.0.1", 0))
        port = made.sockets[0].getsockname()[1]
        slow = [b"GET / HTTP/1.1\r\n", *(b"a: b\r\n" for _ in range(4))]
        endless = [b"GET / HTTP/1.1\r\na: ", *[b"x" * 20_000] * 4]
        trailers = [
            b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
            *[b"a: " + b"x" * 20_000] * 4,
        ]
        second = [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET / HTTP/1.1\r\n"]
        found = [await received(port, *each) for each in ([], slow, endless, trailers, second)]
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        await soon(lambda: state.connections)
        (connection,) = state.connections
        assert connection.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        writer.close()
        made.close()
        await soon(lambda: not state.connections)
        return found

    silent, slow, endless, _, second = asyncio.run(run())
    assert silent == slow == endless == b"" and second.count(b"HTTP/1.1 200") == 1


@pytest.mark.parametrize("sent", [b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/9.9\r\n\r\n", b"BREW / HTTP/1.1\r\n\r\n"])
def test_what_is_not_http(server, sent):
    with server.connect() as connection:
        connection.sendall(sent)
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")
    assert server.request("GET", "/healthz").status == 200


def test_clients_that_hang_up(server):
    body = json.dumps({"texts": [f"the old cat {number}" for number in range(500)]}).encode()
    head = (
        b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        % len(body)
    )
    for sent in (head[:20], head, head + body[:100], head + body):
        with server.connect() as connection:
            connection.sendall(sent)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")  # a reset
    assert server.predict(["the old cat"]).status == 200 and server.request("GET", "/readyz").status == 200
    server.wait_for(f" {GONE} ")


def test_texts_of_a_client_that_hung_up_are_not_answered(held):
    async def course():
        made = held.make()
        first, second = (
            post(made.application, {"texts": [f"{name} {number}" for number in range(5)]}) for name in ("cat", "dog")
        )
        first_runs = asyncio.create_task(first.run())
        await soon(lambda: held.entered)
        second_runs = asyncio.create_task(second.run())
        await soon(lambda: made.lane.waiting == 5)
        second.hang_up()
        await second_runs
        held.go.set()
        assert (await first_runs).status == 200
        await soon(lambda: made.lane.waiting == 0)
        assert second.status == GONE and len(held.batches) == 1

    asyncio.run(course())


def test_a_full_queue_puts_off_and_says_when_to_come_again(held):
    async def course():
        made = held.make(max_queue=10)
        running = [asyncio.create_task(post(made.application, {"texts": ["the old cat"]}).run())]
        await soon(lambda: held.entered)
        running.append(asyncio.create_task(post(made.application, {"texts": [f"cat {number}" for number in range(8)]}).run()))
        await soon(lambda: made.lane.waiting == 8)
        refused = await post(made.application, {"texts": ["a", "b", "c"]}).run()
        assert (refused.status, refused.code) == (429, "busy") and int(refused.headers["retry-after"]) >= 1
        assert made.lane.waiting == 8
        running.append(asyncio.create_task(post(made.application, {"texts": ["a", "b"]}).run()))
        await soon(lambda: made.lane.waiting == 10)
        held.go.set()
        assert [done.status for done in await asyncio.gather(*running)] == [200, 200, 200]

    asyncio.run(course())


def test_a_request_larger_than_the_queue_is_answered_when_nothing_waits(held):
    made = held.make(max_queue=2)
    held.go.set()
    assert asyncio.run(post(made.application, {"texts": ["a", "b", "c"]}).run()).status == 200


def test_time_runs_out(held):
    async def course():
        made = held.make(timeout=0.3)
        late = await post(made.application, GOOD).run()
        assert (late.status, late.code) == (503, "timeout") and late.headers["retry-after"] == "1"
        stalled = Client(made.application, "POST", "/v1/predict", [b"{", b"}"])
        stalled.stalls = True
        assert (await stalled.run()).code == "too_slow"
        held.go.set()
        assert (await post(made.application, GOOD).run()).status == 200

    asyncio.run(course())


def test_too_many_bodies_in_memory(held):
    async def course():
        made = held.make()
        made.serving.held._most = 100
        held.go.set()
        refused = await post(made.application, {"texts": ["x" * 200]}).run()
        assert (refused.status, refused.code) == (503, "busy") and made.serving.held.bytes == 0
        assert (await post(made.application, GOOD).run()).status == 200 and made.serving.held.bytes == 0

    asyncio.run(course())


def test_an_engine_that_fails_on_a_text_fails_it_alone(held, monkeypatch):
    made = held.make()
    held.go.set()
    compute = Lane.compute

    def computed(lane, texts):
        if "bad" in texts:
            raise RuntimeError("a text: bad")
        return compute(lane, texts)

    monkeypatch.setattr(Lane, "compute", computed)
    found = asyncio.run(post(made.application, {"texts": ["the old cat", "bad", "bread"], "top": 1}).run())
    assert [next(iter(answer)) for answer in found.json["answers"]] == ["label", "error", "label"]
    assert found.json["answers"][1]["error"]["code"] == "failed"


def test_a_mistake_in_this_program_is_a_500_without_anybodys_text(held, monkeypatch, caplog):
    made = held.make()

    def spoilt(*_):
        raise KeyError(GOOD["texts"][0])

    monkeypatch.setattr(bodies, "parse", spoilt)
    found = asyncio.run(post(made.application, GOOD).run())
    assert (found.status, found.code) == (500, "internal")
    assert "KeyError" in caplog.text and "in spoilt" in caplog.text and "the old cat" not in caplog.text
