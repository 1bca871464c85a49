"""Characters that nobody sees: which they are, and which of them nevertheless carry meaning."""

import re

# Default_Ignorable_Code_Point (Unicode 16, DerivedCoreProperties.txt) and the control characters that are not white space.
_INVISIBLE = (
    "\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_BLANK = "\u2800"  # BRAILLE PATTERN BLANK, which str.split() does not take for white space
_FLAG_OF_A_REGION = "\U0001f3f4[\U000e0020-\U000e007f]+"  # England's and Scotland's differ in their tag characters only
_EMOJI = "\u00a9\u00ae\u203c-\u21ff\u2300-\u27bf\u2900-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
_JOINING_SCRIPTS = "\u0620-\u06ff\u0710-\u08ff\u0900-\u0dff\u0f40-\u109f\u1780-\u17b3\u1820-\u18aa\ufb50-\ufdff\ufe70-\ufefc"
_VIRAMA = "\u094d\u09cd\u0a4d\u0acd\u0b4d\u0bcd\u0c4d\u0ccd\u0d4d\u0dca"

INVISIBLE = re.compile(f"[{_INVISIBLE}]")
# What carries meaning goes into the group, so that it is put back; the rest of the invisible characters matches outside.
_ALL_BUT_FLAGS = re.compile(f"({_FLAG_OF_A_REGION})|[{_INVISIBLE}]")
_ALL_BUT_JOINERS = re.compile(f"({_FLAG_OF_A_REGION}|(?<=[{_EMOJI}])\ufe0f|\ufe0f(?=\u20e3)|[\u200c\u200d])|[{_INVISIBLE}]")
_REPEATED_JOINER = re.compile("([\u200c\u200d])\\1+")
_MISPLACED_JOINER = re.compile(
    f"((?<=[{_JOINING_SCRIPTS}])[\u200c\u200d](?=[{_JOINING_SCRIPTS}])|(?<=[{_VIRAMA}])[\u200c\u200d]"
    f"|(?<=[{_EMOJI}\ufe0f\U000e007f])\u200d(?=[{_EMOJI}]))|[\u200c\u200d]"
)
_LINE_BREAKING = re.compile(r"\s*[\t-\r\x1c-\x1e\x85\u2028\u2029]\s*")


def visible(text: str) -> str:
    """The text without any invisible character; texts that look alike become equal, whatever their joiners."""
    plain = text.isascii() and text.isprintable()  # as most texts are; the search takes its time
    return text if plain else _ALL_BUT_FLAGS.sub(r"\1", text)


def without_stray(text: str) -> str:
    """The text without invisible characters, except those that shape an emoji or a word of a joining script."""
    if not INVISIBLE.search(text):
        return text
    text = _REPEATED_JOINER.sub(r"\1", _ALL_BUT_JOINERS.sub(r"\1", text))
    return _MISPLACED_JOINER.sub(r"\1", text)


def collapse(text: str) -> str:
    """The text with each run of white space, line breaks included, made one space, and none at either end."""
    return " ".join(text.replace(_BLANK, " ").split())


def on_one_line(text: str) -> str:
    """The text with each line break or tab, and the white space around it, made one space, and none at either end."""
    return _LINE_BREAKING.sub(" ", text.replace(_BLANK, " ")).strip()


def is_blank(text: str) -> bool:
    """Whether the text shows nothing: white space and invisible characters only."""
    return not (text[:1].isascii() and text[:1].isalnum()) and not collapse(visible(text))
