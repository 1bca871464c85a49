"""The steps of a training run that training and distillation share, before and after the fit."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from halfbert.data.phrases import counted
from halfbert.data.tables import LAYOUT, Data, Reading
from halfbert.models import checkpoints
from halfbert.options import TrainOptions, following
from halfbert.output import record as records
from halfbert.output import text as report
from halfbert.output.record import Record
from halfbert.predictor.manifest import MANIFEST
from halfbert.scoring import intervals, review
from halfbert.scoring.probabilities import probabilities_of
from halfbert.system import cluster, machine, storage, tensorflow_setup
from halfbert.system.console import Stopped, StopRequest, say
from halfbert.system.errors import HalfbertError, InputError, ResourceError
from halfbert.training import advice, calibrating, earlier, identity, resuming, tasks
from halfbert.training.earlier import Earlier
from halfbert.training.values import Fitted, Prepared, Tested

RESULTS_BYTES = 20_000_000  # record, tables and plots, generously
FEW_PROVING_TEXTS = 200  # where a GPU or TPU trained: its processor may be slow

# ---------------------------------------------------------------------------------------------------------------------------
# Before the fit


@contextlib.contextmanager
def locked_outputs(options: TrainOptions) -> Iterator[tuple[Path, Path]]:
    """The folders of the predictor and of the results, checked and locked; what a killed run left beside them is removed.

    Whatever the block changes for the whole process, such as random seeds, is restored afterwards.
    """
    storage.check_disjoint(options.output, options.results)
    overwrite = resuming.may_overwrite(options)
    storage.check_output(options.output, "--output", overwrite, marker=MANIFEST)
    storage.check_output(options.results, "--results", overwrite, marker=records.RECORD)
    # Resolved: a link stays where it is, and what it leads to is replaced.
    output, results = options.output.resolve(), options.results.resolve()
    with contextlib.ExitStack() as stack:
        for target in (output, results):
            stack.enter_context(storage.output_lock(target))
            storage.remove_leftovers(target)
        stack.enter_context(tensorflow_setup.global_settings_kept())
        yield output, results


def read(task: str, options: TrainOptions) -> Data:
    """As `read_rows`; what was found is said."""
    data = read_rows(task, options)
    say(report.data_line(data))
    for note in data.notes:
        say(f"  {note}")
    return data


def read_rows(task: str, options: TrainOptions) -> Data:
    """The tables, checked, split and sampled."""
    reader, columns = tasks.reader(task, options)
    names = ("train", "val", "test", "text_column", *LAYOUT, "drop_missing", "keep_leaks", "rows", "test_rows")
    group_column = getattr(options, "group_column", None)
    given = {name: getattr(options, name) for name in names}
    reading = Reading(**given, seed=options.split_seed or 0, group_column=group_column)
    return reader(reading, **columns)


def prepare(
    task: str,
    options: TrainOptions,
    data: Data,
    stop: StopRequest,
    started: float,
    find: Callable[[], checkpoints.Checkpoint] | None = None,
    before: Earlier | None = None,
) -> Prepared:
    """Load TensorFlow with the settings of the run, find the checkpoint (by `find`, or as the options say), check space.

    `before` is the predictor that the checkpoint was made of, with --from.
    """
    if options.resume and cluster.here().count > 1:
        raise InputError(f"--resume: for a run on one machine; unset {cluster.VARIABLE}, or start from the beginning")
    device = tensorflow_setup.prepare(options.device, options.threads, options.seed, options.deterministic, options.precision)
    replicas = tensorflow_setup.strategy(device).num_replicas_in_sync
    if options.batch_size % replicas:
        raise InputError(
            f"--batch-size {options.batch_size}: cannot be shared out evenly to {replicas} devices; "
            f"take a multiple of {replicas}"
        )
    if options.xla and replicas > 1:
        raise InputError(f"--xla: for one device, and there are {replicas}; leave it out")
    checkpoint = find() if find else checkpoints.find(str(options.model), options.checkpoint, options.keep)
    if checkpoint.note:
        say(checkpoint.note)
    recipe = checkpoint.recipe
    epochs = options.epochs or checkpoint.epochs(len(data.train))
    copies = 1 + (epochs if options.keep_epochs else 0)
    storage.check_free_space(options.output, copies * checkpoint.bytes + RESULTS_BYTES)
    storage.check_free_space(options.results, RESULTS_BYTES)
    return Prepared(
        task=task,
        options=options,
        stop=stop,
        data=data,
        truth={part: tasks.truth(task, rows, data.labels) for part, rows in data.parts()},
        checkpoint=checkpoint,
        device=device,
        epochs=epochs,
        rate=options.lr or recipe["learning_rate"],
        head="kept" if before else options.head or recipe["head"],
        earlier=before,
        continued=earlier.compared(before, data.labels) if before else None,
        setup_seconds=time.perf_counter() - started,
        replicas=replicas,
    )


def states(prepared: Prepared, output: Path, more: dict[str, Any] | None = None) -> resuming.States:
    """Where the fits are saved, beside `output`; `more` is what else the run depends on. Says what states are there."""
    options, in_force = prepared.options, {"epochs": prepared.epochs, "lr": prepared.rate, "head": prepared.head}
    rows = identity.of_data(prepared.data)
    depends_on = identity.of_run(options, rows, prepared.checkpoint, in_force, more or {})
    keep_free = (1 + (prepared.epochs if options.keep_epochs else 0)) * prepared.checkpoint.bytes + RESULTS_BYTES
    found = resuming.States(resuming.folder_of(output), depends_on, options.save_every, keep_free, options.resume)
    found.begin()
    return found


# ---------------------------------------------------------------------------------------------------------------------------
# After the fit


def kept(prepared: Prepared, epoch: int | None) -> str:
    """What a run that ended early leaves."""
    if not cluster.here().is_chief:
        return "the chief keeps what there is"
    return f"epoch {epoch} is kept as {prepared.options.output}" if epoch else "no epoch was complete, nothing is kept"


def leave_to_chief(*fits: Fitted) -> None:
    """End a worker that is not the chief, and so writes nothing. Raises what ended its fits early."""
    for fitted in fits:
        if fitted.failure is not None:
            raise fitted.failure
    say(f"{cluster.here()}: fitted; the chief tests and saves")


def test(prepared: Prepared, fitted: Fitted) -> Tested:
    """Test a fit that came to its end. A signal ends the test at once, and what was fitted is kept, untested."""
    if fitted.failure is not None:
        return Tested(fitted.failure)
    prepared.stop.gently = False
    try:
        prepared.stop.raise_if_set()
        tested = score_test(prepared, fitted)
    except (Stopped, ResourceError) as failure:
        say(f"the test ended early; {kept(prepared, fitted.history.best_epoch)}")
        return Tested(failure)
    finally:
        prepared.stop.gently = True
    return compared(prepared, fitted, tested)


def compared(prepared: Prepared, fitted: Fitted, tested: Tested) -> Tested:
    """The test with the intervals of its scores, TF-IDF's and what suggestions need, each only lost where it ends early."""
    from halfbert.training import evidence, mislabelled, tfidf

    answers = tasks.answers(prepared.task, tested.probabilities, fitted.thresholds)
    with aside(prepared, "TF-IDF"):
        tested = replace(tested, intervals=intervals.bootstraps(prepared.task, prepared.truth["test"] > 0, answers))
        if not prepared.options.no_tfidf:
            tested = replace(tested, tfidf=tfidf.beside(prepared, answers))
    if tested.tfidf:
        with aside(prepared, "the search for label errors"):
            found, lines = mislabelled.search(prepared, tested.tfidf.c)
            tested = replace(tested, label_errors=found, mislabelled=lines)
    with aside(prepared, "the search for what to do next"):
        tested = replace(tested, evidence=evidence.gather(prepared, fitted, tested))
    return tested


