"""Keyword arguments that had another name are still taken."""

import inspect

import pytest

import lsg_ray
from lsg_ray.cluster import jobs
from lsg_ray.renaming import renamed

SCANS = (
    "anneal_scan", "compare_minima", "entropy_scan", "flatness", "interpolate", "iso_energy",
    "loss_surface", "random_walk", "swap_barriers",
)  # fmt: skip


@renamed(pieces="checkpoints")
def scan(model, *, checkpoints=None):
    return model, checkpoints


def test_former_name__is_taken_with_a_warning():
    with pytest.warns(DeprecationWarning, match="scan: the argument pieces is called checkpoints"):
        assert scan(1, pieces="here") == (1, "here")
    assert scan(1, checkpoints="here") == (1, "here")
    assert [*inspect.signature(scan).parameters] == ["model", "checkpoints"]


def test_former_and_present_name__are_refused():
    with pytest.raises(TypeError, match="pieces and checkpoints given"):
        scan(1, pieces="here", checkpoints="there")
    with pytest.raises(TypeError, match="unexpected keyword argument 'piece'"):
        scan(1, piece="here")


@pytest.mark.parametrize(
    ("function", "former", "present"),
    [
        *((getattr(lsg_ray, name), "pieces", "checkpoints") for name in SCANS),
        (lsg_ray.run, "say", "log"),
        (jobs.submit, "say", "log"),
        (jobs.submit, "on_log", "on_line"),
        (jobs.follow, "say", "log"),
        (jobs.follow, "on_log", "on_line"),
    ],
)
def test_public_functions__take_their_former_names(function, former, present):
    parameters = inspect.signature(function).parameters
    assert present in parameters
    assert former not in parameters
    with pytest.raises(TypeError, match=f"{former} and {present} given"):
        function(**{former: None, present: None})
