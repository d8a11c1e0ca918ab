"""Equilibrium of a network's units: overlaps by layer, P(q), and the order parameter, with nulls.

Ladders of chains (`lsg_ray.neuron_spins.heat_bath`) are independent: overlaps q = (1/N) Σ σ_i σ'_i
are of pairs of ladders at a temperature.  p = v·σ is the projection on the first eigenvector of J,
and g = ½ (3 − ⟨p⁴⟩/⟨p²⟩²) its Binder parameter, 0 without order and 1 with.  Half of the ladders
start at random and half aligned with v; where their energies differ, chains are not in equilibrium.

A distribution of overlaps at one size tells ordered modes from none; whether it has several peaks
in the limit of large networks, as of broken replica symmetry, it does not tell.

Source: arXiv:2408.06421; the nulls are weights shuffled within layers, and normal weights.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple, Unpack

import numpy as np
import xarray
from annotated_types import Ge, Le

from lsg_ray.arrays import brief, public
from lsg_ray.errors import InputError
from lsg_ray.neuron_spins.bonds import glass_temperature, top_eigenvalues
from lsg_ray.neuron_spins.heat_bath import Ladders
from lsg_ray.neuron_spins.networks import (
    Networks,
    Source,
    checked_temperatures,
    clamped_inputs,
    open_networks,
)
from lsg_ray.neuron_spins.tap import Fields, clamp_network
from lsg_ray.results.checkpoints import run_tasks
from lsg_ray.results.saving import with_names
from lsg_ray.rng import Stream, generator
from lsg_ray.stage import SOLUTIONS, Figure, Stage
from lsg_ray.statistics.estimates import averaged, stderr
from lsg_ray.typing import (
    MAX_DRAWS,
    Count,
    EnsembleLike,
    Floats,
    Integers,
    JsonObject,
    Natural,
    Numbers,
    SeededTasks,
    Several,
    Singles,
)

#: Addresses in `Stream.MONTE_CARLO` of chains, and in `Stream.GLASS` of nulls.
_CHAINS, _NULLS = 20, 22
NETWORKS = ("trained", "shuffled", "normal")
#: Default temperatures, in units of T_SG: each 8 % above the one before.
TEMPERATURES = tuple(round(0.7 * 1.08**k, 3) for k in range(18))
#: Standard errors by which ladders of the two kinds of starts may differ.
_AGREE = 3.0
CRITERION = (
    "converged: energies of ladders from random and from aligned starts differ by at most "
    f"{_AGREE:g} standard errors; P(q) at one size is no evidence for or against broken replica "
    "symmetry"
)


class Equilibrium(NamedTuple):
    """One network of each kind, over temperatures.

    scalars (kinds, temperatures, 4, 2): energy per unit, ⟨q²⟩, Binder parameter and ⟨p²⟩/N with
    their errors over ladders; layers (kinds, temperatures, L + 1): root of ⟨q²⟩ by layer; histogram
    (kinds, temperatures, bins) of q; converged, exchanged (kinds, temperatures).
    """

    scalars: Floats
    layers: Floats
    histogram: Floats
    converged: Floats
    exchanged: Floats
    glass: Floats


@public
def neuron_mc(
    solutions: EnsembleLike,
    *,
    configurations: Integers | None = None,
    temperatures: Numbers = TEMPERATURES,
    ladders: Several = 8,
    burn_in: Count = 500,
    draws: Annotated[int, Ge(2), Le(MAX_DRAWS)] = 500,
    thin: Count = 2,
    bins: Several = 41,
    clamp: Natural | None = None,
    **run: Unpack[SeededTasks],
) -> xarray.Dataset:
    """Sample the units of networks, and of their nulls, by heat bath and parallel tempering.

    Parameters
    ----------
    solutions
        Ensemble of fully connected networks, a view of one, or its URL.
    configurations
        Number of configurations, from the first, or list of the configurations to measure; without
        it, the first 4 at most.
    temperatures
        Temperatures, ascending, in units of the T_SG of each network.
    ladders
        Number of independent ladders, an even number from 4 on.
    burn_in
        Number of sweeps before the first draw.
    draws
        Number of draws of each chain.
    thin
        Number of sweeps between draws.
    bins
        Number of bins of P(q).
    clamp
        Number of the test example that inputs are held at: units of the first layer become fields
        on the second; without it they are spins.
    seed
        Seed of chains and of null networks.
    checkpoints
        Path of a folder for finished networks, from which an interrupted call resumes.
    progress
        Called with (networks done, total).

    Returns
    -------
    xarray.Dataset
        Over configuration, network (trained, shuffled, normal) and temperature: ``energy`` per unit
        in units of T_SG, ``overlap_square`` ⟨q²⟩, ``binder`` of p, ``projection`` ⟨p²⟩/N, each with
        ``_stderr`` over ladders; ``layer_overlap`` √⟨q_k²⟩ (…, layer), ``probability`` (…, bin) the
        density of q, ``converged``, ``exchanged``.  ``NAME_mean`` over configurations.

    Raises
    ------
    InputError
        As `lsg_ray.melting`; temperatures that do not ascend; an odd number of ladders; a test
        example that is not there.

    Notes
    -----
    A sweep takes 4 flop a weight and chain, and one random number a unit and chain.
    """
    T = checked_temperatures(temperatures)
    if (np.diff(T) <= 0).any():
        raise InputError(
            f"temperatures {brief(temperatures)} given; positive numbers are needed, ascending"
        )
    if ladders < 4 or ladders % 2:
        raise InputError(f"ladders {ladders} given; an even number from 4 on is needed")
    chosen = open_networks(solutions, configurations, default=4)
    clamped = None if clamp is None else clamped_inputs(chosen.ensemble, clamp)
    fixed = (T, ladders, burn_in, draws, thin, bins, clamped, run["seed"])
    arguments = [(int(number), *fixed) for number in chosen.numbers]
    done = run_tasks(
        _sample, chosen.source, arguments, Equilibrium, run["checkpoints"], run["progress"]
    )
    result = _dataset(chosen, Equilibrium(*map(np.stack, zip(*done, strict=True))), T, bins)
    return result.assign_attrs(
        chosen.provenance(
            statistic="neuron-mc",
            criterion=CRITERION,
            ladders=ladders,
            burn_in=burn_in,
            draws=draws,
            thin=thin,
            seed=run["seed"],
            clamped=-1 if clamp is None else clamp,
            converged=float(result["converged"].mean()),
            least_exchanged=float(np.nan_to_num(result["exchanged"], nan=1.0).min()),
        )
    )


def _sample(
    source: Source,
    number: int,
    T: Floats,
    ladders: int,
    burn_in: int,
    draws: int,
    thin: int,
    bins: int,
    clamped: Floats | None,
    seed: int,
) -> Equilibrium:
    """Sample one network and its nulls: the body of a task."""
    trained = source.bonds(number, source.times[-1])
    rng = generator(seed, Stream.GLASS, _NULLS, number)
    rows, glasses = [], []
    for kind, whole in enumerate((trained, trained.shuffled(rng), trained.gaussian(rng))):
        network, offset = clamp_network(whole, clamped)
        glass = glass_temperature(network.bonds)
        if not glass > 0:
            raise InputError(
                f"{source.url}: configuration {number} has no weight beside zero, and so no "
                "temperature; choose others (--configurations)"
            )
        chains = generator(seed, Stream.MONTE_CARLO, _CHAINS, number, kind)
        row = sample_network(network, glass * T, ladders, burn_in, draws, thin, bins, chains)
        row[0][:, 0] /= glass
        missing = np.full((len(T), offset), np.nan)
        rows.append((row[0], np.concatenate([missing, row[1]], axis=1), *row[2:]))
        glasses.append(glass)
    columns = (np.stack(column) for column in zip(*rows, strict=True))
    return Equilibrium(*(*columns, np.array(glasses)))


def sample_network(
    network: Fields,
    T: Floats,
    ladders: int,
    burn_in: int,
    draws: int,
    thin: int,
    bins: int,
    rng: np.random.Generator,
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Sample one network at temperatures T; what is returned is that of `Equilibrium`."""
    bonds, n = network.bonds, network.bonds.n_units
    v = top_eigenvalues(bonds, 1)[1][:, 0]
    start = rng.choice([-1.0, 1.0], (n, ladders, len(T)))
    start[:, 1::2] = np.where(v >= 0, 1.0, -1.0)[:, None, None]
    chains = Ladders(bonds, network.h, 1 / T, start, rng)
    for _ in range(burn_in):
        chains.sweep()
    one, other = np.triu_indices(ladders, 1)
    sizes = np.array(bonds.widths, np.float64)
    energies, p = np.empty((2, draws, ladders, len(T)))
    squares = np.zeros((len(sizes), len(one), len(T)))
    total = np.zeros((len(one), len(T)))
    histogram = np.zeros((len(T), bins))
    for draw in range(draws):
        for _ in range(thin):
            chains.sweep()
        energies[draw] = chains.energies / n
        p[draw] = np.tensordot(v.astype(np.float32), chains.spins, 1)
        overlaps = np.stack(
            [_pairs(chains.spins[layer])[:, one, other].T for layer in bonds.layers]
        )
        squares += (overlaps / sizes[:, None, None]) ** 2
        q = overlaps.sum(axis=0) / n
        total += q**2
        cells = np.clip(((q + 1) / 2 * bins).astype(int), 0, bins - 1)
        for index in range(len(T)):
            histogram[index] += np.bincount(cells[:, index], minlength=bins)
    disjoint = (one % 2 == 0) & (other == one + 1)  # pairs without a common ladder
    binder, spread = _binder(p)
    means = np.stack([
        [energies.mean(axis=(0, 1)), (total / draws).mean(axis=0), binder,
         (p**2).mean(axis=(0, 1)) / n],
        [stderr(energies.mean(axis=0), 0), stderr((total / draws)[disjoint], 0), spread,
         stderr((p**2).mean(axis=0), 0) / n],
    ])  # fmt: skip
    exchanged = np.append(chains.accepted / np.maximum(chains.offered, 1), np.nan)
    return (
        means.transpose(2, 1, 0),
        np.sqrt((squares / draws).mean(axis=1)).T,
        histogram / (len(one) * draws) * bins / 2,
        _agree(energies.mean(axis=0)),
        exchanged,
    )


