"""Data of one's own through the commands: to a report, and bad files to one line."""

import json
from pathlib import Path

import numpy as np
import pytest

from lsg_ray import datasets, open_ensemble
from lsg_ray.datasets import locating
from tests.datasets.own import csv_text, examples

BINARY = """
name: own
dataset: {name: file, path: d.csv, label: species, test_fraction: 0.2}
network: {widths: [5, 3, 3]}
training: {epochs: 2, batch_size: 20}
ensemble: {count: 6, threshold: 0, draws: 2, block_size: 3}
study: {moments: {}}
"""
RELU = """
name: own
dataset: {name: file, path: d.csv, label: species, test_fraction: 0.2}
network: {family: relu, widths: [5, 4, 3]}
training: {epochs: 2, batch_size: 20}
ensemble: {count: 4}
study: {interpolate: {pairs: 1}, cluster: {}}
"""


@pytest.fixture(autouse=True)
def _folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LSG_CACHE_DIR", str(tmp_path / "cache"))
    locating._seen.clear()


@pytest.fixture
def table(_folder):
    x, y = examples(np.random.default_rng(3))
    Path("d.csv").write_text(csv_text(x, np.array(["cat", "dog", "eel"])[y], label="species"))
    Path("binary.yaml").write_text(BINARY)
    Path("relu.yaml").write_text(RELU)
    return x, y


@pytest.mark.filterwarnings("ignore::lsg_ray.datasets.tables.DataWarning")
@pytest.mark.parametrize("family", ["binary", "relu"])
def test_run__from_a_table_to_a_report(lsg, table, tmp_path, family):
    ran = lsg("run", f"{family}.yaml", "--out", "out", "--workers", 0, "--json")
    assert ran.code == 0, ran.err
    page = Path("out/report.html").read_text()
    assert "The 5 inputs of file are no images." in page
    assert "label_values: [cat, dog, eel]" in page
    assert str(tmp_path) not in page
    assert not Path("out/inputs.png").exists()
    store = Path("out/ensemble.zarr/zarr.json").read_text()
    assert "d.csv" not in store
    assert json.loads(store)["attributes"]["format_version"] == 3
    again = lsg("run", "out/spec.yaml", "--out", "out", "--workers", 0, "--json")
    assert again.code == 0, again.err
    assert lsg("report", "out", "--json").code == 0


@pytest.mark.filterwarnings("ignore::lsg_ray.datasets.tables.DataWarning")
def test_sample__of_a_file_that_changed_is_one_line(lsg, table):
    words = ("sample", "binary.yaml", "--out", "s.zarr", "--workers", 0)
    assert lsg(*words).code == 0
    original = Path("d.csv").read_text()
    Path("d.csv").write_text(original.replace("cat", "dog", 1))
    ran = lsg(*words)
    assert ran.code == 2
    assert ran.err.splitlines()[-1].startswith("dataset: the file has changed since: SHA-256")
    assert len([line for line in ran.err.splitlines() if "dataset" in line]) == 1
    data = lsg("sample", "binary.yaml", "--out", "s.zarr", "--workers", 0, "--count", 8)
    assert data.code == 2
    Path("d.csv").write_text(original)
    assert lsg(*words, "--count", 8).code == 0
    assert open_ensemble("s.zarr").info()["rows"] == 8


@pytest.mark.filterwarnings("always")
def test_say__which_labels_were_mapped(lsg, table):
    from lsg_ray.datasets import file

    file._warned.clear()
    ran = lsg("spec", "show", "binary.yaml")
    assert ran.err == (
        "lsg: warning: d.csv: labels are not 0 to 2; classes: cat → 0, dog → 1, eel → 2\n"
    )
    assert "path: d.csv" in ran.out


CSV = "a,b,y\n" + "".join(f"{i},{i * i},{i % 2}\n" for i in range(10))
FILES = {
    "nan.csv": (CSV + "1,nan,0\n", "line 12, column 'b': 'nan' seen"),
    "short.csv": (CSV + "1,2\n", "line 12: 2 columns; 3 expected"),
    "empty.csv": ("", "empty"),
    "regression.csv": (CSV + "1,2,0.5\n", "regression is not supported"),
    "class.csv": ("a,b,y\n1,2,0\n2,3,0\n", "all 2 labels are 0; two classes"),
    "absent.csv": (None, "cannot be read: No such file or directory"),
    "pickle.npy": (b"\x80\x04\x95", "neither .npz, .npy, Parquet nor text in UTF-8"),
    "torn.npz": (b"PK\x03\x04abc", "damaged archive"),
    "torn.npy": (b"\x93NUMPY\x01\x00\xff", "give the labels by dataset.label_path"),
    "torn.parquet": (b"PAR1abc", "Parquet"),
    "nul.csv": (CSV + "1,\0,1\n", "bad.csv|nul.csv"),
}


