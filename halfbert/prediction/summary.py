"""What a run reports: progress on a terminal, and at the end what became of the rows."""

import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from halfbert.data.phrases import counted, listed, row_word
from halfbert.output.words import percent, shortened
from halfbert.prediction.blocks import Block
from halfbert.prediction.drift import Drift
from halfbert.prediction.label_words import LabelWords

SHOWN_LABELS = 12
SHOWN_ROWS = 5
SECONDS_BEFORE_BAR = 2


@dataclass
class Summary:
    """What became of the rows of a run.

    `labels` counts the rows of each answer, the most frequent first, without the rows `reviewed`, which are left to a person;
    `asks` says whether a rule leaves any.
    `without_label` counts the answers of no label at all, `unanswered` the rows without a usable text by their note, `repeated`
    those with the answer of an equal text, `truncated` the distinct texts longer than `maxlen` tokens, `resumed` the texts that
    an earlier run had answered, `passed_on` the rows that the second predictor, `then`, answered. `words` are those of each
    label, where answers are explained, `drift` how the rows differ from the predictor's reference, where they are compared.
    `seconds` are those of answering and writing.
    """

    output: Path | None
    engine: str
    rows: int = 0
    seconds: float = 0.0
    labels: dict[str, int] = field(default_factory=dict)
    unanswered: Counter[str] = field(default_factory=Counter)
    asks: bool = False
    without_label: int = 0
    reviewed: int = 0
    then: str = ""
    passed_on: int = 0
    repeated: int = 0
    truncated: int = 0
    resumed: int = 0
    maxlen: int = 0
    words: LabelWords | None = None
    drift: Drift | None = None
    places: list[str] = field(default_factory=list, repr=False)  # of the first rows without an answer

    def note(self, block: Block) -> None:
        """Count the rows of a block and those of them without a text."""
        self.rows += len(block.texts)
        for row, reason in block.notes.items():
            self.unanswered[reason] += 1
            if len(self.places) < SHOWN_ROWS:
                self.places.append(f"{block.source.name} {row_word(block.source.name)} {block.numbers[row]}")

    def include(self, later: "Summary") -> None:
        """Count what became of later rows of the same run."""
        counts = {label: later.labels.get(label, 0) + self.labels.get(label, 0) for label in {**self.labels, **later.labels}}
        self.labels = dict(sorted(counts.items(), key=lambda count: -count[1]))
        self.unanswered = self.unanswered + later.unanswered
        self.places = [*self.places, *later.places][:SHOWN_ROWS]
        for name in ("rows", "without_label", "reviewed", "passed_on", "repeated", "truncated"):
            setattr(self, name, getattr(self, name) + getattr(later, name))

    def lines(self) -> list[str]:
        """The summary in words."""
        speed = f", {self.rows / self.seconds:,.0f} rows/s" if self.seconds else ""
        lines = [f"{counted(self.rows, 'row')} in {self.seconds:.1f} s{speed} ({self.engine})"]
        shown = [f"{shortened(label)} {count:,}" for label, count in self.labels.items() if count]
        if shown:
            lines.append(f"labels: {listed(shown, SHOWN_LABELS)}")
        if self.without_label:
            lines.append(f"with no label: {counted(self.without_label, 'row')}")
        if self.asks:
            lines.append(f"left to a person: {self._share_of(self.reviewed)}")
        if self.then:
            lines.append(f"passed on to {self.then}: {self._share_of(self.passed_on)}")
        if self.unanswered:
            count = self.unanswered.total()
            reasons = ", ".join(f"{reason}: {count:,}" for reason, count in self.unanswered.most_common(3))
            more = " …" if count > len(self.places) else ""
            lines.append(f"without an answer: {counted(count, 'row')} ({reasons}), {', '.join(self.places)}{more}")
        if self.repeated:
            lines.append(f"equal texts are answered once: {counted(self.repeated, 'row')} repeated an earlier text")
        if self.truncated:
            lines.append(f"longer than {self.maxlen} tokens, and truncated: {counted(self.truncated, 'text')}")
        if self.words is not None:
            lines += self.words.lines()
        if self.drift is not None:
            lines += self.drift.lines()
        return lines if self.output is None else [*lines, f"written: {self.output}"]

    def _share_of(self, rows: int) -> str:
        """A number of rows, and their share of those with a text."""
        with_text = self.rows - self.unanswered.total()
        of = " of those with a text" if self.unanswered else ""
        return counted(rows, "row") + (f" ({percent(rows / with_text)}{of})" if with_text else "")


class Progress:
    """A bar with rows, rows a second and the time left, on a terminal only; it appears after two seconds."""

    def __init__(self, rows: int | None) -> None:
        self._bar: Any = None
        if sys.stderr is not None and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=rows, unit=" rows", delay=SECONDS_BEFORE_BAR, leave=False, file=sys.stderr, mininterval=0.5)

    def advance(self, rows: int) -> None:
        """Count rows as answered."""
        if self._bar is not None:
            self._bar.update(rows)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
