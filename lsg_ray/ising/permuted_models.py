"""What node symmetry does to the entropy landscape: models of ensembles with permuted fractions.

A fraction p of an ensemble is replaced by, or paired with, random node permutations of itself (the
networks' outputs stay), models are fitted to each mixture, and their entropy is scanned around the
same references (W. Zou, H. Huang, Sec. IV.5 and App. J).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import xarray

from lsg_ray.arrays import as_numbers, brief, public
from lsg_ray.errors import InputError
from lsg_ray.ising.boltzmann import fit_boltzmann
from lsg_ray.ising.entropy import entropy_scan
from lsg_ray.ising.references import as_references
from lsg_ray.results.graph import counted
from lsg_ray.stage import ENSEMBLE, Figure, Stage
from lsg_ray.statistics.node_symmetry import permute
from lsg_ray.typing import Count, EnsembleLike, Numbers, Positive, Progress, Seed, Share, Steps

#: The fractions of the paper.
PERMUTED_FRACTIONS = (0.0, 0.3, 0.6, 0.9)


@public
def permutation_effect(
    ensemble: EnsembleLike,
    fractions: Numbers = PERMUTED_FRACTIONS,
    *,
    mode: Literal["replace", "add"] = "add",
    method: Literal["bp", "pcd"] = "pcd",
    seconds: Positive | None = None,
    margin: Share | None = None,
    count: Count = 5,
    fields: Steps | None = None,
    seed: Seed = 0,
    progress: Progress | None = None,
    **options: Any,
) -> xarray.Dataset:
    """Fit a model to each mixture and scan it.

    Parameters
    ----------
    ensemble
        `Ensemble`, view of whole networks, or path of a store.
    fractions
        Permuted fractions p, all different, from 0 to 1.
    mode
        Whether to add permuted copies (as the paper does), or to replace configurations by them.
    method
        Method of the fits.
    seconds
        Time limit of each fit by pcd, in seconds.
    margin
        Distance from the border of stability as a share of the threshold (bp); 0.05 suits scans.
    count
        Number of references of low, of medium and of high energy under the first model; the same
        for all models.
    fields
        Distance fields x in nats; by default −3 to 3 in steps of 0.1.
    seed
        Seed of the permutations and fits.
    options
        More options of `lsg_ray.fit_boltzmann`.
    progress
        Called with ``(fractions done, fractions in all)``.

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
    if seconds is not None:
        if method != "pcd":
            raise InputError(f"seconds given with method {method}; it belongs to pcd")
        options["seconds"] = seconds
    if margin is not None:
        if method != "bp":
            raise InputError(f"margin given with method {method}; it belongs to bp")
        options["margin"] = margin
    chosen = as_numbers(fractions, "fractions").tolist()
    if not chosen or not all(0 <= p <= 1 for p in chosen) or len(set(chosen)) < len(chosen):
        raise InputError(
            f"fractions {brief(fractions)} given; numbers from 0 to 1 are needed, each once"
        )
    references, scans, fits = None, [], []
    for p in counted(chosen, progress):
        mixture = permute(ensemble, p, mode=mode, seed=seed)
        fit = fit_boltzmann(mixture, method=method, seed=seed, **options)
        if references is None:
            references = as_references(ensemble, fit.model, count)
        scans.append(entropy_scan(fit.model, references, fields))
        fits.append(fit.report)
    result = xarray.concat(
        [scan.drop_vars("energy") for scan in scans], "fraction", combine_attrs="drop"
    )
    return (
        result.assign_coords(fraction=("fraction", np.array(chosen)))
        .assign(
            s0=("fraction", [scan.attrs["s0"] for scan in scans], {"units": "nat"}),
            rms_C=("fraction", [report["rms_C"] for report in fits]),
            hysteresis_largest=("fraction", [scan.attrs["hysteresis"] for scan in scans]),
        )
        .assign_attrs(
            statistic="permutation effect",
            mode=mode,
            method=method,
            seed=seed,
            verdict=", ".join(
                f"{p:g}: {scan.attrs['verdict']}" for p, scan in zip(chosen, scans, strict=True)
            ),
            converged=float(np.mean([scan.attrs["converged"] for scan in scans])),
            references=scans[0].attrs["references"],
        )
    )


def _summary(result: xarray.Dataset) -> dict[str, Any]:
    return {
        "fractions": result["fraction"].values,
        "s0": result["s0"].values,
        "rms_C": result["rms_C"].values,
        "hysteresis": result["hysteresis_largest"].values,
        "verdict": result.attrs["verdict"],
        "converged": result.attrs["converged"],
    }


STAGE = Stage(
    "symmetry",
    permutation_effect,
    reads={"ensemble": ENSEMBLE},
    summary=_summary,
    unit="fractions",
    figures=[
        Figure(
            "lsg_ray.report.figures.entropy_landscape:permutation_figure",
            "Entropy landscape and node symmetry",
        )
    ],
)
