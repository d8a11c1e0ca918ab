import numpy as np
import pytest

from lsg_ray.datasets import file, locating
from tests.datasets.made import Mirror
from tests.datasets.own import examples


@pytest.fixture(autouse=True)
def _no_network_no_user_files(monkeypatch, tmp_path):
    monkeypatch.delenv("LSG_DATA_DIR", raising=False)
    monkeypatch.setenv("LSG_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def rng():
    return np.random.default_rng(1)


@pytest.fixture
def own(monkeypatch, tmp_path):
    """Return a folder for MNIST that the user keeps; it does not exist yet."""
    (tmp_path / "own").mkdir()
    monkeypatch.setenv("LSG_DATA_DIR", str(tmp_path / "own"))
    return tmp_path / "own" / "mnist"


@pytest.fixture
def mirrors():
    pair = Mirror(), Mirror()
    yield pair
    for mirror in pair:
        mirror.close()


@pytest.fixture
def own_folder(monkeypatch, tmp_path):
    """Work in an empty folder; no file was seen before."""
    monkeypatch.chdir(tmp_path)
    for known in (locating._seen, locating._downloaded, file._warned):
        known.clear()


@pytest.fixture
def data(rng):
    return examples(rng)
