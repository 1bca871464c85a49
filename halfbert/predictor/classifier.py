"""A saved predictor, behind any engine: `halfbert.load(folder, engine)` gives a `Classifier`.

It answers as ktrain's predictor does, in types, shapes and order, and reads no pickle (but for the engine `ktrain`, which is
ktrain). With the onnx engines it imports neither TensorFlow nor ktrain nor transformers.
"""

import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from halfbert.models.batching import EncodedTexts, batches_in_order_of_length
from halfbert.predictor import agreement, engines, manifest
from halfbert.scoring.probabilities import probabilities_of
from halfbert.system import console
from halfbert.system.errors import ArtefactError, InputError

TEXTS_AT_A_TIME = 4096  # tokenised and sorted together: memory does not grow with the number of texts
TEXTS_WITHOUT_PROGRESS = 64  # so few are answered before a bar could say anything
DEVICES = ("auto", "cpu", "gpu")


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
    engine: ktrain (unpickles: only for folders that you trust), keras, onnx, onnx-int8, torch; or auto, the fastest whose
        agreement with keras is proven in this folder's manifest, of onnx-int8, onnx and keras (on a GPU: keras).
    device: cpu, gpu, or auto: a GPU where the engine's library has one, the CPU otherwise; the onnx engines want to be asked.
    threads: of the engine and of the tokenizer; None takes every processor that this process may use.
    allow_disagreement: whether an engine may answer that was not compared with keras, or differs too much from it.

    Raises
    ------
    InputError: no such folder, engine or device.
    ArtefactError: the folder is altered, damaged or not safe to read; or the engine's agreement is not proven or too small.
    ResourceError: what the engine needs is not installed, or a GPU was asked for that it does not find.
    """
    if device not in DEVICES:
        raise InputError(f"device {device!r}: not known; there are {', '.join(DEVICES)}")
    if threads is not None and (type(threads) is not int or threads < 1):
        raise InputError(f"threads {threads!r}: expected a whole number from 1, or None")
    if threads is not None:
        os.environ["RAYON_NUM_THREADS"] = str(threads)  # the tokenizer's pool, made when it is first used
    predictor = manifest.check(Path(folder))
    engine = agreement.fastest(predictor, device) if engine == "auto" else engine
    module = engines.find(engine)
    if not allow_disagreement:
        agreement.require(predictor, engine)
    return Classifier(predictor, engine, module.load(predictor, device, threads))


class Classifier:
    """A predictor that is loaded behind an engine.

    Its answers hang neither on the order of the texts nor, beyond rounding, on their company.

    Attributes: `engine` and `device` in use; `predictor`, what the folder says of itself; `loaded`, the engine's functions;
    `texts_cut`, how many texts of the latest call were longer than maxlen (None with ktrain, which does not tell).
    """

    def __init__(self, predictor: manifest.Predictor, engine: str, loaded: engines.Loaded):
        self.predictor, self.engine, self.loaded, self.device = predictor, engine, loaded, loaded.device
        self.texts_cut: int | None = None
        self._tokenizer = read_tokenizer(predictor)

    def get_classes(self) -> list[str]:
        """The labels, in the order of the columns of `predict_proba`."""
        return list(self.predictor.manifest.labels)

    def predict(self, texts: str | Iterable[str], return_proba: bool = False):
        """The answer to one text, or the answers to many in their order.

        An answer is the text's label; of a multi-label predictor the list, maybe empty, of the labels whose probability is
        at least their threshold (ktrain's own predict gives pairs of label and probability there). With `return_proba` it
        is the probabilities, as `predict_proba` gives them. A tuple is many texts, never a pair of sentences.

        Raises InputError where something is no text.
        """
        if return_proba:
            return self.predict_proba(texts)
        probabilities = self.predict_proba([texts] if isinstance(texts, str) else texts)
        labels = self.predictor.manifest.labels
        if self.predictor.manifest.task == "multilabel":
            reached = probabilities >= np.array(self.predictor.manifest.thresholds)
            answers = [list(itertools.compress(labels, row)) for row in reached]
        else:
            answers = [labels[number] for number in probabilities.argmax(axis=1)]
        return answers[0] if isinstance(texts, str) else answers

    def predict_proba(self, texts: str | Iterable[str]) -> np.ndarray:
        """(labels,) float32 probabilities of one text, (texts, labels) of many; of a multi-label predictor each on its own."""
        many = [texts] if isinstance(texts, str) else list(texts)
        for number, text in enumerate(many):
            if not isinstance(text, str):
                raise InputError(f"text {number + 1} of {len(many)} is of type {type(text).__name__}; expected a string")
        probabilities = self._probabilities(many)
        return probabilities[0] if isinstance(texts, str) else probabilities

    def encode(self, texts: list[str]) -> EncodedTexts:
        """Token ids of texts, in one call of the tokenizer (in Rust), cut as they were for training."""
        try:
            encoded = self._tokenizer.encode_batch_fast(texts)
        except TypeError:  # halves of surrogate pairs, which UTF-8 does not have: as question marks
            encoded = self._tokenizer.encode_batch_fast([text.encode("utf-8", "replace").decode() for text in texts])
        lengths = np.fromiter((len(one.ids) for one in encoded), np.int64, len(encoded))
        starts = np.concatenate([[0], np.cumsum(lengths)])
        ids = np.fromiter(itertools.chain.from_iterable(one.ids for one in encoded), np.int32, int(starts[-1]))
        special = self._tokenizer.num_special_tokens_to_add(is_pair=False)  # in every part of what was cut off, too
        left_out = [sum(len(part.ids) - special for part in one.overflowing) for one in encoded]
        return EncodedTexts(ids, starts, lengths + np.array(left_out, np.int64))

    def _probabilities(self, texts: list[str]) -> np.ndarray:
        if self.loaded.probabilities is not None:
            empty = np.empty((0, len(self.predictor.manifest.labels)), np.float32)
            return self.loaded.probabilities(texts) if texts else empty
        self.texts_cut = 0
        probabilities = np.empty((len(texts), len(self.predictor.manifest.labels)), np.float32)
        answered = self._answer(texts, probabilities)
        if len(texts) > TEXTS_WITHOUT_PROGRESS:
            answered = console.progress(answered, len(texts), "predicting")
        for _ in answered:
            pass
        return probabilities

    def _answer(self, texts: list[str], probabilities: np.ndarray) -> Iterator[int]:
        """Fill in the probabilities, batch by batch; gives the number of each text that is answered."""
        for start in range(0, len(texts), TEXTS_AT_A_TIME):
            encoded = self.encode(texts[start : start + TEXTS_AT_A_TIME])
            self.texts_cut += int(np.sum(encoded.full_lengths > encoded.lengths))
            for rows in batches_in_order_of_length(encoded.lengths, self.loaded.tokens_per_batch):
                logits = self.loaded.logits(*encoded.padded(rows))
                probabilities[start + rows] = probabilities_of(logits, self.predictor.manifest.task)
                yield from rows


def read_tokenizer(predictor: manifest.Predictor):
    """The predictor's tokenizer, set to cut at its maxlen: the first maxlen - 1 tokens, then [SEP].

    Raises ArtefactError where it cannot be read, or knows more tokens than the model.
    """
    from tokenizers import Tokenizer

    file = predictor.folder / manifest.TOKENIZER
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises nothing narrower
        raise ArtefactError(f"{file}: cannot be read ({error})") from error
    known, words = tokenizer.get_vocab_size(), predictor.config.get("vocab_size")
    if type(words) is not int or known > words:
        raise ArtefactError(f"{file}: knows {known} tokens, the model {words}")
    tokenizer.no_padding()
    tokenizer.enable_truncation(predictor.manifest.maxlen)
    return tokenizer
