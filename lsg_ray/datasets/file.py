"""Data of one's own: ``.npz``, ``.npy``, CSV, Parquet, and folders of ``.npy`` or idx files.

The format of a file is recognised from its contents.  An ``.npz`` or a folder of ``.npy`` holds
``x_train, y_train, x_test, y_test``, or ``x, y`` of which `test_fraction` of each class is for
testing, drawn by ``dataset.seed``.  An ``.npy`` of inputs has its labels in `label_path`.  CSV and
Parquet have a column of labels; inputs are the other columns.  A folder of idx files holds one or
two pairs.

A specification is resolved when it is read: the file is hashed, and its hash, shape and numbers of
examples go into `options`.  They enter the hash of a run, and the path does not.  Inputs are taken
as they are; of images of bytes (uint8 of two or three axes an example) black is 0 and white 1.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from lsg_ray.datasets.arrays import NPY_MAGIC, ZIP_MAGIC, folder_tables, npy_file, npz_tables
from lsg_ray.datasets.generated import Draw
from lsg_ray.datasets.labels import MAX_LABEL, MAX_NAMED, Classes, classes_of
from lsg_ray.datasets.locating import (
    AbsentError,
    local_path,
    recall_paths,
    remember_paths,
    sha256_of,
    unchanged,
)
from lsg_ray.datasets.source import Part, Source
from lsg_ray.datasets.tables import LIMITS, DataWarning, Table, constant_inputs, read_inputs
from lsg_ray.datasets.text_tables import PARQUET_MAGIC, CsvTable, ParquetTable
from lsg_ray.errors import DataError
from lsg_ray.rng import Stream, generator
from lsg_ray.spec import Sizes
from lsg_ray.typing import Array, Flags, Ints

#: Options that are paths or URLs.
PATH_OPTIONS = ("path", "label_path", "test_path")
#: Options that are set when the file is read.
RESOLVED_OPTIONS = ("sha256", "shape", "counts", "test_counts", "label_values")
_Count = Annotated[int, Field(ge=0, le=2**40)]
_Label = Annotated[str, Field(max_length=MAX_LABEL)]
#: Warnings that were given, by the hash of the data; none is repeated.
_warned: set[tuple[str, str]] = set()


class FileOptions(BaseModel):
    """Options of a file: its path, how it is read, and its hash, shape and counts."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )

    path: str | None = Field(None, min_length=1, max_length=4096)
    """Path or URL (s3://, gs://) of the file, or path of a folder."""
    label_path: str | None = Field(None, min_length=1, max_length=4096)
    """Path or URL of the labels, where path is an .npy of inputs."""
    test_path: str | None = Field(None, min_length=1, max_length=4096)
    """Path or URL of a second CSV or Parquet file, for testing."""
    label: str | int | None = None
    """Column of the labels in CSV and Parquet: its name, or its index from 0."""
    test_fraction: float | None = Field(None, gt=0, lt=1)
    """Fraction of each class for testing, where the file has no test part."""
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    """SHA-256 of the contents, set on reading; another file is refused."""
    shape: tuple[_Count, ...] | None = Field(None, min_length=1, max_length=8)
    """Shape of an example, set on reading."""
    counts: tuple[_Count, ...] | None = Field(None, min_length=2, max_length=LIMITS.classes)
    """Number of training examples of each class before the split, set on reading."""
    test_counts: tuple[_Count, ...] | None = None
    """Number of test examples of each class, if the file has a test part; set on reading."""
    label_values: tuple[_Label, ...] | None = Field(None, max_length=MAX_NAMED)
    """Labels by class (the first ones) where they are not 0, 1, …; set on reading."""

    @model_validator(mode="after")
    def _fits(self) -> FileOptions:
        if self.counts is not None and self.test_counts is not None:
            if len(self.counts) != len(self.test_counts):
                raise ValueError("test_counts: as many as counts are needed")
            if self.test_fraction is not None:
                raise ValueError(
                    f"test_fraction: {self.test_fraction} given; the file has a test part"
                )
        if self.counts is not None and self.test_counts is None:
            if self.test_fraction is None:
                raise ValueError(
                    "test_fraction: missing; the file has no test part: give a share, such as 0.2"
                )
            if not any(_n_test(self, count) for count in self.counts):
                raise ValueError(
                    f"test_fraction: {self.test_fraction} given; of classes of up to "
                    f"{max(self.counts):,} examples none is for testing: give a larger share, or "
                    "more examples"
                )
        return self

    @property
    def complete(self) -> bool:
        """Whether hash, shape and counts are set."""
        return None not in (self.sha256, self.shape, self.counts)


class Opened(NamedTuple):
    """Files of a data set by their roles, their tables, and the name of the label column."""

    files: dict[str, Path]
    train: Table
    test: Table | None
    label: str | None


def _sizes(options: FileOptions) -> Sizes:
    assert options.shape is not None
    assert options.counts is not None
    train, test = options.counts, options.test_counts
    if test is None:
        test = tuple(_n_test(options, count) for count in train)
        train = tuple(count - tested for count, tested in zip(train, test, strict=True))
    return Sizes(sum(train), sum(test), len(train), options.shape, train)


