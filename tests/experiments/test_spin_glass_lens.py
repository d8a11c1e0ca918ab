"""Estimators of the claims of the spin-glass-lens paper, on data whose answer is known."""

from types import SimpleNamespace

import numpy as np
import pytest
import xarray

from lsg_ray.experiments.claim import Results, Within
from lsg_ray.experiments.peaks import HALVES
from lsg_ray.experiments.spin_glass_lens import (
    batches,
    distances,
    distances_sgd,
    learning,
    measures,
    peaks,
    replicas,
    swaps,
    walks,
)
from lsg_ray.statistics.learning_curves import fluctuation

RNG = np.random.default_rng


def euclidean(x):
    square = (x**2).sum(axis=1)
    distance = np.sqrt(np.maximum(square[:, None] + square - 2 * x @ x.T, 0))
    np.fill_diagonal(distance, 0)
    return distance


def results(**steps):
    return Results({name.replace("_", "-"): step for name, step in steps.items()}, {})


# Distances of pairs


def test_error_over_halves__is_the_scatter_of_the_mean_distance():
    """Pairs share solutions: the error of the mean is that of 60 solutions, not of 1,770 pairs."""

    def drawn(seed):
        a = RNG(seed).normal(size=60)
        return 10 + a[:, None] + a + 0.0

    def mean(d):
        return float(d[np.triu_indices(len(d), 1)].mean())

    scatter = np.std([mean(drawn(seed)) for seed in range(200)])
    errors = [measures.halved(mean, drawn(seed)).error for seed in range(10)]
    assert np.mean(errors) == pytest.approx(scatter, rel=0.15)
    assert np.isnan(measures.halved(mean, drawn(0)[:7, :7]).error)


def test_effects_of_single_solutions__are_found():
    a = RNG(0).normal(size=30)
    d = 5 + a[:, None] + a
    np.fill_diagonal(d, 0)
    np.testing.assert_allclose(measures.single_effects(d), 2.5 + a, atol=1e-12)


@pytest.mark.parametrize("apart", [0.0, 3.0])
def test_hierarchy__is_zero_without_clusters_whatever_single_solutions_do(apart):
    """Independent points of different length have none; two groups of them do."""
    rng = RNG(1)
    x = rng.normal(size=(40, 300)) * rng.uniform(0.8, 1.2, size=(40, 1))
    centre = rng.normal(size=300) / np.sqrt(300) * 10
    x[:20] += apart * centre
    value = measures.hierarchy(euclidean(x))
    if apart:
        assert value > 0.3
    else:
        assert abs(value) < 0.05


def test_smallest_p_value__is_corrected_for_the_number_of_tests():
    def one(p):
        attrs = {"gaussian_p_value": p, "min_p_value": 0.005, "gaussian_kolmogorov": 0.1}
        return xarray.Dataset(attrs=attrs)

    measured = measures.accepted_gaussian([one(0.2), one(0.02)])
    assert measured.value == pytest.approx(0.04)
    assert measured.error == pytest.approx(2 * np.sqrt(0.02 * 0.98 / 200))
    assert measures.accepted_gaussian([one(0.8)] * 2).value == 1


def clustered(x, **attrs):
    about = {"modes": 1, "modes_p_value": 0.5, "shared_variance": 0.5, **attrs}
    matrix = (("configuration", "configuration_"), euclidean(x))
    coordinates = {"configuration": np.arange(len(x))}
    return xarray.Dataset({"distance": matrix}, coordinates, about)


def test_peaks_of_two_groups__are_two_by_an_error_that_is_not_zero():
    rng = RNG(2)
    two = rng.normal(size=(80, 100)) + np.repeat([[0.0], [2.0]], 40, axis=0)
    seen = distances.peaks_of_broadest(results(clusters_1024=clustered(two)))
    assert seen[:2] == (2, pytest.approx(HALVES**-0.5))
    assert Within(low=1.5).verdict(seen) == "reproduced"


