"""Rows of a run whose label is likely wrong, by answers to rows that a model did not learn from; and texts with two labels.

Shapes: R rows, L labels. Truth is (R, L) of 0 and 1.
"""

from collections.abc import Sequence
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


def places(rows: Rows) -> list[dict[str, Any]]:
    """The file, the number there and the text of each row, as the lines of LABEL_ERRORS begin."""
    file = Path(rows.file).name
    return [{"file": file, "row": number, "text": text} for number, text in zip(rows.numbers, rows.texts, strict=True)]


def search(prepared: Prepared, c: float) -> tuple[LabelErrors, list[dict[str, Any]]]:
    """The likely label errors among the rows of all parts, and the lines of LABEL_ERRORS. Raises as `by_tfidf`."""
    rows = [place for _, part in prepared.data.parts() for place in places(part)]
    truth = np.concatenate(list(prepared.truth.values()))
    size = tfidf.most_rows(truth.shape[1])
    if len(rows) > size:
        chosen = np.sort(np.random.default_rng(prepared.options.seed).choice(len(rows), size, replace=False))
        rows, truth = [rows[index] for index in chosen], truth[chosen]
    lines = by_tfidf(prepared.task, rows, truth, prepared.data.labels, c, prepared.options.threads)
    found = LabelErrors(len(lines), len(rows), "tfidf")
    announce(found, prepared.options.results)
    return found, lines


def by_tfidf(
    task: str, rows: list[dict[str, Any]], truth: np.ndarray, labels: Sequence[str], c: float, threads: int | None = None
) -> list[dict[str, Any]]:
    """`listed` by TF-IDF with the inverse penalty `c`, fitted without the row and without texts equal to it.

    Raises ResourceError where that fails.
    """
    with tfidf.fitting(threads):
        return listed(task, rows, truth, tfidf.out_of_fold([row["text"] for row in rows], truth, task, c), labels)


def listed(
    task: str, rows: list[dict[str, Any]], truth: np.ndarray, probabilities: np.ndarray, labels: Sequence[str]
) -> list[dict[str, Any]]:
    """Those of `rows` whose label is likely wrong, worst first, with the labels given and suggested and the confidence.

    `probabilities`, (R, L), are of models that did not learn from the rows. Raises ValueError for a table that gives confident
    learning nothing to go by.
    """
    indices = label_errors.likely_errors(task, truth, probabilities)
    instead, confidence = label_errors.suggested(task, truth, probabilities)
    return [
        {
            **rows[index],
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
