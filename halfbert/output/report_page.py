"""report.html of a training run: what its record says, for people, and the texts of the tables beside the record.

The page can be made again of any record and the folder it stands in; what an older record lacks, the page leaves out.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from halfbert.output import page as kit
from halfbert.output import report_curves, report_distillation, report_errors, sheets, text
from halfbert.output.page import Card, Column, Command, Items, Page, Part, Section, Table, Words
from halfbert.output.record import REPORT, Record
from halfbert.output.report_curves import interval
from halfbert.output.words import counted, model_name, readable, shortened
from halfbert.scoring.intervals import COMPARED, Difference

FEW_TEST_ROWS = 300  # with which intervals are wide: ± 5 points of accuracy
CHECKS = {  # what the checks of the tables count, by its name in a record
    "dropped": "rows without a text or a label, dropped",
    "duplicates": "rows that repeat the text of an earlier row, kept",
    "conflicting_texts": "texts that stand there under different labels",
    "formula_texts": "texts that were stored as formulas",
    "labels_merged": "labels that are spelt in several ways, read as one",
    "constant_labels_dropped": "labels that no row has, or every one, left out",
}


def write(record: Record, folder: Path) -> Path:
    """Write REPORT into the results folder of the record; returns the file. Raises OSError where it cannot be written."""
    file = folder / REPORT
    kit.write(page(record, folder), file)
    return file


def page(record: Record, folder: Path) -> Page:
    """The page of a record; `folder` has the tables with texts (errors.csv, label_errors.csv), as far as there are some."""
    errors = folder / report_errors.ERRORS
    wrong = sheets.read_csv(errors) if record.test is not None and errors.is_file() else []
    sections = [
        _suggestions(record),
        _scores(record),
        report_distillation.section(record),
        report_errors.each_label(record),
        report_errors.confusions(record, wrong),
        report_errors.wrong_rows(record, wrong),
        report_errors.label_errors(record, folder),
        report_curves.learning(record),
        report_curves.calibration(record),
        report_curves.lengths(record),
        _data(record),
        _options(record),
        _environment(record),
    ]
    names = ", ".join(file.name for file in record.data.files if file.role == "train")
    return Page(
        title=f"{model_name(record.model)} on {names or 'a table'}",
        headline=headline(record),
        cards=_cards(record),
        sections=[section for section in sections if section is not None],
        record=record,
        note=f"Made of record.json by halfbert, commit {record.environment.commit or 'unknown'}.",
    )


# ---------------------------------------------------------------------------------------------------------------------------
# The top of the page


def headline(record: Record) -> str:
    """The run in one sentence: its scores with their intervals, and whether TF-IDF would have done."""
    name = model_name(record.model)
    if record.test is None:
        return f"{name} was not tested: the run ended early ({record.stopped}). Epoch {record.best_epoch} is kept."
    scores, certain = text.card_scores(record.test), record.intervals or {}
    shown = [
        f"{readable(key)} {scores[key]:.3f}" + (f" ({interval(certain[key])})" if key in certain else "")
        for key in COMPARED[record.task]
        if key in scores
    ]
    sentence = f"{name}: {', '.join(shown) or 'no test row has a label'}, on {counted(record.data.rows.test, 'test row')}."
    return " ".join(filter(None, [sentence, _beside_tfidf(record)]))


def _beside_tfidf(record: Record) -> str:
    gain = record.tfidf.gain.get("macro_f1") if record.tfidf else None
    if gain is None:
        return ""
    scores = f"macro F1 {gain.second:.3f}; difference {_signed(gain)}"
    if gain.low > 0:
        return f"It is better than TF-IDF ({scores})."
    if gain.high < 0:
        return f"TF-IDF is better ({scores})."
    return f"No difference from TF-IDF can be shown ({scores})."


def _signed(gain: Difference) -> str:
    return f"{gain.difference:+.3f}, 95 % interval {gain.low:+.3f} to {gain.high:+.3f}"


def _cards(record: Record) -> list[Card]:
    rows = record.data.rows.test
    if record.test is None:
        return [Card("test", "none", "the run ended early", "bad")]
    scores, certain = text.card_scores(record.test), record.intervals or {}
    unlearned = text.no_better_than(record.test) is not None
    cards = [
        Card(readable(key), f"{scores[key]:.3f}", interval(certain.get(key)), "bad" if unlearned else "")
        for key in COMPARED[record.task]
        if key in scores
    ]
    if gained := report_distillation.card(record):
        cards.append(gained)
    tfidf = record.tfidf
    if tfidf is not None and tfidf.test.get("macro_f1") is not None:
        ahead = tfidf.gain["macro_f1"].high < 0 if "macro_f1" in tfidf.gain else False
        score = f"{tfidf.test['macro_f1']:.3f}"
        cards.append(Card("TF-IDF: macro F1", score, interval(tfidf.intervals.get("macro_f1")), "warn" if ahead else ""))
    if record.task == "multiclass":
        always = record.test["commonest_label"]
        title = f"always {shortened(always['label'], 24)!r}: accuracy"
        cards.append(Card(title, f"{always['accuracy']:.3f}", f"macro F1 {always['macro_f1']:.3f}"))
    else:
        cards.append(Card("no label ever: exact match", f"{record.test['no_label']['exact_match']:.3f}", "micro F1 0"))
    few = rows < FEW_TEST_ROWS
    note = "few: intervals are wide" if few else f"{record.data.rows.train:,} trained it"
    cards.append(Card("test rows", f"{rows:,}", note, "warn" if few else ""))
    return cards


def _suggestions(record: Record) -> Section | None:
    if not record.suggestions:
        return None
    parts: list[Part] = []
    for suggestion in record.suggestions:
        said = " ".join(f"{words[:1].upper()}{words[1:].rstrip('.')}." for words in (suggestion.what, suggestion.why))
        parts.append(Command(suggestion.command, said) if suggestion.command else Words(said))
    return Section("What to do next", parts)


# ---------------------------------------------------------------------------------------------------------------------------
# Scores


def _scores(record: Record) -> Section | None:
    test = record.test
    if test is None:
        return None
    parts: list[Part] = []
    if record.task == "multilabel":
        answered = {"at 0.5": test["at_half"], "at thresholds": test["at_thresholds"]}
        parts.append(_score_table(record, text.ANSWER_NAMES, answered, {"no label ever": test["no_label"]}, "Answers."))
        caption = f"The ranking that answers come from; means are over {counted(test['labels_scored'], 'label')}."
        parts.append(_score_table(record, text.RANKING_NAMES, {"model": test}, {}, caption))
    else:
        always = test["commonest_label"]
        trivial = {f"always {shortened(always['label'])!r}": always}
        parts.append(_score_table(record, text.SCORE_NAMES, {"model": test}, trivial, ""))
    lines = text.tfidf_lines(record)
    parts.append(Items([line for line in lines if line]))
    if record.cross_validation is not None:
        parts += _folds(record)
    return Section("Scores on the test rows", parts)


def _score_table(
    record: Record, names: dict[str, str], models: dict[str, dict[str, Any]], trivial: dict[str, dict[str, Any]], caption: str
) -> Table:
    """The scores of these names: of models, how certain they are, TF-IDF's, and those of a model that learned nothing."""
    certain = text.certainty(record, names)
    heads = [Column("score", "label"), *(Column(head, "number") for head in (*models, *certain, *trivial))]
    rows = [
        [
            shown,
            *(_decimals(scores.get(key)) for scores in models.values()),
            *(cells[number] or None for cells in certain.values()),
            *(_decimals(scores.get(key)) for scores in trivial.values()),
        ]
        for number, (key, shown) in enumerate(names.items())
    ]
    return Table(heads, rows, caption)


