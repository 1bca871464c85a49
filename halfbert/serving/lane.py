"""One thread for one engine: the texts of concurrent requests are answered together, and nobody waits long for others' work.

What has come in while the engine was busy is the next batch. It takes a text from each waiting request in turn until about
`BATCH_SECONDS` of work, and at least `LEAST_ROOM`, are together, so that a request of one text waits for the batch that is
running and for its own, whatever the size of the other requests. A text that takes longer alone is a batch by itself.
"""

import collections
import functools
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from halfbert.predictor.classifier import Classifier
from halfbert.scoring.probabilities import probabilities_of
from halfbert.system.errors import ResourceError

BATCH_SECONDS = 0.010
CALL_TOKENS = 32  # a call of the engine costs about as much as so many tokens: as many may be padding before a second one pays
CHARACTERS_PER_TOKEN = 4  # of English, about; the measured speed makes up for other scripts
CHARACTERS_TOKENISED_PER_TOKEN = 128  # tokenising so many characters takes about as long as the engine takes for a token
LEAST_ROOM = 128.0  # tokens of a batch, on slow machines too: a few texts together take hardly longer than one alone
STEP = 1.1  # a full batch that took less time, or more, makes room for the next one larger or smaller by this factor
SMOOTHING = 0.1  # weight of the latest batch in the speed
SECONDS_BEFORE_BACKGROUND = 0.2  # background work is done when nothing else waits, or after this long
Result = TypeVar("Result")


@dataclass
class Answered:
    """Of texts: (texts, labels) float32 probabilities, all tokens, whether some were left out, whether the engine failed."""

    probabilities: np.ndarray
    tokens: np.ndarray
    cut: np.ndarray
    failed: np.ndarray

    @classmethod
    def none_of(cls, texts: int, labels: int) -> "Answered":
        """For answers that are still to come."""
        nothing = np.zeros(texts, bool)
        return cls(np.zeros((texts, labels), np.float32), np.zeros(texts, np.int64), nothing, nothing.copy())

    def take(self, place: int, others: "Answered", number: int) -> None:
        """Put the answer of that number among others at this place."""
        for name in ("probabilities", "tokens", "cut", "failed"):
            getattr(self, name)[place] = getattr(others, name)[number]


@dataclass
class Ticket:
    """Texts that wait for their answers; `finished` is called in the lane's thread, with None where time ran out."""

    texts: Sequence[str]
    answers: Answered
    finished: Callable[[Answered | None], object]
    came: float
    deadline: float
    taken: int = 0
    done: int = 0
    abandoned: bool = False
    began: float | None = None


@dataclass
class Seen:
    """What a lane reports, for metrics: `batch` is called with a batch's texts and tokens, `waited` with seconds."""

    batch: Callable[[int, int], object] = lambda texts, tokens: None
    waited: Callable[[float], object] = lambda seconds: None
    failed: Callable[[BaseException], object] = lambda error: None


