"""Standardization and PCA, fitted on all training examples and applied to every part.

Pixels of images are integers from 0 to white.  With values v = pixel / white, mean μ and covariance

    Σ = 1/(n−1) Σ_a (v_a − μ)(v_a − μ)ᵀ

over **all** n training examples, the inputs are x = (v − μ) Wᵀ, where the rows of W are the leading
eigenvectors of Σ, each with its entry of largest magnitude positive; x is not whitened.  Of
integers the sums behind μ and Σ are exact in float64, however the examples are cut into blocks;
of other numbers they are taken about μ, in blocks of fixed size.  All that follows runs on one
thread.  So the same machine gives the same bytes.

Standardized values are (v − μ) / s, with s² the mean of (v − μ)² over the training examples; a
constant feature becomes 0.  Components are then those of the standardized values.

Source: "Liquid-like" paper, Sec. II and App. D (20 components of MNIST).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lsg_ray.errors import DataError
from lsg_ray.typing import Array, Floats, Singles

#: Size of a block of rows in float64, in bytes.
BLOCK_BYTES = 1 << 25
#: Largest number of inputs whose covariance is computed: three matrices of 2 GB.
MAX_PCA_INPUTS = 16_384


class Projection(NamedTuple):
    """How values become inputs.

    shift, scale: (n_inputs,) float64, subtracted and divided by; components: (d, n_inputs)
    float32, orthonormal rows; mean: (n_inputs,) float32, subtracted before the projection;
    explained_variance_ratio: (d,) float64.  None for a step that is left out.
    """

    shift: Floats | None = None
    scale: Floats | None = None
    components: Singles | None = None
    mean: Singles | None = None
    explained_variance_ratio: Floats | None = None


def fit_projection(
    name: str, pixels: Array, white: int, *, standardize: bool, components: int | None
) -> Projection:
    """Fit standardization and principal components, as a specification asks.

    Parameters
    ----------
    name
        Name of the data set, for messages.
    pixels
        Pixels (n, n_inputs) of all training examples.
    white
        Pixel value of full brightness, by which pixels are divided.
    standardize
        Whether to subtract the mean and divide by the standard deviation.
    components
        Number of principal components; None for the values themselves.

    Raises
    ------
    DataError
        There are fewer inputs than components, or too many for a covariance matrix.
    """
    p = pixels.shape[1]
    if components is not None and components > p:
        raise DataError(f"dataset.components: {components} given; {name} has {p} pixels")
    if components is not None and p > MAX_PCA_INPUTS:
        raise DataError(
            f"dataset.components: {components} given; the covariance of {p:,} inputs is too large "
            f"(at most {MAX_PCA_INPUTS:,}): set components to null"
        )
    scaled = Projection()
    if standardize:
        shift, variance = _moments(pixels, white)
        scale = np.sqrt(variance)
        scaled = Projection(shift, np.where(scale > 0, scale, 1.0))
    if components is None:
        return scaled
    # n² Σ up to a factor; its terms are integers below (255 n)², exact in float64 for n < 372,000
    exact = pixels.dtype.kind in "iu" and not standardize
    mean, scatter = _exact_scatter(pixels, white) if exact else _scatter(pixels, white, scaled)
    total_variance = np.trace(scatter)
    from scipy.linalg import eigh

    with _one_thread():
        values, vectors = eigh(scatter, subset_by_index=[p - components, p - 1], overwrite_a=True)
    rows = vectors.T[::-1]
    largest = np.take_along_axis(rows, np.abs(rows).argmax(1, keepdims=True), axis=1)
    return scaled._replace(
        components=np.ascontiguousarray(rows * np.sign(largest), dtype=np.float32),
        mean=mean.astype(np.float32),
        explained_variance_ratio=np.maximum(values[::-1], 0.0) / (total_variance or 1.0),
    )


def project(pixels: Array, rows: NDArray[np.intp], white: int, fitted: Projection) -> Singles:
    """Return the inputs of some rows: products in float64, rounded once to float32.

    If all rows are taken and nothing is done to float32 pixels, they are returned without a copy.
    """
    p = pixels.shape[1]
    plain = fitted.components is None and fitted.scale is None
    if plain and white == 1 and pixels.dtype == np.float32 and _is_all(rows, len(pixels)):
        return pixels
    d = p if fitted.components is None else len(fitted.components)
    x = np.empty((len(rows), d), dtype=np.float32)
    if plain:
        for block in _blocks(len(rows), p):
            np.divide(pixels[rows[block]], np.float32(white), out=x[block], dtype=np.float32)
        return x
    if fitted.components is None or fitted.mean is None:
        for block in _blocks(len(rows), p):
            x[block] = _values(pixels[rows[block]], white, fitted)
        return x
    weights = fitted.components.T.astype(np.float64)
    with _one_thread():
        offset = fitted.mean.astype(np.float64) @ weights
        if fitted.scale is None:
            weights /= white
        for block in _blocks(len(rows), p):
            values = pixels[rows[block]].astype(np.float64)
            if fitted.scale is not None:
                values = _values(values, white, fitted)
            x[block] = values @ weights - offset
    return x


def _is_all(rows: NDArray[np.intp], n: int) -> bool:
    return len(rows) == n and np.array_equal(rows, np.arange(n))


def _values(pixels: Array, white: int, fitted: Projection) -> Floats:
    """Return values v, standardized if that was fitted."""
    values = pixels.astype(np.float64)
    values /= white
    if fitted.shift is not None and fitted.scale is not None:
        values -= fitted.shift
        values /= fitted.scale
    return values


def _moments(pixels: Array, white: int) -> tuple[Floats, Floats]:
    """Return mean and variance of each feature, in two passes."""
    n, p = pixels.shape
    mean, variance = np.zeros(p), np.zeros(p)
    for rows in _blocks(n, p):
        mean += pixels[rows].sum(axis=0, dtype=np.float64)
    mean /= n * white
    for rows in _blocks(n, p):
        values = pixels[rows].astype(np.float64)
        values /= white
        values -= mean
        variance += np.einsum("ij,ij->j", values, values)
    # The variance of a constant feature is rounding error.
    variance[variance <= n * (1e-12 * np.abs(mean)) ** 2] = 0.0
    return mean, variance / n


def _exact_scatter(pixels: Array, white: int) -> tuple[Floats, Floats]:
    """Return the mean and n² Σ up to a factor, of integers."""
    n, p = pixels.shape
    total, gram = np.zeros(p), np.zeros((p, p))
    for rows in _blocks(n, p):
        block = pixels[rows].astype(np.float64)
        total += block.sum(axis=0)
        gram += block.T @ block
    return total / (n * white), n * gram - np.outer(total, total)


def _scatter(pixels: Array, white: int, scaled: Projection) -> tuple[Floats, Floats]:
    """Return the mean and Σ up to a factor, of any numbers."""
    n, p = pixels.shape
    mean, gram = np.zeros(p), np.zeros((p, p))
    if scaled.scale is None:
        mean, _ = _moments(pixels, white)
    with _one_thread():
        for rows in _blocks(n, p):
            values = _values(pixels[rows], white, scaled)
            values -= mean
            gram += values.T @ values
    return mean, gram


def _one_thread() -> AbstractContextManager[object]:
    """Hold BLAS to one thread, so that the last bits do not depend on the number of threads.

    Ray gives its workers fewer threads than the driver has; both must see the same inputs.
    """
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, user_api="blas")


def _blocks(n_rows: int, n_pixels: int) -> Iterator[slice]:
    """Yield slices of rows whose pixels take at most `BLOCK_BYTES` in float64."""
    step = max(1, BLOCK_BYTES // (8 * n_pixels))
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))