def test_a_single_peak__says_nothing_of_few_solutions():
    """Of 80 solutions two peaks would show, of 40 they would not."""
    one = euclidean(RNG(2).normal(size=(80, 100)))
    seen = peaks.number_of_peaks(min, one)
    assert seen[:2] == (1, pytest.approx(HALVES**-0.5))
    assert Within(low=1.5).verdict(seen) == "not reproduced"
    few = peaks.number_of_peaks(max, one, one[:40, :40], note="of both")
    assert few.value == 1
    assert np.isnan(few.error)
    assert few.note.startswith("of both; two equal peaks 4 standard deviations apart")
    assert np.isnan(peaks.number_of_peaks(min, np.ones((80, 80)) - np.eye(80)).error)


def test_a_peak_that_half_of_the_solutions_do_not_show__is_undetermined():
    """Two solutions lie apart: some halves have none of them."""
    x = RNG(11).normal(size=(80, 400))
    x[:2] += 3.0
    seen = peaks.number_of_peaks(min, euclidean(x))
    assert seen.value > 1
    assert Within(low=1.5).verdict(seen) == "undetermined"


def test_random_weights__are_not_multi_modal_at_any_width():
    """No false alarm in five widths: the statistic of SGD is the largest of them."""
    of = [euclidean(RNG(n).normal(size=(70, 4 * n))) for n in sorted(distances.WIDTHS)]
    assert Within(high=1.5).verdict(peaks.number_of_peaks(max, *of)) == "reproduced"


def test_lengths_of_training_that_scatter__are_not_called_modes():
    """Pairs share solutions: of exponential lengths the count is not of one peak at times."""
    for seed in range(3):
        rng = RNG([13, seed])
        length = 1 + 0.3 * rng.exponential(size=(100, 1))
        seen = peaks.number_of_peaks(min, euclidean(rng.normal(size=(100, 400)) * length))
        assert Within(low=1.5).verdict(seen) != "reproduced"


def test_groups_that_an_order_makes__are_not_there_with_matched_nodes():
    rng = RNG(8)
    x = rng.normal(size=(40, 100))
    ordered = x + np.repeat([[0.0], [2.0]], 20, axis=0)
    steps = {"matched-1024": clustered(x), "before-1024": clustered(rng.normal(size=(40, 100)))}
    steps["clusters-1024"] = clustered(ordered, cophenetic_correlation=0.9)
    found = Results(steps, {})
    assert distances.tree_of_broad(found).value > 0.3
    matched = distances.tree_of_matched(found)
    assert abs(matched.value) < 0.05
    assert 0 < matched.error < 0.1


def test_share_removed_by_an_order__is_one_for_that_of_matching():
    x = RNG(3).normal(size=(20, 50))
    matched = clustered(x).isel(configuration=slice(1, None), configuration_=slice(1, None))
    steps = {"before-256": clustered(2 * x), "matched-256": matched}
    for factor, expected in ((1.0, 1.0), (2.0, 0.0), (1.5, 0.5)):
        own = Results({**steps, "clusters-256": clustered(factor * x)}, {})
        measured = distances.removed_by_reordering(own)
        assert measured.value == pytest.approx(expected, abs=1e-9)
        assert measured.error == pytest.approx(0, abs=1e-9)


def test_growth_of_distances_with_width__is_the_exponent():
    rng = RNG(4)
    steps = {
        f"clusters-{n}": clustered(rng.normal(size=(60, n)) * n**0.25) for n in distances.WIDTHS
    }
    mean = distances_sgd.growth_of_mean(Results(steps, {}))  # √(2n) n^¼
    assert mean.value == pytest.approx(0.75, abs=0.01)
    deviation = distances_sgd.growth_of_deviation(Results(steps, {}))  # 1/√2 n^¼
    assert deviation.value == pytest.approx(0.25, abs=4 * deviation.error)
    assert distances_sgd.most_peaks(Results(steps, {})).value == 1


def test_epochs__are_told_as_the_reason_of_distances():
    x = RNG(5).normal(size=(30, 400)) * np.linspace(1, 2, 30)[:, None]
    ensemble = SimpleNamespace(column=lambda _: np.arange(10, 40))
    steps = {"clusters-256": clustered(x, shared_variance=0.9)}
    text = distances.of_epochs(Results(steps, {"ensemble": ensemble}), 256)
    assert text.startswith("n = 256: 90 % of the variance")
    assert float(text.rsplit(" ", 1)[1]) > 0.95


