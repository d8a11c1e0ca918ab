"""Solutions of the TAP equations of a network's units: how many states there are.

    m_i = tanh β(h_i + Σ_j J_ij m_j − β m_i Σ_j J_ij² (1 − m_j²)),

    F = −Σ h_i m_i − ½ Σ J_ij m_i m_j − (β/4) Σ J_ij² (1 − m_i²)(1 − m_j²)
        + T Σ_i [(1+m_i)/2 ln (1+m_i)/2 + (1−m_i)/2 ln (1−m_i)/2].

Starts are quenches to zero temperature: the units of even and of odd layers in turn are aligned
with their fields, which lowers the energy until all are.  (From small m the iteration ends at m = 0
even far below T_c, where that is no state: its Plefka number exceeds 1.)  A solution counts where
the iteration converged, q = mean m² is not zero, and it is stable in Plefka's sense,

    x_P = β² ρ(diag(1 − m²) (J∘J) diag(1 − m²)) < 1.

Solutions that differ by a flip of all units are one; with fields there is no such symmetry.

Source: arXiv:2408.06421; T. Plefka, J. Phys. A 15, 1971 (1982) for the criterion.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lsg_ray.neuron_spins.bonds import Bonds
from lsg_ray.typing import Flags, Floats, Ints

#: Largest |m| of a start: of the spins of a quench.
START = 0.95
#: Products of a quench at most; each lowers the energy.
_QUENCH_SWEEPS = 1000
#: Overlap |cos| above which two solutions are one.
_SAME = 0.99
#: Mean m² below which a solution is m = 0.
_ZERO = 1e-3
#: Power iteration of the Plefka number: steps at most, and relative change at its end.
_POWER_STEPS, _POWER_TOLERANCE = 300, 1e-6


class Fields(NamedTuple):
    """A network at zero fields, or with some clamped: bonds J, their squares, and h (N,)."""

    bonds: Bonds
    squares: Bonds
    h: Floats


class Solved(NamedTuple):
    """Outcomes of starts: m (N, starts), residual and steps (starts,), whether they converged."""

    m: Floats
    residual: Floats
    steps: Ints
    converged: Flags


def fields_of(bonds: Bonds, h: Floats | None = None) -> Fields:
    """Return a network with its squared couplings, for `solve`."""
    return Fields(bonds, bonds.squared(), np.zeros(bonds.n_units) if h is None else h)


def clamp_network(bonds: Bonds, x: Floats | None) -> tuple[Fields, int]:
    """Return a network, with its first layer held at x (inputs,) as fields if there is an x.

    Also the number of layers that are left out.
    """
    if x is None:
        return fields_of(bonds), 0
    rest = Bonds(bonds.couplings[1:])
    h = np.zeros(rest.n_units)
    h[rest.layers[0]] = bonds.couplings[0] @ x
    return fields_of(rest, h), 1


def quench(network: Fields, spins: Floats) -> Floats:
    """Align spins (N, starts) of each colour in turn with their fields until all are."""
    bonds, h = network.bonds, network.h[:, None]
    s = spins.copy()
    colours = [bonds.colour(c) for c in (0, 1)]
    for _ in range(_QUENCH_SWEEPS):
        changed = False
        for c in (0, 1):
            field = (bonds.fields(s, c) + h)[colours[c]]
            aligned = np.where(field == 0, s[colours[c]], np.sign(field))
            changed |= bool((aligned != s[colours[c]]).any())
            s[colours[c]] = aligned
        if not changed:
            break
    return s


def solve(
    network: Fields,
    start: Floats,
    temperature: float,
    *,
    tolerance: float = 1e-6,
    max_iterations: int = 1500,
) -> Solved:
    """Minimise F over the units of even and of odd layers in turn, from all starts (N, starts).

    Given one colour, the equations of the other are one for each unit, of a convex function of its
    m_i, and are solved exactly (`_aligned`).  So F falls at every step and cycles are impossible:
    no damping is needed.  A start ends when no m_i moves by more than ``tolerance`` in a sweep.

    Notes
    -----
    Each sweep: the products J m and (J∘J)(1 − m²) with the starts that are left, 8 flop a weight
    and start.
    """
    m, beta = start.copy(), 1 / temperature
    residual, steps = np.full(m.shape[1], np.inf), np.zeros(m.shape[1], np.int64)
    colours = [network.bonds.colour(c) for c in (0, 1)]
    left = np.arange(m.shape[1])
    for step in range(1, max_iterations + 1):
        now = m[:, left]
        before = now.copy()
        for c, rows in enumerate(colours):
            f = network.h[rows, None] + network.bonds.fields(now, c)[rows]
            reaction = beta**2 * network.squares.fields(1 - now**2, c)[rows]
            now[rows] = _aligned(beta * f, reaction)
        residual[left], steps[left] = np.abs(now - before).max(axis=0, initial=0), step
        m[:, left] = now
        left = left[residual[left] > tolerance]
        if not len(left):
            break
    return Solved(m, residual, steps, residual <= tolerance)


def _aligned(field: Floats, reaction: Floats) -> Floats:
    """Return the m = tanh(field − reaction · m) of each unit."""
    from lsg_ray.kernels.alignment import align

    m = np.empty(field.shape)
    align(field.ravel(), reaction.ravel(), m.reshape(-1))
    return m


def free_energy(network: Fields, m: Floats, temperature: float) -> Floats:
    """Return F/N (columns,) of magnetizations (N, columns)."""
    energy = -network.h @ m - 0.5 * np.einsum("ij,ij->j", m, network.bonds.fields(m))
    q = 1 - m**2
    energy -= np.einsum("ij,ij->j", q, network.squares.fields(q)) / (4 * temperature)
    entropy = np.zeros(m.shape[1])
    for p in ((1 + m) / 2, (1 - m) / 2):
        entropy -= np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0).sum(axis=0)
    return np.asarray((energy - temperature * entropy) / len(m))


def plefka(network: Fields, m: Floats, temperature: float) -> Floats:
    """Return x_P (columns,) of magnetizations (N, columns), by power iteration."""
    q = 1 - m**2
    v = np.sqrt(q)
    norm = np.linalg.norm(v, axis=0)
    v /= np.where(norm > 0, norm, 1)
    last = np.zeros(m.shape[1])
    for _ in range(_POWER_STEPS):
        for _ in range(2):  # the square: eigenvalues come in pairs ±
            v = q * network.squares.fields(q * v)
        size = np.linalg.norm(v, axis=0)
        v /= np.where(size > 0, size, 1)
        if (np.abs(size - last) <= _POWER_TOLERANCE * size).all():
            break
        last = size
    return np.sqrt(size) / temperature**2


class States(NamedTuple):
    """Distinct solutions: their starts' numbers, and how many starts ended in each.

    m (N, n), in the order of how often they were reached; counts (n,).
    """

    m: Floats
    counts: Ints
    first: Ints


def merge(m: Floats, *, flip: bool) -> States:
    """Merge solutions (N, columns) with |cos| > 0.99, or cos where there is no flip symmetry."""
    norms = np.linalg.norm(m, axis=0)
    chosen: list[int] = []
    counts: list[int] = []
    for column in range(m.shape[1]):
        cosine = m[:, chosen].T @ m[:, column] / (norms[chosen] * norms[column])
        same = np.flatnonzero((np.abs(cosine) if flip else cosine) > _SAME)
        if len(same):
            counts[int(same[0])] += 1
        else:
            chosen.append(column)
            counts.append(1)
    order = np.argsort(-np.array(counts, int), kind="stable")
    first = np.array(chosen, np.int64)[order]
    return States(m[:, first], np.array(counts, np.int64)[order], first)


def is_zero(m: Floats) -> Flags:
    """Return whether mean m² (columns,) is zero: the paramagnet."""
    zero: Flags = np.mean(m**2, axis=0) <= _ZERO
    return zero
