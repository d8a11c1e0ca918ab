"""The least eigenvalue of a matrix like those of the cavity method, with a bound on its error.

Matrices without positive entries off the diagonal have a least eigenvector without sign changes
(O. Perron, G. Frobenius), so Lanczos iteration from a positive vector cannot miss it (C. Lanczos,
J. Res. NBS 45, 255 (1950)).  θ is taken when its residual ‖Pv − θv‖, which bounds the distance to
an eigenvalue, is small against θ itself: the sign is then known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lsg_ray.typing import Singles


@dataclass(frozen=True)
class LanczosConfig:
    """When an eigenvalue is accurate enough."""

    #: Steps before its first estimate, between two of them, and at most.
    first: int = 6
    between: int = 4
    most: int = 300
    #: Largest residual in units of the eigenvalue, and largest in any case; and the rounding error
    #: of float32 in units of the largest entry.
    share: float = 0.05
    small: float = 1e-3
    rounding: float = 2e-6


class Least(NamedTuple):
    """An eigenvalue, a bound on its error, and whether that is small enough."""

    value: float
    error: float
    converged: bool

    @property
    def sign(self) -> int:
        """+1 or −1; 0 where the eigenvalue is zero within its error."""
        known = self.converged and abs(self.value) > self.error
        return int(np.sign(self.value)) if known else 0


def least_eigenvalue(P: Singles, config: LanczosConfig | None = None) -> Least:
    """Return the least eigenvalue of a symmetric matrix without positive entries off the diagonal.

    Parameters
    ----------
    P
        (N, N), of which the lower triangle is read.
    config
        When the eigenvalue is accurate enough.

    Notes
    -----
    N² multiply-adds a step; 6 to 30 of them.
    """
    from scipy.linalg import eigh_tridiagonal

    from lsg_ray.kernels.bethe import lanczos

    n, config = len(P), config or LanczosConfig()
    diagonal = P.diagonal()
    floor = config.rounding * float(np.abs(diagonal).max(initial=0.0))
    basis = np.empty((min(config.most, n) + 1, n), np.float32)
    basis[0] = n**-0.5
    a, b = np.empty(len(basis)), np.empty(len(basis))
    done, steps = 0, min(config.first, n)
    while True:
        done = lanczos(P, basis, a, b, done, steps)
        value, s = eigh_tridiagonal(a[:done], b[: done - 1], select="i", select_range=(0, 0))
        theta = float(value[0])
        error = max(float(b[done - 1] * abs(s[-1, 0])) if done < n else 0.0, floor)
        good = error <= max(min(config.small, config.share * abs(theta)), floor)
        if good or done < steps or steps == len(basis) - 1:
            break
        steps = min(done + config.between, len(basis) - 1)
    return Least(theta, error, bool(good))
