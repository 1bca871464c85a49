"""Rows that a predictor chose for labelling, against random ones: `python -m tools.labelling_study --data FOLDER`.

Some rows are drawn at random and train a predictor. Each method then chooses as many more out of the rest, their labels are
looked up, and a predictor trained on all of them is scored on the table's test rows. FOLDER holds the files that TABLES
names. Fits that are in the record already are not repeated. Some two minutes of one core a fit.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t
from sklearn.metrics import f1_score

import halfbert
from halfbert.predictor.classifier import Classifier
from halfbert.predictor.next_labels import label_next
from halfbert.scoring import active_learning
from halfbert.scoring.review import answered_labels
from halfbert.system import machine, storage

PUBLISHED = machine.PROJECT / "results" / "published" / "review"
RANDOM, UNCERTAIN, DIVERSE = METHODS = ("random", "uncertainty", "uncertainty and diversity")
FIRST = "first rows"
SEEDS = 5
TESTED_BY_RUN = 200  # rows: the runs' own test, as all are answered here
LEVEL = 0.95


@dataclass(frozen=True)
class Table:
    """Files with a column `text`, options that name the labels, rows drawn at first (`by_label`: of each), then chosen."""

    train: str
    test: str
    options: dict[str, Any]
    first: int
    then: int
    epochs: int | None = None  # None: the default
    by_label: bool = False
    pool: int | None = None  # rows of the file to begin and choose from, drawn by the seed; None: all

    @property
    def one_label(self) -> bool:
        return "label_column" in self.options


TABLES = {
    "banking77": Table(
        "banking77_train.csv", "banking77_test.csv", {"label_column": "category"}, first=5, then=385, by_label=True
    ),
    "goemotions": Table(
        *("goemotions_train.csv", "goemotions_test.csv"),
        {"label_columns": ["ALL"], "drop_constant_labels": True},
        first=500,
        then=500,
        epochs=3,
        pool=10_000,
    ),
}


@dataclass
class Study:
    """Macro F1 on all test rows by method and seed; `differences` to random rows with their interval."""

    table: str
    rows: dict[str, int]
    epochs: int | None
    macro_f1: dict[str, dict[str, float]] = field(default_factory=dict)
    seconds_to_choose: dict[str, dict[str, float]] = field(default_factory=dict)
    differences: dict[str, dict[str, float]] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)


def main(argv: list[str]) -> int:
    """Write a record of each table into results/published/review/."""
    parser = argparse.ArgumentParser(prog="python -m tools.labelling_study")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tables", nargs="+", choices=list(TABLES), default=list(TABLES))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    chosen = parser.parse_args(argv)
    for name in chosen.tables:
        for seed in range(chosen.seeds):
            run(name, chosen.data, seed, chosen.methods)
    return 0


def run(name: str, data: Path, seed: int, methods: Sequence[str]) -> None:
    """Fit with the rows of each method, of one seed, and bring the record up to date after each fit."""
    table, file = TABLES[name], PUBLISHED / f"{name}.json"
    rng, test = np.random.default_rng(seed), pd.read_csv(data / table.test)
    pool = pd.read_csv(data / table.train).drop_duplicates("text").reset_index(drop=True)
    if table.pool is not None:
        pool = pool.iloc[rng.permutation(len(pool))[: table.pool]].reset_index(drop=True)
    first = drawn(table, pool, rng)
    rest = rng.permutation(pool.index.difference(first))
    rows = {FIRST: len(first), "chosen": table.then, "to choose from": len(rest), "test": len(test)}
    study = Study(**json.loads(file.read_text())) if file.is_file() else Study(name, rows, table.epochs)
    with tempfile.TemporaryDirectory(prefix="halfbert-") as scratch:
        before: Classifier | None = None
        for method in methods:
            if str(seed) in study.macro_f1.get(method, {}):
                continue
            if before is None:
                before = fitted(table, pool.loc[first], test, seed, Path(scratch))
                study.macro_f1.setdefault(FIRST, {})[str(seed)] = macro_f1(table, before, test)
            began = time.perf_counter()
            then = choice(method, before, pool.loc[rest, "text"].tolist(), table)
            study.seconds_to_choose.setdefault(method, {})[str(seed)] = round(time.perf_counter() - began, 1)
            after = fitted(table, pool.loc[[*first, *rest[then]]], test, seed, Path(scratch))
            study.macro_f1.setdefault(method, {})[str(seed)] = macro_f1(table, after, test)
            study.differences = {each: difference(study, each) for each in study.macro_f1 if each not in (FIRST, RANDOM)}
            study.environment = vars(machine.describe("cpu", 1, "mixed_bfloat16", 0))
            file.parent.mkdir(parents=True, exist_ok=True)
            storage.write_text(json.dumps(asdict(study), indent=2, default=vars) + "\n", file)
            print(name, seed, method, study.macro_f1[method][str(seed)], flush=True)


def drawn(table: Table, pool: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    """The rows to begin with."""
    if not table.by_label:
        return rng.permutation(len(pool))[: table.first]
    groups = pool.groupby(table.options["label_column"]).indices.values()
    return np.concatenate([rng.permutation(group)[: table.first] for group in groups])


def choice(method: str, classifier: Classifier, texts: list[str], table: Table) -> list[int]:
    """The indices of the texts to label; they come in random order."""
    if method == RANDOM:
        return list(range(table.then))
    if method == DIVERSE:
        return label_next(classifier, texts, table.then)
    uncertain = active_learning.uncertainty(classifier.predict_proba(texts), table.one_label)
    scores = active_learning.balanced(uncertain, uncertain.mean(axis=0))
    return np.argsort(-scores, kind="stable")[: table.then].tolist()


def fitted(table: Table, train: pd.DataFrame, test: pd.DataFrame, seed: int, scratch: Path) -> Classifier:
    """A predictor trained on these rows, a tenth of which choose its epoch, as a user's would be."""
    train_function = halfbert.train_multiclass if table.one_label else halfbert.train_multilabel
    settings = {"model": "distilbert", "checkpoint": "mini", "threads": 1, "precision": "mixed_bfloat16", "seed": seed}
    settings |= {"no_tfidf": True, "keep_leaks": True, "overwrite": True, "epochs": table.epochs}
    folders = {"output": scratch / "predictor", "results": scratch / "results"}
    few = test.sample(TESTED_BY_RUN, random_state=0)
    train_function(train, test=few, **table.options, **settings, **folders)
    return halfbert.load(folders["output"], "onnx", threads=1)


