"""How long a fit takes, said after its first steps: written by the fit, read by whoever runs it in a process of its own."""

import re
from collections.abc import Sequence

from halfbert.system.console import say

WARM_UP_STEPS = 5  # the first ones trace the model, and fill caches
STEPS, SECONDS = 10, 5.0  # after those: enough of both for a rate
LEAST_SECONDS = 20  # a fit that takes less needs no line
LINE = re.compile(r"at this pace the fit takes about ([\d,]+) s")


def estimate(ends: Sequence[float], steps: int, epochs: int) -> float | None:
    """The seconds of a fit of so many epochs and steps in each, from the times after its first steps; None too early."""
    done = len(ends) - WARM_UP_STEPS
    if done < STEPS or ends[-1] - ends[WARM_UP_STEPS - 1] < SECONDS:
        return None
    return (ends[-1] - ends[WARM_UP_STEPS - 1]) / done * steps * epochs


def tell(step_ends: Sequence[Sequence[float]], steps: int, epochs: int) -> None:
    """Say it after the step with which it becomes known; `step_ends` are the times after the steps of each epoch so far."""
    seconds = estimate(step_ends[-1], steps, epochs) if len(step_ends) == 1 else None
    if seconds is not None and seconds > LEAST_SECONDS and estimate(step_ends[-1][:-1], steps, epochs) is None:
        say(line(seconds))


def line(seconds: float) -> str:
    """What a fit says."""
    return f"at this pace the fit takes about {seconds:,.0f} s"


def seconds(text: str) -> float | None:
    """The seconds that a `line` names; None where the text is none."""
    found = LINE.search(text)
    return float(found[1].replace(",", "")) if found else None
