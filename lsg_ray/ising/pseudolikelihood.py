"""Pseudolikelihood: every weight regressed on all others, with an L1 or L2 penalty.

For each i, minimise over h_i and the row J_i (J. Besag, 1975; P. Ravikumar, M. Wainwright,
J. Lafferty, Ann. Stat. 38, 1287 (2010)), M configurations s,

    (1/M) Σ_s log(1 + exp(−2σ_i^s (h_i + Σ_j J_ij σ_j^s))) + λ Σ_j |J_ij| + ½ λ₂ Σ_j J_ij²,

fields unpenalised (`lsg_ray.ising.regression`); then J ← (J + Jᵀ)/2.  The penalty is given, or
chosen by the pseudolikelihood of configurations that are held out; couplings may be decimated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Unpack

import numpy as np

from lsg_ray.arrays import as_numbers, brief, public
from lsg_ray.errors import InputError
from lsg_ray.ising.fitted import FitMethod, FitOptions, Fitted
from lsg_ray.ising.regression import REGRESSION, Rows, fit_rows, sum_all
from lsg_ray.ising.targets import Target
from lsg_ray.statistics.configurations import Configurations
from lsg_ray.typing import Floats


@dataclass(frozen=True)
class PseudolikelihoodConfig:
    """How penalties are chosen, and couplings decimated."""

    #: Share of the remaining couplings that a step of decimation removes; and steps in a row whose
    #: criterion falls, after which it ends.
    removed: float = 0.05
    falling_steps: int = 5
    #: An automatic path of penalties: its length, and its last penalty in units of the first, at
    #: which all couplings vanish.
    path_length: int = 13
    path_end: float = 1e-3


CONFIG = PseudolikelihoodConfig()


@public
def fit_plm(
    target: Target,
    *,
    source: Configurations,
    l1: float | Sequence[float] | Literal["auto"] = 0.01,
    l2: float = 0.0,
    tolerance: float = 5e-5,
    max_passes: int = 200,
    decimate: Literal["coupling", "free-energy"] | None = None,
    **run: Unpack[FitOptions],
) -> Fitted:
    """Fit couplings by penalised pseudolikelihood.

    Parameters
    ----------
    target
        Moments of the configurations, no weight of which is frozen.
    source
        Configurations of the same weights.
    seconds
        Not used: the fit ends by itself.
    l1
        Strength λ of the penalty on |J|; 0.01 is that of the paper.  Of several, or ``auto`` (13,
        from max |c_ij| down to its thousandth), all are fitted from the largest on, each from the
        last; the one with the best pseudolikelihood of every tenth configuration, which is held
        out, is then fitted to all configurations.
    l2
        Strength λ₂ of the penalty on J².
    tolerance
        Largest violation of the conditions of the minimum (KKT).  Products are in float32, with an
        accuracy of about 5·10⁻⁶.
    max_passes
        Largest number of passes over the configurations, for each λ.
    decimate
        Criterion by which couplings are removed, a twentieth at a time: the smallest |J_ij|
        (``coupling``) or change of the free energy |log(cosh J_ij − C_ij sinh J_ij)|
        (``free-energy``).  The others are fitted again, and the model with the largest tilted
        pseudolikelihood is returned (A. Decelle, F. Ricci-Tersenghi, Phys. Rev. Lett. 112, 070603
        (2014)).  Use it with l1 = 0.

    Returns
    -------
    Fitted
        With ``kkt``, ``l1``, ``sparsity`` (of the symmetrised J), ``asymmetry`` (rms of J − Jᵀ) and
        ``held_out`` among its `extra`.

    Notes
    -----
    A pass costs 4 M N² flop; about a dozen passes reach 10⁻⁴.
    """
    source.require(2, "pseudolikelihoods")
    history: dict[str, list[float]] = {"step": [], "kkt": [], "objective": [], "l1": []}

    def fit(penalty: float, **options: Any) -> Rows:
        rows = fit_rows(
            source,
            target,
            l1=penalty,
            l2=l2,
            tolerance=tolerance,
            max_passes=max_passes,
            threads=run["threads"],
            progress=run["progress"],
            **options,
        )
        passes = len(rows.history["kkt"])
        history["step"] += map(float, range(len(history["step"]), len(history["step"]) + passes))
        history["l1"] += [float(penalty)] * passes
        for name, values in rows.history.items():
            history[name] += values
        return rows

    extra: dict[str, Any] = {"configurations": source.n_rows}
    path = _path(l1, target)
    chosen, start = path[0], None
    if len(path) > 1:
        chosen, start, extra["held_out"] = _choose(source, path, fit)
    rows = fit(chosen, start=start)
    if decimate is not None:
        rows, extra["decimated"] = _decimate(target, rows, decimate, chosen, fit)
    J = (rows.J + rows.J.T) / 2
    extra |= {
        "kkt": rows.kkt,
        "l1": chosen,
        "l2": l2,
        "sparsity": _sparsity(rows.J),
        "asymmetry": float(np.sqrt(np.mean((rows.J - rows.J.T) ** 2))),
        "pseudolikelihood": -float(rows.loss.sum()),
    }
    # The mean field of each weight stays what its own regression found, though J has changed.
    h = rows.h + ((rows.J - J) * target.m).sum(axis=1)
    return Fitted(J, h, rows.converged, len(history["step"]), None, history, extra)


def _path(l1: Any, target: Target) -> list[float]:
    largest = np.abs(target.C - np.outer(target.m, target.m) - np.diag(1 - target.m**2)).max()
    if isinstance(l1, str):
        if l1 != "auto":
            raise InputError(f"l1 {l1!r} given; a number, several, or 'auto'")
        if not largest > 0:
            return [0.0]
        return np.geomspace(largest, CONFIG.path_end * largest, CONFIG.path_length).tolist()
    path = np.atleast_1d(as_numbers(l1, "l1"))
    if path.ndim != 1 or not len(path) or not (np.isfinite(path) & (path >= 0)).all():
        raise InputError(f"l1 {brief(l1)} given; penalties are finite and not negative")
    return sorted(path.tolist(), reverse=True)


def _choose(
    source: Configurations, path: list[float], fit: Callable[..., Rows]
) -> tuple[float, Rows, dict[str, list[float]]]:
    """Return the λ with the best held-out pseudolikelihood, its rows, and the curve."""
    source.require(2 * REGRESSION.held_out_every, "held-out pseudolikelihoods")
    fits: list[tuple[float, float, Rows]] = []
    rows: Rows | None = None
    for value in path:
        rows = fit(value, start=rows, held_out=True)
        sums = sum_all(source, rows.J, rows.h, "held")
        fits.append((float(sums.loss.sum() / sums.rows), value, rows))
    _, chosen, best = min(fits, key=lambda entry: entry[0])
    curve = {
        "l1": [value for _, value, _ in fits],
        "pseudolikelihood": [-loss for loss, _, _ in fits],
        "sparsity": [_sparsity(rows.J) for _, _, rows in fits],
    }
    return chosen, best, curve


def _sparsity(J: Floats) -> float:
    n = len(J)
    both = (J + J.T)[np.triu_indices(n, 1)]
    return float(np.mean(both == 0))


def _decimate(
    target: Target, rows: Rows, by: str, l1: float, fit: Callable[..., Rows]
) -> tuple[Rows, dict[str, list[float]]]:
    """Remove couplings step by step; return the rows with the best tilted pseudolikelihood."""
    n = len(rows.h)
    upper = np.triu_indices(n, 1)
    allowed = (rows.J != 0) | (rows.J.T != 0)
    empty = -_independent_loss(target)
    full = -float(rows.loss.sum())
    total = allowed[upper].sum()
    best, fallen, curve = (0.0, rows), 0, {"couplings": [float(total)], "tilted": [0.0]}
    while (left := int(allowed[upper].sum())) > 0:
        J = (rows.J + rows.J.T)[upper] / 2
        if by == "coupling":
            importance = np.abs(J)
        else:
            importance = np.abs(np.log(np.cosh(J) - target.C[upper] * np.sinh(J)))
        importance[~allowed[upper]] = np.inf
        removed = np.argsort(importance)[: max(1, int(CONFIG.removed * left))]
        allowed[upper[0][removed], upper[1][removed]] = False
        allowed[upper[1][removed], upper[0][removed]] = False
        rows = fit(l1, start=rows, allowed=allowed)
        share_left = allowed[upper].sum() / total
        tilted = float(-rows.loss.sum() - share_left * full - (1 - share_left) * empty)
        curve["couplings"].append(float(allowed[upper].sum()))
        curve["tilted"].append(tilted)
        if tilted > best[0]:
            best, fallen = (tilted, rows), 0
        elif (fallen := fallen + 1) == CONFIG.falling_steps:  # the curve has one hump
            break
    return best[1], curve


def _independent_loss(target: Target) -> float:
    """Return the entropy of independent weights: their loss, summed."""
    p = np.clip((1 + target.m) / 2, 1e-300, 1)
    q = np.clip((1 - target.m) / 2, 1e-300, 1)
    return float(-(p * np.log(p) + q * np.log(q)).sum())


METHOD = FitMethod("plm", fit_plm, reads="configurations")
