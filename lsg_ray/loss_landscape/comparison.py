"""Small- against large-batch minima (spin-glass-lens paper, Sec. 4.5 and A.4.3).

Solutions of two ensembles are paired one to one; between each pair the loss is followed along
w(α) = (1 − α) w_first + α w_second for α from −1 to 2, so beyond both minima, and the flatness of
both sides is measured.

Ensembles of one seed start from the same weights, number by number, and their minima are
correlated (by 0.7, the losses and traces of minima of small and large batches), so the sides are
compared by the differences of pairs.  The random vectors of the two sides are independent.
"""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np
import xarray

from lsg_ray.arrays import public
from lsg_ray.loss_landscape.curvature import TRACE_PROBES
from lsg_ray.loss_landscape.flatness import RISE_DIRECTIONS, RISE_RADII, flatness
from lsg_ray.loss_landscape.interpolation import interpolate
from lsg_ray.loss_landscape.terrain import MEASURES, open_solutions
from lsg_ray.renaming import renamed
from lsg_ray.results.graph import part_of
from lsg_ray.stage import SOLUTIONS, Figure, Stage
from lsg_ray.typing import Count, EnsembleLike, Floats, LossTasks, Numbers, Several, Steps

#: Positions on the path (the paper: from −1 to 2).
COMPARISON_ALPHAS = np.round(np.linspace(-1, 2, 61), 12)


@renamed(pieces="checkpoints")
@public
def compare_minima(
    first: EnsembleLike,
    second: EnsembleLike,
    *,
    count: Count = 10,
    alphas: Steps = COMPARISON_ALPHAS,
    eigenvalues: Count = 3,
    radii: Numbers = RISE_RADII,
    directions: Several = RISE_DIRECTIONS,
    probes: Several = TRACE_PROBES,
    max_iterations: Count = 100,
    **run: Unpack[LossTasks],
) -> xarray.Dataset:
    """Compare the minima of two ensembles: on paths between them, and around each.

    Parameters
    ----------
    first, second
        Ensembles of one architecture, such as those of small and of large batches.
    count
        Number of pairs of solutions.
    alphas
        Positions α on the paths.
    eigenvalues
        Number of largest eigenvalues of the Hessian.
    radii
        Filter-normalised radii r at which the rise of the loss is measured.
    directions
        Number of random directions for the rise of the loss.
    probes
        Number of random sign vectors for the trace of the Hessian.
    max_iterations
        Largest number of Lanczos iterations.
    examples
        Number of training examples that the loss is computed on, drawn at random; 0 for all.
    seed
        Seed of all random numbers.
    checkpoints
        Folder for results of finished tasks, from which an interrupted call resumes.
    progress
        Called with ``(tasks done, all tasks)``.

    Returns
    -------
    xarray.Dataset
        Over (pair, alpha) the measures of the path, as `interpolate` gives them; over ``side``
        (0 first, 1 second) and ``minimum`` the variables of `flatness`, names ending in ``_at`` for
        losses and accuracies.  The table: ``mean`` and ``std`` (side, quantity) over minima, and
        ``z`` (quantity) of second − first: Student's t of the differences of pairs, as the number
        of standard deviations of a normal variable that is as unlikely, so that ±1.96 is exceeded
        in 5 % of comparisons of equal ensembles, with few pairs too.  It is conditional on the
        examples, which both sides share.
    """
    a, b = (open_solutions(given, None) for given in (first, second))
    count = min(count, len(a.numbers), len(b.numbers))

    def part(number: int) -> LossTasks:
        return {**run, "progress": part_of(run["progress"], number, 3)}

    path = interpolate(first, second, pairs=count, alphas=alphas, **part(0))
    sides = [
        flatness(
            given,
            configurations=chosen.numbers[:count].tolist(),
            side=side,
            radii=radii,
            eigenvalues=eigenvalues,
            directions=directions,
            probes=probes,
            max_iterations=max_iterations,
            **part(1 + side),
        )
        for side, (given, chosen) in enumerate(((first, a), (second, b)))
    ]
    around = xarray.concat(
        [side.drop_vars("solution").drop_attrs().rename(solution="minimum") for side in sides],
        "side",
        join="exact",
    )
    measures = [name for name in around if name in path]
    around = around.rename({name: f"{name}_at" for name in measures})
    return (
        xarray.merge([path.drop_attrs(), around, _table(around)])
        .assign_coords(minimum=np.arange(count))
        .assign_attrs(
            a.provenance(
                statistic="comparison of minima",
                first=a.spec.name,
                second=b.spec.name,
                second_spec=b.spec.canonical_json(),
                seed=run["seed"],
                pairs=count,
                converged=int(bool(around["converged"].all())),
                examples=path.attrs["examples"],
                directions=sides[0].attrs["directions"],
            )
        )
    )


def _table(around: xarray.Dataset) -> xarray.Dataset:
    """Return mean and standard deviation of each quantity on both sides, and their z-score."""
    columns = {
        "top_eigenvalue": around["eigenvalue"].isel(rank=0),
        "trace": around["trace"],
        **{f"rise_{float(r):g}": around["rise"].sel(radius=r) for r in around["radius"]},
        **{name: around[f"{name}_at"] for name in MEASURES},
    }
    values = np.stack([column.values for column in columns.values()], axis=1)
    n = values.shape[2]
    std = values.std(axis=2, ddof=1) if n > 1 else np.full(values.shape[:2], np.nan)
    return xarray.Dataset(
        {
            "mean": (("side", "quantity"), values.mean(axis=2)),
            "std": (("side", "quantity"), std),
            "z": ("quantity", paired_z(*values), {"long_name": "z-score of the difference"}),
        },
        {"quantity": ("quantity", list(columns))},
    )


def paired_z(first: Floats, second: Floats) -> Floats:
    """Return the z-score of the mean of second − first (…, pairs).

    0 where nothing differs, NaN of one pair, or of equal differences.

    >>> float(paired_z(np.zeros(3), np.array([1.0, 2.0, 3.0])).round(2))  # t = 3.46
    1.79
    """
    from scipy import special, stats

    difference = second - first
    n = difference.shape[-1]
    if n < 2:
        return np.full(difference.shape[:-1], np.nan)
    mean, error = difference.mean(axis=-1), difference.std(axis=-1, ddof=1) / np.sqrt(n)
    t = np.divide(mean, error, out=np.where(mean == 0, 0, np.nan), where=error > 0)
    tail = np.maximum(stats.t.sf(np.abs(t), n - 1), np.finfo(np.float64).tiny)
    return -np.sign(t) * special.ndtri(tail)


def _shown(result: xarray.Dataset) -> dict[str, Any]:
    about = result.attrs
    return {
        "pairs": about["pairs"],
        "converged": about["converged"],
        **{
            str(name): {
                f"{about[side]} ({side})": f"{float(result['mean'][k, n]):.6g} ± "
                f"{float(result['std'][k, n]):.2g}"
                for k, side in enumerate(("first", "second"))
            }
            | {"z": float(result["z"][n])}
            for n, name in enumerate(result["quantity"].values)
        },
        "examples": about["examples"],
    }


STAGE = Stage(
    "compare",
    compare_minima,
    reads={"first": SOLUTIONS, "second": SOLUTIONS},
    summary=_shown,
    figures=[
        Figure("lsg_ray.report.figures.loss_landscape:minima_figure", "Minima of two ensembles")
    ],
)
