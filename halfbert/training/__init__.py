"""Fine-tuning, from checked rows to a saved predictor."""

# Raise it when the same rows, options and checkpoint would be fitted or tested otherwise: batches, loss, optimizer, schedule,
# head, choice of the epoch. compare.py then fits anew what it would have reused.
RECIPE_VERSION = 4
