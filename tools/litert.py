"""Measure the forms of LiteRT models: megabytes, agreement with float32, what converting takes, and texts a second.

python -m tools.litert --predictors DIR --data DIR

DIR/NAME are predictors of training runs on the tables that TABLES lists, whose test files are in --data. Each form is
converted in a process of its own. Writes results/published/device/litert_forms.json. Some minutes.
"""

import argparse
import json
import multiprocessing
import resource
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from halfbert.data import messages
from halfbert.options.exporting import FORMS
from halfbert.predictor import classifier, manifest, proving
from halfbert.predictor.engines import litert
from halfbert.system import machine, storage

RECORD = machine.PROJECT / "results" / "published" / "device" / "litert_forms.json"
TABLES = {"messages": messages.TEST, "banking77": "banking77_test.csv", "goemotions": "goemotions_test.csv"}
TIMED_TEXTS, REPEATS = 4_000, 3


@dataclass(frozen=True)
class Form:
    """Of a table's mini DistilBERT: how its test texts are answered beside the engine onnx, and what converting it took."""

    table: str
    form: str
    bytes: int
    texts: int
    equal_decisions: float
    largest_difference: float
    convert_seconds: float
    convert_peak_bytes: int


def measure(table: str, folder: Path, texts: list[str], form: str) -> Form:
    """Convert and compare one form."""
    predictor, start = manifest.check(folder), time.perf_counter()
    model = litert.convert(predictor, form)
    seconds, peak = time.perf_counter() - start, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    whole = classifier.load(folder, "onnx", "cpu", None)
    found = whole.with_forward(litert.forward_of(model, None)).predict_proba(texts)
    compared = proving.compare(whole.predict_proba(texts), found, predictor.manifest.thresholds)
    return Form(table, form, len(model), len(texts), *compared, round(seconds, 1), peak)


def texts_per_second(folder: Path, texts: list[str], engine: str) -> float:
    """The best of some repeats, with all threads, as texts are batched for tables."""
    loaded = classifier.load(folder, engine, "cpu", None, allow_disagreement=True)
    many, took = (texts * (1 + TIMED_TEXTS // len(texts)))[:TIMED_TEXTS], []
    for _ in range(REPEATS):
        start = time.perf_counter()
        loaded.predict_proba(many)
        took.append(time.perf_counter() - start)
    return round(len(many) / min(took))


def main(argv: list[str]) -> int:
    """Measure, and write the record."""
    parser = argparse.ArgumentParser(prog="python -m tools.litert")
    for name in ("predictors", "data"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    given = parser.parse_args(argv)
    forms: list[Form] = []
    speeds = {}
    for table, file in TABLES.items():
        path, folder = given.data / file, given.predictors / f"{table}-distilbert-seed0"
        texts = (pd.read_excel(path) if path.suffix == ".xlsx" else pd.read_csv(path))["text"].tolist()
        with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as fresh:
            forms += [fresh.apply(measure, (table, folder, texts, form)) for form in FORMS]
        speeds[table] = {engine: texts_per_second(folder, texts, engine) for engine in ("onnx-int8", "litert-int8")}
    environment = vars(machine.describe("cpu", machine.available_cpus(), "float32", 0))
    record = {"forms": [asdict(form) for form in forms], "texts_per_second": speeds, "environment": environment}
    storage.write_text(json.dumps(record, indent=2, default=vars) + "\n", RECORD)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
