import json
import os
import pickle

import numpy as np
import pytest
import xarray
import zarr
from numcodecs import Blosc, Zstd

from lsg_ray.ensemble.location import locate
from lsg_ray.errors import InputError
from lsg_ray.ising.model import IsingModel, load_model
from lsg_ray.statistics import opening
from lsg_ray.statistics.configurations import read_array
from lsg_ray.statistics.opening import open_result
from lsg_ray.statistics.results import check_target, save_result


@pytest.fixture
def model(tmp_path):
    """A result with couplings and fields."""
    arrays = {
        "J": (("i", "j"), np.zeros((3, 3))),
        "h": ("i", np.ones(3)),
        "flag": ("i", [True] * 3),
    }
    return save_result(xarray.Dataset(arrays, attrs={"statistic": "model"}), tmp_path / "model")


def change(place, name, **fields):
    """Change an array's document, in the root where what is read stands."""
    root = json.loads((place / "zarr.json").read_bytes())
    root["consolidated_metadata"]["metadata"][name] |= fields
    (place / "zarr.json").write_text(json.dumps(root))


def unconsolidated(place):
    """Make of a result one that another tool may have written."""
    root = json.loads((place / "zarr.json").read_bytes())
    del root["consolidated_metadata"]
    (place / "zarr.json").write_text(json.dumps(root))
    return place


def test_a_result_is_opened(model):
    with open_result(model) as found:
        np.testing.assert_array_equal(found["h"], np.ones(3))
        assert found.attrs == {"statistic": "model"}
    assert load_model(model).n_spins == 3


@pytest.mark.parametrize("shape", [[10**6, 10**6], [10**18, 10**18]])
def test_a_result_that_claims_more_than_it_holds_is_refused(model, shape):
    change(model, "J", shape=shape)
    for reader in (open_result, load_model):
        with pytest.raises(InputError, match=r"claims [0-9,]+ bytes of data and holds"):
            reader(model)
    document = json.loads((unconsolidated(model) / "J" / "zarr.json").read_bytes())
    (model / "J" / "zarr.json").write_text(json.dumps(document | {"shape": shape}))
    for reader in (open_result, load_model):
        with pytest.raises(InputError, match=r"claims [0-9,]+ bytes of data and holds"):
            reader(model)


@pytest.mark.parametrize("compressor", [Zstd(checksum=True), Zstd(), Blosc()], ids=str)
def test_a_chunk_that_unpacks_to_more_than_it_should_is_refused(model, compressor):
    if isinstance(compressor, Blosc):
        change(model, "J", codecs=[{"name": "bytes"}, {"name": "blosc"}])
    (model / "J" / "c" / "0" / "0").write_bytes(compressor.encode(bytes(2**20)))
    for reader in (open_result, load_model):
        with pytest.raises(InputError, match="unpacks to 1,048,576 bytes, must be 72"):
            reader(model)


@pytest.mark.parametrize("size", [0, 1, 100, 255, 256, 1000, 65_791, 65_792, 10**6])
def test_what_a_chunk_unpacks_to_is_read_from_its_head(size):
    data = np.random.default_rng(size).integers(0, 9, size, dtype=np.uint8).tobytes()
    for level in (1, 3, 9):
        packed = Zstd(level=level, checksum=True).encode(data)
        assert opening._unpacked(packed[:18], "zstd") == size
    if size:
        assert opening._unpacked(bytes(Blosc().encode(data))[:18], "blosc") == size


def test_a_chunk_that_does_not_say_how_large_it_is_is_refused(model):
    streamed = b"\x28\xb5\x2f\xfd\x00" + bytes(20)
    (model / "J" / "c" / "0" / "0").write_bytes(streamed)
    with pytest.raises(InputError, match="does not say how large"):
        load_model(model)


