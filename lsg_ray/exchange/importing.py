"""Import foreign weights: a source is read once to check it, and once to write the store.

The store is like any other: same blocks, ledger, checksums and hashes; its header lists its
columns and names its source.  An interrupted import continues with the missing blocks; a source
that has changed since is refused.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from lsg_ray.arrays import public
from lsg_ray.ensemble.block import Block
from lsg_ray.ensemble.header import read_header
from lsg_ray.ensemble.location import is_within, locate
from lsg_ray.ensemble.reader import Ensemble, open_ensemble
from lsg_ray.ensemble.writer import check_name, create_ensemble, write_block
from lsg_ray.errors import InputError, StoreInputError
from lsg_ray.exchange.format import Layout, Request
from lsg_ray.exchange.import_plan import (
    NO_DATA,
    ImportPlan,
    dataset_tree,
    expects_signs,
    network_tree,
    notes_of,
    plan_import,
    unchained_weights,
)
from lsg_ray.exchange.layers import infer_widths
from lsg_ray.exchange.opening import checked_columns, open_source, ordered, stamp_of
from lsg_ray.exchange.source import Scan, WithColumns, scan
from lsg_ray.registry import FAMILIES
from lsg_ray.spec import DatasetSpec, NetworkSpec
from lsg_ray.typing import JsonObject, PathOrUrl, Progress


@public
def write_ensemble(
    weights: PathOrUrl | ArrayLike | Sequence[Mapping[str, object]],
    url: PathOrUrl,
    *,
    network: NetworkSpec | Mapping[str, object] | Sequence[int] | None = None,
    family: str | None = None,
    dataset: DatasetSpec | Mapping[str, object] | str | None = None,
    columns: Mapping[str, ArrayLike] | None = None,
    layout: Layout | None = None,
    progress: Progress | None = None,
    log: Callable[[str], None] = lambda _: None,
) -> Ensemble:
    """Write weights that were not sampled here as a store.

    With a network and a data set, accuracy and loss are computed and stored, and everything can be
    measured as for a sampled store.  Without them the store holds weights only, and measurements
    that need outputs are refused.

    Parameters
    ----------
    weights
        Array (M, N) of ±1, 0 and 1, or real numbers; state dicts of PyTorch; or path of a
        ``.npy``, ``.npz``, ``.csv``, ``.parquet``, ``.pt`` or ``.safetensors``, or of a folder of
        state dicts.
    url
        Path or URL of the store to write. A repeated call continues an interrupted import.
    network
        Widths of the network from input to output, or its specification.
    family
        Family of networks; by default ``binary`` for weights ±1 and ``relu`` for real ones, or
        without a data set ``weights`` and ``real-weights``.
    dataset
        Data set on which accuracy and loss are computed, as name or specification; its inputs are
        projected on as many principal components as the network has inputs.
    columns
        Columns (M,) of numbers to store beside the weights, by name.  With a data set, columns of a
        file that are computed on it (``accuracy``, ``loss``, …) are compared and left out.
    layout
        Layout of matrices in the source: ``out-in`` [out, in], a bias as last column; ``in-out``
        [in, out]; ``parameters``, flat vectors of torch's ``parameters_to_vector``.  By default
        inferred from the shapes, or else ``out-in``.
    progress
        Called with the number of rows done and in all; every row is read twice.
    log
        Called with a line of text for each note on how the source was read.

    Raises
    ------
    InputError
        An argument is wrong, or a row of the source, which the message names; nothing was created.
    StoreInputError
        There is another store at the URL, or the source has changed since the import was begun.

    Notes
    -----
    Two passes over the source, some 32 MiB at a time in memory.
    """
    if isinstance(weights, (str, os.PathLike)) and (
        is_within(url, weights) or is_within(weights, url)
    ):
        raise InputError(f"{os.fspath(url)} is what is read, within it or around it; name another")
    check_name(url)
    net = network_tree(network, family)
    data = dataset_tree(dataset)
    widths = net.get("widths")
    source = open_source(weights, Request(widths, layout))
    if data is not None and widths is None and source.layers and layout is None:
        # The widths of a chain of layers follow from the shapes.
        widths = infer_widths(source.layers)
        if widths is not None:
            net["widths"] = widths
            source = open_source(weights, Request(widths, layout))
            source.notes.append(f"widths by the shapes: {'-'.join(map(str, widths))}")
    if columns:
        source = WithColumns(source, checked_columns(columns, source.n_rows))
    source = ordered(source, widths, layout, unchained_weights(net))
    count, done = 2 * source.n_rows, 0

    def report(rows: int, _: int) -> None:
        if progress is not None:
            progress(done + rows, count)

    stamp = stamp_of(weights)
    scanned = scan(source, expects_signs(net), report)
    plan = plan_import(source, scanned, net, data, columns or ())
    _refuse_changed(url, scanned)
    done = source.n_rows
    ensemble = _write(plan, url, report)
    if stamp_of(weights) != stamp:
        raise InputError(
            f"{source.name}: changed while it was read; remove {os.fspath(url)} and import it again"
        )
    for note in notes_of(plan):
        log(note)
    return ensemble


def _refuse_changed(url: PathOrUrl, scanned: Scan) -> None:
    """Refuse to continue a store that was begun from another source."""
    location = locate(url)
    try:
        stored = read_header(location).derivation or {}
    except StoreInputError:  # no store there, or refused when it is created
        return
    stored_digest = stored.get("source_digest")
    if stored.get("kind") == "import" and stored_digest != scanned.digest:
        raise StoreInputError(
            f"{location.url}: was imported from numbers with SHA-256 {str(stored_digest)[:16]}…, "
            f"and these have {scanned.digest[:16]}…: the source has changed since; name "
            "another store"
        )


def _derivation(plan: ImportPlan) -> JsonObject:
    return {
        "kind": "import",
        "source": Path(plan.source.name).name[:200],
        "source_digest": plan.scan.digest,
        "values": "0/1" if plan.scan.zero_one else "±1" if plan.scan.signs else "real",
    }


def _refuse_overflow(plan: ImportPlan, arena: object) -> None:
    """Refuse rows whose accuracy or loss is no finite number, before anything is created."""
    family = FAMILIES[plan.spec.network.family]
    for start, rows in plan.source.blocks():
        measures = family.measure(plan.spec, arena, plan.scan.stored(rows.weights))
        for name in family.measures:
            wrong = np.flatnonzero(~np.isfinite(measures[name]))
            if len(wrong):
                size = float(np.abs(rows.weights[wrong[0]]).max())
                raise InputError(
                    f"{plan.source.name}: row {start + wrong[0]} has weights up to {size:g}, for "
                    f"which {name} is {measures[name][wrong[0]]}: leave the row out, or the data "
                    "set, so that weights alone are stored"
                )


def _write(plan: ImportPlan, url: PathOrUrl, progress: Progress) -> Ensemble:
    """Create the store, or continue it, and write the missing blocks in order."""
    source, spec = plan.source, plan.spec
    dataset_hash = NO_DATA if plan.dataset is None else plan.dataset.content_hash
    family = FAMILIES[spec.network.family]
    arena = None if plan.dataset is None else family.prepare(spec, plan.dataset)
    if plan.dataset is not None and plan.outputs_may_overflow():
        _refuse_overflow(plan, arena)
    todo = create_ensemble(
        url, spec, dataset_hash=dataset_hash, derivation=_derivation(plan), columns=plan.columns
    )
    types = {layout.name: layout.dtype for layout in plan.columns}
    for index in todo.missing.tolist():
        start = index * todo.block_size
        rows = source.read(start, start + todo.rows(index))
        weights = plan.scan.stored(rows.weights)
        columns = {
            name: np.asarray(values).astype(types[name])
            for name, values in rows.columns.items()
            if name in types
        }
        if arena is not None:
            measures = family.measure(spec, arena, weights)
            plan.compared.add(rows.columns, measures)
            columns |= {layout.name: measures[layout.name] for layout in plan.measured}
        write_block(
            todo.url, index, Block(start, weights, columns, trials=len(weights)), count=todo.count
        )
        progress(start + len(weights), source.n_rows)
    return open_ensemble(todo.url)
