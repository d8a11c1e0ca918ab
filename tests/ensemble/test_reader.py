"""Views, columns, Dask and xarray; memory guard; damage met while reading; foreign stores."""

import json
import pickle
import subprocess
import sys

import dask
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from lsg_ray.ensemble.location import locate
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.ensemble.schema import pack
from lsg_ray.ensemble.writer import create_ensemble
from lsg_ray.errors import InputError, QueryError, StoreError, StoreInputError

from .synthetic import DATASET_HASH, fill, make_spec, memory_url, rows


@pytest.fixture(scope="module")
def url():
    """60 rows of 31 weights in blocks of 16, block 1 missing."""
    url = memory_url()
    fill(url, make_spec(count=60, store_fields=True), blocks=[0, 2, 3])
    return url


KEPT = np.r_[0:16, 32:60]


@pytest.fixture(scope="module")
def table():
    return {name: values[KEPT] for name, values in rows(60, 31).items()}


def test_an_incomplete_ensemble_shows_its_complete_blocks(url, table):
    ensemble = open_ensemble(url)
    assert not ensemble.complete
    assert ensemble.blocks.tolist() == [0, 2, 3]
    assert ensemble.missing_blocks.tolist() == [1]
    assert (ensemble.count, ensemble.n_complete, ensemble.n_rows) == (60, 44, 44)
    assert ensemble.rows_by_block.tolist() == [16, 16, 12]
    np.testing.assert_array_equal(ensemble.column("configuration"), KEPT)
    np.testing.assert_array_equal(ensemble.numpy(), table["weights"])
    assert "44 of 60 rows" in repr(ensemble)


def test_info_comes_from_the_ledger(url, table):
    info = open_ensemble(url).info()
    assert json.loads(json.dumps(info)) == info
    assert (info["count"], info["rows"], info["complete"]) == (60, 44, False)
    assert (info["blocks"], info["blocks_complete"]) == (4, 3)
    assert info["trials"] == 50
    assert info["acceptance"] == pytest.approx(44 / 50)
    assert info["seconds"] == 0.75
    accuracy = table["accuracy"].astype(float)
    assert info["accuracy"]["min"] == accuracy.min()
    assert info["accuracy"]["mean"] == pytest.approx(accuracy.mean())
    assert info["accuracy"]["max"] == accuracy.max()
    stored = sum(size for key, size in locate(url).everything().items() if "/c." in key)
    assert info["bytes"] == stored
    assert info["widths"] == [5, 3, 4, 1]


def test_an_empty_ensemble_is_readable():
    url = memory_url()
    create_ensemble(url, make_spec(), dataset_hash=DATASET_HASH)
    ensemble = open_ensemble(url)
    assert ensemble.n_rows == 0
    assert ensemble.numpy().shape == (0, 31)
    assert ensemble.to_dask().shape == (0, 31)
    assert ensemble.column("trial").dtype == np.int32
    assert ensemble.to_xarray().sizes == {"configuration": 0, "weight": 31}
    info = ensemble.info()
    assert (info["accuracy"], info["acceptance"], info["rows"]) == (None, None, 0)


@pytest.mark.parametrize("part", ["LB", "ITR", "RB", 0, 1, 2])
def test_parts(url, table, part):
    ensemble = open_ensemble(url)
    network = ensemble.spec.network
    where = network.parts[part] if isinstance(part, str) else network.layer_slices[part]
    view = ensemble.part(part)
    assert view.n_weights == where.stop - where.start
    np.testing.assert_array_equal(view.numpy(), table["weights"][:, where])
    np.testing.assert_array_equal(view.to_dask().compute(), table["weights"][:, where])
    np.testing.assert_array_equal(view.packed_block(0), pack(table["weights"][:16, where]))
    fields = view.read(0, ["fields"])["fields"]
    np.testing.assert_array_equal(fields, table["fields"][:16, where])
    with pytest.raises(InputError, match="already"):
        view.part("LB")


@pytest.mark.parametrize("part", ["lb", 3, -1, None])
def test_unknown_parts_are_refused(url, part):
    with pytest.raises(InputError, match="has LB, ITR, RB and layers 0 to 2"):
        open_ensemble(url).part(part)


def test_rows_are_chosen_by_condition(url, table):
    view = open_ensemble(url).where("accuracy > 0.85").where("trial in (0, 1)").part("LB")
    mask = (table["accuracy"] > 0.85) & (table["trial"] <= 1)
    assert view.n_rows == mask.sum()
    np.testing.assert_array_equal(view.numpy(), table["weights"][mask, :15])
    np.testing.assert_array_equal(view.numpy(limit=3), table["weights"][mask, :15][:3])
    np.testing.assert_array_equal(view.column("loss"), table["loss"][mask])
    np.testing.assert_array_equal(view.to_dask().compute(), table["weights"][mask, :15])
    data = view.to_xarray()
    np.testing.assert_array_equal(data["configuration"], KEPT[mask])
    np.testing.assert_array_equal(data["epochs"], table["epochs"][mask])
    assert "trial in (0, 1)" in data.attrs["where"]
    nobody = open_ensemble(url).where("accuracy < 0")
    assert nobody.n_rows == 0
    assert nobody.numpy().shape == (0, 31)
    assert nobody.to_dask().compute().shape == (0, 31)
    with pytest.raises(QueryError, match="unknown name 'acuracy'"):
        open_ensemble(url).where("acuracy > 0.8")


