"""The declaration of a file format, made once in the module that reads and writes it.

A new format is a module in `lsg_ray.exchange` with a ``FORMAT``, and a line in
`lsg_ray.registry.FORMATS`, by the suffix of its files; that of an installed package is an entry
point.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal, NamedTuple

import xarray

from lsg_ray.errors import InputError

if TYPE_CHECKING:
    from lsg_ray.exchange.source import Source
    from lsg_ray.exchange.table import Table
    from lsg_ray.ising.model import IsingModel
    from lsg_ray.typing import PathOrUrl

#: How the weights of a layer are laid out: [out, in] with a bias as last column, as in stores;
#: [in, out]; or torch's ``parameters_to_vector``, [out, in] and then the biases.
Layout = Literal["out-in", "in-out", "parameters"]
#: Command that installs the libraries of all formats.
EXTRA = "pip install 'lsg-ray[exchange]'"


class Request(NamedTuple):
    """Shape of networks as the user gives it, before their weights are read.

    widths: from input to output; layout: of the matrices; None if not given.
    """

    widths: Sequence[int] | None = None
    layout: Layout | None = None


@dataclass(frozen=True)
class Format:
    """A file format.

    Parameters
    ----------
    name
        Suffix of its files, without the point.
    about
        Short description of its contents, for messages.
    read
        Function that opens a file of weights.
    read_model
        Function that reads an Ising model.
    write
        Function that writes configurations, block by block.
    write_result
        Function that writes variables of a result.
    write_model
        Function that writes an Ising model without couplings up to a cut-off.
    model_variables
        Names of what it holds of a model.
    library
        Optional library that the format needs.
    """

    name: str
    about: str
    read: Callable[[Path, Request], Source] | None = None
    read_model: Callable[[Path], IsingModel] | None = None
    write: Callable[[Table, Path], None] | None = None
    write_result: Callable[[xarray.Dataset, Path], None] | None = None
    write_model: Callable[[IsingModel, Path, float], None] | None = None
    model_variables: tuple[str, ...] = ("J", "h")
    library: str = ""


def library(name: str, purpose: str) -> ModuleType:
    """Return an optional library.

    Parameters
    ----------
    name
        Name of the module.
    purpose
        Purpose of the library, for the message.

    Raises
    ------
    InputError
        It is not installed; the message names the command that installs it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        missing = (error.name or name).partition(".")[0]
        raise InputError(f"{purpose} needs {missing}, which is not installed: {EXTRA}") from None


def suffix_of(path: PathOrUrl) -> str:
    """Return the suffix of a file, without its point, in small letters.

    >>> suffix_of("a/M.NPZ"), suffix_of("s3://bucket/store")
    ('npz', '')
    """
    from lsg_ray.paths import ending

    return ending(path).removeprefix(".")
