"""What the command of a stage does: check all there is to check, compute, save, draw, print."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lsg_ray.cli.output import print_result, progress_style, table
from lsg_ray.cli.outputs import check_outputs, figure_at, path_of_part, result_at, store_at
from lsg_ray.command_line import changed_options, command_line, flag_of
from lsg_ray.errors import InputError, LsgError, StoreError
from lsg_ray.finding import Finding
from lsg_ray.registry import origins
from lsg_ray.stage import ENSEMBLE, MODEL, Config, Stage
from lsg_ray.stages import STAGES, stage_of
from lsg_ray.typing import JsonObject, Progress

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

    Results = dict[str, xarray.Dataset]

#: Entries of a list that text shows.
MAX_LISTED_VALUES = 12


@dataclass(frozen=True)
class Request:
    """What the command line asks of a stage.

    inputs: paths by argument; options: those of the stage; parts: names, or one empty name;
    view: what is chosen from the ensemble; beside: paths of earlier results for the figure.
    """

    stage: Stage
    inputs: Mapping[str, str | None]
    options: Config
    parts: tuple[str, ...]
    view: JsonObject
    out: str
    figure: str | None
    beside: tuple[str, ...]
    address: str | None
    workers: int | None
    overwrite: bool
    as_json: bool

    @property
    def read_paths(self) -> list[str | None]:
        """Paths that options of the stage name."""
        return [getattr(self.options, name) for name in self.stage.path_options]


class _Job(NamedTuple):
    """One run of a stage: the part it is of, or an empty name; what it reads; what it writes."""

    part: str
    inputs: Mapping[str, str | None]
    out: str
    figure: str | None


def request_of(stage: Stage, given: JsonObject) -> Request:
    """Return what is asked, with checked options, from what click has parsed."""
    names = (name.strip() for name in (given.get("part") or "").split(","))
    parts = tuple(dict.fromkeys(names))
    view = {name: given[name] for name in stage.view if _is_given(given.get(name))}
    return Request(
        stage,
        {name: given[name] for name in stage.reads},
        _options(stage, given, parts),
        parts,
        view,
        given["out"],
        given.get("figure"),
        given.get("beside", ()),
        given["address"],
        given["workers"],
        given.get("overwrite", False),
        given["as_json"],
    )


def _is_given(value: object) -> bool:
    return value is not None and value is not False  # 0 is a snapshot, and equals False


def _options(stage: Stage, given: JsonObject, parts: tuple[str, ...]) -> Config:
    """Return checked options; of those by name, with values as JSON understands them."""
    values = {name: given[name] for name in stage.config.model_fields if given[name] is not None}
    for name, value in values.items():
        if isinstance(value, tuple):
            values[name] = dict(_named(flag_of(name), text) for text in value) or None
    if stage.parts is not None:
        values["part"] = ",".join(parts)
    return stage.options(values)


def _named(flag: str, text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"{flag} {text} given; NAME=VALUE is needed")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def run(request: Request) -> None:
    """Check all there is to check, compute, save, draw and print."""
    from lsg_ray.cluster.dask import dask_session
    from lsg_ray.cluster.progress import progress_bar

    began = time.perf_counter()
    stage, jobs = request.stage, _jobs(request)
    beside = _checked_paths(request, jobs)
    with (
        dask_session(request.address, request.workers) as tasks,
        progress_bar(stage.unit, progress_style(request.as_json), tasks) as progress,
    ):
        results = _safely(stage, lambda: _computed(request, jobs, progress))
    figures = {job.figure: job.part for job in jobs if job.figure is not None}
    for path, part in figures.items():
        own = results if len(figures) == 1 else {part: results[part]}
        draw(path, stage.figures[0].drawn(own | beside))
    _print(request, jobs, results, len(figures) > 1, time.perf_counter() - began)


def _print(
    request: Request, jobs: list[_Job], results: Results, apart: bool, seconds: float
) -> None:
    """Print what is shown of each result; apart: whether each has a figure of its own."""
    shown: dict[str, JsonObject] = {}
    for job in jobs:
        result = results[job.part]
        shown[job.part] = {"out": job.out, **_used(result), **request.stage.shown(result)}
        if apart:
            shown[job.part]["figure"] = job.figure
    about = {"figure": request.figure, "seconds": seconds}
    if "" in shown:
        whole = {**shown[""], **about}
        texts = [_text(whole), *_open(request, jobs[0], results[""])]
    else:
        whole = {"parts": shown, **about}
        texts = []
        for job in jobs:
            texts += [_text({"part": job.part, **shown[job.part]})]
            texts += _open(request, job, results[job.part])
    print_result(whole, request.as_json, "\n\n".join(texts))


def _open(request: Request, job: _Job, result: object) -> list[str]:
    """Return what a result leaves open, and the command that may settle it, in lines."""
    import xarray

    try:
        found = request.stage.found(result) if isinstance(result, xarray.Dataset) else []
    except MemoryError:
        raise
    except Exception:  # of another package; the result is there all the same
        return []
    lines = []
    for finding in found:
        if finding.open:
            command = _settling(request, job, finding)
            lines.append(f"open: {finding.open}" + (f"; try {command}" if command else ""))
    return ["\n".join(lines)] if lines else []


def _settling(request: Request, job: _Job, finding: Finding) -> str:
    """Return the command that may settle a finding, or nothing."""
    stage, given = request.stage, request.options.model_dump(mode="json", exclude_defaults=True)
    changed = changed_options(stage, given, finding)
    if finding.by:
        stage = stage_of(finding.by)
        given = {name: value for name, value in given.items() if name in stage.config.model_fields}
    elif not changed:
        return ""
    if "part" in given and job.part:
        given["part"] = job.part  # of all that were asked for
    inputs = {name: path for name, path in job.inputs.items() if name in stage.reads}
    view = {name: value for name, value in request.view.items() if name in stage.view}
    path = job.out.rstrip("/").removesuffix(".zarr")
    out = f"{path}-{finding.by or 'again'}.zarr"
    return command_line(stage, inputs, {**given, **changed}, view, out)


def _jobs(request: Request) -> list[_Job]:
    """Return a run for each part of a model, or the one that there is."""
    stage, inputs, parts = request.stage, request.inputs, request.parts
    out, figure = request.out, request.figure
    models = [name for name, kind in stage.reads.items() if kind == MODEL]
    of_models = models and ENSEMBLE not in stage.reads.values() and parts != ("",)
    if not of_models and (stage.parts is None or len(parts) == 1):
        return [_Job("", inputs, out, figure)]
    apart = len(parts) > 1 and not stage.together
    return [
        _Job(
            part,
            {
                name: path_of_part(path, part) if name in models and path is not None else path
                for name, path in inputs.items()
            },
            path_of_part(out, part),
            path_of_part(figure, part) if figure is not None and apart else figure,
        )
        for part in parts
    ]


def _checked_paths(request: Request, jobs: list[_Job]) -> Results:
    """Refuse what cannot be read or written; return earlier results for the figure."""
    stage = request.stage
    if request.beside and request.figure is None:
        raise InputError("--beside given without --figure; it is for the figure")
    beside = {path: earlier_result(path, stage) for path in request.beside}
    figures = {job.figure for job in jobs}
    outputs = [
        store_at(job.out) if stage.makes == "store" else result_at(job.out, stage.archive)
        for job in jobs
    ]
    read = [*beside, *request.read_paths, *(path for job in jobs for path in job.inputs.values())]
    check_outputs([*outputs, *map(figure_at, figures)], read, request.overwrite)
    count = len(jobs) + len(beside)
    if request.figure is not None and stage.together and count > stage.together:
        raise InputError(
            f"--figure of {count} results; it shows {stage.together}: draw fewer at a time"
        )
    return beside


def _safely(stage: Stage, work: Callable[[], Results]) -> Results:
    """Return what is computed; any error of a stage of another package becomes one line."""
    origin = origins().get(stage.name) if stage.name not in STAGES else None
    try:
        return work()
    except (LsgError, MemoryError):
        raise
    except Exception as error:
        if origin is None:
            raise
        message = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise LsgError(f"{stage.name} of {origin} failed: {message}") from error


def _computed(request: Request, jobs: list[_Job], progress: Progress) -> Results:
    """Return results by part, which are saved."""
    from lsg_ray.study import compute, opened_inputs, save

    stage, options = request.stage, request.options
    # All that is read is opened before anything is computed.
    opened = [opened_inputs(stage, job.inputs, request.view) for job in jobs]
    if stage.parts is None or len(jobs) == 1:
        return {
            job.part: compute(
                stage,
                inputs,
                options,
                out=job.out,
                view=request.view,
                threads=request.workers,
                overwrite=request.overwrite,
                progress=progress,
            )
            for job, inputs in zip(jobs, opened, strict=True)
        }
    results = stage.parts(
        **opened[0],
        parts=[job.part for job in jobs],
        **options.model_dump(exclude={"part"}),
        threads=request.workers,
        progress=progress,
    )
    return {
        job.part: save(
            stage,
            results[job.part],
            options.model_copy(update={"part": job.part}),
            job.out,
            request.overwrite,
        )
        for job in jobs
    }


def _used(result: object) -> JsonObject:
    """Return how much of a store was there: it may still be sampled."""
    names = ("complete_configurations", "planned_configurations")
    attributes = getattr(result, "attrs", {})
    return {name: attributes[name] for name in names if name in attributes}


def _text(values: Mapping[str, object]) -> str:
    """Return names and values, but of long lists how long they are, and of empty ones nothing."""
    shown = {}
    for name, value in values.items():
        count = len(value) if isinstance(value, list) else 1
        if value is not None and count:
            shown[name] = f"{count:,} values" if count > MAX_LISTED_VALUES else value
    return table(shown)


def earlier_result(path: str, stage: Stage) -> xarray.Dataset:
    """Open an earlier result of a stage, or of one that is drawn as it is.

    Raises
    ------
    InputError
        It is another's, or cannot be read.
    """
    from lsg_ray.ensemble.location import locate
    from lsg_ray.results.foreign import reading
    from lsg_ray.results.opening import attributes_of, open_result
    from lsg_ray.stages import all_stages

    made = attributes_of(path).get("stage")
    figures = stage_of(made).figures if made in all_stages() else ()
    if not figures or figures[0].draw != stage.figures[0].draw:
        raise InputError(f"{path}: not a result of lsg {stage.name}, but of {made or 'none'}")
    failed = "cannot be read as a result"
    with reading(path, failed, "make it anew", locate(path).url), open_result(path) as result:
        return result.load()


def draw(path: str, figure: Figure) -> None:
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
        with staging(Path(path)) as (staged, _):
            staged.write_bytes(content)
            staged.replace(path)
    except OSError as error:
        raise StoreError(
            f"{path}: the figure could not be written: {error.strerror or error}; make room or "
            "name another path (the result itself is written)"
        ) from None
