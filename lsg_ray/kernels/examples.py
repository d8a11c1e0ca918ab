"""Mini-batches: examples in random order, turned from rows into columns.

Rows lie far apart in memory, and a value at a time would be written to as many cache lines as there
are features.  Four examples are taken at once: four features of each are loaded, the 4 x 4 square
is transposed in registers, and stored in four pieces.
"""

from __future__ import annotations

from numba import types
from numba.extending import intrinsic

from lsg_ray.kernels.compile import inlined
from lsg_ray.kernels.elementary import prefetch
from lsg_ray.kernels.vectors import WORD, Matrix, shuffled


@intrinsic
def _transposed(typing_context, x, r0, r1, r2, r3, k, a, b):
    """Write a[k:k+4, b:b+4] = x[[r0, r1, r2, r3], k:k+4].T."""

    def codegen(context, builder, signature, arguments):
        source = Matrix(context, builder, signature.args[0], arguments[0])
        target = Matrix(context, builder, signature.args[6], arguments[6])
        k, b = arguments[5], arguments[7]
        rows = [source.load(row, k, 4) for row in arguments[1:5]]

        def halves(lanes):
            return [shuffled(builder, *rows[n : n + 2], lanes) for n in (0, 2)]

        low, high = halves((0, 4, 1, 5)), halves((2, 6, 3, 7))
        columns = [
            shuffled(builder, *pair, lanes)
            for pair in (low, high)
            for lanes in ((0, 1, 4, 5), (2, 3, 6, 7))
        ]
        for n, column in enumerate(columns):
            target.store(builder.add(k, WORD(n)), b, column)
        return context.get_dummy_value()

    positions = [types.intp] * 5
    return types.void(x, *positions, a, types.intp), codegen


@inlined
def gather(x, y, order, start, n, a, labels):
    """Write examples ``order[start : start + n]`` of x (P, features) to a (features, n …), y too.

    Columns of a beyond n, up to a multiple of 16, become zero.
    """
    n_features = x.shape[1]
    last = order.size - 1
    squares, fours = n - n % 4, n_features - n_features % 4
    for b in range(n):
        labels[b] = y[order[start + b]]
    for b in range(0, squares, 4):
        r0, r1, r2, r3 = (
            order[start + b],
            order[start + b + 1],
            order[start + b + 2],
            order[start + b + 3],
        )
        # Rows come in random order, from far away: ask for those of the next chunk now.
        for ahead in range(b, b + 4):
            row = order[min(start + n + ahead, last)]
            for k in range(0, n_features, 16):
                prefetch(x, row, k)
        for k in range(0, fours, 4):
            _transposed(x, r0, r1, r2, r3, k, a, b)
        for k in range(fours, n_features):
            a[k, b] = x[r0, k]
            a[k, b + 1] = x[r1, k]
            a[k, b + 2] = x[r2, k]
            a[k, b + 3] = x[r3, k]
    for b in range(squares, n):
        row = order[start + b]
        for k in range(n_features):
            a[k, b] = x[row, k]
    for k in range(n_features):
        a[k, n : (n + 15) // 16 * 16] = 0