def _decimals(score: float | None) -> Any:
    return None if score is None else [score, f"{score:.4f}"]


def _folds(record: Record) -> list[Part]:
    found = record.cross_validation
    assert found is not None
    rows = [
        [text.FOLD_NAMES[name], _decimals(of.mean), _decimals(of.deviation), f"{of.low:.3f} to {of.high:.3f}"]
        for name, of in found.scores.items()
    ]
    columns = [Column("score", "label"), *(Column(head, "number") for head in ("mean", "standard deviation", "95 % interval"))]
    lead = f"{found.folds}-fold cross-validation of {found.rows:,} rows, each answered by a model that did not learn from it"
    stopped = f"; ended early, in {found.stopped}" if found.stopped else ""
    return [Table(columns, rows, f"{lead}{stopped}.")] if rows else [Words(f"{lead}{stopped}.")]


# ---------------------------------------------------------------------------------------------------------------------------
# Data, options, machine


def _data(record: Record) -> Section:
    data = record.data
    rows = data.rows
    lines = [
        f"{counted(rows.train, 'training row')}, {counted(rows.val, 'validation row')}, {counted(rows.test, 'test row')}; "
        f"{counted(len(data.labels), 'label')}."
    ]
    if record.split is not None:
        lines.append(f"Validation rows: {_origin(record.split.val)}. Test rows: {_origin(record.split.test)}.")
    checked = [[what, getattr(data, name)] for name, what in CHECKS.items()]
    checked.insert(0, ["training rows whose text also stands in a held-out file, kept", data.leaks.kept])
    checked.insert(0, ["training rows whose text also stands in a held-out file, dropped", data.leaks.dropped])
    counts = [[readable(name), count] for name, count in data.counts.items() if isinstance(count, int)]
    parts: list[Part] = [Items(lines)]
    if data.notes:
        parts += [Words("What the checks found:"), Items(data.notes)]
    quiet = [row for row in checked if not row[1]]
    parts.append(Table([Column("checked", "label"), Column("count", "number")], [*checked, *counts], "What was looked for."))
    return Section("Data", parts, folded=len(quiet) == len(checked) and not data.notes)


