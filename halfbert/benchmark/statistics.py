"""The timing protocol of the benchmark and its statistics; nothing here knows engines or files.

A *call* is one use of the function under test; its inputs are taken in turn, in whole passes, so that slow and fast
contestants see the same texts. A *block* is a stretch of such passes of at least so many seconds. Machines are rarely quiet, so
each block notes how much of the processors others used; one that was disturbed is measured again, and all attempts are kept.
"""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import geometric_mean
from typing import Any, TypeVar

import numpy as np
import psutil

from halfbert.scoring import intervals

PERCENTILES = (50, 90, 95, 99)
SAMPLES_BEYOND = 10  # a percentile is reported only where so many samples lie above it
FOREIGN_LIMIT = 0.05  # share of the processors' time that others may use during a block
MOST_ATTEMPTS = 3
DIGITS = 7  # of seconds that are kept: a tenth of a microsecond
LEAST_BLOCKS = 2  # of a verdict: the bootstrap interval of a single block has no width
# What psutil counts as work, on whichever system has it; "guest" is part of "user", "interrupt" and "dpc" are part of "system".
BUSY = ("user", "nice", "system", "irq", "softirq", "steal")


def measure(call: Callable, inputs: Sequence, seconds: float, clock: Callable[[], float] = time.perf_counter) -> list[float]:
    """Seconds of each call, over whole passes of the inputs until at least `seconds` have gone by.

    `call` must return only when its answer is there: on a device, after the device has finished. No sample is 0, however
    coarse the clock, so that rates and ratios always exist.
    """
    samples: list[float] = []
    end = clock() + seconds
    while not samples or clock() < end:
        for item in inputs:
            start = clock()
            call(item)
            samples.append(max(round(clock() - start, DIGITS), 10**-DIGITS))
    return samples


@dataclass
class Load:
    """A reading of the processors that this process may use: seconds since start that each clock shows.

    `busy` counts all work of theirs, whoever did it, and time that a host took away; None where the system does not report it.
    """

    wall: float
    busy: float | None
    processors: int


def read_load() -> Load:
    """The load counters now."""
    process = psutil.Process()
    try:
        times = psutil.cpu_times(percpu=True)
    except OSError:  # a container may hide them
        times = []
    usable = process.cpu_affinity() if hasattr(process, "cpu_affinity") else range(len(times))
    busy = sum(busy_seconds(times[number]) for number in usable if number < len(times))
    return Load(time.perf_counter(), busy if times else None, len(usable) or 1)


def busy_seconds(times: Any) -> float:
    """What psutil's times of one processor say that it worked."""
    return sum(getattr(times, name, 0.0) for name in BUSY)


def foreign_share(before: Load, after: Load, own_seconds: float) -> float | None:
    """Share (0 to 1) of the processors' time between two readings that others used; None where it is unknown.

    `own_seconds` is the processor time that the measured processes themselves used in between.
    """
    capacity = (after.wall - before.wall) * after.processors
    if before.busy is None or after.busy is None or capacity <= 0:
        return None
    return min(max((after.busy - before.busy - own_seconds) / capacity, 0.0), 1.0)


@dataclass(kw_only=True)
class Attempt:
    """One measurement of a block: the processors' and the clock's seconds, and the share that others used (None: unknown)."""

    cpu_seconds: float
    wall_seconds: float
    foreign_share: float | None = None
    disturbed: bool = False


Measured = TypeVar("Measured", bound=Attempt)


def undisturbed(
    block: Callable[[], Measured], most_attempts: int = MOST_ATTEMPTS, load: Callable[[], Load] = read_load
) -> tuple[Measured, list[Measured]]:
    """Measure a block until others leave it alone, `most_attempts` times at most.

    Returns the attempt that counts, which is the least disturbed, and those that were set aside; each of them says how much
    others used, and whether that was too much.
    """
    attempts: list[Measured] = []
    while len(attempts) < most_attempts:
        before = load()
        attempt = block()
        share = foreign_share(before, load(), attempt.cpu_seconds)
        if share is not None:
            attempt.foreign_share, attempt.disturbed = round(share, 4), round(share, 4) > FOREIGN_LIMIT
        attempts.append(attempt)
        if not attempt.disturbed:
            break
    best = min(attempts, key=lambda attempt: attempt.foreign_share or 0.0)
    return best, [attempt for attempt in attempts if attempt is not best]


@dataclass(kw_only=True)
class Spread:
    """Number, median, median absolute deviation, least and greatest of some samples, in their unit."""

    samples: int
    median: float
    mad: float
    min: float
    max: float


@dataclass(kw_only=True)
class Latency(Spread):
    """A spread with percentiles, each None where there are too few samples for it."""

    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None


def describe(samples: Sequence[float]) -> Spread:
    """The spread of some samples. Raises ValueError where there are none."""
    values = np.asarray(samples, dtype=float)
    if not len(values):
        raise ValueError("there are no samples to describe")
    median = float(np.median(values))
    mad = float(np.median(np.abs(values - median)))
    return Spread(samples=len(values), median=median, mad=mad, min=float(values.min()), max=float(values.max()))


def latency(samples: Sequence[float]) -> Latency:
    """The spread and the percentiles of some samples."""
    known = [float(np.percentile(samples, q)) if has_percentile(len(samples), q) else None for q in PERCENTILES]
    p50, p90, p95, p99 = known
    return Latency(**vars(describe(samples)), p50=p50, p90=p90, p95=p95, p99=p99)


def has_percentile(samples: int, percent: int) -> bool:
    """Whether SAMPLES_BEYOND samples or more lie beyond a percentile: p99 takes 1,000 samples, p95 200, p90 100 and p50 20."""
    return samples * (100 - percent) >= 100 * SAMPLES_BEYOND


@dataclass(kw_only=True)
class Ratio:
    """What the blocks' ratios A / B say; see `compare`."""

    ratio: float
    interval: list[float]
    itself: float
    itself_spread: float
    time_saved: float
    verdict: str


def block_ratio(first: Iterable[float], second: Iterable[float]) -> float:
    """Of one ABBA block: the seconds of its two A over the seconds of its two B, each for the same work.

    A drift of the machine that is steady over the block weighs on both alike.
    """
    return math.fsum(first) / math.fsum(second)


def bootstrap_interval(ratios: Sequence[float]) -> list[float]:
    """The bootstrap's 95 % interval, [low, high], of the geometric mean."""
    logs = np.log(np.asarray(ratios, dtype=float))
    return np.exp(intervals.percentile_interval(lambda weights: weights @ logs / len(logs), len(logs))).tolist()


def compare(ratios: Sequence[float], against_itself: Sequence[float]) -> Ratio:
    """What the blocks' ratios A / B say, given those of A against itself.

    The result is "inconclusive" where there is but one block, the interval includes 1, or the mean lies within the spread of A
    against itself: no further from 1, as a factor, than the furthest of its blocks. `time_saved` is the share (0 to 1) of A's
    time that B saves, negative where it takes longer.
    """
    ratio, (low, high) = geometric_mean(ratios), bootstrap_interval(ratios)
    spread = math.exp(max(abs(math.log(value)) for value in against_itself))
    conclusive = len(ratios) >= LEAST_BLOCKS and not low <= 1 <= high and max(ratio, 1 / ratio) > spread
    return Ratio(
        ratio=ratio,
        interval=[low, high],
        itself=geometric_mean(against_itself),
        itself_spread=spread,
        time_saved=1 - 1 / ratio,
        verdict="inconclusive" if not conclusive else "B takes less time" if ratio > 1 else "B takes more time",
    )
