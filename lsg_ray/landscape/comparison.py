"""Small- against large-batch minima (spin-glass-lens paper, Sec. 4.5 and A.4.3).

Solutions of two ensembles are paired one to one; between each pair the loss is followed along
w(α) = (1 − α) w_first + α w_second for α from −1 to 2, so beyond both minima, and the flatness of
both sides is measured.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray
from numpy.typing import ArrayLike

from lsg_ray.landscape.flatness import flatness
from lsg_ray.landscape.interpolation import interpolate
from lsg_ray.landscape.terrain import EXAMPLES, SolutionsLike, open_solutions
from lsg_ray.statistics.graph import Progress

#: Places on the path (the paper: from −1 to 2).
ALPHAS = np.round(np.linspace(-1, 2, 61), 12)


def compare_minima(
    first: SolutionsLike,
    second: SolutionsLike,
    *,
    count: int = 10,
    alphas: ArrayLike = ALPHAS,
    examples: int | None = EXAMPLES,
    seed: int = 0,
    pieces: Path | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> xarray.Dataset:
    """Compare the minima of two ensembles: on paths between them, and around each.

    Parameters
    ----------
    first, second
        Ensembles of one architecture, such as of small and large batches.
    count
        Pairs of solutions.
    alphas
        Places on the paths.
    examples, seed, pieces, progress
        As in `lsg_ray.landscape.walks.random_walk`.
    options
        Of `lsg_ray.landscape.flatness.flatness`: ``eigenvalues``, ``radii``, ``directions``,
        ``probes``, ``max_iterations``.

    Returns
    -------
    xarray.Dataset
        Over (pair, alpha) the measures of the path, as `interpolate` gives them; over ``side``
        (0 first, 1 second) and ``minimum`` the variables of `flatness`, names ending in ``_at`` for
        losses and accuracies.  The table: ``mean`` and ``std`` (side, quantity) over minima, and
        ``z`` (quantity), (second − first) over its standard error (Welch).
    """
    a, b = (open_solutions(given, None) for given in (first, second))
    count = min(count, len(a.numbers), len(b.numbers))
    told = _Parts(progress, 3)

    def folder(name: str) -> Path | None:
        return None if pieces is None else pieces / name

    path = interpolate(
        first, second, pairs=count, alphas=alphas, examples=examples, seed=seed,
        pieces=folder("path"), progress=told.part(0),
    )  # fmt: skip
    numbers = (a.numbers[:count].tolist(), b.numbers[:count].tolist())
    sides = [
        flatness(
            given, configurations=numbers[place], examples=examples, seed=seed,
            pieces=folder(f"side-{place}"), progress=told.part(1 + place), **options,
        )
        for place, given in enumerate((first, second))
    ]  # fmt: skip
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
                statistic="comparison of minima", first=a.spec.name, second=b.spec.name,
                second_spec=b.spec.canonical_json(), seed=seed, pairs=count,
                converged=int(bool(around["converged"].all())),
                examples=path.attrs["examples"], directions=sides[0].attrs["directions"],
            )
        )
    )  # fmt: skip


def _table(around: xarray.Dataset) -> xarray.Dataset:
    """Return mean and standard deviation of each quantity on both sides, and their z-score."""
    columns = {
        "top_eigenvalue": around["eigenvalue"].isel(rank=0),
        "trace": around["trace"],
        **{f"rise_{float(r):g}": around["rise"].sel(radius=r) for r in around["radius"]},
        **{
            name.removesuffix("_at"): around[name]
            for name in ("train_loss_at", "train_accuracy_at", "test_loss_at", "test_accuracy_at")
        },
    }
    values = np.stack([column.values for column in columns.values()], axis=1)
    n = values.shape[2]
    mean = values.mean(axis=2)
    std = values.std(axis=2, ddof=1) if n > 1 else np.full_like(mean, np.nan)
    error = np.sqrt((std**2).sum(axis=0) / n)
    difference = mean[1] - mean[0]
    z = np.divide(difference, error, out=np.full_like(error, np.nan), where=error > 0)
    return xarray.Dataset(
        {
            "mean": (("side", "quantity"), mean),
            "std": (("side", "quantity"), std),
            "z": ("quantity", z, {"long_name": "difference in standard errors"}),
        },
        {"quantity": ("quantity", list(columns))},
    )


class _Parts:
    """Shows the progress of several computations as that of one."""

    def __init__(self, progress: Progress | None, parts: int) -> None:
        self._progress, self._seen = progress, [(0, 0)] * parts

    def part(self, number: int) -> Progress:
        """Return what one computation tells its progress."""

        def tell(done: int, total: int) -> None:
            self._seen[number] = (done, total)
            if self._progress is not None:
                largest = max(t for _, t in self._seen)
                sums = [sum(column) for column in zip(*self._seen, strict=True)]
                self._progress(sums[0], max(sums[1], largest))

        return tell
