"""Examples that networks learn: those of a data set after the transforms of a specification.

The transforms and their order are those of `lsg_ray.spec.DatasetSpec`; each is a function of
`lsg_ray.datasets.transforms`, or fitted in `lsg_ray.datasets.projection`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lsg_ray.arrays import public
from lsg_ray.datasets import transforms
from lsg_ray.datasets.files import read_files
from lsg_ray.datasets.formats import check_examples, parse
from lsg_ray.datasets.projection import fit_projection, project
from lsg_ray.datasets.source import Part
from lsg_ray.errors import DataError
from lsg_ray.registry import DATA_SETS
from lsg_ray.rng import Stream, generator
from lsg_ray.spec import DatasetSpec, Selection
from lsg_ray.typing import Array, ByteProgress, Floats, Ints, Singles


@dataclass(frozen=True, eq=False)
class RawData:
    """Examples as published, generated or read from a file.

    Parameters
    ----------
    name
        Name of the data set.
    train_pixels, test_pixels
        (n, n_pixels): of images uint8 from 0 to `white`, read-only, colour channels last; else
        int8 or float32.
    train_labels, test_labels
        (n,) integers, classes from 0.
    image_shape
        Height, width and, for colour, channel, or (n_pixels,); its product is n_pixels.
    n_classes
        Number of classes.
    white
        Value by which pixels are divided: 16 for digits, 255 for other images, 1 for other data.
    content_hash
        SHA-256 over pixels and labels of both parts, hexadecimal.
    """

    name: str
    train_pixels: Array
    train_labels: Array
    test_pixels: Array
    test_labels: Array
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
    """Examples and transforms that training and selection use; plain arrays, picklable.

    Parameters
    ----------
    train, test, validation
        Examples; `validation` may be empty.
    n_classes
        Number of classes of the labels; 2 for parity.
    components
        (d, n_pixels) float32, orthonormal rows W; None for raw pixels.
    mean
        (n_pixels,) float32, mean training image in units of white, or after standardization;
        None for raw pixels.
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
        """Return the examples on which accuracy is measured.

        Raises
        ------
        DataError
            The set is empty: set ``dataset.validation_examples`` above 0.
        """
        part: Examples = getattr(self, selection)
        if len(part.y) == 0:
            raise DataError(
                f"the {selection} set is empty; set dataset.{selection}_examples above 0"
            )
        return part


def load_images(
    which: str | DatasetSpec, *, progress: ByteProgress | None = None, download: bool = True
) -> RawData:
    """Return the examples of a data set before any transform, verified.

    Parameters
    ----------
    which
        Name of a data set without options (``digits``, ``mnist``, …), which is downloaded the
        first time, or a specification of any.  The split of digits is fixed: within each class
        every fifth image is for testing.
    progress
        Called while a file is downloaded, with its name, bytes done, and total bytes or None.
    download
        Whether missing files may be downloaded; not for data sets that a store names.

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
    name, options, seed = (
        (which, {}, 0) if isinstance(which, str) else (which.name, which.options, which.seed)
    )
    source = DATA_SETS[name]
    if source.make is None:
        train, test = parse(source, read_files(source, progress, download))
        shape, n_classes, white = source.image_shape, source.n_classes, source.white
    elif source.config is not None and not options:
        fields = ", ".join(source.option_names)
        raise DataError(f"{name} has options ({fields}); pass a DatasetSpec")
    else:
        sizes = source.sizes(options)
        train, test = source.make(source.checked(options), seed)
        check_examples(name, train, test, sizes)
        shape, n_classes = sizes.shape, sizes.n_classes
        # Of a file: images of bytes are scaled as published ones, other numbers are as they are.
        white = source.white if train.pixels.dtype == np.uint8 and len(shape) > 1 else 1
    return RawData(name, *train, *test, shape, n_classes, white, _hash_parts(train, test))


@public
def load_dataset(
    spec: DatasetSpec, *, progress: ByteProgress | None = None, download: bool = True
) -> Dataset:
    """Return the examples of a specification.

    Transforms are applied in the order that `DatasetSpec` states.  Principal components are those
    of all training images, whatever the subset.  One permutation of the training images, drawn by
    ``spec.seed`` (with ``subset="first"``, the order of the file), gives the subset, its first
    ``train_examples``, and the validation set, its last ``validation_examples``: a smaller subset
    is the beginning of a larger one, and does not change with the validation set.  With
    ``train_examples`` null, all other images are used, in the order of the file.

    Labels are classes from 0, or with ``labels="parity"`` +1 for an even class and −1 for an odd
    one.

    Parameters
    ----------
    spec
        Specification of data set, transforms (without components, inputs are pixels / white, not
        centred), subset and labels.
    progress
        Called while a file is downloaded, with its name, bytes done, and total bytes or None.
    download
        Whether missing files may be downloaded; not for data sets that a store names.

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
    raw = _binarize(
        _select_classes(load_images(spec, progress=progress, download=download), spec), spec
    )
    train_rows, validation_rows = _draw_rows(spec, raw)
    fitted = fit_projection(
        raw.name,
        raw.train_pixels,
        raw.white,
        standardize=spec.standardize,
        components=spec.components,
    )

    def examples(pixels: Array, labels: Array, rows: NDArray[np.intp], part: int) -> Examples:
        y = _targets(labels[rows], spec)
        if spec.label_noise and part == 0:
            signs = spec.labels == "parity"
            y = transforms.noisy_labels(y, spec.label_noise, raw.n_classes, spec.seed, signs=signs)
        if spec.shuffle_pixels:
            pixels = transforms.shuffle_features(pixels[rows], spec.seed, part)
            rows = np.arange(len(pixels))
        return Examples(project(pixels, rows, raw.white, fitted), y)

    return Dataset(
        train=examples(raw.train_pixels, raw.train_labels, train_rows, 0),
        test=examples(raw.test_pixels, raw.test_labels, np.arange(len(raw.test_labels)), 1),
        validation=examples(raw.train_pixels, raw.train_labels, validation_rows, 2),
        n_classes=2 if spec.labels == "parity" else raw.n_classes,
        components=fitted.components,
        mean=fitted.mean,
        explained_variance_ratio=fitted.explained_variance_ratio,
        image_shape=raw.image_shape,
        content_hash=_hash_scenario(raw, spec),
    )


