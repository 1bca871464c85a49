"""One predictor behind one engine in a process of its own, timed on command: `python -m halfbert.benchmark.worker`.

Each line on standard input is a command in JSON, each line on standard output its reply. The first says what to do: load a
predictor behind an engine (the reply ends its cold start), {"ceiling_products": n, "threads": m} or {"prove": ...}. After
loading, as often as requested, with the fields of a `record.Work` as "work":

- {"do": "texts", "natural": [...], "fixed": [...], "fixed_tokens": n}: what will be timed; replies the tokens
  of each text's windows.
- {"do": "answers"}: the answers to the natural texts, and their probabilities.
- {"do": "warm", "work": ...}: a call of every shape of the work; replies its seconds.
- {"do": "block", "work": ..., "seconds": ...}: a block of `statistics.measure`; replies its samples.
- {"do": "memory"}: the greatest memory so far.

A failure is the reply {"error": line, "exit_code": number}.
"""

import contextlib
import dataclasses
import importlib
import itertools
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from halfbert.benchmark.record import Work
from halfbert.benchmark.statistics import measure
from halfbert.models.batching import padded_batches
from halfbert.predictor.classifier import Classifier
from halfbert.system.errors import HalfbertError

CEILING_SIZE = 2048  # rows and columns of the large product


