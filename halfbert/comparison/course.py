"""The course of a comparison: read, fit each contestant, time them, judge and report."""

import contextlib
import importlib.util
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from halfbert.comparison import baseline, judging, parts, report, speed, time_limit
from halfbert.comparison import record as records
from halfbert.comparison.jobs import Finished
from halfbert.comparison.parts import CONTROL, STUDENT, Experiment, Notes
from halfbert.comparison.record import Contestant, CurvePoint, LabelErrors, Record, Speed
from halfbert.options import CompareOptions
from halfbert.system import machine, processes, storage
from halfbert.system.console import StopRequest, say
from halfbert.system.errors import InputError, ResourceError

NEEDED = {"sklearn": "scikit-learn", "joblib": "joblib", "scipy": "scipy", "matplotlib": "matplotlib", "jinja2": "jinja2"}
USUAL_C = 10.0  # of logistic regression, where no contestant has chosen one


@dataclass
class Fits:
    """The results of all fits: by contestant one a seed, and for the learning curve those on fewer rows."""

    full: dict[str, list[Finished]]
    curve: list[tuple[str, Finished]]

    @property
    def first(self) -> dict[str, Finished]:
        """Those of the first seed on all rows."""
        return {name: fits[0] for name, fits in self.full.items()}


@dataclass(frozen=True)
class Compared:
    """A finished comparison: its record, and the folder with verdict, report and tables."""

    record: Record
    folder: Path


@dataclass(frozen=True)
class Suspects:
    """How many `rows` were judged, and those whose label is likely wrong, as label_errors.csv has them."""

    rows: int
    found: list[dict[str, Any]]


def compare(options: CompareOptions, stop: StopRequest) -> Compared:
    """Compare the contestants on one table and write the report; finished parts of an earlier run are reused."""
    check(options)
    with locked(options):
        experiment = parts.read(options, Notes())
        time_limit.apply(experiment)
        fits = fit(experiment)
        speeds = speed.measure(experiment, fits.first, stop)
        suspects = speed.attempt("likely label errors", lambda: suspect_labels(experiment, fits), experiment.notes)
        record, private = judge(experiment, fits, speeds, suspects)
        with storage.atomic_folder(options.output.resolve()) as folder:
            report.write(record, private, folder)
    say(report.closing(record, options.output))
    return Compared(record, options.output)


