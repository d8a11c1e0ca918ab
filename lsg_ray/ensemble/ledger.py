"""The ledger: one small immutable record per complete block.

A block is complete when its record stands, and only then: the record is written after the block's
data, create-if-absent.  Readers, resume and `verify` trust the ledger only; that a chunk is there
proves nothing.  Records are JSON, read as untrusted data.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lsg_ray.ensemble.header import Header, read_header
from lsg_ray.ensemble.local import UnreadableError
from lsg_ray.ensemble.location import Location
from lsg_ray.ensemble.schema import LEDGER
from lsg_ray.errors import StoreError
from lsg_ray.typing import Array, Ints

#: Blocks of the ledger that an object store lists one after another, in requests of 1,000.
LISTED_BLOCKS = 5_000
#: Bins of the histogram of rejected accuracies, equal in width on [0, 1]; 1 is in the last.
REJECTION_BINS = 200
_SEAL = re.compile(rb'(.*),"digest":"([0-9a-f]{64})"\}\s*', re.DOTALL)
RECORD_KEY = re.compile(rf"{LEDGER}/(\d{{8}})\.json")

Count = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Summary(_Model):
    """Least, mean and greatest accuracy of a block's configurations."""

    min: Fraction
    mean: Fraction
    max: Fraction


class Record(_Model):
    """What is known of one complete block without reading its data."""

    block: Count = Field(description="Index of the block.")
    start: Count = Field(description="First configuration.")
    rows: int = Field(ge=1, description="Configurations in the block.")
    seed_path: tuple[int | str, ...] = Field(description="Address in the seed tree.")
    attempt: Count = Field(description="How often the task had failed before.")
    trials: int = Field(ge=1, description="Trials spent, accepted and rejected.")
    rejected: dict[int, int] = Field(description="Rejected trials by bin of their best accuracy.")
    accuracy: Summary | None = Field(default=None, description="None where it is not stored.")
    seconds: float = Field(ge=0, description="Time the block took.")
    content: str = Field(pattern="^[0-9a-f]{64}$", description="Content hash of the rows.")
    package_version: str
    processor: str | None = Field(
        default=None, pattern="^[ -~]{1,200}$", description="Kind of processor that computed it."
    )

    @model_validator(mode="after")
    def _check_sums(self) -> Record:
        check_rejected(self.rejected, self.trials, self.rows)
        return self


def check_rejected(rejected: dict[int, int], trials: int, rows: int) -> None:
    """Refuse a histogram that does not account for every rejected trial (`ValueError`)."""
    for index, number in rejected.items():
        if not 0 <= index < REJECTION_BINS or number < 1:
            raise ValueError(
                f"rejected: {number} in bin {index}; bins are 0 to {REJECTION_BINS - 1}, "
                "counts positive"
            )
    if trials != rows + sum(rejected.values()):
        raise ValueError(
            f"trials: {trials} given for {rows} accepted and {sum(rejected.values())} rejected"
        )


def rejection_histogram(accuracies: ArrayLike) -> dict[int, int]:
    """Count the best accuracies of rejected trials in `REJECTION_BINS` equal bins on [0, 1].

    >>> rejection_histogram([0.751, 0.752, 1.0])
    {150: 2, 199: 1}
    """
    values = np.asarray(accuracies, dtype=np.float64)
    indices = np.minimum((values * REJECTION_BINS).astype(int), REJECTION_BINS - 1)
    bins, counts = np.unique(indices, return_counts=True)
    return dict(zip(bins.tolist(), counts.tolist(), strict=True))


class ShortRecordError(ValueError):
    """A record is of fewer configurations than the block has now: the ensemble has grown."""


def summarise(accuracy: Array) -> Summary:
    """Summarise the accuracies of a block."""
    values = np.asarray(accuracy, dtype=np.float64)
    low, high = float(values.min()), float(values.max())
    return Summary(min=low, mean=min(max(float(values.mean()), low), high), max=high)


