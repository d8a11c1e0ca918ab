"""Correlations between two sets of weights of one network, without those within either set.

    C_ij = ⟨σ_i σ_j⟩,   c_ij = C_ij − m_i m_j,   i of the first set, j of the second,

with the standard errors of `lsg_ray.statistics.moments`, and to the last bit the same numbers as
those entries of its N × N matrices.  Of networks of 10⁵ weights these would be 80 GB each; of 100
weights against all others, they are 80 MB.
"""

from __future__ import annotations

from typing import Annotated, Unpack

import numpy as np
import xarray
from numpy.typing import ArrayLike

from lsg_ray.arrays import public
from lsg_ray.errors import InputError
from lsg_ray.results.graph import compute
from lsg_ray.results.records import reduce_tasks
from lsg_ray.stage import ENSEMBLE, Stage
from lsg_ray.statistics.chosen_weights import choose_weights
from lsg_ray.statistics.configurations import as_configurations
from lsg_ray.statistics.estimates import estimate
from lsg_ray.statistics.moments import connected, tasks_of
from lsg_ray.statistics.reals import standard_error
from lsg_ray.statistics.signs import CrossSums, count_between
from lsg_ray.statistics.views import Columns
from lsg_ray.typing import As, ConfigurationsLike, JsonObject, Seeded


@public
def cross_moments(
    ensemble: ConfigurationsLike,
    *,
    choose: Annotated[str | ArrayLike, As(str)],
    against: Annotated[str | ArrayLike | None, As(str | None)] = None,
    **run: Unpack[Seeded],
) -> xarray.Dataset:
    """Estimate correlations between chosen weights and others.

    Parameters
    ----------
    ensemble
        ±1 weights: result of `lsg_ray.open_ensemble`, possibly a view, or an array (M, N).
    choose
        Weights of the first set: a part (LB), layer:1, unit:1:7 (into unit 7 of layer 1),
        START:STOP, random:500, or several of these with commas; in Python also numbers (K,).
    against
        Weights of the second set, likewise; without it, all weights.  The sets may overlap.
    seed
        Seed of weights that are chosen at random, differently for both sets.
    progress
        Called with ``(tasks done, tasks in total)``.

    Returns
    -------
    xarray.Dataset
        ``m`` (weight), ``m_other`` (weight_), ``C`` and ``connected`` (weight, weight_), each X
        with its ``X_stderr``; coordinates of the weights of both sets, those of the second with
        ``_`` behind their names.

    Raises
    ------
    InputError
        Weights that are not ±1, copies among the configurations, a choice that is not
        understood, or matrices that need too much memory.

    Notes
    -----
    Time: M bit operations a pair of weights, 512 at a time.  Memory: 56 bytes a pair.
    """
    source = as_configurations(ensemble)
    source.require(2, "correlations")
    if not source.signs:
        raise InputError(
            f"{source.name} holds real weights; correlations between sets are of ±1 weights: "
            "choose both in lsg moments --choose"
        )
    if source.groups() is not None:
        raise InputError(
            f"{source.name} holds copies of configurations, whose errors lsg moments --choose knows"
        )
    rows = choose_weights(source, choose, run["seed"])
    columns = np.arange(source.n_weights)
    if against is not None:
        columns = choose_weights(source, against, run["seed"], draw=1)
    first, second = Columns(source, rows), Columns(source, columns)
    both = Columns(source, np.concatenate([rows, columns]))
    remedy = "choose fewer weights (--choose, --against)"
    cuts = tasks_of(both, (len(rows), len(columns)), True, remedy)
    sums: CrossSums = compute(reduce_tasks(count_between, (both, len(rows)), cuts), run["progress"])
    coordinates = first.coordinates()
    for name, (_, values) in second.coordinates().items():
        coordinates[f"{name}_"] = ("weight_", values)
    attributes = {"statistic": "cross moments", **source.provenance(), "count": sums.rows}
    return _dataset(sums, len(rows)).assign_coords(coordinates).assign_attrs(attributes)


def _dataset(sums: CrossSums, split: int) -> xarray.Dataset:
    count = sums.rows
    m = (2 * sums.ones - count) / count
    of_m = standard_error(1 - m**2, count)
    first, second = slice(None, split), slice(split, None)
    C = (count - 2 * sums.differ) / count
    c, spread = connected(m[first], m[second], C)
    return xarray.Dataset(
        estimate("m", m[first], of_m[first], "magnetization")
        | estimate("m_other", m[second], of_m[second], "magnetization", ("weight_",))
        | estimate("C", C, standard_error(1 - C**2, count), "correlation")
        | estimate("connected", c, standard_error(spread, count), "connected correlation")
    )


def _shown(result: xarray.Dataset) -> JsonObject:
    # A weight that is in both sets is not correlated with itself.
    c = result["connected"].values
    other = result["weight"].values[:, None] != result["weight_"].values
    return {
        "n_weights": int(result.sizes["weight"]),
        "n_against": int(result.sizes["weight_"]),
        "count": result.attrs["count"],
        "rms_connected": float(np.sqrt((c[other] ** 2).mean())) if other.any() else float("nan"),
        "sampling_noise": float(result.attrs["count"]) ** -0.5,
        "max_connected": float(np.abs(c[other]).max(initial=0.0)),
    }


STAGE = Stage("cross-moments", cross_moments, reads={"ensemble": ENSEMBLE}, summary=_shown)
