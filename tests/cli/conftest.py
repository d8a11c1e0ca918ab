"""A command in this process, and a small store to run it on."""

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from lsg_ray.cli import main
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.ising.model import IsingModel

SPEC = """
name: tiny
dataset: {name: digits, components: 4}
network: {widths: [4, 3, 10]}
training: {epochs: 2, batch_size: 100}
ensemble: {count: 6, threshold: 0, draws: 2, block_size: 2}
"""


class Ran(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def lsg(capsys):
    """Run a command in this process."""

    def run(*words) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in words])
        ran = Ran(stop.value.code, *capsys.readouterr())
        assert "Traceback" not in ran.err
        return ran

    return run


@pytest.fixture(scope="module")
def sampled(tmp_path_factory):
    """Specification and store of six configurations; copy the store before changing it."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "tiny.yaml").write_text(SPEC)
    with pytest.raises(SystemExit) as stop:
        main(["sample", str(folder / "tiny.yaml"), "--out", str(folder / "s"), "--workers", "0"])
    assert stop.value.code == 0
    return folder


@pytest.fixture
def spec(sampled):
    return sampled / "tiny.yaml"


@pytest.fixture
def store(sampled, tmp_path):
    return Path(shutil.copytree(sampled / "s", tmp_path / "s"))


@pytest.fixture
def model(tmp_path):
    """A model of 42 spins, as many as the store has weights."""
    rng = np.random.default_rng(0)
    J = np.triu(rng.normal(0, 0.02, (42, 42)), 1)
    return IsingModel(J + J.T, np.zeros(42)).save(tmp_path / "model.zarr")


def listing(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.rglob("*"))
    }


def content(store) -> str:
    return open_ensemble(store).info()["content_hash"]
