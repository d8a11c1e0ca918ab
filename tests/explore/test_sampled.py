"""Samples of blocks, components, choices of points, and exports of what is chosen."""

import numpy as np
import pytest

from lsg_ray.errors import InputError, QueryError
from lsg_ray.explore.growing import Growth
from lsg_ray.explore.sampled import Sample, inside, principal_axes
from lsg_ray.explore.selection import Chosen, exported, layer_images, nearest


@pytest.fixture(scope="module")
def ensemble(ensemble_of):
    rng = np.random.default_rng(1)
    weights = np.where(rng.random((100, 15)) < rng.random(15), 1, -1)
    return ensemble_of(weights, widths=(4, 3, 1), block_size=10)


def test_samples__are_whole_blocks(ensemble):
    sample = Sample(ensemble, 25)
    numbers = sample.column("configuration")
    assert len(numbers) == 30
    assert (numbers.reshape(3, 10) == numbers[::10, None] + np.arange(10)).all()
    assert not sample.is_whole
    assert Sample(ensemble, 1000).is_whole
    assert Sample(ensemble, 25, seed=1).blocks != sample.blocks


def test_samples_of_a_view__meet_its_condition(ensemble):
    assert (Sample(ensemble.where("accuracy > 0.5")).column("accuracy") > 0.5).all()
    with pytest.raises(QueryError, match=r"\^"):
        ensemble.where("accuracy > nothing")


def test_components__are_those_of_the_covariance(ensemble):
    weights = ensemble.numpy().astype(float)
    vectors = np.linalg.eigh(np.cov(weights.T)).eigenvectors
    for rows in (weights, weights[:12]):  # by weights, and by configurations
        mean, axes = principal_axes(rows)
        np.testing.assert_allclose(mean, rows.mean(axis=0))
        np.testing.assert_allclose(axes.T @ axes, np.eye(2), atol=1e-10)
        scores = (rows - mean) @ axes
        expected = np.sort(np.linalg.eigvalsh(np.cov(rows.T)))[::-1][:2]
        np.testing.assert_allclose(scores.var(axis=0, ddof=1), expected)
    xy = Sample(ensemble).xy
    assert xy.dtype == np.float32
    np.testing.assert_allclose(np.abs(np.corrcoef(xy[:, 0], weights @ vectors[:, -1])[0, 1]), 1)


def test_equal_configurations__have_one_point(ensemble_of):
    xy = Sample(ensemble_of(np.ones((4, 6)))).xy
    assert np.abs(xy).max() == 0


def test_boxes_and_lassos(ensemble):
    xy = Sample(ensemble).xy
    box = inside(xy, (-1, -1, 1, 1))
    assert (np.abs(xy[box]) <= 1).all()
    assert len(box) == (np.abs(xy) <= 1).all(axis=1).sum()
    corners = [[-1, -1], [-1, 1], [1, 1], [1, -1]]
    assert inside(xy, None, corners).tolist() == box.tolist()
    assert inside(xy, None).size == 0


def test_chosen_configurations__are_exported(ensemble):
    chosen = [3, 57, 5, 3]
    with np.load(exported(ensemble, chosen, "npz")) as arrays:
        assert arrays["configuration"].tolist() == [3, 5, 57]
        weights = arrays["weights"] if "weights" in arrays else arrays["sigma"]
        np.testing.assert_array_equal(weights, ensemble.numpy()[[3, 5, 57]])
    lines = exported(ensemble, chosen, "csv").getvalue().decode().splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("configuration,accuracy")
    assert Chosen(ensemble.part("LB"), [3]).n_weights == ensemble.part("LB").n_weights


def test_images_of_weights__and_neighbours(ensemble):
    images = layer_images(ensemble, 7)
    assert len(images) == 2
    assert all(png.startswith(b"\x89PNG") and alt for _, png, alt, _ in images)
    near = nearest(Sample(ensemble), 7)
    weights = ensemble.numpy()
    distance = (weights != weights[7]).mean(axis=1)
    assert 7 not in near["configuration"]
    np.testing.assert_allclose(near["distance"], np.sort(np.delete(distance, 7))[:10])


def test_a_store_that_grows__has_a_rate_and_a_time_left(ensemble_of):
    weights = np.ones((40, 4))
    growth = Growth()
    url = "memory://explore-growing"
    half = ensemble_of(weights, url=url, block_size=10, blocks=[0])
    growth.add(half, 0.0)
    assert growth.rate is None
    assert "unknown" in growth.facts(half)["time left"]
    more = ensemble_of(weights, url=url, block_size=10, blocks=[0, 1])
    growth.add(more, 5.0)
    assert growth.rate == 2.0
    assert growth.facts(more) == {
        "configurations": "20 of 40",
        "blocks": "2 of 4",
        "rate": "2 configurations a second",
        "time left": "10 s",
    }
    growth.add(more, 100.0)
    assert growth.rate is None


def test_no_configurations__is_an_error(ensemble_of):
    with pytest.raises(InputError, match="sample first"):
        Sample(ensemble_of(np.ones((4, 4)), blocks=[]))
