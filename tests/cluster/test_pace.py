"""Time left by simulated clocks: right within a factor of two after a tenth of the work."""

import random

import pytest

from lsg_ray.cluster.pace import Pace

WARM_UP, UNITS = 20.0, 100


def steady(unit=1.0, before=0):
    return [WARM_UP + unit * (n + 1) for n in range(UNITS - before)]


def jitter(seed):
    times, now = [], WARM_UP
    for _ in range(UNITS):
        now += random.Random(f"{seed} {now}").uniform(0.2, 1.8)
        times.append(now)
    return times


def bursts(workers, seed):
    """Workers that begin within two seconds of each other, and take a minute a unit, 5 % more or
    less."""
    rng, times = random.Random(seed), []
    for _ in range(workers):
        now = 60 + 2 * rng.random()
        for _ in range(UNITS):
            now += 60 * (1 + 0.05 * rng.gauss(0, 1))
            times.append(now)
    return sorted(times)[:UNITS]


def drift(last):
    """Units whose time goes from one second to another number, or back."""
    times, now = [], WARM_UP
    for n in range(UNITS):
        now += 1 + (last - 1) * n / UNITS
        times.append(now)
    return times


def compiled_again():
    """A second kernel is compiled for twenty seconds after five units of half a second."""
    return [5 + 0.5 * (n + 1) + (20 if n >= 5 else 0) for n in range(UNITS)]


def late_worker():
    """The second of two workers begins ten seconds after the first."""
    both = [WARM_UP + n for n in range(1, 99)] + [WARM_UP + 10.3 + n for n in range(1, 99)]
    return sorted(both)[:UNITS]


CASES = {
    "steady": (steady(), 0, 2),
    "quick units after a long warm-up": (steady(0.05), 0, 2),
    "resumed": (steady(before=60), 60, 2),
    "slower": (drift(2.0), 0, 2),
    "faster": (drift(0.5), 0, 2),
    "compiled again": (compiled_again(), 0, 2),
    "late worker": (late_worker(), 0, 2),
    **{f"jitter {seed}": (jitter(seed), 0, 2) for seed in range(5)},
    **{f"bursts of {w} {s}": (bursts(w, s), 0, w) for w in (2, 4, 8) for s in range(3)},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("known", [True, False], ids=["known", "reported"])
def test_time_left__is_right_within_a_factor_of_two(case, known):
    """``known``: what was done before is told at the start, or first seen with the first unit."""
    times, before, workers = CASES[case]
    pace, end, checked = Pace(0.0, before if known else 0, workers), times[-1], 0
    looks = sorted([*times, *(end * n / 500 for n in range(500))])
    for now in looks:
        finished = sum(time <= now for time in times)
        done = before + finished
        if finished:
            pace.see(done, now)
        left = pace.left(UNITS, done, now)
        if finished < 0.1 * (UNITS - before) + 1 or end - now < 0.1 * end:
            continue
        checked += 1
        assert left is not None, (now, done)
        # The ten units of a late worker's first seconds are of one worker: half the rate.
        assert 0.5 <= left / (end - now) <= 2.02, (now, done, left, end - now)
    assert checked > 20


def test_rate__is_unknown_until_it_can_be_known():
    pace = Pace(0.0, together=2)
    assert pace.rate(10) is None
    pace.see(1, 20.0)
    pace.see(2, 20.1)
    pace.see(3, 21.0)
    assert pace.left(10, 3, 21.0) is None  # of two workers: no more than a burst, perhaps
    pace.see(4, 21.1)
    assert pace.left(10, 4, 21.1) == pytest.approx(3, abs=1)
    assert pace.left(float("inf"), 4, 21.1) is None


def test_units_that_do_not_come__make_the_time_left_longer():
    pace = Pace(0.0, together=1)
    for n in range(1, 11):
        pace.see(n, float(n))
    assert pace.left(20, 10, 10.0) == 10.0
    late = [pace.left(20, 10, 10.0 + wait) for wait in (5.0, 20.0, 100.0)]
    assert late == sorted(late)
    assert late[-1] > 100


def test_units_that_are_lost__are_done_again():
    pace = Pace(0.0, 10, together=1)
    for now, done in [(1, 11), (2, 12), (11, 21), (12, 5), (21, 31)]:
        pace.see(done, now)
    assert pace.rate(21) == 1.0
    assert pace.left(51, 31, 21) == 20
    assert pace.left(51, 21, 22) > pace.left(51, 31, 22)


def test_many_steps__take_little_memory():
    pace = Pace(0.0)
    for n in range(1, 20_001):
        pace.see(n, 20 + n / 1000)
    assert len(pace._steps) <= 256
    assert pace.rate(40.0) == pytest.approx(1000, rel=0.01)
