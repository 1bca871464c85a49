"""A saved predictor, behind any engine: `halfbert.load(folder, engine)` gives a `Classifier`.

It answers as ktrain's predictor does, in types, shapes and order, and reads no pickle (except with the engine `ktrain`, which
is ktrain). With the onnx engines it imports neither TensorFlow nor ktrain nor transformers.
"""

import dataclasses
import functools
import itertools
import os
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from halfbert.data.cells import is_missing
from halfbert.data.characters import is_blank
from halfbert.data.texts import SEPARATOR
from halfbert.models import batching
from halfbert.models.batching import EncodedTexts, Forward
from halfbert.predictor import engines, explaining, gate, manifest, rows
from halfbert.scoring.probabilities import probabilities_of
from halfbert.scoring.review import ReviewRule, answered_labels
from halfbert.system.errors import ArtefactError, InputError, ResourceError

# Tokenised and sorted together: at most so many texts, and no more once they have so many characters, so that memory grows
# neither with the number of texts nor, beyond the longest of them, with their length.
TEXTS_AT_A_TIME, CHARACTERS_AT_A_TIME = 4096, 2**23
TEXTS_WITHOUT_PROGRESS = 64  # answered before a bar could show anything
DEVICES = ("auto", "cpu", "gpu")
Texts = str | Iterable[Any]
EXPECTED = "expected a text, or a list, Series or array of texts"


def load(
    folder: str | Path,
    engine: str = "auto",
    device: str = "auto",
    threads: int | None = None,
    allow_disagreement: bool = False,
) -> "Classifier":
    """Check a predictor folder, file by file, and load it.

    Parameters
    ----------
    folder: what a training script wrote.
    engine: one of `halfbert.predictor.engines`: ktrain (unpickles: only for folders that you trust), keras, onnx, onnx-int8,
        litert, litert-int8, torch; or auto, the fastest that is installed and whose agreement with keras is proven in this
        folder's manifest, or keras itself: as measured on this processor with so many threads, if the manifest has that, else
        as declared. On a GPU that is keras, else torch, else onnx, whichever finds the GPU.
    device: cpu, gpu, or auto: a GPU if the engine's library has one, the CPU otherwise; the onnx engines use a GPU only on
        request.
    threads: of the engine and of the tokenizer; None takes every processor that this process may use.
    allow_disagreement: whether an engine may answer that was not compared with keras, or differs too much from it.

    Raises
    ------
    InputError: no such folder, engine or device.
    ArtefactError: the folder is altered, damaged or not safe to read; or the engine's agreement is not proven or too small.
    ResourceError: what the engine needs is not installed, or it does not find the requested GPU.
    """
    if device not in DEVICES:
        raise InputError(f"device {device!r}: not known; the devices are {', '.join(DEVICES)}")
    if threads is not None and (type(threads) is not int or threads < 1):
        raise InputError(f"threads {threads!r}: expected a whole number from 1, or None")
    if engine != "auto":
        engines.find(engine, besides=("auto",))
    source = _Source(Path(folder), engine, device, threads, allow_disagreement)
    here = _load(source)
    again = dataclasses.replace(
        source, folder=source.folder.absolute(), engine=here.engine, weights_sha256=here.predictor.weights_sha256
    )
    return Classifier(again, here)


@dataclass(frozen=True)
class Reviewed:
    """Answers to (texts,), how likely each is right, and whether a person is to see it; `line` says what the rule came to.

    A text that shows nothing has no answer (None, with a confidence of NaN), and nothing for a person to see.
    """

    answers: list[Any]
    confidence: np.ndarray
    review: np.ndarray
    line: str


@dataclass(frozen=True)
class _Source:
    """What a classifier is loaded from, here and in other processes."""

    folder: Path
    engine: str
    device: str
    threads: int | None
    allow_disagreement: bool
    weights_sha256: str | None = None  # None: whichever the folder holds
    maxlen: int | None = None  # None: the predictor's


@dataclass(frozen=True)
class _InMemory:
    """A predictor loaded in one process."""

    predictor: manifest.Predictor
    engine: str
    loaded: engines.Loaded
    tokenizer: Any
    process: int


