"""The course of a comparison: read, fit each contestant, time them, judge and report."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from halfbert.comparison import baseline, cascading, jobs, judging, report, rule, speed
from halfbert.comparison import record as records
from halfbert.comparison.cascading import Cascaded
from halfbert.comparison.fitting import CURVE, Fits, fit
from halfbert.comparison.jobs import CONTROL, STUDENT, Experiment, Finished
from halfbert.comparison.record import Contestant, LabelErrors, NamedPoint, Record, Speed
from halfbert.comparison.wording import verdict_line
from halfbert.data.phrases import counted
from halfbert.options import CompareOptions
from halfbert.output.words import model_name, significant
from halfbert.system import cluster, machine, storage
from halfbert.system.console import Stopped, StopRequest, say
from halfbert.system.errors import HalfbertError, InputError

USUAL_C = 10.0  # of logistic regression, where no contestant has chosen one
PILOT_ROWS, PILOT_TEST_ROWS = 512, 256  # of the short runs for a time limit
USABLE = 0.9  # of the time limit, since estimates err


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


@dataclass
class Done:
    """What of a comparison is finished, and what ended it early."""

    fits: Fits = field(default_factory=Fits)
    speeds: dict[str, list[Speed]] = field(default_factory=dict)
    suspects: Suspects | None = None
    cascaded: Cascaded | None = None
    ended: Stopped | HalfbertError | None = None


def compare(options: CompareOptions, stop: StopRequest) -> Compared:
    """Compare the contestants on one table and write the report; finished parts of an earlier run are reused.

    What ends the fits early, a signal or a failure, is raised once the contestants that are finished are reported.
    """
    if cluster.here().count > 1:
        raise InputError(f"compare fits on one machine; unset {cluster.VARIABLE}")
    storage.check_disjoint(options.output, options.work, "--work")
    overwrite = options.overwrite or records.is_unfinished(options.output)
    storage.check_output(options.output, "--output", overwrite, marker=records.RECORD)
    output = options.output.resolve()
    with storage.output_lock(output), storage.output_lock(options.work.resolve()):
        storage.remove_leftovers(output)
        experiment = jobs.read(options)
        done = Done()
        try:
            run(experiment, done, stop)
        except (Stopped, HalfbertError) as ended:
            if stop.count > 1:  # at once
                raise
            done.ended = ended
        if done.fits.full:
            record, private = judge(experiment, done)
            with storage.atomic_folder(output) as folder:
                report.write(record, private, folder)
            say(f"\n{verdict_line(record)}\n\nreport: {options.output / 'report.html'}   tables and record beside it")
    if done.ended is not None:
        say_what_is_kept(experiment, done)
        raise done.ended
    return Compared(record, options.output)


def run(experiment: Experiment, done: Done, stop: StopRequest) -> None:
    """Fit, and then time; what is finished is in `done` whatever ends it."""
    apply_time_limit(experiment)
    fit(experiment, done.fits)
    if experiment.options.cascade:
        done.cascaded = experiment.attempt("the cascade", lambda: cascading.find(experiment, done.fits))
    done.suspects = experiment.attempt("likely label errors", lambda: suspect_labels(experiment, done.fits))
    done.speeds = speed.measure(experiment, done.fits.first, stop)


def say_what_is_kept(experiment: Experiment, done: Done) -> None:
    """After an early end: what is finished, what is not, and how to go on."""
    missing = [model_name(name) for name in experiment.contestants if name not in done.fits.full]
    what = f"not finished: {', '.join(missing)}" if missing else "all contestants are fitted; their speeds are not measured"
    reported = "" if done.fits.full else "; no contestant is finished, so there is no report"
    say(f"ended early; {what}{reported}")
    say(f"finished fits, and the state of one that was running, are kept in {experiment.options.work}")
    say("to go on from there, give the same command again; the report of what is finished is replaced then")


def apply_time_limit(experiment: Experiment) -> None:
    """If there is a time limit, fit short runs and set `experiment.rows` to what is likely to be done in it."""
    limit, available = experiment.options.time_limit, len(experiment.data.train)
    if limit is None:
        return
    option, rows = f"--time-limit {significant(limit)}", max(PILOT_ROWS, 2 * len(experiment.data.labels))
    if rows >= available:
        experiment.note(f"{option}: no timed runs for only {counted(available, 'training row')}; all are used")
        return
    names, seed = experiment.contestants, experiment.options.seed
    pilots = {name: experiment.finish(name, seed, rows, PILOT_TEST_ROWS) for name in names}
    spent = sum(pilot.seconds for pilot in pilots.values())
    fixed, per_row = spent + speed.budget(experiment.options.timing, len(experiment.checkpoints)), 0.0
    curve = CURVE if experiment.options.learning_curve else ()
    for name, pilot in pilots.items():
        fixed_once, per_row_once = cost(pilot, len(experiment.data.test) // (experiment.folds or 1))
        fixed += fixed_once * (experiment.fits(name) + len(curve) * (experiment.folds or 1))
        per_row += per_row_once * (experiment.fits(name) + sum(curve) * (experiment.folds or 1))
    usable = 60 * USABLE * limit - fixed
    if usable < rows * per_row:
        raise InputError(
            f"{option}: the fits would take about "
            f"{counted(round((fixed + rows * per_row) / 60 / USABLE), 'minute')} even on {counted(rows, 'row')}; "
            f"give more time, or fewer --seeds or --contestants"
        )
    which = f"all {counted(available, 'training row')}"
    if usable < available * per_row:
        experiment.rows = int(usable / per_row)
        which = f"{experiment.rows:,} of {available:,} training rows (a stratified sample)"
    experiment.note(
        f"{option}: short runs on {counted(rows, 'row')} took {spent:,.0f} s; training on {which} is likely to fit; every "
        "test row is used"
    )


def cost(pilot: Finished, test_rows: int) -> tuple[float, float]:
    """(seconds independent of the rows, seconds per training row) of a fit, judged by a short run.

    The rate is the steady one if the run was long enough to have one; else start-up counts as if it grew with the rows, so
    the estimate errs on the long side.
    """
    record, timing, rows = pilot.record, pilot.record.timing, pilot.record.data.rows
    steady, fit_seconds = timing.steady_rows_per_second, timing.fit_seconds or 0.0
    per_row = len(record.epochs) / steady if steady else fit_seconds / max(rows.train, 1)
    evaluation = (timing.evaluate_seconds or 0.0) / max(rows.test, 1)
    return pilot.seconds - rows.train * per_row + (test_rows - rows.test) * evaluation, per_row


def suspect_labels(experiment: Experiment, fits: Fits) -> Suspects:
    """The rows whose label is likely wrong, by cleanlab."""
    requested, tfidf = replace(experiment.training, rows=experiment.rows), fits.first.get(baseline.NAME)
    c = tfidf.record.options["c"] if tfidf else USUAL_C
    depends_on = {**experiment.baseline_depends_on(requested, "cleanlab"), "c": c}
    job = {"do": "suspect", **baseline.job(requested), "c": c}
    return msgspec.convert(experiment.work.made_by_baseline("label-errors", depends_on, job), Suspects)


def judge(experiment: Experiment, done: Done) -> tuple[Record, dict[str, list[dict[str, Any]]]]:
    """The record, and by the names of their csv files the rows with texts, which stand nowhere else."""
    options, truth, data, fits, suspects = experiment.options, experiment.truth, experiment.data, done.fits, done.suspects
    names = [name for name in experiment.contestants if name in fits.full]
    answers = {name: [each.answers for each in fits.full[name]] for name in names}
    contestants = {
        name: contestant(experiment, name, fits.full[name], answers[name], done.speeds.get(name, [])) for name in names
    }
    if done.cascaded is not None:
        answers, contestants = with_cascade(experiment, done.cascaded, answers, contestants)
    comparisons = judging.comparisons(options.task, truth, answers)
    # DistilBERT has the student's initial weights, rows, epochs and seeds, and no teacher.
    taught = (pair for pair in comparisons if (pair.small, pair.large) == (STUDENT, CONTROL))
    found = suspects.found if suspects else []
    of_test = sum(row["part"] == "test" or experiment.folds is not None for row in found)
    key = next(iter(records.SCORES[options.task]))
    curve = [*fits.curve, *fits.first.items()] if fits.curve else []
    record = Record(
        task=options.task,
        options=shareable(options),
        data=records.Data(**vars(fits.first[names[0]].record.data), split_seed=experiment.training.split_seed or 0),
        notes=list(experiment.notes),
        contestants=list(contestants.values()),
        comparisons=comparisons,
        teaching=next(taught, None),
        per_label=judging.per_label(truth, answers, data.labels),
        lengths=judging.by_length(truth, answers, data.test.texts),
        learning_curve=[
            NamedPoint(each.record.data.rows.train, judging.score(key, truth, each.answers), name) for name, each in curve
        ],
        label_errors=LabelErrors(suspects.rows, len(found), len(data.test), of_test) if suspects else None,
        environment=machine.describe(experiment.training.device, options.threads, experiment.training.precision, options.seed),
        folds=experiment.folds,
        timing=options.timing,
        stopped=str(done.ended) if done.ended else None,
        unfinished=[name for name in experiment.contestants if name not in names],
    )
    pair, different = rule.chief_pair(record), []
    if pair:
        different = judging.disagreements(truth, answers, *pair, data.test, data.labels)
    return replace(record, disagreements=len(different)), {"disagreements": different, "label_errors": found}


def with_cascade(
    experiment: Experiment, cascaded: Cascaded, answers: judging.Answers, contestants: dict[str, Contestant]
) -> tuple[judging.Answers, dict[str, Contestant]]:
    """Answers and contestants with those of the cascade, before BERT's."""
    name, scores = cascading.NAME, judging.scores(experiment.options.task, experiment.truth, cascaded.answers)
    two = contestants[cascaded.small], contestants[cascading.LARGE]
    own = cascading.contestant(cascaded, scores, *two, experiment.options.price_per_hour)
    order = [each for each in rule.RANKS if each in {*contestants, name}]
    all_answers, all_contestants = {**answers, name: cascaded.answers}, {**contestants, name: own}
    return {each: all_answers[each] for each in order}, {each: all_contestants[each] for each in order}


def shareable(options: CompareOptions) -> dict[str, Any]:
    """The options without folders that are nobody else's business."""
    given = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(options).items()}
    given["contestants"] = {name: weights and machine.shareable(weights) for name, weights in options.contestants.items()}
    return {name: machine.shareable(value) if isinstance(value, str) else value for name, value in given.items()}


def contestant(
    experiment: Experiment, name: str, fits: list[Finished], answers: list[np.ndarray], speeds: list[Speed]
) -> Contestant:
    """What the record says of a contestant."""
    first, price = fits[0].record, experiment.options.price_per_hour
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
        parts=[label for fit in fits for label in fit.parts],
    )
