"""Text for people: lines on the console, and report.txt."""

from pathlib import Path

from halfbert.data.tables import Data
from halfbert.output.record import Distillation, Record
from halfbert.output.words import columns, padded, readable, shortened
from halfbert.predictor.manifest import Agreement
from halfbert.scoring import intervals as statistics


def _names(*keys: str) -> dict[str, str]:
    exceptions = {"log_loss": "log loss (nats)", "label_ranking_average_precision": "label-ranking average precision"}
    return {key: exceptions.get(key, readable(key)) for key in keys}


ANSWER_NAMES = _names("micro_f1", "macro_f1", "weighted_f1", "samples_f1", "hamming_loss", "hamming_score", "exact_match")
RANKING_NAMES = _names("mean_roc_auc", "mean_average_precision", "label_ranking_average_precision", "log_loss")
SCORE_NAMES = _names(
    *("accuracy", "balanced_accuracy", "macro_f1", "micro_f1", "weighted_f1", "log_loss", "expected_calibration_error")
)
LONGEST_CONSOLE_TABLE = 12


def data_line(data: Data) -> str:
    """The files that were read, the rows of each part, the labels."""
    names = {"val": "validation"}
    parts = ", ".join(f"{len(rows):,} {names.get(part, part)}" for part, rows in data.parts())
    files = ", ".join(file["name"] for file in data.files)
    labels = ", ".join(map(shortened, data.labels[:8])) + (", …" if len(data.labels) > 8 else "")
    return f"{files}: {parts} rows, {len(data.labels)} labels ({labels})"


def scores_table(record: Record) -> str:
    """report.txt: the scores of the test beside those of a trivial model, and a line per label."""
    test = record.test
    if test is None:
        return f"No test: the run ended early ({record.stopped}).\n"
    lines = _multilabel_scores(test) if record.task == "multilabel" else _multiclass_scores(test)
    taught = distillation_lines(record.task, test, record.distillation)
    return "\n".join([f"{record.data.rows.test:,} test rows", "", *lines, "", *taught, *_per_label(test["per_label"]), ""])


def _multiclass_scores(test: dict) -> list[str]:
    always = test["commonest_label"]
    lines = [f"{'':30}{'model':>10}  always {shortened(always['label'])!r}"]
    for key, name in SCORE_NAMES.items():
        baseline = f"{always[key]:>10.4f}" if key in always else ""
        lines.append(f"{name:30}{test[key]:>10.4f}{baseline}")
    return lines


def _multilabel_scores(test: dict) -> list[str]:
    lines = [f"{'':34}{'at 0.5':>14}{'at thresholds':>15}{'no label ever':>15}"]
    for key, name in ANSWER_NAMES.items():
        at_half, chosen, none = (_score(test[which][key]) for which in ("at_half", "at_thresholds", "no_label"))
        lines.append(f"{name:34}{at_half:>14}{chosen:>15}{none:>15}")
    lines.append("")
    if test["labels_scored"] == 0:
        lines.append("–: not measurable, as every label stands on all test rows or on none")
    for key, name in RANKING_NAMES.items():
        of_labels = f"  over {test['labels_scored']} labels" if key.startswith("mean") else ""
        lines.append(f"{name:34}{_score(test[key]):>14}{of_labels}")
    return lines


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


PER_LABEL = {  # heading of each column that a task's table has
    "threshold": "threshold",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "f1_at_half": "F1 at 0.5",
    "roc_auc": "ROC AUC",
    "average_precision": "av. prec.",
}


def _per_label(rows: list[dict]) -> list[str]:
    labels = [shortened(row["label"]) for row in rows]
    width = max(map(columns, ["label", *labels])) + 2
    scores = [key for key in PER_LABEL if key in rows[0]]
    lines = [f"{'label':{width}}{''.join(f'{PER_LABEL[key]:>11}' for key in scores)}{'rows':>8}"]
    for label, row in zip(labels, rows, strict=True):
        lines.append(f"{padded(label, width)}{''.join(f'{_score(row[key]):>11}' for key in scores)}{row['support']:>8,}")
    return lines


def card_scores(test: dict) -> dict[str, float]:
    """The scores in manifest and card: for multi-label runs those at the chosen thresholds."""
    return {key: value for key, value in {**test, **test.get("at_thresholds", {})}.items() if isinstance(value, float)}


def closing(record: Record, output: Path, results: Path) -> str:
    """The last lines of a run: scores, folders, how to load the predictor."""
    lines = []
    if record.test is not None:
        table, labels = scores_table(record).splitlines(), len(record.data.labels)
        lines += ["", *(table if labels <= LONGEST_CONSOLE_TABLE else table[: -labels - 2]), ""]
        if unlearned := _unlearned(record.test):
            lines.append(f"warning: no better than {unlearned}: try another --lr, or more --epochs")
    seconds, rows = record.timing.fit_seconds or 0.0, record.timing.fit_rows_per_second or 0.0
    lines += [
        f"epoch {record.best_epoch} of {len(record.epochs)} kept; fitted in {seconds:.0f} s ({rows:.0f} rows/s)",
        f"predictor: {output}   record, tables and plots: {results}",
        "load it:",
        '    import os; os.environ["TF_USE_LEGACY_KERAS"] = "1"; import numpy; numpy.Inf = numpy.inf; import ktrain',
        f'    predictor = ktrain.load_predictor("{output.as_posix()}"); predictor.predict("a text")',
    ]
    return "\n".join(lines)


def agreement_line(figures: dict[str, Agreement]) -> str:
    """How the engines' answers compare with Keras'; `figures` as `proving.prove` returns them."""
    first = next(iter(figures.values()))
    shares = ", ".join(f"{engine} {agreement.equal_decisions:.2%}" for engine, agreement in figures.items())
    return f"engines that decide as Keras does, of {first.rows:,} {first.texts}: {shares}"


def _unlearned(scores: dict) -> str | None:
    """The trivial model that this one is no better than; None if it learned something."""
    if "no_label" in scores:
        area = scores["mean_roc_auc"]
        return "chance (mean ROC AUC 0.5)" if area is not None and area <= 0.5 else None
    always = scores["commonest_label"]
    return None if scores["macro_f1"] > always["macro_f1"] else f"always predicting {shortened(always['label'])!r}"


def distillation_lines(task: str, scores: dict, distillation: Distillation | None) -> list[str]:
    """How much of its teacher's scores a distilled student retains, and its gain over a fit without the teacher."""
    if distillation is None or not distillation.teacher.test or not scores:
        return []
    of_teacher, test = distillation.teacher.test, card_scores(scores)
    retained = [
        f"{readable(name)} {of:.4f}" + (f", of which the student keeps {test[name] / of:.1%}" if of else "")
        for name in statistics.COMPARED[task]
        if name in test and (of := of_teacher.get(name)) is not None
    ]
    if not retained:  # no test row has a label
        return []
    also = f" (also on {distillation.unlabelled.used:,} texts without labels)" if distillation.unlabelled else ""
    lines = [f"the teacher, {distillation.teacher.name}{also}: {', '.join(retained)}"]
    for name, worth in (distillation.worth or {}).items():
        lines.append(
            f"without the teacher: {readable(name)} {worth.second:.4f}; the teacher's gain {worth.difference:+.4f} "
            f"({worth.level:.0%} interval {worth.low:+.4f} to {worth.high:+.4f}, paired bootstrap over "
            f"{worth.rows:,} test rows)"
        )
    return [*lines, ""]
