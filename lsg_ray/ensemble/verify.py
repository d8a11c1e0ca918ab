"""Is every block whole?  Reads everything, names what is wrong, and can make room for a refill.

What is found, and what `verify(repair=True)` does about it:

==================  ===========================================  ================================
kind                meaning                                      repair
==================  ===========================================  ================================
missing chunk       a complete block lacks a chunk               block dropped, resume refills it
truncated chunk     a chunk has another length                   block dropped
flipped bits        a chunk fails its checksum                   block dropped
content             data differ from the record's content hash   block dropped
values              NaN, or a number that cannot be              block dropped
record              a record is unreadable or contradicts        block dropped
left-over data      old chunks of a block without a record       chunks deleted
left-over file      old staged file of a killed writer           file deleted
unfinished          the same, of the last `LIVE_SECONDS`         none: a run may be at it
metadata            an array's document is missing or altered    written again from the header
metadata            the header itself is damaged                 none: restore it or start anew
unverified header   it has no digest that would tell damage      none: compare it with what you know
foreign file        not ours                                     none: only named
==================  ===========================================  ================================

A block is dropped record first, so that a kill in between leaves it missing and not half there.
Blocks that were never sampled are no finding: an incomplete store can be healthy.  Both verifying
and repairing may go on beside a running writer: before anything is called damaged, and again before
it is removed, it is looked at anew, and what was written lately without a record is left alone.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from lsg_ray.arrays import public
from lsg_ray.ensemble.block import wrong_values
from lsg_ray.ensemble.chunks import ChunkError, chunk_bytes, decode_chunk
from lsg_ray.ensemble.content import EMPTY, combine, content_hash
from lsg_ray.ensemble.header import Header, documents, read_header, same_metadata
from lsg_ray.ensemble.ledger import Record, parse_record, record_key, summary_of
from lsg_ray.ensemble.listing import MAX_NAMED, Listing
from lsg_ray.ensemble.location import Location, UnreadableError, locate
from lsg_ray.ensemble.parsing import parse_json
from lsg_ray.ensemble.remote import PlaceError
from lsg_ray.ensemble.schema import LEDGER, ROOT, SNAPSHOT, padding_is_zero
from lsg_ray.ensemble.writer import drop_block, may_be_live, write_metadata
from lsg_ray.errors import StoreError, StoreInputError
from lsg_ray.typing import JsonObject, Progress

#: Findings that are repaired by sampling the block again.
BLOCK_KINDS = ("missing chunk", "truncated chunk", "flipped bits", "values", "content", "record")
#: What a running writer may be about to complete: told, and no fault.
UNFINISHED = "unfinished"
#: A header of an earlier version, or of a stranger: nobody can tell whether it has changed.
UNVERIFIED = "unverified header"
#: What is told, and is no fault.
NOTES = (UNFINISHED, UNVERIFIED)


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: its kind, where it is, and what was done about it."""

    kind: str
    message: str
    key: str | None = None
    array: str | None = None
    block: int | None = None
    repaired: bool = False

    @property
    def is_note(self) -> bool:
        """Whether it is told, and is no fault."""
        return self.kind in NOTES


