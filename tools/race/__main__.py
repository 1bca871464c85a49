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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from halfbert.benchmark.process import Worker
from halfbert.data import formats
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
    """Who fits: a module of this folder, and the rows of its short job and of its long one (None: the race's)."""

    name: str
    module: str
    form: str = "bert"
    precision: str = "float32"
    rows: tuple[int, int | None] = (FEW_ROWS, None)

    @property
    def is_ours(self) -> bool:
        return self.module == "fit_halfbert"


CONTESTANTS = {
    # Plain ktrain is slow, and its rate the same all along.
    "ktrain": Contestant("ktrain 0.41.4", "peer_ktrain", rows=(5 * BATCH_SIZE, 25 * BATCH_SIZE)),
    "trainer": Contestant("Hugging Face Trainer, fp32", "peer_trainer"),
    "float32": Contestant("halfbert, fp32", "fit_halfbert"),
    "mixed_bfloat16": Contestant("halfbert, bf16 products", "fit_halfbert", precision="mixed_bfloat16"),
    "distilbert": Contestant("halfbert, fp32, DistilBERT form", "fit_halfbert", form="distilbert"),
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
    contestants: tuple[str, ...] = tuple(CONTESTANTS)


RACES = (
    Race("headlines", "news_aggregator.csv", "news_aggregator.csv", ("text", "category"), 128, 8192, 1024),
    Race("film reviews", "imdb_train.xlsx", "imdb_test.xlsx", ("Reviews", "Sentiment"), 256, 512, 512, tuple(CONTESTANTS)[1:]),
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
    samples = []
    for repeat, name in itertools.product(range(options.repeats), race.contestants):
        for rows in CONTESTANTS[name].rows:
            load = psutil.getloadavg()[0]
            figures = run(race, name, rows or race.rows, 64, options)
            sample = {"contestant": name, "repeat": repeat, "rows": rows or race.rows, "load_before": load}
            samples.append(sample | {key: figures[key] for key in FITTED if key in figures})
            print(f"{race.name}, {name}, run {repeat + 1}: {rows} rows in {figures['fit_seconds']:.1f} s", flush=True)
    return {
        "date": time.strftime("%Y-%m-%d"),
        "maxlen": race.maxlen,
        "rows": race.rows,
        "batch_size": BATCH_SIZE,
        "results": [summary(name, [each for each in samples if each["contestant"] == name]) for name in race.contestants],
        "samples": samples,
        "environment": environment(options),
    }


def summary(name: str, samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the repeats: the steady rate, and the seconds of the long job (none if it was shorter than the race's)."""
    short, long = samples[::2], samples[1::2]
    added = [b["rows"] - a["rows"] for a, b in zip(short, long, strict=True)]
    seconds = [_steps_seconds(b) - _steps_seconds(a) for a, b in zip(short, long, strict=True)]
    steady = [rows / elapsed for rows, elapsed in zip(added, seconds, strict=True)]
    result = {
        "contestant": name,
        "name": CONTESTANTS[name].name,
        "steady_rows_per_second": statistics.median(steady),
        "steady_by_repeat": steady,
        "job_seconds": None if CONTESTANTS[name].rows[1] else statistics.median(sample["fit_seconds"] for sample in long),
    }
    if CONTESTANTS[name].is_ours:
        rates = [(b["gflop"] - a["gflop"]) / elapsed for a, b, elapsed in zip(short, long, seconds, strict=True)]
        shares = [sample["share_by_operation"] for sample in long]
        result["products_gflop_per_second"] = statistics.median(rates)
        result["ceiling_gflop_per_second"] = statistics.median(sample["ceiling_gflop_per_second"] for sample in samples)
        result["share_by_operation"] = {kind: statistics.median(share[kind] for share in shares) for kind in shares[0]}
    return result


def _steps_seconds(sample: dict[str, Any]) -> float:
    return sample["fit_seconds"] - sample.get("probe_seconds", 0.0)


@dataclass(frozen=True)
class Answering:
    """Who predicts: a peer, or one of our engines with a predictor of a form."""

    contestant: str
    form: str
    name: str

    @property
    def is_peer(self) -> bool:
        return self.contestant in CONTESTANTS


ANSWERING = (
    Answering("ktrain", "bert", "ktrain 0.41.4"),
    Answering("trainer", "bert", "Hugging Face pipeline, fp32"),
    *(Answering(engine, form, f"halfbert, {engine}, {FORMS[form]}") for form in FORMS for engine in ENGINES),
)


def predict(race: Race, options: argparse.Namespace) -> dict[str, Any]:
    """The record of the predicting part: every sample, and each contestant's medians."""
    samples: dict[Answering, list[dict[str, Any]]] = {each: [] for each in ANSWERING}
    with tempfile.TemporaryDirectory() as room:
        folders = {form: fit_predictor(race, form, options, Path(room)) for form in FORMS}
        for repeat, who in itertools.product(range(options.repeats), ANSWERING):
            load = psutil.getloadavg()[0]
            if who.is_peer:
                reported = run(race, who.contestant, CONTESTANTS[who.contestant].rows[0], race.predicted, options)
            else:
                saved = job(race, folders[who.form], 1, race.predicted, options, engine=who.contestant)
                reported = start("predict_halfbert", saved)
            figures = {key: reported[key] for key in (*PREDICTED, "gflop") if key in reported}
            samples[who].append({"repeat": repeat, "load_before": load, **figures})
            print(f"{race.name}, {who.name}, run {repeat + 1}: {figures['predict_rows_per_second']:.0f} rows/s", flush=True)
        agreements = {form: manifest.read(folder).agreement for form, folder in folders.items()}
    worker = Worker({"ceiling_products": 20, "threads": options.threads}, options.threads)
    worker.close()
    ceiling = worker.ready["gflop_per_second"]
    results = []
    for who, mine in samples.items():
        medians = {key: statistics.median(sample[key] for sample in mine) for key in PREDICTED}
        agreement = None if who.is_peer else agreements[who.form].get(who.contestant)
        gflop_per_second = mine[0].get("gflop", 0.0) / race.predicted * medians["predict_rows_per_second"]
        shares = {
            "share_of_ceiling": gflop_per_second / ceiling or None,
            "equal_decisions": agreement and agreement.equal_decisions,
        }
        results.append({**asdict(who), **medians, **shares})
    return {
        "date": time.strftime("%Y-%m-%d"),
        "texts": race.predicted,
        "ceiling_gflop_per_second": ceiling,
        "results": results,
        "samples": [{"contestant": who.name, **sample} for who, mine in samples.items() for sample in mine],
        "environment": environment(options),
    }


def fit_predictor(race: Race, form: str, options: argparse.Namespace, room: Path) -> Path:
    """Fit and save the predictor that our engines serve: on the rows of the long job or more, for one epoch."""
    given = {"model": form, "checkpoint": "mini", "train": options.data / race.train, "text-column": race.columns[0]}
    given |= {"label-column": race.columns[1], "maxlen": race.maxlen, "test-rows": 64, "epochs": 1, "threads": options.threads}
    given |= {"rows": max(race.rows, FITTED_ROWS), "output": room / form, "results": room / f"{form}-results"}
    if race.test != race.train:
        given["test"] = options.data / race.test
    processes.run(["-m", "halfbert", "train-multiclass", *(f"--{name}={value}" for name, value in given.items())], form)
    return room / form


def run(race: Race, name: str, rows: int, predicted: int, options: argparse.Namespace) -> dict[str, Any]:
    """What a contestant's own process reports of fitting so many rows and answering so many texts."""
    who = CONTESTANTS[name]
    given = job(race, checkpoints.mini(who.form).folder, rows, predicted, options, precision=who.precision)
    return start(who.module, given, options.peer_python if name == "trainer" else sys.executable)


def job(
    race: Race,
    checkpoint: Path,
    rows: int,
    predicted: int,
    options: argparse.Namespace,
    precision: str = "float32",
    engine: str | None = None,
) -> Job:
    """The rows and settings that every contestant gets; a file named for both train and test is cut in two."""
    train = read(options.data / race.train, race.columns)
    test = train[rows:] if race.test == race.train else read(options.data / race.test, race.columns)
    return Job(
        checkpoint=str(checkpoint),
        train=train[:rows],
        test=test[:predicted],
        maxlen=race.maxlen,
        batch_size=BATCH_SIZE,
        threads=options.threads,
        precision=precision,
        engine=engine,
    )


@functools.cache
def read(file: Path, columns: tuple[str, str]) -> list[tuple[str, str]]:
    """Text and label of each whole row of a table, in random order that is always the same."""
    table = formats.read_table(str(file), list(columns), role="train", sheet=None, encoding=None).columns
    rows = [(text, str(label)) for text, label in zip(*(table[name] for name in columns), strict=True) if text and label]
    random.Random(0).shuffle(rows)
    return rows


def start(module: str, job: Job, python: str = sys.executable) -> dict[str, Any]:
    """Run a contestant; returns the figures that it prints last."""
    command = [python, "-m", f"tools.race.{module}"]
    variables = processes.environment() | {"HF_HUB_OFFLINE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    variables["PYTHONPATH"] = str(machine.PROJECT)
    done = subprocess.run(command, input=json.dumps(asdict(job)), env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def environment(options: argparse.Namespace) -> dict[str, Any]:
    """What the record says of machine and versions."""
    versions = {"versions": machine.versions(), "hardware": machine.hardware(), "commit": machine.commit()}
    return {"threads": options.threads, **versions}


if __name__ == "__main__":
    main()
