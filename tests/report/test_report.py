"""The page: whole, linked to nothing, escaped, and written at once."""

import os
import re
import stat
import subprocess
import sys
from html.parser import HTMLParser

import pytest
import yaml
from matplotlib.figure import Figure

from lsg_ray.datasets import load_dataset
from lsg_ray.errors import InputError, SpecError, StoreError
from lsg_ray.pipeline import report
from lsg_ray.report import page
from lsg_ray.report.figures.accuracy import rejected_counts
from lsg_ray.report.findings import Findings, Open, Said
from lsg_ray.report.page import (
    embedded,
    ensemble_sections,
    notes,
    provenance,
    render_page,
    summary,
    write_report,
)
from lsg_ray.report.results import study_sections
from lsg_ray.report.section import Section
from lsg_ray.report.style import render
from lsg_ray.spec import Spec, as_yaml, parse_spec
from lsg_ray.spec.steps import Outcome, parse_study
from lsg_ray.statistics.before_after import symmetry_effect
from lsg_ray.statistics.moments import moments
from lsg_ray.statistics.overlaps import overlaps
from lsg_ray.studies import IsingStudy, default_study, of_signs
from lsg_ray.study import run_study

from .made import make_ensemble, make_map, make_spec

KEYS = (
    "accuracy", "moments", "moments-correlations", "overlaps", "distances", "map", "inputs",
)  # fmt: skip
BLANK = render(Figure(figsize=(0.1, 0.1)))


@pytest.fixture(scope="module")
def digits():
    return load_dataset(make_spec((5, 3, 4, 10), 2).dataset)


@pytest.fixture(scope="module")
def ensemble(digits):
    spec = make_spec((5, 3, 4, 10), 120)
    return make_ensemble("memory://report", spec, dataset_hash=digits.content_hash)


@pytest.fixture
def undrawn(monkeypatch):
    """Leave the figures of the page blank, where it is not them that is tested."""
    monkeypatch.setattr("lsg_ray.report.section.render", lambda _: BLANK)
    monkeypatch.setattr("lsg_ray.report.section.render_vector", lambda _, kind: kind.encode())
    monkeypatch.setattr("lsg_ray.report.section.figure_data", lambda _: {"": b"x,y\n"})


def measured(ensemble, *, map_=True):
    steps = parse_study(
        {"moments": {}, "overlaps": {}, "distances": {"stage": "node-distances"},
         "map": {"stage": "embed"}}
    )  # fmt: skip
    results = (
        moments(ensemble), overlaps(ensemble), symmetry_effect(ensemble),
        make_map(ensemble) if map_ else None,
    )  # fmt: skip
    return {
        name: Outcome(step, result, "for a reason")
        for (name, step), result in zip(steps.items(), results, strict=True)
    }


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.links, self.alts, self.ids = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [
            value for name, value in attrs if name in ("src", "href", "srcset", "action")
        ]
        self.ids += [value for name, value in attrs if name == "id"]
        self.alts += [dict(attrs).get("alt") for _ in [0] if tag == "img"]


def parse(text):
    links = Links()
    links.feed(text)
    return links


def test_report_is_whole_and_links_nowhere(tmp_path, ensemble, digits):
    folder = tmp_path / "a" / "b"
    result = write_report(folder, ensemble, digits, measured(ensemble))
    assert result == folder / "report.html"
    assert sorted(path.name for path in folder.iterdir()) == ["figures", "report.html"]
    files = {path.name for path in (folder / "figures").iterdir()}
    made = {f"{key}.{kind}" for key in KEYS for kind in ("png", "pdf", "svg", "csv")}
    assert files == made | {"moments-correlations-image-1.csv"}
    (tmp_path / "plain").touch()
    assert stat.S_IMODE(result.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)
    text = result.read_text(encoding="utf-8")
    links = parse(text)
    assert not re.search(r"https?://|url\(|@import|//\w+\.", text)
    assert not {"script", "link", "iframe", "object", "embed", "base"} & set(links.tags)
    images = [link for link in links.links if link.startswith("data:image/png;base64,")]
    inside = [link[1:] for link in links.links if link.startswith("#")]
    assert len(images) == 7
    assert sorted(set(links.links) - {*images, *(f"#{key}" for key in inside)}) == sorted(
        f"figures/{name}" for name in files
    )
    assert len(links.ids) == len(set(links.ids))
    assert set(inside) <= set(links.ids)
    assert {*KEYS, "summary", "reproduce", "specification", "provenance"} <= set(inside)
    assert all(links.alts)
    order = [text.index(f'id="{name}"') for name in ("_findings", "_undetermined", "_contents")]
    assert order == sorted(order)
    assert order[-1] < text.index("<figure>")
    info = ensemble.info()
    for shown in (info["content_hash"], info["spec_hash"], "<h1>tiny</h1>", "lsg verify tiny.zarr"):
        assert shown in text
    assert 'role="note"' not in text
    assert "Figure 7." in text


