"""Text for people: lines on the console, and report.txt."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from halfbert.data.phrases import counted
from halfbert.data.tables import Data
from halfbert.output import guarantees
from halfbert.output.advice import Suggestion
from halfbert.output.folds import SCORES, CrossValidation
from halfbert.output.record import REPORT, Distillation, Record
from halfbert.output.words import columns, model_name, padded, readable, shortened
from halfbert.predictor.manifest import Agreement
from halfbert.scoring import intervals as statistics
from halfbert.scoring.intervals import Difference, Interval


def _names(*keys: str) -> dict[str, str]:
    exceptions = {"log_loss": "log loss (nats)", "label_ranking_average_precision": "label-ranking average precision"}
    return {key: exceptions.get(key, readable(key)) for key in keys}


ANSWER_NAMES = _names("micro_f1", "macro_f1", "weighted_f1", "samples_f1", "hamming_loss", "hamming_score", "exact_match")
RANKING_NAMES = _names("mean_roc_auc", "mean_average_precision", "label_ranking_average_precision", "log_loss")
SCORE_NAMES = _names(
    *("accuracy", "balanced_accuracy", "macro_f1", "micro_f1", "weighted_f1", "log_loss", "expected_calibration_error")
)
FOLD_NAMES = _names(*dict.fromkeys(name for names in SCORES.values() for name in names))
LONGEST_CONSOLE_TABLE = 12


def data_line(data: Data) -> str:
    """The files that were read, the rows of each part, the labels."""
    names = {"val": "validation"}
    parts = ", ".join(f"{len(rows):,} {names.get(part, part)}" for part, rows in data.parts())
    files = ", ".join(file["name"] for file in data.files)
    labels = ", ".join(map(shortened, data.labels[:8])) + (", …" if len(data.labels) > 8 else "")
    return f"{files}: {parts} rows, {counted(len(data.labels), 'label')} ({labels})"


def scores_table(record: Record) -> str:
    """report.txt: the scores of the test beside those of a trivial model, and a line per label."""
    test = record.test
    if test is None:
        return f"No test: the run ended early ({record.stopped}).\n"
    lines = (_multilabel_scores if record.task == "multilabel" else _multiclass_scores)(record, test)
    more = distillation_lines(record.task, test, record.distillation)
    if tfidf := tfidf_lines(record):
        more = [*tfidf, "", *more]
    more += cross_validation_lines(record.cross_validation)
    steps = [*next_steps(record.suggestions).splitlines(), ""] if record.suggestions else []
    parts = [*lines, "", *more, *guarantees.lines(record.calibration), *steps, *_per_label(test["per_label"]), ""]
    answered = f", answered by {record.engine}" if record.engine else ""
    return "\n".join([f"{counted(record.data.rows.test, 'test row')}{answered}", "", *parts])


def _multiclass_scores(record: Record, test: dict) -> list[str]:
    always = test["commonest_label"]
    return _table(
        SCORE_NAMES,
        {
            "model": [_score(test[key]) for key in SCORE_NAMES],
            **certainty(record, SCORE_NAMES),
            f"always {shortened(always['label'])!r}": [_score(always[key]) if key in always else "" for key in SCORE_NAMES],
        },
    )


def _multilabel_scores(record: Record, test: dict) -> list[str]:
    of_answers = {
        which: [_score(test[which][key]) for key in ANSWER_NAMES] for which in ("at_half", "at_thresholds", "no_label")
    }
    answered = {"at 0.5": of_answers["at_half"], "at thresholds": of_answers["at_thresholds"]}
    lines = _table(ANSWER_NAMES, {**answered, **certainty(record, ANSWER_NAMES), "no label ever": of_answers["no_label"]})
    lines.append("")
    if test["labels_scored"] == 0:
        lines.append("–: not measurable, as every label stands on all test rows or on none")
    of_labels = [f"over {counted(test['labels_scored'], 'label')}" if key.startswith("mean") else "" for key in RANKING_NAMES]
    ranked = {"model": [_score(test[key]) for key in RANKING_NAMES], **certainty(record, RANKING_NAMES), "": of_labels}
    return lines + _table(RANKING_NAMES, ranked)


def certainty(record: Record, names: Iterable[str]) -> dict[str, list[str]]:
    """Columns beside the scores of these names: their interval, TF-IDF's score and its interval, as far as they are known."""
    level, tfidf = f"{statistics.LEVEL * 100:.0f} % interval", record.tfidf
    found = {level: [_interval(record.intervals, key) for key in names]}
    if tfidf is not None:
        found["TF-IDF"] = [_score(tfidf.test.get(key)) for key in names]
        found[f"its {level}"] = [_interval(tfidf.intervals, key) for key in names]
    return {heading: cells for heading, cells in found.items() if any(cells)}


