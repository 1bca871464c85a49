"""What cascades of saved predictors come to on test rows: `python -m tools.cascade --data … --predictors … --results …`.

Of each table of TABLES there are pairs of predictors, trained on one split: TABLE-distilbert-seedN, and TABLE-bert-seed0 or
TABLE-bert-seedN, and their results under the same names. Validation rows, which choose the cuts, are answered here; the answers
to test rows, which score them, are those of the results. Speeds are taken in turn, by processor time, with one thread.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from halfbert.data import equality
from halfbert.data.tables import Data
from halfbert.options import MulticlassOptions, MultilabelOptions, TrainOptions
from halfbert.output import record as records
from halfbert.output.sheets import markdown_table
from halfbert.predictor.cascade import Cascade
from halfbert.predictor.classifier import Classifier, load
from halfbert.predictor.validated import Validated
from halfbert.scoring import cascades, intervals
from halfbert.scoring.cascades import Cut, Paired
from halfbert.scoring.review import answered_labels, row_confidence
from halfbert.system import machine, storage
from halfbert.training import calibrating, steps, tasks

PUBLISHED = machine.PROJECT / "results" / "published" / "cascade"
RECORD = "record.json"
MARGINS = (0.0, 0.005, 0.02)
SEEDS, ROUNDS, DRAWS = (0, 1, 2), 3, 20


@dataclass(frozen=True)
class Table:
    """What is read as training read it; `own_big`: each seed has a big predictor and a split of its own; rows to time on."""

    name: str
    options: dict[str, Any]
    task: str = "multiclass"
    own_big: bool = False
    timed_rows: int = 64


def _banking(data: Path) -> dict[str, Any]:
    return {"train": data / "banking77_train.csv", "test": data / "banking77_test.csv", "label_column": "category"}


def tables(data: Path) -> dict[str, Table]:
    """By the names of the predictors."""
    imdb = {"train": data / "imdb_train.xlsx", "test": data / "imdb_test.xlsx", "text_column": "Reviews", "rows": 2000}
    news = {"train": data / "news_aggregator.csv", "label_column": "category", "rows": 6000, "test_rows": 3000}
    goemotions = {
        part: data / f"goemotions_{name}.csv" for part, name in (("train", "train"), ("val", "dev"), ("test", "test"))
    }
    toxic = {"train": data / "toxic_test.csv", "test": data / "toxic_val.csv"}
    return {
        "imdb": Table("IMDB", {**imdb, "label_column": "Sentiment", "test_rows": 5000}, timed_rows=96),
        "goemotions": Table("GoEmotions", goemotions, "multilabel"),
        "news-6000": Table("news headlines", news),
        "banking77": Table("banking77", _banking(data)),
        "toxic": Table("toxic comments", toxic, "multilabel"),
        "messages": Table("messages (embedded)", {}, own_big=True),
        "messages-tags": Table("messages, tags (embedded)", {}, "multilabel", own_big=True),
    }


@dataclass(frozen=True)
class Chosen:
    """A cascade by a margin: shares passed on of validation and test rows, and macro F1 on the latter.

    `at_random` is the macro F1 where as many test rows, drawn at random, are passed on: the mean of DRAWS draws.
    """

    margin: float
    cut: float | None  # None: every row is passed on
    validation_share: float
    test_share: float
    score: float
    at_random: float


@dataclass(frozen=True)
class Pair:
    """Two predictors, by the seed of the small one: macro F1 on validation and test rows, and cascades."""

    seed: int
    validation: dict[str, float]
    test: dict[str, float]
    chosen: list[Chosen]


@dataclass(frozen=True)
class Together:
    """The cascades of all pairs by the default margin: the mean of their macro F1, less that of the predictors alone."""

    score: intervals.Interval
    less_big: intervals.Difference
    less_small: intervals.Difference


@dataclass(frozen=True)
class Speeds:
    """Rows a second of processor time on so many test rows, the medians; of the pair of seed 0 by the default margin."""

    rows: int
    turns: int
    passed_on: float
    engines: dict[str, str]
    rows_per_second: dict[str, float]


@dataclass(frozen=True)
class Measured:
    """A table: its rows, and what its pairs came to."""

    name: str
    task: str
    rows: dict[str, int]
    pairs: list[Pair]
    together: Together
    speeds: Speeds


@dataclass(frozen=True)
class Record:
    """All tables."""

    tables: list[Measured]
    environment: machine.Environment
    resamples: int = intervals.RESAMPLES
    margins: list[float] = field(default_factory=lambda: list(MARGINS))


def main(argv: list[str]) -> int:
    """Measure, and write the record."""
    parser = argparse.ArgumentParser(prog="python -m tools.cascade")
    for name in ("data", "predictors", "results"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    given = parser.parse_args(argv)
    measured = [measure(key, table, given.predictors, given.results) for key, table in tables(given.data).items()]
    record = Record(measured, machine.describe("cpu", 1, "float32", 0))
    PUBLISHED.mkdir(parents=True, exist_ok=True)
    storage.write_json(asdict(record), PUBLISHED / RECORD)
    return 0


def measure(key: str, table: Table, predictors: Path, results: Path) -> Measured:
    """Every pair of a table, and the speed of the first."""
    pairs, speeds, both, data = [], None, [], read(table, 0)
    for seed in SEEDS:
        split = seed if table.own_big else 0
        data = read(table, split) if table.own_big and split else data
        names = f"{key}-distilbert-seed{seed}", f"{key}-bert-seed{split}"
        one, other = (load(predictors / name, "onnx", threads=1) for name in names)
        kept = [held_out(each, data, table.task) for each in (one, other)]
        small, confidence = test_answers(one, results / names[0])
        big, _ = test_answers(other, results / names[1])
        validation = Paired(kept[0].truth, kept[0].answers, kept[1].answers, kept[0].confidence)
        test = Paired(tasks.truth(table.task, data.test, data.labels) > 0, small, big, confidence)
        both.append((validation, test))
        pairs.append(pair(seed, validation, test))
        print(f"{table.name}, seed {seed}: {pairs[-1]}", flush=True)
        if speeds is None:
            cut = cascades.choose(validation, cascades.MARGIN)
            speeds = time_pair(predictors / names[0], predictors / names[1], cut, data, table)
            print(f"{table.name}: {speeds}", flush=True)
    assert speeds is not None
    rows = {"train": len(data.train), "validation": len(data.val), "test": len(data.test)}
    return Measured(table.name, table.task, rows, pairs, together(both), speeds)


def together(pairs: Sequence[tuple[Paired, Paired]]) -> Together:
    """Of pairs that were tested on the same rows, with intervals over these."""
    truth = pairs[0][1].truth
    answers = [cascades.answers(cascades.choose(validation, cascades.MARGIN), test) for validation, test in pairs]
    alone = [[test.big for _, test in pairs], [test.small for _, test in pairs]]
    differences = [intervals.paired_bootstrap(intervals.macro_f1, truth, answers, each) for each in alone]
    return Together(intervals.bootstrap(intervals.macro_f1, truth, answers), differences[0], differences[1])


def read(table: Table, split: int) -> Data:
    """The rows as the predictors' training read and split them."""
    kind: type[TrainOptions] = MulticlassOptions if table.task == "multiclass" else MultilabelOptions
    given: dict[str, Any] = {name: str(value) if isinstance(value, Path) else value for name, value in table.options.items()}
    return steps.read(table.task, kind(model="bert", split_seed=split, **given))


