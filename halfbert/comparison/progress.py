"""What a comparison says while it runs: what it will do and about how long that takes, and each contestant's score.

The time is known after the first steps of the first network, whose fit then says how long it takes (`training.pace`). The other
networks are taken to be slower or faster in proportion to the layers, their width squared and the epochs.
"""

import time
from collections.abc import Callable, Mapping, Sequence

from halfbert.comparison import speed
from halfbert.comparison.jobs import Experiment, Finished
from halfbert.comparison.record import SCORES
from halfbert.data.phrases import counted, listed
from halfbert.output.words import model_name
from halfbert.scoring import intervals
from halfbert.system.console import say
from halfbert.training import pace

START_SECONDS = 15  # of a process with TensorFlow, up to its fit, and from there to its end
BASELINE_SECONDS = 5  # of a fit without a network
REPORT_SECONDS = 15
TOLD_AGAIN = 1.25  # times as much as was said before, or as little


class Forecast:
    """The fits that are left, and how long they are likely to take."""

    def __init__(self, experiment: Experiment):
        self.experiment, self.started = experiment, time.perf_counter()
        self.left: dict[str, float] = {}  # by contestant, in fits on all rows
        self.seconds: dict[str, float] = {}  # of a network's fit on all rows
        self.said: float | None = None  # seconds in all

    def expect(self, name: str, fits: float) -> None:
        """Count in so many fits of a contestant, in fits on all rows."""
        self.left[name] = self.left.get(name, 0) + fits

    def announce(self) -> None:
        """Say what will be done."""
        later = "; for how long is known after the first steps of the first network" if self.networks else ""
        say(f"{self.plan}{later}")

    @property
    def networks(self) -> list[str]:
        """The contestants that are networks."""
        return [name for name in self.left if self.experiment.checkpoint(name)]

    @property
    def plan(self) -> str:
        """The contestants, rows, epochs, seeds and folds, in a line."""
        experiment, options = self.experiment, self.experiment.options
        rows = len(experiment.data.train) if experiment.rows is None else experiment.rows
        if experiment.dealt and experiment.rows is None:
            rows = len(experiment.dealt.rows)
        epochs = dict.fromkeys(experiment.epochs(name) for name in self.networks)
        what = [f"{listed([model_name(name, short=True) for name in self.left])} on {counted(rows, 'row')}"]
        what += [f"{' and '.join(map(str, epochs))} {'epoch' if list(epochs) == [1] else 'epochs'}"] if epochs else []
        what += [counted(options.seeds, "seed"), *([f"{experiment.folds} folds"] if experiment.folds else [])]
        return ", ".join(what)

    def hear(self, name: str) -> Callable[[str], None]:
        """For the lines that a contestant's fit prints: the one that says how long it takes is taken note of."""

        def heard(line: str) -> None:
            if (seconds := pace.seconds(line)) is not None:
                self.note(name, seconds)

        return heard

    def finished(self, name: str, seconds: float, share: float = 1) -> None:
        """Take note that a fit of a contestant is done, and of its seconds if it was one on all rows."""
        self.left[name] = max(0, self.left[name] - share)
        if share == 1:
            self.note(name, seconds)

    def note(self, name: str, seconds: float) -> None:
        """Take note of the seconds of a contestant's fit on all rows, and say how long all of it takes if that is news."""
        if name not in self.networks or not seconds:
            return
        self.seconds[name] = seconds
        remaining = self.remaining
        total = time.perf_counter() - self.started + remaining
        if self.said is None:
            say(f"{self.plan}: {about(total)}")
        elif not self.said / TOLD_AGAIN < total < self.said * TOLD_AGAIN:
            say(f"{about(total)} in all, {about(remaining)} to go")
        else:
            return
        self.said = total

    @property
    def remaining(self) -> float:
        """Seconds."""
        experiment, networks = self.experiment, self.networks
        unit = max(seconds / self.work(name) for name, seconds in self.seconds.items())
        each = {name: self.seconds.get(name, unit * self.work(name)) for name in networks}
        start = 0 if experiment.folds else START_SECONDS
        fits = sum(count * (each[name] + start if name in each else BASELINE_SECONDS) for name, count in self.left.items())
        return fits / experiment.workers + speed.budget(experiment.options.timing, len(networks)) + REPORT_SECONDS

    def work(self, name: str) -> float:
        """What the seconds of a network's fit grow with."""
        checkpoint = self.experiment.checkpoint(name)
        config = checkpoint.config if checkpoint else {}
        layers = config.get("num_hidden_layers") or config.get("n_layers") or 1
        width = config.get("hidden_size") or config.get("dim") or 1
        return layers * width**2 * self.experiment.epochs(name)


def about(seconds: float) -> str:
    """A duration in words that claim no more than is known."""
    if seconds < 90:
        return f"about {max(10, round(seconds, -1)):.0f} seconds"
    return f"about {counted(round(seconds / 60), 'minute')}"


def score_line(experiment: Experiment, name: str, fits: Sequence[Finished], before: Mapping[str, Sequence[Finished]]) -> str:
    """A contestant's score with its interval, the seconds of its fits, and how much it differs from the one just `before`."""
    key, words = next(iter(SCORES[experiment.options.task].items()))
    score, answers = getattr(intervals, key), [fit.answers for fit in fits]
    found = intervals.bootstrap(score, experiment.truth, answers)
    line = f"{model_name(name)}: {words} {found.score:.3f} ({found.low:.3f} to {found.high:.3f}), "
    line += f"{sum(fit.seconds for fit in fits):.0f} s"
    if before:
        other, earlier = list(before.items())[-1]
        change = intervals.paired_bootstrap(score, experiment.truth, answers, [fit.answers for fit in earlier])
        line += f"; {change.difference:+.3f} ({change.low:+.3f} to {change.high:+.3f}) beside {model_name(other)}"
    return line
