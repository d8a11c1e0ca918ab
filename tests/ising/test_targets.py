"""Moments that were rounded: moved to the nearest consistent ones, and no farther."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from lsg_ray.errors import InputError
from lsg_ray.ising.boltzmann import fit_boltzmann, fit_parts
from lsg_ray.ising.targets import Target, as_target


def exact_moments(seed: int, n: int = 12, states: int = 5000, scale: float = 2.0):
    """Moments of weighted random states, of which some weights are frozen and some duplicates."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(states, 3)) @ rng.normal(size=(3, n)) * scale
    s = np.where(hidden + rng.normal(size=hidden.shape) + rng.normal(size=n) * scale > 0, 1.0, -1.0)
    s[:, 1], s[:, 2] = s[:, 0], -s[:, 0]
    s[:, 3], s[:, 4] = 1, -1
    s[:, 5] = s[:, 6] * np.where(rng.random(states) < 1e-4, -1, 1)  # almost a duplicate
    s[:, 7] = np.where(rng.random(states) < 1e-4, -1, 1)  # almost frozen
    p = rng.dirichlet(np.ones(states))
    return p @ s, (s.T * p) @ s


def lowest_probability(m, C) -> float:
    return min(
        float((1 + a * m[:, None] + b * m + a * b * C).min()) / 4 for a in (1, -1) for b in (1, -1)
    )


@pytest.mark.parametrize("digits", [4, 3])
@pytest.mark.parametrize("seed", range(10))
def test_rounded_moments_are_made_consistent(seed, digits):
    m, C = exact_moments(seed)
    rounded = np.round(m, digits), np.round(C, digits)
    target = as_target(rounded)
    assert lowest_probability(target.m, target.C) > -1e-15
    assert np.array_equal(target.C, target.C.T)
    assert np.all(np.diag(target.C) == 1)
    assert np.array_equal(target.m, rounded[0])
    step = 0.5 * 10.0**-digits
    moved = np.abs(target.C - rounded[1])
    assert moved.max() <= 3 * step + 1e-12
    assert target.change == (moved.max() if moved.max() > 1e-12 else 0)
    # What was inside is as it was, and all is nearly what was rounded.
    low, high = np.abs(m[:, None] + m) - 1, 1 - np.abs(m[:, None] - m)
    inside = (rounded[1] > low + 4 * step) & (rounded[1] < high - 4 * step)
    assert np.array_equal(target.C[inside], rounded[1][inside])
    assert np.abs(target.C - C).max() <= 4 * step
    # Frozen weights are so to all others; duplicates of exact moments stay duplicates.
    assert {3, 4} <= set(target.frozen.tolist())
    for i in target.frozen:
        np.testing.assert_allclose(target.C[i], target.m[i] * target.m, atol=1e-15)
    assert {1, 2} <= set(target.duplicates.tolist())


@pytest.mark.parametrize("seed", range(3))
def test_consistent_moments_are_not_touched(seed):
    m, C = exact_moments(seed)
    C = (C + C.T) / 2
    np.fill_diagonal(C, 1)
    m = np.clip(m, -1, 1)
    C = np.clip(C, -1, 1)
    target = Target(m, C)
    assert target.change == 0
    assert target.m.tobytes() == m.tobytes()
    assert target.C.tobytes() == C.tobytes()
    again = Target(target.m, target.C).restrict(np.arange(6))
    assert again.C.tobytes() == np.ascontiguousarray(C[:6, :6]).tobytes()


@pytest.mark.parametrize("digits", [4, 3])
def test_published_moments(shared, digits):
    with np.load(shared / "data" / "reference" / "deep_20-15-15-10.npz") as arrays:
        m, C = arrays["m"], arrays["C"]
    exact = as_target((m, C))
    assert exact.change == 0
    assert exact.C.tobytes() == C.tobytes()
    rounded = as_target((np.round(m, digits), np.round(C, digits)))
    assert rounded.change <= 1.5 * 10.0**-digits
    assert np.abs(rounded.C - C).max() <= 2 * 10.0**-digits
    fit = fit_boltzmann((np.round(m, digits), np.round(C, digits)), method="bp", verify=False)
    assert fit.report["converged"]


pairs = st.tuples(*[st.floats(-1, 1)] * 3, *[st.floats(-1e-3, 1e-3)] * 3)


@settings(deadline=None, max_examples=200)
@given(pairs)
def test_a_pair_is_refused_only_if_no_consistent_one_is_within_rounding(numbers):
    """Against a linear program: the least largest change of the three numbers of a pair."""
    a, b, share, *errors = numbers
    low, high = abs(a + b) - 1, 1 - abs(a - b)
    c = low + (share + 1) / 2 * max(high - low, 0)
    a, b, c = np.clip([a, b, c], -1, 1) + errors
    rows = [[-s, -t, -s * t, 0] for s in (1, -1) for t in (1, -1)]
    rows += [[*(sign * np.eye(3)[k]), -1] for k in range(3) for sign in (1, -1)]
    bounds = [1.0] * 4 + [sign * x for x in (a, b, c) for sign in (1, -1)]
    least = linprog([0, 0, 0, 1], rows, bounds, bounds=[(-1, 1)] * 3 + [(0, None)]).fun
    assert least <= 1e-3 + 1e-9
    target = as_target(([a, b], [[1, c], [c, 1]]))
    assert least - 1e-9 <= target.change <= 3 * least + 1e-9
    if least > 2e-5:
        with pytest.raises(InputError):
            as_target(([a, b], [[1, c], [c, 1]]), rounding=least / 4)


def test_what_is_farther_than_rounding_is_refused():
    given = ([0.5, 0.5], [[1, -0.004], [-0.004, 1]])
    with pytest.raises(InputError, match=r"more than rounding to 0.001 makes .* 0.0013 at least"):
        fit_boltzmann(given, method="exact", verify=False)
    fit = fit_boltzmann(given, method="exact", verify=False, rounding=2e-3)
    assert fit.report["moments_change"] == pytest.approx(0.004)
    assert fit.model.attributes["moments_change"] == pytest.approx(0.004)
    (parts,) = fit_parts(given, ["full"], method="exact", verify=False, rounding=2e-3).values()
    assert parts.report["moments_change"] == pytest.approx(0.004)
    for wrong in (-1, 0.5, np.nan):
        with pytest.raises(InputError, match="rounding"):
            as_target(given, rounding=wrong)
    for m, C in (([1.01, 0], np.eye(2)), ([0, 0], [[0.99, 0], [0, 1]])):
        with pytest.raises(InputError):
            as_target((m, C))
    with pytest.raises(InputError, match="symmetric"):
        as_target(([0, 0], [[1, 0.1], [0.11, 1]]))
    near = as_target(([1 + 5e-4, 0], [[1 - 5e-4, 1e-4], [2e-4, 1]]))
    assert near.m.tolist() == [1, 0]
    assert near.C.tolist() == [[1, 0], [0, 1]]
    assert near.change == pytest.approx(5e-4)


@pytest.mark.parametrize("method", ["exact", "bp"])
@pytest.mark.parametrize("digits", [4, 3])
def test_rounded_moments_are_fitted(digits, method):
    for seed in range(4):
        m, C = exact_moments(seed, scale=0.3)
        given = np.round(m, digits), np.round(C, digits)
        fit = fit_boltzmann(given, method=method, verify=False)
        assert np.isfinite(fit.model.J).all()
        assert np.isfinite(fit.model.h).all()
        assert fit.report["moments_change"] <= 1.5 * 10.0**-digits
        if method == "exact":
            assert fit.report["delta_method"] < 3 * 10.0**-digits
