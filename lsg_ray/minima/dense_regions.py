"""How dense solutions can be: groups of y clones, and the densest regions, by replica theory.

Mathematics and sources are in `lsg_ray.minima.theory.densest` (y → ∞) and
`lsg_ray.minima.theory.clones` (finite y).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, cast

import numpy as np
import xarray

from lsg_ray.arrays import brief, in_range, public
from lsg_ray.errors import InputError
from lsg_ray.minima.theory.clones import MOST_CLONES, Clones, clones
from lsg_ray.minima.theory.densest import Densest, bound, densest
from lsg_ray.minima.theory.machines import MachineName
from lsg_ray.minima.theory.replica_symmetric import (
    WeightName,
    spherical_capacity,
    symmetric_state,
    zero_entropy,
)
from lsg_ray.results.graph import counted
from lsg_ray.stage import Figure, Stage
from lsg_ray.typing import Floats, Numbers, Progress, Steps

Machine = Literal["perceptron", "committee-3", "committee-5", "committee-inf", "relu-inf", "parity"]

#: Overlaps by default.
OVERLAPS = tuple(k / 100 for k in range(50, 99, 4))


@public
def dense_regions(
    alpha: Numbers = (0.4, 0.6, 0.75),
    *,
    overlaps: Steps = OVERLAPS,
    clone_counts: Numbers | None = None,
    weights: WeightName = "binary",
    machine: Machine = "perceptron",
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Compute the entropy of the densest regions of solutions, and of groups of y clones.

    Parameters
    ----------
    alpha
        Number of patterns per weight, P/N.
    overlaps
        Overlaps q₁ of two solutions of a region or group, between 0 and 1.
    clone_counts
        Numbers y of clones of a group, from 1 to 64, beside the densest regions (y → ∞).
    weights
        Kind of weights: ±1, or real on the sphere, whose entropy is relative to all weights at that
        overlap.
    machine
        Kind of network: perceptron; tree committee of 3, 5 or infinitely many sign units, or of
        infinitely many ReLU units; or parity machine of infinitely many units.
    progress
        Called with (done, total).

    Returns
    -------
    xarray.Dataset
        Over (alpha, overlap): ``entropy`` φ of the densest regions per weight in nats, NaN up to
        the overlap of typical solutions; ``converged``.  Over ``overlap``: ``bound``, the entropy
        of all configurations there (0 on the sphere), and ``distance`` (1 − √q₁)/2 to the centre.
        Over ``alpha``: ``typical_overlap`` q, and ``monotone``, whether φ falls with q₁ at all
        overlaps given, as it does up to α_U.  Over (alpha, clones, overlap), where ``clone_counts``
        are given: ``clone_entropy``, ``complexity`` (negative: no such groups),
        ``clones_converged``.

    Raises
    ------
    InputError
        Numbers out of range, α beyond the capacity; clones of a committee of few units, or of a
        parity machine.

    Notes
    -----
    A parity machine has no dense regions: whatever q₁ < 1, each pattern halves the volume, so that
    φ lies α ln 2 below the bound; of ±1 weights solutions are isolated where that is negative.
    Cost: 0.1 s a point of one effective field, half a minute of few units; clones some seconds.

    Examples
    --------
    >>> theory = dense_regions([0.6], overlaps=[0.64, 0.81])
    >>> theory["entropy"].values.round(4)
    array([[0.1846, 0.1312]])
    """
    alphas, q1 = in_range(alpha, "alpha"), in_range(overlaps, "overlaps", high=1)
    ys = None
    if clone_counts is not None:
        ys = in_range(clone_counts, "clone_counts", high=MOST_CLONES + 1)
    if ys is not None and machine in ("committee-3", "committee-5", "parity"):
        raise InputError(f"clone_counts given with machine {machine}; leave them out")
    capacity = _capacity(weights, machine)
    if (alphas >= capacity).any():
        raise InputError(f"alpha {brief(alpha)} given; there are solutions up to {capacity:.4f}")
    typical = np.array([_typical_overlap(a, weights, machine) for a in alphas.tolist()])
    points = list(itertools.product(zip(alphas.tolist(), typical, strict=True), q1.tolist()))
    tasks: list[Callable[[], Densest | Clones | None]] = [
        partial(_region, a, q, weights, machine) if q > t else lambda: None for (a, t), q in points
    ]
    groups = itertools.product(alphas.tolist(), [] if ys is None else ys.tolist(), q1.tolist())
    known = cast("MachineName", machine)  # clones of a parity machine are refused above
    tasks += [partial(clones, *group, weights, known) for group in groups]
    states = [task() for task in counted(tasks, progress)]
    regions, shape = states[: len(points)], (len(alphas), len(q1))
    entropy = np.array([np.nan if r is None else r.entropy for r in regions]).reshape(shape)
    fine = np.array([r is None or r.converged for r in regions]).reshape(shape)
    axes: tuple[str, ...] = ("alpha", "overlap")
    values: dict[str, Any] = {
        "entropy": (axes, entropy),
        "converged": (axes, fine),
        "bound": ("overlap", bound(q1) if weights == "binary" else np.zeros_like(q1)),
        "distance": ("overlap", (1 - np.sqrt(q1)) / 2),
        "typical_overlap": ("alpha", typical),
        "monotone": ("alpha", _falls(entropy) if weights == "binary" else _falls(-entropy)),
    }
    coords = {"alpha": alphas, "overlap": q1}
    all_converged = bool(fine.all())
    if ys is not None:
        axes = ("alpha", "clones", "overlap")
        for name, field in (
            ("clone_entropy", "entropy"),
            ("complexity", "complexity"),
            ("clones_converged", "converged"),
        ):
            column = np.array([getattr(state, field) for state in states[len(points) :]])
            values[name] = (axes, column.reshape(len(alphas), len(ys), len(q1)))
        coords["clones"] = ys
        all_converged = all_converged and bool(values["clones_converged"][1].all())
    about = {"statistic": "dense regions", "weights": weights, "machine": machine}
    return xarray.Dataset(values, coords=coords, attrs={**about, "converged": all_converged})


def _typical_overlap(alpha: float, weights: WeightName, machine: Machine) -> float:
    if machine == "parity":
        return 0.0
    return symmetric_state(alpha, weights, machine).overlap


def _region(alpha: float, q1: float, weights: WeightName, machine: Machine) -> Densest:
    if machine != "parity":
        return densest(alpha, q1, weights, machine)
    free = float(bound(np.array(q1))) if weights == "binary" else 0.0
    return Densest(q1, free - alpha * np.log(2), np.inf, 0.0)


def _capacity(weights: WeightName, machine: Machine) -> float:
    """Return the capacity where it is quickly known, or else an upper bound of it."""
    if machine == "parity":
        return 1.0 if weights == "binary" else np.inf
    if weights == "spherical":
        return spherical_capacity(machine)
    return 1.0 if machine in ("committee-3", "committee-5") else zero_entropy(machine)


def _falls(entropy: Floats) -> Floats:
    """Return whether rows fall where they are known."""
    return np.array([bool(np.all(np.diff(row[np.isfinite(row)]) < 0)) for row in entropy])


STAGE = Stage(
    "dense-regions",
    dense_regions,
    reads={},
    summary=("machine", "weights", "converged"),
    figures=[
        Figure(
            "lsg_ray.report.figures.minima_theory:dense_regions_figure",
            "Densest regions of solutions by replica theory",
            "dense_regions_caption",
        )
    ],
    unit="points",
)
