"""Encoded texts, and batches of like length over them, in plain numpy."""

import math
from dataclasses import dataclass

import numpy as np

# Rows are sorted by length within so many batches at a time: long enough for little padding, short enough for chance.
BATCHES_SORTED_TOGETHER = 50
# A small table is cut into so many runs at least: sorted as one, it would have much the same batches in every epoch.
FEWEST_RUNS = 4


@dataclass
class EncodedTexts:
    """Token ids of many texts, one after the other.

    `ids`: (tokens,) int32 · `starts`: (rows + 1,) int64, text i is ids[starts[i]:starts[i + 1]] ·
    `full_lengths`: (rows,) int64, tokens that each text had before it was cut at maxlen.
    """

    ids: np.ndarray
    starts: np.ndarray
    full_lengths: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """(rows,) int64: tokens of each text, the special ones included."""
        return np.diff(self.starts)

    @property
    def cut_share(self) -> float:
        """Share of texts that were longer than maxlen."""
        return float(np.mean(self.full_lengths > self.lengths)) if len(self.full_lengths) else 0.0

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


def encode(tokenizer, texts: list[str], maxlen: int | None, cut_quantile: float = 0.99) -> tuple[EncodedTexts, int]:
    """Tokenise all texts in one call (in Rust), cut them at `maxlen` tokens, and return them with the maxlen used.

    Where `maxlen` is None it becomes the `cut_quantile` of the lengths, at most the model's 512.
    """
    longest = 512 if maxlen is None else maxlen
    # Truncation is done below, so that the uncut lengths are known from the same call.
    options = {"truncation": False, "padding": False, "return_attention_mask": False, "return_token_type_ids": False}
    encoded = tokenizer(texts, verbose=False, **options)["input_ids"] if texts else []  # it cannot do with an empty list
    full_lengths = np.fromiter((len(ids) for ids in encoded), np.int64, len(encoded))
    if maxlen is None:
        longest = min(512, math.ceil(np.quantile(full_lengths, cut_quantile))) if len(encoded) else 512
    # As BERT's tokenizers truncate: the first maxlen - 1 tokens, then [SEP].
    cut = [ids if len(ids) <= longest else [*ids[: longest - 1], ids[-1]] for ids in encoded]
    lengths = np.minimum(full_lengths, longest)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = np.fromiter((token for ids in cut for token in ids), np.int32, int(starts[-1]))
    return EncodedTexts(ids, starts, full_lengths), longest


def epoch_batches(lengths: np.ndarray, batch_size: int, generator: np.random.Generator) -> np.ndarray:
    """One epoch's batches of like length: (ceil(rows / batch_size), batch_size) int32 row numbers, -1 where none is left.

    Every row stands in it exactly once. Rows are drawn in a new order, sorted by length within runs of at most
    BATCHES_SORTED_TOGETHER batches, cut into batches, and the batches are shuffled. One batch at most is not full.
    """
    order = generator.permutation(len(lengths))
    steps = math.ceil(len(lengths) / batch_size)
    run = batch_size * min(BATCHES_SORTED_TOGETHER, math.ceil(steps / FEWEST_RUNS))
    runs = [order[start : start + run] for start in range(0, len(order), run)]
    order = np.concatenate([rows[np.argsort(lengths[rows], kind="stable")] for rows in runs])
    batches = np.full(steps * batch_size, -1, np.int32)
    batches[: len(order)] = order
    batches = batches.reshape(steps, batch_size)
    return batches[generator.permutation(steps)]


def batches_in_order_of_length(lengths: np.ndarray, tokens: int) -> list[np.ndarray]:
    """Row numbers in batches for predicting: longest first, each batch of at most `tokens` tokens, padding included.

    The longest come first so that a batch too large for the memory shows itself at once.
    """
    order = np.argsort(-lengths, kind="stable")
    batches = []
    start = 0
    while start < len(order):
        rows = max(1, tokens // int(lengths[order[start]]))
        batches.append(order[start : start + rows])
        start += rows
    return batches
