"""Products with examples of which most entries are zero, such as images of digits.

Four fifths of the pixels of MNIST are black.  A first layer that skips them needs a fifth of the
multiply-adds of a dense product, and no copy of the mini-batch: it reads the examples where they
are, in rows of 32-bit words, input and number of the value.  (Pixels have 256 values; examples in
random order come from memory, so bytes count.)  Weights are laid out input by input in blocks of
at most 64 units, ``[block, input, unit]``: the pre-activations (or the errors) of an example are
held in registers while its entries are gone through.  That is done tile by tile of inputs, so that
weights in use stay in the caches; each sum still has its terms in their order.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from lsg_ray.kernels.compile import kernel
from lsg_ray.kernels.elementary import prefetch
from lsg_ray.kernels.vectors import WORD, spread

#: Units of a vector register, and of the widest block of weights.
VECTOR_UNITS, MAX_BLOCK_UNITS = 16, 64
#: Examples between the prefetch of one and its use.
PREFETCH_AHEAD = 2
_HALF_WORD, _VECTOR = ir.IntType(32), ir.VectorType(ir.FloatType(), VECTOR_UNITS)


def _vector_loop(sums, examples):
    """Return an intrinsic that adds weighted rows into registers, or registers into rows.

    It does so for some examples side by side, over equally many entries of each: each sum waits for
    its last term.  ``block`` (inputs, width) begins with the weights of input ``origin``.
    """

    def codegen(context, builder, signature, arguments):
        views = [
            context.make_array(kind)(context, builder, value)
            for kind, value in zip(signature.args[:4], arguments[:4], strict=True)
        ]
        entries, table, block, out = (view.data for view in views)
        width = cgutils.unpack_tuple(builder, views[2].shape, 2)[1]
        begins, offsets = (cgutils.unpack_tuple(builder, arguments[n], examples) for n in (4, 6))
        block = builder.gep(block, [builder.neg(builder.mul(arguments[7], width))])

        def place(base, start, number):
            element = builder.add(start, WORD(number * VECTOR_UNITS))
            return builder.bitcast(builder.gep(base, [element]), _VECTOR.as_pointer())

        def register(offset, number):
            slot = cgutils.alloca_once(builder, _VECTOR)
            builder.store(builder.load(place(out, offset, number), align=4), slot)
            return slot

        def add(value, at, slot):
            weight, own = builder.load(at, align=4), builder.load(slot)
            old, factor = (own, weight) if sums else (weight, own)
            new = builder.fmul(value, factor, flags=("contract",))
            new = builder.fadd(new, old, flags=("contract",))
            builder.store(new, slot if sums else at, align=64 if sums else 4)

        for vectors in range(1, MAX_BLOCK_UNITS // VECTOR_UNITS + 1):
            row_size = WORD(vectors * VECTOR_UNITS)
            with builder.if_then(builder.icmp_signed("==", width, row_size)):
                registers = [[register(offset, n) for n in range(vectors)] for offset in offsets]
                with cgutils.for_range(builder, arguments[5], intp=WORD) as loop:
                    for begin, slots in zip(begins, registers, strict=True):
                        position = builder.add(begin, loop.index)
                        entry = builder.load(builder.gep(entries, [position]))
                        index = builder.zext(builder.lshr(entry, _HALF_WORD(16)), WORD)
                        code = builder.zext(builder.and_(entry, _HALF_WORD(0xFFFF)), WORD)
                        value = builder.load(builder.gep(table, [code]))
                        value = spread(builder, value, VECTOR_UNITS)
                        row = builder.mul(index, row_size)
                        for number, slot in enumerate(slots):
                            add(value, place(block, row, number), slot)
                for offset, slots in zip(offsets, registers, strict=True):
                    for number, slot in enumerate(slots if sums else []):
                        builder.store(builder.load(slot), place(out, offset, number), align=4)
        return context.get_dummy_value()

    def typed(typing_context, entries, table, block, out, begins, count, offsets, origin):
        each = types.UniTuple(types.int64, examples)
        result = types.void(entries, table, block, out, each, types.int64, each, types.int64)
        return result, codegen

    return intrinsic(typed)


#: out[offset:] += Σ_k value_k block[index_k] over entries from begin on, and its transpose.
_gather, _gather_two = _vector_loop(True, 1), _vector_loop(True, 2)
_scatter = _vector_loop(False, 1)


@intrinsic
def _prefetch(typing_context, array, index):
    """Ask for the cache line of ``array[index]`` (1-D) without waiting for it."""

    def codegen(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        hint = builder.module.declare_intrinsic(
            "llvm.prefetch", [byte], ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        )
        pointer = builder.bitcast(builder.gep(data, [arguments[1]]), byte)
        builder.call(hint, [pointer, word(0), word(3), word(1)])
        return context.get_dummy_value()

    return types.void(array, index), codegen


@kernel
def _fetch(splits, entries, rows, r):
    """Ask for the entries of an example to come, and for the start of a later one.

    Examples come in random order, from far apart: most of the time would be waiting for memory.
    """
    last = splits.shape[1] - 1
    ahead = r + 2 * PREFETCH_AHEAD
    if ahead < rows.shape[0]:
        prefetch(splits, rows[ahead], 0)
    ahead = r + PREFETCH_AHEAD
    if ahead < rows.shape[0]:
        for k in range(splits[rows[ahead], 0], splits[rows[ahead], last], 16):
            _prefetch(entries, k)


@kernel
def add_product(splits, entries, table, rows, weights, z):
    """Add x[rows] @ wᵀ to the first blocks * width columns of z; arrays as in `sparse_product`."""
    n, width = rows.shape[0], weights.shape[2]
    for number in range(weights.shape[0]):
        block = weights[number]
        for tile in range(splits.shape[1] - 1):
            for r in range(0, n, 2):
                pair = min(2, n - r)
                other = rows[r + pair - 1]
                begins = splits[rows[r], tile], splits[other, tile]
                sizes = splits[rows[r], tile + 1] - begins[0], splits[other, tile + 1] - begins[1]
                first = r * z.shape[1] + number * width
                offsets = first, first + z.shape[1]
                both = 0
                if pair == 2:
                    both = min(sizes[0], sizes[1])
                    _gather_two(entries, table, block, z, begins, both, offsets, 0)
                for m in range(pair):
                    if number == 0 and tile == 0:
                        _fetch(splits, entries, rows, r + m)
                    begin, rest = begins[m] + both, sizes[m] - both
                    _gather(entries, table, block, z, (begin,), rest, (offsets[m],), 0)


@kernel
def sparse_product(splits, entries, table, rows, weights, z):
    """Z = x[rows] @ wᵀ: pre-activations (rows, units) float32 of examples given as sparse rows.

    Example a has entries k from ``splits[a, 0]`` to ``splits[a, -1]`` (int64), of tiles of inputs
    one after another, which begin at the other splits: the upper half of ``entries[k]`` (uint32) is
    the input, the lower half the index of the value in ``table`` (float32); rows (n,) int64;
    weights (blocks, inputs, width) float32, width a multiple of 16, at most 64; z (n, blocks *
    width) float32, overwritten.
    """
    z[:] = 0
    add_product(splits, entries, table, rows, weights, z)


@kernel
def add_gradient(splits, entries, table, rows, tile, delta, column, origin, own):
    """Add deltaᵀ @ x[rows] of a block of units and a tile of inputs to own (inputs, width).

    delta (n, columns): the errors of the block from ``column`` on; origin: first input of the tile.
    """
    for r in range(rows.shape[0]):
        begin, end = splits[rows[r], tile], splits[rows[r], tile + 1]
        offset = r * delta.shape[1] + column
        _scatter(entries, table, own, delta, (begin,), end - begin, (offset,), origin)


@kernel
def sparse_gradient(splits, entries, table, rows, delta, gradient):
    """Gradient of the weights: deltaᵀ @ x[rows] in their layout; arrays as in `sparse_product`.

    delta (n, blocks * width) float32; gradient (blocks, inputs, width), overwritten.
    """
    for number in range(gradient.shape[0]):
        block = gradient[number]
        block[:] = 0
        for tile in range(splits.shape[1] - 1):
            add_gradient(
                splits, entries, table, rows, tile, delta, number * gradient.shape[2], 0, block
            )
