"""Commands made from stages: arguments, options and help, the run, the result, and the figure."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from typing import Any, NamedTuple, get_args

import click
from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from lsg_ray.cli.options import draw
from lsg_ray.cli.output import print_result, table
from lsg_ray.cli.places import PLACE, check_outputs, figure_at, part_place, result_at
from lsg_ray.errors import InputError
from lsg_ray.stage import ENSEMBLE, MODEL, SOLUTIONS, Stage, literals_of
from lsg_ray.typing import APlace, ListOf

#: What options say how a command runs, beside those of its stage.
_WHERE = click.Option(
    ["--where"], metavar="EXPRESSION", help="Only configurations of STORE that meet it."
)
_SNAPSHOT = click.Option(
    ["--snapshot"], type=click.IntRange(min=0), metavar="TIME",
    help="Weights along training, after that epoch or step (ensemble.snapshots).",
)  # fmt: skip
_VIEW = (
    _WHERE,
    _SNAPSHOT,
    click.Option(["--part"], help="LB, ITR, RB, or a layer from 0; default: all weights."),
    click.Option(["--canonical"], is_flag=True,
                 help="After removal of the node-permutation symmetry."),
)  # fmt: skip
_PARTS = click.Option(
    ["--part"], metavar="PART,...", help="Models MODEL-PART of lsg fit --part, results OUT-PART."
)
_ALWAYS = (
    click.Option(["--address"], metavar="ADDRESS",
                 help="Ray cluster; default: RAY_ADDRESS, or threads."),
    click.Option(["--workers"], type=click.IntRange(min=1), help="Threads, or tasks at a time."),
    click.Option(["--overwrite"], is_flag=True, help="Replace an earlier result."),
    click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON object; be quiet."),
)  # fmt: skip


def command_of(stage: Stage, line: str) -> click.Command:
    """Return the command of a stage; ``line`` says in one line what it does."""
    kinds = list(stage.reads.values())
    params: list[click.Parameter] = [*_inputs(stage)]
    params.append(
        click.Option(
            ["--out"],
            required=True,
            type=PLACE,
            metavar="RESULT",
            help="Zarr or .npz to write." if stage.archive else "Zarr to write.",
        )
    )
    params += [_option(name, field) for name, field in stage.config.model_fields.items()]
    if stage.figures:
        params.append(click.Option(["--figure"], type=PLACE, metavar="PNG", help="Also draw it."))
        if stage.figures[0].together:
            params.append(
                click.Option(["--beside"], type=PLACE, multiple=True, metavar="RESULT",
                             help="Earlier results, for the figure.")
            )  # fmt: skip
    if ENSEMBLE in kinds:
        params += _VIEW
    elif SOLUTIONS in kinds:
        params += (_WHERE, _SNAPSHOT)
    elif MODEL in kinds:
        params.append(_PARTS)
    return click.Command(
        stage.name,
        params=[*params, *_ALWAYS],
        callback=lambda **given: _run(stage, given),
        help=f"{stage.help}\n\n{line}" if stage.help != line else line,
        short_help=line,
    )


def _inputs(stage: Stage) -> list[click.Parameter]:
    """Return an argument for what is read first, and options for the rest."""
    found: list[click.Parameter] = []
    for number, (name, kind) in enumerate(stage.reads.items()):
        required = name not in stage.optional
        if number == 0:
            found.append(
                click.Argument([name], required=required, type=PLACE, metavar=kind.metavar)
            )
        else:
            help_ = stage.helps.get(name, "") if not required or not kind.help else kind.help
            found.append(
                click.Option(
                    [f"--{name.replace('_', '-')}", name], required=required, type=PLACE,
                    metavar=kind.metavar, help=help_,
                )
            )  # fmt: skip
    return found


def _option(name: str, field: FieldInfo) -> click.Option:
    """Return the option of a field of a config."""
    kind, marks = _unwrapped(field)
    words: dict[str, Any] = {
        "help": field.description, "required": field.is_required(), "metavar": None,
    }  # fmt: skip
    flag = f"--{name.replace('_', '-')}"
    default = None if field.is_required() else field.default
    if any(isinstance(mark, ListOf) for mark in marks):
        steps = any(isinstance(mark, ListOf) and mark.steps for mark in marks)
        words["metavar"] = "START:STOP:STEP|X,..." if steps else "X,..."
        words["type"] = str
        default = _listed(default)
    elif any(isinstance(mark, APlace) for mark in marks):
        words["type"] = PLACE
    elif choices := literals_of(kind):
        words["type"] = click.Choice(choices)
    elif kind is bool:
        names = f"{flag}/--no-{flag[2:]}" if default else flag
        return click.Option([names, name], default=default, help=field.description, is_flag=True)
    elif kind is int:
        words["type"] = click.IntRange(**_bounds(marks))
    elif kind is float:
        words["type"] = click.FloatRange(**_bounds(marks))
    else:
        words["type"] = str
    return click.Option([flag, name], default=default, show_default=default is not None, **words)


def _unwrapped(field: FieldInfo) -> tuple[Any, list[Any]]:
    """Return the type of a field without None, and what it is marked with."""
    marks: list[Any] = list(field.metadata)
    kind: Any = field.annotation
    inner = [one for one in get_args(kind) if one is not type(None)]
    if type(None) in get_args(kind) and len(inner) == 1:
        kind = inner[0]
    while hasattr(kind, "__metadata__"):
        marks += kind.__metadata__
        kind = get_args(kind)[0]
    return kind, marks


def _bounds(marks: list[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for mark in marks:
        for kind, side in ((Ge, "ge"), (Gt, "gt"), (Le, "le"), (Lt, "lt")):
            if isinstance(mark, kind):
                end = "min" if side[0] == "g" else "max"
                found[end] = getattr(mark, side)
                found[f"{end}_open"] = side[1] == "t"
    return found


def _listed(default: Any) -> str | None:
    """Return numbers with commas, or START:STOP:STEP of many that are equally spaced."""
    if default is None:
        return None
    values = [default] if isinstance(default, (int, float)) else list(default)
    if len(values) > 6:
        steps = {round(b - a, 9) for a, b in itertools.pairwise(values)}
        if len(steps) == 1:
            return f"{values[0]:g}:{values[-1]:g}:{steps.pop():g}"
    return ",".join(f"{value:g}" for value in values)


class _Job(NamedTuple):
    """One run of a stage: the part it is of, or an empty name, what it reads, where it writes."""

    part: str
    inputs: dict[str, str | None]
    out: str


def _run(stage: Stage, given: dict[str, Any]) -> None:
    """Check all there is to check, run, save, draw and tell."""
    from lsg_ray.cluster.dask import dask_session
    from lsg_ray.cluster.progress import late_progress
    from lsg_ray.study import compute, opened_inputs

    began = time.perf_counter()
    as_json, figure = given["as_json"], given.get("figure")
    views = ("where", "part", "snapshot")
    view = {name: given[name] for name in views if given.get(name) is not None}
    view |= {"canonical": True} if given.get("canonical") else {}
    options = stage.options(
        {name: given[name] for name in stage.config.model_fields if given[name] is not None}
    )
    jobs = _jobs(stage, given)
    named = [result_at(job.out, archive=stage.archive) for job in jobs]
    if given.get("beside") and figure is None:
        raise InputError("--beside given without --figure; it is for the figure")
    beside = {place: earlier_result(place, stage) for place in given.get("beside", ())}
    named_by_options = [given[name] for name in stage.places]
    inputs = [*beside, *named_by_options, *(place for job in jobs for place in job.inputs.values())]
    check_outputs([*named, figure_at(figure)], inputs, given["overwrite"])
    if figure is not None:
        shown, most = len(jobs) + len(beside), max(stage.figures[0].together, 1)
        if shown > most:
            raise InputError(f"--figure of {shown} results; it shows {most}: draw fewer at a time")
    results = {}
    with (
        dask_session(given["address"], given["workers"]),
        late_progress(stage.unit, "quiet" if as_json else "auto") as progress,
    ):
        # All that is read is opened before anything is computed.
        opened = [opened_inputs(stage, job.inputs, view) for job in jobs]
        for job, read in zip(jobs, opened, strict=True):
            results[job.part] = compute(
                stage, read, options, out=job.out, view=view, threads=given["workers"],
                overwrite=given["overwrite"], progress=progress,
            )  # fmt: skip
    if figure is not None:
        draw(figure, stage.figures[0].drawn(results | beside))
    told = {
        job.part: {"out": job.out, **_used(results[job.part]), **stage.shown(results[job.part])}
        for job in jobs
    }  # fmt: skip
    about = {"figure": figure, "seconds": time.perf_counter() - began}
    if list(told) == [""]:
        whole: Mapping[str, Any] = {**told[""], **about}
        text = table({k: v for k, v in whole.items() if v is not None})
    else:
        whole = {"parts": told, **about}
        text = "\n\n".join(table({"part": part, **values}) for part, values in told.items())
    print_result(dict(whole), as_json, text)


def _used(result: Any) -> dict[str, Any]:
    """Say how much of a store was there: it may still be sampled."""
    names = ("complete_configurations", "planned_configurations")
    return {name: result.attrs[name] for name in names if name in result.attrs}


def earlier_result(place: str, stage: Stage) -> Any:
    """Open an earlier result of a stage.

    Raises
    ------
    InputError
        It is another's, or cannot be read.
    """
    from lsg_ray.results.opening import attributes_of, open_result

    made = attributes_of(place).get("stage")
    if made != stage.name:
        raise InputError(f"{place}: not a result of lsg {stage.name}, but of {made or 'none'}")
    try:
        with open_result(place) as found:
            return found.load()
    except (InputError, MemoryError):
        raise
    except Exception as error:  # a damaged one fails in a dozen ways
        raise InputError(f"{place}: cannot be read as a result ({type(error).__name__})") from None


def _jobs(stage: Stage, given: dict[str, Any]) -> list[_Job]:
    """Return a run for each part of a model, or the one that there is."""
    places = {name: given[name] for name in stage.reads}
    models = [name for name, kind in stage.reads.items() if kind == MODEL]
    if not models or given.get("part") is None:
        return [_Job("", places, given["out"])]
    model = models[0]
    parts = dict.fromkeys(name.strip() for name in given["part"].split(","))
    return [
        _Job(part, {**places, model: part_place(places[model], part)},
             part_place(given["out"], part))
        for part in parts
    ]  # fmt: skip
