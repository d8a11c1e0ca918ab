"""One line of `lsg doctor`, and all of them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

from lsg_ray.errors import LsgError

#: What a check finds: in order; not there, and not needed; works, but slower or not everywhere;
#: keeps the package from working.
State = Literal["ok", "absent", "warning", "problem"]


class Check(NamedTuple):
    """What was looked at, what was seen, and what to do about it.

    remedy: empty where there is nothing to do.
    """

    name: str
    state: State
    seen: str
    remedy: str = ""


def examine(*, ray: bool = False, measure: bool = False) -> Iterator[Check]:
    """Yield what is found, in the order in which it is shown.

    Parameters
    ----------
    ray
        Whether a private Ray is started, and stopped: some seconds.
    measure
        Whether the speed of this machine is measured: some seconds.

    Notes
    -----
    Costs about a second of a core, for the import of numba and the hashes of data sets.
    """
    from lsg_ray.doctor import clusters, installation, machine, storage

    installed = installation.packages()
    broken = any(check.state == "problem" for check in installed)
    yield from installed
    parts: list[tuple[str, Callable[[], Sequence[Check]]]] = [
        ("extras", installation.extras),
        ("processor", machine.processor),
        ("threads", machine.threads),
        ("memory", machine.memory),
        ("open files", machine.open_files),
        ("GPU", machine.gpu),
        ("compiled kernels", storage.compiled_kernels),
        ("data sets", storage.data_sets),
        ("disks", storage.disks),
        ("environment", storage.credentials),
        ("Ray", lambda: clusters.of_ray(start=ray)),
    ]
    if measure:
        from lsg_ray.doctor import measured

        parts.append(("speed", measured.speed))
    for name, look in parts:
        try:
            yield from look()
        except MemoryError:
            raise
        except Exception as error:  # what is examined may be broken in any way
            kind = "" if isinstance(error, LsgError) else f"{type(error).__name__}: "
            reason = " ".join(f"{kind}{error}".split())[:300]
            remedy = "install the packages above first" if broken else ""
            yield Check(name, "problem", f"cannot be examined: {reason}", remedy)


def whole_number(name: str) -> str | None:
    """Return a variable of the environment as it may be shown: a number, or that it is none."""
    value = os.environ.get(name)
    if value is None:
        return None
    return value if re.fullmatch(r"[0-9]{1,6}", value) else "not a number"


def size(n_bytes: float) -> str:
    """Return a number of bytes for people.

    >>> size(3 * 2**30), size(5 * 2**20), size(100)
    ('3.0 GiB', '5 MiB', '0 MiB')
    """
    gib = n_bytes / 2**30
    return f"{gib:,.1f} GiB" if gib >= 1 else f"{n_bytes / 2**20:,.0f} MiB"
