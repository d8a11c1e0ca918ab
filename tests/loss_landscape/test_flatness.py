import numpy as np
import pytest
import torch
from scipy import stats

from lsg_ray.errors import InputError
from lsg_ray.loss_landscape.comparison import compare_minima, paired_z
from lsg_ray.loss_landscape.curvature import hessian_trace, top_eigenvalues
from lsg_ray.loss_landscape.flatness import filter_normalised, flatness
from lsg_ray.loss_landscape.surface import loss_surface
from lsg_ray.loss_landscape.terrain import terrain_of
from lsg_ray.networks.first_layer import as_inputs
from lsg_ray.networks.relu_network import hessian_product
from lsg_ray.spec import NetworkSpec

NETWORK = NetworkSpec(family="relu", widths=(5, 6, 4, 3), leaky_slope=0.0, biases=True)


def small_problem(networks=3, examples=40, seed=0):
    rng = np.random.default_rng(seed)
    weights = torch.tensor(rng.normal(0, 0.7, (networks, NETWORK.n_weights)))
    x, y = rng.normal(size=(examples, 5)), torch.tensor(rng.integers(0, 3, examples))
    return weights, as_inputs(x, "cpu", torch.float64), y


def dense_hessian(w, inputs, y):
    n = len(w)
    rows = hessian_product(NETWORK, w.expand(n, n).contiguous(), torch.eye(n).double(), inputs, y)
    return rows.numpy()


def test_eigenvalues_are_those_of_the_dense_hessian():
    weights, inputs, y = small_problem()
    result = top_eigenvalues(NETWORK, weights, inputs, y, 4, tolerance=1e-9)
    assert result.converged.all()
    for row, w in enumerate(weights):
        H = dense_hessian(w, inputs, y)
        np.testing.assert_allclose(H, H.T, atol=1e-12)
        exact = np.linalg.eigvalsh(H)[::-1][:4]
        np.testing.assert_allclose(result.eigenvalues[row], exact, rtol=1e-5)


def test_what_has_not_converged_says_so():
    weights, inputs, y = small_problem()
    result = top_eigenvalues(NETWORK, weights, inputs, y, 3, max_iterations=4, tolerance=1e-12)
    assert not result.converged.any()
    assert result.iterations == 4
    exact = [np.linalg.eigvalsh(dense_hessian(w, inputs, y))[-1] for w in weights]
    assert (result.eigenvalues[:, 0] <= np.array(exact) + 1e-12).all()


def test_all_eigenvalues_of_a_tiny_network_are_found():
    weights, inputs, y = small_problem(1)
    n = NETWORK.n_weights
    result = top_eigenvalues(NETWORK, weights, inputs, y, 5, max_iterations=10 * n, tolerance=0)
    assert result.iterations <= n
    exact = np.linalg.eigvalsh(dense_hessian(weights[0], inputs, y))[::-1][:5]
    np.testing.assert_allclose(result.eigenvalues[0], exact, rtol=1e-8)


def test_the_trace_is_unbiased():
    weights, inputs, y = small_problem()
    exact = np.array([np.trace(dense_hessian(w, inputs, y)) for w in weights])
    result, error = hessian_trace(NETWORK, weights, inputs, y, probes=400)
    # Three estimates, each beyond four standard errors once in 16,000 times.
    assert (np.abs(result - exact) < 4 * error).all()
    assert (error < 0.2 * np.abs(exact)).all()


def test_errors_of_traces_of_several_networks_are_independent():
    """The mean over 25 copies of a network, which would share each error if they shared probes.

    200 seeds: mean and variance of z of the mean trace, and of the trace of the first, at 10⁻⁴.
    """
    weights, inputs, y = small_problem(1)
    exact = np.trace(dense_hessian(weights[0], inputs, y))
    copies = weights.expand(25, -1).contiguous()
    means, firsts = [], []
    for seed in range(200):
        result, error = hessian_trace(NETWORK, copies, inputs, y, probes=4, seed=seed)
        # The spread over networks is what the error of their mean is made of.
        means.append((result.mean() - exact) / (result.std(ddof=1) / 5))
        firsts.append((result[0] - exact, error[0]))
        assert len(np.unique(result)) == 25
    z = np.array(means)
    assert abs(z.mean()) < stats.norm.isf(5e-5) / np.sqrt(200)
    # Student's t with 24 degrees of freedom: variance 24/22.
    low, high = stats.chi2.ppf([5e-5, 1 - 5e-5], 200) / 200 * 24 / 22
    assert low < np.mean(z**2) < high
    difference, error = np.array(firsts).T
    # So is the error that each network states: its square is right on average.
    assert np.mean(difference**2) == pytest.approx(np.mean(error**2), rel=0.6)


