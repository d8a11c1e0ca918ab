"""The bond matrix of a network of spins, and its temperatures, by products with vectors alone.

Units of neighbouring layers are joined by J^(k), the weights of layer k, and no others:
H = −½ σᵀJσ with J (N, N) symmetric.  Units of even and of odd layers are two colours: those of one
interact with the other only.  J is never made; a product costs as much as the weights.

Near the paramagnet m = 0 the TAP equations are (T² − T J + D) m = 0, D_i = Σ_j J_ij².  By colours,
m = (e, o) and p = T o, they are an eigenproblem of dimension N in μ = T²:

    μ e = B p − D_e e,   μ p = Bᵀ (B p − D_e e) − D_o p,      B: couplings of even with odd units,

whose real positive roots above the bulk, |μ| ≤ T_SG², are ordered modes.  (J → −J by flips of the
odd layers, so T and −T are both roots.)  Besides T each mode has the smaller root near D/T.

- T_SG = √ρ(J∘J): freezing into a glass;
- T_1: the largest root T above the cut T_SG (1 + N^{−1/3}): melting of hidden order.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigs, eigsh

from lsg_ray.typing import Array, Floats

#: Dimension up to which dense eigenvalues are computed.
_DENSE = 120
#: Least dimension of the Krylov space; largest number of restarts of ARPACK; its tolerance.
_KRYLOV, _RESTARTS, _TOLERANCE = 60, 300, 1e-7
#: Imaginary part of an eigenvalue, relative to it, that is rounding.
_REAL = 1e-6
#: Steps of power iteration at most, and the relative change of the eigenvalue at which it ends.
_POWER_STEPS, _POWER_TOLERANCE = 2000, 1e-10


class Bonds(NamedTuple):
    """Couplings between neighbouring layers: each (N_k, N_{k−1}) float, as weights are stored."""

    couplings: tuple[Array, ...]

    @property
    def widths(self) -> tuple[int, ...]:
        """Units of each layer."""
        return (self.couplings[0].shape[1], *(len(w) for w in self.couplings))

    @property
    def n_units(self) -> int:
        """Number of units N, inputs and outputs too."""
        return sum(self.widths)

    @property
    def layers(self) -> tuple[slice, ...]:
        """Where the units of each layer stand in a vector of all."""
        ends = itertools.accumulate(self.widths, initial=0)
        return tuple(slice(a, b) for a, b in itertools.pairwise(ends))

    @property
    def variances(self) -> Floats:
        """C_k: mean square of the weights of each layer, times its inputs."""
        squares = [np.vdot(w, w) / w.size * w.shape[1] for w in self.couplings]
        return np.array(squares, np.float64)

    def colour(self, odd: int) -> Array:
        """Return whether units (N,) are of even (0) or odd (1) layers."""
        return np.repeat(np.arange(len(self.widths)) % 2 == odd, self.widths)

    def fields(self, m: Array, colour: int | None = None) -> Array:
        """Return J m (N,) or (N, columns), of all units, or of one colour and zero else."""
        where, out = self.layers, np.zeros_like(m)
        for k, w in enumerate(self.couplings):
            below, above = where[k], where[k + 1]
            if colour is None or colour == (k + 1) % 2:
                out[above] += w @ m[below]
            if colour is None or colour == k % 2:
                out[below] += w.T @ m[above]
        return out

    def squared_fields(self, q: Floats) -> Floats:
        """Return (J∘J) q (N,), without a copy of the couplings."""
        from lsg_ray.kernels.squares import add_square_products

        where, out = self.layers, np.zeros_like(q)
        for k, w in enumerate(self.couplings):
            below, above = where[k], where[k + 1]
            add_square_products(w, q[below], q[above], out[below], out[above])
        return out

    def squared(self) -> Bonds:
        """Return J∘J."""
        return Bonds(tuple(w * w for w in self.couplings))

    def shuffled(self, rng: np.random.Generator) -> Bonds:
        """Return the couplings of each layer in random order: a network without structure."""
        return Bonds(tuple(rng.permutation(w.ravel()).reshape(w.shape) for w in self.couplings))

    def gaussian(self, rng: np.random.Generator) -> Bonds:
        """Return normal couplings with the mean square of each layer."""
        drawn = []
        for w in self.couplings:
            scale = np.sqrt(np.vdot(w, w) / w.size)
            drawn.append((scale * rng.standard_normal(w.shape)).astype(w.dtype))
        return Bonds(tuple(drawn))


def glass_temperature(bonds: Bonds) -> float:
    """Return T_SG = √ρ(J∘J), by power iteration on (J∘J)²: J∘J has the eigenvalues ±ρ.

    Cost: some 20 products; memory: vectors.
    """
    v = np.full(bonds.n_units, bonds.n_units**-0.5)
    last = 0.0
    for _ in range(_POWER_STEPS):
        v = bonds.squared_fields(bonds.squared_fields(v))
        size = float(np.linalg.norm(v))
        if size == 0:
            return 0.0
        v /= size
        if abs(size - last) <= _POWER_TOLERANCE * size:
            break
        last = size
    return float(size**0.25)


class Modes(NamedTuple):
    """Ordered modes: temperatures (n,), descending, and vectors (N, n) of unit norm.

    converged: whether no root above the cut can have been missed.
    """

    temperatures: Floats
    vectors: Floats
    converged: bool


def cut_of(glass: float, n_units: int) -> float:
    """Return T_SG (1 + N^{−1/3}): up to it real roots occur by chance in finite networks."""
    return glass * (1 + n_units ** (-1 / 3))


def ordered_modes(bonds: Bonds, cut: float, k: int = 6) -> Modes:
    """Return the ordered modes: roots T > ``cut`` of the linearised TAP equations.

    Parameters
    ----------
    bonds
        Network.
    cut
        Lowest temperature of a mode, T_SG or above, where the bulk ends.
    k
        Number of eigenvalues to begin with; doubled while all of them are modes.

    Notes
    -----
    Arnoldi iteration (ARPACK) on N dimensions: each step is one product with J, and the space has
    max(60, 4 k) vectors.  ``converged`` is false where ARPACK gave up before the k-th eigenvalue;
    the modes that are isolated converge first.
    """
    n = bonds.n_units
    if not cut > 0:
        return Modes(np.empty(0), np.empty((n, 0)), True)
    even, odd = bonds.colour(0), bonds.colour(1)
    D = bonds.squared_fields(np.ones(n))

    def product(x: Floats) -> Floats:
        x = x.ravel()
        e = bonds.fields(np.where(odd, x, 0.0), 0) - np.where(even, D * x, 0.0)
        return e + bonds.fields(e, 1) - np.where(odd, D * x, 0.0)

    converged = True
    while True:
        if n <= max(_DENSE, 2 * k + 2):
            values, vectors = np.linalg.eig(np.stack([product(x) for x in np.eye(n)], axis=1))
            break
        operator = LinearOperator((n, n), matvec=product, dtype=np.float64)
        start = np.random.default_rng(0).standard_normal(n)
        try:
            values, vectors = eigs(
                operator,
                k,
                which="LR",
                v0=start,
                ncv=min(n - 1, max(_KRYLOV, 4 * k)),
                maxiter=_RESTARTS,
                tol=_TOLERANCE,
            )
        except ArpackNoConvergence as error:
            values, vectors, converged = error.eigenvalues, error.eigenvectors, False
            break
        if not _is_mode(values, cut).all():
            break
        k *= 2
    modes = np.flatnonzero(_is_mode(values, cut))
    modes = modes[np.argsort(-values[modes].real, kind="stable")]
    T = np.sqrt(values[modes].real)
    m = vectors[:, modes].real.copy()
    m[odd] /= T
    if len(modes):
        m /= np.linalg.norm(m, axis=0)
    return Modes(T, m, converged)


def _is_mode(values: Array, cut: float) -> Array:
    return (values.real > cut**2) & (np.abs(values.imag) <= _REAL * np.abs(values))


def bethe_temperature(bonds: Bonds, near: float) -> float:
    """Return the temperature near ``near`` at which the Bethe Hessian becomes singular; or NaN.

    With t_ij = tanh(J_ij/T), H = diag(1 + Σ_j t²/(1 − t²)) − t/(1 − t²): D of the TAP equations
    holds for small couplings, this for all.  The root is that of ν(T) = 1, the largest eigenvalue
    of the second term between roots of the first.

    A. Saade, F. Krzakala, L. Zdeborová, NeurIPS 2014, arXiv:1406.1880.
    """
    if not near > 0:
        return float("nan")
    start = np.random.default_rng(0).standard_normal(bonds.n_units)

    def excess(temperature: float) -> float:
        t = [np.tanh(w / temperature) for w in bonds.couplings]
        with np.errstate(divide="ignore", over="ignore"):
            ratio = Bonds(tuple(x / (1 - x * x) for x in t))
        squares = Bonds(tuple(x * r for x, r in zip(t, ratio.couplings, strict=True)))
        inverse = 1 / np.sqrt(1 + squares.fields(np.ones(bonds.n_units)))
        if not all(np.isfinite(r).all() for r in ratio.couplings):
            return float("nan")
        return top_eigenvalues(ratio, 1, inverse, start)[0][0] - 1

    for width in (0.02, 0.06, 0.2, 0.5):
        low, high = near * (1 - width), near * (1 + width)
        ends = excess(low), excess(high)
        if ends[0] > 0 > ends[1]:
            return float(brentq(excess, low, high, xtol=1e-5 * near, rtol=1e-6))
    return float("nan")


def top_eigenvalues(
    bonds: Bonds, k: int, scale: Floats | None = None, start: Floats | None = None
) -> tuple[Floats, Floats]:
    """Return the k largest eigenvalues of J (or s∘J∘s, s = ``scale``), descending, with vectors.

    Those that did not converge are NaN.
    """
    n = bonds.n_units
    s = np.ones(n) if scale is None else scale

    def product(v: Floats) -> Floats:
        v = v.ravel()
        moved: Floats = s * bonds.fields(s * v)
        return moved

    if n <= max(_DENSE, 2 * k + 2):
        values, vectors = np.linalg.eigh(np.stack([product(v) for v in np.eye(n)], axis=1))
        return values[::-1][:k], vectors[:, ::-1][:, :k]
    operator = LinearOperator((n, n), matvec=product, dtype=np.float64)
    v0 = np.random.default_rng(0).standard_normal(n) if start is None else start
    try:
        values, vectors = eigsh(operator, k, which="LA", v0=v0, tol=_TOLERANCE)
    except ArpackNoConvergence as error:
        values, vectors = error.eigenvalues, error.eigenvectors
    order = np.argsort(-values)
    missing = k - len(order)
    return (
        np.append(values[order], np.full(missing, np.nan)),
        np.concatenate([vectors[:, order], np.full((n, missing), np.nan)], axis=1),
    )


def bonds_of(matrices: Sequence[Array]) -> Bonds:
    """Return the bonds of weight matrices (N_k, N_{k−1}), in float64."""
    return Bonds(tuple(np.ascontiguousarray(w, np.float64) for w in matrices))
