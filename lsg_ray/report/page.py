"""The page: one HTML file that holds everything, and the figures beside it as PNG.

Nothing on the page comes from elsewhere: no script, font, style sheet or image is linked, so it
opens offline and stays as it is.  Everything that comes from a specification or a store is escaped.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import ArrayLike

from lsg_ray.datasets import Dataset
from lsg_ray.ensemble.owned import staging
from lsg_ray.ensemble.reader import Ensemble
from lsg_ray.errors import InputError, StoreError
from lsg_ray.places import expanded
from lsg_ray.report.landscape import TITLES, Survey, landscape_sections
from lsg_ray.report.section import Section
from lsg_ray.report.sections import SETS, inputs_section, rejected_counts, sections
from lsg_ray.report.solutions import TITLES as SOLUTION_TITLES
from lsg_ray.report.solutions import Survey as SolutionSurvey
from lsg_ray.report.solutions import solution_sections
from lsg_ray.report.study import Shown, study_sections
from lsg_ray.spec import Spec
from lsg_ray.spec import as_yaml as spec_as_yaml
from lsg_ray.spec.reading import Dumper
from lsg_ray.typing import Place

PAGE = "report.html"


class Entry(NamedTuple):
    """Line of a table; `code` for hashes and other text to be copied."""

    label: str
    value: str
    code: bool = False


def write_report(
    folder: Place,
    ensemble: Ensemble,
    dataset: Dataset,
    *,
    moments: xarray.Dataset | None,
    overlaps: xarray.Dataset | None,
    distances: xarray.Dataset | None,
    map_: xarray.Dataset | None,
    landscape: Survey | str | None = None,
    rejected: ArrayLike | None = None,
) -> Path:
    """Write ``report.html`` and its figures into a folder.

    Everything is drawn before anything is written, each file appears whole or not at all, and the
    page, which holds its figures and needs no other file, comes last.

    Parameters
    ----------
    folder
        Made if it is not there.  Files of an earlier report are replaced.
    ensemble
        From `lsg_ray.ensemble.reader.open_ensemble`.
    dataset
        What it was sampled on: ``load_dataset(ensemble.spec.dataset)``.
    moments, overlaps, distances, map_
        From `lsg_ray.statistics`; None where the ensemble is too small: the section says so.
    landscape
        Results, or the reason why there are none.
    rejected
        (200,) rejected trials by bin of their accuracy on [0, 1]; by default from the ledger.

    Returns
    -------
    The path of the page.

    Raises
    ------
    InputError
        A file is in the way of the folder, or `rejected` has another shape.
    StoreError
        The folder cannot be written, or a record of the ledger is damaged.

    Notes
    -----
    About 2 s for 675 weights, most of it drawing; O(N²) time for N weights.
    """
    target = Path(expanded(folder))
    if target.exists() and not target.is_dir():
        raise InputError(f"{target} is a file; name a folder for the report")
    counts = rejected_counts(ensemble) if rejected is None else np.asarray(rejected, np.int64)
    drawn = sections(
        ensemble,
        dataset,
        moments=moments,
        overlaps=overlaps,
        distances=distances,
        map_=map_,
        rejected=counts,
    )
    if isinstance(landscape, Survey):
        drawn += landscape_sections(landscape)
    else:
        drawn += landscape_sections(None, landscape or "")
    named = provenance(ensemble, moments, overlaps, distances, map_)
    return _compose(target, ensemble, dataset, drawn, named, TITLES)


def write_solutions_report(
    folder: Place, ensemble: Ensemble, dataset: Dataset, survey: SolutionSurvey | str
) -> Path:
    """Write ``report.html`` of an ensemble of ReLU networks; see `write_report`.

    ``survey`` holds the results, or is the reason why there are none.
    """
    target = Path(expanded(folder))
    if target.exists() and not target.is_dir():
        raise InputError(f"{target} is a file; name a folder for the report")
    if isinstance(survey, str):
        drawn = solution_sections(ensemble, dataset, None, survey)
    else:
        drawn = solution_sections(ensemble, dataset, survey)
    drawn.append(inputs_section(ensemble, dataset))
    return _compose(target, ensemble, dataset, drawn, provenance(ensemble), SOLUTION_TITLES)


def write_study_report(
    folder: Place, ensemble: Ensemble, dataset: Dataset, steps: Sequence[Shown]
) -> Path:
    """Write ``report.html`` of a study, a section for each step; see `write_report`."""
    target = Path(folder)
    if target.exists() and not target.is_dir():
        raise InputError(f"{target} is a file; name a folder for the report")
    drawn = [*study_sections(steps), inputs_section(ensemble, dataset)]
    return _compose(target, ensemble, dataset, drawn, provenance(ensemble), [])


def _compose(
    target: Path,
    ensemble: Ensemble,
    dataset: Dataset,
    drawn: Sequence[Section],
    named: Sequence[Entry],
    keys: Iterable[str],
) -> Path:
    page = render_page(
        spec=ensemble.spec,
        summary=summary(ensemble),
        provenance=named,
        notes=notes(ensemble, dataset),
        drawn=drawn,
    )
    images: dict[str, bytes | None] = {f"{key}.png": None for key in keys}
    _write_all(target, page, images | {section.key + ".png": section.png for section in drawn})
    return target / PAGE


def _write_all(folder: Path, page: str, figures: Mapping[str, bytes | None]) -> None:
    """Write the figures, then the page, then remove what an earlier report showed beyond them."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in figures.items():
            if content is not None:
                _write(folder / name, content)
        _write(folder / PAGE, page.encode())
        for name, content in figures.items():
            if content is None:
                (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            f"{folder}: the report could not be written: {error.strerror or error}; "
            "free space or name another folder"
        ) from error


