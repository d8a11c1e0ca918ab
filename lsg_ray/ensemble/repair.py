"""Repair of a store: blocks that are damaged are dropped, and what is left over is deleted."""

from __future__ import annotations

from dataclasses import replace

from lsg_ray.ensemble.checks import check_block, without_record
from lsg_ray.ensemble.findings import BLOCK_KINDS, UNFINISHED, Finding, Findings, HealthyBlocks
from lsg_ray.ensemble.header import Header, documents, read_header
from lsg_ray.ensemble.ledger import record_key
from lsg_ray.ensemble.location import Location
from lsg_ray.ensemble.refusals import StoreAccessError
from lsg_ray.ensemble.writer import drop_block, may_be_live, write_metadata
from lsg_ray.errors import StoreError


class Repair:
    """One repair of a store; each finding is checked again before anything is removed."""

    def __init__(self, location: Location, header: Header, healthy: HealthyBlocks) -> None:
        self._location, self._header, self._healthy = location, header, healthy
        self._dropped: set[int] = set()

    def run(self, findings: Findings) -> None:
        """Drop what is damaged and delete what is left over; mark the findings."""
        outcomes = (self._attempt(finding) for finding in findings.named)
        findings.named = [finding for finding in outcomes if finding is not None]
        for kind, blocks in findings.others.items():
            repaired = True
            for block in blocks:
                outcome = self._attempt(Finding(kind, "", block=block))
                repaired &= outcome is None or outcome.repaired
            if repaired:
                findings.repaired.add(kind)

    def _attempt(self, finding: Finding) -> Finding | None:
        """Return what remains of a finding after its repair; None if nothing."""
        try:
            return self._repaired(finding)
        except StoreAccessError:
            raise
        except StoreError as error:  # a folder in place of a file
            message = f"{finding.message}; {error}: remove it yourself, then repair again"
            return replace(finding, message=message)

    def _repaired(self, finding: Finding) -> Finding | None:
        location, header = self._location, self._header
        block, key = finding.block, finding.key
        if finding.kind in (UNFINISHED, "foreign file"):
            return finding
        if read_header(location).count != header.count:
            return replace(finding, message=f"{finding.message}; the ensemble grew: verify again")
        if finding.kind in BLOCK_KINDS and block is not None:
            return self._without_block(finding, block)
        if finding.kind == "left-over data" and block is not None:
            return self._without_data(finding, block)
        if finding.kind == "left-over file" and key is not None:
            age = location.age(key)
            if age is not None and may_be_live(age):
                return replace(finding, kind=UNFINISHED)
            location.delete(key)
        elif finding.kind == "page" and key is not None:
            location.delete(key)
        elif finding.kind == "metadata":
            write_metadata(location, documents(header))
        else:
            return finding
        return replace(finding, repaired=True)

    def _without_block(self, finding: Finding, block: int) -> Finding | None:
        """Drop a damaged block, unless it is whole by now."""
        if block not in self._dropped:
            if block < self._header.n_blocks:
                faults, content = check_block(self._location, self._header, block)
                if content is not None:
                    self._healthy.add(self._header.rows(block), content)
                if not faults:
                    return None
            drop_block(self._location, self._header, block)
            self._dropped.add(block)
        return replace(finding, repaired=True)

    def _without_data(self, finding: Finding, block: int) -> Finding | None:
        """Delete the chunks of a block without a record, unless a run may be writing it."""
        location = self._location
        if location.age(record_key(block)) is not None:
            return None
        keys = [array.chunk_key(block) for array in self._header.arrays]
        now = without_record(location, block, keys)
        if now.kind == UNFINISHED:
            return now
        for chunk in keys:
            location.delete(chunk)
        # A record that appeared in the meantime would now be of a block without data.
        location.delete(record_key(block))
        return replace(finding, repaired=True)
