"""Fonts for labels in any script: installed ones that have the letters which matplotlib's own font lacks."""

import contextlib
import functools
import unicodedata
from collections.abc import Iterable
from typing import TYPE_CHECKING

from halfbert.system import console

if TYPE_CHECKING:
    from matplotlib.font_manager import FontEntry

BASE = "DejaVu Sans"  # comes with matplotlib
PLACEHOLDERS = ("LastResort", "AdobeBlank", "Tofu")  # fonts that have a box for every letter
_reported: set[str] = set()


def families_for(texts: Iterable[str]) -> list[str]:
    """The font families that draw the texts, each for the letters that those before it lack.

    Letters that no installed font has are drawn as boxes, which is reported once.
    """
    missing = {letter for text in texts for letter in text if _is_visible(letter)} - _letters(_file_of(BASE))
    families = [BASE]
    while missing:
        best = max(_candidates(), key=lambda font: len(missing & _letters(font.fname)), default=None)
        if best is None or not missing & _letters(best.fname):
            break
        families.append(best.name)
        missing -= _letters(best.fname)
    if missing - _reported:
        _report(missing)
    return families


def _report(missing: set[str]) -> None:
    _reported.update(missing)
    some = sorted(letter for letter in missing if unicodedata.category(letter)[0] != "M") or sorted(missing)
    console.say(
        f"note: no installed font has {' '.join(some[:10])}{' …' if len(some) > 10 else ''}: pictures show boxes instead; "
        "install one that has (on Debian and Ubuntu: fonts-noto-core, fonts-noto-cjk, fonts-symbola)"
    )


def _is_visible(letter: str) -> bool:
    """False for spaces, joiners and variation selectors, for which nothing is drawn."""
    return unicodedata.category(letter)[0] not in "CZ" and not "\ufe00" <= letter <= "\ufe0f"


def _file_of(family: str) -> str:
    from matplotlib.font_manager import findfont

    return str(findfont(family))


@functools.cache
def _candidates() -> list["FontEntry"]:
    """One font of each installed family, upright and sans serif ones first."""
    from matplotlib.font_manager import findSystemFonts, fontManager

    listed = {font.fname for font in fontManager.ttflist}
    for file in findSystemFonts():  # matplotlib's own list dates from when it was first used
        if file not in listed:
            with contextlib.suppress(OSError, RuntimeError, ValueError):
                fontManager.addfont(file)

    def rank(font: "FontEntry") -> tuple:
        upright = font.style == "normal" and font.weight in (400, "normal", "regular")
        return not upright, "sans" not in font.name.lower(), font.name

    families: dict[str, FontEntry] = {}
    for font in sorted(fontManager.ttflist, key=rank):
        if not font.name.replace(" ", "").strip(".").startswith(PLACEHOLDERS):
            families.setdefault(font.name, font)
    return list(families.values())


@functools.cache
def _letters(file: str) -> frozenset[str]:
    """The letters of a font; none of one that matplotlib cannot draw with, such as those of coloured bitmaps."""
    from matplotlib.font_manager import get_font

    try:
        font = get_font(file)
        return frozenset(map(chr, font.get_charmap())) if font.scalable else frozenset()
    except (OSError, RuntimeError, ValueError):
        return frozenset()