def _interval(known: dict[str, Interval] | None, key: str) -> str:
    return f"{known[key].low:.3f} to {known[key].high:.3f}" if known and key in known else ""


def _table(names: dict[str, str], cells: dict[str, list[str]]) -> list[str]:
    """Lines of the names and, by their headings, right-aligned columns of cells."""
    lines = [["", *names.values()], *([heading, *column] for heading, column in cells.items())]
    widths = [max(map(columns, column)) for column in lines]
    return [
        "  ".join(
            padded(cell, width) if number == 0 else " " * (width - columns(cell)) + cell
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in zip(*lines, strict=True)
    ]


def tfidf_lines(record: Record) -> list[str]:
    """What TF-IDF was, and by how much the model is better; nothing where it was not fitted."""
    tfidf = record.tfidf
    if tfidf is None:
        return []
    gains = ", ".join(f"{readable(name)} {span(gain)}" for name, gain in tfidf.gain.items())
    sample = f" {tfidf.rows:,} of the" if tfidf.rows < record.data.rows.train else " the same"
    return [
        f"TF-IDF: logistic regression on words and pairs of{sample} training rows (C = {tfidf.c:g}, {tfidf.seconds:.1f} s)",
        *([f"the model's score less TF-IDF's, paired bootstrap: {gains}"] if gains else []),
    ]


def cross_validation_line(found: CrossValidation | None) -> str:
    """The mean scores over the folds with their intervals; empty where there are none."""
    if found is None or not found.scores:
        return ""
    level = f"{statistics.LEVEL * 100:.0f} % interval"
    scores = [f"{FOLD_NAMES[name]} {of.mean:.3f} ({level} {of.low:.3f} to {of.high:.3f})" for name, of in found.scores.items()]
    return f"{found.folds}-fold cross-validation of {found.rows:,} rows: {', '.join(scores)}"


def cross_validation_lines(found: CrossValidation | None) -> list[str]:
    """Mean, spread and interval of the scores over the folds, and those of each fold."""
    if found is None:
        return []
    lines = [f"{found.folds}-fold cross-validation of {found.rows:,} rows, each answered by a model that did not learn from it"]
    if found.stopped:
        lines.append(f"ended early, in {found.stopped}")
    names = list(found.scores) or list(found.finished[0].scores if found.finished else {})
    heads = ["mean", "standard deviation", f"{statistics.LEVEL * 100:.0f} % interval"] if found.scores else []
    heads += [f"fold {number}" for number in range(1, len(found.finished) + 1)]
    cells = {}
    for name in names:
        spread = found.scores.get(name)
        certain = [_score(spread.mean), _score(spread.deviation), f"{spread.low:.3f} to {spread.high:.3f}"] if spread else []
        cells[FOLD_NAMES[name]] = certain + [_score(fold.scores.get(name)) for fold in found.finished]
    return [*lines, "", *_table({head: head for head in heads}, cells), ""]


def span(gain: Difference) -> str:
    """A difference with its interval."""
    return f"{gain.difference:+.4f} ({gain.level * 100:.0f} % interval {gain.low:+.4f} to {gain.high:+.4f})"


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


def closing(record: Record, output: Path, results: Path, then: str | None = None) -> str:
    """The last lines of a run: scores, folders, how to use the predictor, and the command to run `then`."""
    lines = []
    if record.test is not None:
        table, labels = scores_table(replace(record, calibration=None, suggestions=[])).splitlines(), len(record.data.labels)
        lines += ["", *(table if labels <= LONGEST_CONSOLE_TABLE else table[: -labels - 2]), ""]
        if trivial := no_better_than(record.test):
            lines.append(f"warning: no better than {trivial}: try another --lr, or more --epochs")
        if behind := _behind_tfidf(record):
            lines.append(behind)
        if _control_is_better(record.distillation):
            lines.append(
                "warning: the control is better on validation, and the student is saved: --save better saves the control"
            )
    if guarantee := guarantees.console_line(record.calibration):
        lines.append(guarantee)
    seconds, rows = record.timing.fit_seconds or 0.0, record.timing.fit_rows_per_second or 0.0
    lines += [
        f"epoch {record.best_epoch} of {len(record.epochs)} kept; fitted in {seconds:.0f} s ({rows:.0f} rows/s)",
        f"predictor: {output}   record, tables and plots: {results}",
        f"read about it: {results / REPORT}",
        f"use it: import halfbert; halfbert.load({_quoted(output.as_posix())}).predict({example(record.data.text_columns)})",
    ]
    if then:
        other = model_name("distilbert" if record.model == "bert" else "bert")
        compare = f"compare it with {other} and {model_name('tfidf')}"
        lines.append(f"{'time it beside its teacher' if record.distillation else compare}: {then}")
    return "\n".join(lines)


def next_steps(suggestions: Sequence[Suggestion]) -> str:
    """What to do next, with why and how; that there is no evidence for anything where there is none."""
    if not suggestions:
        return "what to do next: nothing in this run says"
    lines = ["what to do next:"]
    for number, suggestion in enumerate(suggestions, 1):
        lines += [f"  {number}. {suggestion.what}: {suggestion.why}"]
        lines += [f"     {suggestion.command}"] if suggestion.command else []
    return "\n".join(lines)


def example(text_columns: Sequence[str]) -> str:
    """What `predict` of a loaded predictor may be given: a text, or a row of the names of several text columns."""
    return f"[({', '.join(map(_quoted, text_columns))})]" if len(text_columns) > 1 else '"a text"'


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def agreement_line(figures: dict[str, Agreement]) -> str:
    """How the engines' answers compare with Keras'; `figures` as `proving.prove` returns them."""
    first = next(iter(figures.values()))
    shares = ", ".join(f"{engine} {agreement.equal_decisions:.2%}" for engine, agreement in figures.items())
    return f"engines that decide as Keras does, of {first.rows:,} {first.texts}: {shares}"


def no_better_than(scores: dict) -> str | None:
    """The trivial model that this one is no better than; None if it learned something."""
    if "no_label" in scores:
        area = scores["mean_roc_auc"]
        return "chance (mean ROC AUC 0.5)" if area is not None and area <= 0.5 else None
    always = scores["commonest_label"]
    return None if scores["macro_f1"] > always["macro_f1"] else f"always predicting {shortened(always['label'])!r}"


def _behind_tfidf(record: Record) -> str | None:
    """A line where TF-IDF has the higher macro F1, which also decides a comparison; None where it has not."""
    gain = record.tfidf.gain.get("macro_f1") if record.tfidf else None
    if gain is None or gain.difference >= 0:
        return None
    scores = f"macro F1 {gain.second:.4f} against {gain.first:.4f}"
    found = f"is better ({scores})" if gain.high < 0 else f"scores higher ({scores}; open on {counted(gain.rows, 'test row')})"
    larger = "" if record.model == "bert" else "--model bert, "
    hint = "texts for --unlabelled, more --epochs" if record.distillation else f"{larger}more --epochs, another --checkpoint"
    return f"warning: TF-IDF {found}: try {hint}, or more labelled rows"


def distillation_lines(task: str, scores: dict, distillation: Distillation | None) -> list[str]:
    """How much of its teacher's scores a student retains, its gain over a fit without the teacher, and which one is kept."""
    if distillation is None or not distillation.teacher.test or not scores:
        return []
    teacher, of_teacher = distillation.teacher, distillation.teacher.test
    test = distillation.student.test if distillation.student else card_scores(scores)
    names = [name for name in statistics.COMPARED[task] if name in test and of_teacher.get(name) is not None]
    if not names:  # no test row has a label
        return []
    retained = [
        f"{readable(name)} {of:.4f}" + (f", of which the student keeps {(test[name] or 0) / of:.1%}" if of else "")
        for name in names
        if (of := of_teacher[name]) is not None
    ]
    also = f" (also on {counted(distillation.unlabelled.used, 'text')} without labels)" if distillation.unlabelled else ""
    lines = [f"the teacher, {teacher.name}{also}: {', '.join(retained)} (teacher by {teacher.engine}, student by keras)"]
    if own := [f"{readable(name)} {score:.4f}" for name in names if (score := (teacher.own_test or {}).get(name)) is not None]:
        lines.append(f"the teacher's own training run measured, by keras on the test rows of that run: {', '.join(own)}")
    for name, worth in (distillation.worth or {}).items():
        lines.append(
            f"without the teacher: {readable(name)} {worth.second:.4f}; the teacher's gain {span(worth)}, "
            f"paired bootstrap over {counted(worth.rows, 'test row')}"
        )
    return [*lines, *_kept_lines(distillation), ""]


def _kept_lines(distillation: Distillation) -> list[str]:
    """Student and control on validation, and which of them is saved."""
    student, control = (distillation.validation.get(name) for name in ("student", "control"))
    if student is None or control is None:
        return []
    saved = "the student" if distillation.kept == "student" else "the control, fitted without the teacher,"
    name = readable(distillation.chosen_by)
    return [f"{saved} is saved; validation {name}: student {student:.4f}, control {control:.4f}"]


def _control_is_better(distillation: Distillation | None) -> bool:
    """Whether a student is saved whose control is better on validation."""
    if distillation is None or distillation.kept != "student" or not distillation.validation:
        return False
    return (distillation.validation["control"] or 0.0) > (distillation.validation["student"] or 0.0)
