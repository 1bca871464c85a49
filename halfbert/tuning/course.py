"""The course of a search: read, run trials, choose on validation rows, fit winner and default once more, test, report."""

import dataclasses
import importlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from halfbert import training
from halfbert.comparison import baseline, jobs
from halfbert.comparison.jobs import Part, Work
from halfbert.data.phrases import counted
from halfbert.data.tables import Data
from halfbert.models import checkpoints
from halfbert.models.checkpoints import MINI, Checkpoint
from halfbert.options import TrainOptions, TuneOptions, as_arguments, changed
from halfbert.options.comparison import PASSED_ON
from halfbert.options.tuning import SEARCHED
from halfbert.output import record as run_records
from halfbert.output.words import readable
from halfbert.predictor.manifest import MANIFEST
from halfbert.scoring import intervals, selection
from halfbert.scoring.selection import Lead
from halfbert.system import cluster, machine, storage
from halfbert.system.console import StopRequest, say
from halfbert.system.errors import InputError
from halfbert.training import steps, tasks
from halfbert.training.identity import PACKAGES
from halfbert.tuning import record as records
from halfbert.tuning import report, space, worker
from halfbert.tuning.record import Fit, Record, TrialRow
from halfbert.tuning.search import Budget, Place, Search
from halfbert.tuning.space import Setting, Space
from halfbert.tuning.study import ANSWERS, DATABASE, Ended, Study
from halfbert.tuning.trial import Here

FITS = "fits"  # the folder of the last fits, until they are published
NOT_OF_SCORES = ("threads",)  # options that change the seconds of a trial, and its scores by no more than rounding


@dataclass(frozen=True)
class Tuned:
    """A finished search: its record, the folder of the winner's predictor, and that of the results."""

    record: Record
    folder: Path
    results: Path


def tune(options: TuneOptions, stop: StopRequest) -> Tuned:
    """Search for the settings of a training run on one table, and report the winner; a killed search is resumed."""
    if cluster.here().count > 1:
        raise InputError(f"tune fits on one machine, or on a cluster with --ray; unset {cluster.VARIABLE}")
    storage.check_disjoint(options.output, options.results)
    storage.check_output(options.output, "--output", options.overwrite, marker=MANIFEST)
    output, results = options.output.resolve(), options.results.resolve()
    with storage.output_lock(output), storage.output_lock(results):
        storage.remove_leftovers(output)
        _begin_results(options, results)
        tuning = read(options)
        budget_and_study = _study(tuning, results)
        trials = _search(tuning, *budget_and_study)
        record = _report(tuning, *budget_and_study, trials, output, results)
    say(f"\n{report.text(record)}\npredictor: {options.output}   record, trials and plots: {options.results}")
    return Tuned(record, options.output, options.results)


def _begin_results(options: TuneOptions, results: Path) -> None:
    """Make the results folder, or take that of a search that was interrupted. Raises InputError where it is somebody else's."""
    ours = next((name for name in (records.RECORD, DATABASE) if (results / name).is_file()), DATABASE)
    if options.overwrite or ours == records.RECORD or not (results / ours).is_file():
        storage.check_output(options.results, "--results", options.overwrite, marker=ours)
        shutil.rmtree(results, ignore_errors=True)
    results.mkdir(parents=True, exist_ok=True)