@pytest.mark.usefixtures("undrawn")
def test_figures_of_an_earlier_report_go(tmp_path, ensemble, digits):
    write_report(tmp_path, ensemble, digits, measured(ensemble))
    assert (tmp_path / "figures" / "map.png").exists()
    (tmp_path / "figures" / "mine.pdf").touch()
    again = write_report(tmp_path, ensemble, digits, measured(ensemble, map_=False))
    assert not list((tmp_path / "figures").glob("map.*"))
    assert (tmp_path / "figures" / "mine.pdf").exists()
    text = again.read_text(encoding="utf-8")
    assert "No map: for a reason." in text
    assert "Figure 6." in text
    assert "Figure 7." not in text


@pytest.mark.usefixtures("undrawn")
def test_figures_beside_the_page_of_an_earlier_version__go(tmp_path, ensemble, digits):
    earlier = '<section class="figure" aria-labelledby="map"><h2>Map</h2><img src="x"></section>'
    (tmp_path / "report.html").write_text(earlier)
    for name in ("map.png", "mine.png"):
        (tmp_path / name).write_bytes(BLANK)
    for _ in range(2):  # once the page links its figures, other names are the user's
        write_report(tmp_path, ensemble, digits, {})
        assert not (tmp_path / "map.png").exists()
    (tmp_path / "accuracy.png").write_bytes(BLANK)
    write_report(tmp_path, ensemble, digits, {})
    assert {path.name for path in tmp_path.iterdir()} == {
        "report.html", "figures", "mine.png", "accuracy.png",
    }  # fmt: skip


@pytest.mark.usefixtures("undrawn")
def test_figures_that_no_step_has_any_more__go(tmp_path, ensemble, digits):
    write_report(tmp_path, ensemble, digits, measured(ensemble))
    write_report(tmp_path, ensemble, digits, {}, formats=["png"])
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        "accuracy.png", "inputs.png",
    }  # fmt: skip
    with pytest.raises(InputError, match="formats: gif given; there are png, pdf, svg, csv"):
        write_report(tmp_path / "new", ensemble, digits, {}, formats=["png", "gif"])
    assert not (tmp_path / "new").exists()


@pytest.mark.usefixtures("undrawn")
def test_tiny_and_unfinished_ensembles_say_so(tmp_path, digits):
    spec = make_spec((5, 3, 4, 10), 3, block_size=1)
    result = make_ensemble(tmp_path / "e.zarr", spec, blocks=1)
    left_out = default_study(result).left_out
    outcomes = {name: Outcome(None, None, reason) for name, reason in left_out.items()}
    text = write_report(tmp_path / "r", result, digits, outcomes).read_text(encoding="utf-8")
    assert "1 of 3 configurations have been sampled" in text
    assert "at least 4 configurations; there are 1." in text
    assert '<h2 id="entropy-landscape">Entropy landscape</h2>' in text
    assert "differs from the one that the ensemble was sampled on" in text
    empty = make_ensemble(tmp_path / "none.zarr", spec, blocks=0)
    drawn = ensemble_sections(empty, digits)
    assert [section.key for section in drawn if section.png] == ["inputs"]
    assert summary(empty)[5].value == "none yet"


