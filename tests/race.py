"""Race the fit against plain ktrain and the Hugging Face Trainer: `make race`.

Each contestant runs in a process of its own, on the same rows, in turn, several times. A *job* is the time between a read
table and a fitted model. The *steady* rate is taken between two jobs of different length, so that what comes once
(loading, tracing, warming up) falls out: (rows of the long job - rows of the short one) / (its seconds - the other's). The
short job has 20 steps.

The peers are scripts as `ktrain_vanilla.py`, `hf_trainer.py` and their `race_data.py`: they take --checkpoint, --train, --test,
--text-column, --label-column, --train-rows, --test-rows, --maxlen, --batch-size and --threads, and print one JSON line with
fit_seconds.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from halfbert import checkpoints, environment, storage

BATCH_SIZE = 16
FEW_ROWS = 20 * BATCH_SIZE
KTRAIN_ROWS = (5 * BATCH_SIZE, 25 * BATCH_SIZE)  # plain ktrain is slow, and its rate the same all along


@dataclass(frozen=True)
class Race:
    """One table at one length; `rows` is the long job's."""

    name: str
    train: str
    test: str
    columns: tuple[str, str]
    maxlen: int
    rows: int
    contestants: tuple[str, ...]


RACES = (
    Race(
        "headlines",
        "news_aggregator.csv",
        "news_aggregator.csv",
        ("text", "category"),
        128,
        8192,
        ("ktrain", "trainer", "float32"),
    ),
    Race(
        "film reviews",
        "imdb_train.xlsx",
        "imdb_test.xlsx",
        ("Reviews", "Sentiment"),
        256,
        512,
        ("trainer", "float32", "mixed_bfloat16"),
    ),
)
NAMES = {
    "ktrain": "ktrain 0.41.4",
    "trainer": "Hugging Face Trainer, fp32",
    "float32": "halfbert, fp32",
    "mixed_bfloat16": "halfbert, bf16 products",
}


def main() -> None:
    """Run all races and write the record that the README's table is made from."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", type=Path, required=True, help="folder with the peers' scripts")
    parser.add_argument("--data", type=Path, required=True, help="folder with the tables")
    parser.add_argument("--peer-python", required=True, help="Python of an environment with PyTorch and transformers")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=environment.available_cpus())
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "published" / "race.json")
    options = parser.parse_args()
    checkpoint = checkpoints.mini("bert").folder
    samples = []
    for race in RACES:
        for repeat, contestant in itertools.product(range(options.repeats), race.contestants):
            for rows in KTRAIN_ROWS if contestant == "ktrain" else (FEW_ROWS, race.rows):
                load = os.getloadavg()[0]
                seconds = job(race, contestant, rows, checkpoint, options)
                samples.append([race.name, contestant, repeat, rows, seconds, load])
                print(f"{race.name}, {NAMES[contestant]}, run {repeat + 1}: {rows} rows in {seconds:.1f} s", flush=True)
    record = {
        "schema_version": 1,
        "date": time.strftime("%Y-%m-%d"),
        "batch_size": BATCH_SIZE,
        "samples": {"columns": ["race", "contestant", "repeat", "rows", "fit_seconds", "load_before"], "rows": samples},
        "results": [summary(race, contestant, samples) for race in RACES for contestant in race.contestants],
        "environment": {
            "threads": options.threads,
            "versions": environment.versions(),
            "hardware": environment.hardware(),
            "commit": environment.commit(),
        },
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    storage.write_json(record, options.output)


def job(race: Race, contestant: str, rows: int, checkpoint: Path, options) -> float:
    """Seconds of one job, as the contestant's own process reports them."""
    ours = contestant in environment.PRECISIONS
    script = ROOT / "tests" / "race_halfbert.py" if ours else options.peers / f"{PEER_SCRIPTS[contestant]}.py"
    python = options.peer_python if contestant == "trainer" else sys.executable
    arguments = {
        "checkpoint": checkpoint,
        "train": options.data / race.train,
        "test": options.data / race.test,
        "text-column": race.columns[0],
        "label-column": race.columns[1],
        "train-rows": rows,
        "test-rows": 64,
        "maxlen": race.maxlen,
        "batch-size": BATCH_SIZE,
        "threads": options.threads,
    }
    command = [python, str(script), *(str(part) for name, value in arguments.items() for part in (f"--{name}", value))]
    variables = {**os.environ, "PYTHONPATH": str(options.peers), "PYTHONDONTWRITEBYTECODE": "1"}
    if ours:
        variables["RACE_PRECISION"] = contestant
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])["fit_seconds"]


PEER_SCRIPTS = {"ktrain": "ktrain_vanilla", "trainer": "hf_trainer"}


def summary(race: Race, contestant: str, samples: list[list]) -> dict:
    """Medians over the repeats: the steady rate, and the seconds of the long job (none for ktrain, which ran a shorter one)."""
    mine = [sample for sample in samples if sample[:2] == [race.name, contestant]]
    few, many = (KTRAIN_ROWS if contestant == "ktrain" else (FEW_ROWS, race.rows))[:2]
    by_repeat = [
        {rows: seconds for _, _, r, rows, seconds, _ in mine if r == repeat} for repeat in sorted({s[2] for s in mine})
    ]
    rates = [(many - few) / (seconds[many] - seconds[few]) for seconds in by_repeat]
    return {
        "race": race.name,
        "contestant": contestant,
        "name": NAMES[contestant],
        "maxlen": race.maxlen,
        "rows": race.rows,
        "steady_rows_per_second": statistics.median(rates),
        "steady_by_repeat": rates,
        "job_seconds": None if contestant == "ktrain" else statistics.median(seconds[many] for seconds in by_repeat),
    }


if __name__ == "__main__":
    main()