def score_test(prepared: Prepared, fitted: Fitted) -> Tested:
    """Answer the test rows and score the answers. Raises ResourceError if some are NaN or infinite."""
    from halfbert.training import fit

    task, data = prepared.task, prepared.data
    rows = fitted.transformer.preprocess_test(data.test.texts, prepared.truth["test"], verbose=0)
    prepared.lay_out(rows, fitted.transformer.maxlen)
    started = time.perf_counter()
    of_rows = fit.predict_logits(fitted.model, rows, "testing")
    logits = rows.encoded.pooled(of_rows, fitted.pooling, task == "multilabel")
    seconds = time.perf_counter() - started
    unknown = int((~np.isfinite(logits)).any(axis=1).sum())
    if unknown:
        raise ResourceError(f"the answers to {counted(unknown, 'test row')} are NaN or infinite; try a smaller --lr")
    probabilities = probabilities_of(logits, task)
    scores = records.finite(tasks.scores(task, prepared.truth, probabilities, fitted.thresholds, data.labels))
    of_test = prepared.truth["test"], probabilities, fitted.thresholds
    calibrated = fitted.calibration.apply(probabilities) if fitted.calibration else probabilities
    confidence = review.row_confidence(calibrated, tasks.answers(task, probabilities, fitted.thresholds))
    wrong = tasks.wrong_rows(task, data.test, *of_test, data.labels, confidence)
    calibration = calibrating.report(task, *of_test, fitted.calibration) if fitted.calibration else None
    return Tested(
        None, probabilities, confidence, scores, wrong, seconds, calibration=calibration, lengths=rows.encoded.full_lengths
    )


