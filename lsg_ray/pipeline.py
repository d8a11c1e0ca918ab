"""The whole pipeline: from a specification to a report, in one folder.

    DIR/spec.yaml        the specification, resolved
    DIR/ensemble.zarr    the ensemble
    DIR/moments.zarr     m and C with standard errors
    DIR/overlaps.zarr    P(q)
    DIR/distances.zarr   P(d) as sampled and in canonical form
    DIR/map.zarr         t-SNE of random starts and learned configurations
    DIR/model-PART.zarr  effective Ising models of LB, ITR, RB and full; cavity-, check-, scan- and
                         thermo-PART.zarr, iso.zarr, tap.zarr, dynamics.zarr: see `survey`
    DIR/report.html      the report, with its figures as PNG beside it

Of ReLU networks, in place of moments, maps and models: walks.zarr, constrained.zarr,
paths-ALIGNMENT.zarr, swaps.zarr, curvature.zarr, surface.zarr, clusters-ALIGNMENT.zarr,
replicas.zarr, and sk-TEMPERATURE.zarr to compare those with.

A specification with a ``study`` has its steps computed instead: STEP.zarr; see `lsg_ray.study`.

Run again, it resumes: the ensemble's missing blocks are sampled, statistics, which take seconds,
are computed anew, and of the landscape what is missing or belongs to fewer configurations.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import xarray

from lsg_ray.arrays import public
from lsg_ray.cluster.dask import dask_session
from lsg_ray.cluster.progress import Style
from lsg_ray.cluster.sample import sample
from lsg_ray.datasets import Dataset, load_dataset
from lsg_ray.ensemble.reader import Ensemble, open_ensemble
from lsg_ray.ensemble.verify import verify
from lsg_ray.errors import InputError, StoreError
from lsg_ray.ising.dynamics import Task
from lsg_ray.ising.survey import Survey, cannot_survey, survey
from lsg_ray.landscape.survey import Survey as SolutionSurvey
from lsg_ray.places import expanded, refuse_file_name
from lsg_ray.results.saving import check_target, kept, save_result
from lsg_ray.spec import Spec, as_yaml, load_spec
from lsg_ray.stages import stage_of
from lsg_ray.statistics.before_after import CONFIGURATIONS, symmetry_effect
from lsg_ray.statistics.maps import FEWEST, embed
from lsg_ray.statistics.moments import moments
from lsg_ray.statistics.overlaps import overlaps
from lsg_ray.study import Outcome, run_study

Result = TypeVar("Result")

#: Configurations of each kind on the t-SNE map.
MAP_POINTS = 500
#: Results that each run writes anew.
MEASURED = ("moments", "overlaps", "distances", "map")
#: Of the SK model that overlaps of ReLU networks are shown beside: spins, temperatures, replicas.
SK_SPINS, SK_TEMPERATURES, SK_REPLICAS = 128, (0.3, 1.5), 32


@public
def run(
    spec: Spec,
    folder: str | os.PathLike[str],
    *,
    address: str | None = None,
    workers: int | None = None,
    landscape: bool = True,
    style: Style = "quiet",
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Sample, verify, measure, fit and explore models, report.

    Parameters
    ----------
    spec
        The run; at least two configurations.
    folder
        Where results go: new, empty, or of an earlier run of the same specification.
    address, workers, style
        As in `lsg_ray.sample`.
    landscape
        Whether to fit models and explore their landscape, which takes minutes.
    say
        Told a line as each stage begins.

    Returns
    -------
    dict
        The ensemble's `info`, the path of the ``report``, the ``landscape`` (verdict, hysteresis
        and entropy by part), and ``stage_seconds``; of a specification with a ``study``, in place
        of the landscape, ``study`` (what is shown of each step, or why it ``failed``) and
        ``failed``, the names of those.

    Raises
    ------
    InputError
        The folder holds something else, or the specification is wrong; nothing was created.
    """
    place = Path(expanded(folder))
    _check_folder(spec, place, str(folder))
    timings: dict[str, float] = {}

    def timed(stage: str, work: Callable[[], Result]) -> Result:
        say(stage)
        began = time.perf_counter()
        result = work()
        timings[stage] = round(time.perf_counter() - began, 3)
        return result

    dataset = load_dataset(spec.dataset)
    store = place / "ensemble.zarr"
    timed("sample", lambda: sample(spec, store, address=address, workers=workers, style=style))
    (place / "spec.yaml").write_text(as_yaml(spec))
    timed("verify", lambda: _verify(store))
    ensemble = open_ensemble(store)
    if spec.study is not None:
        with dask_session(address, workers or None):
            outcomes = run_study(spec.study, ensemble, place, threads=workers or None, say=say)
        timings |= {name: outcome.seconds for name, outcome in outcomes.items()}
        page = timed("report", lambda: _study_report(place, ensemble, dataset, outcomes))
        return {
            **ensemble.info(), "report": str(page), "study": _told(outcomes),
            "failed": [name for name, outcome in outcomes.items() if outcome.result is None],
            "stage_seconds": timings,
        }  # fmt: skip
    if not ensemble.binary:
        with dask_session(address, workers or None):
            walked = timed("landscape", lambda: _walk(place, ensemble, landscape, say))
        page = timed("report", lambda: _solutions_report(place, ensemble, dataset, walked))
        return {
            **ensemble.info(), "report": str(page), "landscape": _measures(walked),
            "stage_seconds": timings,
        }  # fmt: skip
    measured = timed("statistics", lambda: _measure(ensemble, place))
    if landscape and not cannot_survey(ensemble):
        with dask_session(address, workers or None):
            measured["landscape"] = timed(
                "landscape", lambda: _explore(place, ensemble, dataset, measured["moments"], say)
            )
    report = timed("report", lambda: _report(place, ensemble, dataset, measured))
    return {
        **ensemble.info(), "report": str(report), "landscape": _verdicts(measured),
        "stage_seconds": timings,
    }  # fmt: skip