def test_the_error_of_the_mean_over_a_population_is_right():
    """200 samples of 12 from 150 networks of known trace: variance of z, and its share beyond 2.

    Each at 10⁻³.
    """
    weights, inputs, y = small_problem(150)
    exact = np.array([np.trace(dense_hessian(w, inputs, y)) for w in weights])
    rng, z = np.random.default_rng(5), []
    for seed in range(200):
        some = rng.integers(0, 150, 12)
        result, _ = hessian_trace(NETWORK, weights[some], inputs, y, probes=2, seed=seed)
        t = (result.mean() - exact.mean()) / (result.std(ddof=1) / np.sqrt(12))
        z.append(stats.norm.isf(stats.t.sf(t, 11)))
    low, high = stats.chi2.ppf([5e-4, 1 - 5e-4], 200) / 200
    assert low < np.mean(np.square(z)) < high
    assert stats.binomtest(int((np.abs(z) > 2).sum()), 200, 0.0455).pvalue > 1e-3


def test_probes_and_starts_are_those_of_seed_and_address():
    weights, inputs, y = small_problem(2)
    same = weights[:1].expand(2, -1).contiguous()

    def trace(of=same, **options):
        return hessian_trace(NETWORK, of, inputs, y, **options)[0]

    def start(of=same, **options):
        # One step: the Rayleigh quotient of the start itself.
        options |= {"max_iterations": 1}
        return top_eigenvalues(NETWORK, of, inputs, y, **options).eigenvalues[:, 0]

    for measure in (trace, start):
        first, second = measure()
        assert first != second
        np.testing.assert_array_equal(measure(), measure(seed=0, addresses=[(0,), (1,)]))
        np.testing.assert_allclose(measure(same[:1], addresses=[(1,)]), [second], rtol=1e-9)
        assert (measure(seed=1) != measure()).all()
        assert (measure(addresses=[(0, 1), (1, 1)]) != measure()).all()
        with pytest.raises(InputError, match="1 addresses given for 2"):
            measure(addresses=[(0,)])


def test_flatness_draws_by_seed_solution_side_and_ensemble(solutions, large_batches):
    options = {"eigenvalues": 1, "examples": None, "max_iterations": 2, "radii": [0.3]}
    few = flatness(solutions, configurations=[1], **options)
    more = flatness(solutions, configurations=3, **options)
    others = [
        flatness(solutions, configurations=[1], seed=1, **options),
        flatness(solutions, configurations=[1], side=1, **options),
    ]
    for name in ("trace", "rise", "eigenvalue"):
        one = few[name].sel(solution=1).values
        np.testing.assert_allclose(more[name].sel(solution=1).values, one, rtol=1e-6)
        for other in others:
            assert (np.abs(other[name].sel(solution=1).values / one - 1) > 1e-6).all()


def test_random_vectors_of_two_ensembles_are_independent(solutions, large_batches, monkeypatch):
    """Configurations have the same numbers in both: the ensemble is in the address."""
    seen = []

    def recorded(*given, addresses, **more):
        seen.extend(addresses)
        return hessian_trace(*given, addresses=addresses, **more)

    monkeypatch.setattr("lsg_ray.loss_landscape.flatness.hessian_trace", recorded)
    for ensemble in (solutions, large_batches):
        flatness(ensemble, configurations=2, examples=20, max_iterations=3)
    compare_minima(solutions, solutions, count=2, alphas=[0, 1], examples=20, max_iterations=3)
    # Side 0 of the comparison draws what the first call drew.
    assert len(seen) == 8
    assert len(set(seen)) == 6


def test_directions_are_as_long_as_the_weights_of_each_unit():
    rng = np.random.default_rng(3)
    w = rng.normal(size=NETWORK.n_weights)
    d = filter_normalised(NETWORK, w, rng.normal(size=(4, NETWORK.n_weights)))
    for index, shape in zip(NETWORK.layer_slices, NETWORK.shapes, strict=True):
        expected = np.linalg.norm(w[index].reshape(shape), axis=1)
        for row in d:
            size = np.linalg.norm(row[index].reshape(shape), axis=1)
            np.testing.assert_allclose(size, expected, rtol=1e-5)


def test_flatness_of_solutions(solutions):
    result = flatness(solutions, configurations=4, eigenvalues=2, examples=None)
    assert result["converged"].all()
    assert (result["residual"] <= 1e-3 * result["eigenvalue"].isel(rank=0)).all()
    np.testing.assert_allclose(result["train_loss"], solutions.column("train_loss")[:4], rtol=1e-5)
    assert (np.diff(result["rise"].mean("solution").values) > 0).all()
    assert result.attrs["top_eigenvalue_mean"] == pytest.approx(
        float(result["eigenvalue"].isel(rank=0).mean())
    )


