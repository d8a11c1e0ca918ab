import io
import json
import os
import pickle
import tracemalloc
import warnings
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import xarray
import zarr
from numcodecs import Blosc, Zstd

from lsg_ray.ensemble.location import locate
from lsg_ray.errors import InputError
from lsg_ray.ising.model import IsingModel, load_model
from lsg_ray.results import opening
from lsg_ray.results.opening import open_result
from lsg_ray.results.saving import check_target, save_result
from lsg_ray.results.seal import CHUNK_INDEX, SEAL, UnverifiedWarning, seal
from lsg_ray.results.unpacking import unpacked_bytes
from lsg_ray.statistics.configurations import read_array


@pytest.fixture
def model(tmp_path):
    """A result with couplings and fields."""
    arrays = {
        "J": (("i", "j"), np.zeros((3, 3))),
        "h": ("i", np.ones(3)),
        "flag": ("i", [True] * 3),
    }
    return save_result(xarray.Dataset(arrays, attrs={"statistic": "model"}), tmp_path / "model")


def change(path, name, **fields):
    """Change an array's document, everywhere that it stands, and the seal with it."""
    own = json.loads((path / name / "zarr.json").read_bytes()) | fields
    (path / name / "zarr.json").write_text(json.dumps(own))
    root = json.loads((path / "zarr.json").read_bytes())
    if "consolidated_metadata" in root:
        root["consolidated_metadata"]["metadata"][name] = own
        root["consolidated_metadata"].pop(SEAL, None)
    (path / "zarr.json").write_text(json.dumps(root))
    if (path / CHUNK_INDEX).exists():
        (path / CHUNK_INDEX).unlink()
        seal(path)


def unconsolidated(path):
    """Make of a result one that another tool may have written."""
    root = json.loads((path / "zarr.json").read_bytes())
    del root["consolidated_metadata"]
    (path / "zarr.json").write_text(json.dumps(root))
    (path / CHUNK_INDEX).unlink()
    return path


def test_a_result_is_opened(model):
    with open_result(model) as result:
        np.testing.assert_array_equal(result["h"], np.ones(3))
        assert result.attrs == {"statistic": "model"}
    assert load_model(model).n_spins == 3


@pytest.mark.filterwarnings("ignore::lsg_ray.results.seal.UnverifiedWarning")
@pytest.mark.parametrize("shape", [[5000, 5000], [10**6, 10**6], [10**14, 10**14]])
def test_a_result_that_claims_more_than_it_holds_is_refused(model, shape):
    change(model, "J", shape=shape)
    for reader in (open_result, load_model):
        with pytest.raises(InputError, match=r"claims [0-9,]+ bytes of data and holds"):
            reader(model)
    unconsolidated(model)
    for reader in (open_result, load_model):
        with pytest.raises(InputError, match=r"claims [0-9,]+ bytes of data and holds"):
            reader(model)


@pytest.mark.parametrize("compressor", [Zstd(checksum=True), Zstd(), Blosc()], ids=str)
def test_a_chunk_that_unpacks_to_more_than_it_should_is_refused(model, compressor):
    if isinstance(compressor, Blosc):
        blosc = {"typesize": 8, "cname": "lz4", "clevel": 5, "shuffle": "shuffle", "blocksize": 0}
        change(model, "J", codecs=[{"name": "bytes"}, {"name": "blosc", "configuration": blosc}])
    (model / "J" / "c" / "0" / "0").write_bytes(compressor.encode(bytes(2**20)))
    for reader in (open_result, load_model):
        with pytest.raises(InputError, match="unpacks to 1,048,576 bytes, must be 72"):
            reader(model)


@pytest.mark.parametrize("size", [0, 1, 100, 255, 256, 1000, 65_791, 65_792, 10**6])
def test_what_a_chunk_unpacks_to_is_read_from_its_head(size):
    data = np.random.default_rng(size).integers(0, 9, size, dtype=np.uint8).tobytes()
    packings = [("zstd", Zstd(level=level, checksum=True)) for level in (1, 3, 9, 19)]
    for codec, packing in [*packings, ("zstd", Zstd()), ("blosc", Blosc())][: None if size else 4]:
        packed = bytes(packing.encode(data))
        for rest in (b"", b"1234"):
            file = io.BytesIO(packed + rest)
            assert unpacked_bytes(file, len(packed), codec, size) == size
        for wrong in (packed[:-1], packed + b"x", packed + packed):
            with pytest.raises(ValueError, match=r"whole frame|one frame|Zstandard|says"):
                unpacked_bytes(io.BytesIO(wrong), len(wrong), codec, size)


