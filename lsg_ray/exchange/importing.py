"""Import weights of others: a source is read once to check it, and once to write the store.

The store is like any other: same blocks, ledger, checksums and hashes; its header lists its
columns and says where it was imported from.  What was interrupted goes on with the blocks that are
missing; a source that has changed since is refused.
"""

from __future__ import annotations

import itertools
import os
import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lsg_ray.arrays import as_integers, as_numbers, public
from lsg_ray.datasets import load_dataset
from lsg_ray.ensemble.block import Block
from lsg_ray.ensemble.declared import check_column_name, declared_column
from lsg_ray.ensemble.header import new_header, read_header
from lsg_ray.ensemble.location import is_within, locate
from lsg_ray.ensemble.reader import Ensemble, open_ensemble
from lsg_ray.ensemble.schema import ArrayLayout
from lsg_ray.ensemble.writer import check_name, create_ensemble, write_block
from lsg_ray.errors import InputError, StoreInputError
from lsg_ray.exchange.format import Layout, Request, suffix_of
from lsg_ray.exchange.layers import flat_order, infer_widths
from lsg_ray.exchange.source import CONFIG, ArraySource, Permuted, Scan, Source, WithColumns, scan
from lsg_ray.networks.families.weights import layer_options
from lsg_ray.networks.family import SCALARS, Family
from lsg_ray.paths import expanded
from lsg_ray.registry import DATA_SETS, FAMILIES, FORMATS
from lsg_ray.spec import DatasetSpec, NetworkSpec, Spec, parse_spec
from lsg_ray.typing import Array, JsonObject, Place, Progress

#: Of a store without a data set.
NO_DATA = "none"


class Imported(NamedTuple):
    """The store that was written, and what a person should know of how the source was read."""

    ensemble: Ensemble
    notes: tuple[str, ...]


class _Plan(NamedTuple):
    """What is written: source, what is known of it, specification and columns."""

    source: Source
    scan: Scan
    spec: Spec
    dataset: Any
    measured: tuple[ArrayLayout, ...]
    columns: tuple[ArrayLayout, ...]


@public
def write_ensemble(
    weights: Place | ArrayLike | Sequence[Mapping[str, object]],
    url: Place,
    *,
    network: NetworkSpec | Mapping[str, object] | Sequence[int] | None = None,
    family: str | None = None,
    dataset: DatasetSpec | Mapping[str, object] | str | None = None,
    columns: Mapping[str, ArrayLike] | None = None,
    layout: Layout | None = None,
    progress: Progress | None = None,
) -> Ensemble:
    """Write weights that were not sampled here as a store.

    With a network and a data set, accuracy and loss are computed and stored, and everything can be
    measured that can be of a sampled store.  Without, it is weights alone: what needs outputs says
    so.

    Parameters
    ----------
    weights
        Array (M, N) of ±1, 0 and 1, or real numbers; state dicts of PyTorch; or the path of a
        ``.npy``, ``.npz``, ``.csv``, ``.pt`` or ``.safetensors``, or of a folder of state dicts.
    url
        Store to write: a local path or URL. The same call again goes on where one was interrupted.
    network
        Widths from input to output, or a specification of the network.
    family
        Family of networks; by default ``binary`` of ±1 and ``relu`` of real weights, and of weights
        alone ``weights`` and ``real-weights``.
    dataset
        Data set that accuracy and loss are taken on, by name or as a specification; inputs are
        projected on as many principal components as the network has inputs.
    columns
        Numbers (M,) to store beside the weights, by name.
    layout
        How matrices lie in the source: ``out-in`` [out, in], a bias as last column; ``in-out``
        [in, out]; ``parameters``, flat vectors of torch's ``parameters_to_vector``.  By default
        what the shapes say, or else ``out-in``.
    progress
        Told (rows done, rows in all); every row is read twice.

    Raises
    ------
    InputError
        Something given is wrong, with its row where it is one; nothing was created.
    StoreInputError
        Something else is at the URL, or the source has changed since the import was begun.

    Notes
    -----
    Two passes over the source, some 32 MiB at a time in memory.
    """
    return import_weights(
        weights, url, network=network, family=family, dataset=dataset, columns=columns,
        layout=layout, progress=progress,
    ).ensemble  # fmt: skip


