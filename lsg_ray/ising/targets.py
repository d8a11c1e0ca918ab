"""What a model is fitted to: m and C, from wherever they come, checked."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray
from numpy.typing import NDArray

from lsg_ray.arrays import as_numbers, public
from lsg_ray.errors import InputError
from lsg_ray.statistics.configurations import Configurations, as_configurations
from lsg_ray.statistics.moments import independent_rows, moments
from lsg_ray.statistics.opening import attributes_of, open_archive, open_result
from lsg_ray.statistics.results import names_of

Floats = NDArray[np.float64]
#: What rounding may do to moments: to symmetry, the diagonal, bounds and eigenvalues.
TOLERANCE = 1e-6
#: 1 − |m| below which a weight counts as frozen, 1 − |C| below which one repeats another.
FROZEN = 1e-12


@dataclass(frozen=True, eq=False)
class Target:
    """Moments to be reproduced.

    m: (N,); C: (N, N), ones on the diagonal; count: independent configurations behind them (where
    some weigh more, or are copies, as many as have the same errors), None if unknown; part: names
    of the weights' parts, or None; weight: their numbers in the network, or None; attributes: where
    they come from.
    """

    m: Floats
    C: Floats
    count: float | None = None
    part: NDArray[np.str_] | None = None
    weight: NDArray[np.int64] | None = None
    attributes: dict[str, Any] = field(default_factory=dict)

    @public
    def __post_init__(self) -> None:
        m, C = _checked(self.m, self.C)
        object.__setattr__(self, "m", m)
        object.__setattr__(self, "C", C)

    @property
    def frozen(self) -> NDArray[np.int64]:
        """Weights with |m| = 1: their fields diverge and they have no connected correlations."""
        return np.flatnonzero(1 - np.abs(self.m) <= FROZEN)

    @property
    def repeats(self) -> NDArray[np.int64]:
        """Of each weight that is not frozen, the first with |C| = 1: itself where no other is.

        The coupling of two weights that never differ, or always, diverges as a frozen field does.
        """
        same = np.abs(self.C) >= 1 - FROZEN
        frozen = self.frozen
        same[frozen] = same[:, frozen] = False
        np.fill_diagonal(same, True)
        first = same.argmax(axis=0)
        return first[first]

    @property
    def duplicates(self) -> NDArray[np.int64]:
        """Weights that repeat an earlier one, up to a sign."""
        return np.flatnonzero(self.repeats != np.arange(len(self.m)))

    def restrict(self, which: slice | NDArray[Any]) -> Target:
        """Return the moments of some weights."""
        part = None if self.part is None else self.part[which]
        weight = None if self.weight is None else self.weight[which]
        C = self.C[which][:, which]
        return Target(self.m[which], C, self.count, part, weight, self.attributes)

    def parts(self) -> dict[str, NDArray[np.int64]]:
        """Return where each part stands; empty if the weights have no names."""
        if self.part is None:
            return {}
        names = list(dict.fromkeys(self.part.tolist()))
        return {str(name): np.flatnonzero(self.part == name) for name in names}


@public
def as_target(given: Any) -> Target:
    """Return moments from a Dataset, a pair (m, C), a file, an ensemble or an array.

    Parameters
    ----------
    given
        `Target`; Dataset of `lsg_ray.moments`; (m, C); path of a moments Zarr, an ``.npz`` with
        ``m`` and ``C``, or a store; `Ensemble`, view, or configurations (M, N) of ±1.

    Raises
    ------
    InputError
        Nothing of that kind, or no moments of ±1 weights: says which entry is wrong.
    """
    if isinstance(given, Target):
        return given
    if isinstance(given, (str, os.PathLike)):
        return _from_path(os.fspath(given))
    if isinstance(given, xarray.Dataset):
        return _from_dataset(given)
    if isinstance(given, tuple) and len(given) == 2:
        return Target(*given)
    return _from_dataset(moments(signs(given)))


def signs(given: Any) -> Configurations:
    """Return configurations of ±1 weights, and refuse others before anything is computed."""
    source = as_configurations(given)
    if not source.binary:
        raise InputError(f"{source.name} holds real numbers; a model is of ±1 weights")
    return source


def as_sample(given: Any) -> Configurations:
    """Return the ±1 configurations themselves, which pseudolikelihood needs.

    Raises
    ------
    InputError
        Moments were given, or weights that are no ±1.
    """
    moments_only = isinstance(given, (Target, xarray.Dataset)) or (
        isinstance(given, tuple) and len(given) == 2
    )
    if isinstance(given, (str, os.PathLike)):
        path = os.fspath(given)
        stored = path.endswith(".npz") or attributes_of(path).get("statistic") == "moments"
        moments_only = moments_only or stored
    if moments_only:
        raise InputError("moments given; pseudolikelihood needs the configurations: name a store")
    return signs(given)


def _from_path(text: str) -> Target:
    try:
        if text.endswith(".npz"):
            with open_archive(text) as arrays:
                if "m" not in arrays or "C" not in arrays:
                    raise InputError(f"holds {', '.join(arrays)}; m and C are needed")
                return Target(arrays["m"], arrays["C"], attributes={"source": Path(text).name})
        attributes = attributes_of(text)
        if attributes.get("statistic") == "moments":
            with open_result(text) as found:
                return _from_dataset(found.load())
    except InputError as error:
        raise InputError(f"{text}: {error}") from None
    except MemoryError:
        raise
    except Exception as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise InputError(
            f"{text}: cannot be read as moments ({reason}); name a moments Zarr, an .npz with m "
            "and C, or a store"
        ) from None
    return _from_dataset(moments(signs(text)))


def _from_dataset(found: xarray.Dataset) -> Target:
    missing = [name for name in ("m", "C") if name not in found]
    if missing:
        raise InputError(
            f"moments without {' and '.join(missing)} given; make them with lsg moments"
        )
    count = independent_rows(found)
    part, weight = None, None
    if "part" in found.coords:
        part, weight = names_of(found["part"]), found["weight"].values.astype(np.int64)
    keep = ("source", "spec_hash", "where", "sampling_seed")
    attributes = {name: found.attrs[name] for name in keep if name in found.attrs}
    return Target(
        found["m"].values,
        found["C"].values,
        None if np.isnan(count) else count,
        part,
        weight,
        attributes,
    )


def _checked(m: Any, C: Any) -> tuple[Floats, Floats]:
    means, second = as_numbers(m, "m"), as_numbers(C, "C")
    n = means.size
    if means.ndim != 1 or second.shape != (n, n):
        raise InputError(
            f"m of shape {means.shape} and C of shape {second.shape} given; (N,) and (N, N)"
        )
    if n < 2:
        raise InputError(f"N = {n} weights given; a model needs at least 2")
    for name, values in (("m", means), ("C", second)):
        bad = ~np.isfinite(values) | (np.abs(values) > 1 + TOLERANCE)
        if bad.any():
            at = tuple(np.argwhere(bad)[0].tolist())
            raise InputError(f"{name}{list(at)} is {values[at]}; it must be from −1 to 1")
    if (diagonal := np.abs(np.diag(second) - 1)).max() > TOLERANCE:
        i = int(diagonal.argmax())
        raise InputError(
            f"C[{i}, {i}] is {second[i, i]:g}; ⟨σ²⟩ = 1, so the diagonal of C is 1 "
            "(pass raw correlations, not connected ones)"
        )
    if (difference := np.abs(second - second.T)).max() > TOLERANCE:
        i, j = (int(k) for k in np.unravel_index(difference.argmax(), (n, n)))
        raise InputError(f"C[{i}, {j}] is {second[i, j]:g} and C[{j}, {i}] {second[j, i]:g}; "
                         "C must be symmetric")  # fmt: skip
    means = np.clip(means, -1, 1)
    second = np.clip((second + second.T) / 2, -1, 1)
    np.fill_diagonal(second, 1.0)
    # Each of the four states of two spins has a probability: 1 ± m_i ± m_j + (±±) C_ij ≥ 0.
    for a, b in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        p = 1 + a * means[:, None] + b * means[None] + a * b * second
        if p.min() < -TOLERANCE * 4:
            i, j = (int(k) for k in np.unravel_index(p.argmin(), (n, n)))
            raise InputError(
                f"m[{i}] = {means[i]:g}, m[{j}] = {means[j]:g} and C[{i}, {j}] = {second[i, j]:g} "
                "cannot be moments of ±1: a state of the two would have a negative probability"
            )
    lowest = float(np.linalg.eigvalsh(second - np.outer(means, means))[0])
    if lowest < -TOLERANCE * n:
        raise InputError(
            f"C − m mᵀ has the eigenvalue {lowest:.3g}; no ensemble has such a C (a covariance has "
            "none below zero)"
        )
    for values in (means, second):
        values.flags.writeable = False
    return means, second
