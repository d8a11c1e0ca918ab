"""Losses along lines and over planes, and their types as variables of a Dataset."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lsg_ray.loss_landscape.curves.types import LABELS, CurveType, curve_type
from lsg_ray.loss_landscape.terrain import Terrain
from lsg_ray.networks.relu_subspace import evaluate_subspace
from lsg_ray.typing import Array, Floats, Variables


def measure_subspace(
    terrain: Terrain, w: Array, directions: Array, coefficients: ArrayLike
) -> Floats:
    """Measure a network at points w + Σ_d c_d ε_d.

    Parameters
    ----------
    terrain
        Architecture and examples.
    w, directions
        Network (N,), and directions ε (D, N).
    coefficients
        c (points, D).

    Returns
    -------
    (4, points): the measures of `Terrain.measure`, at the cost of 1 + D products of the first layer
    for some hundred points.
    """
    c = np.asarray(coefficients, np.float64)
    return np.concatenate(
        [
            np.stack(evaluate_subspace(terrain.network, w, directions, c, *examples))
            for examples in terrain.on()
        ]
    )


def typed(loss: Floats) -> list[CurveType]:
    """Return the types of curves (…, points), in flat order."""
    return [curve_type(curve) for curve in loss.reshape(-1, loss.shape[-1])]


class Shares(NamedTuple):
    """Share of each of `LABELS` among curves, and its standard error: (labels,)."""

    share: Floats
    stderr: Floats


def label_shares(groups: Array) -> Shares:
    """Return the share of each label, with an error over networks.

    Parameters
    ----------
    groups
        Labels (networks, curves of each) as `CurveType.group`.

    Returns
    -------
    Shares
        The error is that of a mean over networks, whose curves are not independent: the standard
        deviation of their own shares over √networks, or the binomial error with two successes and
        two failures added (Agresti and Coull) where that is larger, as it is where all agree.
    """
    own = np.stack([(groups == label).mean(axis=1) for label in LABELS], axis=1)
    n = len(own)
    share = own.mean(axis=0)
    added = (n * share + 2) / (n + 4)
    least = np.sqrt(added * (1 - added) / (n + 4))
    spread = own.std(axis=0, ddof=1) / np.sqrt(n) if n > 1 else np.zeros_like(share)
    return Shares(share, np.maximum(spread, least))


def type_variables(
    kinds: list[CurveType], positions: Floats, dims: tuple[str, ...], prefix: str
) -> Variables:
    """Return what types of curves are read from, as variables.

    Parameters
    ----------
    kinds
        Types (curves,) in flat order of `dims`.
    positions
        λ of the points, (*dims, points).
    dims
        Dimensions of the curves.
    prefix
        Text before the names: ``train_`` or ``test_``.

    Returns
    -------
    dict
        ``label`` (text, over `dims`), ``basins``, ``open``; over basins too, NaN where there are
        fewer, ``minimum`` (λ), ``persistence``, ``barrier`` and ``contrast`` (nats of ln(g + f)),
        the last two between a basin and the next.
    """
    shape = positions.shape[:-1]
    flat = positions.reshape(-1, positions.shape[-1])
    most = max([1, *(len(kind.minima) for kind in kinds)])
    columns = {name: np.full((len(kinds), most), np.nan) for name in _UNITS}
    for row, (kind, places) in enumerate(zip(kinds, flat, strict=True)):
        columns["minimum"][row, : len(kind.minima)] = places[kind.minima]
        for name in ("persistence", "barrier", "contrast"):
            values = getattr(kind, name)
            columns[name][row, : len(values)] = values
    text = np.array([kind.label for kind in kinds]).reshape(shape)
    ends = np.array([kind.open for kind in kinds]).reshape(shape)
    basins = np.array([len(kind.minima) for kind in kinds]).reshape(shape)
    variables: Variables = {
        f"{prefix}label": (dims, text),
        f"{prefix}basins": (dims, basins, {"long_name": "basins of the curve"}),
        f"{prefix}open": (dims, ends, {"long_name": "lowest at an end of the curve"}),
    }
    for name, values in columns.items():
        own = (*dims, f"{prefix}basin"), values.reshape(*shape, most), {"units": _UNITS[name]}
        variables[f"{prefix}{name}"] = own
    return variables


_UNITS = {"minimum": "1", "persistence": "nat", "barrier": "nat", "contrast": "nat"}
