"""Stores of real weights: layers, curves and numbers, read as a whole, by part and by row."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import xarray
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from lsg_ray.ensemble.location import locate
from lsg_ray.ensemble.query import query
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.ensemble.schema import arrays_of
from lsg_ray.ensemble.verify import verify
from lsg_ray.ensemble.writer import create_ensemble, write_block
from lsg_ray.errors import InputError, QueryError, StoreError, StoreInputError

from .synthetic import (
    CURVES,
    DATASET_HASH,
    REAL_SCALARS,
    fill,
    make_block,
    make_real_block,
    make_real_spec,
    make_spec,
    memory_url,
    real_rows,
)

#: 65 + 60 + 70 weights: three layers and biases.
SPEC = make_real_spec(widths=(12, 5, 10, 10), biases=True)
TABLE = real_rows(SPEC)
SCALARS = ("configuration", *REAL_SCALARS)


@pytest.fixture(scope="module")
def ensemble():
    url = memory_url()
    fill(url, SPEC)
    return open_ensemble(url)


hidden = st.lists(st.integers(1, 9), min_size=1, max_size=3)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 20), hidden, st.booleans(), st.integers(1, 4))
def test_what_is_written_is_read(count, block_size, hidden, biases, epochs):
    spec = make_real_spec(count, block_size, (6, *hidden, 10), biases=biases, epochs=epochs)
    url = memory_url()
    fill(url, spec)
    ensemble, expected = open_ensemble(url), real_rows(spec)
    assert ensemble.complete
    assert not ensemble.signs
    weights = ensemble.numpy()
    assert weights.dtype == np.float32
    np.testing.assert_array_equal(weights, expected["weights"])
    for name in SCALARS:
        np.testing.assert_array_equal(ensemble.column(name), expected[name])
    first = ensemble.read(0, ensemble.columns)
    assert set(first) == set(expected)
    for name, values in first.items():
        np.testing.assert_array_equal(values, expected[name][:block_size], err_msg=name)
    report = verify(url)
    assert report.ok
    assert report.content_hash == ensemble.info()["content_hash"]


def test_content_is_the_same_for_every_block_size_and_place(tmp_path):
    hashes = set()
    for place, size in enumerate((1, 7, 50, 80)):
        url = memory_url() if place % 2 else str(tmp_path / f"{size}.zarr")
        fill(url, make_real_spec(count=50, block_size=size))
        hashes.add(open_ensemble(url).info()["content_hash"])
    assert len(hashes) == 1


def test_zarr_and_xarray_open_it_directly(tmp_path):
    fill(tmp_path / "s.zarr", SPEC)
    group = zarr.open_group(str(tmp_path / "s.zarr"), mode="r")
    members = dict(group.members(max_depth=None))
    assert set(members) == {*TABLE, "ledger"} - {"configuration", "weights"}
    for layer, shape in enumerate([(5, 13), (10, 6), (10, 11)]):
        array = members[f"weights_{layer}"]
        assert array.shape == (50, *shape)
        assert array.chunks == (16, *shape)
        names = ("configuration", f"unit_{layer}", f"input_{layer}")
        assert array.metadata.dimension_names == names
        assert "the last column biases" in array.attrs["description"]
    for name in CURVES:
        assert members[name].metadata.dimension_names == ("configuration", "epoch")
        assert members[name].shape == (50, 3)
    dataset = xarray.open_zarr(str(tmp_path / "s.zarr"), consolidated=False)
    for name, values in TABLE.items():
        if name not in ("configuration", "weights"):
            np.testing.assert_array_equal(members[name][:], values)
            np.testing.assert_array_equal(dataset[name].values, values)
    assert group.attrs["spec_hash"] == SPEC.hash


def test_parts_are_layers(ensemble):
    for part, place in [
        ("LB", slice(0, 65)), ("ITR", slice(65, 125)), ("RB", slice(125, 235)),
        (0, slice(0, 65)), (1, slice(65, 125)), (2, slice(125, 235)),
    ]:  # fmt: skip
        view = ensemble.part(part)
        np.testing.assert_array_equal(view.numpy(), TABLE["weights"][:, place])
        np.testing.assert_array_equal(view.to_dask().compute(), TABLE["weights"][:, place])
        assert view.numpy(0).shape == (0, place.stop - place.start)
    layer = TABLE["weights_1"].reshape(50, -1)
    np.testing.assert_array_equal(ensemble.part(1).numpy(), layer)


def test_a_part_reads_its_layer_alone(tmp_path):
    fill(tmp_path / "s.zarr", SPEC)
    for layer in (0, 2):
        for chunk in (tmp_path / "s.zarr" / f"weights_{layer}").glob("c.*"):
            chunk.unlink()
    ensemble = open_ensemble(tmp_path / "s.zarr")
    np.testing.assert_array_equal(ensemble.part("ITR").numpy(), TABLE["weights"][:, 65:125])
    with pytest.raises(StoreError, match="array 'weights_0', block 0"):
        ensemble.numpy()


def test_rows_are_taken_in_any_order(ensemble):
    chosen = [41, 3, 17, 3, 49, 0]
    names = ("weights", "weights_2", "curve_train_loss", "test_loss", "configuration")
    for name, values in ensemble.take(chosen, names).items():
        np.testing.assert_array_equal(values, TABLE[name][chosen], err_msg=name)
    part = ensemble.part("ITR").take(chosen)["weights"]
    np.testing.assert_array_equal(part, TABLE["weights"][chosen, 65:125])


def test_real_weights_have_no_bits(ensemble):
    for read in (
        lambda: ensemble.take([0], ["packed"]),
        lambda: ensemble.packed_block(0),
        lambda: ensemble.part("RB").packed_block(0),
        lambda: ensemble.to_dask("packed"),
    ):
        with pytest.raises(InputError, match="column 'packed' given; there are configuration"):
            read()


def test_views_hold_the_rows_of_their_condition(ensemble):
    view = ensemble.where("train_loss < 0.3 and test_accuracy > 0.2")
    chosen = (TABLE["train_loss"] < 0.3) & (TABLE["test_accuracy"] > 0.2)
    assert 2 < view.n_rows == chosen.sum() < 25
    np.testing.assert_array_equal(view.numpy(), TABLE["weights"][chosen])
    np.testing.assert_array_equal(view.to_dask("weights_0").compute(), TABLE["weights_0"][chosen])
    nothing = ensemble.where("loss > 7")
    assert nothing.numpy().shape == (0, 235)
    assert nothing.to_dask("curve_test_loss").shape == (0, 3)


def test_lazy_arrays_give_what_is_stored(ensemble):
    assert ensemble.to_dask().chunks == ((16, 16, 16, 2), (235,))
    for name in ("weights", "weights_1", "curve_test_accuracy", "epochs"):
        lazy = ensemble.to_dask(name)
        assert lazy.dtype == TABLE[name].dtype
        np.testing.assert_array_equal(lazy.compute(), TABLE[name])
    again = pickle.loads(pickle.dumps(ensemble))
    np.testing.assert_array_equal(again.numpy(5), TABLE["weights"][:5])


def test_dataset_has_every_array_with_its_dimensions(ensemble):
    dataset = ensemble.to_xarray()
    assert dataset.sizes == {
        "configuration": 50, "weight": 235, "epoch": 3, "unit_0": 5, "input_0": 13,
        "unit_1": 10, "input_1": 6, "unit_2": 10, "input_2": 11,
    }  # fmt: skip
    for name, values in TABLE.items():
        np.testing.assert_array_equal(dataset[name].values, values, err_msg=name)
    second = dataset["weights"][:, (dataset["layer"] == 1).values]
    np.testing.assert_array_equal(second.values.reshape(50, 10, 6), dataset["weights_1"].values)
    part = ensemble.part("RB").where("accuracy > 0.5").to_xarray()
    chosen = TABLE["accuracy"] > 0.5
    np.testing.assert_array_equal(part["weights"].values, TABLE["weights"][chosen, 125:])
    np.testing.assert_array_equal(part["curve_test_loss"], TABLE["curve_test_loss"][chosen])
    assert "weights_0" not in part
    assert set(part["part"].values) == {"RB"}


def test_a_query_has_the_columns_of_the_family(ensemble):
    found = query(ensemble, "train_loss < 0.3", sort="-test_loss", limit=5)
    assert tuple(found) == ensemble.query_columns == SCALARS
    chosen = np.flatnonzero(TABLE["train_loss"] < 0.3)
    chosen = chosen[np.argsort(-TABLE["test_loss"][chosen], kind="stable")][:5]
    for name, values in found.items():
        np.testing.assert_array_equal(values, TABLE[name][chosen])


@pytest.mark.parametrize(
    ("real", "arguments", "says"),
    [
        (True, {"where": "polarization > 0"}, "unknown name 'polarization'; .*test_loss"),
        (True, {"columns": ["polarization"]}, "unknown column 'polarization'"),
        (True, {"columns": ["weights"]}, "unknown column 'weights'"),
        (True, {"columns": ["weights_0"]}, "unknown column 'weights_0'"),
        (True, {"columns": ["curve_test_loss"]}, "unknown column 'curve_test_loss'"),
        (True, {"where": "curve_test_loss > 0"}, "unknown name 'curve_test_loss'"),
        (True, {"sort": "polarization"}, "sort: unknown column 'polarization'"),
        (False, {"where": "train_loss > 0"}, "unknown name 'train_loss'; .*polarization"),
        (False, {"columns": ["test_loss"]}, "unknown column 'test_loss'"),
        (False, {"sort": "-train_accuracy"}, "sort: unknown column 'train_accuracy'"),
    ],
)
def test_columns_of_the_other_family_are_unknown(ensemble, real, arguments, says):
    given = ensemble
    if not real:
        fill("memory://other-family", make_spec())
        given = open_ensemble("memory://other-family")
    with pytest.raises(QueryError, match=says):
        query(given, **arguments)


def test_info_counts_bytes_and_bits(tmp_path):
    fill(tmp_path / "s.zarr", SPEC)
    info = open_ensemble(tmp_path / "s.zarr").info()
    chunks = [path for path in (tmp_path / "s.zarr").rglob("c.*") if path.is_file()]
    assert len(chunks) == 4 * len(arrays_of(SPEC))
    assert info["bytes"] == sum(path.stat().st_size for path in chunks)
    weights = sum(path.stat().st_size for path in chunks if path.parent.name.startswith("weights"))
    assert info["bits_per_weight"] == 8 * weights / (50 * 235)
    assert (info["family"], info["n_weights"], info["rows"]) == ("relu", 235, 50)
    assert info["accuracy"]["min"] == TABLE["accuracy"].min()
    assert json.loads(json.dumps(info)) == info


@pytest.mark.parametrize("name", ["weights_1", "curve_test_loss", "train_loss"])
def test_flipped_bits_and_missing_chunks_are_found_and_repaired(tmp_path, name):
    url = tmp_path / "s.zarr"
    fill(url, SPEC)
    before = open_ensemble(url).info()["content_hash"]
    suffix = ".0" * (TABLE[name].ndim - 1)
    flipped, missing = url / name / f"c.1{suffix}", url / name / f"c.2{suffix}"
    data = bytearray(flipped.read_bytes())
    data[7] ^= 4
    flipped.write_bytes(data)
    missing.unlink()
    findings = [(one.kind, one.array, one.block) for one in verify(url).findings]
    assert findings == [("flipped bits", name, 1), ("missing chunk", name, 2)]
    with pytest.raises(StoreError, match=f"array '{name}', block 1: .* fails its CRC32C"):
        open_ensemble(url).read(1, [name])
    verify(url, repair=True)
    assert open_ensemble(url).missing_blocks.tolist() == [1, 2]
    fill(url, SPEC)
    assert open_ensemble(url).info()["content_hash"] == before
    assert verify(url).ok


def test_weights_that_were_exchanged_are_found(tmp_path):
    """Each chunk whole, but of another block: the record's content says so."""
    url = tmp_path / "s.zarr"
    fill(url, SPEC)
    place = url / "weights_2"
    (place / "c.0.0.0").write_bytes((place / "c.1.0.0").read_bytes())
    (finding,) = verify(url).findings
    assert (finding.kind, finding.block) == ("content", 0)


