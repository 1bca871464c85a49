"""A smaller model taught by a larger one."""
