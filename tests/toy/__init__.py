"""The package of another author: one file for each of what can be added, as the README shows."""

import json
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


#: Runs a command for each line of words, and answers with exit code, output and errors.
_COMMANDS = """
import contextlib, io, json, os, sys
from lsg_ray.cli import main
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
for line in sys.stdin:
    code, out, err = 0, io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(json.loads(line))
        except SystemExit as stop:
            code = stop.code
    print(json.dumps([code, out.getvalue(), err.getvalue()]), file=answers, flush=True)
"""


class Commands:
    """The command in a process of its own that sees the package; the process serves all calls."""

    def __init__(self, site: Path, folder: Path) -> None:
        path = os.pathsep.join([str(site), *sys.path])
        self._options = {"cwd": folder, "env": {**os.environ, "PYTHONPATH": path}, "text": True}
        self._process = None

    def __call__(self, *words, code=0):
        """Return the output of a command, or its errors where it is to fail."""
        if self._process is None:  # what is installed is read once
            self._process = subprocess.Popen(
                [sys.executable, "-c", _COMMANDS], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                **self._options,
            )  # fmt: skip
        self._process.stdin.write(json.dumps([str(word) for word in words]) + "\n")
        self._process.stdin.flush()
        ended, out, err = json.loads(self._process.stdout.readline())
        assert ended == code, err
        assert "Traceback" not in err
        return out if code == 0 else err

    def python(self, program):
        """Return what a program prints, in a new process."""
        ran = [sys.executable, "-c", program]
        return subprocess.run(ran, check=True, capture_output=True, **self._options).stdout

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.stdin.close()
            self._process.wait(timeout=60)
