"""Networks of an ensemble as bond matrices, at each time of training that is stored.

Which layers are a chain: those of fully connected families as they are; of imported weights alone,
matrices each of whose inputs are the outputs of the one before.  Biases would be fields; they are
left out, since without fields m = 0 is a solution, and T_c is that of the couplings.  Weights ±1
count as ±1/√inputs, which is how their networks scale them.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lsg_ray import __version__
from lsg_ray.arrays import as_numbers, brief, in_range
from lsg_ray.ensemble.chosen import as_ensemble, chosen_numbers, dataset_of
from lsg_ray.ensemble.reader import Ensemble, open_ensemble
from lsg_ray.errors import InputError
from lsg_ray.networks.families.weights import layers_of
from lsg_ray.neuron_spins.bonds import Bonds, bonds_of
from lsg_ray.spec import NetworkSpec
from lsg_ray.typing import EnsembleLike, Floats, Ints, JsonObject, Numbers

#: Lowest temperature in units of T_SG: below it units are frozen, and 1/T² overflows in the end.
COLDEST = 1e-6


class Link(NamedTuple):
    """One matrix of the chain: where it stands, its shape, and if its last column is biases."""

    start: int
    shape: tuple[int, int]
    bias: bool


class Source(NamedTuple):
    """What tasks read: a store, the links of its chain, and times of training, −1 for the end.

    scaled: whether weights are divided by √inputs.
    """

    url: str
    spec_hash: str
    links: tuple[Link, ...]
    scaled: bool
    times: tuple[int, ...]

    def bonds(self, number: int, time: int, ensemble: Ensemble | None = None) -> Bonds:
        """Return the network of a configuration at a time; the store is opened if it is not given.

        Raises
        ------
        InputError
            A weight is not finite.
        """
        ensemble = ensemble or open_ensemble(self.url)
        view = ensemble if time < 0 else ensemble.snapshot(time)
        flat, matrices = view.take([number])["weights"][0], []
        if not np.isfinite(flat).all():
            raise InputError(f"{self.url}: configuration {number} has weights that are not finite")
        for start, (out, inputs), bias in self.links:
            w = flat[start : start + out * inputs].reshape(out, inputs)
            w = w[:, :-1] if bias else w
            matrices.append(w / np.sqrt(w.shape[1]) if self.scaled else w)
        return bonds_of(matrices)


class Networks(NamedTuple):
    """Networks of an ensemble that are measured.

    numbers (R,): which configurations; steps (T,): steps of the optimizer at `Source.times`, NaN
    where they are not known; biases: whether there are any, which are left out.
    """

    ensemble: Ensemble
    source: Source
    numbers: Ints
    steps: Floats
    biases: bool

    @property
    def widths(self) -> tuple[int, ...]:
        """Units of each layer."""
        links = self.source.links
        return (links[0].shape[1] - links[0].bias, *(link.shape[0] for link in links))

    def measured(self, name: str) -> Floats:
        """Return a column such as accuracy at all times (R, T); NaN where there is none."""
        table = np.full((len(self.numbers), len(self.source.times)), np.nan)
        whole = open_ensemble(self.source.url)
        for index, time in enumerate(self.source.times):
            view = whole if time < 0 else whole.snapshot(time)
            column = name if time < 0 else f"snapshot_{name}"
            if column in view.query_columns:
                table[:, index] = view.take(self.numbers, (column,))[column]
        return table

    def provenance(self, **more: object) -> JsonObject:
        """Return attributes of a result."""
        spec = self.ensemble.spec
        about: JsonObject = {
            "source": spec.name,
            "spec": spec.canonical_json(),
            "spec_hash": self.ensemble.spec_hash,
            "family": spec.network.family,
            "widths": list(self.widths),
            "n_units": sum(self.widths),
            "biases": int(self.biases),
            "package_version": __version__,
            **self.ensemble.time,
            **more,
        }
        if about["biases"]:
            about["note"] = "biases are left out: temperatures are of the couplings alone"
        return about


def open_networks(
    given: EnsembleLike,
    configurations: int | Sequence[int] | None,
    *,
    default: int | None = None,
    along: bool = False,
) -> Networks:
    """Choose networks of an ensemble whose units are taken for spins.

    Parameters
    ----------
    given
        `Ensemble`, a view of one, or its URL.
    configurations
        Number of configurations, the first of the view, or their numbers; None for ``default``.
    default
        Number of configurations where none is given, or all if there are fewer; None for all.
    along
        Whether to take all snapshots along training too, of an ensemble that is no view of one.

    Raises
    ------
    InputError
        The networks are no chain of fully connected layers, or there are none of these numbers.
    """
    ensemble = as_ensemble(given, "an ensemble or the path of its store is needed")
    numbers = chosen_numbers(ensemble, configurations, default)
    if not len(numbers):
        raise InputError("configurations: none given; at least one is needed")
    links = tuple(chain_of(ensemble))
    _, stored = ensemble.spec.times
    steps = dict(zip(stored, ensemble.spec.snapshot_steps, strict=True))
    last = _last_step(ensemble)
    if ensemble.at is not None:
        times: tuple[int, ...] = (stored[ensemble.at],)
    elif along:
        times = (*(time for time in stored if steps[time] != last), -1)
    else:
        times = (-1,)
    at = [steps.get(time, last) for time in times]
    source = Source(ensemble.url, ensemble.spec_hash, links, ensemble.signs, times)
    vectors = any(len(shape) == 1 for shape in layers_of(ensemble.spec.network).values())
    biases = vectors or any(link.bias for link in links)
    return Networks(ensemble, source, numbers, np.array(at, np.float64), biases)


def _last_step(ensemble: Ensemble) -> float:
    """Return the steps of the whole training; NaN of weights alone, and of imported ones."""
    imported = (ensemble.header.derivation or {}).get("kind") == "import"
    if imported or not ensemble.header.family.has_outputs:
        return float("nan")
    spec = ensemble.spec
    return float(spec.training.epochs * spec.units_per_epoch("steps"))


def chain_of(ensemble: Ensemble) -> list[Link]:
    """Return the matrices of the chain of layers.

    Raises
    ------
    InputError
        Says which layer is no matrix, or does not fit the one before.
    """
    network, family = ensemble.spec.network, ensemble.header.family
    if not family.permutable:
        raise InputError(
            f"{ensemble.url}: holds {family.about}; neurons as spins are of chains of fully "
            "connected layers (network.family: relu, binarised, binary)"
        )
    links = _links(network, ensemble.url)
    for before, link in itertools.pairwise(links):
        if link.shape[1] - link.bias != before.shape[0]:
            raise InputError(
                f"{ensemble.url}: a layer of {before.shape[0]} units is followed by one of "
                f"{link.shape[1] - link.bias} inputs; neurons as spins are of chains of layers"
            )
    if not links:
        raise InputError(f"{ensemble.url}: holds no matrix of weights")
    return links


def _links(network: NetworkSpec, url: str) -> list[Link]:
    named = layers_of(network)
    starts = [where.start for where in network.layer_slices]
    if not named:
        shapes = zip(starts, network.shapes, strict=True)
        return [Link(start, shape, network.biases) for start, shape in shapes]
    links = []
    for start, shape, (name, full) in zip(starts, network.shapes, named.items(), strict=True):
        if len(full) > 2:
            raise InputError(
                f"{url}: layer {name} is {'x'.join(map(str, full))}, no matrix; neurons as spins "
                "are of fully connected layers"
            )
        if len(full) == 2:
            links.append(Link(start, shape, "|" in name))
    return links


def checked_temperatures(given: Numbers) -> Floats:
    """Return temperatures in units of T_SG.

    Raises
    ------
    InputError
        They are not positive, below `COLDEST`, or one is there twice.
    """
    T = np.atleast_1d(as_numbers(given, "temperatures"))
    if T.ndim != 1 or not T.size or not (np.isfinite(T) & (T > 0)).all():
        raise InputError(f"temperatures {brief(given)} given; positive numbers are needed")
    return in_range(T, "temperatures", COLDEST, least=True)


def clamped_inputs(ensemble: Ensemble, example: int) -> Floats:
    """Return a test example (inputs,) as the network reads it.

    Raises
    ------
    InputError
        The data are others than the ensemble was sampled on, or have no such example; or the
        network has no hidden layer.
    """
    ensemble.require_outputs()
    if len(ensemble.spec.network.widths) < 3:
        raise InputError(
            f"clamp {example} given; {ensemble.url} has no hidden layer: held at its inputs, its "
            "outputs are free spins"
        )
    dataset = dataset_of(ensemble)
    if example >= len(dataset.test.x):
        raise InputError(
            f"clamp {example} given; there are test examples 0 to {len(dataset.test.x) - 1}"
        )
    return np.asarray(dataset.test.x[example], np.float64)
