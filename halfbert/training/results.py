"""What `TrainingRun` leaves behind, made from its state: record, manifest, tables and pictures."""

import math
from pathlib import Path

import msgspec
import numpy as np

from halfbert.data import equality
from halfbert.output import plots, sheets
from halfbert.output import record as records
from halfbert.output import text as report
from halfbert.output.record import Distillation, Record, Size, Split, Timing
from halfbert.predictor.manifest import CheckpointUsed, DataFile, Manifest, TeacherTested, TrainingData
from halfbert.system import machine, storage
from halfbert.training import tasks

STEADY_AFTER_STEPS = 20


def record(run, folder_bytes: int) -> Record:
    """The record of a training run."""
    return Record(
        task=run.task,
        model=run.options.model,
        checkpoint=CheckpointUsed(**_checkpoint(run)),
        options=_options(run),
        data=records.describe_data(run.data),
        split=_split(run),
        epochs=run.best.rows,
        best_epoch=run.best.best_epoch,
        stopped=None if run.failure is None else str(run.failure),
        learning_rate_finder=run.finder,
        test=run.scores,
        timing=_timing(run),
        size=Size(run.parameters, folder_bytes),
        environment=records.environment(run.device, run.options.threads, run.options.precision, run.options.seed),
        distillation=run.distillation and msgspec.convert(run.distillation, Distillation),
    )


def manifest(run) -> Manifest:
    """What a predictor folder states about itself (its `halfbert.json`, without the files)."""
    return Manifest(
        task=run.task,
        labels=run.data.labels,
        thresholds=run.thresholds,
        threshold_rule=getattr(run.options, "threshold", None),
        maxlen=run.maxlen,
        model=run.options.model,
        checkpoint=CheckpointUsed(**_checkpoint(run)),
        versions=machine.versions(),
        data=TrainingData(
            [DataFile(**file) for file in run.data.files],
            run.options.split_seed,
            equality.digests(run.data.train.texts),
            equality.digests(run.data.val.texts),
        ),
        best_epoch=run.best.best_epoch,
        test=run.scores and report.card_scores(run.scores),
        stopped=None if run.failure is None else str(run.failure),
        teacher=TeacherTested(**run.distillation["teacher"]) if run.distillation else None,
    )


def write(run, folder: Path) -> None:
    """Write record.json, training.xlsx, report.txt, errors.csv and answers.npz into a results folder that is being made."""
    records.write(run.record, folder)
    sheets.write_workbook(folder / "training.xlsx", {"epochs": run.record.epochs})
    storage.write_text(report.scores_table(run.record), folder / "report.txt")
    if run.scores is not None:
        sheets.write_csv(folder / "errors.csv", tasks.ERROR_COLUMNS[run.task], run.wrong_rows)
        records.write_answers(run.probabilities, run.data.test.numbers, folder)


def draw_multiclass(run, truth: np.ndarray | None, probabilities: np.ndarray | None, folder: Path) -> None:
    """Draw the pictures of a multiclass run into its results folder; those of the test rows only if it was tested."""
    from halfbert.scoring import multiclass as metrics

    draw_training(run, folder)
    if run.scores is not None:
        plots.confusion(run.scores["confusion"], run.data.labels, folder / "confusion.png")
        bins = metrics.reliability_bins(truth, probabilities)
        plots.reliability(bins, run.scores["expected_calibration_error"], folder / "reliability.png")


def draw_multilabel(run, truth: dict[str, np.ndarray], probabilities: np.ndarray | None, folder: Path) -> None:
    """Draw the pictures of a multi-label run into its results folder; those of the test rows only if it was tested."""
    from halfbert.output import multilabel_plots

    draw_training(run, folder)
    labels = run.data.labels
    if len(labels) > 1:
        multilabel_plots.cooccurrence(truth["train"], labels, folder / "cooccurrence.png")
    if run.scores is not None:
        of_test = truth["test"], probabilities, np.array(run.thresholds), labels
        multilabel_plots.roc_and_precision_recall(*of_test, folder / "roc_precision_recall.png")
        multilabel_plots.f1_against_threshold(*of_test, folder / "f1_threshold.png")
        multilabel_plots.confusion_grid(run.scores["confusion"], labels, folder / "confusion.png")


def draw_training(run, folder: Path) -> None:
    """Draw what every training run has: learning curves, learning rate, text lengths, the finder's curve if it ran."""
    plots.learning_curves(run.best.rows, run.best.best_epoch, folder / "learning_curves.png")
    plots.learning_rate(run.best.learning_rates, run.best.momenta, folder / "learning_rate.png")
    encoded = run.encoded
    plots.text_lengths(encoded.full_lengths, run.maxlen, encoded.truncated_share, folder / "text_lengths.png")
    if run.finder is not None:
        plots.learning_rate_finder(
            run.finder.rates, run.finder.losses, run.finder.suggestion, folder / "learning_rate_finder.png"
        )


def _checkpoint(run) -> dict:
    checkpoint = run.checkpoint
    name = machine.shareable(checkpoint.name)
    return {"name": name, "weights_sha256": checkpoint.weights_sha256, "note": checkpoint.note}


def _options(run) -> dict:
    """Every option as it was in force, chosen defaults filled in."""
    chosen = {name: str(value) if isinstance(value, Path) else value for name, value in vars(run.options).items()}
    chosen = {name: machine.shareable(value) if isinstance(value, str) else value for name, value in chosen.items()}
    return {**chosen, "maxlen": run.maxlen, "epochs": run.epochs, "lr": run.rate, "head": run.head}


def _split(run) -> Split:
    drawn = "10% of train, stratified, equal texts on one side"
    return Split(
        run.options.split_seed, *("file" if given is not None else drawn for given in (run.options.val, run.options.test))
    )


def _timing(run) -> Timing:
    seconds = {name: round(value, 3) for name, value in run.timing.items()}
    rows = len(run.encoded.full_lengths) * len(run.best.rows)
    return Timing(**seconds, fit_rows_per_second=rows / run.timing["fit_seconds"], **_steady(run))


def _steady(run) -> dict:
    """Rows and tokens a second after the first 20 steps of each epoch: without tracing, warm-up and validation."""
    step_ends = [ends[STEADY_AFTER_STEPS - 1 :] for ends in run.best.step_ends]
    seconds = sum(ends[-1] - ends[0] for ends in step_ends if len(ends) > 1)
    steps = sum(len(ends) - 1 for ends in step_ends if len(ends) > 1)
    rate = steps * run.options.batch_size / seconds if seconds else None
    rate = rate if rate is None or math.isfinite(rate) else None
    # Of the texts' own tokens, padding not counted: by it tables of short and of long texts compare.
    tokens = rate and rate * float(run.encoded.lengths.mean())
    return {"steady_rows_per_second": rate, "steady_tokens_per_second": tokens}