ZEROS = bytes(2**20)
#: Chunks of nine numbers that unpack to more, or in a way that nobody can foresee.
BOMBS = {
    "frames": Zstd().encode(bytes(72)) + Zstd().encode(ZEROS),
    "frames of the right sum": Zstd().encode(bytes(36)) * 2,
    "no frame": b"",
    "skippable frame": b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + Zstd().encode(bytes(72)),
    "no stated size": b"\x28\xb5\x2f\xfd\x00" + bytes(20),
    "a size that is a lie": Zstd().encode(ZEROS)[:4] + b"\x20\x48" + Zstd().encode(ZEROS)[9:],
    "less": Zstd().encode(bytes(64)),
    "huge": b"\x28\xb5\x2f\xfd\xe0" + b"\xff" * 8 + b"\x01\0\0",
    "empty blocks": b"\x28\xb5\x2f\xfd\x20\x48" + bytes(3 * 10**5),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_chunk_that_cannot_be_what_it_should_is_refused_unpacked(model, bomb):
    (model / "J" / "c" / "0" / "0").write_bytes(BOMBS[bomb])
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=r"J/c/0/0 |cannot be read|not a model"):
            load_model(model)
        assert tracemalloc.get_traced_memory()[1] < 2**21
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("inner", ["zstd", "blosc"])
def test_compression_within_compression_is_refused(model, inner):
    zstd = {"name": "zstd", "configuration": {"level": 0, "checksum": False}}
    change(model, "J", codecs=[{"name": "bytes"}, {"name": inner}, zstd])
    with pytest.raises(InputError, match="compressed more than once"):
        open_result(model)


def test_a_chunk_far_larger_than_its_array_is_refused(model):
    grid = {"name": "regular", "configuration": {"chunk_shape": [2**13, 2**13]}}
    change(model, "J", chunk_grid=grid)
    (model / "J" / "c" / "0" / "0").write_bytes(Zstd().encode(bytes(2**13 * 2**13 * 8)))
    with pytest.raises(InputError, match="claims 536,870,"):
        open_result(model)


def test_a_file_of_holes_holds_nothing(model, tmp_path):
    size = 2**14
    change(
        model, "J", shape=[size, size], codecs=[{"name": "bytes"}],
        chunk_grid={"name": "regular", "configuration": {"chunk_shape": [size, size]}},
    )  # fmt: skip
    with open(tmp_path / "holes.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"shape": (size, size), "fortran_order": False, "descr": "<f8"}
        )
        file.truncate(file.tell() + size * size * 8)
    os.truncate(model / "J" / "c" / "0" / "0", size * size * 8)
    for reader, path in ((load_model, model), (read_array, tmp_path / "holes.npy")):
        with pytest.raises(InputError, match=r"claims 2,147,.* and holds"):
            reader(str(path))


@pytest.mark.parametrize("size", [-1, 2**40, "4", None, True])
def test_elements_of_odd_sizes_are_refused(model, size):
    change(
        model, "h",
        data_type={"name": "fixed_length_utf32", "configuration": {"length_bytes": size}},
    )  # fmt: skip
    with pytest.raises(InputError):
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
            assert not same(model) or bit // 8 in (4, 5)
        file.unlink()
        with pytest.raises(InputError, match="missing"):
            open_result(model)
        file.write_bytes(whole)


