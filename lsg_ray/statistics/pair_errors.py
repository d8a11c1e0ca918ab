r"""Errors of means over pairs of independent units, which share units and are not independent.

With Y_ij = μ + a_i + a_j + e_ij (Hoeffding's decomposition of a U-statistic), the mean over the
pairs of G units has

    Var = 4 σ_a²/G + 2 σ_e²/(G(G − 1)),

and the mean over the pairs of G units with H others σ_a²/G + σ_b²/H + σ_e²/(GH).  The components
are estimated without bias by an analysis of variance, from sums over the pairs of each unit and the
sum of squares alone; a result below half of its last term, by chance where σ_a² is small, is raised
to that.  `lsg_ray.statistics.pairs` does the same for groups of configurations.
"""

from __future__ import annotations

import numpy as np

from lsg_ray.statistics.pairs import PAIRS
from lsg_ray.typing import Floats


def within_error(rows: Floats, squares: Floats) -> Floats:
    """Return the standard error of the mean over pairs of G units, with their row sums.

    Parameters
    ----------
    rows
        (G, F) sums over the other units of the value of a pair.
    squares
        (F,) sums over pairs of the square of the value.

    Returns
    -------
    (F,); NaN of fewer than four units.
    """
    g = len(rows)
    if g < PAIRS.min_groups:
        return np.full(rows.shape[1], np.nan)
    pairs = g * (g - 1) / 2
    mean = rows.sum(axis=0) / (2 * pairs)
    a = (g - 1) / (g - 2) * (rows / (g - 1) - mean)
    # Σ (Y − μ)² = (G − 2) Σ a² + Σ e², both over pairs.
    noise = np.maximum(squares - pairs * mean**2 - (g - 2) * (a**2).sum(axis=0), 0)
    noise /= pairs - g
    spread = (a**2).sum(axis=0) / (g - 1) - noise / (g - 2)
    own = noise / pairs
    return np.sqrt(np.maximum(4 * spread / g + own, own / 2))


def between_error(first: Floats, second: Floats, squares: Floats) -> Floats:
    """Return the standard error of the mean over pairs of two sets of units, as `within_error`.

    Parameters
    ----------
    first, second
        (G, F) and (H, F) sums over the units of the other set of the value of a pair.
    squares
        (F,) sums over pairs of the square of the value.
    """
    g, h = len(first), len(second)
    if min(g, h) < PAIRS.min_groups:
        return np.full(len(squares), np.nan)
    mean = first.sum(axis=0) / (g * h)
    a, b = ((first / h - mean) ** 2).sum(axis=0), ((second / g - mean) ** 2).sum(axis=0)
    noise = np.maximum(squares - g * h * mean**2 - h * a - g * b, 0) / ((g - 1) * (h - 1))
    own = noise / (g * h)
    spread = (a / (g - 1) - noise / h) / g + (b / (h - 1) - noise / g) / h
    return np.sqrt(np.maximum(spread + own, own / 2))
