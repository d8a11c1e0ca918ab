"""Node-permutation symmetry of an ensemble: labels, canonical forms, permuted fractions.

The mathematics is in `lsg_ray.networks.permutations`; here it runs over ensembles.  Two
configurations with the same canonical form are *permutation-dependent* ("Liquid-like" paper,
App. J).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
import xarray
from numpy.typing import ArrayLike, NDArray

from lsg_ray.arrays import as_numbers, public
from lsg_ray.datasets import load_dataset
from lsg_ray.ensemble.reader import Ensemble
from lsg_ray.ensemble.schema import pack
from lsg_ray.errors import InputError
from lsg_ray.networks.canonical import canonical_orders
from lsg_ray.networks.permutations import Orders, as_network, log_group_order, random_orders
from lsg_ray.results.graph import compute
from lsg_ray.results.records import joined, reduce_tasks
from lsg_ray.rng import Stream
from lsg_ray.spec import NetworkSpec
from lsg_ray.stage import ENSEMBLE, Stage
from lsg_ray.statistics.configurations import Configurations, as_configurations, ranges, stream
from lsg_ray.statistics.copied_rows import copied_rows, number_of_copies, start_of_copies
from lsg_ray.statistics.derived import DerivedConfigurations, stored_root, write_derived
from lsg_ray.typing import (
    Array,
    Bytes,
    ConfigurationsLike,
    Flags,
    Floats,
    Ints,
    PathOrUrl,
    Progress,
    Seed,
)

#: The digit whose test images rank the units.  LL App. J; the paper finds no dependence on it.
LABEL_DIGIT = 1
#: Number of rows that share a stream of random permutations: changing it changes all of them.
ROWS_PER_STREAM = 1000


@dataclass(frozen=True)
class LabelConfig:
    """Sizes of the tasks that label configurations."""

    #: Most rows of a task, and most bytes of real weights in them.
    task_rows: int = 4096
    task_bytes: int = 2**27


LABELLING = LabelConfig()


@public
def canonicalize(
    ensemble: ConfigurationsLike,
    out: PathOrUrl | None = None,
    *,
    network: NetworkSpec | Sequence[int] | None = None,
    inputs: ArrayLike | None = None,
    progress: Progress | None = None,
) -> DerivedConfigurations | Ensemble:
    """Bring the hidden units of every configuration into canonical order.

    Units are ranked by their mean pre-activation over the test images of the digit 1.  Outputs of
    the networks are unchanged, which is checked on real inputs.

    Parameters
    ----------
    ensemble
        Whole configurations: a store, a selection, or an array (M, N).
    out
        Path or URL of the store to write; by default a view is returned, which every statistic
        accepts.
    network
        Architecture of the networks in an array, or their widths; that of a store is known.
    inputs
        Inputs (P, inputs) that rank the units; by default the test images of the digit 1.
    progress
        Called with ``(tasks done, tasks in total)`` while a store is written.

    Returns
    -------
    DerivedConfigurations or Ensemble
        Networks with the same outputs, which is checked on real inputs.

    Raises
    ------
    InputError
        A part of the weights is given, an array without its network and inputs, or a network
        without hidden layers.

    Notes
    -----
    2 P flop for each weight but the last two layers': 0.1 ms a configuration of 20-15-15-10.
    """
    view = canonical_view(ensemble, network=network, inputs=inputs)
    return view if out is None else write_derived(view, out, progress=progress)


def canonical_view(
    ensemble: ConfigurationsLike,
    *,
    network: NetworkSpec | Sequence[int] | None = None,
    inputs: ArrayLike | None = None,
) -> DerivedConfigurations:
    """Return the canonical forms as a view; see `canonicalize`."""
    base, net, x = _prepared(ensemble, network, inputs)
    ordering = partial(_canonical_orders, net, x)
    return DerivedConfigurations(base, net, x, ordering, {"kind": "canonical"})


@public
def permute(
    ensemble: ConfigurationsLike,
    fraction: float,
    out: PathOrUrl | None = None,
    *,
    mode: Literal["replace", "add"] = "replace",
    seed: Seed = 0,
    network: NetworkSpec | Sequence[int] | None = None,
    inputs: ArrayLike | None = None,
    progress: Progress | None = None,
) -> DerivedConfigurations | Ensemble:
    """Mix random node permutations of its own configurations into an ensemble.

    Parameters
    ----------
    ensemble, out, network, inputs, progress
        As in `canonicalize`; inputs are only used to check that outputs are unchanged.
    fraction
        Fraction p of permuted configurations, 0 to 1.
    mode
        How permutations are mixed in.  ``replace``: a fraction p of the M configurations is
        replaced by a random permutation of itself.  ``add``: as the authors did, p/(2 − p)·M
        configurations get a permuted copy, added at the end, so that a fraction p of all belongs to
        such pairs.
    seed
        Seed of the choice of configurations and of the permutations.

    Returns
    -------
    DerivedConfigurations or Ensemble
        Networks with the same outputs; permuted ones are evenly spread over the rows, which are
        independent.  With ``add`` a row and its copy are not: statistics take that into account,
        also of the store, and their errors are those of independent groups
        (`lsg_ray.statistics.copies`).
    """
    if not 0 <= fraction <= 1:
        raise InputError(f"fraction {fraction} given; it must be from 0 to 1")
    base, net, x = _prepared(ensemble, network, inputs)
    about = {"kind": "permuted", "fraction": fraction, "mode": mode, "seed": seed}
    phase = start_of_copies(stream(seed, Stream.PERMUTE))
    chosen, more = partial(_is_replaced, fraction, phase), dict[str, Any]()
    if mode == "add":
        copies = number_of_copies(base.n_rows, fraction)
        origin = partial(copied_rows, base.n_rows, copies, phase)
        chosen = partial(_is_copy, base.n_rows)
        more = {"origin": origin, "n_rows": base.n_rows + copies}
    ordering = partial(_permuted_orders, net, seed, chosen)
    view = DerivedConfigurations(base, net, x, ordering, about, **more)
    return view if out is None else write_derived(view, out, progress=progress)


@public
def node_symmetry(
    ensemble: ConfigurationsLike,
    *,
    network: NetworkSpec | Sequence[int] | None = None,
    inputs: ArrayLike | None = None,
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Label every configuration by the order ξ of its hidden units, and count repetitions.

    Parameters
    ----------
    ensemble, network, inputs, progress
        As in `canonicalize`.

    Returns
    -------
    xarray.Dataset
        ``label`` (configuration, unit) uint16: of each hidden layer, the unit of each rank; with
        coordinate ``layer`` (unit).  Attributes: ``distinct_labels``, ``distinct_forms``,
        ``permutation_dependent_pairs`` (pairs with the same canonical form), ``identical_pairs``
        (of these, pairs equal as they are), ``log_group_order`` (log Π n_l!, nats).

    Notes
    -----
    48 + 2 Σ n_l bytes a configuration: repeated rows are identified by 128-bit hashes.
    """
    base, net, x = _prepared(ensemble, network, inputs)
    base.require(1, "labels")
    view = canonical_view(base, network=net, inputs=x)
    most = LABELLING.task_rows
    if not base.signs:
        most = min(most, max(1, LABELLING.task_bytes // (8 * base.n_weights)))
    cuts = ranges(base.n_rows, most, base.grain)
    rows = compute(reduce_tasks(_label_rows, (view,), cuts, joined), progress)
    forms, weights = _repeats(rows.forms), _repeats(rows.weights)
    layer = np.repeat(np.arange(len(net.widths) - 2), net.widths[1:-1])
    return xarray.Dataset(
        {"label": (("configuration", "unit"), rows.labels, {"long_name": "label ξ"})},
        {"layer": ("unit", layer)},
        {
            "statistic": "node symmetry",
            **base.provenance(),
            "configurations": base.n_rows,
            "distinct_labels": len(_repeats(_hashes(rows.labels.view(np.uint8)))),
            "distinct_forms": len(forms),
            "permutation_dependent_pairs": int((forms * (forms - 1) // 2).sum()),
            "identical_pairs": int((weights * (weights - 1) // 2).sum()),
            "log_group_order": log_group_order(net.widths),
        },
    )


def _prepared(
    ensemble: Any, network: NetworkSpec | Sequence[int] | None, inputs: ArrayLike | None
) -> tuple[Configurations, NetworkSpec, Floats]:
    base = as_configurations(ensemble)
    root = stored_root(base)
    if isinstance(base, DerivedConfigurations):
        network = base.network if network is None else network
    if root is not None:
        root.ensemble.require_permutable()
        network = root.ensemble.spec.network if network is None else network
    if network is None or (root is None and inputs is None):
        raise InputError(
            f"{base.name}: pass network= (its widths) and inputs= (P, inputs), which no array holds"
        )
    network = as_network(network)
    if base.n_weights != network.n_weights:
        raise InputError(
            f"{base.name} has {base.n_weights} weights a configuration; widths "
            f"{list(network.widths)} need {network.n_weights}: node symmetry is of whole networks"
        )
    if len(network.widths) < 3:
        raise InputError(f"widths {list(network.widths)}: no hidden layer, so no node symmetry")
    if inputs is None and root is not None:
        inputs = label_inputs(root.ensemble)
    x = np.atleast_2d(as_numbers(inputs, "inputs"))
    if x.ndim != 2 or not len(x) or x.shape[1] != network.widths[0] or not np.isfinite(x).all():
        raise InputError(
            f"inputs of shape {x.shape} given; finite (P, {network.widths[0]}) are needed"
        )
    return base, network, x


def label_inputs(ensemble: Ensemble) -> Array:
    """Return the inputs that rank the units: the test images of the digit 1, transformed.

    Raises
    ------
    DataError
        The data set is not on this machine.
    """
    spec = ensemble.spec.dataset.model_copy(update={"labels": "class"})
    test = load_dataset(spec, download=False).test
    return test.x[test.y == LABEL_DIGIT]


def _canonical_orders(network: NetworkSpec, inputs: Floats, weights: Array, _: Ints) -> Orders:
    return canonical_orders(network, weights, inputs)


def _permuted_orders(
    network: NetworkSpec, seed: int, chosen: partial[Flags], _: Array, rows: Ints
) -> Orders:
    mask = chosen(rows)
    orders = [np.tile(np.arange(n), (len(rows), 1)) for n in network.widths[1:-1]]
    for order, drawn in zip(orders, _orders_of(network, seed, rows[mask]), strict=True):
        order[mask] = drawn
    return orders


def _orders_of(network: NetworkSpec, seed: int, rows: Ints) -> list[Ints]:
    """Return the random permutations of some rows: the same however rows are asked for."""
    orders = [np.empty((len(rows), n), np.int64) for n in network.widths[1:-1]]
    chunks = rows // ROWS_PER_STREAM
    for chunk in np.unique(chunks).tolist():
        here = chunks == chunk
        drawn = random_orders(network, ROWS_PER_STREAM, stream(seed, Stream.PERMUTE, chunk))
        for order, some in zip(orders, drawn, strict=True):
            order[here] = some[rows[here] % ROWS_PER_STREAM]
    return orders


def _is_replaced(fraction: float, phase: float, rows: Ints) -> Flags:
    # Every 1/p-th row: of any stretch of rows, a fraction p is replaced.
    return np.floor((rows + 1) * fraction + phase) > np.floor(rows * fraction + phase)


def _is_copy(n_rows: int, rows: Ints) -> Flags:
    return rows >= n_rows


class _Labels(NamedTuple):
    labels: NDArray[np.uint16]
    forms: NDArray[np.uint64]
    weights: NDArray[np.uint64]


def _label_rows(view: DerivedConfigurations, start: int, stop: int) -> _Labels:
    weights, forms = view.base.rows(start, stop), view.rows(start, stop)
    labels = np.concatenate(view.orders(weights, np.arange(start, stop)), axis=1)
    hashes = (_hashes(_as_bytes(rows, view.signs)) for rows in (forms, weights))
    return _Labels(labels.astype(np.uint16), *hashes)


def _as_bytes(weights: Array, binary: bool) -> Bytes:
    # Adding zero makes one zero of 0.0 and −0.0.
    return pack(weights) if binary else (np.ascontiguousarray(weights) + 0.0).view(np.uint8)


def _hashes(rows: Bytes) -> NDArray[np.uint64]:
    """Hash rows (B, bytes) to 128 bits each, (B, 2): random multipliers, modulo 2⁶⁴.

    Two different rows meet with probability below 2⁻⁶⁶.
    """
    words = np.zeros((len(rows), -(-rows.shape[1] // 4) * 4), np.uint8)
    words[:, : rows.shape[1]] = rows
    numbers = words.view(np.uint32).astype(np.uint64)
    rng = np.random.default_rng(0)
    factors = rng.integers(0, 2**64, (numbers.shape[1], 2), np.uint64, endpoint=False)
    return numbers @ factors


def _repeats(hashes: NDArray[np.uint64]) -> Ints:
    """Return how often each distinct hash occurs."""
    keys = np.ascontiguousarray(hashes).view([("a", np.uint64), ("b", np.uint64)]).ravel()
    return np.unique(keys, return_counts=True)[1].astype(np.int64)


def _stored(ensemble: Ensemble) -> dict[str, Any]:
    info = ensemble.info()
    return {name: info[name] for name in ("url", "rows", "content_hash")}


CANONICALIZE = Stage(
    "canonicalize",
    canonicalize,
    reads={"ensemble": ENSEMBLE},
    hidden={"network", "inputs"},
    makes="store",
    summary=_stored,
)
PERMUTE = Stage(
    "permute",
    permute,
    reads={"ensemble": ENSEMBLE},
    hidden={"network", "inputs"},
    makes="store",
    summary=_stored,
)
LABELS = Stage(
    "labels",
    node_symmetry,
    reads={"ensemble": ENSEMBLE},
    hidden={"network", "inputs"},
    summary=(
        "configurations",
        "distinct_labels",
        "distinct_forms",
        "permutation_dependent_pairs",
        "identical_pairs",
        "log_group_order",
    ),
)
