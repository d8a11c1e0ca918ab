"""Packages: versions, and what the metadata of lsg-ray ask for.

Everything is read from the metadata of installed packages: nothing is imported.
"""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import NamedTuple

from lsg_ray import __version__
from lsg_ray.doctor.check import Check

DISTRIBUTION = "lsg-ray"
#: Packages whose version matters to results or to stores, for ``lsg --version``.
SHOWN = ("numpy", "numba", "torch", "zarr", "dask", "ray")
#: What an extra is for; those of developers are not shown.
EXTRAS = {
    "cluster": "lsg submit, lsg jobs",
    "exchange": "parquet, nc, safetensors, graphml, bqm",
    "explore": "lsg explore",
    "gpu": "training.engine: cuda",
    "parquet": "data sets of Parquet",
    "docs": "deploy/reference.py",
}
#: Name, extras, least version (if any), and condition of a requirement.
_REQUIREMENT = re.compile(
    r"\s*([A-Za-z0-9._-]+)\s*(?:\[([^\]]*)\])?\s*\(?(?:>=\s*([0-9.]+))?[^;]*\)?\s*(?:;(.*))?"
)
_EXTRA = re.compile(r"extra\s*==\s*['\"]([^'\"]+)['\"]")
_SYSTEM = re.compile(r"sys_platform\s*==\s*['\"]([^'\"]+)['\"]")


class Requirement(NamedTuple):
    """A package that another one needs: at least which version, for which extra, if for one."""

    name: str
    least: str | None
    extra: str | None
    extras: tuple[str, ...] = ()


def versions() -> dict[str, str | None]:
    """Return versions of what matters, by name; None for what is not installed."""
    return {
        DISTRIBUTION: __version__,
        "python": platform.python_version(),
        **{name: version_of(name) for name in SHOWN},
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def version_of(name: str) -> str | None:
    """Return the version of an installed package, without importing it; None if it is not."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def packages() -> Sequence[Check]:
    """Return whether all that lsg-ray needs is there, and is not too old."""
    python = platform.python_version()
    shown = ", ".join(f"{name} {version_of(name) or 'missing'}" for name in SHOWN)
    remedy = f"{sys.executable} -m pip install --upgrade {DISTRIBUTION}"
    needed = requirements()
    if needed is None:
        seen = f"lsg-ray {__version__} is not installed, only on the path; {shown}"
        return [Check("packages", "warning", seen, "pip install . in its folder")]
    faults = [fault for each in needed if each.extra is None and (fault := _fault(each))]
    seen = f"lsg-ray {__version__}, Python {python}, {shown}"
    if not faults:
        return [Check("packages", "ok", seen)]
    return [Check("packages", "problem", f"{seen}; {', '.join(faults)}", remedy)]


def extras() -> Sequence[Check]:
    """Return which extras are there, and how the others are installed."""
    needed = requirements() or ()
    checks = []
    for extra, use in EXTRAS.items():
        own = [each for each in needed if each.extra == extra]
        if not own:
            continue
        faults = [fault for each in own if (fault := _fault(each, deep=True))]
        if not faults:
            checks.append(Check(f"extra {extra}", "ok", f"installed: {use}"))
            continue
        seen = f"for {use}: {', '.join(faults)}"
        remedy = f"pip install '{DISTRIBUTION}[{extra}]'"
        checks.append(Check(f"extra {extra}", "absent", seen, remedy))
    return checks


def requirements(of: str = DISTRIBUTION) -> tuple[Requirement, ...] | None:
    """Return what an installed package asks for on this system; None if it is not installed."""
    try:
        listed = metadata.requires(of) or ()
    except metadata.PackageNotFoundError:
        return None
    read = (parsed(line) for line in listed)
    return tuple(each for each in read if each is not None)


def parsed(line: str) -> Requirement | None:
    """Return a requirement of metadata; None if it is not one of this system.

    >>> parsed("dask[array]>=2025.1")
    Requirement(name='dask', least='2025.1', extra=None, extras=('array',))
    >>> parsed('ray[default]>=2.59; extra == "cluster"')[:3]
    ('ray', '2.59', 'cluster')
    >>> parsed('x>=1; sys_platform == "none" and extra == "gpu"') is None
    True
    """
    found = _REQUIREMENT.match(line)
    if found is None:
        return None
    name, extras, least, condition = found.groups()
    system = _SYSTEM.search(condition or "")
    if system is not None and system[1] != sys.platform:
        return None
    extra = _EXTRA.search(condition or "")
    parts = tuple(part.strip() for part in (extras or "").split(",") if part.strip())
    return Requirement(name, least, extra[1] if extra else None, parts)


def numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version, to be compared.

    >>> numbers("2.60.0+cpu") > numbers("2.9"), numbers("1.2rc1")
    (True, (1, 2))
    """
    found = re.match(r"[0-9]+(?:\.[0-9]+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()


def _fault(needed: Requirement, deep: bool = False) -> str:
    """Return what is wrong with a package, or nothing; deep: with those of its extras, too."""
    there = version_of(needed.name)
    if there is None:
        return f"{needed.name} is not installed"
    if needed.least is not None and numbers(there) < numbers(needed.least):
        return f"{needed.name} {there} is older than {needed.least}"
    if deep and needed.extras:
        for each in requirements(needed.name) or ():
            if each.extra in needed.extras and version_of(each.name) is None:
                return f"{each.name} is not installed"
    return ""
