"""One page of experiments that were run: what they found, what is open, all claims, all figures."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from lsg_ray.arrays import public
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.errors import InputError, StoreError
from lsg_ray.experiments.running import read_claims
from lsg_ray.experiments.settling import counted, settling
from lsg_ray.paths import expanded
from lsg_ray.report.findings import Findings, findings_of
from lsg_ray.report.page import downloads, embedded, template, write_page
from lsg_ray.report.results import study_sections
from lsg_ray.report.section import FORMATS, Format, Section, chosen_formats, with_files
from lsg_ray.spec import load_spec
from lsg_ray.study import run_study
from lsg_ray.typing import JsonObject, PathOrUrl


@public
def experiments_page(
    folders: Sequence[PathOrUrl], out: PathOrUrl, *, formats: Collection[str] = FORMATS
) -> Path:
    """Write one page of experiments: findings, what is open, all claims, then all figures.

    Parameters
    ----------
    folders
        Folders of `lsg_ray.run_experiment`.
    out
        Path of the page, ``NAME.html``; an earlier one is replaced.  Figures and their data lie
        beside it in ``NAME-figures``, for downloads; the page needs no other file.
    formats
        What figures can be downloaded as, of png, pdf, svg and csv, their data.

    Raises
    ------
    InputError
        A folder is none of an experiment, the page would not be an ``.html`` file, or a format is
        unknown.
    StoreError
        The page cannot be written.
    """
    target = Path(expanded(out))
    if target.suffix != ".html" or target.is_dir():
        raise InputError(f"{out}: a page is a file that ends with .html")
    if not folders:
        raise InputError("no folders given; name those of lsg experiment run")
    kinds = chosen_formats(formats)
    abouts = [(Path(expanded(folder)), read_claims(folder)) for folder in folders]
    experiments = [_described(path, about, n, kinds) for n, (path, about) in enumerate(abouts)]
    beside = f"{target.stem}-figures"
    files: dict[str, bytes] = {}
    for one in experiments:
        files |= downloads(one["drawn"], beside, f"{one['key']}-")
    claims = [claim for one in experiments for claim in one["claims"]]
    page = template("experiments.html.j2").render(
        experiments=experiments,
        counts=counted(claims),
        claims={
            verdict: [claim for claim in claims if claim["verdict"] == verdict]
            for verdict in ("reproduced", "not reproduced", "undetermined")
        },
        folder=beside,
    )
    try:
        write_page(target, page, files, beside)
    except OSError as error:
        raise StoreError(f"{out} could not be written: {error.strerror or error}") from error
    return target


def _described(path: Path, about: JsonObject, number: int, formats: Sequence[Format]) -> JsonObject:
    """Return what the page shows of an experiment."""
    key = f"experiment-{number}"
    where = f"{about['paper']}, Fig. {about['figure']}"
    claims: list[dict[str, Any]] = [
        {
            **claim,
            "measured": measured_text(claim),
            "key": key,
            "where": where,
            "settling": settling(claim, about) if claim["verdict"] == "undetermined" else None,
        }
        for claim in about["claims"]
    ]
    facts = [str(about["scale"]), str(about["name"])]
    if "seconds" in about:
        facts.append(f"{about['seconds']:,.0f} s")
    drawn, found = _study(path)
    sections = [with_files(section, formats) for section in drawn]
    return {
        **about,
        "key": key,
        "where": where,
        "counts": counted(claims),
        "about": ", ".join(facts),
        "claims": claims,
        "found": found,
        "folder": shlex.quote(str(path)),
        "drawn": sections,
        "sections": [(section, embedded(section.png)) for section in sections],
    }


def _study(path: Path) -> tuple[list[Section], Findings]:
    """Return figures and findings of the study in a folder, from the results that are there."""
    spec = load_spec(path / "spec.yaml")
    stores = {name: open_ensemble(path / f"{name}.zarr") for name in spec.ensembles}
    first, *others = stores
    steps = spec.study or {}
    beside = {name: stores[name] for name in others}
    outcomes = run_study(steps, stores[first], path, beside=beside, only_cached=set(steps))
    sections = study_sections(outcomes)
    return sections, findings_of(outcomes, sections, spec)


def measured_text(claim: JsonObject) -> str:
    """Return the number of a claim with its error.

    >>> measured_text({"value": 0.5, "error": 0.012}), measured_text({"value": None, "error": None})
    ('0.5 ± 0.012', 'unknown')
    """
    value, error = claim["value"], claim["error"]
    if value is None:
        return "unknown"
    if error is None:
        return f"{value:.4g} ± ?"
    return f"{value:.4g} ± {error:.2g}"
