"""Products with examples of which most entries are zero, such as images of digits.

Four fifths of the pixels of MNIST are black.  A first layer that skips them needs a fifth of the
multiply-adds of a dense product, and no copy of the mini-batch: it reads the examples where they
are, in rows of 32-bit words, input and number of the value.  (Pixels have 256 values; examples in
random order come from memory, so bytes count.)  Weights are laid out input by input in blocks of
at most 64 units, ``[block, input, unit]``: the pre-activations (or the errors) of one example are
held in registers while its entries are gone through.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from lsg_ray.kernels.compile import kernel

#: Units of a vector register, and of the widest block of weights.
VECTOR_UNITS, MAX_BLOCK_UNITS = 16, 64
#: Examples between the prefetch of one and its use.
PREFETCH_AHEAD = 2


def _vector_loop(sums):
    """Return an intrinsic that adds weighted rows into registers, or a register into rows."""

    def codegen(context, builder, signature, arguments):
        # Each instance serves one number of vectors; a row of a block has that many vectors.
        pointers = [
            context.make_array(kind)(context, builder, value).data
            for kind, value in zip(signature.args[:4], arguments[:4], strict=True)
        ]
        entries, table, block, out = pointers
        begin, end, offset = arguments[4:7]
        vectors = signature.args[7].literal_value
        vector = ir.VectorType(ir.FloatType(), VECTOR_UNITS)
        width = ir.Constant(ir.IntType(64), vectors * VECTOR_UNITS)

        def vector_pointer(base, start, number):
            element = builder.add(start, ir.Constant(ir.IntType(64), number * VECTOR_UNITS))
            return builder.bitcast(builder.gep(base, [element]), vector.as_pointer())

        registers = []
        for number in range(vectors):
            slot = cgutils.alloca_once(builder, vector)
            builder.store(builder.load(vector_pointer(out, offset, number), align=4), slot)
            registers.append(slot)
        with cgutils.for_range_slice(
            builder, begin, end, ir.Constant(ir.IntType(64), 1), intp=ir.IntType(64)
        ) as (at, _):
            word = builder.load(builder.gep(entries, [at]))
            index = builder.lshr(word, ir.Constant(ir.IntType(32), 16))
            index = builder.zext(index, ir.IntType(64))
            code = builder.and_(word, ir.Constant(ir.IntType(32), 0xFFFF))
            code = builder.zext(code, ir.IntType(64))
            scalar = builder.load(builder.gep(table, [code]))
            lane = builder.insert_element(
                ir.Constant(vector, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0)
            )
            mask = ir.Constant(ir.VectorType(ir.IntType(32), VECTOR_UNITS), [0] * VECTOR_UNITS)
            value = builder.shuffle_vector(lane, ir.Constant(vector, ir.Undefined), mask)
            row = builder.mul(index, width)
            for number, slot in enumerate(registers):
                pointer = vector_pointer(block, row, number)
                weight = builder.load(pointer, align=4)
                register = builder.load(slot)
                old, factor = (register, weight) if sums else (weight, register)
                product = builder.fmul(value, factor, flags=("contract",))
                new = builder.fadd(product, old, flags=("contract",))
                if sums:
                    builder.store(new, slot)
                else:
                    builder.store(new, pointer, align=4)
        if sums:
            for number, slot in enumerate(registers):
                builder.store(builder.load(slot), vector_pointer(out, offset, number), align=4)
        return context.get_dummy_value()

    def typed(typing_context, entries, table, block, out, begin, end, offset, vectors):
        if not isinstance(vectors, types.IntegerLiteral):
            return None
        indices = (types.int64, types.int64, types.int64)
        return types.void(entries, table, block, out, *indices, vectors), codegen

    return intrinsic(prefer_literal=True)(typed)


#: out[offset:] += Σ_k value_k block[index_k], k from begin to end, and its transpose.
_gather = _vector_loop(sums=True)
_scatter = _vector_loop(sums=False)


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
def _fetch(starts, entries, rows, r):
    """Ask for the entries of an example to come, and for the start of a later one.

    Examples come in random order, from far apart: most of the time would be waiting for memory.
    """
    ahead = r + 2 * PREFETCH_AHEAD
    if ahead < rows.shape[0]:
        _prefetch(starts, rows[ahead])
    ahead = r + PREFETCH_AHEAD
    if ahead < rows.shape[0]:
        for k in range(starts[rows[ahead]], starts[rows[ahead] + 1], 16):
            _prefetch(entries, k)


@kernel
def sparse_product(starts, entries, table, rows, weights, z):
    """Z = x[rows] @ wᵀ: pre-activations (rows, units) float32 of examples given as sparse rows.

    Example a has entries k from ``starts[a]`` to ``starts[a + 1]`` (int64): the upper half of
    ``entries[k]`` (uint32) is the input, the lower half the index of the value in ``table``
    (float32); rows (n,) int64; weights (blocks, inputs, width) float32, width a multiple of 16, at
    most 64; z (n, blocks * width) float32, overwritten.
    """
    width = weights.shape[2]
    z[:] = 0
    for number in range(weights.shape[0]):
        block = weights[number]
        for r in range(rows.shape[0]):
            if number == 0:
                _fetch(starts, entries, rows, r)
            begin, end = starts[rows[r]], starts[rows[r] + 1]
            offset = r * z.shape[1] + number * width
            if width == 64:
                _gather(entries, table, block, z, begin, end, offset, 4)
            elif width == 48:
                _gather(entries, table, block, z, begin, end, offset, 3)
            elif width == 32:
                _gather(entries, table, block, z, begin, end, offset, 2)
            else:
                _gather(entries, table, block, z, begin, end, offset, 1)


@kernel
def sparse_gradient(starts, entries, table, rows, delta, gradient):
    """Gradient of the weights: deltaᵀ @ x[rows] in their layout; arrays as in `sparse_product`.

    delta (n, blocks * width) float32; gradient (blocks, inputs, width), overwritten.
    """
    width = gradient.shape[2]
    for number in range(gradient.shape[0]):
        block = gradient[number]
        block[:] = 0
        for r in range(rows.shape[0]):
            if number == 0:
                _fetch(starts, entries, rows, r)
            begin, end = starts[rows[r]], starts[rows[r] + 1]
            offset = r * delta.shape[1] + number * width
            if width == 64:
                _scatter(entries, table, block, delta, begin, end, offset, 4)
            elif width == 48:
                _scatter(entries, table, block, delta, begin, end, offset, 3)
            elif width == 32:
                _scatter(entries, table, block, delta, begin, end, offset, 2)
            else:
                _scatter(entries, table, block, delta, begin, end, offset, 1)
