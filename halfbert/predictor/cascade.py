"""Small first, big when unsure: `halfbert.cascade(small, big)` answers as `halfbert.load(folder)` does, with two predictors.

Shapes: T texts, L labels, in the order of the small predictor.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from halfbert.data.phrases import counted, listed
from halfbert.predictor import validated
from halfbert.predictor.classifier import Classifier, Texts, load
from halfbert.scoring import cascades
from halfbert.scoring.cascades import MARGIN, Cut, Paired
from halfbert.scoring.review import answered_labels, row_confidence
from halfbert.system.errors import InputError


@dataclass(frozen=True)
class Cascaded:
    """What the predictor that answered says of each text: (T, L) probabilities, as they are and calibrated, and bool answers.

    `confidence`, (T,), is how likely each answer is right, `passed_on`, (T,), whether the big predictor gave it.
    """

    probabilities: np.ndarray
    calibrated: np.ndarray
    answered: np.ndarray
    confidence: np.ndarray
    passed_on: np.ndarray


class Cascade:
    """A small predictor, and a big one for the texts that the small one is not sure of.

    Attributes: `small` and `big`, the classifiers, and their `names`; `cut`, with the figures it was chosen by; `line`, what it
    comes to, in words; `passed_on`, the share of the latest call's texts that the big one answered.
    """

    def __init__(self, small: Classifier, big: Classifier, cut: Cut, order: Sequence[int]):
        self.small, self.big, self.cut = small, big, cut
        self._order = np.array(order)  # of the big one's labels
        self.names = _names(small, big)
        self.passed_on = 0.0

    def get_classes(self) -> list[str]:
        """The labels, in the order of the columns of `predict_proba`."""
        return self.small.get_classes()

    def predict(self, texts: Texts, return_proba: bool = False) -> Any:
        """As `Classifier.predict`. Raises InputError if something is no text."""
        many, is_one = self.small.read(texts)
        found = self.answer(many)
        if return_proba:
            return found.probabilities[0] if is_one else found.probabilities
        labels = self.get_classes()
        answers: list[Any] = [[label for label, yes in zip(labels, row, strict=True) if yes] for row in found.answered]
        if self.small.predictor.manifest.task == "multiclass":
            answers = [labels[number] for number in found.probabilities.argmax(axis=1)]
        for number in self.small.without_text(many):
            answers[number] = None
        return answers[0] if is_one else answers

    def predict_proba(self, texts: Texts) -> np.ndarray:
        """As `Classifier.predict_proba`, of whichever predictor answers a text."""
        return self.predict(texts, return_proba=True)

    def confidence(self, texts: Texts) -> Any:
        """As `Classifier.confidence`, of whichever predictor answers a text."""
        many, is_one = self.small.read(texts)
        confidence = self.answer(many).confidence
        confidence[self.small.without_text(many)] = np.nan
        return float(confidence[0]) if is_one else confidence

    def answer(self, texts: list[str], advance: Callable[[int], object] | None = None) -> Cascaded:
        """All that there is to say of the answers; `advance` is called as by `Classifier.probabilities`.

        A predictor that answers nothing by the cut does not run.
        """
        if self.cut.confidence == math.inf:
            found = self._of_big(texts, advance)
        else:
            found = _of(self.small, self.small.probabilities(texts, advance=advance), False)
            passed_on = np.flatnonzero(self.cut.passes(found.confidence))
            if len(passed_on):
                again = self._of_big([texts[number] for number in passed_on])
                for name, values in vars(found).items():
                    values[passed_on] = getattr(again, name)
        self.passed_on = float(found.passed_on.mean()) if texts else 0.0
        return found

    def _of_big(self, texts: list[str], advance: Callable[[int], object] | None = None) -> Cascaded:
        found = _of(self.big, self.big.probabilities(texts, advance=advance), True)
        by_label = {name: getattr(found, name)[:, self._order] for name in ("probabilities", "calibrated", "answered")}
        return Cascaded(**{**vars(found), **by_label})

    @property
    def line(self) -> str:
        """What the cut comes to, in words."""
        (small, big), cut = self.names, self.cut
        scores = f"{small} alone {cut.small_score:.3f}, {big} {cut.big_score:.3f}"
        of_rows = counted(cut.rows, "validation row")
        if cut.confidence == 0:
            return f"{small} answers every row: by {of_rows} {big} is not worth passing any on to (macro F1: {scores})"
        if cut.confidence == math.inf:
            return f"{big} answers every row: by {of_rows} no cascade is good enough (macro F1: {scores})"
        passed_on = f"{cut.passed_on:.1%} of {of_rows}, with macro F1 {cut.score:.3f} ({scores})"
        return f"rows with a confidence below {cut.confidence:.1%} are passed on to {big}: {passed_on}"


def cascade(
    small: str | Path | Classifier,
    big: str | Path | Classifier,
    margin: float = MARGIN,
    validation: tuple[Iterable[Any], Iterable[Any]] | None = None,
    **how: Any,
) -> Cascade:
    """Load two predictors as one: the small one answers where its confidence is above a cut, the big one the rest.

    The cut passes on as few texts as can be, while on validation rows the cascade's macro F1 is within `margin` of the big
    predictor's.

    Parameters
    ----------
    small, big: predictors of the same labels: folders, or loaded by `halfbert.load`.
    margin: a number from 0 to 1.
    validation: texts and their labels (many labels: lists of them) that neither predictor learned from, to choose the cut by;
        None takes the validation rows of their training, as far as both have the same.
    how: engine, device, threads of `halfbert.load`, for folders.

    Raises
    ------
    InputError: the predictors do not fit each other, or there are too few rows to choose the cut by.
    ArtefactError, ResourceError: as `halfbert.load`.
    """
    if not isinstance(margin, int | float) or not 0 <= margin <= 1:
        raise InputError(f"margin {margin!r}: expected a number from 0 to 1")
    one, other = (each if isinstance(each, Classifier) else load(each, **how) for each in (small, big))
    order = check(one, other)
    if validation is not None:
        texts, labels = validation
        rows = _answered(one, other, order, texts, labels)
    else:
        of_each = validated.of(one.predictor), validated.of(other.predictor)
        rows = validated.paired(*of_each, order, _names(one, other), validated.REMEDY)
    return Cascade(one, other, cascades.choose(rows, float(margin)), order)


def check(small: Classifier, big: Classifier) -> list[int]:
    """Where each label of the small predictor is among the big one's. Raises InputError where the two are no pair."""
    one, other = small.predictor, big.predictor
    if one.weights_sha256 == other.weights_sha256:
        raise InputError(f"{other.folder}: is the same predictor as {one.folder}; a cascade needs two")
    if one.manifest.task != other.manifest.task:
        tasks = f"{one.manifest.task} and {other.manifest.task}"
        raise InputError(f"{one.folder} and {other.folder}: one is for {tasks}; a cascade needs two of the same task")
    labels, others = one.manifest.labels, other.manifest.labels
    if only := [label for label in labels if label not in others] or [label for label in others if label not in labels]:
        where = one if only[0] in labels else other
        which = f"{listed([repr(label) for label in only], 3)} of {where.folder} only"
        raise InputError(f"{one.folder} and {other.folder}: have different labels ({which}); a cascade needs the same")
    joined = [each.manifest.text_columns if len(each.manifest.text_columns) > 1 else [] for each in (one, other)]
    if joined[0] != joined[1]:
        raise InputError(f"{one.folder} and {other.folder}: join different text columns; a cascade needs the same")
    return [others.index(label) for label in labels]


