"""The course of a training run, for both tasks: table in, ktrain predictor and its record out.

It shows ktrain's own lines: `Transformer`, `get_learner` and `fit_onecycle` in `fit`, `get_predictor` and `save` in `save`.
What differs between the tasks is in `tasks`. Distillation has a course of its own, made of the same steps.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from halfbert.data.phrases import counted
from halfbert.models import memory
from halfbert.options import MulticlassOptions, MultilabelOptions
from halfbert.output import hub
from halfbert.output.card import model_card
from halfbert.output.record import RateFinder, Record, Size
from halfbert.output.words import model_name
from halfbert.predictor.manifest import Numbers
from halfbert.system import cluster, storage, temporary, tensorflow_setup
from halfbert.system.console import Stopped, StopRequest, say
from halfbert.system.errors import ResourceError
from halfbert.training import advice, calibrating, crossvalidation, earlier, saving, steps, tasks, tracking, windows
from halfbert.training.resuming import SavedFit, States
from halfbert.training.tracking import Trackers
from halfbert.training.values import Failure, Fitted, Prepared, Taught, Tested


@dataclass(frozen=True)
class Trained:
    """A finished run: the folders of its predictor and of its results, and its record."""

    folder: Path
    results: Path
    record: Record

    @property
    def scores(self) -> dict[str, Any] | None:
        """Those of the test rows, by name."""
        return self.record.test


@dataclass(frozen=True)
class Lesson:
    """What a teacher changes of a fit.

    `rows` makes of the Transformer and the labelled TransformerDataset the one to learn from; the `objective` (see
    `training.fit`) is minimised in place of the task's loss.
    """

    rows: Callable[[Any, Any], Any]
    objective: Callable[..., Any]


@memory.releasing()
def train(options: MulticlassOptions | MultilabelOptions, stop: StopRequest) -> Trained | None:
    """Read the table, fit, test, save; None from a worker that is not the chief, which tests and saves.

    Where a signal or a diverging loss ended the fit early, the best epoch so far is saved, and what ended it is raised.
    """
    crossvalidation.check_machine(options)
    tracking.check(options.track)
    if options.push_to_hub:
        hub.check(options.push_to_hub)
    with temporary.folder() as scratch:
        if not cluster.here().is_chief:
            steps.leave_to_chief(fit(_prepare(options, stop, scratch)[0]))
            return None
        return _train(options, stop, scratch)


def _train(options: MulticlassOptions | MultilabelOptions, stop: StopRequest, scratch: Path) -> Trained:
    with steps.locked_outputs(options) as (output, results):
        prepared, folds = _prepare(options, stop, scratch)
        states = steps.states(prepared, output)
        with tracking.trackers(prepared) as trackers:
            with storage.atomic_folder(output) as folder, storage.atomic_folder(results) as results_folder:
                fitted = fit(prepared, states.fit("fit"), trackers=trackers)
                tested = steps.test(prepared, fitted)
                record = save(prepared, fitted, tested, folder, results_folder, states)
            if folds is not None and tested.failure is None:
                record = crossvalidation.beside(prepared, folds, fitted, fit, record, results)
            trackers.log(record)
        steps.finish(prepared, fitted, tested, record, states)
        if options.push_to_hub:
            record = publish(options, record, results)
    return Trained(options.output, options.results, record)


def _prepare(
    options: MulticlassOptions | MultilabelOptions, stop: StopRequest, scratch: Path
) -> tuple[Prepared, crossvalidation.Plan | None]:
    """Read the rows, plan folds, find the weights to begin with; those of a predictor (--from) are written into `scratch`."""
    started = time.perf_counter()
    data = steps.read(options.task, options)
    folds = crossvalidation.plan(options, data)
    if options.from_ is None:
        return steps.prepare(options.task, options, data, stop, started), folds
    before = earlier.read(options.from_, data, options)
    find = partial(earlier.checkpoint, before, scratch)
    return steps.prepare(options.task, options, data, stop, started, find, before), folds


def fit(
    prepared: Prepared,
    saved: SavedFit | None = None,
    lesson: Lesson | None = None,
    control_of: Fitted | None = None,
    fold: bool = False,
    watch: Callable[[Numbers], object] | None = None,
    trackers: Trackers | None = None,
) -> Fitted:
    """Fine-tune, and return the best epoch. Raises what ended the fit before an epoch was complete.

    Parameters
    ----------
    saved: the states of this fit, which is resumed if there are some; only of the chief.
    lesson: what a teacher adds.
    control_of: a taught student, whose rate is taken.
    fold: one of cross-validation's. It and a control are of no use if they end early, so what ends them is raised, and a
        signal ends them at once.
    watch: called with the scores of each epoch.
    trackers: experiment trackers that follow it.
    """
    import tensorflow as tf

    from halfbert.models.ktrain_data import Transformer
    from halfbert.training.fit import BestEpoch, get_learner
    from halfbert.training.workers import losing_no_worker

    task, options, data, truth = prepared.task, prepared.options, prepared.data, prepared.truth
    started, discardable = time.perf_counter(), fold or control_of is not None
    tf.keras.utils.set_random_seed(options.seed)
    multilabel = task == "multilabel"
    transformer = Transformer(str(prepared.checkpoint.folder), options.maxlen, data.labels, multilabel, str(options.long))
    labelled, train, val = _encode(prepared, transformer, lesson)
    preprocess_seconds = time.perf_counter() - started

    with losing_no_worker():
        model = _new_model(prepared, transformer, labelled, lesson, saved)
        learner = get_learner(model, train_data=train, batch_size=options.batch_size)
        finder = _find_rate(prepared, learner, saved) if options.find_lr and not control_of else None
    rate = control_of.rate if control_of else (finder and finder.suggestion) or prepared.rate
    keep = _keeper(model, transformer, saved.run) if options.keep_epochs and saved and not control_of else None
    score = windows.scorer(task, truth["val"], val.encoded)
    how = tasks.CHOSEN_BY[task], prepared.epochs, prepared.stop, options.early_stopping
    best = BestEpoch(val, score, *how, keep, watch, saved)
    callbacks = trackers.callbacks(best) if trackers else []
    if not discardable:
        _announce(prepared, train, transformer.maxlen or 0, model.count_params(), rate)
        prepared.stop.gently = True  # a signal waits for the end of a batch
    broken = _run(learner, rate, prepared.epochs, best, tasks.class_weights(task, options, truth["train"]), callbacks)
    failure = _failure(prepared, best.best_epoch, broken, discardable)
    model.set_weights(best.best_weights)
    seconds = preprocess_seconds, time.perf_counter() - started + (saved.seconds if saved else 0.0)
    of_windows = best.best_logits, val.encoded, train.encoded
    in_windows = windows.choose(task, truth["val"], *of_windows, quiet=discardable)
    logits = val.encoded.pooled(best.best_logits, in_windows and in_windows.pooling, multilabel)
    of_best = task, truth["val"], logits, getattr(options, "threshold", "")
    chosen = tasks.thresholds(*of_best), calibrating.fit(*of_best)
    return Fitted(model, transformer, train, best.history, logits, *chosen, rate, finder, *seconds, failure, in_windows)


def _run(*given: Any) -> Exception | None:
    """ktrain's one-cycle policy, given as to `fit.one_cycle`; returns what of a diverging loss or a lost worker ended it."""
    from halfbert.training.fit import Diverged, one_cycle
    from halfbert.training.workers import WorkerLost, losing_no_worker

    try:
        with losing_no_worker():
            one_cycle(*given)
    except (Diverged, WorkerLost) as error:
        return error
    return None


