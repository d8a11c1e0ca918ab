"""Errors under noise: against loops, limits, and their standard errors."""

import numpy as np
import pytest

from lsg_ray.errors import InputError
from lsg_ray.minima.chosen import choose
from lsg_ray.minima.local_energy import input_robustness, local_energy
from lsg_ray.networks.families.committee import fields
from lsg_ray.report.figures.flat_minima import rise_caption, rise_figure
from lsg_ray.rng import Stream, generator


def test_noise_on_weights__by_a_loop(committees):
    result = local_energy(committees, sigmas=[0.2, 0.6], draws=5, seed=3)
    chosen = choose(committees, None, for_what="this")
    x, s = chosen.ground.arena.train
    rng = generator(3, Stream.LANDSCAPE, 9, int(chosen.numbers[1]))
    for index, sigma in enumerate((0.2, 0.6)):
        errors = []
        for noise in rng.standard_normal((5, *chosen.weights[1].shape)):
            w = chosen.weights[1] + sigma * noise
            votes = np.sign((w * x.astype(np.float64)).sum(axis=2)).sum(axis=1)
            errors.append(np.mean(votes * s <= 0))
        assert result["rise"][1, index].item() == pytest.approx(np.mean(errors))
        error = np.std(errors, ddof=1) / np.sqrt(5)
        assert result["rise_stderr"][1, index].item() == pytest.approx(error)


def test_small_noise__changes_nothing_and_large_noise_all(committees):
    result = local_energy(committees, sigmas=[1e-9, 0.3, 1e4], draws=400)
    assert (result["rise"][:, 0] == 0).all()
    assert (result["rise_mean"].diff("level") > 0).all()
    # Of random weights half of the patterns are wrong.
    assert result["rise_mean"][2].item() == pytest.approx(0.5, abs=0.03)


def test_flips__each_with_its_probability(perceptrons):
    result = local_energy(perceptrons, flips=[1e-9, 0.1, 0.499], draws=400)
    assert result.attrs["noise"] == "flips"
    assert (result["rise"][:, 0] == 0).all()
    share = result["errors"] / result.attrs["n_patterns"]
    np.testing.assert_allclose(result["rise"][:, 2] + share, 0.5, atol=0.04)


def test_noise_on_inputs__is_that_of_pixels(machines, machine_spec):
    spec = machine_spec("spherical-perceptron", n=21, count=2, dataset={"values": "gaussian"})
    ensemble = machines(spec)
    chosen = choose(ensemble, None, for_what="this")
    x, s = chosen.ground.arena.train
    result = input_robustness(ensemble, sigmas=[0.5], draws=3, seed=1)
    errors = []
    for draw in range(3):
        noise = generator(1, Stream.LANDSCAPE, 10, draw).standard_normal(x.shape, np.float32)
        h = fields(chosen.weights[:1], x + np.float32(0.5) * (x.std(axis=0) * noise))[0, :, 0]
        errors.append(np.mean(h * s <= 0))
    assert result["rise"][0, 0].item() == pytest.approx(np.mean(errors))
    both = [
        input_robustness(ensemble, sigmas=[0.5], draws=40, colour=colour)["rise"].values
        for colour in ("pixel", "white")
    ]
    assert not np.array_equal(*both)


def test_input_noise__rises_with_sigma_and_is_the_same_again(committees):
    result = input_robustness(committees, sigmas=[1e-6, 0.3, 1.0], draws=40)
    assert (result["rise"][:, 0] == 0).all()
    assert (result["rise_mean"].diff("level") > 0).all()
    again = input_robustness(committees, sigmas=[1.0], draws=40, configurations=[3])
    assert again["rise"].item() == result["rise"][3, 2].item()
    assert rise_figure({"": result}).axes
    assert "4 configurations of least-action" in rise_caption({"": result})[0]


def test_parity_machines__have_errors_too(machines, machine_spec):
    signs = np.random.default_rng(0).choice(np.array([-1, 1], np.int8), (2, 45))
    parity = machines(machine_spec("parity", count=2, training={"algorithm": "given"}), signs)
    assert local_energy(parity, flips=[0.1], draws=4).sizes["solution"] == 2
    assert input_robustness(parity, sigmas=[0.1], draws=4).sizes["level"] == 1


def test_bad_input__is_one_line(committees, perceptrons, ensemble_of):
    binary = ensemble_of(np.ones((4, 6)))
    for function, given, options, message in [
        (local_energy, binary, {}, "is of perceptrons and committees"),
        (local_energy, committees, {"sigmas": [-0.1]}, "numbers above 0 are needed"),
        (local_energy, perceptrons, {"flips": [0.5]}, "above 0 and below 0.5 are needed"),
        (local_energy, committees, {"draws": 1}, "draws"),
        (input_robustness, committees, {"sigmas": [np.nan]}, "numbers above 0 are needed"),
        (input_robustness, committees, {"colour": "red"}, "colour"),
    ]:
        with pytest.raises(InputError, match=message):
            function(given, **options)
