"""Record, manifest, tables and pictures of a training run, made from its values."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from halfbert.data.equality import digests, merged
from halfbert.output import plots, report_page, sheets, text
from halfbert.output import record as records
from halfbert.output.advice import LABEL_CONFLICT_COLUMNS, LABEL_CONFLICTS, LABEL_ERROR_COLUMNS, LABEL_ERRORS
from halfbert.output.record import Record, Size, Split, TextLengths, Timing
from halfbert.predictor import summarising
from halfbert.predictor.manifest import TOKENIZER, CheckpointUsed, DataFile, Manifest, TrainingData
from halfbert.scoring.drift import VALIDATION, Summaries
from halfbert.scoring.probabilities import probabilities_of
from halfbert.system import machine, storage
from halfbert.training import calibrating, mislabelled, tasks
from halfbert.training.values import Fitted, Prepared, Taught, Tested

REFERENCE = "keras"  # the model that was fitted answers the test rows
STEADY_AFTER_STEPS = 20


def record(prepared: Prepared, fitted: Fitted, tested: Tested, taught: Taught | None) -> Record:
    """The record of a run, but for the size of its folder."""
    options, checkpoint = prepared.options, prepared.checkpoint
    drawn = "10% of train, stratified, equal texts on one side"
    return Record(
        task=prepared.task,
        model=checkpoint.model,
        checkpoint=CheckpointUsed(machine.shareable(checkpoint.name), checkpoint.weights_sha256, checkpoint.note),
        options={**options_of(prepared), "maxlen": fitted.transformer.maxlen, "lr": fitted.rate},
        data=records.describe_data(prepared.data),
        split=Split(options.split_seed or 0, *("file" if file else drawn for file in (options.val, options.test))),
        epochs=fitted.history.epochs,
        best_epoch=fitted.history.best_epoch,
        stopped=None if tested.failure is None else str(tested.failure),
        learning_rate_finder=fitted.finder,
        test=tested.scores,
        engine=REFERENCE if tested.scores is not None else None,
        intervals=tested.intervals,
        tfidf=tested.tfidf,
        calibration=tested.calibration,
        resumed_at=fitted.history.resumed_at,
        continued=prepared.continued,
        timing=_timing(prepared, fitted, tested, taught.seconds if taught else None),
        size=Size(fitted.model.count_params(), 0),
        environment=machine.describe(prepared.devices, options.threads, options.precision, options.seed),
        distillation=taught.distillation if taught else None,
        windows=fitted.windows,
        validation_intervals=tasks.validation_intervals(prepared.task, prepared.truth["val"], fitted.val_logits),
        text_lengths=TextLengths.of(fitted.train.encoded.full_lengths, fitted.transformer.maxlen),
        label_errors=tested.label_errors,
        evidence=tested.evidence,
    )


def options_of(prepared: Prepared) -> dict[str, Any]:
    """Every option as it is in force, chosen defaults filled in, but for what a fit chooses."""
    chosen = {name: str(value) if isinstance(value, Path) else value for name, value in vars(prepared.options).items()}
    chosen = {name: machine.shareable(value) if isinstance(value, str) else value for name, value in chosen.items()}
    return {**chosen, "epochs": prepared.epochs, "lr": prepared.rate, "head": prepared.head}


def _timing(prepared: Prepared, fitted: Fitted, tested: Tested, teacher_seconds: float | None) -> Timing:
    """Seconds and rates; the steady ones after the first 20 steps of each epoch: no tracing, warm-up and validation."""
    parts = [ends[STEADY_AFTER_STEPS - 1 :] for ends in fitted.history.step_ends]
    steps = sum(len(ends) - 1 for ends in parts if ends)
    rate = _rate(steps * prepared.options.batch_size, sum(ends[-1] - ends[0] for ends in parts if ends))
    encoded = fitted.train.encoded
    texts = len(encoded.full_lengths)  # rows of the table, whatever their windows
    return Timing(
        setup_seconds=prepared.setup_seconds,
        preprocess_seconds=fitted.preprocess_seconds,
        fit_seconds=fitted.fit_seconds,
        evaluate_seconds=tested.seconds,
        teacher_seconds=teacher_seconds,
        fit_rows_per_second=_rate(texts * len(fitted.history.epochs), fitted.fit_seconds),
        steady_rows_per_second=rate and rate * texts / len(encoded.lengths),
        # Of the texts' own tokens, padding not counted: by it tables of short and of long texts compare.
        steady_tokens_per_second=rate and rate * float(encoded.lengths.mean()),
    )


def _rate(rows: int, seconds: float) -> float | None:
    return rows / seconds if seconds else None


def manifest(prepared: Prepared, fitted: Fitted, record: Record, taught: Taught | None) -> Manifest:
    """What the predictor's folder states about itself, but for its files."""
    data = prepared.data
    files = [DataFile(**file) for file in data.files]
    texts = digests(data.train.texts), digests(data.val.texts)
    if prepared.earlier:
        texts = merged(texts[0], prepared.earlier.train_texts), merged(texts[1], prepared.earlier.val_texts)
    if taught:
        texts = merged(texts[0], taught.train_texts), merged(texts[1], taught.val_texts)
    return Manifest(
        task=prepared.task,
        labels=data.labels,
        thresholds=fitted.thresholds,
        threshold_rule=getattr(prepared.options, "threshold", None),
        maxlen=fitted.transformer.maxlen,
        text_columns=data.text_columns,
        label_column=prepared.options.label_column,
        label_separator=getattr(prepared.options, "label_separator", None),
        model=record.model,
        checkpoint=record.checkpoint,
        versions=machine.versions(),
        data=TrainingData(files, prepared.options.split_seed, *texts, digests(data.test.texts)),
        best_epoch=record.best_epoch,
        test={**text.card_scores(record.test)} if record.test else None,
        stopped=record.stopped,
        teacher=record.distillation.teacher if record.distillation and record.distillation.kept == "student" else None,
        calibration=fitted.calibration,
        long=fitted.transformer.way,
        pooling=fitted.pooling,
    )


