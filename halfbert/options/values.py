"""Readers of option values: each takes a word of the command line, or the value itself from Python, and returns the value.

Each raises ValueError, whose message begins with the value, if it does not fit.
"""

import csv
import math
import operator
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from halfbert.data.texts import named
from halfbert.system.machine import available_cpus

INTEGER = re.compile(r"[+-]?[0-9]{1,18}")  # ASCII digits alone: int() also takes 1_000, blanks and digits of other scripts
# What the hub takes for a repository: letters, digits, - _ and . in the name, at most 96, and one owner at most before it.
HUB_NAME = re.compile(
    r"(?:[A-Za-z0-9][\w.-]*/)?(?=.{1,96}$)(?!.*(?:--|\.\.))[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?", re.ASCII
)
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
LARGEST_INTEGER = 2**31 - 1  # libraries count in 32 bits
LARGEST_MAXLEN = 512
CONTESTANTS = ("tfidf", "static", "distilbert", "bert")  # from the smallest to the largest


def switch(value: Any) -> bool:
    """True or False, as Python has it; on the command line the option alone is True."""
    if value not in (True, False):
        raise ValueError(f"{value!r} is neither True nor False")
    return bool(value)


def text(value: Any) -> str:
    """Text that is not blank."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{value!r} is not a text, or a blank one")
    return value


def separator(value: Any) -> str:
    """Text of at least one character, which may be a blank."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r} is not a text of at least one character")
    return value


