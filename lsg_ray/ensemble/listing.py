"""What a store contains: metadata, records, chunks, half-written files, foreign ones."""

from __future__ import annotations

import os
import re
from collections import defaultdict

import numpy as np

from lsg_ray.ensemble.header import Header, metadata_keys, read_header
from lsg_ray.ensemble.ledger import RECORD_KEY, record_cuts, record_key
from lsg_ray.ensemble.location import LIST_PAGE, Location, locate
from lsg_ray.ensemble.pages import is_page
from lsg_ray.ensemble.schema import LEDGER
from lsg_ray.typing import Flags

#: Keys, or findings, of a kind that are named one by one.
MAX_NAMED = 1000


class Keys:
    """Classifies the keys of a store."""

    def __init__(self, header: Header) -> None:
        self.metadata = frozenset(metadata_keys(header))
        self._arrays = {array.name: array for array in header.arrays}

    def parsed(self, key: str) -> tuple[str, int] | None:
        """Return array and block of a chunk, `LEDGER` and block of a record; None of others."""
        if record := RECORD_KEY.fullmatch(key):
            return LEDGER, int(record[1])
        name, _, chunk = key.partition("/")
        match = re.fullmatch(r"c\.(\d{1,18})(\.0)*", chunk)
        if match and name in self._arrays:
            block = int(match[1])
            return (name, block) if self._arrays[name].chunk_key(block) == key else None
        return None

    def is_staged(self, key: str) -> bool:
        """Return whether it is a half-written file of ours: ``NAME#1``, or zarr's ``*.partial``."""
        base = finished(key)
        if base != key:
            return base in self.metadata or self.parsed(base) is not None
        folder, _, name = key.rpartition("/")
        ours = folder in ("", LEDGER) or folder in self._arrays
        return ours and bool(re.fullmatch(r".*\.[0-9a-f]{32}\.partial", name))


def finished(key: str) -> str:
    """Return the key that a staged file is to have.

    >>> finished("ledger/00000012.json#1")
    'ledger/00000012.json'
    """
    return re.sub(r"#\d+$", "", key)


def _cuts(header: Header) -> list[str]:
    """Return keys that cut a store into ranges of about 10⁴ keys, which are listed at once."""
    if header.n_blocks < LIST_PAGE:
        return []
    digits = len(str(header.n_blocks - 1)) - 4
    leading = range(10 ** (digits - 1), 10**digits) if digits > 0 else ()
    arrays = [f"{array.name}/c." for array in header.arrays]
    chunks = [f"{array}{number}" for array in arrays for number in leading]
    return sorted([*arrays, *chunks, *record_cuts(header)])


class Listing:
    """What a store holds: a byte for each record and chunk, whatever the keys are."""

    def __init__(self, location: Location, header: Header) -> None:
        #: Records and chunks of blocks beyond the plan.
        self.records_beyond: list[int] = []
        self.chunks_beyond: dict[int, list[str]] = defaultdict(list)
        self.staged: list[str] = []
        self.foreign: list[str] = []
        self.n_foreign = 0
        self._header = header
        #: By array, and for the ledger: a mark at the index of each block that has one.
        self._marks: dict[str, bytearray] = defaultdict(bytearray)
        keys = Keys(header)
        for key in location.every_key(cuts=_cuts(header)):
            if key in keys.metadata or is_page(key, header.n_blocks):
                continue
            if owner := keys.parsed(key):
                self._note(key, *owner)
            elif keys.is_staged(key):
                self.staged.append(key)
            else:
                self.n_foreign += 1
                if self.n_foreign <= MAX_NAMED:
                    self.foreign.append(key)

    def _note(self, key: str, name: str, block: int) -> None:
        if block < self._header.n_blocks:
            self.mark(name, block)
        elif name == LEDGER:
            self.records_beyond.append(block)
        else:
            self.chunks_beyond[block].append(key)

    def mark(self, name: str, block: int) -> None:
        """Note that a block has a chunk of an array, or a record."""
        marks = self._marks[name]
        if block >= len(marks):
            marks.extend(bytes(block + 1 - len(marks)))
        marks[block] = 1

    def of(self, name: str) -> Flags:
        """Return which blocks have a record or chunk; those behind the last are left out."""
        return np.frombuffer(bytes(self._marks[name]), dtype=np.bool_)

    def without_record(self) -> list[int]:
        """Return the planned blocks that have a chunk and no record, ascending."""
        marks = [self.of(array.name) for array in self._header.arrays]
        orphaned = np.zeros(max(map(len, marks), default=0), np.bool_)
        for present in marks:
            orphaned[: len(present)] |= present
        records = self.of(LEDGER)[: len(orphaned)]
        orphaned[: len(records)] &= ~records
        return np.flatnonzero(orphaned).tolist()

    def chunks(self, block: int) -> list[str]:
        """Return the keys of a planned block's chunks that are there."""
        return [
            array.chunk_key(block)
            for array in self._header.arrays
            if self._marks[array.name][block : block + 1] == b"\1"
        ]


def sweep(url: str | os.PathLike[str]) -> int:
    """Delete the half-written files that killed writers left behind; return how many.

    For the end of a run.  Files of blocks that are not complete may be another run's, and stay.
    Object stores have none: there an object is whole or absent, and nothing is listed.
    """
    location = locate(url)
    if location.path is None:
        return 0
    keys = Keys(read_header(location))
    staged = []
    for key in location.every_key():
        if keys.is_staged(key):
            owner = keys.parsed(finished(key))
            if owner is None or location.age(record_key(owner[1])) is not None:
                staged.append(key)
    for key in staged:
        location.delete(key)
    return len(staged)
