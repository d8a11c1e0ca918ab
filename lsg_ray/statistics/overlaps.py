"""Distribution P(q) of the overlap between configurations, q = (1/N) Σ_i σ_i σ'_i.

From all pairs of a seeded random subset of configurations.  Beside it the null: independent
weights of the same magnetizations have mean overlap Σ m_i²/N, which is also the mean of any
ensemble with these m, and variance Σ (1 − m_i⁴)/N²; what correlations do shows in the width.
"""

from __future__ import annotations

import numpy as np
import xarray

from lsg_ray.ensemble.reader import Ensemble
from lsg_ray.errors import InputError
from lsg_ray.rng import Stage, generator
from lsg_ray.statistics.results import provenance


def overlap_distribution(
    ensemble: Ensemble, *, configurations: int = 2000, seed: int = 0
) -> xarray.Dataset:
    """Histogram the overlaps of all pairs of some configurations, at the N + 1 values q can take.

    Parameters
    ----------
    ensemble
        Ensemble or view.
    configurations
        How many to draw without replacement; all, if there are no more.
    seed
        Of the draw.

    Returns
    -------
    xarray.Dataset
        ``pairs`` (q): number of pairs at each value; attributes: ``mean``, ``std`` of q, and
        ``null_mean``, ``null_std`` of independent weights with the same magnetizations.

    Raises
    ------
    InputError
        Fewer than two configurations are there, or asked for.

    Notes
    -----
    2 K² N flop for K configurations; K rows and a K-row strip of overlaps in memory.
    """
    count = min(ensemble.n_rows, configurations)
    if count < 2:
        raise InputError(f"{ensemble.url}: {count} configurations; overlaps need at least 2")
    rng = generator(seed, Stage.PAIRS)
    chosen = np.sort(rng.choice(ensemble.n_rows, count, replace=False))
    signs = ensemble.take(ensemble.column("configuration")[chosen])["weights"].astype(np.float32)
    n = signs.shape[1]
    pairs = np.zeros(n + 1, np.int64)
    for start in range(0, len(signs), 256):
        products = signs[start : start + 256] @ signs[start:].T
        same = ((products + n) / 2).astype(np.int64)
        upper = np.triu(np.ones(same.shape, bool), k=1)
        pairs += np.bincount(same[upper], minlength=n + 1)
    q = (2 * np.arange(n + 1) - n) / n
    total = pairs.sum()
    mean = float(pairs @ q / total)
    m = signs.mean(axis=0, dtype=np.float64)
    m2 = np.maximum((len(signs) * m**2 - 1) / (len(signs) - 1), 0)  # m² without sampling bias
    attributes = {
        **provenance(ensemble),
        "configurations": len(signs),
        "mean": mean,
        "std": float(np.sqrt(pairs @ (q - mean) ** 2 / total)),
        "null_mean": mean,
        "null_std": float(np.sqrt(np.sum(1 - m2**2)) / n),
        "seed": seed,
    }
    variable = ("q", pairs, {"long_name": "pairs of configurations", "units": "1"})
    return xarray.Dataset({"pairs": variable}, {"q": q}, attributes)