def macro_f1(table: Table, classifier: Classifier, test: pd.DataFrame) -> float:
    """Macro F1 over all labels of the test rows, of which the predictor may not know some."""
    probabilities, known = classifier.predict_proba(test["text"].tolist()), classifier.get_classes()
    if table.one_label:
        answers: Any = np.array(known)[probabilities.argmax(axis=1)]
        return float(f1_score(test[table.options["label_column"]], answers, average="macro", zero_division=0))
    labels = [name for name in test.columns if name != "text"]
    answers = pd.DataFrame(False, test.index, labels)
    answers[known] = answered_labels(probabilities, classifier.predictor.manifest.thresholds)
    return float(f1_score(test[labels].to_numpy(int), answers.to_numpy(int), average="macro", zero_division=0))


def difference(study: Study, method: str) -> dict[str, float]:
    """The mean over the seeds of what a method scores above random rows, with its interval (Student's t, paired)."""
    own, random = study.macro_f1[method], study.macro_f1.get(RANDOM, {})
    pairs = [own[seed] - random[seed] for seed in own if seed in random]
    mean = statistics.fmean(pairs)
    if len(pairs) < 2:
        return {"mean": mean}
    half = float(t.ppf((1 + LEVEL) / 2, len(pairs) - 1)) * statistics.stdev(pairs) / len(pairs) ** 0.5
    return {"mean": mean, "low": mean - half, "high": mean + half}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
