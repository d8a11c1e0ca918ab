"""The whole pipeline: from a specification to a report, in one folder.

    DIR/spec.yaml        the specification, resolved
    DIR/ensemble.zarr    the ensemble
    DIR/moments.zarr     m and C with standard errors
    DIR/overlaps.zarr    P(q)
    DIR/distances.zarr   P(d) as sampled and in canonical form
    DIR/map.zarr         t-SNE of random starts and learned configurations
    DIR/model-PART.zarr  effective Ising models of LB, ITR, RB and full; cavity-, scan- and
                         thermo-PART.zarr, iso.zarr, tap.zarr, dynamics.zarr
    DIR/report.html      the report, with its figures as PNG beside it

Of ReLU networks, in place of moments, maps and models: walks.zarr, constrained.zarr,
paths-ALIGNMENT.zarr, swaps.zarr, curvature.zarr, surface.zarr, clusters-ALIGNMENT.zarr,
replicas.zarr, and sk-TEMPERATURE.zarr to compare those with.

These are the steps of a study (`lsg_ray.studies`); a specification with a ``study`` of its own has
those computed instead, STEP.zarr each.

Run again, it resumes: the ensemble's missing blocks are sampled, and what is missing or depends on
something that has changed is computed (`lsg_ray.study`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import xarray

from lsg_ray.arrays import public
from lsg_ray.cluster.dask import dask_session
from lsg_ray.cluster.progress import Style
from lsg_ray.cluster.sample import sample
from lsg_ray.datasets import Dataset, load_dataset
from lsg_ray.ensemble.reader import Ensemble, open_ensemble
from lsg_ray.ensemble.verify import verify
from lsg_ray.errors import InputError, LsgError, StoreError
from lsg_ray.places import expanded, refuse_file_name
from lsg_ray.results.saving import check_target
from lsg_ray.spec import Spec, as_yaml, load_spec
from lsg_ray.stages import stage_of
from lsg_ray.studies import default_study
from lsg_ray.study import Outcome, run_study
from lsg_ray.typing import JsonObject, Place

if TYPE_CHECKING:
    from lsg_ray.report.landscape import Survey
    from lsg_ray.report.solutions import Survey as SolutionSurvey

Result = TypeVar("Result")

#: Steps that a report computes where they are missing, in seconds.
STATISTICS = ("moments", "overlaps", "distances", "map")


@public
def run(
    spec: Spec,
    folder: Place,
    *,
    address: str | None = None,
    workers: int | None = None,
    landscape: bool = True,
    style: Style = "quiet",
    say: Callable[[str], None] = lambda _: None,
) -> JsonObject:
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
    default = default_study(ensemble, landscape)
    steps = default.steps if spec.study is None else spec.study
    with dask_session(address, workers or None):
        outcomes = run_study(steps, ensemble, place, threads=workers or None, say=say)
    timings |= {name: outcome.seconds for name, outcome in outcomes.items()}
    found: dict[str, Any]
    if spec.study is not None:
        page = timed("report", lambda: _study_report(place, ensemble, dataset, outcomes))
        found = {
            "study": _told(outcomes),
            "failed": [name for name, outcome in outcomes.items() if outcome.result is None],
        }
    else:
        page, told = timed("report", lambda: _default_report(
            place, ensemble, dataset, outcomes, default.reason))  # fmt: skip
        found = {"landscape": told}
    return {**ensemble.info(), "report": str(page), **found, "stage_seconds": timings}


def report(folder: Place) -> Path:
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
    given = load_spec(place / "spec.yaml").study if (place / "spec.yaml").is_file() else None
    if given is not None:
        with _of_others(place):
            outcomes = run_study(given, ensemble, place, only_cached=set(given))
            return _study_report(place, ensemble, dataset, outcomes)
    known = "model-full.zarr" if ensemble.binary else "walks.zarr"
    default = default_study(ensemble, (place / known).is_dir())
    with _of_others(place):
        slow = {name for name in default.steps if name not in STATISTICS}
        outcomes = run_study(default.steps, ensemble, place, only_cached=slow)
        return _default_report(place, ensemble, dataset, outcomes, default.reason)[0]


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
    for path in sorted(place.glob("*.zarr")):
        if path.name != "ensemble.zarr":  # a damaged one is told before hours of work
            check_target(path, overwrite=True)


def _verify(store: Path) -> None:
    found = verify(store)
    if not found.sound:
        raise StoreError(
            f"{store} is damaged ({len(found.findings)} findings); "
            f"run: lsg verify --repair {store}, then this command again"
        )


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


Results = Mapping[str, xarray.Dataset]


def _default_report(
    place: Path, ensemble: Ensemble, dataset: Dataset, outcomes: Mapping[str, Outcome], reason: str
) -> tuple[Path, dict[str, Any]]:
    """Write the report of a study by default; return its path, and what is told of the run."""
    from lsg_ray.report.page import write_report, write_solutions_report

    found = {name: one.result for name, one in outcomes.items() if one.result is not None}
    lacking = {name: one.reason for name, one in outcomes.items() if one.result is None}
    if ensemble.binary:
        for name in STATISTICS:
            if name in lacking:
                raise LsgError(f"{name}: {lacking[name]}")
        survey = reason or _signs(found, lacking)
        page = write_report(
            place, ensemble, dataset, landscape=survey, map_=found.get("map"),
            **{name: found.get(name) for name in ("moments", "overlaps", "distances")},
        )  # fmt: skip
        return page, {} if isinstance(survey, str) else _verdicts(survey)
    solutions = reason or _solutions(found, lacking)
    page = write_solutions_report(place, ensemble, dataset, solutions)
    return page, {} if isinstance(solutions, str) else _measures(solutions)


def _of_parts(found: Results, kind: str) -> dict[str, xarray.Dataset]:
    """Return results KIND-PART by part."""
    return {n.removeprefix(f"{kind}-"): r for n, r in found.items() if n.startswith(f"{kind}-")}


def _signs(found: Results, lacking: Mapping[str, str]) -> Survey | str:
    """Return the landscape of ±1 weights; or why there is none."""
    from lsg_ray.report.landscape import Survey

    for name in ("model-full", "cavity-full", "scan-full", "iso", "tap", "dynamics"):
        if name in lacking:
            return f"No model: {lacking[name]}."
    cavity = _of_parts(found, "cavity")
    return Survey(
        _of_parts(found, "model"),
        {name: model.attrs["rms_C_method"] for name, model in cavity.items()},
        _of_parts(found, "scan"), _of_parts(found, "thermo"), found["iso"], found["tap"],
        found["dynamics"],
        {n.removeprefix("model-"): why for n, why in lacking.items() if n.startswith("model-")},
    )  # fmt: skip


def _solutions(found: Results, lacking: Mapping[str, str]) -> SolutionSurvey | str:
    """Return the landscape of real weights; or why there is none."""
    from lsg_ray.report.solutions import Survey

    for name, why in lacking.items():
        return f"No {name}: {why}."
    glass = _of_parts(found, "sk")
    return Survey(
        found["walks"], found["constrained"], _of_parts(found, "paths"), found["swaps"],
        found["curvature"], found["surface"], _of_parts(found, "clusters"), found["replicas"],
        {f"SK {g.attrs['n_weights']}, T = {name}": g for name, g in glass.items()},
    )  # fmt: skip


def _measures(walked: SolutionSurvey) -> dict[str, Any]:
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


def _verdicts(survey: Survey) -> dict[str, Any]:
    return {
        name: {key: scan.attrs[key] for key in ("verdict", "hysteresis", "s0", "converged")}
        for name, scan in survey.scans.items()
    }
