"""The search: which trials are begun, which are ended early, and when it is over."""

import base64
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Protocol

import numpy as np

from halfbert.data.phrases import counted
from halfbert.output.words import significant
from halfbert.system import processes
from halfbert.system.console import say
from halfbert.system.errors import HalfbertError, InputError, ResourceError
from halfbert.tuning.space import Setting, described
from halfbert.tuning.study import MOST_SKIPPED, Begun, Ended, Study
from halfbert.tuning.trial import Trial

SECONDS_BETWEEN_LOOKS = 0.1
FAILURES = 3  # of the same kind, before any trial has finished: then the next would fail as well
SLACK = 1.2  # times the estimate, which errs


class Place(Protocol):
    """Where trials run."""

    slots: int  # trials at a time

    def start(self, job: bytes) -> Trial:
        """Start a trial of a job, as its process reads it."""


class Budget:
    """The time for all of a search, `earlier` runs of it included, and for the last fits after it; in seconds."""

    def __init__(self, total: float, earlier: float = 0.0):
        self.total, self._earlier, self._began = total, earlier, time.monotonic()

    @property
    def spent(self) -> float:
        return self._earlier + time.monotonic() - self._began

    @property
    def left(self) -> float:
        return self.total - self.spent


@dataclass
class Running:
    """A trial that is being run, and what it has told so far."""

    begun: Begun
    process: Trial
    started: float = field(default_factory=lambda: time.monotonic())
    epochs: list[dict[str, Any]] = field(default_factory=list)
    end: dict[str, Any] = field(default_factory=dict)  # of a fit that came to its end

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    @property
    def told(self) -> Ended:
        """What the study keeps of it, but for the outcome."""
        seconds = [epoch["seconds"] for epoch in self.epochs]
        return {"seconds": self.seconds, "epochs": len(seconds), "epoch_seconds": float(median(seconds)) if seconds else None}


