"""Networks of independent weights as spin glasses: melting temperature, density of the bond matrix.

Layers k = 0 … L of N_k units, independent weights of variance C_k/N_{k−1} between layers k − 1 and
k.  With S_kl = N_l Var(J_kl), that is S_{k,k−1} = C_k and S_{k−1,k} = C_k N_k/N_{k−1}:

- squared magnetizations q_k at the onset of freezing obey q = β² S q, so T_c² is the largest
  eigenvalue of S, or of the symmetric tridiagonal matrix with s_k = C_k √(N_k/N_{k−1}) beside its
  zero diagonal;
- the resolvent of the bond matrix, g_k(z) of a unit of layer k, obeys the quadratic vector equation
  g_k = 1/(z − Σ_l S_kl g_l), and its density is ρ(λ) = −(1/πN) Σ_k N_k Im g_k(λ + i0).

Source: the first for equal layers is arXiv:2408.06421; for any widths it is the condition of
multi-species models (arXiv:2012.13381).  The second: O. Ajanki, L. Erdős, T. Krüger, Mem. AMS 261
(2019).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from lsg_ray.arrays import as_numbers, brief, public
from lsg_ray.errors import InputError
from lsg_ray.typing import Floats

#: Most steps of Newton's method, which only at the edge converges no faster than bisection.
_NEWTON_STEPS = 200
#: Relative error of the edge.
_EDGE_TOLERANCE = 1e-7
#: Steps of the iteration for the density, and the change at which it ends.
_DENSITY_STEPS = 20_000
_DENSITY_TOLERANCE = 1e-9


def coupling_profile(widths: Sequence[int], variances: ArrayLike = 1.0) -> Floats:
    """Return S (L + 1, L + 1) of layers of these widths.

    Parameters
    ----------
    widths
        Units of each layer, from input to output.
    variances
        C_k: variance of the weights of each layer times its number of inputs; one number for all.

    Raises
    ------
    InputError
        Fewer than two layers of units, or numbers that are not positive.

    Examples
    --------
    >>> coupling_profile((4, 2)).tolist()
    [[0.0, 0.5], [1.0, 0.0]]
    """
    sizes = as_numbers(widths, "widths")
    if sizes.ndim != 1 or len(sizes) < 2 or not (sizes >= 1).all():
        raise InputError(f"widths {brief(widths)} given; two layers or more of units are needed")
    C = np.atleast_1d(as_numbers(variances, "variances"))
    if C.shape not in ((1,), (len(sizes) - 1,)) or not (np.isfinite(C) & (C >= 0)).all():
        raise InputError(
            f"variances {brief(variances)} given; one number, or {len(sizes) - 1}, from zero on"
        )
    C = np.broadcast_to(C, len(sizes) - 1)
    return np.diag(C, -1) + np.diag(C * sizes[1:] / sizes[:-1], 1)


@public
def untrained_melting_temperature(widths: Sequence[int], variances: ArrayLike = 1.0) -> float:
    """Return T_c of a network of independent weights.

    T_c² is the largest eigenvalue of the tridiagonal matrix of `lsg_ray.neuron_spins.theory`; of
    equal layers T_c = √(2 C cos(π/(L + 2))).

    Parameters
    ----------
    widths
        Units of each layer, from input to output.
    variances
        C_k: variance of the weights of each layer times its number of inputs; one number for all.

    Raises
    ------
    InputError
        As `coupling_profile`.

    Examples
    --------
    >>> round(untrained_melting_temperature((784, 256, 128, 10)), 4)
    0.9673
    """
    return float(np.sqrt(_radius(coupling_profile(widths, variances))))


def _radius(matrix: Floats) -> float:
    return float(np.abs(np.linalg.eigvals(matrix)).max())


def _resolvent(S: Floats, z: float) -> Floats | None:
    """Return g at a real z above the bulk; None at one inside.

    Newton's method from g = 0 rises to the smallest solution of the convex equation, if there is
    one; that is the resolvent where ρ(diag(g²) S) < 1, which its steps need to be positive.
    """
    g = np.zeros(len(S))
    for _ in range(_NEWTON_STEPS):
        left = z - S @ g
        if (left <= 0).any():
            return None
        value = 1 / left
        slope = value[:, None] ** 2 * S
        if _radius(slope) >= 1:
            return None
        step = np.linalg.solve(np.eye(len(S)) - slope, value - g)
        g = g + step
        if np.abs(step).max() <= 1e-12 * np.abs(g).max():
            return g
    return None


def bulk_edge(widths: Sequence[int], variances: ArrayLike = 1.0) -> float:
    """Return the largest eigenvalue λ₊ of the bond matrix of independent weights, for N → ∞.

    The smallest real z at which the vector equation has a stable solution, by bisection.

    Parameters
    ----------
    widths, variances
        As of `untrained_melting_temperature`.

    Raises
    ------
    InputError
        As `coupling_profile`.

    Examples
    --------
    >>> round(bulk_edge((100, 100)), 4), round(bulk_edge((100, 100, 100)), 4)
    (2.0, 2.4142)
    """
    S = coupling_profile(widths, variances)
    # λ₊ is at most twice the norm, and at least the root, of S made symmetric.
    high = 2.001 * np.sqrt(S.sum(axis=1).max() + S.sum(axis=0).max())
    low = 0.0
    if high == 0:
        return 0.0
    while high - low > _EDGE_TOLERANCE * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _resolvent(S, middle) is None else (low, middle)
    return float(high)


def bulk_density(
    widths: Sequence[int], variances: ArrayLike, eigenvalues: ArrayLike, width: float = 1e-3
) -> Floats:
    """Return the density of eigenvalues of the bond matrix of independent weights.

    Parameters
    ----------
    widths, variances
        As of `untrained_melting_temperature`.
    eigenvalues
        λ (n,) at which the density is taken; eigenvalues that are zero, as layers of different
        widths have, are left out.
    width
        η: imaginary part of z, relative to the edge.

    Notes
    -----
    The iteration g ← ½ (g + 1/(z − S g)) keeps Im g < 0 and converges everywhere above the real
    axis.
    """
    S = coupling_profile(widths, variances)
    sizes = np.asarray(widths, np.float64)
    points = np.append(as_numbers(eigenvalues, "eigenvalues"), 0.0)
    z = points + 1j * width * (bulk_edge(widths, variances) or 1.0)
    g = np.repeat(1 / z[None], len(S), axis=0)
    for _ in range(_DENSITY_STEPS):
        following = 0.5 * (g + 1 / (z - S @ g))
        change = np.abs(following - g).max(initial=0) / max(np.abs(g).max(initial=0), 1e-300)
        g = following
        if change < _DENSITY_TOLERANCE:
            break
    density: Floats = -(sizes / sizes.sum()) @ g.imag / np.pi
    # Zeros are a Lorentzian of width η, which at λ = 0 is all of the density but a term of order 1.
    eta = z.imag[0]
    rest = density[:-1] - density[-1] * eta**2 / (points[:-1] ** 2 + eta**2)
    return np.maximum(rest, 0.0)
