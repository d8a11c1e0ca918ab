"""What node symmetry does to the landscape: models of ensembles with permuted fractions.

A fraction p of an ensemble is replaced by, or paired with, random node permutations of itself (the
networks' outputs stay), models are fitted to each mixture, and their entropy is scanned around the
same references (W. Zou, H. Huang, Sec. IV.5 and App. J).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import xarray

from lsg_ray.arrays import public
from lsg_ray.errors import InputError
from lsg_ray.ising.boltzmann import Method, fit_boltzmann
from lsg_ray.ising.entropy import entropy_scan
from lsg_ray.ising.references import as_references
from lsg_ray.statistics.symmetry import permute

Progress = Callable[[int, int], None]

#: The paper's fractions.
FRACTIONS = (0.0, 0.3, 0.6, 0.9)


@public
def permutation_effect(
    ensemble: Any,
    fractions: Sequence[float] = FRACTIONS,
    *,
    mode: Literal["replace", "add"] = "add",
    method: Method = "pcd",
    count: int = 5,
    fields: Any = None,
    seed: int = 0,
    progress: Progress | None = None,
    **options: Any,
) -> xarray.Dataset:
    """Fit a model to each mixture and scan it.

    Parameters
    ----------
    ensemble
        `Ensemble`, view of whole networks, or path of a store.
    fractions
        Permuted fractions p, 0 to 1.
    mode
        As in `lsg_ray.permute`; ``add`` is the paper's.
    method, options
        As in `lsg_ray.fit_boltzmann`.
    count
        References of low, medium and high energy under the first model; the same for all.
    fields
        As in `lsg_ray.entropy_scan`.
    seed
        Of permutations and fits.
    progress
        Told ``(fractions done, in all)``.

    Returns
    -------
    xarray.Dataset
        The scans along ``fraction``, with ``s0``, ``rms_C`` (of the fit, by Monte Carlo) and
        ``hysteresis_largest`` (fraction).

    Raises
    ------
    InputError
        No fractions, or not between 0 and 1; or as the fit and the scan.
    """
    chosen = [float(p) for p in fractions]
    if not chosen or not all(0 <= p <= 1 for p in chosen) or len(set(chosen)) < len(chosen):
        raise InputError(f"fractions {fractions} given; different numbers from 0 to 1")
    references, scans, fits = None, [], []
    for done, p in enumerate(chosen):
        mixture = permute(ensemble, p, mode=mode, seed=seed)
        fit = fit_boltzmann(mixture, method=method, seed=seed, **options)
        if references is None:
            references = as_references(ensemble, fit.model, count)
        scans.append(entropy_scan(fit.model, references, fields))
        fits.append(fit.report)
        if progress is not None:
            progress(done + 1, len(chosen))
    found = xarray.concat(
        [scan.drop_vars("energy") for scan in scans], "fraction", combine_attrs="drop"
    )
    return found.assign_coords(fraction=("fraction", np.array(chosen))).assign(
        s0=("fraction", [scan.attrs["s0"] for scan in scans], {"units": "nat"}),
        rms_C=("fraction", [report["rms_C"] for report in fits]),
        hysteresis_largest=("fraction", [scan.attrs["hysteresis"] for scan in scans]),
    ).assign_attrs(
        statistic="permutation effect", mode=mode, method=method, seed=seed,
        verdict=", ".join(f"{p:g}: {scan.attrs['verdict']}" for p, scan in zip(
            chosen, scans, strict=True)),
        converged=float(np.mean([scan.attrs["converged"] for scan in scans])),
        references=scans[0].attrs["references"],
    )  # fmt: skip