def _pairs(spins: Singles) -> Floats:
    """Return Σ σσ' (temperatures, ladders, ladders) of spins (units, ladders, temperatures)."""
    s = spins.transpose(2, 1, 0)
    products: Floats = (s @ s.transpose(0, 2, 1)).astype(np.float64)
    return products


def _binder(p: Floats) -> tuple[Floats, Floats]:
    """Return g (temperatures,) of p (draws, ladders, temperatures), and its jackknife error."""
    second, fourth = (p**2).mean(axis=0), (p**4).mean(axis=0)
    count = len(second)

    def parameter(a: Floats, b: Floats) -> Floats:
        return 0.5 * (3 - b / a**2)

    left = parameter(
        (second.sum(axis=0) - second) / (count - 1), (fourth.sum(axis=0) - fourth) / (count - 1)
    )
    error = np.sqrt((count - 1) * left.var(axis=0))
    return parameter(second.mean(axis=0), fourth.mean(axis=0)), error


def _agree(energies: Floats) -> Floats:
    """Return whether ladders (ladders, temperatures) of both starts agree."""
    random, aligned = energies[::2], energies[1::2]
    error = np.hypot(stderr(random, 0), stderr(aligned, 0))
    agree: Floats = (np.abs(random.mean(axis=0) - aligned.mean(axis=0)) <= _AGREE * error).astype(
        np.float64
    )
    return agree


