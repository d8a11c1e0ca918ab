"""Modes: the level is held by any density, atoms and grids and rounding are what they are."""

from dataclasses import replace

import numpy as np
import pytest

from lsg_ray.errors import InputError
from lsg_ray.kernels.contrasts import MIN_CONTRAST_CELLS, alternations, contrasts
from lsg_ray.statistics import modes
from lsg_ray.statistics.modes import CHANCES, QUANTILES, count_modes, exceedance, mode_positions


def shoulder(rng, n):
    """A narrow peak beside a flat shoulder: the worst of one mode for the dip."""
    return np.where(rng.random(n) < 0.1, 0.02 * rng.random(n), rng.random(n))


ONE = {
    "uniform": lambda rng, n: rng.random(n),
    "normal": lambda rng, n: rng.normal(size=n),
    "exponential": lambda rng, n: rng.exponential(size=n),
    "gamma": lambda rng, n: rng.gamma(3, size=n),
    "triangular": lambda rng, n: rng.triangular(0, 0.3, 1, n),
    "student": lambda rng, n: rng.standard_t(2, n),
    "shoulder": shoulder,
    "spike": lambda rng, n: np.where(rng.random(n) < 0.1, 1e-3 * rng.normal(size=n), rng.random(n)),
}
TWO = {
    "normals": lambda rng, n: rng.normal(size=n) + 8 * (rng.random(n) < 0.4),
    "close": lambda rng, n: rng.normal(size=n) + 2.5 * (rng.random(n) < 0.5),
    "shoulders": lambda rng, n: shoulder(rng, n) + 3 * (rng.random(n) < 0.5),
}


@pytest.mark.parametrize(("n", "repeats"), [(20, 1000), (100, 1000), (1000, 300), (20_000, 30)])
def test_level__is_held_by_any_density(n, repeats, monkeypatch):
    """More modes than there are, in 5 % and 1 % of the samples at most.

    11 cases, each with a count above level · repeats + 4 deviations one time in 30,000 if the level
    were just reached.
    """
    monkeypatch.setattr(modes, "_bandwidth", lambda *_: 1.0)
    rng = np.random.default_rng(n)
    for k, shapes in ((1, ONE), (2, TWO)):
        for draw in shapes.values():
            result = [count_modes(draw(rng, n), level=0.05, most=k + 1) for _ in range(repeats)]
            more = sum(one.modes > k for one in result)
            assert more <= 0.05 * repeats + 4 * np.sqrt(0.05 * repeats) + 1
            if more:
                again = sum(count_modes(draw(rng, n), most=k + 1).modes > k for _ in range(repeats))
                assert again <= 0.01 * repeats + 4 * np.sqrt(0.01 * repeats) + 1


@pytest.mark.parametrize("cells", [4, 30, 100])
@pytest.mark.parametrize("step", [1, 7])
def test_quantiles__are_those_of_uniform_values(cells, step):
    """Their p-values are uniform or larger: 5 % and 1 % of 1,000, up to four deviations."""
    rng = np.random.default_rng(cells + step)
    n, repeats = cells * step + 1, 1000
    gamma = np.sqrt(0.5 * np.log(np.e * cells / np.maximum(np.arange(cells + 1), 1)))
    away = np.abs(np.subtract.outer(np.arange(cells + 1), np.arange(cells + 1)))
    valid = np.triu(np.ones_like(away), MIN_CONTRAST_CELLS).astype(bool)
    result = np.zeros((cells + 1, cells + 1))
    p = np.empty(repeats)
    for r in range(repeats):
        contrasts(np.sort(rng.random(n)), 0, step, cells, result)
        p[r] = exceedance(float((result - gamma[away])[valid].max()), cells)
    for level in (0.05, 0.01):
        off = (np.mean(p <= level) - level) / np.sqrt(level * (1 - level) / repeats)
        assert off < 4
        if step > 1:  # what the table is of
            assert off > -4


def test_contrasts__are_those_of_their_definition():
    rng = np.random.default_rng(0)
    x = np.sort(rng.normal(size=23))
    result = np.full((8, 8), np.nan)
    contrasts(x, 1, 3, 7, result)
    for a in range(8):
        for b in range(8):
            if b < a + MIN_CONTRAST_CELLS:
                assert np.isnan(result[a, b])
                continue
            inside = x[1 + 3 * a + 1 : 1 + 3 * b]
            u = (inside - x[1 + 3 * a]) / (x[1 + 3 * b] - x[1 + 3 * a])
            assert result[a, b] == pytest.approx(np.sqrt(3 / len(u)) * np.sum(2 * u - 1))


def test_alternations__are_the_best_of_all():
    """Against trying every fall and rise, and every two of each, on nine nodes."""
    rng = np.random.default_rng(1)
    size = 9
    spans = [(a, b) for a in range(size) for b in range(a + MIN_CONTRAST_CELLS, size)]
    for _ in range(5):
        contrast, penalty = rng.normal(size=(size, size)), rng.random(size)
        allowed = (rng.random((size, size)) < 0.8).astype(np.uint8)
        value = {
            (sign, a, b): sign * contrast[a, b] - penalty[b - a] if allowed[a, b] else -np.inf
            for sign in (-1, 1)
            for a, b in spans
        }
        result = np.empty(2)
        alternations(contrast, penalty, allowed, result)
        pairs = [
            (min(value[-1, a, b], value[1, c, d]), a, d)
            for a, b in spans for c, d in spans if c >= b - 1
        ]  # fmt: skip
        assert result[0] == max(pairs)[0]
        twice = [min(v, w) for v, _, d in pairs for w, a, _ in pairs if a >= d]
        assert result[1] == max(twice, default=-np.inf)


