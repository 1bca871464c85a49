"""Encoded texts, batches of like length over them, and one loop that predicts in such batches: numpy and a tokenizer."""

import itertools
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from halfbert.system import console

# Rows are sorted by length within so many batches at a time: long enough for little padding, short enough for random batches.
BATCHES_SORTED_TOGETHER = 50
# A small table is split into so many runs at least: sorted as one, it would have much the same batches in every epoch.
FEWEST_RUNS = 4
LONGEST = 512  # tokens that BERT and DistilBERT have positions for

Forward = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From ids and attention mask, each (rows, tokens) int32, to one answer a row, (rows, units)."""


@dataclass(frozen=True)
class EncodedTexts:
    """Token ids of many texts, one after the other.

    `ids`: (tokens,) int32 · `starts`: (rows + 1,) int64, text i is ids[starts[i]:starts[i + 1]] ·
    `full_lengths`: (rows,) int64, tokens that each text had before it was truncated at maxlen.
    """

    ids: np.ndarray
    starts: np.ndarray
    full_lengths: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """(rows,) int64: tokens of each text, the special ones included."""
        return np.diff(self.starts)

    @property
    def truncated_share(self) -> float:
        """Share of texts that were longer than maxlen."""
        return float(np.mean(self.full_lengths > self.lengths)) if len(self.full_lengths) else 0.0

    def take(self, rows: np.ndarray) -> "EncodedTexts":
        """The texts of the given rows, in their order."""
        lengths = self.lengths[rows]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        positions = np.arange(starts[-1]) + np.repeat(self.starts[rows] - starts[:-1], lengths)
        return EncodedTexts(self.ids[positions], starts, self.full_lengths[rows])

    def followed_by(self, others: "EncodedTexts") -> "EncodedTexts":
        """These texts and then the others."""
        starts = np.concatenate([self.starts, self.starts[-1] + others.starts[1:]])
        full_lengths = np.concatenate([self.full_lengths, others.full_lengths])
        return EncodedTexts(np.concatenate([self.ids, others.ids]), starts, full_lengths)

    def padded(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """ids and attention mask of the given rows, each (rows, longest of them) int32, padded with 0."""
        lengths = self.lengths[rows]
        positions = np.arange(lengths.max(initial=0))
        mask = positions < lengths[:, None]
        ids = np.zeros(mask.shape, np.int32)
        ids[mask] = self.ids[(self.starts[rows][:, None] + positions)[mask]]
        return ids, mask.astype(np.int32)


def encode(tokenizer: Any, texts: Sequence[str], maxlen: int | None) -> tuple[EncodedTexts, int]:
    """Tokenise all texts in one call (in Rust), truncate them at `maxlen` tokens, and return them with the maxlen in use.

    `tokenizer` is one of the library tokenizers or of transformers, whose own settings for padding and truncation are not
    used. If `maxlen` is None it becomes the 99th percentile of the lengths, at most the model's 512. Halves of surrogate pairs,
    which UTF-8 lacks, become question marks.
    """
    token_ids = _tokenise(tokenizer, texts) if len(texts) else []
    full_lengths = np.fromiter(map(len, token_ids), np.int64, len(token_ids))
    if maxlen is None:
        maxlen = min(LONGEST, math.ceil(np.quantile(full_lengths, 0.99))) if len(texts) else LONGEST
    # As BERT's tokenizers truncate: the first maxlen - 1 tokens, then [SEP].
    kept = [ids if len(ids) <= maxlen else [*ids[: maxlen - 1], ids[-1]] for ids in token_ids]
    starts = np.concatenate([[0], np.cumsum(np.minimum(full_lengths, maxlen))]).astype(np.int64)
    return EncodedTexts(np.fromiter(itertools.chain.from_iterable(kept), np.int32, starts[-1]), starts, full_lengths), maxlen


def _tokenise(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """The token ids of each text, not truncated."""
    rust = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if not hasattr(rust, "encode_batch_fast"):  # one that transformers has in Python only, as of Japanese BERTs
        return [tokenizer(text, verbose=False)["input_ids"] for text in texts]
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")  # its default; unset, a fork would print a warning (`system.forks`)
    rust.no_truncation()
    rust.no_padding()
    try:
        encoded = rust.encode_batch_fast(list(texts))
    except TypeError:
        encoded = rust.encode_batch_fast([text.encode("utf-8", "replace").decode() for text in texts])
    return [one.ids for one in encoded]


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
) -> np.ndarray:
    """(texts, units) float32: what `forward` answers to each text, in the order of the texts.

    The texts come in consecutive `parts`, each in batches of at most `tokens` tokens; `label` names the progress bar, None
    shows none. `advance` is called with the number of texts of each batch that was answered.
    """
    answers = np.empty((texts, units), np.float32)

    def answered() -> Iterator[int]:
        start = 0
        for encoded in parts:
            for rows, ids, mask in padded_batches(encoded, tokens):
                answers[start + rows] = forward(ids, mask)
                if advance is not None:
                    advance(len(rows))
                yield from rows
            start += len(encoded.lengths)

    for _ in answered() if label is None else console.progress(answered(), texts, label):
        pass
    return answers
