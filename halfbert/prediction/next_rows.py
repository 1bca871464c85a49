"""--review: the rows most worth labelling, in a table to be appended to the training table once people have labelled them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from halfbert.data.formats import WRITTEN_SUFFIXES
from halfbert.data.phrases import counted, listed_names, row_word
from halfbert.data.tables import REVIEW_COLUMNS
from halfbert.data.texts import SEPARATOR
from halfbert.prediction import outputs
from halfbert.prediction.blocks import Block, Source
from halfbert.prediction.parquet import require
from halfbert.prediction.scorer import Column, Scorer
from halfbert.predictor.manifest import Manifest
from halfbert.predictor.next_labels import Candidate, Candidates, check_count
from halfbert.system import storage
from halfbert.system.errors import InputError

LABEL = "label"  # the column of training, where a predictor of an earlier version does not say


@dataclass(frozen=True)
class Guessed:
    """Where a row stands, and its answer: a label, or a list of labels."""

    place: str
    guess: Any
    confidence: float


class NextRows(Source):
    """Collects the rows while they are answered, and is the table of those that are chosen."""

    def __init__(self, file: Path, rows: int, scorer: Scorer, sources: Sequence[Source]) -> None:
        stated = scorer.manifest
        self.name, self._file, self._wanted, self._scorer = str(file), file, rows, scorer
        self._candidates = Candidates(scorer.classifier, rows)
        self.text_columns = stated.text_columns or sources[0].text_columns
        self._labels = label_columns(stated)
        self.columns = [*self.text_columns, *self._labels]
        self.kinds = ["text"] * len(self.columns)
        self._chosen: list[Candidate] = []
        self._seen = 0

    def __call__(self, block: Block, answers: np.ndarray) -> None:
        """Take a block with the answers of its rows."""
        rows = np.delete(np.arange(len(answers)), list(block.notes)).tolist()
        texts = [block.texts[row] or "" for row in rows]
        self._seen += len(block.texts)

        def guessed(index: int) -> Guessed:
            row = rows[index]
            (guess,) = self._scorer.guesses(answers["answer"][row : row + 1])
            name = block.source.name
            place = f"{Path(name).name} {row_word(name)} {block.numbers[row]}"
            return Guessed(place, guess, round(float(answers["confidence"][row]), 4))

        self._candidates.add(texts, answers["uncertainty"][rows], guessed)

    def blocks(self) -> Iterator[Block]:
        separator, empty = f" {SEPARATOR} ", [None] * len(self._labels)
        several = len(self.text_columns) > 1
        kept = [[*(each.text.split(separator) if several else [each.text]), *empty] for each in self._chosen]
        yield Block(self, range(1, len(kept) + 1), kept, [each.text for each in self._chosen])

    def values(self, block: Block) -> Iterable[Sequence[Any]]:
        return block.kept

    def write(self) -> list[str]:
        """Choose the rows and write them; returns lines for the user.

        Raises InputError where there are fewer rows than are wanted, or none to label.
        """
        check_count(self._wanted, self._seen)
        self._chosen = self._candidates.chosen()
        if not self._chosen:
            raise InputError(
                f"--review {self._wanted}: no row is left to label; all are blank or in the training table already"
            )
        stated = self._scorer.manifest
        guess = Column(REVIEW_COLUMNS[0], "text" if self._scorer.one_label else "texts", stated.labels)
        added = outputs.named([guess, Column(REVIEW_COLUMNS[1], "number"), Column(REVIEW_COLUMNS[2], "text")], [self])
        separator = stated.label_separator or self._scorer.separator
        with storage.atomic_file(self._file) as stream:
            tables = outputs.Tables([self], added, separator, stream, self._file.suffix.lower())
            guesses: list[Guessed] = [each.row for each in self._chosen]
            columns = [[getattr(each, name) for each in guesses] for name in ("guess", "confidence", "place")]
            for block in self.blocks():
                tables.write(block, columns)
            tables.close()
        return list(self._lines())

    def _lines(self) -> Iterator[str]:
        """What was chosen, in words."""
        known = self._candidates
        if not known.knows_training:
            yield "the predictor does not say which texts it was trained on: some of the rows to label may be among them"
        elif known.known:
            yield f"in the training table already: {counted(known.known, 'uncertain row')}, passed over"
        if self._scorer.one_label and self._scorer.manifest.label_column is None:
            yield f"the predictor does not say what its label column is called: {LABEL!r} is taken"
        if len(self._chosen) < self._wanted:
            yield f"to label next: {len(self._chosen):,} of {self._wanted:,}; the others repeat these, or are labelled or blank"
        yield f"to label next: {counted(len(self._chosen), 'row')} in {self._file}; fill in {listed_names(self._labels)}"


def label_columns(stated: Manifest) -> list[str]:
    """The columns that hold the labels in the training table."""
    if stated.task == "multilabel" and stated.label_column is None:
        return stated.labels
    return [stated.label_column or LABEL]


def collector(rows: int | None, file: Path | None, scorer: Scorer, sources: Sequence[Source]) -> NextRows | None:
    """What collects the rows where some are wanted."""
    return None if rows is None or file is None else NextRows(file, rows, scorer, sources)


def check(file: Path, rows: int, overwrite: bool, sources: Sequence[Source]) -> None:
    """Raise InputError where the file cannot be written, must not be replaced, or there are fewer rows than are wanted."""
    if file.suffix.lower() not in WRITTEN_SUFFIXES or file.suffix.lower() == outputs.MACROS:
        endings = ", ".join(suffix for suffix in WRITTEN_SUFFIXES if suffix != outputs.MACROS)
        raise InputError(f"--review-file {file}: tables are written as {endings}; give it one of these endings")
    if file.suffix.lower() == ".parquet":
        require(file)
    if any(Path(source.name).resolve() == file.resolve() for source in sources):
        raise InputError(f"--review-file {file}: is read as well; choose another name")
    if file.is_dir() or (file.exists() and not overwrite):
        raise InputError(f"--review-file {file}: already exists; --overwrite replaces it, or choose another name")
    counts = [source.rows for source in sources]
    if None not in counts:
        check_count(rows, sum(count or 0 for count in counts))