def _n_test(options: FileOptions, count: int) -> int:
    """Return the number of test examples of a class; at least one is left for training."""
    assert options.test_fraction is not None
    return min(round(options.test_fraction * count), count - 1)


def resolve(options: FileOptions, stored: bool = False) -> FileOptions:
    """Return options with hash, shape and counts of the file.

    Raises
    ------
    ValueError
        An option is missing or does not fit the file.
    DataError
        The file cannot be read, or is not the one of the hash given.
    """
    if options.complete:
        return options
    if stored:
        raise ValueError("options: sha256, shape and counts are missing")
    if options.path is None:
        raise ValueError("path: missing; the path or URL of a file or folder is needed")
    paths = given_paths(options)
    opened = _open(options, paths)
    with unchanged(opened.files, options.path):
        sha256 = sha256_of(opened.files, options.path)
        if options.sha256 not in (None, sha256):
            raise _changed(options, options.path, sha256)
        classes = classes_in(opened, options.path)
    facts = _facts(opened, classes, sha256)
    _warn_once(sha256, f"{options.path}: {classes.describe()}" if classes.values else "")
    known = options.model_dump(exclude_none=True) | facts
    remember_paths(sha256, paths)
    return FileOptions.model_validate(known)


def _facts(opened: Opened, classes: Classes, sha256: str) -> dict[str, object]:
    """Return hash, shape and counts of an opened file, as options."""
    facts: dict[str, object] = {
        "sha256": sha256,
        "shape": opened.train.shape,
        "counts": _counts(classes.train, classes.n_classes),
    }
    if opened.label is not None:
        facts["label"] = opened.label
    if opened.test is not None:
        facts["test_counts"] = _counts(classes.test, classes.n_classes)
    if classes.values:
        facts["label_values"] = classes.values
    return facts


def _make(options: FileOptions, seed: int) -> tuple[Part, Part]:
    """Read the file again; it must be what the options say."""
    paths, origin, opened = _find_and_open(options)
    with unchanged(opened.files, origin):
        sha256 = sha256_of(opened.files, origin)
        if sha256 != options.sha256:
            raise _changed(options, origin, sha256)
        classes = classes_in(opened, origin)
        facts = FileOptions.model_validate(
            {**options.model_dump(exclude_none=True), **_facts(opened, classes, sha256)}
        )
        if (facts.shape, facts.counts, facts.test_counts) != (
            options.shape, options.counts, options.test_counts,
        ):  # fmt: skip
            raise DataError(
                f"{origin}: holds other examples than the specification says; leave sha256, shape "
                "and counts out of dataset.options to have them set anew"
            )
        if opened.test is None:
            in_test = _in_test(options, classes.train, seed)
            train, test = read_inputs(opened.train, in_test)
            parts = (
                Part(train, classes.train[~in_test]), Part(test, classes.train[in_test])
            )  # fmt: skip
        else:
            train, _ = read_inputs(opened.train)
            test, _ = read_inputs(opened.test)
            if train.dtype != test.dtype:
                train, test = train.astype(np.float32), test.astype(np.float32)
            parts = Part(train, classes.train), Part(test, classes.test)
    _check_constant(opened.train, parts[0].pixels, sha256)
    remember_paths(sha256, paths)
    return parts


def _find_and_open(options: FileOptions) -> tuple[dict[str, str], str, Opened]:
    """Open the file by its path, or where it was seen before."""
    assert options.sha256 is not None
    remedy = "name its path on this machine once: lsg data fetch PATH"
    paths = recall_paths(options.sha256)
    if options.path is not None:
        given = given_paths(options)
        try:
            return given, options.path, _open(options, given)
        except AbsentError:  # a relative path, and another folder than that of the first time
            if "path" not in paths:
                raise
    if "path" not in paths:
        raise DataError(
            f"file: the data with SHA-256 {options.sha256[:16]}… are not known here; {remedy}"
        )
    try:
        return paths, paths["path"], _open(options, paths)
    except DataError as error:
        raise DataError(
            f"file: the data with SHA-256 {options.sha256[:16]}… are not where they were "
            f"({error}); {remedy}"
        ) from None


def given_paths(options: FileOptions) -> dict[str, str]:
    """Return the paths that options name, by option."""
    return {name: path for name in PATH_OPTIONS if (path := getattr(options, name)) is not None}


def _changed(options: FileOptions, origin: str, sha256: str) -> DataError:
    assert options.sha256 is not None
    return DataError(
        f"{origin}: changed: SHA-256 {sha256[:12]}… seen, {options.sha256[:12]}… expected; put the "
        "original back, or for the new data leave sha256, shape and counts out of dataset.options "
        "and use another --out"
    )


