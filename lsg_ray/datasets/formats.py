"""From the bytes of published files to arrays of pixels and labels.

Everything here works in memory on bytes whose hash was checked before, and still trusts nothing:
sizes are bounded and checked, and CIFAR's pickles are read by an unpickler that can build arrays,
dictionaries, lists, numbers and bytes, and nothing else.
"""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from lsg_ray.datasets.source import Part, Source
from lsg_ray.errors import DataError
from lsg_ray.spec import Sizes
from lsg_ray.typing import Array, Bytes

GZIP_MAGIC = b"\x1f\x8b"
_DIGITS_TEST_EVERY = 5
#: Largest size of the digits, unpacked.
_DIGITS_BYTES = 2**20


def parse(source: Source, contents: Mapping[str, bytes]) -> tuple[Part, Part]:
    """Parse the verified files of a data set.

    Parameters
    ----------
    source
        The data set.
    contents
        Contents of each of its files by published name; unpacked for idx.

    Returns
    -------
    train, test
        Pixels row by row, colour channels last.

    Raises
    ------
    DataError
        A file is not what its name says, or counts, shapes or labels do not fit the data set.
    """
    assert source.parse is not None
    train, test = source.parse(source, contents)
    _check_part(source, "training", train, source.n_train)
    _check_part(source, "test", test, source.n_test)
    return train, test


def gunzip(packed: bytes, size: int, origin: str) -> bytes:
    """Unpack gzip data of at most `size` bytes of contents.

    Raises
    ------
    DataError
        The data is truncated or damaged, or unpacks to more than `size` bytes; no more than that
        is ever unpacked.
    """
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as stream:
            contents = stream.read(size + 1)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{origin}: damaged gzip data ({error})") from None
    if len(contents) > size:
        raise DataError(f"{origin}: unpacks to more than the {size:,} bytes it should hold")
    return contents


def parse_idx(contents: bytes, n_axes: int, origin: str) -> Bytes:
    """Parse an idx file of unsigned bytes; the result is a read-only view of `contents`.

    The header is big-endian: two zero bytes, type 0x08, number of axes, then each axis' length as
    a 32-bit integer.

    >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9]), 1, "labels")
    array([7, 9], dtype=uint8)
    """
    expected = bytes([0, 0, 8, n_axes])
    if contents[:4] != expected:
        raise DataError(
            f"{origin}: starts with {contents[:4].hex() or 'nothing'}; "
            f"an idx file of bytes with {n_axes} axes starts with {expected.hex()}"
        )
    start = 4 + 4 * n_axes
    if len(contents) < start:
        raise DataError(f"{origin}: {len(contents)} bytes seen; its header alone takes {start}")
    shape = tuple(int(length) for length in np.frombuffer(contents, ">u4", n_axes, offset=4))
    values = np.frombuffer(contents, np.uint8, offset=start)
    if values.size != np.prod(shape, dtype=object):
        raise DataError(f"{origin}: {values.size:,} bytes of data seen; its header says {shape}")
    return values.reshape(shape)


def read_idx(source: Source, contents: Mapping[str, bytes]) -> tuple[Part, Part]:
    """Read the idx files of images and of labels of both parts."""
    train, test = (_read_idx_pair(source, contents, names) for names in (source.train, source.test))
    return train, test


def _read_idx_pair(source: Source, contents: Mapping[str, bytes], names: tuple[str, ...]) -> Part:
    image_name, label_name = names
    images = parse_idx(contents[image_name], 3, image_name)
    labels = parse_idx(contents[label_name], 1, label_name)
    if images.shape[1:] != source.image_shape:
        raise DataError(
            f"{image_name}: images of shape {images.shape[1:]} seen; "
            f"{source.name} has {source.image_shape}"
        )
    return Part(images.reshape(len(images), -1), labels)


def read_digits(source: Source, contents: Mapping[str, bytes]) -> tuple[Part, Part]:
    """Read scikit-learn's digits; within each class every fifth image goes to the test set.

    A line is 64 pixels and a class.  The file is read without the package, which would load pandas
    and half of SciPy: two seconds of a CPU for every process that samples.
    """
    packed = contents[source.package]
    lines = gunzip(packed, _DIGITS_BYTES, source.package).decode().splitlines()
    pixels, classes = np.split(np.loadtxt(lines, np.uint8, delimiter=","), [-1], axis=1)
    classes = classes[:, 0]
    by_class = np.argsort(classes, kind="stable")
    in_test = np.zeros(len(classes), dtype=bool)
    in_test[by_class[::_DIGITS_TEST_EVERY]] = True
    train, test = (Part(pixels[rows], classes[rows]) for rows in (~in_test, in_test))
    return train, test


def read_cifar(source: Source, contents: Mapping[str, bytes]) -> tuple[Part, Part]:
    """Read both parts of a CIFAR archive in memory; nothing is written to disk."""
    origin = source.files[0].name
    archive = contents[origin]
    batches: dict[str, Part] = {}
    members = {*source.train, *source.test}
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
            for member in tar:
                stream = tar.extractfile(member) if member.name in members else None
                if stream is not None:
                    batches[member.name] = _read_batch(source, stream.read(), member.name)
    except (EOFError, OSError, zlib.error, tarfile.TarError) as error:
        raise DataError(f"{origin}: damaged archive ({error})") from None
    missing = sorted(members - batches.keys())
    if missing:
        raise DataError(f"{origin}: holds no {', '.join(missing)}")
    train, test = (
        Part(*map(np.concatenate, zip(*(batches[name] for name in names), strict=True)))
        for names in (source.train, source.test)
    )
    return train, test


