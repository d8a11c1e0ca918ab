"""The ground that walks and paths run over: an architecture, its data, and solutions on it.

A terrain is plain arrays, so it goes into tasks anywhere; a task lays its examples out for torch
once and evaluates many networks at a time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lsg_ray import __version__
from lsg_ray.arrays import as_integers, as_numbers, brief
from lsg_ray.datasets import Dataset, Examples, load_dataset
from lsg_ray.ensemble.reader import Ensemble, open_ensemble
from lsg_ray.errors import InputError
from lsg_ray.networks.families.relu import ExampleSet, example_set
from lsg_ray.networks.first_layer import Inputs
from lsg_ray.networks.relu_network import evaluate
from lsg_ray.results.pieces import Piece, run_tasks
from lsg_ray.rng import Stream, generator
from lsg_ray.spec import NetworkSpec, Spec
from lsg_ray.typing import Array, EnsembleLike, Floats, Ints, JsonObject, Progress, Singles

if TYPE_CHECKING:
    from torch import Tensor

#: Training examples that losses are taken on unless told otherwise: their standard error is below
#: a hundredth of the spread of the loss over examples.
EXAMPLES = 10_000
#: Bytes of the weights of networks that are evaluated together.
BATCH_BYTES = 1 << 25

#: What is measured of a network, in this order.
ATTRIBUTES: dict[str, dict[str, str]] = {
    "train_loss": {"long_name": "training loss", "units": "nat"},
    "train_accuracy": {"long_name": "training accuracy", "units": "1"},
    "test_loss": {"long_name": "test loss", "units": "nat"},
    "test_accuracy": {"long_name": "test accuracy", "units": "1"},
}
MEASURES = tuple(ATTRIBUTES)


class Terrain(NamedTuple):
    """Architecture, and the examples that the loss is taken on."""

    network: NetworkSpec
    train: ExampleSet
    test: ExampleSet

    def measure(self, weights: Array) -> Floats:
        """Return the `MEASURES` of networks (B, N): (4, B) float64."""
        train, test = self.on()
        pieces = [
            np.concatenate([evaluate(self.network, some, *examples) for examples in (train, test)])
            for some in batches(weights)
        ]
        return np.concatenate(pieces, axis=1) if pieces else np.empty((4, 0))

    def loss(self, weights: Array) -> Floats:
        """Return the training loss of networks (B, N): (B,) float64."""
        train, _ = self.on()
        found = [evaluate(self.network, some, *train).loss for some in batches(weights)]
        return np.concatenate(found)

    def on(self) -> tuple[tuple[Inputs, Tensor], tuple[Inputs, Tensor]]:
        """Return training and test examples laid out for torch; those of the last terrain stay."""
        found = _last.get(id(self.train.y))
        if found is None:
            # The terrain is kept too: its address must not be given to another.
            found = (self, (self.train.on(), self.test.on()))
            _last.clear()
            _last[id(self.train.y)] = found
        return found[1]


#: By the address of its classes: the terrain that was used last, laid out for torch.
_last: dict[int, tuple[Terrain, Any]] = {}


def batches(weights: Array) -> list[Array]:
    """Cut networks (B, N) into batches that are evaluated together."""
    size = max(1, BATCH_BYTES // (4 * weights.shape[1]))
    return [weights[start : start + size] for start in range(0, len(weights), size)]


class Solutions(NamedTuple):
    """Chosen solutions of an ensemble: weights (R, N) float32, and which they are (R,)."""

    ensemble: Ensemble
    numbers: Ints
    weights: Singles

    @property
    def network(self) -> NetworkSpec:
        """Their architecture."""
        return self.ensemble.spec.network

    @property
    def spec(self) -> Spec:
        """The run that they come from."""
        return self.ensemble.spec

    def provenance(self, **more: object) -> JsonObject:
        """Return attributes of a result."""
        return {
            "source": self.spec.name, "spec": self.spec.canonical_json(),
            "spec_hash": self.ensemble.spec_hash, "widths": list(self.network.widths),
            "package_version": __version__, **self.ensemble.time, **more,
        }  # fmt: skip


def open_solutions(
    given: EnsembleLike,
    configurations: int | Sequence[int] | None,
    *,
    usual: int | None = None,
    least: int = 1,
) -> Solutions:
    """Read solutions of an ensemble of ReLU networks.

    Parameters
    ----------
    given
        `Ensemble`, a view of one, or its URL.
    configurations
        The first so many of the view, or which by number; None for the usual number.
    usual
        The first so many or, if there are fewer, all; None for all.
    least
        How many are needed.

    Raises
    ------
    InputError
        The ensemble is of binary networks, has too few configurations, or not those asked for.
    """
    ensemble = _opened(given)
    ensemble.require_outputs()
    if ensemble.signs:
        raise InputError(
            f"{ensemble.url}: holds binary networks; this is for networks of real weights "
            "(network.family: relu)"
        )
    if ensemble.is_part:
        raise InputError(f"{ensemble.url}: a view of a part given; whole networks are needed")
    there = ensemble.column("configuration")
    if configurations is None or isinstance(configurations, (int, np.integer)):
        most = len(there) if usual is None else min(usual, len(there))
        wanted = most if configurations is None else int(configurations)
        if not len(there):
            raise InputError(f"{ensemble.url}: no configurations; sample first, or relax --where")
        if wanted < 1 or wanted > len(there):
            raise InputError(
                f"configurations {wanted} given; {ensemble.url} has {len(there)} to choose from"
            )
        numbers = there[:wanted]
    else:
        numbers = as_integers(configurations, "configurations")
        missing = np.setdiff1d(numbers, there)
        if len(missing):
            raise InputError(f"configuration {missing[0]} given; {ensemble.url} does not have it")
    if len(numbers) < least:
        raise InputError(f"{ensemble.url}: {len(numbers)} configurations; {least} are needed")
    return Solutions(ensemble, numbers, ensemble.take(numbers)["weights"])


def _opened(given: Any) -> Ensemble:
    if isinstance(given, Ensemble):
        return given
    if not isinstance(given, (str, os.PathLike)):
        raise InputError(
            f"{type(given).__name__} given; an ensemble of ReLU networks or the path of its store "
            "is needed, which hold the data that they were trained on: lsg_ray.open_ensemble(PATH)"
        )
    return open_ensemble(given)


def terrain_of(ensemble: Ensemble, examples: int | None = EXAMPLES, seed: int = 0) -> Terrain:
    """Return the terrain of an ensemble: its network, and the data that it was trained on.

    Parameters
    ----------
    ensemble
        Of ReLU networks.
    examples
        Training examples, drawn by seed; 0 for all.  The test set is always whole.
    seed
        Of the draw.

    Raises
    ------
    InputError
        More examples than there are, or other data than the ensemble was sampled on.
    """
    spec = ensemble.spec
    dataset = _dataset(spec.dataset.model_dump_json())
    if ensemble.header.dataset_hash != dataset.content_hash:
        raise InputError(
            f"{ensemble.url}: sampled on other data ({ensemble.header.dataset_hash[:16]}…) than "
            f"are at hand ({dataset.content_hash[:16]}…)"
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
    from lsg_ray.spec import DatasetSpec

    return load_dataset(DatasetSpec.model_validate_json(spec_json), download=False)


def run_protocol(
    work: Callable[..., Piece],
    kind: type[Piece],
    chosen: Solutions,
    arguments: Sequence[tuple[Any, ...]],
    shape: tuple[int, ...],
    *,
    examples: int | None,
    seed: int,
    pieces: Path | None,
    progress: Progress | None,
) -> tuple[Piece, dict[str, Any]]:
    """Run the tasks of a protocol on the terrain of chosen solutions.

    Parameters
    ----------
    work, kind
        Body of a task, ``work(terrain, *argument)``, and what it returns: a NamedTuple of arrays.
    chosen
        Solutions that the terrain is theirs of.
    arguments, shape
        Of each task, and the shape that the tasks have together.
    examples, seed
        Of the terrain.
    pieces, progress
        As `lsg_ray.results.pieces.run_tasks` takes them.

    Returns
    -------
    What all tasks have found, each field (*shape, …), and the attributes of a result.
    """
    terrain = terrain_of(chosen.ensemble, examples, seed)
    found = run_tasks(work, terrain, arguments, kind, pieces, progress)
    columns = map(np.stack, zip(*found, strict=True))
    stacked = kind(*(column.reshape(*shape, *column.shape[1:]) for column in columns))
    return stacked, chosen.provenance(seed=seed, examples=len(terrain.train.y))


def check_inputs(terrain: Terrain, rows: int = 8) -> Singles:
    """Return a few real test examples, on which reordered networks are compared."""
    x = terrain.test.x
    dense = x if isinstance(x, np.ndarray) else x.dense(rows)
    return np.asarray(dense[:rows])


def as_positive(given: ArrayLike, name: str) -> Floats:
    """Return one or several positive numbers as an array.

    >>> as_positive(0.1, "sigma").tolist()
    [0.1]
    """
    values = np.atleast_1d(as_numbers(given, name))
    if values.ndim != 1 or not values.size or not ((values > 0) & (values < np.inf)).all():
        raise InputError(f"{name} {brief(given)} given; it must be positive, one or several")
    return values


def measured(
    values: Floats, dimensions: tuple[str, ...]
) -> dict[str, tuple[tuple[str, ...], Floats, dict[str, str]]]:
    """Return `MEASURES` (4, …) as variables of a Dataset."""
    both = zip(values, ATTRIBUTES.items(), strict=True)
    return {name: (dimensions, value, about) for value, (name, about) in both}
