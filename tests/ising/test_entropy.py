"""Entropy scans: exact on trees, near enumeration elsewhere, thermodynamically consistent; verdicts
on planted cases; bad input."""

import dask
import numpy as np
import pytest
import xarray
from hypothesis import given, settings
from hypothesis import strategies as st

import lsg_ray
from lsg_ray.errors import InputError
from lsg_ray.ising.bp import belief_propagation
from lsg_ray.ising.branch import Branch
from lsg_ray.ising.cavity import Couplings
from lsg_ray.ising.entropy import entropy_scan
from lsg_ray.ising.field_scans import entropy_bound
from lsg_ray.ising.hysteresis import add_hysteresis
from lsg_ray.ising.model import IsingModel, enumerate_model

from .test_bp import tree
from .test_model import couplings


def exact_landscape(model, sigma, x, beta=1.0):
    """d, s, e, f by enumeration under the distance field."""
    n = model.n_spins
    exact = enumerate_model(IsingModel(beta * model.J, beta * model.h + x * sigma))
    q = float(sigma @ exact.m) / n
    e = (exact.energy / n + x * q) / beta
    return (1 - q) / 2, exact.entropy / n, e, -exact.log_Z / (n * beta)


def curie_weiss(n, strength):
    J = np.full((n, n), strength / n)
    np.fill_diagonal(J, 0)
    return J


def glass(n, temperature, seed=0):
    J = np.triu(np.random.default_rng(seed).normal(size=(n, n)), 1) / np.sqrt(n) / temperature
    return J + J.T


@settings(max_examples=20, deadline=None)
@given(
    n=st.integers(2, 13),
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([0.5, 1.0, 2.5, 10.0]),
    beta=st.sampled_from([0.4, 1.0, 1.7]),
)
def test_trees__are_exact(n, seed, scale, beta):
    model = tree(n, seed, scale)
    sigma = np.random.default_rng(seed).choice([-1, 1], n)
    xs = np.array([-2.0, -0.7, 0.0, 0.3, 3.0])
    scan = entropy_scan(model, sigma, xs, beta=beta)
    assert scan["converged"].all()
    for k, x in enumerate(xs):
        exact = exact_landscape(model, sigma, x, beta)
        for name, value in zip("dsef", exact, strict=True):
            np.testing.assert_allclose(scan[name].values[0, :, k], value, atol=1e-8)
    assert scan["stable"].all()
    exact = enumerate_model(model, beta)
    assert scan.attrs["s0"] == pytest.approx(exact.entropy / n, abs=1e-8)


@pytest.mark.parametrize("n", [8, 14])
def test_dense_weak_couplings__are_near_enumeration(n):
    """The cavity method leaves out loops: with J ~ 0.1/√N its error is of the order of J³."""
    J, h = couplings(n, seed=n, scale=0.1 / np.sqrt(n))
    model, rng = IsingModel(J, 5 * h), np.random.default_rng(n)
    sigma = rng.choice([-1, 1], (3, n))
    scan = entropy_scan(model, sigma, [-1.0, 0.0, 0.5])
    for r in range(3):
        for k, x in enumerate(scan["field"].values):
            exact = exact_landscape(model, sigma[r], x)
            for name, value in zip("dsef", exact, strict=True):
                np.testing.assert_allclose(scan[name].values[r, :, k], value, atol=2e-4)


