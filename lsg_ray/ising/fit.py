"""The effective Ising model of an ensemble as a stage: a fit by any method, and its check.

The mathematics is in `lsg_ray.ising.boltzmann`; here a model becomes one Dataset with the moments
that its check has measured, and options of one method are refused with another.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from typing import Any, Literal

import xarray

from lsg_ray.arrays import public
from lsg_ray.errors import InputError
from lsg_ray.ising.boltzmann import LIST_ENTRIES, fit_parts
from lsg_ray.ising.findings import fit_findings
from lsg_ray.ising.targets import Rounding
from lsg_ray.registry import FIT_METHODS
from lsg_ray.results.saving import MODEL_ARRAYS
from lsg_ray.stage import MOMENTS, Figure, Stage
from lsg_ray.typing import MomentsLike, Positive, Progress, Seed, Several

#: Options of `fit_model` that only some of our methods have, with these methods.
_METHODS_WITH = {
    "correlations": ("bp",),
    "margin": ("bp",),
    "l1": ("plm",),
    "l2": ("plm", "pcd", "tempered", "exact"),
    "count": ("plm",),
    "decimate": ("plm",),
    "seconds": ("pcd", "tempered"),
    "rounding": ("bp", "pcd", "tempered", "exact"),
}


@public
def fit_model(
    moments: MomentsLike,
    *,
    part: str = "full",
    method: str = "pcd",
    seconds: Positive | None = None,
    correlations: Literal["beliefs", "response"] | None = None,
    margin: float | None = None,
    l1: float | Literal["auto"] | None = None,
    l2: float | None = None,
    count: Several | None = None,
    decimate: Literal["coupling", "free-energy"] | None = None,
    pseudocount: Positive | None = None,
    rounding: Rounding | None = None,
    verify: bool = True,
    options: dict[str, bool | int | float | str] | None = None,
    seed: Seed = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Fit an effective Ising model to the moments of an ensemble.

    The input is the result of `lsg moments`, an .npz with m and C, a store, or an array of ±1: an
    .npz with sigma, FILE.npz:NAME or an .npy.  Whatever the method, the model is checked by
    independent Monte Carlo, which measures delta, rms_m and rms_C; noise_* is its own noise, and
    excess_* what is left without that.  Rounded moments that no ±1 weights have are moved to the
    nearest consistent ones; moments_change is the largest move.

    Parameters
    ----------
    moments
        Moments as in `fit_boltzmann`.
    part
        Part of the network to fit: LB, ITR, RB, or full for all weights.  The command takes
        several, each written to MODEL-PART.
    method
        Method of the fit: persistent chains (pcd), then replicas at several temperatures where the
        model traps chains (tempered), cavity method (bp), pseudolikelihood of a store (plm),
        enumeration (exact, N ≤ 16), or one of an installed package.
    seconds
        Time of the fit in seconds (pcd, tempered).
    correlations
        Correlations to match (bp): beliefs of pairs, as in the paper and by default, or their
        linear response.
    margin
        Distance from the border of stability as a share of the threshold (bp); 0.05 suits scans.
    l1
        Strength of the penalty on |J|, or auto (plm); 0.01 by default.
    l2
        Strength of the penalty on J² (plm, pcd, tempered, exact).
    count
        Number of configurations to draw at random (plm).
    decimate
        Criterion by which couplings are removed (plm).
    pseudocount
        Value of 1 − |m| given to frozen weights.
    rounding
        Largest error of each given m and C, as of rounded ones; 0.001 by default.
    verify
        Whether to check the model by independent Monte Carlo.
    options
        Further options of the method, by name.

    Returns
    -------
    xarray.Dataset
        ``J`` (weight, weight_) and ``h`` (weight); of the check ``m`` and ``C``, those of the data
        ``m_data`` and ``C_data``, and ``repeats``; attributes as the report of `fit_boltzmann`.

    Raises
    ------
    InputError
        An option of another method; or as `fit_boltzmann`.

    Examples
    --------
    >>> import numpy as np
    >>> C = np.array([[1, 0.3, 0.1], [0.3, 1, 0.2], [0.1, 0.2, 1]])
    >>> model = fit_model((np.zeros(3), C), method="exact", verify=False)
    >>> model["J"].dims, model.attrs["converged"], round(model.attrs["delta_method"], 6)
    (('weight', 'weight_'), 1, 0.0)
    """
    return fit_models(
        moments, [part], method=method, seconds=seconds, correlations=correlations, margin=margin,
        l1=l1, l2=l2, count=count, decimate=decimate, pseudocount=pseudocount, rounding=rounding,
        verify=verify, options=options, seed=seed, threads=threads, progress=progress,
    )[part]  # fmt: skip


def fit_models(
    moments: MomentsLike,
    parts: Sequence[str],
    *,
    method: str = "pcd",
    options: dict[str, Any] | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    **given: Any,
) -> dict[str, xarray.Dataset]:
    """Fit one model to each of several parts; on a cluster each in a task of its own.

    Options are those of `fit_model`.
    """
    import dask

    chosen = {name: value for name, value in given.items() if value is not None}
    for name in chosen.keys() & _METHODS_WITH if method in FIT_METHODS.builtin else ():
        if method not in _METHODS_WITH[name]:
            methods = ", ".join(_METHODS_WITH[name])
            raise InputError(f"{name} given with method {method}; it belongs to {methods}")
    if options:
        ours = {"target", "source", *inspect.signature(fit_model).parameters}
        declared = Stage(method, FIT_METHODS[method].run, reads={}, hidden=ours)
        chosen |= declared.options(options).model_dump(exclude_unset=True)
    tasks = len(parts) > 1 and callable(dask.config.get("scheduler", None))
    fits = fit_parts(
        moments,
        parts,
        method=method,
        tasks=tasks,
        threads=None if tasks else threads,
        progress=progress,
        **chosen,
    )
    return {
        part: fit.model.to_dataset().assign(
            {
                name: (fit.check[name].dims, fit.check[name].values)
                for name in ("m", "C", "m_data", "C_data", "repeats")
                if name in fit.check
            }
        )
        for part, fit in fits.items()
    }


def _summary(model: xarray.Dataset) -> dict[str, Any]:
    hidden = {
        "statistic",
        "source",
        "spec_hash",
        "where",
        "sampling_seed",
        "stage",
        "options",
        "survey",
    }
    report = {name: value for name, value in model.attrs.items() if name not in hidden}
    lists = {name: json.loads(report[name]) for name in LIST_ENTRIES if name in report}
    return {"n_weights": model.sizes["weight"], **report, **lists}


STAGE = Stage(
    "fit", fit_model, reads={"moments": MOMENTS}, parts=fit_models, makes="model", unit="steps",
    summary=_summary, findings=fit_findings, archive=MODEL_ARRAYS,
    figures=[Figure("lsg_ray.report.figures.reconstruction:models_figure", "Effective Ising model",
                    "models_caption", together=12)],
)  # fmt: skip