def _encode(prepared: Prepared, transformer: Any, lesson: Lesson | None) -> tuple[Any, Any, Any]:
    """Labelled training rows, what a lesson makes of them, and validation rows, as TransformerDatasets."""
    data, truth = prepared.data, prepared.truth
    labelled = transformer.preprocess_train(data.train.texts, truth["train"], verbose=0)
    val = transformer.preprocess_test(data.val.texts, truth["val"], verbose=0)
    train = lesson.rows(transformer, labelled) if lesson else labelled
    maxlen = transformer.maxlen or 0  # chosen by now
    prepared.lay_out_training(train, maxlen)
    prepared.lay_out(val, maxlen)
    return labelled, train, val


def _new_model(prepared: Prepared, transformer: Any, labelled: Any, lesson: Lesson | None, saved: SavedFit | None) -> Any:
    """The checkpoint with a head for the labels, compiled; a `probed` head is fitted on the labelled rows.

    A fit that was `saved` needs no head, as all weights are about to be replaced.
    """
    from halfbert.training import fit, head, workers

    options, multilabel = prepared.options, prepared.task == "multilabel"
    with tensorflow_setup.strategy(prepared.device).scope():
        model = transformer.get_classifier()
    loss = tasks.loss(prepared.task, options, prepared.truth["train"])
    objective = lesson.objective if lesson else None
    fit.compile_model(model, prepared.device, options.weight_decay, loss, objective, xla=options.xla, seed=options.seed)
    if saved and saved.progress is not None:
        return model
    if prepared.earlier:
        earlier.keep_head(model, prepared.earlier, prepared.data.labels)
    elif prepared.head == "probed":
        head.fit_head(model, labelled, prepared.device, multilabel, options.seed)
    workers.start_alike(model)
    return model


