"""How windows are pooled: the choice on validation, its ties, what cannot be measured, the sharpness of attention."""

import numpy as np
import pytest

from halfbert.models.batching import EncodedTexts
from halfbert.models.long_texts import Pooling
from halfbert.scoring.probabilities import probabilities_of
from halfbert.training import tasks, windows


def encoded(counts: list[int], tokens: int = 8) -> EncodedTexts:
    """Texts of so many windows each; nothing reads their ids."""
    starts = np.arange(sum(counts) + 1) * tokens
    first = np.concatenate([[0], np.cumsum(counts)])
    return EncodedTexts(np.zeros(starts[-1], np.int32), starts, np.array(counts) * tokens, first)


def choose(task, truth, logits, counts, **more):
    texts = encoded(counts)
    return windows.choose(task, np.array(truth), np.array(logits, np.float32), texts, texts, **more)


def test_one_telling_window_among_many_makes_max_or_attention_the_choice(capsys):
    """Of each text one window of five is sure and right, the others lean to the wrong side."""
    truth = np.eye(2, dtype=int)[np.arange(12) % 2]
    logits = [([3.0, -3.0] if number % 5 == 2 else [-1.0, 1.0]) for number in range(60)]
    logits = [row[:: 1 if number // 5 % 2 == 0 else -1] for number, row in enumerate(logits)]
    found = choose("multiclass", truth, logits, [5] * 12)
    scores = {name: of["val_macro_f1"] for name, of in found.validation.items()}
    assert scores == {"mean": 0.0, "attention": 1.0, "max": 1.0}
    assert found.pooling.name == "attention" and found.pooling.sharpness == 2.0**3  # of equal scores before max
    assert (found.texts, found.windows) == (12, 60)
    assert "pooled by attention; macro F1 on validation: mean 0.000, attention 1.000, max 1.000" in capsys.readouterr().out


def test_of_equal_scores_the_mean_is_taken_and_folds_are_quiet(capsys):
    truth = [[1, 0], [0, 1]]
    found = choose("multiclass", truth, [[2, 0], [1, 0], [0, 1], [0, 3]], [2, 2], quiet=True)
    assert found.pooling == Pooling("mean") and capsys.readouterr().out == ""


def test_many_low_windows_mislead_the_mean_and_not_the_maximum():
    """The texts that have the label say so in one of their four windows."""
    truth = [[1], [0], [1], [0]]
    logits = [[2.0], *[[-9.0]] * 3, [1.99], [2.1], *[[1.9]] * 3, [2.05]]
    found = choose("multilabel", truth, logits, [4, 1, 4, 1])
    scores = {name: of["val_mean_average_precision"] for name, of in found.validation.items()}
    assert scores["mean"] < scores["max"] and found.pooling.name != "mean"


def test_what_cannot_be_measured_is_decided_by_the_loss():
    """Every text has the label, so no ranking can be measured; the highest logit says so most clearly."""
    found = choose("multilabel", [[1], [1]], [[5.0], [-5.0], [4.0]], [2, 1])
    assert found.validation["mean"]["val_mean_average_precision"] is None
    losses = {name: of["val_loss"] for name, of in found.validation.items()}
    assert losses[found.pooling.name] == min(losses.values()) and found.pooling.name != "mean"


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_the_sharpness_of_attention_has_the_least_loss(task):
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 6, 40).tolist()
    truth = np.eye(3, dtype=int)[rng.integers(0, 3, 40)]
    logits = rng.normal(size=(sum(counts), 3)).astype(np.float32) + np.repeat(2 * truth, counts, axis=0) * rng.random(
        (sum(counts), 1)
    )
    texts = encoded(counts)
    found = windows._attention(task, truth, logits.astype(np.float32), texts)
    losses = {
        sharpness: tasks.validation(
            task, truth, probabilities_of(texts.pooled(logits, Pooling("attention", sharpness), task == "multilabel"), task)
        )["val_loss"]
        for sharpness in windows.SHARPNESSES.tolist()
    }
    assert losses[found.sharpness] == pytest.approx(min(losses.values()))


def test_rows_that_are_texts_have_no_pooling():
    whole = EncodedTexts(np.zeros(4, np.int32), np.array([0, 2, 4]), np.array([2, 2]))
    assert windows.choose("multiclass", np.eye(2), np.eye(2), whole, whole) is None
    score = windows.scorer("multiclass", np.eye(2, dtype=int), whole)
    assert score(np.eye(2, dtype=np.float32))["val_accuracy"] == 1.0


def test_epochs_are_scored_by_the_mean_over_windows():
    score = windows.scorer("multiclass", np.eye(2, dtype=int), encoded([2, 1]))
    assert score(np.array([[3, 0], [0, 2], [0, 1]], np.float32))["val_accuracy"] == 1.0
    assert score(np.array([[3, 0], [0, 4], [0, 1]], np.float32))["val_accuracy"] == 0.5
