"""Magnetizations of units that feel a field and their own reaction: m = tanh(f − r m), r ≥ 0.

With m = tanh x it is x + r tanh x = f, whose left side rises: x lies between f − r and f + r, with
the sign of f.  Newton's method, between bounds that close in, in blocks that stay in the cache.
"""

from __future__ import annotations

import numpy as np

from lsg_ray.kernels import double
from lsg_ray.kernels.compile import inlined, kernel

#: Units that are solved side by side, until all have arrived.
BLOCK = 256
#: Most steps for a unit; few take more than five.  Change of x at which it has arrived.
_STEPS, _ARRIVED = 60, 1e-12


@inlined
def _tanh(x):
    """Return tanh x and 1 − tanh² x."""
    e = double.exp(-min(2.0 * abs(x), 700.0))
    inverse = 1.0 / (1.0 + e)
    m = (1.0 - e) * inverse
    return (m if x > 0.0 else -m), 4.0 * e * inverse * inverse


@kernel
def align(field, reaction, m):
    """Set m (n,) to the solutions of m = tanh(field − reaction m); all (n,) float64."""
    x, low, high, change = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    for start in range(0, len(m), BLOCK):
        n = min(BLOCK, len(m) - start)
        f, r = field[start : start + n], reaction[start : start + n]
        for i in range(n):
            x[i] = f[i] / (1.0 + r[i])
            low[i] = min(f[i], 0.0)
            high[i] = max(f[i], 0.0)
        for _ in range(_STEPS):
            for i in range(n):
                here = x[i]
                value, slope = _tanh(here)
                excess = here + r[i] * value - f[i]
                low[i] = here if excess < 0.0 else low[i]
                high[i] = here if excess > 0.0 else high[i]
                new = here - excess / (1.0 + r[i] * slope)
                outside = (new < low[i]) | (new > high[i])
                new = 0.5 * (low[i] + high[i]) if outside else new
                change[i] = abs(new - here)
                x[i] = new
            # Apart, as a largest number is not sought by vectors: it might not be a number.
            moved = 0.0
            for i in range(n):
                moved = max(moved, change[i])
            if moved < _ARRIVED:
                break
        for i in range(n):
            m[start + i] = _tanh(x[i])[0]
