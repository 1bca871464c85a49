"""A saved predictor: its folder, and answers from it behind any engine."""
