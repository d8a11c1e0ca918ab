"""Stages on small ensembles, from the command line to the figure; and what they refuse."""

import json

import numpy as np
import pytest
import torch
import xarray

from lsg_ray.cli import main
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.errors import InputError
from lsg_ray.exchange.importing import write_ensemble
from lsg_ray.neuron_spins.bonds import cut_of, glass_temperature, ordered_modes
from lsg_ray.neuron_spins.census import neuron_tap
from lsg_ray.neuron_spins.melting import melting
from lsg_ray.neuron_spins.monte_carlo import neuron_mc
from lsg_ray.neuron_spins.networks import open_networks
from lsg_ray.neuron_spins.spectrum import bond_spectrum
from lsg_ray.neuron_spins.theory import untrained_melting_temperature
from lsg_ray.report.style import render
from lsg_ray.results.opening import open_result
from lsg_ray.stages import stage_of

from .conftest import dense, random_bonds

CHEAP = {
    "melting": {"shuffles": 2},
    "bond-spectrum": {"ranks": 3},
    "neuron-tap": {"configurations": 2, "starts": 6, "max_iterations": 200},
    "neuron-mc": {"configurations": 1, "temperatures": [0.8, 1.2], "ladders": 4, "burn_in": 10,
                  "draws": 20, "thin": 1},
}  # fmt: skip


def run(words, capsys):
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    out = capsys.readouterr()
    return stop.value.code, out.out, out.err


def stored(path, layers):
    """Store a network of given layers by name, without a data set."""
    state = {name: torch.tensor(np.asarray(w, np.float32)) for name, w in layers.items()}
    return write_ensemble([state], path, family="real-weights")


def chain(path, matrices):
    """Store a network of matrices (out, in) without biases."""
    return stored(path, {f"{k}.weight": w for k, w in enumerate(matrices)})


@pytest.mark.parametrize("family", ["relu", "binarised"])
@pytest.mark.parametrize("name", CHEAP)
def test_command__result_and_figure(name, family, trained, tmp_path, capsys):
    if family == "binarised" and name in ("neuron-tap", "neuron-mc"):
        pytest.skip("the same code as of relu")
    words = [name, trained(family), "--out", tmp_path / "r.zarr", "--json"]
    for option, value in CHEAP[name].items():
        text = ",".join(map(str, value)) if isinstance(value, list) else value
        words += [f"--{option.replace('_', '-')}", text]
    code, out, err = run(words, capsys)
    assert code == 0, err
    assert json.loads(out)["networks"] in (1, 2, 3)
    result = open_result(tmp_path / "r.zarr")
    assert result.attrs["statistic"] == name
    (figure,) = stage_of(name).figures
    caption, alternative = figure.captioned({"r": result})
    assert caption.endswith(".")
    assert alternative.endswith(".")
    assert len(render(figure.drawn({"r": result}))) > 10_000


def test_melting__is_that_of_the_networks_at_each_time(trained):
    result = melting(trained(), shuffles=1)
    times = open_ensemble(trained()).spec.times[1]
    assert result["step"].values.tolist() == list(times)
    assert result["step"].values[-1] == 48
    chosen = open_networks(trained(), None, along=True)
    bonds = chosen.source.bonds(1, -1)
    glass = glass_temperature(bonds)
    row = result.sel(configuration=1).isel(snapshot=-1)
    assert float(row["glass_temperature"]) == pytest.approx(glass)
    modes = ordered_modes(bonds, cut_of(glass, 102)).temperatures
    assert float(row["ordered_modes"]) == len(modes) > 0
    assert float(row["critical_temperature"]) == pytest.approx(modes[0])
    assert float(row["bethe_temperature"]) == pytest.approx(modes[0], rel=0.2)
    start = result.isel(snapshot=0)
    T = untrained_melting_temperature((64, 16, 12, 10), 2.0)
    np.testing.assert_allclose(start["glass_temperature"], T, rtol=0.08)
    end = open_ensemble(trained()).take([0, 1, 2], ("accuracy",))["accuracy"]
    np.testing.assert_array_equal(result["accuracy"].isel(snapshot=-1), end)
    assert result.attrs["verdict"] == "undetermined"  # too few shuffles


