"""Studies: a graph of stages in one YAML; and stages of another package, one file each."""

import json
import textwrap

import numpy as np
import pytest
import xarray

from lsg_ray.cluster.request import plan_job
from lsg_ray.cluster.sample import sample
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.errors import DataError, InputError, SpecError
from lsg_ray.pipeline import report, run
from lsg_ray.report.results import study_sections
from lsg_ray.report.style import render
from lsg_ray.spec import Spec, as_yaml, load_spec, parse_spec
from lsg_ray.spec.steps import parse_study
from lsg_ray.stage import loaded
from lsg_ray.stages import STAGES, all_stages, stage_of
from lsg_ray.study import run_study, step_key
from lsg_ray.typing import SHARED_HELP
from tests.ensemble.mixture import synthetic
from tests.toy import POINTS, Commands, install

STUDY = """
name: study
dataset: {name: digits, components: 4}
network: {widths: [4, 3, 10]}
training: {epochs: 2, batch_size: 100}
ensemble: {count: 60, threshold: 0, draws: 2, block_size: 20}
study:
  scan: {count: 1, fields: "-1:1:0.5"}
  model: {stage: fit, method: bp, moments: moments, part: LB}
  moments: {}
  tap: {starts: 20}
  overlaps-RB: {stage: overlaps, part: RB, where: configuration < 50}
"""


@pytest.fixture
def spec(tmp_path):
    (tmp_path / "study.yaml").write_text(STUDY)
    return load_spec(tmp_path / "study.yaml")


def test_every_stage__is_declared_as_its_list_says():
    for name, entry in STAGES.items():
        stage = stage_of(name)
        assert stage.name == name
        assert stage.help.endswith((".", "?"))
        assert entry.line.endswith((".", "?"))
        fields = stage.config.model_fields.items()
        assert all(field.description for _, field in fields), name
        required = {o: field.annotation for o, field in fields if field.is_required()}
        assert stage.options({o: "0:2" if kind is str else 0.5 for o, kind in required.items()})
        for figure in stage.figures:
            assert figure.title
            assert callable(loaded(figure.draw))
            module = figure.draw.partition(":")[0]
            assert not figure.caption or callable(loaded(f"{module}:{figure.caption}"))


def test_order_and_inputs__follow_from_what_steps_read(spec):
    assert next(iter(spec.study)) in ("moments", "overlaps-RB")
    order = list(spec.study)
    assert order.index("moments") < order.index("model") < order.index("scan")
    assert spec.study["scan"].inputs == {"model": "model", "references": "ensemble"}
    assert spec.study["overlaps-RB"].view == {"part": "RB", "where": "configuration < 50"}
    assert spec.study["scan"].options == {"count": 1, "fields": [-1.0, -0.5, 0.0, 0.5, 1.0]}


def test_study__is_no_part_of_the_identity_of_an_ensemble(spec):
    tree = spec.tree()
    tree.pop("study")
    alone = parse_spec(tree)
    assert alone.hash == spec.hash
    assert alone.study is None
    assert parse_spec(__import__("yaml").safe_load(as_yaml(spec))).study == spec.study
    assert spec.replace(ensemble={"count": 7}).study == spec.study


