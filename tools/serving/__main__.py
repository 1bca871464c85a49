"""Race `serve.py` against a transformers pipeline and against ktrain, each behind FastAPI, under the same load.

python -m tools.serving PREDICTOR --data FOLDER --peer-python PYTHON [--seconds 8] [--rounds 3] [--name NAME]

PREDICTOR: one that a training script saved. FOLDER holds news_aggregator.csv and imdb_test.xlsx, for short and long texts.
PYTHON: of an environment with torch, transformers, fastapi and uvicorn, for the pipeline. All servers run at once on this
machine and are loaded in turn, one text a request. Writes results/published/serving/NAME.json.
"""

import argparse
import contextlib
import os
import random
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from halfbert.data.formats import read_file
from halfbert.data.tables import Layout
from halfbert.predictor import manifest
from halfbert.system import machine, storage
from tools.serving import load
from tools.serving.load import Load

HERE = Path(__file__).parent
CONCURRENCY = (1, 8, 64)
TEXTS = {"short": ("news_aggregator.csv", "text"), "long": ("imdb_test.xlsx", "Reviews")}
TEXTS_OF_EACH = 512
START_SECONDS = 120.0


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextlib.contextmanager
def running(commands: dict[str, list[str]], ports: dict[str, int]) -> "Iterator[dict[str, subprocess.Popen[bytes]]]":
    """The servers by name, once each accepts connections; ended when the block ends."""
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false"}
    servers = {name: subprocess.Popen(command, env=environment) for name, command in commands.items()}
    try:
        for name, port in ports.items():
            _wait(name, servers[name], port)
        yield servers
    finally:
        for server in servers.values():
            server.terminate()
        for server in servers.values():
            server.wait(30)


def _wait(name: str, server: "subprocess.Popen[bytes]", port: int) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if server.poll() is not None:
            raise SystemExit(f"{name}: ended with exit code {server.returncode} before it listened")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.2)
    raise SystemExit(f"{name}: does not listen after {START_SECONDS:.0f} s")


def texts_of(data: Path) -> dict[str, list[str]]:
    """Short and long texts, drawn with one seed."""
    found = {}
    for length, (name, column) in TEXTS.items():
        cells = read_file(data / name, [column], Layout(), "texts").columns[column]
        strings = [cell for cell in cells if isinstance(cell, str) and cell.strip()]
        found[length] = random.Random(0).sample(strings, TEXTS_OF_EACH)
    return found


def middle(rounds: Sequence[Load]) -> Load:
    """The median of each figure over the rounds; failures are added up."""
    medians = {
        name: statistics.median(getattr(each, name) for each in rounds) for name in ("requests_per_second", "p50_ms", "p99_ms")
    }
    return replace(rounds[0], **medians, failed=sum(each.failed for each in rounds))


def main() -> None:
    """Start the servers, load each in turn, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("predictor", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--peer-python", required=True)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--name", default="race")
    parser.add_argument("--output", type=Path, default=Path("results/published/serving"))
    given = parser.parse_args()
    stated, folder = manifest.read(given.predictor), str(given.predictor)
    ports = {name: free_port() for name in ("halfbert", "transformers pipeline", "ktrain")}
    here = [sys.executable, "-m", "halfbert", "serve", folder, "--port", str(ports["halfbert"])]
    pipeline = [
        given.peer_python,
        str(HERE / "peer_pipeline.py"),
        folder,
        str(stated.maxlen),
        str(ports["transformers pipeline"]),
    ]
    ktrain = [sys.executable, str(HERE / "peer_ktrain.py"), folder, str(ports["ktrain"])]
    commands = {"halfbert": here, "transformers pipeline": pipeline, "ktrain": ktrain}
    requests = {
        length: [load.request_of("/v1/predict", {"texts": [text]}) for text in texts]
        for length, texts in texts_of(given.data).items()
    }
    figures: dict[str, dict[str, list[Load]]] = {name: {length: [] for length in requests} for name in commands}
    rounds: dict[tuple[str, str, int], list[Load]] = {}
    with running(commands, ports):
        for port in ports.values():
            for each in requests.values():
                load.put_on(port, each, 8, min(2.0, given.seconds))  # warm up
        for _ in range(given.rounds):
            for length, each in requests.items():
                for concurrency in CONCURRENCY:
                    for name, port in ports.items():
                        found = load.put_on(port, each, concurrency, given.seconds)
                        rounds.setdefault((name, length, concurrency), []).append(found)
    for (name, length, concurrency), of_rounds in rounds.items():
        found = middle(of_rounds)
        figures[name][length].append(found)
        print(
            f"{name:22} {length:6} {concurrency:3} at a time: {found.requests_per_second:8.1f} requests/s, "
            f"p50 {found.p50_ms:7.1f} ms, p99 {found.p99_ms:7.1f} ms, failed {found.failed}"
        )
    given.output.mkdir(parents=True, exist_ok=True)
    record = {
        "predictor": stated.model,
        "maxlen": stated.maxlen,
        "seconds": given.seconds,
        "rounds": given.rounds,
        "figures": {
            name: {length: [asdict(one) for one in each] for length, each in of.items()} for name, of in figures.items()
        },
        "environment": asdict(machine.describe("cpu", None, "float32", 0)),
    }
    storage.write_json(record, given.output / f"{given.name}.json")


if __name__ == "__main__":
    main()
