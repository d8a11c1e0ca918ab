"""The package of another author: one file for each of what can be added, as the README shows."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

POINTS = """[lsg_ray.plugins]
clouds = toy_data:SOURCE
committee = toy_family:FAMILY
search = toy_solver:ALGORITHM
plus = toy_statistic:STAGE
descent = toy_protocol:STAGE
alone = toy_method:METHOD
"""


def install(site: Path) -> Path:
    """Make a folder with the package as pip would leave it; return it."""
    about = site / "toy-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Name: toy\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(POINTS)
    for file in Path(__file__).parent.glob("toy_*.py"):
        shutil.copy(file, site)
    return site


def beside(site: Path, folder: Path):
    """Return what runs the command in a folder, in a process of its own that sees the package."""

    def lsg(*words, code=0, run=("-m", "lsg_ray.cli")):
        path = os.pathsep.join([str(site), *sys.path])
        ran = subprocess.run(
            [sys.executable, *run, *map(str, words)], cwd=folder, text=True,
            capture_output=True, env={**os.environ, "PYTHONPATH": path}, timeout=120,
        )  # fmt: skip
        assert ran.returncode == code, ran.stderr
        assert "Traceback" not in ran.stderr
        return ran.stdout if code == 0 else ran.stderr

    return lsg
