"""A page as one HTML file: text and pictures as HTML, tables and charts as JSON that the page's scripts draw.

The file is at most MOST_BYTES: tables that would be more are cut, with a line that says how much, and which file has all.
The content security policy names the style and the script by their hashes and allows no other, and no network.
"""

import base64
import dataclasses
import functools
import hashlib
import html
import importlib.resources
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from halfbert.output.page import parts
from halfbert.output.words import printable, shortened, significant
from halfbert.system import storage

MOST_BYTES = 3_000_000
MOST_ROWS = 5_000  # of a table
LONGEST_TEXT = 1_000  # characters of a cell
RECORD_BYTES = 1_200_000  # of the embedded record
MOST_BARS = 60
WITHOUT_SCRIPT = "Tables and charts are drawn by this page's script, which is switched off."


def write(page: parts.Page, file: Path) -> None:
    """Write the page. Raises OSError where a picture cannot be read or the file not written."""
    storage.write_text(render(page), file)


def render(page: parts.Page) -> str:
    """The page's HTML."""
    record, record_note = _record(page.record)
    body = [_section(number, section) for number, section in enumerate(page.sections)]
    fixed = sum(map(_size, body)) + _size(record) + _size(_asset("page.css")) + _size(_script()) + 20_000
    drawn = _data([part for section in page.sections for part in section.parts], MOST_BYTES - fixed)
    notes = " ".join(filter(None, [page.note, record_note]))
    return "".join(
        [
            "<!doctype html>\n",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_policy()}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{_text(page.title)}</title>",
            f"<style>{_asset('page.css')}</style></head>\n<body>\n",
            f"<header><h1>{_text(page.title)}</h1>",
            f'<p class="headline">{_text(page.headline)}</p>' if page.headline else "",
            _cards(page.cards),
            _contents(page.sections),
            "</header>\n<main>\n",
            f"<noscript><p>{WITHOUT_SCRIPT}</p></noscript>\n",
            *body,
            "</main>\n",
            f"<footer><p>{_text(notes)}</p></footer>\n" if notes else "",
            f'<script type="application/json" id="drawn">{drawn}</script>\n',
            f'<script type="application/json" id="record">{record}</script>\n',
            f"<script>{_script()}</script>\n</body></html>\n",
        ]
    )


# ---------------------------------------------------------------------------------------------------------------------------
# What is HTML


def _text(text: str) -> str:
    return html.escape(printable(text))


def _cards(cards: Sequence[parts.Card]) -> str:
    return f'<ul class="cards">{"".join(map(_card, cards))}</ul>' if cards else ""


def _card(card: parts.Card) -> str:
    note = f'<span class="note">{_text(card.note)}</span>' if card.note else ""
    title, value = _text(card.title), _text(card.value)
    return f'<li class="card {card.state}"><span>{title}</span><strong>{value}</strong>{note}</li>'


def _contents(sections: Sequence[parts.Section]) -> str:
    if len(sections) < 4:
        return ""
    links = (f'<a href="#s{number}">{_text(section.title)}</a>' for number, section in enumerate(sections))
    return f'<nav aria-label="Sections">{" ".join(links)}</nav>'


def _section(number: int, section: parts.Section) -> str:
    inner = "".join(map(_part, section.parts))
    heading = f"<h2>{_text(section.title)}</h2>"
    if section.folded:
        return f'<details id="s{number}"><summary>{heading}</summary><div class="parts">{inner}</div></details>\n'
    return f'<section id="s{number}">{heading}<div class="parts">{inner}</div></section>\n'


def _part(part: parts.Part) -> str:
    if isinstance(part, parts.Words):
        return f"<p>{_text(part.text)}</p>"
    if isinstance(part, parts.Items):
        return f"<ul>{''.join(f'<li>{_text(item)}</li>' for item in part.items)}</ul>" if part.items else ""
    if isinstance(part, parts.Command):
        note = f"<p>{_text(part.note)}</p>" if part.note else ""
        code = f'<pre tabindex="0" aria-label="command"><code>{_text(part.text)}</code></pre>'
        return f'<div class="command">{note}{code}<button type="button" hidden>Copy</button></div>'
    if isinstance(part, parts.Picture):
        image = base64.b64encode(part.file.read_bytes()).decode()
        return f'<figure><img alt="{_text(part.alt)}" src="data:image/png;base64,{image}"></figure>'
    if isinstance(part, parts.Bars):
        return _bars(part)
    kind = type(part).__name__.lower()
    return f'<figure class="{kind}" data-drawn="{kind}"></figure>'


def _bars(bars: parts.Bars) -> str:
    """A table whose bars are SVG with sizes in percent, which fit any width without a script."""
    numbers = [value for value in (*bars.values, *bars.high) if value is not None and math.isfinite(value)]
    largest = max([*numbers, 0.0]) or 1.0
    rows = "".join(_bar(bars, number, largest) for number in range(min(len(bars.names), MOST_BARS)))
    more = len(bars.names) - MOST_BARS
    left_out = f" The first {MOST_BARS} of {len(bars.names):,}." if more > 0 else ""
    title = f"<caption>{_text(bars.title)}</caption>"
    caption = f"<figcaption>{_text(bars.caption)}{left_out}</figcaption>" if bars.caption or left_out else ""
    return f'<figure class="bars"><table>{title}<tbody>{rows}</tbody></table>{caption}</figure>'


