"""Types of curves: five oracle curves, scale, noise, and what is not one of them."""

import numpy as np
import pytest

from lsg_ray.errors import InputError
from lsg_ray.loss_landscape.curves.measured import label_shares, type_variables
from lsg_ray.loss_landscape.curves.types import LABELS, curve_type

X = np.linspace(-1, 1, 41)
ORACLES = {
    "v-basin": X**2 + 0.01,
    "v-side": (X - 0.6) ** 2 + 0.01,
    "w-basin": 8 * (X * (X - 0.8)) ** 2 + 0.01,
    "w-peak": 4 * (X**2 - 0.36) ** 2 + 0.01,
    "vvv-basin": 20 * (X * (X**2 - 0.64)) ** 2 + 0.01,
}


@pytest.mark.parametrize("label", ORACLES)
def test_oracle_curves(label):
    assert curve_type(ORACLES[label]).label == label


@pytest.mark.parametrize("label", ORACLES)
def test_a_mirror_image_has_the_same_type(label):
    there, back = curve_type(ORACLES[label]), curve_type(ORACLES[label][::-1])
    assert back.label == label
    np.testing.assert_array_equal(40 - back.minima[::-1], there.minima)
    np.testing.assert_allclose(back.barrier[::-1], there.barrier)


@pytest.mark.parametrize("label", ORACLES)
def test_the_scale_of_the_loss_does_not_matter_above_the_floor(label):
    for scale in (10.0, 1e3):
        assert curve_type(scale * ORACLES[label]).label == label


@pytest.mark.parametrize("label", ORACLES)
def test_noise_of_five_per_cent(label):
    """1,000 curves with multiplicative noise, 99 % at least; full size in the benchmarks."""
    rng = np.random.default_rng(7)
    noisy = ORACLES[label] * (1 + 0.05 * rng.normal(size=(100, 41)))
    right = sum(curve_type(curve).label == label for curve in noisy)
    assert right >= 97


def test_heights_are_those_of_the_logarithm():
    kind = curve_type(ORACLES["w-peak"])
    h = np.log(ORACLES["w-peak"] + 1e-4)
    np.testing.assert_array_equal(kind.minima, [8, 32])
    np.testing.assert_allclose(kind.barrier, [h[20]])
    np.testing.assert_allclose(kind.contrast, [h[20] - h[8]])
    np.testing.assert_allclose(sorted(kind.persistence), sorted([np.ptp(h), h[20] - h[32]]))
    assert not kind.open


@pytest.mark.parametrize(
    ("loss", "label", "ends"),
    [
        (np.ones(41), "flat", False),
        (1 + 0.05 * X**2, "flat", False),
        (np.exp(-X), "v-side", True),
        (2 + np.cos(4 * np.pi * X), "4-peak", False),
        (2 - np.cos(4 * np.pi * X), "5-floor", True),
        (np.where(X == 0.5, np.inf, 1 + X**2), "undetermined", False),
    ],
)
def test_other_curves(loss, label, ends):
    kind = curve_type(loss)
    assert (kind.label, kind.open) == (label, ends)
    assert kind.group in (*LABELS, "undetermined")


def test_side_of_two_basins():
    loss = 8 * ((X - 0.3) * (X + 0.9)) ** 2 + 0.01
    assert curve_type(loss).label == "w-side"
    assert curve_type(np.append(loss, loss[-1]), center=20).label == "w-side"


@pytest.mark.parametrize(
    ("loss", "options", "message"),
    [
        (np.ones(40), {}, "loss at 40 points given; an odd number, or center"),
        (np.ones(2), {}, "three points or more"),
        (-np.ones(41), {}, "loss -1 given; it is not negative"),
        (np.ones(41), {"center": 41}, "center 41 given; the curve has 41 points, from 0"),
    ],
)
def test_what_is_no_curve(loss, options, message):
    with pytest.raises(InputError, match=message):
        curve_type(loss, **options)


def test_shares_have_an_error_over_networks():
    rows = np.array([["v-basin", "v-basin"], ["v-side", "v-side"]] * 8)
    found = label_shares(rows)
    assert found.share[:2].tolist() == [0.5, 0.5]
    assert found.stderr[0] == pytest.approx(rows.shape[0] ** -0.5 * np.std([0, 1] * 8, ddof=1))
    # All agree: 20 of 20, with two successes and two failures added.
    same = label_shares(np.full((20, 1), "flat"))
    assert same.stderr[LABELS.index("flat")] == pytest.approx((22 / 24 * 2 / 24 / 24) ** 0.5)
    assert label_shares(rows[:1]).stderr[0] > 0.1


def test_variables_have_room_for_the_most_basins():
    kinds = [curve_type(ORACLES[label]) for label in ("v-basin", "vvv-basin")]
    made = type_variables(kinds, np.broadcast_to(X, (2, 41)), ("curve",), "train_")
    np.testing.assert_allclose(made["train_minimum"][1][1], [-0.8, 0, 0.8], atol=1e-12)
    assert np.isnan(made["train_minimum"][1][0, 1:]).all()
    assert np.isnan(made["train_barrier"][1][1, 2])
    assert made["train_basins"][1].tolist() == [1, 3]