@pytest.mark.parametrize(
    ("study", "message"),
    [
        (5, "study: a mapping of stages"),
        ({"none": {}}, "study.none: 'none' is no stage; there are moments"),
        ({"moments": {"triple": 1}}, "study.moments: moments has no option triple"),
        ({"moments": {"triples": -1}}, "study.moments: triples: -1 given"),
        ({"moments": [1]}, "study.moments: [1] given"),
        ({"tap": {}}, "study.tap: model: name the step that makes it; there is none"),
        ({"fit": {}, "f2": {"stage": "fit"}, "tap": {}}, "there are fit, f2"),
        ({"tap": {"model": "m"}}, "study.tap: model: 'm' given; there is no such step"),
        ({"a": {"stage": "fit", "moments": "b"}, "b": {"stage": "fit", "moments": "a"}}, "circle"),
        ({"o": {"stage": "overlaps"}, "tap": {"model": "o"}}, "model: o given; it makes no model"),
        ({"m": {"stage": "moments"}, "d": {"stage": "distances", "references": "m"}}, "a result;"),
        ({"../x": {"stage": "moments"}}, "is no name of a step"),
        ({"ensemble": {"stage": "moments"}}, "ensemble is taken"),
        ({"inputs": {"stage": "moments"}}, "inputs is taken"),
        ({"moments": {}, "Moments": {"stage": "moments"}}, "Moments is taken"),
        ({"moments": {"part": ["LB"]}}, "study.moments: part: ['LB'] given"),
        ({"moments": {"where": [1]}}, "study.moments: where: [1] given"),
        ({"moments": {"canonical": "no"}}, "study.moments: canonical: 'no' given"),
        ({"moments": {"stage": None}}, "study.moments: stage: null given"),
        ({"permute": {"fraction": 0.5}}, "permute makes a store"),
        ({"walk": {"part": "LB"}}, "walk has no option part"),
        ({"fit": {}, "mc": {"spec": "/etc/passwd"}}, "spec is a path"),
        ({"overlaps": {"pairs": 10**5000}}, "study.overlaps: pairs: "),
        ({"sk": {"n": 10**20}}, "study.sk: n: "),
        ({"os:system": None}, "is no name of a step"),
        ({"x": {"stage": "os:system"}}, "'os:system' is no stage"),
    ],
)
def test_bad_studies__are_told_in_lines(study, message):
    with pytest.raises(SpecError) as error:
        parse_spec({"study": study})
    assert message in str(error.value)


def test_run__computes_the_graph_and_resumes_it(spec, tmp_path):
    folder, lines = tmp_path / "run", []
    result = run(spec, folder, workers=0, log=lines.append)
    assert result["failed"] == []
    assert set(result["study"]) == set(spec.study)
    assert result["study"]["scan"]["fields"] == 5
    for name in spec.study:
        assert xarray.open_zarr(folder / f"{name}.zarr").attrs["stage"]
    page = (folder / "report.html").read_text(encoding="utf-8")
    for name in ("moments", "scan", "tap", "overlaps-RB (overlaps)"):
        assert name in page
    assert (folder / "figures" / "scan.png").read_bytes().startswith(b"\x89PNG")
    before = {name: (folder / f"{name}.zarr").stat().st_mtime_ns for name in spec.study}
    again = run(spec, folder, workers=0)
    assert again["study"].keys() == result["study"].keys()
    assert {name: (folder / f"{name}.zarr").stat().st_mtime_ns for name in spec.study} == before
    # Only what an option concerns is computed anew, and what reads it.
    changed = parse_spec(spec.tree() | {"study": {**spec.tree()["study"], "tap": {"starts": 21}}})
    run(changed, folder, workers=0)
    after = {name: (folder / f"{name}.zarr").stat().st_mtime_ns for name in spec.study}
    assert {name for name in after if after[name] != before[name]} == {"tap"}
    assert report(folder) == folder / "report.html"


def test_keys__tell_all_that_a_result_depends_on(spec):
    study, keys = spec.study, {"ensemble": "a"}
    for name, step in study.items():
        keys[name] = step_key(step, keys)
    assert len(set(keys.values())) == len(keys)
    other = {"ensemble": "b"}
    for name, step in study.items():
        other[name] = step_key(step, other)
        assert other[name] != keys[name]
    defaults = parse_study({"tap": {"model": "m", "starts": 2000}, "m": {"stage": "fit"}})
    without = parse_study({"tap": {"model": "m"}, "m": {"stage": "fit"}})
    assert step_key(defaults["tap"], {"m": "x"}) == step_key(without["tap"], {"m": "x"})