def _origin(origin: str) -> str:
    return "a file of their own" if origin == "file" else origin


def _options(record: Record) -> Section:
    rows = [[name.strip("_"), _value(value)] for name, value in record.options.items() if value is not None]
    command = " ".join(record.environment.command)
    return Section(
        "Options in force",
        [Command(command, "As it was called:"), Table(_pair("option", "value"), rows, "", page_size=100)],
        folded=True,
    )


def _environment(record: Record) -> Section:
    environment, timing = record.environment, record.timing
    machine: list[tuple[str, Any]] = [
        ("device", f"{environment.device}, {counted(environment.threads, 'thread')}, {environment.precision}"),
        ("commit", environment.commit),
        *((name.replace("_", " "), _value(value)) for name, value in environment.hardware.items() if name != "memory_bytes"),
        ("memory", f"{environment.hardware.get('memory_bytes', 0) / 2**30:.0f} GiB"),
        *environment.versions.items(),
        ("fit", f"{timing.fit_seconds:.0f} s" if timing.fit_seconds is not None else None),
        ("parameters", f"{record.size.parameters:,}"),
        ("folder of the predictor", f"{record.size.folder_bytes / 1e6:.1f} MB" if record.size.folder_bytes else None),
    ]
    files = [[file.role, file.name, file.rows, file.sha256] for file in record.data.files]
    if record.checkpoint is not None:
        files.append(["checkpoint", record.checkpoint.name, None, record.checkpoint.weights_sha256])
    columns = [Column("role", "label"), Column("file"), Column("rows", "number"), Column("SHA-256")]
    rows = [[name, value] for name, value in machine if value not in (None, "")]
    parts = [Table(_pair("what", "value"), rows, "Machine and versions.", page_size=100), Table(columns, files, "Files.")]
    return Section("Environment and files", parts, folded=True)


def _pair(first: str, second: str) -> list[Column]:
    return [Column(first, "label"), Column(second)]


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_value(each)}" for key, each in value.items())
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ", ".join(map(_value, value))
    return str(value)