def _load(source: _Source) -> _InMemory:
    if source.threads is not None:
        os.environ["RAYON_NUM_THREADS"] = str(source.threads)  # the tokenizer's pool, made when it is first used
    predictor = manifest.check(source.folder)
    if source.weights_sha256 not in (None, predictor.weights_sha256):
        raise ArtefactError(f"{source.folder}: its weights have changed since the classifier was pickled; load it again")
    tokenizer = read_tokenizer(predictor)
    names = gate.automatic(predictor, source.device, source.threads) if source.engine == "auto" else [source.engine]
    failure: ResourceError | None = None
    for name in names:
        if not source.allow_disagreement and (objection := gate.objection(predictor, name)):
            raise ArtefactError(objection)
        try:
            loaded = engines.require(name).load(predictor, source.device, source.threads)
            return _InMemory(predictor, name, loaded, tokenizer, os.getpid())
        except ResourceError as error:  # with auto: another engine may find the GPU
            failure = failure or error
    assert failure is not None
    raise failure


@functools.lru_cache(maxsize=8)
def _restore(source: _Source) -> "Classifier":
    """An unpickled classifier, the same one for equal pickles: a pool sends one with every task."""
    return Classifier(source)


class Classifier:
    """A predictor that is loaded behind an engine.

    Its answers depend neither on the order of the texts nor, beyond rounding, on the other texts. A pickled one is its folder,
    engine, device and threads, and is loaded from the folder when it first answers; so it is in a forked process.

    Attributes: `predictor`, what the folder states about itself; `engine` and `device` in use; `loaded`, the engine's
    functions; `texts_cut`, how many texts of the latest call were truncated (None with ktrain, which hides it).
    """

    def __init__(self, source: _Source, in_memory: _InMemory | None = None):
        self._source, self._in_memory = source, in_memory
        self.texts_cut: int | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self._source,)

    @property
    def _here(self) -> _InMemory:
        """What is loaded in this process; loads it if it is not."""
        if self._in_memory is None or self._in_memory.process != os.getpid():
            self._in_memory = _load(self._source)
        return self._in_memory

    @property
    def predictor(self) -> manifest.Predictor:
        return self._here.predictor

    @property
    def loaded(self) -> engines.Loaded:
        return self._here.loaded

    @property
    def engine(self) -> str:
        return self._here.engine

    @property
    def device(self) -> str:
        return self._here.loaded.device

    @property
    def threads(self) -> int | None:
        return self._source.threads

    def with_maxlen(self, maxlen: int) -> "Classifier":
        """The same classifier, but texts are truncated at another number of tokens."""
        return Classifier(dataclasses.replace(self._source, maxlen=maxlen), self._here)

    def with_forward(self, forward: Forward) -> "Classifier":
        """The same classifier for another thread: it has a tokenizer of its own, and `forward` answers its batches."""
        here = self._here
        loaded = dataclasses.replace(here.loaded, forward=forward)
        return Classifier(self._source, dataclasses.replace(here, loaded=loaded, tokenizer=read_tokenizer(here.predictor)))

    def get_classes(self) -> list[str]:
        """The labels, in the order of the columns of `predict_proba`."""
        return list(self.predictor.manifest.labels)

    def predict(self, texts: Texts, return_proba: bool = False) -> Any:
        """The answer to one text, or the answers to many in their order.

        An answer is the text's label; of a multi-label predictor the list, maybe empty, of the labels whose probability is
        at least their threshold (ktrain's own predict gives pairs of label and probability there). With `return_proba` it
        is the probabilities, as `predict_proba` gives them. The answer to a text that shows nothing, such as "" or " ", is
        None. Many texts are a list, tuple, Series, array or any other iterable
        of strings; a tuple is never a pair of sentences. A predictor of several text columns takes rows of them instead:
        `predict([("title", "body"), …])`, dicts by column, or a DataFrame with the columns.

        Raises InputError if something is no text.
        """
        many, is_one = self.read(texts)
        probabilities = self.probabilities(many, "predicting" if len(many) > TEXTS_WITHOUT_PROGRESS else None)
        if return_proba:
            return probabilities[0] if is_one else probabilities
        answers = self.answers(probabilities)
        for number in self.without_text(many):
            answers[number] = None
        return answers[0] if is_one else answers

    def predict_proba(self, texts: Texts) -> np.ndarray:
        """(labels,) float32 probabilities of one text, (texts, labels) of many; of a multi-label predictor each on its own.

        They are the network's, also of a text that shows nothing.
        """
        return self.predict(texts, return_proba=True)

    def answers(self, probabilities: np.ndarray) -> list[Any]:
        """The answers, as `predict` gives them, of (texts, labels) probabilities."""
        labels, thresholds = self.predictor.manifest.labels, self.predictor.manifest.thresholds
        if self.predictor.manifest.task == "multilabel":
            return [list(itertools.compress(labels, row)) for row in answered_labels(probabilities, thresholds)]
        return [labels[number] for number in probabilities.argmax(axis=1)]

    def confidence(self, texts: Texts) -> Any:
        """How likely the answer to one text is right, or (texts,) of many, by calibrated probabilities.

        Of an answer with several labels the mean over them; of one without any, 1 less the highest probability; NaN where
        there is no answer, as the text shows nothing. A predictor saved without calibration answers with the network's own
        probabilities; `review(texts).line` says so.
        """
        many, is_one = self.read(texts)
        confidence = self.review(many).confidence
        return float(confidence[0]) if is_one else confidence

    def review(self, texts: Iterable[str], **rule: Any) -> Reviewed:
        """The answers to texts, and which of them a person is to see, by a rule of `halfbert.scoring.review.ReviewRule`.

        `review(texts, max_error=0.05)`: with 95% certainty at most 5% of the answers that no person sees are wrong;
        `max_review=0.2`: the least confident 20% go to people; `cost_error=20, cost_review=1`: whatever costs least.

        Raises InputError if something is no text, if the rule is none, or if its guarantee cannot be given.
        """
        decides = self.predictor.manifest.reviewer(ReviewRule(**rule))
        many = self.read(texts)[0]
        probabilities = self.predict_proba(many)
        decided = decides.decide(probabilities)
        answers = self.answers(probabilities)
        for number in self.without_text(many):
            answers[number], decided.confidence[number], decided.review[number] = None, np.nan, False
        return Reviewed(answers, decided.confidence, decided.review, decides.line)

    def without_text(self, texts: list[str]) -> list[int]:
        """The numbers of the texts that show nothing, and so have no answer, as in a table that `prediction` answers."""
        several = len(self.predictor.manifest.text_columns) > 1
        return [number for number, text in enumerate(texts) if is_blank(text.replace(SEPARATOR, " ") if several else text)]

    def read(self, texts: Any) -> tuple[list[str], bool]:
        """The texts as a list, joined where there are several columns, and whether it is a single one. Raises InputError."""
        columns = self.predictor.manifest.text_columns
        return rows.read_rows(texts, columns) if len(columns) > 1 else read_texts(texts)

    def explain(
        self, texts: Texts, label: str | None = None, method: str = explaining.OCCLUSION, samples: int | None = None
    ) -> Any:
        """What each word of a text adds to a label, or the explanations of many texts; see `halfbert.predictor.explaining`.

        Parameters
        ----------
        label: the one to explain; None takes the likeliest of each text.
        method: occlusion, what the label's log-odds lose without each word; shapley, Shapley values of sampled orders of the
            words, which add up; gradients, integrated gradients (engine keras). docs/explain.md has how faithful and how fast.
        samples: orders that shapley draws (default 10), or steps of gradients (default 32).

        Raises InputError if something is no text, there is no such label or method, or the engine is ktrain.
        """
        many, is_one = self.read(texts)
        explaining.check(self, label, method, samples)
        found = [explaining.explain(self, text, label, method, samples) for text in many]
        return found[0] if is_one else found

    @property
    def tokenizer(self) -> Any:
        return self._here.tokenizer

    @property
    def maxlen(self) -> int:
        """Tokens at which texts are truncated, special ones included."""
        return self._source.maxlen or self.predictor.manifest.maxlen

    def encode(self, texts: list[str]) -> EncodedTexts:
        """Token ids of texts, truncated or in windows as they were for training."""
        return batching.encode(self.tokenizer, texts, self.maxlen, self.predictor.manifest.long)[0]

    def probabilities(
        self, texts: list[str], label: str | None = None, advance: Callable[[int], object] | None = None
    ) -> np.ndarray:
        """(texts, labels) float32 probabilities of a list of texts.

        `label` names the progress bar, None shows none; `advance` is called with the number of texts of each answered batch.
        """
        loaded, stated = self.loaded, self.predictor.manifest
        labels, multilabel = len(stated.labels), stated.task == "multilabel"
        if loaded.forward is None:
            assert loaded.probabilities is not None
            return loaded.probabilities(texts) if texts else np.empty((0, labels), np.float32)
        self.texts_cut = 0
        encoded = self._encoded(texts)

        def pool(part: EncodedTexts, of_rows: np.ndarray) -> np.ndarray:
            return part.pooled(of_rows, stated.pooling, multilabel)

        tokens = loaded.tokens_per_batch
        logits = batching.predict(encoded, len(texts), labels, loaded.forward, tokens, label, advance, pool)
        return probabilities_of(logits, stated.task).astype(np.float32)

    def _encoded(self, texts: list[str]) -> Iterator[EncodedTexts]:
        assert self.texts_cut is not None
        for some in portions(texts):
            encoded = self.encode(some)
            self.texts_cut += int(encoded.truncated.sum())
            yield encoded


