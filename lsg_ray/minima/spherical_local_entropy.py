"""Local entropy of solutions on the sphere: how much of their surroundings is solutions too.

Weights W at overlap p = mean(W_ref · W) with a reference, drawn there by a field γ W_ref, have the
volume e^{N V(p)} of solutions; relative to all weights at that overlap it is

    nLE(p) = V(p) − ½ ln(2πe) − ½ ln(1 − p²) ≤ 0,      V(p) = F(γ) + λ/2 − γ p,

with the free entropy F of relaxed belief propagation (`lsg_ray.networks.relaxed_bp`), its precision
λ that keeps |W|² = N, and p the overlap that comes out at γ.  It is zero where everything around
the reference is a solution; a wide flat minimum is near zero over a wide range of p.  The squared
distance per weight from the reference is 2(1 − p), and two solutions there have overlap p².

Source: C. Baldassi, F. Pittorino, R. Zecchina, PNAS 117, 161 (2020), arXiv:1905.07833.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Unpack

import numpy as np
import xarray

from lsg_ray.arrays import in_range, public
from lsg_ray.errors import InputError
from lsg_ray.minima.chosen import Chosen, Ground, MessageTasks, choose, machine_of
from lsg_ray.minima.theory.densest import densest
from lsg_ray.minima.theory.machines import MachineName
from lsg_ray.networks.relaxed_bp import RelaxedBP
from lsg_ray.stage import SOLUTIONS, Figure, Stage
from lsg_ray.typing import EnsembleLike, Flags, Floats, Ints, Numbers

#: Fields γ: overlaps of about 0.995 to 0.94 at α = 1.
SPHERICAL_GAMMAS = (100.0, 50.0, 25.0, 12.0, 6.0)
#: Dampings that are tried one after another where messages do not converge, above the one given.
_STRONGER = (0.6, 0.85, 0.95)
#: Sweeps without a smaller change after which a stronger damping is tried.
_PATIENCE = 25
#: Largest γ: entropies are differences of terms of order γ, and lose γ times the rounding.
_LARGEST_GAMMA = 1e9
#: Overlaps p at which the densest regions of the theory are drawn.
_POINTS = 9


class Curve(NamedTuple):
    """Local entropy around one reference, over the fields γ."""

    overlap: Floats
    entropy: Floats
    converged: Flags
    sweeps: Ints
    residual: Floats


@public
def spherical_local_entropy(
    solutions: EnsembleLike, *, gammas: Numbers = SPHERICAL_GAMMAS, **run: Unpack[MessageTasks]
) -> xarray.Dataset:
    """Measure the normalised local entropy around solutions with weights on the sphere.

    Parameters
    ----------
    solutions
        Ensemble of spherical-perceptron or spherical-committee, a view of one, or its URL; all
        without an error on their patterns.
    configurations
        Number of reference solutions, from the first, or list of the configurations to use as
        references; without it, the first 20 at most.
    gammas
        Fields γ towards the reference; larger fields give shorter distances.
    damping
        Share of the old message in the new one; where messages do not converge, 0.6, 0.85 and
        0.95 are tried.
    max_sweeps
        Largest number of sweeps at each field and damping.
    tolerance
        Largest change of a mean weight in a sweep at which messages have converged.
    theory
        Whether to compute the densest regions of random patterns too (replica theory, y → ∞), for
        perceptrons and trees.
    checkpoints
        Path of a folder for finished tasks, from which an interrupted call resumes.
    progress
        Called with (references done, total).

    Returns
    -------
    xarray.Dataset
        Over (solution, gamma): ``local_entropy`` (nLE per weight, in nats; NaN where messages have
        not converged), ``overlap`` p, ``distance`` 2(1 − p), ``converged``, ``sweeps``,
        ``residual``; over gamma the means ``local_entropy_mean``, ``overlap_mean`` with ``_stderr``
        over solutions, NaN unless two of them differ; with theory, over point: ``theory`` and
        ``theory_overlap``.  Attributes: ``converged``, the share of all.

    Raises
    ------
    InputError
        Configurations with errors, weights of ±1, parity machines, other networks, numbers out of
        range.

    Notes
    -----
    A sweep costs some 6 to 9 ns a message, P N of them (P K n where units share inputs); memory 16
    bytes a message, and 8 for each input.  Belief propagation is exact for N → ∞ alone, and errs by
    about 1/N: of nearly free surroundings nLE can come out just above zero.  Fully connected units
    have their symmetry broken by the reference.  Deterministic: nothing is drawn.
    """
    gamma = np.sort(in_range(gammas, "gammas"))[::-1].copy()
    if gamma[0] > _LARGEST_GAMMA:
        raise InputError(f"gammas {gamma[0]:g} given; at most {_LARGEST_GAMMA:g}")
    chosen = choose(
        solutions,
        run["configurations"],
        for_what="local entropy of the sphere",
        sphere=True,
        majority=True,
        solutions=True,
    )
    settings = (run["damping"], run["max_sweeps"], run["tolerance"])
    arguments = [(gamma, *settings)] * len(chosen.numbers)
    curves = chosen.run(_task, Curve, arguments, run)
    result = _dataset(curves, gamma, chosen).assign_coords(solution=chosen.numbers)
    if run["theory"]:
        result = result.assign(_theory(chosen, curves))
    return result.assign_attrs(
        chosen.provenance(
            statistic="spherical local entropy",
            damping=run["damping"],
            max_sweeps=run["max_sweeps"],
            tolerance=run["tolerance"],
            converged=float(curves.converged.mean()),
        )
    )


def local_entropy_around(
    ground: Ground,
    reference: Floats,
    gammas: Floats,
    *,
    damping: float = 0.3,
    max_sweeps: int = 500,
    tolerance: float = 1e-6,
) -> Curve:
    """Return the curve around one reference (K, n) of norm √n per unit; γ from large to small.

    Messages of one γ are where the next begins, with the damping that the last one needed.
    """
    bp = RelaxedBP(ground.arena.train, *ground.shape)
    dampings = [damping, *(one for one in _STRONGER if one > damping)]
    rows = []
    for gamma in gammas:
        b = gamma * reference
        total, residual = 0, np.inf
        for index, strength in enumerate(dampings):
            sweeps, residual = _settle(bp, b, strength, max_sweeps, tolerance)
            total += sweeps
            if residual <= tolerance and not bp.bounded:
                dampings = dampings[index:]
                break
            if not np.isfinite(residual):
                bp = RelaxedBP(ground.arena.train, *ground.shape)
        p = float(np.mean(reference * bp.means))
        converged = bool(residual <= tolerance) and not bp.bounded and abs(p) < 1
        value = np.nan
        if converged:
            value = bp.log_volume(b) - 0.5 * np.log(2 * np.pi * math.e) - 0.5 * np.log1p(-p * p)
        rows.append((p, value, converged, total, residual))
    return Curve(*map(np.array, zip(*rows, strict=True)))


def _settle(
    bp: RelaxedBP, b: Floats, damping: float, max_sweeps: int, tolerance: float
) -> tuple[int, float]:
    """Sweep until messages converge, or come no nearer to it; return sweeps and the last change."""
    bp.control(b)
    best, at, residual = np.inf, 0, np.inf
    for sweep in range(1, max_sweeps + 1):
        residual = bp.sweep(damping, b)
        if not tolerance < residual < np.inf:
            return sweep, residual
        if residual < best:
            best, at = residual, sweep
        elif sweep - at > _PATIENCE:
            return sweep, residual
    return max_sweeps, residual


def _task(
    ground: Ground, w: Floats, gammas: Floats, damping: float, max_sweeps: int, tolerance: float
) -> Curve:
    return local_entropy_around(
        ground, w, gammas, damping=damping, max_sweeps=max_sweeps, tolerance=tolerance
    )


def _dataset(curves: Curve, gammas: Floats, chosen: Chosen) -> xarray.Dataset:
    dims = ("solution", "gamma")
    nat, one = {"units": "nat"}, {"units": "1"}
    values: dict[str, Any] = {
        "local_entropy": (dims, curves.entropy, {"long_name": "normalised local entropy", **nat}),
        "overlap": (dims, curves.overlap, {"long_name": "overlap p with the reference", **one}),
        "distance": (dims, 2 * (1 - curves.overlap), {"long_name": "2(1 − p)", **one}),
        "converged": (dims, curves.converged),
        "sweeps": (dims, curves.sweeps),
        "residual": (dims, curves.residual),
    }
    for name, table in (("local_entropy", curves.entropy), ("overlap", curves.overlap)):
        mean, error = chosen.averaged(np.where(curves.converged, table, np.nan))
        values |= {f"{name}_mean": ("gamma", mean), f"{name}_stderr": ("gamma", error)}
    return xarray.Dataset(values, {"gamma": ("gamma", gammas, {"long_name": "field γ"})})


def _theory(chosen: Chosen, curves: Curve) -> dict[str, Any]:
    """Return the densest regions over the range of overlaps, of random patterns."""
    spec = chosen.ensemble.spec
    name = machine_of(spec.network) if spec.dataset.name == "random-patterns" else ""
    if not name:
        return {}
    machine: MachineName = "perceptron" if name == "perceptron" else "committee-inf"
    low = float(np.clip(curves.overlap.min(), 0.3, 0.99))
    p = np.sqrt(np.linspace(low**2, 0.995, _POINTS))
    regions = [densest(chosen.alpha, float(one) ** 2, "spherical", machine) for one in p]
    good = [region.entropy if region.converged else np.nan for region in regions]
    about = {"long_name": "densest regions (y → ∞)", "units": "nat", "machine": name}
    return {"theory": ("point", good, about), "theory_overlap": ("point", p)}


def _shown(result: xarray.Dataset) -> dict[str, Any]:
    columns = ("gamma", "local_entropy_mean", "local_entropy_stderr", "overlap_mean")
    rows = {
        f"gamma {gamma:g}": f"{mean:.5f} ± {error:.2g} at p = {p:.4f}"
        for gamma, mean, error, p in zip(*(result[c].values for c in columns), strict=True)
    }
    return {"solutions": result.sizes["solution"], "converged": result.attrs["converged"], **rows}


STAGE = Stage(
    "spherical-local-entropy",
    spherical_local_entropy,
    reads={"solutions": SOLUTIONS},
    summary=_shown,
    unit="references",
    figures=[
        Figure(
            "lsg_ray.report.figures.flat_minima:local_entropy_figure",
            "Local entropy on the sphere",
            "local_entropy_caption",
            together=6,
        )
    ],
)