def held_out(classifier: Classifier, data: Data, task: str) -> Validated:
    """What training keeps of the answers to validation rows, which these predictors were saved without."""
    stated = classifier.predictor.manifest
    assert stated.calibration is not None
    if stated.data.val_texts != equality.digests(data.val.texts):
        raise SystemExit(f"{classifier.predictor.folder}: was validated on other rows")
    logits = to_logits(classifier.predict_proba(data.val.texts), task)
    truth = tasks.truth(task, data.val, data.labels)
    return calibrating.validated(task, truth, logits, stated.threshold_rule or "", stated.calibration, data.val.texts)


def to_logits(probabilities: np.ndarray, task: str) -> np.ndarray:
    """What the probabilities are those of, but for a constant in each row where a text has one label."""
    exact = np.clip(probabilities.astype(np.float64), 1e-12, 1 - 1e-12)
    return np.log(exact) - np.log1p(-exact) if task == "multilabel" else np.log(exact)


def test_answers(classifier: Classifier, results: Path) -> tuple[np.ndarray, np.ndarray]:
    """A run's answers to its test rows, (R, L) bool, and (R,) how likely each is right."""
    stated, (probabilities, _) = classifier.predictor.manifest, records.read_answers(results)
    assert stated.calibration is not None
    answered = answered_labels(probabilities, stated.thresholds)
    return answered, row_confidence(stated.calibration.apply(probabilities), answered)


def pair(seed: int, validation: Paired, test: Paired) -> Pair:
    """What cuts chosen on validation rows come to on test rows."""
    found, rng = [], np.random.default_rng(0)
    for margin in MARGINS:
        cut = cascades.choose(validation, margin)
        passed_on = cut.passes(test.confidence)
        drawn = [rng.permutation(passed_on)[:, None] for _ in range(DRAWS)]
        at_random = float(np.mean([score(test, np.where(rows, test.big, test.small)) for rows in drawn]))
        limit = float(cut.confidence) if np.isfinite(cut.confidence) else None
        of_test = float(passed_on.mean()), score(test, cascades.answers(cut, test)), at_random
        found.append(Chosen(margin, limit, cut.passed_on, *of_test))
    of_validation, of_test_rows = (
        {"small": score(each, each.small), "big": score(each, each.big)} for each in (validation, test)
    )
    return Pair(seed, of_validation, of_test_rows, found)


