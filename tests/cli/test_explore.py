"""The command: what it refuses, what it prints, and that it ends quietly."""

import importlib.util
import json
import signal
import subprocess
import sys

import numpy as np
import pytest


@pytest.fixture
def store(ensemble_of, tmp_path):
    return ensemble_of(np.ones((4, 4)), url=str(tmp_path / "s.zarr")).url


def test_missing_libraries__are_named_with_the_remedy(lsg, tmp_path, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n, *a: None if n == "panel" else found(n, *a)
    )
    said = lsg("explore", tmp_path)
    assert said.code == 2
    assert said.err == (
        "lsg: lsg explore needs panel, which is not installed; install it with: "
        "pip install 'lsg-ray[explore]'\n"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing"], "nothing is there"),
        ([".", "--host", "0.0.0.0", "--no-browser"], "give a --token of 16 characters"),
        ([".", "--token", "short"], "5 characters given; at least 16"),
        ([".", "--port", "70000"], "--port"),
    ],
)
def test_bad_input__is_one_clear_line(lsg, tmp_path, monkeypatch, words, said):
    pytest.importorskip("panel")
    for name in ("holoviews", "datashader"):
        pytest.importorskip(name)
    monkeypatch.chdir(tmp_path)
    got = lsg("explore", *words)
    assert got.code == 2
    assert said in got.err
    assert "Traceback" not in got.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_page__is_served_until_an_interrupt_and_ends_quietly(store, number):
    for name in ("panel", "holoviews", "datashader"):
        pytest.importorskip(name)
    words = [sys.executable, "-m", "lsg_ray.cli", "explore", store, "--no-browser", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        document = json.loads(run.stdout.readline())
        assert document["url"].startswith(f"http://127.0.0.1:{document['port']}/?token=")
        assert len(document["url"].partition("token=")[2]) > 40
        run.send_signal(number)
        out, err = run.communicate(timeout=120)
    assert (run.returncode, out, err) == (0, "", "")
