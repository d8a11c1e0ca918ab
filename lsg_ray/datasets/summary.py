"""What a file of one's own holds, checked, and its path recorded for stores of the same data."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from lsg_ray.datasets.file import FileOptions, classes_in, given_paths, open_tables
from lsg_ray.datasets.labels import MAX_NAMED
from lsg_ray.datasets.locating import local_path, remember_paths, sha256_of, unchanged
from lsg_ray.datasets.tables import finite_inputs
from lsg_ray.datasets.text_tables import NoLabelError


class FileSummary(NamedTuple):
    """Contents of a file of one's own.

    folder: that holds it; sha256 of the contents; examples, test_examples: number of training and
    of test examples, None without a test part; shape of an example; classes: number; counts: of
    training examples by label, of the first classes; mapped: whether labels are not 0, 1, …, and
    are numbered in this order; constant_inputs: number of inputs that are the same in all training
    examples; missing: what is to be set to use it, empty if nothing.
    """

    folder: Path
    sha256: str
    examples: int | None = None
    test_examples: int | None = None
    shape: tuple[int, ...] | None = None
    classes: int | None = None
    counts: dict[str, int] | None = None
    mapped: bool = False
    constant_inputs: int | None = None
    missing: str = ""


def record_file(
    location: str,
    *,
    label: str | int | None = None,
    label_path: str | None = None,
    test_path: str | None = None,
) -> FileSummary:
    """Read and check a file or folder, record its path, and return what it holds.

    Stores name data by their hash: those of the same contents find the file by what is recorded.

    Parameters
    ----------
    location
        Path or URL of the file or folder, ``dataset.path``.
    label, label_path, test_path
        As in a specification.

    Raises
    ------
    DataError
        It cannot be read as a data set.

    Notes
    -----
    Reads all of it, some 16 MiB at a time.
    """
    options = FileOptions(path=location, label=label, label_path=label_path, test_path=test_path)
    paths = given_paths(options)
    path = local_path(location)
    folder = (path if path.is_dir() else path.parent).resolve()
    try:
        opened = open_tables(options, paths)
    except NoLabelError as error:
        sha256 = sha256_of({"path": path}, location)
        remember_paths(sha256, paths)
        return FileSummary(folder, sha256, missing=str(error).removeprefix(f"{location}: "))
    with unchanged(opened.files, location):
        sha256 = sha256_of(opened.files, location)
        classes = classes_in(opened, location)
        n_constant = finite_inputs(opened.train)
        if opened.test is not None:
            finite_inputs(opened.test)
    remember_paths(sha256, paths)
    counts = np.bincount(classes.train, minlength=classes.n_classes)[:MAX_NAMED].tolist()
    names = classes.values or tuple(map(str, range(classes.n_classes)))
    return FileSummary(
        folder=folder,
        sha256=sha256,
        examples=len(classes.train),
        test_examples=len(classes.test) if opened.test is not None else None,
        shape=opened.train.shape,
        classes=classes.n_classes,
        counts=dict(zip(names, counts, strict=False)),
        mapped=bool(classes.values),
        constant_inputs=n_constant,
        missing="" if opened.test is not None else "set dataset.test_fraction: no test part",
    )