def test_flipped_and_lost_bytes_are_noticed(model):
    files = [file for file in sorted(model.glob("*/c/**/*")) if file.is_file()]
    assert files
    for file in files:
        whole = file.read_bytes()
        for bit in range(0, 8 * len(whole), 3):
            data = bytearray(whole)
            data[bit // 8] ^= 1 << bit % 8
            file.write_bytes(data)
            # A reserved bit and the window of Zstandard's head may change and mean nothing.
            if not same(model):
                continue
            assert bit // 8 in (4, 5)
        file.unlink()
        with pytest.raises(InputError, match="missing"):
            open_result(model)
        file.write_bytes(whole)


def same(place):
    """Whether a result can be read, and is what it was."""
    try:
        with open_result(place) as found:
            found.load()
    except Exception:
        return False
    assert not found["J"].any()
    assert found["h"].all()
    return True


def test_pipes_are_not_waited_for_and_links_not_followed(model, tmp_path):
    chunk = model / "J" / "c" / "0" / "0"
    chunk.rename(tmp_path / "chunk")
    chunk.symlink_to(tmp_path / "chunk")
    with pytest.raises(InputError, match="is a symbolic link"):
        load_model(model)
    chunk.unlink()
    os.mkfifo(chunk)
    os.mkfifo(tmp_path / "f.npz")
    os.mkfifo(tmp_path / "f.npy")
    for reader, place in (
        (load_model, model), (load_model, tmp_path / "f.npz"),
        (read_array, tmp_path / "f.npy"), (read_array, tmp_path / "f.npz"),
    ):  # fmt: skip
        with pytest.raises(InputError, match="not a plain file"):
            reader(str(place))


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.parametrize("consolidated", [True, False])
def test_results_of_other_tools_are_opened(tmp_path, consolidated):
    arrays = {"J": (("i", "j"), np.zeros((3, 3))), "h": ("i", np.zeros(3, int))}
    xarray.Dataset(arrays).to_zarr(tmp_path / "m", zarr_format=3, consolidated=consolidated)
    assert not (tmp_path / "m" / "h" / "c").exists(), "a chunk of fill values is left out"
    assert not load_model(tmp_path / "m").h.any()


def test_results_go_to_object_stores_and_come_back(tmp_path):
    place = "memory://results/opening/model"
    model = IsingModel(np.array([[0, 0.5], [0.5, 0]]), np.array([1.0, 2.0]))
    model.save(place)
    np.testing.assert_array_equal(load_model(place).h, [1, 2])
    with pytest.raises(InputError, match=f"{place} exists"):
        model.save(place)
    with pytest.raises(InputError, match="is inside the Zarr store"):
        check_target(f"{place}/within")
    IsingModel(np.zeros((2, 2)), np.zeros(2)).save(place, overwrite=True)
    assert not load_model(place).h.any()
    locate(place).delete("h/c/0")
    with pytest.raises(InputError, match="h/c/0 is missing"):
        load_model(place)
    with pytest.raises(InputError, match="not a model"):
        load_model("memory://results/nothing")
    locate("memory://results/other").write("note", b"mine")
    with pytest.raises(InputError, match="is not a result of lsg"):
        model.save("memory://results/other", overwrite=True)


def test_codecs_that_are_not_of_bytes_are_refused(model):
    for name in ("numcodecs.pickle", "sharding_indexed"):
        change(model, "h", codecs=[{"name": name}])
        with pytest.raises(InputError, match=name):
            open_result(model)


def test_pickles_of_the_older_format_are_not_loaded(tmp_path):
    """Zarr 2 named its filters freely, `pickle` among them."""
    place, mark = tmp_path / "old", tmp_path / "mark"
    group = zarr.open_group(place, mode="w", zarr_format=2)
    group.create_array("h", shape=(3,), chunks=(3,), dtype="f8", compressors=None)
    array = json.loads((place / "h" / ".zarray").read_bytes())
    array["filters"] = [{"id": "pickle", "protocol": 4}]
    (place / "h" / ".zarray").write_text(json.dumps(array))
    (place / "h" / "0").write_bytes(pickle.dumps(Touch(str(mark))))
    for reader in (load_model, open_result):
        with pytest.raises((InputError, OSError)):
            reader(place)
    assert not mark.exists()


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return open, (self.place, "w")


def test_an_archive_that_unpacks_to_gigabytes_is_refused(tmp_path, monkeypatch):
    place = tmp_path / "bomb.npz"
    np.savez_compressed(place, J=np.zeros((700, 700)), h=np.zeros(700))
    assert load_model(place).n_spins == 700  # small enough in any case
    monkeypatch.setattr(opening, "FREE_BYTES", 2**20)
    for reader in (load_model, read_array):
        with pytest.raises(InputError, match="claims"):
            reader(str(place))


def test_python_objects_in_an_archive_are_refused(tmp_path):
    place, mark = tmp_path / "objects.npz", tmp_path / "mark"
    np.savez(place, J=np.array([Touch(str(mark))], dtype=object), h=np.ones(1))
    with pytest.raises(InputError):
        load_model(place)
    assert not mark.exists()


def test_a_result_that_another_tool_saved_again_is_opened(model, tmp_path):
    with open_result(model) as found:
        found.load().to_zarr(tmp_path / "again", zarr_format=3, consolidated=False)
    assert load_model(tmp_path / "again").n_spins == 3


def test_other_tools_open_our_results_without_complaint(model, recwarn):
    with xarray.open_zarr(model) as found:
        assert set(found) == {"J", "h", "flag"}
    assert len(list(zarr.open_group(model, mode="r").members())) == 3
    assert not recwarn.list


@pytest.mark.filterwarnings("ignore:The data type")
def test_names_as_text_are_read(tmp_path):
    part = ("i", np.array(["LB", "ITR", "LB"]), {})
    arrays = {"J": (("i", "j"), np.zeros((3, 3))), "h": ("i", np.ones(3))}
    result = xarray.Dataset(arrays, {"part": part, "weight": ("i", np.arange(3))})
    result.to_zarr(tmp_path / "m", zarr_format=3, consolidated=False)
    assert load_model(tmp_path / "m").n_spins == 3


def test_hostile_documents_are_one_clear_error(model, tmp_path):
    deep = tmp_path / "deep"
    deep.mkdir()
    nested = "[" * 10**5 + "]" * 10**5
    (deep / "zarr.json").write_text('{"attributes":{"statistic":' + nested + "}}")
    with pytest.raises(InputError, match="too deeply"):
        load_model(deep)
    with pytest.raises(InputError, match="is not a result of lsg"):
        check_target(deep, overwrite=True)
    root = json.loads((model / "zarr.json").read_bytes())
    arrays = root["consolidated_metadata"]["metadata"]
    for name in ("..", "", "a/b", "."):
        root["consolidated_metadata"]["metadata"] = arrays | {name: arrays["h"]}
        (model / "zarr.json").write_text(json.dumps(root))
        with pytest.raises(InputError, match="is no name of an array"):
            open_result(model)
