"""Figures are drawn with Agg, whatever backend is asked for; pyplot keeps the user's own."""

import os
import subprocess
import sys

import pytest

DRAW = """
from lsg_ray.report.style import new_figure, render
figure = new_figure(1)
figure.subplots()
png = render(figure)
"""


def python(code, folder, **variables):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MPL", "MATPLOTLIBRC"))}
    words = [sys.executable, "-c", code]
    ran = subprocess.run(
        words, env=environment | variables, cwd=folder, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.split()


@pytest.mark.parametrize("backend", ["no such backend", "module://no.such.module", "pdf", ""])
def test_variable__changes_no_figure_and_stays(tmp_path, backend):
    code = f"{DRAW}import hashlib, os; print(hashlib.sha256(png).hexdigest(), repr(os.environ))"
    plain = python(code, tmp_path)
    result = python(code, tmp_path, MPLBACKEND=backend)
    assert result[0] == plain[0]
    assert f"'MPLBACKEND': {backend!r}" in " ".join(result)


def test_file__changes_no_figure(tmp_path):
    code = f"{DRAW}import hashlib; print(hashlib.sha256(png).hexdigest())"
    plain = python(code, tmp_path)
    (tmp_path / "matplotlibrc").write_text("backend: no such backend\n")
    assert python(code, tmp_path) == plain


@pytest.mark.parametrize("before", ["", "import matplotlib.pyplot"])
def test_pyplot__keeps_the_backend_of_the_user(tmp_path, before):
    code = f"{before}{DRAW}import matplotlib.pyplot as plt; print(plt.get_backend())"
    assert python(code, tmp_path, MPLBACKEND="svg") == ["svg"]


def test_pyplot__keeps_the_backend_that_was_chosen(tmp_path):
    code = f"import matplotlib; matplotlib.use('pdf'){DRAW}print(matplotlib.get_backend())"
    assert python(code, tmp_path) == ["pdf"]


def test_command__draws_under_the_backend_of_a_notebook(tmp_path):
    code = (
        "import numpy as np; from lsg_ray.cli import main\n"
        "np.savez('m.npz', J=[[0, .1], [.1, 0]], h=[0, 0])\n"
        "main('thermo m.npz --out t --figure t.png --ladders 2 --burn-in 5 --draws 4'.split())"
    )
    python(code, tmp_path, MPLBACKEND="module://no.such.kernel")
    python(code.replace("t.png", "u.png --overwrite"), tmp_path, MPLBACKEND="no such backend")
    assert (tmp_path / "t.png").read_bytes()[:4] == (tmp_path / "u.png").read_bytes()[:4]
