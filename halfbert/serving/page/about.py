"""What the page shows of a predictor beside its answers: the model card, the rates it can guarantee, the run's pictures."""

import json
from dataclasses import dataclass
from pathlib import Path

from halfbert.output.record import RECORD
from halfbert.predictor.manifest import Manifest
from halfbert.scoring.review import MAX_ERRORS
from halfbert.serving.served import Generation
from halfbert.system.errors import InputError

CARD = "README.md"
LONGEST_CARD = 100_000  # bytes


@dataclass(frozen=True)
class About:
    """`card` is Markdown, None without one; `max_errors` are those of MAX_ERRORS that can be guaranteed, `pictures` names."""

    card: str | None
    max_errors: list[float]
    pictures: list[str]


def about(generation: Generation) -> About:
    """What there is to show of a predictor."""
    folder = generation.classifier.predictor.folder
    return About(_card(folder), _max_errors(generation), list(pictures(folder, generation.manifest)))


def _card(folder: Path) -> str | None:
    try:
        with (folder / CARD).open("rb") as file:
            return file.read(LONGEST_CARD).decode("utf-8", "replace")
    except OSError:
        return None


def _max_errors(generation: Generation) -> list[float]:
    possible = []
    for max_error in MAX_ERRORS:
        try:
            generation.reviewer(max_error)
        except InputError:
            continue
        possible.append(max_error)
    return possible


def pictures(folder: Path, stated: Manifest) -> dict[str, Path]:
    """The pictures of a predictor's run by file name, if its results are where training puts them by default.

    Those of another run, which has other scores, are none.
    """
    results = folder.resolve().parent.parent / "results" / stated.task / folder.resolve().name
    try:
        record = json.loads((results / RECORD).read_text(encoding="utf-8"))
        scores = record["test"]
        if not stated.test or any(scores.get(name) != score for name, score in stated.test.items()):
            return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return {file.name: file for file in sorted(results.glob("*.png"))}
