"""What may be given to `Classifier.predict`: one text, or many in an order; anything else is refused with what to do."""

import reprlib
from collections.abc import Iterable, Mapping
from typing import Any

from halfbert.system.errors import InputError

Texts = str | Iterable[str]
EXPECTED = "expected a text, or a list, Series or array of texts"


def read_texts(texts: Any) -> tuple[list[str], bool]:
    """The texts as a list, and whether they are a single one. Raises InputError if they are none, or in no order."""
    if isinstance(texts, str):
        return [texts], True
    kind, columns = type(texts).__name__, getattr(texts, "column_names", getattr(texts, "columns", None))
    if columns is not None:
        raise InputError(f"{kind} of the columns {reprlib.repr(list(columns))}: {EXPECTED}; name a column, as in table['text']")
    if isinstance(texts, Mapping):
        raise InputError(f"{kind} of the keys {reprlib.repr(list(texts))}: {EXPECTED}; pass one of its values")
    if isinstance(texts, (bytes, bytearray, memoryview)):
        raise InputError(f"{kind}: {EXPECTED}; decode it, as in value.decode('utf-8')")
    if isinstance(texts, (set, frozenset)):
        raise InputError(f"{kind}: has no order that the answers could follow; {EXPECTED}")
    dimensions = getattr(texts, "ndim", 1)
    if dimensions != 1:
        raise InputError(f"{kind} of {dimensions} dimensions: {EXPECTED} in one dimension")
    try:
        items = iter(texts.to_pylist() if hasattr(texts, "to_pylist") else texts)  # pyarrow's arrays hold scalars of its own
    except TypeError:
        raise InputError(f"{reprlib.repr(texts)} (of type {kind}): {EXPECTED}") from None
    many = list(items)
    for number, text in enumerate(many, start=1):
        if not isinstance(text, str):
            hint = "; drop missing texts, or put '' in their place" if _is_missing(text) else ""
            raise InputError(f"text {number:,} of {len(many):,} is of type {type(text).__name__}, expected a string{hint}")
    return many, False


def _is_missing(value: Any) -> bool:
    """Whether a cell of a table holds no value: None, NaN, pandas' NA and NaT."""
    return type(value).__name__ in ("NoneType", "NAType", "NaTType") or (isinstance(value, float) and value != value)
