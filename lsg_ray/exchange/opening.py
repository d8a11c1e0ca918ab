"""Open arrays, state dicts, files and folders of weights as a `Source`."""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lsg_ray.arrays import as_numbers
from lsg_ray.ensemble.declared import check_column_name
from lsg_ray.ensemble.location import locate
from lsg_ray.errors import InputError
from lsg_ray.exchange.format import Layout, Request, suffix_of
from lsg_ray.exchange.layers import flat_order
from lsg_ray.exchange.source import ArraySource, Permuted, Source
from lsg_ray.paths import expanded
from lsg_ray.registry import FORMATS
from lsg_ray.results.foreign import reading
from lsg_ray.typing import Array, PathOrUrl


def open_source(
    weights: PathOrUrl | ArrayLike | Sequence[Mapping[str, object]], request: Request
) -> Source:
    """Open weights to be imported.

    Raises
    ------
    InputError
        It cannot be read as weights.
    """
    if not isinstance(weights, (str, os.PathLike)):
        if isinstance(weights, Mapping):
            weights = [weights]
        if isinstance(weights, (list, tuple)) and weights and isinstance(weights[0], Mapping):
            from lsg_ray.exchange.state_dicts import in_memory

            return in_memory(weights, request)
        lazy = hasattr(weights, "dask")
        if getattr(weights, "dtype", None) == np.bool_ and not lazy:
            weights = np.asarray(weights).astype(np.uint8)
        array: Any = weights if lazy else as_numbers(weights, "weights", None)
        if array.ndim != 2:
            raise InputError(f"weights of shape {array.shape} given; (M, N) is needed")
        return ArraySource("weights", array, {})
    text = expanded(weights)
    path = locate(text).path
    if path is None:
        raise InputError(f"{text}: weights are read from a local path; copy the file here")
    try:
        kind = os.stat(path).st_mode
    except OSError as error:
        raise InputError(f"{text}: cannot be read ({error.strerror})") from None
    if stat.S_ISDIR(kind):
        if (path / "zarr.json").exists():
            raise InputError(f"{text}: a store or result already; nothing is to be imported")
        from lsg_ray.exchange.folder import read_folder

        return read_folder(path, request)
    suffix = suffix_of(path)
    readable = [name for name in FORMATS.names() if FORMATS[name].read is not None]
    if suffix not in readable:
        raise InputError(
            f"{text}: no weights are read from {'.' + suffix if suffix else 'such a name'}; files "
            f"end in .{', .'.join(readable)}"
        )
    read = FORMATS[suffix].read
    assert read is not None  # listed as readable
    with reading(text, "cannot be read", "write it again", str(path)):
        return read(Path(path), request)


def ordered(
    source: Source,
    widths: Sequence[int] | None,
    layout: Layout | None,
    n_weights: int | None = None,
) -> Source:
    """Bring flat weights into the order of stores, and check their number against the widths.

    n_weights: of a family whose layers are no chain; its weights are in their order already.
    """
    if widths is None:
        if layout not in (None, "out-in") and source.layers is None:
            raise InputError(f"layout {layout!r} given; name the widths of the network too")
        return source
    if source.matched:
        return source
    if n_weights is not None:
        if source.n_weights != n_weights:
            raise InputError(
                f"{source.name}: {source.n_weights:,} weights a configuration; this network of "
                f"widths {'-'.join(map(str, widths))} has {n_weights:,}"
            )
        if layout not in (None, "out-in"):
            raise InputError(f"layout {layout!r} given; this family has one, leave it out")
        return source
    pairs = list(itertools.pairwise(widths))
    plain = sum(n_in * n_out for n_in, n_out in pairs)
    biased = plain + sum(widths[1:])
    if source.n_weights not in (plain, biased):
        raise InputError(
            f"{source.name}: {source.n_weights:,} weights a configuration; widths "
            f"{'-'.join(map(str, widths))} have {plain:,}, with biases {biased:,}"
        )
    biases = source.n_weights == biased
    order = flat_order(widths, biases, layout or "out-in")
    if biases and layout is None:
        source.notes.append(
            f"{biased:,} weights are those of {'-'.join(map(str, widths))} with biases, each taken "
            "as the last column of its layer [out, in + 1]; pass --layout parameters for vectors "
            "of torch's parameters_to_vector"
        )
    elif layout is None:
        source.notes.append("layers are taken as [out, in]; pass --layout in-out for [in, out]")
    source_in_order = source if order is None else Permuted(source, order)
    source_in_order.biases = biases
    return source_in_order


def checked_columns(columns: Mapping[str, ArrayLike], n_rows: int) -> dict[str, Array]:
    """Return columns as arrays (M,).

    Raises
    ------
    InputError
        A column has another length, holds no numbers, or its name is not allowed.
    """
    arrays = {}
    for name, column in columns.items():
        values = as_numbers(column, f"column {check_column_name(name)!r}", None)
        if values.shape != (n_rows,):
            raise InputError(f"column {name!r} has shape {values.shape}; ({n_rows},) is needed")
        arrays[name] = values
    return arrays


def stamp_of(weights: object) -> tuple[int, int] | None:
    """Return size and modification time of a file, which show that it has changed; else None."""
    if not isinstance(weights, (str, os.PathLike)):
        return None
    status = os.stat(locate(expanded(weights)).path or "")
    return status.st_size, status.st_mtime_ns
