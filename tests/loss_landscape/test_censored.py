"""Censored widths: planted distributions of mean 2, of which a share leaves before it is censored.

Statistical tests state their false-alarm rates; seeds are fixed.
"""

import numpy as np
import pytest
from scipy import stats

from lsg_ray.errors import InputError
from lsg_ray.loss_landscape.censored import Survival, describe, survival, survival_of
from lsg_ray.loss_landscape.walks import WALKS, _dataset

#: All of mean 2.
WIDTHS = {
    "exponential": stats.expon(scale=2),
    "weibull": stats.weibull_min(3, scale=2 / stats.weibull_min(3).mean()),
    "steep weibull": stats.weibull_min(0.7, scale=2 / stats.weibull_min(0.7).mean()),
    "lognormal": stats.lognorm(0.8, scale=2 * np.exp(-(0.8**2) / 2)),
}


def planted(law, rng, groups, samples=1, leaving=0.58, apart=0.0):
    """Widths, NaN where censored, and where they would be; distances of walks differ by a factor.

    ``leaving`` is what leaves before the mean distance.
    """
    widths = law.rvs((groups, samples), random_state=rng)
    followed = law.ppf(leaving) * rng.uniform(1 - apart, 1 + apart, widths.shape)
    return np.where(widths <= followed, widths, np.nan), followed


def restricted(law, horizon):
    """E[min(width, horizon)] to 10⁻⁵, by the trapezoidal rule."""
    t = np.linspace(0, horizon, 2001)
    return np.trapezoid(law.sf(t), t)


def test_without_censoring_all_is_as_usual():
    t = np.random.default_rng(0).exponential(2, (40, 1))
    result = survival(t, np.full(t.shape, 100.0))
    assert result.left == 1
    assert result.mean == pytest.approx(t.mean(), rel=1e-12)
    assert result.restricted_mean == pytest.approx(t.mean(), rel=1e-12)
    assert result.mean_stderr == pytest.approx(stats.sem(t[:, 0]), rel=1e-12)
    assert result.median == pytest.approx(np.median(t), rel=1e-12)
    assert survival(t[:39], np.full((39, 1), 100.0)).median == np.median(t[:39])
    # Order statistics of the sign test: the 15th and the 26th of 40.
    assert stats.binom.cdf(14, 40, 0.5) < 0.05 < stats.binom.cdf(15, 40, 0.5)
    assert (result.median_low, result.median_high) == tuple(np.sort(t[:, 0])[[14, 25]])


def test_the_median_is_that_of_a_textbook():
    """Remission under 6-mercaptopurine, weeks (Freireich et al., Blood 21, 699 (1963)): 23."""
    left = [6, 6, 6, 7, 10, 13, 16, 22, 23]
    censored = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
    times = np.array([*left, *[np.nan] * 12])[:, None]
    result = survival(times, np.array([*left, *censored], float)[:, None])
    assert result.median == 23
    assert result.left == pytest.approx(9 / 21)
    assert np.isnan(result.mean)
    assert result.median_high == np.inf


@pytest.mark.parametrize("name", WIDTHS)
@pytest.mark.parametrize("apart", [0.0, 0.3])
def test_58_percent_leave_and_no_mean_is_made_up(name, apart):
    """500 times 60 walks; what was shown once was the mean of those that left, 1.33 and less.

    The restricted mean is right on average (10⁻⁴), its error too: the share of intervals that hold
    it (10⁻⁴ about 95 %, within a point as the normal distribution is a limit).
    """
    law, rng = WIDTHS[name], np.random.default_rng(3)
    z, inside = [], 0
    for _ in range(500):
        result = survival(*planted(law, rng, 60, apart=apart))
        assert np.isnan(result.mean)
        assert np.isnan(result.mean_stderr)
        assert 0.2 < result.left < 0.9
        truth = restricted(law, result.horizon)
        z.append((result.restricted_mean - truth) / result.restricted_mean_stderr)
        inside += abs(z[-1]) < stats.t.ppf(0.975, 59)
        assert result.restricted_mean < 2
        assert describe(result).startswith(f"at least {result.restricted_mean:.3g} ± ")
    # Skew of the widths moves the mean of t by less than 0.1 at 60 walks.
    assert abs(np.mean(z)) < 0.1 + stats.norm.isf(5e-5) / np.sqrt(500)
    low, high = stats.binom.ppf([5e-5, 1 - 5e-5], 500, [0.94, 0.96])
    assert low <= inside <= high