def with_summaries(stated: Manifest, prepared: Prepared, fitted: Fitted, folder: Path) -> Manifest:
    """The manifest with the summaries of the validation rows, tokenised as the predictor saved in `folder` does."""
    from tokenizers import Tokenizer

    if not np.isfinite(fitted.val_logits).all():
        return stated
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    words, tokens, unknown = summarising.describe(tokenizer, prepared.data.val.texts, stated).T
    probabilities = probabilities_of(fitted.val_logits, prepared.task).astype(np.float32)
    confidence = stated.reviewer().decide(probabilities).confidence
    labels = tasks.answers(prepared.task, probabilities, stated.thresholds).sum(axis=0)
    return replace(stated, summaries=Summaries.of(VALIDATION, words, tokens, confidence, labels, int(unknown.sum())))


def write(record: Record, prepared: Prepared, tested: Tested, folder: Path) -> None:
    """Write record, page, tables and answers into a results folder that is being made."""
    sheets.write_workbook(folder / "training.xlsx", {"epochs": record.epochs})
    storage.write_text(text.scores_table(record), folder / "report.txt")
    if tested.scores is not None:
        sheets.write_csv(folder / "errors.csv", tasks.ERROR_COLUMNS[record.task], tested.wrong_rows)
        records.write_answers(
            tested.probabilities, prepared.truth["test"], prepared.data.test.numbers, folder, tested.confidence
        )
    if tested.label_errors is not None:
        sheets.write_csv(folder / LABEL_ERRORS, LABEL_ERROR_COLUMNS, tested.mislabelled)
    if conflicts := mislabelled.conflicts(prepared.data, record.task):
        sheets.write_csv(folder / LABEL_CONFLICTS, LABEL_CONFLICT_COLUMNS, conflicts)
    write_record(record, folder)