def report(folder: str | os.PathLike[str]) -> Path:
    """Measure the ensemble of a run's folder again and write its report anew.

    Of the landscape, what was computed for the same ensemble is shown.

    Raises
    ------
    InputError
        The folder holds no ensemble.
    """
    place = Path(expanded(folder))
    if not (place / "ensemble.zarr").is_dir():
        raise InputError(
            f"{place} holds no ensemble.zarr; make one with: lsg run SPEC --out {place}"
        )
    ensemble = open_ensemble(place / "ensemble.zarr")
    dataset = load_dataset(ensemble.spec.dataset, download=False)
    if (place / "spec.yaml").is_file() and (study := load_spec(place / "spec.yaml").study):
        with _of_others(place):
            outcomes = run_study(study, ensemble, place, only_cached=True)
            return _study_report(place, ensemble, dataset, outcomes)
    measured = _measure(ensemble, place) if ensemble.binary else {}
    with _of_others(place):
        if not ensemble.binary:
            walked = _walk(place, ensemble, (place / "walks.zarr").is_dir())
            return _solutions_report(place, ensemble, dataset, walked)
        if (place / "model-full.zarr").is_dir() and not cannot_survey(ensemble):
            measured["landscape"] = _explore(place, ensemble, dataset, measured["moments"])
        return _report(place, ensemble, dataset, measured)


