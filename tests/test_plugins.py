"""A family of networks, a training algorithm and a data set of another package, one file each."""

import json

import pytest

from tests.toy import Commands, install

SPEC = """
name: toy
dataset: {name: toy-clouds}
network: {family: toy-committee, widths: [6, 3, 2], options: {bias: 0.25}}
training: {epochs: 3, options: {tries: 20}}
ensemble: {count: 30, snapshots: [0, 3], block_size: 10}
"""


@pytest.fixture(scope="module")
def lsg(tmp_path_factory):
    """The command, beside the package of another author."""
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "toy.yaml").write_text(SPEC)
    commands = Commands(install(folder / "site"), folder)
    yield commands
    commands.close()


def test_sampled_stored_and_measured(lsg):
    """On Ray: workers find what is installed by its name alone."""
    lsg("sample", "toy.yaml", "--out", "toy.zarr", "--workers", "1", "--json")
    assert json.loads(lsg("verify", "toy.zarr", "--json"))["sound"]
    info = json.loads(lsg("info", "toy.zarr", "--json"))
    assert (info["family"], info["rows"]) == ("toy-committee", 30)
    result = json.loads(lsg("moments", "toy.zarr", "--out", "m.zarr", "--json"))
    assert result["count"] == 30
    early = lsg("moments", "toy.zarr", "--snapshot", "0", "--out", "m0.zarr", "--json")
    assert json.loads(early)["count"] == 30
    shown = lsg("query", "toy.zarr", "--where", "accuracy > 0.5", "--limit", "2", "--format", "csv")
    assert shown.startswith("configuration,accuracy,loss,test_accuracy,trial")


def test_named_in_schema_list_and_errors(lsg):
    schema = json.loads(lsg("spec", "schema", "--json"))
    assert "toy-committee" in schema["$defs"]["NetworkSpec"]["properties"]["family"]["enum"]
    assert "toy-clouds" in schema["$defs"]["DatasetSpec"]["properties"]["name"]["enum"]
    assert "toy-clouds" in lsg("data", "list")
    for change, message in (
        ("training.options={tries: 0}", "training.options.tries: 0 given; input should be greater"),
        ("training.options={x: 1}", "training.options.x: 1 given; extra inputs are not permitted"),
        ("network.options={bias: x}", "network.options.bias: 'x' given"),
        ("training.algorithm=descent", "toy-committee networks are trained by toy-search"),
        ("network.widths=[5, 3, 2]", "pixels of toy-clouds need 6"),
        ("network.family=toy", "'toy' given; choose one of binary, real, relu, "),
    ):
        text = lsg("sample", "toy.yaml", "--set", change, "--out", "x.zarr", code=2)
        assert message in text