@pytest.mark.usefixtures("undrawn")
def test_parts_of_results_read_back_are_known_again(tmp_path, ensemble):
    """On disk, names of parts are numbers; see `lsg_ray.results.saving`."""
    steps = parse_study({"moments": {}})
    for cached in (False, True):
        outcomes = run_study(steps, ensemble, tmp_path)
        assert outcomes["moments"].cached == cached
        drawn = study_sections(outcomes)
        assert [section.key for section in drawn] == ["moments", "moments-correlations"]
        assert "ITR" in drawn[0].caption
        assert drawn[0].png


def test_views_are_named(ensemble, digits):
    view = ensemble.where("accuracy > 0.85 and loss < 2").part("LB")
    result = notes(view, digits)
    assert "those where accuracy > 0.85 and loss < 2" in result[0]
    assert result[1].startswith("Figures show 15 weights")
    labels = [entry.label for entry in provenance(view, measured(ensemble, map_=False))]
    steps = ["moments", "overlaps", "distances (node-distances)"]
    assert labels == ["Store", "Format", "Seed", "Data hash", *steps, "Page"]


def test_attributes_of_others__are_shown_as_they_are(ensemble):
    steps = measured(ensemble)
    about = {"complete_configurations": "many", "configurations": [1], "seed": {"a": 1}}
    steps["overlaps"].result.attrs = about
    origins = {entry.label: entry.value for entry in provenance(ensemble, steps)}
    assert origins["overlaps"] == "[1] of many configurations, seed {'a': 1}"
    assert origins["moments"].startswith("120 configurations, lsg-ray ")


def test_rejected_trials_come_from_the_ledger(ensemble):
    counts = rejected_counts(ensemble)
    assert counts.sum() == ensemble.info()["trials"] - ensemble.n_rows == 27


@pytest.mark.parametrize("selection", ["train", "validation"])
@pytest.mark.usefixtures("undrawn")
def test_other_selection_sets(tmp_path, selection):
    spec = make_spec((5, 10), 30, selection=selection)
    ensemble = make_ensemble(tmp_path / "e.zarr", spec)
    dataset = load_dataset(spec.dataset)
    drawn = ensemble_sections(ensemble, dataset)
    assert "outline" in drawn[0].caption


@pytest.mark.usefixtures("undrawn")
def test_stages_of_a_package_that_has_gone__have_sections_that_say_why(tmp_path):
    make_ensemble(tmp_path / "ensemble.zarr", make_spec((5, 3, 4, 10), 20))
    spec = yaml.safe_load(as_yaml(make_spec((5, 3, 4, 10), 20)))
    spec["study"] = {
        "moments": {}, "drift": {"stage": "gone-drift", "speed": 2},
        "model": {"stage": "gone-model"}, "tap": {"model": "model"}, "overlaps": {"pairs": -1},
    }  # fmt: skip
    (tmp_path / "spec.yaml").write_text(yaml.dump(spec))
    text = report(tmp_path).read_text(encoding="utf-8")
    sections = dict(re.findall(r'<h2 id="([\w-]+)">[^<]*</h2>\n<p class="absent">(.*?)</p>', text))
    assert "no installed package provides its stage gone-drift; install" in sections["drift"]
    assert "reads the step model, which cannot be read" in sections["tap"]
    assert "pairs: -1 given" in sections["overlaps"]
    assert '<h2 id="moments-correlations">' in text
    spec["network"] = {"family": "gone"}
    (tmp_path / "spec.yaml").write_text(yaml.dump(spec))
    with pytest.raises(SpecError, match=r"network\.family"):
        report(tmp_path)


def test_hostile_text_is_escaped(ensemble, digits):
    evil = "</title><script>alert(1)</script><img src=x onerror=\"alert('2')\">{{ 7 * 7 }}"
    spec = ensemble.spec.model_copy(update={"name": evil})
    entry = page.Entry(evil, evil, code=True)
    drawn = [
        Section("accuracy", evil, evil, evil, png=BLANK),
        Section('x" onclick="', evil, reason=evil),
    ]
    found = Findings([Said(evil, evil, evil, 1)], [Open(evil, evil, evil, [evil])], [evil])
    text = render_page(
        spec=spec, summary=[entry], provenance=[entry], notes=[evil], sections=drawn, found=found
    )
    links = parse(text)
    assert "script" not in links.tags
    assert [link for link in links.links if not link.startswith("#")] == [embedded(BLANK)["url"]]
    assert links.alts == [evil]
    assert "<script" not in text
    assert 'onclick="' not in text
    assert "{{ 7 * 7 }}" in text


