"""Scores of answers against the truth, and how sure they are."""