def is_image(shape: tuple[int, ...]) -> bool:
    """Return whether examples of a shape are images: grey, or of three or four channels.

    >>> is_image((28, 28)), is_image((20,)), is_image((3, 32, 32))
    (True, False, False)
    """
    return len(shape) == 2 or (len(shape) == 3 and shape[2] in (3, 4))


def reconstruct(dataset: Dataset, x: NDArray[np.floating]) -> Singles:
    """Return the images of inputs, by inverting the projection: v = x W + μ.

    Parameters
    ----------
    dataset
        Data set whose components and mean are used.
    x
        Inputs (..., d).

    Returns
    -------
    Array
        (..., *image_shape) float32; 0 is black and 1 white, up to the error of the projection.

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


def _select_classes(raw: RawData, spec: DatasetSpec) -> RawData:
    """Return the examples of the classes that a specification selects.

    Raises
    ------
    DataError
        A part has no examples of these classes.
    """
    if spec.classes is None:
        return raw
    if max(spec.classes) >= raw.n_classes:
        raise DataError(
            f"dataset.classes: {max(spec.classes)} given; {raw.name} has classes 0 to "
            f"{raw.n_classes - 1}"
        )
    train, test = (
        transforms.keep_classes(Part(pixels, labels), spec.classes)
        for pixels, labels in (
            (raw.train_pixels, raw.train_labels),
            (raw.test_pixels, raw.test_labels),
        )
    )
    for kind, part in (("training", train), ("test", test)):
        if not len(part.labels):
            raise DataError(f"dataset.classes: {list(spec.classes)} given; no {kind} examples")
    return replace(
        raw,
        train_pixels=train.pixels,
        train_labels=train.labels,
        test_pixels=test.pixels,
        test_labels=test.labels,
        n_classes=len(spec.classes),
    )


def _binarize(raw: RawData, spec: DatasetSpec) -> RawData:
    """Return the examples with inputs ±1, if a specification binarizes them."""
    if spec.binarize is None:
        return raw
    train, test = raw.train_pixels, raw.test_pixels
    if spec.binarize == "feature-median":
        train, test = transforms.binarize_features_by_median(train, test)
    else:
        by_row = transforms.binarize_by_median
        if spec.binarize == "zero":
            by_row = transforms.binarize_at_zero
        train, test = by_row(train), by_row(test)
    return replace(raw, train_pixels=train, test_pixels=test, white=1)


def _targets(labels: Array, spec: DatasetSpec) -> Ints:
    classes = labels.astype(np.int64)
    return 1 - 2 * (classes % 2) if spec.labels == "parity" else classes


def _draw_rows(spec: DatasetSpec, raw: RawData) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return rows of the training images: those to train on, and those for validation."""
    n = len(raw.train_labels)
    n_left = n - spec.validation_examples
    needed = 1 if spec.train_examples is None else spec.train_examples
    if needed > n_left:
        raise DataError(
            f"dataset.train_examples: {spec.train_examples or 'all'} given, with "
            f"validation_examples: {spec.validation_examples}; {spec.name} has {n:,} training "
            f"images in all, which leaves {max(n_left, 0):,} to train on"
        )
    if spec.subset == "first":
        order = np.arange(n)
    else:
        order = generator(spec.seed, Stream.SUBSET).permutation(n)
    train, validation = order[:n_left], order[n_left:]
    if spec.train_per_class is not None:
        count = spec.train_per_class
        rows = transforms.first_of_each_class(train, raw.train_labels, count, raw.n_classes)
        return rows, validation
    return (
        np.sort(train) if spec.train_examples is None else train[: spec.train_examples]
    ), validation


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
