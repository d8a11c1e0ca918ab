"""What can be chosen by name: each kind in one table, name and place; packages add to all of them.

A module is loaded when one of its things is used.  Installed packages declare theirs by entry
points of the group ``lsg_ray.plugins``; a specification never names a module.
"""

from __future__ import annotations

import re
import warnings
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
#: Names that packages may give.
NAME = re.compile(r"[a-z][a-z0-9-]{0,63}")


def loaded(path: str) -> Any:
    """Return what ``module:name`` names."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


@cache
def installed() -> tuple[tuple[Any, str], ...]:
    """Return what installed packages declare, each with its package and version.

    What cannot be loaded, or has no name that a command may have, is left out with a warning.
    """
    found = []
    for point in entry_points(group=PLUGINS):
        origin = point.value if point.dist is None else f"{point.dist.name} {point.dist.version}"
        try:
            what = point.load()
            name = what.name
        except MemoryError:
            raise
        except Exception as error:  # whatever a package of somebody else does
            told = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            warnings.warn(f"{origin}: {point.name} is left out ({told})", stacklevel=2)
            continue
        if not isinstance(name, str) or not NAME.fullmatch(name):
            told = "names are small letters, digits and -"
            warnings.warn(f"{origin}: {point.name} is left out ({told})", stacklevel=2)
            continue
        found.append((what, origin))
    return tuple(found)


def origins() -> dict[str, str]:
    """Return package and version of what installed packages declare, by name."""
    return {what.name: origin for what, origin in installed()}


def declared(kind: type[Kind]) -> dict[str, Kind]:
    """Return what installed packages declare of a kind, such as stages, by name."""
    of_kind = (what for what, _ in installed() if isinstance(what, kind))
    return {what.name: what for what in of_kind}  # type: ignore[attr-defined]


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
        "perceptron": "lsg_ray.networks.families.committee:PERCEPTRON",
        "committee": "lsg_ray.networks.families.committee:COMMITTEE",
        "parity": "lsg_ray.networks.families.committee:PARITY",
        "spherical-perceptron": "lsg_ray.networks.families.committee:SPHERICAL_PERCEPTRON",
        "spherical-committee": "lsg_ray.networks.families.committee:SPHERICAL_COMMITTEE",
    },
)  # fmt: skip
#: Training algorithms: `training.algorithm`.
ALGORITHMS: Registry[Algorithm] = Registry(
    "training algorithm", "lsg_ray.networks.algorithm:Algorithm",
    {
        "mean-field": "lsg_ray.networks.solvers.mean_field:ALGORITHM",
        "descent": "lsg_ray.networks.solvers.descent:ALGORITHM",
        "least-action": "lsg_ray.networks.solvers.least_action:ALGORITHM",
        "focusing-bp": "lsg_ray.networks.solvers.focusing_bp:ALGORITHM",
        "reinforced-bp": "lsg_ray.networks.solvers.reinforced_bp:ALGORITHM",
        "reinforced-amp": "lsg_ray.networks.solvers.reinforced_amp:ALGORITHM",
        "max-sum": "lsg_ray.networks.solvers.max_sum:ALGORITHM",
        "entropic-least-action": "lsg_ray.networks.solvers.entropic_least_action:ALGORITHM",
        "cross-entropy-sgd": "lsg_ray.networks.solvers.cross_entropy_sgd:ALGORITHM",
        "elastic-sgd": "lsg_ray.networks.solvers.elastic_sgd:ALGORITHM",
        "entropy-sgd": "lsg_ray.networks.solvers.entropy_sgd:ALGORITHM",
        "replicated-sgd": "lsg_ray.networks.solvers.replicated_sgd:ALGORITHM",
        "annealing": "lsg_ray.networks.solvers.annealing:ALGORITHM",
        "replicated-annealing": "lsg_ray.networks.solvers.replicated_annealing:ALGORITHM",
        "spherical-focusing-bp": "lsg_ray.networks.solvers.spherical_focusing_bp:ALGORITHM",
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
        "file": "lsg_ray.datasets.file:SOURCE",
        "random-patterns": "lsg_ray.datasets.random_patterns:SOURCE",
        "teacher": "lsg_ray.datasets.teacher:SOURCE",
        "gaussian-mixture": "lsg_ray.datasets.gaussian_mixture:SOURCE",
        "parity": "lsg_ray.datasets.parity:SOURCE",
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
