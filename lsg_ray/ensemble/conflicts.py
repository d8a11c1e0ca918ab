"""Two writers of one block: what each does when the other was first, or has grown the ensemble."""

from __future__ import annotations

from typing import Literal

from lsg_ray.ensemble.chunks import read_chunk
from lsg_ray.ensemble.content import content_hash
from lsg_ray.ensemble.header import Header, read_header
from lsg_ray.ensemble.ledger import Record, ShortRecordError, parse_record, read_record, record_key
from lsg_ray.ensemble.local import UnreadableError
from lsg_ray.ensemble.location import Location
from lsg_ray.ensemble.refusals import StoreAccessError
from lsg_ray.errors import StoreError


def grown_error(location: Location, header: Header, count: int) -> StoreError:
    """Return the error of a run of ``count`` whose last block is part of a longer one now."""
    return StoreError(
        f"{location.url}: the ensemble grew from {count:,} to {header.count:,} configurations "
        "while this run sampled it, and its last block is part of a longer one now; let the other "
        f"run finish, or run again with --count {header.count}"
    )


def withdraw_short_record(location: Location, header: Header, index: int) -> bool:
    """Remove the record that a writer of a smaller plan has added; return whether there was one."""
    try:
        parse_record(bytes(location.read(record_key(index))), header, index)
    except ShortRecordError:
        location.delete(record_key(index))
        return True
    except (FileNotFoundError, UnreadableError, ValueError):
        pass
    return False


def refuse_short_block(location: Location, header: Header, record: Record) -> None:
    """Undo a short last block that was written while the ensemble grew."""
    grown, index = read_header(location), record.block
    if grown.rows(index) == record.rows:
        return
    if not withdraw_short_record(location, grown, index):
        # The longer block may be complete, and its data may have been written over here.
        stored = read_record(location, grown, index)
        if stored is not None and not _holds(location, grown, stored):
            location.delete(record_key(index))
    raise grown_error(location, grown, header.count)


def _holds(location: Location, header: Header, record: Record) -> bool:
    try:
        return stored_content(location, header, record.block) == record.content
    except StoreAccessError:
        raise
    except StoreError:
        return False


def is_present(location: Location, header: Header, record: Record) -> bool:
    """Return whether the block is complete; refuse if with other content."""
    try:
        stored = read_record(location, header, record.block)
    except StoreError:
        if withdraw_short_record(location, header, record.block):
            return False
        raise
    if stored is None:
        return False
    if stored.content == record.content:
        return True
    raise StoreError(
        f"{location.url}: block {record.block} is complete with content {stored.content[:16]}…, "
        f"and now came out as {record.content[:16]}…; the same specification must give the same "
        "bytes: look for another processor type, library version or engine among the workers, "
        "and sample on one kind"
    )


def judge_second_writer(location: Location, header: Header, record: Record) -> Literal["present"]:
    """Judge a block whose record another writer added while this one wrote its data.

    With equal content both wrote the same bytes.  If not, the data may now be a mixture, and the
    record is withdrawn unless it is still true of them.
    """
    try:
        if is_present(location, header, record):
            return "present"
    except StoreError:
        stored = read_record(location, header, record.block)
        if stored is not None and not _holds(location, header, stored):
            location.delete(record_key(record.block))
        raise
    raise StoreError(
        f"{location.url}: block {record.block}: its record vanished while it was written; "
        "run again to sample the block"
    )


def stored_content(location: Location, header: Header, block: int) -> str:
    """Recompute the content hash of a block from its chunks.

    Raises
    ------
    StoreError
        A chunk is missing or damaged.
    """
    arrays = {
        layout.name: read_chunk(
            location, layout, block, block_size=header.block_size, rows=header.rows(block)
        )
        for layout in header.arrays
    }
    return content_hash(header.start(block), header.arrays, arrays)
