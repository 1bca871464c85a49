"""What a server counts, for Prometheus at /metrics; with several workers the sums over all of them.

`prometheus_client` keeps the figures of several processes in the folder PROMETHEUS_MULTIPROC_DIR, which has to be set before
this module is imported.
"""

import collections
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

from halfbert.predictor.manifest import Manifest
from halfbert.scoring.review import RISKS, row_scores

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
    "halfbert_confidence_drift",
    "Population stability index of the confidence of the latest texts against the validation rows.",
    ["predictor"],
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
    """Whether confidence is spread over the latest texts as over the validation rows, by the population stability index.

    The index is the sum of (p - q) ln(p / q) over ten bins that hold a tenth of the validation rows each: by the usual rule of
    thumb below 0.1 nothing has changed, and above 0.25 the texts are others than those the predictor was tested on
    (Siddiqi 2006, "Credit Risk Scorecards"). It is known once `LATEST` texts have been answered.
    """

    LATEST, BINS, LEAST_SHARE, EVERY = 1000, 10, 1e-3, 100

    def __init__(self, predictor: str, stated: Manifest) -> None:
        self._gauge, self._stated = DRIFT.labels(predictor), stated
        self._latest: collections.deque[float] = collections.deque(maxlen=self.LATEST)
        self._new = 0
        self._edges = self._expected = np.empty(0)
        if stated.calibration is not None:
            scores = stated.calibration.held_out[RISKS[stated.task][0]].read()[0]
            if len(scores) >= self.BINS:
                self._edges = np.unique(np.quantile(scores, np.linspace(0, 1, self.BINS + 1)[1:-1]))
                self._expected = self._shares(scores)
        self._gauge.set(math.nan)

    def add(self, probabilities: np.ndarray) -> None:
        """Take in the answers to texts, (texts, labels) probabilities."""
        if not len(self._edges):
            return
        self._latest.extend(row_scores(probabilities, self._stated.thresholds, RISKS[self._stated.task][0]).tolist())
        self._new += len(probabilities)
        if len(self._latest) == self.LATEST and self._new >= self.EVERY:
            self._new = 0
            self._gauge.set(self._index(list(self._latest)))

    def _index(self, scores: Sequence[float]) -> float:
        shares = self._shares(np.array(scores))
        return float(np.sum((shares - self._expected) * np.log(shares / self._expected)))

    def _shares(self, scores: np.ndarray) -> np.ndarray:
        counts = np.bincount(np.searchsorted(self._edges, scores, side="right"), minlength=len(self._edges) + 1)
        return np.maximum(counts / len(scores), self.LEAST_SHARE)
