"""Boltzmann learning: the least-structured model that has given m and C.

The log-likelihood has the gradient C_data − C_model in J and m_data − m_model in h; it is concave.
Methods differ in how they get the model's averages:

- ``bp``: the cavity method (`lsg_ray.ising.bethe`).
- ``plm``: pseudolikelihood, which needs configurations (`lsg_ray.ising.pseudolikelihood`).
- ``exact``: all states, N ≤ 16 (`lsg_ray.ising.exact`).
- ``pcd``: persistent Monte Carlo chains (`lsg_ray.ising.pcd`).
- ``tempered``: replicas at several temperatures, for models that trap their chains
  (`lsg_ray.ising.tempered`).

Whatever the method, the model is checked by independent Monte Carlo
(`lsg_ray.ising.verification`).

Frozen weights (|m| = 1) have no finite field.  They are left out of the fit and get no couplings,
and the field atanh of ±(1 − pseudocount).

Nor have weights a finite coupling that never differ, or always (|C_ij| = 1).  The first of them
stands for all; the others are left out of the fit and of all deviations, and named with the sign
that they have beside it.  They get no couplings either, and the field atanh m: couplings that hold
them in place would hold Monte Carlo chains too.  So the model has their m but not their C, which is
that of the weight they repeat; what is extensive, as the entropy, counts them as independent.
"""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np
import xarray
from annotated_types import Gt, Lt

from lsg_ray.arrays import public
from lsg_ray.errors import InputError
from lsg_ray.ising.fitted import Deviation, FitMethod, Fitted, deviation
from lsg_ray.ising.model import IsingModel
from lsg_ray.ising.targets import MOMENT_TOLERANCES, Target, as_sample, as_target
from lsg_ray.ising.verification import verify_model
from lsg_ray.registry import FIT_METHODS
from lsg_ray.results.graph import compute, part_of, share, stretch
from lsg_ray.statistics.configurations import Configurations
from lsg_ray.statistics.pairs import choose_rows
from lsg_ray.statistics.views import Columns
from lsg_ray.typing import Floats, Ints, MomentsLike, Progress

#: 1 − |m| that frozen weights are given if M is unknown.
DEFAULT_PSEUDOCOUNT = 1e-3
#: Couplings below this, in nats, may be noise of a fit to independent weights.
NOISE_COUPLING = 0.1
#: Entries of a report that are lists; attributes of a model hold them as JSON.
LIST_ENTRIES = ("frozen_weights", "duplicate_weights", "held_out")


class Fit(NamedTuple):
    """A fitted model and how good it is.

    model: with all weights; report: plain numbers, see `fit_boltzmann`; history: Dataset over
    ``step``; check: result of `verify_model`, empty without it.
    """

    model: IsingModel
    report: dict[str, Any]
    history: xarray.Dataset
    check: xarray.Dataset


