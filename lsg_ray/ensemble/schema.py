"""What a store looks like: its arrays, their chunks, and weights as bits.

An ensemble is a Zarr v3 group.  Every array runs along `configuration` and is cut into blocks of
`block_size` whole rows; one block is one chunk of every array, so one writer writes it whole.  The
layout is a function of the specification alone:

=============  =======  ===================  =====================================================
array          type     row                  meaning
=============  =======  ===================  =====================================================
weights        uint8    ceil(N/8) bytes      binary weights, 1 bit each: bit 1 is +1, bit 0 is −1
accuracy       float64                       on the set that the configuration was selected on
loss           float64                       mean loss on the selection set
test_accuracy  float64                       on the test set
trial          int32                         which trial of this configuration was accepted
epochs         int32                         epochs of training of that trial
polarization   float32                       mean |tanh(θ/2)| over weights, 1 when fully decided
fields         float32  N                    trained fields θ, if ensemble.store_fields
=============  =======  ===================  =====================================================

and for networks of real weights, in place of all these:

===============  =======  =============  =========================================================
array            type     row            meaning
===============  =======  =============  =========================================================
weights_0, …     float32  out × in       weights of each layer; with biases, the last of ``in``
accuracy, loss   float64                 on the selection set
test_accuracy …  float64                 test_loss, train_accuracy, train_loss of the solution
trial, epochs    int32                   accepted trial, and its passes over the examples
curve_…          float32  epochs         train_loss, train_accuracy (means over each pass, while
                                         learning), test_loss, test_accuracy (after it)
===============  =======  =============  =========================================================

An imported store lists its columns in its header (`lsg_ray.ensemble.declared`): what was computed
of its networks, and numbers of the user's own.

Weight i of a configuration is bit ``i % 8`` (from the least significant) of byte ``i // 8``; the
unused bits of the last byte are zero.  A row costs ceil(N/8) bytes, 1.01 bit a weight at N = 675.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from lsg_ray.errors import InputError
from lsg_ray.registry import FAMILIES
from lsg_ray.spec import Spec
from lsg_ray.typing import Bytes, Signs

FORMAT = "lsg-ray ensemble"
#: What may be read: from 2 on snapshots, algorithms and options may be stored, from 3 on data sets
#: have options and transforms, and stores may list their columns, as imported ones do.
FORMAT_VERSIONS = (1, 2, 3)
ROOT = "zarr.json"
LEDGER = "ledger"
#: Arrays of real weights, by layer.
LAYER = "weights_"
#: Arrays along training, a row for each of `Spec.times`: of weights, and of what is measured.
SNAPSHOT = "snapshot_"
BIT_ORDER: Literal["little"] = "little"
SIGN_MAP = {"0": -1, "1": 1}
_BITS_OF_BYTE = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder=BIT_ORDER)
#: The eight signs of each byte as one 64-bit word: a look-up is five times as fast as arithmetic.
_SIGNS_OF_BYTE = (2 * _BITS_OF_BYTE.view(np.int8) - 1).view(np.int64).reshape(256)
#: Eight digits name a block, and a plan of all blocks must fit into memory.
MAX_BLOCKS = 10_000_000
#: A network of more layers would be a store of as many arrays.
MAX_LAYERS = 1_000
#: Bytes of one array in a block, which is written and read as a whole, at most.
MAX_CHUNK_BYTES = 2 * 2**30


@dataclass(frozen=True)
class ArrayLayout:
    """One array of the store: name, little-endian type, what a row is."""

    name: str
    dtype: str
    row: tuple[int, ...] = ()
    dimensions: tuple[str, ...] = ("configuration",)
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def fill(self) -> float:
        """Value of rows that were never written: NaN, or 0 for integers."""
        return float("nan") if self.dtype == "<f4" else 0

    @property
    def is_curve(self) -> bool:
        """Whether it is along time: NaN after the last."""
        return "epoch" in self.dimensions

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return np.dtype(self.dtype).itemsize * math.prod(self.row)

    @property
    def along_snapshots(self) -> bool:
        """Whether there is a row for each snapshot along training."""
        return "snapshot" in self.dimensions

    def along(self, unit: str, times: tuple[int, ...]) -> ArrayLayout:
        """Return the layout of the same at several times of training."""
        return ArrayLayout(
            f"{SNAPSHOT}{self.name}",
            self.dtype,
            (len(times), *self.row),
            ("configuration", "snapshot", *self.dimensions[1:]),
            {**self.attributes, "times": list(times), "unit": unit},
        )

    def chunk_key(self, block: int) -> str:
        """Return the key of a block's chunk.

        >>> weights_layout(675).chunk_key(12)
        'weights/c.12.0'
        """
        return f"{self.name}/c.{block}" + ".0" * len(self.row)


def seen(layout: ArrayLayout, at: int | None) -> ArrayLayout:
    """Return an array as a view of one snapshot sees it: without the axis of snapshots."""
    if at is None or not layout.along_snapshots:
        return layout
    dimensions = tuple(name for name in layout.dimensions if name != "snapshot")
    return replace(layout, row=layout.row[1:], dimensions=dimensions)


def weights_layout(n_weights: int) -> ArrayLayout:
    """Return the layout of the packed weights, for N weights a configuration."""
    attributes = {
        "description": "binary weights, one bit each",
        "n_weights": n_weights,
        "bitorder": BIT_ORDER,
        "sign_map": SIGN_MAP,
    }
    row = (-(-n_weights // 8),)
    return ArrayLayout("weights", "|u1", row, ("configuration", "byte"), attributes)


def scalars(kinds: Mapping[str, tuple[str, str]]) -> tuple[ArrayLayout, ...]:
    """Return arrays with one number a configuration: name, type, description."""
    return tuple(
        ArrayLayout(name, dtype, attributes={"description": description})
        for name, (dtype, description) in kinds.items()
    )


def arrays_of(
    spec: Spec, columns: tuple[ArrayLayout, ...] | None = None
) -> tuple[ArrayLayout, ...]:
    """Return the arrays that a specification asks for, in the order that they are hashed.

    ``columns``: of a store that lists its own, such as an imported one.
    """
    family = FAMILIES[spec.network.family]
    weights = (weights_layout(spec.network.n_weights),) if family.signs else _layers(spec)
    if columns is not None:
        return (*weights, *columns)
    unit, times = spec.times
    if not times:
        return (*weights, *family.columns(spec))
    along = [layout.along(unit, times) for layout in weights]
    measures = [
        ArrayLayout(
            f"{SNAPSHOT}{name}",
            "<f8",
            (len(times),),
            ("configuration", "snapshot"),
            {"description": f"{name.replace('_', ' ')} of the snapshots"},
        )
        for name in family.measures
    ]
    return (*weights, *family.columns(spec), *along, *measures)


def _layers(spec: Spec) -> tuple[ArrayLayout, ...]:
    about = "weights [unit, input]" + (", the last column biases" if spec.network.biases else "")
    family = FAMILIES[spec.network.family]
    return tuple(
        ArrayLayout(
            f"{LAYER}{layer}",
            "<f4",
            shape,
            ("configuration", f"unit_{layer}", f"input_{layer}"),
            {"description": f"{family.layer_name(spec.network, layer)}: {about}"},
        )
        for layer, shape in enumerate(spec.network.shapes)
    )


def pack(weights: Signs) -> Bytes:
    """Pack signs into bits.

    Parameters
    ----------
    weights
        (rows, N) int8, ±1.

    Returns
    -------
    (rows, ceil(N/8)) uint8, C-contiguous; bits beyond N are zero.

    Examples
    --------
    >>> pack(np.array([[1, -1, 1]], dtype=np.int8))
    array([[5]], dtype=uint8)
    """
    return np.packbits(np.greater(weights, 0, order="C"), axis=1, bitorder=BIT_ORDER)


def unpack(packed: Bytes, start: int, stop: int) -> Signs:
    """Unpack weights ``start:stop`` of packed rows to int8 ±1.

    Parameters
    ----------
    packed
        (rows, bytes) uint8 as `pack` makes them.
    start, stop
        Range of weights; only their bytes are touched.

    Examples
    --------
    >>> unpack(np.array([[5]], dtype=np.uint8), 1, 3)
    array([[-1,  1]], dtype=int8)
    """
    first = start // 8
    window = packed[:, first : -(-stop // 8)]
    signs = _SIGNS_OF_BYTE[window].view(np.int8)
    return np.ascontiguousarray(signs[:, start - 8 * first : stop - 8 * first])


def padding_is_zero(packed: Bytes, n_weights: int) -> bool:
    """Return whether the unused bits of each row's last byte are zero."""
    used = n_weights % 8
    return used == 0 or not np.any(packed[..., -1] >> used)


def check_block_index(block: int, n_blocks: int) -> None:
    """Refuse a block index outside ``0 … n_blocks − 1``."""
    if not 0 <= block < n_blocks:
        raise InputError(f"block {block} given; this ensemble has blocks 0 to {n_blocks - 1}")
