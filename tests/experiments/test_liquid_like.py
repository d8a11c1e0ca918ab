"""Numbers of the claims on the liquid-like landscape, where the answer is planted."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray

from lsg_ray import entropy_scan
from lsg_ray.errors import InputError
from lsg_ray.experiments.claim import Measured, Results
from lsg_ray.experiments.estimators import converged, of_fitted, of_steps, share
from lsg_ray.experiments.liquid_like import (
    constant_energy,
    entropy_landscapes,
    frozen_interior,
    landscapes,
    search,
    shallow_parameters,
    solutions,
    sparse_models,
    states_and_dynamics,
    width,
)
from lsg_ray.experiments.peaks import HALVES
from lsg_ray.ising.permuted_models import permutation_effect
from lsg_ray.spec import DatasetSpec, NetworkSpec, parse_spec

RNG = np.random.default_rng(0)
FIELDS = np.linspace(-2, 2, 21)


def scan_of(J, h=0.0, references=None, fields=FIELDS):
    n = len(J)
    references = np.ones((2, n)) if references is None else references
    return entropy_scan((np.asarray(J, float), np.full(n, float(h))), references, fields)


def ferromagnet(strength, n=40):
    return strength / n * (np.ones((n, n)) - np.eye(n))


def table(**columns):
    """Stand-in of an ensemble: columns, and the number of rows."""
    frame = pd.DataFrame(columns)
    return SimpleNamespace(
        to_pandas=lambda names: frame[names], n_rows=len(frame), n_weights=columns.get("n", 0)
    )


def test_share__has_a_binomial_error_and_counts_what_is_not_known():
    values = [share(RNG.random(50) < 0.3) for _ in range(400)]
    spread = np.std([v.value for v in values])
    assert np.mean([v.error for v in values]) == pytest.approx(spread, rel=0.1)
    assert share(np.zeros(8, bool)).error == pytest.approx(1 / 8)
    unknown = share(np.zeros(8, bool), np.arange(8) < 4)
    assert unknown.error > 0.5
    assert "50% of them not known" in unknown.note
    assert np.isnan(share(np.zeros(0, bool)).value)


def test_transitions__are_those_of_a_ferromagnet_and_not_of_free_weights():
    broken, known = landscapes.has_transition(scan_of(ferromagnet(2.0)))
    assert broken.all()
    assert known.all()
    broken, known = landscapes.has_transition(scan_of(ferromagnet(0.3)))
    assert not broken.any()
    assert known.all()
    both = [scan_of(ferromagnet(2.0)), scan_of(ferromagnet(0.3))]
    assert landscapes.share_with_transition(both).value == 0.5


def test_transitions__are_not_known_where_solutions_have_not_converged():
    scan = scan_of(ferromagnet(0.3))
    scan["converged"][0, 0, :3] = False
    broken, known = landscapes.has_transition(scan)
    assert not broken.any()
    assert known.tolist() == [False, True]


def test_shares_of_groups__are_of_their_references_alone():
    scan = xarray.concat([scan_of(ferromagnet(2.0)), scan_of(ferromagnet(0.3))], "reference")
    scan = scan.assign_coords(group=("reference", ["low", "low", "high", "high"]))
    shares = [landscapes.share_with_transition([scan], g).value for g in ("low", "high")]
    assert shares == [1.0, 0.0]
    scan["gaps"][:] = [2, 1, 3, 0]
    results = Results({"shallow-scan-full": scan}, {})
    assert entropy_landscapes.double_transitions(results).value == 0.5  # of low energy


def test_saturation__is_one_of_free_weights_and_falls_with_fields():
    free = landscapes.saturation(scan_of(np.zeros((30, 30))))
    np.testing.assert_allclose(free, 1.0, rtol=1e-6)
    mixed = np.resize([1.0, -1.0], (1, 30))  # h σ* of both signs
    values = [
        landscapes.saturation(scan_of(np.zeros((30, 30)), h, mixed))[0] for h in (0.5, 1.0, 2.0)
    ]
    assert 1 > values[0] > values[1] > values[2]
    scan = scan_of(np.zeros((30, 30)))
    scan["converged"][:] = False
    assert np.isnan(landscapes.saturation(scan)).all()


def test_entropy_at_a_distance__is_that_of_free_weights():
    d = np.array([0.1, 0.3, 0.5])
    scan = scan_of(np.zeros((20, 20)), fields=np.linspace(-3, 3, 121))
    exact = -d * np.log(d) - (1 - d) * np.log(1 - d)
    np.testing.assert_allclose(landscapes.entropy_at(scan, d)[0], exact, atol=1e-3)
    assert np.isnan(landscapes.entropy_at(scan, np.array([0.0001]))).all()


def test_entropies_of_fitted_models__are_too_low_by_the_number_of_parameters():
    """Independent ±1 with fitted fields: k = N parameters cost k/2M nats, here by their count."""
    n, count = 40, 50
    sigma = np.sign(RNG.standard_normal((400, count, n)))
    p = (1 + sigma.mean(axis=1)) / 2
    lost = np.log(2) + (p * np.log(p) + (1 - p) * np.log(1 - p)).mean()
    assert lost == pytest.approx(1 / (2 * count), rel=0.05)
    k = n * (n + 1) / 2
    assert landscapes.overfit(n, count) * np.log(2) == pytest.approx(k / (2 * count * n))


def test_differences__are_to_the_largest_and_have_both_errors():
    one, other = Measured(0.5, 0.4), Measured(0.2, 0.1)
    assert landscapes.difference(Measured(1.0, 0.3), one, other) == Measured(0.5, 0.5)
    least = landscapes.difference(Measured(1.0, 0.0), one, other, of="min")
    assert least[:2] == pytest.approx((0.8, 0.1))
    assert np.isnan(landscapes.difference(Measured(1.0, 0.3), Measured(np.nan, 0.1)).error)


def test_minima_of_the_energy__count_ends_and_valleys():
    d = np.linspace(0.05, 0.95, 19)[::-1]
    energy = np.array([[np.cos(4 * np.pi * d)] * 2, [-np.abs(d - 0.5)] * 2, [d] * 2])
    axes = ("reference", "direction", "field")
    scan = xarray.Dataset({"d": (axes, np.broadcast_to(d, energy.shape)), "e": (axes, energy)})
    assert constant_energy.energy_minima(scan).tolist() == [2, 2, 1]
    alike = Results({"under-scan-full": scan.isel(reference=[0] * 5)}, {})
    assert constant_energy.mean_minima(alike)[:2] == (2, 0.2)
    two = Results({"under-scan-full": scan.isel(reference=[0, 1])}, {})
    assert np.isnan(constant_energy.mean_minima(two).error)


def test_differences_at_constant_energy__vanish_between_equal_curves():
    scan = scan_of(np.zeros((20, 20)))
    results = Results({"iso": scan, "under-scan-full": scan}, {})
    near = constant_energy.differences(results, np.array([0.1, 0.2]))
    np.testing.assert_array_equal(near, [0.0, 0.0])
    assert np.isnan(constant_energy.differences(results, np.array([1e-9]))).all()


def taps(f, converged=1.0):
    states = np.arange(len(f))
    return xarray.Dataset(
        {"f": ("start", f), "state": ("start", states), "minimum": ("n", np.ones(len(f)))},
        attrs={"states": len(f), "converged": converged},
    )


def test_peaks__are_counted_and_unknown_where_starts_have_not_converged():
    two = np.concatenate([RNG.normal(-4, 1, 500), RNG.normal(4, 1, 500)])
    seen = states_and_dynamics.peaks(taps(RNG.permutation(two)))
    assert seen[:2] == (2.0, pytest.approx(HALVES**-0.5))
    one = states_and_dynamics.peaks(taps(RNG.standard_normal(1000)))
    assert one[:2] == (1.0, pytest.approx(HALVES**-0.5))
    assert np.isnan(states_and_dynamics.peaks(taps(two, converged=0.5)).error)
    few = states_and_dynamics.peaks(taps(RNG.standard_normal(40)))
    assert np.isnan(few.error)
    assert "two equal peaks 4 standard deviations apart would not show" in few.note


def test_accuracy_that_is_left__is_above_chance():
    fall = np.concatenate([np.full(10, 0.9), np.full(30, 0.3)])
    result = xarray.Dataset({"accuracy": (("reference", "sweep"), np.tile(fall, (6, 1)))})
    measured = states_and_dynamics.accuracy_left(result)
    assert measured[:2] == pytest.approx((0.25, 0.0))
    none = states_and_dynamics.accuracy_left(xarray.Dataset(attrs={"no_accuracy": "no data"}))
    assert np.isnan(none.value)
    assert none.note == "no data"


def test_numbers_of_a_model__are_unknown_if_it_has_not_the_moments():
    one = Measured(1.0, 0.1, "2 states")
    why = "the chains of the check have not (R̂ 2.7)"
    good = xarray.Dataset(attrs={"rms_C": 0.2, "converged": 1})
    near = xarray.Dataset(attrs={"rms_C": 0.001, "converged": 0, "reason": why})
    measured = of_fitted(one, good)
    assert measured == Measured(1.0, 0.1, "2 states; rms C of the model 0.2")
    unknown = of_fitted(one, near)  # chains that have not mixed do not tell how near they are
    assert np.isnan(unknown.error)
    assert unknown.note == f"2 states; rms C of the model 0.001; not converged: {why}"
    assert of_fitted(one, good, near).note.startswith("2 states; rms C of models up to 0.2; not")
    assert of_fitted(one, xarray.Dataset()).note == "2 states; not converged"  # no flag is no yes
    assert np.isnan(converged(one, xarray.Dataset()).error)
    measure = of_steps(lambda _: one, "a", "b")
    assert np.isnan(measure(Results({"a": good, "b": near}, {})).error)
    assert measure(Results({"a": good, "b": good}, {})).error == 0.1


def test_accepted__is_the_probability_of_geometric_trials():
    measured = [
        solutions.accepted(Results({}, {"ensemble": table(trial=RNG.geometric(0.4, 200) - 1)}))
        for _ in range(200)
    ]
    values = [m.value for m in measured]
    assert np.mean(values) == pytest.approx(0.4, abs=0.01)
    assert np.mean([m.error for m in measured]) == pytest.approx(np.std(values), rel=0.15)


def test_components_and_spreads_of_a_map():
    near, far = RNG.standard_normal((100, 2)), RNG.standard_normal((50, 2)) + 60
    points = np.concatenate([near, far])
    assert solutions.largest_component(points) == pytest.approx(2 / 3, abs=0.05)
    x, y = np.concatenate([near, 5 * RNG.standard_normal((100, 2))]).T
    learned = np.arange(200) < 100
    steps = {
        "map": xarray.Dataset({"x": ("point", x), "y": ("point", y), "learned": ("point", learned)})
    }
    measured = solutions.relative_spread(Results(steps, {}))
    assert abs(measured.value - 0.2) < 3 * measured.error
    assert measured.error < 0.05


def test_zeros_of_a_sparse_model():
    n = 60
    j = np.triu(RNG.standard_normal((n, n)) * (RNG.random((n, n)) < 0.3), 1)
    j += j.T
    assert sparse_models.null_share(j, np.arange(n)) == pytest.approx(0.7, abs=0.03)
    network = NetworkSpec(widths=(4, 4, 4, 4))
    blocks = np.kron(np.eye(3), np.ones((16, 16)))
    steps = {"sparse-model-full": xarray.Dataset({"J": (("a", "b"), blocks)})}
    store = SimpleNamespace(spec=SimpleNamespace(network=network))
    measured = sparse_models.across_layers(Results(steps, {"ensemble": store}))
    assert measured[:2] == (1.0 - 0.0, 0.0)


def test_tails_and_breadths__are_those_of_known_distributions():
    n = 150
    normal, heavy = RNG.standard_normal((n, n)), RNG.laplace(size=(n, n))
    rows = np.arange(n)
    assert shallow_parameters.kurtosis(normal, rows) == pytest.approx(0, abs=0.1)
    assert shallow_parameters.kurtosis(heavy, rows) == pytest.approx(3, abs=0.4)
    m = np.append(np.zeros(n - 1), 1.0)  # the last one is frozen
    steps = {
        "moments": xarray.Dataset({"m": ("w", m)}),
        "model": xarray.Dataset(
            {
                "J": (("a", "b"), normal / 10),
                "h": ("w", np.append(RNG.standard_normal(n - 1), 1e9)),
            },
            attrs={"converged": 1},
        ),
    }
    measured = shallow_parameters.breadth(Results(steps, {}))
    assert abs(measured.value - 10) < 4 * measured.error


def test_accuracies__are_compared_with_those_of_other_ensembles():
    def drawn(mean):
        return table(accuracy=RNG.normal(mean, 0.01, 50))

    stores = {"frozen": drawn(0.78), "whole": drawn(0.80)}
    measured = frozen_interior.loss_by_freezing("frozen", "whole", Results({}, stores))
    assert abs(measured.value + 0.02) < 4 * measured.error
    assert measured.error == pytest.approx(0.01 * np.sqrt(2 / 50), rel=0.4)
    rising = {f"deep-{d}": drawn(0.7 + d / 200) for d in width.WIDTHS} | {"ensemble": drawn(0.7)}
    gain = width.smallest_gain(Results({}, rising))
    assert gain.note == "width 15"
    assert abs(gain.value - 0.075) < 4 * gain.error
    step = width.smallest_step(Results({}, rising))
    assert abs(step.value - 0.025) < 5 * step.error


def test_times__are_of_the_same_network_in_turns():
    spec = parse_spec(
        {
            "dataset": {"name": "digits"},
            "network": {"widths": [20, 3, 3, 10]},
            "training": {"epochs": 1},
            "ensemble": {"count": 1},
        }
    )
    measured = frozen_interior.ratio_of_times(spec)
    assert 0.2 < measured.value < 5
    assert measured.error > 0


def test_means_over_hidden_units__are_those_of_inputs_and_outputs():
    network = NetworkSpec(widths=(2, 3, 4))
    m = np.arange(18.0)
    first = search.by_neuron(m, network, search.FIRST)
    np.testing.assert_array_equal(first, m[:6].reshape(3, 2).mean(axis=0))
    last = search.by_neuron(np.stack([m, -m]), network, search.LAST)
    np.testing.assert_array_equal(last[1], -m[6:].reshape(4, 3).mean(axis=1))


def test_correlations_with_published_means__have_the_error_of_a_finite_ensemble():
    """Of means that differ from the published ones; at r = 1 the jackknife is too large by √2."""
    means = np.linspace(-0.3, 0.3, 20)
    published = means + 0.12 * np.resize([1.0, -1.0, -1.0], 20)

    def drawn():
        return np.sign(RNG.random((1500, 20)) - (1 - means) / 2)

    measured = [search.correlation(drawn(), published) for _ in range(100)]
    values = [m.value for m in measured]
    assert np.mean(values) == pytest.approx(np.corrcoef(means, published)[0, 1], abs=0.005)
    assert np.mean([m.error for m in measured]) == pytest.approx(np.std(values), rel=0.25)
    assert np.isnan(search.correlation(drawn()[:10], published).value)


def test_published_numbers_that_are_absent__are_undetermined(tmp_path, monkeypatch):
    spec = SimpleNamespace(network=NetworkSpec(), dataset=DatasetSpec(name="digits"))
    results = Results({}, {"ensemble": SimpleNamespace(spec=spec)})
    monkeypatch.setenv("LSG_SHARED", str(tmp_path))

    def note():
        measured = search.agreement("ensemble", search.FIRST, "over.npz", results)
        assert np.isnan(measured.value)
        return measured.note

    assert note() == "over.npz not in LSG_SHARED"
    folder = tmp_path / "data" / "reference"
    folder.mkdir(parents=True)
    np.savez(folder / "over.npz", m=np.zeros(5))
    assert note() == "over.npz: m of shape (5,); ours has 675 weights"
    np.savez(folder / "over.npz", m=np.zeros(675))
    np.savez(folder / "mnist_test_pca20.npz", x=np.zeros((7, 20)))
    assert note() == "test set of shape (360, 20); that of mnist_test_pca20.npz is (7, 20)"


def test_a_margin__is_of_the_cavity_method():
    with pytest.raises(InputError, match="margin given with method pcd; it belongs to bp"):
        permutation_effect("nowhere", margin=0.05)