@pytest.mark.parametrize("count", [5, 6, 20, 41])
@pytest.mark.parametrize("leaving", [0.3, 0.58, 0.9])
def test_bounds_hold_the_median(count, leaving):
    """Each is beyond it in 5 % of 1,000 at most, at 10⁻⁴: the law does not matter."""
    law, rng = WIDTHS["weibull"], np.random.default_rng(4)
    result = [survival(*planted(law, rng, count, 1, leaving, 0.3)) for _ in range(1000)]
    most = stats.binom.isf(1e-4, 1000, 0.05)
    assert sum(one.median_low > law.median() for one in result) <= most
    assert sum(one.median_high < law.median() for one in result) <= most
    assert sum(np.isfinite(one.median) for one in result) / 1000 > (leaving > 0.5) * 0.5
    if count > 20 and leaving < 0.5:
        # Often half of the walks is not seen to leave: that is said, with a bound above nothing.
        assert np.mean([np.isnan(one.median) for one in result]) > 0.3
        assert np.mean([one.median_low for one in result]) > 0.5 * law.median()


@pytest.mark.parametrize("name", WIDTHS)
def test_the_median_of_many_is_right_whatever_the_walks_were_followed_to(name):
    """1,000 walks, 100 times, distances from half to one and a half: mean median, at 10⁻⁴."""
    law, rng = WIDTHS[name], np.random.default_rng(5)
    medians = [survival(*planted(law, rng, 1000, 1, 0.8, 0.5)).median for _ in range(100)]
    error = np.std(medians, ddof=1) / np.sqrt(100)
    # A median of a thousand is biased by less than a thousandth.
    assert abs(np.mean(medians) - law.median()) < stats.norm.isf(5e-5) * error + 2e-3


@pytest.mark.parametrize("name", ["exponential", "lognormal"])
@pytest.mark.parametrize(("count", "leaving"), [(5, 0.8), (5, 0.95), (20, 0.98), (100, 0.99)])
def test_a_mean_is_shown_where_all_have_left_and_seldom_misleads(name, count, leaving):
    """All may have left by chance: of all repeats, as few show a mean that is off as without
    censoring, where the distribution is all that matters (1,000 of each, at 10⁻⁴)."""
    law, rng = WIDTHS[name], np.random.default_rng(6)
    factor = stats.t.ppf(0.975, count - 1)

    def off(result):
        return abs(result.mean - 2) > factor * result.mean_stderr

    whole = [survival(*planted(law, rng, count, 1, 1 - 1e-12)) for _ in range(1000)]
    some = [survival(*planted(law, rng, count, 1, leaving)) for _ in range(1000)]
    assert all(one.left == 1 for one in whole)
    assert all(np.isfinite(one.mean) == (one.left == 1) for one in some)
    usual, misled = (sum(off(one) for one in result) for result in (whole, some))
    assert misled - usual < stats.norm.isf(1e-4) * np.sqrt(usual + misled + 1)


@pytest.mark.parametrize("alike", [0.0, 0.9])
def test_walks_of_one_solution_count_as_what_they_are(alike):
    """500 times 20 solutions of 5 walks, alike or not: variance of z, median bounds, at 10⁻⁴."""
    rng, z, beyond, law = np.random.default_rng(8), [], np.zeros(2), WIDTHS["lognormal"]
    horizon = law.ppf(0.7)
    truth = restricted(law, horizon)
    for _ in range(500):
        normal = np.sqrt(alike) * rng.normal(size=(20, 1))
        normal = normal + np.sqrt(1 - alike) * rng.normal(size=(20, 5))
        widths = law.ppf(stats.norm.cdf(normal))
        result = survival(np.where(widths < horizon, widths, np.nan), np.full((20, 5), horizon))
        t = (result.restricted_mean - truth) / result.restricted_mean_stderr
        z.append(stats.norm.isf(stats.t.sf(t, 19)))
        beyond += result.median_low > law.median(), result.median_high < law.median()
    low, high = stats.chi2.ppf([5e-5, 1 - 5e-5], 500) / 500
    assert low < np.mean(np.square(z)) < high * 1.05
    assert (beyond <= stats.binom.isf(1e-4, 500, 0.05)).all()


def test_few_or_no_exits():
    none = survival(np.full((8, 1), np.nan), np.full((8, 1), 3.0))
    assert none.left == 0
    assert np.isnan(none.mean)
    assert np.isnan(none.median)
    assert (none.restricted_mean, none.restricted_mean_stderr) == (3, 0)
    assert (none.median_low, none.median_high) == (3, np.inf)
    assert describe(none) == "at least 3 ± 0 (0 % left)"
    one = survival([[1.0]], [[3.0]])
    assert one.mean == one.median == 1
    assert np.isnan(one.mean_stderr)
    assert (one.median_low, one.median_high) == (0, np.inf)
    assert describe(one) == "1 (100 % left, median 1)"
    # One half has left, and where another would is not known.
    half = survival([[1.0], [np.nan]], [[2.0], [2.0]])
    assert np.isnan(half.median)
    # Walks of a single solution are independent, given the solution.
    alone = survival([[1.0, 2.0, 3.0]], [[9.0] * 3])
    assert alone.mean_stderr == pytest.approx(stats.sem([1, 2, 3]))


