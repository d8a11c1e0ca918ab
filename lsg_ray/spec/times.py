"""The times at which weights are kept while networks train: epochs, or steps as a named unit.

snapshots: [0, 1, 2, 5, 10]      # epochs; 0 is the start
snapshots: log:20                # 20 epochs or fewer, equally spaced in ln t, and 0
snapshots: {steps: [0, 10, 100]} # of the optimizer
snapshots: {steps: log:20}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, WithJsonSchema

from lsg_ray.arrays import brief

Unit = Literal["epochs", "steps"]
#: Most times that are kept.
MOST = 1000
#: Latest time.
LATEST = 2**31 - 1


def _checked(given: Any) -> Any:
    """Return times by unit; a list, or log:N, is of epochs."""
    if given is None:
        return None
    given = given if isinstance(given, Mapping) else {"epochs": given}
    if not isinstance(given, Mapping) or len(given) != 1 or not {*given} <= {"epochs", "steps"}:
        raise ValueError(
            f"{brief(given)} given; a list of epochs, log:N, or {{steps: ...}} is needed"
        )
    unit, times = next(iter(given.items()))
    if isinstance(times, str):
        count = times.removeprefix("log:")
        if times == count or not count.isdecimal() or not 2 <= len(count) + 1 <= 5:
            raise ValueError(f"{brief(times)} given; write log:N, such as log:20")
        if not 2 <= int(count) <= MOST:
            raise ValueError(f"{brief(times)} given; from 2 to {MOST} times")
        return {unit: times}
    if not isinstance(times, (list, tuple)) or not all(type(t) is int for t in times):
        raise ValueError(f"{brief(times)} given; whole numbers of {unit} are needed")
    if not 1 <= len(times) <= MOST:
        raise ValueError(f"{len(times)} times given; from 1 to {MOST}")
    if sorted(set(times)) != list(times) or times[0] < 0 or times[-1] > LATEST:
        raise ValueError(f"{brief(list(times))} given; times ascend from 0, each once")
    return {unit: tuple(times)}


_TIMES = {"type": "array", "items": {"type": "integer", "minimum": 0}}
_SPACED = {"type": "string", "pattern": "^log:[0-9]+$"}
_BY_UNIT = {
    "type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": False,
    "properties": {unit: {"anyOf": [_TIMES, _SPACED]} for unit in ("epochs", "steps")},
}  # fmt: skip
Snapshots = Annotated[
    dict[str, Any] | None,
    BeforeValidator(_checked),
    WithJsonSchema({"anyOf": [_TIMES, _SPACED, _BY_UNIT, {"type": "null"}]}),
]


def resolved(given: str | tuple[int, ...], last: int) -> tuple[int, ...]:
    """Return times as numbers, where training ends at ``last``.

    >>> resolved("log:6", 50)
    (0, 1, 3, 7, 19, 50)
    """
    if not isinstance(given, str):
        return given
    count = int(given.removeprefix("log:"))
    spaced = np.rint(np.geomspace(1, last, count - 1)).astype(int)
    return tuple(dict.fromkeys([0, *spaced.tolist()]))
