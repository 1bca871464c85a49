"""Labels, counts and shares as they are written in tables and pictures."""

import itertools
import math
import re
import unicodedata

from halfbert.data.phrases import counted as counted

# XML allows none of these; csv readers, UTF-8 and terminals fail on some.
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
LONGEST_LABEL = 50  # columns; longer ones lose their middle
MODEL_NAMES = {
    "tfidf": "TF-IDF",
    "static": "static embeddings",
    "student": "the distilled student",
    "distilbert": "DistilBERT",
    "cascade": "the cascade",
    "bert": "BERT",
}


def printable(text: str) -> str:
    r"""The text with control characters, lone surrogates and noncharacters escaped: a NUL becomes the four letters \x00."""
    return UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def one_line(text: str) -> str:
    """The text on one line: runs of white space become one space, control characters are escaped."""
    return printable(" ".join(text.split()))


def columns(text: str) -> int:
    """How many columns of a terminal the text takes: Chinese letters two, combining and invisible ones none."""
    return sum(_columns(letter) for letter in text)


def padded(text: str, width: int) -> str:
    """The text on one line, filled up with spaces to `width` columns."""
    line = one_line(text)
    return line + " " * (width - columns(line))


def shortened(label: str, longest: int = LONGEST_LABEL) -> str:
    """The label on one line of at most `longest` columns; beginnings and ends tell labels apart, so the middle is left out."""
    letters = _letters(one_line(label))
    if sum(map(columns, letters)) <= longest:
        return "".join(letters)
    half = (longest - 1) // 2
    return f"{''.join(_leading(letters, half))}…{''.join(_leading(letters[::-1], half)[::-1])}"


def model_name(key: str, short: bool = False) -> str:
    """What people call a model of options and records; `short` in tables and pictures. A key of no known model stays."""
    name = MODEL_NAMES.get(key, key)
    return name.removeprefix("the ").removeprefix("distilled ") if short and key in MODEL_NAMES else name


def percent(share: float) -> str:
    """A percentage that is 0% and 100% of none and all only."""
    if 0 < share < 0.0005:
        return "<0.1%"
    if 0.9995 <= share < 1:
        return ">99.9%"
    return f"{share:.1%}" if 0 < share < 1 else f"{share:.0%}"


def significant(value: float | None, digits: int = 3) -> str:
    """The number with so many significant digits, all those before the point, and no exponent; "–" where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value else 0
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if decimals else text


def readable(metric: str) -> str:
    """The name of a record's score as people write it: "macro F1" for "macro_f1"."""
    names = {"f1": "F1", "roc": "ROC", "auc": "AUC"}
    return " ".join(names.get(word, word) for word in metric.split("_"))


def _columns(letter: str) -> int:
    if unicodedata.category(letter) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def _letters(text: str) -> list[str]:
    """What a reader takes for single letters: combining marks, skin tones and joined emoji stay with what they belong to."""
    letters: list[str] = []
    for character in text:
        joined = letters and (letters[-1].endswith("\u200d") or _columns(character) == 0 or "🏻" <= character <= "🏿")
        if joined or (letters and unicodedata.category(character) == "Mc"):
            letters[-1] += character
        else:
            letters.append(character)
    return letters


def _leading(letters: list[str], width: int) -> list[str]:
    ends = itertools.accumulate(map(columns, letters))
    return [letter for letter, end in zip(letters, ends, strict=True) if end <= width]
