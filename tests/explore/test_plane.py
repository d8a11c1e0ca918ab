"""Losses on a plane are those of the networks there, and the plane is that which was asked for."""

import asyncio

import numpy as np
import pytest

from lsg_ray.errors import InputError
from lsg_ray.explore import (
    loss_plane,
    session,  # noqa: F401 - loads what draws plots
)
from lsg_ray.explore.loss_plane import RANDOM, orthonormal, plane_of
from lsg_ray.explore.page import Page
from lsg_ray.explore.places import find_places
from lsg_ray.loss_landscape.flatness import filter_normalised
from lsg_ray.loss_landscape.terrain import terrain_of
from lsg_ray.rng import Stream, generator

from .test_views import texts


@pytest.mark.parametrize("others", [(1, 2, 3), (3, RANDOM, RANDOM)])
def test_losses__are_those_of_the_networks_on_the_plane(relu_store, monkeypatch, others):
    monkeypatch.setattr(loss_plane, "POINTS", 5)
    plane = plane_of(relu_store, 0, others)
    found = plane.surface(0.7, 1.5)
    weights = relu_store.numpy().astype(np.float64)
    e = orthonormal(np.array([weights[others[0]] - weights[0], *_rest(plane, weights, others)]))
    turned = e[1] * np.cos(0.7) + e[2] * np.sin(0.7)
    size = np.linalg.norm(weights[others[0]] - weights[0])
    np.testing.assert_allclose(found.a, np.linspace(-1.5, 1.5, 5) * size, atol=1e-6)
    points = [weights[0] + a * e[0] + b * turned for b in found.b for a in found.a]
    terrain = terrain_of(relu_store, loss_plane.EXAMPLES)
    expected = terrain.loss(np.array(points, np.float32)).reshape(5, 5)
    np.testing.assert_allclose(found.loss, expected, rtol=1e-4)
    np.testing.assert_allclose(found.places[:2], [[0, 0], [size, 0]], atol=1e-6)


def _rest(plane, weights, others):
    """Differences of the second and the third: of random directions, those of the plane."""
    if RANDOM not in others:
        return [weights[number] - weights[0] for number in others[1:]]
    rng = generator(0, Stream.LANDSCAPE, 6, 0)
    drawn = rng.standard_normal((3, weights.shape[1]), np.float32)
    return filter_normalised(plane.network, weights[0].astype(np.float32), drawn)[1:]


def test_another_network__is_where_its_place_says(relu_store):
    plane = plane_of(relu_store, 2, (0, 3, 1))
    loss = relu_store.take([3], ["weights"])["weights"]
    found = plane.surface(0.0, 1.0)
    a, b = found.places[2]
    expected = terrain_of(relu_store, loss_plane.EXAMPLES).loss(loss)[0]
    assert abs(plane._loss(a, b, 0.0) - expected) < 1e-4 * expected


def test_planes__that_cannot_be_are_refused(relu_store, monkeypatch):
    with pytest.raises(InputError, match="direction 2 lies in the span"):
        plane_of(relu_store, 0, (1, 1, 2))
    with pytest.raises(InputError, match="direction 1"):
        plane_of(relu_store, 0, (0, 1, 2))
    with pytest.raises(InputError, match="999"):
        plane_of(relu_store, 0, (1, 2, 999))
    monkeypatch.setattr(loss_plane, "MAX_PRODUCTS", 1000)
    with pytest.raises(InputError, match="lsg surface"):
        plane_of(relu_store, 0, (1, 2, 3))


def test_the_view__follows_its_sliders_and_says_what_is_wrong(relu_store):
    places = find_places([relu_store.url])
    view = Page(places, {"view": "plane", "first": "2", "angle": "30"}).view
    assert (view.key, view.first, view.angle) == ("plane", 2, 30)
    first = view.measured()
    shown = view._shown(first)
    asyncio.run(view._follow())
    view.extent = 0.5
    asyncio.run(view._follow())
    assert view._found.data.a[-1] < first.a[-1]
    scope = {}
    exec(view.as_python().replace("\nplane.surface", "\nloss = plane.surface"), scope)
    np.testing.assert_allclose(scope["loss"], view.measured().loss)
    with_error = Page(places, {"view": "plane", "first": "0"}).view
    asyncio.run(with_error._renew())
    assert any("direction 1" in one for one in texts(with_error._about))
    assert texts(shown)


def test_stores_without_a_loss__have_no_plane(run_folder):
    page = Page(find_places([str(run_folder)]), {"place": "toy/ensemble", "view": "plane"})
    assert page.view.key == "ensemble"
