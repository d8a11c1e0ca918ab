"""Minima and saddles beside components of sublevel sets, counted level by level."""

import numpy as np
import pytest
from scipy import ndimage

from lsg_ray.errors import InputError
from lsg_ray.loss_landscape.curves.persistence import minima_of


def components(h, level):
    return ndimage.label(h <= level, np.ones((3,) * h.ndim))


@pytest.mark.parametrize("shape", [(41,), (1,), (9, 7), (1, 12), (12, 1), (8, 8)])
@pytest.mark.parametrize("ties", [False, True])
def test_minima_are_alive_as_components_of_sublevel_sets(shape, ties):
    """At each level there are as many components as minima born and not yet dead."""
    rng = np.random.default_rng(sum(shape))
    for _ in range(5):
        h = rng.normal(size=shape)
        h = np.round(2 * h) if ties else h
        found = minima_of(h)
        for level in np.unique(h):
            alive = (found.birth <= level) & ((found.death > level) | (found.saddle < 0))
            assert alive.sum() == components(h, level)[1]


def test_a_minimum_joins_the_older_one_at_its_saddle():
    rng = np.random.default_rng(1)
    h = rng.normal(size=(9, 9))
    found = minima_of(h)
    assert (np.diff(found.persistence) <= 0).all()
    assert found.parent[0] == -1
    for number in range(1, len(found.minimum)):
        parent = found.parent[number]
        assert 0 <= parent < number
        assert found.birth[parent] <= found.birth[number]
        own, older = found.minimum[[number, parent]]
        labels, _ = components(h, found.death[number])
        assert labels.flat[own] == labels.flat[older]
        below, _ = components(h, np.nextafter(found.death[number], -np.inf))
        assert below.flat[own] != below.flat[older]


def test_pairs_of_a_grid_are_those_of_gudhi():
    """Computed once by gudhi 3.13: `CubicalComplex(top_dimensional_cells=h).persistence()`.

    The pairs of positive persistence, the lowest minimum cut at the highest value.
    """
    h = np.random.default_rng(20).integers(0, 50, (6, 7)).astype(float)
    found = minima_of(h)
    pairs = sorted(zip(found.birth.tolist(), found.death.tolist(), strict=True))
    assert pairs == [(0, 49), (1, 33), (3, 22), (4, 32), (12, 17), (15, 22)]


def test_thresholds_keep_parents():
    found = minima_of(np.random.default_rng(2).normal(size=(20, 20)))
    for threshold in (0.5, 1.0, 2.0):
        some = found.above(threshold)
        assert (some.persistence >= threshold).all()
        assert (some.parent < np.arange(len(some.parent))).all()


@pytest.mark.parametrize("given", [[], [1.0, np.nan], np.zeros((2, 2, 2)), [np.inf]])
def test_what_is_no_grid_of_numbers(given):
    with pytest.raises(InputError, match="finite values on a line or a grid"):
        minima_of(given)
