"""A sampled store goes out and comes back beside its data set, whatever the format."""

import numpy as np
import pytest

import lsg_ray
from lsg_ray.errors import InputError
from lsg_ray.exchange import source
from lsg_ray.exchange.importing import write_ensemble
from lsg_ray.spec import parse_spec

TABLES = ("csv", "npz", "parquet")
NEEDS = {"parquet": "pyarrow", "safetensors": "safetensors"}
TREE = {
    "dataset": {"name": "digits", "components": 5, "train_examples": 100},
    "training": {"epochs": 2, "batch_size": 50},
    "ensemble": {"count": 6, "threshold": 0.0, "block_size": 4},
}
NETWORKS = {
    "binary": {"widths": [5, 4, 10]},
    "relu": {"family": "relu", "widths": [5, 4, 10], "biases": True},
}


@pytest.fixture(scope="module", params=NETWORKS)
def sampled(request, tmp_path_factory):
    spec = parse_spec({**TREE, "network": NETWORKS[request.param]})
    url = lsg_ray.sample(spec, tmp_path_factory.mktemp("s") / "s.zarr", workers=0).url
    return lsg_ray.open_ensemble(url)


def imported_from(path, sampled, folder):
    """The store that is written, and the notes on how the file was read."""
    notes = []
    store = write_ensemble(
        path,
        folder / "again.zarr",
        network=sampled.spec.network,
        dataset=sampled.spec.dataset,
        log=notes.append,
    )
    return store, notes


@pytest.mark.parametrize("suffix", [*TABLES, "npy", "safetensors", "pt"])
def test_export_and_import__give_the_same_store(sampled, tmp_path, monkeypatch, suffix):
    if suffix in NEEDS:
        pytest.importorskip(NEEDS[suffix])
    monkeypatch.setattr(source, "CONFIG", source.ImportConfig(read_bytes=8 * 60 * 5, block_rows=4))
    path = tmp_path / f"x.{suffix}"
    lsg_ray.export(sampled, path)
    again, notes = imported_from(path, sampled, tmp_path)
    np.testing.assert_array_equal(again.numpy(), sampled.numpy())
    measured = ["accuracy", "loss", "test_accuracy"]
    for name in sampled.query_columns if suffix in TABLES else measured:
        # Real networks are evaluated in stacks, in float32: sums depend on how many there are.
        exact = sampled.spec.network.family == "binary" or not name.endswith("loss")
        np.testing.assert_allclose(
            again.column(name), sampled.column(name), 0 if exact else 1e-8, err_msg=name
        )
    assert lsg_ray.verify(again.url).ok
    dropped = [note for note in notes if "those of the source left out" in note]
    assert len(dropped) == (suffix in TABLES)
    assert not any("differ" in note for note in dropped)


def test_other_values_of_measured_columns__are_counted_in_a_note(sampled, tmp_path):
    accuracy = sampled.column("accuracy")
    other = accuracy.copy()
    other[[1, 4]] = accuracy[[1, 4]] / 2
    np.savez(tmp_path / "x.npz", weights=sampled.numpy(), accuracy=other,
             loss=sampled.column("loss") + 1e-9)  # fmt: skip
    again, notes = imported_from(tmp_path / "x.npz", sampled, tmp_path)
    (note,) = [note for note in notes if "differ" in note]
    largest = abs(other - accuracy).max()
    assert note == (
        "accuracy, loss: computed on the data set, those of the source left out; they differ: "
        f"accuracy in 2 of 6 configurations, by up to {largest:.2g}"
    )
    np.testing.assert_array_equal(again.column("accuracy"), accuracy)
    with pytest.raises(InputError, match="column 'accuracy' is computed on the data set; rename"):
        lsg_ray.write_ensemble(
            sampled.numpy(), tmp_path / "b.zarr", network=sampled.spec.network,
            dataset=sampled.spec.dataset, columns={"accuracy": other},
        )  # fmt: skip
    assert not (tmp_path / "b.zarr").exists()
