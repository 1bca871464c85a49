"""Rows of a run whose label is likely wrong, by answers to rows that a model did not learn from; and texts with two labels.

Shapes: R rows, L labels. Truth is (R, L) of 0 and 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from halfbert.data.checks import group_by_text
from halfbert.data.tables import Data, Rows
from halfbert.output.advice import LABEL_ERRORS, LabelErrors
from halfbert.output.words import counted, model_name
from halfbert.scoring import label_errors
from halfbert.system.console import say
from halfbert.training import tasks, tfidf
from halfbert.training.values import Prepared


@dataclass(frozen=True)
class Places:
    """Rows of one or several files: the name of the file, the number there and the text of each."""

    files: list[str]
    numbers: list[int]
    texts: list[str]

    @classmethod
    def of(cls, *parts: Rows) -> "Places":
        """The rows of some parts of a table."""
        files = [Path(rows.file).name for rows in parts for _ in rows.texts]
        return cls(
            files, [number for rows in parts for number in rows.numbers], [text for rows in parts for text in rows.texts]
        )

    def take(self, indices: Sequence[int]) -> "Places":
        """The rows at these indices."""
        files, numbers, texts = self.files, self.numbers, self.texts
        return Places([files[row] for row in indices], [numbers[row] for row in indices], [texts[row] for row in indices])


def search(prepared: Prepared, c: float) -> tuple[LabelErrors, list[dict[str, Any]]]:
    """The likely label errors among the rows of all parts, and the lines of LABEL_ERRORS.

    Each row is answered by TF-IDF with the inverse penalty `c`, fitted without the row and without texts equal to it. Raises
    ResourceError if that fails.
    """
    places, truth = Places.of(*(rows for _, rows in prepared.data.parts())), np.concatenate(list(prepared.truth.values()))
    size = tfidf.most_rows(truth.shape[1])
    if len(truth) > size:
        chosen = np.sort(np.random.default_rng(prepared.options.seed).choice(len(truth), size, replace=False))
        places, truth = places.take(chosen.tolist()), truth[chosen]
    with tfidf.fitting(prepared.options.threads):
        probabilities = tfidf.out_of_fold(places.texts, truth, prepared.task, c)
        lines = listed(prepared.task, places, truth, probabilities, prepared.data.labels)
    found = LabelErrors(len(lines), len(truth), "tfidf")
    announce(found, prepared.options.results)
    return found, lines


def listed(
    task: str, places: Places, truth: np.ndarray, probabilities: np.ndarray, labels: Sequence[str]
) -> list[dict[str, Any]]:
    """The lines of LABEL_ERRORS, by (R, L) probabilities of models that did not learn from the rows.

    Raises ValueError for a table that gives confident learning nothing to go by.
    """
    indices = label_errors.likely_errors(task, truth, probabilities)
    instead, confidence = label_errors.suggested(task, truth, probabilities)
    return [
        {
            "file": places.files[index],
            "row": places.numbers[index],
            "text": places.texts[index],
            "given": tasks.named(truth[index], labels),
            "suggested": tasks.named(instead[index], labels),
            "confidence": f"{confidence[index]:.4f}",
        }
        for index in indices
    ]


def announce(found: LabelErrors, results: Path) -> None:
    """Say how many there are, and where they are listed."""
    where = f": {results / LABEL_ERRORS}" if found.count else ""
    say(
        f"likely label errors: {found.count:,} of {counted(found.rows, 'row')}, by the answers of {model_name(found.source)} "
        f"to rows left out of a fit{where}"
    )


def conflicts(data: Data, task: str) -> list[dict[str, Any]]:
    """The lines of LABEL_CONFLICTS: the rows of equal texts that do not have the same label, those of a text together."""
    lines = []
    for _, rows in data.parts():
        for group in group_by_text(rows).values():
            if len({rows.labels[index] for index in group}) > 1:
                lines += [
                    {
                        "file": Path(rows.file).name,
                        "row": rows.numbers[index],
                        "text": rows.texts[index],
                        "label": "; ".join(rows.labels[index]) if task == "multilabel" else rows.labels[index],
                    }
                    for index in group
                ]
    return lines
