"""Every experiment at toy size: its study runs through, and its claims have verdicts on a page."""

import json

import pytest

from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.experiments.catalogue import EXPERIMENTS
from lsg_ray.experiments.claim import Results
from lsg_ray.experiments.experiment import SCALES
from lsg_ray.results.opening import open_result
from lsg_ray.spec import load_spec

NAMES = EXPERIMENTS.names()
#: Experiments on other data sets are those of MNIST at toy size, of which one is enough.
OTHERS = [name for name in NAMES if name.endswith(("-cifar10", "-cifar100", "-fashion"))]
RUN = [name for name in NAMES if name not in OTHERS or name == "sg-fig4-fashion"]


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


@pytest.mark.parametrize("name", RUN)
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
    numbers_of_models_are_unknown_without_convergence(EXPERIMENTS[name], out)


def numbers_of_models_are_unknown_without_convergence(experiment, out):
    """Judge the claims once more with models that say that they have not converged."""
    spec = experiment.at("toy")
    fits = {step for step, about in spec.study.items() if about.stage == "fit"}
    if not fits:
        return
    steps = Watched({step: open_result(out / f"{step}.zarr").load() for step in spec.study})
    for step in fits:
        steps[step].attrs["converged"] = 0
    stores = {one: open_ensemble(out / f"{one}.zarr") for one in spec.ensembles}
    for claim in experiment.claims:
        steps.read = set()
        judged = claim.judged(Results(steps, stores), {})
        of = {spec.study[step].inputs.get("model", step) for step in steps.read}
        if of & fits:
            assert judged["verdict"] == "undetermined", claim.statement
            assert "not converged" in judged["note"]


class Watched(dict):
    """Results by step, with a record of those that were read."""

    read: set

    def __getitem__(self, step):
        getattr(self, "read", set()).add(step)
        return super().__getitem__(step)


@pytest.mark.parametrize("name", OTHERS)
def test_experiments_on_other_data__are_those_on_mnist_but_for_its_numbers(name):
    other, base = EXPERIMENTS[name], EXPERIMENTS[name.rpartition("-")[0]]
    tree, like = (one.at("toy").tree() for one in (other, base))
    assert {**tree, "name": ""} == {**like, "name": ""}
    data = {one.dataset.name for one in other.at("paper").ensembles.values()}
    assert data == {"fashion-mnist" if name.endswith("fashion") else name.rpartition("-")[2]}
    of_mnist = [claim for claim in base.claims if claim not in other.claims]
    assert all(claim in base.claims for claim in other.claims)
    assert of_mnist == [c for c in base.claims if c.published or "99.00" in c.statement]


def test_data_that_are_absent__are_one_line_at_once(lsg, tmp_path, monkeypatch):
    monkeypatch.setenv("LSG_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("LSG_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("requests.get", None)  # nothing is downloaded
    ran = lsg("experiment", "run", "sg-fig4-cifar100", "--out", tmp_path / "a", "--workers", "0")
    assert ran.code == 2
    assert ran.err.strip().count("\n") == 0
    assert "cifar100: cifar-100-python.tar.gz is not on this machine; run: lsg data" in ran.err
    assert not list(tmp_path.iterdir())


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
