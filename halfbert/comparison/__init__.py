"""Which model to ship."""
