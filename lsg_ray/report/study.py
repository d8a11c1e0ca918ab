"""Sections of a study: for each step the figures of its stage, or why there is no result."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import xarray

from lsg_ray.registry import loaded
from lsg_ray.report.section import Section, section
from lsg_ray.stage import Stage


class Shown(NamedTuple):
    """A step of a study: its name, the stage, the result or the reason why there is none."""

    name: str
    stage: Stage
    result: xarray.Dataset | None
    reason: str


def study_sections(steps: Sequence[Shown]) -> list[Section]:
    """Return the sections of all steps."""
    return [one for step in steps for one in _sections(step)]


def _sections(step: Shown) -> list[Section]:
    title = step.name if step.name == step.stage.name else f"{step.name} ({step.stage.name})"
    if step.result is None:
        return [Section(step.name, title, reason=f"No result: {step.reason}.")]
    told = numbers_of(step.stage.shown(step.result))
    if not step.stage.figures:
        return [Section(step.name, title, reason=told)]
    found = []
    for number, figure in enumerate(step.stage.figures):
        caption, alt = told, figure.title
        if figure.caption:
            caption, alt = loaded(figure.caption)(step.result)
        key = step.name if number == 0 else f"{step.name}-{number}"
        heading = f"{figure.title}: {title}" if figure.title else title
        draw = partial(figure.drawn, {step.name: step.result})
        try:
            found.append(section(key, heading, draw, caption, alt))
        except MemoryError:
            raise
        except Exception as error:  # a figure of any package; the others are shown
            why = " ".join(str(error).split())[:200]
            found.append(Section(key, heading, reason=f"{told} No figure: {why}."))
    return found


def numbers_of(shown: dict[str, object]) -> str:
    """Return what is shown of a result as a sentence: numbers, short lists, and text.

    >>> numbers_of({"s0": 0.25, "states": 3, "verdict": "smooth", "widths": [1.0, 2.0]})
    's0 = 0.25; states = 3; verdict: smooth; widths = 1, 2.'
    """
    parts = []
    for name, value in shown.items():
        words = name.replace("_", " ")
        if value is None:
            continue
        if isinstance(value, str):
            parts.append(f"{words}: {value}")
        elif isinstance(value, dict):
            parts.append(f"{words}: {', '.join(f'{k} {v}' for k, v in value.items())}")
        else:
            values = np.atleast_1d(np.asarray(value)).ravel()
            few = ", ".join(
                f"{one:.4g}" if isinstance(one, (int, float)) else str(one)
                for one in values[:6].tolist()
            )
            more = ", …" if len(values) > 6 else ""
            parts.append(f"{words} = {few}{more}")
    return "; ".join(parts) + "."
