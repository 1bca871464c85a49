"""The page about a table that was answered, from counts and a bounded sample: memory does not grow with the rows."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from halfbert.data.phrases import counted
from halfbert.output.page import Bars, Card, Column, Items, Page, Part, Section, Table, Words, write
from halfbert.output.words import percent
from halfbert.prediction.answering import label_counts
from halfbert.prediction.blocks import Block
from halfbert.prediction.scorer import Scorer
from halfbert.prediction.summary import Summary
from halfbert.system import storage
from halfbert.system.errors import InputError

MOST_ROWS = 500  # of the least confident, and of those without an answer
LONGEST_TEXT = 500  # characters
BINS = 10  # of the confidence


@dataclasses.dataclass(frozen=True)
class Shown:
    """A row as the page shows it, and its rank: the confidence, and 1 more where a rule does not leave it to a person."""

    rank: float
    confidence: float
    file: str
    number: int
    text: str
    answer: str
    for_review: bool

    def cells(self) -> list[Any]:
        """Its cells in the table of the page."""
        return [self.file, self.number, self.text, self.answer, round(self.confidence, 4)]


class Watcher:
    """Collects what the page shows while rows are answered.

    `bins`: rows by confidence; `confidences`: the sum of it by label; `least`: the least confident rows, the first of equal
    ones; `unanswered`: the first rows without an answer.
    """

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self.bins = np.zeros(BINS, np.int64)
        self.rows_of_label = np.zeros(len(scorer.manifest.labels), np.int64)
        self.confidences = np.zeros(len(scorer.manifest.labels))
        self.least: list[Shown] = []
        self.unanswered: list[list[Any]] = []

    def __call__(self, block: Block, answers: np.ndarray) -> None:
        """Take a block with the answers of its rows."""
        name = Path(block.source.name).name
        room = MOST_ROWS - len(self.unanswered)
        self.unanswered += [[name, block.numbers[row], reason] for row, reason in list(block.notes.items())[:room]]
        rows = np.delete(np.arange(len(answers)), list(block.notes))
        confidence = answers["confidence"][rows].astype(float)
        self.bins += np.histogram(np.clip(confidence, 0, 1), bins=BINS, range=(0, 1))[0]
        self._count_labels(answers[rows], confidence)
        rank = confidence + ~answers["review"][rows] if self._scorer.decider.asks else confidence
        limit = self.least[-1].rank if len(self.least) == MOST_ROWS else np.inf
        near = [n for n in np.argsort(rank, kind="stable")[:MOST_ROWS].tolist() if rank[n] < limit]
        found = [self._shown(block, name, answers, int(rows[n]), float(rank[n])) for n in near]
        self.least = sorted([*self.least, *found], key=lambda row: row.rank)[:MOST_ROWS]

    def _count_labels(self, answers: np.ndarray, confidence: np.ndarray) -> None:
        labels = len(self.rows_of_label)
        self.rows_of_label += label_counts(self._scorer, answers)
        if self._scorer.one_label:
            self.confidences += np.bincount(answers["answer"], weights=confidence, minlength=labels)
        else:
            self.confidences += confidence @ np.unpackbits(answers["answer"], axis=1, count=labels)

    def _shown(self, block: Block, name: str, answers: np.ndarray, row: int, rank: float) -> Shown:
        (guess,) = self._scorer.guesses(answers["answer"][row : row + 1])
        answer = guess if isinstance(guess, str) else self._scorer.separator.join(guess)
        text = (block.texts[row] or "")[:LONGEST_TEXT]
        confidence, for_review = float(answers["confidence"][row]), bool(answers["review"][row])
        return Shown(rank, confidence, name, block.numbers[row], text, answer, for_review)


def check(file: Path, overwrite: bool) -> None:
    """Raise InputError if the page cannot be written or must not be replaced."""
    if file.is_dir() or (file.exists() and not overwrite):
        raise InputError(f"--report {file}: already exists; --overwrite replaces it, or choose another name")
    storage.check_free_space(file, 3_000_000)


def write_page(file: Path, scorer: Scorer, summary: Summary, watcher: Watcher) -> None:
    """Write the page about the rows that a watcher has seen."""
    stated = {name: value for name, value in vars(summary).items() if name not in ("words", "drift")}
    stated.update(output=summary.output and summary.output.name, unanswered=dict(summary.unanswered))
    drift = summary.drift
    stated["drift"] = drift and dataclasses.asdict(drift)
    name = summary.output.name if summary.output else "rows"
    answered = summary.rows - summary.unanswered.total()
    page = Page(
        title=f"Answers: {name}",
        headline=_headline(summary, answered),
        cards=_cards(summary, watcher, answered),
        sections=[
            Section("Labels", _labels(scorer, summary, watcher, answered)),
            Section("Confidence", [_confidence(scorer, watcher)]),
            *([Section("What has changed", [Items(drift.lines())])] if drift else []),
            _least(scorer, summary, watcher, answered),
            *([Section("Rows without an answer", [_unanswered(summary, watcher)])] if watcher.unanswered else []),
            Section("How it was answered", [Items(_how(scorer, summary))]),
        ],
        record=stated,
        note="This page holds texts of the table.",
    )
    write(page, file)


def _headline(summary: Summary, answered: int) -> str:
    parts = [f"{counted(answered, 'row')} of {summary.rows:,} answered"]
    if summary.asks:
        parts = [
            f"{counted(answered - summary.reviewed, 'row')} of {summary.rows:,} answered, {summary.reviewed:,} left to a person"
        ]
    if summary.unanswered:
        parts.append(f"{summary.unanswered.total():,} without a usable text")
    return ", ".join(parts)


def _cards(summary: Summary, watcher: Watcher, answered: int) -> list[Card]:
    sure = int(watcher.bins[BINS - 1])
    cards = [Card("rows", f"{summary.rows:,}"), Card("confidence 0.9 or more", _share(sure, answered), counted(sure, "row"))]
    if summary.asks:
        cards.append(Card("left to a person", _share(summary.reviewed, answered), counted(summary.reviewed, "row")))
    if summary.unanswered:
        cards.append(Card("without an answer", f"{summary.unanswered.total():,}", "no usable text", "warn"))
    if summary.truncated:
        cards.append(Card("truncated texts", f"{summary.truncated:,}", f"longer than {summary.maxlen} tokens", "warn"))
    return cards


def _share(part: int, whole: int) -> str:
    return percent(part / whole) if whole else "–"


def _labels(scorer: Scorer, summary: Summary, watcher: Watcher, answered: int) -> list[Part]:
    rows = []
    for number in np.argsort(-watcher.rows_of_label, kind="stable").tolist():
        count = int(watcher.rows_of_label[number])
        mean = float(watcher.confidences[number] / count) if count else None
        rows.append([scorer.manifest.labels[number], count, count / answered if answered else None, mean])
    also = " Rows left to a person are counted by their best guess." if summary.asks else ""
    columns = [Column("label", "label"), Column("rows", "number"), Column("share", "share"), Column("mean confidence", "bar")]
    table = Table(columns, rows, f"Answers by label.{also}", search=len(rows) > 12)
    if not summary.without_label:
        return [table]
    return [table, Words(f"{counted(summary.without_label, 'row')} with no label.")]


def _confidence(scorer: Scorer, watcher: Watcher) -> Bars:
    names = [f"{number / BINS:.1f} to {(number + 1) / BINS:.1f}" for number in range(BINS)]
    kind = (
        "Calibrated on validation rows." if scorer.manifest.calibration else "Not calibrated: the network's own probabilities."
    )
    return Bars("rows by confidence", names, [float(count) for count in watcher.bins], caption=kind)


def _least(scorer: Scorer, summary: Summary, watcher: Watcher, answered: int) -> Section:
    title = "Rows for a person" if summary.asks else "Least confident rows"
    shown = [row for row in watcher.least if row.for_review] if summary.asks else watcher.least
    total = summary.reviewed if summary.asks else answered
    which = "rows left to a person" if summary.asks else "rows"
    caption = f"The {len(shown):,} least confident of {total:,} {which}; texts to {LONGEST_TEXT} characters."
    columns = [
        Column("file", "label"),
        Column("row", "number"),
        Column("text"),
        Column("best guess" if summary.asks else "answer", "label"),
        Column("confidence", "number", 4),
    ]
    source = summary.output.name if summary.output else ""
    rows, filters = [row.cells() for row in shown], [3] if scorer.one_label else []
    return Section(title, [_named(columns, rows, caption, filters, search=True, source=source)])


def _unanswered(summary: Summary, watcher: Watcher) -> Table:
    reasons = ", ".join(f"{reason}: {count:,}" for reason, count in summary.unanswered.most_common())
    shown, total = len(watcher.unanswered), summary.unanswered.total()
    caption = f"{'All' if shown == total else f'The first {shown:,} of'} {total:,} ({reasons})."
    return _named([Column("file", "label"), Column("row", "number"), Column("why")], watcher.unanswered, caption)


def _named(columns: list[Column], rows: list[list[Any]], caption: str, filters: list[int] | None = None, **more: Any) -> Table:
    """A table whose first column is the file, left out where there is one only."""
    left_out = int(len({row[0] for row in rows}) < 2)
    cells = [row[left_out:] for row in rows]
    return Table(columns[left_out:], cells, caption, filters=[column - left_out for column in filters or []], **more)


def _how(scorer: Scorer, summary: Summary) -> list[str]:
    items = [
        f"Predictor {scorer.folder.name}, weights {scorer.classifier.predictor.weights_sha256[:12]}…, engine {summary.engine}."
    ]
    if scorer.cascade:
        items.append(f"Then {scorer.cascade.names[1]}, weights {scorer.cascade.big.predictor.weights_sha256[:12]}….")
    if scorer.line:
        items.append(f"Rule: {scorer.line}.")
    elsewhere = summary.drift.lines() if summary.drift else []
    shown = [line for line in summary.lines() if not line.startswith(("labels:", "written:")) and line not in elsewhere]
    items += [f"{line[:1].upper()}{line[1:]}." for line in shown]
    return items