def with_column(name, values):
    return lambda block: replace(block, columns={**block.columns, name: values})


def with_weights(change):
    def changed(block):
        weights = block.weights.copy()
        return replace(block, weights=change(weights))

    return changed


def one_wrong(value):
    def change(weights):
        weights[3, 70] = value
        return weights

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda block: replace(block, start=17), "starts at configuration 17, must start at 16"),
        (lambda block: replace(block, trials=15), "15 given for 16 accepted"),
        (with_weights(lambda w: w[:15]), r"weights are float32 \(15, 235\), must be float32 \(16"),
        (with_weights(lambda w: w[:, 1:]), r"weights are float32 \(16, 234\)"),
        (with_weights(lambda w: w.reshape(16, 235, 1)), r"weights are float32 \(16, 235, 1\)"),
        (with_weights(lambda w: w.astype(str)), "weights are <U"),
        (with_weights(lambda w: w + 0j), "weights are complex64"),
        (with_weights(one_wrong(np.nan)), r"weights_1 holds nan at row 3 \(1 such.*finite"),
        (with_weights(one_wrong(-np.inf)), "weights_1 holds -inf at row 3"),
        (with_weights(lambda w: 1e39 * w.astype(float)), r"weights_0 holds .*e\+3. at row 0"),
        (with_column("loss", np.full(16, np.nan)), "loss holds nan"),
        (with_column("train_loss", np.zeros(15)), r"train_loss is float64 \(15,\), must be num"),
        (with_column("train_accuracy", np.full(16, 1.01)), "train_accuracy holds 1.01"),
        (with_column("epochs", np.full(16, 2.0)), r"epochs is float64 \(16,\), must be integers"),
        (with_column("trial", np.full(16, -1)), "trial holds -1"),
        (with_column("curve_test_loss", np.full((16, 3), np.inf)), "curve_test_loss holds inf"),
        (with_column("curve_test_loss", np.zeros((16, 4))), r"must be numbers \(16, 3\)"),
        (lambda block: replace(block, columns={}), "no accuracy"),
    ],
)
def test_blocks_that_do_not_fit_are_refused(change, says):
    url = memory_url()
    create_ensemble(url, SPEC, dataset_hash=DATASET_HASH)
    before = locate(url).everything()
    with pytest.raises(InputError, match=says):
        write_block(url, 1, change(make_real_block(SPEC, 1)))
    assert locate(url).everything() == before


