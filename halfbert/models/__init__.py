"""Checkpoints, their weights, forward passes and batches."""
