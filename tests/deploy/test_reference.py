"""The reference: all public names on a page with search, built without a warning."""

import os
import re
import subprocess
import sys

import pytest

import lsg_ray

from .checks import DEPLOY, ROOT

SCRIPT = DEPLOY / "reference.py"


def build(*words, path=ROOT):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(path), *sys.path])}
    command = [sys.executable, SCRIPT, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_reference__all_public_names_on_one_page(tmp_path):
    pytest.importorskip("pdoc", reason="the reference needs pdoc (extra docs)")
    out = tmp_path / "pages"
    built = build(out)
    assert (built.returncode, built.stderr) == (0, "")
    page = (out / "lsg_ray.html").read_text(encoding="utf-8")
    missing = [name for name in lsg_ray.__all__ if f'id="{name}"' not in page]
    assert not missing
    # Types are as in the source, and none of another module's inside is shown.
    assert "EnsembleLike" in page
    assert "numpy._typing" not in page
    assert "@public" not in page
    index = (out / "search.js").read_text(encoding="utf-8")
    for name in ("lsg_ray.entropy_scan", "lsg_ray.Ensemble.where", "lsg_ray.stage.Stage"):
        assert f'"fullname": "{name}"' in index
    assert not re.search(r'<(script|link)[^>]+(src|href)="https?:', page)  # it is read offline


def test_reference__refuses(tmp_path):
    (tmp_path / "pdoc.py").write_text("raise ModuleNotFoundError('no pdoc', name='pdoc')")
    failed = build(tmp_path / "pages", path=tmp_path)
    assert failed.returncode == 2
    assert failed.stderr == "pdoc is not installed: pip install 'lsg-ray[docs]'\n"
    file = tmp_path / "file"
    file.write_text("")
    failed = build(file)
    assert (failed.returncode, failed.stderr) == (
        2,
        f"{file} is a file; name a folder for the pages\n",
    )
    left = {path.name for path in tmp_path.iterdir()} - {"__pycache__"}
    assert left == {"file", "pdoc.py"}
