"""What the networks learn: images projected on principal components, subsets, labels.

Pixels are integers from 0 to white.  With pixel values v = pixel / white, mean μ and covariance

    Σ = 1/(n−1) Σ_a (v_a − μ)(v_a − μ)ᵀ

over **all** n training images, the inputs are x = (v − μ) Wᵀ, where the rows of W are the leading
eigenvectors of Σ, each with its entry of largest magnitude positive; x is not whitened.  Because
pixels are integers, the sums behind μ and Σ are exact in float64, however the images are cut into
blocks; what follows them runs on one thread.  So the same machine gives the same bytes.

Source: "Liquid-like" paper, Sec. II and App. D (20 components of MNIST).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lsg_ray.arrays import public
from lsg_ray.datasets.files import read_files
from lsg_ray.datasets.formats import parse
from lsg_ray.datasets.source import Part
from lsg_ray.errors import DataError
from lsg_ray.registry import DATA_SETS
from lsg_ray.rng import Stream, generator
from lsg_ray.spec import DatasetSpec, Selection
from lsg_ray.typing import ByteProgress, Bytes, Floats, Ints, Singles

_BLOCK_BYTES = 1 << 25


@dataclass(frozen=True, eq=False)
class RawData:
    """Images as published.

    Parameters
    ----------
    name
        Name of the data set.
    train_pixels, test_pixels
        (n, n_pixels) uint8 from 0 to `white`, read-only; colour channels last.
    train_labels, test_labels
        (n,) uint8, classes from 0.
    image_shape
        Height, width and, for colour, channel; its product is n_pixels.
    n_classes
        Number of classes.
    white
        Pixel value of full brightness: 16 for digits, else 255.
    content_hash
        SHA-256 over pixels and labels of both parts, hexadecimal.
    """

    name: str
    train_pixels: Bytes
    train_labels: Bytes
    test_pixels: Bytes
    test_labels: Bytes
    image_shape: tuple[int, ...]
    n_classes: int
    white: int
    content_hash: str


@dataclass(frozen=True, eq=False)
class Examples:
    """Inputs x (n, d) float32, C-contiguous; labels y (n,) int64."""

    x: Singles
    y: Ints


@dataclass(frozen=True, eq=False)
class Dataset:
    """Everything that training and selection see; plain arrays, picklable.

    Parameters
    ----------
    train, test, validation
        Examples; `validation` may be empty.
    n_classes
        Classes among the labels; 2 for parity.
    components
        (d, n_pixels) float32, orthonormal rows W; None for raw pixels.
    mean
        (n_pixels,) float32, mean training image in units of white; None for raw pixels.
    explained_variance_ratio
        (d,) float64, share of the pixels' total variance; None for raw pixels.
    image_shape
        Height, width and, for colour, channel.
    content_hash
        SHA-256 over the images' hash and the canonical JSON of the `DatasetSpec`.
    """

    train: Examples
    test: Examples
    validation: Examples
    n_classes: int
    components: Singles | None
    mean: Singles | None
    explained_variance_ratio: Floats | None
    image_shape: tuple[int, ...]
    content_hash: str

    def examples(self, selection: Selection) -> Examples:
        """Return the set that accuracy is taken on.

        Raises
        ------
        DataError
            It is empty: set ``dataset.validation_examples`` above 0.
        """
        part: Examples = getattr(self, selection)
        if len(part.y) == 0:
            raise DataError(
                f"the {selection} set is empty; set dataset.{selection}_examples above 0"
            )
        return part


def load_images(
    name: str, *, progress: ByteProgress | None = None, download: bool = True
) -> RawData:
    """Return the images of a data set, verified, downloading them the first time.

    Parameters
    ----------
    name
        ``digits``, ``mnist``, ``fashion-mnist``, ``cifar10`` or ``cifar100`` (fine labels).
        digits are split once and for all: within each class every fifth image is for testing.
    progress
        Called while a file is downloaded: file name, bytes done, bytes in total or None.
    download
        Whether it may be; not where a store of somebody else names the data set.

    Raises
    ------
    DataError
        The data set is unknown, missing or damaged; the message names the file and the remedy.

    Notes
    -----
    MNIST: 0.3 s and 55 MB.

    Examples
    --------
    >>> raw = load_images("digits")
    >>> raw.train_pixels.shape, raw.test_pixels.shape, raw.image_shape
    ((1437, 64), (360, 64), (8, 8))
    """
    source = DATA_SETS[name]
    train, test = parse(source, read_files(source, progress, download))
    return RawData(
        name, *train, *test, source.image_shape, source.n_classes, source.white,
        _hash_parts(train, test),
    )  # fmt: skip


@public
def load_dataset(
    spec: DatasetSpec, *, progress: ByteProgress | None = None, download: bool = True
) -> Dataset:
    """Return the examples that a specification asks for.

    Principal components are those of all training images, whatever the subset.  One permutation
    of the training images, drawn by ``spec.seed``, gives the subset (its first
    ``train_examples``) and the validation set (its last ``validation_examples``): a smaller
    subset is the beginning of a larger one, and does not change with the validation set.  With
    ``train_examples`` null, all that are not set aside are kept, in the order of the file.

    Labels are classes from 0, or with ``labels="parity"`` +1 for an even class and −1 for an odd
    one.

    Parameters
    ----------
    spec
        Data set, components (null: pixels / white, not centred), subset and labels.
    progress
        Called while a file is downloaded: file name, bytes done, bytes in total or None.
    download
        Whether it may be; not where a store of somebody else names the data set.

    Raises
    ------
    DataError
        The data set is missing or damaged, or has fewer images or pixels than asked for.

    Notes
    -----
    n images of p pixels take n p² operations for the covariance and O(p³) for its eigenvectors:
    about 1.5 s on one core for MNIST, 20 s for CIFAR.  Memory beyond the images and the result is
    a few p × p matrices and 32 MB.

    Examples
    --------
    >>> data = load_dataset(DatasetSpec(name="digits", components=20, train_examples=500))
    >>> data.train.x.shape, data.test.x.shape, f"{data.explained_variance_ratio.sum():.2f}"
    ((500, 20), (360, 20), '0.89')
    """
    raw = load_images(spec.name, progress=progress, download=download)
    train_rows, validation_rows = _draw_rows(spec, len(raw.train_labels))
    axes = _Axes() if spec.components is None else _principal_axes(raw, spec.components)

    def examples(pixels: Bytes, labels: Bytes, rows: NDArray[np.intp]) -> Examples:
        return Examples(_inputs(pixels, rows, raw.white, axes), _targets(labels[rows], spec))

    return Dataset(
        train=examples(raw.train_pixels, raw.train_labels, train_rows),
        test=examples(raw.test_pixels, raw.test_labels, np.arange(len(raw.test_labels))),
        validation=examples(raw.train_pixels, raw.train_labels, validation_rows),
        n_classes=2 if spec.labels == "parity" else raw.n_classes,
        **axes._asdict(),
        image_shape=raw.image_shape,
        content_hash=_hash_scenario(raw, spec),
    )


def reconstruct(dataset: Dataset, x: NDArray[np.floating]) -> Singles:
    """Return the images that inputs stand for: v = x W + μ.

    Parameters
    ----------
    dataset
        Whose components and mean to use.
    x
        (..., d) inputs.

    Returns
    -------
    Array
        (..., *image_shape) float32; 0 is black and 1 white, up to what the components leave out.

    Raises
    ------
    DataError
        The last axis of `x` is not d.

    Examples
    --------
    >>> data = load_dataset(DatasetSpec(name="digits", components=20))
    >>> reconstruct(data, data.test.x[:5]).shape
    (5, 8, 8)
    """
    pixels = np.asarray(x, dtype=np.float32)
    d = dataset.train.x.shape[1]
    if pixels.ndim == 0 or pixels.shape[-1] != d:
        raise DataError(f"inputs of shape {pixels.shape} given; the last axis must be {d}")
    if dataset.components is not None and dataset.mean is not None:
        pixels = np.add(pixels @ dataset.components, dataset.mean, dtype=np.float32)
    return pixels.reshape(*pixels.shape[:-1], *dataset.image_shape)


class _Axes(NamedTuple):
    components: Singles | None = None
    mean: Singles | None = None
    explained_variance_ratio: Floats | None = None


def _principal_axes(raw: RawData, d: int) -> _Axes:
    pixels = raw.train_pixels
    n, p = pixels.shape
    if d > p:
        raise DataError(f"dataset.components: {d} given; {raw.name} has {p} pixels")
    from scipy.linalg import eigh

    total = np.zeros(p)
    gram = np.zeros((p, p))
    for rows in _blocks(n, p):
        block = pixels[rows].astype(np.float64)
        total += block.sum(axis=0)
        gram += block.T @ block
    # n² Σ up to a factor; its terms are integers below (255 n)², exact in float64 for n < 372,000
    scatter = n * gram - np.outer(total, total)
    total_variance = np.trace(scatter)
    with _one_thread():
        values, vectors = eigh(scatter, subset_by_index=[p - d, p - 1], overwrite_a=True)
    components = vectors.T[::-1]
    largest = np.take_along_axis(components, np.abs(components).argmax(1, keepdims=True), axis=1)
    return _Axes(
        components=np.ascontiguousarray(components * np.sign(largest), dtype=np.float32),
        mean=(total / (n * raw.white)).astype(np.float32),
        explained_variance_ratio=np.maximum(values[::-1], 0.0) / (total_variance or 1.0),
    )


def _inputs(pixels: Bytes, rows: NDArray[np.intp], white: int, axes: _Axes) -> Singles:
    """Project rows of images: products in float64, rounded once to float32."""
    p = pixels.shape[1]
    if axes.components is None or axes.mean is None:
        x = np.empty((len(rows), p), dtype=np.float32)
        for block in _blocks(len(rows), p):
            np.divide(pixels[rows[block]], np.float32(white), out=x[block], dtype=np.float32)
        return x
    x = np.empty((len(rows), len(axes.components)), dtype=np.float32)
    weights = axes.components.T.astype(np.float64)
    with _one_thread():
        offset = axes.mean.astype(np.float64) @ weights
        weights /= white
        for block in _blocks(len(rows), p):
            x[block] = pixels[rows[block]].astype(np.float64) @ weights - offset
    return x


def _one_thread() -> AbstractContextManager[object]:
    """Hold BLAS to one thread, so that the last bits do not depend on how many there are.

    Ray gives its workers fewer threads than the driver has; both must see the same inputs.
    """
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, user_api="blas")


def _blocks(n_rows: int, n_pixels: int) -> Iterator[slice]:
    """Yield slices of rows whose pixels take at most 32 MB in float64."""
    step = max(1, _BLOCK_BYTES // (8 * n_pixels))
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


def _targets(labels: Bytes, spec: DatasetSpec) -> Ints:
    classes = labels.astype(np.int64)
    return 1 - 2 * (classes % 2) if spec.labels == "parity" else classes


def _draw_rows(spec: DatasetSpec, n: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return rows of the training images: those to train on, and those set aside."""
    n_left = n - spec.validation_examples
    wanted = 1 if spec.train_examples is None else spec.train_examples
    if wanted > n_left:
        raise DataError(
            f"dataset.train_examples: {spec.train_examples or 'all'} given, with "
            f"validation_examples: {spec.validation_examples}; {spec.name} has {n:,} training "
            f"images in all, which leaves {max(n_left, 0):,} to train on"
        )
    order = generator(spec.seed, Stream.SUBSET).permutation(n)
    kept, aside = order[:n_left], order[n_left:]
    return (np.sort(kept) if spec.train_examples is None else kept[: spec.train_examples]), aside


def _hash_parts(*parts: Part) -> str:
    digest = hashlib.sha256()
    for part in parts:
        for array in part:
            digest.update(f"{array.dtype.str} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _hash_scenario(raw: RawData, spec: DatasetSpec) -> str:
    text = json.dumps(spec.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{raw.content_hash}\n{text}".encode()).hexdigest()
