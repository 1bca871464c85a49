"""The fits of a comparison, one after the other or, in folds, several at a time; and each score as soon as it is known."""

import contextlib
import dataclasses
from collections import defaultdict
from collections.abc import Generator
from dataclasses import dataclass, field, replace

import numpy as np

from halfbert.comparison import pool
from halfbert.comparison.jobs import STUDENT, Experiment, Finished, Part
from halfbert.comparison.progress import Forecast, score_line
from halfbert.output.folds import RowCounts
from halfbert.system import machine
from halfbert.system.console import say
from halfbert.system.errors import ArtefactError

CURVE = (0.25, 0.5)  # of the training rows, for the learning curve


@dataclass
class Fits:
    """The results of all fits: by contestant one a seed, and for the learning curve those on fewer rows.

    A contestant is there once all of its seeds are, and the learning curve once all of it is.
    """

    full: dict[str, list[Finished]] = field(default_factory=dict)
    curve: list[tuple[str, Finished]] = field(default_factory=list)

    @property
    def first(self) -> dict[str, Finished]:
        """Those of the first seed on all rows."""
        return {name: fits[0] for name, fits in self.full.items()}


@dataclass(frozen=True)
class Request:
    """A fit that is wanted; in folds, one of each. `rows` is None for all that there are; `share` is its part of those."""

    name: str
    seed: int
    rows: int | None
    share: float = 1.0


def requests(experiment: Experiment) -> list[Request]:
    """Every contestant with every seed; then, for the learning curve, with the first seed on fewer rows."""
    options = experiment.options
    names = sorted(experiment.contestants, key=lambda name: name == STUDENT)  # its teacher comes first
    wanted = [Request(name, seed, experiment.rows) for name in names for seed in experiment.seeds(name)]
    if options.learning_curve:
        available = len(experiment.data.train)
        rows = min(experiment.rows or available, available)
        sizes = {max(round(share * rows), 2 * len(experiment.data.labels)) for share in CURVE}
        smaller = sorted(size for size in sizes if size < rows)
        wanted += [Request(name, options.seed, size, size / rows) for size in smaller for name in names]
    return wanted


def fit(experiment: Experiment, fits: Fits) -> None:
    """Add all results to `fits`, and say each contestant's score. What ends the fits early is raised; what is done stays."""
    wanted = requests(experiment)
    forecast = Forecast(experiment)
    for each in wanted:
        forecast.expect(each.name, each.share * (experiment.folds or 1))
    forecast.announce()
    found: dict[str, list[Finished]] = defaultdict(list)
    curve = []
    with contextlib.closing((_in_folds if experiment.dealt else _in_one_split)(experiment, wanted, forecast)) as results:
        for request, finished in results:
            _check(experiment, finished)
            if request.share < 1:
                curve.append((request.name, finished))
                continue
            found[request.name].append(finished)
            if len(found[request.name]) == len(experiment.seeds(request.name)):
                say(score_line(experiment, request.name, found[request.name], fits.full))
                fits.full[request.name] = found[request.name]
    fits.curve = curve


def _check(experiment: Experiment, finished: Finished) -> None:
    """Raise ArtefactError where the answers are not those to the test rows of this comparison."""
    if finished.numbers.tolist() != experiment.data.test.numbers or finished.answers.shape != experiment.truth.shape:
        raise ArtefactError(f"{finished.results}: its test rows are not those of this comparison; delete the folder")


def _in_one_split(experiment: Experiment, wanted: list[Request], forecast: Forecast) -> Generator[tuple[Request, Finished]]:
    for each in wanted:
        heard = forecast.hear(each.name) if each.share == 1 else None
        finished = experiment.finish(each.name, each.seed, each.rows, heard=heard)
        forecast.finished(each.name, finished.record.timing.fit_seconds or 0.0, each.share)
        yield each, finished


def _in_folds(experiment: Experiment, wanted: list[Request], forecast: Forecast) -> Generator[tuple[Request, Finished]]:
    """Fold after fold, of one contestant after the other; a result comes when its last fold is done."""
    of_part: dict[str, Request] = {}
    parts: dict[str, Part] = {}
    done: dict[Request, dict[int, Finished]] = {each: {} for each in wanted}
    folds = range(experiment.folds or 0)
    fold_of: dict[str, int] = {}
    missing = []
    for each in wanted:
        for fold in folds:
            part = experiment.fold_part(each.name, each.seed, each.rows, fold)
            of_part[part.name], parts[part.name], fold_of[part.name] = each, part, fold
            finished = experiment.work.finished(part)
            if finished is None:
                missing.append(part)
            else:
                done[each][fold] = finished
                forecast.finished(each.name, finished.record.timing.fit_seconds or 0.0, each.share)
    yield from ((each, _together(experiment, done[each])) for each in wanted if len(done[each]) == len(folds))
    threads = max(1, (experiment.training.threads or machine.available_cpus()) // experiment.workers)
    jobs = [(part.name, experiment.work.fold_job(part, threads)) for part in missing]
    with contextlib.closing(pool.run(jobs, experiment.workers)) as events:
        for name, line, seconds in events:
            each = of_part[name]
            if line is not None:
                if each.share == 1:
                    forecast.hear(each.name)(line)
                continue
            say(f"{parts[name].title}: done in {seconds:.0f} s")
            experiment.work.note_finished(parts[name], seconds)
            finished = done[each][fold_of[name]] = experiment.work.read(parts[name])
            forecast.finished(each.name, finished.record.timing.fit_seconds or 0.0, each.share)
            if len(done[each]) == len(folds):
                yield each, _together(experiment, done[each])


def _together(experiment: Experiment, folds: dict[int, Finished]) -> Finished:
    """The folds of one fit as one: the answers to every row by the fold that left it out."""
    assert experiment.dealt is not None
    first, rows = folds[0], experiment.dealt.rows
    answers, numbers = np.zeros((len(rows), len(experiment.data.labels)), bool), np.zeros(len(rows), int)
    for fold, finished in folds.items():
        held_out = experiment.dealt.fold_of == fold
        if held_out.sum() != len(finished.numbers):
            raise ArtefactError(f"{finished.results}: its test rows are not those of this comparison; delete the folder")
        answers[held_out], numbers[held_out] = finished.answers, finished.numbers
    record, of_data = first.record, first.record.data
    counts = RowCounts(of_data.rows.train, of_data.rows.val, len(rows))
    seconds = float(np.mean([each.record.timing.fit_seconds or 0.0 for each in folds.values()]))
    together = replace(record, data=replace(of_data, rows=counts), timing=replace(record.timing, fit_seconds=seconds))
    return dataclasses.replace(
        first,
        seconds=sum(each.seconds for each in folds.values()),
        record=together,
        answers=answers,
        numbers=numbers,
        parts=tuple(folds[fold].part.label for fold in sorted(folds)),
    )
