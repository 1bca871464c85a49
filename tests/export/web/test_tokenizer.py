"""The tokenizer in JavaScript gives the ids of the Rust library: for every code point, and for texts in any script."""

import random
import unicodedata

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from halfbert.export.web import tokenizer as tables
from halfbert.export.web.texts import texts_in_any_script
from halfbert.models.batching import encode
from halfbert.system.errors import InputError

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["the", "cat", "sat", "un", "##able", "##s", "don", "bread", "don't", "straße", "naïve"]
ENCODE = "(texts) => { const made = new Tokenizer(tables); return texts.map((text) => made.encode(text)); }"
FORMS = {
    "uncased": {},
    "cased": {"lowercase": False},
    "accents kept": {"strip_accents": False},
    "nothing but words": {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False},
}
MARKS = [chr(point) for point in range(0x20000) if unicodedata.category(chr(point))[0] == "M"]


def made(**rules) -> Tokenizer:
    """A tokenizer that has a piece for most signs, so that ids show what became of each."""
    signs = [chr(point) for point in range(0x21, 0x11000) if not 0xD800 <= point < 0xE000 and chr(point) not in "\x85\xa0"]
    pieces = dict.fromkeys([*SPECIAL, *WORDS, *signs, *(f"##{sign}" for sign in signs)])
    found = Tokenizer(models.WordPiece({piece: number for number, piece in enumerate(pieces)}, unk_token="[UNK]"))
    found.add_special_tokens(SPECIAL)
    found.normalizer, found.pre_tokenizer = normalizers.BertNormalizer(**rules), pre_tokenizers.BertPreTokenizer()
    found.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return found


@pytest.fixture(scope="module", params=FORMS, ids=str)
def pair(request, scripts):
    """The tokenizer of a form, and what the page's encodes: ids and spans of texts."""
    rust = made(**FORMS[request.param])
    scripts("(value) => { globalThis.tables = value; }", tables.described(rust, "x"))
    return rust, lambda texts: scripts(ENCODE, texts)


def assert_equal(pair, texts):
    rust, here = pair
    encoded, _ = encode(rust, texts, 2**30)
    found = here(texts)
    for number, (text, ids) in enumerate(zip(texts, found, strict=True)):
        expected = encoded.ids[encoded.starts[number] : encoded.starts[number + 1]].tolist()
        assert ids["ids"] == expected, ascii(text)


def test_texts_in_any_script(pair):
    assert_equal(pair, texts_in_any_script(WORDS, 3000, seed=1))


def test_runs_of_marks_and_what_stands_between_them(pair):
    rng = random.Random(2)
    assert_equal(pair, ["".join(rng.choice((*MARKS, "a", "\u0591")) for _ in range(rng.randint(2, 30))) for _ in range(2000)])


def test_a_sample_of_code_points(pair):
    points = random.Random(3).sample(range(0x110000), 20_000)
    assert_equal(pair, [f"a{chr(point)}b {chr(point)}" for point in points])


@pytest.mark.slow
def test_every_code_point(pair):
    for start in range(0, 0x110000, 0x10000):
        points = range(start, start + 0x10000)
        assert_equal(pair, [f"a{chr(point)}b {chr(point)}" for point in points])


def test_where_tokens_stand_in_the_text(scripts):
    rust = made()
    scripts("(value) => { globalThis.tables = value; }", tables.described(rust, "x"))
    texts = ["The CAT sat, unables.", "Ünable 中文 [SEP] don't 👍🏽 naïve", "한국 x"]
    for text, found in zip(texts, scripts(ENCODE, texts), strict=True):
        assert [tuple(span) for span in found["spans"]] == rust.encode(text).offsets


def test_another_kind_of_tokenizer_is_refused():
    whole = made()
    whole.normalizer = normalizers.NFKC()
    spaced = made()
    spaced.pre_tokenizer = pre_tokenizers.Whitespace()
    added = made()
    added.add_tokens(["halfbert"])
    for other in (whole, spaced, added, Tokenizer(models.BPE())):
        with pytest.raises(InputError, match=r"tokenizer\.json: the page reads BERT's WordPiece tokenizers only"):
            tables.described(other, "tokenizer.json")
