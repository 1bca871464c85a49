"""Finished runs: a leaderboard of all of them, and what makes two of them differ."""
