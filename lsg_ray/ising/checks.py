"""Checks of a fitted model against its ensemble, beyond the moments it was fitted to.

Three-body correlations c_ijk = ⟨(σ_i − m_i)(σ_j − m_j)(σ_k − m_k)⟩ were not fitted: the fraction of
strong ones that the model reproduces shows whether pairs are enough.  Energies of the stored
configurations show whether the model's energy is related to the networks' accuracy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Unpack

import numpy as np
import xarray
from annotated_types import Ge, Le
from numpy.typing import ArrayLike

from lsg_ray.arrays import public
from lsg_ray.errors import InputError
from lsg_ray.ising.model import IsingModel, as_model
from lsg_ray.ising.montecarlo import sample_model
from lsg_ray.ising.references import choose_references, stream_energies
from lsg_ray.ising.targets import as_sample
from lsg_ray.results.saving import REFERENCE_ARRAYS
from lsg_ray.stage import ENSEMBLE, MODEL, Figure, Stage
from lsg_ray.statistics.configurations import Configurations
from lsg_ray.statistics.moments import moments
from lsg_ray.typing import ConfigurationsLike, Count, EnsembleLike, ModelLike, Progress, Threads

#: Most triples of a comparison.
MAX_CHECKED_TRIPLES = 1_000_000


@dataclass(frozen=True)
class ChecksConfig:
    """Sizes of the comparison, and of the Monte Carlo that it takes."""

    #: Triples that are compared by default.
    triples: int = 10_000
    #: Largest relative error of a correlation that counts as reproduced.
    within: float = 0.5
    #: Weakest correlation that counts, in standard errors.
    cutoff_sigmas: float = 3.0
    #: Chains and draws for the typical energy of the model.
    energy_chains: int = 512
    energy_draws: int = 20


CONFIG = ChecksConfig()


@public
def three_body(
    model: ModelLike,
    ensemble: ConfigurationsLike,
    *,
    triples: int | ArrayLike = CONFIG.triples,
    cutoff: float | None = None,
    within: float = CONFIG.within,
    chains: int = 1024,
    draws: int = 200,
    **run: Unpack[Threads],
) -> xarray.Dataset:
    """Compare three-body correlations of the model with those of the ensemble.

    Parameters
    ----------
    model
        `IsingModel`, path, or (J, h).
    ensemble
        Its configurations: `Ensemble`, path of a store, or ±1 array (M, N).
    triples
        Number of random triples, or (T, 3) indices.
    cutoff
        Smallest |c_ijk| of the ensemble that counts; by default three standard errors (their
        median).
    within
        Largest relative error that counts as reproduced: |model − ensemble| ≤ within · |ensemble|.
    chains, draws, seed, threads
        Options of the Monte Carlo, as in `lsg_ray.sample_model`.
    progress
        Called with ``(sweeps done, sweeps in all)``.

    Returns
    -------
    xarray.Dataset
        ``ensemble`` and ``model`` (triple), with ``_stderr`` each, at weights ``i``, ``j``, ``k``.
        Attributes: ``cutoff``, ``above`` (the number beyond it), ``reproduced`` (the fraction of
        those), ``correlation`` (Pearson's, of all), ``slope``, ``rms``, ``mc_converged``.

    Raises
    ------
    InputError
        Model and ensemble have different numbers of weights, or no triples fit.

    Notes
    -----
    Time: that of moments, and of Monte Carlo; T · chains products a draw.
    """
    ising, source = _pair(model, ensemble)
    data = moments(source, triples=triples, seed=run["seed"])
    if "third_connected" not in data:
        raise InputError("no triples given; at least one is needed")
    indices = np.stack([data[name].values for name in "ijk"], axis=1)
    sampled = sample_model(ising, chains=chains, draws=draws, thin=3, triples=indices, **run)
    target, fitted = data["third_connected"].values, sampled["third_connected"].values
    error = data["third_connected_stderr"].values
    if cutoff is None:
        cutoff = CONFIG.cutoff_sigmas * float(np.median(error))
    above = np.abs(target) > cutoff
    reproduced = np.abs(fitted - target) <= within * np.abs(target)
    square = float(target @ target)
    product = ((target - target.mean()) * (fitted - fitted.mean())).mean()
    spread = target.std() * fitted.std()
    return xarray.Dataset(
        {
            "ensemble": ("triple", target, {"long_name": "c_ijk of the ensemble", "units": "1"}),
            "ensemble_stderr": ("triple", error),
            "model": ("triple", fitted, {"long_name": "c_ijk of the model", "units": "1"}),
            "model_stderr": ("triple", sampled["third_connected_stderr"].values),
        },
        {name: ("triple", indices[:, n]) for n, name in enumerate("ijk")},
        {
            "statistic": "three-body",
            "cutoff": cutoff,
            "within": within,
            "above": int(above.sum()),
            "reproduced": float(reproduced[above].mean()) if above.any() else float("nan"),
            "correlation": float(product / spread) if spread > 0 else float("nan"),
            "slope": float(target @ fitted) / square if square > 0 else float("nan"),
            "rms": float(np.sqrt(np.mean((fitted - target) ** 2))),
            "mc_converged": sampled.attrs["converged"],
            "seed": run["seed"],
        },
    )


@public
def configuration_energies(
    model: ModelLike, ensemble: ConfigurationsLike, **run: Unpack[Threads]
) -> xarray.Dataset:
    """Return the energy of every configuration of an ensemble, and its accuracy.

    Parameters
    ----------
    model, ensemble
        As in `three_body`.
    seed, threads
        Options of the Monte Carlo for the typical energy, as in `lsg_ray.sample_model`.
    progress
        Called with ``(blocks done, blocks in all)``.

    Returns
    -------
    xarray.Dataset
        ``energy`` (configuration) per weight, in nats, and ``accuracy`` where the ensemble has it.
        Attributes: ``correlation`` (Pearson's) of the two; ``typical``, the model's own mean energy
        per weight, ``typical_spread``, its standard deviation between configurations.

    Raises
    ------
    InputError
        As `three_body`.

    Notes
    -----
    2 N² flop a configuration, in blocks under Dask's current scheduler; memory 16 bytes each.
    """
    ising, source = _pair(model, ensemble)
    energies = _energies(ising, source, run["progress"])
    own = sample_model(
        ising,
        chains=CONFIG.energy_chains,
        draws=CONFIG.energy_draws,
        seed=run["seed"],
        threads=run["threads"],
    )
    energy, correlation = energies["energy"].values, float("nan")
    if "accuracy" in energies and energy.std() > 0 and energies["accuracy"].values.std() > 0:
        correlation = float(np.corrcoef(energy, energies["accuracy"].values)[0, 1])
    return energies.assign_attrs(
        statistic="energies",
        **source.provenance(),
        correlation=correlation,
        typical=float(own["energy_mean"]) / ising.n_spins,
        typical_spread=float(own["energy"].std()) / ising.n_spins,
        mc_converged=own.attrs["converged"],
    )


def _energies(
    model: IsingModel, source: Configurations, progress: Progress | None
) -> xarray.Dataset:
    parts = stream_energies(model, source, progress)
    attributes = {"units": "nat", "long_name": "energy a weight"}
    variables = {"energy": ("configuration", parts.energy / model.n_spins, attributes)}
    if parts.accuracy.size:
        variables["accuracy"] = ("configuration", parts.accuracy, {"units": "1"})
    return xarray.Dataset(variables, {"configuration": np.arange(source.n_rows)})


@public
def check_model(
    model: ModelLike,
    ensemble: EnsembleLike,
    *,
    triples: Annotated[int, Ge(1), Le(MAX_CHECKED_TRIPLES)] | None = None,
    cutoff: Annotated[float, Ge(0)] | None = None,
    **run: Unpack[Threads],
) -> xarray.Dataset:
    """Compare a model with its ensemble beyond the moments it was fitted to.

    Three-body correlations, and energies of the configurations against their accuracy.

    Parameters
    ----------
    model
        Effective model of the same N weights as the ensemble: `IsingModel`, path, or (J, h).
    ensemble
        Store of M configurations of N binary weights.
    triples
        Number of random triples of weights; by default 10,000, or all if there are fewer.
    cutoff
        Smallest |c_ijk| of the ensemble that counts; by default three standard errors.
    seed
        Seed of the triples and of the Monte Carlo.
    threads
        Number of threads of the Monte Carlo, by default one per CPU.
    progress
        Called with ``(done, in all)`` of the step at work.

    Returns
    -------
    xarray.Dataset
        ``energy`` (configuration) per weight, in nats, and ``accuracy`` (configuration) where the
        store has it, of all M configurations; ``ensemble`` and ``model`` (triple), c_ijk of both,
        with ``_stderr``, at weights ``i``, ``j``, ``k`` (triple).  Attributes: those of
        `configuration_energies`; those of `three_body`, which begin with ``triples_``;
        ``energy_mean`` and ``energy_spread`` (standard deviation) over configurations.

    Raises
    ------
    InputError
        Model and ensemble have different numbers of weights, the ensemble has fewer than two
        configurations, or the weights are too few for triples.

    Notes
    -----
    2 N² flop a configuration, in blocks; memory 16 bytes a configuration.  Monte Carlo as in
    `three_body`.
    """
    ising, source = _pair(model, ensemble)
    if triples is None:
        triples = min(CONFIG.triples, math.comb(ising.n_spins, 3))
    energies = configuration_energies(ising, source, **run)
    third = three_body(ising, source, triples=triples, cutoff=cutoff, **run)
    attributes = {f"triples_{name}": value for name, value in third.attrs.items()}
    energy, converged = energies["energy"].values, third.attrs["mc_converged"]
    return (
        energies.assign_coords(third.coords)
        .assign(third.data_vars)
        .assign_attrs(
            **attributes,
            statistic="check of a model",
            configurations=len(energy),
            energy_mean=float(energy.mean()),
            energy_spread=float(energy.std()),
            energy_accuracy_correlation=energies.attrs["correlation"],
            mc_converged=int(converged and energies.attrs["mc_converged"]),
        )
    )


@public
def model_references(
    model: ModelLike, ensemble: EnsembleLike, *, count: Count = 20, progress: Progress | None = None
) -> xarray.Dataset:
    """Choose configurations of low, medium and high energy under a model.

    Parameters
    ----------
    model
        Effective model of the same N weights as the ensemble: `IsingModel`, path, or (J, h).
    ensemble
        Store of M configurations of N binary weights.
    count
        Number of references of each group.
    progress
        Called with ``(blocks done, blocks in all)``.

    Returns
    -------
    xarray.Dataset
        ``sigma`` (reference, weight) int8 ±1, 3 · count references in the order of their groups;
        ``energy`` (reference) per weight, in nats; ``accuracy`` (reference) where the store has it;
        coordinates ``group`` (low, medium, high) and ``row`` (in the ensemble).

    Raises
    ------
    InputError
        Model and ensemble have different numbers of weights, or the ensemble has fewer than
        3 · count configurations.

    Notes
    -----
    2 N² flop a configuration, in blocks; memory 16 bytes a configuration.
    """
    ising, source = _pair(model, ensemble)
    return choose_references(_energies(ising, source, progress), source, count)


def _pair(model: Any, ensemble: Any) -> tuple[IsingModel, Configurations]:
    ising, source = as_model(model), as_sample(ensemble)
    if ising.n_spins != source.n_weights:
        raise InputError(
            f"the model has {ising.n_spins} weights and {source.name} {source.n_weights}; "
            "choose the part that the model was fitted to (--part)"
        )
    source.require(2, "checks of a model")
    return ising, source


STAGE = Stage(
    "check", check_model, reads={"model": MODEL, "ensemble": ENSEMBLE},
    summary=("configurations", "energy_mean", "energy_spread", "typical",
             "energy_accuracy_correlation", "triples_cutoff", "triples_above", "triples_reproduced",
             "triples_correlation", "triples_slope", "triples_rms", "mc_converged"),
    figures=[Figure("lsg_ray.report.figures.checks:check_figure", "Checks of the effective model")],
)  # fmt: skip
CHOICE = Stage(
    "references",
    model_references,
    reads={"model": MODEL, "ensemble": ENSEMBLE},
    archive=REFERENCE_ARRAYS,
    summary=("count",),
)
