"""Two-dimensional maps of configurations: t-SNE of random starts against learned configurations.

For ±1 weights the squared Euclidean distance is four times the Hamming distance, so the map shows
Hamming neighbourhoods (liquid-like paper, Fig. 2b).
"""

from __future__ import annotations

import numpy as np
import xarray

from lsg_ray.ensemble.reader import Ensemble
from lsg_ray.errors import InputError
from lsg_ray.networks.binary import Frozen, draw, initial_fields
from lsg_ray.networks.trial import Purpose
from lsg_ray.rng import Stage, generator, seed_sequence
from lsg_ray.statistics.results import provenance

#: Fewest configurations that t-SNE can lay out.
FEWEST = 4


def starts_and_solutions(
    ensemble: Ensemble, *, configurations: int = 500, seed: int = 0
) -> xarray.Dataset:
    """Map some configurations together with configurations drawn from their initial fields.

    Parameters
    ----------
    ensemble
        Ensemble or selection, all weights.
    configurations
        How many of each kind, at most.
    seed
        Of the choice and of the layout.

    Returns
    -------
    xarray.Dataset
        ``x``, ``y`` (point), ``learned`` (point) bool, ``accuracy`` (point), NaN for starts;
        attributes: ``perplexity``, ``kl_divergence``, ``iterations``.

    Raises
    ------
    InputError
        Fewer than `FEWEST` configurations are there, or asked for; or a part of the weights.

    Notes
    -----
    Barnes-Hut t-SNE of scikit-learn: about 3 s for 1,000 points on one core.
    """
    from sklearn.manifold import TSNE

    if ensemble.is_part:
        raise InputError("a view of a part given; a map takes whole configurations")
    count = min(ensemble.n_rows, configurations)
    if count < FEWEST:
        raise InputError(f"{ensemble.url}: {count} configurations; a map needs {FEWEST}")
    rng = generator(seed, Stage.MAP)
    chosen = np.sort(rng.choice(ensemble.n_rows, count, replace=False))
    rows = ensemble.take(
        ensemble.column("configuration")[chosen], ("configuration", "trial", "accuracy", "weights")
    )
    spec = ensemble.spec
    seeds = [
        seed_sequence(spec.ensemble.seed, Stage.TRIAL, int(i), int(t))
        for i, t in zip(rows["configuration"], rows["trial"], strict=True)
    ]
    frozen = Frozen(spec.ensemble.frozen_parts, spec.ensemble.frozen_field)
    fields = initial_fields(spec.network, spec.training, seeds, frozen)
    fixed = np.zeros(spec.network.n_weights, bool)
    for part in frozen.parts:
        fixed[spec.network.parts[part]] = True
    starts = np.concatenate(
        [draw(f, 1, s, fixed, Purpose.START) for f, s in zip(fields, seeds, strict=True)]
    )
    points = np.concatenate([starts, rows["weights"]]).astype(np.float32)
    perplexity = min(30.0, (len(points) - 1) / 3)
    layout = TSNE(perplexity=perplexity, init="pca", random_state=int(rng.integers(2**31)))
    xy = layout.fit_transform(points)
    learned = np.arange(len(points)) >= count
    accuracy = np.concatenate([np.full(count, np.nan), rows["accuracy"]])
    return xarray.Dataset(
        {
            "x": ("point", xy[:, 0]),
            "y": ("point", xy[:, 1]),
            "learned": ("point", learned),
            "accuracy": ("point", accuracy),
        },
        attrs={
            **provenance(ensemble),
            "perplexity": perplexity,
            "kl_divergence": float(layout.kl_divergence_),
            "iterations": int(layout.n_iter_),
            "seed": seed,
        },
    )
