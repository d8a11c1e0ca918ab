"""The page of experiments: findings first, what would settle a claim, then claims and figures."""

import json
import re
import shutil

import pytest

from lsg_ray.errors import InputError
from lsg_ray.experiments.page import experiments_page
from lsg_ray.experiments.settling import counted, settling
from lsg_ray.spec import as_yaml, parse_spec
from lsg_ray.study import run_study
from tests.report.made import make_ensemble

ABOUT = {"name": "ll-fig3", "scale": "toy", "paper": "p", "figure": "3", "title": "T"}


def claim(verdict, value=0.6, error=0.1, **fields):
    return {
        "statement": "S.", "source": "Sec. 1", "quantity": "q", "published": "", "value": value,
        "error": error, "criterion": "above 0.5 by 2 σ", "verdict": verdict, "note": "", **fields,
    }  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return the folder of an experiment that was run, with three claims."""
    folder = tmp_path_factory.mktemp("run")
    spec = parse_spec(
        {"name": "e", "dataset": {"name": "digits", "components": 5},
         "network": {"widths": [5, 3, 10]}, "ensemble": {"count": 80, "block_size": 40},
         "study": {"moments": {}, "overlaps": {}}}
    )  # fmt: skip
    ensemble = make_ensemble(str(folder / "ensemble.zarr"), spec)
    (folder / "spec.yaml").write_text(as_yaml(spec), encoding="utf-8")
    run_study({"overlaps": spec.study["overlaps"]}, ensemble, folder)
    claims = [
        claim("reproduced", 0.9, 0.1), claim("not reproduced", 0.2, 0.1, note="<b>why</b>"),
        claim("undetermined"),
    ]  # fmt: skip
    (folder / "claims.json").write_text(json.dumps({**ABOUT, "claims": claims}))
    return folder


def test_page__has_findings_first_and_downloads(run, tmp_path):
    page = experiments_page([run], tmp_path / "papers.html")
    text = page.read_text(encoding="utf-8")
    assert "Of 3 claims 1 is reproduced, 1 is not reproduced and 1 is undetermined." in text
    order = [text.index(f'id="{name}"') for name in
             ("_findings", "_undetermined", "_contents", "claims", "experiment-0")]  # fmt: skip
    assert order == sorted(order)
    assert "lsg experiment run ll-fig3 --scale laptop --out ll-fig3-laptop" in text
    assert "lsg run spec.yaml --out ." in text  # moments are not there
    assert "The mean overlap of two configurations is" in text
    assert "<b>why</b>" not in text
    linked = set(re.findall(r'href="(papers-figures/[^"]+)" download', text))
    made = {f"papers-figures/{path.name}" for path in (tmp_path / "papers-figures").iterdir()}
    assert linked == made == {
        f"papers-figures/experiment-0-overlaps.{kind}" for kind in ("png", "pdf", "svg", "csv")
    }  # fmt: skip
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', text)) <= set(ids)


def test_figures_of_an_earlier_page__go_and_others_stay(run, tmp_path):
    page = tmp_path / "papers.html"
    experiments_page([run, run], page)
    (tmp_path / "papers-figures" / "mine.png").touch()
    experiments_page([run], page, formats=["svg"])
    assert {path.name for path in (tmp_path / "papers-figures").iterdir()} == {
        "experiment-0-overlaps.svg", "mine.png",
    }  # fmt: skip


def test_page_that_cannot_be__is_refused_before_anything_is_written(run, tmp_path):
    with pytest.raises(InputError, match="formats: gif given"):
        experiments_page([run], tmp_path / "p.html", formats=["gif"])
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="no claims of an experiment"):
        experiments_page([run, empty], tmp_path / "p.html")
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_experiment_that_is_not_installed__is_shown(run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    about = json.loads((copy / "claims.json").read_text())
    (copy / "claims.json").write_text(json.dumps({**about, "name": "gone", "scale": "paper"}))
    text = experiments_page([copy], tmp_path / "p.html").read_text(encoding="utf-8")
    assert "The number with its error reaches over a border of the criterion." in text
    assert "lsg experiment run" not in text


def test_counts__are_of_all_verdicts():
    assert counted([]) == (
        "Of 0 claims none is reproduced, none is not reproduced and none is undetermined."
    )
    assert counted([claim("undetermined")] * 2).endswith("and 2 are undetermined.")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"value": None, "error": None, "note": "model: failed"}, "number is not known: model"),
        ({"error": None}, "The error of the number is not known."),
        ({}, "reaches over a border"),
    ],
)
def test_reason__of_what_is_not_known(fields, words):
    assert words in settling(claim("undetermined", **fields), ABOUT).reason


def test_reason__says_how_much_larger_the_sample_must_be():
    from lsg_ray.experiments.catalogue import EXPERIMENTS

    one = EXPERIMENTS["ll-fig3"].claims[0]
    border = one.holds.low if abs(one.holds.low) < 1e300 else one.holds.high
    judged = claim(
        "undetermined", border + 0.1, 0.1, statement=one.statement, criterion=str(one.holds)
    )
    z = one.holds.errors
    reason = settling(judged, ABOUT).reason
    assert f"The number is 1 σ from the border, {z:g} σ are needed" in reason
    assert f"about {z**2:.2g} times the sample" in reason
    on = {**judged, "value": border}
    assert "on the border itself" in settling(on, ABOUT).reason
    assert settling(on, {**ABOUT, "scale": "paper"}).command == ""
