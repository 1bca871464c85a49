"""The texts most worth labelling next, out of many: `label_next(classifier, texts, 200)`.

docs/review.md has how much better they teach than random ones.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from halfbert.data import equality
from halfbert.data.phrases import counted
from halfbert.models import batching
from halfbert.models.long_texts import Pooling
from halfbert.predictor import engines
from halfbert.predictor.classifier import Classifier, Texts, portions
from halfbert.scoring import active_learning
from halfbert.system.errors import ArtefactError, InputError


def label_next(classifier: Classifier, texts: Texts, rows: int) -> list[int]:
    """The indices of the texts that are most worth labelling, the least certain answer first.

    Texts that the predictor was trained, validated or tested on, that show nothing, or that repeat another of them are left
    out, so fewer than `rows` may be returned.

    Raises InputError if something is no text, or there are not so many.
    """
    many, _ = classifier.read(texts)
    check_count(rows, len(many))
    found = Candidates(classifier, rows)
    blank = set(classifier.without_text(many))
    usable = [number for number in range(len(many)) if number not in blank]
    probabilities = classifier.probabilities([many[number] for number in usable])
    one_label = classifier.predictor.manifest.task == "multiclass"
    found.add([many[number] for number in usable], active_learning.uncertainty(probabilities, one_label), usable.__getitem__)
    return [each.row for each in found.chosen()]


def check_count(rows: Any, of: int | None) -> None:
    """Raise InputError where so many rows cannot be chosen; `of` is how many there are, None where that is unknown."""
    if type(rows) is not int or rows < 1:
        raise InputError(f"{rows!r} rows to label next: expected a whole number from 1")
    if of is not None and rows > of:
        raise InputError(f"{counted(rows, 'row')} to label next: there are {of:,} only; ask for fewer")


@dataclass(frozen=True)
class Candidate:
    """A row that may be chosen: the uncertainty of its answer or of each label, its text, and what `add` was given of it."""

    uncertain: np.ndarray
    text: str
    row: Any


class Candidates:
    """Collects the least certain rows, as many as `active_learning.candidates` says, however many it is shown.

    `known`: rows passed over because their text stands in the predictor's training table. Raises ArtefactError if the
    predictor's digests of these texts are damaged.
    """

    def __init__(self, classifier: Classifier, rows: int) -> None:
        self._classifier, self._rows = classifier, rows
        self._most = active_learning.candidates(rows)
        self._found: dict[bytes, Candidate] = {}
        self._seen, self._sum = 0, np.zeros(1)  # rows, and their uncertainties
        self._least = -np.inf  # that a row must exceed, once there are as many as there is room for
        self.known = 0
        data = classifier.predictor.manifest.data
        self.knows_training = data.train_texts is not None
        try:
            self._trained = equality.unpacked("".join(filter(None, (data.train_texts, data.val_texts, data.test_texts))))
        except ValueError as error:
            raise ArtefactError(f"{classifier.predictor.folder}: its digests of texts are damaged ({error})") from error

    def add(self, texts: Sequence[str], uncertain: np.ndarray, row_of: Callable[[int], Any]) -> None:
        """Take rows and their (R, 1) or (R, L) uncertainties; `row_of` gives by index what is kept of a candidate."""
        self._seen, self._sum = self._seen + len(texts), self._sum + uncertain.sum(axis=0)
        for index in np.flatnonzero(self._scores(uncertain) > self._least).tolist():
            key = equality.digest(texts[index])
            if key[: equality.DIGEST_BYTES] in self._trained:
                self.known += 1
            elif key not in self._found:
                self._found[key] = Candidate(uncertain[index].copy(), texts[index], row_of(index))  # a view would keep all
                if len(self._found) >= 2 * self._most:
                    self._drop()

    def _scores(self, uncertain: np.ndarray) -> np.ndarray:
        return active_learning.balanced(uncertain, self._sum / max(self._seen, 1))

    def _drop(self) -> np.ndarray:
        """Keep as many as there is room for; returns their scores, falling."""
        items = list(self._found.items())
        scores = self._scores(np.array([each.uncertain for _, each in items])) if items else np.empty(0)
        order = np.argsort(-scores, kind="stable")[: self._most]
        self._found = dict(items[index] for index in order)
        if len(items) > self._most:
            self._least = float(scores[order[-1]])
        return scores[order]

    def chosen(self) -> list[Candidate]:
        """Those to label, the least certain first."""
        weights = self._drop()
        found = list(self._found.values())
        texts = [each.text for each in found]
        states = first_token_states(self._classifier, texts)
        return [found[index] for index in active_learning.choose(self._rows, weights, states, texts)]


def first_token_states(classifier: Classifier, texts: list[str]) -> np.ndarray:
    """(texts, h) float32: the last states of each text's first token, the mean over its windows where it has several.

    They are computed by the classifier's engine, or by onnx where that gives answers only.
    """
    device, load = classifier.device, engines.find(classifier.engine).load_states
    if load is None:
        device, load = "cpu", engines.require("onnx").load_states
    assert load is not None
    loaded = load(classifier.predictor, device, classifier.threads)
    assert loaded.forward is not None
    parts = (classifier.encode(some) for some in portions(texts))
    units = classifier.predictor.config.get("hidden_size") or classifier.predictor.config["dim"]

    def pool(part: batching.EncodedTexts, of_rows: np.ndarray) -> np.ndarray:
        return part.pooled(of_rows, Pooling("mean"), False)

    return batching.predict(parts, len(texts), units, loaded.forward, loaded.tokens_per_batch, None, pool=pool)
