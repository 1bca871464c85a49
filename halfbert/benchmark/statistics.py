"""The measuring protocol of benchmark.py and its statistics: numpy only, and nothing of engines or files.

A *call* is one use of the function under test; its inputs are taken in turn, in whole passes, so that what is slow and what
is fast see the same texts. A *block* is a stretch of such passes of at least so many seconds. Machines are rarely quiet, so
each block notes how much of the processors others used; one that was disturbed is measured again, and all attempts are kept.
"""

import math
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

PERCENTILES = (50, 90, 95, 99)
SAMPLES_BEYOND = 10  # a percentile is told only where so many samples lie above it
FOREIGN_LIMIT = 0.05  # share of the processors' time that others may use during a block
MOST_ATTEMPTS = 3
RESAMPLES = 10_000
CONFIDENCE = 0.95
DIGITS = 7  # of seconds that are kept: a tenth of a microsecond


# ---------------------------------------------------------------------------------------------------------------------------
# Taking samples


def measure(call: Callable, inputs: Sequence, seconds: float, clock: Callable[[], float] = time.perf_counter) -> list[float]:
    """Seconds of each call, over whole passes of the inputs until at least `seconds` have gone by.

    `call` must return only when its answer is there: on a device, after the device has finished.
    """
    samples = []
    end = clock() + seconds
    while not samples or clock() < end:
        for item in inputs:
            start = clock()
            call(item)
            samples.append(round(clock() - start, DIGITS))
    return samples


@dataclass
class Load:
    """A reading of the processors that this process may use: seconds since start that each clock shows.

    `busy` counts all work of theirs, whoever did it, and time that a host took away; None where the system does not tell.
    """

    wall: float
    busy: float | None
    processors: int


def read_load() -> Load:
    """The load counters now (Linux: /proc/stat, see proc(5), which counts in ticks of 1/100 s as a rule)."""
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    busy = None
    if usable is not None and os.path.exists("/proc/stat"):
        with open("/proc/stat") as stream:
            lines = (line.split() for line in stream)
            ticks = [_busy_ticks(fields) for fields in lines if fields[0] in {f"cpu{number}" for number in usable}]
        busy = sum(ticks) / os.sysconf("SC_CLK_TCK")
    return Load(time.perf_counter(), busy, len(usable or ()) or os.cpu_count() or 1)


def _busy_ticks(fields: list[str]) -> int:
    user, nice, system, _idle, _waiting, interrupts, soft_interrupts, stolen = map(int, fields[1:9])
    return user + nice + system + interrupts + soft_interrupts + stolen


def foreign_share(before: Load, after: Load, own_seconds: float) -> float | None:
    """Share (0 to 1) of the processors' time between two readings that others used; None where the system does not tell.

    `own_seconds` is the processor time that the measured processes themselves used in between.
    """
    if before.busy is None or after.busy is None:
        return None
    capacity = (after.wall - before.wall) * after.processors
    return min(max((after.busy - before.busy - own_seconds) / capacity, 0.0), 1.0)


def undisturbed(block: Callable[[], dict], most_attempts: int = MOST_ATTEMPTS, load: Callable[[], Load] = read_load) -> dict:
    """Run a block again while others disturbed it, `most_attempts` times at most; the least disturbed attempt counts.

    `block()` gives a dict with `cpu_seconds`, what it used itself. The dict of the attempt that counts comes back with
    `foreign_share`, `disturbed` (whether even that one was), and the others, whole, in `set_aside`.
    """
    attempts = []
    while len(attempts) < most_attempts:
        before = load()
        result = block()
        share = foreign_share(before, load(), result["cpu_seconds"])
        share = share if share is None else round(share, 4)
        attempts.append({**result, "foreign_share": share, "disturbed": share is not None and share > FOREIGN_LIMIT})
        if not attempts[-1]["disturbed"]:
            break
    best = min(attempts, key=lambda attempt: attempt["foreign_share"] or 0.0)
    return {**best, "set_aside": [attempt for attempt in attempts if attempt is not best]}


# ---------------------------------------------------------------------------------------------------------------------------
# Describing samples


def describe(samples: Sequence[float]) -> dict:
    """Number, median, median absolute deviation, least and greatest of some samples, in their unit."""
    values = np.asarray(samples, dtype=float)
    if not len(values):
        raise ValueError("there are no samples to describe")
    median = float(np.median(values))
    return {
        "samples": len(values),
        "median": median,
        "mad": float(np.median(np.abs(values - median))),
        "min": float(values.min()),
        "max": float(values.max()),
    }


def percentiles(samples: Sequence[float]) -> dict[str, float | None]:
    """{"p50": ...} of each of PERCENTILES; None where fewer than SAMPLES_BEYOND samples lie beyond it.

    So p99 takes 1,000 samples, p95 200, p90 100 and p50 20.
    """
    values = np.asarray(samples, dtype=float)
    return {f"p{q}": float(np.percentile(values, q)) if has_percentile(len(values), q) else None for q in PERCENTILES}


def has_percentile(samples: int, percent: int) -> bool:
    """Whether so many samples are enough to tell a percentile."""
    return samples * (100 - percent) >= 100 * SAMPLES_BEYOND


# ---------------------------------------------------------------------------------------------------------------------------
# Comparing two


def block_ratio(first: Iterable[float], second: Iterable[float]) -> float:
    """Of one ABBA block: the seconds of its two A over the seconds of its two B, each for the same work.

    A drift of the machine that is steady over the block weighs on both alike.
    """
    return math.fsum(first) / math.fsum(second)


def geometric_mean(ratios: Sequence[float]) -> float:
    """The mean of ratios, for which 2 and 1/2 are equally far from 1."""
    return float(np.exp(np.mean(np.log(ratios))))


def bootstrap_interval(ratios: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """The percentile bootstrap's 95 % interval of the geometric mean (Efron and Tibshirani 1993, chapter 13)."""
    logs = np.log(np.asarray(ratios, dtype=float))
    drawn = np.random.default_rng(seed).choice(logs, (RESAMPLES, len(logs))).mean(axis=1)
    low, high = np.exp(np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]))
    return float(low), float(high)


def compare(ratios: Sequence[float], against_itself: Sequence[float], seed: int = 0) -> dict:
    """What the blocks' ratios A / B say, given those of A against itself.

    The result is "inconclusive" where the interval holds 1, or the mean lies within the spread of A against itself: no
    further from 1, as a factor, than the furthest of its blocks. `time_saved` is the share (0 to 1) of A's time that B
    saves, negative where it takes longer.
    """
    ratio = geometric_mean(ratios)
    low, high = bootstrap_interval(ratios, seed)
    spread = math.exp(max(abs(math.log(value)) for value in against_itself))
    conclusive = not low <= 1 <= high and max(ratio, 1 / ratio) > spread
    return {
        "ratio": ratio,
        "interval": [low, high],
        "itself": geometric_mean(against_itself),
        "itself_spread": spread,
        "time_saved": 1 - 1 / ratio,
        "verdict": "inconclusive" if not conclusive else "B takes less time" if ratio > 1 else "B takes more time",
    }
