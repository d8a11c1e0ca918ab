"""Products with the squares of a matrix, which are not stored: both of them in one pass."""

from __future__ import annotations

from lsg_ray.kernels.compile import kernel


@kernel
def add_square_products(w, below, above, to_below, to_above):
    """Add (w∘w) below to to_above (out,), and (w∘w)ᵀ above to to_below (in,).

    w (out, in), rows contiguous; below, to_below (in,) and above, to_above (out,) float64.
    """
    for i in range(w.shape[0]):
        row, own = w[i], above[i]
        total = 0.0
        for j in range(len(row)):
            square = row[j] * row[j]
            total += square * below[j]
            to_below[j] += square * own
        to_above[i] += total