def test_failed_step__says_why_and_others_go_on(tmp_path):
    synthetic(tmp_path / "s.zarr", 20, 200)
    ensemble = open_ensemble(tmp_path / "s.zarr")
    study = parse_study(
        {"walk": {}, "moments": {}, "fit": {"method": "exact"}, "tap": {}, "overlaps": {}}
    )
    result = run_study(study, ensemble, tmp_path)
    assert "binary networks" in result["walk"].reason
    assert "16" in result["fit"].reason
    assert result["tap"].reason == "needs fit, of which there is no result"
    assert result["moments"].result is not None
    assert result["overlaps"].result is not None
    cached = run_study(study, ensemble, tmp_path, only_cached=set(study))
    assert cached["moments"].cached
    assert cached["walk"].reason == "not computed"


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory):
    """Sixty networks of 42 weights."""
    path = tmp_path_factory.mktemp("study") / "s.zarr"
    spec = parse_spec(__import__("yaml").safe_load(STUDY.partition("study:")[0]))
    sample(spec, path, workers=0)
    return open_ensemble(path)


def test_checks_references_and_replicas__are_steps(ensemble, tmp_path):
    quick = {"replicas": 4, "draws": 2}
    study = parse_study({
        "fit": {"method": "bp", "verify": False}, "check": {"triples": 20},
        "chosen": {"stage": "references", "count": 2}, "labels": {}, "replicas": quick,
        "scan": {"references": "chosen", "fields": [0]},
        "model-replicas": {**quick, "burn_in": 2}, "sk": {**quick, "n": 8, "burn_in": 2},
    })  # fmt: skip
    result = run_study(study, ensemble, tmp_path)
    assert {name: one.reason for name, one in result.items() if one.reason} == {}
    assert result["scan"].result.sizes["reference"] == 6
    for name in ("check", "replicas", "model-replicas", "sk"):
        figure = stage_of(name).figures[0]
        assert render(figure.drawn({name: result[name].result})).startswith(b"\x89PNG")


def test_monte_carlo__is_run_again_once_its_data_is_there(ensemble, tmp_path, monkeypatch):
    study = parse_study({"fit": {"method": "bp", "verify": False}, "mc": {"count": 1, "sweeps": 4}})

    def absent(*_, **__):
        raise DataError("digits: not here")

    with monkeypatch.context() as changed:
        changed.setattr("lsg_ray.ising.dynamics.load_dataset", absent)
        result = run_study(study, ensemble, tmp_path)["mc"]
        assert result.result.attrs["no_accuracy"] == "digits: not here"
        assert run_study(study, ensemble, tmp_path)["mc"].cached
    assert run_study(study, ensemble, tmp_path, only_cached=set(study))["mc"].cached
    result = run_study(study, ensemble, tmp_path)["mc"]
    assert "accuracy" in result.result
    assert not result.cached
    assert run_study(study, ensemble, tmp_path)["mc"].cached


def test_defect_of_a_step__does_not_end_the_others(tmp_path, monkeypatch):
    synthetic(tmp_path / "s.zarr", 20, 200)
    monkeypatch.setattr("lsg_ray.study.opened_inputs", broken := {}.__getitem__)
    study = parse_study({"moments": {}, "overlaps": {}})
    result = run_study(study, open_ensemble(tmp_path / "s.zarr"), tmp_path)
    assert broken is not None
    assert all("TypeError: " in outcome.reason for outcome in result.values())


def test_equal_views__have_one_key():
    words = ({}, {"canonical": False}, {"where": None}, {"part": None})
    keys = {
        step_key(parse_study({"moments": given})["moments"], {"ensemble": "a"}) for given in words
    }
    assert len(keys) == 1
    keys = {
        step_key(parse_study({"moments": {"part": part}})["moments"], {"ensemble": "a"})
        for part in (0, "0")
    }
    assert len(keys) == 1


def test_figure_that_cannot_be_drawn__is_said_in_its_section(tmp_path):
    synthetic(tmp_path / "s.zarr", 20, 300)
    study = parse_study({"fit": {"method": "bp", "verify": False}})
    (one,) = study_sections(run_study(study, open_ensemble(tmp_path / "s.zarr"), tmp_path))
    assert "No figure" in one.reason
    assert "method: bp" in one.reason


# Stages of another package: a statistic and a protocol, one file each.


@pytest.fixture
def installed(tmp_path):
    """The command, beside that package."""
    commands = Commands(install(tmp_path / "site"), tmp_path)
    yield commands
    commands.close()


