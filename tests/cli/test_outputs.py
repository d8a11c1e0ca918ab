"""Places on the command line: home folders, endings, and what is written is never what is read."""

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
    "address", "alpha", "alphas", "arguments", "betas", "clone_counts", "color", "columns",
    "configurations", "cores", "dataset", "distances", "family", "fields", "flips", "fractions",
    "gammas", "id", "l1", "label", "method", "name", "network", "options", "overlaps", "overrides",
    "pairs", "part", "radii", "sigma", "sigmas", "sign_gammas", "sort", "stage", "swaps",
    "temperatures", "weights", "where",
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


@pytest.fixture
def model(tmp_path):
    rng = np.random.default_rng(0)
    J = np.triu(rng.normal(0, 0.02, (42, 42)), 1)
    return IsingModel(J + J.T, np.zeros(42)).save(tmp_path / "model.zarr")


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


# Arrays


@pytest.fixture
def arrays(store, tmp_path):
    """Configurations in several forms."""
    sigma = lsg_ray.open_ensemble(store).numpy()
    result = lsg_ray.moments(sigma)
    np.savez(tmp_path / "all.npz", m=result["m"], C=result["C"], sigma=sigma, few=sigma[:1])
    np.savez(tmp_path / "two", first=sigma, second=sigma[:3])
    np.savez(tmp_path / "moments.npz", m=result["m"], C=result["C"])
    np.save(tmp_path / "rows", sigma)
    os.rename(tmp_path / "two.npz", tmp_path / "two.NPZ")
    os.rename(tmp_path / "rows.npy", tmp_path / "rows.NPY")
    return tmp_path


def test_fit__takes_configurations_and_moments_of_files(lsg, store, arrays):
    plm, bp = ("--method", "plm", "--l1", 0.1), ("--method", "bp")
    for path, words in (
        ("all.npz", plm), ("two.NPZ:first", plm), ("rows.NPY", plm),
        ("all.npz", bp), ("two.NPZ:first", bp), ("rows.NPY", bp),
    ):  # fmt: skip
        ran = lsg("fit", arrays / path, *words, "--out", arrays / "j.zarr", "--overwrite")
        assert ran.code == 0, (path, ran.err)
        # Moments alone do not say of how many configurations they are.
        same = arrays / "moments.npz" if (path, words) == ("all.npz", bp) else store
        lsg("fit", same, *words, "--out", arrays / "same.zarr", "--overwrite")
        np.testing.assert_array_equal(
            load_model(arrays / "j.zarr").J, load_model(arrays / "same.zarr").J
        )


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("moments.npz", "moments given; pseudolikelihood needs the configurations"),
        ("two.NPZ", "two.NPZ holds first, second; write"),
        ("two.NPZ:third", "two.NPZ holds first, second; write"),
        ("two.NPZ:", "two.NPZ holds first, second; write"),
        ("none.npz:a", "none.npz: cannot be read as an array"),
    ],
)
def test_fit__says_what_a_file_lacks(lsg, arrays, path, message):
    ran = lsg("fit", arrays / path, "--method", "plm", "--out", arrays / "j.zarr")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert message in ran.err
    assert not (arrays / "j.zarr").exists()


@pytest.mark.parametrize("path", ["two.NPZ:second", "all.npz:few", "all.npz", "rows.NPY"])
@pytest.mark.parametrize(
    "words",
    [
        ("scan", "MODEL", "--fields", "0", "--references"),
        ("mc", "MODEL", "--sweeps", 4, "--chains", 1, "--references"),
        ("overlaps", "STORE", "--references"),
        ("distances", "STORE", "--other"),
    ],
    ids=lambda words: words[0],
)
def test_arrays_in_files__are_taken_by_all_that_take_references(
    lsg, store, model, arrays, words, path
):
    named = {"MODEL": model, "STORE": store}
    words = [named.get(word, word) for word in words]
    ran = lsg(*words, arrays / path, "--out", arrays / "o.zarr")
    assert ran.code == 0, ran.err
    assert lsg(*words, arrays / "two.NPZ:third", "--out", arrays / "p.zarr").code == 2


