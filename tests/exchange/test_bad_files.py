"""Files of strangers: one readable line, exit code 2, and nothing created."""

import json
import os
import zipfile

import numpy as np
import pytest
import torch

from tests.cli.conftest import Ran
from tests.exchange.made import signs


def npy(values, **options):
    return lambda path: np.save(path, np.asarray(values, **options))


def text(content):
    return lambda path: path.write_text(content)


def cut_short(path):
    np.save(path, signs())
    path.write_bytes(path.read_bytes()[:-5])


def claims_much(path):
    np.save(path, signs(2))
    data = path.read_bytes()
    path.write_bytes(data.replace(b"(2, 12)", b"(9" + b"0" * 9 + b", 12)", 1))


def objects(path):
    np.save(path, np.array([[{}]], dtype=object), allow_pickle=True)


def spoiled(change, rows=30):
    def write(path):
        weights = signs(rows).astype(float)
        change(weights)
        np.save(path, weights)

    return write


def at(row, weight, value):
    def change(weights):
        weights[row, weight] = value

    return spoiled(change)


def bomb(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        head = np.lib.format.header_data_from_array_1_0(np.zeros((1, 1), np.int8))
        with archive.open("weights.npy", "w") as file:
            np.lib.format.write_array_header_1_0(file, {**head, "shape": (2**16, 2**10)})
            for _ in range(2**6):
                file.write(b"\1" * 2**20)


def npz(**arrays):
    return lambda path: np.savez(path, **arrays)


class Hostile:
    def __reduce__(self):
        return (os.system, ("touch hacked",))


def pickled(path):
    torch.save({"0.weight": Hostile()}, path)


def torch_of(value):
    return lambda path: torch.save(value, path)


def zip_bomb(path):
    torch.save({"0.weight": torch.zeros(2**22)}, path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def safetensors(head, data=b""):
    def write(path):
        content = json.dumps(head).encode()
        path.write_bytes(len(content).to_bytes(8, "little") + content + data)

    return write


def parquet(**columns):
    def write(path):
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.table(columns), path, write_page_checksum=True)

    return write


def parquet_cut_in_the_middle(path):
    parquet(**{f"w{i}": np.random.default_rng(i).normal(size=5000) for i in range(3)})(path)
    data = bytearray(path.read_bytes())
    data[200:20000] = bytes(19800)
    path.write_bytes(data)


def npz_damaged(path):
    np.savez_compressed(path, weights=np.random.default_rng(0).normal(size=(500, 12)))
    data = bytearray(path.read_bytes())
    data[20000:20100] = bytes(100)
    path.write_bytes(data)


def nothing(_):
    pass


FILES = {
    "nothing there": ("w.npy", nothing, "cannot be read (No such file"),
    "empty": ("w.npy", text(""), "not an .npy"),
    "text": ("w.npy", text("hello"), "not an .npy"),
    "cut short": ("w.npy", cut_short, "cut short or damaged"),
    "claims much": ("w.npy", claims_much, "cut short or damaged"),
    "objects": ("w.npy", objects, "object given; an array of real numbers"),
    "complex": ("w.npy", npy([[1j]]), "complex128 given"),
    "words": ("w.npy", npy([["a"]]), "given; an array of real numbers"),
    "one axis": ("w.npy", npy([1, -1]), "an array of shape (2,); weights are (M, N)"),
    "three axes": ("w.npy", npy(np.ones((2, 2, 2))), "weights are (M, N)"),
    "no rows": ("w.npy", npy(np.ones((0, 3))), "there must be some"),
    "no weights": ("w.npy", npy(np.ones((3, 0))), "there must be some"),
    "third value": ("w.npy", npy([[1, -1], [1, 0]]), "row 1, weight 1 is 0; binary weights are ±1"),
    "two": ("w.npy", npy([[0, 1], [2, 1]]), "row 1, weight 0 is 2; binary weights are"),
    "minus beside zero": ("w.npy", npy([[0, 1]] * 3 + [[-1, 1]]), "row 3, weight 0 is -1"),
    "half": ("w.npy", at(20, 3, 0.5), "row 20, weight 3 is 0.5; binary weights are ±1"),
    "nan": ("w.npy", at(7, 5, np.nan), "row 7, weight 5 is nan; weights must be finite"),
    "inf": ("w.npy", at(7, 5, -np.inf), "row 7, weight 5 is -inf"),
    "too large": ("w.npy", npy([[1e300, 0.5]]), "more than float32 holds"),
    "suffix": ("w.xlsx", text("x"), "no weights are read from .xlsx"),
    "no suffix": ("w", text("x"), "no weights are read from such a name"),
    "no archive": ("w.npz", text("x"), "cannot be read"),
    "bomb": ("w.npz", bomb, "claims"),
    "which array": ("w.npz", npz(a=signs(), b=signs()), "name the weights (M, N) weights"),
    "column": ("w.npz", npz(weights=signs(), x=np.ones(3)), "columns beside weights are (60,)"),
    "empty text": ("w.csv", text(""), "empty"),
    "blank": ("w.csv", text("\n"), "name the weights so"),
    "header alone": ("w.csv", text("w0,w1\n"), "there must be some"),
    "ragged": ("w.csv", text("1,-1\n1,1\n1\n"), "row 2 has 1 numbers, must have 2"),
    "longer": ("w.csv", text("w0,w1\n1,-1\n1,1,1\n"), "row 1 has 3 numbers, must have 2"),
    "word": ("w.csv", text("1,-1\n1,x\n"), "row 1, column 'w1' is 'x'"),
    "no value": ("w.csv", text("1,-1\n1,\n"), "row 1, column 'w1' is ''"),
    "percent": ("w.csv", text("w0,w1,accuracy\n1,-1,97\n"), "it must be 0 to 1"),
    "column of words": ("w.csv", text("w0,w1,who\n1,-1,me\n"), "column 'who' is 'me'"),
    "model": ("w.npz", npz(J=np.zeros((2, 2)), h=np.ones(2)), "a model of J and h"),
    "module": ("w.pt", torch_of(torch.nn.Linear(2, 2)), "it holds torch.nn.modules.linear.Linear"),
    "nan in text": ("w.csv", text("0.5,-1\n1,nan\n"), "row 1, weight 1 is nan"),
    "gap": ("w.csv", text("w0,w2\n1,1\n"), "w0, w1, ... without a gap"),
    "names": ("w.csv", text("a,b\n1,1\n"), "name the weights so"),
    "twice": ("w.csv", text("w0,x,x\n1,1,1\n"), "column 'x' is there twice"),
    "bytes": ("w.csv", lambda path: path.write_bytes(b"1,\xff\xfe"), "not text (UTF-8)"),
    "pickle": ("w.pt", pickled, "no state dict that can be read without running code"),
    "no zip": ("w.pt", text("x"), "not a file of torch.save"),
    "zip bomb": ("w.pt", zip_bomb, "unpacks to more than it holds"),
    "tensor": ("w.pt", torch_of(torch.ones(3)), "Tensor given; a state dict is needed"),
    "empty list": ("w.pt", torch_of([]), "an empty list"),
    "no tensor": ("w.pt", torch_of({"a": "b"}), "a is str, and no tensor"),
    "expanded": ("w.pt", torch_of({"a": torch.ones(1).expand(2**40)}), "at most 100,000,000"),
    "empty tensor": ("w.pt", torch_of({"a": torch.ones(0)}), "is empty"),
    "complex tensor": ("w.pt", torch_of({"a": torch.ones(2) * 1j}), "complex numbers"),
    "head": ("w.safetensors", safetensors({"a": {"dtype": "F32", "shape": [9],
             "data_offsets": [0, 36]}}), "no file of safetensors"),
    "no head": ("w.safetensors", text("hello"), "no file of safetensors"),
    "damaged in the middle": ("w.npz", npz_damaged, "damaged"),
    "no Parquet": ("w.parquet", text("hello"), "cannot be read as Parquet"),
    "Parquet cut": ("w.parquet", lambda path: path.write_bytes(b"PAR1abcPAR1"), "as Parquet"),
    "Parquet damaged": ("w.parquet", parquet_cut_in_the_middle, "cannot be read as Parquet"),
    "lists of two lengths": ("w.parquet", parquet(weights=[[1, -1], [1]]),
                             "row 1 has 1 weights, must have 2"),
    "missing in a list": ("w.parquet", parquet(weights=[[1, -1], [1, None]]),
                          "row 1, weight 1 is missing"),
    "missing": ("w.parquet", parquet(w0=[1, None], w1=[1, 1]), "row 1, column 'w0' is missing"),
    "no weights here": ("w.parquet", parquet(a=[1, 2]), "name the weights so"),
    "lists of words": ("w.parquet", parquet(weights=[["a"], ["b"]]), "weights are real numbers"),
    "structure": ("w.parquet", parquet(weights=[{"a": 1}]), "weights are lists"),
    "no model": ("w.bqm", text("hello"), "no binary quadratic model"),
}  # fmt: skip
LIBRARIES = {"w.safetensors": "safetensors", "w.bqm": "dimod", "w.parquet": "pyarrow"}


@pytest.fixture
def lsg(capsys):
    """Run a command in this process."""
    from lsg_ray.cli import main

    def run(*words):
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in words])
        ran = Ran(stop.value.code, *capsys.readouterr())
        assert "Traceback" not in ran.err
        return ran

    return run