def import_weights(
    weights: Place | ArrayLike | Sequence[Mapping[str, object]],
    url: Place,
    *,
    network: NetworkSpec | Mapping[str, object] | Sequence[int] | None = None,
    family: str | None = None,
    dataset: DatasetSpec | Mapping[str, object] | str | None = None,
    columns: Mapping[str, ArrayLike] | None = None,
    layout: Layout | None = None,
    progress: Progress | None = None,
) -> Imported:
    """As `write_ensemble`; also returns what was noted on the way."""
    if isinstance(weights, (str, os.PathLike)) and (
        is_within(url, weights) or is_within(weights, url)
    ):
        raise InputError(f"{os.fspath(url)} is what is read, within it or around it; name another")
    check_name(url)
    net = _network_tree(network, family)
    data = _dataset_tree(dataset)
    widths = net.get("widths")
    source = open_source(weights, Request(widths, layout))
    if columns:
        source = WithColumns(source, _columns(columns, source.n_rows))
    if data is not None and widths is None and source.layers and layout is None:
        # A chain of layers says its widths itself.
        widths = infer_widths(source.layers)
        if widths is not None:
            net["widths"] = widths
            source = open_source(weights, Request(widths, layout))
            source = WithColumns(source, _columns(columns, source.n_rows)) if columns else source
            source.notes.append(f"widths by the shapes: {'-'.join(map(str, widths))}")
    source = _ordered(source, widths, layout)
    count, done = 2 * source.n_rows, 0

    def report(rows: int, _: int) -> None:
        if progress is not None:
            progress(done + rows, count)

    stamp = _stamp(weights)
    found = scan(source, _wanted_signs(net), report)
    plan = _plan(source, found, net, data)
    _refuse_changed(url, found)
    done = source.n_rows
    ensemble = _write(plan, url, report)
    if _stamp(weights) != stamp:
        raise InputError(
            f"{source.name}: changed while it was read; remove {os.fspath(url)} and import it again"
        )
    return Imported(ensemble, tuple(_notes(plan)))


def _stamp(weights: object) -> tuple[int, int] | None:
    """Return what tells that a file has changed: size and time; None of what is no file."""
    if not isinstance(weights, (str, os.PathLike)):
        return None
    status = os.stat(locate(expanded(weights)).path or "")
    return status.st_size, status.st_mtime_ns


def _network_tree(
    network: NetworkSpec | Mapping[str, object] | Sequence[int] | None, family: str | None
) -> dict[str, Any]:
    """Return what is given of the network, as a section of a specification."""
    if network is None:
        tree: dict[str, Any] = {}
    elif isinstance(network, NetworkSpec):
        tree = network.model_dump(mode="json", exclude_unset=True)
        tree.setdefault("family", network.family)
        tree.setdefault("widths", list(network.widths))
    elif isinstance(network, Mapping):
        tree = dict(network)
    else:
        tree = {"widths": as_integers(network, "network").tolist()}
    if family is not None:
        FAMILIES[family]  # refuses what is none
        tree["family"] = family
    widths = tree.get("widths")
    if widths is not None and (
        not isinstance(widths, (list, tuple))
        or len(widths) < 2
        or not all(type(width) is int and 0 < width < 2**31 for width in widths)
    ):
        raise InputError(f"network: widths {widths} given; positive numbers from input to output")
    return tree


def _dataset_tree(
    dataset: DatasetSpec | Mapping[str, object] | str | None,
) -> dict[str, Any] | None:
    if dataset is None:
        return None
    if isinstance(dataset, DatasetSpec):
        return dataset.model_dump(mode="json")
    return {"name": dataset} if isinstance(dataset, str) else dict(dataset)


def _columns(columns: Mapping[str, ArrayLike], n_rows: int) -> dict[str, Array]:
    found = {}
    for name, given in columns.items():
        values = as_numbers(given, f"column {check_column_name(name)!r}", None)
        if values.shape != (n_rows,):
            raise InputError(f"column {name!r} has shape {values.shape}; ({n_rows},) is needed")
        found[name] = values
    return found


