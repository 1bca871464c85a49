"""The tables of docs/drift.md, made from the records in results/published/drift/."""

import json
from collections.abc import Iterator
from typing import Any

from halfbert.output.sheets import markdown_table
from tools.tables import NAMES, PUBLISHED

PROGRAMS = {"English": "program messages, English", "German": "the same in German", "Russian": "the same in Russian"}
DOMAIN, DOUBLED = "another domain", "label doubled"


def _records() -> Iterator[tuple[str, dict[str, Any]]]:
    for name in NAMES:
        file = PUBLISHED / "drift" / f"{name}.json"
        if file.is_file():
            yield name, json.loads(file.read_text(encoding="utf-8"))


def false_alarms() -> str:
    """In how many draws rows of the same table were said to have changed."""
    rows = []
    for name, record in _records():
        sizes = sorted({each["rows"] for each in record["false_alarms"]})
        for size in sizes:
            found = {each["what"]: each for each in record["false_alarms"] if each["rows"] == size}
            shown = [f"{each['alarms']} of {each['draws']}" for each in (found["validation rows"], found["drawn anew"])]
            rows.append([NAMES[name], f"{record['rows']['val']:,}", f"{size:,}", *shown])
    return markdown_table(["table", "validation rows", "new rows", "alarms", "alarms, both drawn anew"], rows)


def power() -> str:
    """The share of draws in which a planted change was found."""
    rows = []
    for share in (1.0, 0.25, 0.1):
        for change in (DOMAIN, *PROGRAMS, DOUBLED):
            cells = [_found(record, change, share) for _, record in _records()]
            if any(cell != "–" for cell in cells):
                rows.append([_named(change, share), *cells])
    return markdown_table(["change", *(NAMES[name] for name, _ in _records())], rows)


def _named(change: str, share: float) -> str:
    name = PROGRAMS.get(change, change)
    return name if change == DOUBLED else f"{'all' if share == 1 else f'{share:.0%} of the'} rows: {name}"


def _found(record: dict[str, Any], change: str, share: float) -> str:
    cells = []
    for size in sorted({each["rows"] for each in record["power"]}):
        found = [
            each for each in record["power"] if each["rows"] == size and each["share"] == share and _is(each["what"], change)
        ]
        if found:
            cells.append(f"{sum(each['alarms'] for each in found) / sum(each['draws'] for each in found):.0%}")
    return " · ".join(cells) or "–"


def _is(what: str, change: str) -> bool:
    return what == change or (change == DOMAIN and what in NAMES)


def sketches() -> str:
    """What a sketch of the outputs or of the states adds: the share of draws of a quarter or a tenth of foreign rows."""
    rows = []
    for name, record in _records():
        for size in sorted({each["rows"] for each in record["power"]}):
            found = [each for each in record["power"] if each["rows"] == size and each["share"] in (0.25, 0.1)]
            draws = sum(each["draws"] for each in found)
            if any(each["with_sketch"] for each in found):
                counts = [sum(each["alarms"] for each in found)]
                counts += [sum(each["with_sketch"].get(sketch, 0) for each in found) for sketch in ("outputs", "states")]
                rows.append([NAMES[name], f"{size:,}", *(f"{count / draws:.0%}" for count in counts)])
    return markdown_table(["table", "new rows", "found", "with a sketch of the outputs", "with a sketch of the states"], rows)
