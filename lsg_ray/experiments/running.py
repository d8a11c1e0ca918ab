"""Run an experiment, and judge its claims: DIR/claims.json beside what `lsg run` writes there."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from lsg_ray import __version__
from lsg_ray.arrays import public
from lsg_ray.cluster.progress import Style
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.errors import InputError, StoreError
from lsg_ray.experiments.catalogue import EXPERIMENTS
from lsg_ray.experiments.claim import Results
from lsg_ray.experiments.experiment import Experiment
from lsg_ray.paths import expanded
from lsg_ray.pipeline import run
from lsg_ray.report.page import write_file
from lsg_ray.results.opening import open_result
from lsg_ray.spec import Spec
from lsg_ray.typing import JsonObject, PathOrUrl

CLAIMS_NAME = "claims.json"


@public
def run_experiment(
    name: str,
    folder: PathOrUrl,
    *,
    scale: str = "laptop",
    address: str | None = None,
    workers: int | None = None,
    actors: int = 1,
    worker_cpus: float = 1,
    worker_gpus: float | None = None,
    ensembles: PathOrUrl | None = None,
    style: Style = "notebook",
    log: Callable[[str], None] = lambda _: None,
) -> JsonObject:
    """Run an experiment: sample, compute its study, and judge its claims.

    Parameters
    ----------
    name
        Name of the experiment, one of ``lsg experiment list``.
    folder
        Folder for all results: new, empty, or of an earlier run of the same, which is resumed.
    scale
        Size: ``toy`` (seconds), ``laptop`` (minutes) or ``paper`` (as published).
    address, workers, actors, worker_cpus, worker_gpus, ensembles, style, log
        As in `lsg_ray.run`.

    Returns
    -------
    dict
        Its ``name``, ``scale``, ``paper``, ``figure``, ``title``, ``seconds``, the path of the
        ``report``, ``failed``, the names of steps without a result, and ``claims``: of each
        statement, source, quantity, published value, value, error, criterion, verdict and note.

    Raises
    ------
    InputError
        No such experiment or scale, or the folder holds something else; nothing was created.
    DataError
        A data set is not on this machine.  None is downloaded: an experiment says so at once, also
        without a network.
    """
    experiment = EXPERIMENTS[name]
    spec = experiment.at(scale)
    began = time.perf_counter()
    outcome = run(
        spec,
        folder,
        address=address,
        workers=workers,
        actors=actors,
        worker_cpus=worker_cpus,
        worker_gpus=worker_gpus,
        ensembles=ensembles,
        style=style,
        log=log,
        download=False,
    )
    log("claims")
    path = Path(expanded(folder))
    about = {
        "name": name,
        "scale": scale,
        "paper": experiment.paper.name,
        "figure": experiment.figure,
        "title": experiment.title,
        "package_version": __version__,
        "spec_hash": spec.hash,
        "report": outcome["report"],
        "failed": outcome["failed"],
        "claims": judge(experiment, spec, path, outcome["study"]),
        "seconds": round(time.perf_counter() - began, 1),
    }
    _write(path / CLAIMS_NAME, about)
    return about


def judge(
    experiment: Experiment, spec: Spec, path: Path, study: Mapping[str, JsonObject]
) -> list[JsonObject]:
    """Return the claims with their numbers and verdicts, from the results in a folder.

    ``study``: what `lsg_ray.run` returns of each step.
    """
    failed = {
        name: str(shown.get("failed", shown.get("left_out")))
        for name, shown in study.items()
        if shown.keys() & {"failed", "left_out"}
    }
    steps = {
        name: open_result(path / f"{name}.zarr").load() for name in study if name not in failed
    }
    ensembles = {name: open_ensemble(path / f"{name}.zarr") for name in spec.ensembles}
    results = Results(steps, ensembles)
    return [claim.judged(results, failed) for claim in experiment.claims]


def read_claims(folder: PathOrUrl) -> JsonObject:
    """Return what an experiment wrote of its claims.

    Raises
    ------
    InputError
        The folder is none of an experiment.
    """
    file = Path(expanded(folder)) / CLAIMS_NAME
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
        known = {"name", "scale", "paper", "figure", "title", "claims"} <= about.keys()
    except (OSError, ValueError, AttributeError):
        known = False
    if not known:
        raise InputError(
            f"{file}: no claims of an experiment; make them with: lsg experiment run NAME --out "
            f"{folder}"
        )
    result: JsonObject = about
    return result


def _write(file: Path, about: JsonObject) -> None:
    try:
        write_file(file, json.dumps(about, indent=1, ensure_ascii=False).encode())
    except OSError as error:
        raise StoreError(f"{file} could not be written: {error.strerror or error}") from error
