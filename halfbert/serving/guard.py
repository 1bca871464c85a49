"""The outermost layer of the application: keys, encodings, deadlines, security headers, metrics and the log."""

import asyncio
import contextlib
import ipaddress
import logging
import time
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from halfbert.serving import metrics
from halfbert.serving.errors import GONE, Refusal, failed
from halfbert.serving.keys import Keys

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Receive, Send], Awaitable[None]]

OPEN_TO_ALL = ("/", "/page.css", "/page.js", "/healthz", "/readyz")  # without a key
# A body that is not wanted is read to its end, up to so much, before it is refused: a client that is still sending would see a
# reset connection in place of the answer.
DRAINED_BYTES, DRAINED_SECONDS = 32 * 2**20, 2.0
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
log = logging.getLogger("halfbert.serving")


class Guard:
    """An ASGI application around another.

    `host` is the address that the server listens on. One that only this machine reaches, and that wants no key, answers to no
    other name: a page of the web whose name was made to lead here (DNS rebinding) could read its answers.
    """

    def __init__(self, application: Application, keys: Keys | None, seconds: float, host: str) -> None:
        self._application, self._keys, self._seconds = application, keys, seconds
        self._names_checked = keys is None and _is_loopback(host)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send)
        scope.setdefault("state", {})["deadline"] = exchange.began + self._seconds
        try:
            self._admit(scope["path"], exchange.headers)
            await self._application(scope, exchange.receive, exchange.send)
        except Refusal as refusal:
            await exchange.refuse(refusal)
        except Exception as error:
            _report(error)
            await exchange.refuse(failed())
        finally:
            exchange.note()

    def _admit(self, path: str, headers: dict[str, str]) -> None:
        if self._names_checked and not _is_of_this_machine(headers.get("host", "")):
            raise Refusal(421, "misdirected", "without --api-key-file this server answers to localhost and to its address only")
        if self._keys is not None and path not in OPEN_TO_ALL and not self._keys.allow(headers):
            message = "send a key, as Authorization: Bearer KEY or X-API-Key: KEY"
            raise Refusal(401, "unauthorized", message, {"WWW-Authenticate": "Bearer"})
        if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            raise Refusal(
                415, "encoded", "compressed bodies are not read; send the body as it is", {"Accept-Encoding": "identity"}
            )


class _Exchange:
    """A request and its answer, as far as every one of them is alike."""

    def __init__(self, scope: Any, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self.began = time.monotonic()
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self._body_read = "transfer-encoding" not in self.headers and self.headers.get("content-length", "0") == "0"
        self._status: int | None = None

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            self._body_read = True
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = list(message["headers"])
            present = {name.lower() for name, _ in headers}
            headers += [(n.lower().encode(), v.encode()) for n, v in HEADERS.items() if n.lower().encode() not in present]
            headers.append((b"server-timing", b"total;dur=%.1f" % (1000 * (time.monotonic() - self.began))))
            if not self._body_read:
                await self._drain()
                headers.append((b"connection", b"close"))
            message["headers"] = headers
        await self._send(message)

    async def refuse(self, refusal: Refusal) -> None:
        """Send a refusal, unless an answer has begun."""
        if self._status is not None:
            return
        body = msgspec.json.encode(refusal.body())
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **refusal.headers}
        encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": refusal.status, "headers": encoded})
        await self.send({"type": "http.response.body", "body": body})

    async def _drain(self) -> None:
        if self.headers.get("expect", "").lower() == "100-continue":  # it waits before it sends
            return
        read = 0
        with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
            while not self._body_read and read < DRAINED_BYTES:
                message = await asyncio.wait_for(self.receive(), DRAINED_SECONDS)
                read += len(message.get("body", b""))

    def note(self) -> None:
        """Count the request, and write its line into the log; no path or text of the client's."""
        route = getattr(self._scope.get("route"), "path", "other")
        status, seconds = self._status or GONE, time.monotonic() - self.began
        metrics.REQUESTS.labels(route, str(status)).inc()
        metrics.REQUEST_SECONDS.labels(route).observe(seconds)
        log.info("%s %s %d %.1f ms", self._scope["method"], route, status, 1000 * seconds)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _is_of_this_machine(host: str) -> bool:
    """Whether a Host header names localhost or an address; no header comes from no browser."""
    name = host.strip().lower()
    name = name[1 : name.find("]")] if name.startswith("[") else name.partition(":")[0]
    if name in ("", "localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _report(error: BaseException) -> None:
    """Write where an error came from into the log, and not what it says, which may be somebody's text."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    log.error("%s\n%s", type(error).__name__, frames)
