"""Parts of a run's page that show what it gets wrong: confusions, scores of each label, wrong rows, likely wrong labels."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from halfbert.output import sheets
from halfbert.output.advice import LABEL_ERRORS
from halfbert.output.page import Column, Items, Matrix, Part, Section, Table, Words
from halfbert.output.record import Record
from halfbert.output.report_curves import FEW_ROWS
from halfbert.output.words import counted, model_name, percent, shortened
from halfbert.scoring.intervals import f1_interval, wilson

ERRORS = "errors.csv"
MOST_SENTENCES = 8
Counts = list[tuple[int, int, int]]  # of each label: rows that have it and got it, that have it only, that got it only

SCORES = {  # of a label, by their names in a record
    "threshold": "threshold",
    "roc_auc": "ROC AUC",
    "average_precision": "average precision",
}


def confusions(record: Record, wrong: Sequence[Mapping[str, str]]) -> Section | None:
    """Which labels are taken for which; of many labels a text, which are missed and which answered though not there."""
    if record.test is None:
        return None
    if record.task == "multilabel":
        return Section("What is mistaken for what", _missed_and_invented(record, wrong))
    labels, counts = record.data.labels, record.test["confusion"]
    caption = "A row is a label, a column what its rows were answered; colours are shares of the row, on a square-root scale."
    sentences = confused_pairs(labels, counts)
    lead = Items(sentences) if sentences else Words("No test row was answered wrongly.")
    return Section("What is mistaken for what", [lead, Matrix("Confusion matrix of the test rows", labels, counts, caption)])


def confused_pairs(labels: Sequence[str], counts: Sequence[Sequence[int]], most: int = MOST_SENTENCES) -> list[str]:
    """The commonest confusions of (labels, labels) counts as sentences."""
    pairs = [(count, i, j) for i, row in enumerate(counts) for j, count in enumerate(row) if count and i != j]
    pairs.sort(key=lambda pair: (-pair[0], pair[0] / sum(counts[pair[1]])))
    return [
        f"{count:,} of {sum(counts[i]):,} {_named(labels[i])} rows were answered {_named(labels[j])}"
        for count, i, j in pairs[:most]
    ]


def _missed_and_invented(record: Record, wrong: Sequence[Mapping[str, str]]) -> list[Part]:
    labels = record.data.labels
    counts = _counts(record)
    missed = sorted(range(len(labels)), key=lambda i: -counts[i][1])
    invented = sorted(range(len(labels)), key=lambda i: -counts[i][2])
    half = MOST_SENTENCES // 2
    sentences = [
        f"{counts[i][1]:,} of {counts[i][0] + counts[i][1]:,} rows with {_named(labels[i])} did not get it"
        for i in missed[:half]
        if counts[i][1]
    ]
    sentences += [
        f"{counts[i][2]:,} of {counts[i][0] + counts[i][2]:,} rows that got {_named(labels[i])} lack it"
        for i in invented[:half]
        if counts[i][2]
    ]
    parts: list[Part] = [Items(sentences) if sentences else Words("No label of a test row was answered wrongly.")]
    known = set(labels)
    both = Counter(
        (one, other) for row in wrong for one in split(row["missed"], known) for other in split(row["invented"], known)
    )
    of_missed = {label: counts[i][1] for i, label in enumerate(labels)}
    rows = [[one, other, count, count / of_missed[one]] for (one, other), count in both.most_common(200) if of_missed[one]]
    if rows:
        columns = [
            Column("missed", "label"),
            Column("answered instead", "label"),
            Column("rows", "number"),
            Column("share of the rows that missed it", "share"),
        ]
        caption = "Pairs of labels of which one was missed and the other answered though not there, in the same test row."
        parts.append(Table(columns, rows, caption, filters=[0, 1], page_size=10))
    return parts


def split(cell: str, labels: set[str]) -> list[str]:
    """The labels of a cell with "; " between them, labels that themselves hold it included."""
    if not cell or cell in labels:
        return [cell] if cell else []
    found, waiting = [], cell.split("; ")
    while waiting:
        # The longest run of pieces that is a label.
        end = next((end for end in range(len(waiting), 0, -1) if "; ".join(waiting[:end]) in labels), 1)
        found.append("; ".join(waiting[:end]))
        waiting = waiting[end:]
    return found


def _counts(record: Record) -> Counts:
    assert record.test is not None
    confusion = record.test["confusion"]
    if record.task == "multilabel":
        return [(of_label[1][1], of_label[1][0], of_label[0][1]) for of_label in confusion]
    columns = [sum(column) for column in zip(*confusion, strict=True)]
    return [(row[i], sum(row) - row[i], columns[i] - row[i]) for i, row in enumerate(confusion)]


def each_label(record: Record) -> Section | None:
    """The scores of each label with their intervals and how many rows they stand on."""
    if record.test is None:
        return None
    scores = [name for name in SCORES if name in record.test["per_label"][0]]
    trained = record.data.label_rows
    columns = [
        Column("label", "label"),
        Column("test rows", "number"),
        Column("F1", "bar"),
        Column("precision", "number"),
        Column("recall", "number"),
        *(Column(SCORES[name], "number") for name in scores),
        *([Column("training rows", "number")] if trained else []),
    ]
    rows, marked = [], []
    for number, (of_label, counts) in enumerate(zip(record.test["per_label"], _counts(record), strict=True)):
        right, missed, invented = counts
        if of_label["support"] < FEW_ROWS:
            marked.append(number)
        rows.append(
            [
                of_label["label"],
                of_label["support"],
                None if of_label["f1"] is None else [of_label["f1"], *f1_interval(*counts)],
                _certain(of_label["precision"], right, right + invented),
                _certain(of_label["recall"], right, right + missed),
                *(of_label[name] for name in scores),
                *([trained[number]] if trained else []),
            ]
        )
    few = f" Pale: {counted(len(marked), 'label')} with fewer than {FEW_ROWS} test rows." if marked else ""
    caption = f"In parentheses 95 % intervals (Wilson), which are wide where there are few rows.{few}"
    return Section("Scores of each label", [Table(columns, rows, caption, search=len(rows) > 25, marked=marked)])


def _certain(score: float | None, hits: int, rows: int) -> Any:
    if score is None:
        return None
    low, high = wilson(hits, rows)
    return [score, f"{score:.3f} ({low:.2f} to {high:.2f})" if rows else "–"]


def wrong_rows(record: Record, wrong: Sequence[Mapping[str, str]]) -> Section | None:
    """The test rows that were answered wrongly, worst first."""
    if record.test is None:
        return None
    tested, known = record.data.rows.test, set(record.data.labels)
    if not wrong:
        return None
    several = record.task == "multilabel"
    names = ("truth", "answer", "missed", "invented") if several else ("truth", "answer")
    columns = [
        Column("text"),
        *(Column(name, "labels" if several else "label") for name in names),
        Column("confidence", "share"),
        Column("row", "number", note="in its file, the header counted"),
    ]
    score = "confidence" if "confidence" in wrong[0] else "probability"
    rows = [
        [
            row["text"],
            *(split(row[name], known) if several else row[name] for name in names),
            float(row[score]) if row.get(score) else None,
            int(row["row"]),
        ]
        for row in wrong
    ]
    order = "those first whose true labels got the lowest probability"
    caption = f"{len(wrong):,} of {counted(tested, 'test row')} ({percent(len(wrong) / tested)}), {order}."
    filters = [3, 4] if several else [1, 2]
    table = Table(columns, rows, caption, search=True, filters=filters, page_size=10, source=ERRORS)
    return Section("Wrong answers", [table])


def label_errors(record: Record, folder: Path) -> Section | None:
    """The rows whose label is likely wrong, which the run listed in LABEL_ERRORS; None where it did not search for them."""
    found, file = record.label_errors, folder / LABEL_ERRORS
    if found is None or not file.is_file():
        return None
    suspects = sheets.read_csv(file)
    source = f"out-of-fold answers of {model_name(record.model if found.source == 'network' else found.source)}"
    lead = f"{found.count:,} of {counted(found.rows, 'row')} likely have a wrong label, by {source} (confident learning)."
    if not suspects:
        return Section("Labels that are likely wrong", [Words(lead)])
    known, several = set(record.data.labels), record.task == "multilabel"
    kind = "labels" if several else "label"
    confident = "confidence" in suspects[0]
    columns = [
        Column("text"),
        Column("given", kind),  # type: ignore[arg-type]
        Column("suggested", kind),  # type: ignore[arg-type]
        *([Column("confidence", "share")] if confident else []),
        Column("row", "number", note="in its file, the header counted"),
        Column("file"),
    ]
    rows = [
        [
            row["text"],
            *(split(row[name], known) if several else row[name] for name in ("given", "suggested")),
            *([float(row["confidence"]) if row["confidence"] else None] if confident else []),
            int(row["row"]),
            row["file"],
        ]
        for row in suspects
    ]
    table = Table(columns, rows, "The likeliest first.", search=True, filters=[1, 2], page_size=10, source=LABEL_ERRORS)
    return Section("Labels that are likely wrong", [Words(lead), table])


def _named(label: str) -> str:
    return f"'{shortened(label)}'"
