"""Encoded texts, batches of like length over them, and one loop that predicts in such batches: numpy and a tokenizer."""

import itertools
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from halfbert.models import long_texts
from halfbert.models.long_texts import CUT, WINDOWS, Pooling
from halfbert.system import console

# Rows are sorted by length within so many batches at a time: long enough for little padding, short enough for random batches.
BATCHES_SORTED_TOGETHER = 50
# A small table is split into so many runs at least: sorted as one, it would have much the same batches in every epoch.
FEWEST_RUNS = 4
LONGEST = 512  # tokens that BERT and DistilBERT have positions for
LONG_TEXT = 2**16  # characters: longer texts are tokenised in pieces of a quarter of that, so many at a time
PIECES_AT_A_TIME = 32

Forward = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From ids and attention mask, each (rows, tokens) int32, to one answer a row, (rows, units)."""


@dataclass(frozen=True)
class EncodedTexts:
    """Token ids of many texts, one after the other; a row is a text, or one of its windows.

    `ids`: (tokens,) int32 · `starts`: (rows + 1,) int64, row i is ids[starts[i]:starts[i + 1]] ·
    `full_lengths`: (texts,) int64, tokens that each text has before anything is left out ·
    `windows`: (texts + 1,) int64, text i has the rows from windows[i] to windows[i + 1]; None where each row is a text.
    """

    ids: np.ndarray
    starts: np.ndarray
    full_lengths: np.ndarray
    windows: np.ndarray | None = None

    @property
    def lengths(self) -> np.ndarray:
        """(rows,) int64: tokens of each row, the special ones included."""
        return np.diff(self.starts)

    @property
    def truncated(self) -> np.ndarray:
        """(texts,) bool: whether something of the text was left out."""
        return self.full_lengths > (self.lengths if self.windows is None else self.full_lengths)

    @property
    def truncated_share(self) -> float:
        """Share of texts of which something was left out."""
        return float(np.mean(self.truncated)) if len(self.full_lengths) else 0.0

    def text_of_row(self) -> np.ndarray:
        """(rows,) int64: the number of the text that each row is of."""
        texts = np.arange(len(self.full_lengths))
        return texts if self.windows is None else np.repeat(texts, np.diff(self.windows))

    def lengths_by_text(self) -> list[list[int]]:
        """The tokens of each text's rows."""
        lengths = self.lengths.tolist()
        rows = range(len(lengths) + 1) if self.windows is None else self.windows.tolist()
        return [lengths[start:end] for start, end in itertools.pairwise(rows)]

    def pooled(self, answers: np.ndarray, pooling: Pooling | None, multilabel: bool) -> np.ndarray:
        """(texts, labels) logits of (rows, labels) ones."""
        if self.windows is None:
            return answers
        assert pooling is not None
        return pooling.pool(answers, self.windows, multilabel)

    def take(self, rows: np.ndarray) -> "EncodedTexts":
        """The given rows, in their order, each as a text of its own."""
        lengths = self.lengths[rows]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        positions = np.arange(starts[-1]) + np.repeat(self.starts[rows] - starts[:-1], lengths)
        return EncodedTexts(self.ids[positions], starts, self.full_lengths[rows] if self.windows is None else lengths)

    def followed_by(self, others: "EncodedTexts") -> "EncodedTexts":
        """These texts and then the others; both in windows, or neither."""
        starts = np.concatenate([self.starts, self.starts[-1] + others.starts[1:]])
        full_lengths = np.concatenate([self.full_lengths, others.full_lengths])
        windows = None
        if self.windows is not None and others.windows is not None:
            windows = np.concatenate([self.windows, self.windows[-1] + others.windows[1:]])
        return EncodedTexts(np.concatenate([self.ids, others.ids]), starts, full_lengths, windows)

    def padded(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """ids and attention mask of the given rows, each (rows, longest of them) int32, padded with 0."""
        lengths = self.lengths[rows]
        positions = np.arange(lengths.max(initial=0))
        mask = positions < lengths[:, None]
        ids = np.zeros(mask.shape, np.int32)
        ids[mask] = self.ids[(self.starts[rows][:, None] + positions)[mask]]
        return ids, mask.astype(np.int32)


def encode(tokenizer: Any, texts: Sequence[str], maxlen: int | None, way: str = CUT) -> tuple[EncodedTexts, int]:
    """Tokenise all texts in one call (in Rust), fit them into `maxlen` tokens, and return them with the maxlen in use.

    Parameters
    ----------
    tokenizer: one of the library tokenizers or of transformers, whose own settings for padding and truncation are not used.
    maxlen: None takes the 99th percentile of the lengths, at most the model's 512; for windows at most 256.
    way: what becomes of longer texts, one of `long_texts.WAYS`.

    Halves of surrogate pairs, which UTF-8 lacks, become question marks.
    """
    token_ids = _tokenise(tokenizer, texts) if len(texts) else []
    full_lengths = np.fromiter(map(len, token_ids), np.int64, len(token_ids))
    if maxlen is None:
        longest = long_texts.LONGEST_AUTOMATIC_WINDOW if way == WINDOWS else LONGEST
        maxlen = min(longest, math.ceil(np.quantile(full_lengths, 0.99))) if len(texts) else longest
    rows = [row for ids in token_ids for row in long_texts.kept(ids, maxlen, way)]
    starts = np.concatenate([[0], np.cumsum(np.fromiter(map(len, rows), np.int64, len(rows)))]).astype(np.int64)
    ids = np.fromiter(itertools.chain.from_iterable(rows), np.int32, starts[-1])
    windows = None
    if way == WINDOWS:
        windows = np.concatenate([[0], np.cumsum(long_texts.window_counts(full_lengths, maxlen))]).astype(np.int64)
    return EncodedTexts(ids, starts, full_lengths, windows), maxlen


def unread(tokenizer: Any, text: str, maxlen: int, way: str = CUT) -> list[tuple[int, int]]:
    """Start and end in a text of each part that `encode` leaves out."""
    tokenizer.no_truncation()
    offsets = tokenizer.encode(text).offsets
    kept = set(itertools.chain.from_iterable(long_texts.kept(list(range(len(offsets))), maxlen, way)))
    parts: list[tuple[int, int]] = []
    for number, (start, end) in enumerate(offsets):
        if number in kept:
            continue
        if number - 1 in kept:
            parts.append((start, end))
        parts[-1] = (parts[-1][0], end)
    return parts


def _tokenise(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """The token ids of each text, not truncated."""
    rust = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if not hasattr(rust, "encode_batch_fast"):  # one that transformers has in Python only, as of Japanese BERTs
        return [tokenizer(text, verbose=False)["input_ids"] for text in texts]
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")  # its default; unset, a fork would print a warning (`system.forks`)
    rust.no_truncation()
    rust.no_padding()
    together = [text for text in texts if len(text) <= LONG_TEXT or not _splits_at_blanks(rust)]
    ids = iter(_ids(rust, together))
    return [next(ids) if len(together) == len(texts) or len(text) <= LONG_TEXT else _by_pieces(rust, text) for text in texts]


def _ids(rust: Any, texts: Sequence[str]) -> list[list[int]]:
    try:
        encoded = rust.encode_batch_fast(list(texts))
    except TypeError:
        encoded = rust.encode_batch_fast([text.encode("utf-8", "replace").decode() for text in texts])
    return [one.ids for one in encoded]


def _splits_at_blanks(rust: Any) -> bool:
    """Whether a text's tokens are those of its words, between [CLS] and [SEP], as of BERT's own tokenizer."""
    parts = type(rust.normalizer).__name__, type(rust.pre_tokenizer).__name__
    return parts == ("BertNormalizer", "BertPreTokenizer") and rust.num_special_tokens_to_add(False) == 2


def _by_pieces(rust: Any, text: str) -> list[int]:
    """The token ids of a very long text: tokenised whole it would take one thread, and 500 bytes a word."""
    ids: list[int] = []
    start = 0
    while start < len(text):
        pieces: list[str] = []
        while start < len(text) and len(pieces) < PIECES_AT_A_TIME:
            end = text.find(" ", start + LONG_TEXT // 4)
            end = len(text) if end == -1 else end
            pieces.append(text[start:end])
            start = end
        for piece in _ids(rust, pieces):
            ids[-1:] = piece if not ids else piece[1:]  # one [CLS], and the [SEP] of the last piece
    return ids


def epoch_batches(lengths: np.ndarray, batch_size: int, rng: np.random.Generator) -> np.ndarray:
    """One epoch's batches of like length: (ceil(rows / batch_size), batch_size) int32 row numbers, -1 where none is left.

    Every row occurs exactly once. Rows are shuffled, sorted by length within runs of at most BATCHES_SORTED_TOGETHER batches,
    split into batches, and the batches are shuffled. One batch at most is not full.
    """
    order = rng.permutation(len(lengths))
    steps = math.ceil(len(lengths) / batch_size)
    run = batch_size * min(BATCHES_SORTED_TOGETHER, math.ceil(steps / FEWEST_RUNS))
    runs = [order[start : start + run] for start in range(0, len(order), run)]
    order = np.concatenate([rows[np.argsort(lengths[rows], kind="stable")] for rows in runs])
    batches = np.full((steps, batch_size), -1, np.int32)
    batches.flat[: len(order)] = order
    return batches[rng.permutation(steps)]


def padded_batches(encoded: EncodedTexts, tokens: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Row numbers, ids and attention mask of batches for predicting, each of at most `tokens` tokens, padding included.

    The longest texts come first, so that a batch too large for the memory fails at once.
    """
    order = np.argsort(-encoded.lengths, kind="stable")
    start = 0
    while start < len(order):
        rows = order[start : start + max(1, tokens // int(encoded.lengths[order[start]]))]
        yield rows, *encoded.padded(rows)
        start += len(rows)


def predict(
    parts: Iterable[EncodedTexts],
    texts: int,
    units: int,
    forward: Forward,
    tokens: int,
    label: str | None,
    advance: Callable[[int], object] | None = None,
    pool: Callable[[EncodedTexts, np.ndarray], np.ndarray] | None = None,
) -> np.ndarray:
    """(texts, units) float32: what `forward` answers to each text, in the order of the texts.

    The texts come in consecutive `parts`, each in batches of at most `tokens` tokens; `label` names the progress bar, None
    shows none. `advance` is called with the number of texts of each batch that was answered, of windows with that of the texts
    that begin in it. `pool` makes of a part and its (rows, units) answers those of its texts; without it each row is one.
    """
    answers = np.empty((texts, units), np.float32)

    def answered() -> Iterator[int]:
        start = 0
        for encoded in parts:
            of_rows = np.empty((len(encoded.lengths), units), np.float32)
            begins = np.ones(len(of_rows), bool)
            if pool is not None and encoded.windows is not None:
                begins[:] = False
                begins[encoded.windows[:-1]] = True
            for rows, ids, mask in padded_batches(encoded, tokens):
                of_rows[rows] = forward(ids, mask)
                begun = rows[begins[rows]]
                if advance is not None:
                    advance(len(begun))
                yield from begun
            of_texts = of_rows if pool is None else pool(encoded, of_rows)
            answers[start : start + len(of_texts)] = of_texts
            start += len(of_texts)

    for _ in answered() if label is None else console.progress(answered(), texts, label):
        pass
    return answers