@dataclass
class Search:
    """The trials of a study, run in a place until the time is up.

    Parameters
    ----------
    job: from a setting to what a trial's process reads.
    score: the name of what is searched for, in words.
    most_trials: after which the search ends; None: when the time is up.
    """

    study: Study
    place: Place
    budget: Budget
    job: Callable[[Setting], bytes]
    score: str
    labels: int
    most_trials: int | None = None
    running: list[Running] = field(default_factory=list)

    def run(self) -> list[Ended]:
        """Run trials until the time, less that of the last fits, is up; returns all that the study has.

        Raises InputError where the time is too short for the default settings, and what trials failed with where all do.
        """
        with self._ending_all():
            while True:
                while self._may_begin() and (begun := self._next()):
                    say(f"trial {begun.number}{' (default)' if begun.is_default else ''}: {described(begun.setting)}")
                    self.running.append(Running(begun, self.place.start(self.job(begun.setting))))
                if not self.running:
                    break
                time.sleep(SECONDS_BETWEEN_LOOKS)
                for one in list(self.running):
                    self._look_at(one)
        trials = sorted(self.study.ended, key=lambda trial: trial["number"])
        if not any(trial["outcome"] == "finished" for trial in trials):
            reasons = [trial["reason"] for trial in trials if trial.get("reason")]
            raise ResourceError(f"no trial finished{': ' if reasons else ''}{''.join(reasons[-1:])}")
        return trials

    @contextmanager
    def _ending_all(self) -> Iterator[None]:
        """End what runs, however the search ends; a trial that was running is run again when the search is resumed."""
        try:
            yield
        finally:
            for one in self.running:
                one.process.stop()
            self.study.seconds = self.budget.spent

    def _may_begin(self) -> bool:
        if len(self.running) >= self.place.slots:
            return False
        trials = self.study.ended
        if self.most_trials is not None and len(trials) + len(self.running) >= self.most_trials:
            return False
        return not trials or self.budget.left - self.reserve(trials) > 0

    def _next(self) -> Begun | None:
        """The next trial that is new and likely to end in time; None where none was found."""
        for _ in range(MOST_SKIPPED):
            begun = self.study.begin()
            trials = self.study.ended
            seconds = self.estimate(begun.setting, trials)
            in_time = seconds is None or seconds <= self.budget.left - self.reserve(trials, seconds)
            if begun.is_default or (in_time and not self.study.is_known(begun.setting)):
                return begun
            self.study.skip(begun)
        if not self.running:
            say("no other settings are likely to be done in the time that is left")
        return None

    def estimate(self, setting: Setting, trials: list[Ended]) -> float | None:
        """The seconds that a trial is likely to take, by those that ran an epoch: a start, and epochs by their cost.

        None where there is none.
        """
        timed = [trial for trial in trials if trial["epoch_seconds"]]
        if not timed:
            return None
        cost = self.study.space.epoch_cost
        starts = median(max(0.0, trial["seconds"] - trial["epochs"] * trial["epoch_seconds"]) for trial in timed)
        rate = median(trial["epoch_seconds"] / cost(trial["setting"]) for trial in timed)
        return SLACK * (starts + rate * cost(setting) * setting["epochs"])

    def reserve(self, trials: list[Ended], candidate: float = 0.0) -> float:
        """The seconds of the last fits: the default settings and the best ones once more, which a `candidate` may become."""
        finished = [trial for trial in trials if trial["outcome"] == "finished"]
        best = max(finished, key=lambda trial: trial["score"], default=None)
        default = sum(trial["seconds"] for trial in finished if trial["default"])
        return SLACK * (default + max(candidate, best["seconds"] if best and not best["default"] else 0.0))

    def _look_at(self, one: Running) -> None:
        for event in one.process.poll():
            if "code" in event:
                return self._ended(one, event)
            if "epoch" not in event:
                one.end = event
                continue
            one.epochs.append(event)
            self._check_time_for_default(one)
            share = event["epoch"] / one.begun.setting["epochs"]
            if self.study.report(one.begun, share, event["score"]):
                return self._end(one, "pruned", event["score"], reason="worse than the median of the others at this point")
        if not one.end and self.budget.left - self.reserve(self.study.ended) <= 0:
            if one.begun.is_default:
                raise self._too_short(f"was in epoch {len(one.epochs) + 1} of {one.begun.setting['epochs']} when it was up")
            self._end(one, "stopped", one.epochs[-1]["score"] if one.epochs else None, reason="the time was up")

    def _check_time_for_default(self, one: Running) -> None:
        """Raise InputError once the time is clearly too short for the default settings: their trial and last fit."""
        epochs, done = one.begun.setting["epochs"], one.epochs
        if not one.begun.is_default or len(done) == 1 < epochs:  # the first epoch also traces and warms up
            return
        needed = one.seconds + (epochs - len(done)) * min(epoch["seconds"] for epoch in done)
        if needed - one.seconds + SLACK * needed > self.budget.left:
            minutes = significant(float(f"{2 * SLACK * needed / 60:.1g}") or 1)
            raise self._too_short(f"would take about {needed:.0f} s, and as long for the last fit; give {minutes} or more")

    def _too_short(self, why: str) -> InputError:
        minutes = significant(self.budget.total / 60)
        return InputError(f"--minutes {minutes}: not enough for one trial of the default settings, which {why}")

    def _ended(self, one: Running, event: dict[str, Any]) -> None:
        """A process came to its end, of one kind or another."""
        if event["code"] == 0 and one.end:
            answers = np.frombuffer(base64.b64decode(one.end["answers"]), np.float32)
            self.study.keep_answers(one.begun.number, answers.reshape(-1, self.labels))
            return self._end(one, "finished", one.end["score"], best_epoch=one.end["best_epoch"])
        failure = processes.failure(event["code"], f"trial {one.begun.number}", event["reported"])
        if not isinstance(failure, HalfbertError):  # a signal from outside: the search is to end as well
            raise failure
        self._end(one, "failed", reason=str(failure).partition(": ")[2], kind=failure.exit_code)
        trials = self.study.ended
        alike = [trial for trial in trials if trial["outcome"] == "failed" and trial["kind"] == failure.exit_code]
        of_user = isinstance(failure, InputError) and one.begun.is_default
        if of_user or (len(alike) == len(trials) >= FAILURES):
            which = "" if of_user else f"the first {counted(len(trials), 'trial')} failed alike; "
            raise type(failure)(f"{which}{failure}")

    def _end(self, one: Running, outcome: str, score: float | None = None, **more: Any) -> None:
        one.process.stop()
        self.running.remove(one)
        self.study.end(one.begun, outcome, score, **one.told, **more)
        self.study.seconds = self.budget.spent
        say(f"trial {one.begun.number}: {outcome_line(self.score, {'outcome': outcome, 'score': score, **one.told, **more})}")


def outcome_line(score: str, trial: Ended) -> str:
    """What a trial came to, in words."""
    found = "" if trial["score"] is None else f"{score} {trial['score']:.4f}, "
    if trial["outcome"] == "finished":
        return f"{found}epoch {trial['best_epoch']} kept, {trial['seconds']:.0f} s"
    after = f"{trial['outcome']} after {counted(trial['epochs'], 'epoch')}, {found}{trial['seconds']:.0f} s"
    return f"{after}: {trial['reason']}"
