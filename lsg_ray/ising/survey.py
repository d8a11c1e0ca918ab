"""The landscape of an ensemble, surveyed as in the paper: what `lsg run` does after sampling.

Two models of each part of the network and of all of it: one by the cavity method, with which
belief propagation is consistent, for entropy scans, constant-energy curves and TAP states; and one
by persistent chains, which has the ensemble's moments, for the entropy by the heat capacity and for
Monte Carlo dynamics.  Each result is saved as it is done, with the content hash of the ensemble,
and is not computed again while that stays the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import xarray

from lsg_ray.ensemble.reader import Ensemble
from lsg_ray.errors import InputError
from lsg_ray.ising.boltzmann import fit_boltzmann
from lsg_ray.ising.dynamics import Task, relax
from lsg_ray.ising.entropy import entropy_scan
from lsg_ray.ising.isoenergy import iso_energy
from lsg_ray.ising.model import IsingModel, load_model
from lsg_ray.ising.tap import tap_states
from lsg_ray.ising.targets import Target, as_target
from lsg_ray.ising.thermodynamics import thermodynamics
from lsg_ray.results.pieces import results_version
from lsg_ray.results.saving import kept, read_kept, save_result

#: Configurations, at least, and weights, at most: a model has N² couplings.
FEWEST, LARGEST = 50, 2000
#: References of each group: of scans, and of constant-energy curves.
SCANNED, ISO = 4, 1
#: Fields of constant-energy curves.
ISO_FIELDS = tuple(round(0.2 * k, 10) for k in range(-15, 16))
#: How far cavity models stay from the border of stability: at it, small fields have two solutions.
MARGIN = 0.05
#: Starts of the TAP equations.
STARTS = 500
#: Of the integration of the heat capacity.
LADDERS, BURN_IN, DRAWS = 8, 150, 100


class Survey(NamedTuple):
    """What was found; by part where there are several models.

    checks: Monte Carlo of each model by persistent chains, with the data's moments beside; cavity:
    how near the beliefs of the others are; reasons: why a part has no model.
    """

    checks: dict[str, xarray.Dataset]
    cavity: dict[str, float]
    scans: dict[str, xarray.Dataset]
    curves: dict[str, xarray.Dataset]
    iso: xarray.Dataset
    states: xarray.Dataset
    runs: xarray.Dataset
    reasons: dict[str, str]


def cannot_survey(ensemble: Ensemble) -> str:
    """Return why an ensemble has no landscape, or an empty string."""
    if ensemble.spec.network.family != "binary":
        return "Effective models are of binary weights."
    if ensemble.n_rows < FEWEST:
        return f"Needs at least {FEWEST} configurations; there are {ensemble.n_rows:,}."
    if ensemble.n_weights > LARGEST:
        return f"Models of up to {LARGEST:,} weights; there are {ensemble.n_weights:,}."
    return ""


def survey(
    ensemble: Ensemble,
    moments: xarray.Dataset,
    folder: Path,
    *,
    task: Task | None = None,
    seed: int = 0,
    say: Callable[[str], None] = lambda _: None,
) -> Survey:
    """Fit models and explore their landscape.

    Parameters
    ----------
    ensemble
        At least `FEWEST` configurations, all of whole networks.
    moments
        Of the ensemble, from `lsg_ray.moments`.
    folder
        Where results are saved: ``model-PART.zarr`` (by chains), ``check-PART.zarr``,
        ``cavity-PART.zarr`` (model by the cavity method), ``scan-PART.zarr``,
        ``thermo-PART.zarr``, ``iso.zarr``, ``tap.zarr``, ``dynamics.zarr``.
    task
        For the accuracy along the dynamics.
    seed
        Of everything.
    say
        Told a line as each step begins.

    Raises
    ------
    InputError
        The whole network has no model, as all weights are frozen.
    """
    key = f"{ensemble.info()['content_hash']} {results_version()} {seed}"
    target = as_target(moments)
    parts = [name for name in target.parts() if len(target.parts()) > 1]
    checks, models, cavities, reasons = {}, {}, {}, {}
    for name in [*parts, "full"]:
        some = target if name == "full" else target.restrict(target.parts()[name])
        say(f"models of {name}")
        try:
            models[name], checks[name] = _fitted(folder, name, some, key, seed)
            cavities[name] = _cavity(folder, name, some, key, seed)
        except InputError as error:
            if name == "full":
                raise
            reasons[name] = str(error)

    def keep(name: str, make: Callable[[], xarray.Dataset]) -> xarray.Dataset:
        return kept(folder / f"{name}.zarr", key, make)

    scans, curves = {}, {}
    for name in cavities:
        say(f"landscape of {name}")
        scans[name] = keep(
            f"scan-{name}", partial(entropy_scan, cavities[name], ensemble, count=SCANNED)
        )
        curves[name] = keep(
            f"thermo-{name}",
            partial(thermodynamics, models[name], ladders=LADDERS, burn_in=BURN_IN, draws=DRAWS,
                    seed=seed),
        )  # fmt: skip
    whole, cavity = models["full"], cavities["full"]
    say("constant energy, TAP states, dynamics")
    return Survey(
        checks, {name: model.attributes["rms_C_method"] for name, model in cavities.items()}, scans,
        curves,
        keep("iso", lambda: iso_energy(cavity, ensemble, ISO_FIELDS, count=ISO)),
        keep("tap", lambda: tap_states(cavity, starts=STARTS, seed=seed)),
        keep("dynamics", lambda: relax(whole, ensemble, count=SCANNED, task=task, seed=seed)),
        reasons,
    )  # fmt: skip


def _cavity(folder: Path, name: str, target: Target, key: str, seed: int) -> IsingModel:
    place = folder / f"cavity-{name}.zarr"
    try:
        model = load_model(place)
        if model.attributes.get("survey") == key:
            return model
    except InputError:  # not there yet
        pass
    fit = fit_boltzmann(target, method="bp", verify=False, seed=seed, margin=MARGIN)
    fit.model.attributes["survey"] = key
    fit.model.save(place, overwrite=place.exists())
    return fit.model


def _fitted(
    folder: Path, name: str, target: Target, key: str, seed: int
) -> tuple[IsingModel, xarray.Dataset]:
    model_place, check_place = folder / f"model-{name}.zarr", folder / f"check-{name}.zarr"
    known = read_kept(check_place, key)
    if known is not None and read_kept(model_place, key) is not None:
        return load_model(model_place), known
    fit = fit_boltzmann(target, seed=seed)
    fit.model.attributes["survey"] = key
    fit.model.save(model_place, overwrite=True)
    names = ("delta_independent", "frozen", "duplicates", "converged")
    check = fit.check.assign_attrs(survey=key, **{k: int(fit.report[k]) if k != names[0]
                                                  else fit.report[k] for k in names})  # fmt: skip
    save_result(check, check_place, overwrite=True)
    return fit.model, check
