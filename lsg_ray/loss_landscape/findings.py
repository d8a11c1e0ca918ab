"""What reports say first of walks, paths, swaps and curvature of real weights."""

from __future__ import annotations

import numpy as np
import xarray

from lsg_ray.finding import Finding, Times, with_error
from lsg_ray.loss_landscape.censored import describe, survival_of
from lsg_ray.results.saving import names_of


def walk_findings(walks: xarray.Dataset) -> list[Finding]:
    """Say how wide the flat region around solutions is, for each step size."""
    widths = survival_of(walks, "flat_width")
    by_sigma = "; ".join(
        f"σ = {sigma:g}: {describe(width)}"
        for sigma, width in zip(walks["sigma"].values.tolist(), widths.values(), strict=True)
    )
    count = walks.sizes["solution"]
    text = f"Width of the flat region around {count} solutions, by step size, {by_sigma}."
    bounds = [width.left for width in widths.values() if np.isnan(width.mean)]
    if not bounds:
        return [Finding(text)]
    share = 100 * (1 - max(bounds))
    why = (
        f"up to {share:.0f} % of the walks end inside the flat region, so that some widths are "
        "lower bounds"
    )
    return [Finding(text, why, {"steps": Times()})]


def interpolate_findings(paths: xarray.Dataset) -> list[Finding]:
    """Say how high the barriers on straight paths between solutions are."""
    over = paths
    if "alignment" not in paths.dims:
        over = paths.expand_dims(alignment=[paths.attrs["alignment"]])
    barriers = over["train_barrier"]
    by_alignment = "; ".join(
        f"{name} {_mean(barriers.isel(alignment=n).values)}"
        for n, name in enumerate(names_of(over["alignment"]))
    )
    text = (
        f"Mean barrier of the training loss on {paths.sizes['pair']} straight paths between "
        f"solutions, by alignment: {by_alignment}."
    )
    return [Finding(text, *_few(paths.sizes["pair"], "pairs"))]


def swaps_findings(swaps: xarray.Dataset) -> list[Finding]:
    """Say how the barrier grows with the number of swapped pairs of hidden units."""
    barrier = swaps["train_barrier"]
    across = [name for name in barrier.dims if name not in ("swaps", "solution")]
    by_solution = barrier.mean(across) if across else barrier
    first, last = (by_solution.isel(swaps=n) for n in (0, -1))
    text = (
        f"The barrier of the training loss to a copy with {int(first['swaps']):,} swapped pairs of "
        f"hidden units is {_mean(first.values)}, with {int(last['swaps']):,} {_mean(last.values)}."
    )
    return [Finding(text, *_few(swaps.sizes["solution"], "configurations"))]


def flatness_findings(result: xarray.Dataset) -> list[Finding]:
    """Say how curved the loss is at solutions."""
    top, trace = result["eigenvalue"].isel(rank=0).values, result["trace"].values
    text = (
        f"At {len(top)} solutions the largest eigenvalue of the Hessian of the training loss is "
        f"{_mean(top)} on average, its trace {_mean(trace)}."
    )
    if not result["converged"].values.all():
        left = int((~result["converged"].values.astype(bool)).sum())
        why = f"eigenvalues of {left} solutions have not converged"
        return [Finding(text, why, {"max_iterations": Times()})]
    return [Finding(text, *_few(len(top), "configurations"))]


def _mean(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> str:
    """Return a mean with its standard error over independent cases."""
    count = len(values)
    error = float(np.std(values, ddof=1) / np.sqrt(count)) if count > 1 else np.nan
    return with_error(float(np.mean(values)), error)


def _few(count: int, option: str) -> tuple[str, dict[str, Times | int]]:
    """Return why a mean over few cases is open, and what would settle it."""
    if count > 1:
        return "", {}
    return "of one case there is no error", {option: 4}
