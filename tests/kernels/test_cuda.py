"""Kernels for CUDA in numba's simulator, which has to be chosen before numba is imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "cuda"


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("check_*.py")))
def test_in_the_simulator(name):
    """All tests of one file; numba's own simulator stands in for the package numba-cuda."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", FOLDER / f"{name}.py"],
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "PYTEST_ADDOPTS": ""},
        cwd=FOLDER.parents[2],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
