"""Words for messages: lists, counts, places in a file."""

from collections.abc import Sequence

HUB_PREFIX = "hf:"
LINE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".txt")  # files whose rows are known by their lines


def listed(items: Sequence[str], most: int = 5) -> str:
    """The first few items in one line, and how many more there are."""
    more = f" and {len(items) - most:,} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more


def listed_names(names: Sequence[str]) -> str:
    """The first few names of columns, each in quotes, in one line."""
    return listed([repr(name) for name in names])


def truncated(text: str) -> str:
    """A label or name for a message, its end replaced by three dots where it is as long as a text."""
    return text if len(text) <= 60 else f"{text[:57]}..."


def counted(number: float, thing: str) -> str:
    """A number and what it counts: "1 row", "1,234 rows", "0.5 minutes"."""
    return f"{number:,.12g} {thing}" + ("" if number == 1 else "s")


def row_word(file: str) -> str:
    """What the number of a row counts in this file: "line" in a text file, else "row"."""
    return "line" if file.lower().removesuffix(".gz").endswith(LINE_SUFFIXES) and not file.startswith(HUB_PREFIX) else "row"


def place(file: str, number: int, column: str) -> str:
    """File, row and column of a cell."""
    return f"{file}, {row_word(file)} {number}, column {column!r}"
