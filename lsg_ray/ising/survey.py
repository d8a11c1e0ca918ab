"""The landscape of an ensemble, surveyed as in the paper: what `lsg run` does after sampling.

Models of each part of the network and of all of it; entropy scans around references of low,
medium and high energy; constant-energy curves, TAP states and Monte Carlo dynamics of the whole;
entropy by the heat capacity.  Each result is saved as it is done, with the content hash of the
ensemble, and is not computed again while that stays the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import xarray

from lsg_ray.ensemble.header import package_version
from lsg_ray.ensemble.reader import Ensemble
from lsg_ray.errors import InputError
from lsg_ray.ising.annealing import anneal_scan
from lsg_ray.ising.boltzmann import fit_boltzmann
from lsg_ray.ising.branch import bethe_entropy
from lsg_ray.ising.dynamics import Task, relax
from lsg_ray.ising.entropy import entropy_scan
from lsg_ray.ising.hysteresis import ENOUGH
from lsg_ray.ising.isoenergy import iso_energy
from lsg_ray.ising.model import IsingModel, load_model
from lsg_ray.ising.tap import tap_states
from lsg_ray.ising.targets import Target, as_target
from lsg_ray.ising.thermodynamics import thermodynamics
from lsg_ray.statistics.results import save_result

#: Configurations, at least, and weights, at most: a model has N² couplings.
FEWEST, LARGEST = 50, 2000
#: References of each group: of scans, and of constant-energy curves.
SCANNED, ISO = 5, 1
#: Fields of constant-energy curves.
ISO_FIELDS = tuple(round(0.2 * k, 10) for k in range(-15, 16))
#: Of Monte Carlo scans, where the cavity approximation fails: references of each group, fields.
ANNEALED, ANNEALED_FIELDS, CHAINS, SCAN_BURN_IN, SCAN_DRAWS = 1, ISO_FIELDS, 64, 20, 30
#: Starts of the TAP equations.
STARTS = 500
#: Of the integration of the heat capacity.
LADDERS, BURN_IN, DRAWS = 8, 200, 150


class Survey(NamedTuple):
    """What was found; by part where there are several models.

    checks: Monte Carlo of each model, with the data's moments beside; reasons: why a part has no
    model.
    """

    checks: dict[str, xarray.Dataset]
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
        Where results are saved: ``model-PART.zarr``, ``check-PART.zarr``, ``scan-PART.zarr``,
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
    key = f"{ensemble.info()['content_hash']} {package_version()} {seed}"
    target = as_target(moments)
    parts = [name for name in target.parts() if len(target.parts()) > 1]
    checks, models, scans, curves, reasons = {}, {}, {}, {}, {}
    for name in [*parts, "full"]:
        some = target if name == "full" else target.restrict(target.parts()[name])
        say(f"model of {name}")
        try:
            models[name], checks[name] = _fitted(folder, name, some, key, seed)
        except InputError as error:
            if name == "full":
                raise
            reasons[name] = str(error)

    def keep(name: str, make: Callable[[], xarray.Dataset]) -> xarray.Dataset:
        return _kept(folder / f"{name}.zarr", key, make)

    for name, model in models.items():
        say(f"landscape of {name}")
        scans[name] = keep(f"scan-{name}", partial(_scan, model, ensemble, seed))
        curves[name] = keep(f"thermo-{name}", partial(_thermodynamics, model, seed))
    whole = models["full"]
    say("constant energy, TAP states, dynamics")
    return Survey(
        checks, scans, curves,
        keep("iso", lambda: iso_energy(whole, ensemble, ISO_FIELDS, count=ISO)),
        keep("tap", lambda: tap_states(whole, starts=STARTS, seed=seed)),
        keep("dynamics", lambda: relax(whole, ensemble, count=SCANNED, task=task, seed=seed)),
        reasons,
    )  # fmt: skip


def _fitted(
    folder: Path, name: str, target: Target, key: str, seed: int
) -> tuple[IsingModel, xarray.Dataset]:
    model_place, check_place = folder / f"model-{name}.zarr", folder / f"check-{name}.zarr"
    known = _read(check_place, key)
    if known is not None:
        model = load_model(model_place)
        if model.attributes.get("survey") == key:
            return model, known
    fit = fit_boltzmann(target, seed=seed)
    fit.model.attributes["survey"] = key
    fit.model.save(model_place, overwrite=True)
    names = ("delta_independent", "frozen", "converged")
    check = fit.check.assign_attrs(survey=key, **{k: int(fit.report[k]) if k != names[0]
                                                  else fit.report[k] for k in names})  # fmt: skip
    save_result(check, check_place, overwrite=True)
    return fit.model, check


def _scan(model: IsingModel, ensemble: Ensemble, seed: int) -> xarray.Dataset:
    """Scan by the cavity method, or by Monte Carlo where that cannot tell."""
    found = entropy_scan(model, ensemble, count=SCANNED)
    if found.attrs["verdict"] != "undetermined" and found.attrs["stable"] >= ENOUGH:
        return found
    return anneal_scan(
        model, ensemble, ANNEALED_FIELDS, count=ANNEALED, chains=CHAINS, burn_in=SCAN_BURN_IN,
        draws=SCAN_DRAWS, seed=seed,
    )  # fmt: skip


def _thermodynamics(model: IsingModel, seed: int) -> xarray.Dataset:
    found = thermodynamics(model, ladders=LADDERS, burn_in=BURN_IN, draws=DRAWS, seed=seed)
    cavity = bethe_entropy(model)
    return found.assign_attrs(s_bethe=cavity.s, s_bethe_stable=int(cavity.stable))


def _kept(place: Path, key: str, make: Callable[[], xarray.Dataset]) -> xarray.Dataset:
    known = _read(place, key)
    if known is not None:
        return known
    found = make().assign_attrs(survey=key)
    save_result(found, place, overwrite=True)
    return found


def _read(place: Path, key: str) -> xarray.Dataset | None:
    """Return an earlier result of the same ensemble, or None."""
    try:
        with xarray.open_zarr(place) as found:
            return found.load() if found.attrs.get("survey") == key else None
    except Exception:  # not there, or damaged: it is computed anew
        return None