@dataclass(frozen=True)
class VerifyReport:
    """What `verify` saw.

    Parameters
    ----------
    url
        The store.
    findings
        Everything that is wrong.
    blocks, healthy, missing
        Blocks planned, complete and whole, and to be sampled (with those that repair dropped).
    rows
        Configurations in healthy blocks.
    content_hash
        Content of the healthy blocks, computed from the data.
    """

    url: str
    findings: tuple[Finding, ...]
    blocks: int = 0
    healthy: int = 0
    missing: int = 0
    rows: int = 0
    content_hash: str | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong now: no finding, or all were repaired or are notes."""
        return all(finding.repaired or finding.is_note for finding in self.findings)

    @property
    def sound(self) -> bool:
        """Whether every complete block is whole, left-overs and foreign files aside.

        A run that was killed and resumed is sound; the killed writer's staged file stays until
        repair.
        """
        harmless = (*NOTES, "left-over data", "left-over file", "foreign file")
        return all(finding.repaired or finding.kind in harmless for finding in self.findings)

    def to_dict(self) -> JsonObject:
        """Return the report as plain JSON."""
        return {"ok": self.ok, "sound": self.sound, **asdict(self)}


@public
def verify(
    url: str | os.PathLike[str], *, repair: bool = False, progress: Progress | None = None
) -> VerifyReport:
    """Check a store: every record, every chunk, every content hash, every file.

    Parameters
    ----------
    url
        The store.
    repair
        Remove what is damaged or left over so that a resumed run refills it.  Healthy blocks and
        foreign files are never touched.
    progress
        Called with blocks done and blocks to do.

    Raises
    ------
    StoreInputError
        There is no store, or it is of another format version.
    StoreError
        The place cannot be read or, for repair, written.

    Notes
    -----
    Reads all data once, one block in memory: about 3 ms for 1,000 configurations of 675 weights.
    """
    location = locate(url)
    try:
        header = read_header(location)
    except StoreError as error:
        foreign = isinstance(error, StoreInputError) and not _is_headless(location)
        if foreign or isinstance(error, PlaceError):
            raise
        return VerifyReport(location.url, (Finding("metadata", str(error), ROOT),))
    listing = Listing(location, header)
    findings = _Findings()
    findings.add(_check_metadata(location, header))
    findings.add(_check_keys(location, header, listing))
    listed = np.flatnonzero(listing.of(LEDGER)).tolist()
    checks = location.map(lambda block: _check_twice(location, header, block), listed)
    whole = _Whole()
    for done, (block, (faults, content)) in enumerate(zip(listed, checks, strict=True), 1):
        findings.add(faults)
        if content is not None:
            whole.add(header.rows(block), content)
        if progress is not None:
            progress(done, len(listed))
    if repair:
        _repair(location, header, findings, whole)
    return VerifyReport(
        url=location.url,
        findings=tuple(findings.told()),
        blocks=header.n_blocks,
        healthy=whole.blocks,
        missing=header.n_blocks - (whole.blocks if repair else len(listed)),
        rows=whole.rows,
        content_hash=whole.content,
    )


class _Findings:
    """What is wrong: so many of each kind by name, and of the others what repair must know."""

    def __init__(self) -> None:
        self.named: list[Finding] = []
        self._number: Counter[str] = Counter()
        #: By kind, the blocks of findings that are not named.
        self.others: dict[str, list[int | None]] = defaultdict(list)
        self.repaired: set[str] = set()

    def add(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            kind, others = finding.kind, self.others
            self._number[kind] += kind != "foreign file"  # of which a part is listed only
            if self._number[kind] <= MAX_NAMED:
                self.named.append(finding)
            elif others[kind][-1:] != [finding.block]:
                others[kind].append(finding.block)

    def told(self) -> Iterator[Finding]:
        yield from self.named
        for kind in self.others:
            more = f"{self._number[kind] - MAX_NAMED:,} more"
            yield Finding(kind, more, repaired=kind in self.repaired)


class _Whole:
    """Counts the blocks that are whole, and adds up their content."""

    def __init__(self) -> None:
        self.blocks = self.rows = 0
        self.content = EMPTY

    def add(self, rows: int, content: str) -> None:
        self.blocks += 1
        self.rows += rows
        self.content = combine((self.content, content))


def _is_headless(location: Location) -> bool:
    """Return whether this was one of our stores before its root document was lost or garbled."""
    try:
        location.read(f"{LEDGER}/{ROOT}")
    except (FileNotFoundError, UnreadableError):
        return False
    try:
        document = parse_json(location.read(ROOT))
    except (FileNotFoundError, UnreadableError, ValueError):
        return True
    attributes = document.get("attributes") if isinstance(document, dict) else None
    return not isinstance(attributes, dict) or "format" not in attributes


def _check_metadata(location: Location, header: Header) -> list[Finding]:
    findings = []
    if not header.verified:
        message = f"{ROOT} has no digest: whether it is as it was written cannot be told"
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


def _check_keys(location: Location, header: Header, listing: Listing) -> Iterator[Finding]:
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
            yield _without_record(location, block, listing.chunks(block))
    for block, keys in sorted(listing.chunks_beyond.items()):
        yield _without_record(location, block, keys)


def _without_record(location: Location, block: int, keys: list[str]) -> Finding:
    """Tell data that a living writer may have written from what a killed one left behind."""
    ages = [age for key in keys if (age := location.age(key)) is not None]
    if ages and may_be_live(min(ages)):
        message = f"block {block}: data written {min(ages):.0f} s ago, and no record yet; a run "
        return Finding(UNFINISHED, message + "may be at it", keys[0], block=block)
    message = f"block {block}: no record, but {', '.join(keys)}: left by a killed writer"
    return Finding("left-over data", message, keys[0], block=block)


def _check_twice(
    location: Location, header: Header, block: int
) -> tuple[list[Finding], str | None]:
    """Check a block, and again before it is called damaged: a writer may be just there."""
    faults, content = _check_block(location, header, block)
    return _check_block(location, header, block) if faults else (faults, content)


def _check_block(
    location: Location, header: Header, block: int
) -> tuple[list[Finding], str | None]:
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
    contradiction = _compare(record, header, arrays, content)
    if contradiction:
        return [Finding("content", f"block {block}: {contradiction}", key, block=block)], None
    return [], content


def _compare(record: Record, header: Header, arrays: dict[str, Any], content: str) -> str | None:
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


def _repair(location: Location, header: Header, findings: _Findings, whole: _Whole) -> None:
    """Drop what is damaged and delete what is left over; mark the findings."""
    dropped: set[int] = set()

    def mended(finding: Finding) -> Finding | None:
        try:
            return _mend(location, header, finding, dropped, whole)
        except PlaceError:
            raise
        except StoreError as error:  # a folder in the place of a file
            message = f"{finding.message}; {error}: remove it yourself, then repair again"
            return replace(finding, message=message)

    findings.named = [done for one in findings.named if (done := mended(one)) is not None]
    for kind, blocks in findings.others.items():
        done_all = True
        for block in blocks:
            done = mended(Finding(kind, "", block=block))
            done_all &= done is None or done.repaired
        if done_all:
            findings.repaired.add(kind)


def _mend(
    location: Location, header: Header, finding: Finding, dropped: set[int], whole: _Whole
) -> Finding | None:
    """Look again, do what is to be done, and return what remains to be told; None if nothing."""
    block, key = finding.block, finding.key
    done = replace(finding, repaired=True)
    if finding.kind in (UNFINISHED, "foreign file"):
        return finding
    if read_header(location).count != header.count:
        return replace(finding, message=f"{finding.message}; the ensemble grew: verify again")
    if finding.kind in BLOCK_KINDS and block is not None:
        if block not in dropped:
            if block < header.n_blocks:
                faults, content = _check_block(location, header, block)
                if content is not None:
                    whole.add(header.rows(block), content)
                if not faults:
                    return None
            drop_block(location, header, block)
            dropped.add(block)
        return done
    if finding.kind == "left-over data" and block is not None:
        if location.age(record_key(block)) is not None:
            return None
        keys = [array.chunk_key(block) for array in header.arrays]
        now = _without_record(location, block, keys)
        if now.kind == UNFINISHED:
            return now
        for chunk in keys:
            location.delete(chunk)
        # A record that appeared in the meantime would now be of a block without data.
        location.delete(record_key(block))
        return done
    if finding.kind == "left-over file" and key is not None:
        age = location.age(key)
        if age is not None and may_be_live(age):
            return replace(finding, kind=UNFINISHED)
        location.delete(key)
        return done
    if finding.kind == "metadata":
        write_metadata(location, documents(header))
        return done
    return finding
