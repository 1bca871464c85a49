"""The load generator counts what a server does, no more and no less."""

import asyncio
import json
import threading

import pytest

from tools.serving import load


@pytest.fixture
def server():
    """A server that refuses every third request; its port, and the bodies that it got."""
    bodies, started, loop = [], threading.Event(), asyncio.new_event_loop()
    port = []

    async def answer(reader, writer):
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length"))
            bodies.append(json.loads(await reader.readexactly(length)))
            status = b"503 Busy" if len(bodies) % 3 == 0 else b"200 OK"
            writer.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 2\r\n\r\n{}")

    async def serve():
        listening = await asyncio.start_server(answer, "127.0.0.1", 0)
        port.append(listening.sockets[0].getsockname()[1])
        started.set()

    def run():
        asyncio.set_event_loop(loop)
        loop.set_exception_handler(lambda *_: None)  # connections that end
        loop.create_task(serve())
        loop.run_forever()

    threading.Thread(target=run, daemon=True).start()
    assert started.wait(10)
    yield port[0], bodies
    loop.call_soon_threadsafe(loop.stop)


def test_answers_and_refusals_are_counted_apart(server):
    port, bodies = server
    requests = [load.request_of("/v1/predict", {"texts": [text]}) for text in ("old cat", "naïve 中文")]
    found = load.put_on(port, requests, 2, 0.3)
    assert found.failed == len(bodies) // 3 > 0
    assert 0 < found.p50_ms <= found.p99_ms
    assert {body["texts"][0] for body in bodies} == {"old cat", "naïve 中文"}