def test_views__choose_time_and_networks(trained):
    ensemble = open_ensemble(trained())
    result = melting(ensemble.snapshot(0).where("configuration > 0"), shuffles=0)
    assert result["configuration"].values.tolist() == [1, 2]
    assert result["step"].values.tolist() == [0]
    assert result.attrs["snapshot"] == 0
    assert result.attrs["verdict"] == "glass"


def test_result__does_not_depend_on_checkpoints(trained, tmp_path):
    whole = melting(trained(), configurations=2, shuffles=1)
    melting(trained(), configurations=1, shuffles=1, checkpoints=tmp_path / "c")
    resumed = melting(trained(), configurations=2, shuffles=1, checkpoints=tmp_path / "c")
    xarray.testing.assert_identical(whole, resumed)


def test_spectrum__is_that_of_the_dense_matrix(trained):
    result = bond_spectrum(trained(), ranks=4)
    bonds = open_networks(trained(), None).source.bonds(2, -1)
    values, vectors = np.linalg.eigh(dense(bonds))
    end = result.sel(configuration=2, time="end")
    np.testing.assert_allclose(end["eigenvalue"], values[::-1][:4])
    share = 1 / (102 * (vectors[:, ::-1][:, :4] ** 4).sum(axis=0))
    np.testing.assert_allclose(end["participation"], share)
    few = bond_spectrum(trained(), ranks=4, dense=0)
    np.testing.assert_allclose(few["eigenvalue"], result["eigenvalue"], rtol=1e-5)
    assert "density" not in few
    w = open_ensemble(trained()).take([2])["weights"][0]
    start = open_ensemble(trained()).snapshot(0).take([2])["weights"][0]
    move = np.linalg.norm(w - start) / np.linalg.norm(start)
    assert float(result["move"].sel(configuration=2)) == pytest.approx(move, rel=1e-5)
    assert float(result["move_mean"][0]) == pytest.approx(float(result["move"].mean()))


def test_scale_of_the_weights__changes_no_count(tmp_path):
    matrices = random_bonds((30, 20, 10)).couplings
    stores = [chain(tmp_path / f"{c}.zarr", [c * w for w in matrices]) for c in (1, 4)]
    one, other = (neuron_tap(s, starts=8, max_iterations=300) for s in stores)
    for name in ("converged", "stable", "distinct", "overlap", "plefka", "free_energy"):
        np.testing.assert_allclose(one[name][:, 0], other[name][:, 0], atol=1e-4)
    assert one.attrs["untrained"] == "normal weights"


def test_clamped_inputs__are_fields(trained):
    options = {"configurations": 1, "starts": 4, "max_iterations": 300, "temperatures": 0.9}
    free, held = (neuron_tap(trained(), clamp=clamp, **options) for clamp in (None, 3))
    assert np.isnan(held["layer_overlap"].isel(layer=0)).all()
    assert float(free["glass_temperature"][0, 0]) > float(held["glass_temperature"][0, 0])
    with pytest.raises(InputError, match=r"clamp 99999 given; there are test examples 0 to \d+"):
        neuron_tap(trained(), clamp=99999, **options)


def test_weights_of_signs__count_as_their_networks_scale_them(ensemble_of):
    """|J| = 1/√inputs whatever the signs are, so that T_SG is that of the formula, exactly."""
    signs = np.random.default_rng(0).choice([-1, 1], (2, 20 * 12 + 12 * 1))
    result = melting(ensemble_of(signs, widths=(20, 12, 1)), shuffles=0)
    T = untrained_melting_temperature((20, 12, 1))
    np.testing.assert_allclose(result["glass_temperature"], T, rtol=1e-6)
    assert "note" not in result.attrs


