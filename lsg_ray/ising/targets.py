"""Moments m and C that a model is fitted to, of many sources, checked.

Published moments are rounded, and rounded ones may belong to no ±1 variables: each of the four
states of two spins has the probability (1 + a m_i + b m_j + ab C_ij)/4 with a, b = ±1, so

    |m_i + m_j| − 1 ≤ C_ij ≤ 1 − |m_i − m_j|.

Where C_ij is outside, it is moved to the nearer end.  With m as it is (cut to [−1, 1]), that is the
nearest C in every norm that looks at entries one by one: pairs share no C_ij.  If each of the three
numbers is off by ε, C_ij is outside by 3ε at most; others are refused.  Of a frozen weight
(m_i = ±1) both ends are ±m_j, so it gets the correlations of a constant; C_ij = ±1 stays where
m_i = ±m_j, and moves where the two cannot be the same.  What is inside, to the last bits of its
arithmetic, is not changed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import xarray
from annotated_types import Ge, Le
from numpy.typing import NDArray

from lsg_ray.arrays import as_numbers, public
from lsg_ray.errors import InputError
from lsg_ray.ising.positive import is_positive
from lsg_ray.paths import ending, expanded, member_of
from lsg_ray.results.foreign import reading
from lsg_ray.results.opening import (
    attributes_in,
    attributes_of,
    names_in,
    open_archive,
    open_result,
)
from lsg_ray.results.saving import names_of
from lsg_ray.statistics.configurations import Configurations, as_configurations, is_array_file
from lsg_ray.statistics.moments import independent_rows, moments
from lsg_ray.typing import Array, ConfigurationsLike, Floats, Ints, MomentsLike

Rounding = Annotated[float, Ge(0), Le(0.1)]


@dataclass(frozen=True)
class MomentTolerances:
    """Errors that moments may have."""

    #: Of arithmetic: in symmetry, the diagonal, bounds and eigenvalues.
    arithmetic: float = 1e-6
    #: Of each given moment by default, as by rounding to three digits.
    rounding: float = 1e-3
    #: Outside the bounds above without a correction: the last bits.
    last_bits: float = 1e-12
    #: 1 − |m| below which a weight counts as frozen, 1 − |C| below which one repeats another.
    frozen: float = 1e-12


MOMENT_TOLERANCES = MomentTolerances()


@dataclass(frozen=True, eq=False)
class Target:
    """Moments to be reproduced.

    m: (N,); C: (N, N), ones on the diagonal, consistent to the last bits; rounding: largest error
    of each given one; change: the largest change that made them consistent; count: number of
    independent configurations behind them (where some weigh more, or are copies, the number with
    the same errors), None if unknown; part: names of the weights' parts, or None; weight: their
    numbers in the network, or None; attributes: of their source.
    """

    m: Floats
    C: Floats
    count: float | None = None
    part: NDArray[np.str_] | None = None
    weight: Ints | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    rounding: float = MOMENT_TOLERANCES.rounding
    change: float = 0.0

    @public
    def __post_init__(self) -> None:
        m, C, change = _checked(self.m, self.C, self.rounding)
        object.__setattr__(self, "change", max(change, self.change))
        object.__setattr__(self, "m", m)
        object.__setattr__(self, "C", C)

    @property
    def frozen(self) -> Ints:
        """Weights with |m| = 1: their fields diverge and they have no connected correlations."""
        return np.flatnonzero(1 - np.abs(self.m) <= MOMENT_TOLERANCES.frozen)

    @property
    def repeats(self) -> Ints:
        """Of each weight that is not frozen, the first with |C| = 1: itself where no other is.

        The coupling of two weights that never differ, or always, diverges as a frozen field does.
        """
        same = np.abs(self.C) >= 1 - MOMENT_TOLERANCES.frozen
        frozen = self.frozen
        same[frozen] = same[:, frozen] = False
        np.fill_diagonal(same, True)
        first = same.argmax(axis=0)
        return first[first]

    @property
    def duplicates(self) -> Ints:
        """Weights that repeat an earlier one, up to a sign."""
        return np.flatnonzero(self.repeats != np.arange(len(self.m)))

    def restrict(self, which: slice | Array) -> Target:
        """Return the moments of some weights."""
        part = None if self.part is None else self.part[which]
        weight = None if self.weight is None else self.weight[which]
        C = self.C[which][:, which]
        return replace(self, m=self.m[which], C=C, part=part, weight=weight)

    def parts(self) -> dict[str, Ints]:
        """Return the indices of each part; empty if the weights have no names."""
        if self.part is None:
            return {}
        names = list(dict.fromkeys(self.part.tolist()))
        return {str(name): np.flatnonzero(self.part == name) for name in names}


@public
def as_target(
    given: MomentsLike | Target, rounding: Rounding = MOMENT_TOLERANCES.rounding
) -> Target:
    """Return moments from a Dataset, a pair (m, C), a file, an ensemble or an array.

    Parameters
    ----------
    given
        `Target`; Dataset of `lsg_ray.moments`; (m, C); path of a moments Zarr, an ``.npz`` with
        ``m`` and ``C`` or else with configurations ``sigma``, ``FILE.npz:NAME``, ``FILE.npy``, or
        a store; `Ensemble`, view, or configurations (M, N) of ±1.
    rounding
        Largest error of each given m and C.  Inconsistent moments are moved to the nearest
        consistent ones within it, and the largest move is ``change``.

    Raises
    ------
    InputError
        The source holds no moments, or not of ±1 weights: with the wrong entry.

    Examples
    --------
    >>> target = as_target(([0.66667, 0.66667], [[1, 0.33333], [0.33333, 1]]))
    >>> target.C[0, 1].round(8), round(target.change, 8)
    (np.float64(0.33334), 1e-05)
    """
    if isinstance(given, Target):
        return given
    if isinstance(given, (str, os.PathLike)):
        return _from_path(expanded(given), rounding)
    if isinstance(given, xarray.Dataset):
        return _from_dataset(given, rounding)
    if isinstance(given, tuple) and len(given) == 2:
        m, C = given
        return Target(as_numbers(m, "m"), as_numbers(C, "C"), rounding=rounding)
    return _from_dataset(moments(signs(given)))


def signs(given: ConfigurationsLike) -> Configurations:
    """Return configurations of ±1 weights, and refuse others before anything is computed."""
    source = as_configurations(given)
    if not source.signs:
        raise InputError(f"{source.name} holds real numbers; a model is of ±1 weights")
    return source


def as_sample(given: MomentsLike) -> Configurations:
    """Return the ±1 configurations themselves, which pseudolikelihood needs.

    Of an ``.npz`` they are ``sigma``, or the array that is named: ``FILE.npz:NAME``.

    Raises
    ------
    InputError
        Moments were given, or weights other than ±1.
    """
    if (
        isinstance(given, (Target, xarray.Dataset))
        or (isinstance(given, tuple) and len(given) == 2)
        or (isinstance(given, (str, os.PathLike)) and _holds_moments(expanded(given)))
    ):
        raise InputError("moments given; pseudolikelihood needs the configurations: name a store")
    return signs(given)


def _holds_moments(text: str) -> bool:
    """Return whether a path is of moments without configurations."""
    if not is_array_file(text):
        return attributes_of(text).get("statistic") == "moments"
    path, name = member_of(text)
    if ending(path) != ".npz" or name is not None:
        return False
    try:
        with open_archive(path) as arrays:
            return "sigma" not in arrays and {"m", "C"} & set(arrays) != set()
    except MemoryError:
        raise
    except Exception:  # a foreign or damaged file fails in a dozen ways; its reader tells
        return False


def _from_path(text: str, rounding: float) -> Target:
    remedy = "name a moments Zarr, an .npz with m and C, or a store"
    with reading(text, "cannot be read as moments", remedy):
        if is_array_file(text):
            path, name = member_of(text)
            if ending(path) == ".npz" and name is None:
                with open_archive(path) as arrays:
                    if "m" in arrays and "C" in arrays and "J" not in arrays:
                        return _from_archive(arrays, Path(path).name, rounding)
                    if "sigma" not in arrays:
                        raise InputError(
                            f"holds {', '.join(arrays)}; m and C are needed, or configurations "
                            f"sigma: write {path}:NAME of an array"
                        )
        elif attributes_of(text).get("statistic") == "moments":
            with open_result(text) as result:
                # Their errors, and connected correlations, would be three more N × N matrices.
                needed = [name for name in ("m", "C") if name in result]
                return _from_dataset(result[needed].load(), rounding)
    return _from_dataset(moments(signs(text)))


def _from_archive(arrays: Any, name: str, rounding: float) -> Target:
    part, weight = names_in(arrays)
    for label, values in (("part", part), ("weight", weight)):
        if values is not None and values.shape != arrays["m"].shape:
            raise InputError(f"{label} of shape {values.shape} given; m has {arrays['m'].shape}")
    result = xarray.Dataset(attrs=attributes_in(arrays))
    attributes = {"source": name, **_inherited_attributes(result)}
    return Target(arrays["m"], arrays["C"], _count(result), part, weight, attributes, rounding)


def _count(result: xarray.Dataset) -> float | None:
    count = independent_rows(result)
    return None if np.isnan(count) else count


def _inherited_attributes(result: xarray.Dataset) -> dict[str, Any]:
    """Return attributes of moments that a model of them takes over."""
    names = ("source", "spec_hash", "where", "sampling_seed")
    return {name: result.attrs[name] for name in names if name in result.attrs}


def _from_dataset(result: xarray.Dataset, rounding: float = MOMENT_TOLERANCES.rounding) -> Target:
    missing = [name for name in ("m", "C") if name not in result]
    if missing:
        raise InputError(
            f"moments without {' and '.join(missing)} given; make them with lsg moments"
        )
    part, weight = None, None
    if "part" in result.coords:
        part, weight = names_of(result["part"]), result["weight"].values.astype(np.int64)
    m, C, attributes = result["m"].values, result["C"].values, _inherited_attributes(result)
    return Target(m, C, _count(result), part, weight, attributes, rounding)


def _checked(m: Any, C: Any, rounding: float) -> tuple[Floats, Floats, float]:
    """Return m and C, made consistent, and the largest change of them."""
    allowed = max(rounding, MOMENT_TOLERANCES.arithmetic)
    means, second = as_numbers(m, "m"), as_numbers(C, "C")
    n = means.size
    if means.ndim != 1 or second.shape != (n, n):
        raise InputError(
            f"m of shape {means.shape} and C of shape {second.shape} given; (N,) and (N, N)"
        )
    if n < 2:
        raise InputError(f"N = {n} weights given; a model needs at least 2")
    for name, values in (("m", means), ("C", second)):
        bad = ~np.isfinite(values) | (np.abs(values) > 1 + allowed)
        if bad.any():
            at = tuple(np.argwhere(bad)[0].tolist())
            raise InputError(f"{name}{list(at)} is {values[at]}; it must be from −1 to 1")
    if (diagonal := np.abs(np.diag(second) - 1)).max() > allowed:
        i = int(diagonal.argmax())
        raise InputError(
            f"C[{i}, {i}] is {second[i, i]:g}; ⟨σ²⟩ = 1, so the diagonal of C is 1 "
            "(pass raw correlations, not connected ones)"
        )
    if (difference := np.abs(second - second.T)).max() > 2 * allowed:
        i, j = (int(k) for k in np.unravel_index(difference.argmax(), (n, n)))
        raise InputError(
            f"C[{i}, {j}] is {second[i, j]:g} and C[{j}, {i}] {second[j, i]:g}; C must be symmetric"
        )
    given_m, given_C = means, second
    means = np.clip(means, -1, 1)
    second = np.clip((second + second.T) / 2, -1, 1)
    np.fill_diagonal(second, 1.0)
    second = _within_bounds(means, second, allowed)
    # Independent errors of this size at most: Wigner's semicircle, with a margin.
    margin = max(MOMENT_TOLERANCES.arithmetic * n, 2 * rounding * n**0.5)
    covariance = second - np.outer(means, means)
    if not is_positive(covariance, margin):
        lowest = float(np.linalg.eigvalsh(covariance)[0])
        raise InputError(
            f"C − m mᵀ has the eigenvalue {lowest:.3g}; no ensemble has such a C (a covariance has "
            "none below zero)"
        )
    change = max(float(np.abs(means - given_m).max()), float(np.abs(second - given_C).max()))
    for values in (means, second):
        values.flags.writeable = False
    return means, second, change if change > MOMENT_TOLERANCES.last_bits else 0.0


def _within_bounds(m: Floats, C: Floats, allowed: float) -> Floats:
    """Return C with every pair in the bounds of its four states; see the module."""
    low = np.abs(m[:, None] + m) - 1
    high = 1 - np.abs(m[:, None] - m)
    outside = np.maximum(low - C, C - high)
    i, j = (int(k) for k in np.unravel_index(outside.argmax(), C.shape))
    if outside[i, j] > 3 * allowed + MOMENT_TOLERANCES.last_bits:
        raise InputError(
            f"m[{i}] = {m[i]:g}, m[{j}] = {m[j]:g} and C[{i}, {j}] = {C[i, j]:g} cannot be moments "
            "of ±1: a state of the two would have a negative probability, by more than rounding "
            f"to {allowed:g} makes (of coarser numbers, pass rounding=: "
            f"{outside[i, j] / 3:.2g} at least)"
        )
    return np.where(outside > MOMENT_TOLERANCES.last_bits, np.clip(C, low, high), C)
