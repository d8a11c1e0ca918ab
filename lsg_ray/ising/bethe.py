"""Boltzmann learning by the cavity method, without a learning rate.

At a fixed point of belief propagation, the beliefs of a pair depend on J_ij and the magnetizations
alone, so couplings and fields with given beliefs are known in closed form.  With
p_{ab} = (1 + a m_i + b m_j + ab C_ij)/4,

    J_ij = ¼ log(p_{++} p_{−−} / p_{+−} p_{−+}),
    h_i = atanh m_i − Σ_j (atanh m_i − atanh m_{i→j}),
    atanh m_{i→j} = ¼ log(p_{++} p_{+−} / p_{−+} p_{−−})

reproduce any m and C.  What limits the method is that this fixed point is unstable where weights
are correlated collectively: gradient ascent then falls on a polarised fixed point.  So the
correlations of the model are the nearest to the data's, in the least-squares sense, whose
matrix (v_i v_j)^−½ c_ij has no eigenvalue above a threshold λ; and λ is the largest, by bisection,
at which plain belief propagation comes to m from every start.  Magnetizations are then exact.

That is the best model by the cavity method's own measure.  By the true averages it is not: at the
border of stability they are far larger than the beliefs.  ``correlations="response"`` matches the
linear response of the same fixed point instead, c⁻¹ = Hessian of the Bethe free energy (F.
Ricci-Tersenghi, J. Stat. Mech. (2012) P08015; H. C. Nguyen, J. Berg, ibid. P03004): closed as well,
and close to the truth where correlations are weak.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Unpack

import numpy as np
from threadpoolctl import threadpool_limits

from lsg_ray.arrays import public
from lsg_ray.errors import InputError
from lsg_ray.ising.bp import Beliefs, belief_propagation, bethe_averages
from lsg_ray.ising.fitted import Deviation, FitMethod, FitOptions, Fitted, deviation
from lsg_ray.ising.model import IsingModel
from lsg_ray.ising.positive import inverted, is_positive
from lsg_ray.ising.targets import Target
from lsg_ray.results.graph import counted
from lsg_ray.rng import Stream, seed_sequence
from lsg_ray.typing import Floats, Share


@dataclass(frozen=True)
class CavityConfig:
    """When a fixed point is stable, and has the magnetizations of the data."""

    #: Probability given to a state of two weights that was never seen if M is unknown; else 1/(4M).
    unseen: float = 1e-7
    #: Bisections of the threshold λ.
    bisections: int = 8
    #: Starts from which belief propagation has to come to the data: independent weights, no
    #: messages, and random messages.
    starts: int = 4
    #: Sweeps without damping, at most, and largest change of a message at convergence.
    sweeps: int = 1000
    tolerance: float = 1e-7
    #: Largest difference of a magnetization from that of the data.
    matched: float = 1e-4
    #: Alternating projections, at most, and largest diagonal entry that ends them.
    projections: int = 50
    above: float = 1e-3
    #: Least eigenvalue of a correlation matrix that is inverted.
    min_eigenvalue: float = 1e-6


CONFIG = CavityConfig()
#: Rows of a matrix that are changed at a time, where matrices are as large as the memory allows.
ROWS = 256


@public
def fit_bp(
    target: Target,
    *,
    correlations: Literal["beliefs", "response"] = "beliefs",
    shrinkage: Share | None = None,
    margin: Share = 0.0,
    **run: Unpack[FitOptions],
) -> Fitted:
    """Find the couplings whose beliefs, or whose linear response, are nearest to the data.

    Parameters
    ----------
    target
        Moments, no weight of which is frozen.
    seconds
        Not used: the fit ends by itself.
    seed
        Seed of the random starts.
    correlations
        Correlations to match: ``beliefs``, those of the paper, from the messages of the pair, or
        ``response``, by linear response.
    shrinkage
        Share of the diagonal of c that is mixed with it, (1 − shrinkage) c + shrinkage · diag c,
        for ``response``: an inverse needs it where there are few configurations.  By default
        N/(N + M), or 0 if M is unknown.
    margin
        Distance from the border of stability, as a share of the threshold, for ``beliefs`` that
        have to be weakened to be stable.  At the border itself, a small field may have two
        solutions.

    Returns
    -------
    Fitted
        Converged if belief propagation comes to the m of the data: for ``beliefs`` without damping
        and from every start.

    Notes
    -----
    ``beliefs``: a few hundred N³ and 4 · 10³ sweeps; 0.7 s at N = 225, 5.5 s at N = 675
    (two cores).
    ``response``: one inverse, N³ flop, and messages in single precision above N = 4,096
    (`lsg_ray.ising.bp`).
    """
    if correlations == "response":
        return _by_response(target, shrinkage)
    # Eigenvalues wait for memory: a second thread is of little use to them, and costs much where
    # another already works on its core.
    with threadpool_limits(1):
        return _by_beliefs(target, margin, run)


def _by_beliefs(target: Target, margin: float, run: FitOptions) -> Fitted:
    scale, matrix = _correlation_matrix(target)
    history: dict[str, list[float]] = {"step": [], "delta": [], "threshold": [], "stable": []}
    best: tuple[Floats, Floats, Deviation] | None = None
    strongest = float(np.linalg.eigvalsh(matrix)[-1])
    below, above, threshold = 0.0, strongest, strongest
    steps = range(CONFIG.bisections + 1)
    for step in counted(steps, run["progress"]):
        nearest = matrix if threshold == above else _clipped(matrix, threshold)
        J, h = _with_beliefs(target, nearest * scale)
        beliefs, stable = _from_all_starts(J, h, target.m, run)
        own = _own_deviation(J, h, beliefs, target)
        for values, value in zip(history.values(), (step, own[0], threshold, stable), strict=True):
            values.append(float(value))
        if stable:
            below = threshold
            if best is None or own[0] < best[2][0]:
                best = J, h, own
            if step == 0:
                break
        elif step > 0:
            above = threshold
        threshold = (below + above) / 2
    # Where the data themselves are stable, there is no border to stay away from.
    if margin and best is not None and below < strongest:
        J, h = _with_beliefs(target, _clipped(matrix, (1 - margin) * below) * scale)
        beliefs, stable = _from_all_starts(J, h, target.m, run)
        best = J, h, _own_deviation(J, h, beliefs, target)
        if not stable:
            return Fitted(*best[:2], False, len(history["step"]), best[2], history)
    if best is None:  # not even weak correlations: independent weights, which always are stable
        J, h = np.zeros_like(matrix), np.arctanh(target.m)
        own = deviation(target.m, np.outer(target.m, target.m), target)
        return Fitted(J, h, False, len(history["step"]), own, history)
    return Fitted(best[0], best[1], True, len(history["step"]), best[2], history)


def _by_response(target: Target, shrinkage: float | None) -> Fitted:
    """Fit by one inverse, in place: two matrices beside those of the target."""
    n, m = len(target.m), target.m
    if shrinkage is None:
        shrinkage = 0.0 if target.count is None else n / (n + target.count)
    matrix = np.outer(-m, m)
    matrix += target.C
    matrix *= 1 - shrinkage
    matrix[np.diag_indices_from(matrix)] = 1 - m**2
    scale = np.sqrt(np.diag(matrix))
    matrix /= scale
    matrix /= scale[:, None]
    if not is_positive(matrix, -CONFIG.min_eigenvalue):
        lowest = float(np.linalg.eigvalsh(matrix)[0])
        raise InputError(
            f"the correlation matrix has the eigenvalue {lowest:.2g}, and its inverse is needed; "
            "pass shrinkage=, such as 0.1"
        )
    inverted(matrix)
    # Hessian of the Bethe free energy, i ≠ j: −c/(v_i v_j − c²), c the belief of the pair.
    for top in range(0, n, ROWS):
        rows, own = matrix[top : top + ROWS], scale[top : top + ROWS, None]
        rows *= -2 / (1 + np.sqrt(1 + 4 * rows**2)) * own * scale
    np.fill_diagonal(matrix, 0.0)
    J = matrix.copy()
    h = _couplings_over(J, target)
    beliefs = belief_propagation((J, h), max_sweeps=CONFIG.sweeps)
    stable = bool(beliefs.converged[0] and np.abs(beliefs.m[0] - m).max() < CONFIG.matched)
    left = deviation(beliefs.m[0], _response(matrix, beliefs.m[0]), target)
    history = {"step": [0.0], "delta": [left[0]]}
    return Fitted(J, h, stable, 1, left, history)


def _correlation_matrix(target: Target) -> tuple[Floats, Floats]:
    """Return √(v_i v_j), and connected correlations in units of it, without the diagonal."""
    v = 1 - target.m**2
    scale = np.sqrt(np.outer(v, v))
    matrix = (target.C - np.outer(target.m, target.m)) / scale
    np.fill_diagonal(matrix, 0.0)
    return scale, matrix


def _clipped(matrix: Floats, threshold: float) -> Floats:
    """Return the nearest matrix with a zero diagonal and no eigenvalue above a threshold.

    Alternating projections with Dykstra's correction for the clipping (J. P. Boyle, R. L. Dykstra,
    1986); the diagonal is an affine condition, which needs none.
    """
    from scipy.linalg import eigh

    projected, correction = matrix, np.zeros_like(matrix)
    for _ in range(CONFIG.projections):
        trial = projected + correction
        # Only the modes above the threshold change: a few.
        values, modes = eigh(trial, subset_by_value=(threshold, np.inf))
        correction = (modes * (values - threshold)) @ modes.T
        projected = trial - (correction + correction.T) / 2
        excess = np.abs(np.diag(projected)).max()
        np.fill_diagonal(projected, 0.0)
        if excess < CONFIG.above:
            break
    return projected


def _with_beliefs(target: Target, c: Floats) -> tuple[Floats, Floats]:
    """Return J, h with a fixed point whose beliefs are m and connected correlations c."""
    J = c.copy()
    return J, _couplings_over(J, target)


def _couplings_over(c: Floats, target: Target) -> Floats:
    """Write the couplings of beliefs over their connected correlations; return the fields."""
    from lsg_ray.kernels import bethe

    # A state that was never seen gets a small probability; c changes for it, and m stays exact.
    unseen = CONFIG.unseen if target.count is None else 0.25 / target.count
    shares = np.empty(len(c))
    m = np.array(target.m)
    bethe.couplings_of_beliefs(m, c, unseen, shares)
    return np.arctanh(m) - shares


def _from_all_starts(J: Floats, h: Floats, m: Floats, run: FitOptions) -> tuple[Beliefs, bool]:
    """Run plain belief propagation from several starts; return it, and whether all come to m."""
    n = len(m)
    rng = np.random.default_rng(seed_sequence(run["seed"], Stream.CAVITY))
    start = rng.uniform(-1, 1, (CONFIG.starts, n, n))
    start[0] = np.tanh(h)[:, None]
    start[1] = 0.0
    beliefs = belief_propagation(
        IsingModel(J, h),
        fields=np.repeat(h[None], CONFIG.starts, axis=0),
        start=start,
        tolerance=CONFIG.tolerance,
        max_sweeps=CONFIG.sweeps,
        damping=0.0,
        threads=run["threads"],
    )
    return beliefs, bool(beliefs.converged.all() and np.abs(beliefs.m - m).max() < CONFIG.matched)


def _own_deviation(J: Floats, h: Floats, beliefs: Beliefs, target: Target) -> Deviation:
    first = beliefs._replace(m=beliefs.m[:1], messages=beliefs.messages[:1])
    return deviation(first.m[0], bethe_averages((J, h), first).C[0], target)


def _response(c: Floats, m: Floats) -> Floats:
    """Write C by linear response of the fixed point with beliefs m and c over c: inverse Hessian.

    A Hessian that is not positive definite, of a point that is no minimum, has no response: NaN.
    """
    v = 1 - m**2
    diagonal = np.empty(len(m))
    for top in range(0, len(m), ROWS):
        here = slice(top, top + ROWS)
        rows, own = c[here], v[here, None]
        reduced = own * v - rows**2
        reduced[np.arange(len(rows)), np.arange(top, top + len(rows))] = 1.0
        diagonal[here] = 1 / v[here] + (rows**2 / reduced).sum(axis=1) / v[here]
        rows /= -reduced
    np.fill_diagonal(c, diagonal)
    if not inverted(c):
        c[:] = np.nan
    for top in range(0, len(m), ROWS):
        c[top : top + ROWS] += m[top : top + ROWS, None] * m
    return c


METHOD = FitMethod("bp", fit_bp)