def summary_of(arrays: Mapping[str, Array]) -> Summary | None:
    """Summarise the accuracies among the arrays of a block; None if they are not stored."""
    return summarise(arrays["accuracy"]) if "accuracy" in arrays else None


def record_key(block: int) -> str:
    """Return the key of a block's record.

    >>> record_key(12)
    'ledger/00000012.json'
    """
    return f"{LEDGER}/{block:08d}.json"


def record_cuts(header: Header) -> Iterator[str]:
    """Yield keys that cut the ledger into ranges, which object stores list at once."""
    return (record_key(end - 1) for end in range(LISTED_BLOCKS, header.n_blocks, LISTED_BLOCKS))


def complete_blocks(location: Location, header: Header) -> Ints:
    """Return the indices of the blocks that have a record, ascending.

    One listing, no record is opened: 20 ms for 2,000 blocks on a local disk; on object stores in
    ranges of `LISTED_BLOCKS`, many at a time.  Keys that are no records take no memory.
    """
    keys = location.keys(LEDGER, record_cuts(header))
    matches = (RECORD_KEY.fullmatch(key) for key in keys)
    blocks = np.fromiter((int(match[1]) for match in matches if match), dtype=np.int64)
    return np.sort(blocks[blocks < header.n_blocks])


def absent_blocks(header: Header, complete: Ints) -> Ints:
    """Return the planned blocks that are not complete, ascending."""
    absent = np.ones(header.n_blocks, dtype=np.bool_)
    absent[complete] = False
    return np.flatnonzero(absent).astype(np.int64, copy=False)


def read_record(location: Location, header: Header, block: int) -> Record | None:
    """Read the record of one block, or None if the block is not complete.

    Raises
    ------
    StoreError
        The record is not readable or contradicts its name or the header.
    """
    try:
        data = bytes(location.read(record_key(block)))
    except FileNotFoundError:
        return None
    except UnreadableError as error:
        raise _bad_record(location, header, block, error.reason) from None
    try:
        return parse_record(data, header, block)
    except ValueError as error:
        if read_header(location).count != header.count:
            raise StoreError(
                f"{location.url}: the ensemble grew while it was read; open it again"
            ) from None
        raise _bad_record(location, header, block, str(error)) from None


def _bad_record(location: Location, header: Header, block: int, fault: str) -> StoreError:
    return StoreError(
        f"{location.url}: block {block}: {record_key(block)} {fault}; "
        f"run `lsg verify --repair` on the store, then {header.refill} to refill the block"
    )


def is_sealed(data: bytes) -> bool:
    """Return whether the text of a record has a checksum, as all have since its first version."""
    return _SEAL.fullmatch(data) is not None


def parse_record(data: bytes, header: Header, block: int) -> Record:
    """Check the text of a record; `ValueError` says what is wrong with it.

    Raises
    ------
    ShortRecordError
        It is a record of this block, from before the ensemble grew.
    """
    sealed = _SEAL.fullmatch(data)
    data = sealed[1] + b"}" if sealed else data
    try:
        record = Record.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(key) for key in first["loc"])
        raise ValueError(
            f"is not a record: {field + ': ' if field else ''}{first['msg']}"
        ) from None
    expected = {"block": block, "start": header.start(block), "rows": header.rows(block)}
    for name, value in expected.items():
        if getattr(record, name) != value:
            shorter = name == "rows" and record.rows < value
            kind = ShortRecordError if shorter else ValueError
            raise kind(f"has {name} {getattr(record, name)}, must be {value}")
    if sealed and hashlib.sha256(data).hexdigest().encode() != sealed[2]:
        raise ValueError("fails its own checksum")
    return record


def add_record(location: Location, record: Record) -> bool:
    """Write a record unless the block has one; return whether it was written."""
    return location.create(record_key(record.block), record_text(record))


def record_text(record: Record) -> bytes:
    """Return a record as JSON, whose last field is a SHA-256 of what stands before it."""
    text = record.model_dump_json(exclude_none=True).encode()
    digest = hashlib.sha256(text).hexdigest().encode()
    return text[:-1] + b',"digest":"' + digest + b'"}\n'
