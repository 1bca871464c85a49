"""Reading the bodies of requests: bounded in bytes and in time, and JSON that says what is wrong with it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from starlette.requests import Request

from halfbert.serving.errors import Refusal, gone, too_late

IN_THREAD_BYTES = 2**16  # larger bodies are parsed in a thread
MEDIA_TYPE = "application/json"


class Held:
    """The bytes of all bodies that are in memory; more than `most` are refused."""

    def __init__(self, most: int) -> None:
        self._most, self.bytes = most, 0

    def take(self, count: int) -> None:
        """Note bytes that were read. Raises Refusal if there are too many."""
        self.bytes += count
        if self.bytes > self._most:
            raise Refusal(503, "busy", "too many requests at a time; try again in 1 s", {"Retry-After": "1"})

    def release(self, count: int) -> None:
        """Note bytes that are no longer needed."""
        self.bytes -= count


async def chunks(request: Request, most: int, remedy: str = "send fewer texts at a time") -> AsyncIterator[bytes]:
    """The body of a request, piece by piece, at most so many bytes. Raises Refusal: 413 too large, 408 too slow, 499 gone."""
    too_large = Refusal(413, "too_large", f"the body has more than {most:,} bytes; {remedy}")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > most:
        raise too_large
    read = 0
    while True:
        try:
            message = await asyncio.wait_for(request.receive(), max(0.0, request.state.deadline - time.monotonic()))
        except (TimeoutError, asyncio.TimeoutError):
            raise Refusal(408, "too_slow", "the body did not arrive in time", {"Connection": "close"}) from None
        if message["type"] == "http.disconnect":
            raise gone()
        read += len(message.get("body", b""))
        if read > most:
            raise too_large
        yield message.get("body", b"")
        if not message.get("more_body"):
            return


async def read_json(request: Request, most: int, held: Held) -> Any:
    """The JSON of a request. Raises Refusal if it is too large, too slow or no JSON."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != MEDIA_TYPE:
        raise Refusal(415, "media_type", f"expected Content-Type: {MEDIA_TYPE}")
    body, taken = bytearray(), 0
    try:
        async for chunk in chunks(request, most):
            taken += len(chunk)
            held.take(len(chunk))
            body += chunk
        if len(body) <= IN_THREAD_BYTES:
            return parse(body)
        return await asyncio.to_thread(parse, body)
    finally:
        held.release(taken)


def parse(body: bytes | bytearray) -> Any:
    """The value of a JSON text in UTF-8. Raises Refusal, with the place, if it is none."""
    try:
        return json.loads(body.decode("utf-8-sig"), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise Refusal(400, "not_utf8", f"the body is not UTF-8: byte {error.start} is 0x{body[error.start]:02x}") from None
    except (ValueError, RecursionError) as error:
        place = f" at line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise Refusal(400, "not_json", f"the body is not JSON{place}") from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


async def until(
    deadline: float, request: Request, work: "asyncio.Future[Any]", give_up: Callable[[], object], seconds: float
) -> Any:
    """The result of `work`; where time runs out, or the client hangs up, `give_up` is called. Raises Refusal."""
    hung_up = asyncio.ensure_future(_hung_up(request.receive))
    try:
        await asyncio.wait({work, hung_up}, timeout=max(0.0, deadline - time.monotonic()), return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        give_up()
        if hung_up.done():
            raise gone()
        raise too_late(seconds)
    finally:
        hung_up.cancel()


async def _hung_up(receive: Callable[[], Awaitable[Any]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
