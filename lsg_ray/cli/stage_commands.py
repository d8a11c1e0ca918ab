"""Commands made from stages: arguments, options and help, the run, the result, and the figure."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin

import click
from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from lsg_ray.cli.output import as_json, overwrite, print_result, style, table
from lsg_ray.cli.outputs import PLACE, check_outputs, figure_at, part_place, result_at, store_at
from lsg_ray.errors import InputError, LsgError, StoreError
from lsg_ray.registry import origins
from lsg_ray.stage import ENSEMBLE, MODEL, Config, Stage, literals_of, parse_list, unwrapped
from lsg_ray.stages import STAGES
from lsg_ray.typing import MAX_INTEGER, AsPath, ListOf

#: Options that choose from what is read, or say how a command runs.
_VIEW = {
    "where": click.Option(
        ["--where"], metavar="EXPRESSION", help="Only configurations of STORE that meet it."
    ),
    "snapshot": click.Option(
        ["--snapshot"], type=click.IntRange(min=0), metavar="TIME",
        help="Weights along training, after that epoch or step (ensemble.snapshots).",
    ),
    "part": click.Option(
        ["--part"], help="LB, ITR, RB, or a layer from 0; default: all weights."
    ),
    "canonical": click.Option(
        ["--canonical"], is_flag=True, help="After removal of the node-permutation symmetry."
    ),
}  # fmt: skip
_PARTS = click.Option(
    ["--part"], metavar="PART,...", help="Models MODEL-PART of lsg fit --part, results OUT-PART."
)
_ALWAYS = (
    click.Option(["--address"], metavar="ADDRESS",
                 help="Ray cluster; default: RAY_ADDRESS, or threads."),
    click.Option(["--workers"], type=click.IntRange(min=1), help="Threads, or tasks at a time."),
)  # fmt: skip
#: Entries of a list that text shows.
MOST_SHOWN = 12


def command_of(stage: Stage, line: str) -> click.Command:
    """Return the command of a stage; ``line`` says in one line what it does."""
    params = [_input(stage, name) for name in stage.reads]
    made = "STORE" if stage.makes == "store" else "RESULT"
    form = "Store" if made == "STORE" else "Zarr or .npz" if stage.archive else "Zarr"
    params.append(
        click.Option(["--out"], required=True, type=PLACE, metavar=made, help=f"{form} to write.")
    )
    params += [_option(name, field) for name, field in stage.config.model_fields.items()]
    if stage.figures:
        params.append(click.Option(["--figure"], type=PLACE, metavar="PNG", help="Also draw it."))
        if stage.together:
            params.append(
                click.Option(["--beside"], type=PLACE, multiple=True, metavar="RESULT",
                             help="Earlier results, for the figure.")
            )  # fmt: skip
    params += [_VIEW[name] for name in stage.view]
    if MODEL in stage.reads.values() and "part" not in stage.view:
        params.append(_PARTS)
    command = click.Command(
        stage.name,
        params=[*params, *_ALWAYS],
        callback=lambda **given: _run(stage, given),
        help=stage.about,
        short_help=line,
    )
    return as_json(command if made == "STORE" else overwrite(command))


def _input(stage: Stage, name: str) -> click.Parameter:
    """Return an argument for what is read first and for a store, and an option for the rest."""
    kind, required = stage.reads[name], name not in stage.optional
    words: dict[str, Any] = {"required": required, "type": PLACE, "metavar": kind.metavar}
    if name in stage.positional:
        return click.Argument([name], **words)
    told = stage.helps.get(name, "") if not required or not kind.help else kind.help
    return click.Option([_flag(name), name], help=told, **words)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _option(name: str, field: FieldInfo) -> click.Option:
    """Return the option of a field of a config."""
    kind, marks = unwrapped(field)
    flag, choices = _flag(name), literals_of(kind)
    default = None if field.is_required() else field.default
    words: dict[str, Any] = {"type": str}
    if lists := [mark for mark in marks if isinstance(mark, ListOf)]:
        words["metavar"] = "START:STOP:STEP|X,..." if lists[0].steps else "X,..."
        default = _listed(default, lists[0])
    elif any(isinstance(mark, AsPath) for mark in marks):
        words["type"] = PLACE
    elif choices and float in get_args(kind):
        words["metavar"] = "|".join(["NUMBER", *map(str, choices)])
    elif choices:
        words["type"] = click.Choice(choices)
    elif kind is bool:
        words = {"is_flag": True}
        flag = f"{flag}/--no-{flag[2:]}" if default else flag
    elif kind in (int, float):
        ends = _bounds(marks)
        of = (click.INT, click.IntRange) if kind is int else (click.FLOAT, click.FloatRange)
        words["type"] = of[1](**ends) if ends else of[0]
    elif get_origin(kind) is dict:
        words |= {"metavar": "NAME=VALUE", "multiple": True}
    return click.Option(
        [flag, name], default=default, help=field.description, required=field.is_required(),
        show_default=default is not None and kind is not bool, **words,
    )  # fmt: skip


def _bounds(marks: list[Any]) -> dict[str, Any]:
    sides = {Ge: ("min", "ge"), Gt: ("min", "gt"), Le: ("max", "le"), Lt: ("max", "lt")}
    found: dict[str, Any] = {}
    for mark in marks:
        # Technical limits are checked with the options, and not shown.
        if type(mark) in sides and abs(getattr(mark, sides[type(mark)][1])) < MAX_INTEGER:
            end, side = sides[type(mark)]
            found |= {end: getattr(mark, side), f"{end}_open": side[1] == "t"}
    return found


def _listed(default: Any, mark: ListOf) -> str | None:
    """Return numbers with commas, or START:STOP:STEP of many where that means the same.

    >>> _listed((0.1, 1.0), ListOf(float)), _listed([1e-7 * k for k in range(9)], ListOf(float))[:9]
    ('0.1,1', '0,1e-07,2')
    >>> _listed([-0.5 + k / 4 for k in range(9)], ListOf(float, steps=True))
    '-0.5:1.5:0.25'
    """
    if default is None:
        return None
    values = [default] if isinstance(default, (int, float)) else list(default)
    texts = [repr(value).removesuffix(".0") for value in values]
    if mark.steps and len(values) > 6:
        steps = f"{texts[0]}:{texts[-1]}:{round(values[1] - values[0], 9):g}"
        if parse_list(steps, mark) == tuple(values):
            return steps
    return ",".join(texts)


class _Job(NamedTuple):
    """One run of a stage: the part it is of, or an empty name; what it reads; what it writes."""

    part: str
    inputs: dict[str, str | None]
    out: str
    figure: str | None


def _run(stage: Stage, given: dict[str, Any]) -> None:
    """Check all there is to check, run, save, draw and tell."""
    from lsg_ray.cluster.dask import dask_session
    from lsg_ray.cluster.progress import late_progress

    began = time.perf_counter()
    options, jobs = _options(stage, given), _jobs(stage, given)
    beside = _checked_places(stage, given, jobs)
    with (
        dask_session(given["address"], given["workers"]),
        late_progress(stage.unit, style(given["as_json"])) as progress,
    ):
        results = _safely(stage, lambda: _computed(stage, options, jobs, given, progress))
    drawn = {job.figure: job.part for job in jobs if job.figure is not None}
    for place, part in drawn.items():
        own = results if len(drawn) == 1 else {part: results[part]}
        draw(place, stage.figures[0].drawn(own | beside))
    told = {}
    for job in jobs:
        found = results[job.part]
        told[job.part] = {"out": job.out, **_used(found), **stage.shown(found)}
        if len(drawn) > 1:
            told[job.part]["figure"] = job.figure
    about = {"figure": given.get("figure"), "seconds": time.perf_counter() - began}
    one = told.get("")
    whole = {"parts": told, **about} if one is None else {**one, **about}
    parts = [whole] if one is not None else [{"part": part, **told[part]} for part in told]
    print_result(whole, given["as_json"], "\n\n".join(map(_text, parts)))


def _options(stage: Stage, given: Mapping[str, Any]) -> Config:
    """Return checked options; of those by name, with values as JSON understands them."""
    found = {name: given[name] for name in stage.config.model_fields if given[name] is not None}
    for name, value in found.items():
        if isinstance(value, tuple):
            found[name] = dict(_named(_flag(name), text) for text in value) or None
    if stage.parts is not None:
        found["part"] = ",".join(_parts(given))
    return stage.options(found)


def _named(flag: str, text: str) -> tuple[str, Any]:
    name, equals, word = text.partition("=")
    if not equals:
        raise InputError(f"{flag} {text} given; NAME=VALUE is needed")
    try:
        return name, json.loads(word)
    except ValueError:
        return name, word


def _parts(given: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(name.strip() for name in (given.get("part") or "").split(",")))


def _jobs(stage: Stage, given: dict[str, Any]) -> list[_Job]:
    """Return a run for each part of a model, or the one that there is."""
    inputs: dict[str, Any] = {name: given[name] for name in stage.reads}
    out, figure = given["out"], given.get("figure")
    models = [name for name, kind in stage.reads.items() if kind == MODEL]
    parts = _parts(given)
    of_models = models and ENSEMBLE not in stage.reads.values() and parts != [""]
    if not of_models and (stage.parts is None or len(parts) == 1):
        return [_Job("", inputs, out, figure)]
    apart = len(parts) > 1 and not stage.together
    return [
        _Job(
            part,
            inputs | {name: part_place(inputs[name], part) for name in models},
            part_place(out, part),
            part_place(figure, part) if figure is not None and apart else figure,
        )
        for part in parts
    ]


def _checked_places(stage: Stage, given: dict[str, Any], jobs: list[_Job]) -> dict[str, Any]:
    """Refuse what cannot be read or written; return earlier results for the figure."""
    if given.get("beside") and given["figure"] is None:
        raise InputError("--beside given without --figure; it is for the figure")
    beside = {place: earlier_result(place, stage) for place in given.get("beside", ())}
    figures = {job.figure for job in jobs}
    outputs = [
        store_at(job.out) if stage.makes == "store" else result_at(job.out, stage.archive)
        for job in jobs
    ]
    read = [*beside, *(given[name] for name in stage.path_options)]
    check_outputs(
        [*outputs, *map(figure_at, figures)],
        [*read, *(place for job in jobs for place in job.inputs.values())],
        given.get("overwrite", False),
    )
    count = len(jobs) + len(beside)
    if given.get("figure") is not None and stage.together and count > stage.together:
        raise InputError(
            f"--figure of {count} results; it shows {stage.together}: draw fewer at a time"
        )
    return beside


def _safely(stage: Stage, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what is computed; of a stage of another package any error is told in a line."""
    origin = origins().get(stage.name) if stage.name not in STAGES else None
    try:
        return work()
    except (LsgError, MemoryError):
        raise
    except Exception as error:
        if origin is None:
            raise
        told = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise LsgError(f"{stage.name} of {origin} failed: {told}") from error


