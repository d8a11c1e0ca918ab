"""Places on the command line: home folders, endings, and figures."""

import os
import shutil

import click
import numpy as np
import pytest

import lsg_ray
from lsg_ray.cli.main import cli
from lsg_ray.cli.options import PATH
from lsg_ray.errors import InputError
from lsg_ray.ising.model import IsingModel, as_model, load_model
from lsg_ray.ising.references import as_references
from lsg_ray.ising.targets import as_target
from lsg_ray.report.page import write_report
from lsg_ray.results.opening import open_result
from lsg_ray.results.saving import check_target

from .conftest import listing

#: Options that take text and name no place.
WORDS = {
    "address", "against", "alpha", "alphas", "arguments", "betas", "choose", "clone_counts",
    "color", "columns", "configurations", "cores", "dataset", "distances", "family", "fields",
    "flips", "formats", "fractions", "gammas", "host", "id", "l1", "label", "method", "name",
    "network", "options", "overlaps", "overrides", "pairs", "part", "radii", "ratios", "sigma",
    "sigmas", "sign_gammas", "sort", "stage", "swaps", "temperatures", "token", "weights",
    "where", "widths",
}  # fmt: skip


def commands(group, above=()):
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*above, name))
        else:
            yield (*above, name), command


@pytest.fixture
def home(tmp_path, monkeypatch):
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return folder


# Home


def test_every_option_that_takes_text__is_known_to_name_a_place_or_not():
    for path, command in commands(cli):
        for option in command.params:
            if isinstance(option.type, click.types.StringParamType):
                assert option.name in WORDS, (path, option.name)
            elif option.type is PATH:
                assert option.name not in WORDS


def test_home__is_meant_by_a_tilde_in_every_place(lsg, store, spec, home):
    shutil.move(store, home / "s")
    shutil.copy(spec, home / "tiny.yaml")
    assert lsg("sample", "~/tiny.yaml", "--out=~/t", "--workers", 0).code == 0
    assert lsg("info", "~/t").code == 0
    assert lsg("moments", "~/s", "--out=~/m.zarr").code == 0
    words = ("--method", "bp", "--out=~/j.npz", "--figure=~/j.png")
    assert lsg("fit", "~/m.zarr", *words).code == 0
    words = ("--references=~/r.npz:sigma", "--out=~/d.zarr")
    np.savez(home / "r.npz", sigma=lsg_ray.open_ensemble("~/s").numpy(2), other=0)
    ran = lsg("distances", "~/s", *words, "--json")
    assert ran.json["out"] == str(home / "d.zarr")
    assert os.listdir(".") == []
    assert {"t", "m.zarr", "j.npz", "j.png", "d.zarr"} <= set(os.listdir(home))


def test_home__is_meant_in_python_too(store, spec, home, monkeypatch):
    shutil.move(store, home / "s")
    shutil.copy(spec, home / "tiny.yaml")
    read = lsg_ray.load_spec("~/tiny.yaml")
    assert lsg_ray.sample(read, "~/t", workers=0).url == str(home / "t")
    assert lsg_ray.verify("~/s").ok
    IsingModel([[0, 1], [1, 0]], [0, 0]).save("~/m.npz")
    assert load_model("~/m.npz").n_spins == 2
    np.savez(home / "x.npz", sigma=np.ones((2, 2)), m=[0, 0], C=np.eye(2))
    assert as_references("~/x.npz", load_model("~/m.npz")).sigma.shape == (2, 2)
    assert as_target("~/x.npz").m.shape == (2,)
    assert lsg_ray.moments("~/x.npz")["m"].size == 2
    assert check_target("~/new").url == str(home / "new")
    with pytest.raises(InputError, match=f"{home}/m.npz is a file"):
        write_report("~/m.npz", lsg_ray.open_ensemble("~/s"), None, {})
    (home / "m.npz").unlink()
    with pytest.raises(InputError, match=f"{home}/m.npz given; what a run writes"):
        lsg_ray.run(read, "~/m.npz")
    assert os.listdir(".") == []


@pytest.mark.parametrize(
    "words",
    [
        ("sample", "SPEC", "--out", "~nobody-here/x"),
        ("run", "~nobody-here/x", "--out", "d"),
        ("info", "~nobody-here/x"),
        ("moments", "STORE", "--out=~nobody-here/x.npz"),
        ("overlaps", "STORE", "--out", "o", "--references", "~nobody-here/x.npz:a"),
        ("embed", "STORE", "--out", "o", "--figure", "~nobody-here/x.png"),
        ("submit", "SPEC", "--address", "http://127.0.0.1:1", "--out", "~nobody-here/x"),
    ],
)
def test_home_of_nobody__is_one_line(lsg, store, spec, home, words):
    named = {"SPEC": spec, "STORE": store}
    ran = lsg(*(named.get(word, word) for word in words))
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert "no home folder of ~nobody-here is known here; write the whole path, or ./~" in ran.err
    assert os.listdir(".") == []