def test_one_layer_and_biases__are_taken(tmp_path):
    w = np.random.default_rng(0).standard_normal((6, 8)) / 3
    one = melting(chain(tmp_path / "one.zarr", [w]), shuffles=1)
    assert one.attrs["widths"] == [8, 6]
    biased = {"0.weight": w, "0.bias": 9 * np.ones(6), "2.weight": np.ones((4, 6)),
              "2.bias": 9 * np.ones(4)}  # fmt: skip
    store = stored(tmp_path / "bias.zarr", biased)
    result = melting(store, shuffles=0)
    assert result.attrs["widths"] == [8, 6, 4]
    assert "biases are left out" in result.attrs["note"]
    assert np.isnan(result["accuracy"]).all()


def test_few_units__have_zeros_beside_their_singular_values(tmp_path):
    """Of 20 + 3 + 10 units three pairs ± are not zero: the others are known too."""
    rng = np.random.default_rng(5)
    matrices = [rng.standard_normal((3, 20)), rng.standard_normal((10, 3))]
    result = bond_spectrum(chain(tmp_path / "few.zarr", matrices), ranks=6)
    found = result["eigenvalue"].values[0, -1]
    J = np.zeros((33, 33))
    J[20:23, :20], J[23:, 20:23] = matrices
    np.testing.assert_allclose(found, np.linalg.eigvalsh(J + J.T)[::-1][:6], atol=1e-6)
    assert result.attrs["converged"] == 1


def test_other_layers__are_refused(tmp_path):
    for shapes, says in (
        (((8, 1, 3, 3), (10, 8)), "layer a is 8x1x3x3, no matrix"),
        (((8, 4), (10, 7)), "a layer of 8 units is followed by one of 7 inputs"),
        (((8,), (10,)), "holds no matrix"),
    ):
        layers = {name: np.ones(shape) for name, shape in zip("ab", shapes, strict=True)}
        store = stored(tmp_path / f"{len(says)}.zarr", layers)
        with pytest.raises(InputError, match=says):
            melting(store)


def test_weights_that_are_zero__have_no_temperature(tmp_path):
    store = chain(tmp_path / "zero.zarr", [np.zeros((5, 6))])
    result = melting(store, shuffles=1)
    assert (result["critical_temperature"] == 0).all()
    assert result.attrs["verdict"] == "undetermined"  # nothing freezes
    assert (bond_spectrum(store)["outliers"] == 0).all()
    assert np.isnan(neuron_tap(store, starts=2)["converged"]).all()
    with pytest.raises(InputError, match="has no weight beside zero"):
        neuron_mc(store, draws=2, burn_in=1)


@pytest.mark.parametrize(
    ("function", "options", "says"),
    [
        (melting, {"configurations": 4}, "configurations 4 given; .* has 3 to choose from"),
        (melting, {"configurations": [7]}, "configuration 7 given"),
        (neuron_tap, {"temperatures": [0.5, 0.0]}, "positive numbers are needed"),
        (melting, {"configurations": [1, 2, 1]}, "configurations: 1 given twice"),
        (bond_spectrum, {"configurations": []}, "configurations: none given"),
        (neuron_tap, {"temperatures": [0.5, 0.5]}, "each once"),
        (neuron_tap, {"temperatures": [1e-300]}, "numbers from 1e-06 are needed"),
        (neuron_tap, {"temperatures": [1e300]}, r"at most 1e\+15"),
        (neuron_mc, {"temperatures": [1.0, 0.5]}, "ascending"),
        (neuron_mc, {"ladders": 5}, "an even number from 4 on"),
    ],
)
def test_bad_input__is_refused(function, options, says, trained):
    with pytest.raises(InputError, match=says):
        function(trained(), **options)


def test_committees_and_parts__are_refused(trained, tmp_path, capsys):
    with pytest.raises(InputError, match="a view of a part given"):
        melting(open_ensemble(trained()).part("LB"))
    with pytest.raises(InputError, match="an ensemble or the path of its store is needed"):
        melting(np.ones((2, 3)))
    code, _, err = run(["melting", tmp_path / "none", "--out", tmp_path / "r"], capsys)
    assert code == 2
    assert not (tmp_path / "r").exists()
    assert err.count("\n") == 1
