"""Why a predictor answers as it does: what each word of a text adds to a label, by answers to the text without some words.

Any engine with a forward pass explains: variants of the text are token ids, which are tokenised once and answered in batches of
like length. What a variant is worth for a label is the label's log-odds, so that contributions add up, and do not vanish where
the answer is certain.
"""

import html
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from halfbert.data.phrases import listed
from halfbert.models import batching, long_texts
from halfbert.models.batching import EncodedTexts
from halfbert.models.long_texts import WINDOWS
from halfbert.scoring import attribution
from halfbert.scoring.probabilities import probabilities_of
from halfbert.system.errors import InputError

OCCLUSION, SHAPLEY, GRADIENTS = METHODS = ("occlusion", "shapley", "gradients")
ORDERS = 10  # of the words, for shapley
STEPS = 32  # of the line that gradients follows
LONGEST_TEXT = 2**17  # characters
JOINERS = "'’-‐‑_·."  # within a word, such as don't, e-mail, 3.5
IDEOGRAPHS = ("CJK UNIFIED IDEOGRAPH", "CJK COMPATIBILITY IDEOGRAPH")  # tokens of their own in BERT, as in print


@dataclass(frozen=True)
class Word:
    """A word of a text, which is text[start:end], and what it adds to the log-odds of the label; None if it was cut off."""

    text: str
    start: int
    end: int
    contribution: float | None


@dataclass(frozen=True)
class Explanation:
    """Why a text has a label, or has not: `words` in their order, the label's `probability`, and that of no words at all.

    The contributions of the method shapley add up to the log-odds of `probability` less those of `without_words`.
    """

    text: str
    label: str
    probability: float
    without_words: float
    words: list[Word]
    method: str

    def top(self, count: int = 5) -> list[Word]:
        """The words that add most to the label, the strongest first; those that speak against it are not among them."""
        for_it = [word for word in self.words if (word.contribution or 0) > 0]
        return sorted(for_it, key=lambda word: -(word.contribution or 0))[:count]

    def _repr_html_(self) -> str:
        """The text in a notebook: blue words speak for the label, orange ones against it, the stronger the darker."""
        strongest = max((abs(word.contribution or 0) for word in self.words), default=0) or 1
        pieces, place = [], 0
        for word in self.words:
            shade = (word.contribution or 0) / strongest
            colour = "0, 114, 178" if shade > 0 else "213, 94, 0"
            style = f"background: rgba({colour}, {0.65 * abs(shade):.2f})" if word.contribution is not None else "opacity: 0.5"
            title = f"{word.contribution:+.2f}" if word.contribution is not None else "cut off"
            pieces.append(html.escape(self.text[place : word.start]))
            pieces.append(f'<span style="{style}" title="{title}">{html.escape(word.text)}</span>')
            place = word.end
        pieces.append(html.escape(self.text[place:]))
        head = f"<b>{html.escape(self.label)}</b> {self.probability:.3f} (without words {self.without_words:.3f})"
        return f'<p>{head}</p><p style="white-space: pre-wrap">{"".join(pieces)}</p>'


def split_words(text: str) -> list[tuple[int, int]]:
    """Start and end of each word, punctuation mark and symbol of a text, in any script.

    A word is a run of letters, marks and digits, with apostrophes, hyphens and points between them; a Chinese character is one
    by itself; what joins and varies an emoji belongs to it.
    """
    spans: list[tuple[int, int]] = []
    kind_before = ""
    for place, sign in enumerate(text):
        kind = _kind(sign)
        extends = kind in ("mark", "join") or (kind == kind_before == "letter")
        if kind == "joiner" and kind_before == "letter" and place + 1 < len(text) and _kind(text[place + 1]) == "letter":
            extends, kind = True, "letter"
        if kind != "space":
            after_join = spans and spans[-1][1] == place and text[place - 1] == "\u200d"
            if (extends or after_join) and spans and spans[-1][1] == place:
                spans[-1] = (spans[-1][0], place + 1)
            else:
                spans.append((place, place + 1))
        kind_before = kind_before if kind in ("mark", "join") else kind
    return spans


