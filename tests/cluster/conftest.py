"""A store that was sampled in this process, without Ray, and what must equal it."""

from pathlib import Path

import pytest

from lsg_ray.cluster.sample import sample
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.ensemble.verify import verify
from lsg_ray.spec import Spec
from tests.cluster import faults

SPEC = {
    "name": "small",
    "dataset": {"name": "digits"},
    "training": {"epochs": 20, "batch_size": 50},
    "ensemble": {"count": 120, "threshold": 0.55, "draws": 5, "block_size": 5},
}


@pytest.fixture(scope="session")
def spec():
    return Spec.model_validate(SPEC)


@pytest.fixture(scope="session")
def undisturbed(spec, tmp_path_factory):
    """Store sampled in this process, without Ray; copy it before changing it."""
    url = tmp_path_factory.mktemp("undisturbed") / "s.zarr"
    sample(spec, url, workers=0)
    return url


@pytest.fixture(scope="session")
def unstruck(tmp_path_factory):
    """What is known of the run of `faults` where nothing struck it, in this process."""
    url = tmp_path_factory.mktemp("unstruck") / "s"
    sample(Spec.model_validate(faults.SPEC), url, workers=0)
    info = open_ensemble(url).info()
    assert info["rows"] == faults.SPEC["ensemble"]["count"] < info["trials"]
    return url, {key: info[key] for key in faults.KEYS}


@pytest.fixture
def nothing_is_left():
    """No process of a test outlives it."""
    before = faults.children()
    yield
    faults.wait_until_gone(faults.children() - before)


@pytest.fixture
def store(tmp_path):
    return tmp_path / "s"


def contents(store: Path) -> dict[str, bytes]:
    """All data of a store; records differ in the seconds they report."""
    return {
        str(file.relative_to(store)): file.read_bytes()
        for file in sorted(store.rglob("*"))
        if file.is_file() and file.parent.name != "ledger"
    }


def assert_same(store: Path, other: Path) -> None:
    """Two stores have the same bytes, and nothing is wrong with them."""
    assert verify(store).findings == ()
    assert (
        open_ensemble(store).info()["content_hash"] == open_ensemble(other).info()["content_hash"]
    )
    assert contents(store) == contents(other)
