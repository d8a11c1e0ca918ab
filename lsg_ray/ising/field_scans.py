"""What scans of the distance field share: fields, the bound of the entropy, and Datasets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import numpy as np
import xarray
from numpy.typing import ArrayLike

from lsg_ray.arrays import as_numbers
from lsg_ray.errors import InputError
from lsg_ray.ising.hysteresis import VERDICT
from lsg_ray.ising.model import IsingModel
from lsg_ray.ising.references import References
from lsg_ray.typing import (
    Array,
    Count,
    Default,
    Floats,
    JsonObject,
    Positive,
    Several,
    Share,
    Tasks,
)

#: Fields of the paper, −3 to 3 in steps of 0.1.
SCAN_FIELDS = tuple(np.round(np.arange(-30, 31) * 0.1, 10).tolist())
AXES, DIRECTIONS = ("reference", "direction", "field"), ("up", "down")
#: Long names and units of the variables of a scan; the unit of others is 1.
SCAN_LABELS = {
    "d": ("distance to the reference", "1"),
    "s": ("entropy per weight", "nat"),
    "e": ("energy per weight", "nat"),
    "f": ("free energy per weight", "nat"),
    "bound": ("upper bound of s", "nat"),
    "d_slope": ("∂d/∂x", "1/nat"),
    "s_slope": ("∂s/∂x", "1"),
    "beta": ("inverse temperature", "1"),
}
#: Error of an entropy per weight by rounding and tolerance.
ENTROPY_ROUNDING = 1e-6
#: Largest field, or coupling times β, in nats.
MAX_NATS = 1e4


class ScanOptions(Tasks, total=False):
    """Options of scans by belief propagation, one task a reference."""

    damping: Share | None
    max_sweeps: Annotated[Several, Default(5000)]
    tolerance: Annotated[Positive, Default(1e-9)]
    count: Count | None


def check_fields(fields: ArrayLike | None) -> Floats:
    """Return fields (F,), ascending.

    Raises
    ------
    InputError
        None, not finite, or twice the same.
    """
    given = as_numbers(SCAN_FIELDS if fields is None else fields, "fields")
    if given.ndim != 1 or not given.size:
        raise InputError(f"fields of shape {given.shape} given; a list of numbers is needed")
    xs = np.sort(given)
    if not np.isfinite(xs).all():
        raise InputError(f"fields hold {xs[~np.isfinite(xs)][0]}; they must be finite")
    if (twice := xs[1:][np.diff(xs) == 0]).size:
        raise InputError(f"field {twice[0]:g} given twice")
    return xs


def refined(xs: Floats, d: Floats) -> Floats:
    """Return fields (F,) with those added that a curve d (..., F) needs to be resolved.

    The middle of each interval in which a distance changes by more than `VerdictConfig.steep`.

    >>> refined(np.array([-1.0, 0.0, 1.0]), np.array([0.9, 0.88, 0.1])).tolist()
    [-1.0, 0.0, 0.5, 1.0]
    >>> refined(np.array([0.0]), np.array([[0.5], [0.4]])).tolist()
    [0.0]
    """
    steps = np.nan_to_num(np.abs(np.diff(d)))
    steep = steps.max(axis=tuple(range(steps.ndim - 1)), initial=0.0) > VERDICT.steep
    return np.sort(np.concatenate([xs, ((xs[1:] + xs[:-1]) / 2)[steep]]))


def check_size(model: IsingModel, beta: float, xs: Floats) -> None:
    """Refuse numbers whose entropy would be lost in rounding.

    Raises
    ------
    InputError
        Couplings or fields times β, or distance fields, above `MAX_NATS`.
    """
    parameters = {"couplings": beta * model.J, "fields": beta * model.h, "distance fields": xs}
    for name, values in parameters.items():
        if not (size := np.abs(values).max()) <= MAX_NATS:
            raise InputError(f"{name} of {size:.3g} nats; at most {MAX_NATS:g}")


def is_possible(state: tuple[float, float, float, float], margin: float = ENTROPY_ROUNDING) -> bool:
    """Return whether an entropy, of d, s, e, f, is one of ±1 spins: 0 ≤ s ≤ bound(d)."""
    return bool(-margin <= state[1] <= float(entropy_bound(state[0])) + margin)


def scan_dataset(
    values: Mapping[str, Array],
    references: References,
    model: IsingModel,
    xs: Floats,
    attributes: JsonObject,
) -> xarray.Dataset:
    """Return variables over (reference, direction, field), with ``bound``, as a Dataset."""
    variables = {}
    for name, value in {**values, "bound": entropy_bound(values["d"])}.items():
        long, units = SCAN_LABELS.get(name.removesuffix("_stderr"), ("", "1"))
        label = {"long_name": long} if name in SCAN_LABELS else {}
        variables[name] = (AXES, value, {**label, "units": units})
    energy = model.energy(references.sigma) / model.n_spins
    coordinates = references.coordinates() | {
        "direction": list(DIRECTIONS),
        "field": ("field", xs, {"long_name": "distance field x", "units": "nat"}),
        "energy": ("reference", energy, {"units": "nat"}),
    }
    described = {**attributes, "n_weights": model.n_spins, "references": references.source}
    return xarray.Dataset(variables, coordinates, described)


def entropy_bound(d: ArrayLike) -> Floats:
    """Return −d ln d − (1 − d) ln(1 − d), the entropy per weight of all configurations at d.

    Examples
    --------
    >>> entropy_bound([0, 0.5]).round(4).tolist()
    [0.0, 0.6931]
    """
    from scipy.special import entr

    p = np.clip(as_numbers(d, "d"), 0, 1)
    return entr(p) + entr(1 - p)


def scan_summary(scan: xarray.Dataset) -> JsonObject:
    """Return the attributes and sizes of a scan that summaries show."""
    names = (
        "verdict", "hysteresis", "discontinuities", "jump", "s0", "s0_stderr", "s0_stable",
        "converged", "stable", "exists", "largest_step", "unexplained_step",
    )  # fmt: skip
    attributes = scan.attrs
    return {
        **{name: attributes[name] for name in names if name in attributes},
        "references": scan.sizes["reference"],
        "fields": scan.sizes["field"],
        "n_weights": attributes["n_weights"],
        "method": attributes["method"],
    }
