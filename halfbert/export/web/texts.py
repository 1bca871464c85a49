"""Texts that a page is checked on: words of the predictor's vocabulary, every script, and what only a machine would write."""

import random
from collections.abc import Callable, Sequence

SCRIPTS = (  # first and last code point
    *((0x41, 0x24F), (0x370, 0x3FF), (0x400, 0x52F), (0x531, 0x58A), (0x5D0, 0x5F4), (0x600, 0x6FF), (0x900, 0x97F)),
    *((0x980, 0x9FE), (0xB80, 0xBFA), (0xE01, 0xE5B), (0x10A0, 0x10FF), (0x1200, 0x137C), (0x1780, 0x17F9), (0x1E00, 0x1EFF)),
    *((0x3041, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xF900, 0xFAD9), (0x1F300, 0x1F64F), (0x1F900, 0x1F9FF)),
)
MARKED = (
    "é É e\u0301 ß İ ñ Ç 中文 東京 한국어 Привет مرحبا नमस्ते ½ ™ € \u0e33 🙂 👍🏽 👩\u200d👧 \u1100\u1161\u11a8 \u0323\u0301"
)
UNSEEN = "[SEP] [MASK] ## don't 3.5 a@b.example … — \u200b \u200d \ufeff \u00ad \0 \x01 \x7f \ufffd"
INSERTED = [*MARKED.split(" "), *UNSEEN.split(" "), "\u2028", "\xa0", "\x85", "\t", "\r\n", "\U0001f3f4\U000e0067\U000e007f"]
EDGES = [
    "",
    " ",
    "\n\t",
    "\u200b",
    ".",
    "x" * 100,
    "x" * 101,
    "[CLS] [PAD] [UNK]",
    f"a{300 * chr(0x301)}",
    chr(0x10FFFF),
    "\ud800",
]
LONG_WORDS = 20_000  # of one text


def texts_in_any_script(pieces: Sequence[str], count: int, seed: int = 0) -> list[str]:
    """So many texts, the same for a seed: first the edges, then a very long one, then others by chance."""
    rng = random.Random(seed)
    words = [piece for piece in pieces if piece.isalpha() and len(piece) > 1] or list(pieces)

    def sentence(most: int = 30) -> list[str]:
        return rng.choices(words, k=rng.randint(1, most))

    def mixed() -> str:
        parts = sentence()
        for _ in range(rng.randint(1, 8)):
            parts.insert(rng.randint(0, len(parts)), rng.choice(INSERTED))
        return "".join(rng.choice((part, part.upper(), part.title())) + rng.choice(("", " ", " ", ", ")) for part in parts)

    def of_script() -> str:
        first, last = rng.choice(SCRIPTS)
        return "".join(" " if rng.random() < 0.15 else chr(rng.randint(first, last)) for _ in range(rng.randint(1, 80)))

    def of_anything() -> str:
        most = rng.choice((0x300, 0x3000, 0x20000, 0x110000))
        drawn = "".join(chr(rng.randrange(most)) for _ in range(rng.randint(1, 60)))
        return drawn.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # two halves that meet are one sign

    kinds: tuple[Callable[[], str], ...] = (lambda: " ".join(sentence()), mixed, of_script, of_anything)
    made = [*EDGES, " ".join(rng.choices(words, k=LONG_WORDS))][:count]
    while len(made) < count:
        made.append(kinds[len(made) % len(kinds)]())
    return made
