"""What experiments have found, in words, and what would settle the claims that are open."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from typing import NamedTuple

from lsg_ray.errors import InputError
from lsg_ray.experiments.catalogue import EXPERIMENTS
from lsg_ray.experiments.claim import Within
from lsg_ray.experiments.experiment import SCALES
from lsg_ray.typing import JsonObject

#: Verdicts in the order of a summary, and how they are counted in words.
_COUNTED = {
    "reproduced": ("is reproduced", "are reproduced"),
    "not reproduced": ("is not reproduced", "are not reproduced"),
    "undetermined": ("is undetermined", "are undetermined"),
}


class Settling(NamedTuple):
    """Why a claim is undetermined, and the command that would settle it; empty if none is known."""

    reason: str
    command: str


def counted(claims: Sequence[JsonObject]) -> str:
    """Return how many claims have which verdict, as a sentence.

    >>> counted([{"verdict": "reproduced"}, {"verdict": "undetermined"}, {"verdict": "reproduced"}])
    'Of 3 claims 2 are reproduced, none is not reproduced and 1 is undetermined.'
    """
    parts = []
    for verdict, (one, many) in _COUNTED.items():
        count = sum(claim["verdict"] == verdict for claim in claims)
        parts.append(f"{count} {many}" if count > 1 else f"{count or 'none'} {one}")
    total = f"{len(claims)} claims" if len(claims) != 1 else "one claim"
    return f"Of {total} {', '.join(parts[:-1])} and {parts[-1]}."


def settling(claim: JsonObject, about: JsonObject) -> Settling:
    """Return why a claim is undetermined and what would settle it.

    Parameters
    ----------
    claim
        Claim with its verdict, as `lsg_ray.run_experiment` returns it.
    about
        Experiment that it is of, likewise.
    """
    return Settling(_reason(claim, _interval(claim, about)), _command(about))


def _interval(claim: JsonObject, about: JsonObject) -> Within | None:
    """Return the interval of a claim, if it is still one of the experiment."""
    try:
        claims = EXPERIMENTS[str(about["name"])].claims
    except InputError:  # of a package that is not installed
        return None
    known = (one.holds for one in claims if one.statement == claim["statement"])
    return next((holds for holds in known if str(holds) == claim["criterion"]), None)


def _reason(claim: JsonObject, holds: Within | None) -> str:
    """Return why a claim is undetermined, as a sentence.

    >>> claim = {"value": 0.6, "error": 0.1, "criterion": "above 0.5 by 2 σ", "note": ""}
    >>> _reason(claim, Within(low=0.5))
    'The number is 1 σ from the border, 2 σ are needed: about 4 times the sample.'
    """
    value, error, note = claim["value"], claim["error"], str(claim.get("note") or "")
    if value is None or error is None:
        what = "number" if value is None else "error of the number"
        return f"The {what} is not known{f': {note}' if note else ''}."
    if holds is None:
        return "The number with its error reaches over a border of the criterion."
    gap = min(abs(value - border) for border in (holds.low, holds.high) if math.isfinite(border))
    if gap == 0 or error == 0:
        return "The number is on the border itself."
    factor = (holds.errors * error / gap) ** 2
    if factor <= 1:  # a wide error reaches over both borders
        return "The number with its error reaches over a border of the criterion."
    more = f"about {factor:.2g} times the sample" if factor < 100 else "too near for any sample"
    return (
        f"The number is {gap / error:.2g} σ from the border, {holds.errors:g} σ are needed: {more}."
    )


def _command(about: JsonObject) -> str:
    """Return the command of the next larger size; empty at the largest."""
    scale, name = about["scale"], str(about["name"])
    if scale not in SCALES[:-1]:
        return ""
    larger = SCALES[SCALES.index(scale) + 1]
    out = f"{name}-{larger}"
    return shlex.join(["lsg", "experiment", "run", name, "--scale", larger, "--out", out])
