"""Where a density rises and falls: contrasts between order statistics, on all scales."""

from __future__ import annotations

import numpy as np

from lsg_ray.kernels.compile import kernel

#: Smallest number of cells of a contrast.
MIN_CONTRAST_CELLS = 2


@kernel
def contrasts(x, first, step, cells, contrast):
    """Compare values between order statistics with even ones.

    x (n,) float64, ascending; the nodes are x[first + a step], a = 0 … cells.  contrast (cells + 1,
    cells + 1), overwritten for b ≥ a + `MIN_CONTRAST_CELLS`: with u the m values between nodes a
    and b in units of the interval, √(3/m) Σ (2u − 1), which has variance 1 if they are uniform, and
    is large where the density rises.  cells² + n operations.
    """
    sums = np.empty(x.shape[0] + 1)
    sums[0] = 0.0
    for i in range(x.shape[0]):
        sums[i + 1] = sums[i] + (x[i] - x[0])
    for a in range(cells + 1):
        j = first + a * step
        for b in range(a + MIN_CONTRAST_CELLS, cells + 1):
            k = first + b * step
            m = k - j - 1
            width = x[k] - x[j]
            inside = sums[k] - sums[j + 1] - m * (x[j] - x[0])
            contrast[a, b] = np.sqrt(3.0 / m) * (2 * inside / width - m) if width > 0 else 0.0


@kernel
def alternations(contrast, penalty, allowed, strengths):
    """Compute the strength of k falls that are each followed by a rise, for k = 1, 2, ….

    contrast (nodes, nodes) as above; penalty (nodes,), by cells, is taken off its absolute value;
    allowed (nodes, nodes) uint8: which count.  strengths (K,), overwritten: for each k, the largest
    value that all k falls and rises reach, on intervals that follow each other; a rise may begin a
    cell before the fall has ended, which may be the gap between two peaks.
    """
    nodes = contrast.shape[0]
    best, after = np.full(nodes, np.inf), np.empty(nodes)
    for half in range(2 * strengths.shape[0]):
        rises = half % 2
        sign = 2.0 * rises - 1.0
        strongest = -np.inf
        for b in range(nodes):
            for a in range(b - MIN_CONTRAST_CELLS + 1):
                if allowed[a, b]:
                    value = min(best[a + rises], sign * contrast[a, b] - penalty[b - a])
                    strongest = max(strongest, value)
            after[b] = strongest
        best, after = after, best
        if rises:
            strengths[half // 2] = best[nodes - 1]
