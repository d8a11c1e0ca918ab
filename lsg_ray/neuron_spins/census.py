"""Census of TAP solutions of networks: trained, untrained, and with shuffled weights.

Many solutions are a glass; one, up to the flip of all units, is an ordered network.  What is
counted, and from which starts: `lsg_ray.neuron_spins.tap`.  Temperatures are relative to the T_SG
of each network, so that a scale of all its weights changes nothing.

The shares of starts that converged, and of those that are stable in Plefka's sense, belong to every
count: in a glass most starts end in solutions that are not, and are not counted.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Unpack

import numpy as np
import xarray

from lsg_ray.arrays import public
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.neuron_spins.bonds import glass_temperature, top_eigenvalues
from lsg_ray.neuron_spins.networks import (
    Networks,
    Source,
    checked_temperatures,
    clamped_inputs,
    open_networks,
)
from lsg_ray.neuron_spins.tap import (
    START,
    Fields,
    clamp_network,
    free_energy,
    is_zero,
    merge,
    plefka,
    quench,
    solve,
)
from lsg_ray.results.checkpoints import run_tasks
from lsg_ray.results.saving import with_names
from lsg_ray.rng import Stream, generator
from lsg_ray.stage import SOLUTIONS, Figure, Stage
from lsg_ray.statistics.estimates import averaged
from lsg_ray.typing import (
    Count,
    EnsembleLike,
    Floats,
    Integers,
    JsonObject,
    Natural,
    Numbers,
    Positive,
    SeededTasks,
)

#: Addresses in `Stream.TAP` of starts, and in `Stream.GLASS` of nulls.
_STARTS, _NULLS = 20, 21
#: What is compared.
NETWORKS = ("trained", "untrained", "shuffled")
#: Default temperatures, in units of T_SG.
TEMPERATURES = (0.5, 0.65)
MEASURES = {
    "converged": "share of starts that converged",
    "stable": "share of starts at a stable solution that is not zero",
    "distinct": "distinct stable solutions",
    "best": "share of those starts in the solution reached most often",
    "overlap": "mean m² of that solution",
    "alignment": "|cos| of that solution with the first eigenvector of J",
    "magnetization": "mean m of that solution",
    "free_energy": "lowest F/N of stable solutions, in units of T_SG",
    "free_energy_range": "their range of F/N, in units of T_SG",
    "plefka": "x_P of the solution reached most often",
    "zero": "share of starts that ended at m = 0",
}


class Census(NamedTuple):
    """Measures of one network of each kind: (kinds, temperatures, `MEASURES`), and layer overlaps.

    glass (kinds,): T_SG; layers (kinds, temperatures, L + 1): mean m² by layer of the best solution
    """

    measures: Floats
    layers: Floats
    glass: Floats


@public
def neuron_tap(
    solutions: EnsembleLike,
    *,
    configurations: Integers | None = None,
    temperatures: Numbers = TEMPERATURES,
    starts: Count = 40,
    max_iterations: Count = 1500,
    tolerance: Positive = 1e-6,
    clamp: Natural | None = None,
    **run: Unpack[SeededTasks],
) -> xarray.Dataset:
    """Count the TAP solutions of networks: trained, untrained, and with shuffled weights.

    Parameters
    ----------
    solutions
        Ensemble of fully connected networks, a view of one, or its URL.  Untrained are the weights
        at step 0, if there is such a snapshot, else normal weights of the same mean squares.
    configurations
        Number of configurations, from the first, or list of the configurations to measure; without
        it, the first 8 at most.
    temperatures
        Temperatures, in units of the T_SG of each network.
    starts
        Number of starts of each network and temperature: quenches of random spins.
    max_iterations
        Number of iterations of a start, at most; each goes over all layers.
    tolerance
        Largest move of an m_i in an iteration at which a start has converged.
    clamp
        Number of the test example that inputs are held at: units of the first layer become fields
        on the second; without it they are spins.
    seed
        Seed of starts and of null networks.
    checkpoints
        Path of a folder for finished networks, from which an interrupted call resumes.
    progress
        Called with (networks done, total).

    Returns
    -------
    xarray.Dataset
        Over configuration, network (trained, untrained, shuffled) and temperature: ``converged``,
        ``stable`` (Plefka), ``distinct``, ``best``, ``overlap``, ``alignment``, ``magnetization``,
        ``free_energy``, ``free_energy_range``, ``plefka``, ``zero`` (at m = 0), and
        ``layer_overlap`` (…, layer); ``NAME_mean`` and ``NAME_stderr`` over configurations.

    Raises
    ------
    InputError
        As `lsg_ray.melting`; or a test example that is not there.

    Notes
    -----
    8 flop a weight, start and iteration: some 10 s a network 784-256-128-10 and its nulls, of
    16 starts, on one core.
    """
    ratios = checked_temperatures(temperatures)
    chosen = open_networks(solutions, configurations, default=8, along=True)
    clamped = None if clamp is None else clamped_inputs(chosen.ensemble, clamp)
    start = chosen.source.times[0] if chosen.steps[0] == 0 and len(chosen.steps) > 1 else None
    source = chosen.source._replace(times=chosen.source.times[-1:])
    fixed = (ratios, starts, max_iterations, tolerance, clamped, run["seed"])
    arguments = [(int(number), start, *fixed) for number in chosen.numbers]
    done = run_tasks(_count, source, arguments, Census, run["checkpoints"], run["progress"])
    census = Census(*map(np.stack, zip(*done, strict=True)))
    result = _dataset(chosen, census, ratios)
    return result.assign_attrs(
        chosen.provenance(
            statistic="neuron-tap",
            starts=starts,
            seed=run["seed"],
            untrained="normal weights" if start is None else "step 0",
            clamped=-1 if clamp is None else clamp,
            converged=float(result["converged"].mean()),
        )
    )


def _count(
    source: Source,
    number: int,
    start: int | None,
    ratios: Floats,
    starts: int,
    max_iterations: int,
    tolerance: float,
    clamped: Floats | None,
    seed: int,
) -> Census:
    """Count solutions of one network and of its nulls: the body of a task."""
    ensemble = open_ensemble(source.url)
    trained = source.bonds(number, source.times[-1], ensemble)
    rng = generator(seed, Stream.GLASS, _NULLS, number)
    untrained = trained.gaussian(rng) if start is None else source.bonds(number, start, ensemble)
    kinds = (trained, untrained, trained.shuffled(rng))
    measures = np.full((len(kinds), len(ratios), len(MEASURES)), np.nan)
    layers = np.full((len(kinds), len(ratios), len(trained.widths)), np.nan)
    glass = np.zeros(len(kinds))
    for kind, whole in enumerate(kinds):
        network, offset = clamp_network(whole, clamped)
        scale = glass_temperature(network.bonds)
        glass[kind] = scale
        if not scale > 0:
            continue
        first = top_eigenvalues(network.bonds, 1)[1][:, 0]
        for index, ratio in enumerate(ratios):
            # Trained and untrained start from the same spins: only weights differ.
            rng = generator(seed, Stream.TAP, _STARTS, number, index)
            spins = rng.choice([-1.0, 1.0], (network.bonds.n_units, starts))
            T = float(ratio * scale)
            solved = solve(
                network,
                START * quench(network, spins),
                T,
                tolerance=tolerance,
                max_iterations=max_iterations,
            )
            measures[kind, index], best = _measures(network, solved.m, solved.converged, T, first)
            measures[kind, index, 7:9] /= scale
            for layer, where in enumerate(network.bonds.layers):
                layers[kind, index, layer + offset] = np.mean(best[where] ** 2)
    return Census(measures, layers, glass)


def _measures(
    network: Fields, m: Floats, converged: np.ndarray, T: float, first: Floats
) -> tuple[Floats, Floats]:
    """Return `MEASURES` of the outcomes (N, starts) of all starts, and the best solution (N,)."""
    row = np.full(len(MEASURES), np.nan)
    good = np.flatnonzero(converged & ~is_zero(m))
    numbers = plefka(network, m[:, good], T) if len(good) else np.empty(0)
    stable = good[numbers < 1]
    row[:3] = converged.mean(), len(stable) / m.shape[1], 0
    row[-1] = (converged & is_zero(m)).mean()
    if not len(stable):
        return row, np.full(len(m), np.nan)
    states = merge(m[:, stable], flip=not network.h.any())
    energies = free_energy(network, states.m, T)
    best = states.m[:, 0]
    cosine = abs(float(first @ best)) / np.linalg.norm(best)
    row[2:-1] = (
        len(states.counts),
        states.counts[0] / len(stable),
        np.mean(best**2),
        cosine,
        best.mean(),
        energies.min(),
        np.ptp(energies),
        numbers[numbers < 1][states.first[0]],
    )
    return row, best


def _dataset(chosen: Networks, census: Census, ratios: Floats) -> xarray.Dataset:
    over = ("configuration", "network", "temperature")
    variables: dict[str, Any] = {}
    for index, (name, text) in enumerate(MEASURES.items()):
        values = census.measures[..., index]
        mean, error = averaged(values)
        variables[name] = (over, values, {"long_name": text})
        variables[f"{name}_mean"] = (over[1:], mean, {"long_name": text})
        variables[f"{name}_stderr"] = (over[1:], error)
    variables["layer_overlap"] = ((*over, "layer"), census.layers)
    variables["glass_temperature"] = (over[:2], census.glass, {"long_name": "T_SG"})
    coordinates = {
        "configuration": chosen.numbers,
        "network": np.array(NETWORKS),
        "temperature": ("temperature", ratios, {"long_name": "T/T_SG"}),
    }
    return xarray.Dataset(variables, coordinates)


def _shown(result: xarray.Dataset) -> JsonObject:
    result = with_names(result)
    shown: JsonObject = {"networks": result.sizes["configuration"]}
    for kind in NETWORKS:
        for T in result["temperature"].values:
            row = result.sel(network=kind, temperature=T)
            shown[f"{kind}, T/T_SG = {T:g}"] = (
                f"converged {float(row['converged_mean']):.2f}, distinct "
                f"{float(row['distinct_mean']):.3g} ± {float(row['distinct_stderr']):.2g}, best "
                f"{float(row['best_mean']):.2f}"
            )
    return shown | {"converged": result.attrs["converged"]}


STAGE = Stage(
    "neuron-tap",
    neuron_tap,
    reads={"solutions": SOLUTIONS},
    summary=_shown,
    unit="networks",
    figures=[
        Figure(
            "lsg_ray.report.figures.neurons:census_figure",
            "TAP solutions of neurons",
            "census_caption",
        )
    ],
)