def _of(classifier: Classifier, probabilities: np.ndarray, passed_on: bool) -> Cascaded:
    stated = classifier.predictor.manifest
    answered = answered_labels(probabilities, stated.thresholds)
    calibrated = stated.calibration.apply(probabilities) if stated.calibration else probabilities.astype(np.float64)
    confidence = row_confidence(calibrated, answered)
    return Cascaded(probabilities, calibrated, answered, confidence, np.full(len(probabilities), passed_on))


def _answered(small: Classifier, big: Classifier, order: list[int], texts: Iterable[Any], labels: Iterable[Any]) -> Paired:
    """Both predictors' answers to labelled rows. Raises InputError where these are too few, or labels are unknown."""
    many, known = small.read(texts)[0], small.get_classes()
    rows = [[label] if isinstance(label, str) else list(label) for label in labels]
    if len(rows) != len(many) or len(many) < cascades.LEAST_ROWS:
        found = f"{counted(len(many), 'text')} and labels of {len(rows):,}"
        raise InputError(f"validation: expected as many labels as texts, and at least {cascades.LEAST_ROWS}; found {found}")
    if unknown := [label for row in rows for label in row if label not in known]:
        raise InputError(f"validation: {unknown[0]!r} is no label of the predictors")
    truth = np.array([[label in row for label in known] for row in rows])
    one, other = (_of(each, each.probabilities(many), False) for each in (small, big))
    return Paired(truth, one.answered, other.answered[:, order], one.confidence)


def _names(small: Classifier, big: Classifier) -> tuple[str, str]:
    """What the predictors are called: the names of their folders, with those above where these are the same."""
    one, other = (each.predictor.folder.resolve().parts for each in (small, big))
    depth = next((depth for depth in range(1, len(one) + 1) if one[-depth:] != other[-depth:]), 1)
    return "/".join(one[-depth:]), "/".join(other[-depth:])
