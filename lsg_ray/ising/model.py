"""The effective Ising model P(σ) ∝ exp(−βE(σ)), E = −Σ_{i<j} J_ij σ_iσ_j − Σ_i h_i σ_i.

Spins are the weights σ_i = ±1 of a network, couplings J_ij = J_ji > 0 favour equal signs of two
weights, fields h_i > 0 favour +1.  β = 1 unless another is given.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray
from numpy.typing import ArrayLike, NDArray

from lsg_ray.arrays import as_numbers, plain_attributes, public
from lsg_ray.ensemble.schema import FORMAT
from lsg_ray.errors import InputError
from lsg_ray.paths import ending, expanded, member_of
from lsg_ray.results.foreign import reading
from lsg_ray.results.opening import (
    attributes_in,
    attributes_of,
    names_in,
    open_archive,
    open_result,
)
from lsg_ray.results.saving import MODEL_ARRAYS, names_of, save_result
from lsg_ray.typing import Array, Floats, Ints, ModelLike, PathOrUrl

#: Largest model that is enumerated: 2²⁰ states.
MAX_ENUMERATED = 20
#: Largest difference of J and Jᵀ, relative to the largest coupling.
MAX_ASYMMETRY = 1e-9
#: That of couplings in single precision.
RELATIVE_SINGLE = 1e-6
#: Rows of couplings that are checked at a time.
ROWS_CHECKED = 256


@dataclass(frozen=True, eq=False)
class IsingModel:
    """Couplings and fields, checked.

    Parameters
    ----------
    J
        (N, N) float64 couplings, symmetric, zero diagonal, in nats.
    h
        (N,) float64 fields, in nats.
    part
        (N,) name of the part of the network that each weight belongs to, or None.
    attributes
        Where the model comes from and how good it is, plain values.
    weight
        (N,) number of each weight in the network, or None.

    Raises
    ------
    InputError
        An entry is not finite, J is not symmetric or has a diagonal, or shapes do not fit; quotes
        the entry.

    Examples
    --------
    >>> model = IsingModel([[0, 1], [1, 0]], [0.5, 0])
    >>> model.energy([[1, 1], [1, -1]]).tolist()
    [-1.5, 0.5]
    """

    J: Floats
    h: Floats
    part: NDArray[np.str_] | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    weight: Ints | None = None

    @public
    def __post_init__(self) -> None:
        J, h = _checked(self.J, self.h)
        object.__setattr__(self, "J", J)
        object.__setattr__(self, "h", h)
        for name in ("part", "weight"):
            values = getattr(self, name)
            if values is not None and np.shape(values) != h.shape:
                raise InputError(f"{name} of shape {np.shape(values)} given; h has {h.shape}")
        if self.weight is not None:
            _check_numbers(np.asarray(self.weight))

    @property
    def n_spins(self) -> int:
        """Spins N."""
        return len(self.h)

    @public
    def energy(self, sigma: ArrayLike) -> Floats:
        """Return E(σ) of configurations (R, N): (R,), in nats."""
        s = self._spins(sigma)
        return -0.5 * np.einsum("ri,ri->r", s, s @ self.J) - s @ self.h

    def _spins(self, sigma: ArrayLike) -> Floats:
        values = as_numbers(sigma, "configurations")
        s = np.atleast_2d(values)
        if s.ndim != 2 or s.shape[1] != self.n_spins:
            raise InputError(
                f"configurations of shape {values.shape} given; the model has {self.n_spins} "
                f"spins: (R, {self.n_spins}) is needed"
            )
        wrong = np.argwhere(np.abs(s) != 1)
        if len(wrong):
            row, spin = wrong[0].tolist()
            raise InputError(
                f"configuration {row} holds {s[row, spin]:g} at spin {spin}; it must be ±1"
            )
        return s

    def to_dataset(self) -> xarray.Dataset:
        """Return J (weight, weight_) and h (weight) with units and attributes."""
        nats = {"units": "nat"}
        numbers = np.arange(self.n_spins) if self.weight is None else self.weight
        dataset = xarray.Dataset(
            {
                "J": (("weight", "weight_"), self.J, {"long_name": "coupling", **nats}),
                "h": ("weight", self.h, {"long_name": "field", **nats}),
            },
            {"weight": numbers, "weight_": numbers},
            {"statistic": "ising model", **plain_attributes(self.attributes)},
        )
        return dataset if self.part is None else dataset.assign_coords(part=("weight", self.part))

    def save(self, path: PathOrUrl, *, overwrite: bool = False) -> Path | str:
        """Write the model: ``.npz`` with ``J`` and ``h``, or else a Zarr group.

        Both keep ``part``, ``weight`` and ``attributes``.

        Raises
        ------
        InputError
            As `check_target`.
        """
        return save_result(self.to_dataset(), path, overwrite=overwrite, archive=MODEL_ARRAYS)


def _checked(J: ArrayLike, h: ArrayLike) -> tuple[Floats, Floats]:
    couplings, fields = as_numbers(J, "J"), as_numbers(h, "h").copy()
    if check_couplings(couplings, fields, MAX_ASYMMETRY):
        couplings = couplings.copy()
    else:
        couplings = (couplings + couplings.T) / 2
    for values in (couplings, fields):
        values.flags.writeable = False
    return couplings, fields


def check_couplings(J: Array, h: Floats, relative: float) -> bool:
    """Refuse what is no model; return whether J equals Jᵀ to the last bit.

    Some rows at a time: next to J, memory is small.

    Parameters
    ----------
    J, h
        Couplings (N, N) and fields (N,).
    relative
        Largest difference of J and Jᵀ, relative to the largest coupling.

    Raises
    ------
    InputError
        Shapes that do not fit, or an entry that is not finite, not symmetric, or on the diagonal.
    """
    n = h.size
    if h.ndim != 1 or J.shape != (n, n) or n == 0:
        raise InputError(
            f"J of shape {J.shape} and h of shape {h.shape} given; "
            "(N, N) and (N,) with N > 0 are needed"
        )
    largest, difference, at = 0.0, 0.0, (0, 0)
    for name, values in (("J", J), ("h", h[None])):
        for top in range(0, len(values), ROWS_CHECKED):
            rows = values[top : top + ROWS_CHECKED]
            wrong = np.argwhere(~np.isfinite(rows))
            if len(wrong):
                i, j = wrong[0].tolist()
                index = [top + i, j] if name == "J" else [j]
                raise InputError(f"{name}{index} is {rows[i, j]}; {name} must be finite")
    diagonal = np.flatnonzero(np.diag(J))
    if len(diagonal):
        i = int(diagonal[0])
        raise InputError(f"J[{i}, {i}] is {J[i, i]:g}; the diagonal of J must be zero")
    for top in range(0, n, ROWS_CHECKED):
        rows = J[top : top + ROWS_CHECKED]
        largest = max(largest, float(np.abs(rows).max()))
        apart = np.abs(rows - J[:, top : top + ROWS_CHECKED].T)
        if apart.max() > difference:
            difference = float(apart.max())
            i, j = (int(k) for k in np.unravel_index(apart.argmax(), apart.shape))
            at = (top + i, j)
    if difference > relative * largest:
        i, j = at
        raise InputError(
            f"J[{i}, {j}] is {J[i, j]:g} and J[{j}, {i}] is {J[j, i]:g}; "
            "J must be symmetric: pass (J + J.T)/2"
        )
    return difference == 0


def _check_numbers(weight: Array) -> None:
    """Refuse numbers of weights that do not say which weight of a network is meant."""
    _, first = np.unique(weight, return_index=True)
    wrong = (~(weight >= 0)) | ~np.isin(np.arange(len(weight)), first)
    if wrong.any():
        i = int(wrong.argmax())
        raise InputError(
            f"weight[{i}] is {weight[i]}; numbers of weights are distinct and not negative"
        )


@public
def load_model(path: PathOrUrl) -> IsingModel:
    """Read a model: a Zarr group or an ``.npz`` that holds ``J`` (N, N) and ``h`` (N,).

    An ``.npz`` may hold ``part`` (N,), names, and ``weight`` (N,), numbers, too.

    Raises
    ------
    InputError
        The path cannot be read, or does not hold a model.
    """
    location = expanded(path)
    file, array = member_of(location)
    if array is not None:
        raise InputError(f"{location}: a model is two arrays, J and h; name {file} alone")
    with reading(location, "not a model", "name a Zarr of `lsg fit`, or an .npz with J and h"):
        if ending(location) == ".npz" and not os.path.isdir(location):
            with open_archive(location) as arrays:
                part, weight = names_in(arrays)
                attributes = attributes_in(arrays)
                return IsingModel(arrays["J"], arrays["h"], part, attributes, weight)
        if attributes_of(location).get("format") == FORMAT:
            raise InputError(
                f"{location}: a store, and no model; make one: lsg fit {location} --out MODEL"
            )
        with open_result(location) as dataset:
            return _from_dataset(dataset)


def _from_dataset(dataset: xarray.Dataset) -> IsingModel:
    if not {"J", "h"} <= set(dataset.variables):
        made = dataset.attrs.get("stage")
        what = "a result without J and h" if made is None else f"a result of lsg {made}"
        raise InputError(f"{what}, and no model; name one of lsg fit, or an .npz with J and h")
    part = dataset.get("part")
    # Without parts, weights are numbered from zero, wherever in a network they are.
    names, weight = None, None
    if part is not None:
        names, weight = names_of(part), dataset["weight"].values.astype(np.int64)
    J, h = dataset["J"].values, dataset["h"].values
    return IsingModel(J, h, names, dict(dataset.attrs), weight)


def as_model(model: ModelLike) -> IsingModel:
    """Return a model from a model, a path, or a pair (J, h)."""
    if isinstance(model, IsingModel):
        return model
    if isinstance(model, (str, os.PathLike)):
        return load_model(model)
    if isinstance(model, xarray.Dataset):
        if "J" not in model or "h" not in model:
            raise InputError("Dataset without J and h given; a model has both")
        return _from_dataset(model)
    try:
        J, h = model
    except (TypeError, ValueError):
        raise InputError(
            f"{type(model).__name__} given; a model is an IsingModel, a path, or (J, h)"
        ) from None
    return IsingModel(as_numbers(J, "J"), as_numbers(h, "h"))


@dataclass(frozen=True)
class Exact:
    """Averages over all 2^N states: log_Z and entropy in nats, mean energy, m (N,), C (N, N)."""

    log_Z: float  # noqa: N815
    energy: float
    entropy: float
    m: Floats
    C: Floats


@public
def enumerate_model(model: IsingModel, beta: float = 1.0) -> Exact:
    """Average over all states of a small model; the reference of all approximations.

    Raises
    ------
    InputError
        More than `MAX_ENUMERATED` spins.
    """
    n = model.n_spins
    if n > MAX_ENUMERATED:
        raise InputError(f"{n} spins; at most {MAX_ENUMERATED} can be enumerated")
    blocks = [np.arange(a, min(a + 2**14, 2**n)) for a in range(0, 2**n, 2**14)]

    def states(numbers: Ints) -> Floats:
        return np.where((numbers[:, None] >> np.arange(n)) & 1, 1.0, -1.0)

    energies = np.concatenate([model.energy(states(block)) for block in blocks])
    shift = (-beta * energies).max()
    weights = np.exp(-beta * energies - shift)
    total = weights.sum()
    log_Z = float(np.log(total) + shift)
    p = weights / total
    m, C = np.zeros(n), np.zeros((n, n))
    for block in blocks:
        s, w = states(block), p[block]
        m += w @ s
        C += (s.T * w) @ s
    energy = float(p @ energies)
    return Exact(log_Z, energy, log_Z + beta * energy, m, C)
