"""Race fitting and predicting against plain ktrain and the Hugging Face Trainer and pipeline: `make race`.

Fitting. Each contestant runs in a process of its own, on the same rows, in turn, several times. A *job* is the time between
a read table and a fitted model. The *steady* rate is taken between two jobs of different length, so that what comes once
(loading, tracing, warming up) falls out: (rows of the long job - rows of the short one) / (its seconds - the other's). The
short job has 20 steps. The probe that sets our head is part of our job, and none of the steps.

The matrix products of our jobs are counted, and their rate compared with that of one large product: the machine's ceiling.

Predicting. A predictor of each form is fitted once, by the command; each engine then answers the peers' test texts in a process
of its own, all at once and some one by one. What the peers fit before they predict is a small job.

The record is written after each race, so that one part of one race can be run again without the others (--races, --parts).
"""

import argparse
import functools
import itertools
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from halfbert.benchmark.process import Worker
from halfbert.data import sources, tables
from halfbert.models import checkpoints
from halfbert.predictor import manifest
from halfbert.system import machine, processes, storage
from tools.race.contest import Job

BATCH_SIZE = 16
FEW_ROWS = 20 * BATCH_SIZE
FITTED_ROWS = 2048  # of a predictor, at least: its engines are compared with keras on a tenth of them
FORMS = {"bert": "BERT form", "distilbert": "DistilBERT form"}
ENGINES = ("keras", "onnx", "onnx-int8")
FITTED = ("fit_seconds", "probe_seconds", "gflop", "ceiling_gflop_per_second", "share_by_operation")  # kept of a fit
PREDICTED = ("predict_rows_per_second", "single_p50_ms", "single_p95_ms")  # kept of predicting, and summarised


@dataclass(frozen=True)
class Contestant:
    """A module of this folder, and what it gets; `rows` of its short job and of its long one (None: the race's)."""

    name: str
    module: str
    form: str = "bert"
    precision: str = "float32"
    rows: tuple[int, int | None] = (FEW_ROWS, None)
    engine: str | None = None


FITTING = {
    # Plain ktrain is slow, and its rate the same all along.
    "ktrain": Contestant("ktrain 0.41.4", "peer_ktrain", rows=(5 * BATCH_SIZE, 25 * BATCH_SIZE)),
    "trainer": Contestant("Hugging Face Trainer, fp32", "peer_trainer"),
    "float32": Contestant("halfbert, fp32", "fit_halfbert"),
    "mixed_bfloat16": Contestant("halfbert, bf16 products", "fit_halfbert", precision="mixed_bfloat16"),
    "distilbert": Contestant("halfbert, fp32, DistilBERT form", "fit_halfbert", form="distilbert"),
}
PREDICTING = {
    "ktrain": FITTING["ktrain"],
    "trainer": replace(FITTING["trainer"], name="Hugging Face pipeline, fp32"),
    **{
        f"{engine}, {form}": Contestant(f"halfbert, {engine}, {FORMS[form]}", "predict_halfbert", form, engine=engine)
        for form in FORMS
        for engine in ENGINES
    },
}


@dataclass(frozen=True)
class Race:
    """One table at one length; `rows` is the long job's, `predicted` how many texts are answered."""

    name: str
    train: str
    test: str
    columns: tuple[str, str]
    maxlen: int
    rows: int
    predicted: int
    contestants: tuple[str, ...] = tuple(FITTING)


RACES = (
    Race("headlines", "news_aggregator.csv", "news_aggregator.csv", ("text", "category"), 128, 8192, 1024),
    Race("film reviews", "imdb_train.xlsx", "imdb_test.xlsx", ("Reviews", "Sentiment"), 256, 512, 512, tuple(FITTING)[1:]),
)


