"""Predictors behind HTTP: texts of concurrent requests are answered together, and everything that is taken in is bounded."""
