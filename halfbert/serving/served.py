"""Predictors that are served: loaded without TensorFlow, checked, and loaded anew when their folder changes."""

import contextlib
import ctypes
import functools
import gc
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from halfbert.options.serving import ENGINES
from halfbert.predictor import gate, manifest
from halfbert.predictor.classifier import Classifier, load
from halfbert.scoring.review import Reviewer, ReviewRule
from halfbert.serving import metrics
from halfbert.serving.lane import Answered, Lane, Seen
from halfbert.system.errors import ArtefactError, HalfbertError, InputError, ResourceError

CHECK_TEXT = "Where is my parcel?"
CHECK_SECONDS = 5.0
CHECK_DIFFERENCE = 1e-3  # of a probability of the same text answered again
WARM_UP_TEXTS = 3
SECONDS_TO_END = 5.0  # that a reload waits for what was asked before it


def load_classifier(folder: Path, engine: str, device: str, threads: int | None) -> Classifier:
    """The predictor behind an engine that needs no TensorFlow. Raises what `halfbert.load` raises."""
    if engine == "auto":
        predictor = manifest.Predictor(folder, manifest.read(folder), {})
        names = [name for name in gate.automatic(predictor, device, threads) if name in ENGINES]
        if not names:
            raise ArtefactError(
                f"{folder}: no engine that serves was proven to agree with keras; to compare them: "
                f"halfbert benchmark {folder} --prepare --engines onnx,onnx-int8"
            )
        engine = names[0]
    return load(folder, engine, device, threads)


def _give_back() -> None:
    """Free what is of no more use: classifiers are in cycles, and the C library keeps what is freed."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # glibc alone has it
        ctypes.CDLL(None).malloc_trim(0)


class Generation:
    """One loaded state of a folder: its classifier, the lane that answers, and the rules that were made ready for it."""

    def __init__(self, classifier: Classifier, seen: Seen) -> None:
        self.classifier, self.manifest = classifier, classifier.predictor.manifest
        self.lane = Lane(classifier, seen)
        self.reviewer: Callable[[float | None], Reviewer] = functools.lru_cache(maxsize=64)(self._reviewer)
        try:
            self._expected = self._warmed_up()
        except BaseException:
            self.lane.close()
            raise

    @functools.cached_property
    def aside(self) -> Classifier:
        """The classifier for work of other threads, which the lane does when no texts wait."""
        return self.classifier.with_forward(self.lane.forward)

    def _reviewer(self, max_error: float | None) -> Reviewer:
        return self.manifest.reviewer(ReviewRule(max_error=max_error))

    def _warmed_up(self) -> np.ndarray:
        """The (labels,) probabilities of the text that checks answer, once the engine has answered short and long texts."""
        for times in (1, self.manifest.maxlen, *[1] * WARM_UP_TEXTS):
            answered = self.ask(" ".join([CHECK_TEXT] * times), None)
            if answered is None or answered.failed[0]:
                raise ArtefactError(f"{self.classifier.predictor.folder}: the engine gives no answer to a text")
            found = answered.probabilities[0]
        return found

    def ask(self, text: str, seconds: float | None = CHECK_SECONDS) -> Answered | None:
        """The answer to a text, waited for; None if it takes too long."""
        arrived, found = threading.Event(), []

        def finished(answers: Answered | None) -> None:
            found.append(answers)
            arrived.set()

        ticket = self.lane.submit([text], finished, 3600.0 if seconds is None else seconds)
        if not arrived.wait(seconds):
            self.lane.abandon(ticket)
        return found[0] if found else None

    def check(self) -> bool:
        """Whether the engine still answers, and as it did when it was loaded."""
        try:
            answered = self.ask(CHECK_TEXT)
        except ResourceError:
            return False
        return answered is not None and bool(np.abs(answered.probabilities[0] - self._expected).max() <= CHECK_DIFFERENCE)


@dataclass(frozen=True)
class Source:
    """What a predictor is loaded from."""

    folder: Path
    engine: str
    device: str
    threads: int | None


class Served:
    """A predictor under its name. `now` is the generation that answers; a newer one takes its place at once, or not at all."""

    def __init__(self, name: str, source: Source, seen: Seen, say: Callable[[str], object]) -> None:
        self.name, self._source, self._seen, self._say = name, source, seen, say
        self._state = self.state()
        self.now = self._load()
        self._reloading = threading.Lock()

    def _note(self, outcome: str, line: str) -> None:
        metrics.RELOADS.labels(self.name, outcome).inc()
        self._say(f"{self.name}: {line}")

    def _load(self) -> Generation:
        source = self._source
        return Generation(load_classifier(source.folder, source.engine, source.device, source.threads), self._seen)

    def state(self) -> dict[str, tuple[int, int, int]] | None:
        """Time, size and number of each file of the folder, the engines' own apart; None if there is no manifest."""
        folder, found = self._source.folder, {}
        try:
            for file in (folder / name for name in (manifest.MANIFEST, *os.listdir(folder))):
                if not file.is_dir():
                    stat = file.stat()
                    found[file.name] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        except OSError:
            return None
        return found

    def reload_if_changed(self, forced: bool = False) -> bool:
        """Load the folder again if it changed, or all the same; whether there is a new generation.

        A folder that fails its checks, or is gone, is reported once, and the old generation goes on. Requests that have begun
        with it are answered by it.
        """
        with self._reloading:
            state = self.state()
            if state == self._state and not forced:
                return False
            self._state = state
            if state is None:
                self._say(f"{self.name}: the folder {self._source.folder} is gone; what is loaded goes on")
                return False
            try:
                new = self._load()
            except (HalfbertError, OSError) as error:
                self._note("refused", f"refused, what is loaded goes on: {' '.join(str(error).splitlines())}")
                return False
            old, self.now = self.now, new
            old.lane.close()
            old.lane.join(SECONDS_TO_END)
            del old
            _give_back()
            self._note("loaded", f"loaded again ({new.classifier.engine})")
            return True

    def describe(self) -> dict[str, Any]:
        """What clients are shown of a predictor."""
        now = self.now
        stated = now.manifest
        return {
            "name": self.name,
            "task": stated.task,
            "labels": stated.labels,
            "text_columns": stated.text_columns,
            "maxlen": stated.maxlen,
            "long": stated.long,
            "engine": now.classifier.engine,
            "model": stated.model,
            "weights_sha256": now.classifier.predictor.weights_sha256,
            "calibrated": stated.calibration is not None,
            "test": stated.test,
        }


def names_of(folders: list[Path]) -> dict[str, Path]:
    """Each predictor's folder by its name, which is that of the folder. Raises InputError where two have the same."""
    named: dict[str, Path] = {}
    for folder in folders:
        name = folder.resolve().name
        if name in named:
            raise InputError(f"{folder}: another predictor is called {name!r}, too; rename one of the folders")
        named[name] = folder.absolute()
    return named