def main() -> None:
    """Run the races and write the record that the tables of docs/speed.md are made from."""
    parser = argparse.ArgumentParser(prog="python -m tools.race", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with the tables")
    parser.add_argument("--peer-python", required=True, help="Python of an environment for peer_trainer.py")
    parser.add_argument("--races", nargs="+", choices=[race.name for race in RACES], help="default: all")
    parser.add_argument("--parts", nargs="+", choices=["fitting", "predicting"], default=["fitting", "predicting"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=machine.available_cpus())
    parser.add_argument("--output", type=Path, default=machine.PROJECT / "results" / "published" / "race.json")
    options = parser.parse_args()
    raced = json.loads(options.output.read_text())["races"] if options.output.exists() else {}
    for race in RACES:
        if options.races is None or race.name in options.races:
            before = raced.get(race.name, {})
            fitted = fit(race, options) if "fitting" in options.parts else before
            predicted = predict(race, options) if "predicting" in options.parts else before.get("predicting")
            raced[race.name] = {**fitted, "predicting": predicted}
            options.output.parent.mkdir(parents=True, exist_ok=True)
            record = {"schema_version": 2, "races": {each.name: raced[each.name] for each in RACES if each.name in raced}}
            storage.write_json(record, options.output)


def fit(race: Race, options: argparse.Namespace) -> dict[str, Any]:
    """The record of the fitting part: every job's figures, and their medians."""
    samples: dict[str, list[dict[str, Any]]] = {name: [] for name in race.contestants}
    for repeat, name in itertools.product(range(options.repeats), samples):
        for rows in (rows or race.rows for rows in FITTING[name].rows):
            load = psutil.getloadavg()[0]
            figures = start(FITTING[name], job(race, FITTING[name], rows, 64, options), options)
            sample = {"contestant": name, "repeat": repeat, "rows": rows, "load_before": load}
            samples[name].append(sample | {key: figures[key] for key in FITTED if key in figures})
            print(f"{race.name}, {name}, run {repeat + 1}: {rows} rows in {figures['fit_seconds']:.1f} s", flush=True)
    return {
        **described(options),
        "maxlen": race.maxlen,
        "rows": race.rows,
        "batch_size": BATCH_SIZE,
        "results": [summary(name, mine) for name, mine in samples.items()],
        "samples": [sample for mine in samples.values() for sample in mine],
    }


def summary(name: str, samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the repeats: the steady rate, and the seconds of the long job (none if it was shorter than the race's)."""
    short, long = samples[::2], samples[1::2]
    steps = [sample["fit_seconds"] - sample.get("probe_seconds", 0.0) for sample in samples]
    seconds = [b - a for a, b in zip(steps[::2], steps[1::2], strict=True)]
    steady = [(b["rows"] - a["rows"]) / elapsed for a, b, elapsed in zip(short, long, seconds, strict=True)]
    result = {
        "contestant": name,
        "name": FITTING[name].name,
        "steady_rows_per_second": statistics.median(steady),
        "steady_by_repeat": steady,
        "job_seconds": None if FITTING[name].rows[1] else statistics.median(sample["fit_seconds"] for sample in long),
    }
    if "gflop" in short[0]:
        rates = [(b["gflop"] - a["gflop"]) / elapsed for a, b, elapsed in zip(short, long, seconds, strict=True)]
        shares = [sample["share_by_operation"] for sample in long]
        result["products_gflop_per_second"] = statistics.median(rates)
        result["ceiling_gflop_per_second"] = statistics.median(sample["ceiling_gflop_per_second"] for sample in samples)
        result["share_by_operation"] = {kind: statistics.median(share[kind] for share in shares) for kind in shares[0]}
    return result


def predict(race: Race, options: argparse.Namespace) -> dict[str, Any]:
    """The record of the predicting part: every sample, and each contestant's medians."""
    samples: dict[str, list[dict[str, Any]]] = {name: [] for name in PREDICTING}
    with tempfile.TemporaryDirectory() as room:
        folders = {form: fit_predictor(race, form, options, Path(room)) for form in FORMS}
        for repeat, (name, who) in itertools.product(range(options.repeats), PREDICTING.items()):
            load = psutil.getloadavg()[0]
            checkpoint = folders[who.form] if who.engine else None
            reported = start(who, job(race, who, who.rows[0], race.predicted, options, checkpoint), options)
            figures = {key: reported[key] for key in (*PREDICTED, "gflop") if key in reported}
            samples[name].append({"contestant": name, "repeat": repeat, "load_before": load, **figures})
            print(f"{race.name}, {name}, run {repeat + 1}: {figures['predict_rows_per_second']:.0f} rows/s", flush=True)
        agreements = {form: manifest.read(folder).agreement for form, folder in folders.items()}
    worker = Worker({"ceiling_products": 20, "threads": options.threads}, options.threads)
    worker.close()
    ceiling = worker.ready["gflop_per_second"]
    results = []
    for name, who in PREDICTING.items():
        medians = {key: statistics.median(sample[key] for sample in samples[name]) for key in PREDICTED}
        agreement = agreements[who.form].get(who.engine or "")
        gflop_per_second = samples[name][0].get("gflop", 0.0) / race.predicted * medians["predict_rows_per_second"]
        shares = {"share_of_ceiling": gflop_per_second / ceiling or None}
        shares["equal_decisions"] = agreement.equal_decisions if agreement else None
        results.append({"contestant": who.engine or name, "form": who.form, "name": who.name, **medians, **shares})
    all_samples = [sample for mine in samples.values() for sample in mine]
    figures = {"texts": race.predicted, "ceiling_gflop_per_second": ceiling, "results": results, "samples": all_samples}
    return {**described(options), **figures}


def fit_predictor(race: Race, form: str, options: argparse.Namespace, room: Path) -> Path:
    """Fit and save the predictor that our engines serve: on the rows of the long job or more, for one epoch."""
    given = {"model": form, "checkpoint": "mini", "train": options.data / race.train, "text-column": race.columns[0]}
    given |= {"label-column": race.columns[1], "maxlen": race.maxlen, "test-rows": 64, "epochs": 1, "threads": options.threads}
    given |= {"rows": max(race.rows, FITTED_ROWS), "output": room / form, "results": room / f"{form}-results"}
    if race.test != race.train:
        given["test"] = options.data / race.test
    processes.run(["-m", "halfbert", "train-multiclass", *(f"--{name}={value}" for name, value in given.items())], form)
    return room / form


def job(
    race: Race, who: Contestant, rows: int, predicted: int, options: argparse.Namespace, checkpoint: Path | None = None
) -> Job:
    """The rows and settings that a contestant gets; a file named for both train and test is cut in two."""
    train = read(options.data / race.train, race.columns)
    test = train[rows:] if race.test == race.train else read(options.data / race.test, race.columns)
    (texts, labels), (test_texts, test_labels) = (
        map(list, zip(*part, strict=True)) for part in (train[:rows], test[:predicted])
    )
    return Job(
        checkpoint=str(checkpoint or checkpoints.packaged(who.form).folder),
        texts=texts,
        labels=labels,
        test_texts=test_texts,
        test_labels=test_labels,
        maxlen=race.maxlen,
        batch_size=BATCH_SIZE,
        threads=options.threads,
        precision=who.precision,
        engine=who.engine,
    )


@functools.cache
def read(file: Path, columns: tuple[str, str]) -> list[tuple[str, str]]:
    """Text and label of each whole row of a table, in random order that is always the same."""
    table = sources.read_table(str(file), list(columns), "train", tables.Layout()).columns
    rows = [(text, str(label)) for text, label in zip(*(table[name] for name in columns), strict=True) if text and label]
    random.Random(0).shuffle(rows)
    return rows


def start(who: Contestant, job: Job, options: argparse.Namespace) -> dict[str, Any]:
    """Run a contestant in a process of its own; returns the figures that it prints last."""
    command = [options.peer_python if who.module == "peer_trainer" else sys.executable, "-m", f"tools.race.{who.module}"]
    variables = processes.environment() | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(machine.PROJECT)}
    done = subprocess.run(command, input=json.dumps(asdict(job)), env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def described(options: argparse.Namespace) -> dict[str, Any]:
    """What a part of the record says of its date, the machine and the versions."""
    versions = {"versions": machine.versions(), "hardware": machine.hardware(), "commit": machine.commit()}
    return {"date": time.strftime("%Y-%m-%d"), "environment": {"threads": options.threads, **versions}}


if __name__ == "__main__":
    main()
