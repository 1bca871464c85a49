"""Rows whose label is likely wrong: confident learning by cleanlab, from answers to rows that a model was not fitted on.

Northcutt et al. 2021, "Confident Learning" (arXiv:1911.00068).
"""

import importlib.util

import numpy as np


def installed() -> bool:
    """Whether cleanlab is there."""
    return importlib.util.find_spec("cleanlab") is not None


def likely_errors(task: str, truth: np.ndarray, probabilities: np.ndarray) -> list[int]:
    """The indices of the rows whose label is likely wrong, worst first; truth (0/1) and probabilities are (rows, labels)."""
    if task == "multilabel":
        from cleanlab.multilabel_classification.filter import find_label_issues

        given = [np.flatnonzero(row).tolist() for row in truth]
    else:
        from cleanlab.filter import find_label_issues

        given = truth.argmax(axis=1)
    return find_label_issues(given, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1).tolist()
