"""Small matrix products of a layer, with the examples of a mini-batch as the vector axis.

Activations are stored (unit, example), examples contiguous, widths padded to multiples of four and
examples to multiples of sixteen.  Sums stay in vector registers over the whole inner loop, which
numba's own loops cannot express: the innermost blocks are written in LLVM's vector types.

- ``product``: a block of 4 units x up to 4 vectors of examples is summed over all inputs; each step
  loads 4 weights and the vectors of one input for 16 multiply-adds, and stores nothing.
- ``outer``: 4 x 4 sums over examples, one vector each, are added across their lanes by a tree of
  shuffles at the end.

Sums over inputs are in their order.  Sums over examples depend in their last bits on the number of
lanes of the processor (`lsg_ray.kernels.compile.processor`).  All arrays are two-dimensional,
float32 or float64, examples contiguous.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from lsg_ray.kernels.compile import kernel
from lsg_ray.kernels.vectors import (
    BYTES,
    COLUMNS,
    VECTORS,
    WORD,
    Matrix,
    across,
    add_product,
    spread,
    sums,
)


def _product_block(vectors):
    """Return an intrinsic that writes 4 rows of ``vectors`` vectors of a product."""

    @intrinsic
    def block(typing_context, w, a, z, i, b):
        """Write z[i:i+4, b:b+lanes·vectors] = w[i:i+4] @ a[:, b:b+lanes·vectors]."""

        def codegen(context, builder, signature, arguments):
            weights, inputs, outputs = (
                Matrix(context, builder, signature.args[n], arguments[n]) for n in range(3)
            )
            lanes = BYTES // inputs.bytes
            rows = [builder.add(arguments[3], WORD(r)) for r in range(4)]
            starts = [builder.add(arguments[4], WORD(v * lanes)) for v in range(vectors)]
            totals = sums(builder, ir.VectorType(inputs.kind, lanes), 4, vectors)
            with cgutils.for_range(builder, weights.shape[1]) as loop:
                columns = [inputs.load(loop.index, start, lanes) for start in starts]
                for row, places in zip(rows, totals, strict=True):
                    weight = spread(builder, weights.entry(row, loop.index), lanes)
                    for column, place in zip(columns, places, strict=True):
                        add_product(builder, place, weight, column)
            for row, places in zip(rows, totals, strict=True):
                for start, place in zip(starts, places, strict=True):
                    outputs.store(row, start, builder.load(place))
            return context.get_dummy_value()

        return types.void(w, a, z, types.intp, types.intp), codegen

    return block


_one, _two, _three, _four = map(_product_block, (1, 2, 3, 4))


@intrinsic
def _lanes(typing_context, a):
    """Return the number of entries of a vector."""

    def codegen(context, builder, signature, arguments):
        return WORD(BYTES // (signature.args[0].dtype.bitwidth // 8))

    return types.intp(a), codegen


@kernel
def product(w, a, z, n):
    """Z = w @ a for the first ``n`` examples: w (out, in), a (in, examples), z (out, examples).

    Weights are read one by one, so w may be a transposed view.
    """
    lanes = _lanes(a)
    b = 0
    while b < n:
        # Rather two blocks of three vectors than one of five and one: few sums wait for each other.
        left = (n - b) // lanes
        if VECTORS >= 4 and (left == 4 or left >= 7):
            for i in range(0, w.shape[0], 4):
                _four(w, a, z, i, b)
            b += 4 * lanes
        elif VECTORS >= 3 and (left == 3 or left >= 5):
            for i in range(0, w.shape[0], 4):
                _three(w, a, z, i, b)
            b += 3 * lanes
        elif left >= 2:
            for i in range(0, w.shape[0], 4):
                _two(w, a, z, i, b)
            b += 2 * lanes
        else:
            for i in range(0, w.shape[0], 4):
                _one(w, a, z, i, b)
            b += lanes


@intrinsic
def _outer_block(typing_context, d, a, g, n, i, k):
    """Add d[i:i+4] @ a[k:k+columns]ᵀ over ``n`` examples to g[i:i+4, k:k+columns]."""

    def codegen(context, builder, signature, arguments):
        left, right, result = (
            Matrix(context, builder, signature.args[m], arguments[m]) for m in range(3)
        )
        n, i, k = arguments[3:]
        lanes = BYTES // left.bytes
        rows = [builder.add(i, WORD(r)) for r in range(4)]
        columns = [builder.add(k, WORD(c)) for c in range(COLUMNS)]
        totals = sums(builder, ir.VectorType(left.kind, lanes), 4, COLUMNS)
        with cgutils.for_range_slice(builder, WORD(0), n, WORD(lanes), inc=True) as (b, _):
            factors = [right.load(column, b, lanes) for column in columns]
            for row, places in zip(rows, totals, strict=True):
                first = left.load(row, b, lanes)
                for second, place in zip(factors, places, strict=True):
                    add_product(builder, place, first, second)
        for row, places in zip(rows, totals, strict=True):
            added = across(builder, [builder.load(place) for place in places])
            before = result.load(row, k, COLUMNS)
            result.store(row, k, builder.fadd(before, added))
        return context.get_dummy_value()

    return types.void(d, a, g, types.intp, types.intp, types.intp), codegen


@kernel
def outer(d, a, g, n):
    """Add d @ aᵀ over ``n`` examples to g: d (out, examples), a (in, examples), g (out, in)."""
    for i in range(0, g.shape[0], 4):
        for k in range(0, g.shape[1], COLUMNS):
            _outer_block(d, a, g, n, i, k)
