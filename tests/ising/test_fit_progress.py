"""Progress of a fit: the fit and its check are halves of one whole; it never goes back."""

import numpy as np
import pytest

import lsg_ray


@pytest.mark.parametrize("method", ["bp", "pcd"])
def test_fit_and_check__are_halves(method):
    sigma = np.random.default_rng(0).choice([-1, 1], (200, 6)).astype(np.int8)
    seen = []
    options = {"steps": 20} if method == "pcd" else {}
    lsg_ray.fit_boltzmann(
        sigma, method=method, progress=lambda *report: seen.append(report), **options
    )
    done = [done for done, _ in seen]
    assert {total for _, total in seen} == {1000}
    assert done == sorted(done)
    assert method == "bp" or 500 in done  # bp without a margin is one step
    assert done[-1] == 1000
    assert sum(500 < each < 1000 for each in done) > 3


def test_check_of_tempered_chains__is_a_tenth():
    sigma = np.random.default_rng(0).choice([-1, 1], (200, 6)).astype(np.int8)
    seen = []
    lsg_ray.fit_boltzmann(
        sigma, method="tempered", steps=20, ladders=4, burn_in=5,
        progress=lambda *report: seen.append(report),
    )  # fmt: skip
    done = [done for done, _ in seen]
    assert {total for _, total in seen} == {1000}
    assert done == sorted(done)
    assert {225, 900, 1000} <= {*done}  # the climbs of the chains and of the ladders, and the check


def test_fit_without_check__is_the_whole():
    sigma = np.random.default_rng(0).choice([-1, 1], (200, 6)).astype(np.int8)
    seen = []
    lsg_ray.fit_boltzmann(
        sigma, method="pcd", steps=20, verify=False, progress=lambda *report: seen.append(report)
    )
    assert seen[-1][0] == seen[-1][1]


def test_steps_of_unknown_number__are_counted():
    sigma = np.random.default_rng(0).choice([-1, 1], (200, 6)).astype(np.int8)
    seen = []
    lsg_ray.fit_boltzmann(sigma, method="exact", progress=lambda *report: seen.append(report))
    assert {total for _, total in seen} == {0}
