"""Every experiment at toy size: its study runs through, and its claims have verdicts on a page."""

import json

import pytest

from lsg_ray.experiments.catalogue import EXPERIMENTS
from lsg_ray.experiments.experiment import SCALES
from lsg_ray.spec import load_spec

NAMES = EXPERIMENTS.names()


@pytest.mark.parametrize("name", NAMES)
def test_specifications_at_all_scales__are_whole(name):
    experiment = EXPERIMENTS[name]
    assert experiment.name == name
    assert experiment.claims
    sizes = []
    for scale in SCALES:
        spec = experiment.at(scale)
        assert spec.study
        assert spec.name == f"{experiment.sampled or name}-{scale}"
        sizes.append(sum(one.ensemble.count for one in spec.ensembles.values()))
    assert sizes == sorted(sizes)
    assert 0 < experiment.minutes <= 30


@pytest.mark.parametrize("name", NAMES)
def test_toy_size__ends_in_verdicts(lsg, tmp_path, name):
    out = tmp_path / "run"
    where = ("--out", out, "--workers", "0", "--json")
    result = lsg("experiment", "run", name, "--scale", "toy", *where).json
    assert result["failed"] == []
    assert len(result["claims"]) == len(EXPERIMENTS[name].claims)
    for claim in result["claims"]:
        assert claim["verdict"] in ("reproduced", "not reproduced", "undetermined")
    written = json.loads((out / "claims.json").read_text(encoding="utf-8"))
    assert written["claims"] == result["claims"]
    assert lsg("experiment", "report", out, "--out", tmp_path / "page.html").code == 0
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.count("<figure>") >= 1
    for claim in EXPERIMENTS[name].claims:
        assert claim.source in text


def test_ensembles__are_shared_by_experiments_that_have_the_same(lsg, tmp_path):
    shared = tmp_path / "ensembles"
    where = ("--scale", "toy", "--workers", "0", "--ensembles", shared, "--json")
    for name in ("ll-fig7", "ll-fig2"):
        assert lsg("experiment", "run", name, "--out", tmp_path / name, *where).code == 0
    (store,) = shared.iterdir()
    assert (tmp_path / "ll-fig2" / "ensemble.zarr").resolve() == store.resolve()
    changed = store.stat().st_mtime_ns
    # Again, without the option: what the links lead to is there.
    again = lsg("experiment", "run", "ll-fig7", "--out", tmp_path / "ll-fig7", *where[:4])
    assert (again.code, store.stat().st_mtime_ns) == (0, changed)
    url = lsg("experiment", "run", "ll-fig7", "--out", tmp_path / "n", "--ensembles", "s3://b/e")
    assert (url.code, "is a URL" in url.err, (tmp_path / "n").exists()) == (2, True, False)


def test_specifications__are_printed_for_other_commands(lsg, tmp_path):
    text = lsg("experiment", "spec", NAMES[0], "--scale", "paper").out
    (tmp_path / "s.yaml").write_text(text, encoding="utf-8")
    assert load_spec(tmp_path / "s.yaml") == EXPERIMENTS[NAMES[0]].at("paper")


def test_bad_input__is_one_line_and_creates_nothing(lsg, tmp_path):
    (tmp_path / "none").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "claims.json").write_text("[1]")
    page, out = ("--out", tmp_path / "p.html"), ("--out", tmp_path / "a", "--workers", "0")
    for words, said in (
        (("run", "x", *out), "'x' is no experiment; there are"),
        (("run", NAMES[0], "--scale", "huge", *out), "'huge' is not one of"),
        (("run", NAMES[0], "--actors", "2", *out), "actors 2 given"),
        (("report", tmp_path / "none", *page), "no claims of an experiment"),
        (("report", tmp_path / "other", *page), "no claims of an experiment"),
        (("report", tmp_path / "none", "--out", tmp_path / "p.txt"), "ends with .html"),
    ):
        ran = lsg("experiment", *words)
        assert ran.code == 2
        assert said in ran.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["none", "other"]
