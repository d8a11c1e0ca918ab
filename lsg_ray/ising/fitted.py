"""Declaration and result of a method of fitting, and how far a model is from the data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np

from lsg_ray.ising.targets import Target
from lsg_ray.typing import Floats, Positive, Threads

#: Δ, and the root mean squares for m and for C.
Deviation = tuple[float, float, float]


class FitOptions(Threads, total=False):
    """Options of every method of fitting: also the time of the fit in seconds."""

    seconds: Positive | None


class Fitted(NamedTuple):
    """Result of a method: J, h of the free weights; whether it converged; steps; history.

    deviation: Δ and the root mean squares for m and C, by the method's own measure, if it has one;
    history: by name, one number for each recorded step, with ``step`` among them; extra: further
    entries of the report, such as ``reason``, why the fit has not converged.
    """

    J: Floats
    h: Floats
    converged: bool
    iterations: int
    deviation: Deviation | None
    history: dict[str, list[float]]
    extra: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class FitMethod:
    """A method of fitting that an installed package declares.

    name: in `fit_boltzmann`, commands and studies; run: called with a `Target` without frozen
    weights and the keyword arguments seconds, seed, threads and progress, and options of its own;
    reads: ``moments``, or ``configurations`` where it also needs these, as the keyword argument
    source; check: share of the time of fit and check that the check takes, about, for progress.
    """

    name: str
    run: Callable[..., Fitted]
    reads: Literal["moments", "configurations"] = "moments"
    check: float = 0.5


def deviation(m: Floats, C: Floats, target: Target) -> Deviation:
    """Return Δ = sqrt(mean Δm² + mean_{i≠j} ΔC²), and the two root mean squares.

    Examples
    --------
    >>> target = Target(np.zeros(2), np.eye(2))
    >>> deviation(np.array([0.3, 0.3]), np.array([[1, 0.4], [0.4, 1]]), target)
    (0.5, 0.3, 0.4)
    """
    n = len(m)
    off = C - target.C
    np.fill_diagonal(off, 0.0)
    rms_m = float(np.sqrt(np.mean((m - target.m) ** 2)))
    rms_C = float(np.sqrt((off**2).sum() / (n * (n - 1))))
    return round(float(np.hypot(rms_m, rms_C)), 15), rms_m, rms_C
