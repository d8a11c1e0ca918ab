"""Minima of a function on a grid, and the saddles where their basins meet.

Raise a level t: a component of {h ≤ t} is born at each local minimum; where two meet, at a saddle,
the younger (the one whose minimum is higher) joins the older and dies (the elder rule).  The
*persistence* of a minimum is h(saddle) − h(minimum), how far one must climb from it to reach a
lower one.  The lowest minimum never dies; it is given the highest level of the grid.  Who joins
whom, and where, is the *merge tree*.  This is 0-dimensional sublevel persistence (H. Edelsbrunner,
J. Harer, Computational Topology, AMS 2010, ch. VII).

Points touch their neighbours and, in two dimensions, those along diagonals: otherwise a narrow
valley across the grid would fall apart into minima that are none.  This is the convention of
gudhi's `CubicalComplex(top_dimensional_cells=…)`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lsg_ray.arrays import as_numbers
from lsg_ray.errors import InputError
from lsg_ray.typing import Floats, Ints


class Minima(NamedTuple):
    """Local minima (m,), the most persistent first.

    minimum, saddle: points of the flattened grid; saddle −1 of the lowest.  parent: number, in this
    list, of the minimum that it joins there; −1 of the lowest.  birth, death: h at minimum and
    saddle, or the highest h.
    """

    minimum: Ints
    saddle: Ints
    parent: Ints
    birth: Floats
    death: Floats

    @property
    def persistence(self) -> Floats:
        """Death − birth (m,)."""
        return self.death - self.birth

    def above(self, threshold: float) -> Minima:
        """Return the minima with at least this persistence; their parents are among them."""
        kept = self.persistence >= threshold
        return Minima(
            self.minimum[kept],
            self.saddle[kept],
            self.parent[kept],
            self.birth[kept],
            self.death[kept],
        )


def minima_of(heights: ArrayLike) -> Minima:
    """Find the minima of a function on a line (n,) or a grid (rows, columns).

    Parameters
    ----------
    heights
        Finite values h.

    Returns
    -------
    Minima
        Of equal values the first of the flattened grid counts as lower.

    Raises
    ------
    InputError
        No values, values that are not finite, or more than two dimensions.

    Notes
    -----
    O(n log n), the sort.

    Examples
    --------
    >>> minima = minima_of([3.0, 0.0, 2.0, 1.0, 4.0])
    >>> minima.minimum.tolist(), minima.saddle.tolist(), minima.persistence.tolist()
    ([1, 3], [-1, 2], [4.0, 1.0])
    """
    from lsg_ray.kernels.sublevels import join_minima

    h = as_numbers(heights, "heights")
    if h.ndim not in (1, 2) or not h.size or not np.isfinite(h).all():
        raise InputError(
            f"heights of shape {h.shape} given; finite values on a line or a grid are needed"
        )
    flat = h.ravel()
    order = np.argsort(flat, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    pairs = np.empty((len(flat), 3), np.int64)
    count = join_minima(order, rank, h.shape[-1], np.full(len(flat), -1), pairs)
    minimum, saddle, older = pairs[:count].T
    birth = flat[minimum]
    death = np.where(saddle < 0, flat[order[-1]], flat[saddle])
    # Parents before children of the same persistence: the lowest first, then by age.
    ranked = np.lexsort((rank[minimum], birth - death))
    number = np.full(len(flat) + 1, -1)  # the last entry: of the lowest, which joins none
    number[minimum[ranked]] = np.arange(count)
    return Minima(
        minimum[ranked], saddle[ranked], number[older[ranked]], birth[ranked], death[ranked]
    )
