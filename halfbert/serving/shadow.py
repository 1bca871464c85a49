"""Some of the texts are answered in float32 as well, when the processor has nothing else to do: how often the two agree."""

import contextlib
import os
import queue
import random
import threading

import numpy as np

from halfbert.predictor import proving
from halfbert.predictor.classifier import Classifier, load
from halfbert.serving import metrics
from halfbert.serving.lane import Answered
from halfbert.serving.served import Generation
from halfbert.system.errors import HalfbertError

ENGINE = "onnx"
WAITING = 256  # texts: beyond them they are left out and counted as such
LOWEST_PRIORITY = 19
Item = tuple[Generation, str, np.ndarray]


class Shadow:
    """A thread that answers a `fraction` of a predictor's texts with the engine onnx, on one processor, at lowest priority."""

    def __init__(self, name: str, fraction: float, rng: random.Random | None = None) -> None:
        self._fraction, self._rng = fraction, rng or random.Random()
        self._items: queue.Queue[Item | None] = queue.Queue(WAITING)
        self._counts = {outcome: metrics.SHADOW.labels(name, outcome) for outcome in ("equal", "different", "left out")}
        self._loaded: tuple[str, Classifier] | None = None
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
        self._thread.start()

    def offer(self, generation: Generation, texts: list[str], answered: Answered) -> None:
        """Draw some of the texts; returns at once."""
        for number, text in enumerate(texts):
            if not answered.failed[number] and self._rng.random() < self._fraction:
                try:
                    self._items.put_nowait((generation, text, answered.probabilities[number].copy()))
                except queue.Full:
                    self._counts["left out"].inc()

    def close(self) -> None:
        """Forget what waits, and end the thread."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._items.get_nowait()
        self._items.put(None)

    def _run(self) -> None:
        if hasattr(os, "setpriority"):  # on Linux of this thread alone
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST_PRIORITY)
        while (item := self._items.get()) is not None:
            try:
                self._compare(*item)
            except (HalfbertError, OSError):  # the folder has changed, and cannot be read as it was
                self._counts["left out"].inc()

    def _compare(self, generation: Generation, text: str, answered: np.ndarray) -> None:
        predictor = generation.classifier.predictor
        if self._loaded is None or self._loaded[0] != predictor.weights_sha256:
            loaded = load(predictor.folder, ENGINE, "cpu", threads=1)
            self._loaded = (loaded.predictor.weights_sha256, loaded)
        if self._loaded[0] != predictor.weights_sha256:  # the folder holds other weights by now
            self._counts["left out"].inc()
            return
        reference = self._loaded[1].probabilities([text])
        equal, _ = proving.compare(reference, answered[None], generation.manifest.thresholds)
        self._counts["equal" if equal else "different"].inc()
