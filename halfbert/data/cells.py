"""The text of a cell: the one place that decides what a label, a text, a name or a column header says, and what is blank."""

import datetime
import decimal
import json
import math
import re
import unicodedata
from collections.abc import Iterable
from difflib import SequenceMatcher
from typing import Any

from halfbert.data.characters import INVISIBLE, is_blank, on_one_line, visible, without_stray
from halfbert.data.phrases import listed, truncated
from halfbert.system.errors import InputError

SURROGATE = re.compile("[\ud800-\udfff]")
INTEGRAL = re.compile(r"(-?\d+)\.0+")
NUMBER = re.compile(r"-?\d+(\.\d+)?")
NARROW_FLOATS = {"float32": "float32", "float": "float32", "float16": "float16", "halffloat": "float16"}
DATE_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(:\d\d)?(\.\d+)?")
# 1.10 or 1.0.2: no number is written so, which makes the labels beside it numbers of versions or chapters.
NUMBERED = re.compile(r"-?\d+\.\d*[1-9]0+|\d+(\.\d+){2,}")


def cell_text(value: Any, place: str) -> str | None:
    """The text of one cell as people see it (3 and not 3.0), or None where it is empty or shows nothing.

    Raises InputError, beginning with `place`, for a value that is not a text, number or date.
    """
    if not isinstance(value, str | float) and getattr(value, "ndim", None) == 0:  # a scalar of numpy
        kind = str(value.dtype)
        if kind.startswith("datetime64"):
            value = None if str(value) == "NaT" else str(value)
        else:
            (value,) = as_spelt([value.item()], kind)
    if is_missing(value):
        return None
    if isinstance(value, str):
        if not value.isascii() and SURROGATE.search(value):
            raise InputError(f"{place}: holds half of a character (a lone surrogate); the text is truncated or mis-encoded")
        return None if is_blank(value) else value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime.datetime) and value.time() == datetime.time() and value.tzinfo is None:
        return str(value.date())
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, bool | int | float | datetime.date | datetime.time | datetime.timedelta):
        return str(value)
    if type(value).__module__.split(".")[0] == "pandas":  # a Period or an Interval
        return str(value)
    raise InputError(f"{place}: holds a {type(value).__name__} where a text or a number is expected")


def is_missing(value: Any) -> bool:
    """Whether a cell has no value: None, NaN, NaT or pandas.NA."""
    if isinstance(value, float | decimal.Decimal):
        return math.isnan(value)
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def as_spelt(values: list[Any], kind: str) -> list[Any]:
    """The values of a column of this type, given as Python has them: 32-bit floats with their own digits.

    That is 0.1 for the float32 that Python shows as 0.10000000149011612. `kind` is as numpy, pandas or Arrow name it.
    """
    digits = NARROW_FLOATS.get(kind.lower().removesuffix("[pyarrow]"))
    if digits is None:
        return values
    import numpy as np

    narrow = np.dtype(digits).type
    return [value if is_missing(value) else float(str(narrow(value))) for value in values]


def spelling(value: Any, place: str) -> str | None:
    """The label in a cell as the file spells it (1.0 is not yet 1); None where there is none."""
    text = cell_text(value, place)
    return str(value) if text is not None and isinstance(value, float) else text


def name_text(text: str) -> str:
    """A label or the name of a column as it is shown: on one line, without surrounding white space or stray invisible signs."""
    return on_one_line(without_stray(text))


def label_key(label: str) -> str:
    """What the spellings of one label share: 1 and 1.0, TRUE and true, a date and its midnight, an emoji in either style."""
    label = _plain(name_text(label)).replace("\ufe0f", "")
    return label.lower() if label.lower() in ("true", "false") else label


def as_known(labels: Iterable[str], known: Iterable[str]) -> list[str]:
    """The labels as those `known` spell them, in another file or a predictor; others as they are."""
    spelt = {label_key(label): label for label in known}
    return [spelt.get(label_key(label), label) for label in labels]


def written_label(text: str, numbered: bool) -> str:
    """The label that a spelling stands for: 1 for 1.0, except in a `numbered` column, which holds labels such as 1.10."""
    text = name_text(text)
    return text if numbered and INTEGRAL.fullmatch(text) else _plain(text)


def _plain(text: str) -> str:
    integral = INTEGRAL.fullmatch(text)
    if integral:
        return integral.group(1)
    moment = DATE_TIME.fullmatch(text)
    if not moment:
        return text
    day, minutes, seconds, fraction = moment.groups()
    time = f"{minutes}{seconds or ':00'}{(fraction or '').rstrip('.0')}"
    return day if time == "00:00:00" else f"{day} {time}"


def label_order(label: str) -> tuple[int, float, str]:
    """Sort key of labels: numbers as numbers, before the others."""
    return (0, float(label), label) if NUMBER.fullmatch(label) else (1, 0.0, label)


def quoted(text: str) -> str:
    """A label for a message: on one line, truncated where it is as long as a text, invisible characters as escapes."""
    shown = json.dumps(truncated(text), ensure_ascii=False)
    return INVISIBLE.sub(lambda sign: json.dumps(sign.group())[1:-1], shown)


def difference(one: str, other: str) -> str:
    """How two labels that look alike differ, in words; with code points where the eye does not see it."""
    if "".join(one.lower().split()) == "".join(other.lower().split()):
        return "letter case or white space only"
    changes = [codes for codes in SequenceMatcher(None, one, other, autojunk=False).get_opcodes() if codes[0] != "equal"]
    (_, start, _, others_start, _), (_, _, end, _, others_end) = changes[0], changes[-1]
    ways = f"{_code_points(one[start:end])} against {_code_points(other[others_start:others_end])}"
    return f"{'invisible characters' if visible(one) == visible(other) else 'Unicode form'} only ({ways})"


def _code_points(text: str) -> str:
    return listed([f"U+{ord(sign):04X} {unicodedata.name(sign, '')}".strip() for sign in text]) or "nothing"
