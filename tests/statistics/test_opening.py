import json
import pickle

import numpy as np
import pytest
import xarray
import zarr

from lsg_ray.errors import InputError
from lsg_ray.ising.model import load_model
from lsg_ray.statistics import opening
from lsg_ray.statistics.configurations import read_array
from lsg_ray.statistics.opening import open_result
from lsg_ray.statistics.results import save_result


@pytest.fixture
def model(tmp_path):
    """A result with couplings and fields."""
    arrays = {
        "J": (("i", "j"), np.zeros((3, 3))),
        "h": ("i", np.ones(3)),
        "flag": ("i", [True] * 3),
    }
    return save_result(xarray.Dataset(arrays, attrs={"statistic": "model"}), tmp_path / "model")


def change(place, **fields):
    document = json.loads((place / "zarr.json").read_bytes())
    (place / "zarr.json").write_text(json.dumps(document | fields))


def test_a_result_is_opened(model):
    with open_result(model) as found:
        np.testing.assert_array_equal(found["h"], np.ones(3))
        assert found.attrs == {"statistic": "model"}
    assert load_model(model).n_spins == 3


@pytest.mark.parametrize("shape", [[10**6, 10**6], [10**18, 10**18]])
def test_a_result_that_claims_more_than_it_holds_is_refused(model, shape):
    change(model / "J", shape=shape)
    with pytest.raises(InputError, match=r"claims [0-9,]+ bytes of data and holds"):
        open_result(model)
    with pytest.raises(InputError, match="claims"):
        load_model(model)


def test_codecs_that_are_not_of_bytes_are_refused(model):
    inside = {"name": "sharding_indexed", "configuration": {"codecs": [{"name": "pickle"}]}}
    for codecs in ([{"name": "numcodecs.pickle"}], [inside]):
        change(model / "h", codecs=codecs)
        with pytest.raises(InputError, match="pickle"):
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
