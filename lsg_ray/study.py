"""Runs of stages: open what one reads, compute, and save the result with its provenance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray

from lsg_ray.errors import InputError
from lsg_ray.stage import CONFIGURATIONS, ENSEMBLE, MODEL, SOLUTIONS, Config, Kind, Stage
from lsg_ray.statistics.pieces import forget_pieces, pieces_of
from lsg_ray.statistics.results import save_result
from lsg_ray.typing import Progress


def compute(
    stage: Stage,
    inputs: Mapping[str, Any],
    options: Config,
    *,
    out: str,
    view: Mapping[str, Any] | None = None,
    threads: int | None = None,
    overwrite: bool = False,
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
        Of an ensemble: ``where``, ``part``, ``canonical``.
    threads
        Of functions that run on threads of their own.
    overwrite
        Whether an earlier result is replaced.
    progress
        Told ``(done, in all)``.

    Raises
    ------
    InputError
        As the function of the stage, or the place is none for a result.
    """
    opened = {
        name: opened_as(stage.reads[name], given, view or {}) for name, given in inputs.items()
    }
    context = {
        name: value
        for name, value in (
            ("progress", progress), ("threads", threads), ("pieces", pieces_of(out)),
        )
        if stage.accepts(name)
    }  # fmt: skip
    found = stage.run(**opened, **options.model_dump(), **context)
    found = found.assign_attrs(stage=stage.name, options=options.model_dump_json())
    save_result(found, out, overwrite=overwrite, archive=stage.archive)
    forget_pieces(out)
    return found


def opened_as(kind: Kind, given: Any, view: Mapping[str, Any]) -> Any:
    """Open what a place holds; what is open already is returned as it is."""
    if not isinstance(given, str):
        return given
    if kind in (ENSEMBLE, SOLUTIONS):
        return view_of(given, view)
    if kind == CONFIGURATIONS:
        return _configurations(given, view)
    if kind == MODEL:
        from lsg_ray.ising.model import load_model

        return load_model(given)
    return given  # functions open references and moments themselves


def view_of(place: str, view: Mapping[str, Any]) -> Any:
    """Open a store, or the chosen configurations and weights of one."""
    from lsg_ray.ensemble.reader import open_ensemble

    found: Any = open_ensemble(place)
    if view.get("where"):
        found = found.where(view["where"])
    if view.get("canonical"):
        from lsg_ray.statistics.symmetry import canonicalize

        found = canonicalize(found)
    part = view.get("part")
    if part is None:
        return found
    return found.part(int(part) if part.isdecimal() and len(part) < 9 else part)


def _configurations(place: str, view: Mapping[str, Any]) -> Any:
    """Open another set: of a store, the same part; of a file, as it is."""
    from lsg_ray.statistics.configurations import is_array_file, read_array

    if not is_array_file(place):
        return view_of(place, {**view, "where": None})
    if view.get("canonical"):
        raise InputError(f"{place}: --canonical takes stores only; their networks are known")
    return read_array(place)
