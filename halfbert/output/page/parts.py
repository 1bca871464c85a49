"""What a page consists of, as plain values; everything is escaped when it is written."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True)
class Card:
    """A figure in large type: what it is, its value, a note below it (an interval, say)."""

    title: str
    value: str
    note: str = ""
    state: Literal["", "good", "bad", "warn"] = ""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    kind: "text" is wrapped and shortened, "label" kept whole; "number" and "share" (0 to 1, shown as a percentage) are aligned
        right; "bar" is a number from 0 to 1 drawn as a bar, or [number, low, high] with its interval; "labels" is a list of
        texts, of which a filter takes rows that have one.
    decimals: of "number" and "bar"; None: whole numbers as they are, others with 3.
    note: shown when the heading is pointed at.
    """

    title: str
    kind: Literal["text", "label", "labels", "number", "share", "bar"] = "text"
    decimals: int | None = None
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Rows that a reader sorts by a click on a heading, and searches and filters where that is of use.

    A cell is a plain value, None where there is none. Where what is shown does not sort by itself, a cell is [value to sort
    by, text to show]; of a "bar" column it is [value, low, high].

    Attributes
    ----------
    search: offer a search over all cells.
    filters: numbers of the columns that get a drop-down list of their values.
    marked: numbers of the rows that are shown pale, such as those of few test rows; the caption says what pale means.
    page_size: rows shown at a time.
    source: the file that has all rows, named where the page cannot hold them.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]
    caption: str
    search: bool = False
    filters: Sequence[int] = ()
    marked: Sequence[int] = ()
    page_size: int = 25
    source: str = ""


@dataclass(frozen=True)
class Series:
    """A line of `Lines`; `low` and `high`, where given, are the band around it. None leaves a gap."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    low: Sequence[float | None] = ()
    high: Sequence[float | None] = ()


@dataclass(frozen=True)
class Lines:
    """Curves, each named at its end. `y_range` widens the axis to at least that; `diagonal` draws y = x."""

    title: str
    x_title: str
    y_title: str
    series: Sequence[Series]
    y_range: tuple[float, float] | None = None
    diagonal: bool = False
    caption: str = ""


@dataclass(frozen=True)
class Bars:
    """Horizontal bars from 0, with intervals from `low` to `high` where given."""

    title: str
    names: Sequence[str]
    values: Sequence[float | None]
    low: Sequence[float | None] = ()
    high: Sequence[float | None] = ()
    caption: str = ""


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix: `counts[i][j]` rows of label i were answered label j. Readers sort it and zoom in."""

    title: str
    labels: Sequence[str]
    counts: Sequence[Sequence[int]]
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    """A PNG file, which is copied into the page; `alt` says what it shows."""

    file: Path
    alt: str


@dataclass(frozen=True)
class Words:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Items:
    """A list of sentences."""

    items: Sequence[str]


@dataclass(frozen=True)
class Command:
    """A command to copy, and what it is for."""

    text: str
    note: str = ""


Part = Table | Lines | Bars | Matrix | Picture | Words | Items | Command


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it; `folded`: only seen when it is opened, and in print."""

    title: str
    parts: Sequence[Part]
    folded: bool = False


@dataclass(frozen=True)
class Page:
    """A page; `record`, a dataclass or what JSON can hold, is embedded, so that the page holds the data that it shows."""

    title: str
    headline: str
    cards: Sequence[Card] = ()
    sections: Sequence[Section] = field(default_factory=list)
    record: Any = None
    note: str = ""