@pytest.mark.parametrize("command", ["sample", "run"])
@pytest.mark.parametrize("name", FILES)
def test_bad_file__is_one_line_and_nothing_is_created(lsg, tmp_path, command, name):
    contents, message = FILES[name]
    if contents is not None:
        Path(name).write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    Path("spec.yaml").write_text(
        f"dataset: {{name: file, path: {name}, test_fraction: 0.2}}\n"
        "network: {widths: [2, 3, 2]}\nensemble: {count: 4, threshold: 0}\n"
    )
    before = sorted(path.name for path in tmp_path.iterdir() if path.name != "cache")
    ran = lsg(command, "spec.yaml", "--out", "out", "--workers", 0)
    assert ran.code == 2
    assert message.partition("|")[0] in ran.err or message.rpartition("|")[2] in ran.err
    assert len(ran.err.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "cache") == before


def test_data__list_and_fetch(lsg, table):
    listed = lsg("data", "list").out
    assert "random-patterns  options: patterns, inputs, test_patterns" in listed
    rows = {row["name"]: row for row in lsg("data", "list", "--json").json["datasets"]}
    assert rows["file"]["place"] == "options"
    assert rows["digits"]["n_train"] == 1437
    fetched = lsg("data", "fetch", "d.csv", "--label", "species", "--json").json
    assert (fetched["name"], fetched["classes"], fetched["shape"]) == ("d.csv", 3, [5])
    assert fetched["folder"] == str(Path.cwd())
    page = lsg("data", "fetch", "d.csv", "--label", "species").out
    assert "cat → 0, dog → 1, eel → 2" in page
    assert f"cat: {fetched['counts']['cat']}, dog: " in page
    assert "set dataset.label to the column of labels" in lsg("data", "fetch", "d.csv").out
    assert "1,437" in lsg("data", "fetch", "digits").out
    for words in (["teacher"], ["digits", "--label", "a"], ["absent.csv"], ["ftp://x/y.csv"]):
        ran = lsg("data", "fetch", *words)
        assert (ran.code, ran.err.count("\n")) == (2, 1)


def test_what_is_set_on_reading__is_named_to_nobody(lsg, table):
    """Hash, shape and counts may be in a specification, and are not offered."""
    assert "sha256" not in lsg("data", "list").out
    assert "sha256" not in lsg("spec", "schema").out
    for option in ("pat: d.csv", "options: {pat: d.csv}"):
        Path("spec.yaml").write_text(f"dataset: {{name: file, {option}}}")
        ran = lsg("spec", "show", "spec.yaml")
        assert ran.code == 2
        assert "allowed are" in ran.err
        assert "sha256" not in ran.err


def test_schema__has_the_options_of_each_data_set(lsg):
    schema = lsg("spec", "schema", "--json").json["$defs"]["DatasetSpec"]
    own = {rule["if"]["properties"]["name"]["const"]: rule["then"] for rule in schema["allOf"]}
    assert "path" in own["file"]["properties"]
    assert {"patterns", "hidden"} <= set(own["teacher"]["properties"])
    assert schema["unevaluatedProperties"] is False
    assert {status.name for status in datasets.dataset_status()} <= set(
        schema["properties"]["name"]["enum"]
    )


def test_sample__generated_by_both_ways_of_labels(lsg):
    for labels, last in (("class", 2), ("parity", 1)):
        Path("spec.yaml").write_text(
            f"dataset: {{name: random-patterns, patterns: 40, inputs: 11, labels: {labels}}}\n"
            f"network: {{widths: [11, 3, {last}]}}\ntraining: {{epochs: 2, batch_size: 20}}\n"
            "ensemble: {count: 4, threshold: 0, draws: 2, selection: train}\n"
        )
        ran = lsg("sample", "spec.yaml", "--out", f"{labels}.zarr", "--workers", 0)
        assert ran.code == 0, ran.err
        assert lsg("verify", f"{labels}.zarr").code == 0