def test_specification_reads_back_the_same(ensemble):
    for spec in (ensemble.spec, Spec(), make_spec((64, 1), 5, frozen_parts=[])):
        assert parse_spec(yaml.safe_load(as_yaml(spec))) == spec


# Writing


@pytest.mark.usefixtures("undrawn")
def test_a_failure_leaves_the_earlier_report(tmp_path, ensemble, digits, monkeypatch):
    folder = tmp_path / "r"
    folder.mkdir()
    (folder / "report.html").write_text("earlier")
    replace, calls = os.replace, []

    def failing(source, target):
        calls.append(target)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(StoreError, match="No space left"):
        write_report(folder, ensemble, digits, {})
    assert (folder / "report.html").read_text() == "earlier"
    assert not [path for path in folder.rglob("*") if path.name.startswith(".")]
    # the page comes last
    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(page, "write_file", lambda path, _: calls.append(path))
    write_report(folder, ensemble, digits, {})
    assert calls[-1] == folder / "report.html"


def test_nothing_is_written_before_all_is_drawn(tmp_path, ensemble, digits, monkeypatch):
    def failing(_):
        raise StoreError("a record of the ledger is damaged")

    monkeypatch.setattr("lsg_ray.report.figures.accuracy.rejected_counts", failing)
    with pytest.raises(StoreError, match="ledger"):
        write_report(tmp_path / "r", ensemble, digits, {})
    assert not (tmp_path / "r").exists()


def test_a_file_in_the_way_is_refused(tmp_path, ensemble, digits):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file"):
        write_report(tmp_path / "file", ensemble, digits, {})


def test_pyplot_is_never_imported():
    code = (
        "import sys, lsg_ray; assert 'matplotlib' not in sys.modules\n"
        "import lsg_ray.report.page; assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert 'ray' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_landscape__of_a_survey_has_its_sections_and_goes_with_them(tmp_path, digits):
    """Enough configurations for models: all six figures, and none of them in a later report."""
    size = IsingStudy(references=1, iso_fields=(-1.0, 0.0, 1.0), starts=50, ladders=4, draws=20)
    spec = make_spec((5, 3, 4, 10), 60, block_size=20)
    ensemble = make_ensemble(str(tmp_path / "e.zarr"), spec, dataset_hash=digits.content_hash)
    (tmp_path / "r").mkdir()
    steps = of_signs(ensemble, True, size).steps
    run_study(steps, ensemble, tmp_path / "r")
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "r").iterdir()}
    outcomes = run_study(steps, ensemble, tmp_path / "r")  # nothing is computed twice
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "r").iterdir()} == stamps
    assert all(outcome.cached for outcome in outcomes.values() if outcome.result is not None)
    drawn = study_sections(outcomes)
    assert [section.key for section in drawn][-6:] == [
        "model", "scan", "thermo", "iso", "tap", "dynamics",
    ]  # fmt: skip
    assert all(section.png and section.caption and section.alt for section in drawn)
    captions = {
        section.key: section.caption.replace("\N{NO-BREAK SPACE}", " ") for section in drawn
    }
    for part in ("LB", "ITR", "RB", "full"):  # one figure of all parts, or why one is lacking
        assert re.search(rf"model-{part} \(pcd\) 0\.|No model-{part}: ", captions["model"])
        assert re.search(rf"\b{part} [\w-]+, s = \d|No scan-{part}: ", captions["scan"])
        assert re.search(rf"\b{part} \d\.\d+ ± |No thermo-{part}: ", captions["thermo"])
    assert captions["tap"].endswith("Model: cavity-full.")
    page = write_report(tmp_path / "r", ensemble, digits, outcomes)
    assert "Entropy landscape" in page.read_text(encoding="utf-8")
    assert (tmp_path / "r" / "figures" / "tap.svg").is_file()
    page = write_report(
        tmp_path / "r", ensemble, digits, {"landscape": Outcome(None, None, "Why.")}
    )
    assert "Why." in page.read_text(encoding="utf-8")
    assert not (tmp_path / "r" / "figures" / "tap.svg").exists()
