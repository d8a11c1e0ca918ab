"""Metrics of workers for Prometheus: counters of accepted configurations, trials, blocks and bytes.

Ray's agent on each node collects them and exports each as ``ray_NAME``, one series a process, on
the node's metrics port; without an agent they go nowhere.  The acceptance rate is the ratio of two
of them over a window, which is for the query to take: see ``deploy/monitoring``.
"""

from __future__ import annotations

import contextlib
import sys
from functools import cache
from typing import Any

#: Name of each counter, and what it counts.
METRICS = {
    "lsg_configurations_accepted_total": "Configurations written to stores.",
    "lsg_trials_total": "Trials behind these configurations, accepted and rejected.",
    "lsg_blocks_done_total": "Blocks completed.",
    "lsg_bytes_written_total": "Bytes of chunks and records written to stores.",
}


def record_block(rows: int, trials: int, bytes_written: int) -> None:
    """Count a block that this process has completed.

    Costs microseconds, does nothing where no Ray runs, and never fails: a metric is no reason to
    lose a block.

    Parameters
    ----------
    rows, trials
        Number of configurations of the block, and of trials it took; 0 rows, as of a block that
        another driver has completed first, count as nothing.
    bytes_written
        Number of bytes that went to the store.
    """
    ray = sys.modules.get("ray")  # without Ray in the process nobody collects
    if rows <= 0 or ray is None:
        return
    with contextlib.suppress(Exception):
        if ray.is_initialized():
            amounts = (rows, trials, 1, bytes_written)
            for counter, amount in zip(_counters(), amounts, strict=True):
                if amount > 0:
                    counter.inc(amount)


@cache
def _counters() -> tuple[Any, ...]:
    """Make the counters, once per process."""
    from ray.util.metrics import Counter

    return tuple(Counter(name, description) for name, description in METRICS.items())
