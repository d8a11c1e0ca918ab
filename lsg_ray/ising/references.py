"""References: the configurations from which a landscape is explored.

Of low, medium and high energy under the model, from a store; or given as they are.
"""

from __future__ import annotations

import os
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

#: Configurations of a task, and of a product.
TASK_ROWS, ROWS = 2**15, 2**12
#: Groups of references, in the order of their energy.
GROUPS = ("low", "medium", "high")
#: References of each group that are taken from a store.
PER_GROUP = 20
#: Most references of an array: a landscape is computed around each.
MAX_REFERENCES = 10_000


class References(NamedTuple):
    """Where a landscape is explored from.

    sigma: (R, N) int8 ±1, the weights of the model; group: (R,) names, or None; networks: (R, W)
    all weights of the networks they are part of, or None; source: where they come from.
    """

    sigma: Signs
    group: NDArray[np.str_] | None
    networks: Signs | None
    source: str

    def coordinates(self) -> dict[str, Array | tuple[str, Array]]:
        """Return coordinates along ``reference``: their numbers, and groups where there are any."""
        groups = {} if self.group is None else {"group": ("reference", self.group)}
        return {"reference": np.arange(len(self.sigma)), **groups}


def as_references(given: ReferencesLike, model: IsingModel, count: int | None = None) -> References:
    """Return references from an array, a file, or a store.

    Parameters
    ----------
    given
        (R, N) or (N,) ±1; Dataset or Zarr of `choose_references`; ``.npz`` with ``sigma`` (R, N),
        or with ``sigma_low``, ``sigma_medium``, ``sigma_high``; ``FILE.npz:NAME``, ``FILE.npy``;
        ensemble, view, or path of a store, of which those of low, medium and high energy are taken.
    model
        Whose weights they are.  References of whole networks are cut to the part of a model that
        knows its part.
    count
        Of each group: so many, at most; of a store 20 by default, of others all.

    Raises
    ------
    InputError
        Values other than ±1, or of another length; nothing readable; none.
    """
    if isinstance(given, References):
        return given
    if isinstance(given, xarray.Dataset):
        return _from_dataset(given, model, count, "references")
    if isinstance(given, (str, os.PathLike)):
        path = expanded(given)
        if is_array_file(path) or attributes_of(path).get("statistic"):
            return _from_file(path, model, count)
    if isinstance(given, (str, os.PathLike, Ensemble, Configurations)):
        return _from_store(as_sample(given), model, count)
    return _made(given, None, model, count, "array")