def test_chosen_rows_come_in_the_order_asked(url, table):
    ensemble = open_ensemble(url)
    wanted = [59, 3, 33, 3]
    taken = ensemble.take(wanted, ["weights", "loss", "configuration"])
    everything = rows(60, 31)
    np.testing.assert_array_equal(taken["weights"], everything["weights"][wanted])
    np.testing.assert_array_equal(taken["loss"], everything["loss"][wanted])
    np.testing.assert_array_equal(taken["configuration"], wanted)
    assert ensemble.take([], ["weights"])["weights"].shape == (0, 31)
    for index, words in [(60, "there are 0 to 59"), (-1, "0 to 59"), (20, "block 1 was not")]:
        with pytest.raises(InputError, match=words):
            ensemble.take([index])


def test_memory_is_guarded(url):
    ensemble = open_ensemble(url)
    with pytest.raises(InputError, match=r"44 rows of 31 weights take 0.0 GiB.*to_dask"):
        ensemble.numpy(max_bytes=1000)
    assert ensemble.numpy(limit=5, max_bytes=1000).shape == (5, 31)
    assert ensemble.numpy(limit=0).shape == (0, 31)
    with pytest.raises(InputError, match="limit -1"):
        ensemble.numpy(limit=-1)


def test_unknown_columns_are_refused(url):
    ensemble = open_ensemble(url)
    for call in (ensemble.column, ensemble.to_dask, lambda name: ensemble.read(0, [name])):
        with pytest.raises(InputError, match="column 'colour' given"):
            call("colour")
    with pytest.raises(InputError, match=r"use numpy\(\) or to_dask"):
        ensemble.column("weights")


def test_an_ensemble_never_changes(url):
    ensemble = open_ensemble(url)
    with pytest.raises(AttributeError, match="never changes"):
        ensemble.condition = "accuracy > 0"
    with pytest.raises(ValueError, match="read-only"):
        ensemble.blocks[0] = 5


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 12), st.sampled_from(["a", "t"]))
def test_dask_gives_the_same_for_every_chunking_and_scheduler(count, size, chunk, scheduler):
    url = memory_url()
    fill(url, make_spec(count=count, block_size=size))
    weights = open_ensemble(url).to_dask()
    assert weights.dtype == np.int8
    assert max(weights.chunks[0]) <= size
    expected = rows(count, 31)["weights"].astype(np.int64)
    with dask.config.set(scheduler="sync" if scheduler == "a" else "threads"):
        wide = weights.rechunk((chunk, 7)).astype(np.int64)
        np.testing.assert_array_equal((wide.T @ wide).compute(), expected.T @ expected)
        np.testing.assert_array_equal(weights.sum(axis=0).compute(), expected.sum(axis=0))
        np.testing.assert_array_equal(weights[::2].compute(), expected[::2])


def test_a_graph_holds_the_url_and_no_store(tmp_path):
    fill(tmp_path / "e.zarr", make_spec(count=60))
    ensemble = open_ensemble(tmp_path / "e.zarr")
    graph = dict(ensemble.where("loss > 0.5").to_dask().dask)
    for payload in (pickle.dumps(graph), pickle.dumps(ensemble)):
        assert b"zarr.storage" not in payload
        assert b"obstore" not in payload
        assert b"lsg_ray.ensemble" in payload
    assert len(pickle.dumps(ensemble)) < 4000
    # What arrives elsewhere reads by itself.
    script = (
        "import pickle, sys; ensemble = pickle.load(sys.stdin.buffer); "
        "print(ensemble.numpy().sum(), ensemble.where('loss > 0.5').n_rows)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script], input=pickle.dumps(ensemble), capture_output=True
    )
    assert answer.returncode == 0, answer.stderr
    expected = rows(60, 31)
    total, chosen = map(int, answer.stdout.split())
    assert total == expected["weights"].sum()
    assert chosen == (expected["loss"] > 0.5).sum()