# Walks


def walked(power, plateau=False, loss_of_test=1.0):
    """Walks whose loss rises as (σ² t)^power, from 8 solutions of different scale."""
    sigma, step = np.array([0.01, 0.1, 1.0, 2.0]), np.arange(41)
    scale = RNG(6).uniform(0.9, 1.1, size=(1, 8, 1, 1))
    rise = scale * (sigma[:, None, None, None] ** 2 * step) ** power
    dims = ("sigma", "solution", "walker", "step")
    settled = np.full((4, 8, 1), plateau)
    return xarray.Dataset(
        {
            "train_loss": (dims, 0.1 + rise),
            "test_loss": (dims, 0.2 + loss_of_test * rise),
            "settled": (dims[:3], settled),
        },
        {"sigma": sigma},
    )


def test_walks__flat_at_first_or_steady():
    steady, late = walked(1.0), walked(2.0, True, 1.1)
    both = results(walks_mnist=late, walks_fashion=steady)
    assert walks.early_share(both).value == pytest.approx(0.25)
    flat = results(walks_mnist=late, walks_fashion=late)
    assert walks.early_share(flat).value == pytest.approx(1 / 16)
    assert walks.settled(both).value == 0
    assert walks.settled(flat)[:2] == (1, 1 / 8)
    assert walks.test_against_train(both).value == pytest.approx(1.1)
    # Steps of the steady walks between neighbouring σ², at step 10: the first is the smallest.
    ordered = results(walks_mnist=steady, walks_fashion=steady)
    assert walks.order_of_sizes(ordered).value == pytest.approx((0.01 - 0.0001) * 10, rel=0.1)


def test_share_of_allowed_moves__falls():
    share = np.linspace(0.9, 0.1, 40) * np.ones((2, 8, 1, 1))
    share[1] /= 2
    walk = xarray.Dataset({"share": (("sigma", "solution", "walker", "move"), share)})
    measured = walks.fall_of_share(results(constrained=walk))
    drop = (0.8 / 39) * 30
    assert measured.value == pytest.approx(-drop / 2)
    assert measured.error == pytest.approx(0, abs=1e-12)


# Swaps


def test_barriers__grow_with_swaps_and_depth_is_compared_at_equal_shares():
    """Barriers k² / depth: lower by 4 with equal swaps, higher by 4 with equal shares."""

    def of(depth, power=2.0):
        k = np.array([1, 2, 4, 8, 16])
        scale = RNG(depth).uniform(0.9, 1.1, size=(8, 1, 1))
        barrier = scale / scale.mean() * (k[:, None] ** power / depth)
        dims = ("solution", "swaps", "repeat")
        return xarray.Dataset({"test_barrier": (dims, barrier)}, {"swaps": k})

    steps = {
        "swaps": of(1),
        "swaps-narrow": of(1, 1.5),
        "swaps-wide": of(1),
        "swaps-two-layers": of(2),
        "swaps-four-layers": of(4),
    }
    found = Results(steps, {})
    assert swaps.growth_with_swaps(found).value == pytest.approx(1.5)
    equal = swaps.ratio_at_equal_swaps(found)
    assert equal.value == pytest.approx(-np.log(4))
    assert 0 < equal.error < 0.1
    assert swaps.ratio_at_equal_shares(found).value == pytest.approx(np.log(4))


# Replicas


def overlaps(k, error, std=0.1, size=100):
    null = xarray.DataArray(
        np.array([1, 0], np.int8), dims="null", attrs={"flag_meanings": "independent shuffled"}
    )
    values = {
        "ultrametricity": k,
        "ultrametricity_stderr": error,
        "std": std,
        "std_stderr": 0.01 * std,
        "ultrametricity_null": ("null", [9.0, 0.8]),
        "ultrametricity_null_std": ("null", [9.0, 0.0]),
    }
    return xarray.Dataset(values, {"null": null}, {"n_weights": size})


