"""Runs of stages: open what one reads, compute, and save the result with its provenance.

A study is a graph of stages over an ensemble.  Each result is saved as it is done, under a key of
all that it depends on: the stage with its version and options, the package's version, and the keys
of what it reads, for an ensemble its content hash.  What has the key is not computed again.  A step
that fails reports why, and the steps that do not need it go on.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray

from lsg_ray.ensemble.reader import Ensemble
from lsg_ray.errors import InputError, LsgError, StoreInputError, out_of_memory
from lsg_ray.registry import origins
from lsg_ray.results.checkpoints import checkpoint_folder, remove_checkpoints, results_version
from lsg_ray.results.saving import read_cached, save_result
from lsg_ray.spec.steps import SAMPLED, Outcome, Step
from lsg_ray.stage import (
    CONFIGURATIONS,
    ENSEMBLE,
    MODEL,
    MOMENTS,
    REFERENCES,
    SOLUTIONS,
    Config,
    Kind,
    Stage,
)
from lsg_ray.stages import stage_of
from lsg_ray.typing import JsonObject, Progress

if TYPE_CHECKING:
    from lsg_ray.statistics.configurations import Configurations


def compute(
    stage: Stage,
    inputs: Mapping[str, object],
    options: Config,
    *,
    out: str,
    view: JsonObject | None = None,
    threads: int | None = None,
    overwrite: bool = False,
    key: str | None = None,
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Run a stage and save its result.

    Parameters
    ----------
    stage, options
        Stage to run, with options from `Stage.options`.
    inputs
        Inputs by argument: paths, URLs, or open inputs; None for those that are left out.
    out
        Path or URL of the result.
    view
        Of stores that are read, by name of `lsg_ray.stage.VIEW`.
    threads
        Number of threads of functions that have threads of their own.
    overwrite
        Whether to replace an earlier result.
    key
        Digest of what the result depends on, which is saved with it for `run_study`.
    progress
        Called with ``(done, total)``.

    Returns
    -------
    xarray.Dataset
        The result; of a stage that makes a store, the `Ensemble`.

    Raises
    ------
    InputError
        As the function of the stage, or no result can be written to ``out``.
    """
    opened = opened_inputs(stage, inputs, view or {})
    context = {
        "progress": progress,
        "threads": threads,
        "checkpoints": checkpoint_folder(out),
        "out": out,
    }
    context = {name: value for name, value in context.items() if stage.accepts(name)}
    result = stage.run(**opened, **options.model_dump(), **context)
    return result if stage.makes == "store" else save(stage, result, options, out, overwrite, key)


def save(
    stage: Stage,
    result: xarray.Dataset,
    options: Config,
    out: str,
    overwrite: bool = False,
    key: str | None = None,
) -> xarray.Dataset:
    """Save the result of a stage with its provenance; see `compute`."""
    record = options.model_dump_json(exclude=stage.unrecorded(options))
    result = result.assign_attrs(stage=stage.name, options=record)
    if key is not None:
        result = result.assign_attrs(survey=key)
    save_result(result, out, overwrite=overwrite, archive=stage.archive)
    remove_checkpoints(out)
    return result


def opened_inputs(
    stage: Stage, inputs: Mapping[str, object], view: JsonObject
) -> dict[str, object]:
    """Open what a stage reads, by argument; view: by name, what is chosen from stores.

    Raises
    ------
    InputError
        Nothing that is read is a store, of which something could be chosen.
    """
    stores = [
        name for name, given in inputs.items() if given is not None and stage.reads[name].view
    ]
    if view and not stores:
        raise InputError(f"{', '.join(view)} given, which choose from a store; none is read")
    return {name: opened_as(stage.reads[name], given, view) for name, given in inputs.items()}


def opened_as(kind: Kind, given: object, view: JsonObject) -> object:
    """Open an input by its path or URL; one that is open already is returned as it is."""
    if not isinstance(given, str):
        return given
    view = {name: value for name, value in view.items() if name in kind.view}
    if kind in (MOMENTS, REFERENCES) and view:
        try:
            return view_of(given, view)
        except StoreInputError as error:
            options = ", ".join(view)
            raise InputError(f"{options} given, which choose from a store: {error}") from None
    if kind in (ENSEMBLE, SOLUTIONS):
        return view_of(given, view)
    if kind == CONFIGURATIONS:
        return _configurations(given, view)
    if kind == MODEL:
        from lsg_ray.ising.model import load_model

        return load_model(given)
    return given  # functions open references and moments themselves


def view_of(source: str | Ensemble, view: JsonObject) -> Ensemble | Configurations:
    """Open a store if it is not open, and select configurations and weights from it."""
    from lsg_ray.ensemble.reader import open_ensemble

    configurations: Any = open_ensemble(source) if isinstance(source, str) else source
    if view.get("snapshot") is not None:
        configurations = configurations.snapshot(view["snapshot"])
    if view.get("where") is not None:
        configurations = configurations.where(view["where"])
    if view.get("canonical"):
        from lsg_ray.statistics.node_symmetry import canonicalize

        configurations = canonicalize(configurations)
    part = view.get("part")
    if part is None:
        return configurations
    return configurations.part(int(part) if part.isdecimal() and len(part) < 9 else part)


