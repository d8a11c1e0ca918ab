"""Commands made from stages: their arguments, options and help."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any, get_args, get_origin

import click
from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from lsg_ray.cli.options import (
    OUTPUT,
    PATH,
    RUNNING,
    SELECTION,
    Argument,
    Command,
    Option,
    as_json,
    overwrite,
)
from lsg_ray.command_line import flag_of, listed
from lsg_ray.stage import MODEL, Stage, literals_of, unwrapped
from lsg_ray.typing import MAX_INTEGER, AsPath, ListOf

#: What arguments are, by their name in the line of usage.
_INPUTS = {
    "STORE": "Store of an ensemble, as lsg sample writes it: a path or URL.",
    "STORE|FILE": "Store of an ensemble, or array file of ±1 (configuration, weight): FILE.npy, "
    "FILE.npz with sigma, or FILE.npz:NAME.",
    "MODEL": "Effective model, as lsg fit writes it, or FILE.npz with J and h.",
    "MOMENTS|STORE": "Moments, as lsg moments writes them, or FILE.npz with m and C; a store; or "
    "an array file of ±1 (configuration, weight): FILE.npy, FILE.npz with sigma, or FILE.npz:NAME.",
}

# Options that choose from what is read, or say how a command runs.
_VIEW = {
    "where": Option(
        ["--where"],
        metavar="EXPRESSION",
        section=SELECTION,
        help='Condition on the columns of STORE, for example "accuracy > 0.81".',
    ),
    "snapshot": Option(
        ["--snapshot"],
        type=click.IntRange(min=0),
        metavar="TIME",
        section=SELECTION,
        help="Epoch or step of training whose weights are used (ensemble.snapshots of the "
        "specification); without it, the end of training.",
    ),
    "part": Option(
        ["--part"],
        section=SELECTION,
        help="Part of the weights: LB (first layer), ITR (interior), RB (last layer), or the "
        "number of a layer from 0; without it, all weights.",
    ),
    "canonical": Option(
        ["--canonical"],
        is_flag=True,
        section=SELECTION,
        help="Bring hidden units into canonical order first, which removes the node-permutation "
        "symmetry.",
    ),
}
_PARTS = Option(
    ["--part"],
    metavar="PART,...",
    section=SELECTION,
    help="Parts: models MODEL-PART, as lsg fit --part writes them, to results RESULT-PART.",
)
_ALWAYS = (
    Option(
        ["--address"],
        metavar="ADDRESS",
        section=RUNNING,
        help="Address of a Ray cluster; without it, RAY_ADDRESS or threads of this machine.",
    ),
    Option(
        ["--workers"],
        type=click.IntRange(min=1),
        section=RUNNING,
        help="Number of threads, or of tasks at a time on a cluster; without it, one per CPU.",
    ),
)


class _Deferred(ModuleType):
    """A module that is loaded when something of it is used first."""

    def __getattr__(self, name: str) -> Any:
        self.__class__ = ModuleType  # type: ignore[assignment]
        assert self.__spec__ is not None
        assert self.__spec__.loader is not None
        self.__spec__.loader.exec_module(self)
        return getattr(self, name)


def defer(name: str) -> None:
    """Let imports of a package load it when something of it is used first.

    Every stage imports xarray, and pandas with it, which takes longer than all else that the help
    of a command needs.
    """
    spec = None if name in sys.modules else find_spec(name)
    if spec is not None:
        module = module_from_spec(spec)
        module.__class__ = _Deferred
        sys.modules[name] = module


def command_of(stage: Stage, line: str) -> click.Command:
    """Return the command of a stage; ``line`` says in one line what it does."""
    parameters: list[click.Parameter] = [_input(stage, name) for name in stage.reads]
    parameters += [_option(name, field) for name, field in stage.config.model_fields.items()]
    command = Command(
        stage.name,
        params=[*parameters, *_selection(stage), *_outputs(stage), *_ALWAYS],
        callback=lambda **given: _run(stage, given),
        help=stage.about,
        short_help=line,
    )
    return as_json(command if stage.makes == "store" else overwrite(command))


def _run(stage: Stage, given: dict[str, Any]) -> None:
    import xarray

    from lsg_ray.cli.stage_runs import request_of, run

    _ = xarray.Dataset  # loaded before there are threads

    run(request_of(stage, given))


def _input(stage: Stage, name: str) -> click.Parameter:
    """Return an argument for what is read first and for a store, and an option for the rest."""
    kind, required = stage.reads[name], name not in stage.optional
    if name in stage.positional:
        text = _INPUTS.get(kind.metavar, kind.help)
        return Argument([name], required=required, type=PATH, metavar=kind.metavar, help=text)
    text = stage.helps.get(name, "") if not required or not kind.help else kind.help
    return Option(
        [flag_of(name), name], required=required, type=PATH, metavar=kind.metavar, help=text
    )


def _selection(stage: Stage) -> Sequence[click.Parameter]:
    """Return options that choose from what is read."""
    chosen: list[click.Parameter] = [_VIEW[name] for name in stage.view]
    if MODEL in stage.reads.values() and "part" not in stage.view:
        chosen.append(_PARTS)
    return chosen


def _outputs(stage: Stage) -> list[click.Parameter]:
    """Return options that name what is written."""
    if stage.makes == "store":
        made, text = "STORE", "Store to write: a path or URL."
    else:
        form = "a Zarr folder, or FILE.npz" if stage.archive else "a Zarr folder"
        made, text = "RESULT", f"Result to write, {form}: a path or URL."
    parameters: list[click.Parameter] = [
        Option(["--out"], required=True, type=PATH, metavar=made, help=text, section=OUTPUT)
    ]
    if stage.figures:
        parameters.append(
            Option(
                ["--figure"],
                type=PATH,
                metavar="FILE.png",
                section=OUTPUT,
                help="Figure of the result to write too.",
            )
        )
    if stage.together:
        parameters.append(
            Option(
                ["--beside"],
                type=PATH,
                multiple=True,
                metavar="RESULT",
                section=OUTPUT,
                help="Earlier result to show in the same figure.",
            )
        )
    return parameters


def _option(name: str, field: FieldInfo) -> click.Option:
    """Return the option of a field of a config."""
    kind, marks = unwrapped(field)
    flag, choices = flag_of(name), literals_of(kind)
    default = None if field.is_required() else field.default
    settings: dict[str, Any] = {"type": str}
    if lists := [mark for mark in marks if isinstance(mark, ListOf)]:
        settings["metavar"] = "START:STOP:STEP|X,..." if lists[0].steps else "X,..."
        default = listed(default, lists[0])
    elif any(isinstance(mark, AsPath) for mark in marks):
        settings["type"] = PATH
    elif choices and float in get_args(kind):
        settings["metavar"] = "|".join(["NUMBER", *map(str, choices)])
    elif choices:
        settings["type"] = click.Choice([str(choice) for choice in choices])
    elif kind is bool:
        settings = {"is_flag": True}
        # Without a default, what is not given is left to the function.
        flag = flag if default is False else f"{flag}/--no-{flag[2:]}"
    elif kind in (int, float):
        ends = _bounds(marks)
        plain, ranged = (
            (click.INT, click.IntRange) if kind is int else (click.FLOAT, click.FloatRange)
        )
        settings["type"] = ranged(**ends) if ends else plain
    elif get_origin(kind) is dict:
        settings |= {"metavar": "NAME=VALUE", "multiple": True}
    return Option(
        [flag, name],
        default=default,
        help=field.description,
        required=field.is_required(),
        **settings,
    )


def _bounds(marks: Sequence[object]) -> dict[str, Any]:
    sides = {Ge: ("min", "ge"), Gt: ("min", "gt"), Le: ("max", "le"), Lt: ("max", "lt")}
    bounds: dict[str, Any] = {}
    for mark in marks:
        if not isinstance(mark, (Ge, Gt, Le, Lt)):
            continue
        end, side = sides[type(mark)]
        # Technical limits are checked with the options, and not shown.
        if abs(getattr(mark, side)) < MAX_INTEGER:
            bounds |= {end: getattr(mark, side), f"{end}_open": side[1] == "t"}
    return bounds
