"""A predictor's WordPiece tokenizer as tables for JavaScript, made by asking the tokenizer itself about every code point.

Libraries differ in what they know of Unicode: which signs are marks, punctuation or white space, what a letter in lower case
is. The Rust library has tables of its own, several versions old, and each browser has others. Where the page asked its browser,
answers would depend on it; with these tables the page's token ids are those of the Rust library in any browser.
"""

import functools
import itertools
import json
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from halfbert.system.errors import InputError

AT_A_TIME = 2048  # code points
AROUND = "0"  # stands around a sign that is asked about: never changed, and neither a mark nor a separate sign
HANGUL = range(0xAC00, 0xD7A4)  # syllables, which decompose by a rule that every browser has
SURROGATES = range(0xD800, 0xE000)


def described(tokenizer: Any, source: object) -> dict[str, Any]:
    """All that the page's `Tokenizer` needs of one of the library tokenizers; `source` names it in messages.

    Raises InputError if it is not BERT's kind: a normaliser, words, their pieces, and one token at either end.
    """
    stated = json.loads(tokenizer.to_str())
    model, added = stated["model"], stated["added_tokens"]
    kinds = [(stated.get(part) or {}).get("type") for part in ("normalizer", "pre_tokenizer", "model")]
    plain = not any(token["lstrip"] or token["rstrip"] or token["single_word"] or token["normalized"] for token in added)
    ends = tokenizer.encode("").ids
    pieces = sorted(model["vocab"], key=model["vocab"].__getitem__) if kinds[2] == "WordPiece" else []
    whole = [model["vocab"][piece] for piece in pieces] == list(range(len(pieces)))
    if kinds != ["BertNormalizer", "BertPreTokenizer", "WordPiece"] or not plain or len(ends) != 2 or not whole:
        raise InputError(f"{source}: the page reads BERT's WordPiece tokenizers only, and this is another kind")
    return {
        "pieces": pieces,
        "unknown": model["vocab"][model["unk_token"]],
        "ends": ends,
        "continues": model["continuing_subword_prefix"],
        "longest_word": model["max_input_chars_per_word"],
        "special": {token["content"]: token["id"] for token in added},
        **_signs(json.dumps(stated["normalizer"])),
    }


@functools.lru_cache(maxsize=2)
def _signs(normalizer: str) -> dict[str, Any]:
    """What becomes of code points; ranges are flat lists of first and last.

    `removed` and `padded` (with spaces around them) by the normaliser, `mapped` to other text; `hangul`, whether syllables are
    decomposed. Of what the normaliser leaves, `separate` signs are words of their own and `white` ones stand between words.
    `marks` have the classes by which several of them are put in order, and no order is kept across what `divides`.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers

    asked = Tokenizer(models.WordPiece({"[UNK]": 0}, unk_token="[UNK]"))
    asked = Tokenizer.from_str(json.dumps({**json.loads(asked.to_str()), "normalizer": json.loads(normalizer)}))
    normalise = asked.normalizer.normalize_str
    changed = _changed(normalise)
    padded = [point for point, text in changed.items() if text == f" {chr(point)} "]
    hangul = all(changed.get(point) == unicodedata.normalize("NFD", chr(point)) for point in HANGUL)
    others = set(padded).union(HANGUL if hangul else ())
    separate, white = _separate(pre_tokenizers.BertPreTokenizer().pre_tokenize_str)
    marks, divides = _order(normalise, changed)
    return {
        "removed": _ranges(point for point, text in changed.items() if not text),
        "padded": _ranges(padded),
        "mapped": {chr(point): text for point, text in changed.items() if text and point not in others},
        "hangul": hangul,
        "separate": _ranges(separate),
        "white": _ranges(white),
        "marks": {chr(point): unicodedata.combining(chr(point)) for point in marks},
        "divides": _ranges(divides),
    }


def _changed(normalise: Callable[[str], str]) -> dict[int, str]:
    """What the normaliser makes of each code point that it does not leave as it is."""
    changed: dict[int, str] = {}
    for part in _parts():
        signs = "".join(map(chr, part))
        together = normalise(signs)
        if together == signs:
            continue
        found = [""] * len(part) if not together else normalise(AROUND + AROUND.join(signs) + AROUND).split(AROUND)[1:-1]
        if len(found) != len(part):  # some of them become what stands around them
            found = [normalise(sign) for sign in signs]
        changed.update((point, text) for point, text in zip(part, found, strict=True) if text != chr(point))
    return changed


def _separate(split: Callable[[str], list[tuple[str, Any]]]) -> tuple[list[int], list[int]]:
    """The code points that are words of their own, and those that stand between words."""
    separate: list[int] = []
    white: list[int] = []
    for part in _parts():
        signs = "".join(map(chr, part))
        if [word for word, _ in split(signs)] == [signs]:
            continue
        for point in part:
            words = len(split(AROUND + chr(point) + AROUND))
            if words > 1:
                (separate if words == 3 else white).append(point)
    return separate, white


def _order(normalise: Callable[[str], str], changed: dict[int, str]) -> tuple[list[int], list[int]]:
    """The marks that are left and put in canonical order, and the removed ones across which that is not done."""
    combining = {point: order for part in _parts() for point in part if (order := unicodedata.combining(chr(point)))}
    kept = sorted((point for point in combining if changed.get(point) != ""), key=combining.__getitem__)

    def reads(*points: int) -> str:
        return normalise(AROUND + "".join(map(chr, points)) + AROUND)[1:-1]

    def moves(one: int, other: int) -> bool:
        return reads(one, other) == chr(other) + chr(one)

    pairs = ((low, high) for low, high in itertools.product(kept, reversed(kept)) if combining[low] < combining[high])
    low, high = next(((low, high) for low, high in pairs if moves(high, low)), (0, 0))
    if not low:
        return [], []
    marks = [point for point in kept if moves(point, low) or moves(high, point)]
    low, high = marks[0], marks[-1]
    still = (p for p, text in changed.items() if not text and unicodedata.category(chr(p)) == "Mn" and p not in combining)
    return marks, [point for point in still if reads(high, point, low) == chr(high) + chr(low)]


def _parts() -> Iterator[range]:
    """Every code point but surrogates, AT_A_TIME of them together."""
    for start in range(0, 0x110000, AT_A_TIME):
        if start not in SURROGATES:
            yield range(start, start + AT_A_TIME)


def _ranges(points: Iterable[int]) -> list[int]:
    """First and last of each run of consecutive points, which rise."""
    ranges: list[int] = []
    for point in points:
        if ranges and ranges[-1] == point - 1:
            ranges[-1] = point
        else:
            ranges += [point, point]
    return ranges
