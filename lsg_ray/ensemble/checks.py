"""The checks of a store: metadata, keys, and each block against its record."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from lsg_ray.ensemble.block import wrong_values
from lsg_ray.ensemble.chunks import ChunkError, chunk_bytes, decode_chunk
from lsg_ray.ensemble.content import content_hash
from lsg_ray.ensemble.findings import UNFINISHED, UNVERIFIED, Finding
from lsg_ray.ensemble.header import Header, documents, same_metadata
from lsg_ray.ensemble.ledger import Record, parse_record, record_key, summary_of
from lsg_ray.ensemble.listing import MAX_NAMED, Listing
from lsg_ray.ensemble.local import UnreadableError
from lsg_ray.ensemble.location import Location
from lsg_ray.ensemble.pages import believed, copied_texts, page_key
from lsg_ray.ensemble.schema import LEDGER, ROOT, SNAPSHOT, padding_is_zero
from lsg_ray.ensemble.writer import may_be_live


def check_metadata(location: Location, header: Header) -> list[Finding]:
    """Compare every metadata document with what follows from the header."""
    findings = []
    if not header.verified:
        message = f"{ROOT} has no digest: whether it is as it was written is unknown"
        findings.append(Finding(UNVERIFIED, message, ROOT))
    for key, expected in documents(header).items():
        if key == ROOT:
            continue
        name = key.partition("/")[0]
        try:
            fault = same_metadata(bytes(location.read(key)), expected)
        except UnreadableError as error:
            fault = error.reason
        except FileNotFoundError:
            fault = "is missing"
        if fault:
            findings.append(Finding("metadata", f"array {name!r}: {key}: {fault}", key, name))
    return findings


def check_keys(location: Location, header: Header, listing: Listing) -> Iterator[Finding]:
    """Name everything that is no part of a store of complete blocks."""
    for block in sorted(listing.records_beyond):
        message = f"{record_key(block)}: there are only {header.n_blocks} blocks"
        yield Finding("record", message, record_key(block), block=block)
    ages = location.map(location.age, sorted(listing.staged))
    for key, age in zip(sorted(listing.staged), ages, strict=True):
        if age is None:  # it has its name by now
            continue
        if may_be_live(age):
            message = f"{key}: half-written {age:.0f} s ago; a run may be at it"
            yield Finding(UNFINISHED, message, key)
        else:
            yield Finding("left-over file", f"{key}: left by a killed writer", key)
    for key in listing.foreign:
        yield Finding("foreign file", f"{key}: no part of an ensemble", key)
    if listing.n_foreign > MAX_NAMED:
        message = f"{listing.n_foreign - MAX_NAMED:,} more that are no part of an ensemble"
        yield Finding("foreign file", message)
    for block in listing.without_record():
        if location.age(record_key(block)) is not None:  # the writer has finished meanwhile
            listing.mark(LEDGER, block)
        else:
            yield without_record(location, block, listing.chunks(block))
    for block, keys in sorted(listing.chunks_beyond.items()):
        yield without_record(location, block, keys)


def check_pages(location: Location, listing: Listing) -> Iterator[Finding]:
    """Compare the copies of records in pages of the ledger, where they are believed, with these."""
    blocks = np.flatnonzero(listing.of(LEDGER)).tolist()
    copied = (found for found in copied_texts(location, blocks) if found[1] is not None)
    compared = location.map(lambda found: (found[0], _differs(location, *found)), copied)
    for block, differs in compared:
        if differs:
            key = page_key(block)
            message = f"{key}: its copy of the record of block {block} is not that record"
            yield Finding("page", message, key)


def _differs(location: Location, block: int, copy: bytes | None) -> bool:
    """Return whether a copy is still believed, and wrong."""
    with suppress(FileNotFoundError, UnreadableError):
        if bytes(location.read(record_key(block))).strip() != copy:
            return believed(location, block).get(block) == copy
    return False


def without_record(location: Location, block: int, keys: list[str]) -> Finding:
    """Return the finding of data without a record: of a living writer, or left by a killed one."""
    ages = [age for key in keys if (age := location.age(key)) is not None]
    if ages and may_be_live(min(ages)):
        message = f"block {block}: data written {min(ages):.0f} s ago, and no record yet; a run "
        return Finding(UNFINISHED, message + "may be at it", keys[0], block=block)
    message = f"block {block}: no record, but {', '.join(keys)}: left by a killed writer"
    return Finding("left-over data", message, keys[0], block=block)


def check_block(location: Location, header: Header, block: int) -> tuple[list[Finding], str | None]:
    """Check one block that has a record; return what is wrong, or its content if nothing is."""
    key = record_key(block)
    try:
        record = parse_record(bytes(location.read(key)), header, block)
    except FileNotFoundError:  # dropped since it was listed
        return [], None
    except (UnreadableError, ValueError) as error:
        reason = getattr(error, "reason", error)
        return [Finding("record", f"block {block}: {key} {reason}", key, block=block)], None
    findings, arrays = [], {}
    for array in header.arrays:
        chunk = array.chunk_key(block)
        try:
            data = location.read(chunk, limit=chunk_bytes(array, header.block_size))
            arrays[array.name] = decode_chunk(array, header.block_size, record.rows, data)
            kind, fault = "values", wrong_values(array, arrays[array.name])
        except FileNotFoundError:
            kind, fault = "missing chunk", "is missing, though the block has a record"
        except UnreadableError as error:
            kind, fault = "truncated chunk", error.reason
        except ChunkError as error:
            kind, fault = error.kind, str(error)
        if fault is not None:
            message = f"array {array.name!r}, block {block}: {chunk} {fault}"
            findings.append(Finding(kind, message, chunk, array.name, block))
    if findings:
        return findings, None
    content = content_hash(record.start, header.arrays, arrays)
    contradiction = _contradiction(record, header, arrays, content)
    if contradiction:
        return [Finding("content", f"block {block}: {contradiction}", key, block=block)], None
    return [], content


def _contradiction(
    record: Record, header: Header, arrays: dict[str, Any], content: str
) -> str | None:
    """Return how the data of a block contradict its record."""
    signs = header.family.signs
    bits = [name for name in ("weights", f"{SNAPSHOT}weights") if signs and name in arrays]
    if not all(padding_is_zero(arrays[name], header.n_weights) for name in bits):
        return "bits beyond the last weight are set"
    if content != record.content:
        return f"data have content {content[:16]}…, the record says {record.content[:16]}…"
    if summary_of(arrays) != record.accuracy:
        return "the record's summary of the accuracy is not that of the data"
    return None
