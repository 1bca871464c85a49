"""A server in a process of its own on a free port, and clients of it that a test can have misbehave."""

import contextlib
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support import ROOT, script_environment

JSON = "application/json"
SECONDS = 60  # for what should take one


@dataclass(frozen=True)
class Reply:
    """What a server answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """Of a refusal."""
        return self.json["error"]["code"]


class Running:
    """A server that runs: `port`, `lines` of its log so far, and requests to it."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process, self.lines, self.port = process, [], 0
        self._new = threading.Condition()
        self._readers = [
            threading.Thread(target=self._read, args=(each,), daemon=True) for each in (process.stdout, process.stderr)
        ]
        for reader in self._readers:
            reader.start()
        self.port = int(re.search(r":(\d+)$", self.wait_for("^serving .* at http"))[1])

    def _read(self, stream: Any) -> None:
        for line in stream:
            with self._new:
                self.lines.append(line.rstrip("\n"))
                self._new.notify_all()
        with self._new:
            self._new.notify_all()

    def wait_for(self, pattern: str, seconds: float = SECONDS) -> str:
        """The first line with the pattern, once it is there; fails when the server ends without it, or it takes too long."""
        end = time.monotonic() + seconds
        with self._new:
            while True:
                for line in self.lines:
                    if re.search(pattern, line):
                        return line
                ended = self.process.poll() is not None and not any(reader.is_alive() for reader in self._readers)
                assert not ended and time.monotonic() < end, f"no line {pattern!r} among {self.lines}"
                self._new.wait(0.1)

    def request(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Reply:
        """The answer to one request on a connection of its own; a body that is not bytes is sent as JSON."""
        content = body if body is None or isinstance(body, bytes) or hasattr(body, "__next__") else json.dumps(body).encode()
        sent = {"Content-Type": JSON, **(headers or {})} if body is not None else headers or {}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        try:
            connection.request(method, path, content, sent, encode_chunked=hasattr(body, "__next__"))
            answer = connection.getresponse()
            return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def predict(self, texts: Any, **more: Any) -> Reply:
        """The answer to POST /v1/predict."""
        return self.request("POST", "/v1/predict", {"texts": texts, **more})

    def connect(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric over the series that have these labels."""
        found = 0.0
        for line in self.request("GET", "/metrics").body.decode().splitlines():
            match = re.fullmatch(rf"{name}(\{{.*\}})? (\S+)", line)
            if match and all(f'{key}="{value}"' in (match[1] or "") for key, value in labels.items()):
                found += float(match[2])
        return found

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def stop(self) -> int:
        """End it as a process manager does; returns the exit code."""
        self.signal(signal.SIGTERM)
        return self.process.wait(SECONDS)


@contextlib.contextmanager
def running(*arguments: str | Path, **changes: str) -> Iterator[Running]:
    """A server with these arguments, beside its port; what is left of it afterwards is killed."""
    command = [sys.executable, str(ROOT / "serve.py"), *map(str, arguments), "--port=0"]
    process = subprocess.Popen(
        command, env=script_environment(**changes), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )
    try:
        yield Running(process)
    finally:
        process.kill()
        process.wait()
