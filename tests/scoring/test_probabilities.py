"""Probabilities against those of scipy, which the base install does not have."""

import warnings

import numpy as np
import pytest
import scipy.special

from halfbert.scoring.probabilities import probabilities_of

LARGE = np.array([[1e4, 0, -1e4], [-1e4, -1e4, -50], [0, 0, 1000]])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_probabilities_are_those_of_scipy_and_nothing_overflows(task, dtype):
    logits = np.vstack([np.random.default_rng(0).normal(0, 5, (20, 3)), LARGE]).astype(dtype)
    exact = logits.astype(np.float64)
    expected = scipy.special.softmax(exact, axis=1) if task == "multiclass" else scipy.special.expit(exact)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probabilities = probabilities_of(logits, task)
    assert probabilities.dtype == np.float64
    np.testing.assert_allclose(probabilities, expected, rtol=1e-12)
