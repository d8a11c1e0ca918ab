"""What a stage says of a result: sentences with numbers and errors, and what is left open.

    def _findings(result):
        about = result.attrs
        text = f"The entropy per weight is {with_error(about['s'], about['s_stderr'])} nat."
        open_ = "" if about["converged"] else "the chains have not converged"
        return [Finding(text, open_, {"burn_in": Times(4), "draws": Times(4)})]

    STAGE = Stage("thermo", thermodynamics, ..., findings=_findings)

Reports begin with the findings of all steps, then list those that are open, each with the command
that would settle it.  A stage without a function of its own has one finding, made of its summary.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from numbers import Real
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

import numpy as np

from lsg_ray.typing import JsonObject

#: Word of a verdict that is none.
UNDETERMINED = "undetermined"
#: Share of solutions that must have converged for a result to be settled.
CONVERGED_SHARE = 0.99
#: Options that say how long a method computes: the first that a stage has may settle its result.
EFFORTS = ("max_sweeps", "draws", "sweeps", "max_steps", "steps", "epochs", "starts")
#: How much more of it: four times the draws halve an error.
MORE = 4
#: Values of a list that a sentence names.
_FEW = 6
#: Ending of the names of standard errors.
_STDERR = "_stderr"


class Times(NamedTuple):
    """A remedy: the factor by which an option is raised."""

    factor: float = MORE


Remedy: TypeAlias = Mapping[str, "Times | float | int | str | tuple[float, ...]"]


class Finding(NamedTuple):
    """One thing that a result says.

    text: a sentence, its numbers with their errors.  open: why it is not settled, as a clause;
    empty if it is.  remedy: values of options, or `Times`, by name, that would settle it; of
    ``ensemble.count``, more configurations.  by: another stage, of the same inputs, that would
    settle it in place of this one.  criterion: of a verdict, as a clause.
    """

    text: str
    open: str = ""
    remedy: Remedy = MappingProxyType({})
    by: str = ""
    criterion: str = ""


def with_error(value: float, error: float | None, unit: str = "") -> str:
    """Return a number with its standard error, to two digits of the error.

    >>> with_error(0.68843, 0.00012), with_error(12.3, 1.04, "nat"), with_error(0.5, 0.0)
    ('0.68843 ± 0.00012', '12.3 ± 1.0 nat', '0.5')
    >>> with_error(0.68843, float("nan")), with_error(3e-8, 4e-9), with_error(float("nan"), None)
    ('0.6884 (error unknown)', '3e-08 ± 4e-09', 'unknown')
    """
    unit = f" {unit}" if unit else ""
    if not math.isfinite(value):
        return "unknown"
    if error is None or not math.isfinite(error):
        return f"{value:.4g}{unit} (error unknown)"
    if error == 0:
        return f"{value:.6g}{unit}"
    digits = 1 - math.floor(math.log10(abs(error)))
    if 0 <= digits <= 6:
        return f"{value:,.{digits}f} ± {error:,.{digits}f}{unit}"
    return f"{value:.4g} ± {error:.2g}{unit}"


def share_text(share: float) -> str:
    """Return a share in per cent; only what is all is 100 %.

    >>> share_text(1.0), share_text(0.9996), share_text(0.254), share_text(0.0)
    ('100 %', '99.9 %', '25.4 %', '0 %')
    """
    percent = min(100 * share, 99.9) if share < 1 else 100.0
    return f"{percent:.3g} %"


def summary_findings(
    shown: JsonObject, about: Mapping[object, object], options: Collection[str] = ()
) -> list[Finding]:
    """Return the findings of a stage that declares none: its summary as a sentence.

    Parameters
    ----------
    shown
        Summary of a result, from `lsg_ray.stage.Stage.shown`.
    about
        Attributes of the result.
    options
        Options of the stage.

    Examples
    --------
    >>> summary_findings({"s": 0.25, "s_stderr": 0.01, "converged": 0.5}, {}, {"draws", "seed"})[0]
    ... # doctest: +NORMALIZE_WHITESPACE
    Finding(text='s = 0.250 ± 0.010; converged = 0.5.', open='50 % have converged',
            remedy={'draws': Times(factor=4)}, by='', criterion='')
    """
    reasons = list(_left_open(shown))
    effort = next((name for name in EFFORTS if name in options), None)
    remedy: Remedy = {effort: Times()} if effort and reasons else {}
    criterion = about.get("criterion", "")
    return [
        Finding(
            numbers_of(shown),
            "; ".join(reasons),
            remedy,
            criterion=criterion if isinstance(criterion, str) else "",
        )
    ]


def _left_open(shown: JsonObject) -> Iterator[str]:
    """Yield why a summary is not settled: verdicts without one, what has not converged."""
    for name, value in shown.items():
        if isinstance(value, str) and UNDETERMINED in value.lower():
            yield f"{name.replace('_', ' ')}: {value}"
    share = shown.get("converged", 1)
    if isinstance(share, (Real, np.generic)) and not float(share) >= CONVERGED_SHARE:
        yield "it has not converged" if share == 0 else f"{share_text(float(share))} have converged"


def numbers_of(shown: Mapping[str, object]) -> str:
    """Return the summary of a result as a sentence: numbers, short lists, and text.

    >>> numbers_of({"s0": 0.25, "states": 3, "verdict": "smooth", "widths": [1.0, 2.0]})
    's0 = 0.25; states = 3; verdict: smooth; widths = 1, 2.'
    >>> numbers_of({"mean": 0.1234, "mean_stderr": 0.01})
    'mean = 0.123 ± 0.010.'
    """
    parts = []
    for name, value in shown.items():
        title = name.replace("_", " ")
        if value is None or (name.endswith(_STDERR) and name.removesuffix(_STDERR) in shown):
            continue
        error = shown.get(name + _STDERR)
        if isinstance(value, str):
            parts.append(f"{title}: {value}")
        elif isinstance(value, Mapping):
            parts.append(f"{title}: {', '.join(f'{k} {v}' for k, v in value.items())}")
        elif isinstance(value, Real) and isinstance(error, Real):
            parts.append(f"{title} = {with_error(float(value), float(error))}")
        else:
            parts.append(f"{title} = {_listed(value, error)}")
    return "; ".join(parts) + "."


def _listed(value: object, error: object) -> str:
    """Return the first numbers of an array, with errors if there are as many."""
    values = np.atleast_1d(np.asarray(value)).ravel()
    errors = np.atleast_1d(np.asarray(error)).ravel()
    paired = error is not None and errors.shape == values.shape and values.dtype.kind in "fiu"
    few = [
        with_error(float(number), float(errors[n]))
        if paired
        else f"{number:.4g}"
        if isinstance(number, (int, float))
        else str(number)
        for n, number in enumerate(values[:_FEW].tolist())
    ]
    return ", ".join(few) + (", …" if len(values) > _FEW else "")
