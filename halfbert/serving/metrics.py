"""What a server counts, for Prometheus at /metrics; with several workers the sums over all of them.

`prometheus_client` keeps the figures of several processes in the folder PROMETHEUS_MULTIPROC_DIR, which has to be set before
this module is imported.
"""

import contextlib
import math
import os
from collections.abc import Sequence

import numpy as np
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
    multiprocess,
)

from halfbert.models.long_texts import SPECIAL_TOKENS
from halfbert.predictor.manifest import Predictor
from halfbert.predictor.summarising import reference
from halfbert.scoring.drift import NUMBERS, Comparison, Summaries, compare
from halfbert.scoring.review import answered_labels
from halfbert.system.errors import HalfbertError

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
BATCH_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
MEDIA_TYPE = CONTENT_TYPE_LATEST
FOLDER = "PROMETHEUS_MULTIPROC_DIR"

disable_created_metrics()  # when each series began: nobody reads it
REGISTRY = CollectorRegistry()
REQUESTS = Counter("halfbert_requests", "Requests by route and status.", ["route", "status"], registry=REGISTRY)
REQUEST_SECONDS = Histogram(
    "halfbert_request_seconds", "From a request's headers to its answer.", ["route"], buckets=SECONDS, registry=REGISTRY
)
TEXTS = Counter(
    "halfbert_texts", "Texts by what became of them: answered, refused, failed.", ["predictor", "outcome"], registry=REGISTRY
)
TOKENS = Counter("halfbert_tokens", "Tokens of the texts that were answered.", ["predictor"], registry=REGISTRY)
CUT = Counter("halfbert_texts_cut", "Answered texts of which something was left out.", ["predictor"], registry=REGISTRY)
LABELS = Counter(
    "halfbert_answers", "Answers by label: their rates give the labels' shares.", ["predictor", "label"], registry=REGISTRY
)
REVIEW = Counter("halfbert_review", "Answers that a rule left to a person.", ["predictor"], registry=REGISTRY)
QUEUE_SECONDS = Histogram(
    "halfbert_queue_seconds", "How long requests waited for the engine.", ["predictor"], buckets=SECONDS, registry=REGISTRY
)
QUEUE_TEXTS = Gauge(
    "halfbert_queue_texts", "Texts that wait for the engine.", ["predictor"], multiprocess_mode="livesum", registry=REGISTRY
)
BATCH = Histogram(
    "halfbert_batch_texts", "Texts that the engine answered together.", ["predictor"], buckets=BATCH_TEXTS, registry=REGISTRY
)
SHADOW = Counter(
    "halfbert_shadow_texts",
    "Texts that float32 was to answer as well: equal or different decisions, or left out for want of time.",
    ["predictor", "outcome"],
    registry=REGISTRY,
)
RELOADS = Counter("halfbert_reloads", "Folders loaded again, or refused.", ["predictor", "outcome"], registry=REGISTRY)
DRIFT = Gauge(
    "halfbert_drift",
    "How far the latest texts differ from the validation rows: Kolmogorov-Smirnov distance; of labels an odds ratio.",
    ["predictor", "aspect"],
    multiprocess_mode="livemax",
    registry=REGISTRY,
)
DRIFTED = Gauge(
    "halfbert_drifted",
    "1 where that is neither chance nor a trifle, as predict --drift decides it; else 0.",
    ["predictor", "aspect"],
    multiprocess_mode="livemax",
    registry=REGISTRY,
)


def text() -> bytes:
    """All figures in Prometheus' text format, of all workers."""
    if FOLDER not in os.environ:
        return generate_latest(REGISTRY)
    together = CollectorRegistry()
    multiprocess.MultiProcessCollector(together)
    return generate_latest(together)


class Drift:
    """Compares every `ROWS` texts with the summaries that the predictor keeps, as `predict --drift` does.

    Characters that the tokenizer does not know are left out. A predictor without summaries, or of too few rows, shows NaN.
    """

    ROWS = 1000
    ASPECTS = (*NUMBERS, "labels")

    def __init__(self, name: str, predictor: Predictor) -> None:
        self._name, self._stated = name, predictor.manifest
        self._reference: Summaries | None = None
        with contextlib.suppress(HalfbertError):
            self._reference = reference(predictor)
        self._waiting: list[tuple[np.ndarray, ...]] = []  # words, tokens, probabilities of texts
        for aspect in self.ASPECTS:
            DRIFT.labels(name, aspect).set(math.nan)
            DRIFTED.labels(name, aspect).set(math.nan)

    def add(self, texts: Sequence[str], tokens: np.ndarray, probabilities: np.ndarray) -> None:
        """Take in answered texts, how many tokens each has, special ones included, and (texts, labels) probabilities."""
        if self._reference is None:
            return
        words = np.array([len(text.split()) for text in texts], np.int64)
        self._waiting.append((words, tokens - SPECIAL_TOKENS, probabilities))
        if sum(len(some) for some, *_ in self._waiting) >= self.ROWS:
            words, tokens, probabilities = (np.concatenate(column) for column in zip(*self._waiting, strict=True))
            self._waiting = []
            confidence = self._stated.reviewer().decide(probabilities).confidence
            labels = answered_labels(probabilities, self._stated.thresholds).sum(axis=0)
            self._show(compare(self._reference, Summaries.of("latest texts", words, tokens, confidence, labels)))

    def _show(self, comparisons: Sequence[Comparison]) -> None:
        for aspect in self.ASPECTS:
            found = [each for each in comparisons if each.aspect == aspect]
            DRIFT.labels(self._name, aspect).set(min(found, key=lambda each: each.p_value).effect)
            DRIFTED.labels(self._name, aspect).set(any(each.changed for each in found))
