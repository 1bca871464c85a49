"""Texts longer than maxlen: what is kept of them, and how the answers of windows are pooled, against cases computed by hand."""

import numpy as np
import pytest

from halfbert.models import long_texts
from halfbert.models.long_texts import CUT, HEAD_TAIL, WINDOWS, Pooling

CLS, SEP = 101, 102


def text(tokens: int) -> list[int]:
    """A text of so many tokens beside [CLS] and [SEP], numbered from 1."""
    return [CLS, *range(1, tokens + 1), SEP]


@pytest.mark.parametrize("way", long_texts.WAYS)
@pytest.mark.parametrize("tokens", [0, 1, 8])
def test_a_text_of_at_most_maxlen_tokens_is_whole(way, tokens):
    assert long_texts.kept(text(tokens), 10, way) == [text(tokens)]


@pytest.mark.parametrize(
    ("tokens", "maxlen", "way", "expected"),
    [
        (12, 10, CUT, [[1, 2, 3, 4, 5, 6, 7, 8]]),
        (12, 10, HEAD_TAIL, [[1, 2, 7, 8, 9, 10, 11, 12]]),
        (5, 3, HEAD_TAIL, [[5]]),
        # 8 tokens a window, of which at least 2 are shared: a step of 6 at most.
        (9, 10, WINDOWS, [[1, 2, 3, 4, 5, 6, 7, 8], [2, 3, 4, 5, 6, 7, 8, 9]]),
        (14, 10, WINDOWS, [[1, 2, 3, 4, 5, 6, 7, 8], [7, 8, 9, 10, 11, 12, 13, 14]]),
        (15, 10, WINDOWS, [[1, 2, 3, 4, 5, 6, 7, 8], [4, 5, 6, 7, 8, 9, 10, 11], [8, 9, 10, 11, 12, 13, 14, 15]]),
        (3, 3, WINDOWS, [[1], [2], [3]]),
    ],
)
def test_what_is_kept_of_a_longer_text(tokens, maxlen, way, expected):
    assert long_texts.kept(text(tokens), maxlen, way) == [[CLS, *row, SEP] for row in expected]
    if way == WINDOWS:
        assert long_texts.window_counts(np.array([tokens + 2]), maxlen).tolist() == [len(expected)]


def test_head_and_tail_of_512_tokens_are_those_of_sun_et_al():
    (row,) = long_texts.kept(text(1000), 512, HEAD_TAIL)
    assert row == [CLS, *range(1, 129), *range(1000 - 381, 1001), SEP]


@pytest.mark.parametrize("maxlen", [3, 4, 5, 24, 128])
def test_windows_are_equally_long_cover_all_and_share_a_quarter(maxlen):
    room = maxlen - 2
    for tokens in (*range(room + 1, 4 * room + 3), 5000):
        windows = long_texts.kept(text(tokens), maxlen, WINDOWS)
        begins = [window[1] for window in windows]
        assert {len(window) for window in windows} == {maxlen} and begins[0] == 1 and windows[-1][-2] == tokens
        steps = np.diff(begins)
        assert steps.min() > 0 and steps.max() <= room - room // 4


LOGITS = np.array([[2.0, 1.0], [0.0, 4.0], [3.0, 0.0], [5.0, 5.0]], np.float32)
STARTS = np.array([0, 3, 4])


@pytest.mark.parametrize(
    ("pooling", "multilabel", "expected"),
    [
        (Pooling("mean"), False, [5 / 3, 5 / 3]),
        (Pooling("mean"), True, [5 / 3, 5 / 3]),
        (Pooling("max"), False, [0.0, 4.0]),  # all of the window with the largest margin: 1, 4 and 3
        (Pooling("max"), True, [3.0, 4.0]),
        (Pooling("attention", 0.0), False, [5 / 3, 5 / 3]),
        (Pooling("attention", 100.0), False, [0.0, 4.0]),
        (Pooling("attention", 100.0), True, [3.0, 4.0]),
        # Weights 1, 2**3 and 2**2 of 13; of each label by its own logits, 2**2, 2**0, 2**3 of 13 and 2**1, 2**4, 2**0 of 19.
        (Pooling("attention", np.log(2)), False, [14 / 13, 33 / 13]),
        (Pooling("attention", np.log(2)), True, [32 / 13, 66 / 19]),
    ],
)
def test_poolings_by_hand(pooling, multilabel, expected):
    pooled = pooling.pool(LOGITS, STARTS, multilabel)
    np.testing.assert_allclose(pooled, [expected, [5.0, 5.0]], rtol=1e-6, atol=1e-6)
    assert pooled.dtype == np.float32 and pooled.shape == (2, 2)


@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize("pooling", [Pooling("mean"), Pooling("max"), Pooling("attention", 0.7)], ids=lambda p: p.name)
def test_a_text_of_one_window_keeps_its_logits_to_the_bit(pooling, multilabel):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 30, (50, 4)).astype(np.float32)
    assert np.array_equal(pooling.pool(logits, np.arange(51), multilabel), logits)
    beside = pooling.pool(logits, np.array([*range(48), 50]), multilabel)
    assert np.array_equal(beside[:47], logits[:47])


def test_equally_sure_windows_answer_by_the_first():
    logits = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], np.float32)
    assert Pooling("max").pool(logits, np.array([0, 3]), multilabel=False).tolist() == [[1.0, 0.0]]


def test_attention_of_large_logits_stays_finite():
    logits = np.array([[1e4, -1e4], [-1e4, 1e4]], np.float32)
    for multilabel in (False, True):
        assert np.isfinite(Pooling("attention", 8.0).pool(logits, np.array([0, 2]), multilabel)).all()