@dataclass(frozen=True)
class Tuning:
    """What a search is about: its options, the rows, and the space."""

    options: TuneOptions
    data: Data
    space: Space

    def training_options(self, setting: Setting, **more: Any) -> TrainOptions:
        """The options of a training run with this setting."""
        options = self.options
        model, _, weights = setting["checkpoint"].partition("=")
        if not weights and self.space.checkpoints[setting["checkpoint"]].note:
            weights = MINI  # the hub was unreachable, and all trials are to begin with the same weights
        given = {**changed(options, PASSED_ON, leave_out=SEARCHED), **setting, "model": model, "checkpoint": weights or None}
        given |= {"no_tfidf": True, "split_seed": options.seed if options.split_seed is None else options.split_seed}
        return baseline.OPTIONS[options.task](**{**given, **more})

    def job(self, setting: Setting) -> bytes:
        """What a trial's process reads."""
        options = self.training_options(setting)
        given = {name: value for name, value in changed(options).items() if name not in (*jobs.PLACES, "val", "test")}
        return worker.encoded(self.options.task, given, self.data)

    @property
    def depends_on(self) -> dict[str, Any]:
        """What the scores of trials depend on, and the rows of the test."""
        fixed = changed(self.training_options(self.space.setting(self.space.default)), PASSED_ON)
        left_out = (*SEARCHED, *jobs.NOT_IN_IDENTITY, *NOT_OF_SCORES)
        return {
            **{name: value for name, value in fixed.items() if name not in left_out},
            **self.space.fixed,
            **{name: dimension.described for name, dimension in self.space.dimensions.items()},
            "task": self.options.task,
            "table": jobs.sha256([[part, rows.texts, rows.labels] for part, rows in self.data.parts()]),
            "weights": {name: jobs.identity(found) for name, found in self.space.checkpoints.items()},
            "recipe of training": training.RECIPE_VERSION,
            "versions": {package: machine.version_of(package) for package in PACKAGES},
        }


def read(options: TuneOptions) -> Tuning:
    """Read the table, find the checkpoints and lay out the space, so that mistakes are reported before anything is fitted."""
    models: dict[str, Checkpoint] = {}
    plain = baseline.OPTIONS[options.task](**changed(options, PASSED_ON, leave_out=SEARCHED), model="distilbert")
    data = steps.read(options.task, plain)
    for name in options.checkpoints:
        model, _, weights = name.partition("=")
        models[name] = checkpoints.find(model, weights or None)
        if (note := models[name].note) is not None:
            say(note)
        if options.keep:  # made here, once; refused where there are fewer layers
            checkpoints.with_layers(models[name], options.keep)
    usual = options.maxlen or space.usual_maxlen(models[options.checkpoints[0]], data.train.texts, str(options.long))
    laid_out = space.build(options, models, len(data.train), usual)
    if not laid_out.dimensions:
        raise InputError("nothing to search over: every setting is given")
    return Tuning(options, data, laid_out)


def _study(tuning: Tuning, results: Path) -> tuple[Study, Budget]:
    options = tuning.options
    study = Study(results, tuning.space, tuning.depends_on, options.seed, 2 if options.ray else 1)
    if trials := study.ended:
        say(f"the search resumes after {counted(len(trials), 'trial')} and {study.seconds:.0f} s")
    return study, Budget(60 * options.minutes, study.seconds)


def _search(tuning: Tuning, study: Study, budget: Budget) -> list[Ended]:
    options = tuning.options
    score = readable(tasks.CHOSEN_BY[options.task].removeprefix("val_"))
    over = ", ".join(tuning.space.dimensions)
    say(f"searching for {counted(options.minutes, 'minute')} over {over}, by {score} on validation rows")
    with _place(options) as place:
        search = Search(study, place, budget, tuning.job, score, len(tuning.data.labels), options.trials)
        return search.run()


@contextmanager
def _place(options: TuneOptions) -> Iterator[Place]:
    if options.ray is None:
        yield Here()
        return
    on_cluster = importlib.import_module("halfbert.tuning.cluster")
    with on_cluster.connected(options) as place:
        yield place