def same(path):
    """Whether a result can be read, and is what it was."""
    try:
        with open_result(path) as result:
            result.load()
    except Exception:
        return False
    assert not result["J"].any()
    assert result["h"].all()
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
    for reader, path in (
        (load_model, model), (load_model, tmp_path / "f.npz"),
        (read_array, tmp_path / "f.npy"), (read_array, tmp_path / "f.npz"),
    ):  # fmt: skip
        with pytest.raises(InputError, match="not a plain file"):
            reader(str(path))


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.parametrize("consolidated", [True, False])
def test_results_of_other_tools_are_opened(tmp_path, consolidated):
    arrays = {"J": (("i", "j"), np.zeros((3, 3))), "h": ("i", np.zeros(3, int))}
    xarray.Dataset(arrays).to_zarr(tmp_path / "m", zarr_format=3, consolidated=consolidated)
    assert not (tmp_path / "m" / "h" / "c").exists(), "a chunk of fill values is left out"
    with pytest.warns(UnverifiedWarning, match="m: unverified"):
        assert not load_model(tmp_path / "m").h.any()


def test_results_go_to_object_stores_and_come_back(tmp_path):
    path = "memory://results/opening/model"
    model = IsingModel(np.array([[0, 0.5], [0.5, 0]]), np.array([1.0, 2.0]))
    model.save(path)
    np.testing.assert_array_equal(load_model(path).h, [1, 2])
    with pytest.raises(InputError, match=f"{path} exists"):
        model.save(path)
    with pytest.raises(InputError, match="is inside the Zarr store"):
        check_target(f"{path}/within")
    IsingModel(np.zeros((2, 2)), np.zeros(2)).save(path, overwrite=True)
    assert not load_model(path).h.any()
    locate(path).delete("h/c/0")
    with pytest.raises(InputError, match="h/c/0 is missing"):
        load_model(path)
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
    path, mark = tmp_path / "old", tmp_path / "mark"
    group = zarr.open_group(path, mode="w", zarr_format=2)
    group.create_array("h", shape=(3,), chunks=(3,), dtype="f8", compressors=None)
    array = json.loads((path / "h" / ".zarray").read_bytes())
    array["filters"] = [{"id": "pickle", "protocol": 4}]
    (path / "h" / ".zarray").write_text(json.dumps(array))
    (path / "h" / "0").write_bytes(pickle.dumps(Touch(str(mark))))
    for reader in (load_model, open_result):
        with pytest.raises((InputError, OSError)):
            reader(path)
    assert not mark.exists()


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_an_archive_that_unpacks_to_gigabytes_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, J=np.zeros((700, 700)), h=np.zeros(700))
    assert load_model(path).n_spins == 700  # small enough in any case
    monkeypatch.setattr(opening, "OPENING", replace(opening.OPENING, free_bytes=2**20))
    for reader in (load_model, read_array):
        with pytest.raises(InputError, match="claims"):
            reader(str(path))


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_archive_that_is_unpacked_whole_is_refused(tmp_path, packing):
    """Of these, Python unpacks all that it is given, whatever the size that is stated."""
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name in ("J.npy", "h.npy"):
            archive.writestr(name, bytes(2**24))
    for reader in (load_model, read_array):
        with pytest.raises(InputError, match=r"J\.npy is packed in a way that numpy"):
            reader(str(path))


