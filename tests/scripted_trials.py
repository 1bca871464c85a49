"""Trials of a search that are made up, for tests without fits; time passes only when the search waits."""

import base64
import json
from dataclasses import dataclass, field

import numpy as np

ROWS, LABELS = 40, 3


class Clock:
    """Stands in for the module time."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@dataclass
class Scripted:
    """A trial that tells `scores`, one an epoch of so many seconds, and then how it ended."""

    clock: Clock
    scores: list[float]
    seconds: float = 1.0
    code: int = 0
    reported: list[str] = field(default_factory=list)
    stopped: bool = False
    told: int = 0

    def __post_init__(self):
        self.began = self.clock.now

    def poll(self):
        events = []
        while self.told < len(self.scores) and self.clock.now - self.began >= (self.told + 1) * self.seconds:
            self.told += 1
            events.append({"epoch": self.told, "score": self.scores[self.told - 1], "seconds": self.seconds})
        if self.told == len(self.scores):
            if self.code == 0:
                answers = np.full((ROWS, LABELS), 1 / LABELS, np.float32)
                end = base64.b64encode(answers.tobytes()).decode()
                events.append({"score": self.scores[-1], "best_epoch": len(self.scores), "answers": end})
            events.append({"code": self.code, "reported": self.reported})
        return events

    def stop(self):
        self.stopped = True


@dataclass
class Stage:
    """Where made-up trials run: `play` makes one of a setting and the number of its start."""

    play: object
    slots: int = 1
    started: list = field(default_factory=list)

    def start(self, job):
        trial = self.play(json.loads(job), len(self.started))
        self.started.append(trial)
        return trial
