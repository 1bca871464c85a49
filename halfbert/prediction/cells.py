"""The values of one format's cells as another format takes them."""

import base64
import datetime
import json
import math
from typing import Any

from halfbert.data.cells import cell_text, is_missing
from halfbert.system.errors import InputError


def written(value: Any) -> str:
    """A value as a text file has it: what people see of it, lists and structures as JSON, nothing where it is missing."""
    if isinstance(value, str):
        return value
    if isinstance(value, (list, dict, tuple, bytes)):
        plain = as_json(value)
        return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
    try:
        return cell_text(value, "") or ""
    except InputError:
        return str(value)


def as_json(value: Any) -> Any:
    """A value as JSON has it; bytes are text, or base64 where they are none."""
    if isinstance(value, dict):
        return {str(name): as_json(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(each) for each in value]
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return base64.b64encode(value).decode()
    if isinstance(value, (str, bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return None if is_missing(value) else written(value)


def in_workbook(value: Any) -> Any:
    """A value as a cell of a workbook may have it: numbers, dates and booleans stay, all else is text."""
    if isinstance(value, (bool, int, float, str)) or value is None:
        return None if is_missing(value) else value
    if isinstance(value, (datetime.datetime, datetime.time)):
        return value.replace(tzinfo=None) if value.tzinfo is None else written(value)
    return value if isinstance(value, (datetime.date, datetime.timedelta)) else written(value) or None
