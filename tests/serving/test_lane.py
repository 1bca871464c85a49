"""The lane: who is answered with whom, and in which order."""

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_predictors
from tiny_predictors import TEXTS

from halfbert.serving import lane as lanes
from halfbert.serving.lane import CALL_TOKENS, Lane, Seen, batches_of_like_length
from halfbert.system.errors import ResourceError


@pytest.fixture(scope="module")
def classifier(things):
    return tiny_predictors.load(things)


@pytest.fixture
def held(classifier, monkeypatch):
    """A lane that answers a batch, of 128 tokens, each time `go` is released, and notes its texts in `batches`."""
    batches, go, entered = [], threading.Semaphore(0), threading.Semaphore(0)
    compute = Lane.compute

    def computed(lane, texts):
        entered.release()
        assert go.acquire(timeout=60)
        batches.append(texts)
        return compute(lane, texts)

    monkeypatch.setattr(Lane, "compute", computed)
    monkeypatch.setattr(lanes, "STEP", 1.0)
    lane = Lane(classifier)
    yield SimpleNamespace(lane=lane, batches=batches, go=go, entered=entered)
    for _ in range(100):
        go.release()
    lane.close()
    lane.join()


class Waiting:
    """Texts that were queued, and their answers."""

    def __init__(self, lane, texts, seconds=60.0):
        self.done, self.answers = threading.Event(), None
        self.ticket = lane.submit(texts, self._finished, seconds)

    def _finished(self, answers):
        self.answers = answers
        self.done.set()

    def wait(self):
        assert self.done.wait(60)
        return self.answers


def test_answers_are_the_classifiers_whoever_else_asks(classifier):
    expected, encoded = classifier.predict_proba(TEXTS), classifier.encode(TEXTS)
    lane = Lane(classifier)
    asked = [Waiting(lane, TEXTS[number:] + TEXTS[:number]) for number in range(len(TEXTS))]
    for number, each in enumerate(asked):
        answers = each.wait()
        np.testing.assert_allclose(answers.probabilities, np.roll(expected, -number, axis=0), atol=1e-5)
        np.testing.assert_array_equal(answers.tokens, np.roll(encoded.full_lengths, -number))
        np.testing.assert_array_equal(answers.cut, np.roll(encoded.truncated, -number))
        assert not answers.failed.any()
    assert lane.waiting == 0
    lane.close()
    lane.join()
    with pytest.raises(ResourceError):
        lane.submit(["a"], print, 1.0)


def test_a_small_request_is_in_the_next_batch_whatever_waits(held):
    first = Waiting(held.lane, ["running"])
    assert held.entered.acquire(timeout=60)
    large = Waiting(held.lane, [f"the old cat {number}" for number in range(200)])
    lone = Waiting(held.lane, ["lone"])
    for _ in range(2):
        held.go.release()
    lone.wait()
    assert held.batches[0] == ["running"] and first.done.is_set() and not large.done.is_set()
    assert held.batches[1][:2] == ["the old cat 0", "lone"] and 10 < len(held.batches[1]) < 30
    for _ in range(100):
        held.go.release()
    assert not large.wait().failed.any()


def test_room_follows_the_time_that_full_batches_take(classifier, monkeypatch):
    now = [0.0]
    lane = Lane(classifier, clock=lambda: now[0])
    compute = Lane.compute
    seconds = [0.001]

    def timed(lane, texts):
        now[0] += seconds[0]
        return compute(lane, texts)

    monkeypatch.setattr(Lane, "compute", timed)
    rooms = []
    for each in (0.001, 0.5, 0.001):
        seconds[0] = each
        Waiting(lane, ["the old cat " * 4] * 1500).wait()
        rooms.append(lane.room)
    Waiting(lane, ["a"]).wait()
    assert rooms[0] > 3 * lanes.LEAST_ROOM and rooms[1] == lanes.LEAST_ROOM < rooms[2] == lane.room
    assert lane.room <= classifier.loaded.tokens_per_batch
    lane.close()


