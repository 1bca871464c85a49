"""Load on `serve.py`, and on what a user would write in its place."""