def test_thermo__takes_one_array_of_a_file(lsg, model, arrays):
    words = ("--ladders", 2, "--burn-in", 4, "--draws", 4, "--out", arrays / "t.zarr")
    assert lsg("thermo", model, "--reference", arrays / "all.npz:few", *words).code == 0


# What is read is not written


@pytest.fixture
def deeper(store, model, tmp_path):
    """A store and a model with a folder around them, and links to them."""
    folder = tmp_path / "deep"
    folder.mkdir()
    shutil.copytree(store, folder / "t")
    shutil.move(store, folder / "s")
    shutil.move(model, folder / "j")
    (tmp_path / "link").symlink_to(folder)
    np.savez(folder / "r.npz", sigma=np.ones((2, 42), np.int8))
    assert lsg_ray.open_ensemble(folder / "s").n_complete
    return folder


def spellings(path):
    path = str(path)
    yield from (path, f"{path}/", f"file://{path}", os.path.relpath(path))
    yield path.replace("/deep/", "/link/")
    yield os.path.dirname(path)
    yield f"{path}/x.zarr"


@pytest.mark.parametrize(
    ("words", "read"),
    [
        (("moments", "s"), "s"),
        (("overlaps", "s", "--other", "j"), "j"),
        (("distances", "s", "--references", "r.npz"), "r.npz"),
        (("embed", "s"), "s"),
        (("cluster", "s"), "s"),
        (("permute", "s", "--fraction", 0.5), "s"),
        (("canonicalize", "s"), "s"),
        (("fit", "j"), "j"),
        (("check", "j", "s"), "j"),
        (("check", "j", "s"), "s"),
        (("scan", "j", "--references", "r.npz:sigma"), "r.npz"),
        (("scan", "j", "--references", "r.npz"), "j"),
        (("mc", "j", "--references", "r.npz"), "j"),
        (("tap", "j"), "j"),
        (("thermo", "j", "--reference", "r.npz"), "r.npz"),
        (("symmetry", "s"), "s"),
        (("model-replicas", "j"), "j"),
        (("replicas", "s"), "s"),
        (("labels", "s"), "s"),
        (("references", "j", "s"), "s"),
        (("interpolate", "s", "--other", "t"), "t"),
        (("walk", "s"), "s"),
    ],
)
def test_output_that_is_read__is_refused_however_it_is_spelt(lsg, deeper, words, read):
    names = {"s", "t", "j", "r.npz"}
    words = [str(deeper / word) if str(word).partition(":")[0] in names else word for word in words]
    if words[0] not in ("permute", "canonicalize"):
        words.append("--overwrite")
    before = listing(deeper)
    for path in spellings(deeper / read):
        ran = lsg(*words, "--out", path)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1), (path, ran)
        assert "is what is read" in ran.err
    assert listing(deeper) == before


def test_model_of_a_part__that_is_read_is_not_written(lsg, deeper):
    shutil.move(deeper / "j", deeper / "m-LB.zarr")
    ran = lsg("fit", deeper / "m-LB.zarr", "--part", "LB,RB", "--out", deeper / "m.zarr")
    assert (ran.code, "m-LB.zarr is what is read" in ran.err) == (2, True)


def test_earlier_results_for_a_figure__are_not_written(lsg, deeper):
    path = deeper / "j"
    ran = lsg("swaps", deeper / "s", "--beside", path, "--out", path)
    assert ran.code == 2


def test_two_outputs__are_two_places(lsg, deeper):
    for second in (deeper / "o.png", deeper / "o.png" / "t.png"):
        words = ("check", deeper / "j", deeper / "s", "--out", deeper / "o.png", "--figure", second)
        ran = lsg(*words)
        assert (ran.code, ran.err.count("\n")) == (2, 1)
    parts = ("fit", deeper / "s", "--part", "LB,RB", "--out", deeper / "o")
    ran = lsg(*parts, "--figure", deeper / "o-LB" / "f.png")
    assert "--out" in ran.err
    assert "--figure" in ran.err
    assert "name two paths" in ran.err
    assert not (deeper / "o").exists()


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
