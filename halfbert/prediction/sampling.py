"""Rows on the way to being compared with those that a predictor keeps summaries of, or to have theirs kept."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from halfbert.data.phrases import counted, listed
from halfbert.options.prediction import PredictOptions
from halfbert.prediction.answering import label_counts
from halfbert.prediction.blocks import Block, Source
from halfbert.prediction.drift import Drift
from halfbert.prediction.scorer import Scorer
from halfbert.predictor import manifest, summarising
from halfbert.scoring.drift import FEWEST_ROWS, Summaries, compare
from halfbert.system.errors import Drifted, HalfbertError, InputError

MOST_ROWS = 5000  # that are compared: more would find smaller changes than those that matter


def collector(options: PredictOptions, scorer: Scorer) -> "Collector | None":
    """What compares rows, or keeps their summaries; None without either. Raises what `summarising.reference` raises."""
    if options.drift_reference:
        return Collector(scorer, None)
    if options.drift:
        return Collector(scorer, summarising.reference(scorer.classifier.predictor), options.fail_on_drift)
    return None


class Collector:
    """Takes a random sample of rows while they are answered: those of the smallest random numbers, one of which each row has.

    At the end it compares them with the `reference`; without one it keeps their summaries in the predictor's folder.
    """

    def __init__(self, scorer: Scorer, reference: Summaries | None, fails: bool = False) -> None:
        self._scorer, self._reference, self._fails = scorer, reference, fails
        self._rng, self._limit, self._rows = np.random.default_rng(0), 1.0, 0
        self._kept: list[tuple[np.ndarray, ...]] = []  # random numbers, descriptions, answers of some rows

    def __call__(self, block: Block, answers: np.ndarray) -> None:
        """Take a block with the answers of its rows."""
        rows = np.delete(np.arange(len(answers)), list(block.notes))
        self._rows += len(rows)
        numbers = self._rng.random(len(rows))
        near = numbers < self._limit
        if not near.any():
            return
        texts = [block.texts[row] or "" for row in rows[near]]
        described = summarising.describe(self._scorer.classifier.tokenizer, texts, self._scorer.manifest)
        self._kept.append((numbers[near], described, answers[["answer", "confidence"]][rows[near]]))
        if sum(len(numbers) for numbers, *_ in self._kept) > 2 * MOST_ROWS:
            self._cut()

    def _cut(self) -> None:
        columns = [np.concatenate(column) for column in zip(*self._kept, strict=True)]
        nearest = np.argsort(columns[0])[:MOST_ROWS]
        self._kept = [tuple(column[nearest] for column in columns)]
        if len(nearest) == MOST_ROWS:
            self._limit = float(columns[0][nearest[-1]])

    def finish(self, sources: Sequence[Source], say: Callable[[str], object]) -> tuple[Drift | None, HalfbertError | None]:
        """What has changed, where rows are compared, and what is to be raised once all is written."""
        if self._rows < FEWEST_ROWS:
            rows = f"{counted(self._rows, 'row')} with a text"
            return None, InputError(f"{rows}: too few to compare, which needs {FEWEST_ROWS}")
        self._cut()
        source = f"rows of {listed([Path(source.name).name for source in sources], 2)}"
        (_, described, answers), reference = self._kept[0], self._reference
        words, tokens, unknown = described.T
        labels = label_counts(self._scorer, answers)
        new = Summaries.of(source, words, tokens, answers["confidence"], labels, int(unknown.sum()))
        if reference is None:
            manifest.set_summaries(self._scorer.folder, new)
            say(f"kept in {self._scorer.folder.name}: summaries of {counted(new.rows, 'row')}, for --drift")
            return None, None
        found = Drift(reference.source, reference.rows, new.rows, self._scorer.manifest.labels, compare(reference, new))
        if self._fails and found.changed:
            changes = counted(len(found.changed), "change")
            return found, Drifted(f"rows have changed: {changes} beside {reference.rows:,} {reference.source}")
        return found, None