def test_a_surface_passes_through_its_solution(solutions):
    result = loss_surface(solutions, configuration=2, points=5, extent=0.5, examples=None)
    assert float(result["train_loss"].sel(a=0, b=0)) == pytest.approx(
        solutions.column("train_loss")[2], rel=1e-5
    )
    assert result["train_loss"].shape == (5, 5)
    terrain = terrain_of(solutions, None)
    assert float(result["test_accuracy"].sel(a=0, b=0)) == pytest.approx(
        terrain.measure(solutions.take([2])["weights"])[3, 0]
    )


def test_minima_of_two_ensembles_are_compared(solutions, large_batches):
    result = compare_minima(solutions, large_batches, count=3, alphas=[-1, 0, 0.5, 1, 2])
    table = result["mean"].sel(quantity="test_accuracy").values
    expected = [e.column("test_accuracy")[:3].mean() for e in (solutions, large_batches)]
    np.testing.assert_allclose(table, expected)
    assert result["eigenvalue"].dims == ("side", "minimum", "rank")
    assert result["train_loss"].shape == (3, 5)
    one = result.sel(quantity="trace")
    test = stats.ttest_rel(*result["trace"].values[::-1])
    assert float(one["z"]) == pytest.approx(
        np.sign(test.statistic) * stats.norm.isf(test.pvalue / 2)
    )


def test_sides_of_a_comparison_draw_for_themselves(solutions):
    """Of one ensemble twice: the same minima, eigenvalues and losses, but other probes."""
    result = compare_minima(solutions, solutions, count=4, alphas=[0, 1], examples=None)
    np.testing.assert_allclose(*result["eigenvalue"].isel(rank=0).values, rtol=1e-3)
    for name in ("train_loss_at", "test_accuracy_at"):
        np.testing.assert_array_equal(*result[name].values)
    for name in ("trace", "rise"):
        first, second = result[name].values
        assert (first != second).all()
    assert result["z"].sel(quantity="train_loss") == 0
    difference = np.diff(result["trace"].values, axis=0)[0]
    # Four estimates of 0, by errors from ten probes each: beyond five once in 2,000.
    assert (np.abs(difference) < 5 * np.sqrt((result["trace_stderr"] ** 2).sum("side"))).all()


@pytest.mark.parametrize("pairs", [2, 3, 10])
@pytest.mark.parametrize("shared", [0.0, 0.9])
def test_z_of_what_is_the_same_is_normal(pairs, shared):
    """Minima of one distribution on both sides, with starts in common or not, noise of probes.

    5,000 comparisons: shares beyond z and the test for a normal distribution at 10⁻⁴ each.
    """
    rng = np.random.default_rng(7)
    start = rng.normal(size=(5000, 1, pairs))
    own, noise = rng.normal(size=(2, 5000, 2, pairs))
    minima = 3 + np.sqrt(shared) * start + np.sqrt(1 - shared) * own + 0.5 * noise
    z = np.array([paired_z(*one) for one in minima])
    assert stats.kstest(z, "norm").pvalue > 1e-4
    for limit in (1.0, 1.96, 2.58):
        beyond, rate = int((np.abs(z) > limit).sum()), 2 * stats.norm.sf(limit)
        assert stats.binomtest(beyond, 5000, rate).pvalue > 1e-4
    shifted = minima + np.array([0, 2])[:, None]
    assert np.mean([paired_z(*one) for one in shifted]) > 0.5


def test_z_of_ensembles_of_one_specification_is_normal():
    """Networks from one distribution on both sides; traces by two probes; 400 comparisons of four.

    The variance of z at 10⁻⁴ and the share beyond 1.96 at 10⁻⁴ two-sided.
    """
    rng = np.random.default_rng(11)
    inputs, y = small_problem()[1:]
    z = []
    for repeat in range(400):
        weights = torch.tensor(rng.normal(0, 0.7, (2, 4, NETWORK.n_weights)))
        traces = [
            hessian_trace(
                NETWORK, weights[side], inputs, y, probes=2, seed=repeat,
                addresses=[(number, side, 99) for number in range(4)],
            )[0]
            for side in range(2)
        ]  # fmt: skip
        z.append(paired_z(*np.array(traces)))
    low, high = stats.chi2.ppf([5e-5, 1 - 5e-5], 400) / 400
    assert low < np.mean(np.square(z)) < high
    assert stats.binomtest(int((np.abs(z) > 1.96).sum()), 400, 0.05).pvalue > 1e-4


@pytest.mark.parametrize(
    ("call", "options", "words"),
    [
        (flatness, {"radii": [-0.1]}, "numbers above 0 are needed"),
        (flatness, {"directions": 1}, "at least 2"),
        (flatness, {"probes": 1}, "at least 2"),
        (flatness, {"eigenvalues": 10**6}, "the network has"),
        (loss_surface, {"points": 4}, "odd number"),
        (loss_surface, {"extent": 0.0}, "must be positive"),
        (loss_surface, {"configuration": 50}, "configuration 50"),
    ],
)
def test_bad_input_is_refused(solutions, call, options, words):
    with pytest.raises(InputError, match=words):
        call(solutions, **options)
