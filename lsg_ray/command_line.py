"""The command line of a stage, from what it reads and its options."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from lsg_ray.errors import InputError
from lsg_ray.finding import Finding, Times
from lsg_ray.stage import parse_list, unwrapped
from lsg_ray.typing import JsonObject, ListOf

if TYPE_CHECKING:
    from lsg_ray.stage import Stage

#: Values of a list beyond which START:STOP:STEP is written in place of all.
MAX_SHOWN_VALUES = 6


def flag_of(name: str) -> str:
    """Return how an option is written: ``--max-sweeps`` for ``max_sweeps``."""
    return f"--{name.replace('_', '-')}"


def listed(values: Sequence[float] | float | None, mark: ListOf) -> str | None:
    """Return numbers with commas, or START:STOP:STEP of many where that means the same.

    >>> listed((0.1, 1.0), ListOf(float)), listed([1e-7 * k for k in range(9)], ListOf(float))[:9]
    ('0.1,1', '0,1e-07,2')
    >>> listed([-0.5 + k / 4 for k in range(9)], ListOf(float, steps=True))
    '-0.5:1.5:0.25'
    """
    if values is None:
        return None
    numbers = [values] if isinstance(values, (int, float)) else list(values)
    texts = [repr(number).removesuffix(".0") for number in numbers]
    if mark.steps and len(numbers) > MAX_SHOWN_VALUES:
        steps = f"{texts[0]}:{texts[-1]}:{round(numbers[1] - numbers[0], 9):g}"
        if parse_list(steps, mark) == tuple(numbers):
            return steps
    return ",".join(texts)


def command_line(
    stage: Stage,
    inputs: Mapping[str, str | None],
    options: Mapping[str, object],
    view: Mapping[str, object],
    out: str,
) -> str:
    """Return the command that runs a stage, quoted for a shell.

    Parameters
    ----------
    stage
        Stage to run.
    inputs
        Path of each input by argument, None of those that are left out.
    options
        Options by name, without those at their defaults.
    view
        What is chosen from stores, by name of `lsg_ray.stage.VIEW`.
    out
        Path of the result.

    Examples
    --------
    >>> from lsg_ray.stages import stage_of
    >>> command_line(stage_of("tap"), {"model": "m.zarr"}, {"starts": 50}, {}, "my tap.zarr")
    "lsg tap m.zarr --starts 50 --out 'my tap.zarr'"
    """
    known = [(name, path) for name, path in inputs.items() if path is not None]
    words = ["lsg", stage.name, *(path for name, path in known if name in stage.positional)]
    for name, path in known:
        if name not in stage.positional:
            words += _given(name, path)
    for name, value in {**view, **options}.items():
        words += _option(stage, name, value)
    return shlex.join([*words, "--out", out])


def changed_options(stage: Stage, options: JsonObject, finding: Finding) -> JsonObject:
    """Return the options that a finding would change, those that the stage has and accepts."""
    current = stage.options(options).model_dump(mode="json")
    changed: JsonObject = {}
    for name, remedy in finding.remedy.items():
        value: object = remedy
        if name not in current:
            continue
        if isinstance(remedy, Times):
            if not isinstance(current[name], (int, float)) or isinstance(current[name], bool):
                continue
            raised = current[name] * remedy.factor
            value = round(raised) if isinstance(current[name], int) else float(f"{raised:.6g}")
        try:
            stage.options({**options, **changed, name: value})
        except InputError:  # beyond what it accepts
            continue
        changed[name] = list(value) if isinstance(value, tuple) else value
    return changed


def _option(stage: Stage, name: str, value: object) -> Iterator[str]:
    """Yield the words of one option."""
    field = stage.config.model_fields.get(name)
    marks = unwrapped(field)[1] if field is not None else []
    lists = [mark for mark in marks if isinstance(mark, ListOf)]
    if value is None:
        return
    if isinstance(value, bool):
        off = flag_of(f"no_{name}") if field is not None and field.default else ""
        yield from [word for word in [flag_of(name) if value else off] if word]
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _given(name, f"{key}={one if isinstance(one, str) else json.dumps(one)}")
    elif lists and isinstance(value, (int, float, list, tuple)):
        yield from _given(name, listed(value, lists[0]) or "")
    else:
        yield from _given(name, str(value))


def _given(name: str, text: str) -> list[str]:
    """Return an option with its value, in one word where that begins like another option."""
    return [f"{flag_of(name)}={text}"] if text.startswith("-") else [flag_of(name), text]