def test_xarray_names_dimensions_and_weights(url, table):
    data = open_ensemble(url).to_xarray()
    assert data["weights"].dims == ("configuration", "weight")
    assert data["fields"].dims == ("configuration", "weight")
    assert data["accuracy"].dims == ("configuration",)
    assert data["weights"].chunks is not None
    np.testing.assert_array_equal(data["weights"].values, table["weights"])
    np.testing.assert_array_equal(data["fields"].values, table["fields"])
    # widths 5-3-4-1: layers of 3x5, 4x3 and 1x4 weights, row-major [out, in]
    assert data["layer"].values.tolist() == [0] * 15 + [1] * 12 + [2] * 4
    assert data["part"].values.tolist() == ["LB"] * 15 + ["ITR"] * 12 + ["RB"] * 4
    assert data["unit"].values[:6].tolist() == [0] * 5 + [1]
    assert data["unit_in"].values[15:19].tolist() == [0, 1, 2, 0]
    assert data.attrs["spec_hash"] == open_ensemble(url).spec.hash
    only = open_ensemble(url).part("RB").to_xarray()
    assert only["weight"].values.tolist() == [27, 28, 29, 30]


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "missing"])
@pytest.mark.parametrize("name", ["weights", "accuracy"])
def test_damage_met_while_reading_names_array_and_block(tmp_path, damage, name):
    fill(tmp_path / "e", make_spec(count=60))
    chunk = tmp_path / "e" / name / ("c.2.0" if name == "weights" else "c.2")
    data = bytearray(chunk.read_bytes())
    if damage == "missing":
        chunk.unlink()
    else:
        data[5] ^= 1
        chunk.write_bytes({"flip": data, "cut": data[:-7], "empty": b""}[damage])
    ensemble = open_ensemble(tmp_path / "e")
    ensemble.read(1, ["weights", "accuracy"])
    with pytest.raises(StoreError, match=f"array '{name}', block 2: chunk .*--repair"):
        ensemble.read(2, ["weights", "accuracy"])
    with pytest.raises(StoreError, match="block 2"):
        ensemble.to_dask(name).compute()
    if name == "accuracy":
        with pytest.raises(StoreError, match="block 2"):
            ensemble.where("accuracy > 0.8").numpy()


def test_places_without_an_ensemble_are_named(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    zarr.create_group(str(tmp_path / "foreign"))
    (tmp_path / "garbled").mkdir()
    (tmp_path / "garbled" / "zarr.json").write_text("[" * 100_000)
    for place, words in [
        (tmp_path / "none", "nothing there"),
        (tmp_path / "file", "not a directory"),
        (tmp_path / "empty", "a directory without a store"),
        (tmp_path / "foreign", "not an lsg-ray ensemble"),
        (tmp_path / "garbled", "not an lsg-ray ensemble"),
        ("memory://nobody-made-this", "nothing there"),
    ]:
        with pytest.raises(StoreInputError, match=words):
            open_ensemble(place)
    assert not (tmp_path / "none").exists()


def spoiled(tmp_path, **changes):
    """Return a store whose header has some attributes changed; None removes one."""
    path = tmp_path / "e" / "zarr.json"
    create_ensemble(tmp_path / "e", make_spec(), dataset_hash=DATASET_HASH)
    document = json.loads(path.read_text())
    for name, value in changes.items():
        document["attributes"][name] = value
        if value is None:
            del document["attributes"][name]
    path.write_text(json.dumps(document))
    return tmp_path / "e"


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"format_version": 4}, StoreInputError, "format version 4.*reads versions to 3"),
        ({"format": "other"}, StoreInputError, "not an lsg-ray ensemble"),
        ({"count": 51}, StoreError, "count is 51, the spec says 50"),
        ({"block_size": 0}, StoreError, "block_size is 0"),
        ({"block_size": 8}, StoreError, "block_size is 8, the spec has 16"),
        ({"block_size": True}, StoreError, "block_size is true"),
        ({"n_weights": "31"}, StoreError, "n_weights is '31'"),
        ({"dataset_hash": 5}, StoreError, "dataset_hash is 5, not text"),
        ({"spec_hash": None}, StoreError, "'spec_hash' is missing"),
        ({"spec": {"ensemble": {"count": -1}}}, StoreError, "ensemble.count: -1 given"),
        ({"spec": ["../../etc/passwd"]}, StoreError, "a mapping of sections is needed"),
    ],
)
def test_a_header_that_contradicts_itself_is_refused(tmp_path, changes, kind, words):
    with pytest.raises(StoreError, match=words) as caught:
        open_ensemble(spoiled(tmp_path, **changes))
    assert type(caught.value) is kind


def test_opening_needs_neither_zarr_nor_dask():
    script = (
        "import sys, lsg_ray.ensemble.reader, lsg_ray.ensemble.writer, lsg_ray.ensemble.query, "
        "lsg_ray.ensemble.verify\n"
        "print([name for name in ('zarr', 'dask', 'xarray', 'torch', 'ray', 'obstore') "
        "if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert answer.stdout.strip() == "[]", answer.stderr


def test_snapshots_with_other_blocks_are_other_arrays(tmp_path):
    """Two snapshots of one store with equally many blocks, computed together."""
    store = tmp_path / "s.zarr"
    fill(store, make_spec(count=48))
    records = [store / "ledger" / f"{block:08}.json" for block in range(3)]
    snapshots = []
    for hidden in (2, 1):
        aside = records[hidden].rename(tmp_path / "aside")
        snapshots.append(open_ensemble(store).to_dask("configuration"))
        aside.rename(records[hidden])
    first, second = dask.compute(*snapshots)
    assert first.tolist() == [*range(32)]
    assert second.tolist() == [*range(16), *range(32, 48)]
