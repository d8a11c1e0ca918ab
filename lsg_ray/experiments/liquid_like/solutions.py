"""Fig. 2: how accurate trained networks are, and a map of the weights before and after learning."""

from __future__ import annotations

import numpy as np

from lsg_ray.experiments.claim import Claim, Measured, Results, Within
from lsg_ray.experiments.estimators import bootstrapped
from lsg_ray.experiments.experiment import LIQUID_LIKE, Experiment, merged
from lsg_ray.experiments.liquid_like.cases import PAPER, SAMPLED, TOY, UNDER
from lsg_ray.rng import Stream, generator
from lsg_ray.typing import Floats

#: Neighbours that the density of a map is estimated by; links between points, in median distances
#: to them; random halves of the points that give an error.
NEIGHBOURS, LINK, HALVES = 5, 3.0, 20


def accepted(results: Results) -> Measured:
    """Return the share of trials that reach the threshold: geometric, so ± p √((1 − p)/n)."""
    ensemble = results.ensembles["ensemble"]
    trials = ensemble.to_pandas(["trial"])["trial"].to_numpy() + 1.0
    value = len(trials) / trials.sum()
    error = value * np.sqrt(max(1 - value, 1 / trials.sum()) / len(trials))
    return Measured(float(value), float(error), f"{len(trials)} accepted")


def spread(points: Floats) -> float:
    """Return the median distance of points to their median point."""
    return float(np.median(np.linalg.norm(points - np.median(points, axis=0), axis=1)))


def largest_component(points: Floats) -> float:
    """Return the share of points in the largest group that is linked by short steps.

    >>> largest_component(np.repeat([[0.0, 0.0], [9.0, 0.0]], 10, 0) + np.arange(20)[:, None] / 99)
    0.5
    """
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    tree = cKDTree(points)
    near = tree.query(points, min(NEIGHBOURS + 1, len(points)))[0][:, -1]
    links = tree.sparse_distance_matrix(
        tree, LINK * float(np.median(near)), output_type="coo_matrix"
    )
    _, labels = connected_components(links, directed=False)
    return float(np.bincount(labels).max() / len(points))


def _learned(results: Results) -> tuple[Floats, Floats]:
    points = np.stack([results.steps["map"][axis].values for axis in "xy"], axis=1)
    learned = results.steps["map"]["learned"].values.astype(bool)
    return points[learned], points[~learned]


def connected(results: Results) -> Measured:
    """Return the share of learned points in the largest component, with the spread of halves.

    Where all halves are one component, as many as one point may be outside.
    """
    points, _ = _learned(results)
    rng = generator(0, Stream.MAP, 1)
    halves = [
        largest_component(points[rng.permutation(len(points))[: len(points) // 2]])
        for _ in range(HALVES)
    ]
    error = max(float(np.std(halves, ddof=1)), 1 / len(points))
    return Measured(largest_component(points), error)


def relative_spread(results: Results) -> Measured:
    """Return the spread of learned points over that of random starts, on the map."""
    return bootstrapped(lambda a, b: spread(a) / spread(b), *_learned(results))


EXPERIMENT = Experiment(
    "ll-fig2",
    LIQUID_LIKE,
    "2",
    "Test accuracy of trained networks, and a map of weights before and after learning",
    spec=merged(
        UNDER,
        {
            "study": {
                "map": {"stage": "embed", "configurations": 1000, "starts": True},
                "overlaps": {},
            }
        },
    ),
    scales={
        "toy": merged(TOY, {"study": {"map": {"configurations": 60}}}),
        "paper": merged(PAPER, {"study": {"map": {"configurations": 10_000}}}),
    },
    claims=(
        Claim(
            "Trained networks reach a test accuracy of 80 %.",
            "Sec. II, Fig. 2(a)",
            "share of trials that reach it",
            accepted,
            Within(low=0.5),
            "accuracies of references 0.80 to 0.83",
        ),
        Claim(
            "The learned configurations are organised into one large connected component.",
            "Sec. II, Fig. 2(b)",
            "share of them in the largest component of the map",
            connected,
            Within(low=0.9),
        ),
        Claim(
            "They occupy a relatively small region, compared to all of the space.",
            "Sec. II, Fig. 2(b)",
            "median distance from their centre / that of random starts, on the map",
            relative_spread,
            Within(high=1.0),
        ),
    ),
    minutes=15,
    sampled=SAMPLED,
)
