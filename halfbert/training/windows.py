"""Training texts in windows: what --long would do to a table, and how the windows' answers are pooled, chosen on validation.

Shapes: W windows, T texts, L labels. Truth is (T, L) of 0 and 1.
"""

from collections.abc import Callable

import numpy as np

from halfbert.data.phrases import counted
from halfbert.models import long_texts
from halfbert.models.batching import EncodedTexts
from halfbert.models.long_texts import CUT, HEAD_TAIL, WINDOWS, Pooling
from halfbert.output.record import WindowsReport
from halfbert.output.words import percent, readable
from halfbert.predictor.manifest import Numbers
from halfbert.scoring.probabilities import log_loss, probabilities_of
from halfbert.system.console import say
from halfbert.training import tasks

WORTH_A_NOTE = 0.05  # of the training texts that are cut
SHARPNESSES = 2.0 ** np.arange(-4, 4)
EPOCHS_POOL = Pooling("mean")  # needs no choice, so that epochs are compared by the same


def announce(encoded: EncodedTexts, maxlen: int, way: str) -> None:
    """Say what becomes of the training texts that are longer than `maxlen` tokens and, of many cut ones, what else could."""
    share = float(np.mean(encoded.full_lengths > maxlen))
    counts = long_texts.window_counts(encoded.full_lengths, maxlen)
    longer = f"{share:.1%} of the training texts are longer"
    head, tail = _head_and_tail(maxlen)
    if way == WINDOWS:
        texts, windows = len(counts), int(counts.sum())
        say(f"texts are read in windows of {maxlen} tokens: {longer}; {counted(windows, 'window')} of {counted(texts, 'text')}")
    elif way == HEAD_TAIL:
        say(f"of texts of more than {maxlen} tokens the first {head} and the last {tail} are read: {longer}")
    else:
        say(f"texts are truncated at {maxlen} tokens: {longer}")
    if way == CUT and share > WORTH_A_NOTE:
        read = np.minimum(encoded.full_lengths, maxlen)
        times = np.where(counts > 1, counts * maxlen, read).sum() / read.sum()
        say(
            f"note: {percent(share)} of the training texts lose their end; --long head-tail would keep their first {head} and "
            f"last {tail} tokens, at no more work; --long windows would read all of them, in "
            f"{counted(int(counts.sum()), 'window')} of {counted(len(counts), 'text')}, {times:.1f} times the work"
        )


def _head_and_tail(maxlen: int) -> tuple[int, int]:
    head = long_texts.head_tokens(maxlen)
    return head, maxlen - long_texts.SPECIAL_TOKENS - head


def scorer(task: str, truth: np.ndarray, encoded: EncodedTexts) -> Callable[[np.ndarray], Numbers]:
    """From the logits of the validation texts, or of their windows, to the scores of an epoch."""
    score = tasks.scorer(task, truth)
    return lambda logits: score(encoded.pooled(logits, EPOCHS_POOL, task == "multilabel"))


def choose(
    task: str, truth: np.ndarray, logits: np.ndarray, encoded: EncodedTexts, train: EncodedTexts, quiet: bool = False
) -> WindowsReport | None:
    """The pooling of the best validation score by `tasks.CHOSEN_BY`, and the scores of all; None where rows are texts.

    `logits`: (W, L) of the windows of the validation texts, `encoded`. Of equal scores the mean is preferred, then attention;
    where the score cannot be measured, the lowest loss decides.
    """
    if encoded.windows is None or train.windows is None:
        return None
    candidates = [EPOCHS_POOL, _attention(task, truth, logits, encoded), Pooling("max")]
    scores: dict[str, Numbers] = {}
    for pooling in candidates:
        of_texts = encoded.pooled(logits, pooling, task == "multilabel")
        scores[pooling.name] = {**tasks.validation(task, truth, probabilities_of(of_texts, task))}
    key = tasks.CHOSEN_BY[task]

    def rank(pooling: Pooling) -> float:
        found = scores[pooling.name]
        value = found[key] if scores["mean"][key] is not None else -(found["val_loss"] or 0.0)
        return -np.inf if value is None else value

    best = max(candidates, key=rank)
    if not quiet:
        shown = ", ".join(f"{name} {_score(found[key])}" for name, found in scores.items())
        say(f"windows are pooled by {best.name}; {readable(key[4:])} on validation: {shown}")
    return WindowsReport(len(train.full_lengths), len(train.lengths), best, scores)


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _attention(task: str, truth: np.ndarray, logits: np.ndarray, encoded: EncodedTexts) -> Pooling:
    """Attention of the sharpness with the least log loss on validation."""

    def loss(pooling: Pooling) -> float:
        probabilities = probabilities_of(encoded.pooled(logits, pooling, task == "multilabel"), task)
        if task == "multiclass":
            return log_loss(probabilities[truth > 0])
        return log_loss(np.where(truth > 0, probabilities, 1 - probabilities))

    return min((Pooling("attention", float(sharpness)) for sharpness in SHARPNESSES), key=loss)
