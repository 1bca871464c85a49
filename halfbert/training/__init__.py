"""Fine-tuning, from checked rows to a saved predictor."""
