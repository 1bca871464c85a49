"""How certain the validation scores of an epoch are."""

import numpy as np
import pytest

from halfbert.training import tasks


def logits_of(truth: np.ndarray, seed: int = 0) -> np.ndarray:
    """Of a model that is mostly right."""
    return 2.0 * truth + np.random.default_rng(seed).normal(0, 1.5, truth.shape)


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_intervals_are_about_the_scores_of_the_epoch_and_narrow_with_more_rows(task):
    rng, widths = np.random.default_rng(1), []
    for rows in (60, 1_500):
        truth = np.eye(3, dtype=int)[rng.integers(3, size=rows)] if task == "multiclass" else rng.integers(2, size=(rows, 3))
        logits = logits_of(truth)
        scores, found = tasks.scorer(task, truth)(logits), tasks.validation_intervals(task, truth, logits)
        assert tasks.CHOSEN_BY[task] in found and "val_loss" in found
        for name, interval in found.items():
            assert interval.score == pytest.approx(scores[name], abs=1e-9)
            assert interval.low < interval.score < interval.high
        widths.append({name: interval.high - interval.low for name, interval in found.items()})
    few, many = widths
    assert all(3 < few[name] / many[name] < 8 for name in few)  # of 25 times the rows: about a fifth


def test_what_is_not_measurable_has_no_interval():
    nothing = np.zeros((10, 2), int)
    assert tasks.validation_intervals("multilabel", nothing, np.ones((10, 2))) == {}
    everywhere = np.ones((10, 2), int)
    assert "val_mean_average_precision" not in tasks.validation_intervals("multilabel", everywhere, np.ones((10, 2)))
    unknown = np.full((10, 2), np.nan)
    assert tasks.validation_intervals("multiclass", np.eye(2, dtype=int)[np.zeros(10, int)], unknown) == {}