@public
def fit_boltzmann(
    moments: MomentsLike,
    *,
    method: str = "pcd",
    seconds: float | None = None,
    pseudocount: Annotated[float, Gt(0), Lt(1)] | None = None,
    rounding: float = MOMENT_TOLERANCES.rounding,
    verify: bool = True,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Fit:
    """Fit couplings and fields to moments, and measure how good they are.

    Parameters
    ----------
    moments
        Moments as in `as_target`: a Dataset, (m, C), a path, an ensemble, or configurations; for
        ``plm`` one of the last two, or the path of a store.
    method
        Method of the fit: ``pcd``, ``bp``, ``plm``, ``exact`` (N ≤ 16), or one of an installed
        package.
    seconds
        Time of the fit in seconds, without the check; by default the method decides.
    pseudocount
        Value of 1 − |m| that frozen weights are given; by default 1/(M + 2), or 10⁻³ if M is
        unknown.
    rounding
        Largest error of each given m and C, as of published ones that were rounded to a few
        digits.  Inconsistent moments are moved to the nearest consistent ones within it.
    verify
        Whether to check the model by independent Monte Carlo.
    seed
        Seed of chains and of random starts.
    threads
        Number of threads; by default one per CPU.
    progress
        Called with ``(done, total)`` steps of the fit.
    options
        Options of the method: see `fit_pcd`, `fit_tempered`, `fit_bp`, `fit_plm`, `fit_exact`; and
        for ``plm`` also ``count``, the number of configurations that are drawn from all.

    Returns
    -------
    Fit
        Its report holds ``delta``, ``rms_m``, ``rms_C`` (by Monte Carlo), their noise and what they
        are without it, ``mc_converged``, ``rhat_max``, ``checked_by`` (see `verify_model`);
        ``delta_method``, ``rms_m_method``, ``rms_C_method`` (by the method's own measure) and, of
        ``pcd`` and ``tempered``, ``noise_method``, the noise of the first; ``delta_independent``
        (of J = 0); ``converged``, never where the chains of the check have not, and often with a
        ``reason`` if not;
        ``moments_change``, the largest change that made given moments consistent (0 if they were);
        ``iterations``, ``independent`` (only where the fit was no better than that); ``frozen``
        (count) and ``frozen_weights``; ``duplicates`` (count) and ``duplicate_weights``, [which, of
        which, sign] each; ``seconds``.

    Raises
    ------
    InputError
        Moments that no ±1 variables have, an unknown method, or fewer than two weights that are
        neither frozen nor duplicates.
    """
    declaration = FIT_METHODS[method]
    _check_options(declaration, method, options)
    source: Configurations | None = None
    if declaration.reads == "configurations":
        source = as_sample(moments)
        if (count := options.pop("count", None)) is not None:
            source = choose_rows(source, count, seed)
        moments = source
    target = as_target(moments, rounding)
    free = _free(target)
    inner = target if free is None else target.restrict(free)
    if source is not None:
        options["source"] = source if free is None else Columns(source, free)
    began = time.perf_counter()
    fitting, checking = _with_check(progress, declaration.check) if verify else (progress, None)
    fitted = declaration.run(
        inner, seconds=seconds, seed=seed, threads=threads, progress=fitting, **options
    )
    fitted, independent = _no_worse_than_independent(fitted, inner)
    J, h = _with_all(target, free, fitted, pseudocount)
    taken = time.perf_counter() - began
    report: dict[str, Any] = {
        "method": method,
        "converged": fitted.converged,
        "iterations": fitted.iterations,
        **dict(zip(_OWN, _of_all(fitted.deviation, target), strict=True)),
        **fitted.extra,
        "delta_independent": _of_all(independent, target)[0],
        "moments_change": target.change,
        "frozen": len(target.frozen),
        "frozen_weights": target.frozen.tolist(),
        "duplicates": len(target.duplicates),
        "duplicate_weights": _duplicates(target),
        "seed": seed,
    }
    if "noise_method" in report:
        report["noise_method"] = _of_all(report["noise_method"], target)[0]
    model = IsingModel(J, h, target.part, weight=target.weight)
    check = xarray.Dataset()
    if verify:
        check = verify_model(model, target, seed=seed + 1, threads=threads, progress=checking)
        report |= {name: check.attrs[name] for name in _CHECKED}
        if not check.attrs["mc_converged"]:
            report["converged"] = False
            reason = f"the chains of the check have not (R̂ {check.attrs['rhat_max']:.3g})"
            report["reason"] = "; ".join(filter(None, [report.get("reason"), reason]))
    report["fit_seconds"] = taken
    report["seconds"] = time.perf_counter() - began
    history = xarray.Dataset(
        {name: ("step", values) for name, values in fitted.history.items()},
        attrs={"statistic": "fit history", "method": method},
    )
    attributes = {k: v for k, v in report.items() if isinstance(v, (int, float, str))}
    attributes = {**target.attributes, **attributes, "converged": int(report["converged"])}
    attributes |= {k: json.dumps(report[k]) for k in LIST_ENTRIES if k in report}
    return Fit(IsingModel(J, h, target.part, attributes, target.weight), report, history, check)


@public
def fit_parts(
    moments: MomentsLike,
    parts: Sequence[str],
    *,
    method: str = "pcd",
    rounding: float = MOMENT_TOLERANCES.rounding,
    tasks: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> dict[str, Fit]:
    """Fit one model to each of several parts of the network.

    Parameters
    ----------
    moments, method, rounding, options
        As in `fit_boltzmann`.
    parts
        Names of parts such as ``LB``, ``ITR``, ``RB``; ``full`` for all weights.
    tasks
        Whether to fit each part in a task of its own under Dask's current scheduler, as on a
        cluster.  Otherwise one after another, each with all threads.
    progress
        Called with ``(done, total)``: tasks, or steps of all fits.

    Raises
    ------
    InputError
        As `fit_boltzmann`, or the weights have no such parts.
    """
    from_configurations = FIT_METHODS[method].reads == "configurations"
    whole = as_sample(moments) if from_configurations else as_target(moments, rounding)
    inputs = {part: _part(whole, part) for part in parts}
    if tasks:
        import dask

        leaf = dask.delayed(fit_boltzmann, pure=False)
        graph = [leaf(share(data), method=method, **options) for data in inputs.values()]
        return dict(zip(inputs, compute(graph, progress), strict=True))
    fits: dict[str, Fit] = {}
    for number, (part, data) in enumerate(inputs.items()):
        own = part_of(progress, number, len(inputs))
        fits[part] = fit_boltzmann(data, method=method, progress=own, **options)
    return fits


def _part(whole: Target | Configurations, part: str) -> Target | Configurations:
    if part == "full":
        return whole
    if isinstance(whole, Configurations):
        return whole.part(part)
    indices = whole.parts()
    if part not in indices:
        raise InputError(f"part {part!r} given; there are {', '.join(indices) or 'no named parts'}")
    return whole.restrict(indices[part])


def _with_check(progress: Progress | None, share: float) -> tuple[Progress | None, Progress | None]:
    """Return the progress of a fit and of its check, which takes a share of the time of both.

    Of a fit that does not know its steps these are counted, and the check is not shown.
    """
    if progress is None:
        return None, None
    known = [True]
    fitting, checking = stretch(progress, 0.0, 1 - share), stretch(progress, 1 - share, 1.0)

    def fit(done: int, total: int) -> None:
        known[0] = total > 0
        if known[0] and fitting is not None:
            fitting(done, total)
        else:
            progress(done, 0)

    def check(done: int, total: int) -> None:
        if known[0] and checking is not None:
            checking(done, total)

    return fit, check


def _check_options(declaration: FitMethod, method: str, options: dict[str, Any]) -> None:
    known = set(inspect.signature(declaration.run).parameters) - {"target", "source", "progress"}
    known |= {"count"} if declaration.reads == "configurations" else set()
    unknown = sorted(set(options) - known)
    if unknown:
        raise InputError(f"{unknown[0]} given; method {method!r} takes {', '.join(sorted(known))}")


def _no_worse_than_independent(fitted: Fitted, target: Target) -> tuple[Fitted, Deviation]:
    """Return the fit, or independent weights if they are nearer; and the deviation of those."""
    independent = deviation(target.m, np.outer(target.m, target.m), target)
    own = fitted.deviation
    if own is None or own[0] <= independent[0]:
        return fitted, independent
    # Where the data are independent, that is what a fit comes to within its noise.
    largest = float(np.abs(fitted.J).max())
    extra = {**fitted.extra, "independent": True}
    if fitted.converged and largest >= NOISE_COUPLING:
        extra["reason"] = f"no better than independent weights, with a coupling of {largest:.2g}"
    replaced = fitted._replace(
        J=np.zeros_like(fitted.J),
        h=np.arctanh(target.m),
        deviation=independent,
        converged=fitted.converged and largest < NOISE_COUPLING,
        extra=extra,
    )
    return replaced, independent


def _of_all(own: Deviation | None, target: Target) -> Deviation | tuple[None, None, None]:
    """Return a deviation among free weights as one of all but duplicates.

    Frozen weights deviate by nothing.
    """
    if own is None:
        return None, None, None
    n = len(target.m) - len(target.duplicates)
    free = n - len(target.frozen)
    rms_m, rms_C = own[1] * (free / n) ** 0.5, own[2] * (free * (free - 1) / (n * (n - 1))) ** 0.5
    return float(np.hypot(rms_m, rms_C)), rms_m, rms_C


_OWN = ("delta_method", "rms_m_method", "rms_C_method")
_CHECKED = (
    "delta", "rms_m", "rms_C", "noise_delta", "noise_m", "noise_C", "excess_delta",
    "excess_delta_stderr", "excess_m", "excess_m_stderr", "excess_C", "excess_C_stderr",
    "mc_converged", "rhat_max", "checked_by",
)  # fmt: skip


def _duplicates(target: Target) -> list[list[int]]:
    """Return [which, of which, sign] of every weight that repeats another."""
    first = target.repeats
    return [
        [j, int(first[j]), int(np.sign(target.C[first[j], j]))] for j in target.duplicates.tolist()
    ]


def _free(target: Target) -> Ints | None:
    """Return the weights that can be fitted; None for all."""
    n, frozen, duplicates = len(target.m), target.frozen, target.duplicates
    if not len(frozen) and not len(duplicates):
        return None
    free = np.setdiff1d(np.arange(n), np.r_[frozen, duplicates])
    if len(free) < 2:
        repeat = f", {len(duplicates)} repeat another (|C| = 1)" if len(duplicates) else ""
        raise InputError(
            f"{len(frozen)} of {n} weights are frozen (|m| = 1){repeat}; at least 2 others are "
            "needed"
        )
    return free


def _with_all(
    target: Target, free: Ints | None, fitted: Fitted, pseudocount: float | None
) -> tuple[Floats, Floats]:
    if free is None:
        return fitted.J, fitted.h
    n = len(target.m)
    if pseudocount is None:
        pseudocount = DEFAULT_PSEUDOCOUNT if target.count is None else 1 / (target.count + 2)
    J, h = np.zeros((n, n)), np.arctanh(target.m * (1 - MOMENT_TOLERANCES.frozen))  # of duplicates
    h[target.frozen] = np.arctanh(np.sign(target.m[target.frozen]) * (1 - pseudocount))
    J[np.ix_(free, free)], h[free] = fitted.J, fitted.h
    return J, h
