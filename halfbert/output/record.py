"""What a run leaves behind for people and for the next script: record, manifest, tables and pictures."""

import csv
import io
import json
import math
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from halfbert.data.tables import Data, Rows, spreadsheet_safe
from halfbert.output import plots
from halfbert.output import text as report
from halfbert.system import machine, storage
from halfbert.system.errors import ArtefactError

SCHEMA_VERSION = 1
RECORD = "record.json"
ANSWERS = "answers.npz"
STEADY_AFTER_STEPS = 20
ERROR_COLUMNS = {
    "multiclass": ("file", "row", "text", "truth", "answer", "probability", "loss"),
    "multilabel": ("file", "row", "text", "truth", "answer", "missed", "invented", "loss"),
}


def read(folder: Path) -> dict:
    """The record of a results folder. Raises ArtefactError where it is none, or of a schema that is not known here."""
    file = folder / RECORD
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtefactError(f"{file}: no record of a run ({error})") from error
    if not isinstance(record, dict) or record.get("schema_version") != SCHEMA_VERSION:
        raise ArtefactError(f"{file}: a record of another schema than {SCHEMA_VERSION}")
    return record


def record(run, folder_bytes: int) -> dict:
    """The record of a training run, as DESIGN's contract lists it; every value is plain JSON."""
    return {
        "schema_version": SCHEMA_VERSION,
        "task": run.task,
        "model": run.options.model,
        "checkpoint": _checkpoint(run),
        "options": _options(run),
        "data": describe_data(run.data),
        "split": _split(run),
        "epochs": run.best.rows,
        "best_epoch": run.best.best_epoch,
        "stopped": None if run.failure is None else str(run.failure),
        "learning_rate_finder": run.finder,
        "test": run.scores,
        "timing": _timing(run),
        "size": {"parameters": run.parameters, "folder_bytes": folder_bytes},
        "environment": _environment(run),
        **({"distillation": run.distillation} if run.distillation else {}),
    }


def manifest(run) -> dict:
    """What a predictor folder says of itself (its `halfbert.json`, without format version and files)."""
    return {
        "task": run.task,
        "labels": run.data.labels,
        "thresholds": run.thresholds,
        "threshold_rule": getattr(run.options, "threshold", None),
        "maxlen": run.maxlen,
        "model": run.options.model,
        "checkpoint": _checkpoint(run),
        "versions": machine.versions(),
        "data": {"files": run.data.files, "split_seed": run.options.split_seed},
        "best_epoch": run.best.best_epoch,
        "test": run.scores and report.card_scores(run.scores),
        "stopped": None if run.failure is None else str(run.failure),
        **({"teacher": run.distillation["teacher"]} if run.distillation else {}),
    }


def write(run, folder: Path) -> None:
    """Write record.json, training.xlsx, report.txt, errors.csv and answers.npz into a results folder that is being made."""
    storage.write_json(run.record, folder / RECORD)
    _write_epochs(run.record["epochs"], folder / "training.xlsx")
    storage.write_text(report.scores_table(run.record), folder / "report.txt")
    if run.scores is not None:
        storage.write_text(_errors_csv(run.wrong_rows, ERROR_COLUMNS[run.task]), folder / "errors.csv")
        write_answers(run.probabilities, run.data.test.numbers, folder)


def write_answers(probabilities: np.ndarray, numbers: Sequence[int], folder: Path) -> None:
    """Write ANSWERS: the (rows, labels) `probabilities` of the test rows, and the rows' `numbers` in their file; no texts."""
    with open(folder / ANSWERS, "wb") as stream:
        np.savez_compressed(stream, probabilities=probabilities.astype(np.float32), numbers=np.array(numbers))