def test_urls_and_names_within__keep_their_tilde(lsg, store, home):
    assert lsg("moments", store, "--out", "./~x").code == 0
    assert lsg("moments", store, "--out", f"file://{os.getcwd()}/~y").code == 0
    assert sorted(os.listdir(".")) == ["~x", "~y"]


# Endings


ENDINGS = (".npz", ".npy", ".nc", ".H5", ".png", ".csv")
ZARR = [
    ("sample", "SPEC", "--workers", 0),
    ("run", "SPEC", "--workers", 0),
    ("overlaps", "STORE"),
    ("distances", "STORE"),
    ("embed", "STORE"),
    ("cluster", "STORE"),
    ("canonicalize", "STORE"),
    ("permute", "STORE", "--fraction", 0.5),
    ("check", "MODEL", "STORE"),
    ("scan", "MODEL", "--references", "STORE"),
    ("mc", "MODEL", "--references", "STORE"),
    ("tap", "MODEL"),
    ("thermo", "MODEL"),
    ("symmetry", "STORE"),
    ("replicas", "STORE"),
    ("model-replicas", "MODEL"),
    ("sk",),
    ("labels", "STORE"),
    ("walk", "STORE"),
]


@pytest.mark.parametrize("words", ZARR, ids=lambda words: words[0])
def test_ending_of_another_format__is_refused_before_work(
    lsg, store, spec, model, tmp_path, monkeypatch, words
):
    named = {"SPEC": spec, "STORE": store, "MODEL": model}
    before = listing(tmp_path)
    for ending in ENDINGS:
        ran = lsg(*(named.get(word, word) for word in words), "--out", tmp_path / f"x{ending}")
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1), ran
        assert f"x{ending} given; " in ran.err
        assert f"is a folder, and no {ending.lower()} file: name it" in ran.err
    assert listing(tmp_path) == before


@pytest.mark.parametrize(
    ("words", "ending"),
    [
        (("moments", "STORE", "--out"), ".npy"),
        (("fit", "STORE", "--out"), ".npy"),
        (("references", "MODEL", "STORE", "--out"), ".npy"),
        (("check", "MODEL", "STORE", "--out"), ".npz"),
        (("labels", "STORE", "--out"), ".npz"),
    ],
)
def test_ending_of_other_outputs__is_refused_too(lsg, store, model, tmp_path, words, ending):
    named = {"STORE": store, "MODEL": model}
    before = listing(tmp_path)
    ran = lsg(*(named.get(word, word) for word in words), tmp_path / f"x{ending}")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert f"no {ending} file: name it NAME.zarr" in ran.err
    assert listing(tmp_path) == before


def test_store_of_an_odd_name__is_resumed(lsg, store, spec, tmp_path):
    shutil.move(store, tmp_path / "old.nc")
    assert lsg("sample", spec, "--out", tmp_path / "old.nc", "--workers", 0).code == 0


