"""One page of experiments that were run: the table of claims first, the figures after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lsg_ray.arrays import public
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.errors import InputError, StoreError
from lsg_ray.experiments.running import read_claims
from lsg_ray.paths import expanded
from lsg_ray.report.page import embedded, template, write_file
from lsg_ray.report.results import study_sections
from lsg_ray.report.section import Section
from lsg_ray.spec import load_spec
from lsg_ray.study import run_study
from lsg_ray.typing import JsonObject, PathOrUrl


@public
def experiments_page(folders: Sequence[PathOrUrl], out: PathOrUrl) -> Path:
    """Write one page of experiments: all claims with their verdicts, then all figures.

    Parameters
    ----------
    folders
        Folders of `lsg_ray.run_experiment`.
    out
        Path of the page, ``.html``; an earlier one is replaced.

    Raises
    ------
    InputError
        A folder is none of an experiment, or the page would not be an ``.html`` file.
    StoreError
        The page cannot be written.
    """
    target = Path(expanded(out))
    if target.suffix != ".html" or target.is_dir():
        raise InputError(f"{out}: a page is a file that ends with .html")
    if not folders:
        raise InputError("no folders given; name those of lsg experiment run")
    abouts = [(Path(expanded(folder)), read_claims(folder)) for folder in folders]
    experiments = [_described(path, about, n) for n, (path, about) in enumerate(abouts)]
    verdicts = Counter(c["verdict"] for one in experiments for c in one["claims"])
    counts = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common())
    page = template("experiments.html.j2").render(experiments=experiments, counts=counts)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_file(target, page.encode())
    except OSError as error:
        raise StoreError(f"{out} could not be written: {error.strerror or error}") from error
    return target


def _described(path: Path, about: JsonObject, number: int) -> JsonObject:
    """Return what the page shows of an experiment."""
    claims: list[dict[str, Any]] = [{**c, "measured": measured_text(c)} for c in about["claims"]]
    facts = [str(about["scale"]), str(about["name"])]
    if "seconds" in about:
        facts.append(f"{about['seconds']:,.0f} s")
    return {
        **about,
        "key": f"experiment-{number}",
        "about": ", ".join(facts),
        "claims": claims,
        "sections": [(section, embedded(section.png)) for section in _sections(path)],
    }


def _sections(path: Path) -> list[Section]:
    """Return the figures of the study in a folder, from the results that are there."""
    spec = load_spec(path / "spec.yaml")
    stores = {name: open_ensemble(path / f"{name}.zarr") for name in spec.ensembles}
    first, *others = stores
    steps = spec.study or {}
    beside = {name: stores[name] for name in others}
    outcomes = run_study(steps, stores[first], path, beside=beside, only_cached=set(steps))
    return study_sections(outcomes)


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
