"""Rows whose label is likely wrong: confident learning by cleanlab, from answers to rows that a model was not fitted on.

Northcutt et al. 2021, "Confident Learning" (arXiv:1911.00068).

Shapes: R rows, L labels. Truth is (R, L) of 0 and 1, probabilities (R, L).
"""

import numpy as np


def likely_errors(task: str, truth: np.ndarray, probabilities: np.ndarray) -> list[int]:
    """The indices of the rows whose label is likely wrong, worst first.

    Confident learning estimates how many there are. Where a row has one label, they are those whose label has the lowest
    probability; with any number of labels, those with a label, given or not, that confident learning doubts. docs/training.md
    says how many of them were wrong where that is known.
    """
    if task == "multilabel":
        from cleanlab.multilabel_classification.filter import find_label_issues

        lists = [np.flatnonzero(row).tolist() for row in truth]
        doubted = np.flatnonzero(find_label_issues(lists, probabilities, filter_by="confident_learning", n_jobs=1))
        return doubted[np.argsort(_of_given(truth, probabilities)[doubted].min(axis=1), kind="stable")].tolist()
    from cleanlab.filter import find_label_issues

    ranked = {"filter_by": "low_self_confidence", "return_indices_ranked_by": "self_confidence"}
    return find_label_issues(truth.argmax(axis=1), probabilities, n_jobs=1, **ranked).tolist()


def suggested(task: str, truth: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What each row's label likely is if it is wrong, (R, L) bool, and the confidence in it, (R,) from 0 to 1.

    Where a row has one label, that is the most likely other one, and its probability. With any number, each given label that
    is less likely than not is gone and each other that is more likely than not is there, at least the most doubtful of them,
    whose probability of being wrong is the confidence.
    """
    if task == "multilabel":
        of_given = _of_given(truth, probabilities)
        least = of_given.min(axis=1)
        wrong = (of_given < 0.5) | (of_given == least[:, None])
        return (truth > 0) ^ wrong, 1 - least
    others = np.where(truth > 0, -1.0, probabilities)
    return np.eye(truth.shape[1], dtype=bool)[others.argmax(axis=1)], others.max(axis=1)


def _of_given(truth: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """(R, L) probability of what is given of each label: that the row has it, or that it has not."""
    return np.where(truth > 0, probabilities, 1 - probabilities)
