"""Union-find over the sublevel sets of a grid: where components of {h ≤ t} begin and meet."""

from __future__ import annotations

from lsg_ray.kernels.compile import inlined, kernel


@inlined
def _root(parent, at):
    while parent[at] != at:
        parent[at] = parent[parent[at]]
        at = parent[at]
    return at


@kernel
def join_minima(order, rank, columns, parent, pairs):
    """Add the points of a grid from low to high; record each minimum when an older one absorbs it.

    order (n,) points from low to high, rank (n,) its inverse; columns of the grid, row after row;
    parent (n,) all -1, changed; pairs (n, 3) int64, written: minimum, saddle, older minimum.
    Points touch their eight neighbours.  Returns the number of pairs; the last is the lowest
    minimum, whose saddle and older minimum are -1.
    """
    rows, count = len(order) // columns, 0
    for at in order:
        row, column = at // columns, at % columns
        parent[at] = at
        oldest = at
        for i in range(max(row - 1, 0), min(row + 2, rows)):
            for j in range(max(column - 1, 0), min(column + 2, columns)):
                if parent[i * columns + j] >= 0:
                    root = _root(parent, i * columns + j)
                    if rank[root] < rank[oldest]:
                        oldest = root
        for i in range(max(row - 1, 0), min(row + 2, rows)):
            for j in range(max(column - 1, 0), min(column + 2, columns)):
                if parent[i * columns + j] >= 0:
                    root = _root(parent, i * columns + j)
                    if root != oldest:
                        if root != at:
                            pairs[count, 0], pairs[count, 1] = root, at
                            pairs[count, 2] = oldest
                            count += 1
                        parent[root] = oldest
    pairs[count, 0], pairs[count, 1], pairs[count, 2] = order[0], -1, -1
    return count + 1
