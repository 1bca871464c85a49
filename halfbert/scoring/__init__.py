"""Scores of answers against the truth, and how sure they are."""

THRESHOLD_RULES = ("0.5", "expected-f1", "f1", "gmean", "global-f1")  # see multilabel.choose_thresholds
