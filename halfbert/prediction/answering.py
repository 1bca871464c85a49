"""Blocks in, blocks with answers out: texts are answered in groups that fill the engine's batches, equal ones once."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from halfbert.prediction.blocks import Block, Source
from halfbert.prediction.journal import Journal, digest
from halfbert.prediction.scorer import Scorer
from halfbert.prediction.summary import Summary

# A group is answered once it has so many texts that are new, or so many characters of them, or blocks of so many rows. Where
# groups end must depend on the texts alone: answers vary in their last digits with the batch, and a resumed run must give
# those of one that was never interrupted.
NEW_TEXTS, NEW_CHARACTERS, GROUP_ROWS = 4096, 2**20, 2**14
REMEMBERED_TEXTS, REMEMBERED_BYTES = 10**6, 2**27

Watcher = Callable[[Block, np.ndarray], object]
"""Is shown a block with the answers of its rows."""


class Remembered:
    """The newest answers by the digest of their text, as many as a bounded memory holds."""

    def __init__(self, kind: np.dtype) -> None:
        self._answers = np.empty(max(NEW_TEXTS, min(REMEMBERED_TEXTS, REMEMBERED_BYTES // kind.itemsize)), kind)
        self._digests: list[bytes] = []
        self._next = 0  # the slot that is overwritten next, once all are in use
        self._slots: dict[bytes, int] = {}
        self.slot = self._slots.get

    def at(self, slots: list[int]) -> np.ndarray:
        """The answers in these slots."""
        return self._answers[slots]

    def add(self, digests: Iterable[bytes], answers: np.ndarray) -> None:
        """Remember answers, in place of the oldest where the memory is full."""
        for text, answer in zip(digests, answers, strict=True):
            if len(self._digests) < len(self._answers):
                self._digests.append(text)
            else:
                del self._slots[self._digests[self._next]]
                self._digests[self._next] = text
            self._answers[self._next] = answer
            self._slots[text] = self._next
            self._next = (self._next + 1) % len(self._answers)


@dataclass
class Group:
    """Blocks that are answered together: the new texts by their digest, and where the answer of each row is.

    A place from 0 is that of a new text, one below -1 that of an answer in `slots` (-2 is the first); -1 is a row without one.
    """

    blocks: list[tuple[Block, list[int]]] = field(default_factory=list)
    new: dict[bytes, int] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)
    rows: int = 0
    characters: int = 0

    @property
    def is_full(self) -> bool:
        return len(self.new) >= NEW_TEXTS or self.characters >= NEW_CHARACTERS or self.rows >= GROUP_ROWS


@dataclass
class Answering:
    """Answers blocks with a scorer.

    `journal` has the answers of an earlier run and keeps the new ones; `advance` is called with the number of rows answered.
    `repeated` counts the rows that have the answer of an equal text, `truncated` the texts that the engine truncated.
    """

    scorer: Scorer
    journal: Journal | None
    advance: Callable[[int], object]
    repeated: int = 0
    truncated: int = 0

    def answered(self, blocks: Iterable[Block]) -> Iterator[tuple[Block, np.ndarray]]:
        """Each block with the answers of its rows, in their order; what stands for a row without a text is no answer."""
        remembered, group = Remembered(self.scorer.kind), Group()
        for block in blocks:
            self._take(block, group, remembered)
            if group.is_full:
                yield from self._close(group, remembered)
                group = Group()
        yield from self._close(group, remembered)

    def _take(self, block: Block, group: Group, remembered: Remembered) -> None:
        places = []
        for text in block.texts:
            if text is None:
                places.append(-1)
                continue
            key = digest(text.encode("utf-8", "surrogatepass"))
            slot, number = remembered.slot(key), group.new.get(key)
            if slot is not None:
                group.slots.append(slot)
                places.append(-1 - len(group.slots))
            elif number is not None:
                places.append(number)
            else:
                places.append(len(group.new))
                group.new[key] = len(group.new)
                group.texts.append(text)
                group.characters += len(text)
        self.repeated += len(block.texts) - places.count(-1)
        group.blocks.append((block, places))
        group.rows += len(places)

    def _close(self, group: Group, remembered: Remembered) -> Iterator[tuple[Block, np.ndarray]]:
        new = self._answers(group)
        answers = np.concatenate([new, remembered.at(group.slots), np.zeros(1, self.scorer.kind)])
        remembered.add(group.new, new)
        self.repeated -= len(new)
        self.advance(group.rows - len(new))
        for block, places in group.blocks:
            rows = np.array(places, np.int64)
            yield block, answers[np.where(rows < -1, len(new) - 2 - rows, rows)]

    def _answers(self, group: Group) -> np.ndarray:
        if not group.texts:
            return np.zeros(0, self.scorer.kind)
        texts = digest(b"".join(group.new))
        found = self.journal.before(texts) if self.journal else None
        if found is None:
            found = self.scorer.answer(group.texts, self.advance)
            if self.journal:
                self.journal.add(texts, *found)
        else:
            self.advance(len(group.texts))
        self.truncated += found[1]
        return found[0]


def answer_rows(
    sources: Iterable[Source],
    answering: Answering,
    write: Callable[[Block, Sequence[Sequence[Any]]], None],
    summary: Summary,
    watchers: Sequence[Watcher] = (),
) -> None:
    """Answer the rows of sources, have them written, and note in the summary what became of them.

    `watchers` are shown each block with the answers of its rows.
    """
    scorer = answering.scorer
    labels = np.zeros(len(scorer.manifest.labels), np.int64)
    for block, answers in answering.answered(block for source in sources for block in source.blocks()):
        write(block, scorer.columns(answers, block.notes))
        summary.note(block)
        if summary.words is not None:
            summary.words.note(scorer, block, answers)
        for watch in watchers:
            watch(block, answers)
        answered = np.delete(answers, list(block.notes))
        summary.reviewed += int(answered["review"].sum())
        summary.passed_on += int(answered["passed_on"].sum()) if scorer.then else 0
        kept = answered[~answered["review"]]
        labels += label_counts(scorer, kept)
        if not scorer.one_label:
            summary.without_label += int((~kept["answer"].any(axis=1)).sum())
    summary.asks = scorer.decider.asks
    summary.repeated, summary.truncated = answering.repeated, answering.truncated
    order = np.argsort(-labels, kind="stable")
    summary.labels = {scorer.manifest.labels[number]: int(labels[number]) for number in order}


def label_counts(scorer: Scorer, answers: np.ndarray) -> Any:
    """(labels,) how many rows of these answers have each label, those left to a person included."""
    labels = len(scorer.manifest.labels)
    if scorer.one_label:
        return np.bincount(answers["answer"], minlength=labels)
    return np.unpackbits(answers["answer"], axis=1, count=labels).sum(axis=0, dtype=np.int64)