def _computed(
    stage: Stage, options: Config, jobs: list[_Job], given: dict[str, Any], progress: Any
) -> dict[str, Any]:
    """Return results by part, which are saved."""
    from lsg_ray.study import compute, opened_inputs, save

    # Not by truth: 0 is a snapshot, and equals False.
    chosen = {name: given[name] for name in stage.view}
    view = {name: v for name, v in chosen.items() if v is not None and v is not False}
    # All that is read is opened before anything is computed.
    opened = [opened_inputs(stage, job.inputs, view) for job in jobs]
    replace = given.get("overwrite", False)
    if stage.parts is None or len(jobs) == 1:
        return {
            job.part: compute(
                stage, read, options, out=job.out, view=view, threads=given["workers"],
                overwrite=replace, progress=progress,
            )
            for job, read in zip(jobs, opened, strict=True)
        }  # fmt: skip
    found = stage.parts(
        **opened[0], parts=[job.part for job in jobs], **options.model_dump(exclude={"part"}),
        threads=given["workers"], progress=progress,
    )  # fmt: skip
    return {
        job.part: save(stage, found[job.part], options.model_copy(update={"part": job.part}),
                       job.out, replace)
        for job in jobs
    }  # fmt: skip


def _used(result: Any) -> dict[str, Any]:
    """Say how much of a store was there: it may still be sampled."""
    names = ("complete_configurations", "planned_configurations")
    attributes = getattr(result, "attrs", {})
    return {name: attributes[name] for name in names if name in attributes}


