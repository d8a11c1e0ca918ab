"""What can be chosen by name: each kind in one table, name and place; packages add to all of them.

A module is loaded when one of its things is used.  Installed packages declare theirs by entry
points of the group ``lsg_ray.plugins``; a specification never names a module.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from lsg_ray.errors import DataError, InputError, LsgError

if TYPE_CHECKING:
    from lsg_ray.datasets.source import Source
    from lsg_ray.ising.fitted import FitMethod
    from lsg_ray.networks.algorithm import Algorithm
    from lsg_ray.networks.family import Family

Kind = TypeVar("Kind")

PLUGINS = "lsg_ray.plugins"


def loaded(path: str) -> Any:
    """Return what ``module:name`` names."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


@cache
def installed() -> tuple[Any, ...]:
    """Return what installed packages declare."""
    return tuple(point.load() for point in entry_points(group=PLUGINS))


@cache
def origins() -> dict[str, str]:
    """Return package and version of what installed packages declare, by name."""
    points = ((point.load(), point.dist) for point in entry_points(group=PLUGINS))
    return {one.name: f"{dist.name} {dist.version}" for one, dist in points if dist is not None}


def declared(kind: type[Kind]) -> dict[str, Kind]:
    """Return what installed packages declare of a kind, such as stages, by name."""
    return {one.name: one for one in installed() if isinstance(one, kind)}  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Registry(Generic[Kind]):
    """Things of a kind by name.

    Parameters
    ----------
    word
        What they are called in messages.
    kind
        Place of their class, by which those of installed packages are known.
    ours
        Place of each, ``module:name``.
    error
        Raised for a name that is not there.
    """

    word: str
    kind: str
    ours: Mapping[str, str]
    error: type[LsgError] = InputError

    def names(self) -> tuple[str, ...]:
        """Return all names, ours first."""
        return (*self.ours, *(name for name in self._others() if name not in self.ours))

    def __contains__(self, name: object) -> bool:
        return name in self.ours or name in self._others()

    def __getitem__(self, name: str) -> Kind:
        """Return the one of a name.

        Raises
        ------
        LsgError
            There is none; those that there are, are named.
        """
        if name in self.ours:
            found: Kind = loaded(self.ours[name])
            return found
        others = self._others()
        if name not in others:
            raise self.error(
                f"{name[:64]!r} is no {self.word}; there are {', '.join(self.names())}"
            )
        return others[name]

    def _others(self) -> dict[str, Kind]:
        return declared(loaded(self.kind)) if installed() else {}


#: Families of networks: `network.family`.
FAMILIES: Registry[Family] = Registry(
    "family of networks", "lsg_ray.networks.family:Family",
    {
        "binary": "lsg_ray.networks.families.binary:FAMILY",
        "relu": "lsg_ray.networks.families.relu:FAMILY",
    },
)  # fmt: skip
#: Training algorithms: `training.algorithm`.
ALGORITHMS: Registry[Algorithm] = Registry(
    "training algorithm", "lsg_ray.networks.algorithm:Algorithm",
    {
        "mean-field": "lsg_ray.networks.solvers.mean_field:ALGORITHM",
        "descent": "lsg_ray.networks.solvers.descent:ALGORITHM",
    },
)  # fmt: skip
#: Data sets: `dataset.name`.
DATA_SETS: Registry[Source] = Registry(
    "data set", "lsg_ray.datasets.source:Source",
    {
        "digits": "lsg_ray.datasets.digits:SOURCE",
        "mnist": "lsg_ray.datasets.mnist:SOURCE",
        "fashion-mnist": "lsg_ray.datasets.fashion_mnist:SOURCE",
        "cifar10": "lsg_ray.datasets.cifar10:SOURCE",
        "cifar100": "lsg_ray.datasets.cifar100:SOURCE",
    },
    DataError,
)  # fmt: skip
#: Methods of fitting: ``method`` of `lsg_ray.fit_boltzmann`.
FIT_METHODS: Registry[FitMethod] = Registry(
    "method of fitting", "lsg_ray.ising.fitted:FitMethod",
    {
        "pcd": "lsg_ray.ising.pcd:METHOD",
        "bp": "lsg_ray.ising.bethe:METHOD",
        "plm": "lsg_ray.ising.pseudolikelihood:METHOD",
        "exact": "lsg_ray.ising.exact:METHOD",
    },
)  # fmt: skip