def _write(path: Path, content: bytes) -> None:
    """Write a file so that it appears whole or not at all."""
    with staging(path) as (staged, _):
        with open(staged, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(staged, path)


def render_page(
    *,
    spec: Spec,
    summary: Sequence[Entry],
    provenance: Sequence[Entry],
    notes: Sequence[str],
    drawn: Iterable[Section],
) -> str:
    """Return the HTML; every text given is escaped."""
    environment = Environment(
        loader=PackageLoader("lsg_ray", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("page.html.j2").render(
        spec=spec,
        subtitle=_subtitle(spec),
        specification=as_yaml(spec),
        summary=summary,
        provenance=provenance,
        notes=notes,
        sections=[(section, _embedded(section.png)) for section in drawn],
        content_hash=next((entry.value for entry in summary if entry.label == "Content hash"), ""),
    )


def _subtitle(spec: Spec) -> str:
    kind = {"binary": "binary networks", "relu": "ReLU networks"}[spec.network.family]
    goal = "the parity of " if spec.dataset.labels == "parity" else ""
    shape = _joined(spec.network.widths)
    return f"An ensemble of {kind}, {shape}, that learned {goal}{spec.dataset.name}"


def _embedded(png: bytes | None) -> dict[str, Any]:
    """Return the image as a data URL, and its size on the page: two pixels of it to one."""
    if png is None:
        return {}
    width, height = (int.from_bytes(png[place : place + 4], "big") for place in (16, 20))
    url = "data:image/png;base64," + base64.b64encode(png).decode()
    return {"url": url, "width": width // 2, "height": height // 2}


class _Dumper(Dumper):
    """Blocks for sections, lists on one line."""


_Dumper.add_representer(
    list, lambda dumper, items: dumper.represent_sequence("tag:yaml.org,2002:seq", items, True)
)


def as_yaml(spec: Spec) -> str:
    """Return a specification as YAML that `lsg_ray.spec.load_spec` reads back the same."""
    return spec_as_yaml(spec, _Dumper, allow_unicode=True, width=88)


def summary(ensemble: Ensemble) -> list[Entry]:
    """Return the table at the head of the page, from the ledger."""
    info, spec = ensemble.info(), ensemble.spec
    accuracy, acceptance = info["accuracy"], info["acceptance"]
    kept = spec.dataset.components
    inputs = "raw pixels" if kept is None else f"{kept:,} principal components"
    examples = spec.dataset.train_examples
    size = "all training examples" if examples is None else f"{examples:,} training examples"
    rows = f"{info['rows']:,}"
    if not info["complete"]:
        rows += f" of {info['count']:,} planned"
    unit = "core-seconds" if spec.training.engine == "numba" else "task-seconds"
    levels = [accuracy[name] for name in ("min", "mean", "max")] if accuracy else []
    return [
        Entry("Data set", f"{spec.dataset.name}, {spec.dataset.labels} labels, {inputs}, {size}"),
        Entry("Widths", _joined(spec.network.widths)),
        Entry("Weights N", f"{info['n_weights']:,}"),
        Entry("Configurations M", rows),
        *([] if ensemble.binary else [Entry("Training", training(spec))]),
        Entry("Threshold", f"{spec.ensemble.threshold:g} on the {SETS[spec.ensemble.selection]}"),
        Entry("Accuracy", " / ".join(f"{level:.4f}" for level in levels) + " (min / mean / max)")
        if levels
        else Entry("Accuracy", "none yet"),
        Entry("Trials", f"{info['trials']:,}"),
        Entry("Acceptance", "none yet" if acceptance is None else f"{100 * acceptance:.2f} %"),
        Entry("Computing time", f"{info['seconds']:,.1f} {unit}"),
        Entry("Content hash", info["content_hash"], code=True),
        Entry("Specification hash", info["spec_hash"], code=True),
        Entry("Package version", f"lsg-ray {info['package_version']}"),
    ]


def training(spec: Spec) -> str:
    """Return how ReLU networks are trained, as text.

    >>> from lsg_ray.spec import parse_spec
    >>> training(parse_spec({"network": {"family": "relu"}}))
    'adam, rate 0.001, batches of 256, 50 epochs'
    """
    how = spec.training
    if how.batch_fraction is not None:
        size = f"batches of {100 * how.batch_fraction:g} % of the examples"
    else:
        size = "full batches" if how.batch_size is None else f"batches of {how.batch_size:,}"
    momentum = f", momentum {how.momentum:g}" if how.momentum else ""
    end = f"{how.epochs:,} epochs"
    if how.target_loss is not None:
        end = f"to a training loss of {how.target_loss:g}, {end} at most"
    return f"{how.optimizer}, rate {how.learning_rate:g}{momentum}, {size}, {end}"


def provenance(ensemble: Ensemble, *results: xarray.Dataset | None) -> list[Entry]:
    """Return where the data and the results on the page come from."""
    import matplotlib

    from lsg_ray.ensemble.header import package_version

    info = ensemble.info()
    store = ensemble.url if "://" in ensemble.url else Path(ensemble.url).name
    entries = [
        Entry("Store", store, code=True),
        Entry(
            "Format",
            f"version {info['format_version']}, {info['blocks']:,} blocks of "
            f"{info['block_size']:,} configurations, {info['bytes']:,} bytes",
        ),
        Entry("Seed", str(ensemble.spec.ensemble.seed)),
        Entry("Data hash", info["dataset_hash"], code=True),
    ]
    for name, result in zip(("Moments", "Overlaps", "Distances", "Map"), results, strict=False):
        if result is not None:
            entries.append(Entry(name, _origin(result.attrs)))
    versions = f"lsg-ray {package_version()}, matplotlib {matplotlib.__version__}"
    return [*entries, Entry("Page", versions)]


def _origin(about: Mapping[Any, Any]) -> str:
    found = []
    if "complete_configurations" in about:
        used = f"{about['configurations']:,} of " if "configurations" in about else ""
        found.append(f"{used}{about['complete_configurations']:,} configurations")
    for key, text in (
        ("where", "where {}"),
        ("seed", "seed {}"),
        ("package_version", "lsg-ray {}"),
    ):
        if about.get(key) not in ("", None):
            found.append(text.format(about[key]))
    return ", ".join(found) or "no record"


def notes(ensemble: Ensemble, dataset: Dataset) -> list[str]:
    """Return what a reader must know before believing the page."""
    found = []
    if not ensemble.complete:
        found.append(
            f"The ensemble is not complete: {ensemble.n_complete:,} of {ensemble.count:,} "
            "configurations had been sampled. Run `lsg sample` again to resume it."
        )
    if ensemble.condition is not None:
        found.append(
            f"Figures show {ensemble.n_rows:,} configurations, those where {ensemble.condition}; "
            "the table and rejected trials are of the whole ensemble."
        )
    if ensemble.is_part:
        found.append(f"Figures show {ensemble.n_weights:,} weights of each configuration.")
    if ensemble.header.dataset_hash != dataset.content_hash:
        found.append(
            "The data at hand are not those that the ensemble was sampled on: their hashes "
            f"are {dataset.content_hash[:16]}… and {ensemble.header.dataset_hash[:16]}…."
        )
    return found


def _joined(widths: Iterable[int]) -> str:
    return "–".join(map(str, widths))
