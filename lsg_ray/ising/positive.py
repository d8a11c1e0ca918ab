"""Positive definite matrices in place, by Cholesky's factorisation.

A third of N³ flop says whether a matrix is positive definite, and N³ in all give its inverse: at
N = 10⁴ half a minute of a core, where all eigenvalues take many minutes.
"""

from __future__ import annotations

import numpy as np

from lsg_ray.typing import Floats


def factorised(matrix: Floats) -> bool:
    """Overwrite a symmetric matrix by its Cholesky factor; return whether it has one.

    Parameters
    ----------
    matrix
        (N, N), C order; what is left in it is of use to `inverted` alone.
    """
    from scipy.linalg.lapack import dpotrf

    # The transpose of a symmetric matrix is itself, in LAPACK's order.
    _, info = dpotrf(matrix.T, lower=0, clean=0, overwrite_a=1)
    return bool(info == 0)


def is_positive(matrix: Floats, margin: float = 0.0) -> bool:
    """Return whether all eigenvalues of a symmetric matrix (N, N) are above −margin."""
    shifted = matrix.copy()
    shifted[np.diag_indices_from(shifted)] += margin
    return factorised(shifted)


def inverted(matrix: Floats) -> bool:
    """Overwrite a symmetric matrix by its inverse; return False if it is not positive definite."""
    from scipy.linalg.lapack import dpotri

    if not factorised(matrix):
        return False
    _, info = dpotri(matrix.T, lower=0, overwrite_c=1)
    # LAPACK's upper triangle is the lower one of rows.
    for i in range(len(matrix)):
        matrix[i, i + 1 :] = matrix[i + 1 :, i]
    return bool(info == 0)
