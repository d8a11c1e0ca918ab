"""Examples as the first layer of a ReLU network reads them: dense, or sparse on a CPU.

The first layer holds nearly all weights of the networks of the spin-glass-lens paper, so its two
products, x W₁ᵀ and δᵀ x, are nearly all of the work.  Both kinds of examples compute them
for a stack of networks; weights have a layout of their own, which `pack` and `unpack` convert.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lsg_ray.arrays import read_only
from lsg_ray.networks.threads import default_device
from lsg_ray.typing import Array, Ints, Singles

if TYPE_CHECKING:
    import torch
    from torch import Tensor

#: Largest share of non-zero entries for which sparse rows are used: above it the dense product,
#: which runs at the peak of the processor, is faster.
MAX_SPARSE_DENSITY = 0.35
#: Largest numbers of inputs, and of different values of them, in sparse rows: 16 bits each.
MAX_SPARSE_VALUES = 1 << 16
#: Bytes of the first layer's weights of a block of units that are gone through at a time.
TILE_BYTES = 1 << 17

#: Rows of examples: of each network (networks, n), or a slice for all.
Rows: TypeAlias = "Tensor | slice"


class Inputs(Protocol):
    """What the first layer needs of examples: products with packed weights, and their gradient."""

    def __len__(self) -> int:
        """Return the number of examples."""

    @property
    def device(self) -> str:
        """Device of the examples, and of all that is computed from them."""

    @property
    def dtype(self) -> torch.dtype:
        """Their torch type."""

    def pack(self, weights: Tensor) -> Tensor:
        """Return a copy of weights (networks, units, inputs) in the layout of the examples."""

    def unpack(self, packed: Tensor, units: int) -> Tensor:
        """Return packed weights as (networks, units, inputs)."""

    def product(self, packed: Tensor, rows: Rows) -> Tensor:
        """Return x[rows] Wᵀ of each network: (networks, n, units), or more units than there are."""

    def gradient(self, delta: Tensor, rows: Rows) -> Tensor:
        """Return δᵀ x[rows] of each network, δ (networks, n, units), packed as weights are."""


class DenseInputs:
    """Examples (n, inputs) as a tensor, on any device and in any precision."""

    def __init__(self, x: Array, device: str, dtype: torch.dtype) -> None:
        import torch

        self.x = torch.tensor(x, dtype=dtype, device=device)

    def __len__(self) -> int:
        return len(self.x)

    @property
    def device(self) -> str:
        """Device of the examples, and of all that is computed from them."""
        return str(self.x.device)

    @property
    def dtype(self) -> torch.dtype:
        """Their torch type."""
        return self.x.dtype

    def pack(self, weights: Tensor) -> Tensor:
        """Return weights (networks, units, inputs) in the layout of this kind of examples.

        A copy of its own, without gaps: torch's fused optimisers ignore strides.
        """
        import torch

        return weights.clone(memory_format=torch.contiguous_format)

    def unpack(self, packed: Tensor, units: int) -> Tensor:  # noqa: ARG002
        """Return packed weights as (networks, units, inputs)."""
        return packed

    def product(self, packed: Tensor, rows: Rows) -> Tensor:
        """Return x[rows] Wᵀ of each network: (networks, n, units)."""
        if isinstance(rows, slice):
            return (
                (self.x[rows] @ packed.flatten(0, 1).T).unflatten(1, packed.shape[:2]).movedim(1, 0)
            )
        return self._gathered(rows) @ packed.transpose(1, 2)

    def gradient(self, delta: Tensor, rows: Rows) -> Tensor:
        """Return δᵀ x[rows] of each network, δ (networks, n, units), packed as weights are."""
        x = self.x[rows] if isinstance(rows, slice) else self._gathered(rows)
        return delta.transpose(1, 2) @ x

    def _gathered(self, rows: Tensor) -> Tensor:
        return self.x.index_select(0, rows.reshape(-1)).unflatten(0, rows.shape)


class SparseInputs:
    """Examples as sparse rows, in float32 on a CPU; see `lsg_ray.kernels.sparse`."""

    def __init__(self, x: Array) -> None:
        from scipy.sparse import csr_array

        rows = csr_array(np.asarray(x, np.float32))
        table, codes = np.unique(rows.data, return_inverse=True)
        self.shape = rows.shape
        entries = (rows.indices.astype(np.uint32) << 16) | codes.astype(np.uint32)
        self.entries = (
            read_only(rows.indptr, np.int64),
            read_only(entries, np.uint32),
            read_only(table, np.float32),
        )
        self._splits: dict[int, Ints] = {}

    device = "cpu"

    def __len__(self) -> int:
        return int(self.shape[0])

    def tiles(self, width: int) -> tuple[Ints, NDArray[np.uint32], Singles]:
        """Return what kernels need, for blocks of ``width`` units: splits, entries and table."""
        tiles = -(-4 * width * self.shape[1] // TILE_BYTES)
        if tiles not in self._splits:
            starts, entries, _ = self.entries
            splits = np.empty((len(self), tiles + 1), np.int64)
            splits[:, 0], splits[:, tiles] = starts[:-1], starts[1:]
            for tile in range(1, tiles):
                before = np.zeros(len(entries) + 1, np.int64)
                inputs = tile * -(-self.shape[1] // tiles)
                np.cumsum((entries >> 16) < inputs, out=before[1:])
                splits[:, tile] = starts[:-1] + before[starts[1:]] - before[starts[:-1]]
            self._splits[tiles] = splits
        return self._splits[tiles], *self.entries[1:]

    def dense(self, rows: int | None = None) -> Singles:
        """Return the first examples (rows, inputs), or all."""
        starts, entries, table = self.entries
        n = len(self) if rows is None else min(rows, len(self))
        x = np.zeros((n, self.shape[1]), np.float32)
        row = np.repeat(np.arange(n), np.diff(starts[: n + 1]))
        chosen = entries[: len(row)]
        x[row, chosen >> 16] = table[chosen & 0xFFFF]
        return x

    @property
    def dtype(self) -> torch.dtype:
        """Their torch type."""
        import torch

        return torch.float32

    @staticmethod
    def width(units: int) -> int:
        """Return the width of a block of units."""
        from lsg_ray.kernels.sparse import MAX_BLOCK_UNITS, VECTOR_UNITS

        return min(-(-units // VECTOR_UNITS) * VECTOR_UNITS, MAX_BLOCK_UNITS)

    def pack(self, weights: Tensor) -> Tensor:
        """Return weights (networks, units, inputs) as (networks, blocks, inputs, width)."""
        import torch

        networks, units, inputs = weights.shape
        width = self.width(units)
        blocks = -(-units // width)
        packed = torch.zeros(networks, blocks * width, inputs)
        packed[:, :units] = weights
        return packed.unflatten(1, (blocks, width)).transpose(2, 3).contiguous()

    def unpack(self, packed: Tensor, units: int) -> Tensor:
        """Return packed weights as (networks, units, inputs)."""
        return packed.transpose(2, 3).flatten(1, 2)[:, :units]

    def product(self, packed: Tensor, rows: Rows) -> Tensor:
        """Return x[rows] Wᵀ of each network: (networks, n, units rounded up to whole blocks)."""
        import torch

        from lsg_ray.kernels.sparse import sparse_product

        numbers, examples = self._numbers(rows, len(packed)), self.tiles(packed.shape[3])
        z = torch.empty(len(packed), len(numbers[0]), packed.shape[1] * packed.shape[3])
        for rows_of, weights, out in zip(numbers, packed.numpy(), z.numpy(), strict=True):
            sparse_product(*examples, rows_of, weights, out)
        return z

    def gradient(self, delta: Tensor, rows: Rows) -> Tensor:
        """Return δᵀ x[rows] of each network, δ (networks, n, units), packed as weights are."""
        import torch

        from lsg_ray.kernels.sparse import sparse_gradient

        width, units = self.width(delta.shape[2]), delta.shape[2]
        numbers, examples = self._numbers(rows, len(delta)), self.tiles(width)
        blocks = -(-units // width)
        gradient = torch.empty(len(delta), blocks, self.shape[1], width)
        gap = blocks * width - units
        padded = torch.nn.functional.pad(delta, (0, gap)) if gap else delta
        deltas = padded.contiguous().numpy()
        for rows_of, own, out in zip(numbers, deltas, gradient.numpy(), strict=True):
            sparse_gradient(*examples, rows_of, own, out)
        return gradient

    def _numbers(self, rows: Rows, networks: int) -> Sequence[Ints]:
        if isinstance(rows, slice):
            return [np.arange(*rows.indices(len(self)))] * networks
        return list(np.ascontiguousarray(rows.numpy(), np.int64))


def is_sparse(x: Array) -> bool:
    """Return whether examples can be stored as sparse rows, and are faster so.

    At most a share `MAX_SPARSE_DENSITY` of the entries differ from zero, and there are at most
    `MAX_SPARSE_VALUES` inputs and values.
    """
    if np.count_nonzero(x) > MAX_SPARSE_DENSITY * x.size or x.shape[1] > MAX_SPARSE_VALUES:
        return False
    return len(np.unique(x)) <= MAX_SPARSE_VALUES


def as_inputs(x: Array, device: str | None = None, dtype: torch.dtype | None = None) -> Inputs:
    """Return examples (n, inputs) in the faster form: sparse if float32, on a CPU and mostly zero.

    ``device`` is that of torch, by default CUDA where there is one; ``dtype`` float32 by default.
    """
    import torch

    device, dtype = device or default_device(), dtype or torch.float32
    if device == "cpu" and dtype == torch.float32 and is_sparse(x):
        return SparseInputs(x)
    return DenseInputs(x, device, dtype)
