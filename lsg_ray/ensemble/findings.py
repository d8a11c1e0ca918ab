"""What `verify` reports: each fault of a store, and a summary."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from lsg_ray.ensemble.content import EMPTY, combine
from lsg_ray.ensemble.listing import MAX_NAMED
from lsg_ray.typing import JsonObject

#: Findings that are repaired by sampling the block again.
BLOCK_KINDS = ("missing chunk", "truncated chunk", "flipped bits", "values", "content", "record")
#: What a running writer may be about to complete: reported, and no fault.
UNFINISHED = "unfinished"
#: A header of an earlier version, or of a stranger: whether it has changed is unknown.
UNVERIFIED = "unverified header"
#: What is reported, and is no fault.
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
        """Whether it is reported, and is no fault."""
        return self.kind in NOTES


@dataclass(frozen=True)
class VerifyReport:
    """What `verify` found.

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


class Findings:
    """What is wrong: up to `MAX_NAMED` of each kind, and of the others what repair must know."""

    def __init__(self) -> None:
        self.named: list[Finding] = []
        self._number: Counter[str] = Counter()
        #: By kind, the blocks of findings that are not named.
        self.others: dict[str, list[int | None]] = defaultdict(list)
        self.repaired: set[str] = set()

    def add(self, findings: Iterable[Finding]) -> None:
        """Note findings."""
        for finding in findings:
            kind, others = finding.kind, self.others
            self._number[kind] += kind != "foreign file"  # of which a part is listed only
            if self._number[kind] <= MAX_NAMED:
                self.named.append(finding)
            elif others[kind][-1:] != [finding.block]:
                others[kind].append(finding.block)

    def listed(self) -> Iterator[Finding]:
        """Yield the findings, and for each kind how many more there are."""
        yield from self.named
        for kind in self.others:
            more = f"{self._number[kind] - MAX_NAMED:,} more"
            yield Finding(kind, more, repaired=kind in self.repaired)


class HealthyBlocks:
    """Number and content of the blocks that are whole."""

    def __init__(self) -> None:
        self.blocks = self.rows = 0
        self.content = EMPTY

    def add(self, rows: int, content: str) -> None:
        """Count a block, and add its content."""
        self.blocks += 1
        self.rows += rows
        self.content = combine((self.content, content))
