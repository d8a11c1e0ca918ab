"""Which examples, batch and epochs have the published magnetizations: candidates beside each other.

Magnetizations are compared as means over hidden units, which are exchangeable: of each input in the
first layer, of each class in the last.  Published ones are read from ``data/reference`` in the
folder that LSG_SHARED names: ``deep_20-15-15-10.npz``, under-parametrised, and
``over_20-15-15-10.npz``, with ``m`` (675,) each; ``mnist_test_pca20.npz``, with ``x`` and ``y`` of
the test set, tells the signs of their principal components.  What is not there is undetermined.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from lsg_ray.datasets import load_dataset
from lsg_ray.errors import LsgError
from lsg_ray.experiments.claim import Claim, Measured, Results, Within
from lsg_ray.experiments.experiment import LIQUID_LIKE, Experiment, merged
from lsg_ray.experiments.liquid_like.cases import OVER, TOY, TOY_OVER, UNDER
from lsg_ray.spec import DatasetSpec, NetworkSpec
from lsg_ray.typing import Array, Floats

#: Groups of configurations that an error is estimated from.
GROUPS = 20
FIRST, LAST = "first layer", "last layer"
#: Candidates of the over-parametrised case: subset, P, batch, epochs.
CANDIDATES = {
    "random-600": ("random", 600, 50, 200),
    "first-600": ("first", 600, 50, 200),
    "first-500": ("first", 500, 10, 50),
    "first-500-long": ("first", 500, 10, 100),
}


def by_neuron(m: Floats, network: NetworkSpec, layer: str) -> Floats:
    """Return means over hidden units, of weights of each input or output: (..., neurons).

    >>> by_neuron(np.arange(9.0), NetworkSpec(widths=(2, 3, 1)), "first layer")
    array([2., 3.])
    """
    number, axis = (0, -2) if layer == FIRST else (-1, -1)
    weights = m[..., network.layer_slices[number]]
    means: Floats = weights.reshape(*m.shape[:-1], *network.shapes[number]).mean(axis=axis)
    return means


def correlation(sigma: Array, published: Floats) -> Measured:
    """Return Pearson's correlation of mean σ (M, neurons) with published means.

    The noise of a finite ensemble makes it too small: the jackknife, leaving out one of twenty
    groups of configurations, corrects that to order 1/M and gives the error.
    """
    if len(sigma) < 2 * GROUPS:
        return Measured(np.nan, np.nan, "too few configurations")
    sums = np.stack([sigma[n::GROUPS].sum(axis=0) for n in range(GROUPS)])
    counts = np.array([len(sigma[n::GROUPS]) for n in range(GROUPS)])[:, None]

    def with_published(mean: Floats) -> float:
        return float(np.corrcoef(mean, published)[0, 1])

    left = (sums.sum(axis=0) - sums) / (counts.sum() - counts)
    values = np.array([with_published(mean) for mean in left])
    value = GROUPS * with_published(sigma.mean(axis=0)) - (GROUPS - 1) * values.mean()
    return Measured(float(value), float(np.sqrt((GROUPS - 1) * values.var())))


def folder() -> Path:
    """Return the folder of published numbers."""
    return Path(os.environ.get("LSG_SHARED", "")) / "data" / "reference"


def signs_of_components(dataset: DatasetSpec, file: Path) -> Floats:
    """Return ±1 by component: the sign of ours relative to that of published projections."""
    ours = load_dataset(dataset).test.x
    with np.load(file) as arrays:
        theirs = arrays["x"]
    if ours.shape != theirs.shape:
        raise ValueError(f"test set of shape {ours.shape}; that of {file.name} is {theirs.shape}")
    signs: Floats = np.sign(((ours - ours.mean(axis=0)) * theirs).sum(axis=0)).astype(np.float64)
    return signs


def published_means(results: Results, name: str, layer: str, file: str) -> Floats:
    """Return the published means, with the signs of our components."""
    spec, path = results.ensembles[name].spec, folder() / file
    with np.load(path) as arrays:
        m = arrays["m"]
    if m.shape != (spec.network.n_weights,):
        raise ValueError(f"{file}: m of shape {m.shape}; ours has {spec.network.n_weights} weights")
    means = by_neuron(m, spec.network, layer)
    if layer == FIRST:
        means = means * signs_of_components(spec.dataset, folder() / "mnist_test_pca20.npz")
    return means


def agreement(name: str, layer: str, file: str, results: Results) -> Measured:
    """Return the correlation of a candidate's magnetizations with the published ones."""
    ensemble = results.ensembles[name]
    try:
        published = published_means(results, name, layer, file)
    except (OSError, KeyError, ValueError, LsgError) as error:
        reason = f"{file} not in LSG_SHARED" if isinstance(error, OSError) else str(error)
        return Measured(np.nan, np.nan, reason)
    sigma = by_neuron(ensemble.numpy().astype(np.float64), ensemble.spec.network, layer)
    return correlation(sigma, published)


def _claim(name: str, layer: str, case: str, what: str, published: str, low: float) -> Claim:
    file = {"under": "deep_20-15-15-10.npz", "over": "over_20-15-15-10.npz"}[case]
    return Claim(
        f"{what} has the published magnetizations, {layer}.",
        "App. D",
        "correlation of m, means over hidden units",
        lambda results: agreement(name, layer, file, results),
        Within(low=low),
        published,
    )


_BESIDE = {
    name: merged(
        OVER,
        {
            "dataset": {"subset": subset, "train_examples": examples},
            "training": {"batch_size": batch, "epochs": epochs},
        },
    )
    for name, (subset, examples, batch, epochs) in CANDIDATES.items()
}


def _described(name: str) -> str:
    subset, examples, batch, epochs = CANDIDATES[name]
    chosen = "The first" if subset == "first" else "A random subset of"
    return f"{chosen} {examples} digits, batch {batch}, {epochs} epochs:"


EXPERIMENT = Experiment(
    "ll-search",
    LIQUID_LIKE,
    "5(a, b)",
    "Search for the published ensembles: examples, batch, epochs",
    spec=merged(
        UNDER,
        {
            "training": {"epochs": 50},
            "ensemble": {"count": 400},
            "beside": {"short": {"training": {"epochs": 10}}, **_BESIDE},
            "study": {"moments": {}},
        },
    ),
    scales={
        "toy": merged(TOY, {"ensemble": {"count": 20}, "beside": dict.fromkeys(_BESIDE, TOY_OVER)}),
        "paper": {"ensemble": {"count": 100_000}},
    },
    claims=(
        *(
            _claim(name, layer, "under", f"All digits, batch 200, {epochs} epochs:", "", 0.9)
            for name, epochs in (("ensemble", 50), ("short", 10))
            for layer in (FIRST, LAST)
        ),
        *(
            _claim(name, layer, "over", _described(name), "", 0.9)
            for name in CANDIDATES
            for layer in (FIRST, LAST)
        ),
    ),
    minutes=10,
)