def _kind(sign: str) -> str:
    """letter, mark, join (of emoji), joiner (of words), space, or other signs, which stand alone."""
    if sign in JOINERS:
        return "joiner"
    if sign.isascii():
        return "letter" if sign.isalnum() else "space" if sign.isspace() or not sign.isprintable() else "sign"
    category = unicodedata.category(sign)
    if sign == "\u200d" or "\U0001f3fb" <= sign <= "\U0001f3ff":  # zero width joiner, skin tones
        return "join"
    if category[0] == "M":
        return "mark"
    if category[0] == "L":
        return "ideograph" if unicodedata.name(sign, "").startswith(IDEOGRAPHS) else "letter"
    if category[0] == "N":
        return "letter"
    return "space" if category[0] in "ZC" else "sign"


class Variants:
    """The variants of one text that keep some of its words, and what a classifier makes of them.

    `rows`: for each window of the text (one, if it has no windows) the numbers of the tokens in it. `words`: those of the text.
    """

    def __init__(self, classifier: Any, text: str):
        tokenizer, stated = classifier.tokenizer, classifier.predictor.manifest
        if len(text) > LONGEST_TEXT:
            raise InputError(f"a text of {len(text):,} characters: at most {LONGEST_TEXT:,} can be explained")
        tokenizer.no_truncation()
        tokenizer.no_padding()
        encoding = tokenizer.encode(text.encode("utf-8", "replace").decode())
        self._classifier, self._ids = classifier, np.array(encoding.ids, np.int32)
        self.task, self.labels = stated.task, len(stated.labels)
        self.spans = split_words(text)
        self._word_of = _word_of_tokens(encoding.offsets, self.spans)
        tokens = list(range(len(self._ids)))
        self._rows = [np.array(row) for row in long_texts.kept(tokens, classifier.maxlen, stated.long)]
        read = np.unique(self._word_of[np.concatenate(self._rows)])
        self.words = read[read >= 0]  # those that the model reads, of `spans`

    def logits(self, kept: np.ndarray) -> np.ndarray:
        """(V, L) logits of variants that keep some `words`, (V, W) bool. Equal windows are answered once."""
        stated, count = self._classifier.predictor.manifest, len(kept)
        every = np.ones((count, len(self.spans) + 1), bool)  # the last stands for [CLS] and [SEP], of word -1
        every[:, self.words] = kept
        parts, places, begin = [], [], 0
        for row in self._rows:
            there = every[:, self._word_of[row]]
            different, place = np.unique(there, axis=0, return_inverse=True)
            parts.append((row, different))
            places.append(begin + place.reshape(-1))
            begin += len(different)
        of_rows = self._forward(parts)[np.stack(places, axis=1).reshape(-1)]
        if len(self._rows) == 1:
            return of_rows
        starts = np.arange(count + 1) * len(self._rows)
        return stated.pooling.pool(of_rows, starts, stated.task == "multilabel")

    def _forward(self, parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        """(rows, L) logits of the tokens that are kept, (rows, tokens) bool, of each window."""
        loaded, labels = self._classifier.loaded, len(self._classifier.predictor.manifest.labels)
        ids = np.concatenate([np.broadcast_to(self._ids[row], kept.shape)[kept] for row, kept in parts])
        lengths = np.concatenate([kept.sum(axis=1) for _, kept in parts])
        encoded = EncodedTexts(ids, np.concatenate([[0], np.cumsum(lengths)]), lengths)
        return batching.predict([encoded], len(lengths), labels, loaded.forward, loaded.tokens_per_batch, None)

    def worth(self, kept: np.ndarray) -> np.ndarray:
        """(V, L) log-odds of each label."""
        return log_odds(self.logits(kept), self._classifier.predictor.manifest.task)

    def integrated_gradients(self, label: int, steps: int) -> np.ndarray:
        """(W,) what each word adds to a label by integrated gradients, from a text of [MASK] alone."""
        mask = self._classifier.tokenizer.token_to_id("[MASK]")
        row = self._rows[0]
        words, ids = self._word_of[row], self._ids[row]
        baseline = np.where(words >= 0, ids if mask is None else mask, ids).astype(np.int32)
        of_tokens = self._classifier.loaded.gradients(ids, baseline, label, steps)
        return np.bincount(words[words >= 0], of_tokens[words >= 0], len(self.spans))[self.words]


def _word_of_tokens(offsets: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int]]) -> np.ndarray:
    """(tokens,) the number of the word that each token begins in; -1 of special tokens, and of what is in no word."""
    starts, ends = np.array([start for start, _ in spans], int), np.array([end for _, end in spans], int)
    words = []
    for start, end in offsets:
        word = int(np.searchsorted(starts, start, side="right")) - 1
        words.append(word if start < end and word >= 0 and start < ends[word] else -1)
    return np.array(words, int)