def portions(texts: list[str]) -> Iterator[list[str]]:
    """The texts in their order, as many at a time as are encoded together."""
    some: list[str] = []
    characters = 0
    for text in texts:
        some.append(text)
        characters += len(text)
        if len(some) == TEXTS_AT_A_TIME or characters >= CHARACTERS_AT_A_TIME:
            yield some
            some, characters = [], 0
    if some:
        yield some


def read_tokenizer(predictor: manifest.Predictor) -> Any:
    """The predictor's tokenizer. Raises ArtefactError if it cannot be read, or knows more tokens than the model."""
    from tokenizers import Tokenizer

    file = predictor.folder / manifest.TOKENIZER
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises nothing narrower
        raise ArtefactError(f"{file}: cannot be read ({error})") from error
    known, words = tokenizer.get_vocab_size(), predictor.config.get("vocab_size")
    if type(words) is not int or known > words:
        raise ArtefactError(f"{file}: knows {known} tokens, the model {words}")
    return tokenizer


def read_texts(texts: Any) -> tuple[list[str], bool]:
    """The texts as a list, and whether they are a single one. Raises InputError, with what to do, if they are none."""
    if isinstance(texts, str):
        return [texts], True
    columns = getattr(texts, "column_names", getattr(texts, "columns", None))
    remedy = None
    if columns is not None:
        remedy = f"name one of its columns, as in table[name]: {reprlib.repr(list(columns))}"
    elif isinstance(texts, Mapping):
        remedy = "pass one of its values"
    elif isinstance(texts, (bytes, bytearray, memoryview)):
        remedy = "decode it, as in value.decode('utf-8')"
    elif isinstance(texts, (set, frozenset)):
        remedy = "it has no order that the answers could follow"
    elif getattr(texts, "ndim", 1) != 1:
        remedy = f"it has {texts.ndim} dimensions"
    if remedy:
        raise InputError(f"{type(texts).__name__}: {EXPECTED}; {remedy}")
    try:
        items = iter(texts.to_pylist() if hasattr(texts, "to_pylist") else texts)  # pyarrow's arrays hold scalars of its own
    except TypeError:
        raise InputError(f"{reprlib.repr(texts)} (of type {type(texts).__name__}): {EXPECTED}") from None
    many = list(items)
    for number, text in enumerate(many, start=1):
        if not isinstance(text, str):
            hint = "; drop missing texts, or put '' in their place" if is_missing(text) else ""
            raise InputError(f"text {number:,} of {len(many):,} is of type {type(text).__name__}, expected a string{hint}")
    return many, False
