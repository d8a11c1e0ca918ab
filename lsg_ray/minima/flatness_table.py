"""All measures of flatness side by side: one row an algorithm, and how they agree in rank.

Of several ensembles on the same patterns, one for each algorithm, every configuration gets its
local entropy, the largest eigenvalue and the trace of the smooth Hessian, the rise of errors under
noise on weights and on inputs, and its test error.  Over all configurations of all ensembles, rank
correlations show whether measures agree (`lsg_ray.minima.rank_correlations`).

The protocol is that of C. Baldassi's lecture on wide flat minima (IPAM, 2019), and of C. Baldassi,
F. Pittorino, R. Zecchina, PNAS 117, 161 (2020), arXiv:1905.07833.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Unpack

import numpy as np
import xarray

from lsg_ray.arrays import public
from lsg_ray.errors import InputError
from lsg_ray.minima.chosen import Chosen, choose
from lsg_ray.minima.hessian import hessian
from lsg_ray.minima.local_energy import Colour, input_robustness, local_energy
from lsg_ray.minima.local_entropy import local_entropy
from lsg_ray.minima.rank_correlations import correlation_words, with_errors
from lsg_ray.minima.spherical_local_entropy import spherical_local_entropy
from lsg_ray.results.graph import part_of
from lsg_ray.rng import Stream, generator
from lsg_ray.spec import Spec
from lsg_ray.stage import ENSEMBLE, Figure, Stage
from lsg_ray.statistics.estimates import averaged
from lsg_ray.typing import (
    EnsembleLike,
    Floats,
    Integers,
    Numbers,
    Positive,
    Repeats,
    SeededTasks,
    Tasks,
)

#: Address in `Stream.LANDSCAPE` of the bootstrap.
_BOOTSTRAP = 11
#: Measures of each ensemble, for progress.
_MEASURES = 4


class _Column(NamedTuple):
    """One measure of the configurations of an ensemble."""

    name: str
    about: str
    values: Floats


@public
def flatness_table(
    ensemble: EnsembleLike,
    second: EnsembleLike | None = None,
    third: EnsembleLike | None = None,
    fourth: EnsembleLike | None = None,
    fifth: EnsembleLike | None = None,
    sixth: EnsembleLike | None = None,
    *,
    configurations: Integers | None = None,
    gammas: Numbers = (100.0, 25.0, 6.0),
    sign_gammas: Numbers = (2.0, 1.0, 0.5),
    beta: Positive = 2.0,
    steepness: Positive = 2.0,
    sigma: Positive = 0.3,
    flip: Positive = 0.02,
    noise: Positive = 0.4,
    colour: Colour = "pixel",
    draws: Repeats = 50,
    samples: Repeats = 1000,
    **run: Unpack[SeededTasks],
) -> xarray.Dataset:
    """Compare measures of flatness of ensembles on the same patterns, one for each algorithm.

    Parameters
    ----------
    ensemble
        Ensemble of perceptrons or committees, a view of one, or its URL.
    second, third, fourth, fifth, sixth
        Further ensemble of the same network on the same patterns.
    configurations
        Number of configurations of each ensemble, from the first, or list of the configurations to
        measure; without it, the first 20 at most.
    gammas
        Fields γ of the local entropy, for weights on the sphere.
    sign_gammas
        Fields γ of the local entropy, for ±1 weights.
    beta
        Steepness β of the hidden units of the smooth network.
    steepness
        Steepness γ of the loss of the smooth network.
    sigma
        Standard deviation of the noise on weights on the sphere, relative to their norm.
    flip
        Probability that a ±1 weight is flipped.
    noise
        Standard deviation σ of the noise on inputs.
    colour
        Kind of noise on inputs, as in input-robustness.
    draws
        Number of draws of the noise on weights and on inputs.
    samples
        Number of bootstrap samples, of configurations and of patterns of the test set.
    seed
        Seed of all random numbers.
    checkpoints
        Path of a folder for finished tasks, from which an interrupted call resumes.
    progress
        Called with (tasks done, total).

    Returns
    -------
    xarray.Dataset
        ``value`` (row, quantity) with ``ensemble`` (row), the index of its ensemble, and
        ``configuration`` (row); ``mean``, ``stderr`` (algorithm, quantity) over configurations that
        differ, NaN of one alone, with the coordinate ``algorithm``; ``spearman``, ``kendall``
        (quantity, quantity_) with ``_stderr``, NaN where a quantity does not vary.  Attributes:
        ``rows``; ``repeats``, configurations left out since an earlier one is the same, as message
        passing ends in one fixed point from many starts; ``converged``, the share of local
        entropies and eigenvalues that have converged.

    Raises
    ------
    InputError
        Ensembles of different networks or patterns; what the measures raise.

    Notes
    -----
    Local entropies are of solutions alone, NaN of configurations with errors; of ±1 weights they
    are Σ − H₂ at the distance that comes out.
    """
    given = [one for one in (ensemble, second, third, fourth, fifth, sixth) if one is not None]
    all_ = [
        choose(one, configurations, for_what="the table of flatness", majority=True)
        for one in given
    ]
    _check_alike(all_)
    chosen = [one.distinct() for one in all_]
    repeats = sum(len(one.numbers) for one in all_) - sum(len(one.numbers) for one in chosen)
    parts: list[list[_Column]] = []
    converged: list[float] = []
    for index, one in enumerate(chosen):

        def part(step: int, index: int = index) -> SeededTasks:
            done = index * _MEASURES + step
            progress = part_of(run["progress"], done, len(chosen) * _MEASURES)
            return {**run, "progress": progress}

        rows = one.numbers.tolist()
        curved = hessian(
            one.ensemble, configurations=rows, beta=beta, gamma=steepness, eigenvalues=1, **part(0)
        )
        energy = local_energy(
            one.ensemble, configurations=rows, sigmas=[sigma], flips=[flip], draws=draws, **part(1)
        )
        robust = input_robustness(
            one.ensemble, configurations=rows, sigmas=[noise], colour=colour, draws=draws, **part(2)
        )
        converged.append(curved.attrs["converged"])
        fields = sign_gammas if one.ensemble.signs else gammas
        columns = _volumes(one, fields, converged, part(3))
        top = curved["eigenvalue"].values[:, 0]
        parts.append([
            *columns,
            _Column("top_eigenvalue", "largest eigenvalue of the smooth Hessian",
                    np.where(curved["converged"].values, top, np.nan)),
            _Column("trace", "trace of the smooth Hessian", curved["trace"].values),
            _Column("local_energy", "errors under noise on weights", energy["rise"].values[:, 0]),
            _Column("input_noise", "errors under noise on inputs", robust["rise"].values[:, 0]),
            _Column("test_error", "share of wrong patterns of the test set", one.test_errors),
            _Column("errors", "share of wrong patterns of the training set",
                    one.errors / one.ground.arena.train.n_patterns),
        ])  # fmt: skip
    table = _table(chosen, parts, samples, generator(run["seed"], Stream.LANDSCAPE, _BOOTSTRAP))
    return table.assign_attrs(
        chosen[0].provenance(
            statistic="flatness table", beta=beta, steepness=steepness, sigma=sigma, flip=flip,
            noise=noise, colour=colour, draws=draws, samples=samples, seed=run["seed"],
            rows=table.sizes["row"], repeats=repeats, converged=float(np.mean(converged)),
        )
    )  # fmt: skip


def _check_alike(chosen: list[Chosen]) -> None:
    first = chosen[0]
    for one in chosen[1:]:
        spec, other = first.ensemble.spec, one.ensemble.spec
        if (spec.network.family, spec.network.shapes, first.ensemble.header.dataset_hash) != (
            other.network.family,
            other.network.shapes,
            one.ensemble.header.dataset_hash,
        ):
            raise InputError(
                f"{one.ensemble.url}: other networks or patterns than those of "
                f"{first.ensemble.url}; one table is of the same for all algorithms"
            )


def _volumes(one: Chosen, gammas: Numbers, converged: list[float], run: Tasks) -> list[_Column]:
    """Return local entropies of solutions, NaN of others, one column for each γ.

    Of ±1 weights it is Σ(D) − H₂(D), so zero too where everything around is a solution.
    """
    solved = np.flatnonzero(one.errors == 0)
    values = np.full((len(one.errors), np.size(gammas)), np.nan)
    fields = np.sort(np.atleast_1d(np.asarray(gammas, np.float64)))[::-1]
    if len(solved):
        measure = local_entropy if one.ensemble.signs else spherical_local_entropy
        result = measure(
            one.ensemble,
            configurations=one.numbers[solved].tolist(),
            gammas=fields,
            theory=False,
            checkpoints=run["checkpoints"],
            progress=run["progress"],
        )
        if one.ensemble.signs:
            table = result["entropy"] - result["bound"]
        else:
            table = result["local_entropy"]
        values[solved] = table.sel(gamma=fields).transpose("solution", "gamma").values
        converged.append(result.attrs["converged"])
    return [
        _Column(f"local_entropy_{gamma:g}", f"local entropy at γ = {gamma:g}", column)
        for gamma, column in zip(fields, values.T, strict=True)
    ]


def _table(
    chosen: list[Chosen], parts: list[list[_Column]], samples: int, rng: np.random.Generator
) -> xarray.Dataset:
    values = np.concatenate([np.stack([c.values for c in part], axis=1) for part in parts])
    owner = np.repeat(np.arange(len(chosen)), [len(one.numbers) for one in chosen])
    averages = [averaged(values[owner == index]) for index in range(len(chosen))]
    pair = ("quantity", "quantity_")
    names = [column.name for column in parts[0]]
    wrong = {names.index("test_error"): np.concatenate([one.wrong_tests() for one in chosen])}
    spearman, kendall = with_errors(values, owner, samples, rng, wrong)
    return xarray.Dataset(
        {
            "value": (("row", "quantity"), values),
            "ensemble": ("row", owner),
            "configuration": ("row", np.concatenate([one.numbers for one in chosen])),
            "mean": (("algorithm", "quantity"), [mean for mean, _ in averages]),
            "stderr": (("algorithm", "quantity"), [error for _, error in averages]),
            "spearman": (pair, spearman[0], {"long_name": "Spearman's ρ"}),
            "spearman_stderr": (pair, spearman[1]),
            "kendall": (pair, kendall[0], {"long_name": "Kendall's τ"}),
            "kendall_stderr": (pair, kendall[1]),
            "about": ("quantity", [column.about for column in parts[0]]),
        },
        {
            "quantity": names,
            "quantity_": names,
            "algorithm": _labels([one.ensemble.spec for one in chosen]),
        },
    )


def _labels(specs: list[Spec]) -> list[str]:
    """Return names that differ: of ensembles beside one another, without what is common to all."""
    names = [spec.name for spec in specs]
    start = f"{names[0]}-"
    if len(names) > 1 and all(name.startswith(start) for name in names[1:]):
        names = [specs[0].algorithm, *(name.removeprefix(start) for name in names[1:])]
    return [
        name if name not in names[:index] else f"{name} ({index + 1})"
        for index, name in enumerate(names)
    ]


#: Measures that all others are compared with in the summary, where they vary.
_COMPARED = ("local_entropy", "test_error")


def _shown(result: xarray.Dataset) -> dict[str, Any]:
    names = [str(name) for name in result["quantity"].values]
    algorithms = [str(name) for name in result["algorithm"].values]
    mean, error = result["mean"].values, result["stderr"].values
    means = {
        name: {
            algorithm: f"{mean[a, q]:.4g} ± {error[a, q]:.2g}"
            for a, algorithm in enumerate(algorithms)
        }
        for q, name in enumerate(names)
    }
    rho, deviation = result["spearman"].values, result["spearman_stderr"].values
    varied = np.flatnonzero(np.isfinite(np.diag(rho)))
    ranks = {
        names[a]: {
            f"with {names[b]}": correlation_words(rho[a, b], deviation[a, b], result.attrs["rows"])
            for b in _compared(names)
            if b != a and b in varied
        }
        for a in varied
    }
    about = {name: result.attrs[name] for name in ("rows", "repeats", "converged")}
    return {**about, "means": means, "spearman": {k: row for k, row in ranks.items() if row}}


def _compared(names: list[str]) -> list[int]:
    """Return the middle one of the local entropies, and the test error."""
    chosen = []
    for start in _COMPARED:
        own = [index for index, name in enumerate(names) if name.startswith(start)]
        chosen += own[len(own) // 2 :][:1]
    return chosen


STAGE = Stage(
    "flatness-table", flatness_table,
    reads={
        "ensemble": ENSEMBLE, "second": ENSEMBLE, "third": ENSEMBLE, "fourth": ENSEMBLE,
        "fifth": ENSEMBLE, "sixth": ENSEMBLE,
    },
    summary=_shown, unit="configurations",
    figures=[Figure("lsg_ray.report.figures.flat_minima:table_figure",
                    "Measures of flatness, and their rank correlations", "table_caption")],
)  # fmt: skip
