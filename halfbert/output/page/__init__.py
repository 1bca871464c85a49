"""Pages that people read in a browser: one self-contained HTML file from plain values.

A page is described by the dataclasses of `parts`, which hold no HTML, and written by `write`. Nothing is fetched from the
network and nothing is installed for it: tables, curves and the confusion matrix are drawn by the page's own scripts.
"""

from halfbert.output.page.parts import (
    Bars,
    Card,
    Column,
    Command,
    Items,
    Lines,
    Matrix,
    Page,
    Part,
    Picture,
    Section,
    Series,
    Table,
    Words,
)
from halfbert.output.page.writing import MOST_BYTES, write

__all__ = [
    "MOST_BYTES",
    "Bars",
    "Card",
    "Column",
    "Command",
    "Items",
    "Lines",
    "Matrix",
    "Page",
    "Part",
    "Picture",
    "Section",
    "Series",
    "Table",
    "Words",
    "write",
]
