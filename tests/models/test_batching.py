"""Batches of like length, and encoded texts: plain numpy, and the Rust tokenizer."""

import math
import string

import numpy as np
import pytest

from halfbert.models import batching
from halfbert.models.long_texts import HEAD_TAIL, WINDOWS, Pooling

EMOJI = "😀"
UNUSUAL_TEXTS = [
    "",
    " \t\n",
    "Zoë's café, naïve?",
    "cafe\u0301",  # the accent as a character of its own
    "東京 is big",
    "مرحبا",
    EMOJI,
    f"so {EMOJI}{EMOJI} happy",
    "👩\u200d👩\u200d👧 family",  # one picture, five code points
    "zero\u200bwidth no\u00a0break",
    "x" * 300,  # longer than a word may be for the tokenizer
    "[SEP] [CLS] [PAD]",
    "a\x00b",
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """A tokenizer that knows every letter, so that any word becomes one token a letter."""
    from transformers import BertTokenizerFast

    letters = [*string.ascii_lowercase, *string.digits, *string.punctuation, "東", EMOJI]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *("##" + letter for letter in letters)]
    file = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    file.write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    return BertTokenizerFast(vocab_file=str(file), do_lower_case=True)


def random_lengths(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(2, 129, rows)


def rows_of(encoded: batching.EncodedTexts) -> list[list[int]]:
    return [encoded.ids[start:end].tolist() for start, end in zip(encoded.starts[:-1], encoded.starts[1:], strict=True)]


@pytest.mark.parametrize(
    ("rows", "batch_size"), [(1, 16), (15, 16), (16, 16), (17, 16), (100, 1), (803, 16), (1000, 7), (1601, 16), (2000, 8)]
)
def test_each_row_stands_in_an_epoch_exactly_once_and_one_batch_at_most_is_not_full(rows, batch_size):
    rng = np.random.default_rng(0)
    for _ in range(3):
        batches = batching.epoch_batches(random_lengths(rows), batch_size, rng)
        assert batches.shape == (math.ceil(rows / batch_size), batch_size)
        assert batches.dtype == np.int32
        assert np.array_equal(np.sort(batches[batches >= 0]), np.arange(rows))
        sizes = (batches >= 0).sum(axis=1)
        assert sizes.min() > 0 and (sizes < batch_size).sum() == (rows % batch_size > 0)


def test_batches_are_shuffled_and_new_each_epoch():
    lengths, rng = random_lengths(4000), np.random.default_rng(0)
    first, second = (batching.epoch_batches(lengths, 8, rng) for _ in range(2))
    assert not np.array_equal(first, second)
    company = {frozenset(batch) for batch in first.tolist()} & {frozenset(batch) for batch in second.tolist()}
    assert len(company) < 5, "the same rows should not meet in the same batch epoch after epoch"
    means = lengths[first].mean(axis=1)
    assert abs(np.corrcoef(means[:-1], means[1:])[0, 1]) < 0.3, "batches in order of length"
    again, other = (batching.epoch_batches(lengths, 8, np.random.default_rng(seed)) for seed in (0, 1))
    assert np.array_equal(again, first) and not np.array_equal(other, first)
    of_equal_length = batching.epoch_batches(np.full(64, 5), 8, rng)
    assert not np.array_equal(np.sort(of_equal_length.ravel()), of_equal_length.ravel())


@pytest.mark.parametrize("rows", [800, 5000])
def test_rows_of_like_length_share_a_batch(rows):
    lengths = random_lengths(rows)
    batches = batching.epoch_batches(lengths, 16, np.random.default_rng(0))
    padded = sum(lengths[batch[batch >= 0]].max() * (batch >= 0).sum() for batch in batches)
    # A small table is sorted in shorter runs, so that its batches change from epoch to epoch.
    assert padded / lengths.sum() < (1.10 if rows <= 800 else 1.05)
    shuffled = np.random.default_rng(0).permutation(rows)[: rows // 16 * 16].reshape(-1, 16)
    assert padded < 0.6 * (lengths[shuffled].max(axis=1) * 16).sum()


@pytest.mark.parametrize("maxlen", [2, 3, 7, 20, 512])
def test_texts_are_truncated_as_the_tokenizer_does(tokenizer, maxlen):
    generator = np.random.default_rng(maxlen)
    alphabet = list(string.ascii_letters + "  ,.!'" + EMOJI)
    texts = ["".join(generator.choice(alphabet, size)) for size in generator.integers(0, 60, 200)] + UNUSUAL_TEXTS
    encoded, used = batching.encode(tokenizer, texts, maxlen)
    assert used == maxlen
    assert rows_of(encoded) == [tokenizer(text, truncation=True, max_length=maxlen)["input_ids"] for text in texts]
    assert encoded.lengths.max() <= maxlen
    assert encoded.full_lengths.tolist() == [len(tokenizer(text)["input_ids"]) for text in texts]
    assert (encoded.ids.dtype, encoded.starts.dtype, encoded.full_lengths.dtype) == (np.int32, np.int64, np.int64)


def test_unusual_texts_are_encoded_each_as_if_alone(tokenizer):
    encoded, _ = batching.encode(tokenizer, UNUSUAL_TEXTS, 400)
    assert rows_of(encoded) == [tokenizer(text)["input_ids"] for text in UNUSUAL_TEXTS]
    for text, tokens in (("", ["[CLS]", "[SEP]"]), (EMOJI, ["[CLS]", EMOJI, "[SEP]"])):
        assert tokenizer.convert_ids_to_tokens(rows_of(encoded)[UNUSUAL_TEXTS.index(text)]) == tokens


@pytest.mark.parametrize(
    ("texts", "maxlen", "lengths", "share"),
    [
        ([], 512, set(), 0.0),
        (["a b c"] * 990 + ["a " * 50] * 10, 6, {5, 6}, 0.01),  # the 0.99 quantile of 5 and 52 tokens lies at 5.47
        (["a b c"] * 20, 5, {5}, 0.0),
        (["a " * 600, "b " * 700, "c"], 512, {512, 3}, 2 / 3),
    ],
)
def test_automatic_maxlen_is_the_99th_percentile_and_at_most_512(tokenizer, texts, maxlen, lengths, share):
    encoded, used = batching.encode(tokenizer, texts, None)
    assert (used, set(encoded.lengths.tolist())) == (maxlen, lengths)
    assert encoded.truncated_share == pytest.approx(share)  # a text of exactly maxlen tokens is whole


def test_rows_are_taken_and_padded(tokenizer):
    encoded, _ = batching.encode(tokenizer, ["a b c", "", "d", "e f g h i j"], 5)
    rows = np.array([3, 0, 2, 1, 3])
    expected = [rows_of(encoded)[row] for row in rows]
    taken = encoded.take(rows)
    assert rows_of(taken) == expected and taken.full_lengths.tolist() == [8, 5, 3, 2, 8]
    ids, mask = encoded.padded(rows)
    assert ids.tolist() == [row + [0] * (5 - len(row)) for row in expected]
    assert mask.tolist() == [[1] * len(row) + [0] * (5 - len(row)) for row in expected]
    assert (ids.dtype, mask.dtype) == (np.int32, np.int32)
    nothing = np.array([], np.int64)
    assert rows_of(encoded.take(nothing)) == [] and [part.shape for part in encoded.padded(nothing)] == [(0, 0)] * 2


@pytest.mark.parametrize("tokens", [1, 128, 500, 4096, 10**9])
def test_predicting_covers_each_row_once_longest_first_within_the_token_budget(tokens):
    lengths = random_lengths(777)
    encoded = batching.EncodedTexts(np.ones(lengths.sum(), np.int32), np.concatenate([[0], np.cumsum(lengths)]), lengths)
    batches = [(rows, mask) for rows, _, mask in batching.padded_batches(encoded, tokens)]
    order = np.concatenate([rows for rows, _ in batches])
    assert np.array_equal(np.sort(order), np.arange(777)) and np.array_equal(lengths[order], np.sort(lengths)[::-1])
    for number, (rows, mask) in enumerate(batches):
        assert mask.sum(axis=1).tolist() == lengths[rows].tolist()
        assert len(rows) == 1 or mask.size <= tokens  # a row longer than the budget goes alone
        assert number == len(batches) - 1 or (len(rows) + 1) * mask.shape[1] > tokens, "fewer batches would do"
    assert list(batching.padded_batches(encoded.take(np.array([], int)), tokens)) == []


def test_predictions_come_in_the_order_of_the_texts_whatever_the_parts(tokenizer, monkeypatch):
    """What stands in place of a network answers each text's number of tokens and its first letter."""
    texts, shown = ["a b c", "d", "e f g h", "", "c c", "b"], []
    monkeypatch.setattr(batching.console, "progress", lambda items, total, label: shown.append((total, label)) or items)
    parts = [batching.encode(tokenizer, texts[:4], 16)[0], batching.encode(tokenizer, texts[4:], 16)[0]]
    expected = [[len(tokenizer(text)["input_ids"]), tokenizer(text)["input_ids"][1]] for text in texts]

    def forward(ids, mask):
        assert ids.size <= 10 or len(ids) == 1
        return np.stack([mask.sum(axis=1), ids[:, 1]], axis=1)

    for label in (None, "counting"):
        assert batching.predict(iter(parts), len(texts), 2, forward, 10, label).tolist() == expected
    assert shown == [(6, "counting")]


def test_windows_are_rows_of_their_texts(tokenizer):
    encoded, used = batching.encode(tokenizer, ["a b c d e f g h i", "", "d", "e f g h i j"], 6, WINDOWS)  # 4 tokens a window
    assert used == 6 and encoded.windows.tolist() == [0, 3, 4, 5, 7] and encoded.windows.dtype == np.int64
    words = ["a b c d", "c d e f", "f g h i", "", "d", "e f g h", "g h i j"]
    assert rows_of(encoded) == [tokenizer(row)["input_ids"] for row in words]
    assert encoded.full_lengths.tolist() == [11, 2, 3, 8] and encoded.text_of_row().tolist() == [0, 0, 0, 1, 2, 3, 3]
    assert encoded.truncated_share == 0 and encoded.lengths_by_text() == [[6, 6, 6], [2], [3], [6, 6]]
    both = encoded.followed_by(encoded)
    assert both.windows.tolist() == [0, 3, 4, 5, 7, 10, 11, 12, 14] and rows_of(both) == rows_of(encoded) * 2
    taken = encoded.take(np.array([6, 0]))
    assert (
        taken.windows is None
        and taken.full_lengths.tolist() == [6, 6]
        and rows_of(taken) == [rows_of(encoded)[6], rows_of(encoded)[0]]
    )


def test_head_and_tail_are_kept_and_the_text_counts_as_truncated(tokenizer):
    encoded, _ = batching.encode(tokenizer, ["a b c d e f g h i", "d"], 6, HEAD_TAIL)
    assert rows_of(encoded) == [tokenizer(row)["input_ids"] for row in ("a g h i", "d")]
    assert encoded.windows is None and encoded.truncated.tolist() == [True, False]


def test_automatic_windows_have_at_most_256_tokens(tokenizer):
    for words, maxlen in ((10, 12), (1000, 256)):
        assert batching.encode(tokenizer, ["a " * words], None, WINDOWS)[1] == maxlen
    assert batching.encode(tokenizer, ["a " * 1000], None, HEAD_TAIL)[1] == 512


def test_a_very_long_text_is_tokenised_in_pieces_as_it_is_whole(tokenizer, monkeypatch):
    texts = [
        "a b",
        " ".join(f"{chr(97 + number % 26)}, \u0301e  [SEP] \n zz" for number in range(300)),
        "x" * 1000 + " y",
        "y" * 900,
    ]
    whole, _ = batching.encode(tokenizer, texts, 9, WINDOWS)
    monkeypatch.setattr(batching, "LONG_TEXT", 80)
    pieces: list[int] = []
    ids = batching._ids
    monkeypatch.setattr(batching, "_ids", lambda rust, some: pieces.append(len(some)) or ids(rust, some))
    assert rows_of(batching.encode(tokenizer, texts, 9, WINDOWS)[0]) == rows_of(whole)
    assert len(pieces) > 4 and max(pieces) == batching.PIECES_AT_A_TIME


def test_answers_of_windows_are_pooled_part_by_part_and_texts_counted_once(tokenizer):
    """What stands in place of a network answers the first letter of a window."""
    texts = ["a b c d e f g h i", "", "d", "e f g h i j"]
    parts = [batching.encode(tokenizer, some, 6, WINDOWS)[0] for some in (texts[:1], texts[1:])]
    advanced: list[int] = []

    def forward(ids, mask):
        assert ids.size <= 12
        return ids[:, 1:2] - tokenizer.convert_tokens_to_ids("a")

    def pool(part, answers):
        return part.pooled(answers, Pooling("max"), multilabel=True)

    letters = batching.predict(iter(parts), 4, 1, forward, 12, None, advanced.append, pool)
    nothing = tokenizer.sep_token_id - tokenizer.convert_tokens_to_ids("a")
    assert letters.tolist() == [[5.0], [nothing], [3.0], [6.0]]
    assert sum(advanced) == 4 and len(advanced) > 2
