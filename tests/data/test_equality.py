"""Equal texts: what is ignored, and digests that find them."""

import pytest

from halfbert.data.equality import count_shared, digests, normalise, shared

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"


def flag(region):
    """The emoji of a region's flag: a black flag and the region in invisible tag characters."""
    return "\U0001f3f4" + "".join(chr(0xE0000 + ord(letter)) for letter in region) + "\U000e007f"


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        *((one, other, False) for one, other in [("good.", "good"), ("cafe", "café"), (flag("gbeng"), flag("gbsct"))]),
        ("  Ｆｕｌｌ\u00a0width \n STRASSE ", "full width strasse", True),
        ("STRASSE", "straße", True),
        ("ﬁne", "fine", True),
        ("cafe\u0301", "caf\u00e9", True),
        ("cafe\u034f\u0301", "caf\u00e9", True),  # a joiner between the letter and its accent
        ("braille\u2800blank", "braille blank", True),
        ("❤\ufe0f", "❤", True),
        (FAMILY, FAMILY.replace("\u200d", ""), True),
        ("می\u200cخواهم", "میخواهم", True),
        *(
            (f"{sign}in{sign}voice{sign}", "invoice", True)
            for sign in "\u200b\u200c\u200d\u200e\u200f\u202b\u2060\u2066\ufeff\xad"
        ),
        *((f"in{sign}voice", "invoice", True) for sign in "\u034f\u061c\u180e\u2061\u3164\ufe0f\U000e0041\x08\x7f"),
    ],
)
def test_equal_texts(one, other, equal):
    assert (normalise(one) == normalise(other)) is equal
    assert shared(digests([one]), [other]) == [equal]


def test_digests_keep_the_order_of_the_rows_and_nothing_of_the_texts():
    packed = digests(["first", "second", "first"])
    assert len(packed) == 24 and packed[:8] == packed[16:] != packed[8:16]
    assert shared(packed, ["Second ", "third", "FIRST"]) == [True, False, True]
    assert count_shared(packed, ["Second ", "third", "FIRST", "first"]) == 3
    assert digests([]) == "" and count_shared("", ["first"]) == 0


@pytest.mark.parametrize("packed", ["AAAA", "not base64!", "AAAAAAA"])
def test_what_is_no_digest_is_refused(packed):
    with pytest.raises(ValueError):
        shared(packed, ["first"])
