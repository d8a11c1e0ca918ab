"""A data set: its contents, and the files or options that it is made of.

Hashes of archives are those of the files as published.  An idx file is known by the hash of its
*contents* as well, so that a copy that was unpacked, or packed again, is still recognised.

A new data set is a module with a ``SOURCE``, and a line in `lsg_ray.registry.DATA_SETS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from lsg_ray.spec import Sizes
from lsg_ray.typing import Array, JsonObject

if TYPE_CHECKING:
    from pydantic import BaseModel


class Part(NamedTuple):
    """Examples of one part: pixels (n, n_inputs), labels (n,), classes from 0.

    Pixels are uint8 from 0 to white where they are those of images, else int8 or float32.
    """

    pixels: Array
    labels: Array


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
        """Names that the file of a user may have: as published, or unpacked.

        Some tools write ``train-images.idx3-ubyte``, with a point, as the first archives did.
        """
        if self.content_sha256 is None:
            return (self.name,)
        dotted = self.name.replace("-idx", ".idx")
        return tuple(n for name in (self.name, dotted) for n in (name, name.removesuffix(".gz")))

    @property
    def limit(self) -> int:
        """Largest size in bytes that the file can have on disk, packed or not."""
        if self.content_sha256 is None:
            return self.size
        return self.size + self.size // 1000 + 4096  # gzip adds little to incompressible data


@dataclass(frozen=True)
class Source:
    """A data set: published files, or options from which it is made, and the sizes of its parts.

    Parameters
    ----------
    name
        Name in `lsg_ray.spec.DatasetSpec`, and of the folder that holds the files.
    parse
        Makes the training and the test part from the source and the contents of its files by
        name; see `lsg_ray.datasets.formats` for idx files and archives.
    n_train, n_test, n_classes
        Number of images in each part, and of classes.
    image_shape
        Height, width and, for colour, channel (last).
    licence
        Licence of the data, as far as it is known.
    white
        Pixel value of full brightness; pixels are integers from 0 to it.
    files, mirrors
        Files to download; each mirror is a URL that ends in a slash.  A data set without files
        is that of an installed package.
    train, test
        idx: names of the files of images and of labels.  cifar: members of the archive.
    label_key
        cifar: key of the labels in a member.
    folders
        Folders in which torchvision stores the files, relative to its root.
    package
        Where there are no files, the installed package that makes the data, or ``PACKAGE/FILE`` of
        one that holds them.
    counts
        Number of training images of each class; empty if not known beforehand.
    config
        Model of the options that a specification gives; None for a data set without options.
    measure
        Returns the sizes that follow from options.
    make
        Makes both parts from options and the seed of `DatasetSpec`, instead of `parse`.
    resolve
        Returns options completed from the files that they name.  Its second argument is whether
        they are those of a store, for which no file may be read.
    path_options
        Names of the options that are paths or URLs; no part of the hash of a specification.
    resolved_options
        Names of the options that `resolve` sets, which users need not know.
    defaults
        Values of the fields of `DatasetSpec` that a specification leaves out.

    Examples
    --------
    >>> from lsg_ray.registry import DATA_SETS
    >>> DATA_SETS["parity"].sizes({"inputs": 9, "patterns": 50}).shape
    (9,)
    """

    name: str
    parse: Callable[[Source, Mapping[str, bytes]], tuple[Part, Part]] | None = None
    n_train: int = 0
    n_test: int = 0
    n_classes: int = 0
    image_shape: tuple[int, ...] = ()
    licence: str = "none"
    white: int = 255
    files: tuple[RemoteFile, ...] = ()
    mirrors: tuple[str, ...] = ()
    train: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    label_key: bytes = b"labels"
    folders: tuple[str, ...] = ()
    package: str = ""
    counts: tuple[int, ...] = ()
    config: type[BaseModel] | None = None
    measure: Callable[[Any], Sizes] | None = None
    make: Callable[[Any, int], tuple[Part, Part]] | None = None
    resolve: Callable[[Any, bool], BaseModel] | None = None
    path_options: tuple[str, ...] = ()
    resolved_options: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_pixels(self) -> int:
        """Pixels of an image, of all channels."""
        return math.prod(self.image_shape)

    @property
    def option_names(self) -> tuple[str, ...]:
        """Names of the options that a user gives.

        >>> from lsg_ray.registry import DATA_SETS
        >>> DATA_SETS["file"].option_names
        ('path', 'label_path', 'test_path', 'label', 'test_fraction')
        """
        fields = () if self.config is None else self.config.model_fields
        return tuple(name for name in fields if name not in self.resolved_options)

    def checked(self, options: JsonObject) -> BaseModel:
        """Return options, validated as `config`."""
        assert self.config is not None
        return self.config.model_validate(options)

    def sizes(self, options: JsonObject) -> Sizes:
        """Return the sizes of the data set, by options if it has some."""
        if self.measure is not None:
            return self.measure(self.checked(options))
        return Sizes(self.n_train, self.n_test, self.n_classes, self.image_shape, self.counts)