def test_chances__are_those_of_the_table():
    for cells, row in QUANTILES.items():
        for quantile, chance in zip(row, CHANCES, strict=True):
            assert exceedance(quantile, cells) == pytest.approx(chance)
    assert exceedance(-np.inf, 50) == 1
    values = [exceedance(v, 60) for v in np.linspace(-3, 8, 50)]
    assert (np.diff(values) <= 0).all()
    assert 0 < values[-1] < 1e-6


def test_modes__of_three_are_found_where_they_are():
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(at, 0.3, 200) for at in (-4, 0, 4)])
    result = count_modes(values)
    assert (result.modes, result.p_value > 0.01) == (3, True)
    np.testing.assert_allclose(mode_positions(values, result.bandwidth), [-4, 0, 4], atol=0.2)
    assert count_modes(values, most=2).modes == 2
    assert count_modes([]).modes == 0
    assert count_modes([2.0, 2.0]).modes == 1
    for bad in ({"level": 0}, {"most": 0}, {"resolution": -1}, {"resolution": np.inf}):
        with pytest.raises(InputError, match=next(iter(bad))):
            count_modes(values, **bad)
    with pytest.raises(InputError, match="not finite"):
        count_modes([np.nan])


@pytest.mark.parametrize(
    ("distance", "share", "n", "least"),
    [(4, 0.5, 500, 0.95), (4, 0.2, 2000, 0.3), (3, 0.5, 2000, 0.4)],
)
def test_power__is_what_the_docstring_says(distance, share, n, least):
    """Shares of 100 at level 0.01, of 0.99, 0.49 and 0.55: four deviations below."""
    rng = np.random.default_rng(4)
    result = [
        count_modes(rng.normal(size=n) + distance * (rng.random(n) < share)).modes == 2
        for _ in range(100)
    ]
    assert np.mean(result) > least


def test_noise_of_a_solver__is_one_mode():
    rng = np.random.default_rng(0)
    rounding = 1e-8 * rng.choice([-1.0, 1.0], 1000)
    assert count_modes(-0.5 + rounding).modes == 1
    two = count_modes(np.repeat([-0.5, -0.6], 500) + rounding)
    assert two.modes == 2
    np.testing.assert_allclose(
        mode_positions(np.repeat([-0.5, -0.6], 500), two.bandwidth), [-0.6, -0.5], atol=0.01
    )
    wide = rng.choice([0.0, 0.1], 1000) + 0.001 * rng.normal(size=1000)
    assert count_modes(wide).modes == 2
    assert count_modes(wide, resolution=0.2).modes == 1
    comb = np.repeat([0.0, 0.9, 1.8], 300)  # peaks nearer than the resolution are one
    assert count_modes(comb + 1e-3 * rng.random(900), resolution=1.0).modes == 1


@pytest.mark.parametrize("n", [100, 2000])
def test_grids__make_no_modes(n):
    """Level 0.01: of 20 samples, more than 3 with more have a chance of 4·10⁻⁵."""
    rng = np.random.default_rng(n)

    def wrong(draw, **options):
        return sum(count_modes(draw(), **options).modes > 1 for _ in range(20))

    N = 60
    assert wrong(lambda: 1 - 2 * rng.binomial(N, 0.4, n) / N, resolution=2 / N) <= 3
    assert wrong(lambda: 1 - 2 * rng.binomial(N, 0.4, n) / N) <= 3
    assert wrong(lambda: rng.poisson(5, n), resolution=1.0) <= 3
    assert wrong(lambda: rng.integers(0, 9, n), resolution=1.6) <= 3  # no multiple of the step
    assert wrong(lambda: 2 * rng.poisson(5, n), resolution=1.0) <= 3  # every other value
    assert wrong(lambda: np.round(rng.normal(size=n), 1)) <= 3
    both = np.r_[rng.binomial(N, 0.2, n), rng.binomial(N, 0.8, n)] / N
    assert count_modes(both, resolution=1 / N).modes == 2


def test_atoms__apart_are_modes():
    assert count_modes(np.repeat([0.0, 1.0], [600, 400])).modes == 2
    assert count_modes(np.repeat([0.0, 1.0, 5.0], [600, 400, 500])).modes == 3
    assert count_modes(np.repeat([0.0, 1.0], [600, 400]), resolution=1.0).modes == 1
    assert count_modes(np.r_[np.zeros(5000), np.linspace(3, 4, 5000)]).modes == 2


def test_many_values__are_drawn_from_and_seeds_decide(monkeypatch):
    monkeypatch.setattr(modes, "MODES", replace(modes.MODES, max_values=500))
    values = np.random.default_rng(0).normal(size=5000)
    assert count_modes(values, seed=1) == count_modes(values, seed=1)
    assert count_modes(values, seed=1) != count_modes(values, seed=2)
