"""The tool that draws splits: what it reports is what happens on rows that it did not choose by."""

import numpy as np
import pytest

from halfbert.scoring.probabilities import probabilities_of
from tools import guarantees
from tools.guarantees import Answers, Table


def answers_of(task: str, rows: int = 1200) -> Answers:
    """Two epochs, the second far better, to rows whose truth is drawn by its probabilities."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (rows, 3))
    probabilities = probabilities_of(logits, task)
    if task == "multilabel":
        truth = (rng.random(logits.shape) < probabilities).astype(int)
    else:
        truth = np.eye(3, dtype=int)[(rng.random((rows, 1)) > probabilities.cumsum(axis=1)[:, :2]).sum(axis=1)]
    return Answers(np.stack([rng.normal(0, 3, logits.shape), logits]), truth)


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_draws_count_guarantees_given_and_violated(task):
    table = Table((), 0, 0, {}, (100, 300), (0.001, 0.15), 8, task)
    kept, shares = guarantees.drawn(table, answers_of(task))
    risks = ["error"] if task == "multiclass" else ["false-discovery", "false-negative"]
    expected = [(risk, size, error) for size in (100, 300) for risk in risks for error in (0.001, 0.15)]
    assert [(each.risk, each.rows, each.max_error) for each in kept] == expected
    for each in kept:
        assert each.draws == 8 and each.broken <= each.made
        if each.max_error == 0.001:
            assert (each.made, each.broken, each.answered, each.error) == (0, 0, 0, None)
    largest = next(each for each in kept if (each.rows, each.max_error) == (300, 0.15))
    assert largest.made > 0.5 and largest.answered > 0.2 and largest.error < 0.15
    assert len(shares) == 8 and 0.1 < np.median(shares) < 0.3


def test_a_guarantee_counts_as_violated_where_the_error_is_above_it():
    found = [guarantees.Guarantee("error", 0.1, 0.5, error) for error in (0.05, 0.1, 0.11, None)]
    found.append(guarantees.Guarantee("error", 0.1, None, None, "too few rows"))
    kept = guarantees._kept(100, tuple(found), tuple(found[:1]))
    assert (kept.made, kept.broken, kept.broken_other_epoch, kept.answered) == (0.8, 0.2, 0, 0.4)
    assert kept.error == pytest.approx(0.26 / 3)