def write_validated(prepared: Prepared, fitted: Fitted, folder: Path) -> None:
    """Write the answers to validation rows, for cascades, into a predictor's or a results folder; none without calibration."""
    if fitted.calibration is not None:
        of_rows = prepared.task, prepared.truth["val"], fitted.val_logits, getattr(prepared.options, "threshold", "")
        calibrating.validated(*of_rows, fitted.calibration, prepared.data.val.texts).write(folder)


def write_record(record: Record, folder: Path) -> None:
    """Write record.json, and report.html, which shows it and the tables of the folder."""
    records.write(record, folder)
    report_page.write(record, folder)


def draw(record: Record, prepared: Prepared, fitted: Fitted, tested: Tested, folder: Path) -> None:
    """Draw the run's pictures into its results folder; those of the test rows only if it was tested."""
    history, encoded, finder = fitted.history, fitted.train.encoded, fitted.finder
    plots.learning_curves(history.epochs, history.best_epoch, folder / "learning_curves.png", record.validation_intervals)
    maxlen, way = fitted.transformer.maxlen, fitted.transformer.way
    longer = float(np.mean(encoded.full_lengths > maxlen))
    plots.text_lengths(encoded.full_lengths, maxlen, longer, folder / "text_lengths.png", way)
    if finder is not None:
        plots.learning_rate(history.learning_rates, history.momenta, folder / "learning_rate.png")
    if finder is not None and any(loss is not None for loss in finder.losses):
        plots.learning_rate_finder(finder.rates, finder.losses, finder.suggestion, folder / "learning_rate_finder.png")
    (_draw_multilabel if prepared.task == "multilabel" else _draw_multiclass)(prepared, fitted, tested, folder)
    if tested.calibration is not None:
        _draw_calibration(prepared, fitted, tested, folder)


def _draw_multiclass(prepared: Prepared, fitted: Fitted, tested: Tested, folder: Path) -> None:
    if tested.scores is not None:
        plots.confusion(tested.scores["confusion"], prepared.data.labels, folder / "confusion.png")


def _draw_multilabel(prepared: Prepared, fitted: Fitted, tested: Tested, folder: Path) -> None:
    from halfbert.output import multilabel_plots

    labels, truth = prepared.data.labels, prepared.truth
    if len(labels) > 1:
        multilabel_plots.cooccurrence(truth["train"], labels, folder / "cooccurrence.png")
    if tested.scores is not None:
        of_test = truth["test"], tested.probabilities, np.array(fitted.thresholds), labels
        multilabel_plots.roc_and_precision_recall(*of_test, folder / "roc_precision_recall.png")
        multilabel_plots.f1_against_threshold(*of_test, folder / "f1_threshold.png")
        multilabel_plots.confusion_grid(tested.scores["confusion"], labels, folder / "confusion.png")


def _draw_calibration(prepared: Prepared, fitted: Fitted, tested: Tested, folder: Path) -> None:
    from halfbert.output import calibration_plots
    from halfbert.scoring.reliability import reliability

    assert fitted.calibration is not None and tested.calibration is not None
    task, truth, probabilities = prepared.task, prepared.truth["test"], tested.probabilities
    kinds = {"network": probabilities, "calibrated": fitted.calibration.apply(probabilities)}
    bins = {name: reliability(truth, each, task) for name, each in kinds.items()}
    calibration_plots.reliability(bins, task, folder / "reliability.png")
    curves = {
        risk: calibrating.risk_coverage(*calibrating.scores_and_losses(truth, probabilities, fitted.thresholds, risk))
        for risk in fitted.calibration.held_out
    }
    curves = {
        risk: curve for risk, curve in curves.items() if len(curve[0])
    }  # where no row has a loss, there is nothing to draw
    if curves:
        guarantees = [guarantee for guarantee in tested.calibration.promises if guarantee.risk in curves]
        calibration_plots.risk_coverage(curves, guarantees, folder / "risk_coverage.png")