def _made(
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
    if len(values) > MAX_REFERENCES:
        raise InputError(
            f"{source}: {len(values):,} references given; at most {MAX_REFERENCES:,}: choose some"
        )
    columns = _columns(model, values.shape[1], source)
    networks = None if columns is None else values.astype(np.int8)
    if count is not None:
        labels = np.zeros(len(values)) if group is None else group
        keep = np.sort(np.concatenate([np.flatnonzero(labels == g)[:count] for g in set(labels)]))
        values, group = values[keep], None if group is None else group[keep]
        networks = None if networks is None else networks[keep]
    chosen = values if columns is None else values[:, columns]
    return References(np.ascontiguousarray(chosen, np.int8), group, networks, source)


def _columns(model: IsingModel, width: int, source: str) -> Ints | None:
    """Return which weights of a network the model is of; None if it has them all."""
    if width == model.n_spins:
        return None
    places = model.weight
    if places is None or width <= places.max() or width < model.n_spins:
        raise InputError(
            f"{source}: references have {width} weights and the model {model.n_spins}; give "
            "references of the part that the model was fitted to"
        )
    return places


def _from_dataset(
    found: xarray.Dataset, model: IsingModel, count: int | None, source: str
) -> References:
    if "sigma" not in found:
        raise InputError(f"{source}: holds no sigma; make references with lsg references")
    group = names_of(found["group"]) if "group" in found.coords else None
    return _made(found["sigma"].values, group, model, count, source)


def _from_file(path: str, model: IsingModel, count: int | None) -> References:
    source = Path(path).name
    remedy = "name a store, a Zarr of `lsg check --references`, or an .npz with sigma (R, N)"
    with reading(path, "cannot be read as references", remedy, source):
        if not is_array_file(path):
            with open_result(path) as found:
                return _from_dataset(found.load(), model, count, source)
        sigma, group = _held(path)
        return _made(sigma, group, model, count, source)


def _held(path: str) -> tuple[Array, NDArray[np.str_] | None]:
    """Return references of an array file, and their groups where it names them."""
    file, array = member_of(path)
    if ending(file) == ".npy":
        return open_array(file), None
    with open_archive(file) as arrays:
        if array is not None:
            return arrays[chosen_array(arrays, file, array)], None
        if "sigma" in arrays:
            return arrays["sigma"], arrays["group"].astype(str) if "group" in arrays else None
        named = [name for name in GROUPS if f"sigma_{name}" in arrays]
        if not named:
            raise InputError(
                f"holds {', '.join(arrays)}; an array sigma (R, N) is needed: "
                f"write {path}:NAME of another"
            )
        some = [np.atleast_2d(arrays[f"sigma_{name}"]) for name in named]
        return np.concatenate(some), np.repeat(named, [len(rows) for rows in some])


def _from_store(source: Configurations, model: IsingModel, count: int | None) -> References:
    source.require(1, "references")
    columns = _columns(model, source.n_weights, source.name)
    some = source if columns is None else Columns(source, columns)
    energy = stream_energies(model, some).energy
    rows, group = _by_energy(energy, min(count or PER_GROUP, max(1, len(energy) // 3)))
    networks = _rows(source, rows)
    if columns is None:
        return References(networks, group, None, source.name)
    return References(networks[:, columns], group, networks, source.name)


class Energies(NamedTuple):
    """energy: (rows,) in nats; accuracy: (rows,), or empty."""

    energy: Floats
    accuracy: Floats


def _energies(model: IsingModel, source: Configurations, start: int, stop: int) -> Energies:
    rows = [model.energy(source.rows(start + a, start + b)) for a, b in ranges(stop - start, ROWS)]
    accuracy = np.empty(0)
    if "accuracy" in source.columns:
        accuracy = source.values("accuracy", np.arange(start, stop)).astype(np.float64)
    return Energies(np.concatenate(rows), accuracy)


def stream_energies(
    model: IsingModel, source: Configurations, progress: Progress | None = None
) -> Energies:
    """Return energies under the model and accuracies of all configurations, block by block."""
    cuts = ranges(source.n_rows, TASK_ROWS, source.grain)
    return compute(reduce_tasks(_energies, (model, source), cuts, joined), progress)


def _by_energy(energy: Floats, count: int) -> tuple[Ints, NDArray[np.str_]]:
    """Return rows of the lowest, middle and highest energy, and the names of their groups."""
    order = np.argsort(energy, kind="stable")
    if len(order) < 3 * count:
        return order, np.full(len(order), "all")
    middle = (len(order) - count) // 2
    chosen = np.concatenate([order[:count], order[middle : middle + count], order[-count:]])
    return chosen, np.repeat(GROUPS, count)


def _rows(source: Configurations, rows: Ints) -> Signs:
    """Return chosen rows in the order given."""
    by_row = np.argsort(rows, kind="stable")
    found = np.empty((len(rows), source.n_weights), np.int8)
    found[by_row] = source.take(rows[by_row])
    return found


@public
def choose_references(
    energies: xarray.Dataset, ensemble: ConfigurationsLike, count: int = 20
) -> xarray.Dataset:
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
    chosen, group = _by_energy(energy, count)
    sigma = _rows(source, chosen)
    found = {"sigma": (("reference", "weight"), sigma), "energy": ("reference", energy[chosen])}
    if "accuracy" in energies:
        found["accuracy"] = ("reference", energies["accuracy"].values[chosen])
    return xarray.Dataset(
        found,
        {"group": ("reference", group), "row": ("reference", chosen)},
        {"statistic": "references", "count": count},
    )
