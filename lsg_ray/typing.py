"""Types of public arguments: what is accepted, and within which bounds.

Bounds are part of the type (`annotated_types`): commands, specifications and help use them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypedDict

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    import obstore
    import xarray

    from lsg_ray.ensemble.reader import Ensemble
    from lsg_ray.ising.model import IsingModel
    from lsg_ray.ising.references import References
    from lsg_ray.ising.targets import Target
    from lsg_ray.spec import Spec
    from lsg_ray.statistics.configurations import Configurations

#: A local path, or a URL.
PathOrUrl: TypeAlias = str | os.PathLike[str]
Floats: TypeAlias = NDArray[np.float64]
Singles: TypeAlias = NDArray[np.float32]
Ints: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]
#: Spins or binary weights: ±1.
Signs: TypeAlias = NDArray[np.int8]
Bytes: TypeAlias = NDArray[np.uint8]
#: Of any type of number.
Array: TypeAlias = NDArray[Any]
#: Called with ``(done, total)``.
Progress: TypeAlias = Callable[[int, int], None]
#: Called with ``(file, bytes so far, bytes in total)``.
ByteProgress: TypeAlias = Callable[[str, int, int | None], None]

#: A JSON object: a document, attributes, what a command prints.
JsonObject: TypeAlias = dict[str, Any]
#: What is stored under a key.
Data: TypeAlias = "bytes | obstore.Bytes"
#: Variables of a Dataset: dimensions, values, attributes.
Variables: TypeAlias = dict[str, tuple[Any, ...]]

#: A store: open, or its path or URL.
EnsembleLike: TypeAlias = "Ensemble | PathOrUrl"
#: An ensemble, or what else has configurations: also a file of an array, or an array (M, N).
ConfigurationsLike: TypeAlias = "Configurations | Ensemble | PathOrUrl | ArrayLike"
#: An effective model: open, its path or URL, or (J, h).
ModelLike: TypeAlias = "IsingModel | xarray.Dataset | PathOrUrl | tuple[ArrayLike, ArrayLike]"
#: Configurations to start from: ±1 (R, N), or the path or URL of a store, a result or an ``.npz``.
ReferencesLike: TypeAlias = "References | xarray.Dataset | ConfigurationsLike"
#: Moments: a Dataset, (m, C), or the path of a result or an ``.npz``; or configurations.
MomentsLike: TypeAlias = (
    "Target | xarray.Dataset | tuple[ArrayLike, ArrayLike] | ConfigurationsLike"
)


#: Help of arguments that many functions share, unless their docstrings give another.
SHARED_HELP = {
    "seed": "Seed of all random numbers.",
    "threads": "Number of threads; by default one per CPU.",
    "progress": "Called with (done, total).",
    "fields": "Distance fields x, in nats.",
    "count": "Largest number of references of each group; of a store by default 20.",
    "beta": "Inverse temperature.",
}


class As:
    """Marks an argument that a command or a specification gives as a narrower type."""

    def __init__(self, kind: object) -> None:
        self.kind = kind


class AsPath:
    """Marks an argument that commands and specifications give as a path or URL."""


#: A specification, or the path of one.
SpecLike = Annotated["Spec | PathOrUrl", AsPath()]

#: Largest integer argument: a larger one is a typing error, and would not fit into memory.
MAX_INTEGER = 2**31 - 1
#: Largest size of a real option, as of weights: squares of larger ones overflow in float32.
MAX_NUMBER = 1e15
Count = Annotated[int, Ge(1), Le(MAX_INTEGER)]
#: At least two: enough for a standard error of the mean.
Several = Annotated[int, Ge(2), Le(MAX_INTEGER)]
#: Random draws, or bootstrap samples, that a mean and a spread are taken of.  They are computed one
#: by one; of the most, the spread is known to 0.2 %, 1/√(2 draws), and more only take for ever.
Repeats = Annotated[int, Ge(2), Le(100_000)]
#: Most draws of a Markov chain, whose energies are in memory: 80 MB of each chain.
MAX_DRAWS = 10_000_000
Natural = Annotated[int, Ge(0), Le(MAX_INTEGER)]
Seed = Annotated[int, Ge(0), Lt(2**128)]
Positive = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
#: From 0 to 1, without 1.
Share = Annotated[float, Ge(0), Lt(1)]


class ListOf:
    """Marks an array argument that a command or a specification gives as a list of numbers.

    kind: type of its entries; steps: whether START:STOP:STEP is accepted too.
    """

    def __init__(self, kind: type[float] | type[int], *, steps: bool = False) -> None:
        self.kind, self.steps = kind, steps

    def __repr__(self) -> str:
        return f"ListOf({self.kind.__name__}, steps={self.steps})"


Numbers = Annotated[ArrayLike, ListOf(float)]
Integers = Annotated[int | Sequence[int], ListOf(int)]
#: Values of a parameter that is swept: listed, or START:STOP:STEP.
Steps = Annotated[ArrayLike, ListOf(float, steps=True)]


class Default:
    """Marks the default of an option that functions share, below; without it, it is None."""

    def __init__(self, value: object) -> None:
        self.value = value


class Tasks(TypedDict, total=False):
    """Options of functions that run tasks: a folder of their results, and who is told of them.

    A function takes such a group as ``**run: Unpack[Tasks]``, and passes it on; to callers,
    `public` shows its options one by one, with their defaults (`lsg_ray.bounds.signature_of`).
    """

    progress: Progress | None
    checkpoints: PathOrUrl | None


class SeededTasks(Tasks, total=False):
    """Those, and the seed of all random numbers."""

    seed: Annotated[Seed, Default(0)]


class LossTasks(SeededTasks, total=False):
    """Those, and the number of training examples that a loss is computed on."""

    examples: Annotated[Natural | None, Default(10_000)]


class ChosenLossTasks(LossTasks, total=False):
    """Those, and the configurations to measure: their number, or their indices."""

    configurations: Integers | None


class Seeded(TypedDict, total=False):
    """Options of functions that draw random numbers: their seed, and who is told of progress."""

    progress: Progress | None
    seed: Annotated[Seed, Default(0)]


class Threads(Seeded, total=False):
    """Those of functions that run on threads of this machine."""

    threads: int | None
