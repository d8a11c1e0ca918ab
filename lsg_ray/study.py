"""Runs of stages: open what one reads, compute, and save the result with its provenance.

A study is a graph of stages over an ensemble.  Each result is saved as it is done, under a key that
tells all it depends on: the stage with its version and options, the package's version, and the keys
of what it reads, for an ensemble its content hash.  What has the key is not computed again.  A step
that fails says why, and the steps that do not need it go on.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray

from lsg_ray.ensemble.reader import Ensemble
from lsg_ray.errors import InputError, LsgError, StoreInputError, out_of_memory
from lsg_ray.registry import origins
from lsg_ray.results.pieces import forget_pieces, pieces_of, results_version
from lsg_ray.results.saving import read_kept, save_result
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
)  # fmt: skip
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
        What is computed, with options from `Stage.options`.
    inputs
        By argument: places, or what is open already; None where it is left out.
    out
        Place of the result.
    view
        Of stores that are read, by name of `lsg_ray.stage.VIEW`.
    threads
        Of functions that run on threads of their own.
    overwrite
        Whether an earlier result is replaced.
    key
        Saved with it: what it depends on, for `run_study`.
    progress
        Told ``(done, in all)``.

    Returns
    -------
    xarray.Dataset
        The result; of a stage that makes a store, the `Ensemble`.

    Raises
    ------
    InputError
        As the function of the stage, or the place is none for a result.
    """
    opened = opened_inputs(stage, inputs, view or {})
    context = {
        name: value
        for name, value in (
            ("progress", progress), ("threads", threads), ("pieces", pieces_of(out)), ("out", out),
        )
        if stage.accepts(name)
    }  # fmt: skip
    found = stage.run(**opened, **options.model_dump(), **context)
    return found if stage.makes == "store" else save(stage, found, options, out, overwrite, key)


def save(
    stage: Stage, found: xarray.Dataset, options: Config, out: str, overwrite: bool = False,
    key: str | None = None,
) -> xarray.Dataset:  # fmt: skip
    """Save the result of a stage with its provenance; see `compute`."""
    found = found.assign_attrs(stage=stage.name, options=options.model_dump_json())
    if key is not None:
        found = found.assign_attrs(survey=key)
    save_result(found, out, overwrite=overwrite, archive=stage.archive)
    forget_pieces(out)
    return found


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
    """Open what a place holds; what is open already is returned as it is."""
    if not isinstance(given, str):
        return given
    view = {name: value for name, value in view.items() if name in kind.view}
    if kind in (MOMENTS, REFERENCES) and view:
        try:
            return view_of(given, view)
        except StoreInputError as error:
            told = f"{', '.join(view)} given, which choose from a store: {error}"
            raise InputError(told) from None
    if kind in (ENSEMBLE, SOLUTIONS):
        return view_of(given, view)
    if kind == CONFIGURATIONS:
        return _configurations(given, view)
    if kind == MODEL:
        from lsg_ray.ising.model import load_model

        return load_model(given)
    return given  # functions open references and moments themselves


def view_of(place: str | Ensemble, view: JsonObject) -> Ensemble | Configurations:
    """Open a store, if it is not open, or the chosen configurations and weights of one."""
    from lsg_ray.ensemble.reader import open_ensemble

    found: Any = open_ensemble(place) if isinstance(place, str) else place
    if view.get("snapshot") is not None:
        found = found.snapshot(view["snapshot"])
    if view.get("where") is not None:
        found = found.where(view["where"])
    if view.get("canonical"):
        from lsg_ray.statistics.node_symmetry import canonicalize

        found = canonicalize(found)
    part = view.get("part")
    if part is None:
        return found
    return found.part(int(part) if part.isdecimal() and len(part) < 9 else part)


def _configurations(place: str, view: JsonObject) -> Ensemble | Configurations:
    """Open another set: of a store, the same part; of a file, as it is."""
    from lsg_ray.statistics.configurations import is_array_file, read_array

    if not is_array_file(place):
        return view_of(place, view)
    if view.get("canonical"):
        raise InputError(f"{place}: --canonical takes stores only; their networks are known")
    return read_array(place)


