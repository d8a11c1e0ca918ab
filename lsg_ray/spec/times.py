"""The times at which weights are stored while networks train: epochs, or steps as a named unit.

snapshots: [0, 1, 2, 5, 10]      # epochs; 0 is the start
snapshots: log:20                # 20 epochs or fewer, equally spaced in ln t, and 0
snapshots: {steps: [0, 10, 100]} # of the optimizer
snapshots: {steps: log:20}
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, WithJsonSchema

from lsg_ray.arrays import brief

Unit = Literal["epochs", "steps"]
#: Number of times that are stored, at most, and the latest of them.
MAX_TIMES = 1000
LATEST_TIME = 2**31 - 1


def _checked(value: Any) -> Any:
    """Return times by unit; a list, or log:N, is of epochs."""
    if value is None:
        return None
    by_unit = value if isinstance(value, Mapping) else {"epochs": value}
    if len(by_unit) != 1 or not {*by_unit} <= {"epochs", "steps"}:
        raise ValueError(
            f"{brief(by_unit)} given; a list of epochs, log:N, or {{steps: ...}} is needed"
        )
    unit, times = next(iter(by_unit.items()))
    if isinstance(times, str):
        if not (match := re.fullmatch(r"log:(\d{1,4})", times)):
            raise ValueError(f"{brief(times)} given; write log:N, such as log:20")
        if not 2 <= int(match[1]) <= MAX_TIMES:
            raise ValueError(f"{brief(times)} given; from 2 to {MAX_TIMES} times")
        return {unit: times}
    if not isinstance(times, (list, tuple)) or not all(type(t) is int for t in times):
        raise ValueError(f"{brief(times)} given; whole numbers of {unit} are needed")
    if not 1 <= len(times) <= MAX_TIMES:
        raise ValueError(f"{len(times)} times given; from 1 to {MAX_TIMES}")
    if sorted(set(times)) != list(times) or times[0] < 0 or times[-1] > LATEST_TIME:
        raise ValueError(f"{brief(list(times))} given; times ascend from 0, each once")
    return {unit: tuple(times)}


_TIMES = {"type": "array", "items": {"type": "integer", "minimum": 0}}
_SPACED = {"type": "string", "pattern": "^log:[0-9]+$"}
_BY_UNIT = {
    "type": "object",
    "minProperties": 1,
    "maxProperties": 1,
    "additionalProperties": False,
    "properties": {unit: {"anyOf": [_TIMES, _SPACED]} for unit in ("epochs", "steps")},
}
Snapshots = Annotated[
    dict[str, Any] | None,
    BeforeValidator(_checked),
    WithJsonSchema({"anyOf": [_TIMES, _SPACED, _BY_UNIT, {"type": "null"}]}),
]


def resolved(times: str | tuple[int, ...], last: int) -> tuple[int, ...]:
    """Return times as numbers, where training ends at ``last``.

    >>> resolved("log:6", 50)
    (0, 1, 3, 7, 19, 50)
    """
    if not isinstance(times, str):
        return times
    count = int(times.removeprefix("log:"))
    spaced = np.rint(np.geomspace(1, last, count - 1)).astype(int)
    return tuple(dict.fromkeys([0, *spaced.tolist()]))