@pytest.mark.parametrize("beta", [0.7, 1.0, 1.4])
def test_thermodynamic_identities__hold_along_a_scan(beta):
    """df = −q dx/β, ds = β de + 2x dd, s = −βf + βe − xq, s ≤ bound, by central differences."""
    n = 40
    model = IsingModel(glass(n, 2.0), 0.2 * np.random.default_rng(1).normal(size=n))
    sigma = np.random.default_rng(2).choice([-1, 1], (2, n))
    step = 1e-3
    xs = np.concatenate([[x - step, x, x + step] for x in (-1.2, -0.4, 0.1, 0.9)])
    scan = entropy_scan(model, sigma, xs, beta=beta, tolerance=1e-13)
    values = {name: scan[name].values.reshape(2, 2, 4, 3) for name in "dsef"}
    slope = {name: (v[..., 2] - v[..., 0]) / (2 * step) for name, v in values.items()}
    x, q = xs.reshape(4, 3)[:, 1], 1 - 2 * values["d"][..., 1]
    np.testing.assert_allclose(slope["f"], -q / beta, atol=1e-6)
    np.testing.assert_allclose(slope["s"], beta * slope["e"] + 2 * x * slope["d"], atol=1e-6)
    q = 1 - 2 * scan["d"]
    legendre = -beta * scan["f"] + beta * scan["e"] - scan["field"] * q
    np.testing.assert_allclose(legendre, scan["s"], atol=1e-12)
    assert (scan["s"] <= scan["bound"] + 1e-12).all()
    assert (np.diff(scan["d"], axis=2) < 0).all()


def test_opposite_references_and_fields__are_the_same():
    n = 30
    model = IsingModel(glass(n, 1.5), 0.3 * np.random.default_rng(0).normal(size=n))
    sigma = np.random.default_rng(1).choice([-1, 1], (2, n))
    xs = [-1.0, -0.3, 0.0, 0.8]
    one, other = entropy_scan(model, sigma, xs), entropy_scan(model, -sigma, np.negative(xs))
    turned = other.isel(field=slice(None, None, -1))
    np.testing.assert_allclose(1 - turned["d"].values, one["d"].values, atol=1e-8)
    for name in "sef":
        np.testing.assert_allclose(turned[name].values, one[name].values, atol=1e-8)


@pytest.mark.parametrize(("name", "n"), [("glass", 60), ("ferromagnet", 60), ("tight", 12)])
def test_branches__satisfy_the_equations_of_belief_propagation(name, n):
    """Newton's method on magnetizations and sweeps of messages have the same fixed points."""
    J = {
        "glass": lambda: glass(n, 1.2),
        "ferromagnet": lambda: curie_weiss(n, 2.0),
        "tight": lambda: tree(n, 3, 4.0).J,
    }[name]()
    rng = np.random.default_rng(5)
    h, sigma = 0.1 * rng.normal(size=n), rng.choice([-1.0, 1.0], n)
    branch, tight = Branch(1e-10, 20_000), Couplings.at(J)
    for x in np.linspace(-2, 2, 21):
        status, _ = branch.go_to(x, h + x * sigma, tight)
        assert status.converged
        start = np.empty((n, n))
        if tight.tightest < 0.98:
            branch.kernels.pair_messages(branch.m, tight.t, start)
        else:
            start = np.tanh(branch.cavity.messages)
        beliefs = belief_propagation((J, h), fields=h + x * sigma, start=start, tolerance=1e-7)
        assert beliefs.converged[0]
        assert beliefs.iterations[0] <= 6
        np.testing.assert_allclose(beliefs.m[0], branch.m, atol=1e-6)


def test_ferromagnet__has_a_first_order_loop_of_the_known_size():
    """Curie–Weiss: m = tanh(K m + x); spinodals at x = ±(√(K(K−1)) − arcosh√K), here ±0.208."""
    n, strength = 400, 1.5
    K = strength * (n - 1) / n
    fields = np.round(np.arange(-40, 41) * 0.02, 10)
    scan = entropy_scan((curie_weiss(n, strength), np.zeros(n)), np.ones((1, n)), fields)
    assert scan.attrs["verdict"] == "first-order"
    m = 0.9
    for _ in range(2000):
        m = np.tanh(K * m)
    assert scan.attrs["hysteresis"] == pytest.approx(m, abs=5e-3)
    gap = np.abs(np.subtract(*scan["d"].values[0]))
    edge = np.sqrt(K * (K - 1)) / K * K - np.arccosh(np.sqrt(K))
    assert abs(np.abs(fields[gap > 0.01]).max() - edge) < 0.025
    assert scan["discontinuities"].values.tolist() == [[1, 1]]
    assert scan["gaps"].values.tolist() == [1]
    assert scan["hysteresis_field"].values[0] == 0
    assert scan.attrs["converged"] == 1