def _text(values: Mapping[str, Any]) -> str:
    """Return names and values, but of long lists how long they are, and of empty ones nothing."""
    shown = {}
    for name, value in values.items():
        count = len(value) if isinstance(value, list) else 1
        if value is not None and count:
            shown[name] = f"{count:,} values" if count > MOST_SHOWN else value
    return table(shown)


def earlier_result(place: str, stage: Stage) -> Any:
    """Open an earlier result of a stage, or of one that is drawn as it is.

    Raises
    ------
    InputError
        It is another's, or cannot be read.
    """
    from lsg_ray.results.opening import attributes_of, open_result
    from lsg_ray.stages import all_stages, stage_of

    made = attributes_of(place).get("stage")
    figures = stage_of(made).figures if made in all_stages() else ()
    if not figures or figures[0].draw != stage.figures[0].draw:
        raise InputError(f"{place}: not a result of lsg {stage.name}, but of {made or 'none'}")
    try:
        with open_result(place) as found:
            return found.load()
    except (InputError, MemoryError):
        raise
    except Exception as error:  # a damaged one fails in a dozen ways
        raise InputError(f"{place}: cannot be read as a result ({type(error).__name__})") from None


def draw(place: str, figure: Any) -> None:
    """Write a figure, whole or not at all.

    Raises
    ------
    StoreError
        The disk is full or may not be written; an earlier figure stays.
    """
    from lsg_ray.ensemble.owned import staging
    from lsg_ray.report.style import render

    content = render(figure)
    try:
        with staging(Path(place)) as (staged, _):
            staged.write_bytes(content)
            staged.replace(place)
    except OSError as error:
        raise StoreError(
            f"{place}: the figure could not be written: {error.strerror or error}; make room or "
            "name another place (the result itself is written)"
        ) from None