def test_triples_beside_those_of_the_glass():
    steps = {
        "sk-glass": overlaps(0.4, 0.0),
        "sk-paramagnet": overlaps(0.8, 0.0),
        "overlaps-1024": overlaps(0.7, 0.04),
    }
    measured = replicas.likeness_of_glass(Results(steps, {}))
    assert measured[:2] == pytest.approx((0.25, 0.1))
    for n in replicas.WIDTHS:
        steps[f"overlaps-{n}"] = overlaps(0.7, 0.04, std=n**-0.5, size=n)
    width = replicas.slope_of_width(Results(steps, {}))
    assert width.value == pytest.approx(-0.5)
    # Both ends count, 0.01 each, over the distance of their logarithms.
    assert width.error == pytest.approx(np.sqrt(2) * 0.01 / np.log(16))


# Batches


def compared(curvatures, accuracy=(0.98, 0.97)):
    """Paths with given curvatures at both ends, of 6 pairs of different scale."""
    alpha = np.round(np.arange(-1, 2.01, 0.125), 10)
    scale = RNG(7).uniform(0.8, 1.2, size=(6, 1))
    left, right = (c / 2 * (alpha - a) ** 2 for a, c in enumerate(curvatures))
    path = scale * np.where(alpha < 0.5, left, right)
    sides = np.array(accuracy)[:, None] * np.ones(6)
    top = np.array(curvatures)[:, None, None] * np.ones((2, 6, 1))
    return xarray.Dataset(
        {
            "train_loss": (("pair", "alpha"), path),
            "test_accuracy_at": (("side", "minimum"), sides),
            "train_accuracy_at": (("side", "minimum"), np.ones((2, 6))),
            "eigenvalue": (("side", "minimum", "rank"), top),
        },
        {"alpha": alpha},
    )


def test_minima_of_small_and_large_batches():
    steps = {
        f"compare-{n}": compared((512 / n, 4 * 512 / n), (0.97 + 0.01 * i, 0.965 + 0.01 * i))
        for i, n in enumerate(batches.WIDTHS)
    }
    found = Results(steps, {f"large-{n}": None for n in batches.WIDTHS})
    assert batches.lead(found).value == pytest.approx(0.005)
    assert batches.mean_lead(found).value == pytest.approx(0.5)
    assert batches.training_accuracy(found).value == pytest.approx(100)
    assert batches.best_accuracy(found).value == pytest.approx(99)
    assert batches.gain_with_width(found).value == pytest.approx(1)
    assert batches.ratio_of_curvatures(found).value == pytest.approx(np.log(4))
    assert batches.ratio_of_eigenvalues(found).value == pytest.approx(np.log(4))
    assert batches.flattening_with_width(found).value == pytest.approx(-1)


def test_a_path_that_is_not_convex__leaves_its_curvature_unknown():
    assert np.isnan(batches.path_curvatures(compared((-1.0, 1.0)))[:, 0]).all()


# Learning


def test_gaps_and_fluctuations_of_learning_curves():
    curves = np.full((4, 20), 0.9)
    curves[:, 4], curves[:, 12] = 0.88, 0.92
    gap = learning.largest_gap([curves, curves - 0.3], 5)
    assert gap[:2] == pytest.approx((4.0, 0.0), abs=1e-9)

    def noisy(n):
        walk = RNG(n).normal(size=(200, 40)) * n**0.5 * 1e-3
        return 0.9 + walk

    assert fluctuation(noisy(64)) == pytest.approx(np.sqrt(2) * 8e-3, rel=0.05)
    assert np.isnan(fluctuation(noisy(64)[:1]))
    steps = {
        f"curves-{n}": xarray.Dataset({"test_accuracy": (("network", "epoch"), noisy(n))})
        for n in learning.WIDTHS
    }
    growth = learning.growth_of_fluctuations(Results(steps, {}))
    assert growth.value == pytest.approx(0.5, abs=3 * growth.error)
    assert growth.error < 0.02
    assert learning.final_gap(Results(steps, {})).value > 1
    assert learning.early_gap(Results(steps, {})).value > 1
