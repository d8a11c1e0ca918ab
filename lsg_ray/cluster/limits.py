"""CPUs and memory that this process may use: affinity, and the limits of its container.

A container that is limited to two CPUs still sees all of its machine: a worker for each would slow
all of them down, and their memory would not be there.  Linux tells of the limits in its cgroups,
version 2 (``cpu.max``, ``memory.max``) or 1 (``cpu.cfs_quota_us``, ``memory.limit_in_bytes``), of
which each holds for all below it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

#: Where Linux mounts its cgroups, and tells in which ones a process is.
CGROUPS, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
_MEMORY = Path("/proc/meminfo")


def available_cpus() -> int:
    """Return how many CPUs this process may use, at least 1: a part of one counts as one."""
    allowed, quota = allowed_cpus(), cpu_quota()
    return allowed if quota is None else max(1, min(allowed, int(-(-quota // 1))))


def allowed_cpus() -> int:
    """Return the number of CPUs by affinity: of ``taskset``, a scheduler's job, or all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_quota() -> float | None:
    """Return the CPUs that the cgroups of this process grant, such as 1.5; None without a limit."""
    quotas = []
    for folder in _folders("cpu"):
        quota, period = [*_words(folder / "cpu.max"), "", ""][:2]
        if not quota:
            quota = "".join(_words(folder / "cpu.cfs_quota_us"))
            period = "".join(_words(folder / "cpu.cfs_period_us"))
        if quota.isdigit() and period.isdigit() and int(period) > 0:  # "max" and -1 are no limit
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def available_memory() -> int | None:
    """Return the bytes that are free to this process; None where the system does not tell."""
    free = []
    for folder in _folders("memory"):
        limit = "".join(_words(folder / "memory.max") or _words(folder / "memory.limit_in_bytes"))
        used = "".join(
            _words(folder / "memory.current") or _words(folder / "memory.usage_in_bytes")
        )
        if limit.isdigit() and used.isdigit():
            # Files that were read count as used, and are given up when memory is needed.
            free.append(max(0, int(limit) - int(used) + _inactive_files(folder)))
    words = _words(_MEMORY)
    if "MemAvailable:" in words:
        free.append(1024 * int(words[words.index("MemAvailable:") + 1]))
    return min(free, default=None)


def _inactive_files(folder: Path) -> int:
    words = _words(folder / "memory.stat")
    for name in ("total_inactive_file", "inactive_file"):
        if name in words:
            return int(words[words.index(name) + 1])
    return 0


def _folders(controller: str) -> Iterator[Path]:
    """Yield the folders of the cgroups of this process, from its own to the root.

    In a container the path in ``/proc`` may be that of the host; its own root is then what counts.
    """
    try:
        lines = OWN.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and controller not in controllers.split(","):
            continue
        root = CGROUPS / controllers if controllers else CGROUPS
        if controllers and not root.is_dir():  # cpu,cpuacct is mounted by one of its names, too
            root = CGROUPS / controller
        own = Path(path.lstrip("/"))
        for within in (own, *own.parents):
            yield root / within


def _words(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return []