def log_odds(logits: np.ndarray, task: str) -> np.ndarray:
    """(rows, L) log-odds of each label: of one label a text its logit less the log-sum-exp of the others."""
    logits = logits.astype(np.float64)
    if task == "multilabel":
        return logits
    logits = logits - logits.max(axis=1, keepdims=True)
    each = np.exp(logits)
    others = each.sum(axis=1, keepdims=True) - each
    rows, top = np.arange(len(logits)), logits.argmax(axis=1)
    each[rows, top] = 0  # the difference would have lost all digits of a certain answer
    others[rows, top] = each.sum(axis=1)
    return logits - np.log(np.maximum(others, np.finfo(float).tiny))


def check(classifier: Any, label: str | None, method: str, samples: int | None) -> None:
    """Raise InputError for a label, method or samples that there is not, or an engine that answers whole texts only."""
    labels = classifier.get_classes()
    if label is not None and label not in labels:
        raise InputError(f"label {label!r}: not known; the labels are {listed(labels)}")
    if method not in METHODS:
        raise InputError(f"method {method!r}: not known; the methods are {', '.join(METHODS)}")
    if samples is not None and (type(samples) is not int or samples < 1):
        raise InputError(f"samples {samples!r}: expected a whole number from 1, or None")
    if method == GRADIENTS and (classifier.loaded.gradients is None or classifier.predictor.manifest.long == WINDOWS):
        raise InputError("method gradients: needs the engine keras, BERT's usual GELU and positions, and texts in one piece")
    if classifier.loaded.forward is None:
        raise InputError(f"engine {classifier.engine}: answers whole texts only, so it cannot explain; load another engine")


def explain(classifier: Any, text: str, label: str | None, method: str, samples: int | None) -> Explanation:
    """What each word of a text adds to a label; see `Classifier.explain`."""
    variants, stated = Variants(classifier, text), classifier.predictor.manifest
    words, labels = len(variants.words), stated.labels
    ends = variants.logits(np.array([[True] * words, [False] * words]).reshape(2, words))
    probabilities = probabilities_of(ends, stated.task)
    chosen = labels.index(label) if label is not None else int(probabilities[0].argmax())
    contributions = attribute(variants, chosen, method, samples).tolist() if words else []
    of_word = dict(zip(variants.words.tolist(), contributions, strict=True))
    found = [Word(text[start:end], start, end, of_word.get(number)) for number, (start, end) in enumerate(variants.spans)]
    probability, without_words = probabilities[:, chosen].tolist()
    return Explanation(text, labels[chosen], probability, without_words, found, method)


def attribute(variants: Variants, label: int, method: str, samples: int | None = None) -> np.ndarray:
    """(W,) contributions to a label by one of METHODS; of a text with one word at least."""
    words = len(variants.words)
    if method == GRADIENTS:
        return variants.integrated_gradients(label, samples or STEPS)
    if method == SHAPLEY:
        return attribution.shapley(variants.worth, words, samples or ORDERS, np.random.default_rng(0))[:, label]
    return attribution.occlusion(variants.worth, words)[:, label]
