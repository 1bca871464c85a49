"""The timing protocol with a clock and a load made by hand, and the statistics against samples made by hand."""

import time
from types import SimpleNamespace

import numpy as np
import pytest

from halfbert.benchmark import statistics as timing
from halfbert.benchmark.record import Timed
from halfbert.benchmark.statistics import Load


class Clock:
    """A clock that only the timed calls move on."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def call(self, seconds):
        self.now += seconds


def noisy(generator, centre, spread=0.02, blocks=10):
    return list(centre * np.exp(generator.normal(0, spread, blocks)))


# Taking samples.


def test_each_call_is_a_sample_and_passes_are_whole():
    clock = Clock()
    samples = timing.measure(clock.call, [0.25, 0.5], seconds=1.0, clock=clock)
    assert samples == [0.25, 0.5, 0.25, 0.5]  # 0.75 s were too few, 1.5 s are enough
    assert timing.measure(clock.call, [2.0, 1.0], seconds=0.0, clock=clock) == [2.0, 1.0]  # one pass at least
    assert timing.measure(clock.call, [0.0], seconds=0.0, clock=clock) == [1e-7]  # never 0, however coarse the clock


def test_the_real_clock_counts_seconds():
    (sample,) = timing.measure(time.sleep, [0.02], seconds=0.0)
    assert 0.02 <= sample < 0.5


def test_what_others_used_of_the_processors():
    before, after = Load(wall=10.0, busy=5.0, processors=2), Load(wall=12.0, busy=8.0, processors=2)
    assert timing.foreign_share(before, after, own_seconds=3.0) == 0.0
    assert timing.foreign_share(before, after, own_seconds=2.0) == pytest.approx(0.25)
    assert timing.foreign_share(before, after, own_seconds=9.0) == 0.0  # ticks are coarse: never below none
    assert timing.foreign_share(before, Load(12.0, None, 2), own_seconds=0.0) is None
    assert timing.foreign_share(before, before, own_seconds=0.0) is None  # no time went by


@pytest.mark.parametrize(
    ("times", "busy"),
    [
        # Linux: idle time and waiting for the disk are not work, stolen time is somebody's, "user" includes guests.
        ({"user": 1, "nice": 2, "system": 4, "idle": 50, "iowait": 60, "irq": 8, "softirq": 16, "steal": 32, "guest": 1}, 63),
        ({"user": 1, "nice": 2, "system": 4, "idle": 50}, 7),  # macOS
        ({"user": 1, "system": 4, "idle": 50, "interrupt": 1, "dpc": 2}, 5),  # Windows: "system" has both
    ],
)
def test_busy_seconds_of_a_processor(times, busy):
    assert timing.busy_seconds(SimpleNamespace(**times)) == busy


def test_the_load_of_this_machine_grows():
    first = timing.read_load()
    sum(i * i for i in range(400_000))
    second = timing.read_load()
    assert second.wall > first.wall and second.processors >= 1
    assert first.busy is None or second.busy >= first.busy > 0


def loads(*shares):
    """Readings before and after blocks of 1 s on one processor, of which others used these shares."""
    readings, busy = [], 0.0
    for number, share in enumerate(shares):
        readings += [Load(number, busy, 1), Load(number + 1, busy + share, 1)]
        busy += share
    return iter(readings).__next__


def blocks():
    return iter(Timed(seconds=[number], cpu_seconds=0.0, wall_seconds=1.0) for number in range(9)).__next__


def attempt(number, foreign_share):
    disturbed = foreign_share is not None and foreign_share > 0.05
    share = None if foreign_share is None else pytest.approx(foreign_share)
    return Timed(seconds=[number], cpu_seconds=0.0, wall_seconds=1.0, foreign_share=share, disturbed=disturbed)


@pytest.mark.parametrize(
    ("shares", "best", "set_aside"),
    [
        ([0.04], attempt(0, 0.04), []),  # a quiet block is measured once
        ([0.5, 0.01], attempt(1, 0.01), [attempt(0, 0.5)]),  # a disturbed one again, and kept
        ([0.5, 0.2, 0.4], attempt(1, 0.2), [attempt(0, 0.5), attempt(2, 0.4)]),  # three times at most: the least disturbed
    ],
)
def test_a_block_is_measured_until_it_is_undisturbed(shares, best, set_aside):
    assert timing.undisturbed(blocks(), most_attempts=3, load=loads(*shares)) == (best, set_aside)
    # Where the load is unknown nothing is measured again.
    assert timing.undisturbed(blocks(), load=lambda: Load(0.0, None, 1)) == (attempt(0, None), [])


# Describing samples.


def test_median_and_its_absolute_deviation():
    found = timing.describe([1.0, 2.0, 3.0, 4.0, 100.0])
    assert found == timing.Spread(samples=5, median=3.0, mad=1.0, min=1.0, max=100.0)
    assert timing.describe([2.0]) == timing.Spread(samples=1, median=2.0, mad=0.0, min=2.0, max=2.0)
    with pytest.raises(ValueError, match="no samples"):
        timing.describe([])


@pytest.mark.parametrize(("percent", "fewest"), [(50, 20), (90, 100), (95, 200), (99, 1000)])
def test_a_percentile_needs_ten_samples_beyond_it(percent, fewest):
    assert timing.has_percentile(fewest, percent) and not timing.has_percentile(fewest - 1, percent)
    assert getattr(timing.latency(range(fewest)), f"p{percent}") == pytest.approx((fewest - 1) * percent / 100)
    assert getattr(timing.latency(range(fewest - 1)), f"p{percent}") is None


# Comparing two.


def test_a_steady_drift_weighs_on_both_alike():
    slowing = [1.0, 1.1, 1.2, 1.3]  # of four equal stretches, each slower than the one before
    assert timing.block_ratio([slowing[0], slowing[3]], [slowing[1], slowing[2]]) == pytest.approx(1.0)
    assert timing.block_ratio([2.0, 2.0], [1.0, 1.0]) == 2.0


def test_the_bootstrap_interval_covers_as_often_as_it_says():
    generator = np.random.default_rng(1)
    held = [low <= 1.5 <= high for low, high in (timing.bootstrap_interval(noisy(generator, 1.5, 0.1, 20)) for _ in range(80))]
    assert 0.85 <= np.mean(held) <= 0.99
    assert timing.bootstrap_interval([1.2, 1.3, 1.4]) == timing.bootstrap_interval([1.2, 1.3, 1.4])
    assert timing.bootstrap_interval([3.0]) == [pytest.approx(3.0), pytest.approx(3.0)]


def test_a_against_itself_is_inconclusive_and_against_twice_a_is_not():
    generator = np.random.default_rng(2)
    for _ in range(50):
        assert timing.compare(noisy(generator, 1.0), noisy(generator, 1.0)).verdict == "inconclusive"
    slower = timing.compare(noisy(generator, 0.5), noisy(generator, 1.0))
    assert slower.verdict == "B takes more time" and slower.ratio == pytest.approx(0.5, rel=0.05)
    assert slower.time_saved == pytest.approx(-1.0, abs=0.1)
    faster = timing.compare(noisy(generator, 2.0), noisy(generator, 1.0))
    assert faster.verdict == "B takes less time" and faster.time_saved == pytest.approx(0.5, abs=0.05)
    assert 1 < faster.interval[0] < faster.ratio < faster.interval[1]


def test_an_effect_within_the_spread_of_a_against_itself_is_inconclusive():
    """However sure the interval is: the machine alone makes as much of a difference."""
    effect = [1.10, 1.11, 1.09, 1.10]
    assert timing.compare(effect, [1.01, 0.99, 1.0, 1.02]).verdict == "B takes less time"
    found = timing.compare(effect, [1.0, 0.85, 1.0, 1.0])  # one block of A against A was off by more, the other way round
    assert found.verdict == "inconclusive" and found.itself_spread == pytest.approx(1 / 0.85)


def test_an_interval_that_holds_one_is_inconclusive():
    found = timing.compare([0.7, 1.9, 0.8, 2.0, 0.9], [1.0, 1.01, 0.99])
    low, high = found.interval
    assert low < 1 < high and found.verdict == "inconclusive"
    # So is a single block: its interval has no width, which is no certainty.
    assert timing.compare([2.0], [1.0]).verdict == "inconclusive"
    assert timing.compare([2.0, 2.0], [1.0]).verdict == "B takes less time"
