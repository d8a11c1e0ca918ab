"""Commands about binary networks, given a store of ReLU networks: they work, or say why not."""

import os

import pytest

from lsg_ray.cluster.sample import sample
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.spec import parse_spec

RELU = {
    "name": "real",
    "dataset": {"name": "digits", "components": 6, "train_examples": 200},
    "network": {"family": "relu", "widths": [6, 5, 10]},
    "training": {"epochs": 2, "stack": 3},
    "ensemble": {"count": 6},
}


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Six networks of 80 weights."""
    path = tmp_path_factory.mktemp("real") / "s.zarr"
    sample(parse_spec(RELU), path, workers=0)
    return path


@pytest.mark.parametrize(
    "words",
    [
        ("moments", "--out", "OUT"),
        ("moments", "--out", "OUT", "--part", "RB", "--where", "train_loss > 0"),
        ("moments", "--out", "OUT", "--canonical", "--weights", "test_accuracy"),
        ("distances", "--out", "OUT", "--canonical"),
        ("distances", "--out", "OUT", "--references", "STORE", "--nearest", "2"),
        ("canonicalize", "--out", "OUT"),
        ("labels", "--out", "OUT"),
        ("permute", "--out", "OUT", "--fraction", "1"),
        ("permute", "--out", "OUT", "--fraction", "0.5", "--mode", "add"),
        ("embed", "--out", "OUT", "--perplexity", "1.5", "--color", "train_loss"),
        ("embed", "--out", "OUT", "--method", "pca", "--starts"),
    ],
    ids=lambda words: " ".join(words),
)
def test_commands_that_work(lsg, real, tmp_path, words):
    out = tmp_path / "out"
    command, *options = ({"OUT": out, "STORE": real}.get(word, word) for word in words)
    ran = lsg(command, real, *options, "--json")
    assert ran.code == 0, ran.err
    assert out.is_dir()
    assert ran.json
    if command in ("canonicalize", "permute"):
        assert lsg("verify", out).code == 0
        assert not open_ensemble(out).signs


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("overlaps", "--out", "OUT"), "real-valued weights; overlaps are of ±1 weights"),
        (("moments", "--out", "OUT", "--triples", "5"), "they need ±1 weights"),
        (("moments", "--out", "OUT", "--part", "ITR"), "part 'ITR' given; this network has LB, RB"),
        (("moments", "--out", "OUT", "--weights", "polarization"), "weights 'polarization' given"),
        (("distances", "--out", "OUT", "--pairs", "2"), "real-valued weights and pairs given"),
        (("distances", "--out", "OUT", "--other", "BINARY"), "weights a configuration"),
        (("embed", "--out", "OUT", "--color", "polarization"), "color polarization given"),
        (("fit", "--method", "plm", "--out", "OUT"), "a model is of ±1 weights"),
        (("fit", "--method", "pcd", "--out", "OUT"), "a model is of ±1 weights"),
        (("query", "--columns", "weights"), "unknown column 'weights'"),
        (("query", "--where", "polarization > 0"), "unknown name 'polarization'"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, tuple) else "",
)
def test_commands_that_say_why_not(lsg, real, store, tmp_path, words, message):
    out = tmp_path / "out"
    command, *options = ({"OUT": out, "BINARY": store}.get(word, word) for word in words)
    ran = lsg(command, real, *options)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert len(ran.err.splitlines()) == 1 or command == "query"  # which points at the place
    assert not out.exists()


@pytest.mark.parametrize("command", ["overlaps", "distances"])
def test_binary_networks_have_no_columns_of_relu_ones(lsg, store, tmp_path, command):
    ran = lsg(command, store, "--out", tmp_path / "out", "--where", "train_loss > 0")
    assert ran.code == 2
    assert ran.err.startswith("lsg: unknown name 'train_loss'; columns are configuration")
    ran = lsg("embed", store, "--out", tmp_path / "out", "--color", "train_loss")
    assert ran.code == 2
    assert "color train_loss given; columns are configuration" in ran.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("training.stack=2147483647", "training.stack: 2147483647 networks together take"),
        ("training.epochs=2147483647", "networks together take"),
        ("ensemble.block_size=2000000000", "configurations a block, which take"),
        ("network.widths=[6, 10000001, 10]", "at most 100000000"),
        ("training.batch_fraction=0.1", ""),
        ("training.engine=cuda", "relu networks have 'torch', 'numba' or 'auto'"),
        ("dataset.labels=parity", "relu networks learn 'class' labels"),
        ("ensemble.frozen_parts=[RB]", "relu networks have []"),
    ],
)
def test_spec_that_cannot_be_run__creates_nothing(lsg, tmp_path, change, message):
    (tmp_path / "spec.yaml").write_text(str(RELU))
    ran = lsg("sample", tmp_path / "spec.yaml", "--out", tmp_path / "out", "--workers", 0,
              "--set", change)  # fmt: skip
    if not message:
        assert ran.code == 0
        return
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert len(ran.err.splitlines()) <= 2
    assert os.listdir(tmp_path) == ["spec.yaml"]
