"""Race fitting and predicting against plain ktrain and the Hugging Face Trainer and pipeline: `make race`.

Fitting. Each contestant runs in a process of its own, on the same rows, in turn, several times. A *job* is the time between
a read table and a fitted model. The *steady* rate is taken between two jobs of different length, so that what comes once
(loading, tracing, warming up) falls out: (rows of the long job - rows of the short one) / (its seconds - the other's). The
short job has 20 steps. The probe that sets our head is part of our job, and none of the steps.

The matrix products of our jobs are counted, and their rate set against that of one large product: the machine's ceiling.

Predicting. A predictor of each form is fitted once, by train_multiclass.py; each engine then answers the peers' test texts
in a process of its own, all at once and the first fifty one by one, timed by the peers' own lines. What the peers fit before
they predict is a small job.

The record is written after each race, so that one part of one race can be run again without the others (--races, --parts).

The peers are scripts as `ktrain_vanilla.py`, `hf_trainer.py` and their `race_data.py`: they take --checkpoint, --train, --test,
--text-column, --label-column, --train-rows, --test-rows, --maxlen, --batch-size and --threads, and print one JSON line with
fit_seconds, predict_rows_per_second, single_p50_ms and single_p95_ms.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from halfbert.benchmark import process as benchmark_process
from halfbert.models import checkpoints
from halfbert.predictor import manifest
from halfbert.system import machine, storage

BATCH_SIZE = 16
FIGURES = (
    "fit_seconds",
    "probe_seconds",
    "gflop",
    "ceiling_gflop_per_second",
    "share_by_operation",
)  # kept of what a process reports
FEW_ROWS = 20 * BATCH_SIZE
KTRAIN_ROWS = (5 * BATCH_SIZE, 25 * BATCH_SIZE)  # plain ktrain is slow, and its rate the same all along
FITTED_ROWS = 2048  # of a predictor, at least: its engines are held against keras on a tenth of them


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
    contestants: tuple[str, ...]


RACES = (
    Race(
        "headlines",
        "news_aggregator.csv",
        "news_aggregator.csv",
        ("text", "category"),
        128,
        8192,
        1024,
        ("ktrain", "trainer", "float32", "mixed_bfloat16", "distilbert"),
    ),
    Race(
        "film reviews",
        "imdb_train.xlsx",
        "imdb_test.xlsx",
        ("Reviews", "Sentiment"),
        256,
        512,
        512,
        ("trainer", "float32", "mixed_bfloat16", "distilbert"),
    ),
)
NAMES = {
    "ktrain": "ktrain 0.41.4",
    "trainer": "Hugging Face Trainer, fp32",
    "float32": "halfbert, fp32",
    "mixed_bfloat16": "halfbert, bf16 products",
    "distilbert": "halfbert, fp32, DistilBERT form",
}
PEER_SCRIPTS = {"ktrain": "ktrain_vanilla", "trainer": "hf_trainer"}
PREDICTING_PEERS = {"ktrain": NAMES["ktrain"], "trainer": "Hugging Face pipeline, fp32"}
FORMS = {"bert": "BERT form", "distilbert": "DistilBERT form"}
ENGINES = ("keras", "onnx", "onnx-int8")
PREDICTED = ("predict_rows_per_second", "single_p50_ms", "single_p95_ms")  # kept of what a process reports, and summarised
PRECISION = {"float32": "float32", "mixed_bfloat16": "mixed_bfloat16", "distilbert": "float32"}  # of ours


def main() -> None:
    """Run all races and write the record that the README's table is made from."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", type=Path, required=True, help="folder with the peers' scripts")
    parser.add_argument("--data", type=Path, required=True, help="folder with the tables")
    parser.add_argument("--peer-python", required=True, help="Python of an environment with PyTorch and transformers")
    parser.add_argument("--races", nargs="+", choices=[race.name for race in RACES], help="default: all")
    parser.add_argument("--parts", nargs="+", choices=["fitting", "predicting"], default=["fitting", "predicting"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=machine.available_cpus())
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "published" / "race.json")
    options = parser.parse_args()
    earlier = json.loads(options.output.read_text())["races"] if options.output.exists() else {}
    for race in RACES:
        if options.races is None or race.name in options.races:
            before = earlier.get(race.name, {})
            fitted = run(race, options) if "fitting" in options.parts else before
            predicted = predict(race, options) if "predicting" in options.parts else before.get("predicting")
            earlier[race.name] = {**fitted, "predicting": predicted}
            options.output.parent.mkdir(parents=True, exist_ok=True)
            record = {"schema_version": 2, "races": {r.name: earlier[r.name] for r in RACES if r.name in earlier}}
            storage.write_json(record, options.output)


