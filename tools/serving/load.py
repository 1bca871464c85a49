"""A load generator: so many connections, each with one request after another, and what became of them."""

import asyncio
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """What so many connections saw in some seconds; milliseconds are of requests that were answered."""

    concurrency: int
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    failed: int


def request_of(path: str, body: dict[str, object]) -> bytes:
    """A POST request with a JSON body, for a connection that stays open."""
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


async def _answer(reader: asyncio.StreamReader) -> int:
    """The status of the next response, whose body is read to its end."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    lengths = [line for line in lines if line.lower().startswith("content-length:")]
    await reader.readexactly(int(lengths[0].split(":")[1]))
    return int(lines[0].split()[1])


async def _client(port: int, requests: Sequence[bytes], first: int, until: float, milliseconds: list[float]) -> int:
    """Send requests one after another, from the one numbered `first` on; returns how many were not answered with 200."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    failed, number = 0, first
    while time.perf_counter() < until:
        began = time.perf_counter()
        writer.write(requests[number % len(requests)])
        status = await _answer(reader)
        if status == 200:
            milliseconds.append(1000 * (time.perf_counter() - began))
        else:
            failed += 1
        number += 1
    writer.close()
    return failed


async def _all(port: int, requests: Sequence[bytes], concurrency: int, seconds: float) -> Load:
    milliseconds: list[float] = []
    began = time.perf_counter()
    step = max(1, len(requests) // concurrency)
    clients = [_client(port, requests, step * each, began + seconds, milliseconds) for each in range(concurrency)]
    failed = sum(await asyncio.gather(*clients))
    elapsed = time.perf_counter() - began
    percentiles = statistics.quantiles(milliseconds, n=100, method="inclusive") if len(milliseconds) > 1 else [0.0] * 99
    return Load(concurrency, len(milliseconds) / elapsed, percentiles[49], percentiles[98], failed)


def put_on(port: int, requests: Sequence[bytes], concurrency: int, seconds: float) -> Load:
    """Have `concurrency` connections to a port of this machine send requests for some seconds."""
    return asyncio.run(_all(port, requests, concurrency, seconds))
