"""Models of a few patterns: averages and configurations without an N × N matrix.

    P(σ) ∝ exp(½ Σ_k (ξ_k·σ)² + h·σ),     J_ij = Σ_k ξ_ik ξ_jk  (i ≠ j),

the model of J. J. Hopfield.  With a Gaussian field z_k for each pattern (J. Hubbard, Phys. Rev.
Lett. 3, 77 (1959)) spins are independent,

    Z = ∫ Dz exp(Σ_i [ln 2 cosh(h_i + ξ_i·z) − ½ |ξ_i|²]),     ⟨σ_i⟩_z = tanh(h_i + ξ_i·z),

so that averages are integrals over r numbers.  They are computed by importance sampling from
Gaussians at all maxima that are found, without bias and with an error; the effective number of
draws says whether it can be trusted.  Spins and fields in turn are a Markov chain, O(N r) a sweep.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
from annotated_types import Ge

from lsg_ray.arrays import public
from lsg_ray.rng import Stream, generator
from lsg_ray.typing import Floats, Ints, Signs


@dataclass(frozen=True)
class LowRankConfig:
    """How averages over the fields of patterns are computed, and when they count."""

    #: Draws of the fields, and least effective number of them for a verdict.
    draws: int = 1024
    least_effective: float = 100.0
    #: Rounds of a quarter of the draws that Gaussians are fitted to, and effective draws for each
    #: field that a covariance needs.
    pilots: int = 2
    per_field: float = 10.0
    #: Width of the Gaussians relative to the curvature: wider ones bound the weights.
    width: float = 1.2
    #: Least share of the draws at a maximum, and maxima lower by more nats than this are left out.
    least_share: float = 0.05
    lower: float = 30.0
    #: Newton's steps to a maximum, at most, and largest change of a field at its end.
    steps: int = 200
    tolerance: float = 1e-8
    #: Entries of a matrix (draws, N) that are computed at a time.
    entries: int = 2**22


CONFIG = LowRankConfig()


class LowRankModel(NamedTuple):
    """Patterns xi (N, r) and fields h (N,), in nats^½ and nats: J = Ξ Ξᵀ without its diagonal."""

    xi: Floats
    h: Floats


class LowRankAverages(NamedTuple):
    """Averages over the model, in nats, with standard errors.

    log_Z, energy, entropy, each with ``_stderr``; m (N,) and m_stderr; variance (r,) of ξ_k·σ, and
    its standard error; maxima: of the integrand; effective: effective number of draws.
    """

    log_Z: float  # noqa: N815
    log_Z_stderr: float  # noqa: N815
    energy: float
    entropy: float
    entropy_stderr: float
    m: Floats
    m_stderr: Floats
    variance: Floats
    variance_stderr: Floats
    maxima: int
    effective: float


@public
def low_rank_averages(model: LowRankModel, *, seed: int = 0) -> LowRankAverages:
    """Return free energy, entropy and magnetizations of a low-rank model.

    Parameters
    ----------
    model
        Patterns and fields.
    seed
        Seed of the draws of the fields z.

    Notes
    -----
    Time: O(draws · N r).  Errors are those of ratios of weighted sums, to first order.

    Examples
    --------
    >>> free = low_rank_averages(LowRankModel(np.zeros((3, 0)), np.zeros(3)))
    >>> free.entropy == 3 * np.log(2), free.entropy_stderr
    (np.True_, 0.0)
    """
    mixture, rng = _at_maxima(model), generator(seed, Stream.MONTE_CARLO, 7)
    for _ in range(CONFIG.pilots):
        z, which, log_q = _drawn(mixture, CONFIG.draws // 4, rng)
        mixture = _refined(mixture, z, which, _integrand(model, z).log_w - log_q)
    z, _, log_q = _drawn(mixture, CONFIG.draws, rng)
    at = _integrand(model, z)
    log_w = at.log_w - log_q
    w = np.exp(log_w - log_w.max())
    p = w / w.sum()
    log_Z = float(np.log(w.mean()) + log_w.max())
    energy = float(p @ at.energy)
    # Of log Z + E, the contributions of each draw.
    one = len(z) * p - 1
    m, m_error = _weighted_means(model, z, p)
    mean = p @ at.projections
    variance = p @ at.squares - mean**2
    spread = at.squares - 2 * mean * at.projections + mean**2 - variance
    return LowRankAverages(
        log_Z,
        _error(one / len(z)),
        energy,
        log_Z + energy,
        _error(one / len(z) + p * (at.energy - energy)),
        m,
        m_error,
        variance,
        np.sqrt((p[:, None] ** 2 * spread**2).sum(axis=0)),
        len(mixture.centres),
        float(1 / (p**2).sum()),
    )


def _error(parts: Floats) -> float:
    return float(np.sqrt((parts**2).sum()))


class _Integrand(NamedTuple):
    """At fields z (S, r): its logarithm and the mean energy (S,); means of ξ·σ, and of (ξ·σ)²."""

    log_w: Floats
    energy: Floats
    projections: Floats
    squares: Floats


def _blocks(z: Floats, n: int) -> list[slice]:
    at_once = max(1, CONFIG.entries // n)
    return [slice(start, start + at_once) for start in range(0, len(z), at_once)]


def _integrand(model: LowRankModel, z: Floats) -> _Integrand:
    xi, h = model
    diagonal = xi**2
    log_w, along = np.empty(len(z)), np.empty(len(z))
    projections, inner = np.empty(z.shape), np.empty(z.shape)
    for some in _blocks(z, len(h)):
        total = h + z[some] @ xi.T
        t = np.tanh(total)
        log_w[some] = np.logaddexp(total, -total).sum(axis=1)
        projections[some], inner[some] = t @ xi, (1 - t * t) @ diagonal
        along[some] = t @ h
    log_w -= 0.5 * ((z**2).sum(axis=1) + z.shape[1] * np.log(2 * np.pi) + diagonal.sum())
    squares = projections**2 + inner
    energy = -0.5 * squares.sum(axis=1) + 0.5 * diagonal.sum() - along
    return _Integrand(log_w, energy, projections, squares)


def _weighted_means(model: LowRankModel, z: Floats, p: Floats) -> tuple[Floats, Floats]:
    """Return magnetizations with weights p of the draws, and their errors."""
    m, square, cross = (np.zeros(len(model.h)) for _ in range(3))
    for some in _blocks(z, len(model.h)):
        t = np.tanh(model.h + z[some] @ model.xi.T)
        m += p[some] @ t
        square += p[some] ** 2 @ t**2
        cross += p[some] ** 2 @ t
    variance = square - 2 * m * cross + m**2 * (p**2).sum()
    return m, np.sqrt(np.maximum(variance, 0.0))


class _Mixture(NamedTuple):
    """Gaussians over fields: centres (S, r), precisions (S, r, r), shares (S,)."""

    centres: Floats
    precisions: Floats
    shares: Floats


def _at_maxima(model: LowRankModel) -> _Mixture:
    """Return Gaussians at the maxima of the integrand, with its curvatures there."""
    xi = model.xi
    rank = xi.shape[1]
    # From no field, and from where all spins follow a pattern.
    saturated = np.sign(xi).T @ xi
    starts = np.concatenate([np.zeros((1, rank)), saturated, -saturated])
    found: list[tuple[float, Floats, Floats]] = []
    for start in starts:
        z, curvature, height = _climb(model, start)
        if np.linalg.eigvalsh(curvature).min(initial=1.0) <= 0:
            continue
        if all(np.abs(z - other).max(initial=0.0) > 1e-4 for _, other, _ in found):
            found.append((height, z, curvature))
    best = max(height for height, _, _ in found)
    kept = [one for one in found if one[0] > best - CONFIG.lower]
    centres = np.array([z for _, z, _ in kept]).reshape(len(kept), rank)
    curvatures = np.array([one for _, _, one in kept]).reshape(len(kept), rank, rank)
    logs = np.array([height for height, _, _ in kept]) - 0.5 * np.linalg.slogdet(curvatures)[1]
    return _Mixture(centres, curvatures / CONFIG.width**2, _shares(np.exp(logs - logs.max())))


def _shares(sizes: Floats) -> Floats:
    shares = np.maximum(sizes / sizes.sum(), CONFIG.least_share)
    return shares / shares.sum()


def _climb(model: LowRankModel, z: Floats) -> tuple[Floats, Floats, float]:
    """Return a maximum of Σ ln 2 cosh(h + Ξz) − ½ z², minus its Hessian, and its height."""
    xi, h = model

    def at(z: Floats) -> tuple[Floats, float]:
        total = h + xi @ z
        return np.tanh(total), float(np.logaddexp(total, -total).sum() - 0.5 * z @ z)

    t, height = at(z)
    for _ in range(CONFIG.steps):
        curvature = np.eye(len(z)) - (xi * (1 - t * t)[:, None]).T @ xi
        gradient = xi.T @ t - z
        values, modes = np.linalg.eigh(curvature)
        # Where it curves upwards, a step along the gradient: the sign of the mode is turned.
        step = modes @ ((modes.T @ gradient) / np.maximum(np.abs(values), 1e-3))
        size = 1.0
        while True:
            new_t, new = at(z + size * step)
            if new >= height or size < 1e-6:
                break
            size /= 2
        z, t, height = z + size * step, new_t, new
        if np.abs(size * step).max(initial=0.0) < CONFIG.tolerance:
            break
    return z, np.eye(len(z)) - (xi * (1 - t * t)[:, None]).T @ xi, height


def _drawn(mixture: _Mixture, count: int, rng: np.random.Generator) -> tuple[Floats, Ints, Floats]:
    """Return draws (S, r), the Gaussian that each is of, and log densities of the mixture (S,)."""
    centres, precisions, shares = mixture
    rank = centres.shape[1]
    which = rng.choice(len(centres), count, p=shares)
    noise = rng.normal(size=(count, rank))
    z = np.empty((count, rank))
    for k, precision in enumerate(precisions):
        here = which == k
        # L Lᵀ is the precision: L⁻ᵀ of white noise has its inverse as covariance.
        root = np.linalg.cholesky(precision)
        z[here] = centres[k] + np.linalg.solve(root.T, noise[here].T).T
    apart = z[:, None] - centres
    logs = np.linalg.slogdet(precisions)[1] - rank * np.log(2 * np.pi)
    squares = np.einsum("ski,kij,skj->sk", apart, precisions, apart)
    terms = np.log(shares) + 0.5 * (logs - squares)
    top = terms.max(axis=1)
    return z, which, top + np.log(np.exp(terms - top[:, None]).sum(axis=1))


def _refined(mixture: _Mixture, z: Floats, which: Ints, log_w: Floats) -> _Mixture:
    """Return Gaussians with the weighted means and covariances of their draws.

    Where a pattern is about to order, the integrand is far from a Gaussian at its maximum.
    """
    rank = z.shape[1]
    w = np.exp(log_w - log_w.max())
    centres, precisions = mixture.centres.copy(), mixture.precisions.copy()
    sizes = np.array([w[which == k].sum() for k in range(len(centres))])
    for k in range(len(centres)):
        p = w[which == k] / max(sizes[k], 1e-300)
        if rank and p.size and 1 / (p**2).sum() > CONFIG.per_field * rank:
            centres[k] = p @ z[which == k]
            apart = z[which == k] - centres[k]
            covariance = (apart * p[:, None]).T @ apart
            precisions[k] = np.linalg.inv(covariance) / CONFIG.width**2
    return _Mixture(centres, precisions, _shares(sizes))


@public
def sample_low_rank(
    model: LowRankModel,
    *,
    chains: Annotated[int, Ge(1)] = 100,
    sweeps: Annotated[int, Ge(1)] = 100,
    seed: int = 0,
) -> Signs:
    """Draw configurations (chains, N) of a low-rank model, by spins and fields in turn.

    Parameters
    ----------
    model
        Patterns and fields.
    chains
        Number of chains, whose last configurations are returned.
    sweeps
        Sweeps from random spins: along a pattern of variance η, some η of them forget one start.
    seed
        Seed of all random numbers.

    Notes
    -----
    Two products of (chains, N) and (N, r) a sweep.
    """
    rng = generator(seed, Stream.MONTE_CARLO, 8)
    xi = model.xi.astype(np.float32)
    h = model.h.astype(np.float32)
    spins = (2 * rng.integers(0, 2, (chains, len(h))) - 1).astype(np.float32)
    for _ in range(sweeps):
        z = spins @ xi + rng.standard_normal((chains, xi.shape[1]), np.float32)
        # σ = +1 with probability (1 + tanh)/2.
        spins = np.where(
            2 * rng.random(spins.shape, np.float32) - 1 < np.tanh(h + z @ xi.T), 1, -1
        ).astype(np.float32)
    return spins.astype(np.int8)
