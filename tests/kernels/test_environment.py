"""Settings of numba that kernels cannot work with are named in one line; others do not matter."""

import os
import subprocess
import sys

import pytest

from lsg_ray.errors import InputError

RUN = """
from lsg_ray.errors import InputError
try:
    from lsg_ray.kernels import bits, hamming
    import numpy as np
    counts = np.zeros((hamming.COUNTERS, 65), np.int64)
    word = np.zeros((1, 1), np.uint64)
    hamming.count_distances(word, np.ones((1, 1), np.uint64), False, counts)
    print("counted", np.flatnonzero(counts.sum(axis=0)).tolist())
except InputError as error:
    print("refused", error)
"""


def run(**environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    (line,) = done.stdout.splitlines()
    return line


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NUMBA_DISABLE_JIT", "1"),
        ("NUMBA_DISABLE_JIT", "yes"),
        ("NUMBA_NUM_THREADS", "0"),
        ("NUMBA_NUM_THREADS", "-2"),
        ("NUMBA_NUM_THREADS", "many"),
        ("NUMBA_NUM_THREADS", "1.5"),
        ("NUMBA_CPU_FEATURES", "nonsense"),
        ("NUMBA_OPT", "fast"),
        ("NUMBA_BOUNDSCHECK", "x"),
    ],
)
def test_what_cannot_work_is_refused(name, value):
    line = run(**{name: value})
    assert line.startswith(f"refused {name}")
    assert "unset it" in line


@pytest.mark.parametrize(
    "given",
    [
        {"NUMBA_CPU_NAME": "nonsense", "OMP_NUM_THREADS": "nonsense"},
        {"NUMBA_CPU_FEATURES": "", "OMP_NUM_THREADS": "0"},
    ],
    ids=lambda given: next(iter(given)),
)
def test_what_does_not_matter_is_let_alone(given):
    given = given | {"NUMBA_NUM_THREADS": "2", "NUMBA_THREADING_LAYER": "nonsense"}
    assert run(**given) == "counted [1]"


def test_the_command_line_says_it_in_one_line(tmp_path):
    spec = tmp_path / "spec.yaml"
    spec.write_text("dataset: {name: digits}\nensemble: {count: 2, threshold: 0.1}")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "lsg_ray.cli",
            "sample",
            spec,
            "--workers=0",
            f"--out={tmp_path}/x.zarr",
        ],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == InputError.exit_code
    assert done.stderr.strip().splitlines()[-1].startswith("lsg: NUMBA_DISABLE_JIT is set")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "x.zarr").exists()
