"""References: the configurations that the entropy landscape is explored around.

They are those of low, medium and high energy under the model in a store, or are given.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray
from numpy.typing import NDArray

from lsg_ray.arrays import as_numbers, public
from lsg_ray.ensemble.reader import Ensemble
from lsg_ray.errors import InputError
from lsg_ray.ising.model import IsingModel
from lsg_ray.ising.targets import as_sample
from lsg_ray.paths import ending, expanded, member_of
from lsg_ray.results.foreign import reading
from lsg_ray.results.graph import compute
from lsg_ray.results.opening import attributes_of, open_archive, open_array, open_result
from lsg_ray.results.records import joined, reduce_tasks
from lsg_ray.results.saving import names_of
from lsg_ray.statistics.configurations import Configurations, chosen_array, is_array_file, ranges
from lsg_ray.statistics.views import Columns
from lsg_ray.typing import Array, ConfigurationsLike, Floats, Ints, Progress, ReferencesLike, Signs

#: Groups of references, in the order of their energy.
ENERGY_GROUPS = ("low", "medium", "high")


@dataclass(frozen=True)
class ReferencesConfig:
    """How many references there are, and how energies are computed."""

    #: References of each group that are taken from a store.
    per_group: int = 20
    #: Most references of an array: each takes a scan.
    max_references: int = 10_000
    #: Configurations of a task, and of a matrix product.
    task_rows: int = 2**15
    product_rows: int = 2**12


CONFIG = ReferencesConfig()


class References(NamedTuple):
    """Configurations that the entropy landscape is explored around.

    sigma: (R, N) int8 ±1, the weights of the model; group: (R,) names, or None; networks: (R, W)
    all weights of the networks they are part of, or None; source: name of the file or store.
    """

    sigma: Signs
    group: NDArray[np.str_] | None
    networks: Signs | None
    source: str

    def coordinates(self) -> dict[str, Array | tuple[str, Array]]:
        """Return coordinates along ``reference``: their numbers, and groups where there are any."""
        groups = {} if self.group is None else {"group": ("reference", self.group)}
        return {"reference": np.arange(len(self.sigma)), **groups}


def as_references(
    references: ReferencesLike, model: IsingModel, count: int | None = None
) -> References:
    """Return references from an array, a file, or a store.

    Parameters
    ----------
    references
        (R, N) or (N,) ±1; Dataset or Zarr of `choose_references`; ``.npz`` with ``sigma`` (R, N),
        or with ``sigma_low``, ``sigma_medium``, ``sigma_high``; ``FILE.npz:NAME``, ``FILE.npy``;
        ensemble, view, or path of a store, of which those of low, medium and high energy are
        chosen.
    model
        Model of the same weights.  References of whole networks are cut to the weights of a model
        that says which they are.
    count
        Number of references of each group, at most; by default 20 of a store, else all.

    Raises
    ------
    InputError
        No references, values other than ±1, configurations of another length, or a file that cannot
        be read as references.
    """
    if isinstance(references, References):
        return references
    if isinstance(references, xarray.Dataset):
        return _from_dataset(references, model, count, "references")
    if isinstance(references, (str, os.PathLike)):
        path = expanded(references)
        if is_array_file(path) or attributes_of(path).get("statistic"):
            return _from_file(path, model, count)
    if isinstance(references, (str, os.PathLike, Ensemble, Configurations)):
        return _from_store(as_sample(references), model, count)
    return _from_array(references, None, model, count, "array")


def _from_array(
    sigma: Any, group: NDArray[np.str_] | None, model: IsingModel, count: int | None, source: str
) -> References:
    values = np.atleast_2d(as_numbers(sigma, f"{source}: references", None))
    if values.ndim != 2:
        raise InputError(
            f"{source}: references of shape {values.shape} given; numbers ±1 of shape "
            f"(R, {model.n_spins}) are needed"
        )
    if group is not None and np.shape(group) != (len(values),):
        raise InputError(
            f"{source}: group of shape {np.shape(group)} given for {len(values)} references"
        )
    if not values.size:
        raise InputError(f"{source}: no references given; at least one is needed")
    wrong = np.argwhere(~((values == 1) | (values == -1)))
    if len(wrong):
        row, spin = wrong[0].tolist()
        raise InputError(
            f"{source}: reference {row} holds {values[row, spin]} at weight {spin}; it must be ±1"
        )
    if len(values) > CONFIG.max_references:
        raise InputError(
            f"{source}: {len(values):,} references given; choose at most {CONFIG.max_references:,}"
        )
    columns = _columns(model, values.shape[1], source)
    networks = None if columns is None else values.astype(np.int8)
    if count is not None:
        labels = np.zeros(len(values)) if group is None else group
        rows = np.sort(np.concatenate([np.flatnonzero(labels == g)[:count] for g in set(labels)]))
        values, group = values[rows], None if group is None else group[rows]
        networks = None if networks is None else networks[rows]
    chosen = values if columns is None else values[:, columns]
    return References(np.ascontiguousarray(chosen, np.int8), group, networks, source)


def _columns(model: IsingModel, width: int, source: str) -> Ints | None:
    """Return the weights of a network that the model is of; None if it has them all."""
    if width == model.n_spins:
        return None
    weights = model.weight
    if weights is None or width <= weights.max() or width < model.n_spins:
        raise InputError(
            f"{source}: references have {width} weights and the model {model.n_spins}; give "
            "references of the part that the model was fitted to"
        )
    return weights


def _from_dataset(
    dataset: xarray.Dataset, model: IsingModel, count: int | None, source: str
) -> References:
    if "sigma" not in dataset:
        raise InputError(f"{source}: holds no sigma; make references with lsg references")
    group = names_of(dataset["group"]) if "group" in dataset.coords else None
    return _from_array(dataset["sigma"].values, group, model, count, source)


def _from_file(path: str, model: IsingModel, count: int | None) -> References:
    source = Path(path).name
    remedy = "name a store, a result of `lsg references`, or an .npz with sigma (R, N)"
    with reading(path, "cannot be read as references", remedy, source):
        if not is_array_file(path):
            with open_result(path) as dataset:
                return _from_dataset(dataset.load(), model, count, source)
        sigma, group = _read_arrays(path)
        return _from_array(sigma, group, model, count, source)


def _read_arrays(path: str) -> tuple[Array, NDArray[np.str_] | None]:
    """Return references of an array file, and their groups where the file names them."""
    file, array = member_of(path)
    if ending(file) == ".npy":
        return open_array(file), None
    with open_archive(file) as arrays:
        if array is not None:
            return arrays[chosen_array(arrays, file, array)], None
        if "sigma" in arrays:
            return arrays["sigma"], arrays["group"].astype(str) if "group" in arrays else None
        groups = [name for name in ENERGY_GROUPS if f"sigma_{name}" in arrays]
        if not groups:
            raise InputError(
                f"holds {', '.join(arrays)}; an array sigma (R, N) is needed: "
                f"write {path}:NAME of another"
            )
        parts = [np.atleast_2d(arrays[f"sigma_{name}"]) for name in groups]
        return np.concatenate(parts), np.repeat(groups, [len(part) for part in parts])


def _from_store(source: Configurations, model: IsingModel, count: int | None) -> References:
    source.require(1, "references")
    columns = _columns(model, source.n_weights, source.name)
    part = source if columns is None else Columns(source, columns)
    energy = stream_energies(model, part).energy
    rows, group = _by_energy(energy, min(count or CONFIG.per_group, max(1, len(energy) // 3)))
    networks = _rows(source, rows)
    if columns is None:
        return References(networks, group, None, source.name)
    return References(networks[:, columns], group, networks, source.name)


class Energies(NamedTuple):
    """energy: (rows,) in nats; accuracy: (rows,), or empty."""

    energy: Floats
    accuracy: Floats


def _energies(model: IsingModel, source: Configurations, start: int, stop: int) -> Energies:
    rows = [
        model.energy(source.rows(start + a, start + b))
        for a, b in ranges(stop - start, CONFIG.product_rows)
    ]
    accuracy = np.empty(0)
    if "accuracy" in source.columns:
        accuracy = source.values("accuracy", np.arange(start, stop)).astype(np.float64)
    return Energies(np.concatenate(rows), accuracy)


def stream_energies(
    model: IsingModel, source: Configurations, progress: Progress | None = None
) -> Energies:
    """Return energies under the model and accuracies of all configurations, block by block."""
    cuts = ranges(source.n_rows, CONFIG.task_rows, source.grain)
    return compute(reduce_tasks(_energies, (model, source), cuts, joined), progress)


def _by_energy(energy: Floats, count: int) -> tuple[Ints, NDArray[np.str_]]:
    """Return rows of the lowest, middle and highest energy, and the names of their groups."""
    order = np.argsort(energy, kind="stable")
    if len(order) < 3 * count:
        return order, np.full(len(order), "all")
    middle = (len(order) - count) // 2
    chosen = np.concatenate([order[:count], order[middle : middle + count], order[-count:]])
    return chosen, np.repeat(ENERGY_GROUPS, count)


def _rows(source: Configurations, rows: Ints) -> Signs:
    """Return chosen rows in the order given."""
    by_row = np.argsort(rows, kind="stable")
    sigma = np.empty((len(rows), source.n_weights), np.int8)
    sigma[by_row] = source.take(rows[by_row])
    return sigma


@public
def choose_references(
    energies: xarray.Dataset, ensemble: ConfigurationsLike, count: int = 20
) -> xarray.Dataset:
    """Choose configurations of low, medium and high energy.

    Parameters
    ----------
    energies
        Energies of all configurations, from `configuration_energies`.
    ensemble
        The same ensemble.
    count
        Number of references of each group: the lowest, the highest, and the nearest to the median.

    Returns
    -------
    xarray.Dataset
        ``sigma`` (reference, weight) int8 ±1, ``energy``, ``accuracy`` (reference), coordinates
        ``group`` and ``row`` (in the ensemble).

    Raises
    ------
    InputError
        Fewer than 3 · count configurations, or energies of another number.
    """
    source = as_sample(ensemble)
    energy = energies["energy"].values
    if len(energy) != source.n_rows:
        raise InputError(f"{len(energy)} energies given for {source.n_rows} configurations")
    if count < 1 or 3 * count > len(energy):
        raise InputError(
            f"{count} references of each of 3 groups given; there are {len(energy)} configurations"
        )
    chosen, group = _by_energy(energy, count)
    sigma = _rows(source, chosen)
    variables = {"sigma": (("reference", "weight"), sigma), "energy": ("reference", energy[chosen])}
    if "accuracy" in energies:
        variables["accuracy"] = ("reference", energies["accuracy"].values[chosen])
    return xarray.Dataset(
        variables,
        {"group": ("reference", group), "row": ("reference", chosen)},
        {"statistic": "references", "count": count},
    )
