"""What can be chosen by name: a table of names and import paths for each kind; packages add to all.

A module is loaded when one of its entries is used.  Installed packages declare theirs by entry
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

from lsg_ray.errors import DataError, InputError, LsgError, meant

if TYPE_CHECKING:
    from lsg_ray.datasets.source import Source
    from lsg_ray.exchange.format import Format
    from lsg_ray.ising.fitted import FitMethod
    from lsg_ray.networks.algorithm import Algorithm
    from lsg_ray.networks.family import Family

Kind = TypeVar("Kind")

PLUGINS = "lsg_ray.plugins"
#: Names that packages may give.
PLUGIN_NAME = re.compile(r"[a-z][a-z0-9-]{0,63}")


def loaded(path: str) -> Any:
    """Import what ``module:name`` names."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


@cache
def installed() -> tuple[tuple[Any, str], ...]:
    """Return what installed packages declare, each with its package and version.

    What cannot be loaded, or has no name that a command may have, is left out with a warning.
    """
    plugins = []
    for point in entry_points(group=PLUGINS):
        origin = point.value if point.dist is None else f"{point.dist.name} {point.dist.version}"
        try:
            plugin = point.load()
            name = plugin.name
        except MemoryError:
            raise
        except Exception as error:  # plugins may fail in any way
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            warnings.warn(f"{origin}: {point.name} is left out ({reason})", stacklevel=2)
            continue
        if not isinstance(name, str) or not PLUGIN_NAME.fullmatch(name):
            reason = "names are small letters, digits and -"
            warnings.warn(f"{origin}: {point.name} is left out ({reason})", stacklevel=2)
            continue
        plugins.append((plugin, origin))
    return tuple(plugins)


def origins() -> dict[str, str]:
    """Return package and version of what installed packages declare, by name."""
    return {plugin.name: origin for plugin, origin in installed()}


def declared(kind: type[Kind]) -> dict[str, Kind]:
    """Return what installed packages declare of a kind, such as stages, by name."""
    of_kind = (plugin for plugin, _ in installed() if isinstance(plugin, kind))
    return {plugin.name: plugin for plugin in of_kind}  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Registry(Generic[Kind]):
    """Everything of one kind, by name.

    Parameters
    ----------
    word
        What the kind is called in messages.
    kind
        Import path of its class, ``module:name``, by which plugins are recognised.
    builtin
        Import path of each entry of this package, ``module:name``.
    error
        Exception for an unknown name.
    """

    word: str
    kind: str
    builtin: Mapping[str, str]
    error: type[LsgError] = InputError

    def names(self) -> tuple[str, ...]:
        """Return all names, those of this package first."""
        return (*self.builtin, *(name for name in self.plugins() if name not in self.builtin))

    def __contains__(self, name: object) -> bool:
        return name in self.builtin or name in self.plugins()

    def __getitem__(self, name: str) -> Kind:
        """Return the entry of a name.

        Raises
        ------
        LsgError
            The name is unknown; the message lists the known ones.
        """
        if name in self.builtin:
            entry: Kind = loaded(self.builtin[name])
            return entry
        plugins = self.plugins()
        if name not in plugins:
            raise self.error(
                f"{name[:64]!r} is no {self.word}; there are {', '.join(self.names())}"
                f"{meant(name, self.names())}"
            )
        return plugins[name]

    def plugins(self) -> dict[str, Kind]:
        """Return the entries of installed packages."""
        return declared(loaded(self.kind)) if installed() else {}


def _modules(folder: str, entry: str, *names: str) -> dict[str, str]:
    """Return the import path of each name: of an entry of the module of that name in a folder."""
    return {name: f"lsg_ray.{folder}.{name.replace('-', '_')}:{entry}" for name in names}


#: Families of networks: `network.family`.
FAMILIES: Registry[Family] = Registry(
    "family of networks",
    "lsg_ray.networks.family:Family",
    {
        "binary": "lsg_ray.networks.families.binary:FAMILY",
        "real": "lsg_ray.networks.families.real:FAMILY",
        "relu": "lsg_ray.networks.families.relu:FAMILY",
        "binarised": "lsg_ray.networks.families.binarised:FAMILY",
        "perceptron": "lsg_ray.networks.families.committee:PERCEPTRON",
        "committee": "lsg_ray.networks.families.committee:COMMITTEE",
        "parity": "lsg_ray.networks.families.committee:PARITY",
        "spherical-perceptron": "lsg_ray.networks.families.committee:SPHERICAL_PERCEPTRON",
        "spherical-committee": "lsg_ray.networks.families.committee:SPHERICAL_COMMITTEE",
        "spherical-parity": "lsg_ray.networks.families.committee:SPHERICAL_PARITY",
        "weights": "lsg_ray.networks.families.weights:SIGNS",
        "real-weights": "lsg_ray.networks.families.weights:REALS",
    },
)
#: Training algorithms: `training.algorithm`.
ALGORITHMS: Registry[Algorithm] = Registry(
    "training algorithm",
    "lsg_ray.networks.algorithm:Algorithm",
    _modules(
        "networks.solvers", "ALGORITHM",
        "mean-field", "backpropagation", "descent", "related-descent", "straight-through",
        "least-action", "entropic-least-action", "cross-entropy-sgd", "elastic-sgd", "entropy-sgd",
        "replicated-sgd", "annealing", "replicated-annealing", "spherical-focusing-bp",
        "focusing-bp", "reinforced-bp", "reinforced-amp", "max-sum",
    ),
)  # fmt: skip
#: Data sets: `dataset.name`.
DATA_SETS: Registry[Source] = Registry(
    "data set",
    "lsg_ray.datasets.source:Source",
    _modules(
        "datasets",
        "SOURCE",
        "digits",
        "mnist",
        "fashion-mnist",
        "cifar10",
        "cifar100",
        "file",
        "random-patterns",
        "teacher",
        "gaussian-mixture",
        "parity",
    ),
    DataError,
)
#: File formats of weights, results and models, by the suffix of their files.
FORMATS: Registry[Format] = Registry(
    "file format",
    "lsg_ray.exchange.format:Format",
    {
        "npy": "lsg_ray.exchange.npy:FORMAT",
        "npz": "lsg_ray.exchange.npz:FORMAT",
        "csv": "lsg_ray.exchange.csv_text:FORMAT",
        "pt": "lsg_ray.exchange.torch_state:FORMAT",
        "pth": "lsg_ray.exchange.torch_state:FORMAT",
        "safetensors": "lsg_ray.exchange.safetensors_file:FORMAT",
        "parquet": "lsg_ray.exchange.parquet:FORMAT",
        "nc": "lsg_ray.exchange.netcdf:FORMAT",
        "mtx": "lsg_ray.exchange.matrix_market:FORMAT",
        "graphml": "lsg_ray.exchange.graphs:GRAPHML",
        "bqm": "lsg_ray.exchange.graphs:BQM",
    },
)
#: Methods of fitting: ``method`` of `lsg_ray.fit_boltzmann`.
FIT_METHODS: Registry[FitMethod] = Registry(
    "method of fitting",
    "lsg_ray.ising.fitted:FitMethod",
    {
        "pcd": "lsg_ray.ising.pcd:METHOD",
        "tempered": "lsg_ray.ising.tempered:METHOD",
        "bp": "lsg_ray.ising.bethe:METHOD",
        "plm": "lsg_ray.ising.pseudolikelihood:METHOD",
        "exact": "lsg_ray.ising.exact:METHOD",
    },
)