@pytest.mark.parametrize("case", FILES)
def test_bad_file__one_line_and_nothing_created(lsg, tmp_path, monkeypatch, case):
    name, write, words = FILES[case]
    if name in LIBRARIES:
        pytest.importorskip(LIBRARIES[name])
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "in"
    folder.mkdir()
    write(folder / name)
    ran = lsg("import", folder / name, "--out", tmp_path / "out.zarr")
    assert ran.code == 2, ran.err
    assert words in ran.err
    assert ran.err.count("\n") == 1
    assert os.listdir(tmp_path) == ["in"]


def test_folders__links_and_mixtures_are_refused(lsg, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    assert "no state dicts in it" in lsg("import", folder, "--out", tmp_path / "o").err
    torch.save({"a": torch.ones(2)}, folder / "a.pt")
    (folder / "b.pt").symlink_to(folder / "a.pt")
    assert "b.pt is a link" in lsg("import", folder, "--out", tmp_path / "o").err
    (folder / "b.pt").unlink()
    (folder / "b.safetensors").write_text("")
    ran = lsg("import", folder, "--out", tmp_path / "o")
    assert (ran.code, "files of .pt and .safetensors" in ran.err) == (2, True)
    ran = lsg("import", folder, "--out", folder / "o")
    assert (ran.code, "is what is read" in ran.err) == (2, True)
    assert sorted(os.listdir(tmp_path)) == ["in"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--network", "3-x"], "widths such as 20-15-15-10"),
        (["--network", "3-2-3-4"], "3-2-3-4 have 24"),
        (["--network", "3"], "positive numbers from input to output"),
        (["--family", "lstm"], "'lstm' is no family"),
        (["--dataset", "digits"], "without a network"),
        (["--dataset", "none", "--network", "3-2-3"], "'none'"),
        (["--dataset", "digits", "--network", "3-2-3"], "class labels of digits need 10"),
        (["--set", "ensemble.count=3"], "fields of network and dataset"),
        (["--set", "network.widths=3"], "positive numbers from input to output"),
        (["--layout", "in-out"], "name the widths of the network too"),
        (["--out", "x.npz"], "a store is a folder"),
        (["--out", "memory://x"], "would vanish"),
    ],
)
def test_options_that_do_not_fit(lsg, tmp_path, monkeypatch, options, words):
    monkeypatch.chdir(tmp_path)
    np.save("w.npy", signs())
    ran = lsg("import", "w.npy", "--out", "o", *options)
    assert ran.code == 2, ran.err
    assert words in ran.err
    assert os.listdir(tmp_path) == ["w.npy"]


