"""Boltzmann learning: the least-structured model that has given m and C.

The log-likelihood has the gradient C_data − C_model in J and m_data − m_model in h; it is concave.
Methods differ in how they get the model's averages:

- ``bp``: the cavity method (`lsg_ray.ising.bethe`).
- ``plm``: pseudolikelihood, which needs configurations (`lsg_ray.ising.pseudolikelihood`).
- ``exact``: all states, N ≤ 16 (`lsg_ray.ising.exact`).
- ``pcd``: persistent Monte Carlo chains (`lsg_ray.ising.pcd`).

Whatever the method, the model is checked by independent Monte Carlo: Δ and the root mean square
errors of m and C are what new chains measure, with their own noise stated beside.

Frozen weights (|m| = 1) have no finite field.  They are left out of the fit and get no couplings,
and the field atanh of ±(1 − pseudocount).
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import xarray
from numpy.typing import NDArray

from lsg_ray.errors import InputError
from lsg_ray.ising.bethe import fit_bp
from lsg_ray.ising.exact import fit_exact
from lsg_ray.ising.fitted import Fitted, Progress, deviation
from lsg_ray.ising.model import IsingModel
from lsg_ray.ising.montecarlo import sample_model
from lsg_ray.ising.pcd import fit_pcd
from lsg_ray.ising.pseudolikelihood import fit_plm
from lsg_ray.ising.targets import Target, as_sample, as_target
from lsg_ray.statistics.configurations import Columns, Configurations
from lsg_ray.statistics.pairs import choose_rows

Floats = NDArray[np.float64]
Method = Literal["pcd", "bp", "plm", "exact"]

#: 1 − |m| that frozen weights are given if M is unknown.
PSEUDOCOUNT = 1e-3
#: Draws of the Monte Carlo that checks a model.
FEWEST_SAMPLES, MOST_SAMPLES = 50_000, 500_000
#: Couplings below this may be noise of a fit to independent weights.
NOTHING = 0.1


class Fit(NamedTuple):
    """A fitted model and how good it is.

    model: with all weights; report: plain numbers, see `fit_boltzmann`; history: Dataset over
    ``step``; check: the independent Monte Carlo, with the data's moments beside.
    """

    model: IsingModel
    report: dict[str, Any]
    history: xarray.Dataset
    check: xarray.Dataset


def fit_boltzmann(
    moments: Any,
    *,
    method: Method = "pcd",
    seconds: float | None = None,
    pseudocount: float | None = None,
    verify: bool = True,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Fit:
    """Fit couplings and fields to moments, and say how good they are.

    Parameters
    ----------
    moments
        As `as_target` takes them: a Dataset, (m, C), a path, an ensemble, configurations; for
        ``plm`` one of the last two, or the path of a store.
    method
        ``pcd``, ``bp``, ``plm``, or ``exact`` (N ≤ 16).
    seconds
        Time for the fit itself, without the check; by default what the method finds enough.
    pseudocount
        For frozen weights: 1 − |m| that they are given; by default 1/(M + 2), or 10⁻³ if M is
        unknown.
    verify
        Whether to check the model by independent Monte Carlo.
    seed
        Of chains and starts.
    threads
        By default one per CPU.
    progress
        Told ``(done, in all)``, in steps of the fit.
    options
        Of the method: see `fit_pcd`, `fit_bp`, `fit_plm`, `fit_exact`; and ``count`` of ``plm``:
        draw so many configurations.

    Returns
    -------
    Fit
        Its report holds ``delta``, ``rms_m``, ``rms_C`` (by Monte Carlo), ``noise_m``,
        ``noise_C`` (the standard errors among them), ``mc_converged``, ``rhat_max``,
        ``delta_method``, ``rms_m_method``, ``rms_C_method`` (by the
        method's own measure), ``delta_independent`` (of J = 0), ``converged``,
        ``iterations``, ``independent`` (only where the
        fit was no better than that), ``frozen`` (count) and ``frozen_weights``, ``seconds``.

    Raises
    ------
    InputError
        Moments that no ±1 variables have, an unknown method, or nothing but frozen weights.
    """
    fit = _METHODS.get(method)
    if fit is None:
        raise InputError(f"method {method!r} given; one of {', '.join(_METHODS)}")
    if pseudocount is not None and not 0 < pseudocount < 1:
        raise InputError(f"pseudocount {pseudocount} given; it must be between 0 and 1")
    _check_options(fit, method, options)
    if method == "plm":
        source = as_sample(moments)
        if (count := options.pop("count", None)) is not None:
            source = choose_rows(source, count, seed)
        options["source"] = moments = source
    target = as_target(moments)
    free = _free(target)
    inner = target if free is None else target.restrict(free)
    if method == "plm" and free is not None:
        options["source"] = Columns(options["source"], free)
    began = time.perf_counter()
    found = fit(inner, seconds=seconds, seed=seed, threads=threads, progress=progress, **options)
    found, independent = _no_worse_than_independent(found, inner)
    J, h = _with_frozen(target, free, found, pseudocount)
    taken = time.perf_counter() - began
    report: dict[str, Any] = {
        "method": method,
        "converged": found.converged,
        "iterations": found.iterations,
        **dict(zip(_OWN, _of_all(found.deviation, target), strict=True)),
        **found.extra,
        "delta_independent": _of_all(independent, target)[0],
        "frozen": len(target.frozen),
        "frozen_weights": target.frozen.tolist(),
        "seed": seed,
    }
    model = IsingModel(J, h, target.part, weight=target.weight)
    check = xarray.Dataset()
    if verify:
        check = verify_model(model, target, seed=seed + 1, threads=threads)
        report |= {name: check.attrs[name] for name in _CHECKED}
    report["fit_seconds"] = taken
    report["seconds"] = time.perf_counter() - began
    names = [name for name in found.history if name != "step"]
    history = xarray.Dataset(
        {name: ("step", np.asarray(found.history[name])) for name in names},
        {"step": np.asarray(found.history.get("step", []))},
        {"statistic": "fit history", "method": method},
    )
    attributes = {**target.attributes, "converged": int(found.converged)}
    attributes |= {k: v for k, v in report.items() if isinstance(v, (int, float, str))}
    return Fit(IsingModel(J, h, target.part, attributes, target.weight), report, history, check)


def fit_parts(
    moments: Any,
    parts: Sequence[str],
    *,
    method: Method = "pcd",
    tasks: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> dict[str, Fit]:
    """Fit one model to each of several parts of the network.

    Parameters
    ----------
    moments, method, options
        As in `fit_boltzmann`.
    parts
        Names as ``LB``, ``ITR``, ``RB``; ``full`` for all weights.
    tasks
        Fit each part in a task of its own, under Dask's current scheduler: on a cluster.  Else one
        after another, each with all threads.
    progress
        Told ``(done, in all)``: tasks, or steps of all fits.

    Raises
    ------
    InputError
        As `fit_boltzmann`, or the weights have no such parts.
    """
    given = as_sample(moments) if method == "plm" else as_target(moments)
    chosen = {part: _part(given, part) for part in parts}
    if tasks:
        import dask

        from lsg_ray.statistics.graph import compute, share

        leaf = dask.delayed(fit_boltzmann, pure=False)
        graph = [leaf(share(some), method=method, **options) for some in chosen.values()]
        return dict(zip(chosen, compute(graph, progress), strict=True))
    found: dict[str, Fit] = {}
    for place, (part, some) in enumerate(chosen.items()):
        tell = None if progress is None else _shifted(progress, place, len(chosen))
        found[part] = fit_boltzmann(some, method=method, progress=tell, **options)
    return found


def _part(given: Target | Configurations, part: str) -> Target | Configurations:
    if part == "full":
        return given
    if isinstance(given, Configurations):
        return given.part(part)
    places = given.parts()
    if part not in places:
        raise InputError(f"part {part!r} given; there are {', '.join(places) or 'no named parts'}")
    return given.restrict(places[part])


def _shifted(progress: Progress, place: int, places: int) -> Progress:
    def tell(done: int, total: int) -> None:
        progress(place * total + done, places * total)

    return tell


def _check_options(fit: Callable[..., Fitted], method: str, options: dict[str, Any]) -> None:
    known = set(inspect.signature(fit).parameters) - {"target", "source", "progress"}
    known |= {"count"} if method == "plm" else set()
    unknown = sorted(set(options) - known)
    if unknown:
        raise InputError(f"{unknown[0]} given; method {method!r} takes {', '.join(sorted(known))}")


def _no_worse_than_independent(
    found: Fitted, target: Target
) -> tuple[Fitted, tuple[float, float, float]]:
    """Return the fit, or independent weights if they are nearer; and the deviation of those."""
    independent = deviation(target.m, np.outer(target.m, target.m), target)
    own = found.deviation
    if own is None or own[0] <= independent[0]:
        return found, independent
    # Where the data are independent, that is what a fit comes to within its noise.
    converged = found.converged and np.abs(found.J).max() < NOTHING
    replaced = found._replace(
        J=np.zeros_like(found.J), h=np.arctanh(target.m), deviation=independent,
        converged=bool(converged), extra={**found.extra, "independent": True},
    )  # fmt: skip
    return replaced, independent


def _of_all(
    own: tuple[float, float, float] | None, target: Target
) -> tuple[float, float, float] | tuple[None, None, None]:
    """Return a deviation among free weights as one of all: frozen weights deviate by nothing."""
    if own is None:
        return None, None, None
    n, free = len(target.m), len(target.m) - len(target.frozen)
    rms_m, rms_C = own[1] * (free / n) ** 0.5, own[2] * (free * (free - 1) / (n * (n - 1))) ** 0.5
    return float(np.hypot(rms_m, rms_C)), rms_m, rms_C


_OWN = ("delta_method", "rms_m_method", "rms_C_method")
_CHECKED = ("delta", "rms_m", "rms_C", "noise_m", "noise_C", "mc_converged", "rhat_max")


def _free(target: Target) -> NDArray[np.int64] | None:
    """Return the weights that can be fitted; None for all."""
    n, frozen = len(target.m), target.frozen
    if not len(frozen):
        return None
    if n - len(frozen) < 2:
        raise InputError(
            f"{len(frozen)} of {n} weights are frozen (|m| = 1); at least 2 others are needed"
        )
    return np.setdiff1d(np.arange(n), frozen)


def _with_frozen(
    target: Target, free: NDArray[np.int64] | None, found: Fitted, pseudocount: float | None
) -> tuple[Floats, Floats]:
    if free is None:
        return found.J, found.h
    n = len(target.m)
    if pseudocount is None:
        pseudocount = PSEUDOCOUNT if target.count is None else 1 / (target.count + 2)
    J, h = np.zeros((n, n)), np.arctanh(np.sign(target.m) * (1 - pseudocount))
    J[np.ix_(free, free)], h[free] = found.J, found.h
    return J, h


def verify_model(
    model: IsingModel,
    target: Target,
    *,
    chains: int = 1024,
    samples: int | None = None,
    seed: int = 1,
    threads: int | None = None,
) -> xarray.Dataset:
    """Measure a model by new chains and compare with the moments it was fitted to.

    Parameters
    ----------
    samples
        Draws of all chains; by default 50 times the configurations behind the moments, from 50,000
        to 500,000, so that the noise of the check is far below that of the data.

    Returns
    -------
    xarray.Dataset
        As `sample_model`, with ``m_data`` and ``C_data`` beside, and attributes ``delta``,
        ``rms_m``, ``rms_C``, their Monte Carlo noise ``noise_m``, ``noise_C``, ``mc_converged``.
    """
    if samples is None:
        samples = MOST_SAMPLES
        if target.count is not None:
            samples = int(np.clip(50 * target.count, FEWEST_SAMPLES, MOST_SAMPLES))
    draws = max(8, samples // chains)
    found = sample_model(
        model, chains=chains, burn_in=200, draws=draws, thin=2, seed=seed, threads=threads
    )
    delta, rms_m, rms_C = deviation(found["m"].values, found["C"].values.copy(), target)
    off = ~np.eye(len(target.m), dtype=bool)
    found = found.assign(
        m_data=("weight", target.m), C_data=(("weight", "weight_"), target.C)
    ).drop_vars("energy")
    return found.assign_attrs(
        delta=delta,
        rms_m=rms_m,
        rms_C=rms_C,
        noise_m=float(np.sqrt(np.mean(found["m_stderr"].values ** 2))),
        noise_C=float(np.sqrt(np.mean(found["C_stderr"].values[off] ** 2))),
        mc_converged=found.attrs["converged"],
    )


_METHODS: dict[str, Callable[..., Fitted]] = {
    "bp": fit_bp,
    "pcd": fit_pcd,
    "plm": fit_plm,
    "exact": fit_exact,
}
