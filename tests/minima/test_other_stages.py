"""Committees meet the stages of other networks: measured, or refused in one line."""

import numpy as np
import pytest

import lsg_ray
from lsg_ray.errors import InputError
from lsg_ray.spec import parse_spec
from lsg_ray.studies import default_study


@pytest.fixture(scope="module", params=["committee", "spherical-committee"])
def ensemble(request):
    tree = {
        "dataset": {"name": "random-patterns", "patterns": 10, "inputs": 27, "test_patterns": 20},
        "network": {"family": request.param, "widths": [27, 3, 1]},
        "training": {"epochs": 500},
        "ensemble": {"count": 4, "threshold": 0.0},
    }
    url = f"memory://{request.param}"
    lsg_ray.sample(parse_spec(tree), url, workers=0)
    return lsg_ray.open_ensemble(url)


@pytest.mark.parametrize(
    "stage",
    [
        lsg_ray.random_walk, lsg_ray.interpolate, lsg_ray.flatness,
        lambda e: lsg_ray.node_symmetry(e), lambda e: lsg_ray.permute(e, 0.5),
        lambda e: lsg_ray.canonicalize(e),
    ],
)  # fmt: skip
def test_what_is_of_other_networks__is_refused_in_one_line(ensemble, stage):
    with pytest.raises(InputError, match=r"holds committees (of|on)"):
        stage(ensemble)


def test_units_are_left_in_their_order_by_default(ensemble):
    result = lsg_ray.clustering(ensemble)
    assert result.attrs["alignment"] == "none"


def test_default_study__has_only_what_can_be_computed(ensemble):
    names = set(default_study(ensemble).steps)
    assert names == ({"moments", "overlaps"} if ensemble.signs else {"moments", "distances"})
    assert np.isfinite(lsg_ray.moments(ensemble)["m"]).all()