@pytest.mark.parametrize(
    ("times", "followed", "words"),
    [
        ([1.0], [2.0], "both"),
        ([[1.0]], [[2.0, 3.0]], "both"),
        (np.empty((0, 1)), np.empty((0, 1)), "at least one"),
        ([[1.0]], [[np.inf]], "finite"),
        ([[3.0]], [[2.0]], "not end before"),
    ],
)
def test_bad_samples_are_refused(times, followed, words):
    with pytest.raises(InputError, match=words):
        survival(times, followed)


def walks_of(widths, ends, steps=400):
    """A dataset of straight walks, whose loss is a ramp that rises by `WALKS.rise` at widths.

    widths (sigma, solution, walker); ends (sigma,), where walks of a σ end.
    """
    distance = np.linspace(0, 1, steps + 1) * np.asarray(ends)[:, None, None, None]
    distance = np.broadcast_to(distance, (*widths.shape, steps + 1)).copy()
    loss = 0.3 + WALKS.rise * distance / widths[..., None]
    values = np.stack([loss, np.ones_like(loss), loss, np.ones_like(loss)])
    result = _dataset(values, distance, np.ones((*widths.shape, steps)), "free")
    return result.assign_coords(sigma=("sigma", np.arange(1, len(ends) + 1) / 100))


def test_walks_are_told_by_step_size_and_not_averaged_over_it():
    """Widths of mean 2 in walks of three lengths: 58 % leave, all leave, none does."""
    law, rng = WIDTHS["exponential"], np.random.default_rng(9)
    ends = [law.ppf(0.58), 60.0, 1e-4]
    widths = law.rvs((3, 400, 1), random_state=rng)
    walk = walks_of(widths, ends)
    np.testing.assert_allclose(walk["flat_width"][1], widths[1], rtol=1e-9)
    np.testing.assert_allclose(walk["reach"], np.array(ends)[:, None, None] * np.ones((3, 400, 1)))
    left = walk["flat_width_left"].values
    assert abs(left[0] - 0.58) < 4 * np.sqrt(0.58 * 0.42 / 400)  # once in 16,000
    assert left[1] == 1
    assert left[2] < 0.01
    mean, error = walk["flat_width_mean"].values, walk["flat_width_mean_stderr"].values
    assert np.isnan(mean[[0, 2]]).all()
    assert abs(mean[1] - 2) < 4 * error[1]
    bound = walk["flat_width_restricted_mean"].values
    assert bound[0] == pytest.approx(restricted(law, ends[0]), abs=0.15)
    assert bound[0] < 2
    assert float(walk["flat_width"][0].mean()) < 0.8  # of those that left, which says nothing
    by_sigma = survival_of(walk, "flat_width")
    assert list(by_sigma) == ["0.01", "0.02", "0.03"]
    for index, result in enumerate(by_sigma.values()):
        expected = survival(walk["flat_width"].values[index], walk["reach"].values[index])
        np.testing.assert_equal(result, expected)
        assert isinstance(result, Survival)
        assert ("at least" in describe(result)) == (result.left < 1)
    # The same in steps, of which all walks have as many.
    steps = survival_of(walk, "flat_steps")["0.01"]
    assert steps.horizon == 400
    assert steps.restricted_mean == pytest.approx(bound[0] / ends[0] * 400, rel=1e-6)


def test_a_walk_that_comes_back_has_been_as_far_as_it_was():
    distance = np.array([[0.0, 2.0, 1.0, 1.5, 1.0], [0.0, 1.0, 0.5, 0.2, 0.1]])[None, :, None]
    loss = np.array([[0.0, 0.0, 0.0, 2 * WALKS.rise, 0.0], [0.0] * 5])[None, :, None]
    walk = _dataset(np.stack([loss] * 4), distance, np.ones((1, 2, 1, 4)), "metropolis")
    np.testing.assert_array_equal(walk["flat_width"].values.ravel(), [2.0, np.nan])
    np.testing.assert_array_equal(walk["reach"].values.ravel(), [2.0, 1.0])
    np.testing.assert_array_equal(walk["flat_steps"].values.ravel(), [2.5, np.nan])


def test_a_loss_that_overflows_has_risen():
    loss = np.array([0.0, 0.0, np.nan, np.nan, np.nan])[None, None, None]
    distance = np.arange(5.0)[None, None, None]
    walk = _dataset(np.stack([loss] * 4), distance, np.ones((1, 1, 1, 4)), "free")
    assert walk["flat_width"].item() == 2
    assert walk["flat_width_left"].item() == 1