def test_a_long_text_is_a_batch_by_itself(held):
    Waiting(held.lane, ["running"])
    assert held.entered.acquire(timeout=60)
    Waiting(held.lane, ["x " * 50_000, "short"])
    for _ in range(3):
        held.go.release()
    end = time.monotonic() + 60
    while len(held.batches) < 3 and time.monotonic() < end:
        time.sleep(0.005)
    assert [len(batch) for batch in held.batches] == [1, 1, 1]


def test_abandoned_and_late_texts_are_not_answered(held):
    Waiting(held.lane, ["running"])
    assert held.entered.acquire(timeout=60)
    abandoned, late, kept = Waiting(held.lane, ["a"]), Waiting(held.lane, ["b"], seconds=-1.0), Waiting(held.lane, ["c"])
    assert held.lane.waiting == 3 and held.lane.retry_after() >= 1
    held.lane.abandon(abandoned.ticket)
    for _ in range(2):
        held.go.release()
    kept.wait()
    assert held.batches == [["running"], ["c"]] and abandoned.wait() is None and late.wait() is None
    assert held.lane.waiting == 0


def test_work_aside_waits_for_texts_but_not_for_ever(held, monkeypatch):
    monkeypatch.setattr(lanes, "SECONDS_BEFORE_BACKGROUND", 60.0)
    Waiting(held.lane, ["running"])
    assert held.entered.acquire(timeout=60)
    order = []
    aside = threading.Thread(target=lambda: held.lane.aside(lambda: order.append(len(held.batches))))
    aside.start()
    while not held.lane._background:
        time.sleep(0.001)
    Waiting(held.lane, ["before it"])
    held.go.release()
    held.go.release()
    aside.join(60)
    assert order == [2] and held.entered.acquire(timeout=60)  # after both batches
    monkeypatch.setattr(lanes, "SECONDS_BEFORE_BACKGROUND", 0.0)
    Waiting(held.lane, ["running"])
    assert held.entered.acquire(timeout=60)
    aside = threading.Thread(target=lambda: held.lane.aside(lambda: order.append(len(held.batches))))
    aside.start()
    while not held.lane._background:
        time.sleep(0.001)
    time.sleep(0.01)
    Waiting(held.lane, ["after it"])
    held.go.release()
    aside.join(60)
    assert order == [2, 3]


def test_work_aside_fails_where_it_was_asked_for_and_goes_on_when_the_lane_is_closed(classifier):
    lane = Lane(classifier)
    with pytest.raises(ZeroDivisionError):
        lane.aside(lambda: 1 / 0)
    encoded = classifier.encode(TEXTS)
    ids, mask = encoded.padded(np.arange(len(TEXTS)))
    before = lane.forward(ids, mask)
    np.testing.assert_allclose(before, classifier.loaded.forward(ids, mask), atol=1e-5)
    lane.close()
    lane.join()
    np.testing.assert_allclose(lane.forward(ids, mask), before, atol=1e-5)


def test_an_engine_that_fails_is_reported_and_the_lane_goes_on(classifier, monkeypatch):
    errors, waited = [], []
    lane = Lane(classifier, Seen(failed=errors.append, waited=waited.append))
    monkeypatch.setattr(lane, "_classifier", SimpleNamespace(predictor=classifier.predictor, encode=None))
    assert Waiting(lane, ["a", "b"]).wait().failed.all() and errors
    monkeypatch.setattr(lane, "_classifier", classifier)
    assert not Waiting(lane, ["a"]).wait().failed.any() and len(waited) == 2
    lane.close()


def test_batches_are_of_like_length():
    lengths = np.array([5, 200, 6, 7, 199, 90, 5, 201])
    batches = [lengths[rows].tolist() for rows in batches_of_like_length(lengths, 1000)]
    assert batches == [[201, 200, 199], [90], [7, 6, 5, 5]]
    assert [len(rows) for rows in batches_of_like_length(np.full(10, 100), 300)] == [3, 3, 3, 1]
    assert [len(rows) for rows in batches_of_like_length(np.array([500]), 300)] == [1]
    rng = np.random.default_rng(0)
    lengths = rng.integers(2, 300, 500)
    batches = list(batches_of_like_length(lengths, 1024))
    assert sorted(np.concatenate(batches).tolist()) == list(range(500))
    assert all(len(rows) * lengths[rows].max() - lengths[rows].sum() <= CALL_TOKENS for rows in batches)
