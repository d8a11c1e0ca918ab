"""Melting temperature of networks along training: from a glass to hidden order.

Without structure the units freeze into a glass at T_SG; training adds modes that order at
temperatures above it, the highest at T_1 (`lsg_ray.neuron_spins.bonds`).  T_c = T_1 where there is
one, else T_SG.  Each is computed without a scan of temperatures:

- a root between T_SG and the cut T_SG (1 + N^{−1/3}) is one that finite networks have by chance;
  how often there are roots above the cut too is measured on networks whose weights are shuffled
  within their layers;
- the TAP equations take couplings as small; the temperature by the Bethe Hessian does not, and
  should differ by no more than `DEVIATION`.

Source: arXiv:2408.06421, where T_c is the first zero of the least eigenvalue of I + β²D − βJ: the
same number as T_1.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Unpack

import numpy as np
import xarray

from lsg_ray.arrays import public
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.neuron_spins.bonds import (
    Bonds,
    bethe_temperature,
    cut_of,
    glass_temperature,
    ordered_modes,
    top_eigenvalues,
)
from lsg_ray.neuron_spins.networks import Networks, Source, open_networks
from lsg_ray.neuron_spins.power_law import fit_power_law, log_slope
from lsg_ray.neuron_spins.theory import untrained_melting_temperature
from lsg_ray.results.checkpoints import run_tasks
from lsg_ray.rng import Stream, generator
from lsg_ray.stage import SOLUTIONS, Figure, Stage
from lsg_ray.statistics.estimates import averaged
from lsg_ray.typing import (
    Count,
    EnsembleLike,
    Floats,
    Integers,
    Ints,
    JsonObject,
    Natural,
    SeededTasks,
)

#: Address of shuffles in `Stream.GLASS`.
SHUFFLES = 20
#: Relative deviation of the Bethe temperature from T_1 that is warned of.
DEVIATION = 0.05
#: Share of shuffled networks with a mode above the cut, up to which modes are significant.
FALSE_SHARE = 0.05
CRITERION = (
    "hidden order: all networks have a mode above the cut at the last time, and at most "
    f"{FALSE_SHARE:.0%} of at least 20 shuffled ones do; glass: no network has; else, or if all "
    "weights of a network are zero, undetermined"
)


class Melted(NamedTuple):
    """One network, over times: temperatures (T,), NaN where there is no such mode.

    modes (T, ranks): roots above the cut, descending; eigenvalues (T, ranks) of J; shares
    (T, L + 1): of the first mode, by layer; largest (T,): |J|/T_c; shuffled (2, S): largest root
    over T_SG, and number of modes, of shuffled networks at the last time.
    """

    glass: Floats
    modes: Floats
    counts: Ints
    bethe: Floats
    theory: Floats
    eigenvalues: Floats
    shares: Floats
    largest: Floats
    converged: Floats
    shuffled: Floats


@public
def melting(
    solutions: EnsembleLike,
    *,
    configurations: Integers | None = None,
    ranks: Count = 12,
    shuffles: Natural = 20,
    **run: Unpack[SeededTasks],
) -> xarray.Dataset:
    """Compute glass and melting temperatures of networks, at all snapshots along training.

    Parameters
    ----------
    solutions
        Ensemble of fully connected networks, a view of one, or its URL; with snapshots all of them
        are taken, but for a view of one.
    configurations
        Number of configurations, from the first, or list of the configurations to measure; without
        it, all.
    ranks
        Number of modes, and of eigenvalues of the bond matrix, that are stored.
    shuffles
        Number of networks with weights shuffled within layers, of each network at the last time.
    seed
        Seed of the shuffles.
    checkpoints
        Path of a folder for finished networks, from which an interrupted call resumes.
    progress
        Called with (networks done, total).

    Returns
    -------
    xarray.Dataset
        Over configuration and snapshot: ``glass_temperature`` T_SG, ``melting_temperature`` T_1,
        ``critical_temperature`` T_c, ``bethe_temperature``, ``untrained_temperature`` (formula at
        the variances of the layers), ``ordered_modes``, ``converged``, ``accuracy``;
        ``mode_temperature``, ``eigenvalue`` (…, rank), ``mode_share`` (…, layer); over
        configuration the fit T_c = a + c t^α, ``fit_a``, ``fit_c``, ``fit_exponent``, and slopes
        ``slope_T1`` of ln T_1 and ``slope_excess`` of ln(T_1 − T_SG(0)) against ln t, where t are
        steps of the optimizer; ``shuffled_ratio`` and ``shuffled_modes`` (configuration, shuffle).
        ``NAME_mean`` and ``NAME_stderr`` over networks.  Attributes: ``verdict`` and ``criterion``.

    Raises
    ------
    InputError
        The networks are no chain of fully connected layers, or have weights that are not finite.

    Notes
    -----
    0.1 to 1 s a network and time for 784-256-128-10 on one core, and as much for each shuffle;
    memory: the weights of one network in float64, and some 60 vectors.
    """
    chosen = open_networks(solutions, configurations, along=True)
    arguments = [(int(number), ranks, shuffles, run["seed"]) for number in chosen.numbers]
    done = run_tasks(_melt, chosen.source, arguments, Melted, run["checkpoints"], run["progress"])
    melted = Melted(*map(np.stack, zip(*done, strict=True)))
    result = _dataset(chosen, melted)
    return result.assign_attrs(
        chosen.provenance(
            statistic="melting", seed=run["seed"], **_verdict(result), **_fits(result)
        )
    )


def _melt(source: Source, number: int, ranks: int, shuffles: int, seed: int) -> Melted:
    """Measure one network at all times: the body of a task."""
    ensemble, rows = open_ensemble(source.url), []
    for time in source.times:
        bonds = source.bonds(number, time, ensemble)
        rows.append(_measure(bonds, ranks))
    columns = [np.stack(column) for column in zip(*rows, strict=True)]
    ratios = np.full((2, shuffles), np.nan)
    for index in range(shuffles):
        rng = generator(seed, Stream.GLASS, SHUFFLES, number, index)
        ratios[:, index] = _shuffled(bonds.shuffled(rng))
    return Melted(*(*columns, ratios))


def _measure(bonds: Bonds, ranks: int) -> tuple[Any, ...]:
    glass = glass_temperature(bonds)
    modes = ordered_modes(bonds, cut_of(glass, bonds.n_units))
    padded = np.full(ranks, np.nan)
    shown = modes.temperatures[:ranks]
    padded[: len(shown)] = shown
    shares = np.full(len(bonds.widths), np.nan)
    bethe, first = np.nan, glass
    if len(modes.temperatures):
        first = float(modes.temperatures[0])
        shares = np.array([np.sum(modes.vectors[layer, 0] ** 2) for layer in bonds.layers])
        bethe = bethe_temperature(bonds, first)
    eigenvalues = np.full(ranks, np.nan)
    found = top_eigenvalues(bonds, min(ranks, bonds.n_units))[0]
    eigenvalues[: len(found)] = found
    largest = max(float(np.abs(w).max()) for w in bonds.couplings) / first if first else np.nan
    theory = untrained_melting_temperature(bonds.widths, bonds.variances)
    return (
        glass,
        padded,
        len(modes.temperatures),
        bethe,
        theory,
        eigenvalues,
        shares,
        largest,
        float(modes.converged),
    )


def _shuffled(bonds: Bonds) -> tuple[float, int]:
    """Return the largest root over T_SG, NaN where there is none above it, and modes of a null."""
    glass = glass_temperature(bonds)
    roots = ordered_modes(bonds, glass * (1 + 1e-6)).temperatures
    ratio = float(roots[0] / glass) if len(roots) else float("nan")
    return ratio, int((roots > cut_of(glass, bonds.n_units)).sum())


def _dataset(chosen: Networks, melted: Melted) -> xarray.Dataset:
    over, kelvin = ("configuration", "snapshot"), {"units": "coupling"}
    first = melted.modes[..., 0]
    steps = chosen.steps
    variables: dict[str, Any] = {
        "glass_temperature": (over, melted.glass, {"long_name": "T_SG", **kelvin}),
        "melting_temperature": (over, first, {"long_name": "T_1", **kelvin}),
        "critical_temperature": (
            over,
            np.where(np.isfinite(first), first, melted.glass),
            {"long_name": "T_c", **kelvin},
        ),
        "bethe_temperature": (over, melted.bethe, {"long_name": "T of Bethe Hessian", **kelvin}),
        "untrained_temperature": (over, melted.theory, {"long_name": "T_c, formula", **kelvin}),
        "ordered_modes": (over, melted.counts.astype(np.float64)),
        "largest_coupling": (over, melted.largest, {"long_name": "max |J|/T_c"}),
        "accuracy": (over, chosen.measured("accuracy")),
    }
    means = {}
    for name, (_, values, *about) in variables.items():
        mean, error = averaged(values)
        means[f"{name}_mean"] = ("snapshot", mean, *about)
        means[f"{name}_stderr"] = ("snapshot", error, *about)
    return xarray.Dataset(
        {
            **variables,
            **means,
            "converged": (over, melted.converged > 0),
            "mode_temperature": ((*over, "rank"), melted.modes, kelvin),
            "eigenvalue": ((*over, "rank"), melted.eigenvalues, {"long_name": "λ of J"}),
            "mode_share": ((*over, "layer"), melted.shares),
            "shuffled_ratio": (("configuration", "shuffle"), melted.shuffled[:, 0]),
            "shuffled_modes": (("configuration", "shuffle"), melted.shuffled[:, 1]),
            **_curves(steps, variables),
        },
        {
            "configuration": chosen.numbers,
            "step": ("snapshot", steps, {"long_name": "steps of the optimizer"}),
        },
    )


def _curves(steps: Floats, variables: dict[str, Any]) -> dict[str, Any]:
    """Return fits and slopes of each network along training."""
    critical, first = variables["critical_temperature"][1], variables["melting_temperature"][1]
    fits = [fit_power_law(steps, row) for row in critical]
    start = variables["glass_temperature"][1][:, :1]
    excess = first - start if len(steps) and steps[0] == 0 else np.full_like(first, np.nan)
    return {
        "fit_a": ("configuration", [fit.a for fit in fits]),
        "fit_c": ("configuration", [fit.c for fit in fits]),
        "fit_exponent": ("configuration", [fit.exponent for fit in fits]),
        "fit_residual": ("configuration", [fit.residual for fit in fits]),
        "fit_determined": ("configuration", [fit.determined for fit in fits]),
        "slope_T1": ("configuration", [log_slope(steps, row) for row in first]),
        "slope_excess": ("configuration", [log_slope(steps, row) for row in excess]),
    }


def _verdict(result: xarray.Dataset) -> JsonObject:
    """Return the verdict at the last time, and what it rests on."""
    counts = result["ordered_modes"].values[:, -1]
    false = result["shuffled_modes"].values
    share = float((false > 0).mean()) if false.size else float("nan")
    verdict, glass = "undetermined", result["glass_temperature"].values[:, -1]
    if not (glass > 0).all():  # no couplings: units are free at all temperatures
        pass
    elif not counts.any():
        verdict = "glass"
    elif counts.all() and false.size >= 20 and share <= FALSE_SHARE:
        verdict = "hidden order"
    with np.errstate(invalid="ignore"):
        ratio = result["bethe_temperature"].values / result["melting_temperature"].values
    deviation = float(np.nanmax(np.abs(ratio - 1))) if np.isfinite(ratio).any() else float("nan")
    about: JsonObject = {
        "verdict": verdict,
        "criterion": CRITERION,
        "shuffles": int(false.size),
        "false_share": share,
        "bethe_deviation": deviation,
        "converged": float(result["converged"].mean()),
    }
    if deviation > DEVIATION:
        about["warning"] = (
            f"the Bethe Hessian melts at temperatures up to {deviation:.0%} away from T_1: "
            "couplings are not small, and T_1 is approximate"
        )
    for name in ("glass_temperature", "melting_temperature", "ordered_modes"):
        about[f"{name}_mean"] = float(result[f"{name}_mean"][-1])
        about[f"{name}_stderr"] = float(result[f"{name}_stderr"][-1])
    return about


def _fits(result: xarray.Dataset) -> JsonObject:
    """Return exponents with errors over networks."""
    determined = result["fit_determined"].values
    rows = {
        "exponent": np.where(determined, result["fit_exponent"].values, np.nan),
        "slope_T1": result["slope_T1"].values,
        "slope_excess": result["slope_excess"].values,
    }
    about: JsonObject = {"exponent_networks": int(determined.sum())}
    for name, values in rows.items():
        mean, error = averaged(values)
        about |= {f"{name}_mean": float(mean), f"{name}_stderr": float(error)}
    return about


def _shown(result: xarray.Dataset) -> JsonObject:
    about = result.attrs
    names = {
        "T_SG": "glass_temperature",
        "T_1": "melting_temperature",
        "ordered_modes": "ordered_modes",
        "exponent": "exponent",
        "slope_T1": "slope_T1",
        "slope_excess": "slope_excess",
    }
    shown: JsonObject = {"networks": result.sizes["configuration"], "verdict": about["verdict"]}
    for name, key in names.items():
        if np.isfinite(about[f"{key}_mean"]):
            shown[name] = f"{about[f'{key}_mean']:.4g} ± {about[f'{key}_stderr']:.2g}"
    kept = ("shuffles", "false_share", "bethe_deviation", "converged", "warning", "note")
    return shown | {name: about[name] for name in kept if name in about}


STAGE = Stage(
    "melting",
    melting,
    reads={"solutions": SOLUTIONS},
    summary=_shown,
    unit="networks",
    figures=[
        Figure(
            "lsg_ray.report.figures.neurons:melting_figure",
            "Melting of neurons as spins",
            "melting_caption",
        )
    ],
)