def open_tables(options: FileOptions, paths: Mapping[str, str]) -> Opened:
    """Open the tables; only heads and labels are read.

    Raises
    ------
    DataError
        They cannot be read, or an option is of another format.
    """
    origin = paths["path"]
    path = local_path(origin)
    files, label = {"path": path}, None
    train: Table
    test: Table | None

    def other(name: str) -> Path:
        files[name] = local_path(paths[name], name)
        return files[name]

    if path.is_dir():
        _refuse(options, origin, "a folder", "label", "label_path", "test_path")
        (train, test), files = folder_tables(path, origin)
        return _checked(Opened(files, train, test, None), origin)
    with path.open("rb") as file:
        magic = file.read(8)
    if magic.startswith(ZIP_MAGIC):
        _refuse(options, origin, "an .npz", "label", "label_path", "test_path")
        train, test = npz_tables(path, origin)
    elif magic.startswith(NPY_MAGIC):
        _refuse(options, origin, "an .npy", "label", "test_path")
        if "label_path" not in paths:
            raise DataError(f"{origin}: is one array; give the labels by dataset.label_path")
        inputs = npy_file(path, origin)
        inputs.check_numbers()
        labels = npy_file(other("label_path"), paths["label_path"])
        train, test = inputs.labelled(labels), None
    else:
        _refuse(options, origin, "a table", "label_path")
        kind = ParquetTable if magic.startswith(PARQUET_MAGIC) else CsvTable
        table = kind(path, origin, options.label)
        train, test, label = table, None, table.label
        if "test_path" in paths:
            second = kind(other("test_path"), paths["test_path"], table.label)
            if second.columns != table.columns:
                raise DataError(
                    f"{second.origin}: other columns than {origin}, or in another order"
                )
            test = second
    return _checked(Opened(files, train, test, label), origin)


def _checked(opened: Opened, origin: str) -> Opened:
    opened.train.check_size()
    if opened.test is not None:
        opened.test.check_size()
        if opened.test.shape != opened.train.shape:
            raise DataError(
                f"{origin}: training examples of shape {opened.train.shape} and test examples of "
                f"shape {opened.test.shape} seen; they must be equal"
            )
    return opened


def _open(options: FileOptions, paths: Mapping[str, str]) -> Opened:
    """Open the tables; a fraction for testing is needed without a test part, and refused with."""
    opened = open_tables(options, paths)
    origin, fraction = paths["path"], options.test_fraction
    if opened.test is not None and fraction is not None:
        raise DataError(
            f"dataset.test_fraction: {fraction} given; {origin} has a test part: leave it out"
        )
    if opened.test is None and fraction is None:
        raise DataError(
            f"dataset.test_fraction: missing; {origin} has no test part: give a share, such as 0.2"
        )
    return opened


def _refuse(options: FileOptions, origin: str, kind: str, *names: str) -> None:
    for name in names:
        if getattr(options, name) is not None:
            raise DataError(
                f"dataset.{name}: {getattr(options, name)!r} given; {origin} is {kind}, which "
                "takes none"
            )


def classes_in(opened: Opened, origin: str) -> Classes:
    """Return the classes of both parts; `DataError` says why labels are none."""
    test = np.empty(0, np.int64) if opened.test is None else opened.test.labels
    if opened.test is not None and (test.dtype.kind in "SU") != (
        opened.train.labels.dtype.kind in "SU"
    ):
        raise DataError(f"{origin}: labels are text in one part and numbers in the other")
    return classes_of(opened.train.labels, test, origin)


def _counts(labels: Ints, n_classes: int) -> tuple[int, ...]:
    return tuple(np.bincount(labels, minlength=n_classes).tolist())


def _in_test(options: FileOptions, labels: Ints, seed: int) -> Flags:
    """Return which examples are for testing: of each class the same share."""
    order = generator(seed, Stream.DATA, Draw.SPLIT).permutation(len(labels))
    chosen = np.zeros(len(labels), bool)
    ordered = labels[order]
    for label, count in enumerate(np.bincount(labels).tolist()):
        chosen[order[np.flatnonzero(ordered == label)[: _n_test(options, count)]]] = True
    return chosen


def _check_constant(table: Table, train: Array, sha256: str) -> None:
    """Warn of constant inputs, but of images, whose borders often are.

    Raises
    ------
    DataError
        All inputs are constant.
    """
    constant = constant_inputs(train)
    n_inputs = train.shape[1]
    if len(constant) == n_inputs:
        raise DataError(f"{table.origin}: all training examples are the same")
    if len(constant) and len(table.shape) == 1:
        first = int(constant[0])
        name = table.columns[first] if table.columns else first
        _warn_once(
            sha256,
            f"{table.origin}: {len(constant):,} of {n_inputs:,} inputs are constant over the "
            f"training examples, {name} the first",
        )


def _warn_once(sha256: str, message: str) -> None:
    """Warn once about data."""
    if message and (sha256, message) not in _warned:
        _warned.add((sha256, message))
        warnings.warn(message, DataWarning, stacklevel=3)


SOURCE = Source(
    "file", config=FileOptions, measure=_sizes, make=_make, resolve=resolve,
    path_options=PATH_OPTIONS, resolved_options=RESOLVED_OPTIONS, licence="your own",
    defaults={"components": None},
)  # fmt: skip
