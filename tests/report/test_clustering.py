"""Figure of clusters: lines of the tree as SciPy draws them, and degenerate sets."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.cluster.hierarchy import dendrogram

from lsg_ray.report import style
from lsg_ray.report.figures.clustering import brackets, clustering_figure
from lsg_ray.report.style import render
from lsg_ray.statistics import gaussian
from lsg_ray.statistics.clustering import cluster

from .made import PNG


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    monkeypatch.setattr(style, "DPI", 50)
    monkeypatch.setattr(gaussian, "PAIR_TESTS", replace(gaussian.PAIR_TESTS, rounds=1))


@pytest.mark.parametrize("linkage", ["average", "centroid"])
def test_brackets__are_those_of_scipy(linkage):
    tree = cluster(np.random.default_rng(0).normal(size=(20, 3)), linkage=linkage)["linkage"].values
    drawn = dendrogram(tree, no_plot=True)
    # SciPy puts leaves at 5, 15, 25, …
    expected = np.stack([(np.array(drawn["icoord"]) + 5) / 10, drawn["dcoord"]], axis=2)
    result = brackets(tree)
    np.testing.assert_allclose(in_order(result), in_order(expected))


def in_order(lines):
    return lines[np.lexsort(lines.reshape(len(lines), -1).T)]


SETS = {
    "many": np.random.default_rng(0).normal(size=(60, 30)),
    "three": np.random.default_rng(0).normal(size=(3, 30)),
    "equal distances": np.eye(9),
    "one point": np.zeros((9, 4)),
    "signs": np.random.default_rng(0).choice([-1, 1], size=(9, 40)),
    "clusters": np.repeat([0.0, 9.0], 10)[:, None] + np.random.default_rng(0).normal(size=(20, 4)),
}


@pytest.mark.parametrize("case", SETS)
def test_figure(case):
    result = cluster(SETS[case])
    figure = clustering_figure(result)
    assert [axes.get_title(loc="left") != "" for axes in figure.axes] == [True] * 4 + [False]
    assert render(figure).startswith(PNG)