def check(options: CompareOptions) -> None:
    """Raise what would otherwise fail only after every fit."""
    if not 0 <= options.margin <= 1:
        raise InputError(f"--margin {options.margin}: is not a share of macro F1 from 0 to 1")
    missing = [package for module, package in NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise ResourceError(f"a comparison needs {', '.join(missing)}: pip install 'halfbert[train]'")


@contextlib.contextmanager
def locked(options: CompareOptions) -> Iterator[None]:
    """Hold the locks of the folders for the report and for the parts, once they are known to be usable."""
    storage.check_disjoint(options.output, options.work, "--work")
    storage.check_output(options.output, "--output", options.overwrite, marker=records.RECORD)
    with contextlib.ExitStack() as stack:
        for folder in (options.output, options.work):
            stack.enter_context(storage.output_lock(folder.resolve()))
        storage.remove_leftovers(options.output.resolve())
        yield


def fit(experiment: Experiment) -> Fits:
    """Fit every contestant with every seed, and for the learning curve with the first seed on fewer rows."""
    seed, names, fits = experiment.options.seed, experiment.contestants, Fits({}, [])
    for name in names:
        seeds = range(seed, seed + experiment.fits(name))
        fits.full[name] = [experiment.tested(name, each, experiment.rows) for each in seeds]
    if experiment.options.learning_curve:
        rows = fits.first[names[0]].record.data.rows.train
        sizes = {max(round(share * rows), 2 * len(experiment.data.labels)) for share in time_limit.CURVE}
        for size in sorted(size for size in sizes if size < rows):
            fits.curve += [(name, experiment.tested(name, seed, size)) for name in names]
    return fits


def suspect_labels(experiment: Experiment, fits: Fits) -> Suspects | None:
    """The rows whose label is likely wrong, by cleanlab; None where it is not installed."""
    if importlib.util.find_spec("cleanlab") is None:
        experiment.notes.add("likely label errors: not searched for, since cleanlab is not installed (pip install cleanlab)")
        return None
    asked = replace(experiment.training, rows=experiment.rows)
    tfidf = fits.first.get(baseline.NAME)
    job = {**baseline.job(asked), "c": tfidf.record.options["c"] if tfidf else USUAL_C}
    packages = (*baseline.PACKAGES, "cleanlab")
    depends_on = experiment.depends_on({"tfidf": baseline.RECIPE_VERSION}, asked, packages, baseline.READ) | {"c": job["c"]}

    def make(file: Path) -> None:
        job_here = {"do": "suspect", **job, "file": str(file)}
        processes.run(baseline.COMMAND, "label errors", job_here, experiment.options.debug)

    return msgspec.convert(experiment.work.made("label-errors", depends_on, make), Suspects)


# ---------------------------------------------------------------------------------------------------------------------------
# The record


def judge(
    experiment: Experiment, fits: Fits, speeds: dict[str, list[Speed]], suspects: Suspects | None
) -> tuple[Record, dict[str, list[dict[str, Any]]]]:
    """The record, and by the names of their csv files the rows with texts, which stand nowhere else."""
    options, truth, data = experiment.options, experiment.truth, experiment.data
    names, reference = experiment.contestants, experiment.contestants[-1]
    answers = {name: [experiment.answers(each) for each in fits.full[name]] for name in names}
    comparisons = [judging.compare(options.task, truth, answers, name, reference) for name in names[:-1]]
    verdict = judging.verdict(comparisons, reference, options.margin)
    different = judging.disagreements(truth, answers, verdict.small, reference, data.test, data.labels)
    # DistilBERT has the student's beginning, rows, epochs and seeds, and no teacher.
    taught = {STUDENT, CONTROL} <= set(names)
    found = suspects.found if suspects else []
    of_test = sum(row["part"] == "test" for row in found)
    record = Record(
        task=options.task,
        options=shareable(options),
        data=records.Data(**vars(fits.first[names[0]].record.data), split_seed=experiment.training.split_seed or 0),
        notes=list(experiment.notes),
        verdict=verdict,
        contestants=[contestant(experiment, name, fits.full[name], speeds[name]) for name in names],
        comparisons=comparisons,
        teaching=judging.compare(options.task, truth, answers, STUDENT, CONTROL) if taught else None,
        per_label=judging.per_label(truth, answers, data.labels),
        lengths=judging.by_length(truth, answers, data.test.texts),
        learning_curve=learning_curve(experiment, fits),
        label_errors=LabelErrors(suspects.rows, len(found), len(data.test), of_test) if suspects else None,
        environment=machine.describe(experiment.training.device, options.threads, experiment.training.precision, options.seed),
        disagreements=len(different),
    )
    return record, {"disagreements": different, "label_errors": found}


def shareable(options: CompareOptions) -> dict[str, Any]:
    """The options without folders that are nobody else's business."""
    given = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(options).items()}
    given["contestants"] = {name: weights and machine.shareable(weights) for name, weights in options.contestants.items()}
    return {name: machine.shareable(value) if isinstance(value, str) else value for name, value in given.items()}


def contestant(experiment: Experiment, name: str, fits: list[Finished], speeds: list[Speed]) -> Contestant:
    """What the record says of a contestant."""
    first, answers = fits[0].record, [experiment.answers(fit) for fit in fits]
    price = experiment.options.price_per_hour
    best = max(speeds, key=lambda one: one.texts_per_second, default=None)
    return Contestant(
        name=name,
        checkpoint=first.checkpoint.name if first.checkpoint else None,
        rows=first.data.rows.train,
        scores=judging.scores(experiment.options.task, experiment.truth, answers),
        parameters=first.size.parameters,
        folder_bytes=first.size.folder_bytes,
        fit_seconds=[fit.record.timing.fit_seconds or 0.0 for fit in fits],
        speeds=speeds,
        best_engine=best.engine if best else None,
        cost_per_million=best.cost_per_million(price) if best else None,
        parts=[fit.part.label for fit in fits],
    )


def learning_curve(experiment: Experiment, fits: Fits) -> list[CurvePoint]:
    """Scores of the first seed on fewer rows, and on all."""
    key = next(iter(records.SCORES[experiment.options.task]))
    return [
        CurvePoint(name, each.record.data.rows.train, judging.score(key, experiment.truth, experiment.answers(each)))
        for name, each in (*fits.curve, *(fits.first.items() if fits.curve else ()))
    ]
