"""Characters that nobody sees: which they are, and which of them nevertheless carry meaning."""

import re

# Default_Ignorable_Code_Point (Unicode 16, DerivedCoreProperties.txt) and the control characters that are not white space.
_INVISIBLE = (
    "\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_FLAG_OF_A_REGION = "\U0001f3f4[\U000e0020-\U000e007f]+"  # England's and Scotland's differ in their tag characters only
_BLANK = "\u2800"  # BRAILLE PATTERN BLANK, which str.split() does not take for white space

_ALL_BUT_FLAGS = re.compile(f"({_FLAG_OF_A_REGION})|[{_INVISIBLE}]")


def visible(text: str) -> str:
    """The text without any invisible character; texts that look alike become equal, whatever their joiners."""
    return _ALL_BUT_FLAGS.sub(r"\1", text)


def collapse(text: str) -> str:
    """The text with each run of white space, line breaks included, made one space, and none at either end."""
    return " ".join(text.replace(_BLANK, " ").split())


def is_blank(text: str) -> bool:
    """Whether the text shows nothing: white space and invisible characters only."""
    return not collapse(visible(text))
