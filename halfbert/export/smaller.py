"""A predictor's ONNX graph in a sixth of its bytes, for files that are downloaded: layers in int8, words in 8 bits or in 2.

Which words have 8 bits is decided by texts of the kind that are to be answered: training texts, or others without labels. No
word is dropped: with a vocabulary cut to what the texts use, unseen words would be read by the letter. What that costs is in
docs/device.md, beside what these bits cost.
"""

import dataclasses
import itertools
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from halfbert.data.phrases import counted
from halfbert.export.texts import read as read_texts
from halfbert.models import batching, onnx_graph, onnx_storage, weights
from halfbert.options import ExportOptions
from halfbert.predictor import classifier, engines, manifest, proving
from halfbert.predictor.engines import onnx
from halfbert.predictor.manifest import Predictor
from halfbert.system.console import say
from halfbert.system.errors import ArtefactError, InputError

FINE_WORDS = 3800  # that have 8 bits: with these the mini DistilBERT stays below 10 MB
OTHER_BITS = (2, 4, 8)  # in the order in which they are tried
KERNEL_BITS = 8  # browsers' and phones' processors add products in 32 bits
ENGINE = "onnx-int8"  # whose agreement is required
CHECKED_SHARE = 5  # one text in so many
UNUSED = "[unused"  # no text is ever given these pieces


@dataclass(frozen=True)
class Smaller:
    """The bits of each word, (V,), and how answers with them compare with the reference's on `rows` texts."""

    word_bits: np.ndarray
    other_bits: int
    rows: int
    equal_decisions: float
    largest_difference: float

    @property
    def line(self) -> str:
        """What was chosen, for the console."""
        fine, equal = int((self.word_bits == 8).sum()), f"{self.equal_decisions:.2%} of {self.rows:,} decisions equal to keras"
        return f"{fine:,} words in 8 bits, the others in {self.other_bits}: {equal}"


def made(predictor: Predictor, options: ExportOptions, wide_inputs: bool = False) -> bytes:
    """The graph that `options` ask for; says what was chosen. Raises what `choose` does, and InputError for texts."""
    chosen = choose(predictor, read_texts(options), options.allow_disagreement, options.threads)
    say(chosen.line)
    return write(predictor, chosen, wide_inputs)


def write(predictor: Predictor, chosen: Smaller, wide_inputs: bool = False) -> bytes:
    """The graph of the words' bits, as `onnx_graph.write` does, for texts of at most the predictor's maxlen."""
    return onnx_storage.in_8_bits(int8_graph(predictor, wide_inputs), chosen.word_bits)


def choose(predictor: Predictor, texts: Sequence[str], allow_disagreement: bool = False, threads: int | None = None) -> Smaller:
    """The fewest bits with which answers agree with those of Keras; with `allow_disagreement` the fewest.

    A fifth of the texts, at most `proving.MOST_TEXTS`, does not choose words but is answered, so that the comparison holds for
    texts to come. Raises InputError if there are too few texts, ArtefactError if no graph agrees, ResourceError as
    `halfbert.load` does.
    """
    checked = list(texts[::CHECKED_SHARE])[: proving.MOST_TEXTS]
    if len(texts) < 2 * CHECKED_SHARE:
        raise InputError(
            f"{counted(len(texts), 'text')}: expected {2 * CHECKED_SHARE} at least, of the kind that are to be answered"
        )
    choosing = [text for number, text in enumerate(texts) if number % CHECKED_SHARE or number >= CHECKED_SHARE * len(checked)]
    reference = classifier.load(predictor.folder, proving.reference_for(predictor), "cpu", threads)
    expected, stated = reference.predict_proba(checked), predictor.manifest
    graph, fine = int8_graph(predictor), most_used(predictor, choosing)
    tried, required = "", engines.find(ENGINE).least_equal or 0
    for other_bits in OTHER_BITS:
        bits = word_bits(predictor, fine, other_bits)
        session = onnx.open_session(onnx_storage.in_8_bits(graph, bits), threads)
        answers = reference.with_forward(onnx.forward_of(session)).predict_proba(checked)
        equal, largest = proving.compare(expected, answers, stated.thresholds)
        if equal >= required or allow_disagreement:
            return Smaller(bits, other_bits, len(checked), equal, largest)
        tried += f"{', ' if tried else ''}{equal:.2%} with {other_bits} bits"
    raise ArtefactError(
        f"{predictor.folder}: too few of {len(checked):,} decisions equal those of {reference.engine}: {tried} a word; "
        f"{required:.0%} are required; --allow-disagreement takes 2 bits all the same"
    )


def int8_graph(predictor: Predictor, wide_inputs: bool = False) -> bytes:
    """The graph in int8 products, of the positions that the predictor's texts have."""
    encoder = weights.read(predictor.folder)
    positions = encoder.weights["positions"][: predictor.manifest.maxlen]
    shorter = dataclasses.replace(encoder, weights={**encoder.weights, "positions": positions})
    return onnx_graph.write(shorter, KERNEL_BITS, wide_inputs=wide_inputs)


def most_used(predictor: Predictor, texts: Sequence[str], words: int = FINE_WORDS) -> list[int]:
    """The numbers of the words that most texts have, so many at most."""
    return [word for word, _ in counted_pieces(predictor, texts).most_common(words)]


def counted_pieces(predictor: Predictor, texts: Sequence[str]) -> Counter[int]:
    """In how many texts, as they are truncated, each word's number is."""
    tokenizer, stated = classifier.read_tokenizer(predictor), predictor.manifest
    encoded, _ = batching.encode(tokenizer, texts, stated.maxlen, stated.long)
    having: Counter[int] = Counter()
    for start, end in itertools.pairwise(encoded.starts):
        having.update(set(encoded.ids[start:end].tolist()))
    return having


def word_bits(predictor: Predictor, fine: Sequence[int], other_bits: int) -> np.ndarray:
    """(V,) of how many bits each word has: 8 if it is `fine`, else `other_bits`, and 0 if no text can have it."""
    bits = np.full(predictor.config["vocab_size"], other_bits, np.uint8)
    vocabulary = json.loads((predictor.folder / manifest.TOKENIZER).read_text(encoding="utf-8"))["model"]["vocab"]
    bits[[number for piece, number in vocabulary.items() if piece.startswith(UNUSED)]] = 0
    bits[np.array(fine, int)] = 8
    return bits
