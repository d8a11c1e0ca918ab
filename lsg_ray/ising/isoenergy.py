"""Iso-energy curves: how many configurations have the energy of a reference, at each distance.

At each distance field x the inverse temperature β is found at which the mean energy per weight is
that of the reference, e(β, x) = E(σ*)/N; then s, d and e lie on a curve of constant energy, and
ds = 2x dd along it.  Roots are bracketed in steps from the last one and found by the Illinois
method (M. Dowell, P. Jarratt, BIT 11, 168 (1971)); each solution starts from the one before, up and
down in x.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple, Unpack

import numpy as np
import xarray
from numpy.typing import NDArray

from lsg_ray.arrays import as_numbers, brief, public
from lsg_ray.errors import InputError
from lsg_ray.ising.energy_root import EnergyWalk, Options
from lsg_ray.ising.field_scans import (
    ScanOptions,
    check_fields,
    check_size,
    refined,
    scan_dataset,
    scan_summary,
)
from lsg_ray.ising.findings import iso_findings
from lsg_ray.ising.hysteresis import Intervals, add_hysteresis
from lsg_ray.ising.loops import Point, both_ways
from lsg_ray.ising.model import IsingModel, as_model
from lsg_ray.ising.references import as_references
from lsg_ray.renaming import renamed
from lsg_ray.results.checkpoints import run_tasks
from lsg_ray.results.records import stacked
from lsg_ray.stage import MODEL, REFERENCES, Figure, Stage
from lsg_ray.typing import Flags, Floats, ListOf, ModelLike, Natural, ReferencesLike, Signs, Steps

#: Fields of the paper, −3 to 3 in steps of 0.05, and the authors' range of β.
ISO_ENERGY_FIELDS = tuple(np.round(np.arange(-60, 61) * 0.05, 10).tolist())
BETA_RANGE = (0.1, 5.0)


@renamed(pieces="checkpoints")
@public
def iso_energy(
    model: ModelLike,
    references: ReferencesLike,
    fields: Steps | None = None,
    *,
    betas: Annotated[tuple[float, float], ListOf(float)] = BETA_RANGE,
    refine: Natural = 0,
    **run: Unpack[ScanOptions],
) -> xarray.Dataset:
    """Find s(d), β(d) and e(d) at the energy of each reference.

    Parameters
    ----------
    model
        `IsingModel`, path, or (J, h).
    references
        Configurations to start from: (R, N) ±1, a store (of which low, medium and high energy are
        taken), a result, or .npz with sigma.
    fields
        Distance fields x in nats; by default −3 to 3 in steps of 0.05.
    betas
        Range of inverse temperatures in which the energy of the reference is searched for.
    count
        Largest number of references of each group; by default 20 of a store.
    tolerance
        Largest change of a message in a sweep at convergence.
    max_sweeps
        Largest number of sweeps at each field and temperature.
    damping
        Damping of messages, from 0 up to 1; by default none, and more where they do not converge.
    refine
        Number of times that fields are added in the middle of intervals in which a distance changes
        by more than 0.05; all fields are then computed again.
    checkpoints, progress
        As in `lsg_ray.entropy_scan`.

    Returns
    -------
    xarray.Dataset
        Over (reference, direction, field): ``beta``, ``d``, ``s``, ``e``, ``f``, ``bound``;
        ``exists``, whether such a β was found: all others are NaN where not; ``failed``, where the
        energy jumps over that of the reference, or no solution converges on the way, so that it may
        exist; ``converged``, ``residual``, ``stability``, ``stable``; ``iterations``, the number of
        solutions tried.
        Coordinate ``energy`` (reference), that of the reference.  Attributes as of
        `lsg_ray.ising.hysteresis.add_hysteresis`, and ``exists``, ``failed`` (fractions).

    Raises
    ------
    InputError
        As `lsg_ray.entropy_scan`, or ``betas`` are not two ascending positive numbers.

    Notes
    -----
    About four solutions a field.

    Examples
    --------
    >>> curve = iso_energy((np.zeros((4, 4)), np.full(4, 0.5)), [[1, 1, 1, -1]], [0.0])
    >>> curve["beta"].values[0, :, 0].round(4).tolist()  # tanh(β/2) = ½
    [1.0986, 1.0986]
    """
    ising = as_model(model)
    chosen = as_references(references, ising, run["count"])
    xs = check_fields(ISO_ENERGY_FIELDS if fields is None else fields)
    ends = as_numbers(betas, "betas")
    if ends.shape != (2,) or not 0 < ends[0] < ends[1] < np.inf:
        raise InputError(f"betas {brief(betas)} given; two positive numbers, ascending")
    low, high = ends.tolist()
    check_size(ising, high, xs)
    options = Options((low, high), run["tolerance"], run["max_sweeps"], run["damping"])
    sigma = chosen.sigma
    energy = ising.energy(sigma) / ising.n_spins
    for round_ in range(refine + 1):
        arguments = [(sigma[r], float(energy[r]), xs, options) for r in range(len(sigma))]
        curves = run_tasks(_leaf, ising, arguments, _Curve, run["checkpoints"], run["progress"])
        curve = stacked(curves)
        finer = refined(xs, curve.d)
        if round_ == refine or len(finer) == len(xs):
            break
        xs = finer
    attributes = {
        "statistic": "iso-energy",
        "method": "bp",
        "betas": [low, high],
        "tolerance": run["tolerance"],
        "exists": float(curve.exists.mean()),
        "failed": float(curve.failed.mean()),
    }
    values = curve._asdict()
    between = Intervals(*values.pop("between").swapaxes(0, 1))
    return add_hysteresis(scan_dataset(values, chosen, ising, xs, attributes), between)


class _Curve(NamedTuple):
    """Around one reference, over (direction, field); between: `Intervals`, (4, interval)."""

    beta: Floats
    d: Floats
    s: Floats
    e: Floats
    f: Floats
    exists: Flags
    converged: Flags
    iterations: NDArray[np.int32]
    residual: Floats
    stability: Floats
    stable: Flags
    failed: Flags
    between: Floats


def _leaf(model: IsingModel, sigma: Signs, energy: float, xs: Floats, options: Options) -> _Curve:
    reference = sigma.astype(np.float64)
    walks = [EnergyWalk(model, reference, energy, options, way) for way in (0, 1)]

    def solve_from(way: int, start: Point, x: float) -> Point:
        walks[way].restore(start)
        return walks[way].solution(x)[1]

    curve = both_ways(xs, lambda way, x: walks[way].solution(x), solve_from)
    return _Curve(**curve.values, between=curve.between)


STAGE = Stage(
    "iso-energy",
    iso_energy,
    reads={"model": MODEL, "references": REFERENCES},
    summary=scan_summary,
    findings=iso_findings,
    later={"refine"},
    figures=[
        Figure(
            "lsg_ray.report.figures.entropy_landscape:iso_figure",
            "Entropy landscape at constant energy",
            "iso_caption",
        )
    ],
)