def _read_batch(source: Source, pickled: bytes, origin: str) -> Part:
    batch = unpickle_arrays(pickled, origin)
    try:
        pixels = np.asarray(batch[b"data"])
        labels = np.asarray(batch[source.label_key])
    except (KeyError, TypeError, IndexError, ValueError):
        raise DataError(
            f"{origin}: no b'data' and {source.label_key!r} seen; not a batch of {source.name}"
        ) from None
    height, width, channels = source.image_shape
    n_pixels = height * width * channels
    if pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape[1] != n_pixels:
        raise DataError(
            f"{origin}: pixels of shape {pixels.shape} and type {pixels.dtype} seen; "
            f"(n, {n_pixels}) of uint8 expected"
        )
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or not _within(labels, source.n_classes):
        raise DataError(f"{origin}: labels are not integers from 0 to {source.n_classes - 1}")
    planes = pixels.reshape(-1, channels, height, width)
    interleaved = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
    return Part(interleaved.reshape(len(pixels), n_pixels), labels.astype(np.uint8))


def unpickle_arrays(pickled: bytes, origin: str) -> Any:
    """Unpickle arrays, dictionaries, lists, numbers and bytes; refuse everything else.

    Strings of Python 2 become bytes.

    Raises
    ------
    DataError
        The pickle is damaged, or names anything that such data does not need; nothing that it
        names is imported or called.
    """
    try:
        return _ArrayUnpickler(io.BytesIO(pickled), encoding="bytes").load()
    except DataError as error:
        raise DataError(f"{origin}: {error}") from None
    except MemoryError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise DataError(f"{origin}: damaged pickle ({type(error).__name__}: {error})") from None


def _make_dtype(kind: Any, align: object = False, copy: object = True) -> np.dtype[Any]:
    """Build a dtype from pickled arguments: 0 and 1 for flags, which numpy itself deprecates."""
    return np.dtype(kind, align=bool(align), copy=bool(copy))


class _ArrayUnpickler(pickle.Unpickler):
    _reconstruct = np.empty(0).__reduce__()[0]
    _allowed = {  # noqa: RUF012 - never changed
        ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): _make_dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        """Return one of the allowed objects."""
        try:
            return self._allowed[module, name]
        except KeyError:
            raise DataError(
                f"refused: its pickle asks for {module}.{name}, which no array needs; "
                "do not use this file"
            ) from None


def _within(labels: Array, n_classes: int) -> bool:
    return labels.size == 0 or (int(labels.min()) >= 0 and int(labels.max()) < n_classes)


def _check_part(source: Source, kind: str, part: Part, expected: int) -> None:
    n_images, n_labels = len(part.pixels), len(part.labels)
    if not n_images == n_labels == expected:
        raise DataError(
            f"{source.name}: {n_images:,} {kind} images and {n_labels:,} labels seen; "
            f"{expected:,} of each expected"
        )
    if not _within(part.labels, source.n_classes):
        raise DataError(
            f"{source.name}: {kind} label {part.labels.max()} seen; "
            f"labels go from 0 to {source.n_classes - 1}"
        )
    if part.pixels.size and part.pixels.max() > source.white:
        raise DataError(
            f"{source.name}: {kind} pixel {part.pixels.max()} seen; at most {source.white} expected"
        )


def check_examples(name: str, train: Part, test: Part, sizes: Sizes) -> None:
    """Check the parts that a data set made from its options against its sizes.

    Raises
    ------
    DataError
        Numbers of examples, inputs or classes differ, or an input is not finite.
    """
    for kind, part, expected in (("training", train, sizes.n_train), ("test", test, sizes.n_test)):
        if part.pixels.shape != (expected, sizes.n_inputs) or part.labels.shape != (expected,):
            raise DataError(
                f"{name}: {kind} inputs of shape {part.pixels.shape} and labels of shape "
                f"{part.labels.shape} seen; {expected:,} examples of {sizes.n_inputs:,} inputs "
                "expected"
            )
        if part.pixels.dtype not in (np.uint8, np.int8, np.float32):
            raise DataError(f"{name}: {kind} inputs are {part.pixels.dtype}; float32 expected")
        if part.labels.dtype.kind not in "iu" or not _within(part.labels, sizes.n_classes):
            raise DataError(
                f"{name}: {kind} labels are not integers from 0 to {sizes.n_classes - 1}"
            )
        if part.pixels.dtype == np.float32 and not all_finite(part.pixels):
            raise DataError(f"{name}: {kind} inputs are not all finite numbers")


def all_finite(x: Array) -> bool:
    """Return whether there is no NaN and no infinity, without a boolean array.

    >>> all_finite(np.array([1.0, np.inf]))
    False
    """
    with np.errstate(all="ignore"):
        return bool(np.isfinite(x.min(initial=0.0)) and np.isfinite(x.max(initial=0.0)))