def run(race: Race, options) -> dict:
    """The record of one race: every job's figures, and their medians."""
    samples = []
    for repeat, contestant in itertools.product(range(options.repeats), race.contestants):
        for rows in KTRAIN_ROWS if contestant == "ktrain" else (FEW_ROWS, race.rows):
            load = os.getloadavg()[0]
            figures = job(race, contestant, rows, options)
            sample = {"contestant": contestant, "repeat": repeat, "rows": rows, "load_before": load}
            samples.append(sample | {key: figures[key] for key in FIGURES if key in figures})
            print(
                f"{race.name}, {NAMES[contestant]}, run {repeat + 1}: {rows} rows in {figures['fit_seconds']:.1f} s", flush=True
            )
    return {
        "date": time.strftime("%Y-%m-%d"),
        "maxlen": race.maxlen,
        "rows": race.rows,
        "batch_size": BATCH_SIZE,
        "results": [summary(race, contestant, samples) for contestant in race.contestants],
        "samples": samples,
        "environment": described(options),
    }


def described(options) -> dict:
    """What the record says of machine and versions."""
    return {
        "threads": options.threads,
        "versions": machine.versions(),
        "hardware": machine.hardware(),
        "commit": machine.commit(),
    }


def predict(race: Race, options) -> dict:
    """The record of the predicting part: every sample, and each contestant's medians."""
    with tempfile.TemporaryDirectory() as room:
        folders = {form: fit_predictor(race, form, options, Path(room)) for form in FORMS}
        contestants = [*PREDICTING_PEERS, *itertools.product(FORMS, ENGINES)]
        samples = {contestant: [] for contestant in contestants}
        for repeat, contestant in itertools.product(range(options.repeats), contestants):
            load = os.getloadavg()[0]
            figures = predicting_job(race, contestant, folders, options)
            samples[contestant].append({"repeat": repeat, "load_before": load, **figures})
            print(f"{race.name}, {contestant}, run {repeat + 1}: {figures['predict_rows_per_second']} rows/s", flush=True)
        agreements = {form: manifest.read(folder).agreement for form, folder in folders.items()}
    worker = benchmark_process.Worker({"ceiling_products": 20, "threads": options.threads}, options.threads)
    worker.close()
    ceiling = worker.ready["gflop_per_second"]
    return {
        "date": time.strftime("%Y-%m-%d"),
        "texts": race.predicted,
        "ceiling_gflop_per_second": ceiling,
        "results": [
            {**predicting_summary(race, found, ceiling), **predicting_name(contestant, agreements)}
            for contestant, found in samples.items()
        ],
        "samples": [{"contestant": str(contestant), **sample} for contestant, found in samples.items() for sample in found],
        "environment": described(options),
    }


