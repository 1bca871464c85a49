"""Pages that people read in a browser: one self-contained HTML file from plain values.

A page is described by the dataclasses of `parts`, which hold no HTML, and written by `write`. Nothing is fetched from the
network and nothing is installed for it: tables, curves and the confusion matrix are drawn by the page's own scripts.
"""

from halfbert.output.page.parts import Bars as Bars
from halfbert.output.page.parts import Card as Card
from halfbert.output.page.parts import Column as Column
from halfbert.output.page.parts import Command as Command
from halfbert.output.page.parts import Items as Items
from halfbert.output.page.parts import Lines as Lines
from halfbert.output.page.parts import Matrix as Matrix
from halfbert.output.page.parts import Page as Page
from halfbert.output.page.parts import Part as Part
from halfbert.output.page.parts import Picture as Picture
from halfbert.output.page.parts import Section as Section
from halfbert.output.page.parts import Series as Series
from halfbert.output.page.parts import Table as Table
from halfbert.output.page.parts import Words as Words
from halfbert.output.page.writing import MOST_BYTES as MOST_BYTES
from halfbert.output.page.writing import write as write
