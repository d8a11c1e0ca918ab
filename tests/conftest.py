"""Shared fixtures: outside data where it is, one thread for linear algebra, small ensembles."""

import gc
import itertools
import os
from pathlib import Path

import pytest

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

ROOT = Path(__file__).resolve().parent.parent


def pytest_collection_finish() -> None:
    """Keep the garbage collector from what was imported and collected: it stays until the end."""
    gc.collect()
    gc.freeze()


def pytest_xdist_auto_num_workers() -> int:
    """One process more than cores for ``-n auto``: some tests wait for clusters to start."""
    from lsg_ray.cluster.limits import available_cpus

    return available_cpus() + 1


def shared_folder() -> Path:
    """Folder with outside oracles: published moments and real images."""
    return Path(os.environ.get("LSG_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    folder = shared_folder()
    if not (folder / "data").is_dir():
        pytest.skip(f"no outside data: {folder}/data is not there; set LSG_SHARED to its folder")
    return folder


@pytest.fixture(scope="session")
def ensemble_of():
    """Function that stores rows of ±1 and opens them; accuracy is 0, 0.1, ... 0.9, 0, ..."""
    import numpy as np

    from lsg_ray.ensemble.block import Block
    from lsg_ray.ensemble.reader import open_ensemble
    from lsg_ray.ensemble.writer import create_ensemble, write_block
    from lsg_ray.spec import parse_spec

    numbers = itertools.count()

    def store(weights, widths=None, blocks=None, trial=0, url=None, **ensemble):
        count, n_weights = np.shape(weights)
        widths = widths or (n_weights, 1)
        spec = parse_spec(
            {
                "name": "given",
                "dataset": {"components": widths[0], "labels": "parity"},
                "network": {"widths": widths},
                "ensemble": {"count": count, **ensemble},
            }
        )
        url = url or f"memory://statistics-{next(numbers)}"
        plan = create_ensemble(url, spec, dataset_hash="0" * 64)
        for index in range(plan.n_blocks) if blocks is None else blocks:
            rows = np.arange(count)[index * plan.block_size :][: plan.block_size]
            block = Block(
                start=index * plan.block_size,
                weights=np.asarray(weights, np.int8)[rows],
                columns={
                    "accuracy": rows % 10 / 10,
                    "loss": rows / 10,
                    "test_accuracy": rows % 10 / 10,
                    "trial": np.broadcast_to(trial, count)[rows],
                    "epochs": np.ones_like(rows),
                    "polarization": np.zeros(len(rows)),
                },
                trials=len(rows),
            )
            write_block(url, index, block)
        return open_ensemble(url)

    return store


@pytest.fixture
def no_token(monkeypatch, tmp_path):
    """Nothing around us names a job server or a token for it."""
    from lsg_ray.cluster import dashboard

    for name in ("MODE", "TOKEN", "TOKEN_PATH"):
        monkeypatch.delenv(f"RAY_AUTH_{name}", raising=False)
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    monkeypatch.setattr(dashboard, "TOKEN_FILE", str(tmp_path / "auth_token"))