def test_loops_narrower_than_the_grid__are_found():
    """In a random gauge, with a field: the loop of K = 1.05 is 0.01 wide, around x = −0.05."""
    n, xi = 100, np.random.default_rng(0).choice([-1, 1], 100)
    J = curie_weiss(n, 1.08) * np.outer(xi, xi)
    scan = entropy_scan((J, 0.05 * xi), xi[None])
    assert scan.attrs["largest_step"] > 0.3
    assert scan.attrs["verdict"] == "first-order"
    assert scan.attrs["jump"] > 0.1
    fine = entropy_scan((J, 0.05 * xi), xi[None], refine=5)
    assert fine.sizes["field"] > 61
    assert fine.attrs["largest_step"] < scan.attrs["largest_step"]
    assert fine.attrs["hysteresis"] == pytest.approx(scan.attrs["hysteresis"], abs=0.05)


@pytest.mark.parametrize("seed", [0, 1])
def test_glass__is_smooth_at_high_temperature_and_not_at_low(seed):
    n = 120
    sigma = np.random.default_rng(seed).choice([-1, 1], (3, n))
    hot = entropy_scan((glass(n, 2.0, seed), np.zeros(n)), sigma)
    assert (hot.attrs["verdict"], hot.attrs["converged"]) == ("smooth", 1.0)
    assert hot.attrs["s0"] == pytest.approx(np.log(2) - 0.25 / 4, abs=0.01)  # ln 2 − β²/4
    assert (hot["stability"] > 0).all()
    cold = entropy_scan((glass(n, 0.4, seed), np.zeros(n)), sigma)
    assert cold.attrs["verdict"] != "smooth"
    assert cold.attrs["stable"] < 1