def test_stages_of_another_package(installed, tmp_path):
    assert "toy-plus" not in all_stages()
    assert "toy-plus" in installed("--help")
    assert "Power that the count is taken to." in installed("toy-plus", "--help")
    synthetic(tmp_path / "s.zarr", 20, 200)
    mean = float((open_ensemble(tmp_path / "s.zarr").numpy() > 0).sum(axis=1).mean())
    text = json.loads(
        installed("toy-plus", "s.zarr", "--out", "p.zarr", "--figure", "p.png", "--json")
    )
    assert text["mean"] == pytest.approx(mean)
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    assert "--power" in installed("toy-plus", "s.zarr", "--out", "q.zarr", "--power", 0, code=2)
    assert "is what is read" in installed("toy-plus", "s.zarr", "--out", "s.zarr/x", code=2)

    study = STUDY.partition("study:")[0] + (
        "study: {toy-plus: {where: configuration < 9}, fit: {method: bp},"
        " toy-descent: {count: 1, model: fit}, strong: {stage: toy-plus, power: 2},"
        " alone: {stage: fit, method: toy-alone,"
        " options: {scale: 0.5}}}\n"
    )
    (tmp_path / "toy.yaml").write_text(study)
    text = json.loads(installed("run", "toy.yaml", "--out", "run", "--workers", 0, "--json"))
    assert text["failed"] == []
    assert text["study"]["strong"]["mean"] > text["study"]["toy-plus"]["mean"]
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "Weights that are +1: strong" in page
    assert f"On average {text['study']['toy-plus']['mean']:.2f} weights are +1." in page
    model = xarray.open_zarr(tmp_path / "run" / "alone.zarr")
    m = xarray.open_zarr(tmp_path / "run" / "alone.zarr")["m_data"].values
    np.testing.assert_allclose(model["h"], np.arctanh(m) / 2)
    assert "toy-alone" in installed("fit", "s.zarr", "--method", "none", "--out", "m", code=2)
    key = (
        "from lsg_ray.study import step_key as k; from lsg_ray.spec.steps import parse_study as p\n"
        "s = p({'toy-plus': {}, 'fit': {'method': 'toy-alone'}, 'moments': {}})\n"
        "print(*(k(step, {'ensemble': 'a'}) for step in s.values()))"
    )
    before = installed.python(key).split()
    about = tmp_path / "site" / "toy-1.0.dist-info" / "METADATA"
    about.write_text(about.read_text().replace("1.0", "1.1"))
    after = installed.python(key).split()
    assert [a == b for a, b in zip(before, after, strict=True)] == [False, False, True]
    about.write_text(about.read_text().replace("1.1", "1.0"))
    told_by_options = json.loads(
        installed("fit", "s.zarr", "--method", "toy-alone", "--options", "scale=0.5", "--json",
                  "--no-verify", "--out", "alone.npz")
    )  # fmt: skip
    assert told_by_options["method"] == "toy-alone"
    m = open_ensemble(tmp_path / "s.zarr").numpy().mean(axis=0)
    free = np.abs(m) < 1
    free[[one for one, *_ in told_by_options["duplicate_weights"]]] = False
    np.testing.assert_allclose(np.load(tmp_path / "alone.npz")["h"][free], np.arctanh(m[free]) / 2)
    seconds = text["stage_seconds"]["toy-descent"]
    again = json.loads(installed("run", "toy.yaml", "--out", "run", "--workers", 0, "--json"))
    assert again["study"] == text["study"]
    assert again["stage_seconds"]["toy-descent"] < max(seconds, 0.5)
    energy = xarray.open_zarr(tmp_path / "run" / "toy-descent.zarr")["energy"].values
    assert np.isfinite(energy).all()
    plan = "from lsg_ray.cluster.request import plan_job as p; print(p('s3://bucket/s', {}))"
    plan = plan.format("'s3://bucket/p', 'toy-plus'")
    assert "'toy-plus', 's3://bucket/s', '--out'" in installed.python(plan)
    with pytest.raises(InputError, match="stage 'toy-plus' given"):
        plan_job("s3://bucket/s", "s3://bucket/p", "toy-plus")  # not installed here