def _report(tuning: Tuning, study: Study, budget: Budget, trials: list[Ended], output: Path, results: Path) -> Record:
    """Choose on validation rows, fit once more, test, and write everything."""
    lead, winner = choose(tuning, study, trials)
    default = next((trial for trial in trials if trial["default"] and trial["outcome"] == "finished"), None)
    say(report.choice(lead, winner["setting"], readable(tasks.CHOSEN_BY[tuning.options.task].removeprefix("val_"))))
    work = Work(results / FITS, tuning.options.debug)
    last = {trial["number"]: trial for trial in (default, winner) if trial is not None}
    fits = {number: _fit(tuning, work, trial) for number, trial in last.items()}
    tested = {number: _tested(tuning, trial, fits[number]) for number, trial in last.items()}
    differences = None
    if default is not None and default is not winner:
        truth = _truth(tuning, "test")
        one, other = (fits[trial["number"]].answers for trial in (winner, default))
        differences = intervals.paired_bootstraps(tuning.options.task, truth, one, other)
    study.seconds = budget.spent
    options = tuning.options
    record = Record(
        task=options.task,
        options=shareable_options(options),
        data=run_records.describe_data(tuning.data),
        split_seed=options.seed if options.split_seed is None else options.split_seed,
        score=tasks.CHOSEN_BY[options.task],
        space={name: dimension.described for name, dimension in tuning.space.dimensions.items()},
        minutes=options.minutes,
        seconds=budget.spent,
        trials=[row(trial) for trial in trials],
        lead=lead,
        default=tested[default["number"]] if default else None,
        winner=tested[winner["number"]],
        differences=differences,
        importance=study.importance(),
        environment=machine.describe(options.device, options.threads, options.precision, options.seed),
    )
    report.write(record, results)
    _publish({"default": default, "winner": winner}, fits, output, results)
    records.write(record, results)  # with it the search is finished
    for name in (FITS, ANSWERS):  # what only the search needed
        shutil.rmtree(results / name, ignore_errors=True)
    return record


def choose(tuning: Tuning, study: Study, trials: list[Ended]) -> tuple[Lead | None, Ended]:
    """The best trial where its lead over the default settings is beyond luck, else these; and the lead, if it is known."""
    finished = {trial["number"]: trial for trial in trials if trial["outcome"] == "finished"}
    default = next((number for number, trial in finished.items() if trial["default"]), None)
    if default is None:
        return None, max(finished.values(), key=lambda trial: trial["score"])
    answers = {number: study.answers(number) for number in finished}
    lead = selection.lead_of_best(tuning.options.task, _truth(tuning, "val"), answers, default)
    return lead, finished[lead.best if lead.is_beyond_luck else default]


def _truth(tuning: Tuning, part: str) -> Any:
    return tasks.truth(tuning.options.task, getattr(tuning.data, part), tuning.data.labels) > 0


def _fit(tuning: Tuning, work: Work, trial: Ended) -> jobs.Finished:
    """A trial's settings fitted once more by the command of training, which tests and saves; reused where that is done."""
    requested = tuning.training_options(trial["setting"])
    name = "default" if trial["default"] else f"trial {trial['number']}"
    command = ["-m", "halfbert", f"train-{tuning.options.task}", *as_arguments(requested, leave_out=jobs.PLACES)]
    return work.finish(Part(name.replace(" ", "-"), command, {"setting": trial["setting"], **tuning.depends_on}))


def _tested(tuning: Tuning, trial: Ended, fit: jobs.Finished) -> Fit:
    scores = intervals.bootstraps(tuning.options.task, _truth(tuning, "test"), fit.answers)
    return Fit(trial["number"], trial["setting"], scores, fit.seconds)


def row(trial: Ended) -> TrialRow:
    """What the record says of a trial."""
    known = {known.name for known in dataclasses.fields(TrialRow)}
    return TrialRow(**{name: value for name, value in trial.items() if name in known})


def shareable_options(options: TuneOptions) -> dict[str, Any]:
    """The options without folders that are nobody else's business."""
    given = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(options).items()}
    return {name: machine.shareable(value) if isinstance(value, str) else value for name, value in given.items()}


def _publish(chosen: dict[str, Ended | None], fits: dict[int, jobs.Finished], output: Path, results: Path) -> None:
    """Put the winner's predictor and the results of the last fits where they stay."""
    winner = chosen["winner"]
    assert winner is not None
    for name, trial in chosen.items():
        if trial is not None and (name == "winner" or trial is not winner):
            with storage.atomic_folder(results / name) as folder:
                shutil.copytree(fits[trial["number"]].results, folder, dirs_exist_ok=True)
    with storage.atomic_folder(output) as folder:
        shutil.copytree(fits[winner["number"]].predictor, folder, dirs_exist_ok=True)