def _dataset(chosen: Networks, found: Equilibrium, T: Floats, bins: int) -> xarray.Dataset:
    over = ("configuration", "network", "temperature")
    names = {
        "energy": "E/N, in units of T_SG",
        "overlap_square": "⟨q²⟩",
        "binder": "Binder parameter",
        "projection": "⟨p²⟩/N",
    }
    variables: dict[str, Any] = {}
    for index, (name, text) in enumerate(names.items()):
        values, errors = found.scalars[..., index, 0], found.scalars[..., index, 1]
        variables[name] = (over, values, {"long_name": text})
        variables[f"{name}_stderr"] = (over, errors)
        mean, spread = averaged(values)
        several = len(values) > 1
        variables[f"{name}_mean"] = (over[1:], mean, {"long_name": text})
        # Of one network, the error is that of its ladders.
        variables[f"{name}_mean_stderr"] = (over[1:], spread if several else errors[0])
    edges = np.linspace(-1, 1, bins + 1)
    variables |= {
        "layer_overlap": ((*over, "layer"), found.layers),
        "probability": ((*over, "bin"), found.histogram, {"long_name": "P(q)"}),
        "converged": (over, found.converged > 0),
        "exchanged": (over, found.exchanged, {"long_name": "share of exchanges accepted"}),
        "glass_temperature": (over[:2], found.glass, {"long_name": "T_SG"}),
        "left": ("bin", edges[:-1]),
        "right": ("bin", edges[1:]),
    }
    coordinates = {
        "configuration": chosen.numbers,
        "network": np.array(NETWORKS),
        "temperature": ("temperature", T, {"long_name": "T/T_SG"}),
    }
    return xarray.Dataset(variables, coordinates)


def _shown(result: xarray.Dataset) -> JsonObject:
    about = result.attrs
    shown: JsonObject = {"networks": result.sizes["configuration"]}
    cold = with_names(result).isel(temperature=0)
    for kind in NETWORKS:
        row = cold.sel(network=kind)
        shown[f"{kind}, T/T_SG = {float(cold['temperature']):g}"] = (
            f"⟨q²⟩ {float(row['overlap_square_mean']):.3g} ± "
            f"{float(row['overlap_square_mean_stderr']):.1g}, Binder "
            f"{float(row['binder_mean']):.3g} ± {float(row['binder_mean_stderr']):.1g}"
        )
    return shown | {name: about[name] for name in ("converged", "least_exchanged")}


STAGE = Stage(
    "neuron-mc",
    neuron_mc,
    reads={"solutions": SOLUTIONS},
    summary=_shown,
    unit="networks",
    figures=[
        Figure(
            "lsg_ray.report.figures.neurons:equilibrium_figure",
            "Equilibrium of neurons",
            "equilibrium_caption",
        )
    ],
)
