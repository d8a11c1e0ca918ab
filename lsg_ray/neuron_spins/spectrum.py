"""Spectrum of the bond matrix: bulk and outliers, in rich and in lazy training.

The bulk is that of independent weights with the mean squares of the layers
(`lsg_ray.neuron_spins.theory`); eigenvalues beyond its edge λ₊ by more than chance, λ > λ₊ (1 + 1.5
N^{−2/3}), the scale of the largest eigenvalue of a random matrix, are outliers: what training has
added.  (Mean squares contain that too, so λ₊ is from above, and the number of outliers from below.)
A network that learns lazily, by small moves of all its weights, keeps the bulk.  λ₊/2 is no
temperature of it: T_c is `melting`.

The matrix joins units of even layers with units of odd ones, so its eigenvalues are ± the singular
values of one block, and zeros.

Source: arXiv:2408.06421; the criterion of outliers is of this package.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Unpack

import numpy as np
import xarray

from lsg_ray.arrays import public
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.neuron_spins.bonds import Bonds, top_eigenvalues
from lsg_ray.neuron_spins.networks import Networks, Source, open_networks
from lsg_ray.neuron_spins.theory import bulk_density, bulk_edge
from lsg_ray.results.checkpoints import run_tasks
from lsg_ray.stage import SOLUTIONS, Figure, Stage
from lsg_ray.statistics.estimates import averaged
from lsg_ray.typing import (
    Count,
    EnsembleLike,
    Floats,
    Integers,
    JsonObject,
    Natural,
    Several,
    Tasks,
)

#: Largest block of the bond matrix whose singular values are all computed, in entries.
_DENSE_ENTRIES = 1 << 22
#: Points of the theoretical density.
_POINTS = 400
#: Outliers that ARPACK looks for where the block is larger.
_MOST = 40
CRITERION = "outlier: eigenvalue above λ₊ (1 + 1.5 N^(−2/3)), λ₊ that of independent weights"


class Spectrum(NamedTuple):
    """One network, at the first and the last time (2, …): rows are NaN where there is no first.

    eigenvalues (2, N or fewer), descending; edge, outliers, radius (2,); participation (2, ranks)
    and top (2, ranks) of the largest eigenvalues; move (1,): |W − W_0|/|W_0|; moves (L,): by layer;
    complete: whether all eigenvalues are known.
    """

    eigenvalues: Floats
    edge: Floats
    outliers: Floats
    top: Floats
    participation: Floats
    variances: Floats
    moves: Floats
    complete: Floats


@public
def bond_spectrum(
    solutions: EnsembleLike,
    *,
    configurations: Integers | None = None,
    ranks: Count = 8,
    bins: Several = 80,
    dense: Natural = _DENSE_ENTRIES,
    **run: Unpack[Tasks],
) -> xarray.Dataset:
    """Compute the spectrum of the bond matrix of networks, its bulk and its outliers.

    Parameters
    ----------
    solutions
        Ensemble of fully connected networks, a view of one, or its URL; with snapshots, the first
        of them is compared with the end of training.
    configurations
        Number of configurations, from the first, or list of the configurations to measure; without
        it, all.
    ranks
        Number of largest eigenvalues that are stored, with the participation of their vectors.
    bins
        Number of bins of the histogram of eigenvalues.
    dense
        Largest number of entries of the block between even and odd layers of which all eigenvalues
        are computed; above it, only the largest, and there is no histogram.
    checkpoints
        Path of a folder for finished networks, from which an interrupted call resumes.
    progress
        Called with (networks done, total).

    Returns
    -------
    xarray.Dataset
        Over configuration and time (start, end): ``edge`` λ₊, ``outliers``, ``eigenvalue`` and
        ``participation`` (…, rank), 1/(N Σ v⁴), from 1/N (one unit) to 1 (all of them);
        over configuration ``move`` |W − W_0|/|W_0|, and by layer ``layer_move``; ``density`` (time,
        bin), the mean over networks without eigenvalues that are zero, and ``bulk`` (time, point)
        of independent weights.  ``NAME_mean`` and ``NAME_stderr`` over networks.

    Raises
    ------
    InputError
        As `lsg_ray.melting`.

    Notes
    -----
    Singular values of a block (even units, odd units): 0.3 s for 784-256-128-10.
    """
    whole = open_networks(solutions, configurations, along=True)
    first, last = whole.source.times[0], whole.source.times[-1]
    times = (first, last) if first != last and whole.steps[0] == 0 else (last,)
    source = whole.source._replace(times=times)
    chosen = whole._replace(source=source, steps=whole.steps[[0, -1]][-len(times) :])
    arguments = [(int(number), ranks, dense) for number in chosen.numbers]
    done = run_tasks(_spectrum, source, arguments, Spectrum, run["checkpoints"], run["progress"])
    spectra = Spectrum(*map(np.stack, zip(*done, strict=True)))
    result = _dataset(chosen, spectra, bins)
    about = {
        f"{name}_{kind}": float(result[f"{name}_{kind}"].values[-1])
        for name in ("edge", "outliers", "top", "participation_top", "move")
        for kind in ("mean", "stderr")
    }
    scale = chosen.ensemble.spec.network.options.get("output_scale", 1.0)
    return result.assign_attrs(
        chosen.provenance(
            statistic="bond-spectrum",
            criterion=CRITERION,
            output_scale=float(scale),
            converged=float(np.isfinite(spectra.top).all()),
            **about,
        )
    )


def _spectrum(source: Source, number: int, ranks: int, dense: int) -> Spectrum:
    """Measure one network: the body of a task."""
    ensemble = open_ensemble(source.url)
    networks = [source.bonds(number, time, ensemble) for time in source.times]
    rows = [_measure(bonds, ranks, dense) for bonds in networks]
    moves = np.full(len(networks[0].couplings) + 1, np.nan)
    if len(networks) == 2:
        pairs = list(zip(networks[0].couplings, networks[1].couplings, strict=True))
        apart = np.array([np.sum((b - a) ** 2) for a, b in pairs])
        before = np.array([np.sum(a**2) for a, _ in pairs])
        with np.errstate(divide="ignore", invalid="ignore"):
            moves[:] = np.sqrt(np.append(apart / before, apart.sum() / before.sum()))
    *columns, complete = (np.stack(column) for column in zip(*rows, strict=True))
    return Spectrum(*(*columns, moves, complete))


def _measure(bonds: Bonds, ranks: int, dense: int) -> tuple[Any, ...]:
    n, widths = bonds.n_units, bonds.widths
    ranks = min(ranks, n)
    variances = bonds.variances
    edge = bulk_edge(widths, variances)
    limit = edge * (1 + 1.5 * n ** (-2 / 3))
    even, odd = bonds.colour(0), bonds.colour(1)
    complete = even.sum() * odd.sum() <= dense
    if complete:
        block = bonds.fields(np.eye(n)[:, odd], 0)[even]
        left, values, right = np.linalg.svd(block, full_matrices=False)
        vectors = np.zeros((n, len(values)))
        vectors[even], vectors[odd] = left / np.sqrt(2), right.T / np.sqrt(2)
        rest = np.zeros(n - 2 * len(values))
        spectrum = np.concatenate([values, rest, -values[::-1]])
    else:
        values, vectors = top_eigenvalues(bonds, min(max(ranks, _MOST), n))
        spectrum = values
    top, v = np.full(ranks, np.nan), np.full((n, ranks), np.nan)
    top[: len(spectrum)] = spectrum[:ranks]  # zeros too, whose vectors are any
    v[:, : len(values)] = vectors[:, :ranks]
    with np.errstate(divide="ignore"):
        participation = 1 / (n * np.sum(v**4, axis=0))
    outliers = float((values > limit).sum())
    return spectrum, edge, outliers, top, participation, variances, float(complete)


def _dataset(chosen: Networks, spectra: Spectrum, bins: int) -> xarray.Dataset:
    over = ("configuration", "time")
    names = ["start", "end"][-len(chosen.source.times) :]
    variables: dict[str, Any] = {
        "edge": (over, spectra.edge, {"long_name": "λ₊"}),
        "outliers": (over, spectra.outliers),
        "top": (over, spectra.top[..., 0], {"long_name": "largest λ"}),
        "participation_top": (over, spectra.participation[..., 0]),
        "move": (("configuration",), spectra.moves[:, -1], {"long_name": "|W − W₀|/|W₀|"}),
    }
    means = {}
    for name, (dims, values, *about) in variables.items():
        mean, error = averaged(values if values.ndim == 2 else values[:, None])
        axis = dims[1:] or ("whole",)
        means[f"{name}_mean"] = (axis, mean, *about)
        means[f"{name}_stderr"] = (axis, error, *about)
    variables |= {
        "eigenvalue": ((*over, "rank"), spectra.top, {"long_name": "λ of J"}),
        "participation": ((*over, "rank"), spectra.participation),
        "layer_variance": ((*over, "layer"), spectra.variances),
        "layer_move": (("configuration", "layer"), spectra.moves[:, :-1]),
    }
    if spectra.complete.all():
        means |= _density(chosen, spectra, bins)
    coordinates = {
        "configuration": chosen.numbers,
        "time": np.array(names),
        "step": ("time", chosen.steps, {"long_name": "steps of the optimizer"}),
    }
    return xarray.Dataset({**variables, **means}, coordinates)


def _density(chosen: Networks, spectra: Spectrum, bins: int) -> dict[str, Any]:
    """Return the histogram of eigenvalues that are not zero, and the bulk of the theory."""
    top = float(np.abs(spectra.eigenvalues).max()) * 1.02 or 1.0
    edges = np.linspace(0, top, bins + 1)
    points = np.linspace(0, top, _POINTS)[1:]
    density, bulk = [], []
    for index in range(spectra.eigenvalues.shape[1]):
        values = spectra.eigenvalues[:, index]
        # Rounding alone makes zeros of singular values, or small numbers of zeros.
        positive = values[values > 1e-9 * top]
        density.append(np.histogram(positive, edges)[0] / values.size / np.diff(edges))
        variances = spectra.variances[:, index].mean(axis=0)
        bulk.append(bulk_density(chosen.widths, variances, points))
    return {
        "density": (("time", "bin"), density, {"long_name": "density of λ > 0"}),
        "left": ("bin", edges[:-1]),
        "right": ("bin", edges[1:]),
        "bulk": (("time", "point"), bulk, {"long_name": "density of independent weights"}),
        "bulk_eigenvalue": ("point", points),
    }


def _shown(result: xarray.Dataset) -> JsonObject:
    about = result.attrs
    shown: JsonObject = {"networks": result.sizes["configuration"]}
    names = {
        "edge": "edge",
        "outliers": "outliers",
        "top": "largest eigenvalue",
        "participation_top": "its participation",
        "move": "relative move",
    }
    for key, name in names.items():
        if np.isfinite(about[f"{key}_mean"]):
            shown[name] = f"{about[f'{key}_mean']:.4g} ± {about[f'{key}_stderr']:.2g}"
    shown["output_scale"] = about["output_scale"]
    return shown | {name: about[name] for name in ("converged", "note") if name in about}


STAGE = Stage(
    "bond-spectrum",
    bond_spectrum,
    reads={"solutions": SOLUTIONS},
    summary=_shown,
    unit="networks",
    figures=[
        Figure(
            "lsg_ray.report.figures.neurons:spectrum_figure",
            "Spectrum of the bond matrix",
            "spectrum_caption",
        )
    ],
)