def test_states_at_the_same_distance__are_seen_and_a_saddle_is_none():
    """Around a reference without magnetization, ±m are equally far: s0 is that of either."""
    n = 60
    J, alternating = curie_weiss(n, 1.5), np.repeat([1, -1], n // 2)
    scan = entropy_scan((J, np.zeros(n)), alternating[None])
    known = entropy_scan((J, np.zeros(n)), np.ones((1, n)))
    assert scan.attrs["verdict"] == known.attrs["verdict"] == "first-order"
    assert scan.attrs["s0"] == pytest.approx(known.attrs["s0"], abs=1e-6)
    assert scan.attrs["stable"] > 0.95
    assert scan.attrs["hysteresis"] < 1e-3
    above = entropy_scan((curie_weiss(n, 0.8), np.zeros(n)), alternating[None])
    assert above.attrs["verdict"] == "smooth"


def test_chains_of_spins__have_no_transition():
    """±J on a ring with second neighbours: at low temperature undetermined, at high smooth."""
    n, rng = 60, np.random.default_rng(2)
    J = np.zeros((n, n))
    for step in (1, 2):
        i, sign = np.arange(n), rng.choice([-1, 1], n)
        J[i, (i + step) % n] = J[(i + step) % n, i] = sign
    sigma = rng.choice([-1, 1], (2, n))
    assert entropy_scan((0.3 * J, np.zeros(n)), sigma).attrs["verdict"] == "smooth"
    assert entropy_scan((2.0 * J, np.zeros(n)), sigma).attrs["verdict"] != "smooth"


def test_few_fields_and_one_side__cannot_tell():
    model = (np.zeros((4, 4)), np.ones(4))
    for fields in ([0.0], [1.0, 2.0, 3.0], [-1.0, 1.0]):
        assert entropy_scan(model, np.ones(4), fields).attrs["verdict"] == "undetermined"


def test_impossible_entropies__are_not_stable():
    n = 100
    scan = entropy_scan((glass(n, 0.3), np.zeros(n)), np.ones((1, n)))
    fine = scan["stable"].values
    assert not fine.all()
    assert (scan["s"].values[fine] > -2e-6).all()
    for model, options in (
        ((np.full((2, 2), 1e12) - np.eye(2) * 1e12, np.zeros(2)), {}),
        ((np.zeros((2, 2)), np.ones(2)), {"beta": 1e10}),
        ((np.zeros((2, 2)), np.ones(2)), {"fields": [1e10]}),
    ):
        with pytest.raises(InputError, match="at most 10000"):
            entropy_scan(model, np.ones(2), **options)


def test_independent_weights__are_the_closed_form():
    h = np.array([0.3, -1.0, 0.0, 2.0])
    scan = entropy_scan((np.zeros((4, 4)), h), [[1, 1, -1, 1], [1, -1, 1, -1]])
    for r, sigma in enumerate(([1, 1, -1, 1], [1, -1, 1, -1])):
        H = h + scan["field"].values[:, None] * sigma
        m = np.tanh(H)
        np.testing.assert_allclose(scan["d"].values[r, 0], (1 - (m * sigma).mean(1)) / 2)
        entropy = (np.logaddexp(H, -H) - H * m).mean(1)
        np.testing.assert_allclose(scan["s"].values[r, 1], entropy, atol=1e-12)
    assert scan.attrs["verdict"] == "smooth"
    assert scan.attrs["hysteresis"] < 1e-9
    np.testing.assert_allclose(entropy_bound([0, 1, 0.5]), [0, 0, np.log(2)])


def test_result__is_labelled_and_can_be_saved(tmp_path):
    model, sigma = tree(6, 0), np.ones((2, 6))
    scan = entropy_scan(model, sigma, [0.5, 0.0, -0.5], magnetizations=True)
    assert scan["d"].dims == ("reference", "direction", "field")
    assert scan["m"].dims == ("reference", "direction", "field", "weight")
    assert scan["direction"].values.tolist() == ["up", "down"]
    assert scan["field"].values.tolist() == [-0.5, 0.0, 0.5]
    assert scan["s"].attrs["units"] == "nat"
    np.testing.assert_allclose(scan["energy"], model.energy(sigma) / 6)
    np.testing.assert_allclose((1 - scan["m"].mean("weight")) / 2, scan["d"])
    lsg_ray.results.saving.save_result(scan, tmp_path / "s")
    back = xarray.open_zarr(tmp_path / "s")
    assert back["converged"].all()
    assert back.attrs["verdict"] == "smooth"


def test_threads_and_chunks__change_nothing():
    model = IsingModel(glass(30, 1.0), np.zeros(30))
    sigma = np.random.default_rng(0).choice([-1, 1], (5, 30))
    with dask.config.set(scheduler="synchronous"):
        one = entropy_scan(model, sigma)
    xarray.testing.assert_identical(one, entropy_scan(model, sigma))
    alone = entropy_scan(model, sigma[3:4])
    np.testing.assert_array_equal(alone["s"].values[0], one["s"].values[3])


def test_interrupted__resumes_from_its_checkpoints(tmp_path, monkeypatch):
    from lsg_ray.ising import entropy

    model = IsingModel(glass(20, 1.0), np.zeros(20))
    sigma = np.random.default_rng(0).choice([-1, 1], (6, 20))
    whole, done, leaf = entropy_scan(model, sigma), [], entropy._leaf

    def failing(*given):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(1)
        return leaf(*given)

    monkeypatch.setattr(entropy, "_leaf", failing)
    with dask.config.set(scheduler="synchronous"), pytest.raises(KeyboardInterrupt):
        entropy_scan(model, sigma, checkpoints=tmp_path / "p")
    assert len(list((tmp_path / "p").rglob("*.npz"))) == 3
    done = [1] * 6  # never three again
    xarray.testing.assert_identical(entropy_scan(model, sigma, checkpoints=tmp_path / "p"), whole)
    assert len(done) == 6 + 3
    other = entropy_scan(
        model, -sigma, checkpoints=tmp_path / "p"
    )  # of other references: other checkpoints
    np.testing.assert_allclose(other["d"].values[0, 0, ::-1], 1 - whole["d"].values[0, 0])


@pytest.mark.parametrize(
    ("references", "options", "message"),
    [
        (np.ones((2, 5)), {}, r"references have 5 weights and the model 4"),
        (np.zeros((2, 4)), {}, r"reference 0 holds 0.0 at weight 0; it must be ±1"),
        ([[1, 1, 1, np.nan]], {}, r"holds nan at weight 3"),
        (np.empty((0, 4)), {}, "no references given"),
        (["a"], {}, "real numbers are needed"),
        (np.ones((1, 1, 4)), {}, r"shape \(1, 1, 4\)"),
        (np.ones(4), {"fields": []}, "a list of numbers"),
        (np.ones(4), {"fields": [0, np.inf]}, "must be finite"),
        (np.ones(4), {"fields": [1, 1]}, "field 1 given twice"),
        (np.ones(4), {"fields": "abc"}, "numbers are needed"),
        (np.ones(4), {"beta": 0}, "must be positive"),
        (np.ones(4), {"beta": np.nan}, "must be positive"),
        (np.ones(4), {"tolerance": 0}, "tolerance 0"),
        (np.ones(4), {"max_sweeps": 1}, "max_sweeps 1"),
        (np.ones(4), {"damping": 1.0}, "damping 1.0 given"),
        (np.ones(4), {"refine": -1}, "refine -1"),
        (np.ones(4), {"count": 0}, "count 0"),
    ],
)
def test_bad_input__is_named(references, options, message):
    model = IsingModel(np.zeros((4, 4)), np.zeros(4))
    with pytest.raises(InputError, match=message):
        entropy_scan(model, references, **options)


def test_models_with_nan__are_refused():
    with pytest.raises(InputError, match=r"h\[1\] is nan"):
        entropy_scan((np.zeros((2, 2)), [0, np.nan]), [[1, 1]])


def test_published_references__are_smooth_around_a_fitted_interior(shared):
    """The model of the interior by linear response; the authors' has s = 0.689 at x = 0."""
    path = shared / "data" / "reference" / "deep_20-15-15-10.npz"
    with np.load(path) as data:
        some = slice(300, 525)
        fit = lsg_ray.fit_boltzmann(
            (data["m"][some], data["C"][some][:, some]), method="bp", correlations="response",
            verify=False,
        )  # fmt: skip
        sigma = np.concatenate([data[f"sigma_{g}"][:2, some] for g in ("low", "medium", "high")])
    scan = entropy_scan(fit.model, sigma)
    assert scan.attrs["verdict"] == "smooth"
    assert scan.attrs["converged"] == 1
    assert scan.attrs["hysteresis"] < 1e-6
    assert abs(scan.attrs["s0"] - np.log(2)) < 0.01


# Saturated spins and low temperatures


def gaussian_model(seed, n=20, width=0.05):
    """Couplings and fields of independent normal numbers, and a random reference."""
    rng = np.random.default_rng(seed)
    J = np.triu(rng.normal(0, width, (n, n)), 1)
    return J + J.T, rng.normal(size=n), rng.choice([-1, 1], (1, n))


@pytest.mark.parametrize("size", [20, 350, 400, 1e4])
def test_a_saturated_spin_does_no_harm(size):
    scan = entropy_scan(([[0, 0.5], [0.5, 0]], [size, 0]), [[1, 1]])
    assert scan.attrs["verdict"] == "smooth"
    assert scan["stable"].all()
    assert scan["converged"].all()
    m = np.tanh(0.5 + scan["field"].values)  # of the other spin
    s = np.log(2 * np.cosh(np.arctanh(m))) - m * np.arctanh(m)
    np.testing.assert_allclose(2 * scan["s"].values[0, 0], s, atol=1e-7)


@pytest.mark.parametrize("beta", [1, 8])
@pytest.mark.parametrize("size", [20, 200, 360, 800, 1e4])
def test_saturated_spins_are_as_good_as_removed(size, beta):
    J, h, _ = gaussian_model(3)
    frozen, free = np.arange(8), np.arange(8, 20)
    signs = np.where(np.arange(8) % 2, 1.0, -1.0)
    h[frozen] = size * signs / beta
    rest = h[free] + J[np.ix_(free, frozen)] @ signs
    fields = [-3, -1, 0, 1, 3]
    whole = entropy_scan((J, h), np.ones((1, 20)), fields, beta=beta)
    alone = entropy_scan((J[np.ix_(free, free)], rest), np.ones((1, 12)), fields, beta=beta)
    np.testing.assert_allclose(20 * whole["s"], 12 * alone["s"], atol=1e-6)
    np.testing.assert_allclose(20 * whole["d"], 4 + 12 * alone["d"], atol=1e-6)
    np.testing.assert_allclose(whole["stability"], alone["stability"], atol=1e-5)
    assert whole["stable"].all()
    assert (whole.attrs["verdict"], alone.attrs["verdict"]) == ("smooth", "smooth")


@pytest.mark.parametrize("seed", range(3))
def test_weak_couplings_are_stable_at_low_temperature(seed):
    J, h, reference = gaussian_model(seed)
    scan = entropy_scan((J, h), reference, beta=8)
    assert (scan.attrs["verdict"], float(scan["stable"].mean())) == ("smooth", 1.0)


@pytest.mark.parametrize(
    ("beta", "x", "stability", "entropy"),
    [(50, 1.7, -0.013769671, 0.03072182), (100, 0.0, 0.10190835, 0.02631591)],
)
def test_instability_at_very_low_temperature_is_no_rounding(beta, x, stability, entropy):
    """Numbers are of the same equations in arithmetic of 60 digits.

    Where βJ is 5, the cavity approximation itself fails: the exact entropies are 0.0412 and 0.0017,
    so scans with such points are undetermined, and rightly.
    """
    J, h, reference = gaussian_model(0)
    scan = entropy_scan((J, h), reference, [x], beta=beta)
    assert scan["converged"].all()
    np.testing.assert_allclose(scan["stability"], stability, atol=1e-6)
    np.testing.assert_allclose(scan["s"], entropy, atol=1e-6)
    assert (scan["stable"] == (stability > 0)).all()


@pytest.mark.parametrize(("entropy", "verdict"), [(-0.1, "undetermined"), (0.1, "first-order")])
def test_gap_to_an_impossible_entropy__is_no_transition(entropy, verdict):
    """A solution whose entropy ±1 spins cannot have says only that the approximation fails."""
    axes, x = ("reference", "direction", "field"), np.linspace(-1, 1, 5)
    d = np.tile(0.5 - x / 8, (1, 2, 1))
    d[0, 1, 2] += 0.2
    s = np.full(d.shape, 0.3)
    s[0, 1, 2] = entropy
    stable = np.ones(d.shape, bool)
    stable[0, 1, 2] = False
    variables = {"d": d, "s": s, "bound": np.full(d.shape, 0.7), "converged": stable | True}
    scan = xarray.Dataset(
        {**{name: (axes, value) for name, value in variables.items()}, "stable": (axes, stable)},
        {"field": x},
    )
    assert add_hysteresis(scan).attrs["verdict"] == verdict
