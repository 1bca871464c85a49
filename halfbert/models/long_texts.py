"""Texts longer than maxlen: cut, their head and tail kept, or read whole in windows whose answers are pooled; numpy alone.

Shapes: W windows, T texts, L labels. `starts`, (T + 1,), says which windows are a text's: i has those from starts[i] to
starts[i + 1]; every text has one at least.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

CUT, HEAD_TAIL, WINDOWS = WAYS = ("cut", "head-tail", "windows")
SPECIAL_TOKENS = 2  # [CLS] and [SEP], which every window has
HEAD_SHARE = 128 / 510  # the best of Sun et al. 2019 (arXiv:1905.05583), who keep 128 and 382 tokens of 510
OVERLAP = 4  # two windows share a quarter of their tokens at least, so that few phrases are torn in all of them
LONGEST_AUTOMATIC_WINDOW = 256  # tokens: half of what attention costs at 512 and a paragraph of context, as nothing is lost


def head_tokens(maxlen: int) -> int:
    """How many of the first tokens head-tail keeps; what is left of maxlen less the special tokens is the tail."""
    return round((maxlen - SPECIAL_TOKENS) * HEAD_SHARE)


def window_counts(full_lengths: np.ndarray, maxlen: int) -> np.ndarray:
    """(T,) int64: how many windows of at most `maxlen` tokens texts of so many tokens have, special ones included in both."""
    room = maxlen - SPECIAL_TOKENS
    left = np.maximum(full_lengths - maxlen, 0)
    return 1 + -(-left // (room - room // OVERLAP))


def kept(ids: list[int], maxlen: int, way: str) -> list[list[int]]:
    """The token ids of a text as the model reads them: one list, or in windows one for each; all begin and end as `ids` does.

    All windows of a text are equally long, the first from its beginning, the last to its end.
    """
    if len(ids) <= maxlen:
        return [ids]
    if way == CUT:  # as BERT's tokenizers truncate
        return [[*ids[: maxlen - 1], ids[-1]]]
    room = maxlen - SPECIAL_TOKENS
    if way == HEAD_TAIL:
        head = head_tokens(maxlen)
        return [[*ids[: 1 + head], *ids[len(ids) - 1 - (room - head) :]]]
    count, left = int(window_counts(np.array(len(ids)), maxlen)), len(ids) - maxlen
    # Evenly spread, so that none is a remnant of a few tokens whose answer would count as much as any.
    begins = (1 + number * left // (count - 1) for number in range(count))
    return [[ids[0], *ids[begin : begin + room], ids[-1]] for begin in begins]


@dataclass(frozen=True)
class Pooling:
    """How the logits of a text's windows become those of the text.

    `mean`: of each label over the windows. `max`: with any number of labels each one's highest; with one label a text, all of
    the most confident window, whose highest logit exceeds the second by most. `attention`: a weighted mean, the weights of a
    text's windows a softmax of `sharpness` times what `max` compares; `sharpness` is learnt, and leads from `mean`, at 0, to
    `max`. It needs no state of the network, so that whatever answers windows can be pooled.
    """

    name: Literal["mean", "max", "attention"]
    sharpness: float | None = None  # of attention

    @property
    def is_complete(self) -> bool:
        """Whether it has all that it needs."""
        return self.name != "attention" or (self.sharpness is not None and 0 <= self.sharpness < math.inf)

    def pool(self, logits: np.ndarray, starts: np.ndarray, multilabel: bool) -> np.ndarray:
        """(T, L) float32 of (W, L) logits; those of a text with a single window are that one's."""
        if len(starts) == len(logits) + 1:
            return logits.astype(np.float32)
        first, counts = starts[:-1], np.diff(starts)[:, None]
        if self.name == "mean":
            return (np.add.reduceat(logits, first, dtype=np.float64) / counts).astype(np.float32)
        scores = logits if multilabel else _margins(logits)
        if self.name == "max" and multilabel:
            return np.maximum.reduceat(logits, first)
        of_window = np.repeat(np.arange(len(first)), counts[:, 0])
        if self.name == "max":
            return logits[np.lexsort((-scores[:, 0], of_window))[first]]
        highest = np.maximum.reduceat(scores, first)[of_window]
        weights = np.exp((self.sharpness or 0.0) * (scores - highest).astype(np.float64))
        return (np.add.reduceat(weights * logits, first) / np.add.reduceat(weights, first)).astype(np.float32)


def _margins(logits: np.ndarray) -> np.ndarray:
    """(W, 1): by how much the highest logit exceeds the second."""
    highest = np.partition(logits, -2, axis=1)[:, -2:]
    return highest[:, 1:] - highest[:, :1]
