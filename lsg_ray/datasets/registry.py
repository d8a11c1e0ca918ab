"""Which files a data set is made of, where they are published, and their hashes.

Hashes of archives are those of the files as published.  An idx file is known by the hash of its
*contents* as well, so that a copy that was unpacked, or packed again, is still recognised.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from lsg_ray.errors import DataError


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
    layout
        ``bundled`` with scikit-learn, four ``idx`` files, or one ``cifar`` archive.
    files, mirrors
        What to fetch; each mirror is a URL that ends in a slash.
    train, test
        idx: names of the files of images and of labels.  cifar: members of the archive.
    label_key
        cifar: key of the labels in a member.
    folders
        Where torchvision keeps the files, within the folder that it is given.
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
    layout: Literal["bundled", "idx", "cifar"]
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


#: Files of MNIST, and of data sets that are laid out like it, with the bytes of their contents.
_IDX_FILES = {
    "train-images-idx3-ubyte.gz": 47_040_016,
    "train-labels-idx1-ubyte.gz": 60_008,
    "t10k-images-idx3-ubyte.gz": 7_840_016,
    "t10k-labels-idx1-ubyte.gz": 10_008,
}


def _idx(name: str, folder: str, licence: str, mirrors: tuple[str, ...], *hashes: str) -> Source:
    """Return a data set laid out like MNIST; of each file the hash as published, and unpacked."""
    names = tuple(_IDX_FILES)
    files = tuple(
        RemoteFile(file, published, size, unpacked)
        for (file, size), published, unpacked in zip(
            _IDX_FILES.items(), hashes[::2], hashes[1::2], strict=True
        )
    )
    return Source(
        name, "idx", 60_000, 10_000, 10, (28, 28), licence, files=files, mirrors=mirrors,
        train=names[:2], test=names[2:], folders=(f"{folder}/raw",),
    )  # fmt: skip


def _cifar(n_classes: int, sha256: str, size: int, **members: Any) -> Source:
    name = f"cifar{n_classes}"
    return Source(
        name, "cifar", 50_000, 10_000, n_classes, (32, 32, 3),
        "none stated; cite Krizhevsky (2009)",
        files=(RemoteFile(f"cifar-{n_classes}-python.tar.gz", sha256, size),),
        mirrors=("https://www.cs.toronto.edu/~kriz/",), folders=(".",), **members,
    )  # fmt: skip


_ALL = (
    Source(
        "digits", "bundled", 1437, 360, 10, (8, 8),
        "CC BY 4.0 (UCI repository); ships with scikit-learn", white=16,
    ),
    _idx(
        "mnist", "MNIST", "CC BY-SA 3.0 (stated by third parties)",
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    _idx(
        "fashion-mnist", "FashionMNIST", "MIT",
        (
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ),
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
    _cifar(
        10, "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce", 170_498_071,
        train=tuple(f"cifar-10-batches-py/data_batch_{batch}" for batch in range(1, 6)),
        test=("cifar-10-batches-py/test_batch",),
    ),
    _cifar(
        100, "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7", 169_001_437,
        train=("cifar-100-python/train",), test=("cifar-100-python/test",),
        label_key=b"fine_labels",
    ),
)  # fmt: skip
#: Every data set by name.
SOURCES: dict[str, Source] = {source.name: source for source in _ALL}


def find_source(name: str) -> Source:
    """Return the data set of that name.

    Raises
    ------
    DataError
        There is none; the message lists those that there are.
    """
    try:
        return SOURCES[name]
    except KeyError:
        raise DataError(f"data set {name!r} is unknown; known are {', '.join(SOURCES)}") from None
