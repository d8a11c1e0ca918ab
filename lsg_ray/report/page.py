"""The page: one HTML file that holds everything, and the figures beside it for downloads.

Findings come first, then what is open and what would settle it, then the figures.  Nothing on the
page comes from elsewhere: no script, font, style sheet or image is loaded, so it opens offline and
stays as it is.  It links the figures as PNG, PDF and SVG, and their data as CSV, in a folder beside
it.  Everything that comes from a specification or a store is escaped.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from lsg_ray import __version__
from lsg_ray.datasets import Dataset
from lsg_ray.ensemble.owned import staging
from lsg_ray.ensemble.reader import Ensemble
from lsg_ray.errors import InputError, StoreError
from lsg_ray.paths import expanded
from lsg_ray.registry import ALGORITHMS, FAMILIES, loaded
from lsg_ray.report.figures.accuracy import SET_NAMES
from lsg_ray.report.findings import Findings, Said, ensemble_finding, findings_of, unfinished
from lsg_ray.report.results import Outcomes, label, sources, study_sections
from lsg_ray.report.section import FORMATS, Section, chosen_formats, with_files
from lsg_ray.spec import Spec, as_yaml

PAGE_NAME = "report.html"
#: Folder of the figures, beside the page.
FIGURES = "figures"


class Entry(NamedTuple):
    """A row of a table; `code` marks hashes and other text to be copied."""

    label: str
    value: str
    code: bool = False


def write_report(
    folder: str | os.PathLike[str],
    ensemble: Ensemble,
    dataset: Dataset,
    steps: Outcomes,
    beside: Mapping[str, Ensemble] | None = None,
    spec: Spec | None = None,
    formats: Collection[str] = FORMATS,
) -> Path:
    """Write ``report.html`` and its figures into a folder.

    All figures are drawn before any file is written.  Each file is written atomically, the page,
    which embeds its figures and needs no other file, last.  Downloads of them lie in ``figures``.

    Parameters
    ----------
    folder
        Path of the folder, created if it does not exist.  An earlier report is replaced.
    ensemble
        Ensemble, from `lsg_ray.ensemble.reader.open_ensemble`.
    dataset
        Data set of the ensemble, from ``load_dataset(ensemble.spec.dataset)``.
    steps
        Results of a study by name, or the reasons why there are none.
    beside
        Further ensembles that the study read, by name.
    spec
        Specification of the run, with its study, if it has one; by default that of the ensemble.
    formats
        What figures can be downloaded as, of png, pdf, svg and csv, their data.

    Returns
    -------
    The path of the page.

    Raises
    ------
    InputError
        The folder is a file, or a format is unknown.
    StoreError
        The folder cannot be written, or a record of the ledger is damaged.

    Notes
    -----
    About 2 s for 675 weights, most of it drawing, and as much again for PDF and SVG; O(N²) time
    for N weights.
    """
    target = Path(expanded(folder))
    if target.exists() and not target.is_dir():
        raise InputError(f"{target} is a file; name a folder for the report")
    kinds = chosen_formats(formats)
    own = ensemble_sections(ensemble, dataset)
    drawn = [*own, *study_sections(steps, {section.key for section in own})]
    sections = [with_files(section, kinds) for section in drawn]
    found = findings_of(steps, sections, spec or ensemble.spec)
    found.said.insert(0, Said("ensemble", "summary", ensemble_finding(ensemble)))
    found.open[:0] = unfinished(ensemble)
    page = render_page(
        spec=ensemble.spec,
        summary=summary(ensemble),
        provenance=provenance(ensemble, steps, beside),
        notes=notes(ensemble, dataset),
        sections=sections,
        found=found,
    )
    try:
        write_page(target / PAGE_NAME, page, downloads(sections, FIGURES), FIGURES)
    except OSError as error:
        raise StoreError(
            f"{target}: the report could not be written: {error.strerror or error}; "
            "free space or name another folder"
        ) from error
    return target / PAGE_NAME


def ensemble_sections(ensemble: Ensemble, dataset: Dataset) -> list[Section]:
    """Return the sections of an ensemble itself, without results of a study."""
    figures = "lsg_ray.report.figures"
    along = [f"{figures}.snapshots:snapshots_section"] if ensemble.spec.times[1] else []
    paths = [*ensemble.header.family.sections, *along, f"{figures}.inputs:inputs_section"]
    return [loaded(path)(ensemble, dataset) for path in paths]


def downloads(sections: Iterable[Section], folder: str, prefix: str = "") -> dict[str, bytes]:
    """Return the files of sections, by their paths beside the page."""
    return {
        f"{folder}/{prefix}{section.key}{ending}": data
        for section in sections
        for ending, data in section.files.items()
    }


def write_page(page: Path, text: str, files: Mapping[str, bytes], folder: str) -> None:
    """Write figures, then the page, then remove what only an earlier page had.

    files: by their paths beside the page, all in ``folder``.
    """
    stale = [name for name in _earlier_files(page, folder) if name not in files]
    page.parent.mkdir(parents=True, exist_ok=True)
    if files:
        (page.parent / folder).mkdir(exist_ok=True)
    for name, content in files.items():
        write_file(page.parent / name, content)
    write_file(page, text.encode())
    for name in stale:
        (page.parent / name).unlink(missing_ok=True)


def _earlier_files(page: Path, folder: str) -> list[str]:
    """Return the files that an earlier page links, or of one without links the PNGs beside it."""
    text = page.read_text(encoding="utf-8", errors="replace") if page.is_file() else ""
    name = rf"{re.escape(folder)}/[\w-][\w.-]*\.(?:png|pdf|svg|csv)"
    if linked := re.findall(rf'href="({name})" download', text):
        return linked
    sections = re.findall(r'<section class="figure" [^>]*="([\w.-]+)">(.*?)</section>', text, re.S)
    return [f"{key}.png" for key, body in sections if "<img " in body]


def write_file(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    with staging(path) as (staged, _):
        with open(staged, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(staged, path)


def template(name: str) -> Template:
    """Return a template of this folder, in which all that is inserted is escaped."""
    environment = Environment(
        loader=PackageLoader("lsg_ray", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(name)


def render_page(
    *,
    spec: Spec,
    summary: Sequence[Entry],
    provenance: Sequence[Entry],
    notes: Sequence[str],
    sections: Sequence[Section],
    found: Findings | None = None,
) -> str:
    """Return the HTML; all texts are escaped."""
    return template("page.html.j2").render(
        spec=spec,
        subtitle=_subtitle(spec),
        specification=as_yaml(spec),
        summary=summary,
        provenance=provenance,
        notes=notes,
        found=found or Findings([], [], []),
        sections=[(section, embedded(section.png)) for section in sections],
        folder=FIGURES,
        content_hash=next((entry.value for entry in summary if entry.label == "Content hash"), ""),
    )


def _subtitle(spec: Spec) -> str:
    kind = FAMILIES[spec.network.family].about
    goal = "the parity of " if spec.dataset.labels == "parity" else ""
    shape = _joined(spec.network.widths)
    return f"An ensemble of {kind}, {shape}, that learned {goal}{spec.dataset.name}"


def embedded(png: bytes | None) -> dict[str, str | int]:
    """Return the image as a data URL, and its size on the page, half of its pixels."""
    if png is None:
        return {}
    width, height = (int.from_bytes(png[offset : offset + 4], "big") for offset in (16, 20))
    url = "data:image/png;base64," + base64.b64encode(png).decode()
    return {"url": url, "width": width // 2, "height": height // 2}


def summary(ensemble: Ensemble) -> list[Entry]:
    """Return the table at the head of the page, from the ledger."""
    info, spec = ensemble.info(), ensemble.spec
    accuracy, acceptance = info["accuracy"], info["acceptance"]
    components = spec.dataset.components
    raw = (
        "raw pixels" if len(spec.dataset.sizes.shape) > 1 else f"{spec.network.widths[0]:,} inputs"
    )
    inputs = raw if components is None else f"{components:,} principal components"
    everything = spec.dataset.train_examples is spec.dataset.train_per_class is None
    size = "all training examples" if everything else f"{spec.n_examples:,} training examples"
    if changes := spec.dataset.transforms():
        size += f"; {', '.join(changes)}"
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
        *([] if ensemble.signs else [Entry("Training", training_text(spec))]),
        Entry(
            "Accuracy threshold",
            f"{spec.ensemble.threshold:g} on the {SET_NAMES[spec.ensemble.selection]}",
        ),
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


def training_text(spec: Spec) -> str:
    """Describe how networks of real weights are trained.

    >>> from lsg_ray.spec import parse_spec
    >>> training_text(parse_spec({"network": {"family": "relu"}}))
    'adam, rate 0.001, batches of 256, 50 epochs'
    """
    training = spec.training
    algorithm = ALGORITHMS[spec.algorithm]
    given = [f"{name} {value}" for name, value in training.options.items()]
    if algorithm.config is not None and not algorithm.in_batches:
        return ", ".join([spec.algorithm, *given, f"{training.epochs:,} epochs at most"])
    if training.batch_fraction is not None:
        size = f"batches of {100 * training.batch_fraction:g} % of the examples"
    else:
        size = (
            "full batches" if training.batch_size is None else f"batches of {training.batch_size:,}"
        )
    momentum = f", momentum {training.momentum:g}" if training.momentum else ""
    end = f"{training.epochs:,} epochs"
    if training.target_loss is not None:
        end = f"to a training loss of {training.target_loss:g}, {end} at most"
    rate = f"{training.optimizer}, rate {training.learning_rate:g}{momentum}"
    return ", ".join([rate, size, end, *given])


def provenance(
    ensemble: Ensemble, steps: Outcomes, beside: Mapping[str, Ensemble] | None = None
) -> list[Entry]:
    """Return where the data and the results on the page come from."""
    info = ensemble.info()
    store = ensemble.url if "://" in ensemble.url else Path(ensemble.url).name
    return [
        Entry("Store", store, code=True),
        Entry(
            "Format",
            f"version {info['format_version']}, {info['blocks']:,} blocks of "
            f"{info['block_size']:,} configurations, {info['bytes']:,} bytes",
        ),
        Entry("Seed", str(ensemble.spec.ensemble.seed)),
        Entry("Data hash", info["dataset_hash"], code=True),
        *(
            Entry(
                f"Ensemble {name}",
                f"{one.spec.algorithm}, {one.n_rows:,} configurations, "
                f"{one.info()['content_hash']}",
            )
            for name, one in (beside or {}).items()
        ),
        *(
            Entry(label(name, step), _origin(step.result.attrs, sources({name: step})))
            for name, step in steps.items()
            if step.result is not None
        ),
        Entry("Page", f"lsg-ray {__version__}, matplotlib {matplotlib.__version__}"),
    ]


def _origin(about: Mapping[Any, Any], read: str) -> str:
    """Describe where a result comes from: its attributes, perhaps foreign, and its inputs."""
    rows = [about[name] for name in ("configurations", "complete_configurations") if name in about]
    counts = " of ".join(f"{n:,}" if isinstance(n, Integral) else str(n) for n in rows)
    facts = [f"{counts} configurations"] if "complete_configurations" in about else []
    for key, name in (("where", "where"), ("seed", "seed"), ("package_version", "lsg-ray")):
        if about.get(key) not in ("", None):
            facts.append(f"{name} {about[key]}")
    return "; ".join(text for text in (", ".join(facts), read.rstrip(".")) if text) or "no record"


def notes(ensemble: Ensemble, dataset: Dataset) -> list[str]:
    """Return warnings for the reader: an incomplete ensemble, a selection, other data."""
    warnings = []
    if not ensemble.complete:
        warnings.append(
            f"The ensemble is not complete: {ensemble.n_complete:,} of {ensemble.count:,} "
            "configurations have been sampled. Run `lsg sample` again to resume it."
        )
    if ensemble.condition is not None:
        warnings.append(
            f"Figures show {ensemble.n_rows:,} configurations, those where {ensemble.condition}; "
            "the table and the rejected trials are those of the whole ensemble."
        )
    if ensemble.is_part:
        warnings.append(f"Figures show {ensemble.n_weights:,} weights of each configuration.")
    if ensemble.header.dataset_hash != dataset.content_hash:
        warnings.append(
            "The data set differs from the one that the ensemble was sampled on: the hashes are "
            f" {dataset.content_hash[:16]}… and {ensemble.header.dataset_hash[:16]}…."
        )
    return warnings


def _joined(widths: Iterable[int]) -> str:
    return "–".join(map(str, widths))
