"""The measuring protocol with a clock and a load made by hand, and the statistics against samples made by hand."""

import numpy as np
import pytest

from halfbert.benchmark import statistics as timing
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


def test_a_pass_is_made_even_where_no_time_is_asked_for():
    clock = Clock()
    assert timing.measure(clock.call, [2.0, 1.0], seconds=0.0, clock=clock) == [2.0, 1.0]


def test_the_real_clock_is_monotonic_and_counts_seconds():
    import time

    (sample,) = timing.measure(time.sleep, [0.02], seconds=0.0)
    assert 0.02 <= sample < 0.5


def test_what_others_used_of_the_processors():
    before, after = Load(wall=10.0, busy=5.0, processors=2), Load(wall=12.0, busy=8.0, processors=2)
    assert timing.foreign_share(before, after, own_seconds=3.0) == 0.0
    assert timing.foreign_share(before, after, own_seconds=2.0) == pytest.approx(0.25)
    assert timing.foreign_share(before, after, own_seconds=9.0) == 0.0  # ticks are coarse: never below none
    assert timing.foreign_share(before, Load(12.0, None, 2), own_seconds=0.0) is None


def test_ticks_of_the_system():
    """Idle time and waiting for the disk are not work; time that the host took away is somebody's."""
    fields = ["cpu0", "100", "20", "30", "4000", "500", "6", "7", "8", "90", "0"]
    assert timing._busy_ticks(fields) == 100 + 20 + 30 + 6 + 7 + 8


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
    return iter({"seconds": [number], "cpu_seconds": 0.0} for number in range(9)).__next__


def test_a_quiet_block_is_measured_once():
    found = timing.undisturbed(blocks(), load=loads(0.04))
    assert (found["seconds"], found["disturbed"], found["set_aside"]) == ([0], False, [])
    assert found["foreign_share"] == pytest.approx(0.04)


def test_a_disturbed_block_is_measured_again_and_kept():
    found = timing.undisturbed(blocks(), load=loads(0.5, 0.01))
    assert (found["seconds"], found["disturbed"]) == ([1], False)
    (aside,) = found["set_aside"]
    assert (aside["seconds"], aside["disturbed"], aside["foreign_share"]) == ([0], True, pytest.approx(0.5))


def test_at_most_so_many_attempts_and_then_the_least_disturbed():
    found = timing.undisturbed(blocks(), most_attempts=3, load=loads(0.5, 0.2, 0.4))
    assert (found["seconds"], found["disturbed"]) == ([1], True)
    assert [attempt["seconds"] for attempt in found["set_aside"]] == [[0], [2]]


def test_where_the_system_tells_no_load_nothing_is_measured_again():
    found = timing.undisturbed(blocks(), load=lambda: Load(0.0, None, 1))
    assert (found["seconds"], found["foreign_share"], found["disturbed"]) == ([0], None, False)


# Describing samples.


def test_median_and_its_absolute_deviation():
    found = timing.describe([1.0, 2.0, 3.0, 4.0, 100.0])
    assert found == {"samples": 5, "median": 3.0, "mad": 1.0, "min": 1.0, "max": 100.0}
    with pytest.raises(ValueError, match="no samples"):
        timing.describe([])


@pytest.mark.parametrize(("percent", "fewest"), [(50, 20), (90, 100), (95, 200), (99, 1000)])
def test_a_percentile_needs_ten_samples_beyond_it(percent, fewest):
    assert timing.has_percentile(fewest, percent) and not timing.has_percentile(fewest - 1, percent)
    assert timing.percentiles(range(fewest))[f"p{percent}"] == pytest.approx((fewest - 1) * percent / 100)
    assert timing.percentiles(range(fewest - 1))[f"p{percent}"] is None


# Comparing two.


def test_a_steady_drift_weighs_on_both_alike():
    slowing = [1.0, 1.1, 1.2, 1.3]  # of four equal stretches, each slower than the one before
    assert timing.block_ratio([slowing[0], slowing[3]], [slowing[1], slowing[2]]) == pytest.approx(1.0)
    assert timing.block_ratio([2.0, 2.0], [1.0, 1.0]) == 2.0


def test_the_mean_of_ratios_is_geometric():
    assert timing.geometric_mean([2.0, 0.5]) == pytest.approx(1.0)
    assert timing.geometric_mean([2.0, 8.0]) == pytest.approx(4.0)


def test_the_bootstrap_interval_covers_as_often_as_it_says():
    generator = np.random.default_rng(1)
    held = [low <= 1.5 <= high for low, high in (timing.bootstrap_interval(noisy(generator, 1.5, 0.1, 20)) for _ in range(80))]
    assert 0.85 <= np.mean(held) <= 0.99
    assert timing.bootstrap_interval([1.2, 1.3, 1.4]) == timing.bootstrap_interval([1.2, 1.3, 1.4])
    assert timing.bootstrap_interval([3.0]) == (pytest.approx(3.0), pytest.approx(3.0))


def test_a_against_itself_is_inconclusive():
    generator = np.random.default_rng(2)
    for _ in range(50):
        found = timing.compare(noisy(generator, 1.0), noisy(generator, 1.0))
        assert found["verdict"] == "inconclusive"


def test_a_against_twice_a_is_conclusive():
    generator = np.random.default_rng(3)
    found = timing.compare(noisy(generator, 0.5), noisy(generator, 1.0))
    assert found["verdict"] == "B takes more time"
    assert found["ratio"] == pytest.approx(0.5, rel=0.05) and found["time_saved"] == pytest.approx(-1.0, abs=0.1)
    found = timing.compare(noisy(generator, 2.0), noisy(generator, 1.0))
    assert found["verdict"] == "B takes less time"
    assert found["time_saved"] == pytest.approx(0.5, abs=0.05)
    low, high = found["interval"]
    assert 1 < low < found["ratio"] < high


def test_an_effect_within_the_spread_of_a_against_itself_is_inconclusive():
    """However sure the interval is: the machine alone makes as much of a difference."""
    effect = [1.10, 1.11, 1.09, 1.10]
    assert timing.compare(effect, [1.01, 0.99, 1.0, 1.02])["verdict"] == "B takes less time"
    found = timing.compare(effect, [1.0, 0.85, 1.0, 1.0])  # one block of A against A was off by more, the other way round
    assert found["verdict"] == "inconclusive" and found["itself_spread"] == pytest.approx(1 / 0.85)


def test_an_interval_that_holds_one_is_inconclusive():
    found = timing.compare([0.7, 1.9, 0.8, 2.0, 0.9], [1.0, 1.01, 0.99])
    low, high = found["interval"]
    assert low < 1 < high and found["verdict"] == "inconclusive"
