"""A search for the settings of a training run: chosen on validation rows, tested once beside the default settings."""
