"""Whether the best of many models is lucky: the scores of drawn rows, and leads with and without something behind them."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score

from halfbert.scoring import selection

RNG = np.random.default_rng(0)


def test_mean_average_precision_is_scikit_learns_on_drawn_rows():
    truth = RNG.random((60, 4)) < 0.3
    truth[:, 3] = False  # a label that no row has
    probabilities = RNG.random((60, 4)).round(1)  # many are equal
    weights = np.stack([np.ones(60), RNG.integers(0, 3, 60).astype(float)])
    found = selection.mean_average_precision(truth, probabilities, weights)
    for value, times in zip(found, weights.astype(int), strict=True):
        rows = np.repeat(np.arange(60), times)
        labels = [average_precision_score(truth[rows, label], probabilities[rows, label]) for label in range(3)]
        assert value == pytest.approx(np.mean(labels))


def test_macro_f1_is_scikit_learns():
    truth, probabilities = RNG.integers(0, 3, 50), RNG.random((50, 3))
    found = selection.macro_f1(np.eye(3, dtype=bool)[truth], probabilities, np.ones((1, 50)))
    assert found == pytest.approx(f1_score(truth, probabilities.argmax(axis=1), average="macro"))


def models(task, rows, skills, seed=0):
    """Truth, and the probabilities of models that are right on so many of the rows, each on others."""
    rng = np.random.default_rng(seed)
    truth = np.eye(3, dtype=bool)[rng.integers(0, 3, rows)] if task == "multiclass" else rng.random((rows, 3)) < 0.4
    found = {}
    for number, skill in enumerate(skills):
        right = rng.random(rows) < skill
        found[number] = np.where(right[:, None], truth, rng.random((rows, 3)) * 0.9) + 1e-3 * rng.random((rows, 3))
    return truth, found


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_a_better_model_is_found_and_the_luckiest_of_equals_is_not(task):
    truth, probabilities = models(task, 600, [0.6, 0.6, 0.8, 0.6])
    lead = selection.lead_of_best(task, truth, probabilities, 0)
    assert lead.best == 2 and lead.is_beyond_luck and lead.p_value < 0.01 and lead.models == 4 and lead.rows == 600
    lucky = [selection.lead_of_best(task, *models(task, 60, [0.6] * 10, seed), 0).is_beyond_luck for seed in range(10)]
    assert sum(lucky) <= 2


def test_more_models_need_a_larger_lead():
    truth, probabilities = models("multiclass", 200, [0.6] * 30)
    few = selection.lead_of_best("multiclass", truth, {number: probabilities[number] for number in (0, 1)}, 0)
    assert selection.lead_of_best("multiclass", truth, probabilities, 0).luck > 1.3 * few.luck


def test_nothing_leads_itself():
    truth, probabilities = models("multiclass", 30, [0.5])
    assert not selection.lead_of_best("multiclass", truth, probabilities, 0).is_beyond_luck
    lead = selection.lead_of_best("multiclass", truth, {0: probabilities[0], 1: probabilities[0]}, 0)
    assert (lead.best, lead.lead, lead.is_beyond_luck) == (0, 0.0, False)
