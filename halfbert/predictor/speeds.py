"""Times engines on the machine at hand, in turn, so that what else the machine does slows all of them alike.

A quick look, enough to choose an engine by; `halfbert.benchmark` measures thoroughly.
"""

import time
from collections.abc import Mapping, Sequence

import numpy as np

from halfbert.predictor import gate
from halfbert.predictor.classifier import Classifier, Texts
from halfbert.predictor.manifest import EngineSpeed

CALLS, CALL_SECONDS = 5, 0.15  # of many texts: the best of so many calls, of so many seconds at most with the slowest engine
FEWEST_TEXTS = 4  # of such a call
SINGLE_TEXTS = 20
MOST_SECONDS = 1.0  # an engine, after a warm-up, for each of the two ways of calling


def measure(classifiers: Mapping[str, Classifier], texts: Sequence[str]) -> dict[str, EngineSpeed]:
    """The speed of each engine on a sample of the texts, each time called as users call it, tokenising included."""
    many = _warmed_up(classifiers, texts)
    batches = _in_turn(classifiers, [many] * CALLS)
    alone = _in_turn(classifiers, _sample(texts, SINGLE_TEXTS))
    return {
        name: EngineSpeed(
            texts_per_second=_rounded(len(many) / min(batches[name])),
            single_seconds=_rounded(float(np.median(alone[name]))),
            made_from=gate.made_from(classifier.predictor, name),
            versions=gate.versions(name),
        )
        for name, classifier in classifiers.items()
    }


def _warmed_up(classifiers: Mapping[str, Classifier], texts: Sequence[str]) -> list[str]:
    """The texts of a call: more and more of them, each time answered by every engine, until a call takes its time."""
    wanted = FEWEST_TEXTS
    while True:
        many = _sample(texts, wanted)
        slowest = max(_seconds(classifier, many) for classifier in classifiers.values())
        if wanted >= len(texts) or 2 * slowest > CALL_SECONDS:
            return many
        wanted *= 2


def _in_turn(classifiers: Mapping[str, Classifier], calls: Sequence[Texts]) -> dict[str, list[float]]:
    """The seconds of each call by engine: one call of each engine after the other, while there is time."""
    seconds: dict[str, list[float]] = {name: [] for name in classifiers}
    end = time.perf_counter() + MOST_SECONDS * len(classifiers)
    for texts in calls:
        for name, classifier in classifiers.items():
            seconds[name].append(_seconds(classifier, texts))
        if time.perf_counter() > end:
            break
    return seconds


def _seconds(classifier: Classifier, texts: Texts) -> float:
    start = time.perf_counter()
    classifier.predict_proba(texts)
    return time.perf_counter() - start


def _sample(texts: Sequence[str], wanted: int) -> list[str]:
    return [texts[number] for number in np.unique(np.linspace(0, len(texts) - 1, wanted).astype(int))]


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
