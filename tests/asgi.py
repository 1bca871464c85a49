"""Requests to an application in this process, whose client can be slow, and hang up."""

import asyncio
import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any


class Client:
    """One request: the pieces of its body as they are to arrive, and what is answered."""

    def __init__(self, application: Any, method: str, path: str, pieces: Sequence[bytes] = (b"",), **headers: str) -> None:
        self._application, self._pieces = application, list(pieces)
        self._hung_up, self.stalls = asyncio.Event(), False
        self.status, self.headers, self.body = 0, {}, b""
        sent = {"content-type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
        sent.setdefault("content-length", str(sum(map(len, self._pieces))))
        self.scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path.partition("?")[0],
            "raw_path": path.encode(),
            "query_string": path.partition("?")[2].encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8000),
            "state": {},
        }

    def hang_up(self) -> None:
        self._hung_up.set()

    async def _receive(self) -> dict[str, Any]:
        if self._pieces and not (self.stalls and len(self._pieces) == 1):
            piece = self._pieces.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(self._pieces)}
        await self._hung_up.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.body += message.get("body", b"")

    async def run(self) -> SimpleNamespace:
        """Send it and wait for the answer."""
        await self._application(self.scope, self._receive, self._send)
        found = json.loads(self.body) if self.body else None
        return SimpleNamespace(
            status=self.status, headers=self.headers, json=found, code=((found or {}).get("error") or {}).get("code")
        )


def post(application: Any, body: Any, path: str = "/v1/predict", **headers: str) -> Client:
    """A client that posts JSON."""
    return Client(application, "POST", path, [body if isinstance(body, bytes) else json.dumps(body).encode()], **headers)


async def soon(condition) -> None:
    """Wait until something has become true."""
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never became true")