def score(paired: Paired, answers: np.ndarray) -> float:
    """Macro F1."""
    return float(intervals.macro_f1(paired.truth, answers, np.ones((1, len(answers))))[0])


def time_pair(small_folder: Path, big_folder: Path, cut: Cut, data: Data, table: Table) -> Speeds:
    """Both predictors alone and the cascade, each behind the engine that `halfbert.load` takes, one after the other."""
    small, big = load(small_folder, threads=1), load(big_folder, threads=1)
    both = Cascade(small, big, cut, range(len(data.labels)))
    texts = [data.test.texts[n] for n in np.unique(np.linspace(0, len(data.test) - 1, table.timed_rows).astype(int))]
    predict = {"small": small.predict, "big": big.predict, "cascade": both.predict}
    seconds: dict[str, list[float]] = {name: [] for name in predict}
    for number in range(ROUNDS + 1):  # the first warms up
        for name, answer in predict.items():
            began = time.process_time()
            answer(texts)
            seconds[name] += [time.process_time() - began] if number else []
    rates = {name: float(f"{len(texts) / np.median(taken):.4g}") for name, taken in seconds.items()}
    return Speeds(len(texts), ROUNDS, both.passed_on, {"small": small.engine, "big": big.engine}, rates)


# ---------------------------------------------------------------------------------------------------------------------------
# The tables of docs/cascade.md


def published() -> Record:
    """The committed record."""
    return msgspec.json.decode((PUBLISHED / RECORD).read_bytes(), type=Record)


def cascade_table() -> str:
    """A line for each table, of the default margin: means over the pairs, and in how many of them what was found."""
    record, lines = published(), []
    number = record.margins.index(cascades.MARGIN)
    for table in record.tables:
        chosen, found = [pair.chosen[number] for pair in table.pairs], table.together
        rates, less = table.speeds.rows_per_second, found.less_big
        computed = cascades.rate(rates["small"], rates["big"], table.speeds.passed_on)
        lines.append(
            [
                table.name,
                f"{table.rows['validation']:,} / {table.rows['test']:,}",
                ", ".join(f"{each.test_share:.0%}" for each in chosen),
                *(f"{each.second:.4f}" for each in (found.less_small, found.less_big)),
                f"{found.score.score:.4f}",
                f"{signed(less.difference)} ({signed(less.low)} to {signed(less.high)})",
                f"{np.mean([each.at_random for each in chosen]):.4f}",
                " / ".join(f"{rates[name]:,.0f}" for name in ("small", "big", "cascade")) + f" ({computed:,.0f})",
                f"{table.speeds.passed_on:.0%}",
            ]
        )
    heads = ["table", "validation / test rows", "passed on, by seed", "DistilBERT", "BERT", "cascade"]
    heads += ["cascade less BERT (95 % interval)", "as many rows at random"]
    heads += ["rows a second: DistilBERT / BERT / cascade", "of them passed on"]
    enough, few = (
        [each.score < pair.test["big"] - each.margin for pair in _pairs(record, of_few) for each in pair.chosen]
        for of_few in (False, True)
    )
    cpu = record.environment.hardware.get("cpu")
    turns = min(table.speeds.turns for table in record.tables)
    margins = ", ".join(f"{margin:g}" for margin in record.margins)
    return (
        f"{markdown_table(heads, lines)}\n\nMacro F1 and shares of test rows, means of {len(SEEDS)} seeds; intervals by a "
        f"paired bootstrap over the test rows. Rows a second of processor time, 1 thread of {cpu}, engine `auto`, the pair of "
        f"seed 0, medians of {turns} turns or more; in brackets as computed from the two and the share.\n\nWith the margins "
        f"{margins}, {sum(enough)} of {len(enough)} cascades that at least {cascades.LEAST_ROWS} validation rows chose lost "
        f"more than the margin on the test rows, and {sum(few)} of {len(few)} that fewer chose."
    )


def _pairs(record: Record, few: bool) -> list[Pair]:
    """Those whose validation rows are too few for a cut, or enough."""
    return [p for table in record.tables if (table.rows["validation"] < cascades.LEAST_ROWS) == few for p in table.pairs]


def signed(value: Any) -> str:
    """A number with its sign, a minus being one."""
    return f"{value:+.4f}".replace("-", "−")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
