"""Claims of a paper: what is measured for each, and by which criterion it holds.

A claim holds if a number lies in an interval.  The number has a standard error, and the interval is
written down with the claim, before anything is measured:

    reproduced      value ± z σ lies inside the interval,
    not reproduced  value ± z σ lies outside of it,
    undetermined    it reaches over a border, or value or error are unknown.

z is 2 where a claim names no other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import xarray

from lsg_ray.ensemble.reader import Ensemble
from lsg_ray.typing import JsonObject

Verdict: TypeAlias = Literal["reproduced", "not reproduced", "undetermined"]


class Measured(NamedTuple):
    """A number with its standard error, and what a reader should know of it.

    An error of NaN is unknown: the claim is undetermined.  Of a number without scatter, such as one
    that is computed exactly, it is 0.
    """

    value: float
    error: float
    note: str = ""


class Results(NamedTuple):
    """What a claim is measured from: results of the study, and ensembles, by name."""

    steps: Mapping[str, xarray.Dataset]
    ensembles: Mapping[str, Ensemble]


@dataclass(frozen=True)
class Within:
    """An interval that a number must lie in, by ``errors`` standard errors.

    >>> Within(low=0.5).verdict(Measured(0.9, 0.1)), Within(low=0.5).verdict(Measured(0.6, 0.1))
    ('reproduced', 'undetermined')
    >>> Within(0.2, 0.4).verdict(Measured(0.9, 0.1))
    'not reproduced'

    A number on a border, such as no case of what should occur, is on neither side:

    >>> Within(low=0.0).verdict(Measured(0.0, 0.0))
    'undetermined'
    """

    low: float = -math.inf
    high: float = math.inf
    errors: float = 2.0

    def verdict(self, measured: Measured) -> Verdict:
        """Return the verdict on a number."""
        value, margin = measured.value, self.errors * measured.error
        if not (math.isfinite(value) and math.isfinite(margin)):
            return "undetermined"
        if self.low < value - margin and value + margin < self.high:
            return "reproduced"
        outside = value + margin < self.low or value - margin > self.high
        return "not reproduced" if outside else "undetermined"

    def __str__(self) -> str:
        """Return the interval in words.

        >>> str(Within(low=0.5)), str(Within(0.2, 0.4, errors=3))
        ('above 0.5 by 2 σ', '0.2 to 0.4 by 3 σ')
        """
        if self.low == -math.inf:
            text = f"below {self.high:g}"
        elif self.high == math.inf:
            text = f"above {self.low:g}"
        else:
            text = f"{self.low:g} to {self.high:g}"
        return f"{text} by {self.errors:g} σ"


@dataclass(frozen=True)
class Claim:
    """A statement of a paper.

    Parameters
    ----------
    statement
        What is claimed, in one sentence.
    source
        Section, figure or equation where it stands.
    quantity
        Name of the number that decides.
    measure
        Function of `Results` that returns it.
    holds
        Interval that it must lie in.
    published
        Value in the paper, as text; empty if there is none.
    """

    statement: str
    source: str
    quantity: str
    measure: Callable[[Results], Measured]
    holds: Within
    published: str = ""

    def judged(self, results: Results, failed: Mapping[str, str]) -> JsonObject:
        """Return the claim with its number and verdict.

        ``failed``: why steps of the study have no result; a claim on one of them is undetermined.
        """
        try:
            measured = self.measure(results)
        except KeyError as error:
            name = str(error.args[0]) if error.args else ""
            if name not in failed:
                raise
            measured = Measured(math.nan, math.nan, f"{name}: {failed[name]}")
        known = math.isfinite(measured.value)
        return {
            "statement": self.statement,
            "source": self.source,
            "quantity": self.quantity,
            "published": self.published,
            "value": float(measured.value) if known else None,
            "error": float(measured.error) if math.isfinite(measured.error) else None,
            "criterion": str(self.holds),
            "verdict": self.holds.verdict(measured),
            "note": measured.note,
        }