@pytest.mark.parametrize("ending", [".npz", ".NPZ"])
def test_moments__go_round_through_npz(lsg, store, tmp_path, ending):
    out = tmp_path / f"m{ending}"
    assert lsg("moments", store, "--out", out, "--part", "RB").code == 0
    assert lsg("moments", store, "--out", tmp_path / "m.zarr", "--part", "RB").code == 0
    assert out.is_file()
    ours, zarr = as_target(out), as_target(tmp_path / "m.zarr")
    for name in ("m", "C", "part", "weight"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(zarr, name))
    assert (ours.count, ours.attributes) == (zarr.count, zarr.attributes)
    assert lsg("moments", store, "--out", out).code == 2
    assert lsg("moments", store, "--out", out, "--overwrite").code == 0
    for kind in (ending, ".zarr"):
        path = tmp_path / f"j{kind}"
        ran = lsg("fit", out, "--method", "bp", "--part", "LB", "--out", path)
        assert ran.code == 0, ran.err
    assert (tmp_path / f"j{ending}").is_file()
    first, second = (load_model(tmp_path / f"j{kind}") for kind in (ending, ".zarr"))
    for name in ("J", "h", "part", "weight"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    timed = {"fit_seconds", "seconds"}
    same = [{k: v for k, v in m.attributes.items() if k not in timed} for m in (first, second)]
    assert same[0] == same[1]


def test_archives__of_others_are_not_overwritten_and_that_is_told_first(
    lsg, store, tmp_path, monkeypatch
):
    from lsg_ray.ising import fit

    monkeypatch.setattr(fit, "fit_parts", None)
    np.savez(tmp_path / "thesis.npz", J=np.zeros((2, 2)), h=np.zeros(2), chapter=1)
    np.savez(tmp_path / "moments.npz", m=[0, 0], C=np.eye(2))
    (tmp_path / "text.npz").write_text("mine")
    (tmp_path / "folder.npz").mkdir()
    before = listing(tmp_path)
    for name in ("thesis", "moments", "text", "folder"):
        ran = lsg("fit", store, "--out", tmp_path / f"{name}.npz", "--overwrite")
        assert (ran.code, ran.err.count("\n")) == (2, 1)
        assert "not overwritten" in ran.err
    assert listing(tmp_path) == before


def test_references__go_round_through_npz(lsg, store, model, tmp_path):
    ran = lsg("references", model, store, "--out", tmp_path / "r.Npz", "--count", 2)
    assert ran.code == 0
    result = as_references(tmp_path / "r.Npz", load_model(model))
    assert result.group.tolist() == ["low"] * 2 + ["medium"] * 2 + ["high"] * 2
    again = ("references", model, store, "--out", tmp_path / "r.Npz", "--count", 1)
    assert lsg(*again, "--overwrite").code == 0


# Figures


@pytest.mark.parametrize(
    ("figure", "message"),
    [
        ("x.xyz", "x.xyz given; name a .png file"),
        ("x", "x given; name a .png file"),
        ("x.pdf", "name a .png file"),
        ("no/x.png", "no such folder, or a folder itself"),
        ("folder.png", "no such folder, or a folder itself"),
        ("there.png", "there.png exists; name another path or pass --overwrite"),
        ("dangling.png", "dangling.png exists; name another path or pass --overwrite"),
        ("s/x.png", "is what is read"),
        ("other.zarr/x.png", "is inside the Zarr store"),
        ("locked/x.png", "locked may not be written; name another folder"),
        ("s3://bucket/x.png", "a figure goes to a local path"),
        ("o.zarr", "name two paths"),
    ],
)
@pytest.mark.parametrize(
    "words",
    [("embed", "s"), ("cluster", "s"), ("fit", "s"), ("check", "j", "s"), ("replicas", "s"),
     ("scan", "j", "--references", "s"), ("tap", "j"), ("symmetry", "s"),
     ("walk", "s")],
    ids=lambda words: words[0],
)  # fmt: skip
def test_figure_that_cannot_be_written__is_refused_before_work(
    lsg, store, model, tmp_path, monkeypatch, words, figure, message
):
    monkeypatch.chdir(tmp_path)
    os.rename(model, "j")
    for folder in ("folder.png", "locked"):
        os.mkdir(folder)
    open("there.png", "w").close()
    os.symlink("nowhere", "dangling.png")
    shutil.copytree("j", "other.zarr")
    access = os.access
    monkeypatch.setattr(os, "access", lambda p, mode: "locked" not in str(p) and access(p, mode))
    if words[0] in ("scan", "tap", "check") and figure.startswith("s/"):
        figure = "j/x.png"
    before = listing(tmp_path)
    ran = lsg(*words, "--out", "o.zarr", "--figure", figure)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert message in ran.err
    assert listing(tmp_path) == before


def test_folder_that_may_not_be_written__is_refused_before_work(lsg, store, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    for name in ("m.zarr", "m.npz"):
        ran = lsg("moments", store, "--out", tmp_path / name)
        assert (ran.code, ran.err.count("\n")) == (2, 1)
        assert f"{tmp_path} may not be written" in ran.err


def test_figure__may_end_in_capitals(lsg, store, tmp_path):
    words = ("--method", "pca", "--out", tmp_path / "e", "--figure", tmp_path / "E.PNG")
    assert lsg("embed", store, *words).code == 0
    assert (tmp_path / "E.PNG").read_bytes().startswith(b"\x89PNG")


def test_model_in_npz__keeps_parts_and_where_it_comes_from(lsg, store, tmp_path):
    for name in ("j.npz", "j.zarr"):
        words = ("--method", "bp", "--part", "RB", "--out", tmp_path / name)
        assert lsg("fit", store, *words).code == 0
        result = load_model(tmp_path / name)
        assert result.part.tolist() == ["RB"] * 30
        assert result.weight.tolist() == list(range(12, 42))
        assert result.attributes["method"] == "bp"
        # References of whole networks are cut to the part.
        assert as_references(store, result).sigma.shape == (6, 30)
    with open_result(tmp_path / "j.zarr") as dataset:
        assert as_model(dataset).part.tolist() == ["RB"] * 30