def fit_predictor(race: Race, form: str, options, room: Path) -> Path:
    """Fit and save the predictor that our engines serve: on the rows of the long job or more, for one epoch."""
    test = [] if race.test == race.train else ["--test", str(options.data / race.test)]
    command = [sys.executable, str(ROOT / "train_multiclass.py"), "--model", form, "--checkpoint", "mini"]
    command += ["--train", str(options.data / race.train), *test, "--text-column", race.columns[0]]
    command += ["--label-column", race.columns[1], "--maxlen", str(race.maxlen), "--test-rows", "64"]
    command += ["--rows", str(max(race.rows, FITTED_ROWS)), "--epochs", "1", "--threads", str(options.threads)]
    command += ["--output", str(room / form), "--results", str(room / f"{form}-results")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    return room / form


def predicting_job(race: Race, contestant, folders: dict[str, Path], options) -> dict:
    """What a contestant's own process reports of its predicting; a peer's name, or form and engine."""
    if contestant in PREDICTING_PEERS:
        rows = KTRAIN_ROWS[0] if contestant == "ktrain" else FEW_ROWS
        reported = job(race, contestant, rows, options, race.predicted)
    else:
        form, engine = contestant
        variables = {"RACE_PREDICTOR": str(folders[form]), "RACE_ENGINE": engine}
        reported = start(race, ROOT / "tests" / "race_predicting.py", FEW_ROWS, options, race.predicted, variables)
    return {key: reported[key] for key in (*PREDICTED, "gflop") if key in reported}


def predicting_summary(race: Race, samples: list[dict], ceiling: float) -> dict:
    """Medians over the repeats; of ours also the rate of the texts' matrix products as a share of the ceiling."""
    medians = {key: statistics.median(sample[key] for sample in samples) for key in PREDICTED}
    if "gflop" not in samples[0]:
        return {**medians, "share_of_ceiling": None}
    rate = samples[0]["gflop"] / race.predicted * medians["predict_rows_per_second"]
    return {**medians, "share_of_ceiling": rate / ceiling}


def predicting_name(contestant, agreements: dict[str, dict[str, manifest.Agreement]]) -> dict:
    """How the record names a contestant; of our engines with the share of their decisions that are those of keras."""
    if contestant in PREDICTING_PEERS:
        return {"contestant": contestant, "form": "bert", "name": PREDICTING_PEERS[contestant], "equal_decisions": None}
    form, engine = contestant
    figures = agreements[form].get(engine)
    equal = figures and figures.equal_decisions
    return {"contestant": engine, "form": form, "name": f"halfbert, {engine}, {FORMS[form]}", "equal_decisions": equal}


def job(race: Race, contestant: str, rows: int, options, predicted: int = 64) -> dict:
    """The figures of one job, as the contestant's own process reports them."""
    ours = contestant in PRECISION
    script = ROOT / "tests" / "race_halfbert.py" if ours else options.peers / f"{PEER_SCRIPTS[contestant]}.py"
    python = options.peer_python if contestant == "trainer" else sys.executable
    form = "distilbert" if contestant == "distilbert" else "bert"
    variables = {"RACE_PRECISION": PRECISION[contestant]} if ours else {}
    return start(race, script, rows, options, predicted, variables, python, form)


def start(
    race: Race,
    script: Path,
    rows: int,
    options,
    predicted: int,
    variables: dict[str, str],
    python: str = sys.executable,
    form: str = "bert",
) -> dict:
    """Run a contestant's script; gives the JSON lines that it prints as one dict."""
    arguments = {
        "checkpoint": checkpoints.mini(form).folder,
        "train": options.data / race.train,
        "test": options.data / race.test,
        "text-column": race.columns[0],
        "label-column": race.columns[1],
        "train-rows": rows,
        "test-rows": predicted,
        "maxlen": race.maxlen,
        "batch-size": BATCH_SIZE,
        "threads": options.threads,
    }
    command = [python, str(script), *(str(part) for name, value in arguments.items() for part in (f"--{name}", value))]
    variables = {**os.environ, "PYTHONPATH": str(options.peers), "PYTHONDONTWRITEBYTECODE": "1", **variables}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    reported = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"')]  # not the Trainer's own dicts
    return {key: value for line in reported for key, value in line.items()}


def summary(race: Race, contestant: str, samples: list[dict]) -> dict:
    """Medians over the repeats: the steady rate, and the seconds of the long job (none for ktrain, which ran a shorter one)."""
    mine = [sample for sample in samples if sample["contestant"] == contestant]
    few, many = KTRAIN_ROWS if contestant == "ktrain" else (FEW_ROWS, race.rows)
    short, long = ([sample for sample in mine if sample["rows"] == rows] for rows in (few, many))
    seconds = [_steps_seconds(b) - _steps_seconds(a) for a, b in zip(short, long, strict=True)]
    result = {
        "contestant": contestant,
        "name": NAMES[contestant],
        "steady_rows_per_second": statistics.median((many - few) / elapsed for elapsed in seconds),
        "steady_by_repeat": [(many - few) / elapsed for elapsed in seconds],
        "job_seconds": None if contestant == "ktrain" else statistics.median(sample["fit_seconds"] for sample in long),
    }
    if contestant in PRECISION:
        rates = [(b["gflop"] - a["gflop"]) / elapsed for a, b, elapsed in zip(short, long, seconds, strict=True)]
        result["products_gflop_per_second"] = statistics.median(rates)
        result["ceiling_gflop_per_second"] = statistics.median(sample["ceiling_gflop_per_second"] for sample in short + long)
        result["share_by_operation"] = {
            kind: statistics.median(sample["share_by_operation"][kind] for sample in long)
            for kind in long[0]["share_by_operation"]
        }
    return result


def _steps_seconds(sample: dict) -> float:
    return sample["fit_seconds"] - sample.get("probe_seconds", 0.0)


if __name__ == "__main__":
    main()