def _find_rate(prepared: Prepared, learner: Any, saved: SavedFit | None) -> RateFinder:
    """What the finder found, now or before the fit was resumed."""
    if saved and "finder" in saved.notes:
        return RateFinder(**saved.notes["finder"])
    from halfbert.training.rate_finder import find_learning_rate

    options = prepared.options
    finder = find_learning_rate(learner, learner.model, prepared.device, options.weight_decay, options.seed)
    if finder.suggestion is None:
        say(f"the learning-rate finder saw no falling loss; training with {prepared.rate:g}")
    else:
        say(f"the learning-rate finder suggests {finder.suggestion:.2g}")
    if saved:
        saved.notes["finder"] = asdict(finder)
    return finder


def _keeper(model: Any, transformer: Any, states: States) -> Callable[[int], None]:
    from halfbert.predictor import writing

    return lambda epoch: writing.keep_epoch(model, transformer, states.own_folder(), epoch)


def _announce(prepared: Prepared, train: Any, maxlen: int, parameters: int, rate: float) -> None:
    options = prepared.options
    windows.announce(train.encoded, maxlen, str(options.long))
    unit = "row" if train.encoded.windows is None else "window"
    say(
        f"training {model_name(str(options.model))} ({parameters / 1e6:.1f} M parameters) from {prepared.checkpoint.name} on "
        f"the {prepared.devices}: {counted(train.nsamples(), unit)}, {counted(prepared.epochs, 'epoch')}, "
        f"batches of {options.batch_size}, {prepared.head} head, one-cycle to {rate:.2g}"
    )


def _failure(prepared: Prepared, best_epoch: int | None, broken: Exception | None, discardable: bool) -> Failure | None:
    """What ended the fit before its last epoch; raised if nothing of the fit is of use."""
    from halfbert.training.fit import Diverged

    kept = steps.kept(prepared, best_epoch)
    failure: Failure | None = None
    if broken is not None:
        advice = "; try a smaller --lr" if isinstance(broken, Diverged) else ""
        failure = ResourceError(f"{broken}{advice}" + ("" if discardable else f"; {kept}"))
    if prepared.stop.signal_number is not None:
        failure = Stopped(prepared.stop.signal_number)
    if failure is not None and (best_epoch is None or discardable):
        raise failure
    if failure is not None:
        say(f"ended early; {kept}")
    return failure


def save(
    prepared: Prepared,
    fitted: Fitted,
    tested: Tested,
    folder: Path,
    results: Path,
    states: States,
    taught: Taught | None = None,
) -> Record:
    """Write the predictor with manifest and card into `folder`, and record, tables and pictures into `results`."""
    record = saving.record(prepared, fitted, tested, taught)
    record = save_predictor(prepared, fitted, record, folder, states, taught)
    record = replace(record, suggestions=advice.suggestions(record, prepared.options))
    saving.write(record, prepared, tested, results)
    saving.write_validated(prepared, fitted, results)
    saving.draw(record, prepared, fitted, tested, results)
    return record


def save_predictor(
    prepared: Prepared,
    fitted: Fitted,
    record: Record,
    folder: Path,
    states: States | None = None,
    taught: Taught | None = None,
) -> Record:
    """Write the predictor with manifest and card into `folder`; returns the record, which then has the folder's size."""
    from halfbert.models.ktrain_data import ktrain
    from halfbert.predictor import writing
    from halfbert.predictor.writing import EPOCHS

    writing.reserve_space(fitted.model, folder)
    predictor = ktrain.get_predictor(fitted.model, fitted.transformer.for_predictor())
    predictor.save(str(folder))
    if prepared.options.keep_epochs and states:
        storage.link_folder(states.folder / EPOCHS, folder / EPOCHS)
    saving.write_validated(prepared, fitted, folder)
    manifest = saving.with_summaries(saving.manifest(prepared, fitted, record, taught), prepared, fitted, folder)
    writing.finish(folder, manifest, model_card(manifest, record, prepared.options.output.name))
    return replace(record, size=Size(record.size.parameters, storage.folder_bytes(folder)))


def publish(options: MulticlassOptions | MultilabelOptions, record: Record, results: Path) -> Record:
    """Upload the saved predictor to the hub, and return the record, which then says where it is."""
    assert options.push_to_hub is not None
    say(f"uploading to the hub as {options.push_to_hub}")
    published = hub.push(options.output, record, options.push_to_hub, options.overwrite)
    record = replace(record, published=published)
    saving.write_record(record, results)
    say(f"uploaded: {hub.address(published)}")
    return record
