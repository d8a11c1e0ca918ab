"""The whole pipeline: from a specification to a report, in one folder.

    DIR/spec.yaml        the specification, resolved
    DIR/ensemble.zarr    the ensemble, and NAME.zarr those beside it
    DIR/moments.zarr     m and C with standard errors
    DIR/overlaps.zarr    P(q)
    DIR/distances.zarr   P(d) as sampled and in canonical form
    DIR/map.zarr         t-SNE of random starts and learned configurations
    DIR/model-PART.zarr  effective Ising models of LB, ITR, RB and full; cavity-, scan- and
                         thermo-PART.zarr, iso.zarr, tap.zarr, dynamics.zarr
    DIR/report.html      the report, with its figures and their data in DIR/figures

Of ReLU networks, in path of moments, maps and models: walks.zarr, constrained.zarr,
paths-ALIGNMENT.zarr, swaps.zarr, curvature.zarr, surface.zarr, clusters-ALIGNMENT.zarr,
replicas.zarr, and sk-TEMPERATURE.zarr to compare those with.

These are the steps of a study (`lsg_ray.studies`); a specification with a ``study`` of its own has
those computed instead, STEP.zarr each.

Run again, it resumes: the ensemble's missing blocks are sampled, and what is missing or depends on
something that has changed is computed (`lsg_ray.study`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from lsg_ray.arrays import public
from lsg_ray.cluster.dask import dask_session
from lsg_ray.cluster.progress import Style, progress_bar
from lsg_ray.cluster.replica_actors import check_actors
from lsg_ray.cluster.sample import sample
from lsg_ray.datasets import load_dataset
from lsg_ray.ensemble.expression import compile_expression
from lsg_ray.ensemble.header import read_header
from lsg_ray.ensemble.location import locate
from lsg_ray.ensemble.reader import Ensemble, open_ensemble
from lsg_ray.ensemble.schema import arrays_of, seen
from lsg_ray.ensemble.verify import verify
from lsg_ray.ensemble.writer import check_same_run
from lsg_ray.errors import InputError, LsgError, StoreError, StoreInputError
from lsg_ray.paths import expanded, refuse_file_name
from lsg_ray.registry import ALGORITHMS, FAMILIES
from lsg_ray.renaming import renamed
from lsg_ray.results.saving import check_target
from lsg_ray.spec import Spec, as_yaml, load_readable_spec
from lsg_ray.spec.steps import SAMPLED, Outcome, Step
from lsg_ray.stage import SOLUTIONS
from lsg_ray.stages import stage_of
from lsg_ray.studies import default_study
from lsg_ray.study import run_study
from lsg_ray.typing import JsonObject, PathOrUrl

Result = TypeVar("Result")

#: Stages that take seconds: a report computes them where their results are missing.
QUICK_STAGES = ("moments", "overlaps", "node-distances", "embed")


@renamed(say="log")
@public
def run(
    spec: Spec,
    folder: PathOrUrl,
    *,
    address: str | None = None,
    workers: int | None = None,
    actors: int = 1,
    worker_cpus: float = 1,
    worker_gpus: float | None = None,
    ensembles: PathOrUrl | None = None,
    landscape: bool = True,
    download: bool = True,
    style: Style = "notebook",
    log: Callable[[str], None] = lambda _: None,
) -> JsonObject:
    """Sample, verify, measure, fit and explore models, report.

    Parameters
    ----------
    spec
        Specification of the run, with at least two configurations.
    folder
        Folder for all results: new, empty, or of an earlier run of the same specification.
    address, workers, worker_cpus, worker_gpus, style
        As in `lsg_ray.sample`.
    actors
        Number of processes that share the replicas of a trial, of ensembles whose solver has some.
    ensembles
        Folder of ensembles that several runs share: each is sampled there, under its name and the
        hash of its specification, and a link in ``folder`` leads to it.
    landscape
        Whether to fit models and compute their entropy landscape (of real weights: the loss
        landscape), which takes minutes.
    download
        Whether a data set that is not on this machine is downloaded.
    log
        Called with a line of text as each stage begins.

    Returns
    -------
    dict
        The ensemble's `info`, the path of the ``report``, ``study`` (what is shown of each step,
        or why it has ``failed`` or was ``left_out``), ``failed``, the names of those, and
        ``stage_seconds``.

    Raises
    ------
    InputError
        The folder holds something else, or the specification is wrong; nothing was created.
    DataError
        A data set is not on this machine and may not, or cannot, be downloaded; likewise.
    """
    path = Path(expanded(folder))
    _check_folder(spec, path, str(folder))
    if "://" in str(ensembles or ""):
        raise InputError(f"{ensembles} is a URL; name a local folder of ensembles")
    _check_study(spec)
    _check_actors(spec, actors)
    timings: dict[str, float] = {}

    def timed(stage: str, work: Callable[[], Result]) -> Result:
        log(stage)
        began = time.perf_counter()
        result = work()
        timings[stage] = round(time.perf_counter() - began, 3)
        return result

    from lsg_ray.report.page import write_report

    for name, one in spec.others.items():
        check_same_run(path / f"{name}.zarr", one)
    if not download:
        for of in {one.dataset.name: one.dataset for one in spec.ensembles.values()}.values():
            load_dataset(of, download=False)
    dataset = load_dataset(spec.dataset)
    for name, one in spec.ensembles.items():
        what, store = "" if name == SAMPLED else f" {name}", _place(path, name, one, ensembles)
        shared = actors if ALGORITHMS[one.algorithm].replicas else 1
        sampling = partial(
            sample,
            address=address,
            workers=workers,
            actors=shared,
            worker_cpus=worker_cpus,
            worker_gpus=worker_gpus,
            style=style,
        )
        timed(f"sample{what}", partial(sampling, one, store))
        _link(path / f"{name}.zarr", store)
        if name == SAMPLED:
            (path / "spec.yaml").write_text(as_yaml(spec), encoding="utf-8")
        timed(f"verify{what}", partial(_verify, store))
    ensemble, beside = open_ensemble(path / "ensemble.zarr"), _beside(spec, path)
    steps, left_out = _study(spec, ensemble, landscape)
    with dask_session(address, workers or None) as tasks:
        outcomes = run_study(
            steps,
            ensemble,
            path,
            beside=beside,
            threads=workers or None,
            log=log,
            bar=partial(progress_bar, style=style, together=tasks),
        )
    outcomes |= left_out
    timings |= {name: outcomes[name].seconds for name in steps}
    page = timed("report", lambda: write_report(path, ensemble, dataset, outcomes, beside, spec))
    return {
        **ensemble.info(),
        "report": str(page),
        "study": {name: outcome.shown() for name, outcome in outcomes.items()},
        "failed": [name for name, outcome in outcomes.items() if outcome.failed],
        "stage_seconds": timings,
    }


def report(folder: PathOrUrl, formats: Collection[str] | None = None) -> Path:
    """Measure the ensemble in the folder of a run again, and write its report again.

    ``formats``: what figures can be downloaded as, of png, pdf, svg and csv; by default all.

    Of models and landscapes, what was computed for the same ensemble is shown.  Steps that cannot
    be read, such as those of a package that is no longer installed, have sections that say so.

    Raises
    ------
    InputError
        The folder holds no ensemble.
    """
    path = Path(expanded(folder))
    if not (path / "ensemble.zarr").is_dir():
        raise InputError(f"{path} holds no ensemble.zarr; make one with: lsg run SPEC --out {path}")
    from lsg_ray.report.page import write_report
    from lsg_ray.report.section import FORMATS, chosen_formats

    kinds = chosen_formats(FORMATS if formats is None else formats)
    ensemble = open_ensemble(path / "ensemble.zarr")
    given = path / "spec.yaml"
    spec, unread = load_readable_spec(given) if given.is_file() else (ensemble.spec, {})
    dataset = load_dataset(ensemble.spec.dataset, download=False)
    steps, left_out = _study(spec, ensemble, True)
    slow = {name for name, step in steps.items() if step.stage not in QUICK_STAGES}
    if spec.study is None and not any((path / f"{name}.zarr").is_dir() for name in slow):
        steps, left_out = _study(spec, ensemble, False)
    absent = [name for name in spec.beside if not (path / f"{name}.zarr").is_dir()]
    steps, without = _readable(steps, absent)
    beside = _beside(spec, path, absent)
    outcomes = run_study(steps, ensemble, path, beside=beside, only_cached=slow)
    left_out |= without
    left_out |= {name: Outcome(None, None, reason) for name, reason in unread.items()}
    return write_report(path, ensemble, dataset, outcomes | left_out, beside, spec, kinds)


def _beside(spec: Spec, path: Path, absent: Collection[str] = ()) -> dict[str, Ensemble]:
    """Open the ensembles beside the one of a run, but those that are not there."""
    there = (name for name in spec.beside if name not in absent)
    return {name: open_ensemble(path / f"{name}.zarr") for name in there}


def _readable(
    steps: dict[str, Step], absent: list[str]
) -> tuple[dict[str, Step], dict[str, Outcome]]:
    """Return the steps that need no absent ensemble, and why the others are left out."""
    kept, left_out = {}, {}
    for name, step in steps.items():  # those first that others read
        needed = [s for s in step.inputs.values() if s in absent or s in left_out]
        if needed:
            left_out[name] = Outcome(None, None, f"it reads {needed[0]}, which is not there")
        else:
            kept[name] = step
    return kept, left_out


def _study(
    spec: Spec, ensemble: Ensemble, landscape: bool
) -> tuple[dict[str, Step], dict[str, Outcome]]:
    """Return the steps of a specification, or the default ones and what these leave out."""
    if spec.study is not None:
        return spec.study, {}
    steps, left_out = default_study(ensemble, landscape)
    return steps, {name: Outcome(None, None, reason) for name, reason in left_out.items()}


def _place(path: Path, name: str, spec: Spec, ensembles: PathOrUrl | None) -> Path:
    """Return the path of an ensemble: in the folder of the run, or in one that runs share."""
    own = path / f"{name}.zarr"
    if ensembles is None or own.exists():
        return own
    return Path(expanded(ensembles)).resolve() / f"{spec.name}-{spec.hash[:12]}.zarr"


def _link(link: Path, store: Path) -> None:
    """Let a path in the folder of a run lead to its store."""
    if link == store:
        return
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(store, target_is_directory=True)
    except OSError as error:
        raise StoreError(f"{link}: no link could be made: {error.strerror or error}") from error


def _check_folder(spec: Spec, path: Path, given: str) -> None:
    if spec.ensemble.count < 2:
        raise InputError("ensemble.count: 1 given; a report needs at least 2 configurations")
    if "://" in given:
        raise InputError(f"{given} is a URL; name a local folder (lsg sample takes URLs)")
    if not path.is_dir():
        refuse_file_name(path, "what a run writes", "without an ending")
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file; name a folder")
    if path.is_dir() and any(path.iterdir()) and not (path / "ensemble.zarr").exists():
        raise InputError(f"{path} holds other files; name a new or empty folder")
    for result in sorted(path.glob("*.zarr")):
        if not _is_ensemble(result):  # a damaged result is reported before hours of work
            check_target(result, overwrite=True)
        elif result.stem in (spec.study or {}):
            raise InputError(f"{result} is an ensemble; give the step {result.stem} another name")


def _is_ensemble(path: Path) -> bool:
    """Return whether a folder is a store and not a result."""
    try:
        read_header(locate(path))
    except StoreInputError:
        return False
    except StoreError:  # damaged
        return True
    return True


def _check_study(spec: Spec) -> None:
    """Refuse, before anything is sampled, steps that the ensemble cannot serve.

    Raises
    ------
    InputError
        With the step: its condition names unknown columns, its part is unknown, or it needs the
        other kind of weights.
    """
    if spec.beside and spec.study is None:
        raise InputError("beside: ensembles given; a study that reads them is needed")
    ensembles = spec.ensembles
    for name, step in (spec.study or {}).items():
        reads = stage_of(step.stage).reads
        try:
            for ensemble in step.chosen_from(ensembles):
                _check_view(ensembles[ensemble], step.view)
            for argument, source in step.inputs.items():
                one = ensembles.get(source or "")
                signs = one is not None and FAMILIES[one.network.family].signs
                if signs and reads[argument] is SOLUTIONS:
                    raise InputError(f"{step.stage} is of networks of real weights")
        except LsgError as error:
            raise InputError(f"study.{name}: {error}") from None


def _check_actors(spec: Spec, actors: int) -> None:
    """Refuse actors where no ensemble has replicas that they could share."""
    if actors > 1 and not any(ALGORITHMS[s.algorithm].replicas for s in spec.ensembles.values()):
        check_actors(spec, actors, None)


def _check_view(spec: Spec, view: Mapping[str, Any]) -> None:
    """Refuse what does not choose from an ensemble of a specification."""
    if "where" in view:
        at = 0 if "snapshot" in view else None
        columns = (a.name for a in arrays_of(spec) if not seen(a, at).row)
        compile_expression(view["where"], ("configuration", *columns))
    part, layers = view.get("part", "0"), len(spec.network.layer_slices)
    if part not in spec.network.parts and part not in map(str, range(layers)):
        known = ", ".join(spec.network.parts)
        raise InputError(f"part {part} given; there are {known}, and 0 to {layers - 1}")


def _verify(store: Path) -> None:
    report = verify(store)
    if not report.sound:
        raise StoreError(
            f"{store} is damaged ({len(report.findings)} findings); "
            f"run: lsg verify --repair {store}, then this command again"
        )