class Lane:
    """A thread that owns a classifier's engine. `waiting` is the number of texts that nobody has begun to answer."""

    def __init__(self, classifier: Classifier, seen: Seen | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._classifier, self._seen, self._clock = classifier, seen or Seen(), clock
        self._labels = len(classifier.predictor.manifest.labels)
        self._tickets: collections.deque[Ticket] = collections.deque()
        self._background: collections.deque[tuple[float, Callable[[], object]]] = collections.deque()
        self._changed = threading.Condition()
        self._closing = False
        self.waiting = 0
        self.room = LEAST_ROOM  # for the work of a batch, in tokens of the engine
        self.speed = 10_000.0  # work a second
        self._was_full = False
        self._text_work = 100.0  # of one text
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def submit(self, texts: Sequence[str], finished: Callable[[Answered | None], object], seconds: float) -> Ticket:
        """Queue texts, at least one; `finished` is called in the lane's thread with their answers.

        What was not begun after `seconds` is not begun any more: then it is called with None. Raises ResourceError when the
        lane is closed.
        """
        now = self._clock()
        ticket = Ticket(texts, Answered.none_of(len(texts), self._labels), finished, came=now, deadline=now + seconds)
        with self._changed:
            if self._closing:
                raise ResourceError("the engine was closed")
            self._tickets.append(ticket)
            self.waiting += len(texts)
            self._changed.notify()
        return ticket

    def abandon(self, ticket: Ticket) -> None:
        """Leave out what of a ticket was not begun: nobody waits for it any more."""
        with self._changed:
            ticket.abandoned = True

    def aside(self, work: Callable[[], Result]) -> Result:
        """Do `work` in the lane's thread, when no texts wait or it has waited for a while itself, and return its result."""
        future: Future[Result] = Future()

        def do() -> None:
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)

        with self._changed:
            closing = self._closing
            if not closing:
                self._background.append((self._clock(), do))
                self._changed.notify()
        return work() if closing else future.result()  # a newer engine answers texts by now

    def forward(self, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """(rows, labels) logits of (rows, tokens) ids and mask, a few rows at a time as `aside` does work."""
        forward = self._classifier.loaded.forward
        assert forward is not None
        rows = max(1, int(self.room) // ids.shape[1])
        parts = [slice(start, start + rows) for start in range(0, len(ids), rows)]
        return np.concatenate([self.aside(functools.partial(forward, ids[part], mask[part])) for part in parts])

    def retry_after(self) -> int:
        """In about how many seconds, at least 1, the texts that wait now will be answered."""
        return max(1, math.ceil(self.waiting * self._text_work / self.speed))

    def close(self) -> None:
        """Answer what is queued, then end the thread; returns at once."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    def join(self, seconds: float | None = None) -> None:
        """Wait until a closed lane has ended, at most so long."""
        self._thread.join(seconds)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    # In the thread

    def _run(self) -> None:
        while (job := self._next()) is not None:
            job()

    def _next(self) -> Callable[[], object] | None:
        """What to do next; None when the lane is closed and all is done."""
        with self._changed:
            while True:
                overdue = self._background and self._clock() - self._background[0][0] > SECONDS_BEFORE_BACKGROUND
                if self._tickets and not overdue:
                    batch = self._take()
                    return lambda: self._answer(batch)
                if self._background:
                    return self._background.popleft()[1]
                if self._closing:
                    return None
                self._changed.wait()

    def _take(self) -> list[tuple[Ticket, int]]:
        """The texts of the next batch, as tickets and numbers: one of each ticket in turn, while there is room."""
        room, now = self.room, self._clock()
        batch: list[tuple[Ticket, int]] = []
        self._was_full = False  # whether texts had to wait for the next one
        while self._tickets:
            ticket = self._tickets[0]
            if ticket.abandoned or ticket.deadline < now:
                self._drop(self._tickets.popleft())
                continue
            work = self._work(ticket.texts[ticket.taken])
            if batch and work > room:
                self._was_full = True
                break
            room -= work
            batch.append((ticket, ticket.taken))
            ticket.taken += 1
            self.waiting -= 1
            if ticket.began is None:
                ticket.began = now
                self._seen.waited(now - ticket.came)
            self._tickets.popleft()
            if ticket.taken < len(ticket.texts):
                self._tickets.append(ticket)
        return batch

    def _drop(self, ticket: Ticket) -> None:
        self.waiting -= len(ticket.texts) - ticket.taken
        ticket.finished(None)

    def _work(self, text: str) -> float:
        """What answering a text costs, in tokens of the engine, about."""
        stated, characters = self._classifier.predictor.manifest, len(text)
        tokens = characters / CHARACTERS_PER_TOKEN + 2
        read = tokens if stated.long == "windows" else min(tokens, stated.maxlen)
        return read + characters / CHARACTERS_TOKENISED_PER_TOKEN

    def _answer(self, batch: list[tuple[Ticket, int]]) -> None:
        if not batch:
            return
        began = self._clock()
        texts = [ticket.texts[number] for ticket, number in batch]
        answered = self._answers(texts)
        work, seconds = sum(map(self._work, texts)), self._clock() - began
        if len(texts) > 1 and seconds > BATCH_SECONDS:
            self.room = max(LEAST_ROOM, self.room / STEP)
        elif self._was_full:
            self.room = min(self._classifier.loaded.tokens_per_batch, self.room * STEP)
        self.speed += SMOOTHING * (work / max(seconds, 1e-6) - self.speed)
        self._text_work += SMOOTHING * (work / len(texts) - self._text_work)
        self._seen.batch(len(batch), int(answered.tokens.sum()))
        for place, (ticket, number) in enumerate(batch):
            ticket.answers.take(number, answered, place)
            ticket.done += 1
            if ticket.done == len(ticket.texts):
                ticket.finished(ticket.answers)

    def _answers(self, texts: list[str]) -> Answered:
        """The answers to a batch; one that fails is answered text by text, so that a text fails alone."""
        try:
            return self.compute(texts)
        except Exception as error:  # whatever the engine raises
            self._seen.failed(error)
            answered = Answered.none_of(len(texts), self._labels)
            if len(texts) == 1:
                answered.failed[:] = True
            else:
                for place, text in enumerate(texts):
                    answered.take(place, self._answers([text]), 0)
            return answered

    def compute(self, texts: list[str]) -> Answered:
        """The answers to texts, at once; only for the lane's thread."""
        stated, forward = self._classifier.predictor.manifest, self._classifier.loaded.forward
        assert forward is not None
        encoded = self._classifier.encode(texts)
        of_rows = np.empty((len(encoded.lengths), self._labels), np.float32)
        for rows in batches_of_like_length(encoded.lengths, self._classifier.loaded.tokens_per_batch):
            of_rows[rows] = forward(*encoded.padded(rows))
        logits = encoded.pooled(of_rows, stated.pooling, stated.task == "multilabel")
        probabilities = probabilities_of(logits, stated.task).astype(np.float32)
        failed = np.logical_not(np.isfinite(probabilities).all(axis=1))
        probabilities[failed] = 0
        return Answered(probabilities, encoded.full_lengths, encoded.truncated, failed)


def batches_of_like_length(lengths: np.ndarray, most_tokens: int) -> Iterator[np.ndarray]:
    """Row numbers of batches of at most `most_tokens`, with so little padding that a further call would cost more."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        longest, padding, end = int(lengths[order[start]]), 0, start + 1
        while end < len(order) and (end + 1 - start) * longest <= most_tokens:
            padding += longest - int(lengths[order[end]])
            if padding > CALL_TOKENS:
                break
            end += 1
        yield order[start:end]
        start = end