def test_spec_without_a_study__has_none():
    assert Spec().study is None
    assert "study" not in as_yaml(Spec())


def test_arguments_that_many_stages_share__have_one_wording():
    fit, symmetry = stage_of("fit"), stage_of("symmetry")
    assert fit.config.model_fields["seed"].description == SHARED_HELP["seed"]
    assert symmetry.config.model_fields["seed"].description == "Seed of the permutations and fits."


@pytest.mark.parametrize(
    ("study", "message"),
    [
        ({"moments": {"where": "nope > 1"}}, "study.moments: unknown name 'nope'"),
        ({"moments": {"part": "XX"}}, "study.moments: part XX given; there are LB, RB"),
        ({"walk": {"sigma": [0.1]}}, "study.walk: walk is of networks of real weights"),
    ],
)
def test_what_the_ensemble_cannot_serve__is_refused_before_sampling(study, message, spec, tmp_path):
    asked = parse_spec(spec.tree() | {"study": study})
    with pytest.raises(InputError, match=message):
        run(asked, tmp_path / "run", workers=0)
    assert not (tmp_path / "run").exists()


def test_other_files__are_left_alone(spec, tmp_path):
    """Those beside a run: pictures named as a step that fails, and stores."""
    folder = tmp_path / "run"
    small = parse_spec(spec.tree() | {"study": {"overlaps": {}, "fit": {"method": "exact"}}})
    run(small, folder, workers=0)
    (folder / "fit.png").write_bytes(b"mine")
    open_ensemble(folder / "ensemble.zarr")
    import lsg_ray

    lsg_ray.permute(folder / "ensemble.zarr", 0.5, folder / "mine.zarr")
    result = run(small, folder, workers=0)
    assert result["failed"] == ["fit"]
    assert (folder / "fit.png").read_bytes() == b"mine"
    assert open_ensemble(folder / "mine.zarr").complete


BROKEN = {
    "toy_number.py": "STAGE = 5",
    "toy_name.py": """
        from lsg_ray.stage import Stage

        STAGE = Stage("../x", lambda: None, reads={})
    """,
    "toy_taken.py": """
        from lsg_ray.stage import ENSEMBLE, Stage

        def ours(ensemble):
            "Not ours."

        STAGE = Stage("moments", ours, reads={"ensemble": ENSEMBLE})
        HAND = Stage("sample", ours, reads={"ensemble": ENSEMBLE})
    """,
    "toy_raises.py": """
        import xarray

        from lsg_ray.stage import ENSEMBLE, Stage
        from lsg_ray.typing import EnsembleLike

        def boom(ensemble: EnsembleLike) -> xarray.Dataset:
            "Raise."
            raise ZeroDivisionError("boom\\x1b[31m")

        STAGE = Stage("toy-boom", boom, reads={"ensemble": ENSEMBLE})
    """,
}


def test_packages_that_misbehave__are_told_of_in_a_line(installed, tmp_path):
    site = tmp_path / "site"
    for name, text in BROKEN.items():
        (site / name).write_text(textwrap.dedent(text))
    points = "".join(f"{name[:-3]} = {name[:-3]}:STAGE\n" for name in BROKEN)
    entry = site / "toy-1.0.dist-info" / "entry_points.txt"
    entry.write_text(POINTS + points + "hand = toy_taken:HAND\ngone = toy_gone:STAGE\n")
    output = installed("--help")
    for name in ("moments", "sample"):
        assert output.count(f"\n  {name} ") == 1
    assert "Not ours" not in output
    assert "../x" not in output
    synthetic(tmp_path / "s.zarr", 20, 200)
    installed("moments", tmp_path / "s.zarr", "--out", tmp_path / "m.zarr")
    lines = installed("toy-boom", tmp_path / "s.zarr", "--out", tmp_path / "b.zarr", code=1)
    assert "toy-boom of toy 1.0 failed: ZeroDivisionError: boom" in lines
    assert "\x1b" not in lines
