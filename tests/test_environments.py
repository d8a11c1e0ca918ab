"""Where people work: notebooks, event loops, folders of any name, what others have set."""

import asyncio
import subprocess
import sys

import numpy as np
import pytest

import lsg_ray
from lsg_ray.spec import parse_spec

TINY = {
    "name": "tiny",
    "dataset": {"name": "digits", "components": 5, "train_examples": 100},
    "network": {"widths": [5, 4, 10]},
    "training": {"epochs": 1, "batch_size": 50},
    "ensemble": {"count": 4, "threshold": 0.0, "draws": 1},
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("work") / "mit Leerzeichen é" / "s.zarr"
    lsg_ray.sample(parse_spec(TINY), path, workers=0)
    return path


def test_notebooks__show_tables_in_which_all_is_escaped(store):
    ensemble = lsg_ray.open_ensemble(store)
    shown = ensemble._repr_html_()
    assert shown.startswith("<table>")
    assert "configurations" in shown or "rows" in shown
    spec = parse_spec({**TINY, "network": {"widths": [5, 4, 10]}})
    assert "widths" in spec._repr_html_()
    from lsg_ray.html import table

    assert "<script>" not in table("<script>", {"<script>": {"a": ["<script>"]}})
    assert "None" not in shown
    assert "None" not in spec._repr_html_()
    assert "biases: false" in spec._repr_html_()
    assert spec.replace(name="other").name == "other"


def test_within_a_running_event_loop(store):
    """As in a notebook, whose loop runs while cells do."""

    async def cell():
        ensemble = lsg_ray.open_ensemble(store)
        again = lsg_ray.sample(parse_spec(TINY), "memory://loop", workers=0)
        return lsg_ray.moments(ensemble)["m"].values, again.rows

    m, rows = asyncio.run(cell())
    np.testing.assert_array_equal(m, lsg_ray.moments(store)["m"].values)
    assert rows == 4


def test_a_script_needs_no_guard_of_its_main_module(tmp_path):
    script = tmp_path / "a script.py"
    script.write_text(
        f"import lsg_ray\nfrom lsg_ray.spec import parse_spec\n"
        f"s = lsg_ray.sample(parse_spec({TINY!r}), 's.zarr', workers=1)\nprint(s.rows)\n"
    )
    ran = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split()[-1] == "4"


def test_links_and_relative_paths(store, tmp_path, monkeypatch):
    (tmp_path / "link.zarr").symlink_to(store)
    monkeypatch.chdir(tmp_path)
    same = lsg_ray.open_ensemble("link.zarr")
    np.testing.assert_array_equal(same.numpy(), lsg_ray.open_ensemble(store).numpy())


@pytest.mark.parametrize("columns", ["20", "500"])
def test_narrow_and_wide_terminals_and_settings_of_others(store, columns):
    """A proxy, threads and a width that others have set change nothing that is printed."""
    import os

    ran = subprocess.run(
        [sys.executable, "-m", "lsg_ray.cli", "info", str(store)], capture_output=True, text=True,
        env={
            **os.environ, "COLUMNS": columns, "OMP_NUM_THREADS": "7",
            "http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9",
        },
        timeout=60,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "4" in ran.stdout
