"""What dies in tests: a scorer that kills the process it is used in, and fits that end after a step."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from halfbert.prediction.scorer import Scorer


@dataclass(frozen=True)
class DyingScorer(Scorer):
    """Notes its process in the file `log` at each call, and kills it at the calls that `plan_deaths` named."""

    log: str = ""

    def answer(self, texts, advance=None):
        with open(self.log, "a") as stream:
            stream.write(f"{os.getpid()}\n")
        first, last = map(int, Path(f"{self.log}.deaths").read_text().split())
        if first <= len(self.calls) <= last:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().answer(texts, advance)

    @property
    def calls(self):
        """The processes of the calls so far."""
        return Path(self.log).read_text().split()

    def plan_deaths(self, first, last):
        """Have the processes of these calls, counted from 1, killed."""
        Path(self.log).unlink(missing_ok=True)
        Path(f"{self.log}.deaths").write_text(f"{first} {last}")


class Killed(BaseException):
    """In place of a kill: nothing catches it."""


def kill_after(monkeypatch, steps: int, only=lambda best: True) -> None:
    """Have this process's fits (`only` those whose BestEpoch it likes) killed once, after so many steps in all."""
    from halfbert.training.fit import BestEpoch

    end, ended = BestEpoch.on_train_batch_end, []

    def dying(self, *batch):
        end(self, *batch)
        ended.extend([batch] if only(self) else [])
        if len(ended) == steps:
            monkeypatch.setattr(BestEpoch, "on_train_batch_end", end)
            raise Killed

    monkeypatch.setattr(BestEpoch, "on_train_batch_end", dying)
