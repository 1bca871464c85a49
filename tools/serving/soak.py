"""Mixed load on `serve.py` for a while: are answers lost or swapped, and does its memory stay flat?

python -m tools.serving.soak PREDICTOR --data FOLDER [--minutes 30] [--name NAME]

Connections ask for one text or several and hold each answer against that of `halfbert.load`; others send what is no request, or
hang up in the middle; every half minute the predictor is reloaded by SIGHUP. Writes results/published/serving/NAME.json.
"""

import argparse
import asyncio
import contextlib
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

import halfbert
from halfbert.system import machine, storage
from tools.serving.__main__ import free_port, running, texts_of
from tools.serving.load import request_of

CLIENTS, MISFITS, RELOAD_SECONDS, SAMPLE_SECONDS = 8, 3, 30.0, 5.0
WARM_UP_SHARE = 0.1  # of the time, before memory counts
AGREE = 0.02  # two batchings of one text differ by less


async def _response(reader: asyncio.StreamReader) -> tuple[int, dict[str, Any]]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    length = next(int(line.split(":")[1]) for line in head if line.lower().startswith("content-length:"))
    return int(head[0].split()[1]), json.loads(await reader.readexactly(length))


async def client(port: int, texts: list[str], expected: dict[str, tuple[str, float]], until: float, seen: Counter[str]) -> None:
    """Send requests whose answers are known, and count what came back."""
    rng = random.Random(id(texts) + len(seen))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.monotonic() < until:
        some = rng.choices(texts, k=rng.choice([1, 1, 1, 5, 20]))
        writer.write(request_of("/v1/predict", {"texts": some}))
        status, body = await _response(reader)
        seen[f"status {status}"] += 1
        if status != 200:
            await asyncio.sleep(0.05)
            continue
        answers = body["answers"]
        seen["texts"] += len(some)
        seen["lost"] += len(some) - len(answers)
        for text, answer in zip(some, answers, strict=False):
            label, confidence = expected[text]
            near = abs(answer.get("confidence", -1) - confidence) < AGREE
            seen["swapped"] += not near or (answer.get("label") != label and confidence > 0.5 + AGREE)
    writer.close()


async def misfit(port: int, until: float, seen: Counter[str]) -> None:
    """Send what is no request, or hang up in the middle of one."""
    rng = random.Random(0)
    bad = [
        b'POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"texts":',
        b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n",
        b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n",
        request_of("/v1/predict", {"texts": [1, None, "", "\ud800"]}),
        request_of("/v1/predict", {"texts": "no list", "more": 1}),
    ]
    while time.monotonic() < until:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, StopIteration, TimeoutError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            whole = rng.choice(bad)
            cut = whole if rng.random() < 0.6 else whole[: rng.randrange(1, len(whole))]
            writer.write(cut)
            if cut is whole:
                status, _ = await asyncio.wait_for(_response(reader), 40)
                seen[f"misfit {status}"] += 1
            else:
                await writer.drain()
                seen["hung up"] += 1
            writer.transport.abort()
        await asyncio.sleep(0.1)


async def watch(process: psutil.Process, until: float, memory: list[float], seen: Counter[str]) -> None:
    """Sample the memory of the server and its children, and reload now and then."""
    reload_at = time.monotonic() + RELOAD_SECONDS
    while time.monotonic() < until:
        family = [process, *process.children(recursive=True)]
        memory.append(sum(each.memory_info().rss for each in family) / 1e6)
        if time.monotonic() > reload_at:
            process.send_signal(signal.SIGHUP)
            seen["reloads"] += 1
            reload_at += RELOAD_SECONDS
        await asyncio.sleep(SAMPLE_SECONDS)


async def soak(port: int, process: psutil.Process, expected: dict[str, tuple[str, float]], minutes: float) -> dict[str, Any]:
    """All of it at once; what was counted, and megabytes over time."""
    until, seen, memory = time.monotonic() + 60 * minutes, Counter[str](), list[float]()
    texts = list(expected)
    jobs = [client(port, texts, expected, until, seen) for _ in range(CLIENTS)]
    jobs += [misfit(port, until, seen) for _ in range(MISFITS)]
    await asyncio.gather(*jobs, watch(process, until, memory, seen))
    begin = max(1, int(WARM_UP_SHARE * len(memory)))
    settled = memory[begin:]
    tenth = max(1, len(settled) // 10)
    first, last = sum(settled[:tenth]) / tenth, sum(settled[-tenth:]) / tenth
    return {
        "seen": dict(sorted(seen.items())),
        "memory_mb": {"first": first, "last": last, "peak": max(settled)},
        "samples": memory,
    }


def main() -> None:
    """Serve a copy of the predictor, and put mixed load on it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("predictor", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--name", default="soak")
    parser.add_argument("--output", type=Path, default=Path("results/published/serving"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as room:
        folder = Path(shutil.copytree(given.predictor, Path(room) / given.predictor.name))
        classifier = halfbert.load(folder)
        texts = [text for some in texts_of(given.data).values() for text in some]
        reviewed = classifier.review(texts)
        expected = dict(zip(texts, zip(reviewed.answers, reviewed.confidence.tolist(), strict=True), strict=True))
        port = free_port()
        command = [sys.executable, "-m", "halfbert", "serve", str(folder), "--port", str(port), "--engine", classifier.engine]
        with running({"halfbert": command}, {"halfbert": port}) as servers:
            found = asyncio.run(soak(port, psutil.Process(servers["halfbert"].pid), expected, given.minutes))
    record = {"minutes": given.minutes, "engine": classifier.engine, **found}
    record["environment"] = asdict(machine.describe("cpu", None, "float32", 0))
    given.output.mkdir(parents=True, exist_ok=True)
    storage.write_json(record, given.output / f"{given.name}.json")
    print(json.dumps({key: value for key, value in record.items() if key in ("seen", "memory_mb")}, indent=2))


if __name__ == "__main__":
    main()
