"""The page kit's plain values as Markdown."""

from collections.abc import Sequence
from typing import Any

from halfbert.output.page import Items, Part, Section, Table, Words
from halfbert.output.sheets import markdown_table


def blocks(sections: Sequence[Section], right: bool = False) -> list[str]:
    """The headings and parts of sections, to be joined by empty lines; `right` as `markdown_table` has it.

    Charts are left out: their pictures stand for them.
    """
    of_sections = ((f"## {section.title}", *(_part(part, right) for part in section.parts)) for section in sections)
    return [text for texts in of_sections for text in texts if text]


def items(lines: Sequence[str]) -> str:
    """A list with a point for each line."""
    return "\n".join(f"- {line}" for line in lines)


def _part(part: Part, right: bool) -> str:
    if isinstance(part, Words):
        return part.text
    if isinstance(part, Items):
        return items(part.items)
    if isinstance(part, Table):
        return markdown_table(
            [column.title for column in part.columns], [[*map(_shown, row)] for row in part.rows], right=right
        )
    return ""


def _shown(cell: Any) -> Any:
    return "–" if cell is None else cell[-1] if isinstance(cell, list | tuple) else cell
