"""Vectors of LLVM within kernels: loads, stores and shuffles that loops of numba cannot express.

Intrinsics are written with these: they take two-dimensional arrays and positions in them, and work
on as many entries at once as a register of the processor holds.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils

from lsg_ray.kernels.compile import has_feature

WORD = ir.IntType(64)
_BYTE = ir.IntType(8)
#: Bytes of a vector: a register of AVX-512 or AVX, or two of ARM.
BYTES = 64 if has_feature("avx512f") else 32
#: Largest number of vectors of a row of a product, and of columns of a product of examples, whose
#: sums fit into the registers: 32 of AVX-512, 16 of AVX, 32 halves of ARM.
if has_feature("avx512f"):
    VECTORS, COLUMNS = 4, 4
elif has_feature("avx"):
    VECTORS, COLUMNS = 3, 2
else:
    VECTORS, COLUMNS = 2, 2


class Matrix:
    """A two-dimensional array within a kernel: addresses of its entries."""

    def __init__(self, context, builder, array_type, value):
        view = context.make_array(array_type)(context, builder, value)
        self.builder, self.kind = builder, context.get_value_type(array_type.dtype)
        self.shape = cgutils.unpack_tuple(builder, view.shape, 2)
        self.bytes = array_type.dtype.bitwidth // 8
        self.data = builder.bitcast(view.data, _BYTE.as_pointer())
        self.strides = cgutils.unpack_tuple(builder, view.strides, 2)

    def _place(self, row, column, stride, kind):
        build = self.builder
        offset = build.add(build.mul(row, self.strides[0]), build.mul(column, stride))
        return build.bitcast(build.gep(self.data, [offset]), kind.as_pointer())

    def entry(self, row, column):
        """Load an entry."""
        return self.builder.load(self._place(row, column, self.strides[1], self.kind))

    def load(self, row, column, lanes):
        """Load entries that follow one another in a row; rows are contiguous."""
        vector = ir.VectorType(self.kind, lanes)
        place = self._place(row, column, WORD(self.bytes), vector)
        return self.builder.load(place, align=self.bytes)

    def store(self, row, column, values):
        """Store a vector in a row, as `load`."""
        place = self._place(row, column, WORD(self.bytes), values.type)
        self.builder.store(values, place, align=self.bytes)


def sums(builder, vector, rows, columns):
    """Return places of rows x columns sums, which are zero, and become registers."""

    def place():
        return cgutils.alloca_once_value(builder, ir.Constant(vector, [0.0] * vector.count))

    return [[place() for _ in range(columns)] for _ in range(rows)]


def add_product(builder, place, x, y):
    """Add x y to a sum, in one rounding where the processor can."""
    vector = x.type
    name = f"llvm.fmuladd.v{vector.count}f{32 if vector.element == ir.FloatType() else 64}"
    kind = ir.FunctionType(vector, [vector] * 3)
    fused = cgutils.get_or_insert_function(builder.module, kind, name)
    builder.store(builder.call(fused, [x, y, builder.load(place)]), place)


def spread(builder, x, lanes):
    """Return a vector of one number."""
    vector = ir.VectorType(x.type, lanes)
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), x, ir.IntType(32)(0))
    return shuffled(builder, one, one, [0] * lanes)


def shuffled(builder, u, v, lanes):
    """Return the vector of the lanes of u, numbered from 0, and of v, numbered on."""
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), list(lanes))
    return builder.shuffle_vector(u, v, mask)


def across(builder, vectors):
    """Return the sums over the lanes of 2 or 4 vectors, as a vector of 2 or 4 lanes."""
    total = _joined(builder, *vectors[:2], _EIGHTHS)
    if len(vectors) == 4:
        other = _joined(builder, *vectors[2:], _EIGHTHS)
        total = _joined(builder, total, other, _QUARTERS)
    while total.type.count > len(vectors):
        half = total.type.count // 2
        low, high = range(half), range(half, 2 * half)
        total = builder.fadd(
            shuffled(builder, total, total, low), shuffled(builder, total, total, high)
        )
    return total


#: Lanes of two groups of four, 4 to 7 those of the second, that are added to each other.
_EIGHTHS = ((0, 4, 1, 5), (2, 6, 3, 7))
_QUARTERS = ((0, 1, 4, 5), (2, 3, 6, 7))


def _joined(builder, u, v, lanes):
    """Add lanes of two vectors in each group of four, as the shuffles of most processors do."""
    count = u.type.count

    def chosen(group):
        places = [
            start + lane if lane < 4 else count + start + lane - 4
            for start in range(0, count, 4)
            for lane in group
        ]
        return shuffled(builder, u, v, places)

    return builder.fadd(*map(chosen, lanes))
