"""The scorer: from texts to answers, and to the columns of a table. It travels to other processes as its options."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from halfbert.data.texts import text_of
from halfbert.output.words import shortened
from halfbert.predictor import engines, manifest
from halfbert.predictor.cascade import Cascade, cascade
from halfbert.predictor.classifier import Classifier, load
from halfbert.predictor.rows import as_parts
from halfbert.scoring import active_learning
from halfbert.scoring.cascades import MARGIN
from halfbert.scoring.review import Reviewer, ReviewRule, answered_labels
from halfbert.system.errors import InputError
from halfbert.system.machine import available_cpus, version_of

NO_TEXT = "no text"
REVIEW = ("review", "for review")  # in place of an answer that is left to a person: the first that is no label
NOTE = "note"
WORDS, WORD_LENGTH = 5, 32  # that explain an answer, and characters of one
DECIMALS = 6  # of a probability in a table
SEPARATORS = (";", "|", "\n")  # between labels in one cell: the first that is in no label


@dataclass(frozen=True)
class Column:
    """A column that is added to a table. `kind` is text, number or texts (a list a row); `words` may stand in it."""

    name: str
    kind: str
    words: Sequence[str] = ()


def usable(value: Any) -> tuple[str | None, str]:
    """The text of a cell as training reads it, and no reason; or None, and why it cannot be answered."""
    try:
        text = text_of(value)
    except InputError as error:
        return None, str(error).removeprefix(": ")
    return text, NO_TEXT if text is None else ""


@dataclass(frozen=True)
class Scorer:
    """Answers texts with a predictor, which is loaded at the first text: once in every process that a scorer travels to.

    Attributes
    ----------
    folder, engine, device, threads: as `halfbert.load` takes them.
    top: how many of the most probable labels are named, with their probabilities; 0: only the answer.
    every_probability: whether there is a column for each label's probability, as `predict_proba` gives it.
    rule: which rows are left to a person.
    explain: whether the words that add most to the likeliest label stand beside it.
    uncertainty: whether answers say how uncertain they are, for `next_rows`.
    then, margin: the predictor for the rows that this one is not sure of, as `halfbert.cascade` takes it; without rule and
        explanations.
    """

    folder: Path
    engine: str = "auto"
    device: str = "auto"
    threads: int | None = None
    top: int = 0
    every_probability: bool = False
    rule: ReviewRule = field(default_factory=ReviewRule)
    explain: bool = False
    uncertainty: bool = False
    then: Path | None = None
    margin: float = MARGIN

    def __reduce__(self) -> tuple[Any, ...]:
        state = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        if "classifier" in vars(self) and self.then is None:  # an engine that was chosen here answers everywhere
            state["engine"] = self.classifier.engine
        return _restored, (type(self), *state.values())

    @functools.cached_property
    def classifier(self) -> Classifier:
        """The predictor behind its engine."""
        return load(self.folder, self.engine, self.device, self.threads)

    @functools.cached_property
    def cascade(self) -> Cascade | None:
        """Both predictors as one; None where there is no second. Raises InputError if they do not fit each other."""
        if self.then is None:
            return None
        return cascade(self.classifier, load(self.then, self.engine, self.device, self.threads), self.margin)

    @property
    def line(self) -> str:
        """What rule or cascade come to, in words; empty if there is nothing to say."""
        return self.cascade.line if self.cascade else self.decider.line

    @functools.cached_property
    def manifest(self) -> manifest.Manifest:
        return self.classifier.predictor.manifest

    @property
    def one_label(self) -> bool:
        """Whether each text has one label, rather than any number."""
        return self.manifest.task == "multiclass"

    @functools.cached_property
    def decider(self) -> Reviewer:
        """The rule, ready for this predictor. Raises InputError if it does not fit, or its guarantee cannot be given."""
        return self.manifest.reviewer(self.rule)

    @functools.cached_property
    def review_word(self) -> str:
        """What stands in place of an answer that is left to a person."""
        return next((word for word in REVIEW if word not in self.manifest.labels), REVIEW[-1])

    @functools.cached_property
    def separator(self) -> str:
        """What stands between two labels in one cell."""
        return next((sign for sign in SEPARATORS if not any(sign in label for label in self.manifest.labels)), SEPARATORS[-1])

    @functools.cached_property
    def kind(self) -> np.dtype:
        """The type of one answer."""
        labels = len(self.manifest.labels)
        named = min(self.top, labels)
        fields: list[Any] = [("answer", "<i4") if self.one_label else ("answer", "u1", ((labels + 7) // 8,))]
        fields += [("confidence", "<f4"), ("review", "?")]
        fields += [("passed_on", "?")] if self.then else []
        fields += [("top", "<i4", (named,)), ("top_confidence", "<f4", (named,))] if named else []
        fields += [("probabilities", "<f4", (labels,))] if self.every_probability else []
        fields += [("uncertainty", "<f4", (1 if self.one_label else labels,))] if self.uncertainty else []
        if self.explain:
            fields += [("likeliest", "<i4"), ("words", f"<U{WORD_LENGTH}", (WORDS,)), ("added", "<f4", (WORDS,))]
        return np.dtype(fields)

    def made_by(self) -> dict[str, Any]:
        """What decides the answers beside the texts; answers made by the same may be mixed."""
        made_by = {**_made_by(self.classifier, self.threads), "decided by": [repr(self.decider), repr(self.kind)]}
        if self.cascade:
            big, cut = self.cascade.big, self.cascade.cut.confidence
            made_by["then"] = {**_made_by(big, self.threads), "decided by": [repr(big.predictor.manifest.reviewer()), cut]}
        return made_by

    def answer(self, texts: list[str], advance: Callable[[int], object] | None = None) -> tuple[np.ndarray, int]:
        """(texts,) answers of the type `kind`, and how many of the texts were truncated (0 where the engine hides it)."""
        answers = np.zeros(len(texts), self.kind)
        if self.cascade:
            found = self.cascade.answer(texts, advance)
            probabilities, calibrated, answered = found.probabilities, found.calibrated, found.answered
            answers["confidence"], answers["passed_on"] = found.confidence, found.passed_on
        else:
            probabilities = self.classifier.probabilities(texts, advance=advance)
            decided = self.decider.decide(probabilities)
            answered = answered_labels(probabilities, self.manifest.thresholds)
            answers["confidence"], answers["review"] = decided.confidence, decided.review
            calibrated = self.decider.calibrated(probabilities) if self.top else probabilities
        answers["answer"] = probabilities.argmax(axis=1) if self.one_label else np.packbits(answered, axis=1)
        if self.top:
            answers["top"] = np.argsort(-calibrated, axis=1, kind="stable")[:, : self.top]
            answers["top_confidence"] = np.take_along_axis(calibrated, answers["top"].astype(np.int64), axis=1)
        if self.every_probability:
            answers["probabilities"] = probabilities
        if self.uncertainty:
            answers["uncertainty"] = active_learning.uncertainty(probabilities, self.one_label)
        if self.explain:
            self._explain(texts, probabilities, answers)
        return answers, self.classifier.texts_cut or 0

    def _explain(self, texts: list[str], probabilities: np.ndarray, answers: np.ndarray) -> None:
        """Note the words that add most to each text's likeliest label, and what they add to its log-odds."""
        cut = self.classifier.texts_cut
        answers["likeliest"] = probabilities.argmax(axis=1)
        for text, answer in zip(texts, answers, strict=True):
            top = self.classifier.explain(text, self.manifest.labels[answer["likeliest"]]).top(WORDS)
            answer["words"][: len(top)] = [shortened(word.text, WORD_LENGTH) for word in top]
            answer["added"][: len(top)] = [word.contribution for word in top]
        self.classifier.texts_cut = cut

    def added(self) -> list[Column]:
        """The columns that answers fill, in their order."""
        labels = self.manifest.labels
        kind = "text" if self.one_label else "texts"
        columns = [Column("label" if self.one_label else "labels", kind, [*labels, self.review_word])]
        if self.decider.asks:
            columns.append(Column("best_guess", kind, labels))
        columns.append(Column("confidence", "number"))
        for place in self._places():
            columns += [Column(f"label_{place + 1}", "text", labels), Column(f"confidence_{place + 1}", "number")]
        if self.every_probability:
            columns += [Column(f"probability_{label}", "number", [label]) for label in labels]
        if self.explain:
            columns.append(Column("words", "text"))
        if self.cascade:
            columns.append(Column("answered_by", "text", self.cascade.names))
        return [*columns, Column(NOTE, "text")]

    def _places(self) -> range:
        """The places of the `top` labels that have columns; the first of one label a text is the answer."""
        return range(1 if self.one_label else 0, min(self.top, len(self.manifest.labels)))

    def columns(self, answers: np.ndarray, notes: Mapping[int, str]) -> list[list[Any]]:
        """The values of `added`, of rows with these answers; the rows in `notes` have none, and the note in its place."""
        found = self.guesses(answers["answer"])
        columns: list[list[Any]] = [found]
        if self.decider.asks:
            review: Any = self.review_word if self.one_label else [self.review_word]
            columns.insert(0, [review if asked else guess for guess, asked in zip(found, answers["review"], strict=True)])
        columns.append(_rounded(answers["confidence"]))
        for place in self._places():
            labels = self.manifest.labels
            columns += [[labels[number] for number in answers["top"][:, place]], _rounded(answers["top_confidence"][:, place])]
        if self.every_probability:
            columns += [_rounded(column) for column in answers["probabilities"].T]
        if self.explain:
            columns.append([", ".join(filter(None, words)) for words in answers["words"].tolist()])
        if self.cascade:
            columns.append([self.cascade.names[passed_on] for passed_on in answers["passed_on"].tolist()])
        for row in notes:
            for column in columns:
                column[row] = None
        return [*columns, [notes.get(row, "") for row in range(len(answers))]]

    def guesses(self, answers: np.ndarray) -> list[Any]:
        """The label of each row, or its list of labels, from the field "answer"."""
        labels = self.manifest.labels
        if self.one_label:
            return [labels[number] for number in answers]
        reached = np.unpackbits(answers, axis=1, count=len(labels)).astype(bool)
        return [[label for label, yes in zip(labels, row, strict=True) if yes] for row in reached]

    def score(self, values: Iterable[Any]) -> dict[str, list[Any]]:
        """The columns, by name, of the cells of one chunk of rows; equal texts are answered once.

        A predictor of several text columns takes a tuple, list or dict of cells a row.
        """
        columns = self.manifest.text_columns
        read = [usable(as_parts(value, columns) if len(columns) > 1 else value) for value in values]
        texts = list(dict.fromkeys(text for text, _ in read if text is not None))
        numbers = {text: number for number, text in enumerate(texts)}
        answers = np.append(self.answer(texts)[0], np.zeros(1, self.kind))  # the last one stands for no answer
        rows = answers[[numbers.get(text, -1) if text is not None else -1 for text, _ in read]]
        answered = self.columns(rows, {row: reason for row, (_, reason) in enumerate(read) if reason})
        return {column.name: values for column, values in zip(self.added(), answered, strict=True)}


def _made_by(classifier: Classifier, threads: int | None) -> dict[str, Any]:
    """What decides a predictor's probabilities and labels."""
    predictor, engine = classifier.predictor, engines.find(classifier.engine)
    return {
        **predictor.made_from(engine.recipe()),
        "tokenizer": predictor.manifest.files[manifest.TOKENIZER],
        "answers": [predictor.manifest.labels, predictor.manifest.thresholds, *predictor.manifest.lengths],
        "engine": [classifier.engine, classifier.device, threads or available_cpus()],
        "versions": {package: version_of(package) for package in ("halfbert", "numpy", *engine.packages)},
    }


def _rounded(probabilities: np.ndarray) -> list[Any]:
    return np.round(probabilities.astype(np.float64), DECIMALS).tolist()


_restored_here: dict[str, Scorer] = {}


def _restored(kind: type[Scorer], *values: Any) -> Scorer:
    """An unpickled scorer, the same one for equal pickles: a pool sends one with every task, and it loads its engine once."""
    return _restored_here.setdefault(repr((kind, values)), kind(*values))