@contextmanager
def _of_others(place: Path) -> Iterator[None]:
    """Tell in one line that a kept result, which somebody else may have made, is not as ours are.

    Raises
    ------
    StoreError
        An attribute or array is missing, or is of another type.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        fault = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise StoreError(
            f"{place}: a kept result does not hold what the report shows ({fault}); delete the "
            "results beside ensemble.zarr, or give lsg run a new folder"
        ) from error


def _check_folder(spec: Spec, place: Path, given: str) -> None:
    if spec.ensemble.count < 2:
        raise InputError("ensemble.count: 1 given; a report needs at least 2 configurations")
    if "://" in given:
        raise InputError(f"{given} is a URL; name a local folder (lsg sample takes URLs)")
    if not place.is_dir():
        refuse_file_name(place, "what a run writes", "without an ending")
    if place.exists() and not place.is_dir():
        raise InputError(f"{place} is a file; name a folder")
    if place.is_dir() and any(place.iterdir()) and not (place / "ensemble.zarr").exists():
        raise InputError(f"{place} holds other things; name a new or empty folder")
    for name in MEASURED:
        if (place / f"{name}.zarr").exists():  # a damaged one is told before hours of work
            check_target(place / f"{name}.zarr", overwrite=True)


def _verify(store: Path) -> None:
    found = verify(store)
    if not found.sound:
        raise StoreError(
            f"{store} is damaged ({len(found.findings)} findings); "
            f"run: lsg verify --repair {store}, then this command again"
        )


def _measure(ensemble: Ensemble, place: Path) -> dict[str, Any]:
    results: dict[str, Any] = {
        "moments": moments(ensemble),
        "overlaps": overlaps(ensemble, configurations=CONFIGURATIONS),
        "distances": symmetry_effect(ensemble),
        "map": None,
    }
    if ensemble.n_rows >= FEWEST:
        results["map"] = embed(ensemble, configurations=MAP_POINTS, starts=True)
    for name, result in results.items():
        if result is not None:
            save_result(result, place / f"{name}.zarr", overwrite=True)
    return results


def _explore(
    place: Path,
    ensemble: Ensemble,
    dataset: Dataset,
    found: xarray.Dataset,
    say: Callable[[str], None] = lambda _: None,
) -> Survey | str:
    """Survey the landscape; or say why there is none."""
    test, spec = dataset.test, ensemble.spec
    task = Task(spec.network, test.x, test.y, spec.loss)
    try:
        return survey(ensemble, found, place, task=task, say=say)
    except InputError as error:
        return f"No model: {error}."


def _study_report(
    place: Path, ensemble: Ensemble, dataset: Dataset, outcomes: Mapping[str, Outcome]
) -> Path:
    from lsg_ray.report.page import write_study_report
    from lsg_ray.report.study import Shown

    shown = [
        Shown(name, stage_of(outcome.step.stage), outcome.result, outcome.reason)
        for name, outcome in outcomes.items()
    ]
    return write_study_report(place, ensemble, dataset, shown)


def _told(outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    """Return what is printed of each step."""
    return {
        name: {"failed": outcome.reason}
        if outcome.result is None
        else stage_of(outcome.step.stage).shown(outcome.result)
        for name, outcome in outcomes.items()
    }


def _walk(
    place: Path,
    ensemble: Ensemble,
    wanted: bool,
    say: Callable[[str], None] = lambda _: None,
) -> SolutionSurvey | str:
    """Survey the landscape of ReLU networks; or say why not."""
    from lsg_ray.landscape.survey import cannot_survey, survey

    why = cannot_survey(ensemble) if wanted else "Not computed for this report."
    return why or survey(ensemble, place, say=say)


def _measures(walked: SolutionSurvey | str) -> dict[str, Any]:
    if isinstance(walked, str):
        return {}
    from lsg_ray.landscape.censored import survival_of

    return {
        "flat_width": {
            sigma: one._asdict() for sigma, one in survival_of(walked.walks, "flat_width").items()
        },
        "barrier": {
            name: float(path["train_barrier"].mean()) for name, path in walked.paths.items()
        },
        "top_eigenvalue": walked.curvature.attrs["top_eigenvalue_mean"],
        "trace": walked.curvature.attrs["trace_mean"],
        "distance": {name: found.attrs["mean"] for name, found in walked.clusters.items()},
    }


def _solutions_report(
    place: Path, ensemble: Ensemble, dataset: Dataset, walked: SolutionSurvey | str
) -> Path:
    from lsg_ray.report.page import write_solutions_report

    glass = {} if isinstance(walked, str) else _glass(place)
    return write_solutions_report(place, ensemble, dataset, walked, glass)


def _glass(place: Path) -> dict[str, xarray.Dataset]:
    """Return overlaps of replicas of the SK model, low and high temperature, by name."""
    from lsg_ray.ising.sk import sk_replicas
    from lsg_ray.results.pieces import results_version
    from lsg_ray.statistics.rsb import lattice_edges, replica_overlaps

    @cache
    def spins() -> xarray.Dataset:
        return sk_replicas(SK_SPINS, SK_TEMPERATURES, replicas=SK_REPLICAS)

    def overlaps(t: int) -> xarray.Dataset:
        drawn = spins()["spins"].values[0, t]
        return replica_overlaps(drawn, flip="symmetric", bins=lattice_edges(SK_SPINS))

    key = f"{SK_SPINS} {SK_REPLICAS} {results_version()}"
    return {
        f"SK {SK_SPINS}, T = {temperature:g}": kept(
            place / f"sk-{temperature:g}.zarr", key, partial(overlaps, t)
        )
        for t, temperature in enumerate(SK_TEMPERATURES)
    }


def _verdicts(measured: dict[str, Any]) -> dict[str, Any]:
    found = measured.get("landscape")
    if not isinstance(found, Survey):
        return {}
    return {
        name: {key: scan.attrs[key] for key in ("verdict", "hysteresis", "s0", "converged")}
        for name, scan in found.scans.items()
    }


def _report(place: Path, ensemble: Ensemble, dataset: Any, measured: dict[str, Any]) -> Path:
    from lsg_ray.report.page import write_report

    return write_report(
        place,
        ensemble,
        dataset,
        moments=measured["moments"],
        overlaps=measured["overlaps"],
        distances=measured["distances"],
        map_=measured["map"],
        landscape=measured.get("landscape") or cannot_survey(ensemble),
    )
