"""Measure how faithful the methods of `Classifier.explain` are, beside random order and LIME, and how long they take.

python -m tools.faithfulness PREDICTOR TABLE --text-column TEXT [--texts 200] [--leave-out METHOD ...] --name NAME

Comprehensiveness: what the answer's probability loses without the words that contribute most; sufficiency: what it loses with
only these; each the mean over 1, 5, 10, 20 and 50 % of the words (AOPC; DeYoung et al. 2020, arXiv:1911.03429). The first is to
be large, the second small. LIME takes part where `pip install lime` was given. Writes results/published/explain/NAME.json.
"""

import argparse
import importlib.util
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import halfbert
from halfbert.data.formats import read_file
from halfbert.data.tables import Layout
from halfbert.predictor import explaining
from halfbert.predictor.explaining import Variants
from halfbert.scoring import attribution
from halfbert.scoring.probabilities import probabilities_of
from halfbert.system import machine, storage

SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)
RESAMPLES = 2000
Contribute = Callable[[Variants, int], np.ndarray]  # (W,) of a label


@dataclass(frozen=True)
class Faithfulness:
    """Means over the texts with 95 % intervals (percentile bootstrap over texts), and the median milliseconds of a text."""

    method: str
    comprehensiveness: float
    comprehensiveness_interval: tuple[float, float]
    sufficiency: float
    sufficiency_interval: tuple[float, float]
    milliseconds: float


def methods(rng: np.random.Generator, with_gradients: bool) -> dict[str, Contribute]:
    """Every method, with the number of variants or orders that it was given."""
    found: dict[str, Contribute] = {"random": lambda variants, label: rng.random(len(variants.words))}

    def ours(method: str, samples: int | None) -> Contribute:
        return lambda variants, label: explaining.attribute(variants, label, method, samples)

    found["occlusion"] = ours("occlusion", None)
    found |= {f"shapley, {orders} orders": ours("shapley", orders) for orders in (2, 10)}
    if with_gradients:
        return {"random": found["random"]} | {f"gradients, {steps} steps": ours("gradients", steps) for steps in (8, 32)}
    if importlib.util.find_spec("lime"):
        found |= {f"LIME, {samples}": _lime(samples) for samples in (120, 1000)}
    return found


def _lime(samples: int) -> Contribute:
    """LIME's own sampling and regression (Ribeiro et al. 2016) over the words and variants that the others have."""
    from lime.lime_base import LimeBase

    base = LimeBase(lambda distance: np.sqrt(np.exp(-(distance**2) / 25**2)), random_state=0)

    def contribute(variants: Variants, label: int) -> np.ndarray:
        rng, words = np.random.default_rng(0), len(variants.words)
        kept = np.ones((samples, words), bool)
        for row in kept[1:]:
            row[rng.choice(words, rng.integers(1, words + 1), replace=False)] = False
        probabilities = probabilities_of(variants.logits(kept), variants.task)
        distances = 100 * (1 - np.sqrt(kept.mean(axis=1)))  # of cosines to the whole text
        fitted = base.explain_instance_with_data(kept.astype(float), probabilities, distances, label, words)[1]
        weights = dict(fitted)
        return np.array([weights.get(word, 0.0) for word in range(words)])

    return contribute


def measure(classifier: Any, texts: list[str], contribute: Contribute) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(texts,) comprehensiveness, sufficiency and seconds of a method."""
    found = []
    for text in texts:
        began = time.perf_counter()
        variants = Variants(classifier, text)
        whole = probabilities_of(variants.logits(np.ones((1, len(variants.words)), bool)), variants.task)
        label = int(whole[0].argmax())
        contributions = contribute(variants, label)
        seconds = time.perf_counter() - began

        def probabilities(kept: np.ndarray, variants: Variants = variants) -> np.ndarray:
            return probabilities_of(variants.logits(kept), variants.task)

        without, only = attribution.deletion(probabilities, contributions, SHARES)
        found.append((whole[0, label] - without[:, label].mean(), whole[0, label] - only[:, label].mean(), seconds))
    return tuple(np.array(column) for column in zip(*found, strict=True))  # type: ignore[return-value]


def _interval(values: np.ndarray) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    means = values[rng.integers(0, len(values), (RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def main() -> None:
    """Measure on a table's first texts that have two words or more, drawn with seed 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("predictor", type=Path)
    parser.add_argument("table", type=Path)
    parser.add_argument("--text-column", required=True)
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--engine", default="auto", help="keras measures integrated gradients")
    parser.add_argument("--leave-out", nargs="*", default=[], help="methods, by the names that are printed")
    parser.add_argument("--name", required=True)
    parser.add_argument("--output", type=Path, default=Path("results/published/explain"))
    given = parser.parse_args()
    classifier = halfbert.load(given.predictor, given.engine, threads=given.threads)
    table = read_file(given.table, [given.text_column], Layout(), "test")
    texts = [
        text for text in table.columns[given.text_column] if isinstance(text, str) and len(explaining.split_words(text)) > 1
    ]
    rng = np.random.default_rng(0)
    texts = [texts[number] for number in rng.permutation(len(texts))[: given.texts]]
    found = []
    for name, contribute in methods(rng, given.engine == "keras").items():
        if name in given.leave_out:
            continue
        comprehensiveness, sufficiency, seconds = measure(classifier, texts, contribute)
        found.append(
            Faithfulness(
                name,
                float(comprehensiveness.mean()),
                _interval(comprehensiveness),
                float(sufficiency.mean()),
                _interval(sufficiency),
                1000 * float(np.median(seconds)),
            )
        )
        print(
            f"{name:20} comprehensiveness {comprehensiveness.mean():.3f}  sufficiency {sufficiency.mean():.3f}  "
            f"{1000 * np.median(seconds):,.0f} ms"
        )
    words = [len(explaining.split_words(text)) for text in texts]
    record = {
        "table": given.table.name,
        "texts": len(texts),
        "median_words": float(np.median(words)),
        "engine": classifier.engine,
        "maxlen": classifier.maxlen,
        "methods": [asdict(one) for one in found],
        "environment": asdict(machine.describe("cpu", given.threads, "float32", 0)),
    }
    given.output.mkdir(parents=True, exist_ok=True)
    storage.write_json(record, given.output / f"{given.name}.json")


if __name__ == "__main__":
    main()
