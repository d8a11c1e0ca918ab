"""A data set: what is in it, which files it is made of, where they are published, their hashes.

Hashes of archives are those of the files as published.  An idx file is known by the hash of its
*contents* as well, so that a copy that was unpacked, or packed again, is still recognised.

A new one is a file with a ``SOURCE``, and a line in `lsg_ray.registry.DATA_SETS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from lsg_ray.typing import Bytes


class Part(NamedTuple):
    """Images of one part: pixels (n, n_pixels) uint8, labels (n,) uint8."""

    pixels: Bytes
    labels: Bytes


@dataclass(frozen=True)
class RemoteFile:
    """One published file.

    Parameters
    ----------
    name
        File name, the same on every mirror and on disk.
    sha256
        SHA-256 of the file as published, hexadecimal.
    size
        Bytes of the contents: unpacked for an idx file, of the archive itself otherwise.
    content_sha256
        SHA-256 of the unpacked contents; None for an archive that is used as it is.
    """

    name: str
    sha256: str
    size: int
    content_sha256: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names under which a user may keep the file: as published, or unpacked.

        Some tools write ``train-images.idx3-ubyte``, with a point, as the first archives did.
        """
        if self.content_sha256 is None:
            return (self.name,)
        dotted = self.name.replace("-idx", ".idx")
        return tuple(name for one in (self.name, dotted) for name in (one, one.removesuffix(".gz")))

    @property
    def limit(self) -> int:
        """Largest size in bytes that the file can have on disk, packed or not."""
        if self.content_sha256 is None:
            return self.size
        return self.size + self.size // 1000 + 4096  # gzip adds little to what does not shrink


@dataclass(frozen=True)
class Source:
    """A data set: its files and what is in them.

    Parameters
    ----------
    name
        Name in `lsg_ray.spec.DatasetSpec`, and of the folder that holds the files.
    parse
        Makes the training and the test part of the source and the contents of its files by name;
        see `lsg_ray.datasets.formats` for idx files and archives.
    files, mirrors
        What to fetch; each mirror is a URL that ends in a slash.  A data set without files is
        that of an installed package.
    train, test
        idx: names of the files of images and of labels.  cifar: members of the archive.
    label_key
        cifar: key of the labels in a member.
    folders
        Where torchvision keeps the files, within the folder that it is given.
    package
        Where there are no files: that of an installed package which holds the data.
    n_train, n_test, n_classes
        Images in each part, and classes.
    image_shape
        Height, width and, for colour, channel (last).
    white
        Pixel value of full brightness; pixels are integers from 0 to it.
    licence
        What is known of it.
    """

    name: str
    parse: Callable[[Source, Mapping[str, bytes]], tuple[Part, Part]]
    n_train: int
    n_test: int
    n_classes: int
    image_shape: tuple[int, ...]
    licence: str
    white: int = 255
    files: tuple[RemoteFile, ...] = ()
    mirrors: tuple[str, ...] = ()
    train: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    label_key: bytes = b"labels"
    folders: tuple[str, ...] = ()
    package: str = ""

    @property
    def n_pixels(self) -> int:
        """Pixels of an image, of all channels."""
        return math.prod(self.image_shape)
