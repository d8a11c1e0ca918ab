"""Asymmetric valleys: overwritten signs, scales, indices, barriers and errors over networks."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import spearmanr

from lsg_ray.errors import InputError
from lsg_ray.loss_landscape.interpolation import interpolate
from lsg_ray.loss_landscape.terrain import terrain_of
from lsg_ray.loss_landscape.valleys.asymmetry import asymmetry, valley_asymmetry
from lsg_ray.loss_landscape.valleys.directions import (
    LAWS,
    scaled,
    shared_signs,
    sign_overwrite,
    special_directions,
)
from lsg_ray.loss_landscape.valleys.monotone import by_units, monotone
from lsg_ray.loss_landscape.valleys.sign_barrier import (
    DEVIATION,
    _bootstrap,
    _correlated,
    sign_barrier,
    spearman,
)
from lsg_ray.spec import NetworkSpec

from .conftest import _made, relu_spec

NETWORK = NetworkSpec(family="relu", widths=(6, 5, 3), biases=True, leaky_slope=0.0)


@pytest.mark.parametrize("law", LAWS)
def test_laws__are_symmetric_of_unit_variance(law):
    """10⁵ draws: mean and third moment within 5 errors, variance within 6 %."""
    drawn = LAWS[law](np.random.default_rng(0), 100_000)
    assert drawn.var() == pytest.approx(1, abs=0.06)
    for moment in (drawn, np.sign(drawn)):
        assert abs(moment.mean()) < 5 * moment.std() / np.sqrt(100_000)


@pytest.mark.parametrize("law", ["gaussian", "uniform", "signs"])
@pytest.mark.parametrize("ratio", [0.0, 0.3, 1.0])
def test_overwritten_signs__leave_half_of_the_rest_to_chance(law, ratio):
    """SSR = r + (1 − r)/2, within 5 standard errors of 40,000 weights; sizes stay."""
    rng = np.random.default_rng(1)
    n = 40_000
    w, noise, chosen = rng.normal(size=n), LAWS[law](rng, n), rng.random(n)
    direction = sign_overwrite(noise, w, chosen, ratio)
    np.testing.assert_array_equal(np.abs(direction), np.abs(noise))
    expected = ratio + (1 - ratio) / 2
    assert shared_signs(w, direction) == pytest.approx(expected, abs=5 * 0.5 / np.sqrt(n))
    larger = sign_overwrite(noise, w, chosen, min(1, ratio + 0.2))
    assert shared_signs(w, larger) >= shared_signs(w, direction)


def test_scales__are_the_norms_of_the_weights():
    rng = np.random.default_rng(2)
    w = rng.normal(size=NETWORK.n_weights).astype(np.float32)
    noise = rng.normal(size=(2, NETWORK.n_weights))
    np.testing.assert_allclose(scaled(NETWORK, w, noise, "raw"), noise, rtol=1e-6)
    by_layer, by_unit = (scaled(NETWORK, w, noise, kind) for kind in ("norm", "filter"))
    for layer, shape in zip(NETWORK.layer_slices, NETWORK.shapes, strict=True):
        own = w[layer].reshape(shape)
        for one, unit in zip(by_layer, by_unit, strict=True):
            block = one[layer].reshape(shape)
            assert np.linalg.norm(block[:, :-1]) == pytest.approx(np.linalg.norm(own[:, :-1]))
            assert np.linalg.norm(block[:, -1]) == pytest.approx(np.linalg.norm(own[:, -1]))
            np.testing.assert_allclose(
                np.linalg.norm(unit[layer].reshape(shape), axis=1), np.linalg.norm(own, axis=1),
                rtol=1e-5,
            )  # fmt: skip


def test_special_directions__have_the_signs_that_their_names_say():
    rng = np.random.default_rng(3)
    w = rng.normal(0.5, 1, NETWORK.n_weights).astype(np.float32)
    found = special_directions(NETWORK, w, None, rng)
    assert "start" not in found
    assert shared_signs(w, found["weights"]) == shared_signs(w, found["signs"]) == 1
    for name in ("signs", "centred-signs"):
        permuted = found[f"permuted-{name}"]
        assert not np.array_equal(permuted, found[name])
        for layer, shape in zip(NETWORK.layer_slices, NETWORK.shapes, strict=True):
            for part in (np.s_[:, :-1], np.s_[:, -1]):
                some = (
                    values[layer].reshape(shape)[part].sum() for values in (permuted, found[name])
                )
                assert next(some) == next(some)
    assert found["centred-signs"][NETWORK.layer_slices[0]].mean() < w.mean()


def test_a_quadratic_valley__is_symmetric():
    steps = np.linspace(-1, 1, 21)
    assert asymmetry(3 * steps**2 + 1, steps) == pytest.approx(0, abs=1e-15)
    tilted = steps**2 - 0.2 * steps + 1
    # Over λ ∈ ±{0.1 … 1}: ⟨λ²⟩ = 0.385, ⟨λ⟩ = ±0.55.
    assert asymmetry(tilted, steps) == pytest.approx(0.2 * 0.55 / 1.385)
    assert np.isnan(asymmetry(np.zeros(21), steps))


def test_verdicts__have_three_words():
    rng = np.random.default_rng(4)
    rising = np.arange(4) * 0.1 + rng.normal(0, 0.01, (8, 4))
    assert monotone(rising) == "yes"
    assert monotone(rising[:, ::-1]) == "no"
    assert monotone(rng.normal(0, 1, (8, 4))) == "undetermined"
    assert monotone(rising[:2]) == "undetermined"


def test_profiles__are_those_of_the_networks_on_the_line(deep):
    options = {"ratios": [0.0, 1.0], "widths": [0.5, 1.0], "points": 5, "directions": 2}
    result = valley_asymmetry(deep, configurations=2, special=True, examples=None, **options)
    again = valley_asymmetry(deep, configurations=[1], special=False, examples=None, **options)
    np.testing.assert_allclose(
        result["asymmetry"].isel(solution=1), again["asymmetry"].isel(solution=0), rtol=1e-9
    )
    assert "start" not in result["special"].values  # the store has no snapshots
    np.testing.assert_array_equal(result["sign_consistency"].sel(ratio=1), 1)
    # In the middle is the solution, and along its own weights are its multiples.
    w, terrain = deep.numpy(), terrain_of(deep, None)
    own = result.sel(width=0.5, special="weights", solution=1)
    networks = (1 + 0.5 * np.linspace(-1, 1, 5))[:, None].astype(np.float32) * w[1]
    measures = terrain.measure(networks)
    np.testing.assert_allclose(own["special_train_loss"], measures[0], rtol=1e-4)
    np.testing.assert_allclose(own["special_test_accuracy"], measures[3], atol=0.006)
    middle = result.isel(step=2, solution=1)
    np.testing.assert_allclose(middle["test_loss"], measures[2, 2], rtol=1e-6)
    np.testing.assert_array_equal(middle["relu_agreement"], 1)
    x = np.asarray(
        terrain.test.x if isinstance(terrain.test.x, np.ndarray) else terrain.test.x.dense()
    )
    z = deep.header.family.outputs(deep.spec.network, w[1:2], x)[0]
    p = np.exp(z - z.max(axis=0))
    p /= p.sum(axis=0)
    np.testing.assert_allclose(
        middle["softmax_variance"], (1 - (p**2).sum(axis=0)).mean(), rtol=1e-5
    )


def test_the_side_of_the_own_signs__is_the_flatter(solutions):
    result = valley_asymmetry(solutions, ratios=[0, 1], points=5, directions=4, special=False)
    mean = result["asymmetry_mean"].sel(quantity="test_error").values[0]
    error = result["asymmetry_mean_stderr"].sel(quantity="test_error").values[0]
    assert abs(mean[0]) < 5 * error[0]
    assert mean[1] > 5 * error[1]
    assert result.attrs["monotone_test_error"] == "yes"


def test_barriers__are_those_of_paths(solutions):
    result = sign_barrier(solutions, pairs=15, alphas=[0, 0.5, 1], examples=None, samples=50)
    paths = interpolate(solutions, pairs=15, alphas=[0, 0.5, 1], examples=None)
    np.testing.assert_array_equal(result["kind"], ["independent", "aligned", "all"])
    alone = result.isel(pair=result["kind_of"].values == "independent")
    np.testing.assert_allclose(alone["train_barrier"], paths["train_barrier"], rtol=1e-5)
    w = solutions.numpy()
    shared = [np.mean((w[i] > 0) == (w[j] > 0)) for i, j in itertools.combinations(range(6), 2)]
    np.testing.assert_allclose(alone["sign_consistency"], shared)
    rho = spearmanr(alone["sign_consistency"], alone["train_barrier"]).statistic
    found = result["spearman"].sel(kind="independent", quantity="train_barrier")
    assert float(found) == pytest.approx(rho)
    accuracy = alone["test_accuracy"].values
    np.testing.assert_allclose(alone["fusion_gap"], accuracy[:, [0, 2]].mean(1) - accuracy[:, 1])
    assert float(result["mean"].sel(kind="aligned", quantity="sign_consistency")) > 0.5


def test_children_of_one_parent__are_related(relu_folder):
    training = {"algorithm": "related-descent", "options": {"group": 2, "parent_epochs": 3}}
    ensemble = {"snapshots": [0]}
    store = _made(relu_folder, "children", relu_spec(6, training=training, ensemble=ensemble))
    result = sign_barrier(store, align=False, alphas=[0, 0.5, 1], samples=50)
    related = result.isel(pair=result["kind_of"].values == "related")
    np.testing.assert_array_equal(related["first"] // 2, related["second"] // 2)
    mean = result["mean"].sel(quantity="sign_consistency")
    assert float(mean.sel(kind="related")) > 0.8 > float(mean.sel(kind="independent"))
    assert result["n_pairs"].values.tolist() == [12, 3, 15]
    # A snapshot at 0 is the parent: a special direction.
    valley = valley_asymmetry(store, points=3, directions=2, ratios=[0], configurations=1)
    assert valley["special"].values[0] == "start"
    start, end = store.snapshot(0).numpy()[0], store.numpy()[0]
    np.testing.assert_allclose(
        valley["special_sign_consistency"].sel(special="start").item(), shared_signs(start, end)
    )


def test_pairs_of_two_ensembles__of_one_seed_share_starts(solutions, large_batches):
    result = sign_barrier(solutions, large_batches, alphas=[0, 0.5, 1], align=False, samples=50)
    related = result["kind_of"].values == "related"
    np.testing.assert_array_equal(result["first"] == result["second"], related)
    assert related.sum() == 4


def test_figures__are_drawn_and_described(solutions):
    """Each stage: two results side by side where it shows several."""
    from lsg_ray.report.style import render
    from lsg_ray.stages import stage_of

    valley = {"points": 3, "directions": 2, "ratios": [0, 1], "configurations": 3}
    made = {
        "valley-asymmetry": [{**valley, "noise": law, "widths": [0.5, 1]} for law in LAWS][:2],
        "sign-barrier": [{"alphas": [0, 0.5, 1], "pairs": 4, "samples": 20}],
        "sign-consistency": [{}, {"bins": 3}],
    }
    for name, options in made.items():
        stage = stage_of(name)
        results = {str(n): stage.run(solutions, **one) for n, one in enumerate(options)}
        assert stage.shown(results["0"])
        for figure in stage.figures:
            assert render(figure.drawn(results)).startswith(b"\x89PNG")
            caption, alternative = figure.captioned(results)
            assert "nan" not in caption
            assert alternative.endswith(".")


def test_related_solutions__are_one_unit():
    values = np.array([[1.0, 3.0, 5.0, np.nan]])
    np.testing.assert_array_equal(by_units(values, np.array([2, 2, 7, 9])), [[2, 5, np.nan]])


def test_rank_correlations__of_pairs_that_share_networks_are_seldom_false():
    """Of 60 planted sets without correlation at most 5 beyond three errors (2 % each: 0.2 %).

    Eight networks, 28 pairs, half of the variance by networks; with a correlation, most are beyond.
    """
    rng = np.random.default_rng(6)
    i, j = np.triu_indices(8, 1)
    chosen = SimpleNamespace(unit=i, unit_=j)

    def beyond(slope):
        noise = rng.standard_normal((2, 28)) + [a[i] + a[j] for a in rng.standard_normal((2, 8))]
        values = np.stack([noise[0], noise[1] + slope * noise[0]], axis=1)
        *_, rho, error = _correlated(values, _bootstrap(chosen, 100, rng))
        return abs(rho[1]) > DEVIATION * error[1]

    assert sum(beyond(0.0) for _ in range(60)) <= 5
    assert sum(beyond(-2.0) for _ in range(20)) >= 15


def test_spearman__has_ties_at_their_mean_rank():
    rng = np.random.default_rng(5)
    values = rng.integers(0, 5, (30, 3)).astype(float)
    expected = [spearmanr(values[:, 0], column).statistic for column in values.T]
    np.testing.assert_allclose(spearman(values), expected)
    assert np.isnan(spearman(np.ones((4, 2)))).all()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"points": 4}, "points 4 given"),
        ({"ratios": [0.5, 0.2]}, "ratios"),
        ({"ratios": [0, 1.2]}, "ratios"),
        ({"widths": [0.0]}, "widths"),
        ({"widths": [0.5, 0.5]}, "widths .* each once"),
        ({"configurations": [0, 1, 0]}, "0 given twice"),
        ({"configurations": 99}, "configurations 99 given"),
    ],
)
def test_bad_options_of_valleys__are_one_line(solutions, options, line):
    with pytest.raises(InputError, match=line) as caught:
        valley_asymmetry(solutions, **options)
    assert "\n" not in str(caught.value)


def test_bad_options_of_barriers__are_one_line(solutions, deep, ensemble_of):
    for call, line in (
        (lambda: sign_barrier(solutions, alphas=[0, 1]), "0.5"),
        (lambda: sign_barrier(solutions, alphas=[0.5, 1]), "0 and 1"),
        (lambda: sign_barrier(solutions, deep), "widths"),
        (lambda: sign_barrier(solutions, solutions, pairs=3), "configuration 0 is that of"),
        (lambda: sign_barrier(solutions, configurations=1), "2 are needed"),
        (lambda: sign_barrier(ensemble_of(np.ones((3, 4)))), "real weights"),
    ):
        with pytest.raises(InputError, match=line) as caught:
            call()
        assert "\n" not in str(caught.value)
