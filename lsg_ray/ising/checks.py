"""What a fitted model says of its ensemble beyond the moments it was fitted to.

Three-body correlations c_ijk = ⟨(σ_i − m_i)(σ_j − m_j)(σ_k − m_k)⟩ were not fitted: how many of the
strong ones come back tells whether pairs are enough.  Energies of the stored configurations tell
whether the model's landscape has to do with the networks' accuracy.
"""

from __future__ import annotations

import math
from typing import Annotated, Any

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
from lsg_ray.results.saving import REFERENCES
from lsg_ray.stage import ENSEMBLE, MODEL, Figure, Stage
from lsg_ray.statistics.configurations import Configurations
from lsg_ray.statistics.moments import moments
from lsg_ray.typing import ConfigurationsLike, Count, EnsembleLike, ModelLike, Progress, Seed

#: Triples that are compared by default, and at most.
TRIPLES, MOST_TRIPLES = 10_000, 1_000_000
#: A correlation has come back if the model's differs from it by at most this share of it.
WITHIN = 0.5


@public
def three_body(
    model: ModelLike,
    ensemble: ConfigurationsLike,
    *,
    triples: int | ArrayLike = TRIPLES,
    cutoff: float | None = None,
    within: float = WITHIN,
    chains: int = 1024,
    draws: int = 200,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Compare three-body correlations of the model with those of the ensemble.

    Parameters
    ----------
    model
        `IsingModel`, path, or (J, h).
    ensemble
        Its configurations: `Ensemble`, path of a store, or ±1 array (M, N).
    triples
        How many to draw, or (T, 3) indices.
    cutoff
        Below which a correlation of the ensemble does not count; by default three of its standard
        errors (their median).
    within
        Reproduced: |model − ensemble| ≤ within · |ensemble|.
    chains, draws, seed, threads
        Of the Monte Carlo.

    Returns
    -------
    xarray.Dataset
        ``ensemble`` and ``model`` (triple), with ``_stderr`` each, at weights ``i``, ``j``, ``k``.
        Attributes: ``cutoff``, ``above`` (how many), ``reproduced`` (the fraction of those),
        ``correlation`` (Pearson's, of all), ``slope``, ``rms``, ``mc_converged``.

    Raises
    ------
    InputError
        Model and ensemble have different numbers of weights, or no triples fit.

    Notes
    -----
    Time: that of moments, and of Monte Carlo; T · chains products a draw.
    """
    ising, source = _pair(model, ensemble)
    data = moments(source, triples=triples, seed=seed)
    if "third_connected" not in data:
        raise InputError("no triples asked for")
    places = np.stack([data[name].values for name in "ijk"], axis=1)
    found = sample_model(
        ising, chains=chains, draws=draws, thin=3, seed=seed, threads=threads, triples=places,
        progress=progress,
    )  # fmt: skip
    real, fitted = data["third_connected"].values, found["third_connected"].values
    error = data["third_connected_stderr"].values
    if cutoff is None:
        cutoff = 3 * float(np.median(error))
    above = np.abs(real) > cutoff
    good = np.abs(fitted - real) <= within * np.abs(real)
    square = float(real @ real)
    spread = real.std() * fitted.std()
    return xarray.Dataset(
        {
            "ensemble": ("triple", real, {"long_name": "c_ijk of the ensemble", "units": "1"}),
            "ensemble_stderr": ("triple", error),
            "model": ("triple", fitted, {"long_name": "c_ijk of the model", "units": "1"}),
            "model_stderr": ("triple", found["third_connected_stderr"].values),
        },
        {name: ("triple", places[:, n]) for n, name in enumerate("ijk")},
        {
            "statistic": "three-body", "cutoff": cutoff, "within": within,
            "above": int(above.sum()),
            "reproduced": float(good[above].mean()) if above.any() else float("nan"),
            "correlation": float(((real - real.mean()) * (fitted - fitted.mean())).mean() / spread)
            if spread > 0 else float("nan"),
            "slope": float(real @ fitted) / square if square > 0 else float("nan"),
            "rms": float(np.sqrt(np.mean((fitted - real) ** 2))),
            "mc_converged": found.attrs["converged"], "seed": seed,
        },
    )  # fmt: skip


@public
def configuration_energies(
    model: ModelLike, ensemble: ConfigurationsLike, *, seed: int = 0, threads: int | None = None,
    progress: Progress | None = None,
) -> xarray.Dataset:  # fmt: skip
    """Return the energy of every configuration of an ensemble, and its accuracy.

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
    found = _energies(ising, source, progress)
    own = sample_model(ising, chains=512, draws=20, seed=seed, threads=threads)
    energy, correlation = found["energy"].values, float("nan")
    if "accuracy" in found and energy.std() > 0 and found["accuracy"].values.std() > 0:
        correlation = float(np.corrcoef(energy, found["accuracy"].values)[0, 1])
    return found.assign_attrs(
        statistic="energies", **source.provenance(), correlation=correlation,
        typical=float(own["energy_mean"]) / ising.n_spins,
        typical_spread=float(own["energy"].std()) / ising.n_spins,
        mc_converged=own.attrs["converged"],
    )  # fmt: skip


def _energies(
    model: IsingModel, source: Configurations, progress: Progress | None
) -> xarray.Dataset:
    parts = stream_energies(model, source, progress)
    about = {"units": "nat", "long_name": "energy a weight"}
    found = {"energy": ("configuration", parts.energy / model.n_spins, about)}
    if parts.accuracy.size:
        found["accuracy"] = ("configuration", parts.accuracy, {"units": "1"})
    return xarray.Dataset(found, {"configuration": np.arange(source.n_rows)})


@public
def check_model(
    model: ModelLike,
    ensemble: EnsembleLike,
    *,
    triples: Annotated[int, Ge(1), Le(MOST_TRIPLES)] | None = None,
    cutoff: Annotated[float, Ge(0)] | None = None,
    seed: Seed = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Compare a model with its ensemble beyond the moments it was fitted to.

    Three-body correlations, and energies of the configurations against their accuracy.

    Parameters
    ----------
    model
        An effective model, of the same weights as the ensemble.
    ensemble
        A store of binary weights.
    triples
        How many to draw; 10,000, or all.
    cutoff
        Weakest correlation that counts; by default three standard errors.

    Returns
    -------
    xarray.Dataset
        Those of `configuration_energies` and of `three_body`; attributes of the latter begin with
        ``triples_``, and ``energy_mean`` and ``energy_spread`` are over configurations.
    """
    ising, source = _pair(model, ensemble)
    if triples is None:
        triples = min(TRIPLES, math.comb(ising.n_spins, 3))
    common: dict[str, Any] = {"seed": seed, "threads": threads, "progress": progress}
    energies = configuration_energies(ising, source, **common)
    third = three_body(ising, source, triples=triples, cutoff=cutoff, **common)
    about = {f"triples_{name}": value for name, value in third.attrs.items()}
    energy, converged = energies["energy"].values, third.attrs["mc_converged"]
    return energies.assign_coords(third.coords).assign(third.data_vars).assign_attrs(
        **about, statistic="check of a model", configurations=len(energy),
        energy_mean=float(energy.mean()), energy_spread=float(energy.std()),
        energy_accuracy_correlation=energies.attrs["correlation"],
        mc_converged=int(converged and energies.attrs["mc_converged"]),
    )  # fmt: skip


@public
def model_references(
    model: ModelLike, ensemble: EnsembleLike, *, count: Count = 20, progress: Progress | None = None
) -> xarray.Dataset:
    """Choose configurations of low, medium and high energy under a model.

    Parameters
    ----------
    model
        An effective model, of the same weights as the ensemble.
    ensemble
        A store of binary weights.
    count
        Of each group.

    Returns
    -------
    xarray.Dataset
        As `choose_references`.
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
    "references", model_references, reads={"model": MODEL, "ensemble": ENSEMBLE},
    archive=REFERENCES, summary=("count",),
)  # fmt: skip
