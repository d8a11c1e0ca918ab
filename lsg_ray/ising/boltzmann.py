"""Boltzmann learning: the least-structured model that has given m and C.

The log-likelihood has the gradient C_data − C_model in J and m_data − m_model in h; it is concave.
Methods differ in how they get the model's averages:

- ``bp``: the cavity method (`lsg_ray.ising.bethe`).
- ``plm``: pseudolikelihood, which needs configurations (`lsg_ray.ising.pseudolikelihood`).
- ``exact``: all states, N ≤ 16 (`lsg_ray.ising.exact`).
- ``pcd``: persistent Monte Carlo chains (`lsg_ray.ising.pcd`).

Whatever the method, the model is checked by independent Monte Carlo: Δ and the root mean square
errors of m and C are what new chains measure, with their own noise stated beside, and what is left
without it, from E[rms²] = true² + noise².

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
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np
import xarray
from annotated_types import Gt, Lt

from lsg_ray.arrays import public
from lsg_ray.errors import InputError
from lsg_ray.ising.fitted import Fitted, deviation
from lsg_ray.ising.model import IsingModel
from lsg_ray.ising.montecarlo import sample_model
from lsg_ray.ising.targets import FROZEN, ROUNDING, Target, as_sample, as_target
from lsg_ray.registry import FIT_METHODS
from lsg_ray.statistics.configurations import Configurations
from lsg_ray.statistics.pairs import choose_rows
from lsg_ray.statistics.views import Columns
from lsg_ray.typing import Floats, Ints, MomentsLike, Progress

#: 1 − |m| that frozen weights are given if M is unknown.
PSEUDOCOUNT = 1e-3
#: Draws of the Monte Carlo that checks a model.
FEWEST_SAMPLES, MOST_SAMPLES = 50_000, 500_000
#: Groups of chains that give an error of their mean squares, at least; and its square's distance
#: from zero in errors, up to which the excess is as far, and at twice which propagation is linear.
FEWEST_GROUPS, NEAR = 4, 3.0
#: What a report says in lists, which attributes of a model hold as JSON.
LISTS = ("frozen_weights", "duplicate_weights", "held_out")
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


@public
def fit_boltzmann(
    moments: MomentsLike,
    *,
    method: str = "pcd",
    seconds: float | None = None,
    pseudocount: Annotated[float, Gt(0), Lt(1)] | None = None,
    rounding: float = ROUNDING,
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
        ``pcd``, ``bp``, ``plm``, ``exact`` (N ≤ 16), or one of an installed package.
    seconds
        Time for the fit itself, without the check; by default what the method finds enough.
    pseudocount
        For frozen weights: 1 − |m| that they are given; by default 1/(M + 2), or 10⁻³ if M is
        unknown.
    rounding
        By how much each of given m and C may be off, as published ones that were rounded to a few
        digits: what is inconsistent within that is moved to the nearest consistent moments.
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
        Its report holds ``delta``, ``rms_m``, ``rms_C`` (by Monte Carlo), their noise and what they
        are without it, ``mc_converged``, ``rhat_max`` (see `verify_model`); ``delta_method``,
        ``rms_m_method``, ``rms_C_method`` (by the method's own measure) and, of ``pcd``,
        ``noise_method``, the noise of the first; ``delta_independent`` (of J = 0); ``converged``,
        never where the chains of the check have not, and often with a ``reason`` if not;
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
    fit = FIT_METHODS[method].run
    _check_options(fit, method, options)
    if method == "plm":
        source = as_sample(moments)
        if (count := options.pop("count", None)) is not None:
            source = choose_rows(source, count, seed)
        options["source"] = moments = source
    target = as_target(moments, rounding)
    free = _free(target)
    inner = target if free is None else target.restrict(free)
    if method == "plm" and free is not None:
        options["source"] = Columns(options["source"], free)
    began = time.perf_counter()
    found = fit(inner, seconds=seconds, seed=seed, threads=threads, progress=progress, **options)
    found, independent = _no_worse_than_independent(found, inner)
    J, h = _with_all(target, free, found, pseudocount)
    taken = time.perf_counter() - began
    report: dict[str, Any] = {
        "method": method, "converged": found.converged, "iterations": found.iterations,
        **dict(zip(_OWN, _of_all(found.deviation, target), strict=True)), **found.extra,
        "delta_independent": _of_all(independent, target)[0], "moments_change": target.change,
        "frozen": len(target.frozen), "frozen_weights": target.frozen.tolist(),
        "duplicates": len(target.duplicates), "duplicate_weights": _duplicates(target),
        "seed": seed,
    }  # fmt: skip
    if "noise_method" in report:
        report["noise_method"] = _of_all(report["noise_method"], target)[0]
    model = IsingModel(J, h, target.part, weight=target.weight)
    check = xarray.Dataset()
    if verify:
        check = verify_model(model, target, seed=seed + 1, threads=threads)
        report |= {name: check.attrs[name] for name in _CHECKED}
        if not check.attrs["mc_converged"]:
            report["converged"] = False
            more = f"the chains of the check have not (R̂ {check.attrs['rhat_max']:.3g})"
            report["reason"] = "; ".join(filter(None, [report.get("reason"), more]))
    report["fit_seconds"] = taken
    report["seconds"] = time.perf_counter() - began
    history = xarray.Dataset(
        {name: ("step", values) for name, values in found.history.items()},
        attrs={"statistic": "fit history", "method": method},
    )
    attributes = {k: v for k, v in report.items() if isinstance(v, (int, float, str))}
    attributes = {**target.attributes, **attributes, "converged": int(report["converged"])}
    attributes |= {k: json.dumps(report[k]) for k in LISTS if k in report}
    return Fit(IsingModel(J, h, target.part, attributes, target.weight), report, history, check)


@public
def fit_parts(
    moments: MomentsLike,
    parts: Sequence[str],
    *,
    method: str = "pcd",
    rounding: float = ROUNDING,
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
    given = as_sample(moments) if method == "plm" else as_target(moments, rounding)
    chosen = {part: _part(given, part) for part in parts}
    if tasks:
        import dask

        from lsg_ray.results.graph import compute, share

        leaf = dask.delayed(fit_boltzmann, pure=False)
        graph = [leaf(share(some), method=method, **options) for some in chosen.values()]
        return dict(zip(chosen, compute(graph, progress), strict=True))
    found: dict[str, Fit] = {}
    for place, (part, some) in enumerate(chosen.items()):
        tell = progress and _shifted(progress, place, len(chosen))
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
    return lambda done, total: progress(place * total + done, places * total)


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
    largest = float(np.abs(found.J).max())
    extra = {**found.extra, "independent": True}
    if found.converged and largest >= NOTHING:
        extra["reason"] = f"no better than independent weights, with a coupling of {largest:.2g}"
    replaced = found._replace(
        J=np.zeros_like(found.J), h=np.arctanh(target.m), deviation=independent,
        converged=found.converged and largest < NOTHING, extra=extra,
    )  # fmt: skip
    return replaced, independent


def _of_all(
    own: tuple[float, float, float] | None, target: Target
) -> tuple[float, float, float] | tuple[None, None, None]:
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
    "mc_converged", "rhat_max",
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
    target: Target, free: Ints | None, found: Fitted, pseudocount: float | None
) -> tuple[Floats, Floats]:
    if free is None:
        return found.J, found.h
    n = len(target.m)
    if pseudocount is None:
        pseudocount = PSEUDOCOUNT if target.count is None else 1 / (target.count + 2)
    J, h = np.zeros((n, n)), np.arctanh(target.m * (1 - FROZEN))  # of duplicates
    h[target.frozen] = np.arctanh(np.sign(target.m[target.frozen]) * (1 - pseudocount))
    J[np.ix_(free, free)], h[free] = found.J, found.h
    return J, h


@public
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
    model
        Fitted to all weights of the moments.
    target
        The moments.
    chains
        Independent Markov chains, started at random.
    samples
        Draws of all chains; by default 50 times the configurations behind the moments, from 50,000
        to 500,000, so that the noise of the check is far below that of the data.

    Returns
    -------
    xarray.Dataset
        As `sample_model`, with ``m_data`` and ``C_data`` beside, ``repeats`` (weight), which weight
        each repeats (itself if none), and attributes of weights that repeat no other: ``delta``,
        ``rms_m``, ``rms_C`` as measured, with the Monte Carlo noise; ``noise_delta``, ``noise_m``,
        ``noise_C``, its root mean square; ``excess_delta``, ``excess_m``, ``excess_C``, what is
        left without it, √max(rms² − noise², 0), with ``_stderr``; ``mc_converged``.

    Notes
    -----
    rms² − noise² has no bias.  Its error s is from its scatter between groups of chains: it is the
    average over pairs of groups of the products of their deviations.  That of the excess is
    s/(2 excess) where its square is far above s, and s/excess where it is not, so that it is
    as many errors from zero as its square is; √s at most.
    """
    if samples is None:
        samples = MOST_SAMPLES
        if target.count is not None:
            samples = int(np.clip(50 * target.count, FEWEST_SAMPLES, MOST_SAMPLES))
    draws = max(8, samples // chains)
    found = sample_model(
        model, chains=chains, burn_in=200, draws=draws, thin=2, seed=seed, threads=threads,
        groups=True,
    )  # fmt: skip
    kept = np.setdiff1d(np.arange(len(target.m)), target.duplicates)
    both = np.ix_(kept, kept)
    inner = target.restrict(kept)
    rms = deviation(found["m"].values[kept], found["C"].values[both], inner)
    off = ~np.eye(len(kept), dtype=bool)
    noise_m = float(np.sqrt(np.mean(found["m_stderr"].values[kept] ** 2)))
    noise_C = float(np.sqrt(np.mean(found["C_stderr"].values[both][off] ** 2)))
    noises = (float(np.hypot(noise_m, noise_C)), noise_m, noise_C)
    errors = _errors_of_squares(found["m_group"].values, found["C_group"].values, kept, inner)
    attributes: dict[str, float] = {}
    for name, value, noise, error in zip(("delta", "m", "C"), rms, noises, errors, strict=True):
        excess = _excess(value**2 - noise**2, error)
        attributes |= {
            "delta" if name == "delta" else f"rms_{name}": value, f"noise_{name}": noise,
            f"excess_{name}": excess[0], f"excess_{name}_stderr": excess[1],
        }  # fmt: skip
    found = found.assign(
        m_data=("weight", target.m), C_data=(("weight", "weight_"), target.C),
        repeats=("weight", target.repeats),
    ).drop_vars(["energy", "m_group", "C_group"])  # fmt: skip
    return found.assign_attrs(**attributes, mc_converged=found.attrs["converged"])


def _errors_of_squares(
    m: Floats, C: Floats, kept: Ints, target: Target
) -> tuple[float, float, float]:
    """Return the standard errors of Δ² and of the mean squares for m and C without noise, by group.

    With P_gh the average of products of the deviations of two groups, each mean square is that of
    P_gh over g ≠ h, and P_gh = μ + a_g + a_h + e_gh: its variance is 4σ_a²/G + 2σ_e²/(G(G − 1)).
    """
    n = len(kept)
    number = len(m)
    if number < FEWEST_GROUPS:
        return np.nan, np.nan, np.nan
    dm = m[:, kept] - target.m
    dC = (C[:, kept][:, :, kept] - target.C).reshape(number, -1)
    of_m, of_C = dm @ dm.T / n, dC @ dC.T / (n * (n - 1))
    off = 1 - np.eye(number)

    def error(products: Floats) -> float:
        products = products * off
        mean = products.sum() / (number * (number - 1))
        own = (products.sum(axis=1) / (number - 1) - mean) * (number - 1) / (number - 2)
        rest = (products - mean - own[:, None] - own) * off
        pair = (rest**2).sum() / (number * (number - 3))  # each pair is there twice
        single = (own**2).sum() / (number - 1) - pair / (number - 2)
        return float(np.sqrt(4 * max(single, 0.0) / number + 2 * pair / (number * (number - 1))))

    return error(of_m + of_C), error(of_m), error(of_C)


def _excess(square: float, error: float) -> tuple[float, float]:
    """Return the root of a mean square without noise, and its standard error."""
    excess = float(np.sqrt(max(square, 0.0)))
    if not error > 0 or square <= error:
        return excess, float(np.sqrt(error))
    far = float(np.clip(square / error / NEAR - 1, 0, 1))
    return excess, error / (excess * (1 + far))