def main() -> None:
    """Serve the commands on standard input until it ends."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not come between the replies

    def reply(value: dict[str, Any]) -> None:
        print(json.dumps(value), file=replies, flush=True)

    try:
        job = json.loads(sys.stdin.readline())
        if "ceiling_products" in job:
            return reply({"gflop_per_second": ceiling(job["ceiling_products"], job["threads"])})
        if "prove" in job:
            return reply(prove(**job["prove"]))
        served = Served(**job)
        reply(served.ready)
        for line in sys.stdin:
            command = json.loads(line)
            reply(getattr(served, command.pop("do"))(**command))
    except HalfbertError as error:
        reply({"error": str(error), "exit_code": error.exit_code})


def ceiling(products: int, threads: int) -> float:
    """10⁹ operations a second in one large float32 product: the best of numpy's and, where there is one, ONNX Runtime's.

    numpy's library got its threads when the process started. Which of the two is faster, often twice as fast, depends on the
    processor, and a ceiling below what an engine reaches would be none.
    """
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((CEILING_SIZE, CEILING_SIZE), np.float32) for _ in range(2))
    ways: list[Callable] = [lambda _: a @ b]
    with contextlib.suppress(ImportError):
        from halfbert.models.onnx_graph import single_product
        from halfbert.predictor.engines.onnx import open_session

        session = open_session(single_product(b), threads)
        ways.append(lambda _: session.run(None, {"x": a}))
    for way in ways:
        way(None)  # starts the threads
    fastest = min(min(measure(way, range(products), seconds=0.0)) for way in ways)
    return 2 * CEILING_SIZE**3 / fastest / 1e9


def resident() -> int:
    """Bytes of memory that this process holds."""
    return psutil.Process().memory_info().rss


def peak_resident() -> int:
    """Bytes of memory that this process held at most."""
    memory = psutil.Process().memory_info()
    if hasattr(memory, "peak_wset"):  # Windows
        return memory.peak_wset
    with contextlib.suppress(OSError):  # Linux, where getrusage counts what the parent held before the process began
        if peak := re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text()):
            return 1024 * int(peak[1])
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def gpu_peak(device: str) -> int | None:
    """Bytes of GPU memory that this process held at most, according to the library that runs it; None without a GPU."""
    if device != "gpu":
        return None
    if "tensorflow" in sys.modules:
        return sys.modules["tensorflow"].config.experimental.get_memory_info("GPU:0")["peak"]
    if "torch" in sys.modules:
        return sys.modules["torch"].cuda.max_memory_allocated()
    # ONNX Runtime keeps what it once took, so what the driver reports at the end is the peak.
    with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):  # a line may hold [N/A]
        query = ["nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"]
        lines = subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()
        used = {int(process): int(mebibytes) for process, mebibytes in (line.split(",") for line in lines)}
        return 2**20 * used[os.getpid()] if os.getpid() in used else None
    return None


def prove(folder: str, texts: list[str], texts_name: str, engine_names: list[str], threads: int) -> dict[str, Any]:
    """`proving.prove`, in a process of its own, as TensorFlow takes much memory."""
    from halfbert.predictor import proving

    return dataclasses.asdict(proving.prove(Path(folder), texts, texts_name, engine_names, threads=threads))


class Served:
    """A predictor loaded behind an engine, with the texts to time it on; each public method is a command."""

    def __init__(self, folder: str, engine: str, device: str, threads: int, allow_disagreement: bool, first_text: str):
        from halfbert.predictor import classifier, engines

        start = time.perf_counter()
        declared = engines.require(engine)
        import_runtime(declared.packages, device, threads)
        imported, self._resident = time.perf_counter(), resident()
        self._classifier = classifier.load(folder, engine, device, threads, allow_disagreement)
        loaded = time.perf_counter()
        self._classifier.predict(first_text)
        self._device = self._classifier.device
        self.ready = {
            "weight_bytes": self._classifier.loaded.weights.stat().st_size,
            "model_alone": self._classifier.loaded.forward is not None,
            "seconds": {"import_seconds": imported - start, "load_seconds": loaded - imported},
        }

    def texts(self, natural: list[str], fixed: list[str], fixed_tokens: int) -> dict[str, list[list[int]]]:
        """Take the texts: the natural ones as they are, the fixed ones so long that each has `fixed_tokens` tokens.

        The fixed ones are answered whole, even if the predictor was trained with a smaller maxlen.
        """
        usual = self._classifier
        whole = usual.with_maxlen(fixed_tokens)
        self._texts = {"natural": (usual, natural), "fixed": (whole, [of_length(whole, text, fixed_tokens) for text in fixed])}
        return {kind: user.encode(texts).lengths_by_text() for kind, (user, texts) in self._texts.items()}

    def answers(self) -> dict[str, Any]:
        """The answers to the natural texts, and their probabilities."""
        user, texts = self._texts["natural"]
        probabilities = user.predict_proba(texts)
        return {"answers": user.answers(probabilities), "probabilities": probabilities.tolist()}

    def warm(self, work: dict[str, Any]) -> dict[str, list[float]]:
        """Make one call for each shape of batch."""
        call, inputs = self._call(Work(**work))
        seen: set[tuple] = set()
        seconds: list[float] = []
        for item, batches in zip(inputs, self._batches(Work(**work)), strict=True):
            shapes = {ids.shape for ids, _ in batches}
            shapes |= {("together", max(tokens for _, tokens in shapes))}  # an engine may take all texts of a call at once
            if not shapes <= seen:
                seconds += measure(call, [item], seconds=0.0)
                seen |= shapes
        return {"seconds": seconds}

    def block(self, work: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Time the work for so many seconds at least, in whole passes."""
        call, inputs = self._call(Work(**work))
        wall, cpu = time.perf_counter(), time.process_time()
        samples = measure(call, inputs, seconds)
        return {"seconds": samples, "cpu_seconds": time.process_time() - cpu, "wall_seconds": time.perf_counter() - wall}

    def memory(self) -> dict[str, int | None]:
        """Memory after the imports, and the peak above that."""
        above, gpu = peak_resident() - self._resident, gpu_peak(self._device)
        return {"resident_after_import": self._resident, "peak_above_import": above, "gpu_peak": gpu}

    def _chunks(self, work: Work) -> tuple[Classifier, list[list[str]]]:
        """Who answers, and the texts of each call of a pass."""
        user, texts = self._texts[work.lengths]
        texts = list(itertools.islice(itertools.cycle(texts), work.texts))
        return user, [texts[start : start + work.batch] for start in range(0, len(texts), work.batch)]

    def _batches(self, work: Work) -> list[list[tuple]]:
        """For each call of a pass the batches that the classifier makes of its texts: ids and mask, (rows, tokens) each."""
        user, chunks = self._chunks(work)
        batches = (padded_batches(user.encode(chunk), user.loaded.tokens_per_batch) for chunk in chunks)
        return [[(ids, mask) for _, ids, mask in batches_of_call] for batches_of_call in batches]

    def _call(self, work: Work) -> tuple[Callable, list]:
        """What is called, and with what in turn."""
        user, chunks = self._chunks(work)
        if work.part == "end to end":
            return user.predict, chunks if work.batch > 1 else [text for (text,) in chunks]

        def model(batches: list[tuple]) -> None:
            assert user.loaded.forward
            for ids, mask in batches:
                user.loaded.forward(ids, mask)

        return model, self._batches(work)


def import_runtime(packages: Sequence[str], device: str, threads: int) -> None:
    """Import what an engine runs on, as the engine itself does, so that its seconds and memory can be measured apart."""
    if "tensorflow" not in packages:
        importlib.import_module(packages[0])
        return
    from halfbert.system import tensorflow_setup

    tensorflow_setup.prepare(device, threads)
    if "ktrain" in packages:
        tensorflow_setup.import_ktrain()


def of_length(user: Classifier, text: str, tokens: int) -> str:
    """The words of a text that has more than so many tokens, up to exactly so many; full stops take up what is left."""
    words = text.split()
    lengths = user.encode(words).full_lengths - 2  # without [CLS] and [SEP]
    kept = int(np.searchsorted(np.cumsum(lengths), tokens - 2, side="right"))
    return " ".join([*words[:kept], *["."] * (tokens - 2 - int(lengths[:kept].sum()))])


if __name__ == "__main__":
    main()
