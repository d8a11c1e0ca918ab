"""Machines of the theory: what a pattern asks of the overlap of two replicas.

The energetic term is E(q) = E_z ln P(w | z), the mean logarithm of the probability that a pattern
is right, given the part of its fields that replicas share, w_l = √q z_l, while the rest has
variance 1 − q.  With infinitely many units it depends on one field alone, of effective overlap

    κ(q) = (c(q) − c(0))/(c(1) − c(0)),   c(q) = E[φ(u)φ(v)],   u, v of correlation q,

- perceptron: κ = q;  tree of sign units: κ = (2/π) arcsin q;
- tree of ReLU units, the output's threshold at the mean: c = [√(1−q²) + q(π/2 + arcsin q)]/(2π).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple

import numpy as np
from scipy.special import logsumexp

from lsg_ray.errors import InputError
from lsg_ray.minima.theory.gaussian import Grid, grid, hazard, hazard_slope, log_density, log_tail
from lsg_ray.typing import Floats

MachineName = Literal["perceptron", "committee-3", "committee-5", "committee-inf", "relu-inf"]

#: Nodes per axis of the product rule, which is symmetric in the units.
_NODES_OF_UNITS = {3: 57, 5: 25}
_REACH_OF_UNITS = {3: 8.0, 5: 6.0}


@dataclass(frozen=True)
class Kappa:
    """Effective overlap κ(q), its slope and its curvature."""

    at: float
    slope: float
    curvature: float


def kappa(machine: MachineName, q: float) -> Kappa:
    """Return κ(q) of a perceptron or of a tree of infinitely many units.

    >>> float(kappa("committee-inf", 0.5).at)  # doctest: +ELLIPSIS
    0.333...
    """
    root = float(np.sqrt(max(1 - q * q, 1e-24)))  # at q = 1 the slope of sign units diverges
    if machine == "perceptron":
        return Kappa(q, 1.0, 0.0)
    if machine == "committee-inf":
        return Kappa(2 / np.pi * np.arcsin(q), 2 / np.pi / root, 2 / np.pi * q / root**3)
    if machine == "relu-inf":
        scale = np.pi - 1  # 2π (c(1) − c(0))
        angle = np.pi / 2 + np.arcsin(q)
        return Kappa((root + q * angle - 1) / scale, angle / scale, 1 / (root * scale))
    raise InputError(f"machine {machine!r} given; of finitely many units none has one overlap")


@dataclass(frozen=True)
class Energetic:
    """The energetic term at overlap q and what the equations of state ask of it.

    Parameters
    ----------
    value
        Energetic term E(q) = E ln P.
    force
        Derivative −2 dE/dq = E Σ_l (∂_l ln P)², by partial integration.
    stiffness
        Factor of α in the stability (AT) condition, 1/(1 − q)² = α stiffness.
    """

    value: float
    force: float
    stiffness: float


def energetic(machine: MachineName, q: float, stiffness: bool = False) -> Energetic:
    """Return the energetic term of random labels at 0 ≤ q < 1; of units, stiffness if asked for."""
    if machine in ("committee-3", "committee-5"):
        return _of_units(int(machine[-1]), q, stiffness)
    rule = _rule()
    k = kappa(machine, q)
    free = max(1 - k.at, 1e-300)
    v = -np.sqrt(max(k.at, 0.0) / free) * rule.z
    g2 = rule.mean(hazard(v) ** 2) / free
    slope2 = rule.mean(hazard_slope(v) ** 2) / free**2
    return Energetic(rule.mean(log_tail(v)), k.slope * g2, k.slope**2 * slope2 + k.curvature * g2)


@cache
def _rule() -> Grid:
    return grid(4001)


@cache
def product_rule(units: int, nodes: int | None = None) -> tuple[Floats, Floats]:
    """Return nodes (units, M) and weights (M,) of ∫ΠDz_l, one of each set of equal permutations."""
    axis = grid(nodes or _NODES_OF_UNITS[units], _REACH_OF_UNITS[units])
    chosen = np.array(list(itertools.combinations_with_replacement(range(len(axis.z)), units)))
    equal = np.ones(len(chosen))
    run = np.ones(len(chosen))
    for column in range(1, units):  # units!/Π(multiplicities)!, by one factor a column
        run = np.where(chosen[:, column] == chosen[:, column - 1], run + 1, 1)
        equal *= (column + 1) / run
    return axis.z[chosen.T], np.prod(axis.weight[chosen], axis=1) * equal


def log_majority(right: Floats, wrong: Floats, least: int) -> Floats:
    """Return ln of the probability that ``least`` units or more are right, of logs (units, M)."""
    units = len(right)
    terms = [
        sum((right if one in chosen else wrong)[one] for one in range(units))
        for size in range(least, units + 1)
        for chosen in itertools.combinations(range(units), size)
    ]
    return logsumexp(np.array(terms), axis=0) if terms else np.full(right.shape[1:], -np.inf)


def log_exactly(right: Floats, wrong: Floats, number: int) -> Floats:
    """Return ln of the probability that exactly ``number`` units are right; −∞ for none such."""
    units = len(right)
    if not 0 <= number <= units:
        return np.full(right.shape[1:], -np.inf)
    terms = [
        sum(
            ((right if one in chosen else wrong)[one] for one in range(units)),
            np.zeros(right.shape[1:]),
        )
        for chosen in itertools.combinations(range(units), number)
    ]
    return logsumexp(np.array(terms), axis=0)


class Majority(NamedTuple):
    """Probability that most units are right, given fields w (K, M): ln P (M,), its gradient (K, M)
    and its Hessian (K, K, M) in w.
    """

    log: Floats
    slope: Floats
    curvature: Floats


def majority(u: Floats, free: float, curved: bool = True) -> Majority:
    """Return ln P of the majority of K units with fields u√free (K, M), each of variance ``free``.

    With p_l = H(−u_l): P is linear in each p_l, ∂P/∂p_l is the probability that the other units
    are tied, and ∂²P/∂p_l∂p_m that of one short of it minus that of a tie among the rest.
    """
    units, half, scale = len(u), (len(u) - 1) // 2, np.sqrt(free)
    right, wrong = log_tail(-u), log_tail(u)
    total = log_majority(right, wrong, half + 1)
    bell = log_density(u) - np.log(scale)  # dp_l/dw_l
    others = [np.delete(np.arange(units), one) for one in range(units)]
    pivotal = np.array([log_exactly(right[o], wrong[o], half) for o in others])
    slope = np.exp(bell + pivotal - total)
    curvature = np.empty((units, units, *total.shape)) if curved else np.empty((0, 0, 0))
    for one, two in itertools.combinations_with_replacement(range(units if curved else 0), 2):
        if one == two:
            second = -(u[one] / scale) * slope[one]
        else:
            rest = np.delete(np.arange(units), [one, two])
            common = bell[one] + bell[two] - total
            second = np.exp(common + log_exactly(right[rest], wrong[rest], half - 1))
            second -= np.exp(common + log_exactly(right[rest], wrong[rest], half))
        curvature[one, two] = curvature[two, one] = second - slope[one] * slope[two]
    return Majority(total, slope, curvature)


def _of_units(units: int, q: float, curved: bool) -> Energetic:
    z, weight = product_rule(units)
    known = majority(np.sqrt(q / (1 - q)) * z, 1 - q, curved)
    stiffness = float(weight @ (known.curvature**2).sum(axis=(0, 1))) if curved else np.nan
    return Energetic(
        float(weight @ known.log), float(weight @ (known.slope**2).sum(axis=0)), stiffness
    )