def test_blocks_of_the_other_family_are_refused():
    binary = make_spec()
    for spec, block, says in [
        (SPEC, make_block(binary, 1), r"weights are int8 \(16, 31\), must be float32 \(16, 235\)"),
        (binary, make_real_block(SPEC, 1), r"weights are float32 \(16, 235\), must be int8"),
    ]:
        url = memory_url()
        create_ensemble(url, spec, dataset_hash=DATASET_HASH)
        with pytest.raises(InputError, match=f"block 1: {says}"):
            write_block(url, 1, block)


def test_a_block_written_again_must_be_the_same():
    url, block = memory_url(), make_real_block(SPEC, 1)
    fill(url, SPEC, blocks=[1])
    assert write_block(url, 1, block, attempt=1) == "present"
    weights = block.weights.copy()
    weights[0, 0] = np.nextafter(weights[0, 0], np.float32(1))
    with pytest.raises(StoreError, match="block 1 is complete with content"):
        write_block(url, 1, replace(block, weights=weights))


def test_blocks_too_large_to_be_written_are_refused_before_anything_is_created(tmp_path):
    for spec, says in [
        (make_real_spec(epochs=2**31 - 1), r"128\.0 GiB of 'curve_train_loss' .*training.epochs"),
        (make_real_spec(10**8, 10**8), r"block_size: 100,000,000 .* 'weights_0' .*smaller blocks"),
        (make_spec(10**9, 10**9), "3.7 GiB of 'weights' at once; at most 2"),
    ]:
        with pytest.raises(StoreInputError, match=says):
            create_ensemble(tmp_path / "s.zarr", spec, dataset_hash=DATASET_HASH)
    assert not (tmp_path / "s.zarr").exists()
