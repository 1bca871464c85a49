"""How fast the contestants answer: the benchmark's quick look at the predictors of the first seed, and TF-IDF likewise.

`--timing quick` times each network behind one engine, that which `halfbert.load` takes: one process, few texts. `full` times
every engine, in two processes each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from halfbert.benchmark.course import gpus, time_engines
from halfbert.benchmark.figures import CHIEF_BATCH, cell_figures
from halfbert.benchmark.record import Record
from halfbert.comparison import baseline
from halfbert.comparison.jobs import Experiment, Finished
from halfbert.comparison.record import Speed
from halfbert.data.tables import LAYOUT
from halfbert.options import BenchmarkOptions
from halfbert.output.words import model_name
from halfbert.predictor import engines, gate, manifest
from halfbert.system import machine, storage
from halfbert.system.console import StopRequest
from halfbert.training import tfidf

RECIPE_VERSION = 2  # raise it when what is timed changes, or how: speeds measured before are not reused then
TEXTS = 128
QUICK_TEXTS = CHIEF_BATCH  # one batch of them: a large network takes seconds even for these
QUICK: dict[str, Any] = {"repeats": 1, "batches": [CHIEF_BATCH], "lengths": ["natural"]}
SECONDS = 0.5  # of each case at least
PACKAGES = ("onnxruntime", "tokenizers", "tensorflow", "tf_keras", "ktrain", "transformers", "numpy")


def budget(timing: str, networks: int) -> float:
    """About how many seconds timing takes; "full" that of each network."""
    return {"quick": 60, "full": 120 * networks, "none": 0}[timing]


def measure(experiment: Experiment, first: Mapping[str, Finished], stop: StopRequest) -> dict[str, list[Speed]]:
    """The speeds of every contestant's fit with the first seed; none where they could not be measured."""
    if experiment.options.timing == "none":
        return {name: [] for name in first}
    neural = {name: fit for name, fit in first.items() if fit.part.makes_predictor}
    found: dict[str, Any] = {}
    for name in baseline.NAMES:
        if fit := first.get(name):
            speed = experiment.attempt(f"speed of {model_name(name)}", partial(_time_baseline, experiment, fit, name))
            found[fit.part.label] = [speed] if speed else []
    apart = experiment.options.timing == "quick"
    for names in [[name] for name in neural] if apart else filter(None, [list(neural)]):
        time = partial(_time_networks, experiment, [neural[name] for name in names], stop)
        found |= experiment.attempt(f"speed of {' and '.join(map(model_name, names))}", time) or {}
    return {name: msgspec.convert(found.get(fit.part.label, []), list[Speed]) for name, fit in first.items()}


def _time_baseline(experiment: Experiment, fit: Finished, name: str) -> dict[str, Any]:
    recipe = {"speed": RECIPE_VERSION, "tfidf": tfidf.RECIPE_VERSION}
    depends_on = {"recipe": recipe, "part": fit.part.identity, **surroundings(baseline.PACKAGES)}
    job = {"do": "time", "results": str(fit.results), "texts": experiment.data.test.texts[:TEXTS], "seconds": SECONDS}
    return experiment.work.made_by_baseline(f"speed-{name}", depends_on, job)


def _time_networks(experiment: Experiment, neural: Sequence[Finished], stop: StopRequest) -> dict[str, Any]:
    """Rows of `Speed` by the name of the predictor's folder."""
    folders = [fit.predictor for fit in neural]
    timed = benchmark_options(experiment, folders)
    depends_on = networks_identity(timed, [fit.part.identity for fit in neural])

    def make(file: Path) -> None:
        record = time_engines(timed, stop)
        storage.write_json({folder.name: [asdict(row) for row in rows(record, folder.name)] for folder in folders}, file)

    return experiment.work.made("speed", depends_on, make)


def benchmark_options(experiment: Experiment, folders: list[Path]) -> BenchmarkOptions:
    """What the benchmark is to time of these predictors."""
    training, quick = experiment.training, experiment.options.timing == "quick"
    device, threads = "gpu" if training.device == "gpu" else "cpu", training.threads or machine.available_cpus()
    return BenchmarkOptions(
        predictors=folders,
        quick=True,
        rows=QUICK_TEXTS if quick else TEXTS,
        seconds=SECONDS,
        scenarios=["single", "offline", "cold"],
        engines=[gate.automatic(manifest.check(folders[0]), device, threads)[0]] if quick else engines.timed(),
        **(QUICK if quick else {}),
        devices=[device],
        threads=[threads],
        texts=training.test or training.train or "",
        **{name: getattr(training, name) for name in ("text_column", *LAYOUT, "drop_missing")},
    )


def networks_identity(timed: BenchmarkOptions, parts: list[str]) -> dict[str, Any]:
    """What these speeds depend on: the fits, the engines' recipes, the machine and the runtimes."""
    return {
        "recipe": {"speed": RECIPE_VERSION, **{engine: engines.find(engine).recipe() for engine in timed.engines}},
        "parts": parts,
        "options": {
            name: getattr(timed, name) for name in ("scenarios", "devices", "threads", "batches", "repeats", "rows", "seconds")
        },
        **surroundings(PACKAGES, timed.devices),
    }


def surroundings(packages: tuple[str, ...], devices: Sequence[str] = ()) -> dict[str, Any]:
    """The part of machine and software in a speed."""
    # machine.hardware knows of GPUs only while TensorFlow is loaded.
    hardware = {**machine.hardware(), "gpus": gpus() if "gpu" in devices else []}
    return {"hardware": hardware, "versions": {package: machine.version_of(package) for package in packages}}


def rows(record: Record, predictor: str) -> list[Speed]:
    """Out of a benchmark's record: a row for each engine of a predictor that was timed to the end, end to end on texts."""
    found = []
    figures = [figure for scenario in ("single", "offline") for figure in cell_figures(record, scenario)]
    for contestant in (each for each in record.ran if each.predictor == predictor):
        mine = {figure.batch: figure for figure in figures if figure.who == contestant.who}
        if not contestant.cold or not {1, CHIEF_BATCH} <= set(mine):
            continue  # it was stopped
        peaks = [start.peak_above_import for start in contestant.cold if start.peak_above_import is not None]
        found.append(
            Speed(
                engine=contestant.engine,
                setting=contestant.setting,
                texts_per_second=mine[CHIEF_BATCH].texts_per_second.median,
                single_seconds=mine[1].seconds_per_call.median,
                first_answer_seconds=float(np.median([start.first_answer_seconds for start in contestant.cold])),
                peak_above_import=float(np.median(peaks)) if peaks else None,
                weight_bytes=contestant.weight_bytes or 0,
            )
        )
    return found