def test_an_archive_whose_parts_contradict_themselves_is_refused(tmp_path):
    path, array = tmp_path / "odd.npz", io.BytesIO()
    np.lib.format.write_array_header_1_0(
        array, {"shape": (10**6, 10**6), "fortran_order": False, "descr": "<f8"}
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("J.npy", array.getvalue())
        archive.writestr("h.npy", array.getvalue())
    (tmp_path / "odd.npy").write_bytes(array.getvalue())
    for reader, odd in ((load_model, path), (read_array, path), (read_array, tmp_path / "odd.npy")):
        with pytest.raises(InputError, match=r"does not hold what its head says|ValueError"):
            reader(str(odd))
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
        warnings.simplefilter("ignore")
        for _ in range(2):
            archive.writestr("J.npy", b"")
    with pytest.raises(InputError, match="two members have one name"):
        load_model(path)


def test_python_objects_in_an_archive_are_refused(tmp_path):
    path, mark = tmp_path / "objects.npz", tmp_path / "mark"
    np.savez(path, J=np.array([Touch(str(mark))], dtype=object), h=np.ones(1))
    with pytest.raises(InputError):
        load_model(path)
    assert not mark.exists()


def test_a_result_that_another_tool_saved_again_is_opened(model, tmp_path):
    with open_result(model) as result:
        result.load().to_zarr(tmp_path / "again", zarr_format=3, consolidated=False)
    with pytest.warns(UnverifiedWarning):
        assert load_model(tmp_path / "again").n_spins == 3


def test_other_tools_open_our_results_without_complaint(model, recwarn):
    with xarray.open_zarr(model) as result:
        assert set(result) == {"J", "h", "flag"}
    assert len(list(zarr.open_group(model, mode="r").members())) == 3
    assert not recwarn.list


@pytest.mark.filterwarnings("ignore:The data type")
def test_names_as_text_are_read(tmp_path):
    part = ("i", np.array(["LB", "ITR", "LB"]), {})
    arrays = {"J": (("i", "j"), np.zeros((3, 3))), "h": ("i", np.ones(3))}
    result = xarray.Dataset(arrays, {"part": part, "weight": ("i", np.arange(3))})
    result.to_zarr(tmp_path / "m", zarr_format=3, consolidated=False)
    with pytest.warns(UnverifiedWarning):
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
        root["consolidated_metadata"].pop(SEAL, None)
        (model / "zarr.json").write_text(json.dumps(root))
        (model / CHUNK_INDEX).unlink()
        seal(model)
        with pytest.raises(InputError, match="is no name of an array"):
            open_result(model)


def test_lost_list__with_lost_chunks_is_noticed(model):
    """Zarr reads a lost chunk as zeros."""
    (model / "h" / "c" / "0").unlink()
    (model / CHUNK_INDEX).unlink()
    with pytest.raises(InputError, match=r"\.chunks\.json is missing; make the result anew"):
        load_model(model)


def test_root_document__no_bit_changes_unnoticed(model):
    for file in (model / "zarr.json", model / CHUNK_INDEX):
        whole = file.read_bytes()
        noticed = silent = 0
        for bit in range(0, 8 * len(whole), 37):
            data = bytearray(whole)
            data[bit // 8] ^= 1 << bit % 8
            try:
                if json.loads(bytes(data)) == json.loads(whole):
                    continue  # white space, or an exponent's letter
            except ValueError:
                pass
            file.write_bytes(data)
            try:
                with warnings.catch_warnings(), open_result(model):
                    silent += 1
            except Exception:
                noticed += 1
        file.write_bytes(whole)
        assert silent == 0
        assert noticed > 20
    assert load_model(model).n_spins == 3


def test_consolidated_metadata_that_contradict_an_array_are_refused(model):
    root = json.loads((model / "zarr.json").read_bytes())
    root["consolidated_metadata"]["metadata"]["h"]["data_type"] = "int64"
    root["consolidated_metadata"].pop(SEAL)
    (model / "zarr.json").write_text(json.dumps(root))
    (model / CHUNK_INDEX).unlink()
    for sealed in (False, True):
        if sealed:
            seal(model)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnverifiedWarning)
            with pytest.raises(InputError, match=r"zarr\.json contradicts h/zarr\.json"):
                load_model(model)


def test_results_of_older_versions_are_read_and_said_to_be_unverified(model):
    root = json.loads((model / "zarr.json").read_bytes())
    root["consolidated_metadata"].pop(SEAL)
    (model / "zarr.json").write_text(json.dumps(root))
    keys = json.loads((model / CHUNK_INDEX).read_bytes())["keys"]
    (model / CHUNK_INDEX).write_text(json.dumps(keys))
    with pytest.warns(UnverifiedWarning, match="an older lsg-ray"):
        assert load_model(model).h.all()
    (model / "h" / "c" / "0").unlink()
    with pytest.raises(InputError, match="h/c/0 is missing"):
        load_model(model)


@pytest.mark.parametrize("numbers", [[0, 1, 1], [-1, 0, 1], [2, 0, 2]])
def test_numbers_of_weights_are_distinct_and_not_negative(numbers):
    with pytest.raises(InputError, match=r"weight\[\d\] is .*; numbers of weights"):
        IsingModel(np.zeros((3, 3)), np.zeros(3), weight=np.array(numbers))
