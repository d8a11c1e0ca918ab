"""Branches of a tree, against SciPy's, and what a click in tree or matrix chooses."""

import numpy as np
import pytest
from scipy.cluster.hierarchy import cophenet, linkage, to_tree
from scipy.spatial.distance import squareform

from lsg_ray.errors import InputError
from lsg_ray.explore import session  # noqa: F401 - loads what draws plots
from lsg_ray.explore.branches import Branches
from lsg_ray.explore.page import Page
from lsg_ray.explore.places import find_places
from lsg_ray.report.figures.clustering import brackets

from .test_views import texts


@pytest.fixture(scope="module")
def tree():
    points = np.random.default_rng(4).normal(size=(23, 3))
    return linkage(points, "average")


def test_leaves__are_those_of_scipys_tree(tree):
    branches = Branches(tree)
    _, nodes = to_tree(tree, rd=True)
    for node in nodes:
        assert sorted(branches.leaves(node.id)) == sorted(node.pre_order())
        assert branches.height[node.id] == node.dist


def test_the_branch_of_two_leaves__is_joined_at_their_cophenetic_distance(tree):
    branches, joined = Branches(tree), squareform(cophenet(tree))
    for a in range(23):
        for b in range(23):
            node = branches.joined(a, b)
            assert branches.height[node] == joined[branches.order[a], branches.order[b]]


def test_the_branch_below_a_click__is_the_largest_that_is_joined_there(tree):
    branches, joined = Branches(tree), squareform(cophenet(tree))
    for place in range(23):
        for height in (0.0, *tree[::4, 2], 1e9):
            leaf = branches.order[place]
            expected = np.flatnonzero(joined[leaf] <= height)
            assert sorted(branches.leaves(branches.at(place, height))) == expected.tolist()


def test_cuts__are_those_of_flat_clusters(run_folder):
    import lsg_ray

    place = find_places([str(run_folder / "cluster.zarr")])[0]
    result = place.result()
    branches = Branches(result["linkage"].values)
    for count in (1, 2, 5, 60, 99):
        labels = lsg_ray.flat_clusters(result, count=min(count, 60)).values
        for number, node in enumerate(branches.cut(count)):
            assert sorted(branches.leaves(node)) == np.flatnonzero(labels == number).tolist()


def test_brackets__are_those_of_the_figure(tree):
    branches = Branches(tree)
    drawn = branches.lines(len(branches.first) - 1).reshape(-1, 5, 2)[:, :4]
    np.testing.assert_allclose(drawn, brackets(tree) - [1, 0])
    inner = int(tree[-1, 0])
    assert len(branches.lines(inner)) == 5 * (len(branches.leaves(inner)) - 1)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((0, 4)),
        np.zeros((3, 2)),
        np.full((2, 4), np.nan),
        [[0, 0, 1, 2]],  # joined to itself
        [[0, 2, 1, 2]],  # to what is made of it
        [[0, 1, 1, 2], [0, 2, 1, 3]],  # twice
        [[-1, 1, 1, 2]],
        [[0, 0.5, 1, 2]],
    ],
)
def test_what_is_no_tree__is_refused(wrong):
    with pytest.raises(InputError, match="no tree"):
        Branches(np.array(wrong))
    with pytest.raises(InputError, match="no tree"):
        brackets(np.array(wrong))


def test_clicks__choose_a_branch_and_its_configurations(run_folder):
    places = find_places([str(run_folder)])
    view = Page(places, {"place": "toy/cluster", "view": "tree", "clusters": "3"}).view
    view._shown(view.load())
    assert [option.split(":")[0] for option in view._menu[0].options] == [
        "none", "cluster 0", "cluster 1", "cluster 2",
    ]  # fmt: skip
    view._on_tree(x=0.2, y=1e9)
    assert view.branch == 118
    for row in range(59):  # to two neighbours that are joined below the root
        view._on_matrix(x=float(row), y=row + 1.0)
        if view.branch != 118:
            break
    numbers, means = view.inside()
    leaves = view.branches.leaves(view.branch)
    assert {row, row + 1} <= set(range(60)[view.branches.first[view.branch] :][: len(leaves)])
    weights = view.store().numpy()[numbers]
    apart = (weights[:, None] != weights[None]).sum(axis=2)
    assert len(numbers) < 60
    assert (np.diff(means) >= 0).all()
    if view.place.result().attrs["alignment"] == "none":
        np.testing.assert_allclose(means, apart.sum(axis=1) / (len(numbers) - 1))
    assert any("Configurations of the branch" in one for one in texts(view._chosen))


def test_maps__are_coloured_by_clusters(run_folder):
    import lsg_ray

    places = find_places([str(run_folder)])
    by_name = {place.name: place for place in places}
    labels = lsg_ray.flat_clusters(by_name["toy/cluster"].result(), count=3).values
    query = {"place": "toy/ensemble", "section": "Map", "clusters": "3"}
    query["colour"] = "clusters of toy/cluster"
    for more in ({}, {"source": "toy/map"}, {"where": "accuracy > 0.5"}):
        view = Page(places, query | more).view
        xy, colour, numbers = view.mapped()
        np.testing.assert_array_equal(colour, labels[numbers])
        assert len(xy) == len(numbers) == (24 if "where" in more else 60)
        if not more:
            np.testing.assert_allclose(xy, view.sample().xy, atol=1e-5)
        assert view._drawn((xy, colour, numbers)) is not None