def open_source(
    weights: Place | ArrayLike | Sequence[Mapping[str, object]], request: Request
) -> Source:
    """Open what is to be imported.

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
    place = locate(text).path
    if place is None:
        raise InputError(f"{text}: weights are read from a local path; copy the file here")
    try:
        kind = os.stat(place).st_mode
    except OSError as error:
        raise InputError(f"{text}: cannot be read ({error.strerror})") from None
    if stat.S_ISDIR(kind):
        if (place / "zarr.json").exists():
            raise InputError(f"{text}: a store or result already; nothing is to be imported")
        from lsg_ray.exchange.folder import read_folder

        return read_folder(place, request)
    suffix = suffix_of(place)
    readable = [name for name in FORMATS.names() if FORMATS[name].read is not None]
    if suffix not in readable:
        raise InputError(
            f"{text}: no weights are read from {'.' + suffix if suffix else 'such a name'}; files "
            f"end in .{', .'.join(readable)}"
        )
    read = FORMATS[suffix].read
    assert read is not None  # listed as readable
    try:
        return read(Path(place), request)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # a file of a stranger fails in a dozen ways
        line = (str(error).splitlines() or [""])[0][:200]
        raise InputError(f"{text}: cannot be read ({type(error).__name__}: {line})") from None


def _ordered(source: Source, widths: Sequence[int] | None, layout: Layout | None) -> Source:
    """Bring flat weights into the order of stores, and look whether widths have so many."""
    if widths is None:
        if layout not in (None, "out-in") and source.layers is None:
            raise InputError(f"layout {layout!r} given; name the widths of the network too")
        return source
    if source.matched:
        return source
    pairs = list(itertools.pairwise(widths))
    plain = sum(into * out for into, out in pairs)
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
            "biases are taken as the last column of each layer's [out, in + 1]; pass --layout "
            "parameters for vectors of torch's parameters_to_vector"
        )
    found = source if order is None else Permuted(source, order)
    found.biases = biases
    return found


def _wanted_signs(net: Mapping[str, Any]) -> bool | None:
    """Return whether the family is of ±1, or None where none is given."""
    family = net.get("family")
    return None if family is None else FAMILIES[str(family)].signs


def _plan(source: Source, found: Scan, net: dict[str, Any], data: dict[str, Any] | None) -> _Plan:
    """Return what is to be written; nothing has been created yet."""
    tree: dict[str, Any] = {"network": net}
    if data is None or "widths" not in net:
        if data is not None:
            raise InputError(
                f"data set {data.get('name')!r} given without a network; name its widths "
                "(--network 20-15-15-10)"
            )
        _weights_alone(tree, source, found)
    else:
        net.setdefault("family", "binary" if found.signs and not source.biases else "relu")
        if not FAMILIES[net["family"]].signs:  # also ±1 may be those of a network with biases
            found.signs = found.zero_one = False
        if not FAMILIES[net["family"]].has_outputs:
            raise InputError(f"family {net['family']!r} given; it has no outputs, and a data set "
                             "is given: leave one out")  # fmt: skip
        if source.biases:
            net["biases"] = True
        tree["dataset"] = _with_components(data, net["widths"])
    bytes_of = 1 if found.signs else 4
    block = max(1, min(source.n_rows, CONFIG.block_rows,
                       CONFIG.block_bytes // (bytes_of * source.n_weights)))  # fmt: skip
    tree["ensemble"] = {"count": source.n_rows, "threshold": 0.0, "block_size": block}
    if FAMILIES[str(net["family"])].name == "binary":
        tree["ensemble"]["draws"] = 1
    tree["name"] = _name_of(source.name)
    spec = parse_spec(tree, "import")
    dataset = None if data is None else load_dataset(spec.dataset)
    measured = () if dataset is None else _measured(FAMILIES[spec.network.family], spec)
    for layout in measured:
        if layout.name in found.types:
            raise InputError(
                f"{source.name}: column {layout.name!r} is computed on the data set; rename yours, "
                "or leave the data set out"
            )
    user = [declared_column(name, dtype, "imported") for name, dtype in found.types.items()]
    columns = (*measured, *user)
    new_header(spec, NO_DATA, None, columns)  # refuses what is too large
    return _Plan(source, found, spec, dataset, measured, columns)


def _weights_alone(tree: dict[str, Any], source: Source, found: Scan) -> None:
    """Complete the section of a network that nothing is known of but its layers."""
    net = tree["network"]
    kind = "weights" if found.signs else "real-weights"
    if net.get("family") not in (None, "weights", "real-weights"):
        source.notes.append("no data set: accuracy and loss are not computed (--dataset)")
    layers = source.layers
    if layers is None or source.matched or "widths" in net:
        pairs = itertools.pairwise(net.get("widths", ()))
        layers = {f"{2 * number}.weight": (out, into + source.biases)
                  for number, (into, out) in enumerate(pairs)}  # fmt: skip
    options = {"options": layer_options(layers)} if layers else {}
    tree["network"] = net | {"family": kind, "widths": [source.n_weights, 1], "biases": False}
    tree["network"] |= options
    net["family"] = kind


def _with_components(data: dict[str, Any], widths: Sequence[int]) -> dict[str, Any]:
    """Project a data set on as many components as there are inputs, where nothing else is said."""
    name = data.get("name", "mnist")
    if "components" in data or not isinstance(name, str) or name not in DATA_SETS:
        return data
    pixels = DATA_SETS[name].n_pixels
    return {**data, "components": None if widths[0] == pixels else widths[0]}


def _measured(family: Family, spec: Spec) -> tuple[ArrayLayout, ...]:
    """Return the columns that are computed on a data set."""
    known = {layout.name: layout for layout in family.columns(spec)}
    found = []
    for name in family.measures:
        about = known[name].attributes["description"] if name in known else SCALARS[name][1]
        found.append(declared_column(name, "<f8", about))
    return tuple(found)


def _name_of(name: str) -> str:
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(name).stem).strip("-._")[:64]
    return stem or "imported"


def _refuse_changed(url: Place, found: Scan) -> None:
    """Refuse to go on with a store that was begun from something else."""
    location = locate(url)
    try:
        stored = read_header(location).derivation or {}
    except StoreInputError:  # nothing there, or told when it is created
        return
    begun = stored.get("source_digest")
    if stored.get("kind") == "import" and begun != found.digest:
        raise StoreInputError(
            f"{location.url}: was imported from numbers with SHA-256 {str(begun)[:16]}…, and these "
            f"have {found.digest[:16]}…: the source has changed since; name another store"
        )


def _notes(plan: _Plan) -> list[str]:
    found = list(plan.source.notes)
    if plan.scan.zero_one:
        found.append("weights 0 and 1 are stored as −1 and +1")
    if plan.scan.rounding:
        found.append(f"rounded to float32, relative error up to {plan.scan.rounding:.1g}")
    components = plan.spec.dataset.components
    if plan.dataset is not None and components is not None:
        found.append(f"inputs: {components} principal components of {plan.spec.dataset.name}")
    if plan.dataset is None:
        found.append("weights alone: accuracy and loss are not known")
    return list(dict.fromkeys(found))


def _derivation(plan: _Plan) -> JsonObject:
    return {
        "kind": "import",
        "source": Path(plan.source.name).name[:200],
        "source_digest": plan.scan.digest,
        "values": "0/1" if plan.scan.zero_one else "±1" if plan.scan.signs else "real",
    }


def _write(plan: _Plan, url: Place, progress: Progress) -> Ensemble:
    """Create the store, or go on with it, and write the blocks that are missing, in order."""
    source, spec = plan.source, plan.spec
    dataset_hash = NO_DATA if plan.dataset is None else plan.dataset.content_hash
    family = FAMILIES[spec.network.family]
    arena = None if plan.dataset is None else family.prepare(spec, plan.dataset)
    todo = create_ensemble(
        url, spec, dataset_hash=dataset_hash, derivation=_derivation(plan), columns=plan.columns
    )
    types = {layout.name: layout.dtype for layout in plan.columns}
    for index in todo.missing.tolist():
        start = index * todo.block_size
        rows = source.read(start, start + todo.rows(index))
        weights = plan.scan.stored(rows.weights)
        columns = {n: np.asarray(v).astype(types[n]) for n, v in rows.columns.items()}
        if arena is not None:
            measures = family.measure(spec, arena, weights)
            columns |= {layout.name: measures[layout.name] for layout in plan.measured}
        write_block(
            todo.url, index, Block(start, weights, columns, trials=len(weights)), count=todo.count
        )
        progress(start + len(weights), source.n_rows)
    return open_ensemble(todo.url)