def _bar(bars: parts.Bars, number: int, largest: float) -> str:
    value = bars.values[number]
    low, high = (ends[number] if len(ends) else None for ends in (bars.low, bars.high))
    show = significant if largest > 1 else lambda score: "–" if score is None else f"{score:.3f}"
    shown = show(value)
    drawn = f'<rect class="bar" height="100%" width="{100 * max(value or 0.0, 0.0) / largest:.2f}%"/>'
    if low is not None and high is not None:
        shown += f" ({show(low)} to {show(high)})"
        ends = 100 * low / largest, 100 * high / largest
        drawn += f'<line class="whisker" x1="{ends[0]:.2f}%" x2="{ends[1]:.2f}%" y1="50%" y2="50%"/>'
    name = _text(shortened(bars.names[number]))
    return f'<tr><th scope="row">{name}</th><td class="track"><svg aria-hidden="true">{drawn}</svg></td><td>{shown}</td></tr>'


# ---------------------------------------------------------------------------------------------------------------------------
# What the scripts draw


def _data(every: Sequence[parts.Part], room: int) -> str:
    """The JSON of what is drawn, in the order of its places; the tables share the `room` in bytes, the small ones first."""
    encoded: dict[int, str] = {}
    drawn = [part for part in every if isinstance(part, (parts.Table, parts.Lines, parts.Matrix))]
    for number, part in enumerate(drawn):
        if not isinstance(part, parts.Table):
            encoded[number] = _json(_matrix(part) if isinstance(part, parts.Matrix) else dataclasses.asdict(part))
            room -= _size(encoded[number])
    tables = {number: _rows(part) for number, part in enumerate(drawn) if isinstance(part, parts.Table)}
    sizes = {number: sum(map(_size, rows)) for number, rows in tables.items()}
    for waiting, number in enumerate(sorted(sizes, key=sizes.__getitem__)):
        table = drawn[number]
        assert isinstance(table, parts.Table)
        encoded[number] = _table(table, tables[number], room // (len(sizes) - waiting))
        room -= _size(encoded[number])
    return f"[{','.join(encoded[number] for number in range(len(drawn)))}]"


def _rows(table: parts.Table) -> list[str]:
    """The JSON of each row that may be in the page."""
    return [_json([_cell(cell) for cell in row]) for row in table.rows[:MOST_ROWS]]


def _cell(cell: Any) -> Any:
    if isinstance(cell, str) and len(cell) > LONGEST_TEXT:
        return cell[:LONGEST_TEXT] + "…"
    return list(cell) if isinstance(cell, tuple) else cell


def _table(table: parts.Table, rows: list[str], room: int) -> str:
    kept, room = 0, room - 2_000
    for row in rows:
        room -= _size(row) + 1
        if room < 0:
            break
        kept += 1
    caption = table.caption
    if kept < len(table.rows):
        where = f"; {table.source} has all" if table.source else ""
        stop = "" if not caption or caption.endswith(".") else "."
        caption = f"{caption}{stop} The page holds the first {kept:,} of {len(table.rows):,} rows{where}.".strip()
    about = {
        "columns": [dataclasses.asdict(column) for column in table.columns],
        "caption": caption,
        "search": table.search,
        "filters": list(table.filters),
        "marked": [row for row in table.marked if row < kept],
        "page_size": table.page_size,
    }
    return f'{_json(about)[:-1]},"rows":[{",".join(rows[:kept])}]}}'


def _matrix(matrix: parts.Matrix) -> dict[str, Any]:
    """Without its zeros: [row, column, count] of each other cell."""
    cells = [[i, j, count] for i, row in enumerate(matrix.counts) for j, count in enumerate(row) if count]
    return {"title": matrix.title, "labels": list(matrix.labels), "caption": matrix.caption, "cells": cells}


def _record(record: Any) -> tuple[str, str]:
    """The record as JSON, and a note where it is too long to be embedded."""
    value = dataclasses.asdict(record) if dataclasses.is_dataclass(record) and not isinstance(record, type) else record
    text = _json(value)
    if _size(text) > RECORD_BYTES:
        return "null", "The record is too long to be embedded; the file record.json has it."
    return text, ""


def _json(value: Any) -> str:
    """JSON that may stand in a script element: without `<`, NaN and infinity, which stand there as null."""
    text = json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=str)
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if hasattr(value, "tolist"):  # of numpy
        return _finite(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _size(text: str) -> int:
    return len(text.encode("utf-8", "backslashreplace"))


# ---------------------------------------------------------------------------------------------------------------------------
# Style and scripts


@functools.cache
def _asset(name: str) -> str:
    return (importlib.resources.files("halfbert.output.page") / name).read_text(encoding="utf-8")


@functools.cache
def _script() -> str:
    return "".join(map(_asset, ("tables.js", "matrix.js", "lines.js", "page.js")))


@functools.cache
def _policy() -> str:
    style, script = (
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for text in (_asset("page.css"), _script())
    )
    return f"default-src 'none'; style-src {style}; script-src {script}; img-src data:; base-uri 'none'; form-action 'none'"