def _configurations(path: str, view: JsonObject) -> Ensemble | Configurations:
    """Open another set of configurations: the same part of a store; a file as it is."""
    from lsg_ray.statistics.configurations import is_array_file, read_array

    if not is_array_file(path):
        return view_of(path, view)
    if view.get("canonical"):
        raise InputError(f"{path}: --canonical takes stores only; their networks are known")
    return read_array(path)


def run_study(
    steps: Mapping[str, Step],
    ensemble: Ensemble,
    folder: Path,
    *,
    beside: Mapping[str, Ensemble] | None = None,
    threads: int | None = None,
    only_cached: Collection[str] = (),
    log: Callable[[str], None] = lambda _: None,
    bar: Callable[[str], AbstractContextManager[Progress | None]] = lambda _: nullcontext(),
) -> dict[str, Outcome]:
    """Compute the steps of a study whose results are not cached.

    Parameters
    ----------
    steps
        Steps from `lsg_ray.spec.steps.parse_study`, each after those that it reads.
    ensemble
        Ensemble that the study is of.
    folder
        Folder for results, ``STEP.zarr`` each.
    beside
        Further ensembles that steps read, by name.
    threads
        Number of threads of functions that have threads of their own.
    only_cached
        Steps whose results are read if they are there, and not computed.
    log
        Called with a line of text as each step begins.
    bar
        Called with what a step counts; what it makes shows the progress of the step.
    """
    stores = {SAMPLED: ensemble, **(beside or {})}
    keys = {name: _key_of(store) for name, store in stores.items()}
    outcomes: dict[str, Outcome] = {}
    for number, (name, step) in enumerate(steps.items(), 1):
        began = time.perf_counter()
        result, reason, cached = None, _failed_input(step, outcomes), False
        if not reason:
            stage = "" if name == step.stage else f"{step.stage}, "
            log(f"{name} ({stage}step {number} of {len(steps)})")
            keys[name] = step_key(step, keys)
            result = read_cached(folder / f"{name}.zarr", keys[name])
            if result is not None and name not in only_cached:
                inputs = _inputs(step, stores, outcomes)
                result = None if stage_of(step.stage).stale(result, **inputs) else result
            cached = result is not None
        if not reason and result is None and name in only_cached:
            reason = "not computed"
        if not reason and result is None:
            try:
                with bar(stage_of(step.stage).unit) as progress:
                    result = _computed(
                        name, step, stores, outcomes, folder, keys[name], threads, progress
                    )
            except LsgError as error:
                reason = str(error).replace(f"{folder.absolute()}/", "")
            except MemoryError as error:
                reason = out_of_memory(error)
            except Exception as error:  # of one step, perhaps of another package: others go on
                text = " ".join(str(error).split())[:300]
                reason = f"{type(error).__name__}: {text}"
        seconds = round(time.perf_counter() - began, 3)
        outcomes[name] = Outcome(step, result, reason, seconds, cached)
    return outcomes


def _key_of(ensemble: Ensemble) -> str:
    """Return what a result depends on that reads the ensemble."""
    spec = ensemble.spec
    plugins = made_by(spec.network.family, spec.algorithm, spec.dataset.name)
    return " ".join([str(ensemble.info()["content_hash"]), *plugins])


def made_by(*names: object) -> list[str]:
    """Return package and version of plugins among some names."""
    known = origins()
    return [known[name] for name in names if isinstance(name, str) and name in known]


def step_key(step: Step, keys: Mapping[str, str]) -> str:
    """Return a digest of all that the result of a step depends on, given the keys of its inputs."""
    stage = stage_of(step.stage)
    given = stage.options(step.options)
    options = given.model_dump(mode="json", exclude=stage.unrecorded(given))
    reads = {name: source and keys[source] for name, source in step.inputs.items()}
    content = [step.stage, stage.version, results_version(), options, step.view, reads]
    content += made_by(step.stage, *options.values())
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _failed_input(step: Step, outcomes: Mapping[str, Outcome]) -> str:
    """Return a message if a step that this one needs has failed; else empty text."""
    for source in step.inputs.values():
        if source is not None and source in outcomes and outcomes[source].result is None:
            return f"needs {source}, of which there is no result"
    return ""


def _computed(
    name: str,
    step: Step,
    stores: Mapping[str, Ensemble],
    outcomes: Mapping[str, Outcome],
    folder: Path,
    key: str,
    threads: int | None,
    progress: Progress | None,
) -> xarray.Dataset:
    stage, inputs = stage_of(step.stage), _inputs(step, stores, outcomes)
    if why := stage.applies(*(value for value in inputs.values() if value is not None)):
        raise InputError(why)
    return compute(
        stage,
        inputs,
        stage.options(step.options),
        out=str(folder / f"{name}.zarr"),
        threads=threads,
        overwrite=True,
        key=key,
        progress=progress,
    )


def _inputs(
    step: Step, stores: Mapping[str, Ensemble], outcomes: Mapping[str, Outcome]
) -> dict[str, Any]:
    """Return the inputs of a step, by argument."""
    reads = stage_of(step.stage).reads
    inputs: dict[str, Any] = {}
    for argument, source in step.inputs.items():
        if source is None:
            inputs[argument] = None
        elif source in stores:
            # In all places the same configurations are read.
            inputs[argument] = view_of(stores[source], step.view if reads[argument].view else {})
        else:
            inputs[argument] = outcomes[str(source)].result
    return inputs
