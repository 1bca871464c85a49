"""How often a guarantee of few errors is violated, on many splits of a real table: `python -m tools.guarantees --data FOLDER`.

A predictor is trained once, without the rows that are drawn from here. Each draw makes some of them validation rows, which
choose the epoch, the thresholds and the cut as a training run chooses them, and the others tell whether the guarantee holds.
FOLDER holds the tables that TABLES names. Some ten minutes of one core.
"""

import argparse
import json
import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import halfbert
from halfbert.models import batching
from halfbert.output.record import Guarantee
from halfbert.predictor import classifier, engines, manifest
from halfbert.scoring import review
from halfbert.scoring.probabilities import probabilities_of
from halfbert.system import machine, storage
from halfbert.training import calibrating, tasks
from tools.tables import known

PUBLISHED = machine.PROJECT / "results" / "published" / "guarantees"
POOL = 20_000  # rows to draw from
RULE = "expected-f1"
MAX_REVIEW = 0.2
KEPT = ("report.txt", "reliability.png", "risk_coverage.png")  # of the run's results


@dataclass(frozen=True)
class Table:
    """Files with a column `text`, how many rows of them train and validate, the run's options, sizes, guarantees, draws."""

    files: tuple[str, ...]
    train: int
    val: int
    options: dict[str, Any]
    sizes: tuple[int, ...]
    guarantees: tuple[float, ...]
    draws: int
    task: str = "multiclass"


TABLES = {
    "news": Table(
        ("news_aggregator.csv",), 4000, 500, {"label_column": "category"}, (100, 500, 2000), (0.01, 0.02, 0.05, 0.1), 500
    ),
    "goemotions": Table(
        tuple(f"goemotions_{part}.csv" for part in ("train", "dev", "test")),
        *(6000, 1000, {"label_columns": ["ALL"]}, (1000,), (0.2, 0.3, 0.4), 60, "multilabel"),
    ),
}


@dataclass(frozen=True)
class Answers:
    """(E, R, L) logits of the epochs to R rows that trained none of them, and the rows' (R, L) truth of 0 and 1."""

    logits: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True)
class Kept:
    """Of one guarantee by cuts of `rows` validation rows: the shares of draws in which it was given, and was violated.

    `broken_other_epoch`: violated where other rows than those of the cut chose the epoch. `answered` is the mean share of rows
    that were answered, none where no guarantee was given; `error` the mean error where one was.
    """

    risk: str
    rows: int
    max_error: float
    draws: int
    made: float
    broken: float
    broken_other_epoch: float
    answered: float
    error: float | None


def main(argv: list[str]) -> int:
    """Train, draw, and write a record of each table into results/published/guarantees/."""
    parser = argparse.ArgumentParser(prog="python -m tools.guarantees")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tables", nargs="+", choices=list(TABLES), default=list(TABLES))
    chosen = parser.parse_args(argv)
    for name in chosen.tables:
        table, folder = TABLES[name], PUBLISHED / name
        with tempfile.TemporaryDirectory(prefix="halfbert-") as scratch:
            answers = answered(table, chosen.data, Path(scratch))
            folder.mkdir(parents=True, exist_ok=True)
            for file in KEPT:
                shutil.copy(Path(scratch) / "results" / file, folder / file)
        kept, shares = drawn(table, answers)
        record = {
            "rows": {"train": table.train, "pool": len(answers.truth)},
            "epochs": len(answers.logits),
            "promises": [asdict(each) for each in kept],
            "max_review": {
                "share": MAX_REVIEW,
                "rows": max(table.sizes),
                "found": np.quantile(shares, [0.05, 0.5, 0.95]).tolist(),
            },
            "environment": vars(machine.describe("cpu", 1, "float32", 0)),
        }
        storage.write_text(json.dumps(record, indent=2, default=vars) + "\n", folder / "guarantees.json")
    return 0