def prove_engines(prepared: Prepared, fitted: Fitted, tested: Tested) -> None:
    """Hold the engines' answers to held-out texts against Keras and time them, for `halfbert.load`; a failure costs only that.

    Those of the test rows as well: no label is looked at, and a few validation texts would tell little of a share of 99 %.
    Call it with the predictor saved, and its folder locked.
    """
    from halfbert.predictor import proving

    # Elsewhere, and in mixed precision, Keras answers once more: with the CPU, in float32.
    at_hand = prepared.device == "cpu" and fitted.model.compute_dtype == "float32" and tested.probabilities is not None
    answers = probabilities_of(fitted.val_logits, prepared.task), tested.probabilities
    prepared.stop.gently = False
    try:
        found = proving.prove(
            prepared.options.output.resolve(),
            prepared.data.val.texts + prepared.data.test.texts,
            proving.HELD_OUT,
            reference=np.concatenate(answers) if at_hand else None,
            most_texts=proving.MOST_TEXTS if prepared.device == "cpu" else FEW_PROVING_TEXTS,
            threads=prepared.options.threads,
        )
        say(report.agreement_line(found.agreement))
        say(found.choice)
    except (HalfbertError, OSError, Stopped) as failure:
        say(
            f"engines were not all compared with Keras and timed ({failure}); halfbert.load takes keras until they are compared"
        )
    prepared.stop.gently = True


def finish(prepared: Prepared, fitted: Fitted, tested: Tested, record: Record, states: resuming.States) -> None:
    """With predictor and results under their names: compare engines, say where all is, raise what ended the run early.

    The states go unless a signal ended the run: one that diverged would do so again.
    """
    options = prepared.options
    if not isinstance(tested.failure, Stopped):
        states.remove()
    if tested.failure is None:
        prove_engines(prepared, fitted, tested)
    command = following(options)
    then = machine.command_line(*command) if command else None
    say(report.closing(record, options.output, options.results, then))
    say(report.next_steps(advice.suggestions(record, options, shareable=False)))
    if tested.failure is not None:
        raise tested.failure
    prepared.stop.raise_if_set()  # a signal that waited until all was saved


@contextlib.contextmanager
def aside(prepared: Prepared, what: str) -> Iterator[None]:
    """Around what the predictor does not depend on: if it ends early, only it is lost, and a signal ends it at once."""
    prepared.stop.gently = False
    try:
        yield
    except (Stopped, HalfbertError) as ended:
        say(f"{what} ended early ({ended}); {prepared.options.output} is saved without it")
    finally:
        prepared.stop.gently = True
