"""Shared fixtures: outside data where it is, one thread for linear algebra."""

import os
from pathlib import Path

import pytest

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

ROOT = Path(__file__).resolve().parent.parent


def shared_folder() -> Path:
    """Folder with outside oracles: published moments and real images."""
    return Path(os.environ.get("LSG_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    folder = shared_folder()
    if not (folder / "data").is_dir():
        pytest.skip(f"no outside data: {folder}/data is not there; set LSG_SHARED to its folder")
    return folder