def answered(table: Table, data: Path, scratch: Path) -> Answers:
    """Train on some rows, and answer as many others as POOL says with each epoch; no text stands in both."""
    frame = pd.concat([pd.read_csv(data / file) for file in table.files]).drop_duplicates("text")
    order = np.random.default_rng(0).permutation(len(frame))
    frame = frame.iloc[order[: table.train + table.val + POOL]]
    parts = {"train": frame[: table.train], "val": frame[table.train : -POOL], "test": frame[-POOL:]}
    train = halfbert.train_multilabel if table.task == "multilabel" else halfbert.train_multiclass
    folders = {"output": scratch / "predictor", "results": scratch / "results"}
    settings = {"model": "distilbert", "checkpoint": "mini", "epochs": 4, "keep_epochs": True, "threads": 1}
    train(**parts, **table.options, **folders, **settings, text_column="text")
    predictor = manifest.check(folders["output"])
    texts, labels = parts["test"]["text"].tolist(), predictor.manifest.labels
    encoded, _ = batching.encode(classifier.read_tokenizer(predictor), texts, predictor.manifest.maxlen)
    logits = []
    for epoch in sorted((predictor.folder / "epochs").iterdir()):
        digests = {name: storage.sha256(epoch / name) for name in manifest.REQUIRED if (epoch / name).is_file()}
        of_epoch = replace(predictor, folder=epoch, manifest=replace(predictor.manifest, files=digests))
        loaded = engines.require("onnx").load(of_epoch, "cpu", 1)
        assert loaded.forward is not None
        logits.append(batching.predict([encoded], len(texts), len(labels), loaded.forward, loaded.tokens_per_batch, epoch.name))
    if table.task == "multilabel":
        truth = parts["test"][labels].to_numpy(int)
    else:
        truth = (parts["test"][table.options["label_column"]].to_numpy()[:, None] == np.array(labels)).astype(int)
    return Answers(np.stack(logits), truth)


def drawn(table: Table, answers: Answers) -> tuple[list[Kept], list[float]]:
    """What guarantees came to over the draws, and the shares of rows that MAX_REVIEW sent to people, of the largest size."""
    probabilities = [probabilities_of(logits, table.task).astype(np.float32) for logits in answers.logits]
    kept: list[Kept] = []
    shares: list[float] = []
    for size in table.sizes:
        rng = np.random.default_rng(size)
        own: list[list[Guarantee]] = []
        other_epoch: list[list[Guarantee]] = []
        shares = []
        for _ in range(table.draws):
            order = rng.permutation(len(answers.truth))
            rows, others = order[:size], order[size:]
            chosen = [
                _best_epoch(table.task, answers.truth[by], [each[by] for each in probabilities]) for by in (rows, others[:size])
            ]
            tried = {epoch: _try(table, answers, probabilities[epoch], epoch, rows, others) for epoch in set(chosen)}
            own.append(tried[chosen[0]][0])
            other_epoch.append(tried[chosen[1]][0])
            shares.append(tried[chosen[0]][1])
        kept += [_kept(size, *each) for each in zip(zip(*own, strict=True), zip(*other_epoch, strict=True), strict=True)]
    return kept, shares


def _try(
    table: Table, answers: Answers, probabilities: np.ndarray, epoch: int, rows: np.ndarray, others: np.ndarray
) -> tuple[list[Guarantee], float]:
    """What cuts by `rows` guarantee and achieve on `others`, and the share of those that MAX_REVIEW sends to people."""
    of_rows = table.task, answers.truth[rows], answers.logits[epoch][rows], RULE
    calibration, thresholds = known(calibrating.fit(*of_rows)), tasks.thresholds(*of_rows)
    guaranteed = calibrating.try_guarantees(
        answers.truth[others], probabilities[others], thresholds, calibration, table.guarantees
    )
    rule = review.ReviewRule(max_review=MAX_REVIEW)
    decided = review.reviewer(table.task, thresholds, calibration, rule).decide(probabilities[others])
    return guaranteed, float(decided.review.mean())


def _best_epoch(task: str, truth: np.ndarray, by_epoch: list[np.ndarray]) -> int:
    """The epoch that a run keeps, by the (R, L) probabilities of each."""
    scores = [known(tasks.validation(task, truth, each)[tasks.CHOSEN_BY[task]]) for each in by_epoch]
    return int(np.argmax(scores))


def _kept(size: int, own: tuple[Guarantee, ...], other_epoch: tuple[Guarantee, ...]) -> Kept:
    made = [guarantee for guarantee in own if guarantee.answered is not None]
    errors = [guarantee.error for guarantee in made if guarantee.error is not None]
    return Kept(
        own[0].risk,
        size,
        own[0].max_error,
        len(own),
        len(made) / len(own),
        _broken(own),
        _broken(other_epoch),
        sum(known(guarantee.answered) for guarantee in made) / len(own),
        float(np.mean(errors)) if errors else None,
    )


def _broken(guarantees: tuple[Guarantee, ...]) -> float:
    return sum(guarantee.error is not None and guarantee.error > guarantee.max_error for guarantee in guarantees) / len(
        guarantees
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
