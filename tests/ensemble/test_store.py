"""Creating, filling, resuming and growing stores; what is refused."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import xarray
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from lsg_ray.ensemble.ledger import record_key
from lsg_ray.ensemble.location import locate
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.ensemble.verify import verify
from lsg_ray.ensemble.writer import create_ensemble, missing_blocks, write_block
from lsg_ray.errors import InputError, StoreError, StoreInputError

from .synthetic import DATASET_HASH, fill, make_block, make_real_spec, make_spec, memory_url, rows


@pytest.fixture(params=["memory", "local"])
def url(request, tmp_path):
    return memory_url() if request.param == "memory" else str(tmp_path / "ens ü.zarr")


widths = st.lists(st.integers(1, 9), min_size=1, max_size=4).map(lambda inner: (*inner, 1))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 20), widths, st.booleans())
def test_what_is_written_is_read(count, block_size, network, fields):
    spec = make_spec(count, block_size, network, store_fields=fields)
    url = memory_url()
    plan = fill(url, spec)
    assert plan.missing.tolist() == list(range(spec.n_blocks))
    ensemble = open_ensemble(url)
    expected = rows(count, spec.network.n_weights)
    assert ensemble.complete
    assert ensemble.n_complete == ensemble.n_rows == count
    np.testing.assert_array_equal(ensemble.numpy(), expected["weights"])
    for name in ("configuration", "accuracy", "loss", "test_accuracy", "trial", "epochs"):
        np.testing.assert_array_equal(ensemble.column(name), expected[name])
    if fields:
        first = ensemble.read(0, ["fields"])["fields"]
        np.testing.assert_array_equal(first, expected["fields"][:block_size])
    report = verify(url)
    assert report.ok
    assert report.content_hash == ensemble.info()["content_hash"]


def test_content_is_the_same_for_every_block_size_and_place(tmp_path):
    hashes = set()
    for place, size in enumerate((1, 7, 16, 50, 80)):
        url = memory_url() if place % 2 else str(tmp_path / f"{size}.zarr")
        fill(url, make_spec(count=50, block_size=size))
        hashes.add(open_ensemble(url).info()["content_hash"])
    assert len(hashes) == 1


def test_zarr_and_xarray_read_the_same_without_a_warning(url):
    spec = make_spec(count=37, block_size=16, store_fields=True)
    fill(url, spec)
    group = zarr.open_group(locate(url).zarr_store(), mode="r")
    expected = rows(37, spec.network.n_weights)
    members = dict(group.members(max_depth=None))
    assert set(members) == {*expected, "ledger"} - {"configuration"}
    for name, array in members.items():
        if name in ("accuracy", "loss", "trial", "fields"):
            np.testing.assert_array_equal(array[:], expected[name])
            assert array.metadata.dimension_names[0] == "configuration"
    weights = group["weights"]
    bits = np.unpackbits(weights[:], axis=1, count=31, bitorder=weights.attrs["bitorder"])
    np.testing.assert_array_equal(2 * bits.astype(int) - 1, expected["weights"])
    assert weights.attrs["sign_map"] == {"0": -1, "1": 1}
    dataset = xarray.open_zarr(locate(url).zarr_store(), consolidated=False)
    np.testing.assert_array_equal(dataset["accuracy"].values, expected["accuracy"])
    assert group.attrs["spec"] == spec.model_dump(mode="json")
    assert group.attrs["spec_hash"] == spec.hash


def test_our_chunks_are_the_ones_that_zarr_writes(tmp_path):
    spec = make_spec(count=20, block_size=16, store_fields=True)
    fill(tmp_path / "ours.zarr", spec)
    create_ensemble(tmp_path / "theirs.zarr", spec, dataset_hash=DATASET_HASH)
    with zarr.config.set({"array.write_empty_chunks": True}):
        theirs = zarr.open_group(str(tmp_path / "theirs.zarr"), mode="r+")
        ours = zarr.open_group(str(tmp_path / "ours.zarr"), mode="r")
        for name in (*rows(1, 1), "weights"):
            if name != "configuration":
                theirs[name][:16] = ours[name][:16]
                theirs[name][16:] = ours[name][16:]
    chunks = sorted((tmp_path / "ours.zarr").rglob("c.*"))
    assert len(chunks) == 16
    for chunk in chunks:
        twin = tmp_path / "theirs.zarr" / chunk.relative_to(tmp_path / "ours.zarr")
        assert chunk.read_bytes() == twin.read_bytes(), chunk


def test_a_paper_sized_row_costs_one_bit_a_weight(tmp_path):
    spec = make_spec(count=400, block_size=200, widths=(20, 15, 15, 10))
    fill(tmp_path / "e.zarr", spec)
    stored = sum(path.stat().st_size for path in (tmp_path / "e.zarr" / "weights").iterdir())
    assert 8 * stored / (400 * 675) <= 1.1
    assert open_ensemble(tmp_path / "e.zarr").info()["bits_per_weight"] <= 1.01


def test_a_run_is_resumed_where_it_stopped(url):
    spec = make_spec()
    plan = fill(url, spec, blocks=[2, 0])
    assert plan.created
    assert missing_blocks(url).tolist() == [1, 3]
    again = fill(url, spec)
    assert not again.created
    assert again.missing.tolist() == [1, 3]
    assert missing_blocks(url).tolist() == []
    np.testing.assert_array_equal(open_ensemble(url).numpy(), rows(50, 31)["weights"])


def test_writing_a_block_again_is_fine_if_it_is_the_same(url):
    spec = make_spec()
    fill(url, spec, blocks=[1])
    block = make_block(spec, 1)
    assert write_block(url, 1, block, attempt=1) == "present"
    assert open_ensemble(url).records[0].attempt == 0
    weights = block.weights.copy()
    weights[3, 3] *= -1
    with pytest.raises(StoreError, match=r"block 1 is complete with content [0-9a-f]{16}…, and"):
        write_block(url, 1, replace(block, weights=weights))
    assert verify(url).ok


def test_the_kind_of_processor_is_recorded_listed_and_may_be_unknown():
    url, spec = memory_url(), make_spec()
    create_ensemble(url, spec, dataset_hash=DATASET_HASH)
    for index, kind in enumerate(["x86_64 a 01", "x86_64 b 02", "x86_64 a 01"]):
        write_block(url, index, make_block(spec, index), processor=kind)
    fill(url, spec, blocks=[3])
    info = open_ensemble(url).info()
    assert info["processors"] == {"x86_64 a 01": 2, "x86_64 b 02": 1, "unknown": 1}
    assert b"processor" not in bytes(locate(url).read(record_key(3)))
    assert verify(url).ok
    with pytest.raises(InputError, match="processor"):
        write_block(url, 0, make_block(spec, 0), processor="a\nb")


def test_an_ensemble_grows_and_keeps_its_rows(url):
    small, large = make_spec(count=37), make_spec(count=70)
    fill(url, small)
    before = open_ensemble(url)
    plan = fill(url, large)
    assert plan.grown_from == 37
    assert plan.missing.tolist() == [2, 3, 4]
    after = open_ensemble(url)
    assert after.complete
    assert after.count == 70
    np.testing.assert_array_equal(after.numpy()[:37], rows(37, 31)["weights"])
    np.testing.assert_array_equal(after.numpy(), rows(70, 31)["weights"])
    assert verify(url).ok
    fresh = memory_url()
    fill(fresh, large)
    assert open_ensemble(fresh).info()["content_hash"] == after.info()["content_hash"]
    assert before.count == 37
    group = zarr.open_group(locate(url).zarr_store(), mode="r")
    assert group["weights"].shape == (70, 4)
    with pytest.raises(StoreInputError, match="the store has 70, the spec 37: it can only grow"):
        create_ensemble(url, small, dataset_hash=DATASET_HASH)


def test_growing_keeps_the_block_size_that_a_spec_leaves_open(url):
    fill(url, make_spec(count=500, block_size=None))
    plan = fill(url, make_spec(count=2000, block_size=None))
    assert plan.block_size == 8
    assert plan.n_blocks == 250
    assert open_ensemble(url).complete
    fill(url, make_spec(count=2001, block_size=8))
    assert open_ensemble(url).spec.ensemble.block_size is None


def test_a_store_made_before_fields_were_added_to_specifications_is_resumed(tmp_path):
    """Its hash stays that of what it holds; the new fields have the values that change nothing."""
    url, spec = tmp_path / "e.zarr", make_spec()
    fill(url, spec, blocks=[0])
    root = json.loads((url / "zarr.json").read_text())
    old = root["attributes"]["spec"]
    del old["network"]["biases"]
    for name in ("batch_fraction", "target_loss", "stack"):
        del old["training"][name]
    canonical = json.dumps(old, sort_keys=True, separators=(",", ":")).encode()
    root["attributes"]["spec_hash"] = hashlib.sha256(canonical).hexdigest()
    del root["attributes"]["digest"]
    (url / "zarr.json").write_text(json.dumps(root))
    plan = fill(url, spec)
    assert plan.missing.tolist() == [1, 2, 3]
    assert verify(url).ok
    assert open_ensemble(url).spec == spec
    assert open_ensemble(url).spec_hash == hashlib.sha256(canonical).hexdigest()


def test_another_run_is_refused_field_by_field(url):
    fill(url, make_spec(), blocks=[0])
    other = make_spec(widths=(5, 4, 4, 1), block_size=10, threshold=0.7).replace(
        training={"epochs": 3}
    )
    with pytest.raises(StoreInputError) as caught:
        create_ensemble(url, other, dataset_hash="e" * 64)
    lines = str(caught.value).splitlines()
    assert "holds another run" in lines[0]
    assert set(lines[1:]) == {
        "network.widths: the store has [5, 3, 4, 1], the spec [5, 4, 4, 1]",
        "training.epochs: the store has 50, the spec 3",
        "ensemble.threshold: the store has 0.8, the spec 0.7",
        "ensemble.block_size: the store has 16, the spec 10",
        f"data set: the store was sampled on {'d' * 16}…, the data at hand are {'e' * 16}…",
    }


def test_places_that_hold_something_else_are_left_alone(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("x")
    zarr.create_group(str(tmp_path / "foreign.zarr"))
    for name, words in [
        ("file", "a file is in the way"),
        ("full", "it holds thesis.tex"),
        ("foreign.zarr", "not an lsg-ray ensemble"),
    ]:
        with pytest.raises(StoreInputError, match=words):
            create_ensemble(tmp_path / name, make_spec(), dataset_hash=DATASET_HASH)
    assert sorted(path.name for path in (tmp_path / "full").iterdir()) == ["thesis.tex"]
    (tmp_path / "empty").mkdir()
    assert create_ensemble(tmp_path / "empty", make_spec(), dataset_hash=DATASET_HASH).created


def test_what_cannot_be_stored_is_refused_before_anything_is_created(tmp_path):
    for spec in (make_spec(count=10**8, block_size=1), make_real_spec(10**8, block_size=1)):
        with pytest.raises(StoreInputError, match="use larger blocks"):
            create_ensemble(tmp_path / "e.zarr", spec, dataset_hash=DATASET_HASH)
    assert not (tmp_path / "e.zarr").exists()


@pytest.mark.parametrize("kept", range(9))
def test_a_half_created_store_is_finished(tmp_path, kept):
    """Creation writes the root first; whatever part of the rest is missing is written again."""
    url, spec = tmp_path / "e.zarr", make_spec()
    create_ensemble(url, spec, dataset_hash=DATASET_HASH)
    documents = sorted(url.glob("*/zarr.json"))
    for path in documents[kept:]:
        path.unlink()
    (url / "zarr.json#1").write_bytes(b"{half")
    assert open_ensemble(url).n_rows == 0
    fill(url, spec)
    (url / "zarr.json#1").unlink()
    assert verify(url).ok


def test_a_creation_killed_before_its_root_starts_over(tmp_path):
    url = tmp_path / "e.zarr"
    url.mkdir()
    (url / "zarr.json#1").write_bytes(b"{half")
    with pytest.raises(StoreInputError, match="a directory without a store"):
        open_ensemble(url)
    assert create_ensemble(url, make_spec(), dataset_hash=DATASET_HASH).created


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"start": 17}, "starts at configuration 17, must start at 16"),
        ({"weights": np.ones((15, 31), np.int8)}, r"int8 \(15, 31\), must be int8 \(16, 31\)"),
        ({"weights": np.ones((16, 31))}, "weights are float64"),
        ({"weights": np.zeros((16, 31), np.int8)}, "hold 0 at row 0, weight 0 .496 such"),
        ({"accuracy": np.full(16, 1.5)}, "accuracy holds 1.5 at row 0 .16 such.*0 to 1"),
        ({"test_accuracy": np.full(16, np.nan)}, "test_accuracy holds nan"),
        ({"loss": np.full(16, np.inf)}, "loss holds inf.*finite"),
        ({"loss": np.zeros((16, 2))}, r"loss is float64 \(16, 2\), must be numbers \(16,\)"),
        ({"loss": np.array(["a"] * 16)}, "loss is <U1"),
        ({"trial": np.zeros(16)}, "trial is float64.*integers"),
        ({"epochs": np.full(16, -1)}, "epochs holds -1"),
        ({"trial": np.full(16, 2**31)}, "trial holds 2147483648"),
        ({"trials": 15}, "15 given for 16 accepted and 2 rejected"),
        ({"rejected": {200: 2}}, "2 in bin 200"),
        ({"rejected": {1: 0, 2: 2}}, "0 in bin 1"),
        ({"seconds": float("nan")}, "seconds"),
        ({"fields": np.zeros((16, 31))}, "the store keeps none"),
    ],
)
def test_blocks_that_do_not_fit_are_refused(change, words):
    url, spec = memory_url(), make_spec()
    create_ensemble(url, spec, dataset_hash=DATASET_HASH)
    before = locate(url).everything()
    with pytest.raises(InputError, match=words):
        write_block(url, 1, replace(make_block(spec, 1), **change))
    assert locate(url).everything() == before


def test_a_block_outside_the_plan_is_refused():
    url, spec = memory_url(), make_spec()
    create_ensemble(url, spec, dataset_hash=DATASET_HASH)
    for index in (-1, 4):
        with pytest.raises(InputError, match="has blocks 0 to 3"):
            write_block(url, index, make_block(spec, 0))
    with pytest.raises(InputError, match="must start at 0"):
        write_block(url, 0, make_block(spec, 1))


def test_fields_are_needed_where_they_are_stored():
    url, spec = memory_url(), make_spec(store_fields=True)
    create_ensemble(url, spec, dataset_hash=DATASET_HASH)
    with pytest.raises(InputError, match="fields is object"):
        write_block(url, 0, replace(make_block(spec, 0), fields=None))


def test_a_record_says_where_the_block_came_from(tmp_path):
    fill(tmp_path / "e", make_spec(seed=7), blocks=[1])
    record = json.loads((tmp_path / "e" / record_key(1)).read_text())
    assert record["seed_path"] == [7, 1, 16]
    assert (record["start"], record["rows"], record["trials"]) == (16, 16, 18)
    assert record["rejected"] == {"100": 1, "150": 1}
    assert len(record["content"]) == 64