def columns(value: Any) -> str:
    """Names of columns with commas between them, as one text; in Python also as a list."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        return text(value)
    return named(names(value))


def delimiter(value: Any) -> str:
    """One character, "tab" for a tab; none that means something else in csv files."""
    if value in ("tab", "\\t"):
        return "\t"
    if not isinstance(value, str) or len(value) != 1 or value in '"\r\n\0':
        raise ValueError(f"{value!r} is not one character that can separate cells, or tab")
    return value


def source(value: Any) -> str:
    """A file, a folder or a name on the hub, as text."""
    return text(os.fspath(value) if isinstance(value, os.PathLike) else value)


def hub_name(value: Any) -> str:
    """The name of a repository on the hub."""
    if not isinstance(value, str) or not HUB_NAME.fullmatch(value) or value.endswith(".git"):
        raise ValueError(f"{value!r} is not the name of a repository such as user/name (letters, digits, single - _ and .)")
    return value


def path(value: Any) -> Path:
    """The path of a file or folder."""
    return Path(source(value))


def paths(value: Any) -> list[Path]:
    """Paths of files or folders."""
    return [path(one) for one in ([value] if isinstance(value, (str, os.PathLike)) else _listed(value))]


def sources(value: Any) -> list[str]:
    """Files, patterns or, in Python, DataFrames: one or several."""
    found = [source(one) for one in ([value] if isinstance(value, (str, os.PathLike)) else _listed(value))]
    if not found:
        raise ValueError(f"{value!r} names no file")
    return found


def named_sources(value: Any) -> list[str]:
    """Files or folders, with commas between them; one whose name holds a comma stands in double quotes."""
    if isinstance(value, os.PathLike):
        value = [value]
    return [source(one) for one in (names(value) if isinstance(value, str) else _listed(value))]


def one_of(value: Any, known: Sequence[str]) -> str:
    """One of the known words."""
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{value!r} is not one of {', '.join(known)}")
    return value


def folds_or_word(value: Any) -> int | str:
    """The word auto or none (in Python also None), or a number of folds."""
    if value in ("auto", "none", None):
        return value or "none"
    return _integer(value, 2, LARGEST_INTEGER, "auto, none, or an integer of at least 2")


def maxlen(value: Any) -> int | None:
    """A number of tokens from 3 (special tokens and a word) to 512, or None for "auto"."""
    return None if value == "auto" else _integer(value, 3, LARGEST_MAXLEN, f"auto, or an integer from 3 to {LARGEST_MAXLEN}")


def tokens(value: Any) -> int:
    """A number of tokens from 3 to 512."""
    return _integer(value, 3, LARGEST_MAXLEN, f"an integer from 3 to {LARGEST_MAXLEN}")


def names(value: Any) -> list[str]:
    """Names with commas between them; in double quotes a name may hold commas itself, as in csv files."""
    if isinstance(value, str):
        try:
            # A line break is a blank like others: names of columns are read without theirs.
            rows = list(csv.reader([value.replace("\n", " ")], skipinitialspace=True, strict=True))
        except csv.Error as error:
            raise ValueError(f"{value!r} is not a list of names with commas between them ({error})") from None
        value, given = rows[0] if rows else [], value
    else:
        value, given = _listed(value), value
    found = [name.strip() if isinstance(name, str) else name for name in value]
    if not found or not all(isinstance(name, str) and name for name in found):
        raise ValueError(f"{given!r} is not a list of names with commas between them")
    return found


def names_of(value: Any, known: Sequence[str]) -> list[str]:
    """Known words, each at most once."""
    found = names(value)
    if set(found) - set(known) or len(set(found)) < len(found):
        raise ValueError(f"{value!r} is not a list of {', '.join(known)}, each at most once")
    return found


def layers(value: Any) -> list[int]:
    """Numbers of at least 0, each at most once."""
    return _each(value, seed)


def batches(value: Any) -> list[int]:
    """Numbers of texts per call, each at most once, from the smallest on."""
    return sorted(_each(value, count))


def thread_counts(value: Any) -> list[int]:
    """Numbers of threads, each at most once; "all" is the number of processors."""
    given = _each(value, lambda one: one if one == "all" else count(one))
    return list(dict.fromkeys(available_cpus() if one == "all" else one for one in given))


def contestants(value: Any) -> dict[str, str | None]:
    """Contestants from the smallest on, each with the checkpoint after "=" (in Python: as value of its name) or None."""
    words = list(value.items()) if isinstance(value, Mapping) else [name.partition("=")[::2] for name in names(value)]
    given = dict(words)
    if set(given) - set(CONTESTANTS) or given.get("tfidf") or given.get("static") or len(given) < len(words):
        raise ValueError(f"{value!r} is not a list of {', '.join(CONTESTANTS)}, each at most once")
    return {name: source(given[name]) if given[name] else None for name in CONTESTANTS if name in given}


def _each(value: Any, read: Callable[[Any], Any]) -> list[Any]:
    found = [read(one) for one in (names(value) if isinstance(value, str) else _listed(value))]
    if not found or len(set(found)) < len(found):
        raise ValueError(f"{value!r} is not a list of numbers, each at most once")
    return found


def _listed(value: Any) -> list[Any]:
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise ValueError(f"{value!r} is not a list")
    return list(value)


def _integer(value: Any, least: int, most: int, expected: str) -> int:
    try:
        number = int(value) if isinstance(value, str) and INTEGER.fullmatch(value) else operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or not least <= number <= most:
        raise ValueError(f"{value!r} is not {expected}")
    return number


def _number(value: Any, fits: Callable[[float], bool], expected: str) -> float:
    try:
        written = not isinstance(value, str) or NUMBER.fullmatch(value)
        number = float(value) if written and not isinstance(value, bool) else math.nan
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or not fits(number):
        raise ValueError(f"{value!r} is not {expected}")
    return number


count = partial(_integer, least=1, most=LARGEST_INTEGER, expected="an integer of at least 1 (and below 2^31)")
folds = partial(_integer, least=2, most=LARGEST_INTEGER, expected="an integer of at least 2")
seed = partial(_integer, least=0, most=2**32 - 1, expected="an integer from 0 to 4294967295")
port = partial(_integer, least=0, most=2**16 - 1, expected="a port from 0 to 65535")
positive = partial(_number, fits=lambda number: number > 0, expected="a number above 0")
non_negative = partial(_number, fits=lambda number: number >= 0, expected="a number of at least 0")
share = partial(_number, fits=lambda number: 0 <= number <= 1, expected="a number from 0 to 1")