def read_answers(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """What `write_answers` wrote, in its order. Raises ArtefactError where it is damaged or not there."""
    try:
        with np.load(folder / ANSWERS, allow_pickle=False) as answers:
            return answers["probabilities"], answers["numbers"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ArtefactError(f"{folder / ANSWERS}: no answers of a run ({error})") from error


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
    plots.text_lengths(encoded.full_lengths, run.maxlen, encoded.cut_share, folder / "text_lengths.png")
    if run.finder is not None:
        plots.learning_rate_finder(**run.finder, path=folder / "learning_rate_finder.png")


def wrong_rows(rows: Rows, truth: np.ndarray, probabilities: np.ndarray, labels: list[str]) -> list[dict]:
    """The rows whose answer is wrong, worst first: where they stand, text, truth, answer, its probability, loss in nats."""
    answers = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(answers != truth)
    losses = -np.log(np.clip(probabilities[np.arange(len(truth)), truth], 1e-15, 1.0))
    return [
        {
            "file": Path(rows.file).name,
            "row": rows.numbers[index],
            "text": rows.texts[index],
            "truth": labels[truth[index]],
            "answer": labels[answers[index]],
            "probability": f"{probabilities[index, answers[index]]:.4f}",
            "loss": f"{losses[index]:.4f}",
        }
        for index in wrong[np.argsort(-losses[wrong], kind="stable")]
    ]


def wrong_multilabel_rows(
    rows: Rows, truth: np.ndarray, probabilities: np.ndarray, thresholds: np.ndarray, labels: list[str]
) -> list[dict]:
    """The rows with a missed or invented label, worst first: where they stand, text, labels, loss (mean over labels, nats)."""
    answers, true = probabilities >= thresholds, truth > 0
    wrong = np.flatnonzero((answers != true).any(axis=1))
    losses = -np.log(np.clip(np.where(true, probabilities, 1 - probabilities), 1e-15, 1.0)).mean(axis=1)

    def named(chosen: np.ndarray) -> str:
        return "; ".join(labels[number] for number in np.flatnonzero(chosen))

    return [
        {
            "file": Path(rows.file).name,
            "row": rows.numbers[index],
            "text": rows.texts[index],
            "truth": named(true[index]),
            "answer": named(answers[index]),
            "missed": named(true[index] & ~answers[index]),
            "invented": named(answers[index] & ~true[index]),
            "loss": f"{losses[index]:.4f}",
        }
        for index in wrong[np.argsort(-losses[wrong], kind="stable")]
    ]


def _errors_csv(rows: list[dict], columns: Sequence[str]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: spreadsheet_safe(value) if isinstance(value, str) else value for name, value in row.items()})
    return stream.getvalue()


def _write_epochs(epochs: list[dict], path: Path) -> None:
    import pandas as pd

    pd.DataFrame(epochs).to_excel(path, index=False, sheet_name="epochs")


def _checkpoint(run) -> dict:
    checkpoint = run.checkpoint
    name = machine.shareable(checkpoint.name)
    return {"name": name, "weights_sha256": checkpoint.weights_sha256, "note": checkpoint.note}


def _options(run) -> dict:
    """Every option as it was in force, chosen defaults filled in."""
    chosen = {name: str(value) if isinstance(value, Path) else value for name, value in vars(run.options).items()}
    chosen = {name: machine.shareable(value) if isinstance(value, str) else value for name, value in chosen.items()}
    return {**chosen, "maxlen": run.maxlen, "epochs": run.epochs, "lr": run.rate, "head": run.head}


def describe_data(data: Data) -> dict:
    counts = dict(data.counts)
    return {
        "files": data.files,
        "rows": {part: len(rows) for part, rows in data.parts()},
        "labels": data.labels,
        "dropped": counts.pop("dropped_missing"),
        "leaks": {"dropped": counts.pop("leaks_dropped", 0), "kept": counts.pop("leaks_kept", 0)},
        **counts,
    }


def _split(run) -> dict:
    given = {part: getattr(run.options, part) is not None for part in ("train", "val", "test")}
    return {
        "seed": run.options.split_seed,
        **{part: "file" if given[part] else "10% of train, stratified, equal texts on one side" for part in ("val", "test")},
    }


def _timing(run) -> dict:
    seconds = {"evaluate_seconds": None, **{name: round(value, 3) for name, value in run.timing.items()}}
    rows = len(run.encoded.full_lengths) * len(run.best.rows)
    return {**seconds, "fit_rows_per_second": rows / run.timing["fit_seconds"], **_steady(run)}


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


def _environment(run) -> dict:
    options = run.options
    return machine.describe(run.device, options.threads, options.precision, options.seed)