def test_commands__import_and_export(lsg, tmp_path):
    np.save(tmp_path / "w.npy", ((signs() + 1) // 2).astype(np.uint8))
    ran = lsg("import", tmp_path / "w.npy", "--out", tmp_path / "e.zarr")
    assert "60 configurations of 12 weights" in ran.out
    assert "stored as −1 and +1" in ran.err
    again = lsg("import", tmp_path / "w.npy", "--out", tmp_path / "e.zarr", "--json")
    report = json.loads(again.out)
    assert (report["rows"], report["family"], again.err) == (60, "weights", "")
    assert any("−1" in note for note in report["notes"])
    out = tmp_path / "x.csv"
    ran = lsg("export", tmp_path / "e.zarr", "--to", out, "--limit", 2, "--json")
    assert json.loads(ran.out)["rows"] == 2
    assert len(out.read_text().splitlines()) == 3
    ran = lsg("export", tmp_path / "e.zarr", "--to", out)
    assert (ran.code, "--overwrite" in ran.err) == (2, True)
    ran = lsg("export", tmp_path / "e.zarr", "--to", tmp_path / "e.zarr" / "y.csv")
    assert ran.code == 2
    ran = lsg("export", tmp_path / "nothing", "--to", tmp_path / "y.csv")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    ran = lsg("canonicalize", tmp_path / "e.zarr", "--out", tmp_path / "c.zarr")
    assert (ran.code, "holds weights alone" in ran.err) == (2, True)
    assert lsg("moments", tmp_path / "e.zarr", "--out", tmp_path / "m.zarr").code == 0
    assert lsg("export", tmp_path / "m.zarr", "--to", tmp_path / "m.npz").code == 0
    assert lsg("fit", tmp_path / "m.npz", "--out", tmp_path / "J.zarr", "--method", "bp",
               "--no-verify").code == 0  # fmt: skip
    assert lsg("export", tmp_path / "J.zarr", "--to", tmp_path / "J.npz").code == 0
    assert lsg("scan", tmp_path / "J.npz", "--references", tmp_path / "e.zarr", "--count", 1,
               "--out", tmp_path / "s.zarr").code == 0  # fmt: skip
