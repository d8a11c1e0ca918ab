"""The loss of an architecture on its data, and solutions of an ensemble, for walks and paths.

A `Terrain` holds plain arrays, so it can be sent to tasks; a task converts its examples to torch
once, and evaluates many networks at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lsg_ray import __version__
from lsg_ray.arrays import brief
from lsg_ray.datasets import Dataset, Examples, load_dataset
from lsg_ray.ensemble.chosen import as_ensemble, chosen_numbers
from lsg_ray.ensemble.reader import Ensemble
from lsg_ray.errors import InputError
from lsg_ray.networks.families.relu import ExampleSet, example_set
from lsg_ray.networks.first_layer import Inputs
from lsg_ray.networks.relu_network import evaluate
from lsg_ray.results.checkpoints import TaskResult, run_tasks
from lsg_ray.rng import Stream, generator
from lsg_ray.spec import DatasetSpec, NetworkSpec, Spec
from lsg_ray.typing import Array, EnsembleLike, Floats, Ints, JsonObject, LossTasks, Singles

if TYPE_CHECKING:
    from torch import Tensor

#: Default number of training examples that losses are computed on: their standard error is a
#: hundredth of the standard deviation of the loss over examples.
LOSS_EXAMPLES = 10_000
#: Most bytes of the weights of networks that are evaluated together.
MAX_WEIGHT_BYTES = 1 << 25

#: Measures of a network in their order, with attributes.
MEASURE_ATTRIBUTES: dict[str, dict[str, str]] = {
    "train_loss": {"long_name": "training loss", "units": "nat"},
    "train_accuracy": {"long_name": "training accuracy", "units": "1"},
    "test_loss": {"long_name": "test loss", "units": "nat"},
    "test_accuracy": {"long_name": "test accuracy", "units": "1"},
}
MEASURES = tuple(MEASURE_ATTRIBUTES)


class Terrain(NamedTuple):
    """Architecture, and the examples that the loss is computed on."""

    network: NetworkSpec
    train: ExampleSet
    test: ExampleSet

    def measure(self, weights: Array) -> Floats:
        """Return the `MEASURES` of networks (B, N): (4, B) float64."""
        train, test = self.on()
        measures = [
            np.concatenate([evaluate(self.network, batch, *examples) for examples in (train, test)])
            for batch in batches(weights)
        ]
        return np.concatenate(measures, axis=1) if measures else np.empty((4, 0))

    def loss(self, weights: Array) -> Floats:
        """Return the training loss of networks (B, N): (B,) float64."""
        train, _ = self.on()
        losses = [evaluate(self.network, batch, *train).loss for batch in batches(weights)]
        return np.concatenate(losses)

    def on(self) -> tuple[tuple[Inputs, Tensor], tuple[Inputs, Tensor]]:
        """Return training and test examples for torch; those of the last terrain are cached."""
        cached = _last.get(id(self.train.y))
        if cached is None:
            # The terrain is stored too: no other object may have its address.
            cached = (self, (self.train.on(), self.test.on()))
            _last.clear()
            _last[id(self.train.y)] = cached
        return cached[1]


#: Cache of the terrain that was used last, by the address of its classes.
_last: dict[int, tuple[Terrain, Any]] = {}


def batches(weights: Array) -> list[Array]:
    """Cut networks (B, N) into batches that are evaluated together."""
    size = max(1, MAX_WEIGHT_BYTES // (4 * weights.shape[1]))
    return [weights[start : start + size] for start in range(0, len(weights), size)]


class Solutions(NamedTuple):
    """Solutions of an ensemble: weights (R, N) float32, and their configurations (R,)."""

    ensemble: Ensemble
    numbers: Ints
    weights: Singles

    @property
    def network(self) -> NetworkSpec:
        """Architecture of the networks."""
        return self.ensemble.spec.network

    @property
    def spec(self) -> Spec:
        """Specification of the ensemble."""
        return self.ensemble.spec

    def provenance(self, **more: object) -> JsonObject:
        """Return attributes of a result."""
        return {
            "source": self.spec.name,
            "spec": self.spec.canonical_json(),
            "spec_hash": self.ensemble.spec_hash,
            "widths": list(self.network.widths),
            "package_version": __version__,
            **self.ensemble.time,
            **more,
        }


def open_solutions(
    given: EnsembleLike,
    configurations: int | Sequence[int] | None,
    *,
    default: int | None = None,
    at_least: int = 1,
) -> Solutions:
    """Read solutions of an ensemble of ReLU networks.

    Parameters
    ----------
    given
        `Ensemble`, a view of one, or its URL.
    configurations
        Number of configurations, the first of the view, or their indices; None for `default`.
    default
        Number of configurations where none is given, or all if there are fewer; None for all.
    at_least
        Smallest number of configurations.

    Raises
    ------
    InputError
        The networks are binary, or there are too few configurations, or none of an index.
    """
    ensemble = as_ensemble(
        given,
        "an ensemble of ReLU networks or the path of its store is needed, with the data that they "
        "were trained on",
    )
    ensemble.require_outputs()
    family = ensemble.header.family
    if not family.differentiable:
        raise InputError(
            f"{ensemble.url}: holds {family.about}; ReLU networks of real weights "
            "are needed (network.family: relu)"
        )
    numbers = chosen_numbers(ensemble, configurations, default)
    if len(numbers) < at_least:
        raise InputError(f"{ensemble.url}: {len(numbers)} configurations; {at_least} are needed")
    return Solutions(ensemble, numbers, ensemble.take(numbers)["weights"])


def check_alike(a: Solutions, b: Solutions, *, data: bool = False) -> None:
    """Refuse to join solutions of two ensembles whose networks are not the same function of theirs.

    Parameters
    ----------
    a, b
        Solutions.
    data
        Whether their data must be the same, too.

    Raises
    ------
    InputError
        Their widths, biases, slope below zero, options, or data differ.
    """
    names = ["widths", "biases", "leaky_slope", "options"]
    values = [[getattr(one.network, name) for name in names] for one in (a, b)]
    if data:
        names.append("data")
        for row, one in zip(values, (a, b), strict=True):
            row.append(one.ensemble.header.dataset_hash[:16])
    for name, first, second in zip(names, *values, strict=True):
        if first != second:
            raise InputError(
                f"{a.ensemble.url} has {name} {brief(first)}, {b.ensemble.url} {brief(second)}: "
                f"the same network{' on the same data' if data else ''} is needed"
            )


def terrain_of(ensemble: Ensemble, examples: int | None = LOSS_EXAMPLES, seed: int = 0) -> Terrain:
    """Return the terrain of an ensemble: its network, and the data that it was trained on.

    Parameters
    ----------
    ensemble
        Ensemble of ReLU networks.
    examples
        Number of training examples, drawn at random; 0 for all.  The test set is used whole.
    seed
        Seed of the draw.

    Raises
    ------
    InputError
        The data set differs from the one that the ensemble was sampled on.
    """
    spec = ensemble.spec
    dataset = _dataset(spec.dataset.model_dump_json())
    if ensemble.header.dataset_hash != dataset.content_hash:
        raise InputError(
            f"{ensemble.url}: sampled on other data ({ensemble.header.dataset_hash[:16]}…) than "
            f"the data set has now ({dataset.content_hash[:16]}…)"
        )
    train = dataset.train
    if examples and examples < len(train.y):
        rng = generator(seed, Stream.LANDSCAPE, 0)
        rows = rng.choice(len(train.y), examples, replace=False)
        rows.sort()
        train = Examples(train.x[rows], train.y[rows])
    return Terrain(spec.network, example_set(train), example_set(dataset.test))


@lru_cache(maxsize=1)
def _dataset(spec_json: str) -> Dataset:
    return load_dataset(DatasetSpec.model_validate_json(spec_json), download=False)


def run_protocol(
    work: Callable[..., TaskResult],
    kind: type[TaskResult],
    chosen: Solutions,
    arguments: Sequence[tuple[Any, ...]],
    shape: tuple[int, ...],
    run: LossTasks,
) -> tuple[TaskResult, dict[str, Any]]:
    """Run the tasks of a protocol on the terrain of chosen solutions.

    Parameters
    ----------
    work, kind
        Body of a task, ``work(terrain, *argument)``, and what it returns: a NamedTuple of arrays.
    chosen
        Solutions, whose ensemble has the terrain.
    arguments, shape
        Arguments of each task, and the shape of the array of tasks.
    run
        Options of the protocol: the number of training examples of the terrain, the seed of their
        draw, checkpoints and progress.

    Returns
    -------
    Results of all tasks, each field (*shape, …), and the attributes of a result.
    """
    terrain = terrain_of(chosen.ensemble, run["examples"], run["seed"])
    results = run_tasks(work, terrain, arguments, kind, run["checkpoints"], run["progress"])
    columns = map(np.stack, zip(*results, strict=True))
    stacked = kind(*(column.reshape(*shape, *column.shape[1:]) for column in columns))
    return stacked, chosen.provenance(seed=run["seed"], examples=len(terrain.train.y))


def check_inputs(terrain: Terrain, rows: int = 8) -> Singles:
    """Return a few real test examples, on which reordered networks are compared."""
    x = terrain.test.x
    dense = x if isinstance(x, np.ndarray) else x.dense(rows)
    return np.asarray(dense[:rows])


def measured(
    values: Floats, dimensions: tuple[str, ...]
) -> dict[str, tuple[tuple[str, ...], Floats, dict[str, str]]]:
    """Return `MEASURES` (4, …) as variables of a Dataset."""
    pairs = zip(values, MEASURE_ATTRIBUTES.items(), strict=True)
    return {name: (dimensions, value, about) for value, (name, about) in pairs}
