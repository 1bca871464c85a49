"""The words that push rows towards each label, and those in wrong answers, over all rows of a run."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from halfbert.data.cells import cell_text
from halfbert.output.words import shortened
from halfbert.prediction.blocks import Block
from halfbert.prediction.scorer import Scorer

SHOWN = 8  # words of a label
MOST_WORDS = 20_000  # of a label in memory; beyond, the half that adds least is forgotten


@dataclass
class LabelWords:
    """By label the words, in lower case, and what they added to its log-odds in all rows that it is likeliest for.

    `truth` is the column with the true labels, by which `wrong` has those of the rows that are answered wrongly.
    """

    truth: str | None = None
    added: dict[str, Counter[str]] = field(default_factory=dict)
    wrong: dict[str, Counter[str]] = field(default_factory=dict)

    def note(self, scorer: Scorer, block: Block, answers: np.ndarray) -> None:
        """Take up the words of a block's rows, as they were answered."""
        truth = self._truth_of(block) if self.truth else []
        for row, answer in enumerate(answers):
            if row in block.notes:
                continue
            label = scorer.manifest.labels[answer["likeliest"]]
            kinds = [self.added, *([self.wrong] if truth and truth[row] != label else [])]
            for kind in kinds:
                counter = kind.setdefault(label, Counter())
                for word, added in zip(answer["words"].tolist(), answer["added"].tolist(), strict=True):
                    if word:
                        counter[word.lower()] += added
                if len(counter) > MOST_WORDS:
                    kind[label] = Counter(dict(counter.most_common(MOST_WORDS // 2)))

    def _truth_of(self, block: Block) -> Sequence[str | None]:
        column = block.source.columns.index(self.truth or "")
        cells: list[Any] = [cells[column] for cells in block.source.values(block)]
        return [cell_text(cell, f"{block.source.name}, {self.truth!r}") for cell in cells]

    def lines(self) -> list[str]:
        """A line a label, and one for its wrong answers."""
        lines = []
        for label in sorted(self.added, key=str.casefold):
            lines.append(f"words for {shortened(label)}: {_most(self.added[label])}")
            if label in self.wrong:
                lines.append(f"  in its wrong answers: {_most(self.wrong[label])}")
        return lines


def _most(counter: Counter[str]) -> str:
    return ", ".join(word for word, _ in counter.most_common(SHOWN)) or "none"