def run_study(
    steps: Mapping[str, Step],
    ensemble: Ensemble,
    folder: Path,
    *,
    threads: int | None = None,
    only_cached: Collection[str] = (),
    say: Callable[[str], None] = lambda _: None,
    progress: Progress | None = None,
) -> dict[str, Outcome]:
    """Compute the steps of a study that are not there yet.

    Parameters
    ----------
    steps
        From `lsg_ray.spec.steps.parse_study`: those first that others read.
    ensemble
        What they are of.
    folder
        Where results are saved: ``STEP.zarr``.
    threads
        Of functions that run on threads of their own.
    only_cached
        Steps that are left out where their results are not there.
    say
        Told a line as each step begins.
    progress
        Told ``(done, in all)`` of a step.
    """
    spec = ensemble.spec
    of = made_by(spec.network.family, spec.algorithm, spec.dataset.name)
    keys = {SAMPLED: " ".join([str(ensemble.info()["content_hash"]), *of])}
    outcomes: dict[str, Outcome] = {}
    for name, step in steps.items():
        began = time.perf_counter()
        result, reason, cached = None, _missing(step, outcomes), False
        if not reason:
            say(name if name == step.stage else f"{name} ({step.stage})")
            keys[name] = step_key(step, keys)
            result = read_kept(folder / f"{name}.zarr", keys[name])
            if result is not None and name not in only_cached:
                inputs = _inputs(step, ensemble, outcomes)
                result = None if stage_of(step.stage).stale(result, **inputs) else result
            cached = result is not None
        if not reason and result is None and name in only_cached:
            reason = "not computed"
        if not reason and result is None:
            try:
                result = _computed(name, step, ensemble, outcomes, folder, keys[name], threads,
                                   progress)  # fmt: skip
            except LsgError as error:
                reason = str(error)
            except MemoryError as error:
                reason = out_of_memory(error)
            except Exception as error:  # of one step, perhaps of another package: others go on
                told = " ".join(str(error).split())[:300]
                reason = f"{type(error).__name__}: {told}"
        seconds = round(time.perf_counter() - began, 3)
        outcomes[name] = Outcome(step, result, reason, seconds, cached)
    return outcomes


def made_by(*names: object) -> list[str]:
    """Return package and version of those of some names that installed packages declare."""
    known = origins()
    return [known[name] for name in names if isinstance(name, str) and name in known]


def step_key(step: Step, keys: Mapping[str, str]) -> str:
    """Return a digest of all that the result of a step depends on; keys: of what it may read."""
    stage = stage_of(step.stage)
    options = stage.options(step.options).model_dump(mode="json")
    reads = {name: source and keys[source] for name, source in step.inputs.items()}
    told = [step.stage, stage.version, results_version(), options, step.view, reads]
    told += made_by(step.stage, *options.values())
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _missing(step: Step, outcomes: Mapping[str, Outcome]) -> str:
    """Return which step that is needed has failed, as text; empty if none has."""
    for source in step.inputs.values():
        if source is not None and source in outcomes and outcomes[source].result is None:
            return f"needs {source}, of which there is no result"
    return ""


def _computed(
    name: str, step: Step, ensemble: Ensemble, outcomes: Mapping[str, Outcome], folder: Path,
    key: str, threads: int | None, progress: Progress | None,
) -> xarray.Dataset:  # fmt: skip
    stage, inputs = stage_of(step.stage), _inputs(step, ensemble, outcomes)
    if why := stage.applies(*(value for value in inputs.values() if value is not None)):
        raise InputError(why)
    return compute(
        stage, inputs, stage.options(step.options), out=str(folder / f"{name}.zarr"),
        threads=threads, overwrite=True, key=key, progress=progress,
    )  # fmt: skip


def _inputs(step: Step, ensemble: Ensemble, outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    """Return what a step reads, by argument."""
    reads = stage_of(step.stage).reads
    inputs: dict[str, Any] = {}
    for argument, source in step.inputs.items():
        if source is None:
            inputs[argument] = None
        elif source == SAMPLED:
            # Of one ensemble the same configurations are read in all places.
            inputs[argument] = view_of(ensemble, step.view if reads[argument].view else {})
        else:
            inputs[argument] = outcomes[str(source)].result
    return inputs
