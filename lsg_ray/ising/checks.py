"""What a fitted model says of its ensemble beyond the moments it was fitted to.

Three-body correlations c_ijk = ⟨(σ_i − m_i)(σ_j − m_j)(σ_k − m_k)⟩ were not fitted: how many of the
strong ones come back tells whether pairs are enough.  Energies of the stored configurations tell
whether the model's landscape has to do with the networks' accuracy, and give the references of low,
medium and high energy from which landscapes are explored.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray
from numpy.typing import ArrayLike, NDArray

from lsg_ray.errors import InputError
from lsg_ray.ising.model import IsingModel, as_model
from lsg_ray.ising.montecarlo import sample_model
from lsg_ray.ising.targets import as_sample
from lsg_ray.statistics.configurations import Configurations, ranges
from lsg_ray.statistics.graph import compute, share, tree_reduce
from lsg_ray.statistics.moments import moments
from lsg_ray.statistics.results import save_arrays, save_result

Floats = NDArray[np.float64]
Progress = Callable[[int, int], None]

#: A correlation has come back if the model's differs from it by at most this share of it.
WITHIN = 0.5
#: Configurations of a task, and of a product.
TASK_ROWS, ROWS = 2**15, 2**12
#: Groups of references, in the order of their energy.
GROUPS = ("low", "medium", "high")


def three_body(
    model: Any,
    ensemble: Any,
    *,
    triples: int | ArrayLike = 10_000,
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


def configuration_energies(
    model: Any, ensemble: Any, *, seed: int = 0, threads: int | None = None,
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
    import dask

    ising, source = _pair(model, ensemble)
    leaf, given = dask.delayed(_energies, pure=False), (share(ising), share(source))
    cuts = ranges(source.n_rows, TASK_ROWS, source.grain)
    parts = compute(tree_reduce([leaf(*given, *cut) for cut in cuts], _joined), progress)
    own = sample_model(ising, chains=512, draws=20, seed=seed, threads=threads)
    n = ising.n_spins
    energy = parts.energy / n
    found = {"energy": ("configuration", energy, {"units": "nat", "long_name": "energy a weight"})}
    correlation = float("nan")
    if parts.accuracy.size:
        found["accuracy"] = ("configuration", parts.accuracy, {"units": "1"})
        if energy.std() > 0 and parts.accuracy.std() > 0:
            correlation = float(np.corrcoef(energy, parts.accuracy)[0, 1])
    return xarray.Dataset(
        found,
        {"configuration": np.arange(source.n_rows)},
        {
            "statistic": "energies", **source.provenance(), "correlation": correlation,
            "typical": float(own["energy_mean"]) / n,
            "typical_spread": float(own["energy"].std()) / n,
            "mc_converged": own.attrs["converged"],
        },
    )  # fmt: skip


class _Energies(NamedTuple):
    """energy: (rows,) in nats; accuracy: (rows,), or empty."""

    energy: Floats
    accuracy: Floats


def _energies(model: IsingModel, source: Configurations, start: int, stop: int) -> _Energies:
    rows = [model.energy(source.rows(start + a, start + b)) for a, b in ranges(stop - start, ROWS)]
    accuracy = np.empty(0)
    if "accuracy" in source.columns:
        accuracy = source.values("accuracy", np.arange(start, stop)).astype(np.float64)
    return _Energies(np.concatenate(rows), accuracy)


def _joined(parts: list[_Energies]) -> _Energies:
    return _Energies(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def choose_references(energies: xarray.Dataset, ensemble: Any, count: int = 20) -> xarray.Dataset:
    """Choose configurations of low, medium and high energy.

    Parameters
    ----------
    energies
        From `configuration_energies`.
    ensemble
        The same ensemble.
    count
        Of each group: the lowest, the highest, and those nearest to the median.

    Returns
    -------
    xarray.Dataset
        ``sigma`` (reference, weight) int8 ±1, ``energy``, ``accuracy`` (reference), coordinates
        ``group`` and ``row`` (in the ensemble).

    Raises
    ------
    InputError
        Fewer than 3 · count configurations.
    """
    source = as_sample(ensemble)
    energy = energies["energy"].values
    if len(energy) != source.n_rows:
        raise InputError(f"{len(energy)} energies given for {source.n_rows} configurations")
    if count < 1 or 3 * count > len(energy):
        raise InputError(
            f"{count} references of each of 3 groups asked for; there are {len(energy)} "
            "configurations"
        )
    order = np.argsort(energy, kind="stable")
    middle = (len(order) - count) // 2
    chosen = np.concatenate([order[:count], order[middle : middle + count], order[-count:]])
    by_row = np.argsort(chosen, kind="stable")
    sigma = np.empty((len(chosen), source.n_weights), np.int8)
    sigma[by_row] = source.take(chosen[by_row])
    found = {"sigma": (("reference", "weight"), sigma), "energy": ("reference", energy[chosen])}
    if "accuracy" in energies:
        found["accuracy"] = ("reference", energies["accuracy"].values[chosen])
    return xarray.Dataset(
        found,
        {"group": ("reference", np.repeat(GROUPS, count)), "row": ("reference", chosen)},
        {"statistic": "references", "count": count},
    )


def save_references(
    references: xarray.Dataset, path: str | os.PathLike[str], *, overwrite: bool = False
) -> Path:
    """Write references as Zarr, or as ``.npz`` with ``sigma`` (R, N) first."""
    if not str(path).endswith(".npz"):
        return save_result(references, path, overwrite=overwrite)
    arrays = {str(name): references[name].values for name in ("sigma", *references.data_vars)}
    arrays |= {"group": references["group"].values, "row": references["row"].values}
    return save_arrays(arrays, path, overwrite=overwrite)


def _pair(model: Any, ensemble: Any) -> tuple[IsingModel, Configurations]:
    ising, source = as_model(model), as_sample(ensemble)
    if ising.n_spins != source.n_weights:
        raise InputError(
            f"the model has {ising.n_spins} weights and {source.name} {source.n_weights}; "
            "choose the part that the model was fitted to (--part)"
        )
    source.require(2, "checks of a model")
    return ising, source
