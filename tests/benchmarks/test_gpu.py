"""The script for machines with a GPU says in one line where there is none."""

import subprocess
import sys
from pathlib import Path

import pytest

from lsg_ray.kernels.cuda import launch

SCRIPT = Path(__file__).parent / "gpu.py"


@pytest.mark.skipif(launch.missing() is None, reason="there is a GPU: run the script itself")
def test_without_a_gpu_it_is_one_line():
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("gpu.py: this machine lacks")
