"""From what a client sent to texts, and from probabilities to what it gets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from halfbert.data.characters import is_blank
from halfbert.data.texts import SEPARATOR
from halfbert.models import batching
from halfbert.prediction.scorer import DECIMALS
from halfbert.predictor.rows import read_rows
from halfbert.scoring.review import answered_labels
from halfbert.serving.lane import Answered
from halfbert.serving.schemas import PredictRequest
from halfbert.serving.served import Generation
from halfbert.system.errors import InputError

KINDS = {type(None): "null", bool: "true or false", int: "a number", float: "a number", list: "an array", dict: "an object"}


@dataclass
class Asked:
    """The texts of a request: the distinct ones, for each text the number of its distinct one or None, and why it has none."""

    texts: list[str]
    places: list[int | None]
    problems: dict[int, dict[str, str]]


def read(items: Sequence[Any], columns: Sequence[str], most_characters: int) -> Asked:
    """The texts of a request; each item that is none, or too long, has its own problem."""
    numbers: dict[str, int] = {}
    places: list[int | None] = []
    problems: dict[int, dict[str, str]] = {}
    for number, item in enumerate(items):
        try:
            text = _text(item, columns, most_characters)
            places.append(numbers.setdefault(text, len(numbers)))
        except _NoText as error:
            places.append(None)
            problems[number] = {"code": error.code, "message": str(error)}
    return Asked(list(numbers), places, problems)


class _NoText(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def _text(item: Any, columns: Sequence[str], most_characters: int) -> str:
    if len(columns) > 1:
        try:
            text = read_rows([item], columns)[0][0]
        except InputError as error:
            raise _NoText("not_text", str(error).replace("row 1 of 1", "the row")) from None
    elif isinstance(item, str):
        text = item
    else:
        raise _NoText("not_text", f"expected a string, not {KINDS[type(item)]}")
    if len(text) > most_characters:
        raise _NoText("too_long", f"has {len(text):,} characters; at most {most_characters:,} are read")
    if is_blank(text.replace(SEPARATOR, " ") if len(columns) > 1 else text):
        raise _NoText("blank", "shows nothing that could be answered")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise _NoText("surrogate", f"character {error.start + 1:,} is half of a surrogate pair, which is no text") from None
    return text


@dataclass
class Counts:
    """What metrics count of one request's answers; `labels` is (labels,)."""

    answered: int
    failed: int
    reviewed: int
    cut: int
    tokens: int
    labels: np.ndarray


def answers(
    request: PredictRequest,
    asked: Asked,
    generation: Generation,
    answered: Answered | None,
    explained: Sequence[dict[str, Any]] | None = None,
) -> tuple[list[dict[str, Any]], Counts]:
    """The answer to each text, as JSON has it, and what to count of them."""
    stated = generation.manifest
    counts = Counts(0, 0, 0, 0, 0, np.zeros(len(stated.labels), np.int64))
    found = _distinct(request, generation, answered) if answered is not None else []
    if request.unread:
        _add_unread(found, asked.texts, generation)
    for answer, explanation in zip(found, explained or (), strict=False):
        if "error" not in answer:
            answer["explanation"] = explanation
    if answered is not None:
        places = np.array([place for place in asked.places if place is not None], np.int64)
        good = places[~answered.failed[places]]
        counts.answered, counts.failed = len(good), len(places) - len(good)
        counts.tokens, counts.cut = int(answered.tokens[good].sum()), int(answered.cut[good].sum())
        counts.reviewed = sum(found[place]["review"] for place in good)
        counts.labels = answered_labels(answered.probabilities, stated.thresholds)[good].sum(axis=0)
    answered_in_order = [
        {"error": asked.problems[number]} if place is None else found[place] for number, place in enumerate(asked.places)
    ]
    return answered_in_order, counts


def _distinct(request: PredictRequest, generation: Generation, answered: Answered) -> list[dict[str, Any]]:
    stated, reviewer = generation.manifest, generation.reviewer(request.max_error)
    probabilities = answered.probabilities
    decided = reviewer.decide(probabilities)
    one_label = stated.task == "multiclass"
    guesses = generation.classifier.answers(probabilities)
    confidence = np.round(decided.confidence, DECIMALS).tolist()
    found: list[dict[str, Any]] = []
    for number, guess in enumerate(guesses):
        if answered.failed[number]:
            found.append({"error": {"code": "failed", "message": "the engine gave no answer to this text"}})
            continue
        answer = {"label" if one_label else "labels": guess, "confidence": confidence[number]}
        answer["review"] = bool(decided.review[number])
        answer["tokens"] = int(answered.tokens[number])
        answer["cut_at"] = stated.maxlen if answered.cut[number] else None
        found.append(answer)
    if request.top:
        _add_top(found, request.top, stated.labels, reviewer.calibrated(probabilities))
    if request.probabilities:
        for answer, row in zip(found, np.round(probabilities.astype(np.float64), DECIMALS).tolist(), strict=True):
            if "error" not in answer:
                answer["probabilities"] = dict(zip(stated.labels, row, strict=True))
    return found


def _add_unread(found: list[dict[str, Any]], texts: Sequence[str], generation: Generation) -> None:
    stated = generation.manifest
    for answer, text in zip(found, texts, strict=False):
        if answer.get("cut_at") is not None:
            answer["unread"] = batching.unread(generation.classifier.tokenizer, text, stated.maxlen, stated.long)


def _add_top(found: list[dict[str, Any]], top: int, labels: Sequence[str], calibrated: np.ndarray) -> None:
    order = np.argsort(-calibrated, axis=1, kind="stable")[:, :top]
    values = np.round(np.take_along_axis(calibrated, order, axis=1), DECIMALS).tolist()
    for answer, numbers, row in zip(found, order.tolist(), values, strict=True):
        if "error" not in answer:
            answer["top"] = [{"label": labels[number], "confidence": value} for number, value in zip(numbers, row, strict=True)]
